"""Coverage and width of 95 % coefficient intervals on planted laws, beside the usual bootstrap.

    python tests/benchmarks/laws_coverage.py [--runs 16 240] [--simulations 200]

The planted law is E + A/N^alpha + B/D^beta with the published constants of Hoffmann et al.'s data
(Besiroglu et al. 2024) and 0.5 % noise, on a grid of sizes and samples with jitter. "usual": Huber
fit and percentiles of a pairs bootstrap.
"""

import argparse
import time

import numpy as np
import pandas as pd

from recscale.laws import Status, fit
from recscale.laws.replicates import replicates

# Median widths of 95 % intervals of alpha_N that other methods reached on a planted law like this
# one with 16 runs, each beside the others; above 60 runs every method covers.
KNOWN = {16: {"Huber pairs bootstrap": 0.307, "delta-t on log least squares": 0.150}}
TRUTH = {"E": 1.82, "A_N": 482.0, "A_D": 2085.0, "alpha_N": 0.348, "alpha_D": 0.366}


def planted(n: int, seed: int, noise: float) -> pd.DataFrame:
    """n runs over 2.2 decades of N and 2.6 of D, as in the published table."""
    rng = np.random.default_rng(seed)
    side = int(np.sqrt(n))
    if side * side == n:
        u, v = (g.ravel() for g in np.meshgrid(*[np.linspace(0, 1, side)] * 2))
    else:
        u, v = rng.uniform(size=(2, n))
    N, D = 10 ** (7.8 + 2.2 * u), 10 ** (8.9 + 2.6 * v)
    loss = 1.82 + 482.0 / N**0.348 + 2085.0 / D**0.366
    return pd.DataFrame({"N": N, "D": D, "loss": loss * np.exp(noise * rng.standard_normal(n))})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, nargs="+", default=[16, 240])
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--noise", type=float, default=0.005)
    args = parser.parse_args()
    names = list(TRUTH)
    for n in args.runs:
        kept = {"recscale": [], "usual": []}
        started, undetermined, bound = time.process_time(), 0, 0
        for seed in range(args.simulations):
            law = fit(planted(n, seed, args.noise), "additive", ["N", "D"])
            if law.status is Status.UNDERDETERMINED:
                undetermined += 1
                continue
            bound += law.status is Status.BOUND_HIT
            table = law.intervals(0.95).set_index("coefficient").loc[names]
            kept["recscale"].append(table[["low", "high"]].to_numpy())
            if n <= 60:
                kept["usual"].append(usual(law, seed, names))
        print(
            f"{n} runs, {args.simulations} simulations, {undetermined} underdetermined, {bound} at "
            f"a bound, {time.process_time() - started:.0f} CPU s"
        )
        truth = np.array([TRUTH[c] for c in names])
        rows = []
        for method, ends in kept.items():
            if not ends:
                continue
            e = np.stack(ends)
            covered = ((e[:, :, 0] <= truth) & (truth <= e[:, :, 1])).mean(0)
            width = np.median(e[:, :, 1] - e[:, :, 0], axis=0)
            rows += [(method, c, cov, w) for c, cov, w in zip(names, covered, width, strict=True)]
        columns = pd.Index(["method", "coefficient", "coverage", "median width"])
        print(pd.DataFrame(rows, columns=columns).round(3).to_string(index=False))
        for method, width in KNOWN.get(n, {}).items():
            print(f"known width of alpha_N, {method}: {width}")


def usual(law, seed: int, names: list[str]) -> np.ndarray:
    """Percentile ends (k, 2) of 200 pairs-bootstrap Huber fits, whatever the number of runs."""
    p, rng = law.points, np.random.default_rng(seed)
    weights = rng.multinomial(p.n, np.full(p.n, 1 / p.n), size=200).astype(float)
    theta = replicates(law.model, p.logx, np.log(p.y), weights, law.delta, law.minima)
    draws = pd.DataFrame(law.model.coefficients(theta), columns=pd.Index(law.model.names))
    return np.quantile(draws[names].to_numpy(), [0.025, 0.975], axis=0).T


if __name__ == "__main__":
    main()
