"""The search replayed on public tables of runs, beside what else the same budget buys.

    python tests/benchmarks/replay_tables.py [--budgets 2%,5%,10%,20%] [--only epoch]

For each table the most expensive 8 % by compute 6 N D are predicted, from rows just below them
(adjacent) or at least ten times cheaper (10x away); a row's cost is its compute. The share needed
is the least budget at which a way of buying predicts at least as well as the plain law fitted to
every row that could be bought (1 where none of the budgets does). Tables: folder in
RECSCALE_TABLES.
"""

import argparse

import numpy as np
import pandas as pd
from laws_extrapolate import tables

from recscale.laws import LawError
from recscale.planner import replay

WAYS = ("grid", "random", "cheapest_first", "v_optimal")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--budgets", default="2%,5%,10%,20%")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    budgets = [float(b.rstrip("%")) / 100 for b in args.budgets.split(",")]
    rows = []
    for name, frame in tables():
        if args.only not in name:
            continue
        frame = frame.filter(["N", "D", "loss"]).dropna().reset_index(drop=True)
        frame["C"] = 6.0 * frame["N"] * frame["D"]
        expensive = frame["C"] >= np.quantile(frame["C"].to_numpy(), 0.92)
        for away in (1, 10):
            cheap = frame["C"] < frame.loc[expensive, "C"].min() / away
            if cheap.sum() < 16:
                continue
            table = frame[expensive | cheap].assign(target=expensive)
            rows += _row(name, away, table, budgets)
            print(".", end="", flush=True)
    table = pd.DataFrame(rows)
    print("\n" + table.round(4).to_string())
    for away, part in table.groupby("away"):
        n = part["table"].nunique()
        needed = {way: _needed(part, way) for way in ("error", *WAYS)}
        print(f"\n{away}x away, {n} tables. Median share needed:")
        for way, share in needed.items():
            name = "search" if way == "error" else way
            more = np.mean(needed["error"] > share)
            print(f"  {name}: {np.median(share):.3g}; the search needs more on {more:.0%}")
        for budget, full in part.groupby("budget"):
            print(f"at a budget of {budget:.0%}, error of the search over that of")
            for way in (*WAYS, "whole", "whole_gp"):
                ratio = np.exp(np.log(full["error"] / full[way]).mean())
                worse = np.mean(full["error"] > full[way])
                print(f"  {way}: {ratio:.2f} (geometric); worse on {worse:.0%}")


def _needed(part: pd.DataFrame, way: str) -> np.ndarray:
    """The least budget of each table at which `way` matches the plain law of every row."""
    reached = part["budget"].where(part[way] <= part["whole"], 1.0)
    return np.asarray(reached.groupby(part["table"]).min())


def _row(name: str, away: int, table: pd.DataFrame, budgets: list[float]):
    for budget in budgets:
        try:
            f = replay(table, ["N", "D"], "C", budget=budget, target="target")
        except LawError:  # so little does not hold the start
            continue
        yield {
            "table": name, "away": away, "budget": budget, "rows": f["rows"],
            "bought": len(f["bought"]), "error": f["error"], "whole": f["whole_table"]["error"],
            "whole_gp": f["whole_table_with_discrepancy"]["error"],
            **{way: f["baselines"][way]["error"] for way in WAYS},
        }  # fmt: skip


if __name__ == "__main__":
    main()
