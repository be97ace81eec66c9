"""Does a run that leaves rates and batch out beat what needs no training, on every log at hand?

  python tests/benchmarks/default_table.py RETAIL_PARQUET BANDIT_FOLDER [--logs a,b]
      [--families a,b] [--seeds 1] [--work FOLDER]

Trains every family with all defaults (sizes, rates, batch, one pass over all training rows) and
prints a table: a log a line, the losses of its baselines, and of each family the distance from the
best of them (nats a sample; negative: better). A family that loses is marked with *. `truth` is the
same distance of the true probabilities where a log was drawn from some: no model can be sure to
keep below it.

Usual rates were chosen on `world`, `world-10k`, `retail-click`, `bandit`, `walks`, `walks-10k`,
`chain`, `retail` and the logs `rare-*`; the others, `default_logs.WHOLE` and the single campaigns,
were only judged.

Run of 2026-11-30, one seed, of logs that were only judged but for `bandit` and `chain` (rankmixer
on the click logs with dense 3e-3, since then 1e-3). All families beat all baselines on every world:

  world-1      dlrm -.056 dcnv2 -.073 wukong -.058 deepfm -.071 autoint -.064 rankmixer -.063
               adrec -.054 of .551
  world-2      -.070 -.081 -.071 -.083 -.078 -.074 -.067 of .545
  world-10k-1  -.030 -.031 -.031 -.037 -.021 -.025 -.024 of .543
  walks-10k-1  decoder -.35 hstu -.24 fuxi -.35 of 5.09
  chain        -3.24 -3.23 -3.24 of 4.08

Open bandit, by its clicks to learn from, in .0001 nats of .033 to .045: nearly all within what some
eight evaluation clicks cannot tell from 0. On such samples the true probabilities of a planted log
lose to the constant themselves, one time in three to one in six (`defaults.py`).

  bandit (179)        0   0   0  -7  -1   0  -1
  bandit-bts (100)    0  +1   0 +10  +4  -1  -1
  bandit-random (79) +10  0  +2  +2 +11   0  +1
  bts_men (47)       -1  -1  -2  -1  -3  -1  -3
  random_men (25)     0   0  +1   0  +2   0   0
  random_women (24)   0   0  +1   0  +2   0   0
  bts_women (23)      0   0   0   0  +2   0   0

About 130 clicks (`rare-132`, strong effects of items): counting by item is .058 NE below the
constant. deepfm's first-order weights do as well, .058; dlrm .022 and dcnv2 .014 do not, nor does
dlrm at any of ten settings (dense 1e-3 to 1e-2, sparse .1 to 1, batch 16 and 32), .036 at best: one
pass over 14,000 rows learns the vectors of 93 items more slowly than 93 counts do.

The whole of Online Retail (2026-12-01): next item decoder -.23 hstu -.30 fuxi -.33 climber -.27 of
7.42 (`recent`); clicks (763,688 positives) dlrm -.024 dcnv2 -.038 wukong -.032 deepfm -.026 autoint
-.033 rankmixer -.031 adrec -.027 of .364 (per-item rate).

The first 2 % of Online Retail in time (`retail-first-2`): decoder, hstu and fuxi end .13, .10 and
.10 below a uniform guess, 1.0 above what the counts of all training rows would know.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from default_logs import RARE, logs
from defaults import CLICK, NEXT
from pydantic import TypeAdapter

from recscale.data.prepare import prepare
from recscale.data.store import Store
from recscale.families import AnyModelSpec
from recscale.planner.fixed import learning_rates
from recscale.run import RunConfig
from recscale.spec import DataSpec, LearningRate, TrainSpec
from recscale.train.host import PlainHost
from recscale.train.loop import _Training


def default_run(store: Store, family: str, fraction: float, seed: int) -> RunConfig:
    """What `recscale plan` makes of a sweep that names the family and nothing else."""
    manifest = store.manifest
    spec = TypeAdapter(AnyModelSpec).validate_python({"family": family})
    model = spec.resolve({k: v[0] for k, v in spec.axes().items()}, manifest)
    rates = learning_rates(LearningRate(), model, model.usual_rates(manifest, fraction))
    batch = TrainSpec(data_fraction=(fraction,)).usual_batch(manifest.n_train, 1)
    train = dict(
        data_fraction=fraction, batch_size=batch, epochs=1, dense_rate=rates.dense,
        sparse_rate=rates.sparse, rate_factor=1.0, warmup=0.05, eval_points=1, diverge_above=10.0,
        seed=seed,
    )  # fmt: skip
    return RunConfig.model_validate(dict(data=manifest.fingerprint, model=model, train=train))


def truth(log: str, store: Store, work: Path) -> float | None:
    """Evaluation loss of the true probabilities, nats a row."""
    if store.manifest.floor:
        return store.manifest.floor.log_loss
    if log not in RARE:
        return None
    n = store.manifest.n_eval
    drawn = pd.read_parquet(work / f"{log}.parquet", columns=["p", "click"])[-n:]
    p, click = drawn["p"].to_numpy(), drawn["click"].to_numpy()
    return float(-np.mean(np.where(click, np.log(p), np.log1p(-p))))


def main() -> None:
    parse = argparse.ArgumentParser()
    parse.add_argument("retail")
    parse.add_argument("bandit", type=Path)
    for name in ("logs", "families"):
        parse.add_argument(f"--{name}")
    parse.add_argument("--seeds", type=int, default=1)
    parse.add_argument("--work", type=Path, default=None)
    asked = parse.parse_args()
    work = asked.work or Path(tempfile.mkdtemp())
    work.mkdir(exist_ok=True)
    named = asked.logs.split(",") if asked.logs else []
    for log, (data, fraction) in logs(asked.retail, asked.bandit, work, named).items():
        store = Store.open(prepare(TypeAdapter(DataSpec).validate_python(data), work / "stores"))
        manifest = store.manifest
        best = min(manifest.baselines.values())
        own = CLICK if manifest.task == "click" else NEXT
        told = [f"{name} {loss:.4f}" for name, loss in manifest.baselines.items()]
        if manifest.task == "click":
            clicks = (manifest.label_rate_train or 0) * fraction * manifest.n_train
            told.append(f"{clicks:,.0f} clicks")
        if (true := truth(log, store, work)) is not None:
            told.append(f"truth {true - best:+.4f}")
        print(f"| {log} | {', '.join(told)} |", end="", flush=True)
        began = time.monotonic()
        for family in (f for f in own if not asked.families or f in asked.families.split(",")):
            found = []
            for seed in range(asked.seeds):
                run = default_run(store, family, fraction, seed)
                outcome = _Training(run, store, PlainHost()).run()
                found.append(outcome.curve[-1].eval_loss if outcome.curve else float("nan"))
            loss = float(np.mean(found)) - best
            print(f" {family} {loss:+.4f}{'' if loss < 0 else '*'} |", end="", flush=True)
        print(f" {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
