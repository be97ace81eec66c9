"""The parts that columns of a log were given, with the reason for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recscale.data.drafts.profile import Profile

Part = Literal[
    "user", "item", "time", "label", "positive", "history", "sparse", "dense", "weights", "left out"
]


@dataclass(frozen=True)
class Guess:
    """The part of one column."""

    part: Part
    column: str
    why: str
    unsure: str | None = None
    """What a reader should check, where the guess is not sure."""


@dataclass(frozen=True)
class Roles:
    """The parts of all columns, those of the key columns first."""

    guesses: tuple[Guess, ...]
    task: Literal["click", "next_item"]
    why_task: str
    profiles: dict[str, Profile]
    unsure_task: str | None = None
    """What a reader should check of the task, where it is not sure."""
    time_format: str | None = None
    positive: str | None = None
    weights: dict[str, str] | None = None
    """Bag -> the column of its weights."""
    events: float = 1.0
    """Of a row: more than one where rows list items."""
    nulls: tuple[str, ...] = ()
    """Words that stand for missing values where a value is needed."""
    rate: float | None = None
    """Share of positives in the sample."""
    lost: float = 0.0
    """Share of the rows that lack a user, an item, a time or an outcome, or are copies."""

    def of(self, part: Part) -> list[Guess]:
        return [g for g in self.guesses if g.part == part]

    @property
    def unsure(self) -> list[Guess]:
        return [g for g in self.guesses if g.unsure]
