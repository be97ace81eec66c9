"""Not yet built."""

from __future__ import annotations

from pathlib import Path

from recscale.data.build import Built, Progress
from recscale.data.layout import DataError
from recscale.spec import CriteoData

RECIPE = 1


def build(data: CriteoData, folder: Path, progress: Progress) -> Built:
    raise DataError("data.source criteo cannot be prepared yet")
