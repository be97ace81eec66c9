"""Which axes no longer pay at the largest value tried, so that advice does not grow them."""

from __future__ import annotations

import math

from recscale.advice.gains import Measured, law_gains, measured_axis
from recscale.advice.options import Option, swept
from recscale.laws import ScalingLaw
from recscale.laws.verdicts import run_noise
from recscale.study import Study
from recscale.words import number, quantity, span


def saturated(study: Study, law: ScalingLaw | None, at: Option | None = None) -> dict[str, str]:
    """Axis -> why it is not grown: the top of it measured worse than a smaller value, or no gain
    beyond noise, or by the law a doubling at the run `at` surely gains less than two runs differ by
    chance."""
    out = {}
    for axis in swept(study.spec):
        _, top, turn = measured_axis(study, axis)
        if turn:
            out[axis] = measured_words(turn.worse)
        elif top and top.known and top.high >= 0:
            out[axis] = measured_words(top)
    if law is None or at is None or not law.status.determined:
        return out
    chance = math.sqrt(2) * run_noise(law)[0]
    for rate in law_gains(study, law, at):
        if -rate.low < chance:
            why = f"by the law a doubling changes {span(rate.change, rate.low, rate.high)}, and "
            out.setdefault(rate.axis, f"{why}two runs differ by {number(chance)} by chance")
    return out


def measured_words(step: Measured) -> str:
    """`the step 32 to 64 measured 0.0012 [-0.0006, 0.0030]`."""
    ends = (quantity(v) if v is not None else "all" for v in (step.start, step.end))
    at = "" if step.data is None else f" at data fraction {step.data:g}"
    return f"the step {' to '.join(ends)} measured {span(step.change, step.low, step.high)}{at}"


def turned(study: Study) -> dict[str, float]:
    """Axis -> the largest value that is weighed, where all above it are surely worse than a smaller
    one: such as passes over the data beyond which a model learns it by heart."""
    turns = {axis: measured_axis(study, axis)[2] for axis in swept(study.spec)}
    return {axis: turn.most for axis, turn in turns.items() if turn}
