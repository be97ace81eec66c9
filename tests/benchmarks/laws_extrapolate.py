"""Error and coverage of predictions beyond the fitted compute, beside the standard recipe.

    python tests/benchmarks/laws_extrapolate.py [--form additive] [--tables FOLDER]

For each public table of language-model runs the most expensive 8 % by compute 6 N D are held out
and the law is fitted to runs at least 2, 16 or 128 times cheaper. Standard recipe: log-Huber fit,
pairs bootstrap, percentiles of the draws as the band. Tables: folder in RECSCALE_TABLES. With
--tables every CSV of a folder is taken instead: columns N, D, loss and, for several set-ups, group.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

from recscale.laws import Status, fit

HERE = Path(__file__).resolve()
TABLES = Path(os.environ.get("RECSCALE_TABLES", HERE.parents[3] / "shared" / "tables"))
LEVEL = 0.9


def tables():
    """name, frame with N, D, loss."""
    d = pd.read_csv(TABLES / "epoch_chinchilla.csv")
    yield "epoch", d.query("outlier5 == 0")
    d = pd.read_csv(TABLES / "datablations.csv")
    yield "datablations, one epoch", d.query("epochs <= 1.01 and loss < 8")
    d = pd.read_csv(TABLES / "porian_isoflops.csv")
    keys = ["file", "dataset", "hparams", "warmup", "decay", "param_count", "val"]
    d["setup"] = d[keys].astype(str).agg(" ".join, axis=1)
    for setup in d["setup"].unique():
        yield f"porian {setup}", d.query("setup == @setup")


def others(folder: Path):
    """name, frame of each set-up in a folder of CSVs."""
    for path in sorted(folder.glob("*.csv")):
        frame = pd.read_csv(path)
        setups = frame["group"] if "group" in frame else pd.Series("", index=frame.index)
        for setup in setups.unique():
            yield f"{path.stem} {setup}".strip(), frame[setups == setup]


def winkler(actual, low, high):
    """Interval score of log loss: width plus 2 / (1 - level) times the distance outside."""
    a, lo, hi = np.log(actual), np.log(low), np.log(high)
    miss = np.maximum(lo - a, 0) + np.maximum(a - hi, 0)
    return hi - lo + 2 / (1 - LEVEL) * miss


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--form", default="additive")
    parser.add_argument("--only", default="")
    parser.add_argument("--tables", type=Path)
    args = parser.parse_args()
    rows = []
    for name, frame in others(args.tables) if args.tables else tables():
        if args.only not in name:
            continue
        frame = frame.filter(["N", "D", "loss"]).dropna().reset_index(drop=True)
        frame["C"] = 6.0 * frame["N"] * frame["D"]
        test = frame.query(f"C >= {np.quantile(frame['C'].to_numpy(), 0.92):.17g}")
        for ratio in (2, 16, 128):
            cheap = frame.query(f"C <= {test['C'].to_numpy().min() / ratio:.17g}")
            if len(cheap) < 8:
                continue
            law = fit(cheap, "additive", ["N", "D"])
            if law.status is Status.UNDERDETERMINED:
                continue
            actual = test.loss.to_numpy()
            x = np.log(test[["N", "D"]].to_numpy())
            draws = law.bootstrap(300)
            E, A, B, a, b = (draws[c].to_numpy()[:, None] for c in draws)
            many = E + A * np.exp(-a * x[:, 0]) + B * np.exp(-b * x[:, 1])
            low, high = np.quantile(many, [0.05, 0.95], axis=0)
            rows.append((name, ratio, "standard recipe", len(cheap), 0.0, *_score(
                actual, law.value(test), low, high)))  # fmt: skip
            started = time.process_time()
            mine = fit(cheap, args.form, ["N", "D"])
            answer = mine.predict(test, LEVEL)
            spent = time.process_time() - started
            rows.append((name, ratio, "recscale", len(cheap), spent, *_score(
                actual, answer["mean"], answer["low"], answer["high"])))  # fmt: skip
    columns = ["table", "beyond", "method", "n", "cpu_s", "error", "coverage", "winkler"]
    table = pd.DataFrame(rows, columns=pd.Index(columns))
    wide = table.pivot(index=["table", "beyond"], columns="method", values=["error", "coverage"])
    print(wide.round(3).to_string())
    summary = table.groupby(["beyond", "method"]).agg(
        splits=("error", "size"),
        geometric_error_percent=("error", lambda e: 100 * np.exp(np.log(e).mean())),
        coverage=("coverage", "mean"),
        winkler=("winkler", "mean"),
        cpu_s=("cpu_s", "mean"),
    )
    print(summary.round(3).to_string())


def _score(actual, mean, low, high) -> tuple[float, float, float]:
    mean, low, high = (np.asarray(v) for v in (mean, low, high))
    error = np.abs(np.log(mean / actual)).mean()
    inside = ((low <= actual) & (actual <= high)).mean()
    return float(error), float(inside), float(winkler(actual, low, high).mean())


if __name__ == "__main__":
    main()
