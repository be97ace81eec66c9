"""Parameters, FLOPs and memory of a network that tells nothing of itself: it is built on the meta
device, where a tensor has a shape and no values, and runs forward there once.

FLOPs are those of torch.utils.flop_counter: matrix products, convolutions and attention, by the
shapes of their operands. It misses what is no such product: element-wise arithmetic (the squares of
a factorisation machine), sums, torch.mv and torch.dot, nn.Bilinear, norms, softmax. Causal
attention counts whole, where `recscale.families.base` counts its half. Look-ups are 0 FLOPs and
counted in bytes. What a forward pass does once whatever the batch is shared among ROWS rows. A
sequence is counted at its full length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors
from torch.utils.flop_counter import FlopCounterMode
from torchrec.modules.embedding_modules import EmbeddingBagCollection, EmbeddingCollection
from torchrec.sparse.jagged_tensor import JaggedTensor, KeyedJaggedTensor, KeyedTensor

from recscale.families.base import ModelConfig, Table
from recscale.families.door import FamilyError, in_words, where
from recscale.families.own import USUAL, Counted, OwnConfig
from recscale.families.sequence import ITEM
from recscale.families.two_tower import TwoTowerConfig
from recscale.manifest import Manifest
from recscale.models.contract import HISTORY, Features
from recscale.models.contract import build as contract_build
from recscale.models.names import module_name, plain_name
from recscale.models.own import Family, collections
from recscale.models.sequences import CATALOGUE, Bucket, Sequences

ROWS = 1024  # of the batch that is counted: a usual one
WINDOWS = 32  # of sequences, likewise
META = torch.device("meta")
METERED = (
    "forward on the meta device, where tensors have shapes and no values (write it without "
    ".item(), .tolist() and the like, or give closed forms in `costs`)"
)


class _OnMeta(TorchFunctionMode):
    """Whatever device a constructor of tensors is told, it is the meta device; nothing is
    initialised, which takes half of the time there."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        kwargs = dict(kwargs or {})
        if func in _device_constructors():
            kwargs["device"] = META
        return func(*args, **kwargs)


@dataclass(frozen=True)
class Subject:
    """A network to be counted."""

    name: str
    at: str
    """Its sizes, for sentences."""
    task: str
    build: Callable[[Manifest], nn.Module]
    option: Callable[[str, Any], Any]
    """How its data is read: an option by its name, else what is usual."""
    batched: int = 0
    """Items that a sample is scored against where they are targets of its batch, each of which is
    read once; 0 where all samples share others."""

    @classmethod
    def of(cls, model: ModelConfig) -> Subject:
        """A point of any family, built-in ones too."""
        if isinstance(model, OwnConfig):
            return cls.of_own(model.built())
        return cls(
            model.family,
            model.name,
            model.task,
            lambda data: contract_build(model, data, "meta"),
            model.option,
            model.scored if isinstance(model, TwoTowerConfig) else 0,
        )

    @classmethod
    def of_own(cls, family: Family) -> Subject:
        at = ", ".join(f"{k} {v}" for k, v in family.model_dump().items())
        return cls(type(family).__name__, at, family.task, family.build, family.option)


def count(family: Subject, data: Manifest) -> Counted:
    """What one architecture is and costs. Raises FamilyError where the network cannot be built or
    cannot run on the meta device."""
    with _told(family, "build"), _OnMeta(), META:
        model = family.build(data)
    if not isinstance(model, nn.Module):
        raise FamilyError(f"{family.name}: build returns {_a(model)}, not a torch.nn.Module")
    if any(isinstance(p, UninitializedParameter) for p in model.parameters()):
        raise FamilyError(
            f"{family.name}: a lazy module has no parameters before it runs, so that nothing can "
            "be counted or sharded; give layers their sizes"
        )
    found = collections(model)
    tables, lookups = {}, {}
    for collection in found.values():
        for config in configs(collection):
            name = plain_name(config.name) if config.name[:1] == ":" else config.name
            if name in tables:
                raise FamilyError(
                    f"{family.name}: two tables are called {name!r}; give each a name of its own"
                )
            tables[name] = Table(config.num_embeddings, config.embedding_dim)
            each = (_values(family, feature, data) for feature in config.feature_names)
            lookups[name] = sum(each)
    inside = {id(p) for c in found.values() for p in c.parameters()}
    dense = sum(p.numel() for p in model.parameters() if id(p) not in inside)
    for place, collection in found.items():
        _replace(model, place, _Looked(collection))
    steps, scored = {}, 0
    if family.task == "next_item":
        scored = family.batched or family.option("negatives", None) or data.items.rows - 1
        length = int(family.option("sequence_length", USUAL.sequence_length))
        inputs, samples = windows(family, WINDOWS, WINDOWS * length if family.batched else scored)
        for collection in found.values():
            for config in configs(collection):
                if CATALOGUE in config.feature_names:
                    name = plain_name(config.name) if config.name[:1] == ":" else config.name
                    steps[name] = scored
    else:
        inputs, samples = batch(family, data, ROWS), ROWS
    with (
        _told(family, METERED),
        _saved() as kept,
        FlopCounterMode(display=False) as counter,
    ):
        output = model(inputs)
        if family.task == "next_item":
            hidden, candidates = output
            logits = hidden @ candidates[:scored].T
            torch.nn.functional.log_softmax(logits, dim=1)
    return Counted(
        tables=tables,
        dense_params=dense,
        flop=counter.get_total_flops() / samples,
        lookups=lookups,
        activations=-(-2 * sum(t.numel() for t in kept) // samples),
        step_lookups=steps,
    )


def windows(family: Subject, n: int, scored: int) -> tuple[Sequences, int]:
    """Inputs of a next-item network on the meta device: n full windows, every position scored
    against `scored` items; and the samples that they hold."""
    length = int(family.option("sequence_length", USUAL.sequence_length))
    t = n * length
    whole = torch.empty(t, dtype=torch.long, device=META)
    ids = KeyedJaggedTensor(
        keys=[ITEM, CATALOGUE],
        values=torch.empty(t + scored, dtype=torch.long, device=META),
        lengths=torch.empty(2, dtype=torch.int32, device=META),
        offsets=torch.empty(3, dtype=torch.int32, device=META),
        stride=1,
        length_per_key=[t, scored],
        offset_per_key=[0, t, t + scored],
    )
    return Sequences(ids, whole, whole, whole, (Bucket(0, t, n, length, None),)), t


def batch(family: Subject, data: Manifest, rows: int) -> Features:
    """Inputs of a click network on the meta device."""
    dense = torch.empty(rows, len(data.dense), device=META)
    length = family.option("sequence_length", 0) if data.history else 0
    history = _jagged([HISTORY], [rows], rows, max(1, length)) if length else None
    bags = None
    if data.bags:
        keys = [module_name(t.name) for t in data.bags]
        mean = [round(rows * t.mean_length) for t in data.bags]
        bags = _jagged(keys, mean, rows, weighted=True)
    plain = [module_name(t.name) for t in data.plain]
    sparse = _jagged(plain, [rows] * len(plain), rows)
    return Features(dense, sparse, cast(Any, history), bags)


def configs(collection: EmbeddingBagCollection | EmbeddingCollection) -> list[Any]:
    """Of the tables of a collection."""
    if isinstance(collection, EmbeddingBagCollection):
        return list(collection.embedding_bag_configs())
    return list(collection.embedding_configs())


def _jagged(
    keys: list[str], values: list[int], rows: int, each: int = 1, weighted: bool = False
) -> KeyedJaggedTensor:
    """Ids of `rows` rows, `values` x `each` of them a key, that nothing has to be read of."""
    lengths = [n * each for n in values]
    ends = [sum(lengths[:i]) for i in range(len(lengths) + 1)]
    n = ends[-1]
    return KeyedJaggedTensor(
        keys=keys,
        values=torch.empty(n, dtype=torch.long, device=META),
        weights=torch.empty(n, device=META) if weighted else None,
        lengths=torch.empty(rows * len(keys), dtype=torch.int32, device=META),
        offsets=torch.empty(rows * len(keys) + 1, dtype=torch.int32, device=META),
        stride=rows,
        length_per_key=lengths,
        offset_per_key=ends,
    )


class _Looked(nn.Module):
    """What a collection returns, by its shape alone: torchrec reads lengths, which the meta device
    has not."""

    def __init__(self, collection: EmbeddingBagCollection | EmbeddingCollection):
        super().__init__()
        self.pools = isinstance(collection, EmbeddingBagCollection)
        self.tables = configs(collection)

    def forward(self, features: KeyedJaggedTensor) -> Any:
        keys, several = [], {}
        for table in self.tables:
            for feature in table.feature_names:
                several[feature] = several.get(feature, 0) + 1
        for table in self.tables:
            for feature in table.feature_names:
                named = feature if several[feature] == 1 else f"{feature}@{table.name}"
                keys.append((named, feature, table.embedding_dim))
        if self.pools:
            widths = [dim for *_, dim in keys]
            values = torch.empty(features.stride(), sum(widths), device=META, requires_grad=True)
            return KeyedTensor([k for k, *_ in keys], widths, values)
        found = {}
        for named, feature, dim in keys:
            jagged = features[feature]
            values = torch.empty(len(jagged.values()), dim, device=META, requires_grad=True)
            found[named] = JaggedTensor(values, lengths=jagged.lengths(), offsets=jagged.offsets())
        return found


def _replace(model: nn.Module, place: str, by: nn.Module) -> None:
    parent, _, name = place.rpartition(".")
    setattr(model.get_submodule(parent), name, by)


def _values(family: Subject, feature: str, data: Manifest) -> float:
    """Values of a feature in a row, on average; 1 for what the data does not know."""
    if feature == CATALOGUE:
        return 1.0 if family.option("negatives", None) else 0.0  # the target's own
    if feature == HISTORY:
        return min(data.history_mean_length, family.option("sequence_length", 0))
    lengths = {module_name(t.name): t.mean_length for t in data.tables}
    return lengths.get(feature, 1.0)


@contextmanager
def _saved() -> Iterator[list[torch.Tensor]]:
    """The tensors that backward will need, each once; parameters are counted elsewhere."""
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        base = tensor if tensor._base is None else tensor._base
        if not (isinstance(base, nn.Parameter) or base.is_leaf and base.requires_grad):
            kept[id(base)] = base
        elif not isinstance(base, nn.Parameter):
            kept[id(base)] = base  # what was looked up
        return tensor

    found: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield found
    found += kept.values()


@contextmanager
def _told(family: Subject, doing: str) -> Iterator[None]:
    """What goes wrong in a user's code, as a sentence."""
    try:
        yield
    except FamilyError:
        raise
    except (Exception, SystemExit) as error:
        raise FamilyError(
            f"{family.name} fails in {doing}{where(error)} at {family.at}: {in_words(error)}"
        ) from error


def _a(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
