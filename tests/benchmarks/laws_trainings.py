"""Coverage of intervals where runs are points of trainings and the truth is known.

    python tests/benchmarks/laws_trainings.py [--seeds 12]

Planted additive laws (exponents .2 to .5, a floor of .5 to 2.5); each training is seen at several
amounts of data and carries noise of its own, alike by 1/e a decade on, beside that of each point.
Fitted with the points of a training clustered and as if each were a run of its own: how often the
95 % intervals of constants, and the 90 % intervals of new runs half a decade to three beyond, hold
the truth.
"""

import argparse

import numpy as np
import pandas as pd

from recscale.laws import fit

SIZES = ((5, 5), (8, 5), (16, 5), (24, 8))  # trainings, points of each
NOISES = ((0.004, 0.001), (0.002, 0.002), (0.0, 0.003))  # of a training, of a point
NEW = 8


def world(seed: int, many: int, points: int, common: float, own: float):
    """Runs to fit, runs to predict, and the constants."""
    rng = np.random.default_rng([seed, many, points])
    size = np.repeat(rng.uniform(6, 8.5, many), points)
    data = np.tile(np.linspace(7, 9, points), many)
    (alpha, beta), floor = rng.uniform(0.2, 0.5, 2), rng.uniform(0.5, 2.5)
    a, b = rng.uniform(0.3, 1.5, 2)
    apart = np.exp(-np.abs(data[:points, None] - data[:points]))
    shift = (np.linalg.cholesky(apart) @ rng.standard_normal((points, many))).T.ravel()

    def loss(n, d):
        return floor + a * 10 ** (-alpha * (n - 6)) + b * 10 ** (-beta * (d - 7))

    noise = common * shift + own * rng.standard_normal(len(size))
    runs = pd.DataFrame(
        {"N": 10**size, "D": 10**data, "loss": loss(size, data) * np.exp(noise)}
    ).assign(run=np.repeat(np.arange(many), points))
    n, d = rng.uniform(8, 9.5, NEW), rng.uniform(9, 10.5, NEW)
    noise = np.hypot(common, own) * rng.standard_normal(NEW)
    new = pd.DataFrame({"N": 10**n, "D": 10**d, "loss": loss(n, d) * np.exp(noise)})
    return runs, new, {"E": floor, "alpha_N": alpha, "alpha_D": beta}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=12)
    seeds = parser.parse_args().seeds
    rows = []
    for many, points in SIZES:
        for common, own in NOISES:
            for cluster in ("run", None):
                held: dict[str, list[float]] = {"E": [], "alpha_N": [], "alpha_D": [], "new": []}
                for seed in range(seeds):
                    runs, new, truth = world(seed, many, points, common, own)
                    law = fit(runs, "additive", ["N", "D"], cluster=cluster)
                    if not law.status.determined:
                        continue
                    ends = law.intervals(0.95).set_index("coefficient")
                    for name, value in truth.items():
                        held[name].append(ends["low"][name] <= value <= ends["high"][name])
                    told, loss = law.predict(new), new["loss"]
                    inside = (told["low"] <= loss) & (loss <= told["high"])
                    held["new"].append(float(np.mean(inside.to_numpy())))
                means = {k: np.mean(v) for k, v in held.items()}
                kind = {"trainings": many, "points": points, "common": common, "own": own}
                rows.append({**kind, "clustered": cluster is not None, **means})
    table = pd.DataFrame(rows)
    print(table.round(3).to_string(index=False))
    means = ["E", "alpha_N", "alpha_D", "new"]
    by = table.pivot_table(values=means, index=["clustered", "common"])
    print(by.round(3).to_string())


if __name__ == "__main__":
    main()
