"""Not yet built."""

from __future__ import annotations

from pathlib import Path

from recscale.data.build import Built, Progress
from recscale.data.layout import DataError
from recscale.spec import EventsData

RECIPE = 1


def build(data: EventsData, folder: Path, progress: Progress) -> Built:
    raise DataError("data.source events cannot be prepared yet")
