"""A first sweep of a log: a commented file, and why each column got its part."""

from __future__ import annotations

import itertools
import json
import math
import re
import textwrap
from dataclasses import replace
from typing import Any

from recscale.data.drafts.guess import criteo, guess
from recscale.data.drafts.roles import Guess, Roles
from recscale.data.drafts.sample import Sample, look
from recscale.data.layout import DataError
from recscale.manifest import Manifest, TableFacts
from recscale.planner import PlanError, planned_runs
from recscale.spec import TextFormat
from recscale.spec.train import BATCHES
from recscale.specfile import parse_spec, scalar
from recscale.words import listed

WIDE = 96  # columns of the file
LOST = 0.03
"""Share of rows to be dropped from which the draft raises `refuse_above`, which is 5 %."""
HOLDOUTS = (0.1, 0.2, 0.3)
"""Shares of the rows to evaluate on: the first that should hold POSITIVES, else the last."""
POSITIVES = 20


def draft(name: str, path: str, file: str) -> tuple[str, list[str]]:
    """The text of a sweep called `name` of the log at `path`, and lines that say what was guessed.

    file: what the sweep file will be called.

    Raises DataError for what is no log, or lacks a user, an item or times.
    """
    sample = look(path)
    known = criteo(sample.columns) if sample.doubt else None
    try:
        named = sample.doubt is None
        roles = known or guess(sample.columns, named, sample.vectors, sample.partial)
    except DataError as error:
        other = f"; some of the files lack {listed(sample.partial)}: if they are other tables, "
        hint = f"{other}give the path of one" if sample.partial else ""
        raise DataError(f"--from {path}: {error}{hint}") from None
    data = _criteo(path, sample, roles) if known else _data(path, sample, roles)
    if known:
        sample = replace(sample, doubt=None)
    head = [
        f"# {name}: a first sweep of {path},",
        f"# {_rows(sample)}. Its columns are guessed: check what is marked unsure, then",
        f"#   recscale plan {file}      recscale help KEY says what a key means",
        f"name: {scalar(name)}",
        *data,
    ]
    spend = _spend("\n".join([*head, *_rest(sample, roles, "{usd: 1}")]), sample, roles)
    return "\n".join([*head, *_rest(sample, roles, spend), ""]), _said(path, sample, roles)


def _said(path: str, sample: Sample, roles: Roles) -> list[str]:
    """What the terminal shows: a line a column, one for columns that differ in a number alone."""
    doubt = f"; unsure: {roles.unsure_task}" if roles.unsure_task else ""
    lines = [f"{path}: {_rows(sample)}", f"  {'task':8}  {roles.task}: {roles.why_task}{doubt}"]
    groups = itertools.groupby(roles.guesses, lambda g: (g.part, re.sub(r"\d+", "0", g.column)))
    shown = [list(group) for _, group in groups]
    names = [g[0].column or '""' if len(g) < 3 else f"{g[0].column} ... ({len(g)})" for g in shown]
    wide = min(32, max(map(len, names)))
    for group, name in zip(shown, names, strict=True):
        for g in group if len(group) < 3 else group[:1]:
            unsure = f"; unsure: {g.unsure}" if g.unsure else ""
            said = (g.column or '""') if len(group) < 3 else name
            lines.append(f"  {g.part:8}  {said:{wide}}  {g.why}{unsure}")
    if sample.doubt:
        lines.append(f"  {'format':8}  unsure: {sample.doubt}")
    return lines


def _rows(sample: Sample) -> str:
    seen, rows = len(sample.columns), f"{'' if sample.exact else 'about '}{sample.rows:,} rows"
    return rows if seen == sample.rows else f"{rows}, {seen:,} of them looked at"


def _criteo(path: str, sample: Sample, roles: Roles) -> list[str]:
    return [
        "data:",
        _noted("  source: criteo", roles.why_task),
        f"  path: {scalar(path)}",
        _held_out(sample, roles),
    ]


def _data(path: str, sample: Sample, roles: Roles) -> list[str]:
    lines = ["data:", "  source: events", f"  path: {scalar(path)}"]
    stated = _format(sample, roles)
    if stated != "auto":
        lines.append(_noted(f"  format: {stated}", "how the files are read", sample.doubt))
    other = "; without label it is next_item" if roles.of("label") else ""
    lines.append(_noted(f"  task: {roles.task}", roles.why_task + other, roles.unsure_task))
    if roles.time_format:
        (time,) = roles.of("time")
        lines.append(_noted(f"  time_format: {scalar(roles.time_format)}", time.why, time.unsure))
    if roles.positive:
        (g,) = roles.of("positive")
        lines.append(_noted(f"  positive: {scalar(roles.positive)}", g.why, g.unsure))
    lines += ["  columns:"]
    for part in ("user", "item", "time", "label", "history"):
        for g in roles.of(part):
            lines.append(_noted(f"    {part}: {scalar(g.column)}", g.why, g.unsure))
    lines += _features(roles)
    for g in roles.of("left out"):
        unsure = f"; unsure: {g.unsure}" if g.unsure else ""
        lines.append(f"    # left out: {scalar(g.column)}, {g.why}{unsure}")
    if roles.lost > LOST:
        share = min(0.95, math.ceil(roles.lost * 10 + 0.5) / 10)
        doubt = f"{100 * roles.lost:.0f} % of the rows lack a value needed, or copy another row"
        lines.append(_noted(f"  refuse_above: {share:g}", "such rows are dropped", doubt))
    return [*lines, _held_out(sample, roles)]


def _held_out(sample: Sample, roles: Roles) -> str:
    share = _holdout(sample, roles)
    few = " (positives are few)" if share > HOLDOUTS[0] else ""
    said = f"the newest rows, which evaluate every run{few}"
    return _noted(f"  holdout: {{last: {100 * share:.0f}%}}", said)


def _holdout(sample: Sample, roles: Roles) -> float:
    rate = roles.rate if roles.rate is not None else 1.0
    enough = (s for s in HOLDOUTS if s * rate * sample.rows >= POSITIVES)
    return next(enough, HOLDOUTS[-1] if roles.rate else HOLDOUTS[0])


def _features(roles: Roles) -> list[str]:
    """Lists of columns; a model of next items reads none, so there they are named in a comment."""
    lines = []
    for part in ("sparse", "dense"):
        found = roles.of(part)
        if roles.task == "next_item":
            shown = ", ".join(scalar(g.column) for g in found)
            lines += [f"    # {part}: [{shown}]   (read by task click alone)"] if found else []
            continue
        lines += [f"    {part}:"] if found else []
        lines += [_noted(f"      - {scalar(g.column)}", g.why, g.unsure) for g in found]
    if roles.weights and roles.task == "click":
        pairs = ", ".join(f"{scalar(a)}: {scalar(b)}" for a, b in roles.weights.items())
        lines.append(_noted(f"    weights: {{{pairs}}}", "lists as long as their bags"))
    return lines


def _rest(sample: Sample, roles: Roles, budget: str) -> list[str]:
    """Model, training, search and budget, small enough for a first look at so many rows. The axes
    have so many values that a law can be fitted though a run or two may lose to a baseline."""
    rows = round(sample.rows * roles.events)
    step = sum(rows >= n for n in (1_000_000, 30_000_000))
    shares = ([0.25, 0.5, 1.0], [0.1, 0.3, 1.0], [0.01, 0.03, 0.1])[step]
    least = shares[0] * rows * (1 - _holdout(sample, roles))
    usual = least >= BATCHES[0]  # then the batch may be left out
    small = [] if usual else [_noted(f"  batch_size: {max(1, int(least) // 8)}", "a tiny log")]
    if roles.task == "click":
        dims = ("[4, 8, 16, 32]", "[8, 16, 32, 64]", "[8, 16, 32, 64]")[step]
        widths = ("[16, 32, 64, 128]", "[32, 64, 128, 256]", "[64, 128, 256, 512]")[step]
        model = [
            _noted("  family: dlrm", "dcnv2 and wukong take the same columns"),
            _noted(f"  embedding_dim: {dims}", "an axis: does a wider table pay?"),
            _noted(f"  mlp_width: {widths}", "an axis: do wider dense layers pay?"),
        ]
    else:
        widths = ("[16, 32, 64, 128]", "[32, 64, 128, 256]", "[64, 128, 256, 512]")[step]
        model = [
            _noted("  family: decoder", "or hstu, fuxi, climber"),
            _noted(f"  sequence_width: {widths}", "an axis: does a wider model pay?"),
            _noted("  sequence_depth: [1, 2]", "an axis: do more blocks pay?"),
        ]
    return [
        "model:",
        *model,
        "train:",
        _noted(f"  data_fraction: {shares}", "an axis: does more data pay?"),
        *small,
        _noted("  seeds: 2", "how far equal runs scatter; less is no difference"),
        _noted("search: {strategy: axes}", "one axis at a time round the middle values"),
        _noted(f"budget: {budget}", "about twice what the plan should cost; never crossed"),
    ]


def _noted(line: str, why: str, unsure: str | None = None) -> str:
    """A line with its reason behind it, and above it what is not sure."""
    indent = line[: len(line) - len(line.lstrip())] + "# "
    doubts = textwrap.wrap(f"unsure: {unsure}" if unsure else "", WIDE, initial_indent=indent,
                           subsequent_indent=f"{indent}  ")  # fmt: skip
    return "\n".join([*doubts, f"{line:<26}  # {why}"])


def _format(sample: Sample, roles: Roles) -> str:
    """`data.format` as YAML of one line."""
    stated = sample.format
    if roles.nulls and stated in ("auto", "csv", "tsv") and _is_text(sample):
        tabs = {"separator": "\t", "quote": None} if stated == "tsv" else {}
        stated = TextFormat.model_validate(tabs)
    if not isinstance(stated, TextFormat):
        return stated
    fields: dict[str, Any] = stated.model_dump(exclude_defaults=True)
    if roles.nulls:
        fields["nulls"] = ["", *roles.nulls]
    fields.setdefault("separator", stated.separator)
    return json.dumps(fields, ensure_ascii=False)


def _is_text(sample: Sample) -> bool:
    return all(str(t) == "string" for t in sample.columns.schema.types)


def _spend(text: str, sample: Sample, roles: Roles) -> str:
    """Twice what the runs of a draft cost by the closed forms, were the log like its sample."""
    spec = parse_spec(text)
    rows = round(sample.rows * roles.events)
    n_train = max(1, math.ceil(rows * (1 - _holdout(sample, roles))))
    try:
        runs = planned_runs(spec, _manifest(roles, rows, n_train))
    except PlanError:
        return "{usd: 1}"
    flop, usd = (2 * sum(getattr(p.cost, k) for p in runs) for k in ("train_flop", "usd"))
    return f"{{flop: {_up(flop)}, usd: {max(1, math.ceil(usd))}}}"


def _manifest(roles: Roles, rows: int, n_train: int) -> Manifest:
    """What preparing should find: tables grow with the log as their share of new values tells."""

    def table(g: Guess, name: str) -> TableFacts:
        p = roles.profiles[g.column]
        grown = p.distinct if p.share < 0.01 else round(p.distinct * math.sqrt(rows / p.rows))
        return TableFacts(name=name, rows=grown + 1, distinct=grown)

    named = [(g, g.part) for part in ("user", "item") for g in roles.of(part)]
    named += [(g, g.column) for g in roles.of("sparse")]
    return Manifest(
        source="events",
        task=roles.task,
        fingerprint="",
        n_train=n_train,
        n_eval=max(1, rows - n_train),
        tables=tuple(table(g, name) for g, name in named),
        dense=tuple(g.column for g in roles.of("dense")),
        history="item" if roles.of("item") else None,
        history_mean_length=20,
        raw_rows=rows,
    )


def _up(value: float) -> str:
    """Rounded up to one digit: 1.3e12 -> 2e12."""
    digit = 10 ** math.floor(math.log10(max(value, 1)))
    return f"{math.ceil(value / digit) * digit:.0e}".replace("e+0", "e").replace("e+", "e")
