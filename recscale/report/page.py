"""`recscale report`: one self-contained HTML page and the tables behind it, from a ledger alone."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
from functools import cache
from html import unescape
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from recscale.advice.agreement import beside
from recscale.advice.families import compare_pairs
from recscale.advice.headlines import headlines
from recscale.advice.hold_out import hold_out
from recscale.advice.options import swept
from recscale.frame import tables_frame
from recscale.report import collapse, figures, schemes, tables, trainings
from recscale.report.axes import column
from recscale.report.checklist import checklist
from recscale.report.findings import Findings, find
from recscale.report.first import ahead, first
from recscale.report.intervals import exponents_figure, gains_figure
from recscale.report.runs import runs_data
from recscale.report.search import search_view
from recscale.report.sentences import findings, held_out, noise_sentence
from recscale.report.spreadsheet import csv_of
from recscale.storage import filesystem, guarded, is_uri, write
from recscale.study import Study, uncollected
from recscale.words import quantity

MAIN = "report.html"


def write_report(study: Study, run_dir: str) -> list[str]:
    """Writes `report.html`, `runs.csv`, `runs.parquet` and `curves.parquet` into `run_dir`, a
    local path or a URI, each whole or not at all; returns their paths. `tables.parquet` holds what
    the runs recorded of their tables' spectra. A study of several families
    has a page that compares them, and one of its own for each.

    The pages are pure functions of the study: the same ledger gives the same bytes.

    Raises:
        StorageError: `run_dir` has a scheme that no filesystem here knows, or cannot be written.
    """
    frame, curves = study.frame(), study.curves()
    contents = {
        **{name: page.encode() for name, page in pages(study).items()},
        "runs.csv": csv_of(frame),
        "runs.parquet": _parquet(frame),
        "curves.parquet": _parquet(curves),
    }
    spectra = tables_frame(study.records)
    if len(spectra):
        contents["tables.parquet"] = _parquet(spectra)
    return write_all(contents, run_dir)


def write_all(contents: dict[str, bytes], run_dir: str) -> list[str]:
    """Writes the files of those names into `run_dir`, each whole or not at all; returns their
    paths. Raises StorageError."""
    fs, root = filesystem(run_dir)
    for name, content in contents.items():
        with guarded(run_dir):
            write(fs, f"{root.rstrip('/')}/{name}", content)
    return [path_of(name, run_dir) for name in contents]


def path_of(name: str, run_dir: str) -> str:
    """Where that file of a run directory is found."""
    return (
        f"{run_dir.rstrip('/')}/{name}" if is_uri(run_dir) else os.path.abspath(f"{run_dir}/{name}")
    )


def pages(study: Study) -> dict[str, str]:
    """File name -> page: the report, and of several families a page of its own for each."""
    parts = study.parts()
    own = parts if len(parts) > 1 else ()
    named = {own_page(p): render(p, f"{study.spec.name}: {family(p)}") for p in own}
    return {MAIN: render(study), **named}


def living(page: str, heard_at: float, every_s: int) -> bytes:
    """The page as it stands while its sweep runs: it loads itself anew every `every_s` seconds.
    heard_at: unix seconds of the last sign of life."""
    return _marked(page, f'data-live="{every_s}" data-heard="{heard_at:.0f}"')


def halted(page: str, heard_at: float) -> bytes:
    """The page as it stands when its sweep was stopped at `heard_at` (unix seconds)."""
    return _marked(page, f'data-stopped="1" data-heard="{heard_at:.0f}"')


def _marked(page: str, marks: str) -> bytes:
    return page.replace("<body>", f"<body {marks}>", 1).encode()


def figures_of(study: Study) -> dict[str, figures.Figure]:
    """The figures of the study's page as plotly JSON, by their names there."""
    return (_compared(study) if len(study.spec.models) > 1 else _words(study))["plots"]


@uncollected()
def render(study: Study, name: str = "") -> str:
    """The page as text; no clock, no paths, no network."""
    several = len(study.spec.models) > 1
    template = templates().get_template("architectures.html.j2" if several else "page.html.j2")
    words = _compared(study) if several else _words(study)
    plots = words.pop("plots")
    words["runs"] = script_json(words["runs"])
    return template.render(
        name=name or study.spec.name,
        summary=_summary(study),
        plots=drawn(plots),
        failures=tables.failures(study.attempts),
        diverged=[r.run_id for r in study.records if r.status == "diverged"],
        orphaned=[(r.run_id, r.status, r.reason) for r in study.orphaned],
        missing=tables.missing(study),
        baselines=tables.baselines(study),
        plotly=packed_plotly(),
        **words,
    )


def own_page(part: Study) -> str:
    """The file of one family's own page."""
    # a colon before any slash would make a link's beginning the scheme of an address
    return f"report-{family(part).replace(':', '-')}.html"


def family(part: Study) -> str:
    return part.spec.model.family


@cache
def packed_plotly() -> str:
    """plotly.js, gzip in base 64, which a browser unpacks: 1.9 MB for 4.8."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _words(study: Study) -> dict[str, Any]:
    """What the page of one family says and draws."""
    f = find(study)
    plots, curve_words = _plots(f)
    search = search_view(study)
    plots |= search.plots if search else {}
    held = held_out(f)
    ranked = schemes.section(study)
    plots |= ranked["plots"] if ranked else {}
    together = trainings.section(f)
    plots |= together["plots"] if together else {}
    collapsed = collapse.section(study)
    plots |= collapsed["plots"] if collapsed else {}
    return dict(
        plots=plots,
        loss=f.loss,
        answer=first(f, held),
        ahead=ahead(f),
        said=findings(f),
        search=search,
        views=f.views,
        schemes=ranked,
        trainings=together,
        collapse=collapsed,
        gains=tables.gain_rows(f),
        places=tables.places(f),
        constants=tables.constants(f),
        predicted=held,
        beside=tables.beside_rows(beside(study)),
        law_size=study.spec.law_variables[0],
        largest=tables.largest(hold_out(study)),
        noise=noise_sentence(f),
        law=f.law,
        frontier=f.frontier is not None,
        law_words=f.law_words,
        stamp=_stamp(f),
        curve_words=curve_words,
        curve_ends=DECAYS if study.spec.log else "",
        runs=runs_data(f.frame, [column(study, a) for a in swept(study.spec)], f.loss),
        left_out=tables.left_out(f.frame),
        checklist=checklist(f, held),
    )


DECAYS = (
    "; the learning rate falls to zero at the end of each run, so that only ends are comparable"
)
"""Of the trainings of recscale's own."""


def _compared(study: Study) -> dict[str, Any]:
    """What the page that compares families says and draws."""
    from recscale.report import architectures

    frame, found = study.frame(), compare_pairs(study)
    return dict(
        plots=architectures.plots(study, frame, found),
        loss=study.spec.law_loss,
        answer=[*headlines(study), *architectures.sentences(study, found)],
        comparisons=architectures.pair_rows(found),
        laws=architectures.law_rows(study),
        families=[(family(p), own_page(p)) for p in study.parts()],
        runs=runs_data(frame, ["family", "data_fraction", "forward_flop"], study.spec.law_loss),
        left_out=tables.left_out(frame),
    )


def templates() -> jinja2.Environment:
    """The pages' templates; whatever they are filled with is escaped."""
    loader = jinja2.PackageLoader("recscale.report", "")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)


def _plots(f: Findings) -> tuple[dict[str, figures.Figure], str]:
    plots: dict[str, figures.Figure] = {}
    if not np.isfinite(np.asarray(f.frame[f.loss], float)).any():
        return plots, "no run has a curve yet"
    plots["compute"] = figures.compute_figure(f.frame, f.loss, f.frontier, f.floor, f.baselines)
    for view in f.views:
        plots[f"axis-{view.axis}"] = figures.axis_figure(view, f.loss, f.law, f.baselines)
    bars = {"gains": gains_figure(f), "exponents": exponents_figure(f)}
    plots |= {key: figure for key, figure in bars.items() if figure}
    curves = f.study.curves()
    plots["curves"], words = figures.curves_figure(curves, f.frame, f.loss, f.baselines)
    if f.law is not None:
        plots["fit"], plots["residuals"] = figures.fit_figures(f.law, f.frame, f.loss, f.baselines)
    return plots, words


def drawn(plots: dict[str, figures.Figure]) -> dict[str, dict[str, Any]]:
    """What the templates need of each figure: its JSON, its height, and its name for those who do
    not see it."""
    return {
        key: {"json": script_json(f), "height": f["layout"]["height"], "name": _named(f)}
        for key, f in plots.items()
    }


def _named(figure: figures.Figure) -> str:
    """`eval_ne against training FLOP of the run: runs, law: best mix`."""
    if name := figure["layout"].get("meta"):
        return name
    x, y = (figure["layout"][a]["title"]["text"] for a in ("xaxis", "yaxis"))
    names = dict.fromkeys(t["name"] for t in figure["data"] if t.get("name"))
    return unescape(f"{y} against {x}" + (f": {', '.join(names)}" if names else ""))


def script_json(figure: dict[str, Any]) -> Markup:
    """JSON that is safe between <script> tags."""
    text = json.dumps(figure, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _summary(study: Study) -> str:
    parts = [f"{study.count('done')} of {len(study.planned)} runs done"]
    parts += [f"{n} {s}" for s in ("failed", "diverged", "stopped") if (n := study.count(s))]
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
