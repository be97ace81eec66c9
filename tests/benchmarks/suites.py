"""Published tables of runs, and splits of them by how far beyond the fitted runs others lie.

Tables: folder in RECSCALE_TABLES. A suite is one publication; its tables are its set-ups.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve()
TABLES = Path(os.environ.get("RECSCALE_TABLES", HERE.parents[3] / "shared" / "tables"))
LEAST = 8  # runs that a law is fitted to
# fitted runs are those up to a quantile of one variable, or of each; the others are predicted where
# they lie within a range of decades beyond
ONE = {"quantiles": (0.5, 0.7, 0.85), 2: (0.15, 0.6), 16: (0.6, 1.7)}
ALL = {"quantiles": (0.4, 0.6), 16: (0.1, 0.8), 128: (0.8, 2.0)}
FEWER = {"porian": 3, "routing": 2}  # every so many tables of suites that have many alike


@dataclass(frozen=True)
class Split:
    """Runs to fit and runs to predict, about `beyond` times larger: in `compute` (the product of
    the variables), in `one` of them, or in `all`."""

    suite: str
    table: str
    beyond: int
    kind: str
    variables: tuple[str, ...]
    fitted: pd.DataFrame
    predicted: pd.DataFrame


def tables() -> Iterator[tuple[str, str, pd.DataFrame]]:
    """suite, table, frame of variables and loss."""
    d = pd.read_csv(TABLES / "epoch_chinchilla.csv").query("outlier5 == 0")
    yield "epoch", "epoch", d.filter(["N", "D", "loss"])
    d = pd.read_csv(TABLES / "datablations.csv").query("epochs <= 1.01 and loss < 8")
    yield "datablations", "datablations", d.filter(["N", "D", "loss"])
    d = pd.read_csv(TABLES / "porian_isoflops.csv")
    keys = ["file", "dataset", "hparams", "warmup", "decay", "param_count", "val"]
    setup = d[keys].astype(str).agg(" ".join, axis=1)
    for name in setup.unique()[:: FEWER["porian"]]:
        yield "porian", name, d.loc[setup == name, ["N", "D", "loss"]]
    d = pd.read_csv(TABLES / "gadre_overtraining.csv")
    for data in d["train_set"].unique():
        for loss in ("paloma_paloma_c4_en", "val_de-en_100", "paloma_paloma_ptb"):
            part = d.loc[d["train_set"] == data, ["N", "D", f"loss_{loss}"]]
            yield "gadre", f"{data} {loss}", part.set_axis(["N", "D", "loss"], axis=1)
    d = pd.read_csv(TABLES / "routing.csv").query("k == 1 and num_experts > 1")
    names = [
        (r, c)
        for r in d["router_type"].unique()
        if r != "Dense"
        for c in ("validation", "c4", "lambada", "wikitext103")
    ]
    for router, loss in names[:: FEWER["routing"]]:
        columns = ["dense_parameter_count", "num_experts", f"loss_{loss}"]
        part = d.loc[d["router_type"] == router, columns]
        yield "routing", f"{router} {loss}", part.set_axis(["N", "experts", "loss"], axis=1)
    d = pd.read_csv(TABLES / "scalebench_sparsity.csv")
    yield "sparsity", "sparsity", d.filter(["N_active", "P", "D2", "loss"])
    d = pd.read_csv(TABLES / "scalebench_lr_bsz.csv")
    best = d.groupby(["non_embedding_param_size", "data_size"])["lm_loss"].min().reset_index()
    yield "rates", "rates", best.set_axis(["N", "D", "loss"], axis=1)
    d = pd.read_csv(TABLES / "srt_recsys_runs.csv")
    for data in d["dataset"].unique():
        part = d[d["dataset"] == data].groupby("model_total_params")["valid_eval_loss_best"].min()
        yield "srt", data, part.reset_index().set_axis(["N", "loss"], axis=1)


def splits() -> Iterator[Split]:
    """Every split of every table."""
    for suite, table, frame in tables():
        frame = frame.dropna().drop_duplicates().reset_index(drop=True)
        variables = tuple(c for c in frame if c != "loss")
        x = np.log10(frame[list(variables)].to_numpy(float))
        for beyond, kind, known, new in _masks(x):
            if known.sum() >= LEAST and new.any():
                yield Split(suite, table, beyond, kind, variables, frame.loc[known], frame.loc[new])


def _masks(x: np.ndarray):
    size = x.sum(1)
    new = size >= np.quantile(size, 0.92) - 1e-12
    for beyond in (2, 16, 128):
        yield beyond, "compute", size <= size[new].min() - np.log10(beyond) + 1e-9, new
    if x.shape[1] < 2:
        return
    for i in range(x.shape[1]):
        for end in np.quantile(x[:, i], ONE["quantiles"]):
            known = x[:, i] <= end
            over = x - x[known].max(0)
            inside = (np.delete(over, i, 1) <= 1e-9).all(1)
            for beyond in (2, 16):
                least, most = ONE[beyond]
                yield beyond, "one", known, inside & (over[:, i] > least) & (over[:, i] <= most)
    for end in np.quantile(x, ALL["quantiles"], axis=0):
        known = (x <= end + 1e-9).all(1)
        if not known.any():
            continue
        least_over = (x - x[known].max(0)).min(1)
        for beyond in (16, 128):
            least, most = ALL[beyond]
            yield beyond, "all", known, (least_over > least) & (least_over <= most)
