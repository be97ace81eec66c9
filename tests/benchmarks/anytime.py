"""One training for a whole data axis, against one training for each data fraction.

    python tests/benchmarks/anytime.py online_retail.parquet open_bandit_sample/
      [--logs world,walks] [--families dlrm] [--seeds 0,1] [--share 1] [--batch 128]
    python tests/benchmarks/anytime.py --overhead

Grids of five data fractions under both schedules of `train`, at the usual rates: the loss at each
fraction, what the grid took, and where the schedules differ (anytime - decayed; below 0 anytime is
better). `--overhead` measures what the mean of the weights costs beside a step, and the memory.
"""

from __future__ import annotations

import argparse
import gc
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from default_logs import logs
from pydantic import TypeAdapter

from recscale.cost import TRAIN_OVER_FORWARD
from recscale.data.prepare import prepare
from recscale.data.store import Store
from recscale.families import AnyModelSpec
from recscale.planner import planned_runs, training
from recscale.run import RunConfig
from recscale.spec import DataSpec, SweepSpec
from recscale.train import average
from recscale.train.average import Average
from recscale.train.host import PlainHost
from recscale.train.loop import _Training, train
from recscale.train.progress import Outcome

FRACTIONS = (0.05, 0.1, 0.2, 0.5, 1.0)
CLICK, NEXT = ("dlrm", "dcnv2", "wukong"), ("decoder", "hstu")


@dataclass
class Grid:
    """One architecture and seed over all fractions."""

    outcomes: list[Outcome]
    flop: float
    time_s: float


def grid(store: Store, data: dict, family: str, schedule: str, seed: int, share: float, batch: int):
    """Trains it; under `anytime` each fraction goes on with the one before it."""
    spec = SweepSpec.model_validate(
        {
            "name": "bench",
            "data": data,
            "model": {"family": family},
            "train": {"schedule": schedule, "batch_size": batch},
            "budget": {"flop": 1e30},
        }
    )
    manifest = store.manifest
    model_spec = TypeAdapter(AnyModelSpec).validate_python({"family": family})
    model = model_spec.resolve({k: v[0] for k, v in model_spec.axes().items()}, manifest)
    outcomes, flop, time_s = [], 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for fraction in FRACTIONS:
            asked = training(spec, manifest, model, share * fraction, seed=seed)
            config = RunConfig(data=manifest.fingerprint, model=model, train=asked)
            kept = folder if schedule == "anytime" else None
            outcome = train(config, store, PlainHost(checkpoints=kept, checkpoint_s=1e9))
            per_sample = TRAIN_OVER_FORWARD * model.forward_flop(manifest).total
            flop += per_sample * (outcome.samples - outcome.before.samples)
            time_s += outcome.time_s
            outcomes.append(outcome)
    return Grid(outcomes, flop, time_s)


def compare(asked: argparse.Namespace) -> None:
    work = asked.work
    named = asked.logs.split(",")
    for log, (data, fraction) in logs(asked.retail, Path(asked.bandit), work, named).items():
        store = Store.open(prepare(TypeAdapter(DataSpec).validate_python(data), work / "stores"))
        own = CLICK if store.manifest.task == "click" else NEXT
        for family in asked.families.split(",") if asked.families else own:
            for seed in map(int, asked.seeds.split(",")) if family in own else ():
                share = fraction * asked.share
                decayed, anytime = (
                    grid(store, data, family, s, seed, share, asked.batch)
                    for s in ("decayed", "anytime")
                )
                steps = [o.samples // asked.batch for o in decayed.outcomes]
                pairs = zip(decayed.outcomes, anytime.outcomes, strict=True)
                ends = [(d.curve[-1].eval_loss, a.curve[-1].eval_loss) for d, a in pairs]
                told = " ".join(
                    f"{n}: {d:.4f} {a - d:+.4f}" for n, (d, a) in zip(steps, ends, strict=True)
                )
                flop, took = anytime.flop / decayed.flop, anytime.time_s / decayed.time_s
                print(f"{log:13} {family:8} seed {seed} {told}  FLOP {flop:.3f} time {took:.3f}",
                      flush=True)  # fmt: skip


def overhead(work: Path) -> None:
    """What the mean takes beside a step of a dlrm, in CPU time of this process, and its memory."""
    torch.set_num_threads(1)
    world = {"source": "synthetic", "rows": 100_000}
    for users, items, dim, width, batch in (
        (2000, 1000, 8, 32, 128), (2000, 1000, 16, 256, 1024), (200_000, 50_000, 16, 256, 1024),
    ):  # fmt: skip
        data = {**world, "users": users, "items": items}
        store = Store.open(prepare(TypeAdapter(DataSpec).validate_python(data), work / "stores"))
        model = {"family": "dlrm", "embedding_dim": dim, "mlp_width": width}
        made = SweepSpec.model_validate(
            {"name": "bench", "data": data, "model": model, "budget": {"flop": 1e30},
             "train": {"schedule": "anytime", "batch_size": batch}}
        )  # fmt: skip
        (planned,) = planned_runs(made, store.manifest)
        run = _Training(planned.config, store, PlainHost())
        mean, run.average = run.average, None
        assert mean
        steps, moves = [], []
        for step in range(40):
            begun = time.process_time()
            run._step(step)
            middle = time.process_time()
            mean.after(1)
            steps.append(middle - begun)
            moves.append(time.process_time() - middle)
        weights = sum(m.numel() for _, m in mean._pairs)
        took, move = (sorted(each)[len(each) // 2] for each in (steps, moves))
        shares = []
        for n in (500, 2000, 10_000):
            count = sum(average.share(s) is not None for s in range(1, n + 1))
            shares.append(f"{100 * count * move / n / took:.2f} % of {n} steps")
        print(f"{weights:,} weights, batch {batch}: a step {1e3 * took:.2f} ms, a move "
              f"{1e3 * move:.3f} ms: {', '.join(shares)}", flush=True)  # fmt: skip
    model = torch.nn.Embedding(1_000_000, 32)  # so large that its memory is not taken from a pool
    gc.collect()
    before = _resident()
    with Average(model).in_place():
        grown = (_resident() - before) / (4 * model.weight.numel())
    print(f"{model.weight.numel():,} weights: memory {grown:.3f} x one copy")


def _resident() -> int:
    """Bytes that this process holds now."""
    page = resource.getpagesize()
    return int(Path("/proc/self/statm").read_text().split()[1]) * page


def main() -> None:
    parse = argparse.ArgumentParser()
    parse.add_argument("retail", nargs="?", default="")
    parse.add_argument("bandit", nargs="?", default="")
    parse.add_argument("--logs", default="world,walks")
    parse.add_argument("--families", default="")
    parse.add_argument("--seeds", default="0,1")
    parse.add_argument("--share", type=float, default=1.0, help="of each log's fraction")
    parse.add_argument("--batch", type=int, default=128)
    parse.add_argument("--work", type=Path, default=None)
    parse.add_argument("--overhead", action="store_true")
    asked = parse.parse_args()
    asked.work = asked.work or Path(tempfile.mkdtemp())
    asked.work.mkdir(exist_ok=True)
    if asked.overhead:
        overhead(asked.work)
    else:
        compare(asked)


if __name__ == "__main__":
    main()
