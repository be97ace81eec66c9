"""Is any fit stuck? Every published table, beside a brute-force search from random starts.

    python tests/benchmarks/laws_optimum.py [--starts 300] [--only porian]

Brute force: `--starts` random parameter rows, each followed down from a threshold of 0.1 to 0.001
with many more iterations, and Nelder-Mead from the neighbourhood of the fit. A fit is stuck if
either ends lower by more than one part in a million. Tables: folder in RECSCALE_TABLES.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from recscale.laws.choice import build
from recscale.laws.points import check
from recscale.laws.polish import objective, polish
from recscale.laws.search import optimum

HERE = Path(__file__).resolve()
TABLES = Path(os.environ.get("RECSCALE_TABLES", HERE.parents[3] / "shared" / "tables"))
DELTA = 1e-3


def cases():
    """name, frame, variables, loss, forms."""
    d = pd.read_csv(TABLES / "epoch_chinchilla.csv")
    two = ["additive", "gamma", "kaplan"]
    yield "epoch, 240 points", d.query("outlier5 == 0"), ["N", "D"], "loss", two
    yield "epoch, all", d, ["N", "D"], "loss", two
    d = pd.read_csv(TABLES / "srt_recsys_runs.csv")
    size = "model_non_emb_params"
    for name in d["dataset"].unique():
        g = d.query("dataset == @name")
        for loss in ("valid_eval_loss", "valid_eval_loss_best"):
            yield f"srt {name} {loss}", g, [size], loss, ["power"]
        yield f"srt {name} ndcg", g, [size], "valid_ndcg_at_5_best", ["saturating", "peaked"]
    yield "srt best", d, [size, "n_inters"], "valid_eval_loss_best", two
    axes = ["hidden_size", "n_layers", "n_inters"]
    yield "srt best, three axes", d, axes, "valid_eval_loss_best", ["additive"]
    yield "srt ndcg, three axes", d, axes, "valid_ndcg_at_5_best", ["saturating", "peaked"]
    d = pd.read_csv(TABLES / "datablations.csv")
    yield "datablations", d, ["N", "D"], "loss", two
    yield "datablations, one epoch", d.query("epochs <= 1.01"), ["N", "D"], "loss", two
    three = ["N", "D", "unique_tokens"]
    yield "datablations, unique", d, three, "loss", ["additive", "repeated"]
    d = pd.read_csv(TABLES / "porian_isoflops.csv")
    keys = ["file", "dataset", "hparams", "warmup", "decay", "param_count", "val"]
    d["setup"] = d[keys].astype(str).agg(" ".join, axis=1)
    for setup in d["setup"].unique():
        yield f"porian {setup}", d.query("setup == @setup"), ["N", "D"], "loss", two


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--starts", type=int, default=300)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    rng, fits, stuck = np.random.default_rng(0), 0, []
    for name, frame, variables, loss, forms in cases():
        if args.only not in name:
            continue
        points = check(frame, variables, loss)
        logy = np.log(points.y)
        for form_name in forms:
            form = build(form_name, points)
            data = (points.logx, logy, points.weights, DELTA)
            started = time.process_time()
            ours = optimum(form, points.logx, points.y, points.weights, DELTA)
            spent = time.process_time() - started
            mean, sd = form.prior(points.y)
            shape = (args.starts, len(mean))
            theta = np.exp(mean + 2 * np.minimum(sd, 1.0) * rng.standard_normal(shape))
            value = np.full(args.starts, np.inf)
            for delta in (1e-1, 1e-2, DELTA):
                theta, value = polish(form, theta, *data[:3], delta, iterations=400)

            def at(x: np.ndarray, form=form, data=data) -> float:
                return float(objective(form, np.clip(x, form.lower, form.upper)[None], *data)[0])

            near = ours.theta * (1 + 1e-3 * rng.standard_normal(len(mean)))
            simplex = minimize(at, near, method="Nelder-Mead", options={"maxiter": 2000}).fun
            lower = min(float(value.min()), simplex) / ours.objective - 1
            fits += 1
            if lower < -1e-6:
                stuck.append((name, form_name, lower))
            print(
                f"{name[:60]:<60} {form_name:<10} n {points.n:>3}  {ours.objective:.8g}  "
                f"brute force {lower:+.1e}  {1e3 * spent:.0f} ms",
                flush=True,
            )
    print(f"{fits} fits, {len(stuck)} stuck")
    for name, form_name, lower in stuck:
        print(f"  {name} {form_name}: brute force is lower by {-lower:.1e}")


if __name__ == "__main__":
    main()
