"""A fitted law: its constants, how far to believe them, and the questions it answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from recscale.laws import crosscheck, frontier, intervals, slopes, verdicts
from recscale.laws.belief import Belief
from recscale.laws.forms import Form
from recscale.laws.modes import Sample
from recscale.laws.nouns import LawError, Points, Status
from recscale.laws.points import query, undetermined
from recscale.laws.polish import residuals
from recscale.laws.search import Optimum, optimum
from recscale.laws.trainings import common

WORST = 5  # largest residuals left out to show how much the law leans on them


@dataclass(frozen=True)
class ScalingLaw:
    """The result of `fit`. Frozen; every answer is recomputed from the points it holds.

    Attributes:
        form: name of the form.
        status: converged, bound_hit, uninformative or underdetermined; see `Status`.
        reason: one sentence behind a status other than converged, else "".
        coefficients: constant -> value (NaN when underdetermined).
        objective: sum_i w_i Huber_delta(log residual); NaN when underdetermined.
        delta: Huber's threshold in log loss; inf for least squares.
        n: rows used; `points.runs` counts independent runs.
        dropped: rows left out, each {"row", "reason"}.
        gradient_norm: largest scaled slope of the objective at the optimum (0 at a true minimum).
        optima: how many different local minima the search met.
        condition: ratio of the largest to the smallest singular value of the scaled derivatives.
        bounds_hit: the coefficients that lie at an end of their range.
        choice: for form="auto", one row per form tried with its rolling-origin error; else None.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from recscale.laws import fit
        >>> rng = np.random.default_rng(0)
        >>> N, D = 10 ** rng.uniform(6, 9, 40), 10 ** rng.uniform(7, 10, 40)
        >>> loss = (1.8 + 400 / N**0.34 + 800 / D**0.28) * np.exp(0.002 * rng.normal(size=40))
        >>> law = fit(pd.DataFrame({"N": N, "D": D, "loss": loss}), "additive", ["N", "D"])
        >>> law.status.value, law.n, law.bounds_hit
        ('converged', 40, ())
        >>> ends = law.intervals(0.95).set_index("coefficient")
        >>> ends.loc["alpha_N", ["low", "high"]].astype(float).round(3).to_list()
        [0.333, 0.345]
        >>> low, high = law.profile()  # of the constant E, another way
        >>> round(float(low), 2), round(float(high), 2)
        (1.77, 1.83)
        >>> law.predict({"N": 1e10, "D": 1e11}, level=0.9).round(2)  # a decade beyond the runs
           mean  low  high  decades
        0  2.62  2.6  2.64     1.01
        >>> law.slopes({"N": 1e8, "D": 1e9})[["variable", "slope"]].round(3)  # per doubling
          variable  slope
        0        N -0.162
        1        D -0.426
        >>> law.change({"N": 1e8, "D": 1e9}, {"N": 1e8, "D": 4e9}).round(3)
           change   low   high
        0  -0.777 -0.78 -0.772
        >>> law.verdicts()[["variable", "verdict"]].to_numpy().tolist()
        [['N', 'power-law'], ['D', 'power-law']]
        >>> row = law.frontier([1e19, 1e21], cost=lambda N, D: 6 * N * D).iloc[1]
        >>> bool(row.N_low < row.N < row.N_high), float(round(6 * row.N * row.D / 1e21, 6))
        (True, 1.0)
        >>> flop = lambda N, D: 6 * N * D
        >>> law.isoflop(flop)[["runs", "decades_off"]].round(2)  # runs alike in compute
           runs  decades_off
        0     4        -0.44
        1     5         0.12
        >>> law.envelope(flop)["label"].iloc[0]
        'biased towards the sizes that were run'
        >>> law.bootstrap(200, seed=0).shape  # one row a replicate
        (200, 5)
    """

    model: Form
    points: Points
    status: Status
    reason: str
    coefficients: dict[str, float]
    objective: float
    delta: float
    theta: np.ndarray
    minima: np.ndarray
    gradient_norm: float
    optima: int
    condition: float
    bounds_hit: tuple[str, ...]
    choice: pd.DataFrame | None = None

    @property
    def form(self) -> str:
        return self.model.name

    @property
    def variables(self) -> tuple[str, ...]:
        return self.points.variables

    @property
    def n(self) -> int:
        return self.points.n

    @property
    def dropped(self) -> tuple[dict, ...]:
        return self.points.dropped

    @cached_property
    def without_worst(self) -> dict[str, float]:
        """Coefficients refitted without the five largest residuals; empty if too few remain."""
        self.require()
        r = np.abs(self.residuals)
        kept = np.sort(np.argsort(r)[: self.n - WORST])
        rest = self.points.take(kept)
        if self.n - WORST <= len(self.theta) or undetermined(rest, self.model):
            return {}
        theta = optimum(self.model, rest.logx, rest.y, rest.weights, self.delta).theta
        values = self.model.coefficients(theta[None])[0]
        return {c: float(v) for c, v in zip(self.model.names, values, strict=True)}

    @cached_property
    def squares(self) -> Optimum:
        """The log least-squares fit of the same form and points; intervals of few runs use it."""
        p = self.points
        return optimum(self.model, p.logx, p.y, p.weights, np.inf)

    @cached_property
    def resampled(self) -> np.ndarray:
        """theta (REPLICATES, k): the draws behind every interval, made once."""
        return intervals.draws(self, intervals.REPLICATES, intervals.SEED)

    @cached_property
    def belief(self) -> Belief:
        """What every prediction shares, learnt from the runs once."""
        from recscale.laws.inference import belief_of  # here: it builds forms, as `fit` does

        p = self.points
        order = np.argsort(p.rank, kind="stable")
        codes = p.cluster if p.runs < p.n else None
        sample = Sample(p.logx, np.log(p.y), np.zeros(p.n), order, p.weights, codes)
        return belief_of(self.model, sample)

    @cached_property
    def independent(self) -> int:
        """Independent rows that the points are worth; of rows of one training fewer than there
        are."""
        if self.points.runs == self.points.n:
            return self.points.n
        off, jac, _ = residuals(
            self.model, self.theta[None], self.points.logx, np.log(self.points.y)
        )
        return common(self.points, off[0], jac[0]).runs

    @property
    def residuals(self) -> np.ndarray:
        """log f(x_i) - log y_i, (n,)."""
        p = self.points
        return residuals(self.model, self.theta[None], p.logx, np.log(p.y))[0][0]

    def summary(self) -> str:
        """What `recscale fit` prints: formula, status, constants with their intervals, answers."""
        from recscale.laws.facts import describe, plain  # here: facts are of a law
        from recscale.laws.text import law_lines

        return "\n".join(law_lines(plain(describe(self))))

    def __str__(self) -> str:
        return self.summary()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """In notebooks; `repr` stays that of a dataclass, as debuggers ask for it often."""
        printer.text(self.summary())

    def require(self) -> None:
        """Raises LawError with the reason if there is no law to answer from."""
        if not self.status.determined:
            raise LawError(f"the law is {self.status}: {self.reason}")

    def value(self, points: pd.DataFrame | Mapping[str, Any]) -> np.ndarray:
        """The fitted formula at m points, (m,); a curve to draw, not a prediction with a band."""
        self.require()
        logx = self._at(_frame(points))
        return self.model.evaluate(self.theta[None], logx)[0][0]

    def intervals(self, level: float = 0.95) -> pd.DataFrame:
        """Where each constant lies if the form is true: coefficient, low, high, method."""
        return intervals.intervals(self, level)

    def profile(self, level: float = 0.95) -> tuple[float, float]:
        """Where the constant (E, gamma, ceiling) lies by profile likelihood in log least squares.

        `intervals` uses it below 60 runs; above, where outliers can pull squares off, it shows
        the bootstrap's interval and this is the second opinion.
        """
        self.require()
        return intervals.profile(self, self.squares, intervals.checked(level))

    def bootstrap(self, n: int = 1000, seed: int = 0) -> pd.DataFrame:
        """Resampled constants, one row a replicate, each searched globally."""
        self.require()
        return pd.DataFrame(
            self.model.coefficients(intervals.draws(self, n, seed)), columns=list(self.model.names)
        )

    def predict(self, points: pd.DataFrame | Mapping[str, Any], level: float = 0.9) -> pd.DataFrame:
        """What a new run at each point would measure: mean, low, high, decades.

        The interval holds the law's uncertainty, the distance real losses keep from any formula,
        and the noise of a single run. `decades` is how far the point lies beyond the largest run,
        along the variable that is furthest out (0 inside).

        Raises:
            LawError: the law is not determined, or a point lacks a positive value on an axis.
        """
        self.require()
        frame = _frame(points)
        logx = self._at(frame)
        mean, low, high = self.belief.interval(logx, intervals.checked(level))
        return pd.DataFrame(
            {"mean": mean, "low": low, "high": high, "decades": self.decades(logx)},
            index=frame.index,
        )

    def draws(
        self, points: pd.DataFrame | Mapping[str, Any], n: int = 1000, seed: int = 0
    ) -> np.ndarray:
        """Expected log losses (n, m) at m points, drawn together: what one point is off by, its
        neighbours share, so that the difference of two points has its own, narrower interval.
        One run differs from what is expected of it by `noise`.

        Raises:
            LawError: the law is not determined, or a point lacks a positive value on an axis.
        """
        self.require()
        return self.belief.draws(n, seed, self._at(_frame(points)))

    @property
    def noise(self) -> float:
        """Standard deviation of log loss of one run about what is expected of it, as believed."""
        return self.belief.noise

    def _at(self, frame: pd.DataFrame) -> np.ndarray:
        return query(frame, self.variables, self.points.levels)

    def decades(self, logx: np.ndarray) -> np.ndarray:
        """Decades beyond the largest run on the furthest axis, (m,), from log points (m, p)."""
        beyond = (logx - self.points.logx.max(0)).max(1) / np.log(10)
        return np.maximum(beyond, 0.0)

    def slopes(self, at: Mapping[str, float] | None = None, level: float = 0.9) -> pd.DataFrame:
        """Change of the loss when each variable alone doubles, with its interval.

        Args:
            at: the point to start from, variable -> value; None for the largest run.

        Returns:
            frame: variable, slope, low, high, decades, method; negative slopes are gains.
        """
        self.require()
        return slopes.slopes(self, at, intervals.checked(level))

    def change(
        self,
        before: Mapping[str, float],
        after: pd.DataFrame | Mapping[str, Any],
        level: float = 0.9,
    ) -> pd.DataFrame:
        """Change of the loss from one run to each of m others, by the formula.

        The interval is of the constants and holds if the form is true; the noise of the two runs
        is not in it. Both ends share the constants, so it is far narrower than the difference of
        two predictions.

        Returns:
            frame: change (negative: the loss falls), low, high; one row per row of `after`.

        Raises:
            LawError: the law is not determined, or a point lacks a positive value on an axis.
        """
        self.require()
        frame, base = _frame(after), self._at(_frame(before))
        ends = slopes.change(self, base, self._at(frame), intervals.checked(level))
        return pd.DataFrame(
            dict(zip(("change", "low", "high"), ends[:3], strict=True)), index=frame.index
        )

    def verdicts(self, at: Mapping[str, float] | None = None, level: float = 0.9) -> pd.DataFrame:
        """Whether each axis still pays at a point (None: the largest run), against run noise.

        power-law: a doubling surely gains more than two runs differ by chance; saturated: it
        surely gains less; transition: the interval holds both.

        Returns:
            frame: variable, verdict, gain (per doubling, positive is good), low, high, noise
            (sd of one run), noise_from ("replicates" or "residuals").
        """
        self.require()
        return verdicts.verdicts(self, at, intervals.checked(level))

    def isoflop(self, cost: Callable[..., Any]) -> pd.DataFrame:
        """Parabola per budget as a cross-check of the frontier; see `crosscheck.isoflop`."""
        return crosscheck.isoflop(self, cost)

    def envelope(self, cost: Callable[..., Any]) -> pd.DataFrame:
        """Runs no cheaper run beats, as a cross-check; see `crosscheck.envelope`."""
        return crosscheck.envelope(self, cost)

    def frontier(
        self,
        budgets: Sequence[float],
        cost: Callable[..., Any],
        level: float = 0.9,
        within: Mapping[str, tuple[float, float]] | None = None,
    ) -> pd.DataFrame:
        """The cheapest way to the lowest loss at each budget.

        Args:
            budgets: in the unit `cost` returns (FLOPs, GPU-seconds, $).
            cost: takes the variables by name, as arrays; grows with each of them.
            within: variable -> (lowest, highest) value that can be had; by default 8 decades
                beyond the runs on either side. A budget that it cannot use up is left over.

        Returns:
            frame: budget, each variable with _low and _high (the band on the optimum from the
            constants' draws), loss with loss_low and loss_high (a prediction), decades, edge:
            the variables that met the end of the search or that the
            cost does not count, and that therefore stay at the largest run's value.
        """
        self.require()
        return frontier.frontier(self, budgets, cost, intervals.checked(level), within)


def _frame(points: pd.DataFrame | Mapping[str, Any]) -> pd.DataFrame:
    if isinstance(points, pd.DataFrame):
        return points
    return pd.DataFrame({k: np.atleast_1d(np.asarray(v)) for k, v in points.items()})
