"""Coverage of prediction intervals where the truth is known, by kind of world and number of runs.

    python tests/benchmarks/laws_planted.py [--seeds 20] [--runs 16 24 40 100]
        [--exponents 0.2 0.5] [--floors 0.5 2.5]      # as recommenders' are: 0.05 0.3 and 0.1 0.6

Worlds, drawn anew for every seed (exponents and floor between those given, noise .2 to 1 %):
true: the additive law itself. bend: with waves of .1 to 1.3 % along N, D and N/D that no formula
has. form: shortages that add up by another power, gamma .6 to 1.4. early: cheap runs off by up to
20 %, less with every decade of compute, as badly tuned small runs are. The law is fitted to runs
drawn from the cheaper half by compute; twelve runs of the more expensive half are predicted, half a
decade to three beyond. `half` is the share of worlds in which under half of the twelve lie inside.
"""

import argparse
from typing import cast

import numpy as np
import pandas as pd

from recscale.laws import Status, fit

KINDS = ("true", "bend", "form", "early")
LEVEL = 0.9
TESTS = 12


def world(kind: str, n: int, seed: int, exponents: list[float], floors: list[float]):
    """n runs to fit and TESTS more expensive ones to predict, two frames."""
    rng = np.random.default_rng([seed, n, KINDS.index(kind)])
    N, D = 10 ** rng.uniform(6, 8.5, 4 * n), 10 ** rng.uniform(7, 9.5, 4 * n)
    (alpha, beta), E = rng.uniform(*exponents, size=2), rng.uniform(*floors, size=1)[0]
    a, b = rng.uniform(0.3, 1.5, 2)
    g = rng.uniform(0.6, 1.4) if kind == "form" else 1.0
    terms = (a * (N / 1e6) ** -alpha) ** (1 / g) + (b * (D / 1e7) ** -beta) ** (1 / g)
    loss = E + terms**g
    if kind == "bend":
        phase = rng.uniform(0, 2 * np.pi, 3)
        waves = np.sin(1.5 * np.log10(N) + phase[0]) + np.sin(1.5 * np.log10(D) + phase[1])
        waves += np.sin(2 * np.log10(N / D) + phase[2])
        loss *= np.exp(10 ** rng.uniform(-3, -1.9) * waves)
    if kind == "early":
        size = 10 ** rng.uniform(-2.3, -0.7) * rng.choice([-1, 1])
        loss *= np.exp(size * np.exp(-(np.log10(N * D) - 13) / 0.8))
    loss *= np.exp(rng.choice([0.002, 0.005, 0.01]) * rng.standard_normal(4 * n))
    runs = pd.DataFrame({"N": N, "D": D, "loss": loss}).iloc[np.argsort(N * D)]
    cheap = runs.iloc[np.sort(rng.choice(2 * n, n, replace=False))]
    return cheap, runs.iloc[rng.choice(np.arange(2 * n, 4 * n), TESTS, replace=False)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--runs", type=int, nargs="+", default=[16, 24, 40, 100])
    parser.add_argument("--exponents", type=float, nargs=2, default=[0.2, 0.5])
    parser.add_argument("--floors", type=float, nargs=2, default=[0.5, 2.5])
    args = parser.parse_args()
    rows = []
    for kind in KINDS:
        for n in args.runs:
            for seed in range(args.seeds):
                cheap, expensive = world(kind, n, seed, args.exponents, args.floors)
                law = fit(cheap, "additive", ["N", "D"])
                if law.status is Status.UNDERDETERMINED:
                    continue
                answer = law.predict(expensive, LEVEL)
                loss = expensive["loss"]
                inside = (answer["low"] <= loss) & (loss <= answer["high"])
                error = np.abs(np.log(answer["mean"] / loss)).mean()
                width = np.log(answer["high"] / answer["low"]).mean()
                plain = np.abs(np.log(law.value(expensive) / expensive["loss"])).mean()
                rows.append((kind, n, inside.mean(), width, error, plain))
    columns = pd.Index(["world", "runs", "coverage", "width", "error", "formula's error"])
    table = pd.DataFrame(rows, columns=columns)
    table["half"] = table["coverage"] < 0.5
    print(f"nominal coverage {LEVEL}, {args.seeds} worlds of each kind and size")
    for by in (["world", "runs"], ["runs"]):
        means = cast(pd.DataFrame, table.groupby(by).mean(numeric_only=True))
        print(means.round(4).to_string())
    print(f"all: coverage {table['coverage'].mean():.3f}, error {table['error'].mean():.4f}, "
          f"of the formula alone {table[columns[-1]].mean():.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
