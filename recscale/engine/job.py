"""What travels to a worker, and the record that comes of it."""

from __future__ import annotations

import functools
import platform
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from recscale.cost import TRAIN_OVER_FORWARD, estimate, portion, priced
from recscale.families import FamilyError
from recscale.manifest import Manifest
from recscale.planner import PlanError
from recscale.run import Cost, RunConfig, RunRecord, Status, Way, unbeaten
from recscale.spec import ResourcesSpec
from recscale.spend import Spend, Start, to_train

PACKAGES = ("recscale", "torch", "torchrec", "fbgemm-gpu", "fbgemm-gpu-cpu", "ray", "numpy")
ON_HEAD = {"node:__internal_head__": 1e-3}
"""What only waits or passes messages on asks for: a place on the head, where it keeps no worker
node from leaving and is not lost with one."""

installed = functools.cache(functools.partial(version, "recscale"))  # read from a file


@dataclass(frozen=True)
class Job:
    """One run for one worker group; plain values only, so that Ray may send it anywhere."""

    config: dict[str, Any]
    run_id: str
    """As the driver computed it."""
    reason: str
    run_dir: str
    store: str
    resources: dict[str, Any]
    kept: int = 0
    """Samples that its checkpoint holds, as the budget was asked for the rest."""
    launch: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    """Of the decision to run it; every start under it bears this."""
    version: str = field(default_factory=installed)
    """Of the driver's recscale."""

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


class OtherVersion(PlanError):
    """A worker whose recscale would train another run than the driver planned."""


def check_version(job: Job) -> None:
    """Raises OtherVersion where this process names the job's run otherwise: its record would be
    of a run that nobody planned, and the driver would launch the job for ever."""
    run = job.run
    try:
        run.model.check_here()
    except FamilyError as error:
        raise OtherVersion(f"{job.run_id} cannot be built on {platform.node()}: {error}") from None
    here = run.run_id
    if here != job.run_id:
        raise OtherVersion(
            f"{job.run_id} is {here} to the recscale {version('recscale')} of the node "
            f"{platform.node()}, and the driver has {job.version}: install one version on every "
            "node and give the same command again"
        )


def finished_record(job: Job, data: Manifest, outcome: Any, starts: Sequence[Start]) -> RunRecord:
    """The record of a training that came to its end; `outcome` is a `train.loop.Outcome`, and
    `starts` are those of the run, the last of which came through."""
    run, needs = job.run, job.needs
    planned = estimate(run.model, run.train, data, needs)
    took_over, place = outcome.before, run.place
    baselines = {} if run.model.task == "custom" else data.baselines  # of another loss
    final = outcome.curve[-1].eval_loss if outcome.status == "done" else None
    return RunRecord(
        run_id=job.run_id,
        config=run,
        status=outcome.status,
        reason=job.reason,
        curve=tuple(outcome.curve),
        estimated=portion(planned, to_train(planned.samples, took_over.samples)),
        measured=_measured(data, needs, planned, outcome, took_over),
        trajectory="" if place.trajectory == job.run_id else place.trajectory,
        whole=_measured(data, needs, planned, outcome, Way()) if took_over.samples else None,
        probes=outcome.probes,
        spectra=outcome.spectra,
        worse_than={} if final is None else unbeaten(baselines, final),
        workers=outcome.workers,
        threads=needs.cpus_per_worker,
        started_at=time.time() - starts[-1].worker_s / outcome.workers,
        finished_at=time.time(),
        resumed=outcome.resumed,
        lost=lost(starts, outcome.worker_s),
        start=starts[-1].id,
        versions=versions(),
        hardware=hardware(),
        error=outcome.error,
    )


def lost(starts: Sequence[Start], worker_s: float) -> float:
    """Worker time that `starts` took beyond the `worker_s` seconds that count, as a share of
    them; 0 of a run that started once."""
    if len(starts) < 2 or not worker_s:
        return 0.0
    return max(0.0, sum(s.worker_s for s in starts) / worker_s - 1)


def cut_record(
    job: Job, data: Manifest, status: Status, error: str, starts: Sequence[Start]
) -> RunRecord:
    """The record of a run that did not come to its end: `failed` was given up, `stopped` goes on
    when there is budget. It measured what all its `starts` used, nothing where there are none."""
    run, last = job.run, max(starts, key=lambda s: s.order, default=None)
    estimated = estimate(run.model, run.train, data, job.needs)
    total = sum((s.spend for s in starts), Spend())
    samples = sum(s.samples for s in starts)
    measured = estimated.model_copy(
        update={
            "samples": samples,
            "train_flop": total.flop,
            "eval_flop": 0.0,
            "lookup_bytes": estimated.lookup_bytes * samples / max(1, estimated.samples),
            "time_s": sum(s.worker_s / s.workers for s in starts),
            "gpu_hours": total.gpu_hours,
            "usd": total.usd,
        }
    )
    now = time.time()
    return RunRecord(
        run_id=job.run_id,
        config=run,
        status=status,
        reason=job.reason,
        curve=(),
        estimated=estimated,
        measured=measured,
        workers=last.workers if last else job.needs.most_workers,
        started_at=now - measured.time_s,
        finished_at=now,
        start=last.id if last else "",
        versions=versions(),
        hardware=hardware(),
        error=error,
    )


def _measured(
    data: Manifest, needs: ResourcesSpec, planned: Cost, outcome: Any, since: Way
) -> Cost:
    """From `since` to the end; `planned` is of the whole."""
    whole = outcome.whole
    gpu_hours, usd = priced(whole.worker_s - since.worker_s, needs)
    samples = whole.samples - since.samples
    flop = planned.forward.total
    return planned.model_copy(
        update={
            "samples": samples,
            "train_flop": TRAIN_OVER_FORWARD * flop * samples,
            "eval_flop": flop * data.n_eval * (whole.evaluations - since.evaluations),
            "lookup_bytes": planned.lookup_bytes * samples / planned.samples,
            "peak_bytes": outcome.peak_bytes,
            "time_s": whole.time_s - since.time_s,
            "gpu_hours": gpu_hours,
            "usd": usd,
        }
    )


@functools.cache
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
    """The accelerator's name where torch has one, else the processor's architecture. A process that
    did without torch did so without its accelerators."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return platform.machine()
    return torch.cuda.get_device_name()
