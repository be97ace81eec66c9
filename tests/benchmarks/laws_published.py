"""The published intervals of Besiroglu et al. 2024, again, from the same 4,000 resamples.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python tests/benchmarks/laws_published.py [--recipe]

Their recipe, from the notebook of epoch-research/analyzing-chinchilla: the five largest losses left
out (240 of 245 points), pairs resampled by numpy's legacy generator with seed 42, log-Huber 1e-3
summed, one BFGS a replicate from the constants of Hoffmann et al. 2022, percentiles 2.5 and 97.5.
Here every replicate is searched globally. Beside each end stands its Monte-Carlo error: what other
4,000 resamples would move it by (sd). `--recipe` runs their search on the same resamples too
(minutes) and counts the replicates it leaves above the optimum. Tables: RECSCALE_TABLES.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from recscale.laws import fit
from recscale.laws.polish import objective
from recscale.laws.replicates import replicates

HERE = Path(__file__).resolve()
TABLES = Path(os.environ.get("RECSCALE_TABLES", HERE.parents[3] / "shared" / "tables"))
PUBLISHED = {
    "E": (1.769, 1.871), "A_N": (285.2, 743.6), "A_D": (1042.4, 5810.3),
    "alpha_N": (0.317, 0.373), "alpha_D": (0.331, 0.415),
}  # fmt: skip
HOFFMANN = np.array(
    [6.0073404, 6.0179186, 0.5267228, 0.33917084, 0.2849083]
)  # a, b, e, alpha, beta
TAILS = (0.025, 0.975)


def resamples(n: int, count: int = 4000) -> np.ndarray:
    """How often each of n points is drawn, (count, n): the published draws."""
    rng = np.random.RandomState(42)
    return np.stack(
        [np.bincount(rng.choice(n, size=n, replace=True), minlength=n) for _ in range(count)]
    ).astype(float)


def recipe(logx: np.ndarray, logy: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One BFGS a replicate from the constants of Hoffmann et al.: (r, 5)."""

    def value(t: np.ndarray, w: np.ndarray):
        terms = np.stack(
            [t[0] - t[3] * logx[:, 0], t[1] - t[4] * logx[:, 1], np.full(len(logy), t[2])]
        )
        top = terms.max(0)
        parts = np.exp(terms - top)
        share = parts / parts.sum(0)
        r = np.log(parts.sum(0)) + top - logy
        a = np.abs(r)
        psi = w * np.clip(r, -1e-3, 1e-3)
        slope = share @ psi
        gradient = np.r_[slope, -(share[0] * psi) @ logx[:, 0], -(share[1] * psi) @ logx[:, 1]]
        return float(w @ np.where(a <= 1e-3, a * a / 2, 1e-3 * (a - 5e-4))), gradient

    return np.stack([minimize(value, HOFFMANN, (w,), "BFGS", jac=True).x for w in weights])


def error_of(draws: np.ndarray, tail: float) -> float:
    """Monte-Carlo sd of a percentile of the draws, by resampling the draws."""
    rng = np.random.default_rng(0)
    again = rng.choice(draws, size=(400, len(draws)))
    return float(np.quantile(again, tail, axis=1).std())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipe", action="store_true")
    args = parser.parse_args()
    frame = pd.read_csv(TABLES / "epoch_chinchilla.csv").query("outlier5 == 0")
    law = fit(frame, "additive", ["N", "D"])
    p, logy = law.points, np.log(law.points.y)
    weights = resamples(p.n)
    started = time.process_time()
    theta = replicates(law.model, p.logx, logy, weights, law.delta, law.minima)
    print(f"{len(weights)} replicates: {time.process_time() - started:.2f} CPU s")
    draws = dict(zip(law.model.names, law.model.coefficients(theta).T, strict=True))
    other: dict[str, np.ndarray] = {}
    if args.recipe:
        started = time.process_time()
        t = recipe(p.logx, logy, weights)
        print(f"their search on the same: {time.process_time() - started:.0f} CPU s")
        a, b, e = np.exp(t[:, :3]).T
        other = dict(
            zip(("E", "A_N", "A_D", "alpha_N", "alpha_D"), (e, a, b, *t[:, 3:].T), strict=True)
        )
        centred = (
            a * np.exp(-t[:, 3] * p.logx[:, 0].mean()),
            b * np.exp(-t[:, 4] * p.logx[:, 1].mean()),
        )
        theirs = np.column_stack([e, *centred, t[:, 3:]])
        data = (p.logx, logy, weights, law.delta)
        ratio = objective(law.model, theirs, *data) / objective(law.model, theta, *data) - 1
        print(f"above the optimum by more than 1e-6: theirs {(ratio > 1e-6).sum()}, ours "
              f"{(ratio < -1e-6).sum()} of {len(ratio)}")  # fmt: skip
    print(f"{'coefficient':<12}{'end':>7}{'published':>11}{'here':>11}{'MC sd':>9}  theirs, again")
    for name, ends in PUBLISHED.items():
        for tail, end in zip(TAILS, ends, strict=True):
            own = np.quantile(draws[name], tail)
            again = f"{np.quantile(other[name], tail):.5g}" if other else ""
            error = error_of(draws[name], tail)
            print(f"{name:<12}{tail:>7}{end:>11.5g}{own:>11.5g}{error:>9.2g}  {again}")


if __name__ == "__main__":
    main()
