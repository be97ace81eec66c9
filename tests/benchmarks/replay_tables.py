"""The search replayed on published tables of runs, beside what else the same budget buys.

    python tests/benchmarks/replay_tables.py [--budgets 5%,10%,20%] [--only epoch]

For each table of `suites.py` the most expensive 8 % of the rows are predicted, from rows just below
them (adjacent) or at least ten times cheaper (10x away). A row's cost is its compute: 6 N D, of
mixtures of experts the active parameters' part, of tables of one data size N. Errors are mean
absolute relative ones at those rows, predicted by one model whatever was bought; that of random
rows is the median of nine draws. Printed by half of the suites: choices were made on the first.
Tables: folder in RECSCALE_TABLES.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd
from suites import tables

from recscale.laws import LawError
from recscale.planner import replay

WAYS = ("random", "grid", "cheapest_first", "v_optimal")
CHOSEN_ON = ("epoch", "gadre", "sparsity", "rates")
FEWEST = 16  # rows to buy
SHOWN = ("table", "suite", "away", "budget", "rows", "error", *WAYS, "whole_table")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--budgets", default="5%,10%,20%")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    budgets = [float(b.rstrip("%")) / 100 for b in args.budgets.split(",")]
    rows = []
    for suite, name, frame in tables():
        if args.only not in suite:
            continue
        for table, away in _targets(frame):
            rows += [r for b in budgets if (r := _row(suite, name, away, table, b))]
            print(".", end="", flush=True)
    found = pd.DataFrame(rows, columns=pd.Index(SHOWN))
    print("\n" + found.round(4).to_string())
    chosen = found["suite"].isin(CHOSEN_ON)
    for what, part in (("chosen on", found[chosen]), ("judged", found[~chosen])):
        if len(part):
            print(f"\n{what}: {len(part)} replays; error of the search over that of")
        for way in (*WAYS, "whole_table") if len(part) else ():
            ratio = part["error"] / part[way]
            each = ratio.groupby(part["suite"]).median().round(2).to_dict()
            print(
                f"  {way}: {ratio.median():.2f} (median), {np.exp(np.log(ratio).mean()):.2f} "
                f"(geometric), worse in {(ratio > 1).mean():.0%}; by suite {each}"
            )


def _targets(frame: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, int]]:
    """The table with a column `target`, and how many times cheaper the rows to buy are at least."""
    frame = frame.dropna().drop_duplicates().reset_index(drop=True).astype(float)
    size = "N_active" if "N_active" in frame else "N"
    data = next((d for d in ("D", "D2") if d in frame), None)
    frame["cost"] = 6 * frame[size] * (frame[data] if data else 1.0)
    expensive = frame["cost"] >= np.quantile(frame["cost"].to_numpy(), 0.92)
    for away in (1, 10):
        cheap = frame["cost"] < frame.loc[expensive, "cost"].min() / away
        if cheap.sum() >= FEWEST:
            yield frame[expensive | cheap].assign(target=expensive.astype(float)), away


def _row(suite: str, name: str, away: int, table: pd.DataFrame, budget: float):
    variables = [c for c in table if c not in ("loss", "cost", "target")]
    try:
        f = replay(table, variables, "cost", budget=budget, target="target == 1")
    except LawError as error:  # such as a budget that does not hold the start
        print(f"\n{suite}, {name}, {away}x away, {budget:.0%}: {error}")
        return None
    others = {k: v["error"] for k, v in f["baselines"].items()}
    facts = {"suite": suite, "table": name[:40], "away": away, "budget": budget, "rows": f["rows"]}
    return facts | {"error": f["error"]} | others | {"whole_table": f["whole_table"]["error"]}


if __name__ == "__main__":
    main()
