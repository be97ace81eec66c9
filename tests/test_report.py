"""The report says what the ledger holds: the law or why not, every run, nothing a browser fetches
or runs by accident."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import plotly.graph_objects as go
import pytest
from planted_study import DATA, SWEEP, planted, record

from recscale.advice.advise import advise
from recscale.ledger import Ledger
from recscale.planner import planned_runs
from recscale.report import plot
from recscale.report.page import render, write_report
from recscale.report.sentences import loose
from recscale.specfile import parse_spec
from recscale.study import Study, plan_entry
from recscale.words import quantity, span

VOID = {"meta", "br", "link", "img", "hr", "input"}
FEW = SWEEP.replace("[4, 8, 16, 32]", "[8, 16]").replace("seeds: 2", "seeds: 1")


class Page(HTMLParser):
    """A page taken apart: visible text, figures, and whether every tag was closed in order."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict]] = []
        self.unclosed: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text, self.figures, self.runs = "", {}, {}
        self.by_id: dict[str, str] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop()[0] != tag:
            self.unclosed.append(tag)

    def handle_data(self, data):
        tag, attrs = self.open[-1] if self.open else ("", {})
        if tag == "script" and attrs.get("type") == "application/json":
            self.keep(attrs["id"], json.loads(data))
        elif tag not in ("script", "style"):
            self.text += data
            for _, outer in self.open:
                if "id" in outer:
                    self.by_id[outer["id"]] = self.by_id.get(outer["id"], "") + data

    def keep(self, name: str, found: dict):
        if name == "runs-data":
            self.runs = {
                c["name"]: [c["values"][i] for i in c["at"]] if "at" in c else c["values"]
                for c in found["columns"]
            }
        else:
            self.figures[name.removeprefix("figure-")] = found


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("planted")
    planted(path)
    return path


@pytest.fixture(scope="module")
def study(run_dir: Path) -> Study:
    return Study.open(str(run_dir))


@pytest.fixture(scope="module")
def page(study: Study) -> Page:
    return Page(render(study))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Of a sweep whose runs do not determine its law."""
    ledger = planted(tmp_path_factory.mktemp("few"), FEW, mishaps=False)
    return Page(render(Study.of(ledger)))


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_page_is_well_formed_and_fetches_nothing(page: Page):
    assert not page.open and not page.unclosed
    assert not [a for t, a in page.tags if t in ("link", "img", "iframe") or "src" in a]


def test_every_run_is_there(study: Study, page: Page):
    assert sorted(page.runs["run_id"]) == sorted(r.run_id for r in study.records)
    assert {len(values) for values in page.runs.values()} == {len(study.records)}
    for r in study.orphaned:
        assert r.run_id in page.text


def test_the_answer_states_the_law_and_the_rates_with_intervals(study: Study, page: Page):
    law = study.law()
    for row in law.intervals(0.95).to_dict("records"):
        shown = span(law.coefficients[row["coefficient"]], row["low"], row["high"])
        assert shown in page.text, row["coefficient"]
    said = words(page.by_id["said"])
    for name in ("E", "alpha_samples"):
        assert f"{law.coefficients[name]:.3g}" in said
    assert "doubling the MLP width" in said and "90 %" in page.text


def test_the_first_screen_says_where_compute_goes_what_it_takes_and_how_sure_that_is(
    study: Study, page: Page
):
    first = words(page.by_id["answer"])
    advice = advise(study, "10x")
    assert advice.best is not None and advice.promised
    assert first.startswith("Put the next compute into embedding_dim (16 to ")
    assert advice.headline() in f"a{first[first.index('At ') + 1 :]}"
    assert f"{quantity(advice.best.rows)} of the 1M training rows" in first
    assert f"${advice.best.usd:.2f}" in first and "5 of 5 lie inside" in first
    table = words(page.by_id["ahead"])
    for times in (1, 3, 10, 100):
        best = advise(study, f"{times}x").best
        assert best is not None
        assert f"{times}x, " in table and span(best.loss, best.low, best.high) in table


def test_the_first_screen_says_what_to_run_where_nothing_can_be_promised(few: Page):
    assert words(few.by_id["answer"]).startswith("No gain is promised yet: ")
    assert "To know, run " in few.by_id["answer"]


def test_constants_that_the_runs_do_not_tell_are_no_results(study: Study):
    law = study.law()
    assert not loose(law)
    ends = law.intervals(0.95)
    ends.loc[ends["coefficient"] == "alpha_samples", "low"] = 1e-20
    with patch.object(type(law), "intervals", lambda *_: ends):
        assert loose(law) == ["alpha_samples"]


def test_the_worlds_floor_stands_beside_the_fitted_constant(study: Study, page: Page):
    row = study.law().intervals(0.95).set_index("coefficient").loc["E"]
    floor = DATA.floor.ne if DATA.floor else 0.0
    told = words(page.by_id["said"])
    assert f"{floor:.4f}" in told
    assert ("lies inside" in told) == (row["low"] <= floor <= row["high"])


def test_hostile_text_is_shown_and_never_run(study: Study, page: Page):
    assert "<script>alert('x')</script> & more" in page.text
    scripts = [a for t, a in page.tags if t == "script"]
    kinds = {"application/json", "application/gzip"}  # data: no browser runs them
    assert all(not a or a.get("type") in kinds for a in scripts)
    assert len([a for a in scripts if not a]) == 1  # the page's own
    assert "a <planted> teacher" in page.text


def test_failures_divergence_and_other_learning_rates_are_told_apart(study: Study, page: Page):
    told = words(page.by_id.get("runs", "") + page.text)
    assert "learning-rate factor 1 was better than 3" in told
    for heading in ("Failed attempts", "Diverged", "earlier form of the sweep"):
        assert heading in told


def test_without_a_law_it_says_so_and_draws_none(few: Page, page: Page):
    assert "not determined" in few.by_id["said"] and "distinct value" in few.by_id["answer"]
    for figure in few.figures.values():
        names = [str(trace.get("name")) for trace in figure["data"]]
        assert "law: best mix" not in names and "the sweep's law" not in names
    assert "fit" not in few.figures and "residuals" not in few.figures
    assert "law: best mix" in [t.get("name") for t in page.figures["compute"]["data"]]
    assert "the sweep's law" in [t.get("name") for t in page.figures["axis-mlp_width"]["data"]]


def test_one_seed_makes_no_difference_significant(few: Page):
    assert "noise between runs is unknown" in few.text
    assert "Which axis pays most is not determined" in few.by_id["said"]


def test_an_axis_with_a_law_is_drawn_with_it_and_one_without_is_stamped(page: Page):
    drawn = {
        key: any(t.get("name") == "its own law" for t in figure["data"])
        for key, figure in page.figures.items()
        if key.startswith("axis-")
    }
    assert set(drawn) == {
        "axis-embedding_dim", "axis-mlp_width", "axis-sequence_depth", "axis-data_fraction"
    }  # fmt: skip
    assert drawn["axis-data_fraction"] and not drawn["axis-sequence_depth"]
    assert "sequence_depth 0 has no place in a power law" in words(page.text)
    assert "0" in page.figures["axis-sequence_depth"]["layout"]["xaxis"]["ticktext"]


def test_tables_that_collapse_are_drawn_against_their_dimension(page: Page):
    """Singular values that halve: abundance stays near 2 whatever the dimension."""
    (drawn,) = page.figures["collapse"]["data"]
    assert drawn["x"] == [4, 8, 16, 32]
    assert drawn["y"] == [pytest.approx((2 - 2 * 0.5**d) / d, rel=1e-5) for d in drawn["x"]]
    assert len(page.figures["spectra"]["data"][0]["x"]) == 32


def test_figures_are_what_plotly_accepts(page: Page):
    for figure in page.figures.values():
        go.Figure(figure)  # raises ValueError at an unknown property or value


def test_the_same_ledger_gives_the_same_bytes(run_dir: Path, study: Study):
    assert render(Study.open(str(run_dir))) == render(study)


def test_page_and_tables_are_written_beside_the_ledger(run_dir: Path, study: Study):
    paths = [Path(p) for p in write_report(study, str(run_dir))]
    assert {p.name for p in paths} == {
        "report.html", "runs.csv", "runs.parquet", "curves.parquet", "tables.parquet"
    }  # fmt: skip
    assert all(p.parent == run_dir and p.stat().st_size for p in paths)
    assert sorted(p.name for p in run_dir.iterdir() if p.is_file()) == sorted(p.name for p in paths)
    runs, text = pd.read_parquet(run_dir / "runs.parquet"), pd.read_csv(run_dir / "runs.csv")
    assert set(runs["run_id"]) == set(text["run_id"]) == {r.run_id for r in study.records}
    curves = pd.read_parquet(run_dir / "curves.parquet")
    assert len(curves) == sum(len(r.curve) for r in study.records)


@pytest.mark.parametrize("how_many", [0, 1, 2])
@pytest.mark.parametrize("status", ["done", "failed"])
def test_a_report_of_a_sweep_that_has_hardly_begun(tmp_path: Path, how_many: int, status: str):
    spec = parse_spec(SWEEP)
    runs = planned_runs(spec, DATA)
    ledger = Ledger(tmp_path)
    ledger.append("plan", **plan_entry(spec, DATA, runs))
    for p in runs[:how_many]:
        failed = {"curve": (), "measured": None, "error": "boom"} if status == "failed" else {}
        ledger.record(record(p, status=status, **failed))
    paths = write_report(Study.open(str(tmp_path)), str(tmp_path))
    page = Page(Path(paths[0]).read_text())
    assert "not determined" in page.by_id["said"]
    seen = page.runs["run_id"]
    assert all(p.run_id in page.text or p.run_id in seen for p in runs)


def test_gains_stand_as_intervals_with_their_verdicts(study: Study, page: Page):
    drawn = page.figures["gains"]
    rows = drawn["layout"]["yaxis"]["ticktext"]
    assert [r.split("<br>")[0] for r in rows][:4] == [
        "embedding dimension", "history depth", "MLP width", "data"
    ]  # fmt: skip
    assert "<b>still paying</b>" in rows[2]
    gains = {r.axis: r for r in advise(study, "10x").rates}
    bars = next(t for t in drawn["data"] if t["name"] == "law, at the largest run")
    for axis, x, down, up in zip(
        ("embedding_dim", "sequence_depth", "mlp_width", "data_fraction"), bars["x"],
        bars["error_x"]["arrayminus"], bars["error_x"]["array"], strict=True,
    ):  # fmt: skip
        assert (x - down, x, x + up) == pytest.approx(
            (gains[axis].low, gains[axis].change, gains[axis].high), rel=1e-3
        )
    alphas = page.figures["exponents"]["layout"]["yaxis"]["ticktext"]
    assert alphas == ["alpha_table_params", "alpha_dense_params", "alpha_samples"]


def test_beyond_the_runs_the_law_is_dashed_and_says_which_data_it_takes(study: Study, page: Page):
    lines = {t["name"]: t for t in page.figures["compute"]["data"] if t["name"]}
    most = max(r.trained.train_flop for r in study.records)
    ahead, within = lines["beyond the runs"], lines["law: best mix"]
    assert ahead["line"]["dash"] == "dash" and "dash" not in within["line"]
    assert all((x > most) == (y is None) for x, y in zip(within["x"], within["y"], strict=True))
    assert sum(y is not None for y in ahead["y"]) > 5
    # on the data at hand no loss is lower than with as much as wanted
    more = lines["with more data"]
    bound = dict(zip(ahead["x"], ahead["y"], strict=True)) | {
        x: y for x, y in zip(within["x"], within["y"], strict=True) if y is not None
    }
    assert more["line"]["dash"] == "dot" and len(more["x"]) > 3
    assert all(y < bound[x] for x, y in zip(more["x"], more["y"], strict=True))
    said = [t for trace in page.figures["compute"]["data"] for t in trace.get("text", [])]
    assert sum(t.startswith("needs ") and t.endswith("M rows") for t in said) == 2


def luminance(colour: str) -> float:
    """WCAG 2's, of #rrggbb."""
    each = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in each)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("behind", ["#ffffff", "#16181b"], ids=["light", "dark"])
def test_what_is_drawn_stands_out_from_the_page(page: Page, behind: str):
    drawn = set(re.findall(r"#[0-9a-f]{6}", json.dumps(page.figures))) | set(plot.COLOURS)
    assert len(drawn) > 6 and plot.shade(0) == plot.RAMP[0] and plot.shade(1) == plot.RAMP[2]
    for colour in drawn:
        low, high = sorted([luminance(colour), luminance(behind)])
        assert (high + 0.05) / (low + 0.05) >= 3, colour
