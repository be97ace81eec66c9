"""Columns of anyone's table as plain arrays, whatever types its file or frame holds them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from recscale.laws.nouns import LawError
from recscale.words import listed

TEXTS = ("string", "datetime64", "datetime", "date", "timedelta64", "timedelta", "time")
NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "empty")


def column(frame: pd.DataFrame, name: Any) -> pd.Series:
    """The column of that name. Raises LawError where there is none, or more than one."""
    present(frame, [str(name)])
    found = [i for i, c in enumerate(frame.columns) if str(c) == str(name)]
    if len(found) > 1:
        raise LawError(f"{len(found)} columns are called {name!r}; rename all but one")
    return frame.iloc[:, found[0]]


def cells(name: Any, values: pd.Series) -> np.ndarray:
    """A column as bool, int64 or uint64 where none is missing, float64 (NaN where missing), or
    object: texts, None where missing. Moments are ISO texts, as a CSV file would hold them.

    Raises:
        LawError: it holds values of several kinds, or of one that is neither number nor text.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "bf":
        return values.to_numpy(dtype=bool if values.dtype.kind == "b" else float)
    missing = values.isna().to_numpy(dtype=bool)
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind == "boolean":
        return np.array([not m and bool(v) for v, m in zip(values, missing, strict=True)])
    if kind == "integer" and not missing.any() and values.dtype != object:
        return values.to_numpy(dtype=np.uint64 if values.max() > 2**63 - 1 else np.int64)
    if kind in NUMBERS:
        return np.array([_double(v, m) for v, m in zip(values, missing, strict=True)], float)
    if kind in TEXTS:
        texts = [None if m else str(v) for v, m in zip(values, missing, strict=True)]
        return np.array(texts, object)
    raise LawError(
        f"column {name!r} holds values of several kinds, or lists; make it one of numbers, or of "
        "text"
    )


def _double(value: Any, missing: bool) -> float:
    try:
        return np.nan if missing else float(value)
    except OverflowError:  # a whole number beyond 1e308
        return np.inf


def numbers(frame: pd.DataFrame, name: Any) -> np.ndarray:
    """A column as doubles (n,), NaN where missing.

    Raises:
        LawError: there is no such column or more than one, it holds anything but numbers, or whole
            numbers that overflowed.
    """
    values = cells(name, column(frame, name))
    if values.dtype == object:
        raise LawError(f"column {name!r} holds text; convert it to numbers")
    if values.dtype.kind == "i" and (values < 0).any():
        raise LawError(
            f"column {name!r} holds negative integers: a product of counts passed 9.2e18 and "
            f"wrapped round; compute it in floating point (6.0 * N * D)"
        )
    return values.astype(float)


def counted(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The frame with these columns as doubles. Raises LawError as `numbers` does."""
    present(frame, names)
    return frame.assign(**{c: numbers(frame, c) for c in dict.fromkeys(names)})


def present(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Raises LawError with all the columns that the frame lacks."""
    have = list(map(str, frame.columns))
    missing = [c for c in names if c not in have]
    if missing:
        raise LawError(f"no column {', '.join(map(repr, missing))}; the table has {listed(have)}")
