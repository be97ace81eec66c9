"""Which axes no longer pay at the largest value tried, so that advice does not grow them."""

from __future__ import annotations

import math

from recscale.advice.exchange import Measured, law_rates, measured_steps
from recscale.advice.options import Option, swept
from recscale.laws import ScalingLaw
from recscale.laws.verdicts import run_noise
from recscale.study import Study
from recscale.words import number, quantity, span


def saturated(study: Study, law: ScalingLaw | None, at: Option) -> dict[str, str]:
    """Axis -> why it is not grown: its last measured step gains nothing beyond noise, or by the
    law a doubling at the run `at` surely gains less than two runs differ by chance."""
    frame, loss = study.frame(), study.spec.law_loss
    out = {}
    for axis in swept(study.spec):
        steps = measured_steps(study, frame, axis, loss)
        if steps and steps[-1].known and steps[-1].high >= 0:
            out[axis] = measured_words(steps[-1])
    if law is None or not law.status.determined:
        return out
    chance = math.sqrt(2) * run_noise(law)[0]
    for rate in law_rates(study, law, at):
        if -rate.low < chance:
            why = f"by the law a doubling gains {span(-rate.change, -rate.high, -rate.low)}, and "
            out.setdefault(rate.axis, f"{why}two runs differ by {number(chance)} by chance")
    return out


def measured_words(step: Measured) -> str:
    """`the step 32 to 64 measured 0.0012 [-0.0006, 0.0030]`."""
    ends = (quantity(v) if v is not None else "all" for v in (step.start, step.end))
    return f"the step {' to '.join(ends)} measured {span(step.change, step.low, step.high)}"
