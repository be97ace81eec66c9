"""Records as pandas tables, and the rule of which runs may enter a law."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import pandas as pd

from recscale.manifest import Manifest
from recscale.run import Cost, RunRecord, TrainConfig, unbeaten


def records_frame(
    records: Sequence[RunRecord], metrics: Sequence[str] = (), below_baseline: bool = False
) -> pd.DataFrame:
    """One row a run: identity, axes, costs (`*_flop`, `*_bytes`, `*_s`, `*_params`), final metrics
    (`eval_*`) and best ones (`best_*`), `enters_law` and, where false, `left_out` with the reason;
    `worse_than` names the baselines that its final loss is no better than (see `judged`). `metrics`
    are columns to have even when no run has finished; `below_baseline` as in `left_out`.
    """
    out = left_out(records, below_baseline)
    rows = [_row(r, out.get(r.run_id)) for r in records]
    return pd.DataFrame(rows, columns=_columns(records, metrics))


def curves_frame(records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row a point of a learning curve."""
    rows = [{"run_id": r.run_id, **p.columns()} for r in records for p in r.curve]
    return pd.DataFrame(rows)


def tables_frame(records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row a table of a finished run: its dimension, rows moved, and how many of its dimensions
    it uses; see `recscale.run.Spectrum`."""
    rows = [
        {
            "run_id": r.run_id,
            "family": r.config.model.family,
            "data_fraction": r.config.train.data_fraction,
            "table": name,
            "dim": s.dim,
            "rows_moved": s.rows,
            "information_abundance": s.information_abundance,
            "abundance_per_dim": s.information_abundance / s.dim,
            "effective_rank": s.effective_rank,
        }
        for r in records
        for name, s in r.spectra.items()
    ]
    return pd.DataFrame(rows)


def left_out(records: Sequence[RunRecord], below_baseline: bool = False) -> dict[str, str]:
    """run id -> why the run does not enter laws: failed, diverged; another learning-rate factor
    was better for the same architecture and data (lowest final `eval_loss`, which is what trainings
    minimise, of several labels all together; mean over the seeds that all factors have finished);
    or, unless `below_baseline` lets it in, its final loss is no better than a baseline, see
    `judged`. The factor is chosen first, among all that are done: a choice among those that
    beat a baseline would take the factor with the luckiest seed. Of runs of both schedules those
    enter of which one ended last: a decayed loss and the loss of a mean of the weights follow laws
    of their own."""
    out = {r.run_id: r.status for r in records if r.status != "done"}
    groups: dict[str, dict[float, dict[int, RunRecord]]] = defaultdict(lambda: defaultdict(dict))
    for r in records:
        if r.status == "done":
            train = r.config.train
            groups[r.config.tuning_group][train.rate_factor][train.seed] = r
    for factors in groups.values():
        best = _best_factor(factors)
        for factor, by_seed in factors.items():
            if factor != best:
                reason = f"learning-rate factor {best:g} was better than {factor:g}"
                out |= {r.run_id: reason for r in by_seed.values()}
    lost = {} if below_baseline else {r.run_id: below_words(r) for r in records if r.worse_than}
    return lost | _of_the_other_schedule(records) | out


def _of_the_other_schedule(records: Sequence[RunRecord]) -> dict[str, str]:
    done = [r for r in records if r.status == "done"]
    if not done:
        return {}
    now = max(done, key=lambda r: r.finished_at).config.train.schedule
    reason = f"of another schedule than {now}, of which the newest run is: both never enter one law"
    return {r.run_id: reason for r in done if r.config.train.schedule != now}


def mixed_words(frame: pd.DataFrame) -> str:
    """Why a table of runs is of no one law: what it says of both schedules that it holds; empty
    where it holds one, or does not say."""
    found = frame["protocol"].dropna().astype(str).value_counts() if "protocol" in frame else {}
    if len(found) < 2:
        return ""
    each = " and ".join(f"{n} of {name}" for name, n in sorted(found.items()))
    first = min(found)
    return (
        f"protocol: the table holds runs of several schedules ({each}), whose losses follow laws "
        f"of their own; keep one, such as --where \"protocol == '{first}'\""
    )


def judged(records: Sequence[RunRecord], loss: str, data: Manifest) -> list[RunRecord]:
    """The records with `worse_than` of the question that is asked: what is recorded compares the
    loss of all labels together, and a law of the column `loss` may be of one label."""
    column = data.judged_by(loss)
    if column == "eval_loss":
        return list(records)
    baselines, out = data.baselines_in(column), []
    for r in records:
        found = r.final.metrics.get(column) if r.status == "done" and r.final else None
        lost = {} if found is None else unbeaten(baselines, found)
        out.append(r.model_copy(update={"worse_than": lost, "judged_by": column}))
    return out


def below_words(record: RunRecord) -> str:
    """`eval_loss 8.81 is no better than the baseline uniform (8.56)`, of a run in `worse_than`."""
    assert record.final is not None  # only a run that is done is held against baselines
    each = ", ".join(f"{name} ({nats:.5g})" for name, nats in record.worse_than.items())
    several = "s" if len(record.worse_than) > 1 else ""
    loss = record.final.columns()[record.judged_by]
    return f"{record.judged_by} {loss:.5g} is no better than the baseline{several} {each}"


def lost_words(records: Iterable[RunRecord]) -> str:
    """`7 of 12 runs lost to a baseline (constant rate)`, of the runs that are done; empty where
    none did."""
    done = [r for r in records if r.status == "done"]
    lost = [r for r in done if r.worse_than]
    names = dict.fromkeys(name for r in lost for name in r.worse_than)
    if not lost:
        return ""
    return f"{len(lost)} of {len(done)} runs lost to a baseline ({', '.join(names)})"


def _best_factor(factors: dict[float, dict[int, RunRecord]]) -> float:
    """Factors are compared on seeds that all have: a mean over other seeds is another quantity.
    Without a common seed, the best single run decides."""
    common = set.intersection(*(set(by_seed) for by_seed in factors.values()))

    def loss(factor: float) -> float:
        by_seed = factors[factor]
        final = [by_seed[s].curve[-1].eval_loss for s in common or by_seed]
        return sum(final) / len(final) if common else min(final)

    return min(factors, key=lambda f: (loss(f), f))


def unique_samples(cost: Cost, train: TrainConfig) -> float:
    """Samples of one pass: what a run has seen without its repeats."""
    return cost.samples / train.epochs


def trainings(frame: pd.DataFrame) -> str | None:
    """The column that says of which training each run is a point; None where each is one."""
    return "trajectory" if any(frame["trajectory"].notna()) else None


def settings(frame: pd.DataFrame) -> list[str]:
    """The columns that say which configuration a run of `records_frame` trains: family, sizes,
    data fraction; runs equal in them differ in learning-rate factor and seed only."""
    names = list(frame.columns)
    return names[names.index("family") : names.index("data_fraction") + 1]


def _columns(records: Sequence[RunRecord], wanted: Sequence[str]) -> list[str]:
    """Identity, the axes and options of the families there are, costs, metrics and the rest."""
    sizes = dict.fromkeys(k for r in records for k in r.config.model.columns)
    sizes.pop("family", None)
    metrics = dict.fromkeys([k for r in records if r.final for k in r.final.metrics] + [*wanted])
    metrics.pop("eval_loss", None)
    best = [f"best_{k}" for k in ("eval_loss", *metrics, "samples")]
    probes = dict.fromkeys(k for r in records for k in r.probes)
    return [*_IDENTITY, *sizes, *_TRAINING, *_COSTS, "eval_loss", *metrics, "train_loss", *best,
            *probes, *_REST]  # fmt: skip


_IDENTITY = ("run_id", "status", "enters_law", "left_out", "worse_than", "family", "protocol")
_TRAINING = ("epochs", "data_fraction", "batch_size", "rate_factor", "seed")
_COSTS = (
    "table_params", "dense_params", "head_params", "non_embedding_params", "table_rows", "samples",
    "unique_samples",
    "train_flop", "forward_flop", "eval_flop", "lookup_bytes", "peak_bytes", "time_s", "gpu_hours",
    "usd",
)  # fmt: skip
FORESEEN = (*_TRAINING, *_COSTS)
"""Columns of every run that are known before it runs; the sizes of its family besides."""
_REST = (
    "trajectory",
    "increment_flop",
    "samples_per_s",
    "workers",
    "resumed",
    "reason",
    "error",
    "finished_at",
)
TAKEN = frozenset({*_IDENTITY, *_TRAINING, *_COSTS, *_REST, "eval_loss", "code"})
"""Columns of every run that no metric of a trainer of one's own can be."""


def _row(r: RunRecord, out: str | None) -> dict[str, object]:
    cost, final, best = r.trained, r.final, r.best
    row: dict[str, object] = {
        **r.config.train.model_dump(),
        **r.config.model.row(r.config.train),
        **cost.model_dump(exclude={"forward"}),
        "forward_flop": cost.forward.total,
        "unique_samples": unique_samples(cost, r.config.train),
        "protocol": r.config.train.schedule,
        "trajectory": r.trajectory or None,
        "increment_flop": r.spent.train_flop,
        "run_id": r.run_id,
        "status": r.status,
        "enters_law": out is None,
        "left_out": out,
        "worse_than": ", ".join(r.worse_than) or None,
        "samples_per_s": cost.samples / cost.time_s if r.measured and cost.time_s else None,
        "workers": r.workers,
        "resumed": r.resumed,
        "reason": r.reason,
        "error": r.error,
        **r.probes,
        "finished_at": pd.Timestamp(r.finished_at, unit="s", tz="UTC"),
    }
    if final and best:
        ended = final.columns()
        row |= {k: v for k, v in ended.items() if k not in ("samples", "train_flop", "time_s")}
        row |= {
            "best_eval_loss": best.eval_loss,
            "best_samples": best.samples,
            **{f"best_{k}": v for k, v in best.metrics.items()},
        }
    return row
