"""Which rows of a table are of one run, and which columns its variables are."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from recscale.laws.columns import column, present
from recscale.laws.grammar import NAME
from recscale.laws.nouns import LawError

RUNS = {"run", "run_id", "run id", "runid", "run_uuid", "run_name", "run name", "trial_id", "trial"}
"""Columns that name the run of a row, as trackers and people call them."""
SINGLE = {"name", "id"}
"""Columns that name runs where each name stands once."""
STEPS = {"step", "_step", "steps", "global_step", "iteration", "training_iteration", "checkpoint",
         "ckpt"}  # fmt: skip
"""Columns that only rows along a run have."""
NONE = "none"
"""As a cluster: each row is a run, whatever its columns are called."""
FEW = 5
"""Runs, fewer than which say too little of how runs scatter to be resampled."""
ALONG = 3
"""Rows that are equal in all variables but one, from which on they may be checkpoints."""


def split(text: str) -> list[str]:
    """Names with commas between them; a name in ` ` may hold commas."""
    parts = re.findall(r"(?:`[^`]*`|[^,`])+", text)
    return [p.strip() for p in parts if p.strip()]


def aliased(frame: pd.DataFrame, variables: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The frame with the columns that variables such as `N=Model Size` name, under the new names,
    and all names. Raises LawError."""
    have, names = set(map(str, frame.columns)), []
    for text in variables:
        name, equals, old = (part.strip() for part in text.partition("="))
        if text in have or not equals:
            names.append(text if text in have else text.strip("`"))
            continue
        old = old.strip("`")
        if not NAME.fullmatch(name):
            raise LawError(f"--variables {text!r}: {name!r} is no name of letters, digits and _")
        present(frame, [old])
        if name in have and name != old:
            raise LawError(
                f"--variables {text!r}: the table has a column {name!r} of its own; take another "
                "name"
            )
        frame = frame.assign(**{name: column(frame, old).to_numpy()})
        names.append(name)
    return frame, names


def clustered(
    frame: pd.DataFrame, variables: Sequence[str], loss: str, asked: str | None
) -> tuple[str | None, str]:
    """The column by which rows are taken together, and a sentence where nobody asked for it: rows
    of one run err together, and intervals that take each for a run of its own are too narrow.

    Returns:
        cluster: `asked`, or a column that names runs of several rows; None without one.
        said: what was found and done; empty where there is nothing to say.
    """
    if asked is not None:
        none = asked == NONE and NONE not in map(str, frame.columns)
        return (None if none else asked), ""
    rows = len(frame)
    kinds = {
        str(c): int(frame.iloc[:, i].nunique())
        for i, c in enumerate(frame.columns)
        if _word(c) in RUNS | SINGLE and str(c) not in (*variables, loss)
    }
    if rows in kinds.values():
        return None, ""
    for name, runs in kinds.items():
        if _word(name) in SINGLE or not runs:
            continue
        if runs >= FEW:
            return name, (
                f"Rows of one run (column {name!r}: {runs} runs, {rows} rows) are taken together "
                f"in every interval; --cluster {NONE} takes each for a run of its own."
            )
        return None, (
            f"Column {name!r} says that the {rows} rows are of {runs} runs: too few to be taken "
            "together, so that intervals take each row for a run of its own and are too narrow."
        )
    if any(_word(c) in STEPS for c in frame.columns):
        why = "a column counts steps"
    elif axis := _along(frame, variables):
        why = f"{axis} has several values where the other variables have one"
    else:
        return None, ""
    return None, (
        f"Each row is taken for a run of its own. If rows are checkpoints of runs ({why}), "
        "intervals are too narrow: name the column of the run by --cluster."
    )


def _word(column: object) -> str:
    return str(column).strip().lower().rpartition("/")[2]


def _along(frame: pd.DataFrame, variables: Sequence[str]) -> str:
    """The variable along which rows that are equal in the others may be checkpoints of one run."""
    for axis in reversed(variables):  # data stands last, as people write it
        rest = [v for v in variables if v != axis]
        if not rest or axis not in frame or not set(rest) <= set(frame.columns):
            continue
        sizes = np.array(frame.groupby(rest, dropna=False)[axis].nunique())
        if len(sizes) > 1 and np.mean(sizes >= ALONG) > 0.5 and sizes.sum() == len(frame):
            return axis
    return ""
