"""A dry call of a user's network before anything is spent on it: built with tables of a few rows,
run forward and backward on a handful of made-up ones, on this machine's processor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from recscale.families.door import in_words, where
from recscale.manifest import Manifest
from recscale.models.contract import HISTORY, Features
from recscale.models.names import module_name
from recscale.models.own import Family

ROWS = 5  # odd, and no width of a usual network
TABLE_ROWS = 7  # of each table
BAG = 2  # values of a bag


def complaints(family: Family, data: Manifest) -> Iterator[str]:
    """What goes wrong, in sentences; the first that does hides the rest."""
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
        yield from _tried(family, small)
    finally:
        torch.set_rng_state(state)


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
        rows = features(family, data)
        output = model(rows)
        label = (torch.arange(ROWS) % 2).float()
        if wrong := _shape(family, output):
            yield wrong
            return
        if not torch.isfinite(output).all():
            yield "the untrained network's output is not finite (NaN or infinite) on plain rows"
            return
        doing = "loss"
        if family.task == "custom":
            loss = family.loss(output, rows, label)
            if not isinstance(loss, torch.Tensor) or loss.shape != (ROWS,):
                yield f"loss returns {_told(loss)} for {ROWS} rows; it should be [{ROWS}], one a row"
                return
            loss = loss.mean()
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
    except Exception as error:
        yield f"{doing} fails{where(error)}: {in_words(error)}"


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
        values = torch.cat(
            [torch.arange(BAG * ROWS) % min(t.rows, cap or t.rows) for t in data.bags]
        )
        bags = KeyedJaggedTensor(
            keys=[module_name(t.name) for t in data.bags],
            values=values,
            weights=torch.full((len(values),), 1 / BAG),
            lengths=lengths,
        )
    dense = torch.linspace(-1, 1, ROWS * len(data.dense)).reshape(ROWS, len(data.dense))
    return Features(dense, sparse, cast(Any, history), bags)


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


def _shape(family: Family, output: Any) -> str:
    """What is wrong with the output's kind and shape; empty where nothing is."""
    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        return f"forward returns {_told(output)}; it should return logits [B], a float tensor"
    if family.task == "custom":
        if output.dim() in (1, 2) and len(output) == ROWS:
            return ""
        return (
            f"forward returns {_told(output)} for {ROWS} rows; it should be [{ROWS}] or [{ROWS}, k]"
        )
    if output.shape != (ROWS,):
        hint = "; add .squeeze(1)" if output.shape == (ROWS, 1) else ""
        return f"forward returns {_told(output)} for {ROWS} rows; it should be [{ROWS}], a logit a row{hint}"
    return ""


def _told(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {list(value.shape)} and {value.dtype}"
    return "nothing" if value is None else f"a {type(value).__name__}"
