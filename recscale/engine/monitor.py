"""What Prometheus hears of a sweep, through Ray's metrics agent on each node.

Rank 0 of every run tells how fast it trains, the driver tells how far the sweep is. Ray puts
`ray_` before every name; `cluster/grafana-recscale.json` is a board of them.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from ray.util.metrics import Gauge

from recscale.cost import TRAIN_OVER_FORWARD, machines
from recscale.laws import LawError

if TYPE_CHECKING:
    from recscale.engine.job import Job
    from recscale.manifest import Manifest
    from recscale.run import CurvePoint
    from recscale.study import Study

REACH = "10x"  # the frontier is shown at ten times the largest run so far
RUN = {
    "run_samples": "Training samples seen.",
    "run_samples_per_second": "Training samples a second, all workers together.",
    "run_flop_per_second": "Training FLOPs a second in closed form, all workers together.",
    "run_flop_share": "FLOPs a second over what cluster/prices.yaml says that these workers "
    "sustain.",
    "run_train_loss": "Mean training loss (nats) since the look before.",
    "run_eval": "The evaluation set, by metric: eval_loss (nats a sample), eval_ne and so on.",
}
SWEEP = {
    "runs": "Runs by state.",
    "spent_flop": "Training FLOPs used, failures counted.",
    "spent_gpu_hours": "GPU-hours used, failures counted.",
    "spent_usd": "Dollars used, failures counted.",
    "budget_share": "Largest share of a budget that is used.",
    "eta_seconds": "Time to the end at the pace measured so far.",
    "best_loss": "Lowest final loss so far, of the kind that the law explains.",
    "law": "1 for what the law is now: converged, bound_hit or underdetermined.",
    "frontier_loss": f"Loss that the law predicts of the best run at {REACH} the largest so far; "
    "low and high are its 90 % interval.",
    "expected_loss": "Loss that the planner expects at its target, with its interval: what the "
    "search narrows.",
}
EXTRA_TAG = {
    "run_eval": "metric",
    "runs": "state",
    "law": "status",
    "frontier_loss": "bound",
    "expected_loss": "bound",
}


@cache
def gauge(name: str) -> Gauge:
    """The gauge `recscale_NAME`, made once a process."""
    tags = ("sweep", "run") if name in RUN else ("sweep",)
    extra = EXTRA_TAG.get(name)
    return Gauge(f"recscale_{name}", (RUN | SWEEP)[name], (*tags, extra) if extra else tags)


def known(value: float | None) -> float:
    """NaN for what is not known: a gauge would otherwise go on with what it said last."""
    return math.nan if value is None else value


class RunMonitor:
    """One run, from rank 0 of its workers."""

    def __init__(self, job: Job, data: Manifest, world: int):
        self.tags = {"sweep": job.sweep, "run": job.run.run_id}
        self.flop = TRAIN_OVER_FORWARD * job.run.model.forward_flop(data).total
        self.sustained = machines()[job.needs.machine].flop_per_s * world
        self.since: tuple[int, float] | None = None

    def looked(self, samples: int, train_loss: float) -> None:
        """A look at the training after `samples` samples. Speed is measured between two looks."""
        now = time.monotonic()
        self._set("samples", samples)
        self._set("train_loss", train_loss)
        if self.since is not None and now > self.since[1]:
            self._speed((samples - self.since[0]) / (now - self.since[1]))
        self.since = samples, now

    def evaluated(self, point: CurvePoint) -> None:
        """The seconds of an evaluation are no training."""
        for metric, value in {"eval_loss": point.eval_loss, **point.metrics}.items():
            gauge("run_eval").set(known(value), {**self.tags, "metric": metric})
        self.since = point.samples, time.monotonic()

    def ended(self) -> None:
        """A worker trains other runs after this one: what it told last must not stay."""
        self._speed(0.0)

    def _speed(self, samples_per_s: float) -> None:
        self._set("samples_per_second", samples_per_s)
        self._set("flop_per_second", samples_per_s * self.flop)
        self._set("flop_share", samples_per_s * self.flop / self.sustained)

    def _set(self, name: str, value: float) -> None:
        gauge(f"run_{name}").set(value, self.tags)


class SweepMonitor:
    """The sweep, from its driver. The frontier takes seconds to find, so that a thread finds it
    while the runs go on, anew whenever runs have ended since."""

    def __init__(self) -> None:
        self.drawn = 0
        self.thread: threading.Thread | None = None

    def update(self, study: Study, expected: dict[str, float] | None) -> None:
        """`expected` holds mean, low and high of the planner's interval, if it has one."""
        tags = {"sweep": study.spec.name}
        states = {s: study.count(s) for s in ("done", "diverged", "failed")}
        states["running"] = len(study.running)
        states["waiting"] = max(0, len(study.planned) - sum(states.values()))
        for state, count in states.items():
            gauge("runs").set(count, {**tags, "state": state})
        spent, budget = vars(study.spent), study.spec.budget.model_dump(exclude_none=True)
        for kind, value in spent.items():
            gauge(f"spent_{kind}").set(value, tags)
        gauge("budget_share").set(max(spent[k] / limit for k, limit in budget.items()), tags)
        gauge("eta_seconds").set(known(study.eta_s()), tags)
        loss = study.spec.law_loss
        done = [r.final for r in study.records if r.status == "done" and r.final]
        finals = [point.columns()[loss] for point in done]
        gauge("best_loss").set(min((x for x in finals if x is not None), default=math.nan), tags)
        _bounds("expected_loss", expected, tags)
        if len(finals) > self.drawn and not (self.thread and self.thread.is_alive()):
            self.drawn = len(finals)
            self.thread = threading.Thread(target=draw_law, args=(study, tags), daemon=True)
            self.thread.start()


def draw_law(study: Study, tags: dict[str, Any]) -> None:
    """Tells the law's status and, where it is determined, the frontier beyond the runs."""
    from recscale.advice import advise

    try:
        status = str(study.law().status)
    except LawError:
        status = "underdetermined"
    for name in ("converged", "bound_hit", "underdetermined"):
        gauge("law").set(float(name == status), {**tags, "status": name})
    found = None
    if status == "converged":
        with suppress(LawError, ValueError):  # `recscale ask` tells why there is no answer
            best = advise(study, REACH).best
            found = {"mean": best.loss, "low": best.low, "high": best.high}
    _bounds("frontier_loss", found, tags)


def _bounds(name: str, found: dict[str, float] | None, tags: dict[str, str]) -> None:
    for bound in ("mean", "low", "high"):
        gauge(name).set(found[bound] if found else math.nan, {**tags, "bound": bound})
