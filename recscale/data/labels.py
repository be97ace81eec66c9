"""Labels of clicks: 0/1 columns, or a comparison of a number such as a rating."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from recscale.data.numbers import numbers
from recscale.spec import Comparison


def clicks(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [n] labels, and bool [n], true where the value is 0, 1, true or false, in any type.

    Raises Unfit for a type that holds none of them.
    """
    values, _ = numbers(column, "a label is 0 or 1, true or false")
    return (values == 1).astype(np.uint8), (values == 0) | (values == 1)


def compared(column: pa.Array, positive: Comparison) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [n], 1 where the comparison holds, and bool [n], true where there is a number.

    Raises Unfit for a type that holds no numbers.
    """
    values, _ = numbers(column, "compare a column of numbers")
    there = ~np.isnan(values)
    return (there & positive(values)).astype(np.uint8), there
