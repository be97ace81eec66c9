"""What makes a prepared log useless, or its laws crooked, whatever it came from."""

from __future__ import annotations

from pathlib import Path

from recscale.data.build import Built
from recscale.data.layout import DataError, open_array
from recscale.spec import CriteoData, DataSpec, SyntheticData

VALUES_PER_ROW = 0.5
"""From here on a column has nearly one value a row: most are met once in training."""
UNSEEN = 0.5
"""A column is warned of when more of the evaluation rows have a value that training never met."""

_REMEDY = "hold out more (data.holdout.last), or bring a longer log"


def refuse_unlearnable(data: DataSpec, folder: Path, built: Built) -> None:
    """Raises DataError for clicks of one class in training or evaluation, where no loss can be
    normalised, and where no evaluation row has an item that training knows."""
    where = "data" if isinstance(data, SyntheticData) else f"data.path {data.path}"
    label, n = open_array(folder, "label"), built.n_train
    total = len(label) - n
    if data.task == "click":
        parts = {"training": (int(label[:n].sum()), n), "evaluation": (int(label[n:].sum()), total)}
        shown = ", ".join(f"{c:,} of {rows:,} {name} rows" for name, (c, rows) in parts.items())
        single = [name for name, (clicks, rows) in parts.items() if clicks in (0, rows)]
        if len(single) == 2:
            raise DataError(
                f"{where}: positives are {shown}, so there is nothing to tell apart; "
                f"{_remedy_of_one_class(data)}"
            )
        if single:
            raise DataError(
                f"{where}: positives are {shown}; of {single[0]} rows of one class no normalised "
                f"entropy exists; {_REMEDY}"
            )
    item = next((t for t in built.tables if t.name == built.history), None)
    if item is not None and data.task == "next_item" and item.distinct < 2:
        raise DataError(
            f"{where}: the {n:,} training rows have one item alone, so there is nothing to "
            "predict; check data.columns.item, or bring a longer log"
        )
    if item is not None and item.unseen_rate == 1 and not data.holdout.leave_one_out:
        raise DataError(
            f"{where}: none of the {total:,} evaluation rows has an item that occurs in the {n:,} "
            f"training rows, so nothing learnt of items can show; {_REMEDY}, or check that the "
            "item and time columns are the right ones"
        )


def _remedy_of_one_class(data: DataSpec) -> str:
    if isinstance(data, SyntheticData | CriteoData):
        return "check what the first column of the files says"
    if data.compared:
        return (
            f"compare {data.compared.column!r} in data.positive with a number that parts its values"
        )
    if data.columns.label is None:
        return (
            "no negative could be drawn beside the positives, for the log has no second item that "
            "was seen by then; check data.columns.item, or bring a longer log"
        )
    return (
        f"check what data.columns.label {data.columns.label!r} says, or leave that key out where "
        "every row is a positive: then negatives are drawn"
    )


def table_warnings(built: Built) -> list[str]:
    """A sentence for every categorical column that hardly repeats in the rows of the log."""
    found, rows = [], round(built.n_train * (1 - built.negatives))
    for table in built.tables:
        reasons = []
        if table.distinct > VALUES_PER_ROW * rows * table.mean_length > 0:
            reasons.append(f"{table.distinct:,} values in {rows:,} training rows of the log")
        if table.unseen_rate > UNSEEN:
            new = "values are new" if table.bag else "rows hold one that is new"
            reasons.append(f"{table.unseen_rate:.0%} of the evaluation {new}")
        if reasons:
            found.append(
                f"{table.name}: {' and '.join(reasons)}; such a column adds table parameters that "
                "hardly learn, which bends every law in them: leave it out, give coarser values, "
                "or cap its rows by model.embedding_rows"
            )
    return found
