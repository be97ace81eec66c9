"""What a fit says, in sentences; every number in them comes from the law."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recscale.laws.chance import SURE, explained, significance
from recscale.laws.nouns import Role

if TYPE_CHECKING:
    from recscale.laws.law import ScalingLaw


def answers(law: ScalingLaw) -> list[str]:
    """One sentence per finding: whether there is a law, each axis, what to be careful about."""
    loss = law.points.loss
    if not law.status.determined:
        return [f"{loss}: no law can be stated: {law.reason}."]
    out = [verdict(law), *(_axis(law, i) for i in law.model.single)]
    share = explained(np.log(law.points.y), law.residuals, law.points.weights)
    out.append(f"The formula explains {100 * share:.1f} % of the variance of log {loss}.")
    out += _sensitivity(law)
    return out


def dead_axes(law: ScalingLaw) -> list[str]:
    """Variables whose term ended at 0, or whose exponent ended at a limit of its range."""
    out = []
    for i in law.model.single:
        v = law.variables[i]
        if set(law.model.of(v, Role.SCALE, Role.EXPONENT)) & set(law.bounds_hit):
            out.append(v)
    return out


def is_law(law: ScalingLaw) -> bool:
    """Whether the loss is shown to follow the formula along some axis: more than chance."""
    return (
        law.status.determined
        and len(dead_axes(law)) < len(law.model.single)
        and _chance(law) < SURE
    )


def _chance(law: ScalingLaw) -> float:
    p = law.points
    return significance(np.log(p.y), law.residuals, p.weights, law.independent, len(law.theta))


def verdict(law: ScalingLaw) -> str:
    """Whether the loss follows the formula, in one sentence."""
    loss, axes, dead = law.points.loss, " and ".join(law.variables), dead_axes(law)
    word = "falls" if law.model.sign > 0 else "rises"
    if not is_law(law):
        why = (
            f"{' and '.join(law.bounds_hit)} at the edge of the allowed range"
            if len(dead) == len(law.model.single)
            else f"the fit is no better than chance (p = {_chance(law):.2f})"
        )
        return f"{loss}: no law: it does not {word[:-1]} as a power of {axes}; {why}."
    if dead:
        axes = " and ".join(v for v in law.variables if v not in dead)
        axes += f" (and shows no power of {' or '.join(dead)} over these runs)"
    constant = law.model.limit
    if constant is None:
        return (
            f"{loss}: a law without a limit: it {word} as a power of {axes} as far as the runs go."
        )
    if constant in law.bounds_hit:
        return (
            f"{loss}: a law without a floor: it {word} as a power of {axes}, and {constant} = 0: "
            f"good inside the data, not for far extrapolation."
        )
    low, high = law.intervals(0.95).set_index("coefficient").loc[constant, ["low", "high"]]
    if law.model.sign > 0 and low <= 0:
        return (
            f"{loss}: a law: it {word} as a power of {axes}; its floor is not known, {constant} "
            f"may be anything up to {high:.4g} (95 %)."
        )
    return f"{loss}: a law: it {word} as a power of {axes} towards {_num(law, constant)}."


def _axis(law: ScalingLaw, i: int) -> str:
    v, p = law.variables[i], law.points
    names = law.model.of(v, Role.EXPONENT)
    told = " and ".join(_num(law, name) for name in names) or "none in this form"
    lo, hi = np.exp(p.logx[:, i].min()), np.exp(p.logx[:, i].max())
    return f"{v}: exponent {told} over {np.log10(hi / lo):.1f} decades ({lo:.3g} to {hi:.3g})."


def _num(law: ScalingLaw, name: str) -> str:
    row = law.intervals(0.95).set_index("coefficient").loc[name]
    return f"{law.coefficients[name]:.4g} (95 %: {row['low']:.4g} to {row['high']:.4g})"


def _sensitivity(law: ScalingLaw) -> list[str]:
    without = law.without_worst
    ends = law.intervals(0.95).set_index("coefficient")
    moved = [
        f"{c} {law.coefficients[c]:.4g} -> {v:.4g}"
        for c, v in without.items()
        if not ends.loc[c, "low"] <= v <= ends.loc[c, "high"]
    ]
    if not moved:
        return []
    return [f"Without the five worst-fitting rows it moves past its interval: {', '.join(moved)}."]
