"""A file of runs as a frame: CSV, tab-separated text or Parquet, each also compressed by gzip; and
what trackers leave, see `tracked`."""

from __future__ import annotations

import gzip
import os
import re
import warnings
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.errors import EmptyDataError, ParserError, ParserWarning

from recscale.laws import tracked
from recscale.laws.nouns import LawError
from recscale.storage import StorageError

ENTERS = ("enters_law", "left_out")  # columns of recscale's own tables: whether, and why not
SEPARATORS = {".csv": ",", ".tsv": "\t"}
STORES = (".db", ".sqlite", ".sqlite3")
KINDS = (
    "a table is a .csv, .tsv or .parquet file, mlflow's sqlite file, or a folder of runs; convert "
    "it to one"
)


def load(path: str | Path) -> pd.DataFrame:
    """A table of runs from a .csv, .tsv, .parquet or mlflow sqlite file, or a folder of runs; rows
    are counted from 0. Of a recscale run directory, or the runs.csv or runs.parquet of its report,
    the runs that may enter a law.

    Raises:
        LawError: no such file, another kind of file, one that cannot be read, one in whose header
            a name stands twice, or one of whose runs none may enter a law.
    """
    path = Path(path)
    try:
        frame = _read(path)
    except LawError as error:
        raise LawError(f"{path}: {error}") from None
    except StorageError:
        raise  # of a ledger: it names its files itself
    except Exception as error:  # pandas and pyarrow raise whatever their parsers meet
        raise LawError(f"{path}: cannot be read as a table: {_why(error)}") from error
    twice = frame.columns[frame.columns.duplicated()].tolist()
    if twice:
        raise LawError(f"{path}: two columns are called {twice[0]!r}; rename one")
    return _entering(frame, path) if {"run_id", *ENTERS} <= {*frame.columns} else frame


def _entering(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    enters, why = (frame[c] for c in ENTERS)
    kept = pd.DataFrame(frame[enters.astype(str).str.lower() == "true"]).reset_index(drop=True)
    if len(frame) and not len(kept):
        reasons = why.fillna("").astype(str).value_counts()
        told = "; ".join(f"{n}: {reason}" for reason, n in reasons.items())
        raise LawError(f"{path}: none of its {len(frame)} runs may enter a law ({told})")
    return kept


def _read(path: Path) -> pd.DataFrame:
    if os.path.isdir(path):
        return tracked.folder(path)
    if not os.path.isfile(path):  # which, other than Path's, is False for a name too long
        kinds = (*SEPARATORS, ".parquet", ".gz", *STORES)
        if path.suffix and path.suffix.lower() not in kinds:
            raise LawError(KINDS)
        raise LawError("no such file")
    packed = path.suffix.lower() == ".gz"
    kind = Path(path.stem).suffix.lower() if packed else path.suffix.lower()
    if kind == ".parquet" and not packed:
        return _numbers_of_params(_parquet(path))
    if kind in SEPARATORS:
        return _text(path, SEPARATORS[kind])
    if kind in STORES or tracked.is_sqlite(path):
        return _numbers_of_params(tracked.mlflow(path))
    raise LawError(KINDS)


def _numbers_of_params(frame: pd.DataFrame) -> pd.DataFrame:
    """mlflow keeps parameters as text: those that are numbers throughout are read as such."""
    for name in [c for c in frame if str(c).startswith("params.")]:
        numbers = pd.Series(pd.to_numeric(frame[name], errors="coerce"), dtype=float)
        text = not pd.api.types.is_numeric_dtype(frame[name])
        if text and (numbers.isna() == frame[name].isna()).all():
            frame[name] = numbers
    return frame


def _text(path: Path, separator: str) -> pd.DataFrame:
    how: dict[str, Any] = {"sep": separator, "index_col": False}
    head = pd.read_csv(path, header=None, nrows=1, dtype=str, **how)
    names = head.iloc[0].dropna()
    if names.duplicated().any():  # pandas would call the second N.1
        raise LawError(f"two columns are called {names[names.duplicated()].iloc[0]!r}; rename one")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ParserWarning)
        frame = pd.read_csv(path, low_memory=False, **how)
    for name in [c for c in frame if not pd.api.types.is_numeric_dtype(frame[c])]:
        numbers = pd.Series(pd.to_numeric(frame[name], errors="coerce"), dtype=float)
        if (numbers.isna() == frame[name].isna()).all():  # whole numbers beyond 1.8e19
            frame[name] = numbers
    return frame


def _parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read().to_pandas(ignore_metadata=True)


def _why(error: Exception) -> str:
    """What is wrong with a file, in words of files."""
    words = str(error)
    ragged = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", words)
    if ragged:
        named, line, seen = ragged.groups()
        return f"line {line} has {seen} values and the lines before have {named}"
    if isinstance(error, ParserWarning):
        return "its lines have more values than its header has names; name every column"
    if isinstance(error, EmptyDataError):
        return "it is empty"
    if "EOF inside string" in words:
        return "a quote is opened and not closed"
    if isinstance(error, UnicodeError):
        return "its text is not UTF-8; convert it"
    if isinstance(error, EOFError | gzip.BadGzipFile | zlib.error):
        return "its compressed content is cut or damaged"
    if isinstance(error, PermissionError):
        return "it may not be read; correct its permissions"
    if isinstance(error, ParserError):
        return "its lines do not fit together; give each as many values as the header has names"
    return "its content is not what its ending says, or damaged"
