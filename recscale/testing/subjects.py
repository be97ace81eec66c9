"""What the contract is checked on: one small run of a family on a planted world."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from recscale.data.prepare import prepare
from recscale.data.sequences import TrainStream, positions
from recscale.data.store import Store
from recscale.families import FAMILIES, FamilyError, ModelConfig, ModelSpec, family_of
from recscale.families.declared import Declared
from recscale.families.door import search_in
from recscale.families.own import SETTLED, OwnConfig
from recscale.models.contract import build, features
from recscale.models.sequences import sequences
from recscale.planner import planned_runs
from recscale.planner.checks import PlanError
from recscale.run import RunConfig
from recscale.spec import SweepSpec, SyntheticData
from recscale.train.sharding import ensure_process_group, shard

CPU = torch.device("cpu")
ROWS, USERS, ITEMS = 40_000, 200, 100
"""Of the planted worlds. On them every family of tests/test_contract.py beats the constant rate by
0.014 to 0.07 nats, and a guess among all items by 0.4 (2026-11-30)."""
BATCH = 255  # odd, so that two workers' shares differ


@dataclass(frozen=True)
class Subject:
    """A family at one point of its axes."""

    spec: SweepSpec
    store: Store
    run: RunConfig

    @property
    def model(self) -> ModelConfig:
        return self.run.model

    @property
    def task(self) -> str:
        return self.model.task

    @property
    def brief(self) -> RunConfig:
        """The run on a quarter of the rows, for what does not depend on how well it learns."""
        train = self.run.train.model_copy(update={"data_fraction": 0.25})
        return self.run.model_copy(update={"train": train})

    @cached_property
    def built(self) -> Any:
        """The untrained network as the training loop has it, evaluating."""
        ensure_process_group()
        torch.manual_seed(0)
        return shard(build(self.model, self.store.manifest), 0.01, 0, CPU)

    def rows(self, begin: int, end: int) -> Any:
        """Inputs of training rows, or of so many targets of the stream of sequences."""
        if self.task == "next_item":
            reading = self.model.reading if isinstance(self.model, OwnConfig) else self.model
            stream = TrainStream(self.store.train(), reading.sequence_length, 0)  # type: ignore[union-attr]
            batch = positions(self.store, stream.windows(0, begin, end))
            every = np.arange(self.store.history_rows - 1)
            return sequences(batch, every, CPU)
        option = self.model.option
        length = option("sequence_length", 0)
        batch = self.store.train().read(
            begin, end, embedding_rows=option("embedding_rows", None), history_length=length
        )
        found = features(batch, self.store.manifest, CPU)
        return found if length else found._replace(history=None)

    def answer(self, inputs: Any) -> torch.Tensor:
        """The network's output; of next item the logits [n, items]."""
        output = self.built(inputs)
        return output[0] @ output[1].T if self.task == "next_item" else output


def subject(family: str | type, **axes: Any) -> Subject:
    """A family, by name, dotted path or class, at its defaults or these values of its axes, on the
    planted world of its task. Raises FamilyError where it is none, or its values are wrong."""
    if isinstance(family, type):
        if not issubclass(family, Declared):
            raise FamilyError(f"{family.__name__} is no family; let it extend recscale.Family")
        family = f"{family.__module__}:{family.__qualname__}"
    search_in("")
    try:
        entry = family_of(family)
        model = entry.spec.model_validate({"family": family, **axes})
    except KeyError:
        known = ", ".join(FAMILIES)
        raise FamilyError(
            f"{family!r} is no family; give one of {known}, or a dotted path such as "
            "my_pkg.my_model:MyFamily"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = str(first.get("ctx", {}).get("error", first["msg"])).removeprefix("family: ")
        where = ".".join(str(part) for part in first["loc"])
        raise FamilyError(f"{where}: {said}" if where else said) from None
    task = "click" if model.task == "custom" else model.task
    spec = SweepSpec.model_validate(
        {
            "name": "check",
            "data": {"source": "synthetic", "task": task},
            "model": written(model),
            "train": {"batch_size": BATCH, "data_fraction": 1.0, "seeds": 1},
            "budget": {"flop": 1e30},
        }
    )
    store = world(task)
    spec = spec.on(store.manifest.n_train)
    try:
        run = planned_runs(spec, store.manifest)[0].config
    except (PlanError, FamilyError) as error:
        raise FamilyError(str(error).removeprefix("model.family: ")) from None
    return Subject(spec, store, run)


def written(model: ModelSpec) -> dict[str, Any]:
    """A family as a sweep file has it."""
    return {k: v for k, v in model.model_dump().items() if k not in SETTLED}


@cache
def world(task: str) -> Store:
    """The planted world of a task, prepared once a process; it goes with the process."""
    folder = tempfile.mkdtemp(prefix="recscale-check-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    data = SyntheticData.model_validate(
        {"source": "synthetic", "task": task, "rows": ROWS, "users": USERS, "items": ITEMS}
    )
    return Store.open(prepare(data, folder))
