"""Numbers, names and values as people read them, the same in the terminal, the report and
refusals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

SHOWN = 60  # characters of a value that a sentence repeats
UNITS = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def quantity(value: float | None) -> str:
    """1234567 -> 1.23M; 1.3e22, which has no sign, as it is; None and NaN -> ?."""
    if value is None or not math.isfinite(value):
        return "?"
    if abs(value) >= 999.5 * UNITS[0][0]:
        return f"{value:.3g}".replace("e+", "e")
    for limit, sign in UNITS:
        if abs(value) >= 0.9995 * limit:
            return f"{value / limit:.3g}{sign}"
    return f"{value:.3g}"


def number(value: float | None, digits: int = 4) -> str:
    """A loss: `digits` decimals, more where it is so small that they would be zeros."""
    if value is None or not math.isfinite(value):
        return "?"
    if value and abs(value) < 10**-digits * 2:
        return f"{value:.2g}"
    return f"{value:.{digits}f}"


def listed(names: Iterable[object], most: int = 20) -> str:
    """Names of columns in one line: the first of them, each shortened, and how many more there
    are."""
    texts = [str(n) for n in names]
    rest = [f"and {len(texts) - most} more"] if len(texts) > most else []
    return ", ".join([*map(shortened, texts[:most]), *rest])


def baselines(found: Mapping[str, float], of: str = "eval_loss") -> str:
    """A manifest's baselines in one line, of all labels or the column of one; empty where there
    are none."""
    each = ", ".join(f"{name} {number(nats)}" for name, nats in found.items())
    loss = "evaluation loss" if of == "eval_loss" else shortened(of)
    return f"baselines ({loss}, nats a sample): {each}" if found else ""


def span(mean: float, low: float, high: float) -> str:
    """`0.7123 [0.7080, 0.7170]`, to two digits of the interval's width; NaN ends say so."""
    return " ".join(ends(mean, low, high))


def ends(mean: float, low: float, high: float) -> tuple[str, str]:
    """The two halves of `span`: the number, and its interval in brackets."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return number(mean), "(no interval)"
    if max(abs(mean), abs(low), abs(high)) >= 1e5:
        return f"{mean:.3g}", f"[{low:.3g}, {high:.3g}]"
    width = high - low
    digits = 4 if width <= 0 else max(3, min(7, 1 - math.floor(math.log10(width))))
    return number(mean, digits), f"[{number(low, digits)}, {number(high, digits)}]"


def time(seconds: float | None) -> str:
    """3700 -> 1h02m."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes = round(seconds / 60)
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def dollars(usd: float) -> str:
    """What something costs; a little is no nothing."""
    return "under $0.01" if 0 < usd < 0.005 else f"${usd:.2f}"


def more(ratio: float) -> str:
    """A ratio as an increase: 1.183 -> 18 % more, 2 -> 2x."""
    return f"{ratio:.3g}x" if ratio >= 1.995 else f"{100 * (ratio - 1):.2g} % more"


def printable(text: str) -> str:
    """A text from elsewhere as a terminal may show it: what would steer the terminal, or turn the
    order of letters, is written as its code. Line ends and tabs stay."""
    return "".join(c if c in "\n\t" or c.isprintable() else _code(c) for c in text)


def _code(c: str) -> str:
    return f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}"


def shortened(text: str) -> str:
    """At most SHOWN characters, and one line."""
    text = "".join(c if c.isprintable() else _code(c) for c in text[: SHOWN + 1])
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def shown(value: Any) -> str:
    """A value as the file has it, shortened."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{shortened(value)}'"
    if isinstance(value, list | tuple):
        return f"a list of {len(value):,}" if value else "an empty list"
    if isinstance(value, dict):
        return "a mapping"
    return f"{value:.6g}" if isinstance(value, float) else shortened(str(value))
