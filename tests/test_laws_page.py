"""The page `recscale fit --report` writes: what it shows, and what it must not."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from recscale.cli import main


def runs(n=40, noise=0.003):
    rng = np.random.default_rng(0)
    N, D = 10 ** rng.uniform(6, 9, n), 10 ** rng.uniform(7, 10, n)
    loss = (1.8 + 400 / N**0.34 + 800 / D**0.28) * np.exp(noise * rng.standard_normal(n))
    return pd.DataFrame({"N": N, "D": D, "loss": loss})


def page(tmp_path, frame, *words):
    frame.to_csv(tmp_path / "runs.csv", index=False)
    out = tmp_path / "out.html"
    call = ["fit", str(tmp_path / "runs.csv"), "--report", str(out), *words]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    return out.read_text(), result.output


def figures(html):
    found = re.findall(r'<script type="application/json" id="figure-([^"]+)">(.*?)</script>', html)
    return {k: json.loads(v) for k, v in found}


def test_a_determined_law_shows_both_kinds_of_interval(tmp_path):
    frame = runs()
    frame.loc[3, "loss"] = np.nan
    words = ("--variables", "N,D", "--form", "auto", "--cost", "6*N*D", "--predict", "N*D > 1e18")
    html, _ = page(tmp_path, frame, *words)
    assert "if the form is true" in html and "90 % of new runs" in html
    for heading in ("constants", "ahead", "held", "frontier", "choice", "fit", "gains"):
        assert f'<h2 id="{heading}">' in html
    assert "1: loss is missing or not finite" in html
    drawn = figures(html)
    assert set(drawn) == {"along-0", "along-1", "fit", "residuals"}
    assert "90% of new runs" in [t["name"] for t in drawn["along-0"]["data"]]
    assert "<script src" not in html and "<link" not in html  # nothing is fetched


def test_no_law_is_drawn_where_there_is_none(tmp_path):
    x = np.logspace(3, 7, 12)
    bound = pd.DataFrame({"N": x, "loss": 5 - 0.25 * np.log(x)})
    for frame, stamp in ((bound, "fit at a bound"), (bound.head(3), "law not determined")):
        html, _ = page(tmp_path, frame, "--variables", "N", "--form", "power")
        assert stamp in html
        assert [[t["name"] for t in f["data"]] for f in figures(html).values()] == [["runs"]]
        for heading in ("ahead", "frontier", "fit", "gains"):
            assert f'<h2 id="{heading}">' not in html


def test_what_the_table_says_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    frame = runs().rename(columns={"loss": evil})
    html, _ = page(tmp_path, frame, "--variables", "N,D", "--loss", evil)
    assert evil not in html
    shown = json.dumps(figures(html))
    assert "<script" not in shown and "&lt;script" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--cost", "6*N*M"), "--cost '6*N*M' is not arithmetic on the variables N, D"),
        (("--cost", "N.__class__"), "is not arithmetic"),
        (("--report", "nowhere/out.html"), "no such folder"),
        (("--level", "90"), "a level lies between 0 and 1"),
    ],
)
def test_bad_options_leave_nothing_behind(tmp_path, words, message):
    runs().to_csv(tmp_path / "runs.csv", index=False)
    call = ["fit", str(tmp_path / "runs.csv"), "--variables", "N,D", *words]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 2 and message in result.output
    assert [p.name for p in tmp_path.iterdir()] == ["runs.csv"]


def test_the_frontier_of_a_stated_cost_is_in_the_facts(tmp_path):
    runs(noise=0).to_csv(tmp_path / "runs.csv", index=False)
    call = ["fit", str(tmp_path / "runs.csv"), "--variables", "N,D", "--cost", "6*N*D", "--json"]
    facts = json.loads(CliRunner().invoke(main, call).stdout)
    G = (0.34 * 400 / (0.28 * 800)) ** (1 / 0.62)
    for row in facts["frontier"]:
        assert row["N"] == pytest.approx(G * (row["budget"] / 6) ** (0.28 / 0.62), rel=1e-3)
