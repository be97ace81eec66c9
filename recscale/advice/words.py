"""An `Advice` in plain words: what `recscale ask` prints."""

from __future__ import annotations

from recscale.advice.advise import Advice, Answer, gain_of
from recscale.laws import Status
from recscale.spec import TRAINING_AXES
from recscale.words import more, number, quantity, span, time


def sentences(advice: Advice) -> str:
    """The answer, a line each."""
    loss, best, cost = advice.loss_name, advice.best, advice.best.option.cost
    gain = gain_of(best, advice.best_loss)
    out = [
        f"With {quantity(advice.budget_flop)} FLOP ({advice.times_largest:.3g} times the largest "
        f"run) train {_described(best, advice.swept)}.",
        f"Predicted {loss}: {span(best.loss, best.low, best.high)} (90 % for one run); the "
        f"best run so far measured {number(advice.best_loss)}: a gain of "
        f"{span(*gain)}.",
        f"It costs {quantity(cost.train_flop)} FLOP, about {time(best.time_s)}, "
        f"{best.gpu_hours:.3g} GPU-hours and ${best.usd:.2f}; parameters: "
        f"{quantity(cost.table_params)} table, {quantity(cost.dense_params)} dense"
        + (f", {quantity(cost.head_params)} head." if cost.head_params else "."),
    ]
    beyond = {v: d for v, d in best.decades.items() if d > 0.005}
    if beyond:
        far = ", ".join(f"{d:.2f} decades in {v}" for v, d in beyond.items())
        out.append(f"This extrapolates {far} beyond the runs.")
    else:
        out.append("It lies within the range of the runs on every variable of the law.")
    if advice.law_status == Status.BOUND_HIT:
        out.append(
            f"Careful: the fit lies at a bound ({advice.law_reason.rstrip('.')}); it describes "
            "the runs and is not established as a law beyond them."
        )
    if best.at_edge:
        out.append(
            f"{', '.join(best.at_edge)} stands at the largest value weighed "
            f"({2**advice.doublings} times the largest tried, or what memory holds): the law "
            "would go further."
        )
    if advice.with_data_at_hand:
        there = advice.with_data_at_hand
        out += [
            f"That needs {quantity(best.rows)} training rows and there are "
            f"{quantity(advice.rows_at_hand)}: "
            f"{quantity(best.rows / advice.rows_at_hand)} times as much data.",
            f"With the data at hand: {_described(there, advice.swept)}; predicted {loss} "
            f"{span(there.loss, there.low, there.high)} for "
            f"{quantity(there.option.cost.train_flop)} FLOP.",
        ]
    return "\n".join([*out, *_rate_lines(advice)])


def _described(answer: Answer, axes: tuple[str, ...]) -> str:
    """`dlrm with embedding_dim 32, mlp_width 256 on 4.1M samples`."""
    model = answer.option.model
    sizes = []
    for axis in axes:
        if axis not in TRAINING_AXES:
            value = getattr(model, axis)
            sizes.append(f"{axis} {'all' if value is None else value}")
    with_sizes = f" with {', '.join(sizes)}" if sizes else ""
    return f"{model.family}{with_sizes} on {quantity(answer.option.cost.samples)} samples"


def _rate_lines(advice: Advice) -> list[str]:
    starved = advice.starved
    out = []
    if starved:
        sure = "" if starved.high < 0 else ", though its interval reaches no gain at all"
        out.append(
            f"Most starved at the largest run: {starved.axis}{sure}. "
            f"What one doubling changes in {advice.loss_name} there:"
        )
    elif advice.rates:
        out.append("No axis is predicted to pay at the largest run. One doubling changes there:")
    for rate in sorted(advice.rates, key=lambda r: r.change):
        paid = rate.per_flop_doubling()
        through = f", {span(*paid)} per doubling of compute put there" if paid else ""
        out.append(
            f"  {rate.axis}: {span(rate.change, rate.low, rate.high)} for "
            f"{more(rate.flop_ratio)} FLOP{through}"
        )
    return out
