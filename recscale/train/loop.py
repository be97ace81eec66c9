"""One training of one run. It knows no Ray: a `Host` says which rank this is and hears of results.

The order of the data depends on the step and the global batch only, so that a run is the same
training on one worker, on several, and after any interruption.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.distributed as dist

from recscale.cost import TRAIN_OVER_FORWARD, eval_schedule, steps
from recscale.data.store import Store
from recscale.models.contract import build
from recscale.run import CurvePoint, RunConfig, Spectrum
from recscale.train.checkpoint import Checkpoints
from recscale.train.divergence import Judgement
from recscale.train.host import Host
from recscale.train.optim import Optimizers, rate
from recscale.train.sharding import ensure_process_group, shard
from recscale.train.spectrum import spectra
from recscale.train.task import task_of

WATCH_STEPS = 50  # steps between looks at the loss and the clock: each look waits for the device


@dataclass
class Outcome:
    """What a training came to; the same on every rank."""

    status: Literal["done", "diverged"]
    curve: list[CurvePoint]
    samples: int
    time_s: float
    """Of all attempts: up to the checkpoint for those that were interrupted."""
    worker_s: float
    """The same, times the workers that each attempt had."""
    workers: int
    """At the end."""
    resumed: int
    peak_bytes: int
    error: str | None = None
    probes: dict[str, float | None] = field(default_factory=dict)
    spectra: dict[str, Spectrum] = field(default_factory=dict)


@dataclass
class _Progress:
    """The part of a checkpoint that is plain facts."""

    step: int = 0
    time_s: float = 0.0
    worker_s: float = 0.0
    resumed: int = 0
    curve: list[CurvePoint] = field(default_factory=list)
    loss_sum: float = 0.0
    loss_samples: int = 0
    judgement: Judgement = Judgement()

    def facts(self) -> dict[str, Any]:
        return {**vars(self), "curve": [p.model_dump() for p in self.curve]}

    @classmethod
    def restore(cls, facts: dict[str, Any]) -> _Progress:
        curve = [CurvePoint.model_validate(p) for p in facts["curve"]]
        restored = {
            "curve": curve,
            "judgement": Judgement(*facts["judgement"]),
            "resumed": facts["resumed"] + 1,
        }
        return cls(**{**facts, **restored})


def train(config: RunConfig, store: Store, host: Host) -> Outcome:
    """Trains `config` to its planned end, from its newest checkpoint if it has one. Every rank of
    the world calls this. Raises whatever the data, torch or the disk raises; a loss that runs
    away is an outcome, not an error."""
    return _Training(config, store, host).run()


class _Training:
    def __init__(self, config: RunConfig, store: Store, host: Host):
        ensure_process_group()
        self.began = time.monotonic()
        self.config, self.store, self.host = config, store, host
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        data = store.manifest
        self.task = task_of(config, store, host.rank, host.world, self.device)
        self.total = steps(config.train, data)
        self.flop_per_sample = TRAIN_OVER_FORWARD * config.model.forward_flop(data).total
        torch.manual_seed(config.train.seed)
        model = build(config.model, data, self.device.type)
        self.model = shard(model, config.train.sparse_rate, config.train.seed, self.device)
        self.optimizers = Optimizers(self.model, config.train)
        half = config.train.precision == "bfloat16"
        self.products = torch.autocast(self.device.type, torch.bfloat16, enabled=half)
        self.checkpoints: Checkpoints | None = None
        facts = None
        if host.checkpoints:
            self.checkpoints = Checkpoints(
                host.checkpoints,
                config.fingerprint,
                host.checkpoint_s,
                self.model,
                self.optimizers,
            )
            facts = self.checkpoints.load()
            if self.checkpoints.set_aside:
                host.damaged(self.checkpoints.set_aside)
        self.progress = _Progress.restore(facts) if facts else _Progress()
        host.began(self.progress.step * config.train.batch_size)
        self.earlier = self.progress.time_s, self.progress.worker_s
        # what was summed since the last look
        self.pending = torch.zeros((), dtype=torch.float64, device=self.device)
        self.pending_untrained = 0.0
        self.pending_samples = 0.0

    def run(self) -> Outcome:
        try:
            outcome = self._train()
            if self.checkpoints:
                self.checkpoints.close()
            return outcome
        except BaseException:
            if self.checkpoints:
                self.checkpoints.abandon()
            raise

    def _train(self) -> Outcome:
        progress, schedule = self.progress, eval_schedule(self.total, self.config.train.eval_points)
        while progress.step < self.total:
            self._step(progress.step)
            progress.step += 1
            looks = progress.step % WATCH_STEPS == 0 or progress.step in schedule
            if not looks:
                continue
            error = self._watch()
            if error is None and progress.step in schedule:
                error = self._evaluate()
            if error:
                return self._outcome("diverged", error)
            if self.checkpoints and progress.step < self.total and self._due(self.checkpoints):
                progress.time_s, progress.worker_s = self._elapsed()
                self.checkpoints.save(progress.step, progress.facts())
        seed, world = self.config.train.seed, self.host.world
        tables = spectra(self.model, seed, world)
        return self._outcome("done", None, self.task.probe(self.model), tables)

    def _step(self, step: int) -> None:
        self.optimizers.begin_step(rate(step, self.total, self.config.train.warmup))
        with self.products:
            part = self.task.loss(self.model, step)
        part.loss.backward()
        self.optimizers.end_step(step / self.total)
        self.pending += part.loss.detach() * part.samples
        self.pending_untrained += part.untrained * part.samples
        self.pending_samples += part.samples

    def _watch(self) -> str | None:
        """Collects the training loss of all ranks and says whether it ran away."""
        progress = self.progress
        seen = [
            self.pending,
            torch.full_like(self.pending, self.pending_untrained),
            torch.full_like(self.pending, self.pending_samples),
        ]
        sums = torch.stack(seen)
        if self.host.world > 1:
            dist.all_reduce(sums)
        loss, untrained, samples = sums.tolist()
        self.pending.zero_()
        self.pending_untrained = self.pending_samples = 0.0
        progress.loss_sum += loss
        progress.loss_samples += round(samples)
        batch, kept = self.config.train.batch_size, self.checkpoints.kept if self.checkpoints else 0
        self.host.looked(progress.step * batch, loss / samples, kept * batch)
        progress.judgement = progress.judgement.hear(loss, untrained)
        limit = self.config.train.diverge_above
        if not progress.judgement.diverged(limit):
            return None
        times = progress.judgement.lost / progress.judgement.untrained
        return (
            f"training loss {loss / samples:.4g} at step {progress.step} of {self.total}: "
            f"{times:.3g} x what the untrained model lost on the same samples, and {limit:g} x is "
            "the limit"
        )

    def _evaluate(self) -> str | None:
        """Adds a point to the curve, or says that the loss is not finite."""
        found = self.task.evaluate(self.model)
        progress = self.progress
        if not math.isfinite(found.loss):
            return f"evaluation loss {found.loss:.4g} at step {progress.step} of {self.total}"
        samples = progress.step * self.config.train.batch_size
        point = CurvePoint(
            samples=samples,
            train_flop=samples * self.flop_per_sample,
            time_s=self._elapsed()[0],
            train_loss=progress.loss_sum / progress.loss_samples,
            eval_loss=found.loss,
            metrics=found.metrics,
        )
        progress.curve.append(point)
        progress.loss_sum, progress.loss_samples = 0.0, 0
        self.host.report(point)
        return None

    def _due(self, checkpoints: Checkpoints) -> bool:
        """Whether to write a checkpoint: rank 0 decides for all ranks, by its own clock and by
        the first node of any rank that is to be taken away."""
        drain_s = self.host.drain_s()
        if self.host.world == 1:
            return checkpoints.due(drain_s)
        soonest = torch.tensor(math.inf if drain_s is None else drain_s, device=self.device)
        dist.all_reduce(soonest, dist.ReduceOp.MIN)
        left = float(soonest)
        flag = torch.tensor(int(checkpoints.due(left if left < math.inf else None)))
        flag = flag.to(self.device)
        dist.broadcast(flag, src=0)
        return bool(flag)

    def _elapsed(self) -> tuple[float, float]:
        """Seconds, and worker-seconds, of this attempt and those before it."""
        now = time.monotonic() - self.began
        return self.earlier[0] + now, self.earlier[1] + now * self.host.world

    def _outcome(
        self,
        status: Literal["done", "diverged"],
        error: str | None,
        probes: dict[str, float | None] | None = None,
        tables: dict[str, Spectrum] | None = None,
    ) -> Outcome:
        time_s, worker_s = self._elapsed()
        return Outcome(
            status=status,
            curve=self.progress.curve,
            samples=self.progress.step * self.config.train.batch_size,
            time_s=time_s,
            worker_s=worker_s,
            workers=self.host.world,
            resumed=self.progress.resumed,
            peak_bytes=_peak_bytes(),
            error=error,
            probes=probes or {},
            spectra=tables or {},
        )


def _peak_bytes() -> int:
    """Most memory this process (or its GPU) has held."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
