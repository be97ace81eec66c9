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
    plain_number,
)


class LearningRate(Frozen):
    """The highest rates of a run, and factors on them to try."""

    dense: Positive = 1e-3
    """Of everything but the tables, under Adam."""
    sparse: Positive = 5e-2
    """Of the embedding tables."""
    width: Count | None = None
    """The width of a sequence model that both rates are meant for: at width d they are multiplied
    by width / d, as 2203.03466 (muP) does under Adam. null: the same rates at every width."""
    tune: FactorAxis = (1.0,)
    """Factors on both rates, tried for every architecture and fraction; the best enters the law."""


class TrainSpec(Frozen):
    """How every run is trained."""

    data_fraction: FractionAxis = (1.0,)
    """Shares of the training rows, in `data.order`."""
    batch_size: Count = 1024
    """Global batch, over all workers."""
    epochs: CountAxis = (1,)
    """Passes over the training rows; law form `repeated` says what repeating is worth."""
    seeds: Count = 1
    """Runs of each point, alike but for their random start and order."""
    learning_rate: LearningRate = LearningRate()
    """The highest rates of a run, and factors on them to try."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the steps in which the rate rises; after them it falls linearly to zero."""
    eval_points: Count = 6
    """Evaluations along the run: at the end and at halvings of its samples before it."""
    sgd_after: Fraction | None = None
    """Share of the steps after which the dense parameters go on under plain SGD instead of Adam
    (2311.11351 switches once Adam has converged); null: never."""
    sgd_rate: Positive = 0.1
    """Its learning rate, under the same schedule."""
    precision: Precision = "float32"
    """Of the matrix products of training; `bfloat16` is torch's autocast, on CPU or GPU alike.
    Weights, tables, optimiser state and every evaluation stay float32. Part of the identity of a
    run: the same sweep with another precision is another set of runs."""
    diverge_above: Annotated[Positive, Field(gt=1)] = 2.0
    """A run whose loss exceeds this multiple of the base rate's entropy has diverged."""


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
            raise ValueError("give at least one of flop, gpu_hours, usd")
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
    retries: Annotated[int, Field(ge=0)] = 2
    """Fresh starts from the last checkpoint after a crash, before a run is recorded as failed."""
    checkpoint_s: Positive = 60
    """The most seconds between checkpoints, hence of work that a kill can cost. Within it the
    interval follows from what a checkpoint costs; see `recscale.train.checkpoint.interval`."""
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
