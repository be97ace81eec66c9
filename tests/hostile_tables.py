"""Tables of runs as nobody should write them, and now and then a clean one, from a seed."""

from __future__ import annotations

import contextlib
import gzip
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ("N", "D", "loss", "kind", "seed")
ODD: tuple[Any, ...] = (
    0, -1, 1e-30, 1e-300, 5e-324, 1e300, 10**18, 2**63, 10**25, 10**400, float("nan"),
    float("inf"), -float("inf"), None, "", "a", "=1+1", "1,5", "0x1f", "1e5", "١", True, "\0",
)  # fmt: skip
KINDS = (["a", "b"], ["a", "it's", None], [1, 2.5], [True, False], [""], ["a"])


def table(pick: random.Random) -> dict[str, list[Any]]:
    """Columns of equal length: axes, losses of a law, of noise or of neither, odd cells."""
    n = pick.choice([0, 1, 2, 4, 6, 9, 12, 16, 24, 24, 40, 40])
    rng = np.random.default_rng(pick.getrandbits(32))
    out = {"N": _axis(pick, rng, n), "D": _axis(pick, rng, n)}
    out["loss"] = _losses(pick, rng, out)
    some = pick.choice(KINDS)
    out["kind"] = [some[i % len(some)] for i in range(n)]
    out["seed"] = [i % 3 for i in range(n)]
    if pick.random() < 0.1:
        out["D"] = list(out["N"])
    if n and pick.random() < 0.4:
        for _ in range(pick.choice([1, 1, 2, n])):
            out[pick.choice(COLUMNS)][pick.randrange(n)] = pick.choice(ODD)
    if pick.random() < 0.08:
        out[pick.choice(COLUMNS)] = [pick.choice(ODD)] * n
    if pick.random() < 0.2:  # rows that repeat others
        out = {c: [*v, *v[: n // 2]] for c, v in out.items()}
    return out


def _axis(pick: random.Random, rng: np.random.Generator, n: int) -> list[Any]:
    kind = pick.choice(["spread"] * 4 + ["grid"] * 3 + ["constant", "narrow", "wide", "whole"])
    return {
        "spread": lambda: 10 ** rng.uniform(3, 9, n),
        "grid": lambda: rng.choice(np.geomspace(1e3, 1e6, 4), n),
        "constant": lambda: np.full(n, 64.0),
        "narrow": lambda: 1e6 * (1 + 1e-9 * rng.random(n)),
        "wide": lambda: 10 ** rng.uniform(-58, 58, n),
        "whole": lambda: rng.integers(1, 2**62, n),
    }[kind]().tolist()


def _losses(pick: random.Random, rng: np.random.Generator, axes: dict[str, list[Any]]) -> list[Any]:
    N, D = (np.array(a, float) for a in axes.values())
    n, noise = len(N), np.exp(pick.choice([0, 1e-3, 0.1]) * rng.standard_normal(len(N)))
    kind = pick.choice(["law"] * 5 + ["noise", "metric", "rising", "constant", "few", "steps"])
    if kind == "metric":
        return np.clip(rng.random(n) * 1.4 - 0.2, 0, 1).tolist()
    scale = pick.choice([1.0, 1.0, 1.0, 1e-30, 1e-12, 1e20, 1e58])
    with np.errstate(over="ignore"):
        values = {
            "law": lambda: (1.8 + 40 * N**-0.34 + 80 * D**-0.28) * noise,
            "noise": lambda: np.exp(0.1 * rng.standard_normal(n)),
            "rising": lambda: (3 - 40 * N**-0.34) * noise,
            "constant": lambda: np.ones(n),
            "few": lambda: rng.choice([0.5, 0.7], n),
            "steps": lambda: np.exp(40 * rng.standard_normal(n)),
        }[kind]()
        return (values * scale).tolist()


def written(pick: random.Random, columns: dict[str, list[Any]], folder: Path) -> Path:
    """The table as a file, whole or spoilt."""
    how = _as_parquet if pick.random() < 0.3 else _as_text
    return how(pick, columns, folder)


def _as_text(pick: random.Random, columns: dict[str, list[Any]], folder: Path) -> Path:
    ending = pick.choice(["csv"] * 5 + ["csv.gz", "tsv"])
    usual = "\t" if ending == "tsv" else ","
    separator = usual if pick.random() < 0.9 else pick.choice([";", "|", "\t", " ", ","])
    head = list(columns)
    spoil = pick.choice([None] * 15 + ["twice", "blank", "short", "long", "no head"])
    if spoil == "twice":
        head[1] = head[0]
    elif spoil == "blank":
        head[3] = ""
    rows = zip(*columns.values(), strict=True)
    lines = [separator.join("" if v is None else str(v) for v in row) for row in rows]
    if lines and spoil == "short":
        lines[-1] = lines[-1].rsplit(separator, 1)[0]
    elif spoil == "long":
        lines = [f"{line}{separator}1" for line in lines]
    text = "\n".join([*([] if spoil == "no head" else [separator.join(head)]), *lines, ""])
    data = text.encode(pick.choice(["utf-8"] * 12 + ["utf-16", "utf-8-sig"]))
    if pick.random() < 0.1:  # cut, or spoilt by other bytes
        at = pick.randrange(len(data) + 1)
        data = data[:at] + pick.choice([b"", b"\0", b"\xff\xfe", b'"', b"\r"]) + data[at + 1 :]
    if ending.endswith("gz"):
        data = gzip.compress(data)
        data = data[: pick.randrange(len(data))] if pick.random() < 0.2 else data
    path = folder / f"runs.{ending}"
    path.write_bytes(data)
    return path


def _as_parquet(pick: random.Random, columns: dict[str, list[Any]], folder: Path) -> Path:
    kinds = [pa.float32(), pa.string(), pa.int64(), pa.decimal128(38, 9), pa.list_(pa.float64())]
    kinds += [pa.binary(), pa.dictionary(pa.int32(), pa.string()), pa.timestamp("us"), pa.null()]
    kinds += [pa.bool_(), pa.float16(), pa.uint64(), pa.date32()]
    arrays: list[Any] = []
    for values in columns.values():
        array: Any = pa.array([float(i) for i in range(len(values))])
        for kind in (None, pick.choice(kinds) if pick.random() < 0.15 else None):
            with contextlib.suppress(pa.ArrowException, TypeError, ValueError, OverflowError):
                array = pa.array(values, kind)
        arrays.append(array)
    names = list(columns)
    if pick.random() < 0.05:
        names[1] = names[0]
    path = folder / "runs.parquet"
    pq.write_table(pa.Table.from_arrays(arrays, names=names), path)
    if pick.random() < 0.1:
        data = path.read_bytes()
        path.write_bytes(data[: pick.randrange(len(data))])
    return path


CONDITIONS = ("N > 1e5", "kind == 'a'", "kind != 'a' and loss < 3", "seed == 0", "N > D", "D > 1e6")
COSTS = ("6*N*D", "6*N*D", "N", "D/N", "N-D", "0*N", "1e300*N", "kind", "N**40")
FORMS = ("additive",) * 4 + ("auto", "saturating", "gamma", "kaplan", "peaked", "cubic")


def fitted(pick: random.Random, path: Path) -> list[str]:
    """The words of `recscale fit`."""
    words = ["fit", *_law(pick, path), *(["--json"] if pick.random() < 0.5 else [])]
    for option, texts in (("--where", CONDITIONS), ("--predict", CONDITIONS), ("--cost", COSTS)):
        if pick.random() < 0.25:
            words += [option, pick.choice(texts)]
    if pick.random() < 0.2:
        words += ["--cluster", pick.choice(["seed", "kind", "N"])]
    if pick.random() < 0.1:
        words += ["--report", str(path.parent / "law.html")]
    return words


def replayed(pick: random.Random, path: Path) -> list[str]:
    """The words of `recscale replay`."""
    target = pick.choice([*CONDITIONS, "N > 1e7 and D > 1e6", "N * D > 1e14"])
    words = ["replay", *_law(pick, path), "--cost", pick.choice(COSTS), "--target", target]
    return [*words, "--budget", pick.choice(["60%", "60%", "90%", "1%", "100%"])]


def _law(pick: random.Random, path: Path) -> list[str]:
    odd = ("D,N", "N,kind", "seed,N", "N,N", "Q", "loss", "", "N,D,seed")
    names = pick.choice(["N", "N,D", "N,D", "N,D"]) if pick.random() < 0.85 else pick.choice(odd)
    form = "power" if names == "N" and pick.random() < 0.8 else pick.choice(FORMS)
    return [str(path), "--variables", names, "--form", form]
