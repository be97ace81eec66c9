"""The `data` part of a sweep file: which log, and how it becomes a task."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from recscale.values import (
    Count,
    Frozen,
    Share,
)


class Holdout(Frozen):
    """The evaluation set: the `last` share of the rows in time, the same for every run."""

    last: Share = 0.1
    leave_one_out: bool = False
    """Of task next_item, to reproduce literature only: evaluate on the last event of every user
    with two or more, whenever that was, instead of on the last share of all events in time."""


class _Data(Frozen):
    holdout: Holdout = Holdout()
    order: Literal["time", "hash"] = "time"
    """Training order: `time`, so that a data fraction is the past up to a day; or `hash`, rows in
    the order of a salted hash, so that a fraction is a nested random sample of the window: of its
    rows, for next_item of its users with all their events."""
    refuse_above: Share = 0.05
    """Preparing stops when a larger share of the rows than this has to be dropped."""

    @model_validator(mode="after")
    def _leave_one_out_of_sequences(self) -> _Data:
        if self.holdout.leave_one_out and getattr(self, "task", None) != "next_item":
            raise ValueError("holdout.leave_one_out belongs to task next_item; use holdout.last")
        return self


class SyntheticData(_Data):
    """The built-in worlds: click logs, or users' walks among items for next_item, of a planted
    teacher whose Bayes loss is known."""

    source: Literal["synthetic"]
    task: Literal["click", "next_item"] = "click"
    rows: Annotated[Count, Field(ge=1000)] = 500_000
    """Impressions, training and evaluation together."""
    users: Count = 20_000
    items: Count = 10_000
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _walks_have_a_time(self) -> SyntheticData:
        if self.holdout.leave_one_out:
            raise ValueError("holdout.leave_one_out is for logs of literature; use holdout.last")
        return self


class CriteoData(_Data):
    """Criteo Kaggle `train.txt` or Criteo 1TB `day_*`: label, 13 integers, 26 hexadecimal ids."""

    source: Literal["criteo"]
    path: str
    """A file, a directory of `day_*` files, or a glob; `.gz` is read as it is."""
    task: Literal["click"] = "click"
    max_ids: Count = 10_000_000
    """Ids kept apart per feature; rarer ones share rows by hash."""


class Columns(Frozen):
    """Which column of the log plays which part."""

    user: str
    item: str
    time: str
    label: str | None = None
    """0/1 clicks. Without it every row is a positive and negatives are sampled."""
    domain: str | None = None
    """The domain that an event belongs to, such as a shop's department: for probe `transfer`."""
    sparse: tuple[str, ...] = ()
    """Categorical columns; a list column is a bag of values that the model pools."""
    weights: dict[str, str] = {}
    """List column under `sparse` -> the list column of its values' weights in the pool; without
    an entry a bag is pooled as its mean."""
    dense: tuple[str, ...] = ()
    history: str | None = None
    """Of task click: a list column of the items that the user took before the row, oldest first,
    in place of the history that is made from the events themselves."""

    @model_validator(mode="after")
    def _distinct(self) -> Columns:
        named = [self.user, self.item, self.time, self.label, self.domain]
        named += [*self.sparse, *self.dense]
        twice = sorted({c for c in named if c is not None and named.count(c) > 1})
        if twice:
            raise ValueError(f"the column {', '.join(twice)} is given two parts; name it once")
        taken = sorted({"user", "item", "history"}.intersection(self.sparse))
        if taken:
            raise ValueError(
                f"sparse: {', '.join(taken)} is the name of a table of its own (of the user, the "
                "item, the history); rename the column in the log"
            )
        return self


class Negatives(Frozen):
    """Sampled negatives of implicit feedback, only items already seen by the row's time."""

    per_positive: Count = 4
    distribution: Literal["uniform", "popularity"] = "uniform"
    """`popularity`: in proportion to how often the item had occurred by then."""


class TextFormat(Frozen):
    """The dialect of text files that are not plain CSV."""

    separator: Annotated[str, Field(pattern=r"^[^\r\n]+$")] = ","
    quote: Annotated[str, Field(pattern=r"^[!-~]$")] | None = '"'
    """null: no value is quoted."""
    header: bool | tuple[str, ...] = True
    """Whether the first line names the columns; a list names those of files without such a line."""
    nulls: tuple[str, ...] = ("",)
    """Unquoted words that stand for a missing value."""

    @model_validator(mode="after")
    def _told_apart(self) -> TextFormat:
        if self.quote and self.quote in self.separator:
            raise ValueError(f"format: {self.quote!r} cannot be both quote and separator")
        if self.quote and len(self.separator.encode()) > 1:
            raise ValueError(
                f"format: the separator {self.separator!r} is longer than one byte, which goes "
                "with unquoted values only; add quote: null"
            )
        names = () if isinstance(self.header, bool) else self.header
        if len(set(names)) < len(names):
            raise ValueError("format.header: names one column twice; give each a name of its own")
        return self


FileFormat = Literal["auto", "csv", "tsv", "parquet", "arrow", "jsonl", "delta"]


class EventsData(_Data):
    """Bring your own: Parquet, Arrow, Delta, JSON lines or CSV, one event a row."""

    source: Literal["events"]
    path: str
    """A file, a folder (nested and Hive-partitioned ones too), or a glob."""
    format: FileFormat | TextFormat = "auto"
    """What the files are; `auto` goes by their names and what they begin with. A mapping states
    the dialect of text: `{separator: ";", quote: null, header: [user, item, at], nulls: [NA]}`."""
    time_format: str | None = None
    """How the time column is read where its values do not say so: `seconds`, `milliseconds`,
    `microseconds`, `nanoseconds`, `day_first`, `month_first`, or a strptime pattern such as
    `%d/%m/%Y %H:%M`."""
    positive: str | None = None
    """Of task click: which rows are positives, as a comparison of one column with a number, such as
    `rating >= 4`; the other rows are negatives, and none are sampled."""
    columns: Columns
    task: Literal["click", "next_item"] = "click"
    negatives: Negatives = Negatives()
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the sampled negatives."""

    @property
    def domain(self) -> str | None:
        return self.columns.domain

    @model_validator(mode="after")
    def _domains_of_sequences(self) -> EventsData:
        if self.columns.domain and self.task != "next_item":
            raise ValueError("columns.domain belongs to task next_item; list it under sparse")
        return self


class PublishedData(_Data):
    """MovieLens and Amazon Reviews as published, and files of one user a line; see
    `recscale.data.formats`. Ratings count as events, whatever their stars."""

    source: Literal["movielens", "amazon", "sequences"]
    path: str
    """A file, a folder, or a glob: of `amazon` a file a domain."""
    task: Literal["click", "next_item"] = "next_item"
    positive: str | None = None
    """Of task click: which ratings are positives, such as `rating >= 4`; the others are negatives,
    and none are sampled."""
    negatives: Negatives = Negatives()
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the sampled negatives."""

    @property
    def domain(self) -> str | None:
        return "domain" if self.source == "amazon" and self.task == "next_item" else None

    @property
    def columns(self) -> Columns:
        return Columns(user="user", item="item", time="time", domain=self.domain)

    @model_validator(mode="after")
    def _lines_have_no_time(self) -> PublishedData:
        if self.source == "sequences" and not self.holdout.leave_one_out:
            raise ValueError(
                "source sequences: its lines hold an order and no time, so there is no split in "
                "time; set holdout.leave_one_out: true, or bring a log with times as source events"
            )
        return self


def positive_column(data: EventsData | PublishedData) -> str | None:
    """The column that `positive` compares: what stands before its comparison sign."""
    return re.split(r"[<>=!]", data.positive, maxsplit=1)[0].strip() if data.positive else None


DataSpec = Annotated[
    SyntheticData | CriteoData | EventsData | PublishedData, Field(discriminator="source")
]
