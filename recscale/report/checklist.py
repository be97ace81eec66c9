"""What was measured and how, filled by the machine: the questions of "(Mis)Fitting: A Survey of
Scaling Laws" (2502.18969) and what recommenders add to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from recscale.families import TrainerSpec
from recscale.families.own import OwnSpec
from recscale.families.sequence import SequenceSpec
from recscale.families.two_tower import TwoTowerSpec
from recscale.laws import LAW_VERSION, Role
from recscale.report.findings import Findings
from recscale.report.sentences import noise_sentence
from recscale.run import TrainConfig
from recscale.spec import LearningRate, ResourcesSpec, SweepSpec, TrainSpec
from recscale.words import baselines, number, quantity, time

Rows = list[tuple[str, str]]
PRECISION = {
    "float32": "float32",
    "bfloat16": "matrix products of training in bfloat16 (torch's autocast); weights, tables, "
    "optimisers and evaluations in float32",
}


def checklist(f: Findings, held_out: str) -> list[tuple[str, Rows]]:
    """Sections of (question, answer); `held_out` is `sentences.held_out`'s."""
    if isinstance(f.study.spec.models[0], TrainerSpec):
        return [
            ("The law", _law(f, held_out)),
            ("A trainer of your own", trained(f.study.spec)),
            ("Where it ran and what it cost", _spent(f)),
        ]
    return [
        ("The law", _law(f, held_out)),
        ("How things are counted", _counts()),
        ("Data", _data(f)),
        ("Training", _training(f)),
        ("Where it ran and what it cost", _spent(f)),
    ]


def _law(f: Findings, held_out: str) -> Rows:
    spec, law = f.study.spec, f.fitted
    rows = [
        ("metric", f"{spec.law_loss} at the end of each run, on the fixed evaluation set"),
        ("variables", ", ".join(law.variables if law else spec.law_variables)),
        ("form asked for", spec.law.form),
        ("version of the laws", str(LAW_VERSION)),
    ]
    if law is None:
        return [*rows, ("result", f"not determined: {f.law_words}")]
    huber = f"Huber, threshold {law.delta:g}" if law.delta < float("inf") else "least squares"
    rows += [
        ("form", f"{law.form}: {law.model.formula} ({law.model.source})"),
        ("status", str(law.status) + (f": {f.law_words}" if f.law_words else "")),
        ("runs used", f"{law.n} of {len(f.study.records)} recorded; one point a run, its last"),
        ("objective", f"{huber} on log residuals, global search ({law.optima} local minima met)"),
        ("condition number", f"{law.condition:.3g}"),
        ("residuals", f"mean |log residual| {float(abs(law.residuals).mean()):.2g}"),
        ("hold-out", held_out),
    ]
    if law.choice is not None and len(law.choice) > 1:
        told = law.choice.to_dict("records")
        beside = (f"{c['form']}: {_error(c['rolling_error'])} ({c['status']})" for c in told)
        rows.append(("laws compared by their error on more expensive runs", "; ".join(beside)))
    without = law.without_worst
    if without:
        told = [c.name for c in law.model.constants if c.role is not Role.SCALE]
        moved = ", ".join(f"{name} {number(without[name])}" for name in told)
        rows.append(("without the five worst-fitting runs", moved))
    rows += [("note", n) for n in law.points.notes]
    if law.dropped:
        why = Counter(d["reason"] for d in law.dropped)
        rows.append(("rows the fit dropped", "; ".join(f"{n}: {r}" for r, n in why.items())))
    return rows


def _error(share: float) -> str:
    return f"{100 * share:.2g} %" if share == share else "none predicted"


def trained(spec: SweepSpec) -> Rows:
    """What is known of runs that recscale did not train itself."""
    model, t = spec.model, spec.train
    assert isinstance(model, TrainerSpec)
    called = " ".join(model.command) or model.family
    amounts = ", ".join(quantity(n) for n in model.amounts)
    return [
        ("trainer", called),
        ("source", f"fingerprint {model.code}; runs of another are apart" if model.code
         else "not known"),
        ("cost", f"{model.cost}, called FLOPs here" if model.cost else "as recorded of each run"),
        ("loss", f"{model.loss} as reported, called eval_loss here; on which data is the "
         "trainer's own"),
        ("samples", f"{amounts}: {model.data_axis}" if model.data_axis
         else "the same data for all runs; a run counts as one sample"),
        ("told besides its axes", f"seed (of {t.seeds}), epochs ({', '.join(map(str, t.epochs))}), "
         f"rate_factor ({', '.join(f'{x:g}' for x in t.learning_rate.tune)}; the best enters)"),
        ("checkpoints in the fit", "none: only the last report of each run"),
    ]  # fmt: skip


def _counts() -> Rows:
    return [
        ("table parameters", "rows x dimension of every embedding table, the history's included"),
        ("dense parameters", "interaction layers, MLPs, over-arch and history encoder, with biases "
         "and norms"),
        ("non-embedding parameters", "weight matrices of a sequence model's blocks; of a click "
         "model all dense parameters"),
        ("samples", "training rows seen, repeats counted, whole batches; of sequences every event "
         "is one, predicted from the user's events before it"),
        ("training FLOPs", "3 x forward x samples; a multiply-add is 2; look-ups are 0 FLOPs and "
         "counted in bytes; causal attention is half of S²; evaluation is not included"),
        ("left out of FLOPs", "biases, activations, norms, softmax, pooling, optimiser, "
         "communication"),
    ]  # fmt: skip


def _data(f: Findings) -> Rows:
    d, spec = f.study.data, f.study.spec
    fractions = ", ".join(f"{x:g}" for x in spec.train.data_fraction)
    rows = [
        ("source", f"{d.source}, task {d.task}, fingerprint {d.fingerprint}"),
        ("training rows", f"{d.n_train:,}" + _between(d.time_range_train)),
        ("evaluation rows", f"{d.n_eval:,}" + _between(d.time_range_eval) + "; fixed, later"),
        ("fractions", f"{fractions}; nested prefixes in {d.order} order"),
        ("raw rows", f"{d.raw_rows:,}"),
        ("dropped", "; ".join(f"{n:,} {why}" for why, n in d.dropped.items()) or "none"),
    ]
    rates = [(f"label {x.name}", x.rate_train, x.rate_eval) for x in d.labels]
    if not rates and d.label_rate_train is not None and d.label_rate_eval is not None:
        rates = [("label rate", d.label_rate_train, d.label_rate_eval)]
    shares = d.label_shares if d.labels else ()
    for i, (name, train, held) in enumerate(rates):
        share = f", {100 * shares[i]:.3g} % of the loss" if shares else ""
        rows.append((name, f"{train:.4g} training, {held:.4g} evaluation{share}"))
    known = [
        ("baselines", d.baselines),
        *((f"baselines of {x.name}", x.baselines) for x in d.labels),
    ]
    for name, found in known:
        if found:
            rows.append((name, baselines(found).partition(": ")[2] + ", nats a sample"))
    for t in d.tables:
        values = "values" if t.bag else "rows"
        pool = f"; bags of {t.mean_length:.1f} values, {_pool(t.weighted)}" if t.bag else ""
        rows.append((
            f"table {t.name}",
            f"{t.rows:,} rows, {t.distinct:,} distinct values, {100 * t.collision_rate:.2g} % "
            f"collide, {100 * t.unseen_rate:.2g} % of evaluation {values} unseen{pool}",
        ))  # fmt: skip
    rows.append(("dense features", ", ".join(d.dense) or "none"))
    history = f"of {d.history}, mean length {d.history_mean_length:.1f}" if d.history else "none"
    rows.append(("histories", history))
    return rows + list(d.notes.items())


def _pool(weighted: bool) -> str:
    return "pooled by the log's weights" if weighted else "pooled as their mean"


def _between(ends: tuple[str, str] | None) -> str:
    return f" from {ends[0]} to {ends[1]}" if ends else ""


def _schedule(t: TrainSpec) -> str:
    if t.schedule == "anytime":
        return (f"warm-up over {t.usual_warmup_samples:,} samples, then constant; a mean of the "
                "weights is evaluated, and all fractions of one architecture, rate and seed are "
                "points of one training")  # fmt: skip
    return (f"warm-up over {100 * t.warmup_share:g} % of the steps, then linear to zero at the "
            "planned end of each run")  # fmt: skip


def _training(f: Findings) -> Rows:
    t, runs = f.study.spec.train, [r.config.train for r in f.study.records]
    model = f.study.spec.model
    return [
        *(_ranking(model) if isinstance(model, SequenceSpec | TwoTowerSpec) else []),
        ("family", model.family),
        *(_source(model) if isinstance(model, OwnSpec) else []),
        ("batch", f"{t.batch_size:,} over all workers, the same for every run"),
        ("passes over the data", ", ".join(map(str, t.epochs))),
        ("optimisers", "row-wise Adagrad on tables, Adam on the dense part"),
        ("precision", PRECISION[t.precision]),
        ("learning rates", f"{_rates(t.learning_rate, runs)}; factors tried for every "
         f"configuration: {', '.join(f'{x:g}' for x in t.learning_rate.tune)}; the best enters"),
        ("schedule", _schedule(t)),
        ("seeds", f"{t.seeds}. {noise_sentence(f)}"),
        ("divergence", "a loss that is not finite, or a training loss above "
         f"{t.diverge_above:g} x the untrained model's on the same samples, ends a run"),
        ("checkpoints in the fit", "none: only the final point of each run"),
    ]  # fmt: skip


def _rates(asked: LearningRate, runs: Sequence[TrainConfig]) -> str:
    """What the runs had before any factor, and who chose it."""
    told = []
    for kind in ("dense", "sparse"):
        found = sorted({getattr(t, f"{kind}_rate") for t in runs})
        span = " to ".join(f"{x:g}" for x in dict.fromkeys(found[:1] + found[-1:]))
        by_width = " with 1 / width" if len(found) > 1 else ""
        usual = "" if getattr(asked, kind) else ", the family's usual"
        told.append(f"{kind} {span}{by_width}{usual}")
    return "; ".join(told)


def _source(model: OwnSpec) -> Rows:
    stated = f", version {model.version}" if model.version else ""
    counted = "counted from the network on torch's meta device, or by its own closed forms"
    return [
        ("source of the family", f"fingerprint {model.code}{stated}; runs of another are apart"),
        ("costs of the family", f"{counted}; causal attention counts whole"),
    ]


def _ranking(model: SequenceSpec | TwoTowerSpec) -> Rows:
    seen = "left out" if model.filter_seen else "ranked too"
    ranked = f"over the whole catalogue; items that the user met before are {seen}"
    if isinstance(model, TwoTowerSpec):
        drawn = f"against {model.contrastive:,} items drawn uniformly for each evaluation event"
        return [("ranking metrics", ranked), ("contrastive entropy", drawn)]
    return [
        ("ranking metrics", ranked),
        ("output layer", "the item table itself" if model.tied else "weights of its own"),
    ]


def _spent(f: Findings) -> Rows:
    study = f.study
    done = [r for r in study.records if r.measured]
    used, r = study.spent, study.spec.resources
    rows = [
        ("machine", f"{r.machine}, {_workers(r)} worker(s), {r.cpus_per_worker} CPU and "
         f"{r.gpus_per_worker:g} GPU each"),
        ("hardware", _counted(x.hardware or "unknown" for x in done)),
        ("training FLOPs", f"{quantity(used.flop)} over all attempts, failures counted"),
        ("time", time(sum(x.measured.time_s for x in done if x.measured)) + ", summed over runs"),
        ("GPU-hours and $", f"{used.gpu_hours:.3g} GPU-hours, ${used.usd:.2f} at the prices of "
         "cluster/prices.yaml"),
        ("resumed", f"{sum(x.resumed > 0 for x in study.records)} runs went on from a checkpoint"),
    ]  # fmt: skip
    packages = sorted({p for x in study.records for p in x.versions})
    return rows + [
        (p, _counted(x.versions.get(p, "unknown") for x in study.records)) for p in packages
    ]


def _workers(r: ResourcesSpec) -> str:
    return f"{r.elastic[0]} to {r.elastic[1]}" if r.elastic else str(r.workers)


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{v} ({n} runs)" for v, n in sorted(counts.items()))
