"""CPU seconds of one thread for a training step of click models, beside what a user would write.

    python tests/benchmarks/steps.py [--peer CLONE] [--base COMMIT] [--rounds 9] [--only NAME ...]
    python tests/benchmarks/steps.py --families [--base COMMIT]

Each contender is a process of its own that waits for its turn; the turns alternate, and a ratio is
the median over the rounds of what a contender took over what ours took in the same round. The data
are in memory before: ours gets the arrays that a store gives and makes its tensors of them inside
the step, the others get their tensors. 26 tables of 1M rows in all (from 10 rows to 230,000, ids
log-uniform), dimension 16, 13 dense features, two hidden layers of width W in each MLP.

    base          this repository at COMMIT (e401425), out of git
    dlrm          facebookresearch/dlrm's model and loop in the clone at CLONE, with its default SGD
    dlrm-adagrad  the same with its own row-wise Adagrad, which does our sparse update
    plain         26 EmbeddingBag with sparse gradients and Adagrad, Adam for the rest
    one table     one Embedding over all rows, likewise
    floor         the products of the MLPs and of the interaction alone, forward and backward
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

TABLES, ROWS, DIM, DENSE, DEPTH = 26, 1_000_000, 16, 13, 2
SIZES = [(w, b) for w in (64, 512) for b in (512, 2048, 8192)]
BATCHES = 8  # distinct ones, in turn
BLOCK_S = 0.3  # of one turn, about
HOME = Path(__file__).parents[2]
Step = Callable[[int], Any]

FAMILIES: dict[str, dict[str, Any]] = {
    "dlrm": dict(family="dlrm", mlp_depth=DEPTH),
    "dlrm-bf16": dict(family="dlrm", mlp_depth=DEPTH),
    "dlrm-pooled": dict(family="dlrm", mlp_depth=DEPTH, sequence_length=20),
    "dlrm-history": dict(
        family="dlrm", mlp_depth=DEPTH, sequence_length=20, sequence_depth=2, sequence_width=32
    ),
    "dcnv2": dict(
        family="dcnv2", cross_layers=2, cross_rank=None, mlp_depth=2, structure="stacked"
    ),
    "wukong": dict(family="wukong", layers=2, n_F=8, n_L=8, k=8, mlp_depth=2),
}


def rows_per_table() -> list[int]:
    sizes = np.geomspace(10, 230_000, TABLES)
    sizes = np.round(sizes * ROWS / sizes.sum()).astype(int)
    return [*sizes[:-1].tolist(), int(ROWS - sizes[:-1].sum())]


def arrays(batch: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dense [B, 13], ids [B, 26], label [B]"""
    rng = np.random.default_rng(seed)
    ids = [np.floor(np.exp(rng.random(batch) * np.log(n + 1))) - 1 for n in rows_per_table()]
    ids = np.minimum(np.stack(ids, 1).astype(np.int64), np.array(rows_per_table()) - 1)
    dense = rng.standard_normal((batch, DENSE)).astype(np.float32)
    return dense, ids, (rng.random(batch) < 0.25).astype(np.float32)


def widths(width: int) -> tuple[list[int], list[int]]:
    """Of the bottom MLP and of the over-arch."""
    n = TABLES + 1
    return [DENSE, *[width] * DEPTH, DIM], [DIM + n * (n - 1) // 2, *[width] * DEPTH, 1]


def recscale(width: int, batch: int, kind: str = "dlrm") -> Step:
    """The training loop's own step, of whichever build is imported."""
    import dataclasses

    from pydantic import TypeAdapter

    from recscale.data.store import Batch
    from recscale.families import AnyModelConfig
    from recscale.manifest import Manifest, TableFacts
    from recscale.run import RunConfig, TrainConfig
    from recscale.train.host import PlainHost
    from recscale.train.loop import _Training

    history = FAMILIES[kind].get("sequence_length", 0)
    items = 20  # the table that histories hold
    tables = [TableFacts(name=f"t{i}", rows=n, distinct=n) for i, n in enumerate(rows_per_table())]
    manifest = Manifest(
        source="synthetic", task="click", fingerprint="0" * 16, n_train=10_000 * batch,
        n_eval=batch, tables=tuple(tables), dense=tuple(f"x{i}" for i in range(DENSE)),
        history=f"t{items}" if history else None, history_mean_length=10.0,
        label_rate_train=0.25, label_rate_eval=0.25, raw_rows=10_001 * batch,
    )  # fmt: skip

    def made(seed: int) -> Batch:
        dense, ids, label = arrays(batch, seed)
        rng = np.random.default_rng(seed)
        lengths = rng.integers(0, history + 1, batch).astype(np.int32)
        past = rng.integers(0, rows_per_table()[items], lengths.sum())
        given: dict[str, Any] = dict(
            dense=dense, ids=ids, label=label, history=past, history_lengths=lengths, bags=()
        )
        return Batch(**{f.name: given[f.name] for f in dataclasses.fields(Batch)})

    kept = [made(seed) for seed in range(BATCHES)]

    class Rows:
        def __len__(self) -> int:
            return manifest.n_train

        def read(self, begin: int, end: int, **_: Any) -> Batch:
            return kept[begin // batch % BATCHES]

    store: Any = types.SimpleNamespace(
        manifest=manifest, train=lambda fraction: Rows(), eval=lambda: Rows()
    )
    sizes = dict(
        embedding_dim=DIM, embedding_rows=None, sequence_depth=0, sequence_width=0,
        sequence_length=0, mlp_width=width,
    )  # fmt: skip
    if FAMILIES[kind]["family"] == "dlrm":
        sizes["overarch_width"] = width
    model = TypeAdapter(AnyModelConfig).validate_python({**sizes, **FAMILIES[kind]})
    training = TrainConfig(
        data_fraction=1.0, batch_size=batch, epochs=1, dense_rate=1e-3, sparse_rate=1e-2,
        rate_factor=1.0, warmup=0.01, eval_points=1, diverge_above=1e9, seed=0,
        precision="bfloat16" if kind.endswith("bf16") else "float32",
    )  # fmt: skip
    config = RunConfig(data=manifest.fingerprint, model=model, train=training)
    return _Training(config, store, PlainHost())._step


def tensors(batch: int, offset: bool = False) -> list[tuple[Any, Any, Any]]:
    """dense [B, 13], ids [26, B], label [B, 1] of every batch."""
    import torch

    base = np.cumsum([0, *rows_per_table()[:-1]]) if offset else np.zeros(TABLES, np.int64)
    found = (arrays(batch, seed) for seed in range(BATCHES))
    return [
        (torch.from_numpy(x), torch.from_numpy((ids + base).T.copy()), torch.from_numpy(y)[:, None])
        for x, ids, y in found
    ]


def facebook(width: int, batch: int, optimizer: str) -> Step:
    """The model, loss and loop of dlrm_s_pytorch.py as its `run` has them. What it imports for
    its reports only is left out."""
    for name in ("sklearn", "sklearn.metrics", "torch.utils.tensorboard"):
        module: Any = types.ModuleType(name)
        module.__spec__, module.SummaryWriter = ModuleSpec(name, None), None
        sys.modules.setdefault(name, module)
    sys.path.insert(0, os.environ["DLRM_CLONE"])
    import dlrm_s_pytorch as peer  # type: ignore[import-not-found]
    import torch

    bottom, top = widths(width)
    model = peer.DLRM_Net(
        DIM, np.array(rows_per_table()), np.array(bottom), np.array(top),
        arch_interaction_op="dot", sigmoid_bot=-1, sigmoid_top=len(top) - 2, ndevices=-1,
    )  # fmt: skip
    peer.dlrm, peer.args = model, types.SimpleNamespace(loss_function="bce")
    made = {"sgd": torch.optim.SGD, "rwsadagrad": peer.RowWiseSparseAdagrad.RWSAdagrad}
    update = made[optimizer](model.parameters(), lr=0.01)
    scheduler = peer.LRPolicyScheduler(update, 0, 0, 0)
    device = torch.device("cpu")
    offsets = torch.arange(batch).repeat(TABLES, 1)
    data = tensors(batch)
    seen = {"loss": 0.0, "samples": 0}

    def step(i: int) -> None:
        dense, ids, label = data[i % BATCHES]
        found = peer.dlrm_wrap(dense, offsets, ids, False, device, ndevices=1)
        loss = peer.loss_fn_wrap(found, label, False, device)
        value = loss.detach().cpu().numpy()
        update.zero_grad()
        loss.backward()
        update.step()
        scheduler.step()
        seen["loss"] += value * len(label)
        seen["samples"] += len(label)

    return step


def plain(width: int, batch: int, one: bool) -> Step:
    """What a user writes in torch: pairs indexed once, sparse Adagrad beside Adam."""
    import torch
    from torch import nn

    def mlp(sizes: list[int], last: bool) -> nn.Sequential:
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(itertools.pairwise(sizes)):
            layers += [nn.Linear(a, b), *[nn.ReLU()] * (last or i < len(sizes) - 2)]
        return nn.Sequential(*layers)

    below, above = widths(width)
    bottom, top = mlp(below, True), mlp(above, False)
    n = TABLES + 1
    i, j = torch.tril_indices(n, n, -1)
    if one:
        tables: nn.Module = nn.Embedding(ROWS, DIM, sparse=True)
    else:
        tables = nn.ModuleList(
            nn.EmbeddingBag(rows, DIM, mode="sum", sparse=True) for rows in rows_per_table()
        )
    for table in tables.parameters():
        nn.init.uniform_(table, -0.01, 0.01)
    sparse = torch.optim.Adagrad(tables.parameters(), lr=0.01)
    dense = torch.optim.Adam([*bottom.parameters(), *top.parameters()], lr=1e-3)
    offsets, data = torch.arange(batch), tensors(batch, offset=one)

    def step(k: int) -> None:
        x, ids, label = data[k % BATCHES]
        low = bottom(x)
        if one:
            vectors = torch.cat([tables(ids.T), low[:, None]], 1)
        else:
            each = [t(of, offsets) for t, of in zip(tables, ids, strict=True)]  # type: ignore
            vectors = torch.stack([*each, low], 1)
        dots = torch.bmm(vectors, vectors.transpose(1, 2))[:, i, j]
        loss = nn.functional.binary_cross_entropy_with_logits(top(torch.cat([low, dots], 1)), label)
        sparse.zero_grad()
        dense.zero_grad()
        loss.backward()
        sparse.step()
        dense.step()

    return step


def floor(width: int, batch: int) -> Step:
    import torch

    products = []
    for sizes in widths(width):
        for k, (a, b) in enumerate(itertools.pairwise(sizes)):
            x, w, y = torch.rand(batch, a), torch.rand(a, b), torch.rand(batch, b)
            products += [(x, w, torch.empty(batch, b)), (x.T, y, torch.empty(a, b))]
            if k or a != DENSE:
                products.append((y, w.T, torch.empty(batch, a)))
    n = TABLES + 1
    x, z = torch.rand(batch, n, DIM), torch.empty(batch, n, n)
    out = torch.empty(batch, n, DIM)

    def step(_: int) -> None:
        for a, b, c in products:
            torch.mm(a, b, out=c)
        torch.bmm(x, x.transpose(1, 2), out=z)
        torch.bmm(z, x, out=out)

    return step


CONTENDERS: dict[str, Callable[[int, int], Step]] = {
    "ours": recscale,
    "base": recscale,
    "dlrm": lambda w, b: facebook(w, b, "sgd"),
    "dlrm-adagrad": lambda w, b: facebook(w, b, "rwsadagrad"),
    "plain": lambda w, b: plain(w, b, one=False),
    "one table": lambda w, b: plain(w, b, one=True),
    "floor": floor,
}


def serve(step: Step) -> None:
    """Answers each number of steps read with the CPU seconds that they took."""
    done = 0
    for line in sys.stdin:
        begun = time.process_time()
        for _ in range(int(line)):
            step(done)
            done += 1
        print(time.process_time() - begun, flush=True)


class Contender:
    """A process that makes its steps when asked."""

    def __init__(self, name: str, given: list[str], home: Path):
        command = [sys.executable, __file__, "--serve", *given]
        environment = {**os.environ, "PYTHONPATH": str(home)}
        self.name, self.process = (
            name,
            subprocess.Popen(
                command,
                env=environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ),
        )
        self.seconds(3)
        self.steps = max(2, round(BLOCK_S / (self.seconds(5) / 5)))

    def seconds(self, steps: int) -> float:
        assert self.process.stdin and self.process.stdout
        print(steps, file=self.process.stdin, flush=True)
        while not (line := self.process.stdout.readline()).startswith(tuple("0123456789")):
            if not line:
                raise RuntimeError(f"{self.name} ended")
        return float(line)

    def turn(self) -> float:
        """CPU seconds a step."""
        return self.seconds(self.steps) / self.steps


def measured(contenders: list[Contender], rounds: int) -> dict[str, tuple[float, float]]:
    """Name -> median CPU ms a step, and median of what it takes over what the first takes."""
    found: dict[str, list[float]] = {c.name: [] for c in contenders}
    for k in range(rounds):
        for c in contenders if k % 2 else contenders[::-1]:
            found[c.name].append(c.turn())
    for c in contenders:
        c.process.terminate()
        c.process.wait()
    ours = found[contenders[0].name]
    return {
        name: (
            1e3 * statistics.median(each),
            statistics.median(a / b for a, b in zip(each, ours, strict=True)),
        )
        for name, each in found.items()
    }


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """The repository as it was at a commit."""
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "base.tar")
        with packed.open("wb") as out:
            subprocess.run(["git", "archive", commit], cwd=HOME, stdout=out, check=True)
        with tarfile.open(packed) as tar:
            tar.extractall(folder, filter="data")
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore
    parser.add_argument("--peer", help="a clone of facebookresearch/dlrm")
    parser.add_argument("--base", default="e401425")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--families", action="store_true", help="each family beside the base")
    parser.add_argument("--only", nargs="+", help="these contenders, or families")
    parser.add_argument("--sizes", nargs="+", help="as 64x2048")
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        name, width, batch, kind = args.serve
        extra = {"kind": kind} if name in ("ours", "base") else {}
        return serve(CONTENDERS[name](int(width), int(batch), **extra))
    if args.peer:
        os.environ["DLRM_CLONE"] = str(Path(args.peer).resolve())
    sizes = [(64, 2048)] if args.families else SIZES
    if args.sizes:
        sizes = [tuple(map(int, s.split("x"))) for s in args.sizes]  # type: ignore[misc]
    names = ["ours", "base"] if args.families else list(CONTENDERS)
    if not args.peer:
        names = [n for n in names if not n.startswith("dlrm")]
    if args.only and not args.families:
        names = [n for n in names if n in args.only or n == "ours"]
    with checkout(args.base) as base:
        kinds = [k for k in FAMILIES if not args.only or k in args.only]
        for kind in kinds if args.families else ["dlrm"]:
            for width, batch in sizes:
                given = [[name, str(width), str(batch), kind] for name in names]
                home = {"base": base}
                each = [Contender(g[0], g, home.get(g[0], HOME)) for g in given]
                found = measured(each, args.rounds)
                said = "   ".join(f"{n} {ms:.2f} ms {r:.2f}x" for n, (ms, r) in found.items())
                print(f"{kind:13} W {width:3} batch {batch:5}   {said}", flush=True)


if __name__ == "__main__":
    main()
