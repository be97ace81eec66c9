"""Pure scaling schemes as directions of a sweep: one factor on the axes of a scheme, all else at
the base. For DLRM they are those of 2208.08489 (rows, dim, overarch, mlp), and all combined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from recscale.manifest import Manifest

if TYPE_CHECKING:
    from recscale.spec import SweepSpec

BASE, DATA = "base", "data"  # points that belong to every scheme, and data as one more direction


class Point(NamedTuple):
    """One point of a sweep by schemes."""

    scheme: str
    factor: float
    values: dict[str, Any]
    """Of every axis of the sweep, the data fraction too."""


def scheme_points(spec: SweepSpec, data: Manifest) -> list[Point]:
    """The base, every scheme at every factor with all the data, and the base on less data."""
    model, fractions = spec.model, spec.train.data_fraction
    whole = max(fractions)
    base = {**{k: v[0] for k, v in spec.axes().items()}, "data_fraction": whole}
    points = [Point(BASE, 1.0, base)]
    for scheme in spec.search.schemes or tuple(model.schemes):
        for factor in spec.search.factors:
            if factor != 1:
                points.append(Point(scheme, factor, model.scaled(base, scheme, factor, data)))
    for fraction in fractions:
        if fraction != whole:
            points.append(Point(DATA, fraction / whole, {**base, "data_fraction": fraction}))
    return points
