"""One training of one run. It knows no Ray: a `Host` says which rank this is and hears of results.

The order of the data depends on the step and the global batch only, so that a run is the same
training on one worker, on several, and after any interruption.
"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from recscale.cost import TRAIN_OVER_FORWARD, eval_schedule, sample_flop, steps
from recscale.data.store import Store
from recscale.models.contract import build
from recscale.run import CurvePoint, RunConfig, Way
from recscale.train.average import Average
from recscale.train.checkpoint import Checkpoints, Source
from recscale.train.host import Host
from recscale.train.optim import Optimizers, schedule
from recscale.train.progress import Outcome, Progress
from recscale.train.sharding import ensure_process_group, shard
from recscale.train.spectrum import spectra
from recscale.train.task import task_of

WATCH_STEPS = 50  # steps between looks at the loss and the clock: each look waits for the device


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
        self.total, batch = steps(config.train, data), config.train.batch_size
        self.schedule = eval_schedule(self.total, config.train.eval_points, config.train.schedule)
        self.rate = schedule(config.train, self.total)
        self.flop_per_sample = (
            TRAIN_OVER_FORWARD * sample_flop(config.model, config.train, data).total
        )
        torch.manual_seed(config.train.seed)
        model = build(config.model, data, self.device.type)
        self.model = shard(model, config.train.sparse_rate, config.train.seed, self.device)
        self.optimizers = Optimizers(self.model, config.train)
        self.anytime = config.train.schedule == "anytime"
        self.average = Average(self.model) if self.anytime else None
        half = config.train.precision == "bfloat16"
        self.products = torch.autocast(self.device.type, torch.bfloat16, enabled=half)
        self.checkpoints: Checkpoints | None = None
        facts = None
        if host.checkpoints:
            self.checkpoints = Checkpoints(
                sources(config, host.checkpoints, self.total),
                host.checkpoint_s,
                self.model,
                self.optimizers,
                self.average,
            )
            facts = self.checkpoints.load()
            if self.checkpoints.set_aside:
                host.damaged(self.checkpoints.set_aside)
        run_id = config.run_id if self.anytime else ""
        self.progress = Progress.restore(facts, run_id, batch) if facts else Progress(run_id=run_id)
        host.began(self.progress.step * batch)
        self.earlier = self.progress.time_s, self.progress.worker_s
        # what was summed since the last look; what a checkpoint has of it is all ranks'
        known = self.progress.unjudged if host.rank == 0 else (0.0, 0.0, 0.0)
        self.pending = torch.tensor(known[0], dtype=torch.float64, device=self.device)
        self.pending_untrained, self.pending_samples = known[1:]

    def run(self) -> Outcome:
        try:
            outcome = self._train()
            if self.checkpoints:
                self.checkpoints.close()
                outcome.kept = self.checkpoints.kept * self.config.train.batch_size
            return outcome
        except BaseException:
            if self.checkpoints:
                self.checkpoints.abandon()
            raise

    def _train(self) -> Outcome:
        progress = self.progress
        while progress.step < self.total and progress.error is None:
            self._step(progress.step)
            progress.step += 1
            evaluates = progress.step in self.schedule
            if not (evaluates or self._regular(progress.step)):
                continue
            error = self._watch()
            if error is None and evaluates:
                error = self._evaluate()
            if self.anytime and is_power(progress.step):
                loss, untrained, samples = self.seen
                progress.octave = loss, untrained, samples
                progress.loss_sum, progress.untrained_sum, progress.loss_samples = 0.0, 0.0, 0
            if error:
                progress.error = error
            elif self.checkpoints and progress.step < self.total and self._due(self.checkpoints):
                self._save(self.checkpoints)
        return self._end()

    def _end(self) -> Outcome:
        """The outcome; of a training that others go on with, its state is left."""
        progress = self.progress
        found: dict[str, Any] = {"status": "diverged", "error": progress.error}
        if progress.error is None:
            seed, world = self.config.train.seed, self.host.world
            with self._evaluated():
                probes, tables = self.task.probe(self.model), spectra(self.model, seed, world)
            found = {"status": "done", "probes": probes, "spectra": tables}
        progress.time_s, progress.worker_s = self._elapsed()
        if self.anytime and self.checkpoints:
            progress.ended = True
            self._save(self.checkpoints)
        batch = self.config.train.batch_size
        seen, curve = progress.step * batch, progress.curve
        whole = Way(seen, progress.time_s, progress.worker_s, len(curve))
        return Outcome(
            curve=[p for p in curve if p.samples // batch in self.schedule],
            before=progress.before,
            whole=whole,
            workers=self.host.world,
            resumed=progress.resumed,
            peak_bytes=_peak_bytes(),
            **found,
        )

    def _save(self, checkpoints: Checkpoints) -> None:
        progress = self.progress
        if not progress.ended:
            progress.time_s, progress.worker_s = self._elapsed()
        checkpoints.save(progress.step, progress.facts())

    def _regular(self, step: int) -> bool:
        """Whether any run looks at its loss after so many steps, wherever it ends."""
        return step % WATCH_STEPS == 0 or (self.anytime and is_power(step))

    def _step(self, step: int) -> None:
        self.optimizers.begin_step(self.rate(step))
        with self.products:
            part = self.task.loss(self.model, step)
        part.loss.backward()
        self.optimizers.end_step(step / self.total)
        if self.average:
            self.average.after(step + 1)
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
        batch, kept = self.config.train.batch_size, self.checkpoints.kept if self.checkpoints else 0
        self.host.looked(progress.step * batch, loss / samples, kept * batch)
        self.seen = (
            progress.loss_sum + loss,
            progress.untrained_sum + untrained,
            progress.loss_samples + round(samples),
        )
        if self.anytime and not self._regular(progress.step):
            progress.unjudged = loss, untrained, samples
            return None  # where a run ends, one that goes on does not look
        progress.unjudged = 0.0, 0.0, 0.0
        self.pending.zero_()
        self.pending_untrained = self.pending_samples = 0.0
        progress.loss_sum, progress.untrained_sum, progress.loss_samples = self.seen
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
        with self._evaluated():
            found = self.task.evaluate(self.model)
        progress = self.progress
        if not math.isfinite(found.loss):
            return f"evaluation loss {found.loss:.4g} at step {progress.step} of {self.total}"
        samples = progress.step * self.config.train.batch_size
        point = CurvePoint(
            samples=samples,
            train_flop=samples * self.flop_per_sample,
            time_s=self._elapsed()[0],
            train_loss=self.seen[0] / self.seen[2],
            eval_loss=found.loss,
            metrics={**found.metrics, **self._progressive()},
        )
        progress.curve.append(point)
        if not self.anytime:  # there a mean is over the samples since a power of two
            progress.loss_sum, progress.untrained_sum, progress.loss_samples = 0.0, 0.0, 0
        self.host.report(point)
        return None

    def _progressive(self) -> dict[str, float]:
        """Progressive validation: the loss of the batches since the last power of two of the steps
        but one, a half to three quarters of the way, each before it was learnt. Of the weights as
        they were, and not of their mean; of the first pass alone."""
        first = self.progress.step * self.config.train.epochs <= self.total
        if not (self.anytime and first):
            return {}
        each = zip(self.progress.octave, self.seen, strict=True)
        loss, untrained, samples = (before + since for before, since in each)
        return self.task.progressive(loss / samples, untrained / samples)

    def _evaluated(self) -> AbstractContextManager[None]:
        """The model with the weights that are evaluated."""
        return self.average.in_place() if self.average else nullcontext()

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


def is_power(step: int) -> bool:
    """Whether it is a power of two."""
    return step & (step - 1) == 0


def sources(config: RunConfig, own: str | Path, total: int) -> list[Source]:
    """Where a run of `total` steps finds states to go on from, the first its own: beside it lies,
    of a run that passes over its data again, that of the first pass."""
    place, epochs = config.place, config.train.epochs
    if config.train.schedule == "decayed":
        return [Source(str(own), config.fingerprint)]
    found = [Source(str(own), place.trajectory, total)]
    if place.trunk != place.trajectory:
        beside = str(own).rstrip("/").rpartition("/")[0]
        found.append(Source(f"{beside}/{place.trunk}", place.trunk, total // epochs))
    return found


def _peak_bytes() -> int:
    """Most memory this process (or its GPU) has held."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
