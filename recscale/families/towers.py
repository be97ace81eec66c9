"""What stands behind a click model's last hidden values where a row has several labels: a tower a
label, over all of those values, or over a mix of experts (MMoE, Ma et al. 2018) of its own.

Counted is what this adds to the one output unit that the families count.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple


class Towers(NamedTuple):
    """Sizes of the towers over `width` hidden values."""

    labels: int
    width: int
    """Of what the trunk gives"""
    experts: int
    """0: plain towers over all of it"""
    expert_width: int
    tower_width: int
    tower_depth: int

    @property
    def tower(self) -> list[int]:
        """Layer widths of a tower, input to output."""
        read = self.expert_width if self.experts else self.width
        return [read, *[self.tower_width] * self.tower_depth, 1]

    @property
    def params(self) -> int:
        """Experts are one layer each, gates have no biases (2018, equation 7)."""
        mixed = self.experts * (self.width + 1) * self.expert_width
        mixed += self.labels * self.width * self.experts
        return mixed + self.labels * linear_params(self.tower) - linear_params([self.width, 1])

    @property
    def macs(self) -> int:
        """Multiply-adds of a row: layers, and each label's mix of the experts."""
        mixed = self.experts * self.width * (self.expert_width + self.labels)
        mixed += self.labels * self.experts * self.expert_width
        return mixed + self.labels * linear_macs(self.tower) - linear_macs([self.width, 1])

    @property
    def activations(self) -> int:
        """Floats of a row that backward needs."""
        mixed = self.experts * (self.expert_width + self.labels)
        return mixed + self.labels * sum(self.tower)


def linear_params(widths: Sequence[int]) -> int:
    """Weights and biases of linear layers of the given widths, input first."""
    return sum(a * b + b for a, b in itertools.pairwise(widths))


def linear_macs(widths: Sequence[int]) -> int:
    """Their multiply-adds."""
    return sum(a * b for a, b in itertools.pairwise(widths))
