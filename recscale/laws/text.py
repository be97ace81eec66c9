"""A fitted table in plain lines, for `recscale fit`; loads nothing, so that the answer is quick."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any


def law_lines(facts: dict[str, Any]) -> list[str]:
    """What `recscale.laws.fit_table` found, as lines of text."""
    lines = [f"{facts['form']}: {facts['formula']}   {facts['status']}, {facts['n']} rows"]
    if facts["reason"]:
        lines.append(facts["reason"])
    lines += _coefficients(facts)
    lines += facts["answers"]
    lines += _choice(facts["choice"] or [])
    for reason, rows in Counter(d["reason"] for d in facts["dropped"]).items():
        lines.append(f"left out {rows} rows: {reason}")
    return lines + _predictions(facts)


def _coefficients(facts: dict[str, Any]) -> list[str]:
    level = f"{facts['interval_level']:.0%} interval, if the form is true"
    rows = [("coefficient", "value", level)]
    for name, value in facts["coefficients"].items():
        low, high = facts["intervals"][name]
        if value is not None:
            shown = "not determined" if low is None or high is None else f"[{low:.5g}, {high:.5g}]"
            rows.append((name, f"{value:.6g}", shown))
    return _table(rows) if len(rows) > 1 else []


def _choice(tried: list[dict[str, Any]]) -> list[str]:
    if not tried:
        return []
    rows = [("form", "constants", "error on more expensive runs", "status")]
    for t in tried:
        error = t["rolling_error"]
        shown = "unknown" if error is None else f"{100 * error:.3g} %"
        mark = ", chosen" if t["chosen"] else ""
        rows.append((t["form"], str(t["constants"]), shown, t["status"] + mark))
    said = "Forms compared: each fitted to the cheaper runs predicts the more expensive."
    return [said, *_table(rows)]


def _predictions(facts: dict[str, Any]) -> list[str]:
    rows = facts.get("predictions", [])
    if not rows:
        return []
    lines = [f"Held out, with the {facts['prediction_level']:.0%} interval for one new run:"]
    for r in rows:
        measured = "not measured" if r["actual"] is None else f"measured {r['actual']:.5g}"
        lines.append(
            f"row {r['row']}: {measured}, predicted {r['mean']:.5g} "
            f"[{r['low']:.5g}, {r['high']:.5g}], {r['decades']:.1f} decades out"
        )
    return lines


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Columns in line: the first to the left, the others to the right."""
    rows = list(rows)
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [r[0].ljust(wide[0]), *(c.rjust(w) for c, w in zip(r[1:], wide[1:], strict=True))]
        )
        for r in rows
    ]
