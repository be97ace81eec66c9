"""The belief's algebra against dense matrices, its draws against its moments, and its limits."""

import numpy as np
import pytest

from recscale.laws.gridded import COMBINATIONS, Gridded
from recscale.laws.inference import CELLS, believe, exact, merged
from recscale.laws.kernels import Kernel
from recscale.laws.modes import Sample
from recscale.laws.origins import origins, weights
from recscale.laws.posterior import Joint, Posterior, Rows

VARIABLES = ("N", "D")


def sample(n: int = 24, seed: int = 0, noise: float = 0.003, twice: bool = False) -> Sample:
    """Runs of an additive law with 1 % of bend, in no order of cost."""
    rng = np.random.default_rng(seed)
    x = np.log(10 ** rng.uniform((6, 7), (9, 10), (n, 2)))
    if twice:
        x = np.concatenate([x, x])
    loss = 1.8 + 400 * np.exp(-0.34 * x[:, 0]) + 800 * np.exp(-0.28 * x[:, 1])
    logy = np.log(loss) + 0.01 * np.sin(x.sum(1)) + noise * rng.standard_normal(len(x))
    return Sample(x, logy, np.zeros(len(x)), np.argsort(x.sum(1), kind="stable"))


def dense(joint: Joint, runs: Sample, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (m,) and covariance (m, m) by whole matrices: the law's constants and the discrepancy
    as one normal, conditioned on the runs."""
    law, both = joint.law, np.concatenate([runs.logx, new])
    n, g = len(runs.logx), law.slopes(both)
    cov = np.zeros((len(both), len(both)))
    for i, a in enumerate(both):
        for j, b in enumerate(both):
            wander = joint.kernel.between(a[None], b[None], joint.centre)[0, 0]
            cov[i, j] = (g[:, i] * law.prior_sd**2) @ g[:, j] + joint.amplitude**2 * wander
    noise = (joint.noise / law.noise) ** 2 * (law.noise**2 * law.units(runs) + law.extra)
    known = np.linalg.inv(cov[:n, :n] + np.diag(noise))
    before = law.formula(both) + g.T @ (law.prior_mean - law.eta)
    mean = before[n:] + cov[n:, :n] @ known @ (runs.logy - before[:n])
    return mean, cov[n:, n:] - cov[n:, :n] @ known @ cov[:n, n:]


@pytest.mark.parametrize("row", range(0, len(COMBINATIONS), 7))
def test_the_grid_and_its_joints_are_the_dense_posterior(row):
    runs = sample()
    form = Gridded.of(exact("additive", VARIABLES, runs), runs)
    new = np.log([[1e10, 1e10], [1e7, 1e12], [3e8, 3e8]])
    joint = Joint.of(form, row, 1.0)
    mean, cov = dense(joint, runs, new)
    told = form.predict(new)
    assert told[0][row] == pytest.approx(mean, abs=1e-7)
    assert told[1][row] == pytest.approx(np.diag(cov), rel=1e-4, abs=1e-8)
    moments = Posterior.of(runs, joint).moments(new)
    assert moments[0] == pytest.approx(mean, abs=1e-7)
    assert moments[1] == pytest.approx(cov, rel=1e-4, abs=1e-8)


def test_runs_in_flight_narrow_what_they_would_measure():
    runs, new = sample(), np.log([[1e10, 1e10], [2e10, 2e10]])
    form = Gridded.of(exact("additive", VARIABLES, runs), runs)
    joint = Joint.of(form, 30, 1.0)
    more = Posterior.of(runs, joint).with_runs(Rows.of(new[:1]), np.zeros(1))
    far = dense(joint, runs, new)
    expected = far[1][1, 1] - far[1][0, 1] ** 2 / (far[1][0, 0] + joint.noise**2)
    mean, cov = more.moments(new[1:])
    assert mean == pytest.approx(far[0][1:], abs=1e-7)
    assert cov[0, 0] == pytest.approx(expected, rel=1e-3)


def test_seeds_of_one_place_count_as_that_many_runs():
    runs = sample(12, twice=True)
    law = exact("additive", VARIABLES, runs)
    one = merged(runs, law)
    assert len(one.logy) == 12 and one.counts == pytest.approx(2 * np.ones(12))
    new = np.log([[1e10, 1e10], [1e7, 1e12]])
    both = [Gridded.of(law, runs), Gridded.of(_for(law, one), one)]
    a, b = (g.predict(new) for g in both)
    assert a[0] == pytest.approx(b[0], abs=1e-8) and a[1] == pytest.approx(b[1], rel=1e-6)


def _for(law, runs: Sample):
    from dataclasses import replace

    return replace(law, extra=np.zeros(len(runs.logy)))


def test_no_row_is_left_out_of_many():
    runs = sample(3000)
    cells = merged(runs, exact("additive", VARIABLES, runs))
    assert len(cells.logy) <= CELLS and cells.counts.sum() == pytest.approx(3000, rel=0.05)


def test_draws_have_the_moments_of_the_predictions_and_share_what_near_points_share():
    belief = believe("additive", VARIABLES, sample())
    new = np.log([[1e10, 1e10], [1.1e10, 1.1e10], [1e7, 1e12]])
    draws = belief.draws(20_000, 0, new)
    mean, var = belief.predict(new)
    assert draws.mean(0) == pytest.approx(mean, abs=0.003)
    assert draws.std(0) == pytest.approx(np.sqrt(var), rel=0.25)
    sd = draws.std(0)
    assert (draws[:, 1] - draws[:, 0]).std() < 0.3 * sd[0] < 0.3 * np.hypot(sd[0], sd[2])
    assert (belief.draws(50, 0, new) == belief.draws(50, 0, new)).all()


def test_origins_know_only_the_cheap_or_the_small():
    runs = sample(30)
    masks = origins(runs)
    cost = runs.logx.sum(1)
    for known in masks:
        by = [cost, *runs.logx.T]
        assert any(v[known].max() <= v[~known].min() + 1e-9 for v in by)
    assert len({k.tobytes() for k in masks}) == len(masks) > 6


def test_before_any_forecast_all_combinations_count_alike():
    assert weights((), np.zeros((2, 3)), 5) == pytest.approx(np.full((5, 2), 0.2))


@pytest.mark.parametrize("kernel", [Kernel("rbf", 0.5), Kernel("brownian", 1.0)])
def test_kernels_are_covariances(kernel):
    x = sample(20).logx
    k = kernel.between(x, x, x.mean(0))
    assert k == pytest.approx(k.T) and np.linalg.eigvalsh(k).min() > -1e-9
    assert np.diag(k) == pytest.approx(kernel.own(x, x.mean(0)))


def test_a_belief_of_one_run_answers():
    one = Sample(np.log([[1e6, 1e7]]), np.log([2.0]), np.zeros(1), np.zeros(1, int))
    mean, low, high = believe("additive", VARIABLES, one).interval(one.logx, 0.9)
    assert low[0] < mean[0] < high[0] and mean[0] == pytest.approx(2.0, rel=0.1)


def test_losses_not_far_below_a_guess_are_followed_by_the_bounded_law():
    """As next-item models lose: wide ones gain ever more with data, which no sum of powers has."""
    rng = np.random.default_rng(4)
    width, data = np.meshgrid([8.0, 16.0, 32.0], np.geomspace(1.1e4, 1.8e5, 5))
    x = np.log(np.c_[width.ravel(), data.ravel()])
    large = np.log([[48.0, 1.1e6]])

    def loss(at):
        short = 9 * np.exp(-0.75 * at[:, 0]) + 9e3 * np.exp(-0.8 * at[:, 1])
        return 3.8 + 3.1 * short / (1 + short)

    logy = np.log(loss(x)) + 0.002 * rng.standard_normal(len(x))
    runs = Sample(x, logy, np.zeros(len(x)), np.argsort(x.sum(1), kind="stable"))
    belief = believe("bounded", ("width", "samples"), runs)
    assert [g.law.form.name for g in belief.forms] == ["bounded", "additive", "gamma"]
    bounded, additive, gamma = (g.law.noise for g in belief.forms)
    assert bounded < 0.004 < 0.007 < min(additive, gamma)
    assert belief.shares(large).reshape(3, -1).sum(1).argmax() == 0
    middle, low, high = belief.interval(large, 0.9)
    assert low[0] < loss(large)[0] < high[0]
    assert middle[0] == pytest.approx(loss(large)[0], rel=0.05)
