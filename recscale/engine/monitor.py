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
from typing import TYPE_CHECKING

from ray.util.metrics import Gauge

from recscale.cost import TRAIN_OVER_FORWARD, estimate, machines
from recscale.laws import LawError, Status

if TYPE_CHECKING:
    from recscale.engine.job import Job
    from recscale.manifest import Manifest
    from recscale.run import CurvePoint
    from recscale.study import Study

REACH = "10x"  # the frontier is shown at ten times the largest run so far
TELL_S = 2.0  # well within the ten seconds between Ray's reports
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
    "law": "1 for what the law is now: converged, bound_hit, uninformative or underdetermined.",
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


class Teller:
    """What one process tells. Ray forgets a gauge that was not set between two of its reports, so
    that a thread sets all of them again and again; what is closed is gone from the next report."""

    def __init__(self, **tags: str):
        self.tags = tags
        self.values: dict[tuple[str, str], float] = {}
        self.closed = threading.Event()
        threading.Thread(target=self._repeat, daemon=True).start()

    def tell(self, name: str, value: float | None, kind: str = "") -> None:
        """`kind` is the value of the metric's extra tag. None is not told: it is not known."""
        self.values.pop((name, kind), None)
        if value is not None and math.isfinite(value):
            self.values[name, kind] = value

    def close(self) -> None:
        self.closed.set()

    def _repeat(self) -> None:
        while not self.closed.wait(TELL_S):
            for (name, kind), value in list(self.values.items()):
                extra = {EXTRA_TAG[name]: kind} if kind else {}
                gauge(name).set(value, {**self.tags, **extra})


class RunMonitor:
    """One run, from rank 0 of its workers."""

    def __init__(self, job: Job, data: Manifest, world: int):
        self.teller = Teller(sweep=job.sweep, run=job.run.run_id)
        cost = estimate(job.run.model, job.run.train, data, job.needs)
        self.flop = TRAIN_OVER_FORWARD * cost.forward.total
        self.sustained = machines()[job.needs.machine].flop_per_s * world
        self.since: tuple[int, float] | None = None

    def looked(self, samples: int, train_loss: float) -> None:
        """A look at the training after `samples` samples. Speed is measured between two looks."""
        now, tell = time.monotonic(), self.teller.tell
        tell("run_samples", samples)
        tell("run_train_loss", train_loss)
        if self.since is not None and now > self.since[1]:
            speed = (samples - self.since[0]) / (now - self.since[1])
            tell("run_samples_per_second", speed)
            tell("run_flop_per_second", speed * self.flop)
            tell("run_flop_share", speed * self.flop / self.sustained)
        self.since = samples, now

    def evaluated(self, point: CurvePoint) -> None:
        """The seconds of an evaluation are no training."""
        for metric, value in {"eval_loss": point.eval_loss, **point.metrics}.items():
            self.teller.tell("run_eval", value, metric)
        self.since = point.samples, time.monotonic()

    def ended(self) -> None:
        self.teller.close()


class SweepMonitor:
    """The sweep, from its driver. The frontier takes seconds to find, so that a thread finds it
    while the runs go on, anew whenever runs have ended since."""

    def __init__(self, sweep: str) -> None:
        self.teller = Teller(sweep=sweep)
        self.drawn = 0
        self.thread: threading.Thread | None = None

    def update(self, study: Study, expected: dict[str, float] | None) -> None:
        """`expected` holds mean, low and high of the planner's interval, if it has one."""
        tell = self.teller.tell
        states = {s: study.count(s) for s in ("done", "diverged", "failed", "stopped")}
        states["running"] = len(study.running)
        states["waiting"] = max(0, len(study.planned) - sum(states.values()))
        for state, count in states.items():
            tell("runs", count, state)
        spent, budget = vars(study.spent), study.spec.budget.model_dump(exclude_none=True)
        for kind, value in spent.items():
            tell(f"spent_{kind}", value)
        tell("budget_share", max(spent[k] / limit for k, limit in budget.items()))
        tell("eta_seconds", study.eta_s())
        loss = study.spec.law_loss
        done = [r.final for r in study.records if r.status == "done" and r.final]
        finals = [value for point in done if (value := point.columns()[loss]) is not None]
        tell("best_loss", min(finals, default=None))
        tell_interval(self.teller, "expected_loss", expected)
        if len(done) > self.drawn and not (self.thread and self.thread.is_alive()):
            self.drawn = len(done)
            self.thread = threading.Thread(target=tell_law, args=(self.teller, study), daemon=True)
            self.thread.start()


def tell_law(teller: Teller, study: Study) -> None:
    """The law's status and, where it is determined, the frontier beyond the runs."""
    from recscale.advice import advise

    try:
        status = str(study.law().status)
    except LawError:
        status = str(Status.UNDERDETERMINED)
    for known in Status:
        teller.tell("law", float(known == status), str(known))
    found = None
    if status == "converged":
        with suppress(LawError, ValueError):  # `recscale ask` tells why there is no answer
            best = advise(study, REACH).best
            found = best and {"mean": best.loss, "low": best.low, "high": best.high}
    tell_interval(teller, "frontier_loss", found)


def tell_interval(teller: Teller, name: str, found: dict[str, float] | None) -> None:
    for bound in ("mean", "low", "high"):
        teller.tell(name, found[bound] if found else None, bound)
