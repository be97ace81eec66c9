"""How many runs a sweep file asks for, counted before any of them is made."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recscale.spec.sweep import SweepSpec

MOST_RUNS = 5_000
"""Of a sweep that trains all of them."""
MOST_CANDIDATES = 10**9
"""Of a search, which weighs a sample of them."""


def too_many(spec: SweepSpec) -> str | None:
    """`key: what is too many`, at the longest axis; None for a sweep that can be planned."""
    search, total, axes = spec.search.strategy == "frontier", 0, {}
    for alone in spec.families():
        count, sizes = _asked(alone)
        total += count
        axes |= {k: max(n, axes.get(k, 1)) for k, n in sizes.items()}
    most, what = (MOST_CANDIDATES, "candidates") if search else (MOST_RUNS, "runs")
    if total <= most:
        return None
    long = {k: n for k, n in axes.items() if n > 1}
    largest = max(long, key=lambda k: long[k])
    sizes = ", ".join(f"{k} {n:,}" for k, n in sorted(long.items(), key=lambda kn: -kn[1]))
    shown = f"{total:,}" if total < 10**12 else f"{float(total):.1e}"
    return (
        f"{largest}: {long[largest]:,} of it make this a sweep of {shown} {what} ({sizes}); "
        f"at most {most:,} can be planned: name fewer values"
    )


def _asked(spec: SweepSpec) -> tuple[int, dict[str, int]]:
    """Runs of one family, and the values of each key that multiply them."""
    training = {"epochs": "train.epochs", "data_fraction": "train.data_fraction"}
    if spec.log is None:
        training["data_fraction"] = f"axes.{getattr(spec.model, 'data_axis', '')}"
    of = "axes" if spec.log is None else "model"
    axes = {training.get(k, f"{of}.{k}"): len(v) for k, v in spec.axes().items()}
    again = {
        "train.learning_rate.tune": len(spec.train.learning_rate.tune),
        "train.seeds": spec.train.seeds,
    }
    strategy = spec.search.strategy
    if strategy == "frontier":  # seeds and factors are of its few runs only
        return math.prod(axes.values()), axes
    if strategy == "schemes":
        schemes = len(spec.search.schemes or spec.model.schemes)
        axes["search.factors"] = schemes * len(spec.search.factors)
    points = math.prod(axes.values()) if strategy == "grid" else sum(axes.values())
    return points * math.prod(again.values()), {**axes, **again}
