"""Whether a sweep's runs can determine the law that it asks for: known before any of them runs, by
the very rules by which the law is fitted once they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from recscale.frame import FORESEEN, unique_samples
from recscale.laws import LawError
from recscale.laws.choice import CATALOGUE, build
from recscale.laws.points import check, undetermined
from recscale.run import Cost, TrainConfig
from recscale.spec import SweepSpec
from recscale.words import shortened

KEY = "law.variables"
LOSS = "loss of a run"


def values(model: Any, train: TrainConfig, cost: Cost) -> dict[str, float]:
    """The columns of a run's row that are known before it runs; see `recscale.frame`."""
    numbers = {**train.model_dump(), **model.row(train), **cost.model_dump(exclude={"forward"})}
    numbers["forward_flop"] = cost.forward.total
    numbers["unique_samples"] = unique_samples(cost, train)
    return {k: float(v) for k, v in numbers.items() if isinstance(v, int | float)}


def misnamed(spec: SweepSpec) -> list[str]:
    """What is wrong with the law's form, variables and loss whatever the data, each
    `key: what; what to do`."""
    law, variables = spec.law, spec.law_variables
    stated = law.variables is not None
    key = KEY if stated else "law.form"
    if law.variables == ():
        return [f"{key}: names no column; name 1 to 4 of them, or leave it out"]
    out = []
    twice = sorted({v for v in variables if variables.count(v) > 1})
    if twice:
        out.append(f"{key}: {shortened(twice[0])} stands twice; name each column once")
    known = set.intersection(*({*m.columns} for m in spec.models)) | {*FORESEEN}
    for v in dict.fromkeys(variables):
        if v not in known:
            also = "; what a run measures is no variable of its law" if _measured(v, spec) else ""
            out.append(
                f"{key}: {shortened(v)} is not known before a run{also}; use columns such as "
                "table_params, dense_params, samples"
            )
    takes = _taking(len(variables))
    if law.form == "auto" and not takes:
        out.append(f"{key}: {len(variables)} columns; a law takes 1 to 4 variables")
    if law.form != "auto" and law.form not in takes:
        need = " or ".join(map(str, CATALOGUE[law.form].takes))
        named = f"the {len(variables)} of" if stated else "those that it has otherwise,"
        fitting = f"; {len(variables)} go with form {', '.join(takes)}" if takes else ""
        out.append(
            f"{key}: form {law.form} takes {need} variable{'s' * (need != '1')}, not {named} "
            f"{', '.join(map(shortened, variables[:6]))}{fitting}"
            + ("" if stated else "; name them in law.variables")
        )
    return out


def _measured(name: str, spec: SweepSpec) -> bool:
    return name.startswith(("eval_", "best_", "train_loss")) or name in spec.models[0].losses


@dataclass(frozen=True)
class Determined:
    """What a law can be of a sweep's runs, each `key: what and why`.

    Attributes:
        never: why no law comes of them, however many of such values are run; else empty.
        not_yet: why none comes of them as they are, such as too narrow a range; else empty.
        said: what else is to be known, such as runs that stay outside the law.
    """

    never: str = ""
    not_yet: str = ""
    said: tuple[str, ...] = ()


def determined(spec: SweepSpec, rows: Sequence[dict[str, float]]) -> Determined:
    """Of the runs of one family. rows: `values` of each, of one learning-rate factor."""
    frame = pd.DataFrame(list(rows))
    size, held = spec.law_variables[0], spec.law.hold_out_largest
    strange = [v for v in spec.law_variables if v not in frame]
    if strange:
        return Determined(
            f"{KEY}: {shortened(strange[0])} is not known before a run, or no number; these runs "
            f"vary {_moving(frame)}"
        )
    frame[LOSS] = 2 - np.arange(len(frame)) / (len(frame) + 1)  # any that differ
    frame["run"] = np.arange(len(frame))
    whole = _of(spec, frame)
    if (whole.never or whole.not_yet) and held is None and _apart(spec, frame):
        return Determined(said=whole.said)
    if whole.never or whole.not_yet or held is None:
        return whole
    sizes = np.unique(frame[size])
    rest = _of(spec, pd.DataFrame(frame[frame[size] < sizes[-min(held, len(sizes))]]))
    why = (rest.never or rest.not_yet).removeprefix(f"{KEY}: ")
    if why:
        why = (
            f"law.hold_out_largest: {held} of {len(sizes)} sizes ({size}) are held out, and the "
            f"others determine no law: {why}"
        )
    return replace(whole, never=why)


def no_law(spec: SweepSpec, why: str) -> str:
    """A remark on a sweep whose runs determine no law, though it does not ask for one by name."""
    usual = "" if spec.law.variables else f"left out, and of {', '.join(spec.law_variables)} "
    return f"{KEY}: {usual}these runs determine no law: {why.removeprefix(f'{KEY}: ')}"


def _apart(spec: SweepSpec, frame: pd.DataFrame) -> bool:
    """Whether the runs determine a law of the swept axes, each apart. A search believes a law of
    groups, whatever its runs could tell."""
    axes = spec.axis_variables
    if not axes or spec.search.strategy == "frontier":
        return False
    try:
        points = check(frame, axes, LOSS, cost="train_flop", zeros=axes)
        return undetermined(points, build("effects", points)) is None
    except LawError:
        return False


def _of(spec: SweepSpec, frame: pd.DataFrame) -> Determined:
    variables = spec.law_variables
    try:
        points = check(frame, variables, LOSS, cost="train_flop")
    except LawError as error:
        return Determined(f"{KEY}: {error}")
    reasons = Counter(d["reason"].partition(":")[0] for d in points.dropped)
    of = len(frame)
    said = tuple(f"{KEY}: {n} of {of} runs stay outside the law: {r}" for r, n in reasons.items())
    forms = [build(name, points) for name in _forms(spec)]
    for i in set.intersection(*({*form.single} for form in forms)):
        if (n := len(np.unique(np.round(points.logx[:, i], 9)))) < 3:
            return Determined(
                f"{KEY}: {variables[i]} has {n} value{'s' * (n > 1)} in this sweep and an exponent "
                f"needs 3: give the axes that move {variables[i]} more values, or leave it out of "
                "the law",
                said=said,
            )
    why = [undetermined(points, form) for form in forms]
    return Determined(not_yet="" if None in why else f"{KEY}: {why[0]}", said=said)


def _forms(spec: SweepSpec) -> list[str]:
    if spec.law.form != "auto":
        return [spec.law.form]
    return _taking(len(spec.law_variables))


def _taking(variables: int) -> list[str]:
    """The forms of losses that take so many variables."""
    return [f for f, k in CATALOGUE.items() if k.auto and variables in k.takes and k.sign > 0]


def _moving(frame: pd.DataFrame) -> str:
    """The sizes that these runs vary."""
    counts = frame.nunique()
    sizes = {str(c) for c, n in counts.items() if n > 2 and c not in TrainConfig.model_fields}
    named = {c for c in sizes if c not in Cost.model_fields or c.endswith("params")}
    return ", ".join(sorted(named | (sizes & {"samples", "table_rows"}))) or "nothing enough"


def firsts(runs: Iterable[Any]) -> list[Any]:
    """Of planned runs one a configuration and seed, whatever the learning-rate factor: one of them
    will enter the law."""
    first: dict[tuple[str, int], Any] = {}
    for p in runs:
        first.setdefault((p.config.tuning_group, p.config.train.seed), p)
    return list(first.values())


def rows_of(runs: Iterable[Any]) -> list[dict[str, float]]:
    """`values` of the `firsts` of planned runs."""
    return [values(p.config.model, p.config.train, p.cost) for p in firsts(runs)]
