"""The constants of `recscale.laws.learnt`, learnt on half of the suites and judged on the other.

    python tests/benchmarks/laws_learn.py

Prints for each half error, coverage and Winkler score of 90 % intervals by class of distance, with
the constants as they are and with those learnt on the other half; then those learnt on all. Every
suite counts alike within a class.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import t as student
from suites import splits

from recscale.laws import belief, fit, learnt, origins
from recscale.laws.belief import Belief

NAMES = ("TRUST", "SPREAD", "FLOOR", "DRIFT")
HALVES = ("porian", "routing", "rates", "srt"), ("gadre", "epoch", "datablations", "sparsity")
WORST = -8.0  # log density below which a miss counts no more


@dataclass(frozen=True)
class Kept(Belief):
    """A belief that remembers the combinations' predictions of the runs to predict."""

    parts: tuple[np.ndarray, np.ndarray] = (np.empty(0), np.empty(0))

    def _parts(self, logx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.parts


@dataclass(frozen=True)
class Case:
    suite: str
    table: str
    kind: tuple[str, int]
    logx: np.ndarray
    logy: np.ndarray
    believed: Kept

    def with_constants(self, values: np.ndarray) -> Kept:
        """The belief, under these values of NAMES, which are set for all."""
        origins.TRUST, belief.SPREAD, belief.FLOOR, belief.DRIFT = values
        return self.believed

    def density(self, values: np.ndarray) -> float:
        """Mean log density of the runs predicted."""
        b = self.with_constants(values)
        share, (mean, var) = b.shares(self.logx), b._parts(self.logx)
        centre = (share * mean).sum(0)
        mean = centre + belief.SPREAD * (mean - centre)
        var = belief.SPREAD**2 * var + b._noises(self.logx) ** 2 + b._apart(self.logx)
        each = student.logpdf(self.logy, b.df, mean, np.sqrt(var))
        return float(np.maximum(logsumexp(each, b=share, axis=0), WORST).mean())

    def row(self, values: np.ndarray) -> dict:
        m, low, high = np.log(self.with_constants(values).interval(self.logx, 0.9))
        miss = np.maximum(low - self.logy, 0) + np.maximum(self.logy - high, 0)
        return {
            "suite": self.suite, "table": self.table, "kind": f"{self.kind[0]} {self.kind[1]}x",
            "error_percent": 100 * np.abs(m - self.logy).mean(),
            "coverage": float((miss == 0).mean()),
            "width_percent": 100 * (high - low).mean(),
            "winkler_percent": 100 * (high - low + 20 * miss).mean(),
        }  # fmt: skip


def cases() -> list[Case]:
    out = []
    for s in splits():
        form = "additive" if len(s.variables) > 1 else "power"
        b = fit(s.fitted, form, list(s.variables)).belief
        logx = np.log(s.predicted[list(s.variables)].to_numpy(float))
        kept = Kept(b.sample, b.forms, b.past, b._parts(logx))
        logy = np.log(s.predicted["loss"].to_numpy(float))
        out.append(Case(s.suite, s.table, (s.kind, s.beyond), logx, logy, kept))
    return out


def weights(these: list[Case]) -> np.ndarray:
    """Classes count alike, suites in a class, tables in a suite, splits of a table."""
    d = pd.DataFrame([(c.kind, c.suite, c.table) for c in these], columns=pd.Index(["k", "s", "t"]))
    splits_of = d.groupby(["k", "s", "t"])["k"].transform("size").to_numpy(float)
    tables_of = d.groupby(["k", "s"])["t"].transform("nunique").to_numpy(float)
    suites_of = d.groupby("k")["s"].transform("nunique").to_numpy(float)
    return 1 / (splits_of * tables_of * suites_of)


def learn(these: list[Case], start: np.ndarray) -> np.ndarray:
    w = weights(these)

    def cost(logs):
        return -np.average([c.density(np.exp(logs)) for c in these], weights=w)

    options = {"maxfev": 90, "xatol": 0.03, "fatol": 1e-3}
    return np.exp(minimize(cost, np.log(start), method="Nelder-Mead", options=options).x)


def table(these: list[Case], values: np.ndarray) -> pd.DataFrame:
    rows = pd.DataFrame([c.row(values) for c in these])
    for level in (["kind", "suite", "table"], ["kind", "suite"], ["kind"]):
        rows = pd.DataFrame(rows.groupby(level).mean(numeric_only=True).reset_index())
    return rows.set_index("kind").round(3)


def main() -> None:
    every, now = cases(), np.array([getattr(learnt, n) for n in NAMES])
    halves = [[c for c in every if c.suite in half] for half in HALVES]
    for name, judged, other in zip(HALVES, halves, halves[::-1], strict=True):
        found = learn(other, now)
        print(f"judged on {', '.join(name)}: {len(judged)} splits")
        print(table(judged, now).to_string())
        print("constants of the other half:", dict(zip(NAMES, found.round(2), strict=True)))
        print(table(judged, found).to_string(), flush=True)
    print("all, as they are:")
    print(table(every, now).to_string())
    print("learnt on all:", dict(zip(NAMES, learn(every, now).round(2), strict=True)))


if __name__ == "__main__":
    main()
