"""What the figures are made of: traces, axes and colours as plain plotly JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from recscale.words import quantity

Figure = dict[str, Any]

INK, FAINT, LAW, ACCENT = "#7a8088", "rgba(122,128,136,.35)", "#d1495b", "#2e86ab"
OWN = "#bb8117"  # an axis's own law, beside the sweep's
BAND, OWN_BAND = "rgba(209,73,91,.16)", "rgba(187,129,23,.16)"
COLOURS = (ACCENT, LAW, OWN, "#8a5cc9", "#3a9d5d", INK)
"""Of families, tables and schemes. All that is drawn stands out 3 to 1 from white and from the dark
page (WCAG 2, 1.4.11); tests/test_report.py holds them to it."""
RAMP = ("#3a9d5d", ACCENT, "#8a5cc9")
"""From few to many."""
SCALE = [[i / 2, c] for i, c in enumerate(RAMP)]


def axis(title: str, *, log: bool = False, **more: Any) -> dict[str, Any]:
    base = {"title": {"text": title}, "gridcolor": FAINT, "zeroline": False, "automargin": True}
    # SI letters, 1.2G and not 1.2 x 10^9, as in the tables
    return base | ({"type": "log", "exponentformat": "SI"} if log else {}) | more


def layout(x: dict[str, Any], y: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "xaxis": x,
        "yaxis": y,
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 60, "r": 14, "t": 12, "b": 46},
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": INK, "activecolor": ACCENT},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "height": 360,
        **more,
    }


def line(x: Any, y: Any, name: str, **more: Any) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": plain(x), "y": plain(y), "name": name,
            "hoverinfo": "skip", **more}  # fmt: skip


def points(x: Any, y: Any, name: str, text: list[str], marker: dict[str, Any], **more: Any):
    return {"type": "scatter", "mode": "markers", "x": plain(x), "y": plain(y), "name": name,
            "text": text, "hovertemplate": "%{text}<extra></extra>", "marker": marker,
            **more}  # fmt: skip


def plain(values: Any) -> list[float | None]:
    """Six digits are more than a screen shows, and NaN is no JSON."""
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in np.asarray(values, float)]


def band(x: Any, low: Any, high: Any, name: str, fill: str = BAND) -> dict[str, Any]:
    around = np.concatenate([np.asarray(x, float), np.asarray(x, float)[::-1]])
    ends = np.concatenate([np.asarray(high, float), np.asarray(low, float)[::-1]])
    return line(around, ends, name, fill="toself", fillcolor=fill, line={"width": 0})


def colour(values: Any, title: str) -> dict[str, Any]:
    """Markers coloured by the logarithm of a positive column."""
    logs = np.log10(np.asarray(values, float))
    ends = np.array([logs.min(), logs.max()])
    return {
        "size": 7, "color": plain(logs), "colorscale": SCALE, "cmin": ends[0], "cmax": ends[1],
        "showscale": bool(ends[1] > ends[0]),
        "colorbar": {"title": {"text": title, "side": "right"}, "thickness": 8, "len": 0.9,
                     "tickvals": plain(ends), "ticktext": [quantity(10**e) for e in ends],
                     "outlinewidth": 0},
    }  # fmt: skip


def shade(share: float) -> str:
    """The colour at a share, 0 to 1, of SCALE."""
    k = 0 if share < 0.5 else 1
    ends = [[int(c[j : j + 2], 16) for j in (1, 3, 5)] for c in RAMP[k : k + 2]]
    within = 2 * share - k
    mixed = [round(a + within * (b - a)) for a, b in zip(*ends, strict=True)]
    return f"#{mixed[0]:02x}{mixed[1]:02x}{mixed[2]:02x}"
