"""The report's section on embedding collapse: how many of its dimensions each table uses."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd

from recscale.advice.gains import law_runs, where
from recscale.frame import tables_frame
from recscale.report import plot
from recscale.report.plot import Figure
from recscale.study import Study
from recscale.words import number, quantity


def section(study: Study) -> dict[str, Any] | None:
    """Rows of the table and the figures, from the runs of the law on the most data; None where no
    run has recorded its tables."""
    entering = set(law_runs(study.frame())["run_id"])
    frame = tables_frame([r for r in study.records if r.run_id in entering])
    if frame.empty:
        return None
    fraction = float(frame["data_fraction"].to_numpy(float).max())
    frame = where(frame, frame["data_fraction"] == fraction)
    columns = ["rows_moved", "information_abundance", "abundance_per_dim", "effective_rank"]
    means = cast(pd.DataFrame, frame.groupby(["table", "dim"])[columns].mean()).reset_index()
    rows = [
        (
            str(r["table"]), f"{r['dim']:g}", quantity(r["rows_moved"]),
            number(r["information_abundance"], 2), number(r["abundance_per_dim"], 3),
            number(r["effective_rank"], 2),
        )
        for r in means.to_dict("records")
    ]  # fmt: skip
    return {
        "rows": rows,
        "fraction": f"{fraction:g}",
        "plots": {"collapse": _against_dim(means), "spectra": _spectra(study, frame)},
    }


def _against_dim(means: pd.DataFrame) -> Figure:
    """Information abundance over the dimension against the dimension, a line a table."""
    data = []
    for i, (table, own) in enumerate(means.groupby("table")):
        text = [
            f"{table}, dimension {d:g}: {a:.3f} of it, effective rank {e:.2f}"
            for d, a, e in zip(
                own["dim"], own["abundance_per_dim"], own["effective_rank"], strict=True
            )
        ]
        colour = plot.COLOURS[i % len(plot.COLOURS)]
        drawn = plot.points(own["dim"], own["abundance_per_dim"], str(table), text,
                            {"size": 7, "color": colour},
                            line={"color": colour, "width": 1})  # fmt: skip
        data.append(drawn | {"mode": "lines+markers"})
    layout = plot.layout(
        plot.axis("dimension of the table", log=True),
        plot.axis("information abundance / dimension", rangemode="tozero"),
        height=340,
    )
    return {"data": data, "layout": layout}


def _spectra(study: Study, frame: pd.DataFrame) -> Figure:
    """The singular values over the largest, of one run with the widest tables."""
    widest = where(frame, frame["dim"] == int(frame["dim"].to_numpy().max()))
    run_id = sorted(widest["run_id"])[0]
    record = next(r for r in study.records if r.run_id == run_id)
    data = []
    for i, (table, spectrum) in enumerate(sorted(record.spectra.items())):
        values = np.asarray(spectrum.singular_values, float)
        shares = values / values[0] if values[0] else values
        place = np.arange(1, len(values) + 1)
        line = {"color": plot.COLOURS[i % len(plot.COLOURS)], "width": 2}
        data.append(plot.line(place, np.where(shares > 0, shares, np.nan), table, line=line))
    layout = plot.layout(
        plot.axis("singular value, from the largest"),
        plot.axis("share of the largest", log=True),
        height=340,
    )
    return {"data": data, "layout": layout}
