"""Criteo's display logs, as published: Kaggle `train.txt` and the 1TB `day_0` ... `day_23`.

Tab-separated lines without a header: label, 13 integers, 26 ids of 8 hexadecimal digits; an
empty field is a missing value. https://ailab.criteo.com/criteo-1tb-click-logs-dataset/

- Integers: log(1 + max(x, 0)); missing is 0.
- Ids: ranked by frequency in the training rows; beyond `max_ids`, rarer ones share ids by hash.
  A missing id is a value of its own (read as 00000000).
- The logs hold no times; their rows are in time order. A row's time is day * 10^9 + its line.

Memory: one chunk, and 40 bytes per distinct value of one feature at a time.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from recscale.data.build import Built, Progress, split_rows
from recscale.data.criteo_fields import parse_hexadecimal, parse_integers
from recscale.data.dropped import ragged_warnings
from recscale.data.files import input_files
from recscale.data.layout import DataError, create_array, open_array, remove_raw
from recscale.data.ranks import interleave, rank_column
from recscale.data.spill import Spill
from recscale.data.streams import open_bytes, open_stream, readable
from recscale.spec import CriteoData

RECIPE = 1
"""Of this preparation: other arrays from the same files need another number."""

INTEGERS = [f"I{i}" for i in range(1, 14)]
IDS = [f"C{i}" for i in range(1, 27)]
COLUMNS = ["label", *INTEGERS, *IDS]
DAY = 10**9
"""More lines than any day of the log has (195 million)."""
BLOCK_BYTES = 16 << 20

FIRST_LINES = 100
"""Of which one must be Criteo's."""

FIELDS, TYPES = "line without 40 fields", "field of another type"


@dataclass
class _Tally:
    """What was seen in all files so far."""

    lines: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    ragged: Counter[Path] = field(default_factory=Counter)
    """Of the lines dropped, those with another number of fields"""


def build(data: CriteoData, folder: Path, progress: Progress) -> Built:
    """Streams the log into `folder`. Raises DataError for lines that are not Criteo's."""
    tally, files = _Tally(), input_files(data.path)
    days = [(d, f) for d, f in zip(_days(files), files, strict=True) if _holds_lines(f)]
    arrays = {"label": ("|u1", None), "time": ("<i8", None), "dense": ("<f4", len(INTEGERS))}
    with Spill(folder, {**arrays, **{f"raw.{c}": ("<u4", None) for c in IDS}}) as spill:
        for day, file in days:
            for rows in _read(file, tally):
                rows["time"] += day * DAY
                spill.append(rows)
                progress(tally.lines, None)
    _check(data, tally)
    n_train = split_rows(open_array(folder, "time"), data.holdout.last)
    columns, tables = [], []
    n = len(open_array(folder, "label"))
    for i, name in enumerate(IDS):
        columns.append(open_array(folder, f"raw.{name}", "r+"))
        tables.append(rank_column(name, columns[-1], n_train, data.max_ids))
        progress(n * (i + 1) // (len(IDS) + 1), n)
    interleave(columns, create_array(folder, "ids", (n, len(IDS))))
    remove_raw(folder)
    progress(n, n)
    return Built(
        n_train=n_train,
        tables=tables,
        dense=INTEGERS,
        history=None,
        raw_rows=tally.lines,
        dropped=dict(tally.dropped),
        warnings=ragged_warnings(tally.ragged),
        notes={
            "dense": "log(1 + max(x, 0)), missing is 0",
            "ids": f"ranked by training frequency; beyond {data.max_ids} by hash",
            "time": "day * 10^9 + line: the order of the files is taken for the order in time",
        },
    )


def _days(files: list[Path]) -> list[int]:
    """The day of each file: of `day_<n>` the n, otherwise its place in the list."""
    named = [re.fullmatch(r"day_(\d+)(\..*)?", f.name) for f in files]
    days = [int(m[1]) if m else -1 for m in named]
    return days if -1 not in days and len(set(days)) == len(days) else list(range(len(files)))


def _check(data: CriteoData, tally: _Tally) -> None:
    bad = sum(tally.dropped.values())
    if bad <= data.refuse_above * tally.lines and bad < tally.lines:
        return
    reasons = ", ".join(f"{reason}: {count}" for reason, count in tally.dropped.most_common())
    raise DataError(
        f"data.path {data.path}: {bad} of the {tally.lines} lines are not Criteo's "
        f"({reasons or 'the files are empty'}), more than data.refuse_above "
        f"({data.refuse_above:.1%}); a line has 40 tab-separated fields: the label 0 or 1, "
        "13 integers and 26 hexadecimal ids (test files without labels cannot be used)"
    )


def _read(file: Path, tally: _Tally) -> Iterator[dict[str, np.ndarray]]:
    """Chunks of usable rows: label, time (the row's place), dense, `raw.<id>` for every feature."""

    def skip(row: pacsv.InvalidRow) -> str:
        tally.lines += 1
        tally.dropped[FIELDS] += 1
        tally.ragged[file] += 1
        return "skip"

    place = 0
    with (
        readable(file),
        open_stream(file) as source,
        pacsv.open_csv(
            source,
            read_options=pacsv.ReadOptions(column_names=COLUMNS, block_size=BLOCK_BYTES),
            parse_options=pacsv.ParseOptions(
                delimiter="\t", quote_char=False, invalid_row_handler=skip
            ),
            # as text: a field of another type costs its line and not the whole block
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(COLUMNS, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
            ),
        ) as reader,
    ):
        for batch in reader:
            tally.lines += len(batch)
            rows = _usable(batch, tally)
            rows["time"] = np.arange(place, place + len(rows["label"]))
            place += len(rows["label"])
            yield rows


def _holds_lines(file: Path) -> bool:
    """Raises DataError for a file that is not Criteo's, such as the test set without labels."""
    with readable(file), open_bytes(file) as lines:
        counts = [line.count(b"\t") + 1 for line in itertools.islice(lines, FIRST_LINES)]
    if counts and len(COLUMNS) not in counts:
        raise DataError(
            f"{file}: its lines have {counts[0]} tab-separated fields, Criteo's have 40: the "
            "label, 13 integers and 26 ids; leave the file out of data.path (a test set without "
            "labels cannot be used)"
        )
    return bool(counts)


def _usable(batch: pa.RecordBatch, tally: _Tally) -> dict[str, np.ndarray]:
    label, good = parse_integers(batch["label"])
    good &= batch["label"].is_valid().to_numpy(zero_copy_only=False) & (label >= 0) & (label <= 1)
    dense = np.empty((len(batch), len(INTEGERS)), np.float32)
    for i, name in enumerate(INTEGERS):
        values, readable = parse_integers(batch[name])
        dense[:, i] = np.log1p(np.maximum(values, 0))
        good &= readable
    rows: dict[str, np.ndarray] = {"label": label, "dense": dense}
    for name in IDS:
        rows[f"raw.{name}"], readable = parse_hexadecimal(batch[name])
        good &= readable
    if not good.all():
        tally.dropped[TYPES] += int((~good).sum())
        rows = {name: values[good] for name, values in rows.items()}
    return rows
