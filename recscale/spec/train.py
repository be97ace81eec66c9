"""The `train` part of a sweep file, and what its runs may spend and stand on."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
    model_validator,
)

from recscale.values import (
    Count,
    CountAxis,
    FactorAxis,
    Fraction,
    FractionAxis,
    Frozen,
    Positive,
    Precision,
    Probability,
    Schedule,
    Whole,
    plain_number,
)

BATCHES = (32, 1024)
"""Least and most that a batch left out can be."""
STEPS = 512
"""Steps of one pass that a batch left out leaves to the run with the fewest rows, where BATCHES
allow. Source: tests/benchmarks/defaults.py, 2026-11-29: of 45,000 rows, 700 steps end 0.004 nats
below 175 on the click world, and 0.01 to 0.03 on a Markov chain."""


WARMUP = 0.05
"""Share of the steps of a decayed run in which its rate rises, where the sweep does not say."""
WARMUP_STEPS = 50
"""Steps for which the rate rises under schedule `anytime`, likewise. 25 and 100 of them end at
.5545 and .5624 nats after 87 steps, .5230 and .5234 after 351, .4815 and .4796 after 2,812 (dlrm,
the world of `recscale.train.average`, 2026-11-30)."""

RATES = (1e-9, 1e4)
"""Learning rates, factors counted, below which no weight of float32 moves and above which none
stays finite."""
Rate = Annotated[Positive, Field(ge=RATES[0], le=RATES[1])]


class LearningRate(Frozen):
    """The highest rates of a run, and factors on them to try."""

    dense: Rate | None = None
    """Adam's, of everything but the tables. Left out: the family's usual one, see
    `recscale.families.base.Rates`; of a click model lower for a run with fewer than 100 clicks, by
    the square of them."""
    sparse: Rate | None = None
    """Of the embedding tables, under row-wise Adagrad. Left out: the family's usual one, lower
    where that of `dense` is."""
    width: Count | None = None
    """The width of a sequence model that both rates are meant for: at width d they are multiplied
    by width / d, as 2203.03466 (muP) does under Adam. null: rates given here are the same at every
    width, and usual ones follow the family's own rule."""
    tune: FactorAxis = (1.0,)
    """Factors on both rates, tried for every architecture and fraction; the best enters the law."""


class TrainSpec(Frozen):
    """How every run is trained."""

    data_fraction: FractionAxis = (1.0,)
    """Shares of the training rows, in `data.order`."""
    batch_size: Count | None = None
    """Global batch, over all workers. Left out: the largest power of two from 32 to 1,024 that
    leaves 512 steps to a pass over the smallest data fraction. It is one for all runs of a sweep,
    so that no law of data or size is one of the batch as well."""
    epochs: CountAxis = (1,)
    """Passes over the training rows; law form `repeated` says what repeating is worth."""
    seeds: Annotated[Count, Field(le=1000)] = 1
    """Runs of each point, alike but for their random start and order."""
    learning_rate: LearningRate = LearningRate()
    """The highest rates of a run, and factors on them to try."""
    schedule: Schedule = "decayed"
    """`decayed`: the rate falls to zero at the planned end of each run. `anytime`: it stays, and
    what is evaluated is a mean of the weights, so that nothing depends on where a run ends: all
    data fractions and epochs of one architecture, rate and seed are points of one training, which
    each later one goes on with. Runs of both never enter one law. A fraction is the same rows under
    both, but of next-item models: there a fraction of one training is drawn from the rows up to the
    next of 1, 1/2, 1/4, ... of the log in `data.order` time, of 1, .84, .71, ... in order hash."""
    warmup: Probability | None = None
    """Share of the steps in which the rate rises; after them it falls linearly to zero. Left out:
    0.05. Of schedule `decayed` alone."""
    warmup_samples: Whole | None = None
    """Samples in which the rate rises under schedule `anytime`. Left out: 50 batches."""
    eval_points: Annotated[Count, Field(le=64)] = 6
    """Evaluations along the run: at the end and at halvings of its samples before it."""
    sgd_after: Fraction | None = None
    """Share of the steps after which the dense parameters go on under plain SGD instead of Adam
    (2311.11351 switches once Adam has converged); null: never."""
    sgd_rate: Rate = 0.1
    """Its learning rate, under the same schedule."""
    precision: Precision = "float32"
    """Of the matrix products of training; `bfloat16` is torch's autocast, on CPU or GPU alike.
    Weights, tables, optimiser state and every evaluation stay float32. Part of the identity of a
    run: the same sweep with another precision is another set of runs."""
    diverge_above: Annotated[Positive, Field(gt=1)] = 10.0
    """A run has diverged when its loss is not finite, or its training loss exceeds this multiple of
    what its model lost on the same samples before it was trained: the base rate's entropy for
    clicks, log(items) for the next item. A run that merely predicts worse than a constant is done,
    and marked as such. Rare clicks in small batches can double it for the first hundred steps of a
    run that then learns (2.04 times: dcnv2, usual rates, batch 32, open bandit, 2026-11-30); rates
    that a run does not recover from reach 50 times and more."""

    @model_validator(mode="after")
    def _nothing_depends_on_an_end(self) -> TrainSpec:
        if self.schedule == "decayed":
            if self.warmup_samples is not None:
                raise ValueError(
                    f"warmup_samples: {self.warmup_samples} belongs to schedule anytime; under "
                    "decayed give warmup, a share of the steps"
                )
            return self
        without = "a share of the steps up to an end, which schedule anytime does not have"
        if self.warmup is not None:
            raise ValueError(
                f"warmup: {self.warmup:g} is {without}; give warmup_samples, or leave it out"
            )
        if self.sgd_after is not None:
            raise ValueError(
                f"sgd_after: {self.sgd_after:g} is {without}; leave it out, or take schedule "
                "decayed"
            )
        return self

    @property
    def warmup_share(self) -> float:
        return WARMUP if self.warmup is None else self.warmup

    @property
    def usual_warmup_samples(self) -> int:
        """`warmup_samples`, or what it stands for where it is left out and the batch is settled."""
        usual = WARMUP_STEPS * (self.batch_size or 1)
        return usual if self.warmup_samples is None else self.warmup_samples

    def usual_batch(self, n_train: int, workers: int) -> int:
        """What `batch_size` left out stands for on a log of `n_train` training rows."""
        least, most = BATCHES
        room = int(min(self.data_fraction) * n_train) // STEPS
        batch = least
        while batch < workers or 2 * batch <= min(room, most):
            batch *= 2
        return batch


class BudgetSpec(Frozen):
    """What the sweep may spend, failures counted; never crossed."""

    flop: Positive | None = None
    """Training FLOPs of all runs."""
    gpu_hours: Positive | None = None
    """Hours of one GPU; workers without one use none."""
    usd: Positive | None = None
    """Dollars, at the prices of `resources.machine`."""

    @model_validator(mode="after")
    def _at_least_one(self) -> BudgetSpec:
        if self.flop is None and self.gpu_hours is None and self.usd is None:
            raise ValueError("needs a limit; give at least one of flop, gpu_hours, usd")
        return self


class ResourcesSpec(Frozen):
    """What one run stands on, and how many run side by side."""

    workers: Count = 1
    """Processes that share a run: its batch, and its tables."""
    elastic: tuple[Count, Count] | None = None
    """[least, most] workers in place of `workers`: a run starts on what is there, and Ray Train
    resizes it as nodes come and go. Neither is part of a run's identity."""
    cpus_per_worker: Count = 1
    """Cores that Ray sets aside for each worker."""
    gpus_per_worker: Annotated[float, BeforeValidator(plain_number), Field(ge=0)] = 0
    """GPUs that Ray sets aside for each worker; 0 trains on the CPU."""
    machine: str = "cpu"
    """A row of `cluster/prices.yaml`: what a worker-hour costs and what it sustains."""
    retries: Whole = 2
    """Fresh starts from the last checkpoint after a crash, before a run is recorded as failed."""
    checkpoint_s: Positive = 60
    """The most seconds between checkpoints, hence of work that a kill can cost. Within it the
    interval follows from what a checkpoint costs; see `recscale.train.checkpoint.interval`."""
    resting_bytes: Positive = 20e9
    """Bytes that the states of trainings at rest may take together under `storage`, of schedule
    `anytime`: a later run goes on from there. Beyond that those are removed whose training costs
    least for their bytes; what they hold would be trained again."""
    concurrent: Count | None = None
    """Runs side by side at most. A cluster that scales itself is asked for room for all of them
    at once; left out, for one more than it holds now."""

    @model_validator(mode="after")
    def _workers_or_elastic(self) -> ResourcesSpec:
        if self.elastic is None:
            return self
        if self.workers != 1:
            raise ValueError("give workers, or elastic: [least, most], not both")
        if self.elastic[0] > self.elastic[1]:
            raise ValueError(f"elastic: [least, most] needs least <= most, not {self.elastic}")
        return self

    @property
    def least_workers(self) -> int:
        return self.elastic[0] if self.elastic else self.workers

    @property
    def most_workers(self) -> int:
        return self.elastic[1] if self.elastic else self.workers
