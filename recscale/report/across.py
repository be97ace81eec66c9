"""Sweeps side by side: two of them, or one before and after a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from recscale.advice.families import timed
from recscale.advice.gains import LEVEL, law_runs, where
from recscale.advice.headlines import known, sentence, tried
from recscale.frame import settings
from recscale.report import figures, plot
from recscale.report.figures import envelope
from recscale.report.page import drawn, packed_plotly, script_json, templates
from recscale.report.plot import COLOURS
from recscale.report.runs import runs_data
from recscale.run import LATENCY, SERVED
from recscale.study import Study
from recscale.words import listed, number, quantity, span

AHEAD = 10.0
"""Times the largest run of all sweeps: the compute that each one's advice is asked at."""


class Incomparable(ValueError):
    """Sweeps that measure different things, and what to do."""


@dataclass(frozen=True)
class Pairs:
    """Loss of a sweep's runs minus that of the first sweep's, between runs of one configuration,
    learning rate and seed.

    Attributes:
        n: how many there are.
        change, low, high: their mean, and its interval at LEVEL by Student's t; NaN where fewer
            than two pairs give none.
        same: how many of them are one training, recorded in both.
    """

    n: int
    change: float
    low: float
    high: float
    same: int


@dataclass(frozen=True)
class Across:
    """Attributes:
    names: what each sweep is called.
    ended: of each, the runs that enter its law, with the latency of their networks.
    loss: the column in which they are compared.
    flop: the compute up to which every sweep has runs, the lesser of their largest.
    pairs: of every sweep but the first, beside it.
    served: the latency (`probes`, seconds) down to which every sweep has runs, the greater of their
        smallest; None where it was not measured in all of them, on machines of one kind.
    """

    names: tuple[str, ...]
    studies: tuple[Study, ...]
    frames: tuple[pd.DataFrame, ...]
    ended: tuple[pd.DataFrame, ...]
    loss: str
    flop: float
    pairs: tuple[Pairs, ...]
    served: float | None

    def rows(self) -> list[list[str]]:
        """A row a sweep: name, runs, spend, best loss, best at equal compute, and beside the
        first."""
        sides = zip(self.names, self.studies, self.ended, ("", *self.pairs), strict=True)
        return [self._row(*side) for side in sides]

    def _row(self, name: str, study: Study, runs: pd.DataFrame, pairs: Pairs | str) -> list[str]:
        used = study.spent
        equal = where(runs, runs["train_flop"] <= self.flop * (1 + 1e-9))
        fast = None
        if self.served is not None:
            fast = where(runs, runs[LATENCY] <= self.served * (1 + 1e-9))
        return [
            name,
            f"{study.count('done')} of {len(study.planned)} done",
            f"{quantity(used.flop)} FLOP, ${used.usd:.2f}",
            _best(runs, self.loss),
            _best(equal, self.loss),
            *([] if fast is None else [_best(fast, self.loss)]),
            pairs if isinstance(pairs, str) else told(pairs),
        ]

    def heads(self) -> list[str]:
        served = []
        if self.served is not None:
            served = [f"best that answers {SERVED} requests within {1e3 * self.served:.3g} ms"]
        return [
            "sweep",
            "runs",
            "spent",
            f"best {self.loss}",
            f"best within {quantity(self.flop)} FLOP",
            *served,
            "same runs, minus the first's",
        ]

    def expected(self) -> list[tuple[str, str]]:
        """(sweep or its family, what its law advises) at one compute, AHEAD times the largest run
        of all."""
        compute = AHEAD * max(map(_largest, self.ended))
        out = []
        for name, study in zip(self.names, self.studies, strict=True):
            parts = study.parts()
            for p in parts:
                whose = name if len(parts) == 1 else f"{name}, {p.spec.model.family}"
                out.append((whose, sentence(tried(known(p), f"{compute:.12g}"))))
        return out

    def facts(self) -> dict[str, Any]:
        """The same as plain values."""
        keys = self.heads()
        return {
            "loss": self.loss,
            "equal_flop": self.flop,
            "equal_latency_s": self.served,
            "sweeps": [dict(zip(keys, row, strict=True)) for row in self.rows()],
            "pairs": [{k: _plain(v) for k, v in vars(p).items()} for p in self.pairs],
            "expected": dict(self.expected()),
        }


def _largest(runs: pd.DataFrame) -> float:
    return float(runs["train_flop"].to_numpy(float).max())


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _best(runs: pd.DataFrame, loss: str) -> str:
    """The lowest mean over seeds, and of which configuration."""
    if runs.empty:
        return "none has ended"
    groups = runs.groupby([*settings(runs), "rate_factor"], dropna=False)
    means = [(part[loss].to_numpy(float).mean(), part["run_id"].min()) for _, part in groups]
    mean, run = min(means)
    return f"{number(mean)}, as {run}"


def told(pairs: Pairs) -> str:
    """`-0.0120 [-0.0150, -0.0090] over 12 pairs`."""
    if not pairs.n:
        return "no run in common"
    if pairs.same == pairs.n:
        return f"the same {pairs.n} trainings"
    same = f", {pairs.same} of them one training" if pairs.same else ""
    return f"{span(pairs.change, pairs.low, pairs.high)} over {pairs.n} pairs{same}"


def across(studies: Sequence[Study], places: Sequence[str]) -> Across:
    """The sweeps side by side. places: their run directories.

    Raises:
        Incomparable: one is given twice, or they measure different things.
    """
    names = _names(places)
    loss = _check(studies, names)
    frames = tuple(s.frame() for s in studies)
    ended = [law_runs(f) for f in frames]
    for name, runs in zip(names, ended, strict=True):
        if runs.empty:
            raise Incomparable(f"{name}: no run has ended that enters its law; compare it later")
    flop = min(map(_largest, ended))
    pairs = tuple(_pairs(frames[0], f, loss, studies[0], s) for f, s in
                  zip(frames[1:], studies[1:], strict=True))  # fmt: skip
    ended = _latencies(studies, ended)
    served = max(float(runs[LATENCY].to_numpy(float).min()) for runs in ended)
    shared = None if np.isnan(served) else served
    return Across(names, tuple(studies), frames, tuple(ended), loss, flop, pairs, shared)


def _latencies(studies: Sequence[Study], ended: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The runs with the latency of their network: the fastest measured of it in any run of any
    sweep, as whatever else a machine does only adds to it. NaN where machines of several kinds, or
    not all runs, were measured."""
    sides = [timed(study, runs) for study, runs in zip(studies, ended, strict=True)]
    network = {r.run_id: r.config.model.model_dump_json() for s in studies for r in s.records}
    usable = len({m for runs in sides for m in runs["machine"]}) == 1
    fastest: dict[str, float] = {}
    for runs in sides:
        for run_id, took in zip(runs["run_id"], runs[LATENCY].to_numpy(float), strict=True):
            usable &= took == took
            fastest[network[run_id]] = min(took, fastest.get(network[run_id], np.inf))
    return [
        runs.assign(
            **{LATENCY: [fastest[network[i]] if usable else np.nan for i in runs["run_id"]]}
        )
        for runs in ended
    ]


def _names(places: Sequence[str]) -> tuple[str, ...]:
    """The last parts of the paths, where these differ."""
    whole = [p.rstrip("/") for p in places]
    for place in whole:
        if whole.count(place) > 1:
            raise Incomparable(f"{place} is given twice; give two sweeps, or a copy made before")
    short = [PurePath(p).name for p in whole]
    return tuple(short if len(set(short)) == len(short) else whole)


def _check(studies: Sequence[Study], names: Sequence[str]) -> str:
    """The loss in which they may be compared."""
    first = studies[0]
    for name, study in zip(names[1:], studies[1:], strict=True):
        pair = f"{names[0]} and {name} cannot be compared"
        tasks = _task(first), _task(study)
        if tasks[0] != tasks[1]:
            raise Incomparable(f"{pair}: other tasks ({tasks[0]} and {tasks[1]})")
        a, b = first.data, study.data
        if a.fingerprint != b.fingerprint:
            raise Incomparable(
                f"{pair}: other data ({a.fingerprint[:12]} of {a.n_train:,} rows to train on and "
                f"{a.n_eval:,} to evaluate, {b.fingerprint[:12]} of {b.n_train:,} and "
                f"{b.n_eval:,}); run both sweeps on one `data:` section"
            )
        losses = first.spec.law_loss, study.spec.law_loss
        if losses[0] != losses[1]:
            raise Incomparable(
                f"{pair}: other losses ({losses[0]} and {losses[1]}); give both one law.loss"
            )
        schedules = _schedules(first), _schedules(study)
        if schedules[0] != schedules[1]:
            raise Incomparable(
                f"{pair}: other protocols (train.schedule {schedules[0]} and {schedules[1]}); "
                "train both by one, as the losses of each follow laws of their own"
            )
    return first.spec.law_loss


def _task(study: Study) -> str:
    """Losses of families' own are of one task only where the families are the same."""
    task = study.data.task
    own = sorted(m.family for m in study.spec.models if m.task == "custom")
    return f"{task}, by the losses of {', '.join(own)}" if own else task


def _schedules(study: Study) -> str:
    out = study.left_out()
    found = {r.config.train.schedule for r in study.records if r.run_id not in out}
    return listed(sorted(found)) or study.spec.train.schedule


def _pairs(first: pd.DataFrame, second: pd.DataFrame, loss: str, a: Study, b: Study) -> Pairs:
    same = [c for c in settings(first) if c in second] + ["rate_factor", "seed"]
    sides = [
        where(f, (f["status"] == "done") & f[loss].notna()).set_index("run_id", drop=False)
        for f in (first, second)
    ]
    both = sides[0].merge(sides[1], on=same, suffixes=("_a", "_b"))
    change = both[f"{loss}_b"].to_numpy(float) - both[f"{loss}_a"].to_numpy(float)
    starts = [{r.run_id: r.start or r.finished_at for r in s.records} for s in (a, b)]
    one = sum(starts[0][i] == starts[1][j] for i, j in
              zip(both["run_id_a"], both["run_id_b"], strict=True))  # fmt: skip
    n = len(change)
    mean = float(change.mean()) if n else np.nan
    half = np.nan
    if n > 1:
        half = float(student.ppf((1 + LEVEL) / 2, n - 1) * change.std(ddof=1) / np.sqrt(n))
    return Pairs(n, mean, mean - half, mean + half, one)


def compare_page(found: Across) -> str:
    """The comparison as one self-contained page."""
    frames = [f.assign(sweep=n) for n, f in zip(found.names, found.frames, strict=True)]
    return (
        templates()
        .get_template("across.html.j2")
        .render(
            found=found,
            plots=drawn({"compute": _figure(found)}),
            runs=script_json(_data(pd.concat(frames, ignore_index=True), found)),
            plotly=packed_plotly(),
        )
    )


def _data(frame: pd.DataFrame, found: Across) -> dict[str, Any]:
    axes = dict.fromkeys(a for s in found.studies for a in s.spec.axes() if a in frame)
    return runs_data(frame, ["sweep", *axes], found.loss)


def _figure(found: Across) -> figures.Figure:
    data: list[dict[str, Any]] = []
    for i, (name, frame) in enumerate(zip(found.names, found.frames, strict=True)):
        colour, runs = COLOURS[i % len(COLOURS)], figures.thin(law_runs(frame))
        text = figures.hover(runs, found.loss)
        edge, shown = envelope(frame, found.loss), figures.escape(name)
        data.append(
            plot.points(runs["train_flop"], runs[found.loss], shown, text,
                        {"size": 7, "color": colour}, legendgroup=name)
        )  # fmt: skip
        line = {"color": colour, "width": 1.5, "shape": "hv"}
        data.append(
            plot.line(edge["train_flop"], edge[found.loss], f"{shown}: lower envelope", line=line)
            | {"legendgroup": name}
        )
    axes = plot.axis("training FLOP of the run", log=True), plot.axis(found.loss)
    return {"data": data, "layout": plot.layout(*axes, height=440)}
