"""What every model family says of itself before anything is built: its axes in a sweep file, its
one canonical architecture at a point of them, and the costs of that architecture in closed form.

Rules of the count (after MLPerf DLRM-v4's way of stating them; 2208.08489 for look-ups):
a multiply-add is 2 FLOPs; causal attention counts half of S^2, though a CPU kernel does not skip
the other half; look-ups are 0 FLOPs and are counted in bytes. Left out: biases, activations,
norms, softmax, pooling, and sums and products element by element.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from recscale.manifest import Manifest
from recscale.values import Frozen

if TYPE_CHECKING:
    from recscale.run import TrainConfig

Task = Literal["click", "next_item", "custom", "trainer"]


class Flop(Frozen):
    """Forward FLOPs of one sample by part; a multiply-add is 2."""

    body: float
    attention: float
    interaction: float
    head: float

    @property
    def total(self) -> float:
        return self.body + self.attention + self.interaction + self.head


LANES = 4  # fbgemm's fused tables take dimensions that are multiples of this


def off_lanes(key: str, dims: Iterable[int], sets: int = 1) -> list[str]:
    """A complaint for each table dimension, in so many sets together, that fbgemm does not take."""
    among = "" if sets == 1 else f" in {sets} sets"
    return [
        f"{key}: dimension {dim}{among} leaves tables whose dimension is no multiple of {LANES}, "
        f"as fbgemm's kernels need; take multiples of {sets * LANES}"
        for dim in dims
        if dim % (sets * LANES)
    ]


class Table(NamedTuple):
    """One embedding table."""

    rows: int
    dim: int


class Rates(NamedTuple):
    """Learning rates that train a family on logs of many kinds, for sweeps that name none. Chosen
    by tests/benchmarks/defaults.py, 2026-11-29: rates 1e-3 to 1e-2 dense and 0.01 to 0.3 sparse at
    batches of 16 to 256, on planted click worlds of 10,000 and 100,000 rows, Online Retail as
    clicks and as next items, open bandit, planted walks and a Markov chain."""

    dense: float
    """Adam's."""
    sparse: float
    """Row-wise Adagrad's."""
    width: int | None = None
    """Where given, the width that they are meant for; elsewhere they are taken times width / d."""


class ModelConfig(Frozen):
    """One architecture; every width is resolved, and a part that is absent has size 0. The fields
    are the identity: two configs that build the same network are equal."""

    task: ClassVar[Task]
    rates: ClassVar[Rates]
    family: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the fields, as the columns of a table of runs."""
        return tuple(type(self).model_fields)

    def row(self, train: TrainConfig) -> dict[str, Any]:
        """The sizes and options of a run of it, by column."""
        return self.model_dump()

    def whole(self, train: TrainConfig) -> tuple[int, float] | None:
        """Samples and training FLOPs of a run, where they are stated and not counted."""
        return None

    def option(self, name: str, usual: Any) -> Any:
        """A field that not all families have, where it says how data is read."""
        return getattr(self, name, usual)

    def check_here(self) -> None:
        """Raises FamilyError where this process cannot build the network as it was planned."""

    @property
    def name(self) -> str:
        """Family and sizes, as they stand in a run id."""
        raise NotImplementedError

    def usual_rates(self, data: Manifest, fraction: float) -> Rates:
        """Learning rates of a run on this share of the training rows, where a sweep names none."""
        return self.rates

    def tables(self, data: Manifest) -> dict[str, Table]:
        """Every embedding table by name."""
        raise NotImplementedError

    def table_params(self, data: Manifest) -> int:
        return sum(t.rows * t.dim for t in self.tables(data).values())

    def dense_params(self, data: Manifest) -> int:
        """Parameters outside tables and head."""
        raise NotImplementedError

    def non_embedding_params(self, data: Manifest) -> int:
        """The parameters that a law of model size counts as N: for click models all dense ones, for
        sequence models the weight matrices of the blocks (2311.11351)."""
        return self.dense_params(data)

    def head_params(self, data: Manifest) -> int:
        """Parameters of the output layer over the catalogue; 0 for click models, whose one output
        unit belongs to the over-arch."""
        return 0

    def forward_flop(self, data: Manifest) -> Flop:
        """Forward FLOPs of one sample."""
        raise NotImplementedError

    def lookups(self, data: Manifest) -> dict[str, float]:
        """Rows that one sample reads of each table, on average."""
        raise NotImplementedError

    def step_lookups(self, data: Manifest) -> dict[str, int]:
        """Rows that a training step reads of each table besides, whatever the batch."""
        return {}

    def step_flop(self, data: Manifest) -> float:
        """Forward FLOPs of a training step besides those of its samples, whatever the batch."""
        return 0.0

    def activations(self, data: Manifest) -> int:
        """Floats of one sample that backward needs, and their gradients: an upper estimate."""
        raise NotImplementedError


class ModelSpec(Frozen):
    """The `model` part of a sweep file. A field that holds a tuple is an axis, any other field is
    an option, the same for all runs."""

    task: ClassVar[Task]
    follows: ClassVar[dict[str, str]] = {}
    """Axis -> the axis that moves with it as long as that one is not swept itself."""
    losses: ClassVar[tuple[str, ...]]
    """Columns that a law may be fitted to, the usual one first."""
    progressive: ClassVar[tuple[str, ...]] = ()
    """Further ones under schedule `anytime`: losses of batches before they were learnt."""
    law_variables: ClassVar[tuple[str, ...]] = ("table_params", "dense_params", "samples")
    schemes: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Scaling scheme -> the axes that it scales by one factor, all else at the base."""
    family: str
    """Which networks."""

    @property
    def other_loss(self) -> str:
        """Keys by which its training minimises another loss than its evaluation's; empty where it
        minimises the same, and has it of batches before they are learnt."""
        return ""

    @property
    def amounts(self) -> tuple[int, ...]:
        """Numbers of samples that a sweep takes, of a trainer that says so; else data fractions
        are those of a log."""
        return ()

    def on_batch(self, batch: int) -> ModelSpec:
        """The spec with what it leaves to the batch settled."""
        return self

    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The family's axes with their values, in the order in which they are declared."""
        fields = {k: getattr(self, k) for k in type(self).model_fields}
        return {k: v for k, v in fields.items() if isinstance(v, tuple)}

    def resolve(self, values: dict[str, Any], data: Manifest) -> ModelConfig:
        """The architecture at one point of the axes, in its one canonical form: two points that
        build the same network have the same config, hence the same run id."""
        raise NotImplementedError

    def size(self, axis: str, values: dict[str, Any], data: Manifest) -> int:
        """The number that the value of an axis stands for."""
        return values[axis]

    def scaled(
        self, values: dict[str, Any], scheme: str, factor: float, data: Manifest
    ) -> dict[str, Any]:
        """Values of the axes with those of a scheme times `factor`."""
        sizes = {a: factor * self.size(a, values, data) for a in self.schemes[scheme]}
        return {**values, **{a: max(1, round(size)) for a, size in sizes.items()}}

    def grown(self, config: ModelConfig, axis: str) -> dict[str, Any]:
        """Values of the axes for `config` with one axis doubled; 0 becomes 1."""
        values = {k: getattr(config, k) for k in self.axes()}
        return {**values, axis: 2 * values[axis] or 1}

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the sizes and options that all runs have."""
        return tuple(type(self).model_fields)

    def may_grow(self, axis: str, value: Any) -> bool:
        """Whether an axis may have this value, which the sweep does not name."""
        return True

    def allows(self, values: dict[str, Any]) -> bool:
        """Whether values of the axes, which the sweep does not name, go together."""
        return True

    def weighed(self, most: int) -> int:
        """Architectures that a search or advice weighs, where others weigh `most`."""
        return most

    def idle(self, data: Manifest) -> dict[str, str]:
        """Key -> why it has no effect, whatever its value."""
        return {}

    def complaints(self, data: Manifest) -> list[str]:
        """Why this family cannot be trained on this data: `key: what is wrong; what to do`."""
        return []
