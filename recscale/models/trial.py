"""A dry call of a user's network before anything is spent on it: built with tables of a few rows,
run forward and backward on a handful of made-up ones, on this machine's processor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from recscale.data.sequences import Positions
from recscale.families.door import FamilyError, in_words, where
from recscale.families.own import USUAL
from recscale.manifest import Manifest
from recscale.models.contract import HISTORY, Features
from recscale.models.names import module_name
from recscale.models.own import Family
from recscale.models.sequences import CATALOGUE, Sequences, sequences

ROWS = 5  # odd, and no width of a usual network
TABLE_ROWS = 7  # of each table
MOST = 50_000_000  # dense parameters: larger networks are not built twice
BAG = 2  # values of a bag


def complaints(family: Family, data: Manifest) -> Iterator[str]:
    """What goes wrong, in sentences; the first that does hides the rest."""
    if type(family).build is Family.build:
        yield "it has no build(self, data); write one that returns a torch.nn.Module"
        return
    if family.task == "custom" and type(family).loss is Family.loss:
        yield "task custom needs a loss(self, output, features, label), [B] of the B rows"
        return
    counting = ""
    try:
        if family.counted(data).dense_params > MOST:
            return
    except FamilyError as error:
        counting = str(error)
    small = data.model_copy(
        update={
            "tables": tuple(
                t.model_copy(update={"rows": min(t.rows, TABLE_ROWS)}) for t in data.tables
            )
        }
    )
    state = torch.get_rng_state()
    torch.manual_seed(0)
    try:
        found = list(_tried(family, small))
    finally:
        torch.set_rng_state(state)
    # what fails on the meta device mostly fails here too, in plainer words
    yield from found or ([counting] if counting else [])


def _tried(family: Family, data: Manifest) -> Iterator[str]:
    doing = "build"
    try:
        model = family.build(data)
        if not isinstance(model, nn.Module):
            said = "nothing" if model is None else f"a {type(model).__name__}"
            yield f"build returns {said}; it should return a torch.nn.Module"
            return
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.device.type == "meta":  # tables that are filled when they are sharded
                model = _filled(model)
                break
        doing = "forward"
        rows: Any = windows(family, data) if family.task == "next_item" else features(family, data)
        output = model(rows)
        label = (torch.arange(ROWS) % 2).float()
        if wrong := _shape(family, output, data):
            yield wrong
            return
        if family.task == "next_item":
            output = output[0] @ output[1].T
        if not torch.isfinite(output).all():
            yield "the untrained network's output is not finite (NaN or infinite) on plain rows"
            return
        doing = "loss"
        if family.task == "custom":
            loss = family.loss(output, rows, label)
            if not isinstance(loss, torch.Tensor) or loss.shape != (ROWS,):
                yield f"loss returns {_told(loss)} for {ROWS} rows; it should be [{ROWS}]"
                return
            loss = loss.mean()
        elif family.task == "next_item":
            loss = output.logsumexp(1).mean()
        else:
            loss = F.binary_cross_entropy_with_logits(output, label)
        doing = "backward"
        loss.backward()
        doing = "metrics"
        if family.task == "custom":
            found = family.metrics(output.detach(), label)
            strange = [k for k, v in found.items() if not isinstance(v, int | float | None)]
            if strange:
                yield f"metrics: {strange[0]} is {_told(found[strange[0]])}; it should be a number"
    except (Exception, SystemExit) as error:
        yield f"{doing} fails{where(error)}: {in_words(error)}{_hint(family, data, error)}"


def _hint(family: Family, data: Manifest, error: BaseException) -> str:
    if "NoneType" not in str(error) or family.task == "next_item":
        return ""
    if not data.history:
        return "; this data has no histories: features.history is None"
    if not family.option("sequence_length", 0):
        return "; features.history is None unless the class has an axis sequence_length"
    return "" if data.bags else "; this data has no bags: features.bags is None"


def features(family: Family, data: Manifest) -> Features:
    """ROWS made-up rows; users with no history and with a full one are among them."""
    n = len(data.plain)
    rows = torch.tensor([t.rows for t in data.plain], dtype=torch.long)
    ids = torch.arange(ROWS)[None] % rows[:, None]
    cap = family.option("embedding_rows", None)
    ids = ids if cap is None else ids % cap
    sparse = KeyedJaggedTensor(
        keys=[module_name(t.name) for t in data.plain],
        values=ids.reshape(-1),
        lengths=torch.ones(n * ROWS, dtype=torch.int32),
    )
    history, length = None, family.option("sequence_length", 0) if data.history else 0
    if length:
        lengths = torch.tensor([0, *[min(length, 3)] * (ROWS - 2), length], dtype=torch.int32)
        most = data.items.rows if cap is None else min(cap, data.items.rows)
        values = torch.arange(int(lengths.sum())) % most
        history = KeyedJaggedTensor(keys=[HISTORY], values=values, lengths=lengths)
    bags = None
    if data.bags:
        lengths = torch.full((len(data.bags) * ROWS,), BAG, dtype=torch.int32)
        most = [min(t.rows, cap or t.rows) for t in data.bags]
        values = torch.cat([torch.arange(BAG * ROWS) % n for n in most])
        bags = KeyedJaggedTensor(
            keys=[module_name(t.name) for t in data.bags],
            values=values,
            weights=torch.full((len(values),), 1 / BAG),
            lengths=lengths,
        )
    dense = torch.linspace(-1, 1, ROWS * len(data.dense)).reshape(ROWS, len(data.dense))
    return Features(dense, sparse, cast(Any, history), bags)


def windows(family: Family, data: Manifest) -> Sequences:
    """Windows of one, two and more positions, each of which is scored against the catalogue."""
    length = int(family.option("sequence_length", USUAL.sequence_length))
    lengths = np.array(sorted({1, min(2, length), min(3, length), length}))
    t, most = int(lengths.sum()), data.items.rows
    item = np.arange(t) % most
    item[0] = most  # the start of a sequence
    begin = np.repeat(np.cumsum(lengths) - lengths, lengths)
    every = np.arange(t)
    batch = Positions(
        item=item,
        target=np.arange(t) % max(1, most - 1),
        time=every * 60,
        lengths=lengths,
        scored=every,
        event=every,
        user=begin,
    )
    return sequences(batch, np.arange(max(1, most - 1)), torch.device("cpu"), (0, 0))


def _filled(model: nn.Module) -> nn.Module:
    """The network with what lies on the meta device brought to life."""
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None and parameter.device.type == "meta":
                value = torch.empty_like(parameter, device="cpu").uniform_(-0.1, 0.1)
                module._parameters[name] = nn.Parameter(value)
        for name, buffer in list(module._buffers.items()):
            if buffer is not None and buffer.device.type == "meta":
                module._buffers[name] = torch.zeros_like(buffer, device="cpu")
    return model


def _shape(family: Family, output: Any, data: Manifest) -> str:
    """What is wrong with the output's kind and shape; empty where nothing is."""
    if family.task == "next_item":
        return _pair(output, windows(family, data))
    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        return f"forward returns {_told(output)}; it should return logits [B], a float tensor"
    if family.task == "custom":
        if output.dim() in (1, 2) and len(output) == ROWS:
            return ""
        return f"{_returned(output)}; it should be [{ROWS}] or [{ROWS}, k]"
    if output.shape != (ROWS,):
        hint = "; add .squeeze(1)" if output.shape == (ROWS, 1) else ""
        return f"{_returned(output)}; it should be [{ROWS}], a logit a row{hint}"
    return ""


def _pair(output: Any, s: Sequences) -> str:
    """Likewise of a next-item network."""
    n, items = len(s.scored), len(s.ids[CATALOGUE].values())
    asked = (
        f"it should be two float tensors, [{n}, d] of the {n} scored positions (s.scored) and "
        f"[{items}, d] of the {items} items to score"
    )
    if not isinstance(output, tuple) or len(output) != 2:
        return f"forward returns {_told(output)}; {asked}"
    if not all(isinstance(o, torch.Tensor) and o.is_floating_point() for o in output):
        return f"forward returns {' and '.join(map(_told, output))}; {asked}"
    hidden, candidates = output
    fits = hidden.dim() == 2 and hidden.shape[0] == n
    if not fits or candidates.shape != (items, hidden.shape[1]):
        return f"forward returns {_told(hidden)} and {_told(candidates)}; {asked}"
    return ""


def _returned(output: torch.Tensor) -> str:
    return f"forward returns {_told(output)} for {ROWS} rows"


def _told(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {list(value.shape)} and {value.dtype}"
    return "nothing" if value is None else f"a {type(value).__name__}"
