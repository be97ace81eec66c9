"""What travels to a worker, and the record that comes of it."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from typing import Any

from recscale.cost import TRAIN_OVER_FORWARD, estimate, priced
from recscale.manifest import Manifest
from recscale.run import Cost, RunConfig, RunRecord
from recscale.spec import ResourcesSpec

PACKAGES = ("recscale", "torch", "torchrec", "fbgemm-gpu", "fbgemm-gpu-cpu", "ray", "numpy")
ON_HEAD = {"node:__internal_head__": 1e-3}
"""What only waits or passes messages on asks for: a place on the head, where it keeps no worker
node from leaving and is not lost with one."""


@dataclass(frozen=True)
class Job:
    """One run for one worker group; plain values only, so that Ray may send it anywhere."""

    config: dict[str, Any]
    reason: str
    run_dir: str
    store: str
    resources: dict[str, Any]

    def payload(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def run(self) -> RunConfig:
        return RunConfig.model_validate(self.config)

    @property
    def sweep(self) -> str:
        return self.run_dir.rstrip("/").rpartition("/")[2]

    @property
    def needs(self) -> ResourcesSpec:
        return ResourcesSpec.model_validate(self.resources)


def finished_record(job: Job, data: Manifest, outcome: Any, starts: Sequence[float]) -> RunRecord:
    """The record of a training that came to its end; `outcome` is a `train.loop.Outcome`, and
    `starts` are the times at which its attempts began, the last of which came through."""
    run, needs = job.run, job.needs
    estimated = estimate(run.model, run.train, data, needs)
    final = outcome.curve[-1].eval_loss if outcome.status == "done" else None
    return RunRecord(
        run_id=run.run_id,
        config=run,
        status=outcome.status,
        reason=job.reason,
        curve=tuple(outcome.curve),
        estimated=estimated,
        measured=_measured(run, data, needs, estimated, outcome),
        probes=outcome.probes,
        spectra=outcome.spectra,
        worse_than={} if final is None else unbeaten(data.baselines, final),
        workers=outcome.workers,
        threads=needs.cpus_per_worker,
        started_at=starts[-1],
        finished_at=time.time(),
        resumed=outcome.resumed,
        lost=lost_s(starts, outcome.at_risk_s) / outcome.time_s,
        versions=versions(),
        hardware=hardware(),
        error=outcome.error,
    )


def unbeaten(baselines: Mapping[str, float], loss: float) -> dict[str, float]:
    """Those of the baselines (nats) that a loss is no better than; all for one that is NaN."""
    return {name: nats for name, nats in baselines.items() if not loss < nats}


def lost_s(starts: Sequence[float], at_risk_s: float) -> float:
    """The most seconds of work that attempts begun at `starts` can have lost, all but the last
    having been killed: what lay between two checkpoints, or the whole of a shorter attempt."""
    return sum(min(at_risk_s, after - begun) for begun, after in pairwise(starts))


def failed_record(job: Job, data: Manifest, error: str, started_at: float) -> RunRecord:
    """The record of a run that was given up. Its cost is unknown; the estimate stands for it."""
    run = job.run
    return RunRecord(
        run_id=run.run_id,
        config=run,
        status="failed",
        reason=job.reason,
        curve=(),
        estimated=estimate(run.model, run.train, data, job.needs),
        measured=None,
        workers=job.needs.most_workers,
        started_at=started_at,
        finished_at=time.time(),
        versions=versions(),
        hardware=hardware(),
        error=error,
    )


def stopped_record(job: Job, data: Manifest, began: float, worker_s: float) -> RunRecord:
    """The record of a run that was stopped with the budget used up: what it took by the clock, and
    every FLOP that was planned."""
    record = failed_record(job, data, "stopped: the budget was used up", began)
    hours, usd = priced(worker_s, job.needs)
    took = {"time_s": record.finished_at - began, "gpu_hours": hours, "usd": usd}
    measured = record.estimated.model_copy(update=took)
    return record.model_copy(update={"status": "stopped", "measured": measured})


def _measured(
    run: RunConfig, data: Manifest, needs: ResourcesSpec, estimated: Cost, outcome: Any
) -> Cost:
    gpu_hours, usd = priced(outcome.worker_s, needs)
    share = outcome.samples / estimated.samples
    flop = run.model.forward_flop(data).total
    return estimated.model_copy(
        update={
            "samples": outcome.samples,
            "train_flop": TRAIN_OVER_FORWARD * flop * outcome.samples,
            "eval_flop": flop * data.n_eval * len(outcome.curve),
            "lookup_bytes": estimated.lookup_bytes * share,
            "peak_bytes": outcome.peak_bytes,
            "time_s": outcome.time_s,
            "gpu_hours": gpu_hours,
            "usd": usd,
        }
    )


def versions() -> dict[str, str]:
    """Versions of what decides a result; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> str:
    """The accelerator's name where there is one, else the processor's architecture."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
