"""Live: at an equal FLOP budget, whose runs predict a run 30 times larger best?

    python tests/benchmarks/search_live.py [--seeds 20,21,22,23,24,25] [--share .25] [--storage DIR]

On synthetic worlds the search, the largest grid that fits (three values or more of each axis) and
Tune's own random search (tune.choice over the same axes) each have the same share of the whole
grid's FLOPs, with real training through Ray. The law fitted to each one's runs then predicts a run
that is more expensive than any of them could be, which is trained afterwards. The same command goes
on where it was stopped.
"""

import argparse
import itertools
import os
import tempfile
from typing import Any

import numpy as np
import pandas as pd
import ray
from ray import tune
from ray.tune.search.basic_variant import BasicVariantGenerator

from recscale.engine.job import Job
from recscale.engine.ready import Sweep, ready
from recscale.engine.sweep import run
from recscale.engine.worker import run_job
from recscale.frame import records_frame
from recscale.laws import LawError, fit
from recscale.ledger import Ledger
from recscale.manifest import load_manifest
from recscale.planner import planned_runs
from recscale.planner.candidates import values
from recscale.specfile import parse_spec

AXES: dict[str, list[float]] = {
    "embedding_dim": [4, 8, 16],
    "mlp_width": [8, 16, 32],
    "data_fraction": [0.005, 0.01, 0.02, 0.04, 0.08],
}
LARGE: dict[str, list[float]] = {"embedding_dim": [16], "mlp_width": [64], "data_fraction": [1.0]}
SWEEP = """
name: {name}
data: {{source: synthetic, rows: 2880000, users: 2000, items: 1000, seed: {seed}}}
model: {{family: dlrm, embedding_dim: {embedding_dim}, mlp_width: {mlp_width}, sequence_length: 6}}
train:
  data_fraction: {data_fraction}
  batch_size: 128
  learning_rate: {{dense: 3e-3, sparse: 0.2}}
search: {search}
budget: {{flop: {flop:.17g}}}
storage: {storage}
"""


def sweep(name: str, seed: int, storage: str, axes, flop: float, search: str) -> Sweep:
    text = SWEEP.format(name=name, seed=seed, storage=storage, flop=flop, search=search, **axes)
    return ready(parse_spec(text))


def thinned(cost, flop: float) -> dict[str, list[float]]:
    """The sub-grid with the most runs, then the most FLOPs, that fits: three values or more of
    each axis, as an exponent needs."""
    several = [
        [list(c) for n in range(3, len(v) + 1) for c in itertools.combinations(v, n)]
        for v in AXES.values()
    ]
    grids = [dict(zip(AXES, picks, strict=True)) for picks in itertools.product(*several)]
    fitting = [(int(np.prod([len(v) for v in g.values()])), cost(g), g) for g in grids]
    fitting = [f for f in fitting if f[1] <= flop]
    if not fitting:
        raise SystemExit("--share is too small for any grid")
    return max(fitting, key=lambda f: f[:2])[2]


def random_search(full: Sweep, seed: int, flop: float) -> None:
    """Tune draws configurations and trains those that the budget still holds."""
    data = load_manifest(full.store)
    plan = {}
    for p in planned_runs(full.spec, data):
        m, t = p.config.model.model_dump(), p.config.train
        plan[m["embedding_dim"], m["mlp_width"], t.data_fraction] = p
    run_dir, store = full.run_dir, full.store
    resources = full.spec.resources.model_dump(mode="json")

    def trial(config: dict[str, Any]) -> None:
        p = plan[tuple(config[k] for k in AXES)]
        done = Ledger(run_dir).attempts()
        if sum(r.spent.train_flop for r in done) + p.cost.train_flop <= flop:
            job = Job(
                p.config.model_dump(mode="json"), p.run_id, "random", run_dir, store, resources
            )
            run_job(job, 0, 1, tune.report, lambda: None)

    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=40)
    tune.Tuner(
        trial,
        param_space={k: tune.choice(v) for k, v in AXES.items()},
        tune_config=tune.TuneConfig(
            # one at a time, so that no two runs share what is left of the budget
            search_alg=BasicVariantGenerator(random_state=seed, max_concurrent=1),
            num_samples=2 * len(plan),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(storage_path=f"{run_dir}/tune", verbose=0),
    ).fit()
    ray.shutdown()


def predicted(run_dir: str, spec, at: dict[str, float]) -> tuple[float, float, float, int, float]:
    """Mean, low, high of the loss at a point, the runs behind it, and their FLOPs."""
    records = Ledger(run_dir).records()
    frame = records_frame(records)
    frame = frame.loc[frame["enters_law"].astype(bool)]
    spent = sum(r.spent.train_flop for r in records)
    try:
        law = fit(frame, "additive", spec.law_variables, spec.law_loss, cost="train_flop")
        row = law.predict({v: at[v] for v in law.variables}).iloc[0]
    except LawError as error:
        print(f"{run_dir}: {error}")
        return np.nan, np.nan, np.nan, len(frame), spent
    return float(row["mean"]), float(row["low"]), float(row["high"]), len(frame), spent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", default="20,21,22,23,24,25")
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--storage", default=f"{tempfile.gettempdir()}/recscale-search-live")
    args = parser.parse_args()
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    rows = []
    for seed in map(int, args.seeds.split(",")):
        storage = f"{args.storage}/{seed}"
        large = sweep("large", seed, storage, LARGE, 1e18, "{strategy: grid}")
        full = sweep("random", seed, storage, AXES, 1e18, "{strategy: grid}")
        target = large.planned[0]
        costs = [p.cost.train_flop for p in full.planned]
        flop = args.share * sum(costs)

        def cost(axes, seed=seed, storage=storage) -> float:
            grid = sweep("grid", seed, storage, axes, 1e18, "{strategy: grid}")
            return sum(p.cost.train_flop for p in grid.planned)

        asked = f"{{strategy: frontier, target: {{flop: {target.cost.train_flop:.17g}}}}}"
        hunt = sweep("search", seed, storage, AXES, flop, asked)
        grid = sweep("grid", seed, storage, thinned(cost, flop), flop, "{strategy: grid}")
        for each in (hunt, grid):
            run(each, lambda study: None)
        if not Ledger(full.run_dir).records():
            random_search(full, seed, flop)
        run(large, lambda study: None)
        (truth,) = Ledger(large.run_dir).records()
        assert truth.final is not None
        actual = truth.final.columns()[large.spec.law_loss]
        assert actual is not None
        at = values(target.config.model, target.config.train, target.cost)
        for way, one in (("search", hunt), ("grid", grid), ("random", full)):
            mean, low, high, n, spent = predicted(one.run_dir, one.spec, at)
            rows.append(
                {"seed": seed, "way": way, "runs": n, "FLOP share": spent / sum(costs),
                 "times larger": target.cost.train_flop / max(costs), "measured": actual,
                 "predicted": mean, "low": low, "high": high,
                 "error %": 100 * abs(mean / actual - 1)}
            )  # fmt: skip
    table = pd.DataFrame(rows)
    print(table.round(4).to_string(index=False))
    errors = table.groupby("way")["error %"]
    print(errors.agg(["count", "mean", "median", "max"]).round(3).to_string())


if __name__ == "__main__":
    main()
