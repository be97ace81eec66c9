"""`recscale report`: one self-contained HTML page and the tables behind it, from a ledger alone."""

from __future__ import annotations

import io
import json

import jinja2
import numpy as np
import pandas as pd
import pyarrow.fs as pafs
from markupsafe import Markup

from recscale.advice.agreement import beside
from recscale.advice.foretell import foretell
from recscale.frame import curves_frame
from recscale.report import figures, tables
from recscale.report.checklist import checklist
from recscale.report.findings import Findings, find
from recscale.report.search import search_view
from recscale.report.sentences import answer, foretold, noise_sentence
from recscale.storage import filesystem, guarded, write
from recscale.study import Study
from recscale.words import quantity

OPEN_ROWS = 60  # a longer table of runs starts folded


def write_report(study: Study, run_dir: str) -> list[str]:
    """Writes `report.html`, `runs.csv`, `runs.parquet` and `curves.parquet` into `run_dir`, a
    local path or a URI, each whole or not at all; returns their paths.

    The page is a pure function of the study: the same ledger gives the same bytes.

    Raises:
        StorageError: `run_dir` has a scheme that no filesystem here knows, or cannot be written.
    """
    fs, root = filesystem(run_dir)
    frame, curves = study.frame(), curves_frame(study.records)
    contents = {
        "report.html": render(study).encode(),
        "runs.csv": frame.to_csv(index=False).encode(),
        "runs.parquet": _parquet(frame),
        "curves.parquet": _parquet(curves),
    }
    paths = []
    for name, content in contents.items():
        path = f"{root.rstrip('/')}/{name}"
        with guarded(run_dir):
            write(fs, path, content)
        paths.append(path if isinstance(fs, pafs.LocalFileSystem) else f"{run_dir}/{name}")
    return paths


def render(study: Study) -> str:
    """The page as text; no clock, no paths, no network."""
    from plotly.offline import get_plotlyjs

    f = find(study)
    template = templates().get_template("page.html.j2")
    plots, curve_words = _plots(f)
    search = search_view(study)
    plots |= search.plots if search else {}
    held_out = foretold(f)
    return template.render(
        name=study.spec.name,
        loss=f.loss,
        summary=_summary(study),
        answer=answer(f),
        plots={k: script_json(v) for k, v in plots.items()},
        search=search,
        views=f.views,
        exchange=tables.exchange_rows(f),
        places=tables.places(f),
        constants=tables.constants(f),
        foretold=held_out,
        beside=tables.beside_rows(beside(study)),
        law_size=study.spec.law_variables[0],
        largest=tables.largest(foretell(study)),
        noise=noise_sentence(f),
        law=f.law,
        law_words=f.law_words,
        stamp=_stamp(f),
        curve_words=curve_words,
        columns=tables.run_columns(f),
        runs=tables.run_rows(f),
        folded=len(f.frame) > OPEN_ROWS,
        failures=tables.failures(study.attempts),
        diverged=[r.run_id for r in study.records if r.status == "diverged"],
        left_out=tables.left_out(f.frame),
        orphaned=[(r.run_id, r.status, r.reason) for r in study.orphaned],
        missing=tables.missing(study),
        checklist=checklist(f, held_out),
        plotly=Markup(get_plotlyjs()),
    )


def templates() -> jinja2.Environment:
    """The pages' templates; whatever they are filled with is escaped."""
    loader = jinja2.PackageLoader("recscale.report", "")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)


def _plots(f: Findings) -> tuple[dict[str, figures.Figure], str]:
    plots: dict[str, figures.Figure] = {}
    if not np.isfinite(np.asarray(f.frame[f.loss], float)).any():
        return plots, "no run has a curve yet"
    plots["compute"] = figures.compute_figure(f.frame, f.loss, f.frontier, f.floor)
    for view in f.views:
        plots[f"axis-{view.axis}"] = figures.axis_figure(view, f.loss, f.law)
    curves = curves_frame(f.study.records)
    plots["curves"], words = figures.curves_figure(curves, f.frame, f.loss)
    if f.law is not None:
        plots["fit"], plots["residuals"] = figures.fit_figures(f.law, f.frame, f.loss)
    return plots, words


def script_json(figure: figures.Figure) -> Markup:
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


def _parquet(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out, index=False)
    return out.getvalue()
