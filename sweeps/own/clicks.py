"""A training script of one's own in plain PyTorch, after the DLRM of 1906.00091: embedding bags,
dot products and an MLP, on clicks that it draws itself. `train` is what recscale calls; run as a
program it prints its metrics as JSON lines instead:

python clicks.py --dim 8 --width 32 --samples 20000 --seed 0 --checkpoints FOLDER
"""

from __future__ import annotations

import argparse
import json
import os

import torch
from torch import nn
from torch.nn import functional

ROWS, BATCH, EVALUATED = (1000, 500, 100), 128, 20_000


class Network(nn.Module):
    def __init__(self, dim: int, width: int):
        super().__init__()
        self.tables = nn.ModuleList(nn.EmbeddingBag(n, dim, mode="sum") for n in ROWS)
        pairs = len(ROWS) * (len(ROWS) - 1) // 2
        inner = len(ROWS) * dim + pairs
        self.top = nn.Sequential(nn.Linear(inner, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids: [B, 3] -> logits [B]."""
        v = torch.stack([t(ids[:, i : i + 1]) for i, t in enumerate(self.tables)], dim=1)
        above = torch.triu_indices(v.shape[1], v.shape[1], offset=1)
        dots = (v @ v.transpose(1, 2))[:, above[0], above[1]]
        return self.top(torch.cat([v.flatten(1), dots], dim=1)).squeeze(1)


def clicks(step: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same log for every run: n rows of ids and clicks of a planted world."""
    world = torch.Generator().manual_seed(0)
    taste = [torch.randn(rows, 6, generator=world) for rows in ROWS]
    draw = torch.Generator().manual_seed(step)
    # small ids are frequent ones
    ids = torch.stack([(rows * torch.rand(n, generator=draw) ** 3).long() for rows in ROWS], dim=1)
    a, b, c = (t[ids[:, i]] for i, t in enumerate(taste))
    logits = (a * b).sum(1) / 2 + (b * c).sum(1) / 2 - 1
    return ids, (torch.rand(n, generator=draw) < torch.sigmoid(logits)).float()


def train(config, report, checkpoint_dir):
    torch.manual_seed(config["seed"])
    model = Network(config["dim"], config["width"])
    optimiser = torch.optim.Adagrad(model.parameters(), lr=0.05 * config["rate_factor"])
    state, begun = os.path.join(checkpoint_dir, "state.pt"), 0
    if os.path.exists(state):
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        begun = saved["step"]
    steps = max(1, config["samples"] // BATCH)
    for step in range(begun + 1, steps + 1):
        ids, label = clicks(step, BATCH)
        loss = functional.binary_cross_entropy_with_logits(model(ids), label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step in (steps, steps // 2, steps // 4):
            ids, label = clicks(0, EVALUATED)
            with torch.no_grad():
                loss = functional.binary_cross_entropy_with_logits(model(ids), label)
            report(samples=step * BATCH, loss=loss.item())
            saved = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save({**saved, "step": step}, f"{state}.part")
            os.replace(f"{state}.part", state)  # whole, or the one before


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("dim", "width", "samples", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--checkpoints", required=True)
    asked = vars(parser.parse_args())

    def printed(**numbers) -> None:
        print(json.dumps(numbers))

    train({**asked, "rate_factor": 1.0}, printed, asked["checkpoints"])


if __name__ == "__main__":
    main()
