"""CPU seconds of a full fit, of 4,000 bootstrap replicates and of a whole process.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python tests/benchmarks/laws_speed.py [--starts 30]

On the 240 points of Besiroglu et al. 2024 (RECSCALE_TABLES), beside the published recipe in the
same process: log-sum-exp, log-Huber 1e-3 summed, L-BFGS-B with numeric gradients from a grid of
starts. The recipe uses 4,500 starts; `--starts` of them are run and the time is scaled.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from recscale.laws import fit

HERE = Path(__file__).resolve()
TABLES = Path(os.environ.get("RECSCALE_TABLES", HERE.parents[3] / "shared" / "tables"))
OPTIMUM = 0.0010182740178
RECIPE_STARTS = 4500


def recipe(x: np.ndarray, logy: np.ndarray, starts: int) -> tuple[float, float]:
    """Seconds a start takes and the best objective met."""

    def objective(t: np.ndarray) -> float:
        terms = [np.full(len(x), t[0]), t[1] - t[3] * x[:, 0], t[2] - t[4] * x[:, 1]]
        a = np.abs(np.logaddexp.reduce(terms) - logy)
        return float(np.where(a <= 1e-3, a * a / 2, 1e-3 * (a - 5e-4)).sum())

    rng = np.random.default_rng(0)
    low, high = np.array([-1, 0, 0, 0, 0]), np.array([1, 25, 25, 2, 2])
    started, best = time.process_time(), np.inf
    for _ in range(starts):
        end = minimize(objective, rng.uniform(low, high), method="L-BFGS-B")
        best = min(best, float(end.fun))
    return (time.process_time() - started) / starts, best


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--starts", type=int, default=30)
    args = parser.parse_args()
    frame = pd.read_csv(TABLES / "epoch_chinchilla.csv").query("outlier5 == 0")
    times = []
    law = fit(frame, "additive", ["N", "D"])
    for _ in range(20):
        started = time.process_time()
        law = fit(frame, "additive", ["N", "D"])
        times.append(time.process_time() - started)
    print(f"full fit: best {1e3 * min(times):.1f} ms, median {1e3 * np.median(times):.1f} ms CPU")
    print(f"objective / true optimum - 1: {law.objective / OPTIMUM - 1:.1e} (bar 1e-9)")

    x, logy = np.log(frame[["N", "D"]].to_numpy()), np.log(frame["loss"].to_numpy())
    each, best = recipe(x, logy, args.starts)
    print(
        f"published recipe: {each * 1e3:.0f} ms a start, {each * RECIPE_STARTS:.0f} s for "
        f"{RECIPE_STARTS}; best of {args.starts}: {best / OPTIMUM - 1:+.1e} above the optimum"
    )

    started = time.process_time()
    law.bootstrap(4000, seed=0)
    print(f"4,000 replicates: {time.process_time() - started:.2f} s CPU (bar 2)")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.csv"
        frame.to_csv(path, index=False)
        command = [sys.executable, "-m", "recscale.cli", "fit", str(path), "--variables", "N,D"]
        floor = [sys.executable, "-c", "import pandas, scipy.optimize"]
        for label, program in (("recscale fit", command), ("importing pandas, scipy", floor)) * 3:
            started = time.perf_counter()
            before = os.times()
            subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
            after = os.times()
            cpu = after.children_user + after.children_system
            cpu -= before.children_user + before.children_system
            wall = time.perf_counter() - started
            print(f"whole process, {label}: {wall:.2f} s wall, {cpu:.2f} s CPU")


if __name__ == "__main__":
    main()
