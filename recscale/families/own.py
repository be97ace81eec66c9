"""Families of a user's own as sweeps, runs and ledgers hold them: by the dotted path of their class
and a fingerprint of its source. The class itself is imported where something is built or counted,
so that what a ledger says of them can be read anywhere."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ConfigDict, ValidationError, model_validator

from recscale.families.base import LANES, Flop, ModelConfig, ModelSpec, Rates, Table
from recscale.families.click import ClickConfig, rarer_rates
from recscale.families.declared import Declared, grows, sweep_of
from recscale.families.door import FamilyError, load
from recscale.families.sequence import SequenceConfig
from recscale.manifest import Manifest

SETTLED = ("task", "code", "version")
"""What is added to a sweep's `model` as it is read, and stands in the ledger with it."""
MOST_WEIGHED = 400
"""Architectures of a family without closed forms that a search or advice weighs: each is built and
counted, at 20 to 50 ms."""


class Counted(NamedTuple):
    """What one architecture is and costs."""

    tables: dict[str, Table]
    """Its torchrec tables."""
    dense_params: int
    """Parameters of all other modules."""
    flop: float
    """Forward FLOPs of one sample; a multiply-add is 2."""
    lookups: dict[str, float]
    """Rows that one sample reads of each table, on average."""
    activations: int
    """Floats of one sample that backward needs, and their gradients: an upper estimate."""
    step_lookups: Mapping[str, int] = MappingProxyType({})
    """Rows that a training step reads of each table besides, whatever the batch."""


class Reading(NamedTuple):
    """How the data of a next-item run is read and scored; see `recscale.families.sequence`."""

    sequence_length: int
    negatives: int | None
    negatives_by: str
    correction: bool
    filter_seen: bool
    dropout: float
    dropout_top: float


USUAL = Reading(50, None, "popularity", True, False, 0.0, 0.0)
"""Of a class that does not say."""


class OwnSpec(ModelSpec):
    """A family of your own: the dotted path of a class that extends recscale.Family, such as
    my_pkg.my_model:MyFamily, whose fields are the axes. Its file lies beside the sweep file or in
    the current folder, or its package is installed. README.md, "Your own model"."""

    model_config = ConfigDict(extra="allow")
    family: str
    """Module and class, `my_pkg.my_model:MyFamily`; the keys beside it are the class's fields."""
    if TYPE_CHECKING:
        code: str
        version: str

    @model_validator(mode="before")
    @classmethod
    def _settled(cls, values: Any) -> Any:
        """The values with the class's defaults, task and fingerprint; of a ledger as they are."""
        if not isinstance(values, dict):
            return values
        if {*SETTLED} <= {*values}:
            return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            found = load(values["family"])
        except FamilyError as error:
            raise ValueError(f"family: {error}") from None
        asked = sweep_of(found.cls).model_validate(values)
        said = {"task": found.cls.task, "code": found.code, "version": found.cls.version}
        return {**asked.model_dump(), **said}

    @property
    def losses(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("eval_ne", "eval_loss") if self.task == "click" else ("eval_loss",)

    @property
    def law_variables(self) -> tuple[str, ...]:  # type: ignore[override]
        return SEQUENCE_LAW if self.task == "next_item" else ModelSpec.law_variables

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.model_extra or ())

    def axes(self) -> dict[str, tuple[Any, ...]]:
        return {k: v for k, v in (self.model_extra or {}).items() if isinstance(v, tuple)}

    def may_grow(self, axis: str, value: Any) -> bool:
        return grows(self._class(), axis, value)

    def allows(self, values: dict[str, Any]) -> bool:
        at = {**(self.model_extra or {}), **{k: values[k] for k in self.axes()}}
        try:
            self._class()(**{k: v for k, v in at.items() if k not in SETTLED})
        except ValidationError:
            return False
        return True

    def weighed(self, most: int) -> int:
        return most if self._class().has_closed_forms() else min(most, MOST_WEIGHED)

    def resolve(self, values: dict[str, Any], data: Manifest) -> OwnConfig:
        extra = {**(self.model_extra or {}), **{k: values[k] for k in self.axes()}}
        return OwnConfig(family=self.family, **extra)

    def complaints(self, data: Manifest) -> list[str]:
        """The values that the class refuses; else what goes wrong when the smallest of its points
        is built and tried on a handful of rows."""
        axes, refused, tried = self.axes(), {}, None
        smallest = {k: sorted(v, key=_size) for k, v in axes.items()}
        for point in itertools.islice(itertools.product(*smallest.values()), MOST_CHECKED):
            config = self.resolve(dict(zip(smallest, point, strict=True)), data)
            try:
                tried = tried or config.built()
                config.built()
            except FamilyError as error:
                refused[str(error)] = None
        if refused:
            return [f"model.family: {why}" for why in itertools.islice(refused, 3)]
        assert tried is not None
        return [f"model.family: {self.family}: {why}" for why in tried.complaints(data)]

    def _class(self) -> Any:
        return same(self.family, self.code)


MOST_CHECKED = 4000  # points whose values are compared with what the class refuses
SEQUENCE_LAW = ("non_embedding_params", "samples")


def _size(value: Any) -> float:
    return float("inf") if value is None else value


class OwnConfig(ModelConfig):
    """One point of the axes of a user's own family, which stand beside these fields."""

    model_config = ConfigDict(extra="allow")
    task: str  # type: ignore[misc]
    code: str
    """Fingerprint of the source."""
    version: str = ""

    def __hash__(self) -> int:
        return hash((self.family, self.code, *(self.model_extra or {}).items()))

    @property
    def values(self) -> dict[str, Any]:
        """The values of axes and options."""
        return dict(self.model_extra or {})

    @property
    def columns(self) -> tuple[str, ...]:
        return (*type(self).model_fields, *(self.model_extra or {}))

    @property
    def name(self) -> str:
        each = (
            f"{''.join(word[:1] for word in k.split('_'))}{v if isinstance(v, int) else f'{v:g}'}"
            for k, v in self.values.items()
            if isinstance(v, int | float) and not isinstance(v, bool)
        )
        return "-".join([self.family.rpartition(":")[2], *each])[:LONGEST_NAME].rstrip("-.")

    def option(self, name: str, usual: Any) -> Any:
        return self.built().option(name, usual)

    @property
    def reading(self) -> Reading:
        """How data is read and scored for a class of task next_item."""
        at = self.built()
        return Reading(*(at.option(name, usual) for name, usual in USUAL._asdict().items()))

    def built(self) -> Any:
        """The class at this point. Raises FamilyError where it is not here, has another source
        here, or refuses the values."""
        return built(self)

    def check_here(self) -> None:
        same(self.family, self.code)

    @property
    def rates(self) -> Rates:  # type: ignore[override]
        if self.task == "next_item":
            return SequenceConfig.rates._replace(width=None)  # what width means is not known
        return ClickConfig.rates

    def usual_rates(self, data: Manifest, fraction: float) -> Rates:
        return self.rates if self.task == "next_item" else rarer_rates(self.rates, data, fraction)

    def tables(self, data: Manifest) -> dict[str, Table]:
        return self._counted(data).tables

    def dense_params(self, data: Manifest) -> int:
        return self._counted(data).dense_params

    def forward_flop(self, data: Manifest) -> Flop:
        return Flop(body=self._counted(data).flop, attention=0, interaction=0, head=0)

    def lookups(self, data: Manifest) -> dict[str, float]:
        return self._counted(data).lookups

    def step_lookups(self, data: Manifest) -> dict[str, int]:
        return dict(self._counted(data).step_lookups)

    def activations(self, data: Manifest) -> int:
        return self._counted(data).activations

    def _counted(self, data: Manifest) -> Counted:
        key = self, data.fingerprint, data.tables, data.dense, data.history_mean_length
        if key not in _COUNTED:
            found = self.built().counted(data)
            for name, table in found.tables.items():
                if table.dim % LANES:
                    raise FamilyError(
                        f"{self.family}: the table {name!r} has dimension {table.dim}, and "
                        f"fbgemm's kernels need a multiple of {LANES}"
                    )
            _COUNTED[key] = found
        return _COUNTED[key]


LONGEST_NAME = 80
_COUNTED: dict[Any, Counted] = {}


def keys_of(family: str) -> list[str]:
    """The keys that a sweep's `model` may have beside a dotted path. Raises FamilyError."""
    return list(sweep_of(load(family).cls).model_fields)


def same(family: str, code: str) -> type[Declared]:
    """The class at a path, of this source. Raises FamilyError."""
    found = load(family)
    if found.code != code:
        raise FamilyError(
            f"{family} has another source here ({found.code}) than the run was planned with "
            f"({code}): give the command again where the file is, or bring it back as it was"
        )
    return found.cls


def built(config: OwnConfig) -> Any:
    """See `OwnConfig.built`."""
    cls = same(config.family, config.code)
    try:
        return cls(**config.values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = str(first.get("ctx", {}).get("error", first["msg"]))
        at = ", ".join(f"{k} {v}" for k, v in config.values.items())
        where = ".".join(map(str, first["loc"]))
        raise FamilyError(
            f"{config.family} refuses {at}: {where + ': ' if where else ''}{said}"
        ) from None
