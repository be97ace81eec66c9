"""The runs as the page's table and its parallel coordinates read them: plain values by column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recscale.report.plot import plain

CORE = ("eval_ne", "eval_loss", "eval_auc", "best_eval_loss", "samples", "train_flop",
        "table_params", "dense_params", "time_s", "usd")  # fmt: skip
COSTS = ("samples", "train_flop")
"""Axes of the parallel coordinates between a sweep's own and the loss."""
KINDS = {"time_s": "time", "usd": "usd", **dict.fromkeys(CORE[4:8], "quantity")}


def runs_data(frame: pd.DataFrame, axes: list[str], loss: str) -> dict[str, Any]:
    """What `runs.js` reads: `n` runs, cheapest first; `columns`, each with a name, how its values
    are written (`kind`), what stands for none, and the `values` of every run, or, of few distinct
    ones, these and `at` which of them each run has; `axes` of the parallel coordinates, and the
    one that `colour`s.

    Args:
        frame: see `recscale.frame.records_frame`.
        axes: the columns that the sweep varies.
        loss: the column that its law explains.
    """
    runs = frame.sort_values(["train_flop", "run_id"])
    done = np.asarray(runs["status"] == "done", bool)
    out = done & ~np.asarray(runs["enters_law"], bool)
    runs = runs.assign(
        state=np.where(out, "left out", runs["status"]),
        why=[w if o else None for w, o in zip(runs["left_out"], out, strict=True)],
    )
    names = ["run_id", "state", *run_columns(runs, axes, loss), *(["why"] if out.any() else [])]
    columns = [_column(name, list(runs[name])) for name in names]
    numeric = {c["name"] for c in columns if c["kind"] != "text" and c["values"] != [None]}
    drawn = dict.fromkeys(a for a in (*axes, "rate_factor", *COSTS, loss) if a in numeric)
    return {"n": len(runs), "columns": columns, "axes": list(drawn), "colour": loss}


def run_columns(frame: pd.DataFrame, axes: list[str], loss: str) -> list[str]:
    """Axes that differ between runs, the law's loss and the core figures."""
    named = [*axes, "rate_factor", "seed"]
    wanted = CORE if loss in CORE else (loss, *CORE)
    measured = [c for c in wanted if c in frame]
    return [c for c in named if c in frame and len(set(map(str, frame[c]))) > 1] + measured


def _column(name: str, cells: list[Any]) -> dict[str, Any]:
    none = pd.isna(np.array(cells, dtype=object))
    numeric = not any(isinstance(c, str | bool) for c, gone in zip(cells, none, strict=True)
                      if not gone)  # fmt: skip
    column = {
        "name": name,
        "kind": _kind(name) if numeric else "text",
        "none": "all" if name == "embedding_rows" else "–",
    }
    if numeric:
        values = [int(v) if v is not None and v == int(v) else v for v in plain(cells)]
    else:
        values = [None if gone else str(c) for c, gone in zip(cells, none, strict=True)]
    distinct = list(dict.fromkeys(values))
    if 2 * len(distinct) > len(values):
        return {**column, "values": values}
    where = {v: i for i, v in enumerate(distinct)}
    return {**column, "values": distinct, "at": [where[v] for v in values]}


def _kind(name: str) -> str:
    """How `words.js` writes a column's numbers."""
    if name in KINDS:
        return KINDS[name]
    if "eval" in name or name.startswith("progressive"):
        return "loss"
    return "quantity" if name.endswith("flop") else "plain"
