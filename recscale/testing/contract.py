"""The checks of a model family, each a sentence of what holds or of what does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from recscale.data.store import Store
from recscale.families import FamilyError
from recscale.families.door import in_words, where
from recscale.families.own import OwnConfig
from recscale.models.contract import build
from recscale.models.counting import Subject as Network
from recscale.models.counting import count
from recscale.run import RunConfig
from recscale.specfile import SpecError, parse_spec
from recscale.testing.subjects import Subject, subject
from recscale.testing.training import Mortal, curve, on_two_workers, resumed
from recscale.train.loop import Outcome, train

CLOSE = 2e-4
"""Relative, of the losses of one worker and of two: sums have another order. The families here
differ by 1e-8 to 1e-5 (tests/test_train.py)."""
FLOP_CLOSE = 0.01
"""Relative, of closed forms and what is counted: room for terms such as biases."""


class ContractError(AssertionError):
    """What a family does not hold, a sentence each."""


class Broken(AssertionError):
    """What one check found."""


@dataclass(frozen=True)
class Finding:
    """What one check says of a family."""

    check: str
    holds: bool
    said: str
    """What was found, or what is wrong and what to do."""

    @property
    def line(self) -> str:
        return f"{'ok  ' if self.holds else 'FAIL'} {self.check}: {self.said}"


def parameters(s: Subject) -> str:
    """The groups of parameters are those of the network."""
    data, model = s.store.manifest, s.model
    found = count(Network.of(model), data)
    head = model.head_params(data)
    if model.tables(data) != found.tables:
        raise Broken(f"the tables are said to be {model.tables(data)}, and are {found.tables}")
    said = model.dense_params(data) + head
    if said != found.dense_params:
        raise Broken(
            f"dense and head parameters are said to be {said:,}, and the network has "
            f"{found.dense_params:,}"
        )
    return f"{model.table_params(data):,} in tables, {said:,} others, as the network has them"


def flop(s: Subject) -> str:
    """FLOPs are those of torch's counter, causal attention and what it misses apart."""
    data = s.store.manifest
    said, found = s.model.forward_flop(data), count(Network.of(s.model), data).flop
    apart = said.total - said.attention
    attends = said.attention > 0
    if found < (1 - FLOP_CLOSE) * apart or (not attends and found > (1 + FLOP_CLOSE) * apart):
        raise Broken(
            f"{said.total:,.0f} forward FLOPs a sample are said, and torch's counter finds "
            f"{found:,.0f}; correct the closed form, or leave `costs` out"
        )
    if not found:
        raise Broken(
            "the counter finds no FLOPs at all: give closed forms in `costs`, or FLOPs are no "
            "variable of this family"
        )
    return f"{said.total:,.0f} forward FLOPs a sample; torch's counter finds {found:,.0f}"


def answers(s: Subject) -> str:
    """A sample's answer is finite and does not depend on the batch that it is in."""
    s.built.eval()
    with torch.no_grad():
        if s.task == "next_item":
            together, alone = (s.rows(0, n) for n in (40, 1))
            first = s.answer(alone)[:1]
            found = s.answer(together)
            close = torch.isclose(found, first, rtol=1e-4, atol=1e-5).all(1).any()
        else:
            found = s.answer(s.rows(1000, 1064))
            close = torch.allclose(found[10:13], s.answer(s.rows(1010, 1013)), rtol=1e-4, atol=1e-5)
    s.built.train()
    if not torch.isfinite(found).all():
        raise Broken("an answer of the untrained network is not finite")
    if not close:
        raise Broken(
            "a sample's answer depends on the others of its batch, while it evaluates too: its "
            "loss would be another one with another batch; normalise over a sample's own values"
        )
    return "finite, and the same in any batch"


def gradients(s: Subject) -> str:
    """Every parameter is reached through the sharding: dense ones have a gradient, tables move."""
    s.built.train()
    tables = set(s.built.fused_optimizer.params)
    state = {n: p.detach().clone() for n, p in s.built.named_parameters() if n in tables}
    s.built.zero_grad()
    inputs = s.rows(5000, 5500)
    answer = s.answer(inputs)
    (answer.logsumexp(1) if s.task == "next_item" else answer).sum().backward()
    unreached = []
    for place, parameter in s.built.named_parameters():
        if place in tables:
            reached = not torch.equal(parameter.detach(), state[place])
        else:
            reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        unreached += [] if reached else [place]
    expected = len(s.model.tables(s.store.manifest))
    if len(tables) != expected:
        raise Broken(f"{len(tables)} tables are sharded, and the family has {expected}")
    if unreached:
        raise Broken(
            f"no gradient reaches {', '.join(unreached[:5])}: it would never learn; use it in "
            "forward, or leave it out"
        )
    n = sum(1 for _ in s.built.named_parameters())
    return f"all {n} parameters, {expected} of them tables, are reached through the sharding"


def learns(s: Subject) -> str:
    """A run on the planted world beats what needs no training."""
    outcome = whole(s.run, s.store)
    if outcome.error:
        raise Broken(f"the run diverged: {outcome.error}")
    first, last = outcome.curve[0].eval_loss, outcome.curve[-1].eval_loss
    known = s.store.manifest.baselines
    name = {"click": "constant rate", "next_item": "uniform"}.get(s.task)
    if not last < first:
        raise Broken(f"the evaluation loss does not fall: {first:.4f}, then {last:.4f}")
    if name and not last < known[name]:
        raise Broken(
            f"the evaluation loss ends at {last:.4f}, no better than the baseline {name} "
            f"({known[name]:.4f})"
        )
    than = f", baseline {name} {known[name]:.4f}" if name else ""
    return f"evaluation loss {first:.4f} -> {last:.4f} nats{than}"


def resumes(s: Subject) -> str:
    """A run that was killed and resumed ends as one left alone, to the last bit."""
    alone, again = whole(s.brief, s.store), resumed(s.brief, s.store)
    if again.resumed != 1:
        raise Broken("the killed run did not go on from its checkpoint")
    if curve(again) != curve(alone):
        first = next(a for a, b in zip(curve(alone), curve(again), strict=True) if a != b)
        raise Broken(
            f"killed and resumed it ends elsewhere than left alone, from {first[0]:,.0f} samples "
            "on: keep all state in parameters and buffers, and draw with torch alone"
        )
    return f"{len(alone.curve)} evaluations, equal to the last bit"


def two_workers(s: Subject) -> str:
    """Two workers train what one does, but for the order of sums."""
    return compared([s])[0]


def compared(subjects: Sequence[Subject]) -> list[str]:
    """`two_workers` of several families at once. Raises Broken for the first that differs."""
    drops = any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p for s in subjects
                for m in build(s.model, s.store.manifest, "meta").modules())  # fmt: skip
    together = on_two_workers([s.brief for s in subjects], [s.store for s in subjects], not drops)
    said = []
    for s, two in zip(subjects, together, strict=True):
        one = curve(whole(s.brief, s.store)) if not drops else _undropped(s)
        far = max(abs(a[1] - b[1]) / max(1e-9, abs(a[1])) for a, b in zip(one, two, strict=True))
        if not far < CLOSE:
            raise Broken(
                f"two workers end elsewhere than one ({two[-1][1]:.6f}, not {one[-1][1]:.6f}): "
                "what a sample gives must not depend on who shares its batch (batch norm does)"
            )
        note = "; nn.Dropout was off: its draws go by worker" if drops else ""
        said.append(f"losses differ by {far:.0e} at most, relative{note}")
    return said


def _undropped(s: Subject) -> list[tuple[float, ...]]:
    kept = {layer: layer.forward for layer in (nn.Dropout, nn.AlphaDropout)}
    from recscale.testing.training import without_dropout

    without_dropout()
    try:
        return curve(train(s.brief, s.store, Mortal()))
    finally:
        for layer, forward in kept.items():
            layer.forward = forward  # type: ignore[method-assign]


def identity(s: Subject) -> str:
    """Every axis is part of what a run is, and of its id; equal values are one run."""
    spec, data = s.spec.model, s.store.manifest
    values = {k: v[0] for k, v in spec.axes().items()}
    if spec.resolve(values, data) != s.model:
        raise Broken("equal values come to different architectures")
    changed = []
    for axis in spec.axes():
        if axis in spec.idle(data):
            continue
        other = next(_others(spec, axis, values[axis]), None)
        if other is None:
            continue
        model = spec.resolve({**values, axis: other}, data)
        run = s.run.model_copy(update={"model": model})
        if model != s.model and run.run_id == s.run.run_id:
            raise Broken(f"{axis} {other} has the run id of {axis} {values[axis]}")
        changed += [axis] if model != s.model else []
    own = s.model.code if isinstance(s.model, OwnConfig) else ""
    source = f"; source {own}" if own else ""
    return f"{s.run.run_id}; runs differ by {', '.join(changed) or 'nothing'}{source}"


def _others(spec: Any, axis: str, value: Any) -> Iterator[Any]:
    if isinstance(value, float):
        yield 0.5 * value or 0.25
        return
    for other in [2 * value, value + 1] if value else [4, 8]:
        if spec.may_grow(axis, other):
            yield other


def complaints(s: Subject) -> str:
    """What is wrong in a sweep is said in a sentence, with its key and line."""
    axis = next(iter(s.spec.model.axes()))
    asked = {"no_such_axis": "1", axis: "many"}
    for key, value in asked.items():
        text = (
            f"name: x\ndata: {{source: synthetic, task: {s.spec.data.task}}}\nmodel:\n"
            f"  family: {s.model.family}\n  {key}: {value}\nbudget: {{flop: 1e9}}\n"
        )
        try:
            parse_spec(text, "x.yaml")
        except SpecError as error:
            if not all(line.startswith(f"x.yaml:5: model.{key}: ") for line in error.lines):
                raise Broken(f"{key}: {value} is answered by: {error}") from None
        else:
            raise Broken(f"{key}: {value} is taken without a word")
    return f"an unknown key and text as {axis} are refused, each in a sentence"


CHECKS: dict[str, Callable[[Subject], str]] = {
    "parameters": parameters,
    "FLOPs": flop,
    "answers": answers,
    "gradients": gradients,
    "learns": learns,
    "resumes": resumes,
    "two workers": two_workers,
    "identity": identity,
    "complaints": complaints,
}
"""Name -> check, the quickest to tell what is wrong first."""

_WHOLE: dict[str, Outcome] = {}


def whole(run: RunConfig, store: Store) -> Outcome:
    """The outcome of a run that nothing interrupts, trained once a process."""
    if run.run_id not in _WHOLE:
        _WHOLE[run.run_id] = train(run, store, Mortal())
    return _WHOLE[run.run_id]


def findings(family: str | type, **axes: Any) -> Iterator[Finding]:
    """What each check says of a family, one after the other; `builds` alone where it cannot be
    built. axes: at other values than the class's defaults."""
    try:
        s = subject(family, **axes)
    except FamilyError as error:
        yield Finding("builds", False, str(error))
        return
    at = ", ".join(f"{k} {v[0]}" for k, v in s.spec.model.axes().items())
    yield Finding("builds", True, f"{s.model.family} at {at}")
    for name in CHECKS:
        yield found(name, s)


def found(check: str, s: Subject) -> Finding:
    """What one check says."""
    try:
        return Finding(check, True, CHECKS[check](s))
    except (Broken, FamilyError) as error:
        return Finding(check, False, str(error))
    except Exception as error:
        return Finding(check, False, f"it fails{where(error)}: {in_words(error)}")


def check_family(family: str | type, **axes: Any) -> list[Finding]:
    """Every check of a family, by name, dotted path or class. Raises ContractError with a sentence
    for each that does not hold."""
    said = list(findings(family, **axes))
    if broken := [f"{f.check}: {f.said}" for f in said if not f.holds]:
        raise ContractError("\n".join(broken))
    return said


class FamilyContract:
    """A test a check, for pytest: inherit it and name the family, and where its defaults are large,
    smaller axes."""

    family: ClassVar[str | type]
    axes: ClassVar[dict[str, Any]] = {}

    def test_builds(self) -> None:
        subject(self.family, **self.axes)


def _test_of(check: str) -> Callable[[FamilyContract], None]:
    def test(self: FamilyContract) -> None:
        said = found(check, subject(self.family, **self.axes))
        assert said.holds, said.said

    return test


for _name in CHECKS:
    setattr(FamilyContract, f"test_{_name.replace(' ', '_').lower()}", _test_of(_name))
