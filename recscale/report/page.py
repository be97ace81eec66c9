"""`recscale report`: one self-contained HTML page and the tables behind it, from a ledger alone."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import jinja2
import pandas as pd
import pyarrow.fs as pafs
from markupsafe import Markup

from recscale.frame import curves_frame
from recscale.ledger import filesystem
from recscale.report import figures
from recscale.report.checklist import checklist
from recscale.report.findings import Findings, answer, exchange_rows, find, noise_sentence
from recscale.run import RunRecord
from recscale.study import Study
from recscale.words import number, quantity, time

CORE = ("table_params", "dense_params", "samples", "train_flop", "eval_loss", "eval_ne",
        "eval_auc", "best_eval_loss", "time_s", "usd")  # fmt: skip
AXES = ("embedding_dim", "embedding_rows", "mlp_width", "overarch_width", "mlp_depth",
        "sequence_depth", "sequence_width", "sequence_length", "data_fraction", "rate_factor",
        "seed")  # fmt: skip
OPEN_ROWS = 60  # a longer table of runs starts folded


def write_report(study: Study, run_dir: str) -> list[str]:
    """Writes `report.html`, `runs.csv`, `runs.parquet` and `curves.parquet` into `run_dir`, a
    local path or a URI, each whole or not at all; returns their paths.

    The page is a pure function of the study: the same ledger gives the same bytes.

    Raises:
        LedgerError: `run_dir` has a scheme that no filesystem here knows.
    """
    fs, root = filesystem(run_dir)
    frame, curves = study.frame(), curves_frame(study.records)
    tables: dict[str, bytes] = {
        "runs.csv": frame.to_csv(index=False).encode(),
        "runs.parquet": _parquet(frame),
        "curves.parquet": _parquet(curves),
    }
    paths = []
    for name, content in {"report.html": render(study).encode(), **tables}.items():
        path = f"{root.rstrip('/')}/{name}"
        _put(fs, path, content)
        paths.append(path)
    return paths


def render(study: Study) -> str:
    """The page as text; no clock, no paths, no network."""
    from plotly.offline import get_plotlyjs

    f = find(study)
    env = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = env.from_string(files("recscale.report").joinpath("page.html.j2").read_text())
    plots, curve_words = _plots(f)
    return template.render(
        name=study.spec.name,
        loss=f.loss,
        summary=_summary(study),
        answer=answer(f),
        plots={k: _json(v) for k, v in plots.items()},
        views=f.views,
        exchange=exchange_rows(f),
        best_mix=f.best_mix,
        noise=noise_sentence(f),
        law=f.law,
        law_words=f.law_words,
        stamp=_stamp(f),
        curve_words=curve_words,
        columns=_columns(f.frame),
        runs=_rows(f.frame),
        folded=len(f.frame) > OPEN_ROWS,
        failures=_failures(study.attempts),
        diverged=[r.run_id for r in study.records if r.status == "diverged"],
        left_out=_left_out(f.frame),
        orphaned=[(r.run_id, r.status, r.reason) for r in study.orphaned],
        missing=_missing(study),
        checklist=checklist(f),
        plotly=Markup(get_plotlyjs()),
    )


def _plots(f: Findings) -> tuple[dict[str, figures.Figure], str]:
    plots: dict[str, figures.Figure] = {}
    if not len(f.frame) or f.frame[f.loss].isna().all():
        return plots, "no run has a curve yet"
    plots["compute"] = figures.compute_figure(f.frame, f.loss, f.frontier, f.floor)
    for view in f.views:
        plots[f"axis-{view.axis}"] = figures.axis_figure(view, f.loss)
    curves = curves_frame(f.study.records)
    plots["curves"], words = figures.curves_figure(curves, f.frame, f.loss)
    if f.law is not None:
        plots["fit"], plots["residuals"] = figures.fit_figures(f.law, f.frame, f.loss)
    return plots, words


def _json(figure: figures.Figure) -> Markup:
    """JSON that is safe between <script> tags."""
    text = json.dumps(figure, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _summary(study: Study) -> str:
    parts = [f"{study.count('done')} of {len(study.planned)} runs done"]
    parts += [f"{n} {s}" for s in ("failed", "diverged") if (n := study.count(s))]
    used = study.spent
    parts.append(f"{quantity(used.flop)} FLOP")
    if used.gpu_hours:
        parts.append(f"{used.gpu_hours:.2f} GPU-hours")
    return " · ".join([*parts, f"${used.usd:.2f}"])


def _stamp(f: Findings) -> str:
    if f.fitted is None:
        return "law not determined"
    return "" if f.law is not None else "fit at a bound: no law drawn"


def _columns(frame: pd.DataFrame) -> list[str]:
    """Axes that differ between runs, and the core figures."""
    return [c for c in AXES if frame[c].nunique(dropna=False) > 1] + list(CORE)


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Cells as (sort key, text), cheapest run first."""
    rows = []
    for r in frame.sort_values(["train_flop", "run_id"]).to_dict("records"):
        cells = [(_key(r[c]), _cell(c, r[c])) for c in _columns(frame)]
        state = r["status"] if r["status"] != "done" or r["enters_law"] else "left out"
        rows.append({"run_id": r["run_id"], "state": state, "cells": cells})
    return rows


def _key(value: Any) -> str:
    return "" if value is None or pd.isna(value) else f"{float(value):.9g}"


def _cell(column: str, value: Any) -> str:
    if value is None or pd.isna(value):
        return "all" if column == "embedding_rows" else "–"
    if column in AXES:
        return f"{value:g}"
    if column == "time_s":
        return time(value)
    if column == "usd":
        return f"{value:.4f}"
    return number(value) if "eval" in column else quantity(value)


def _failures(attempts: Iterable[RunRecord]) -> list[dict[str, str]]:
    failed = [r for r in attempts if r.status == "failed"]
    return [
        {"run_id": r.run_id, "last": ([""] + (r.error or "").strip().splitlines())[-1],
         "error": r.error or "no error was recorded"}
        for r in sorted(failed, key=lambda r: (r.run_id, r.finished_at))
    ]  # fmt: skip


def _left_out(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """(reason, run ids) of finished runs that enter no law."""
    runs = frame[~frame["enters_law"].astype(bool) & (frame["status"] == "done")]
    return [
        (str(reason), ", ".join(sorted(rows["run_id"])))
        for reason, rows in runs.groupby("left_out", sort=True)
    ]


def _missing(study: Study) -> list[str]:
    seen = {r.run_id for r in study.records}
    return [p.run_id for p in study.planned if p.run_id not in seen]


def _parquet(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out, index=False)
    return out.getvalue()


def _put(fs: pafs.FileSystem, path: str, content: bytes) -> None:
    """The file appears whole: written beside and moved over."""
    part = f"{path}.part"
    with fs.open_output_stream(part) as out:
        out.write(content)
    fs.move(part, path)
