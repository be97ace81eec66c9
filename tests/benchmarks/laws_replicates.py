"""Does each bootstrap replicate reach its lowest minimum, and what do those that do not cost?

    OMP_NUM_THREADS=1 python tests/benchmarks/laws_replicates.py [--replicates 400] [--only srt]

Every published table of more than 60 runs (RECSCALE_TABLES), beside a wider search that follows
`AROUND` starts about each replicate's end down from a threshold of 0.1. Where noise is far above
delta the objective has many small valleys. "short": replicates that end more than a thousandth
above the best found. "width": of the narrowest 95 % interval of E and the exponents, as a share of
the width that the best found give; below 1 the interval reported is too narrow. The wider search
is a floor, not the truth: it too can end above the minimum.
"""

import argparse
import time

import numpy as np
from laws_optimum import DELTA, cases

from recscale.laws.choice import build
from recscale.laws.intervals import SMALL
from recscale.laws.points import check
from recscale.laws.polish import objective, polish
from recscale.laws.search import optimum, replicates

AROUND = 10


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    r = args.replicates
    for name, frame, variables, loss, forms in cases():
        points = check(frame, variables, loss)
        if args.only not in name or points.runs <= SMALL:
            continue
        logy = np.log(points.y)
        for form_name in forms:
            form, rng = build(form_name, points), np.random.default_rng(0)
            known = optimum(form, points.logx, points.y, points.weights, DELTA).minima
            counts = rng.multinomial(points.runs, np.full(points.runs, 1 / points.runs), size=r)
            weights = counts[:, points.cluster] * points.weights
            started = time.process_time()
            ours = replicates(form, points.logx, logy, weights, DELTA, known)
            spent = time.process_time() - started
            value = objective(form, ours, points.logx, logy, weights, DELTA)

            around = np.exp(0.3 * rng.standard_normal((r, AROUND, ours.shape[1])))
            wide = (ours[:, None] * around).reshape(r * AROUND, -1)
            low, each = value, np.repeat(weights, AROUND, 0)
            for delta in (1e-1, 1e-2, DELTA):
                wide, low = polish(form, wide, points.logx, logy, each, delta)
            low = low.reshape(r, AROUND)
            at = np.arange(r), low.argmin(1)
            lower = low[at] < value
            best = np.where(lower[:, None], wide.reshape(r, AROUND, -1)[at], ours)

            widths = [np.ptp(np.quantile(form.coefficients(t), [0.025, 0.975], axis=0), axis=0)
                      for t in (ours, best)]  # fmt: skip
            share = {
                c: w / b
                for c, w, b in zip(form.names, *widths, strict=True)
                if not c.startswith(("A_", "fall_")) and b > 0
            }
            narrow = min(share, key=lambda c, share=share: share[c])
            short = (value > np.minimum(low[at], value) * 1.001).mean()
            print(
                f"{name[:60]:<60} {form_name:<10} short {short:.3f}  width {share[narrow]:.2f} "
                f"({narrow})  {1e3 * spent / r:.1f} ms a replicate",
                flush=True,
            )


if __name__ == "__main__":
    main()
