"""The `data` part of a sweep file: which log, and how it becomes a task."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from recscale.spec.positive import Comparison
from recscale.values import (
    Count,
    Frozen,
    Positive,
    Share,
    Whole,
)
from recscale.words import shown


class Holdout(Frozen):
    """The evaluation set: the `last` share of the rows in time, the same for every run."""

    last: Share = 0.1
    """The newest share of the rows, in time."""
    leave_one_out: bool = False
    """Of task next_item, to reproduce literature only: evaluate on the last event of every user
    with two or more, whenever that was, instead of on the last share of all events in time."""


class _Data(Frozen):
    holdout: Holdout = Holdout()
    """Which rows are kept from training and evaluate every run."""
    order: Literal["time", "hash"] = "time"
    """Training order: `time`, so that a data fraction is the past up to a day; or `hash`, rows in
    the order of a salted hash, so that a fraction is a nested random sample of the window: of its
    rows, for next_item of its users with all their events."""
    refuse_above: Share = 0.05
    """Preparing stops when a larger share of the rows than this has to be dropped."""

    @property
    def compared(self) -> Comparison | None:
        """The comparison of the key `positive`, where the source has one and it is given."""
        text = getattr(self, "positive", None)
        return None if text is None else Comparison.of(text)

    @model_validator(mode="after")
    def _positives_of_clicks(self) -> _Data:
        compared = self.compared
        if compared is None:
            return self
        if getattr(self, "task", None) != "click":
            raise ValueError("positive belongs to task click; for next_item filter the log itself")
        columns: Columns = getattr(self, "columns")  # noqa: B009
        if columns.label_columns:
            key = "label" if columns.label else "labels"
            raise ValueError(
                f"positive and columns.{key} {', '.join(map(repr, columns.label_columns))} both "
                "say what is a positive; leave one of them out"
            )
        if compared.column in (*columns.sparse, *columns.dense):
            raise ValueError(
                f"positive: {compared.column!r} is listed under columns.sparse or columns.dense "
                "too, where it would tell the label; take it out there"
            )
        return self

    @model_validator(mode="after")
    def _leave_one_out_of_sequences(self) -> _Data:
        if self.holdout.leave_one_out and getattr(self, "task", None) != "next_item":
            raise ValueError("holdout.leave_one_out belongs to task next_item; use holdout.last")
        return self


class SyntheticData(_Data):
    """The built-in worlds: click logs, or users' walks among items for next_item, of a planted
    teacher whose Bayes loss is known."""

    source: Literal["synthetic"]
    """A world made here."""
    task: Literal["click", "next_item"] = "click"
    """`click`: a label a row. `next_item`: each event is predicted from its user's past."""
    rows: Annotated[Count, Field(ge=1000, le=10**9)] = 500_000
    """Impressions, training and evaluation together."""
    users: Annotated[Count, Field(le=10**7)] = 20_000
    """Users that the world has."""
    items: Annotated[Count, Field(le=10**7)] = 10_000
    """Items that the world has."""
    seed: Whole = 0
    """Of the world and of the rows drawn from it."""

    @model_validator(mode="after")
    def _walks_have_a_time(self) -> SyntheticData:
        if self.holdout.leave_one_out:
            raise ValueError("holdout.leave_one_out is for logs of literature; use holdout.last")
        return self


class CriteoData(_Data):
    """Criteo Kaggle `train.txt` or Criteo 1TB `day_*`: label, 13 integers, 26 hexadecimal ids."""

    source: Literal["criteo"]
    """Criteo's files as published."""
    path: str
    """A file, a directory of `day_*` files, or a glob; `.gz` is read as it is."""
    task: Literal["click"] = "click"
    """The label is the click."""
    max_ids: Count = 10_000_000
    """Ids kept apart per feature; rarer ones share rows by hash."""


def _column(value: str) -> str:
    if not value:
        raise ValueError("is empty; name a column, or leave the key out")
    return value


Column = Annotated[str, AfterValidator(_column)]


class Columns(Frozen):
    """Which column of the log plays which part."""

    user: Column
    """Who acted: histories and sequences are made of the rows of one user."""
    item: Column
    """What was shown or taken."""
    time: Column
    """When: unix time in any unit, timestamps, dates or ISO text; see also `data.time_format`."""
    label: Column | None = None
    """0/1 clicks. Without it every row is a positive and negatives are sampled."""
    labels: tuple[Column, ...] = ()
    """Of task click, in place of `label`: several columns of 0/1 labels, such as [click, buy], that
    one network learns together, with a tower each. The first says which events histories hold."""
    domain: Column | None = None
    """The domain that an event belongs to, such as a shop's department: for probe `transfer`."""
    sparse: tuple[Column, ...] = ()
    """Categorical columns; a list column is a bag of values that the model pools, all of them
    whatever their number, an empty one to zero."""
    weights: dict[Column, Column] = {}
    """List column under `sparse` -> the list column of its values' weights in the pool. A bag with
    weights w is pooled as the sum of w / sum |w| times its values' vectors; without an entry as
    their mean, which is the same for equal weights."""
    dense: tuple[Column, ...] = ()
    """Columns of numbers x: the model sees sign(x) log(1 + |x|), standardised on the training
    rows, and 0 where a value is missing or infinite."""
    history: Column | None = None
    """Of task click: a list column of the items that the user took before the row, oldest first,
    in place of the history that is made from the events themselves."""

    @property
    def parts(self) -> dict[str, str]:
        """Part, as it is written below `data.columns` -> the column that plays it."""
        single = ("user", "item", "time", "label", "domain", "history")
        parts = {part: getattr(self, part) for part in single if getattr(self, part)}
        parts |= {f"labels[{i}]": c for i, c in enumerate(self.labels)}
        parts |= {f"sparse[{i}]": c for i, c in enumerate(self.sparse)}
        parts |= {f"dense[{i}]": c for i, c in enumerate(self.dense)}
        return parts | {f"weights.{c}": w for c, w in self.weights.items()}

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns of 0/1 labels: none, one or several."""
        return (self.label,) if self.label else self.labels

    @model_validator(mode="after")
    def _one_label_or_several(self) -> Columns:
        if self.label and self.labels:
            raise ValueError(
                f"label {self.label!r} and labels {', '.join(map(repr, self.labels))} both name "
                "labels; list all of them under labels, and leave label out"
            )
        if len(self.labels) == 1:
            raise ValueError(
                f"labels: {self.labels[0]!r} is one label alone; write label: {self.labels[0]}, or "
                "list two or more"
            )
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Columns:
        # one column may hold the weights of several bags
        named = [c for part, c in self.parts.items() if not part.startswith("weights.")]
        named += set(self.weights.values())
        twice = sorted({c for c in named if named.count(c) > 1})
        if twice:
            raise ValueError(f"the column {', '.join(twice)} is given two parts; name it once")
        return self

    @model_validator(mode="after")
    def _weights_of_bags(self) -> Columns:
        strange = sorted(set(self.weights) - set(self.sparse))
        if strange:
            raise ValueError(
                f"weights: {', '.join(strange)} is no column under sparse; weights belong to its "
                "list columns"
            )
        return self


class Negatives(Frozen):
    """Sampled negatives of implicit feedback, only items already seen by the row's time."""

    per_positive: Annotated[Count, Field(le=1000)] = 4
    """Negatives drawn for each positive."""
    distribution: Literal["uniform", "popularity"] = "uniform"
    """`popularity`: in proportion to how often the item had occurred by then."""


def _separator(value: str) -> str:
    if not value or set(value) & {"\r", "\n"}:
        raise ValueError("should be one character or several, none of them the end of a line")
    return value


def _mark(value: str) -> str:
    if not re.fullmatch("[!-~]", value):
        raise ValueError("should be one visible ASCII character, or null")
    return value


Mark = Annotated[str, AfterValidator(_mark)]


class TextFormat(Frozen):
    """The dialect of text files that are not plain CSV."""

    separator: Annotated[str, AfterValidator(_separator)] = ","
    """What stands between two values: one character, or several where no value is quoted."""
    quote: Mark | None = '"'
    """The character round a value that holds separators; null: no value is quoted."""
    escape: Mark | None = None
    """The character that takes the meaning from the next one, mostly a backslash, as MySQL, Hive
    and many warehouses write it; an N behind it and alone, unquoted, is a missing value then. With
    null a quote inside a quoted value is doubled."""
    header: bool | tuple[str, ...] = True
    """Whether the first line names the columns; a list names those of files without such a line."""
    nulls: tuple[str, ...] = ("",)
    """Unquoted words that stand for a missing value."""

    @model_validator(mode="after")
    def _told_apart(self) -> TextFormat:
        if self.quote and self.quote in self.separator:
            raise ValueError(f"format: {self.quote!r} cannot be both quote and separator")
        if self.escape and self.escape in (self.quote, *self.separator):
            raise ValueError(
                f"format: {self.escape!r} cannot be escape and quote or separator; a quote that is "
                "doubled inside a quoted value needs no escape"
            )
        if self.quote and len(self.separator.encode()) > 1:
            raise ValueError(
                f"format: the separator {self.separator!r} is longer than one byte, which goes "
                "with unquoted values only; add quote: null"
            )
        names = () if isinstance(self.header, bool) else self.header
        if len(set(names)) < len(names):
            raise ValueError("format.header: names one column twice; give each a name of its own")
        return self


TIME_UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
DAY_ORDERS = ("day_first", "month_first")


def _time_format(value: str) -> str:
    if value in TIME_UNITS or value in DAY_ORDERS:
        return value
    sample = datetime(2019, 11, 24, 13, 5, 58, tzinfo=UTC)
    try:
        if "%" in value and datetime.strptime(sample.strftime(value), value):
            return value
    except (ValueError, re.error):  # the latter where a part stands twice
        pass
    raise ValueError(
        f"{shown(value)} is none of {', '.join([*TIME_UNITS, *DAY_ORDERS])}, nor a "
        "strptime pattern such as %d/%m/%Y %H:%M"
    )


TimeFormat = Annotated[str, AfterValidator(_time_format)]


def _comparison(value: str) -> str:
    Comparison.of(value)
    return value


Positives = Annotated[str, AfterValidator(_comparison)]

FileFormat = Literal["auto", "csv", "tsv", "parquet", "arrow", "jsonl", "delta"]


LabelWeight = Annotated[Positive, Field(ge=1e-6, le=1e6)]


class EventsData(_Data):
    """Bring your own: Parquet, Arrow, Delta, JSON lines or CSV, one event a row."""

    source: Literal["events"]
    """Your own log."""
    path: str
    """A file, a folder (nested and Hive-partitioned ones too), or a glob."""
    format: FileFormat | TextFormat = "auto"
    """What the files are; `auto` goes by their names and what they begin with. A mapping states
    the dialect of text: `{separator: ";", quote: null, header: [user, item, at], nulls: [NA]}`."""
    time_format: TimeFormat | None = None
    """How the time column is read where its values do not say so: `seconds`, `milliseconds`,
    `microseconds`, `nanoseconds`, `day_first`, `month_first`, or a strptime pattern such as
    `%d/%m/%Y %H:%M`."""
    positive: Positives | None = None
    """Of task click: which rows are positives, as a comparison of one column with a number, such as
    `rating >= 4`; the other rows are negatives, and none are sampled."""
    columns: Columns
    """Which column of the log plays which part."""
    task: Literal["click", "next_item"] = "click"
    """`click`: will this user take this item? `next_item`: which item does a user take next?"""
    label_weights: dict[Column, LabelWeight] = {}
    """Column under `columns.labels` -> its weight in the loss; 1 for those that are not named. The
    loss is the mean of the labels' losses by these weights, in training and in `eval_loss`."""
    negatives: Negatives = Negatives()
    """Of task click without label or positive: what is sampled beside each event."""
    seed: Whole = 0
    """Of the sampled negatives."""

    @property
    def domain(self) -> str | None:
        return self.columns.domain

    @property
    def label_losses(self) -> tuple[str, ...]:
        """Columns of the losses of each of several labels."""
        return tuple(f"eval_{m}_{c}" for c in self.columns.labels for m in ("ne", "loss"))

    @model_validator(mode="after")
    def _labels_of_clicks(self) -> EventsData:
        labels = self.columns.labels
        if labels and self.task != "click":
            raise ValueError(
                "columns.labels belongs to task click; next_item takes every row for an event: "
                "rows that are none belong out of the log"
            )
        strange = [c for c in self.label_weights if c not in labels]
        if strange:
            allowed = f"allowed: {', '.join(labels)}" if labels else "which is not given"
            raise ValueError(
                f"label_weights: {shown(strange[0])} is no column under columns.labels; {allowed}"
            )
        return self

    @model_validator(mode="after")
    def _histories_of_clicks(self) -> EventsData:
        if self.columns.history and self.task != "click":
            raise ValueError(
                "columns.history belongs to task click; next_item learns from the events "
                "themselves, or from rows whose item column lists a user's items"
            )
        return self

    @model_validator(mode="after")
    def _domains_of_sequences(self) -> EventsData:
        if self.columns.domain and self.task != "next_item":
            raise ValueError("columns.domain belongs to task next_item; list it under sparse")
        return self


class PublishedData(_Data):
    """MovieLens and Amazon Reviews as published, and files of one user a line; see
    `recscale.data.formats`. Ratings count as events, whatever their stars."""

    source: Literal["movielens", "amazon", "sequences"]
    """Whose layout the files have."""
    path: str
    """A file, a folder, or a glob: of `amazon` a file a domain."""
    task: Literal["click", "next_item"] = "next_item"
    """`click`: will this user take this item? `next_item`: which item does a user take next?"""
    positive: Positives | None = None
    """Of task click: which ratings are positives, such as `rating >= 4`; the others are negatives,
    and none are sampled."""
    negatives: Negatives = Negatives()
    """Of task click without `positive`: what is sampled beside each event."""
    seed: Whole = 0
    """Of the sampled negatives."""

    @property
    def domain(self) -> str | None:
        return "domain" if self.source == "amazon" and self.task == "next_item" else None

    @property
    def columns(self) -> Columns:
        return Columns(user="user", item="item", time="time", domain=self.domain)

    @model_validator(mode="after")
    def _only_ratings_compare(self) -> PublishedData:
        compared = self.compared
        if compared and (compared.column != "rating" or self.source == "sequences"):
            has = "has no ratings" if self.source == "sequences" else "compares the column rating"
            raise ValueError(f"positive: {compared.column!r}: source {self.source} {has}")
        return self

    @model_validator(mode="after")
    def _lines_have_no_time(self) -> PublishedData:
        if self.source == "sequences" and not self.holdout.leave_one_out:
            raise ValueError(
                "source sequences: its lines hold an order and no time, so there is no split in "
                "time; set holdout.leave_one_out: true, or bring a log with times as source events"
            )
        return self


def positive_column(data: EventsData | PublishedData) -> str | None:
    """The column that `positive` compares."""
    return data.compared.column if data.compared else None


DataSpec = Annotated[
    SyntheticData | CriteoData | EventsData | PublishedData, Field(discriminator="source")
]
