"""Points of one training: what they share, against whole matrices and planted trainings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recscale.laws import fit
from recscale.laws.convergence import needed
from recscale.laws.gridded import COMBINATIONS, Gridded
from recscale.laws.inference import exact
from recscale.laws.modes import Fitted, Sample, mode
from recscale.laws.posterior import Joint, Posterior, Rows
from recscale.laws.trainings import ALONG, EACH, MOST, thinned
from recscale.planner.value import Goal, _gains, ways

VARIABLES = ("N", "D")


def trainings(
    seed: int = 0, many: int = 8, points: int = 5, common: float = 0.01, own: float = 0.001
) -> Sample:
    """Trainings of an additive law, each seen at several points, with a shift of its own."""
    rng = np.random.default_rng(seed)
    size = np.repeat(rng.uniform(6, 9, many), points)
    data = np.tile(np.linspace(7, 9, points), many)
    x = np.log(10.0) * np.stack([size, data], 1)
    code = np.repeat(np.arange(many), points)
    loss = 1.8 + 400 * np.exp(-0.34 * x[:, 0]) + 800 * np.exp(-0.28 * x[:, 1])
    apart = np.exp(-np.abs(data[:points, None] - data[:points]) / ALONG)
    shift = (np.linalg.cholesky(apart) @ rng.standard_normal((points, many))).T.ravel()
    logy = np.log(loss) + common * shift + own * rng.standard_normal(len(x))
    return Sample(x, logy, np.zeros(len(x)), np.argsort(x.sum(1), kind="stable"), training=code)


def noise_of(law: Fitted, runs: Sample) -> np.ndarray:
    """Covariance of the rows about the law, entry by entry."""
    n, units = len(runs.logy), law.units(runs)
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if runs.codes[i] == runs.codes[j]:
                apart = np.abs(runs.logx[i] - runs.logx[j]).sum() / np.log(10)
                out[i, j] = law.shared * np.sqrt(units[i] * units[j]) * np.exp(-apart / ALONG)
        out[i, i] += (1 - law.shared) * units[i] + law.extra[i] / law.noise**2
    return law.noise**2 * out


@pytest.mark.parametrize("row", range(0, len(COMBINATIONS), 11))
def test_the_grid_and_its_joints_are_the_dense_posterior(row):
    runs = trainings()
    form = Gridded.of(exact("additive", VARIABLES, runs), runs)
    law, new = form.law, np.log([[1e10, 1e10], [1e7, 1e12]])
    assert law.shared > 0
    joint = Joint.of(form, row, 1.0)
    both = np.concatenate([runs.logx, new])
    g, n = law.slopes(both), len(runs.logy)
    cov = (g.T * law.prior_sd**2) @ g
    cov += joint.amplitude**2 * joint.kernel.between(both, both, joint.centre)
    known = np.linalg.inv(cov[:n, :n] + (joint.noise / law.noise) ** 2 * noise_of(law, runs))
    before = law.formula(both) + g.T @ (law.prior_mean - law.eta)
    mean = before[n:] + cov[n:, :n] @ known @ (runs.logy - before[:n])
    after = cov[n:, n:] - cov[n:, :n] @ known @ cov[:n, n:]
    told = form.predict(new)
    assert told[0][row] == pytest.approx(mean, abs=1e-6)
    assert told[1][row] == pytest.approx(np.diag(after), rel=1e-3, abs=1e-8)
    moments = Posterior.of(runs, joint).moments(new)
    assert moments[0] == pytest.approx(mean, abs=1e-6)
    assert moments[1] == pytest.approx(after, rel=1e-3, abs=1e-8)


def test_what_trainings_share_is_found():
    strong = [mode(law.form, runs) for runs, law in _fitted(common=0.01, own=0.001)]
    assert np.mean([law.shared >= 0.6 for law in strong]) >= 0.75
    assert np.median([law.noise for law in strong]) == pytest.approx(0.01, rel=0.35)
    none = [mode(law.form, runs) for runs, law in _fitted(common=0.0, own=0.004)]
    assert np.mean([law.shared <= 0.3 for law in none]) >= 0.75


def _fitted(**how):
    for seed in range(8):
        runs = trainings(seed, many=16, **how)
        yield runs, exact("additive", VARIABLES, replace(runs, training=None))


def test_candidates_tell_what_they_pass_on_their_way():
    runs = trainings()
    form = Gridded.of(exact("additive", VARIABLES, runs), runs)
    posterior = Posterior.of(runs, Joint.of(form, 30, 1.0))
    x = np.log(10.0) * np.array([[7, 7.2], [8, 8.0], [7, 8.1], [7, 9.4], [6.5, 9.0]])
    pool = Rows.of(x, np.array([50, 51, 50, 50, -1]))
    extra = np.array([1e-5, 2e-5, 3e-5, 4e-5, 5e-5])
    assert ways(pool).tolist() == [[0, 2, 3], [1, -1, -1], [4, -1, -1]]
    goal = Goal.losses(np.log([[1e10, 1e10], [1e9, 1e11]]))
    gain, before = _gains(posterior, goal, pool, extra, ways(pool))
    for at, passed in ((0, [0]), (1, [1]), (2, [0, 2]), (3, [0, 2, 3]), (4, [4])):
        rows = Rows.of(x[passed], pool.codes[passed])
        _, cov = posterior.with_runs(rows, extra[passed]).moments(goal.logx)
        left = np.trace(goal.contrasts @ cov @ goal.contrasts.T)
        assert gain[at] == pytest.approx(before - left, rel=1e-5, abs=1e-12)


def test_going_on_with_a_training_tells_what_its_points_have_in_common():
    """A second point of a training that is done says less of the law's level than one of another
    training at the same place."""
    runs = trainings(common=0.02, own=0.0005)
    form = Gridded.of(exact("additive", VARIABLES, runs), runs)
    posterior = Posterior.of(runs, Joint.of(form, 2, 1.0))
    at = runs.logx[[4]] + [[0.0, 0.3]]
    pool = Rows.of(np.repeat(at, 2, 0), np.array([runs.codes[4], 99]))
    gain, _ = _gains(posterior, Goal.losses(at), pool, np.zeros(2), ways(pool))
    assert gain[1] > gain[0] > 0


def test_the_samples_that_a_size_needs_are_those_of_the_planted_law():
    rng = np.random.default_rng(3)
    n, d = 10 ** rng.uniform(6, 9, 50), 10 ** rng.uniform(7, 10, 50)
    loss = (1.8 + 400 / n**0.34 + 800 / d**0.28) * np.exp(0.001 * rng.standard_normal(50))
    law = fit(pd.DataFrame({"N": n, "D": d, "loss": loss}), "additive", ["N", "D"])
    at = np.log([[1e6, 1.0], [1e9, 1.0]])
    for within in (0.1, 0.03):
        limit = 1.8 + 400 / np.exp(at[:, 0]) ** 0.34
        true = (800 / (within * limit)) ** (1 / 0.28)
        value, low, high = needed(law, at, 1, within, 0.9).T
        assert (np.abs(np.log(value / true)) < 0.4).all()
        assert (low < true).all() and (true < high).all() and (high / low < 10).all()
    assert np.isinf(needed(law, at, 1, 1e-6, 0.9)).all()


def test_a_table_of_many_checkpoints_is_fitted_from_some():
    many = trainings(many=400, points=20)
    some = thinned(many.codes)
    assert MOST <= len(some) < MOST + EACH
    law = exact("additive", VARIABLES, many)
    all_of_some = exact("additive", VARIABLES, many.take(some))
    assert law.shared == pytest.approx(all_of_some.shared, abs=0.1)
    assert law.noise == pytest.approx(all_of_some.noise, rel=0.2)
    frame = pd.DataFrame(np.exp(many.logx), columns=pd.Index(VARIABLES))
    frame = frame.assign(loss=np.exp(many.logy), run=many.codes)
    few = fit(frame.iloc[many.codes < 40], "additive", VARIABLES, cluster="run")
    ends = few.intervals(0.95).set_index("coefficient")
    low, high = (float(ends[c].to_dict()["alpha_N"]) for c in ("low", "high"))
    assert low < 0.34 < high
    one_long = np.zeros(5000, int)
    assert len(thinned(one_long)) == EACH
