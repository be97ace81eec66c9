"""How long a trained model takes to answer, measured where it was trained."""

from __future__ import annotations

import time
from collections.abc import Callable

WARM = 3  # forwards that are not measured: kernels are chosen in the first
TIMES = 20


def fastest(forward: Callable[[], object]) -> float:
    """Seconds of the fastest of TIMES forwards: whatever else a machine does only adds to it.
    forward: ends with its answer on the processor."""
    for _ in range(WARM):
        forward()
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        forward()
        took.append(time.perf_counter() - began)
    return min(took)
