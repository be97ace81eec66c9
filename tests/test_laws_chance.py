"""`converged` holds what it says: losses that follow nothing are no law, wherever it is shown."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from planted_study import SWEEP, planted, record

from recscale.cli import main
from recscale.engine.monitor import tell_law
from recscale.laws import LawError, Status, fit, fit_table
from recscale.laws.inference import believe
from recscale.laws.modes import Sample
from recscale.ledger import Ledger
from recscale.planner import planned_runs
from recscale.planner.choose import Choice
from recscale.planner.search import by_chance
from recscale.report.page import render
from recscale.study import Study, law_facts, plan_entry


def noise(seed: int, n: int = 6, sd: float = 0.02) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    N, D = 10 ** rng.uniform(5, 8, (2, n))
    return pd.DataFrame({"N": N, "D": D, "loss": 2 * np.exp(sd * rng.standard_normal(n))})


def law_of(seed: int, n: int, sd: float) -> pd.DataFrame:
    frame = noise(seed, n, sd)
    return frame.assign(loss=frame.loss * (0.9 + 20 / frame.N**0.34 + 40 / frame.D**0.28))


def test_noise_is_called_converged_in_no_more_tables_than_the_level_says():
    found = Counter(fit(noise(seed), "power", ["N"]).status for seed in range(60))
    assert found[Status.UNINFORMATIVE] >= 6  # such tables converge, if nobody asks
    assert found[Status.CONVERGED] <= 0.05 * 60


@pytest.mark.parametrize("n", [8, 16, 40])
def test_laws_with_the_noise_of_real_runs_stay_laws(n: int):
    found = Counter(fit(law_of(seed, n, 0.005), "additive", ["N", "D"]).status for seed in range(3))
    assert found[Status.UNINFORMATIVE] == 0


def test_noise_is_no_law_at_a_bound_either():
    """Two effects of nothing end at 0, and an answer would be read off what is left."""
    found = Counter(fit(noise(seed, 14), "additive", ["N", "D"]).status for seed in range(40))
    assert found[Status.BOUND_HIT] + found[Status.CONVERGED] <= 0.05 * 40


def test_one_run_that_went_astray_hides_no_law():
    frame = law_of(3, 14, 0.002)
    frame.loc[[2, 9], "loss"] *= 10
    assert fit(frame, "additive", ["N", "D"]).status is not Status.UNINFORMATIVE


def uninformative() -> pd.DataFrame:
    return next(
        f for f in map(noise, range(50)) if fit(f, "power", ["N"]).status == "uninformative"
    )


def test_what_follows_nothing_answers_nothing_and_says_why():
    frame = uninformative()
    law = fit(frame, "power", ["N"])
    assert "no better than values that do not depend on N" in law.reason and "p = " in law.reason
    assert np.isfinite(law.objective) and np.isfinite(law.intervals()["low"]).all()
    for ask in (law.slopes, law.verdicts, lambda: law.predict({"N": 1e9})):
        with pytest.raises(LawError, match="the law is uninformative: loss is fitted no better"):
            ask()
    facts = fit_table(frame, variables=["N"], form="power", cost="N")
    assert facts["status"] == "uninformative" and facts["slopes"] == facts["frontier"] == []
    assert "no law can be stated" in facts["answers"][0]


def test_the_page_of_such_a_table_draws_no_law(tmp_path):
    uninformative().to_csv(tmp_path / "runs.csv", index=False)
    out = tmp_path / "law.html"
    words = ["fit", str(tmp_path / "runs.csv"), "--variables", "N", "--form", "power", "--report"]
    result = CliRunner().invoke(main, [*words, str(out)])
    assert result.exit_code == 0 and "uninformative, 6 rows" in result.output
    assert "no better than chance: no law drawn" in out.read_text()
    assert 'id="figure-fit"' not in out.read_text()


class Told:
    """Gauges as a dictionary."""

    def __init__(self):
        self.gauges = {}

    def tell(self, name, value, *labels):
        self.gauges[(name, *labels)] = value


SMALL = (
    SWEEP.replace("[table_params, dense_params, samples]", "[samples]")
    .replace("form: additive", "form: power")
    .replace("embedding_dim: [4, 8, 16, 32]", "embedding_dim: 8")
    .replace("sequence_depth: [0, 1, 2]", "sequence_depth: 0")
    .replace("{tune: [1, 3]}", "{dense: 1e-3}")
)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[str, Study]:
    """A sweep whose runs ended anywhere, for most seeds of which a law would be drawn."""
    root = tmp_path_factory.mktemp("noise")
    whole = Study.of(planted(root / "whole", SMALL, mishaps=False))
    for seed in range(40):
        rng, path = np.random.default_rng(seed), root / str(seed)
        runs = planned_runs(whole.spec, whole.data)
        ledger = Ledger(path)
        ledger.append("plan", **plan_entry(whole.spec, whole.data, runs))
        for p in runs:
            r = record(p)
            ne = 0.8 * np.exp(0.01 * rng.standard_normal())
            last = r.curve[-1].model_copy(
                update={"eval_loss": 0.5623 * ne, "metrics": {**r.curve[-1].metrics, "eval_ne": ne}}
            )
            ledger.record(r.model_copy(update={"curve": (*r.curve[:-1], last)}))
        found = Study.open(str(path))
        if found.law().status is Status.UNINFORMATIVE:
            return str(path), found
    raise AssertionError("no such sweep among 40")


def test_a_sweep_of_noise_says_so_wherever_its_law_is_shown(study):
    path, found = study
    facts = law_facts(found)
    assert facts["status"] == "uninformative" and "no better than" in facts["why"]
    assert json.loads(CliRunner().invoke(main, ["status", path, "--json"]).output)["law"] == facts
    told = CliRunner().invoke(main, ["status", path]).output
    assert "law: not determined yet" in told
    asked = CliRunner().invoke(main, ["ask", path, "--compute", "10x"])
    assert asked.exit_code == 0 and "No advice for" in asked.output
    assert "eval_ne is fitted no better than" in asked.output and "To know, run" in asked.output
    assert "is not determined: eval_ne is fitted no better" in render(found)
    gauges = Told()
    tell_law(gauges, found)  # type: ignore[arg-type]
    assert {k[1]: v for k, v in gauges.gauges.items() if k[0] == "law"} == {
        "converged": 0, "bound_hit": 0, "uninformative": 1, "underdetermined": 0
    }  # fmt: skip


@pytest.mark.parametrize("make", [noise, law_of])
def test_a_search_knows_a_law_from_chance(make):
    frame = make(0, 10, 0.01)
    logx, logy = np.log(frame[["N", "D"]].to_numpy()), np.log(frame["loss"].to_numpy())
    sample = Sample(logx, logy, np.zeros(10), np.argsort(logx.sum(1)))
    belief = believe("additive", ("N", "D"), sample)
    choice = Choice(None, 0.0, 0.0, 0, 0, 0.0, belief)
    assert by_chance(choice) == (make is noise)
