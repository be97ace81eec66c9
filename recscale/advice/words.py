"""An `Advice` in plain words: what `recscale ask`, the report and the live line say."""

from __future__ import annotations

from recscale.advice.advise import RATES, Advice
from recscale.advice.answer import Answer
from recscale.advice.unknown import Step
from recscale.spec import TRAINING_AXES
from recscale.words import dollars, listed, more, number, quantity, span, time

MUCH = 0.5  # of the compute asked for: where less is taken, the answer says why


def headline(advice: Advice) -> str:
    """The answer in one sentence, the same wherever it is shown."""
    best, at = advice.best, f"at {quantity(advice.budget_flop)} FLOP"
    lost = f"; {no_better(advice)}" if advice.unbeaten else ""
    if best is None:
        return f"no advice {at} yet: {advice.doubts[0]}{lost}"
    what = f"{described(best, advice.swept)}: {predicted(advice, best)}"
    if advice.promised:
        return f"{at} train {what}, {gains(best)}{lost}"
    return f"{at} no gain is promised; no worse is {what}{lost}"


def no_better(advice: Advice) -> str:
    """`it is predicted no better than the baseline constant rate (0.9987)`."""
    names = listed([f"{name} ({number(loss)})" for name, loss in advice.unbeaten.items()])
    several = "s" if len(advice.unbeaten) > 1 else ""
    what = "it is predicted no better" if advice.best else "no run is better"
    return f"{what} than the baseline{several} {names}"


def predicted(advice: Advice, answer: Answer) -> str:
    """`eval_ne 0.7123 [0.7080, 0.7170]`."""
    return f"{advice.loss_name} {span(answer.loss, answer.low, answer.high)}"


def sentences(advice: Advice) -> str:
    """The answer, a line each."""
    best = advice.best
    at = f"{quantity(advice.budget_flop)} FLOP ({advice.times_largest:.3g} times the largest run)"
    so_far = f"the best run so far measured {number(advice.best_loss)} ({advice.best_run})"
    if best is None:
        out = [f"No advice for {at} yet: {advice.doubts[0]}; {so_far}."]
        return "\n".join([*out, *beside_baselines(advice), *to_know(advice.step)])
    if advice.promised:
        out = [
            f"With {at} and the data at hand train {described(best, advice.swept)}.",
            f"Predicted {predicted(advice, best)} (90 % for one run), {gains(best)}; {so_far}.",
        ]
    else:
        out = [
            f"With {at} and the data at hand no gain is promised: {'; '.join(advice.doubts)}.",
            *to_know(advice.step),
            f"Predicted no worse: {described(best, advice.swept)}, {predicted(advice, best)} "
            f"(90 % for one run); {so_far}.",
        ]
    out += [_cost(best), reach(best), *beside_baselines(advice)]
    share = best.option.cost.train_flop / advice.budget_flop
    if share < MUCH:
        out.append(
            f"That is {100 * share:.2g} % of the compute asked for: {unspent(advice, best)}."
        )
    if advice.saturated:
        why = "; ".join(f"{a} ({w})" for a, w in advice.saturated.items())
        out.append(f"Not grown, as they pay no more: {why}.")
    if best.at_edge:
        out.append(
            f"{listed(list(best.at_edge))} stands at the largest value weighed "
            f"({2**advice.doublings} times the largest tried, or what memory holds); --beyond "
            "weighs further doublings."
        )
    for name, other in advice.others:
        out.append(
            f"By the law of {name}, which the runs support about as well: "
            f"{described(other, advice.swept)}, {predicted(advice, other)}."
        )
    out += _more_data(advice)
    if advice.tuning_flop is not None:
        out.append(
            "The runs tried learning rates at one factor only and this depends on them: a round of "
            f"{', '.join(f'{r:g}' for r in RATES)} times the rates at that size costs "
            f"{quantity(advice.tuning_flop)} FLOP."
        )
    return "\n".join([*out, *_rate_lines(advice)])


def gains(answer: Answer) -> str:
    """`a gain of 0.0100 [0.0050, 0.0150] on the best so far`."""
    g = answer.gain
    return f"a gain of {span(g.mean, g.low, g.high)} on the best so far"


def to_know(step: Step | None) -> list[str]:
    """What to run next in order to know, and its cost; nothing where there is no such run."""
    if step is None:
        return []
    tells = ""
    if step.explains is not None:
        tells = f", which would settle {100 * step.explains:.0f} % of the variance of the gain"
    price = f"{quantity(step.flop)} FLOP, about {time(step.time_s)} and {dollars(step.usd)}"
    return [f"To know, run {step.what} ({price}){tells}."]


def _cost(answer: Answer) -> str:
    cost, own = answer.option.cost, answer.option.model.task == "trainer"
    head = f", {quantity(cost.head_params)} head" if cost.head_params else ""
    return (
        f"It costs {quantity(cost.train_flop)} FLOP, about {time(answer.time_s)}, "
        f"{answer.gpu_hours:.3g} GPU-hours and {dollars(answer.usd)}"
        + ("" if own else f"; parameters: {quantity(cost.table_params)} table, "
           f"{quantity(cost.dense_params)} dense{head}")
        + "."
    )  # fmt: skip


def beside_baselines(advice: Advice) -> list[str]:
    """Where the answer, or the runs that it rests on, are no better than a baseline: there losses
    follow no power law, and both retail worlds of tests/benchmarks/advice_followed.py that choices
    were made on fell twice as far as such a law predicted."""
    out = []
    if advice.unbeaten:
        said = no_better(advice)
        out.append(f"{said[:1].upper()}{said[1:]}.")
    if advice.best and advice.lost:
        out.append(
            f"In the law {advice.lost}: of models that have learnt so little it "
            "may predict too small a gain, and its interval may not hold."
        )
    return out


def unspent(advice: Advice, best: Answer) -> str:
    """Why more compute would not buy another run."""
    if advice.more_data is not None:
        return (
            f"more compute needs more than the {quantity(advice.rows_at_hand)} training rows there "
            f"are; with {quantity(advice.more_data.rows)} it would reach "
            f"{predicted(advice, advice.more_data)}"
        )
    if best.at_edge:
        return (
            f"{listed(list(best.at_edge))} would stand beyond {2**advice.doublings} times the "
            "largest value tried, or what memory holds (ask --beyond weighs more)"
        )
    return "of the larger runs weighed none is expected to do better by more than one run's noise"


def reach(answer: Answer) -> str:
    """How far beyond the runs it lies, variable by variable."""
    beyond = {v: d for v, d in answer.decades.items() if d > 0.005}
    if not beyond:
        return "It lies within the range of the runs on every variable of the law."
    far = ", ".join(f"{d:.2f} decades in {v}" for v, d in beyond.items())
    return f"This extrapolates {far} beyond the runs."


def _more_data(advice: Advice) -> list[str]:
    more = advice.more_data
    if more is None:
        return []
    lacks = more.rows - advice.rows_at_hand
    text = (
        f"With more data: {described(more, advice.swept)}, {predicted(advice, more)} for "
        f"{quantity(more.option.cost.train_flop)} FLOP; it needs {quantity(more.rows)} training "
        f"rows, {quantity(lacks)} more than the {quantity(advice.rows_at_hand)} there are."
    )
    return [text]


def described(answer: Answer, axes: tuple[str, ...]) -> str:
    """`dlrm with embedding_dim 32, mlp_width 256 on 4.1M samples`."""
    model, epochs = answer.option.model, answer.option.train.epochs
    sizes = []
    for axis in axes:
        if axis not in TRAINING_AXES:
            value = getattr(model, axis)
            sizes.append(f"{axis} {'all' if value is None else value}")
    with_sizes = f" with {', '.join(sizes)}" if sizes else ""
    passes = f" in {epochs} pass{'es' * (epochs > 1)}" if "epochs" in axes else ""
    seen = quantity(answer.option.cost.samples)
    data = f" on {seen} samples" if getattr(model, "data_axis", "samples") else ""
    return f"{model.family}{with_sizes}{data}{passes}"


def _called(advice: Advice, axis: str) -> str:
    """An axis as the sweep file calls it: with a trainer, the data has a name of its own."""
    model = advice.best and advice.best.option.model
    return getattr(model, "data_axis", "") or axis if axis == "data_fraction" else axis


def _rate_lines(advice: Advice) -> list[str]:
    bottleneck = advice.bottleneck
    out = []
    if bottleneck:
        out.append(
            f"Bottleneck at the largest run: {_called(advice, bottleneck.axis)}. What one doubling "
            f"changes in {advice.loss_name} there, by the law:"
        )
    elif advice.rates:
        out.append("No axis surely pays at the largest run. By the law one doubling changes there:")
    for rate in sorted(advice.rates, key=lambda r: r.change):
        paid = rate.per_flop_doubling()
        through = f", {span(*paid)} per doubling of compute put there" if paid else ""
        out.append(
            f"  {_called(advice, rate.axis)}: {span(rate.change, rate.low, rate.high)} for "
            f"{more(rate.flop_ratio)} FLOP{through}"
        )
    return out
