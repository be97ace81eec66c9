"""What a prepared store says of itself, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from recscale.manifest import Manifest, TableFacts
from recscale.words import baselines

MOST = 12  # tables, and dense columns, named one by one


def data_lines(data: Manifest) -> Iterator[str]:
    """Rows, times, labels, what was dropped and chosen, tables and baselines; not the warnings."""
    yield f"{data.n_train:,} training and {data.n_eval:,} evaluation rows"
    yield f"{data.raw_rows:,} rows of the log were read; task {data.task}"
    clicks = data.task == "click"
    parts = (
        ("training", data.time_range_train, data.label_rate_train),
        ("evaluation", data.time_range_eval, data.label_rate_eval),
    )
    for part, times, rate in parts:
        said = [f"{times[0]} to {times[1]}"] if times else []
        if data.labels:
            each = [(x.rate_train if part == "training" else x.rate_eval) for x in data.labels]
            named = zip(data.labels, each, strict=True)
            said += [", ".join(f"{100 * rate:.3g} % {label.name}" for label, rate in named)]
        elif rate is not None and clicks:
            said += [f"{100 * rate:.3g} % positives"]
        if said:
            yield f"{part + ':':12}{'; '.join(said)}"
    for reason, rows in data.dropped.items():
        share = f" ({100 * rows / data.raw_rows:.2g} %)" if data.raw_rows else ""
        yield f"dropped {rows:,} rows{share}: {reason}"
    yield from _tables(data)
    if data.dense:
        more = ["..."] if len(data.dense) > MOST else []
        yield f"dense columns, {len(data.dense)}: {', '.join([*data.dense[:MOST], *more])}"
    for name, note in data.notes.items():
        yield f"{name}: {note}"
    if data.baselines:
        yield baselines(data.baselines)
    for label in data.labels:
        yield baselines(label.baselines, f"eval_loss_{label.name}")


def warning_lines(warnings: Sequence[str]) -> list[str]:
    """A line for each thing that may spoil a result."""
    return [f"warning: {warning}" for warning in warnings]


def _tables(data: Manifest) -> Iterator[str]:
    """The tables by size, the smaller ones of many together."""
    largest = sorted(data.tables, key=lambda t: -t.rows)
    named, rest = largest[:MOST], largest[MOST:]
    more = [f"{len(rest)} more with {sum(t.rows for t in rest):,} in all"] if rest else []
    if named:
        yield f"table rows: {', '.join([_table(t) for t in named] + more)}"


def _table(table: TableFacts) -> str:
    facts = [f"{100 * table.unseen_rate:.2g} % of evaluation unseen"] if table.unseen_rate else []
    facts += [f"{table.mean_length:.3g} values a row"] if table.mean_length != 1 else []
    facts += ["weighted"] if table.weighted else []
    return f"{table.name} {table.rows:,}" + (f" ({', '.join(facts)})" if facts else "")
