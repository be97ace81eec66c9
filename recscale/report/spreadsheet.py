"""Tables as CSV that a spreadsheet may open: nothing in them is run.

Excel, LibreOffice and Sheets take a cell that begins with one of `RUN` for a formula, whatever it
was: the text of an error, a name of a user's own. An apostrophe before it makes it text.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

RUN = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")


def csv_of(frame: pd.DataFrame) -> bytes:
    """The frame as CSV in UTF-8. Numbers stay as they are, also those that are held as text."""
    out = frame.rename(columns=as_text)
    for i in range(out.shape[1]):
        if out.dtypes.iloc[i].kind == "O":
            out.isetitem(i, out.iloc[:, i].map(as_text))
    return out.to_csv(index=False).encode()


def as_text(value: Any) -> Any:
    """A cell or a header as it may stand in a spreadsheet. A carriage return, which pandas leaves
    unquoted and others read as the end of a row, becomes the end of a line in its cell."""
    if not isinstance(value, str):
        return value
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    if not value.startswith(RUN):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
