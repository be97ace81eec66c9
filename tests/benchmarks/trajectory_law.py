"""A law from points of trainings, and from separate decayed runs: its error at what it costs.

    python tests/benchmarks/trajectory_law.py [--worlds click:30,...] [--shares .25,.0625]
        [--schedules anytime,decayed] [--folder DIR]

Worlds, grids and the large run: `trajectory_worlds.py`; they are trained when they are not there
(minutes each). With a share of what the grid costs as separate runs, the search buys points of the
grid, by the planner's own choice; all points on the way of a training are bought with its end, and
going on costs the difference. The law of what was bought (additive for clicks, bounded for next
items), points of one training clustered, then
predicts the large run of the same schedule. `unclustered` is the same
law without that. Choices were made on worlds of seeds 40 and above,
results are of 30 to 35; the bounded law's prior was chosen on 30, 31 and 40 of next items, and
32 to 35 judge it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from trajectory_worlds import SCHEDULES, spec_of, world

from recscale.laws import fit
from recscale.planner.choose import START, WIDER, Seen, choose, start_size
from recscale.planner.value import Goal, spread

WORLDS = ",".join(f"{task}:{seed}" for task in ("click", "next") for seed in range(30, 36))
FORMS = {"click": "additive", "next": "bounded"}


def buy(form: str, logx, logy, cost, codes, target, total: float) -> tuple[list[int], float]:
    """Rows bought for `total`, and what they cost."""
    n, p = logx.shape
    bought: list[int] = []

    def way(at: int) -> list[int]:
        same = np.flatnonzero((codes == codes[at]) & (cost <= cost[at])) if codes[at] >= 0 else [at]
        return [int(i) for i in same if i not in bought]

    def rests() -> np.ndarray:
        out = np.zeros(n)
        for i in bought:
            if codes[i] >= 0:
                out[codes == codes[i]] = np.maximum(out[codes == codes[i]], cost[i])
        return out

    spent = 0.0
    start: list[int] = []
    for share in (START, *WIDER):
        start = spread(logx, cost, start_size(p), share * total, codes)
        if len(start) == start_size(p):
            break
    for i in start:
        if i not in bought:
            spent += cost[i] - rests()[i]
            bought += way(i)
    while True:
        price = cost - rests()
        rest = np.setdiff1d(np.arange(n), bought)
        if not len(rest) or price[rest].min() > total - spent:
            return bought, spent
        none = np.empty((0, p))
        seen = Seen(
            logx[bought], logy[bought], cost[bought], none, np.empty(0), logx[rest], cost[rest],
            np.maximum(price[rest] / total, 1 / 2000), price[rest] <= total - spent,
            np.ones(len(rest)), codes[bought], np.empty(0, int), codes[rest],
        )  # fmt: skip
        goal = lambda _: Goal.losses(target)  # noqa: E731
        choice = choose(form, tuple("abcd"[:p]), seen, goal, 1.0, worth=0.0)
        assert choice.index is not None
        at = int(rest[choice.index])
        spent += price[at]
        bought += way(at)


def judged(task: str, seed: int, schedule: str, share: float, folder: Path) -> list[dict]:
    table = world(task, seed, schedule, folder)
    spec = spec_of(task, seed, schedule, False).on(10**9)
    variables = list(spec.law_variables)
    runs, large = table[~table["large"]], table[table["large"]].iloc[0]
    logx = np.log(runs[variables].to_numpy())
    cost = runs["flop"].to_numpy()
    codes = pd.factorize(runs["trajectory"])[0]
    if schedule == "decayed":
        codes = np.full(len(runs), -1)
    at = np.log(large[variables].to_numpy(dtype=float))[None]
    bought, spent = buy(
        FORMS[task], logx, np.log(runs["loss"].to_numpy()), cost, codes, at, share * cost.sum()
    )
    rows = []
    for cluster in ("trajectory", None) if schedule == "anytime" else (None,):
        law = fit(runs.iloc[bought], FORMS[task], variables, "loss", cluster=cluster, cost="flop")
        told = dict.fromkeys(("mean", "low", "high"), np.nan)
        if law.status.determined:
            told = law.predict({v: large[v] for v in variables}).iloc[0]
        rows.append(
            {
                "world": f"{task}:{seed}",
                "way": schedule if cluster or schedule == "decayed" else "unclustered",
                "share": share,
                "points": len(bought),
                "trainings": runs.iloc[bought]["trajectory"].nunique(),
                "FLOP share": spent / cost.sum(),
                "times larger": large["flop"] / cost.max(),
                "measured": large["loss"],
                "predicted": told["mean"],
                "low": told["low"],
                "high": told["high"],
                "error %": 100 * (told["mean"] / large["loss"] - 1),
                "held": bool(told["low"] <= large["loss"] <= told["high"]),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--worlds", default=WORLDS)
    parser.add_argument("--shares", default=".25,.0625")
    parser.add_argument("--schedules", default=",".join(SCHEDULES))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "trajectories")
    args = parser.parse_args()
    rows = []
    for each in args.worlds.split(","):
        task, seed = each.split(":")
        for schedule in args.schedules.split(","):
            for share in map(float, args.shares.split(",")):
                rows += judged(task, int(seed), schedule, share, args.folder)
    table = pd.DataFrame(rows)
    print(table.round(4).to_string(index=False))
    table["width %"] = 100 * (table["high"] / table["low"] - 1)
    table["error %"] = table["error %"].abs()
    table["task"] = table["world"].str.partition(":")[0]
    means = ["error %", "width %", "held", "points", "trainings"]
    by = table.pivot_table(values=means, index=["task", "way", "share"])[means]
    print(by.round(3).to_string())


if __name__ == "__main__":
    main()
