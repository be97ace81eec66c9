"""Tables made up by hypothesis, fitted, replayed and compared: an answer or a sentence."""

from __future__ import annotations

import contextlib
import gzip
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from recscale.cli import main
from recscale.laws import LawError, compare

LONG = "RECSCALE_SLOW" in os.environ
SLOWEST = 5  # seconds
profile = settings(
    max_examples=1000 if LONG else 15,
    deadline=None,
    derandomize=not LONG,
    phases=[p for p in Phase if LONG or p is not Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

COLUMNS = ("N", "D", "loss", "kind", "seed")
odd = st.sampled_from(
    [0, -1, 1e-30, 1e-300, 5e-324, 1e300, 10**18, 2**63, 10**25, 10**400, float("nan")]
    + [float("inf"), -float("inf"), None, "", "a", "=1+1", "1,5", "0x1f", "1e5", "١", True, "\0"]
)


@st.composite
def losses(draw: st.DrawFn, n: int) -> list[Any]:
    """Of a law, of noise, a metric in [0, 1], tiny, huge, constant, or few values."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["law", "noise", "metric", "constant", "few", "steps"]))
    scale = draw(st.sampled_from([1.0, 1e-30, 1e-12, 1e20, 1e58]))
    x = np.arange(n)
    values = {
        "law": 2 + 30 * (x + 1.0) ** -0.5,
        "noise": np.exp(0.1 * rng.standard_normal(n)),
        "metric": np.clip(rng.random(n) * 1.4 - 0.2, 0, 1),
        "constant": np.ones(n),
        "few": rng.choice([0.5, 0.7], n),
        "steps": np.exp(40 * rng.standard_normal(n)),
    }[kind]
    return (values * (1.0 if kind == "metric" else scale)).tolist()


@st.composite
def axes(draw: st.DrawFn, n: int) -> list[Any]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["spread", "grid", "constant", "narrow", "wide", "whole"]))
    values: Any = {
        "spread": lambda: 10 ** rng.uniform(3, 9, n),
        "grid": lambda: rng.choice(np.geomspace(1e3, 1e6, 4), n),
        "constant": lambda: np.full(n, 64.0),
        "narrow": lambda: 1e6 * (1 + 1e-9 * rng.random(n)),
        "wide": lambda: 10 ** rng.uniform(-58, 58, n),
        "whole": lambda: rng.integers(1, 2**62, n),
    }[kind]()
    return values.tolist()


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[Any]]:
    n = draw(st.one_of(st.integers(0, 12), st.integers(12, 40)))
    table = {"N": draw(axes(n)), "D": draw(axes(n)), "loss": draw(losses(n))}
    some = draw(st.sampled_from([["a", "b"], ["a", "it's", None], [1, 2.5], [True, False], [""]]))
    table["kind"] = [some[i % len(some)] for i in range(n)]
    table["seed"] = [i % 3 for i in range(n)]
    if n and draw(st.booleans()):
        table["D"] = list(table["N"])
    for _ in range(draw(st.integers(0, 3)) if n else 0):
        name, row = draw(st.sampled_from(COLUMNS)), draw(st.integers(0, n - 1))
        table[name][row] = draw(odd)
    if n and draw(st.integers(0, 9)) == 0:
        table[draw(st.sampled_from(COLUMNS))] = [draw(odd)] * n
    if n > 1 and draw(st.integers(0, 4)) == 0:  # rows that repeat others
        table = {c: [*v, *v[: n // 2]] for c, v in table.items()}
    return table


def as_csv(draw: st.DrawFn, table: dict[str, list[Any]], folder: Path) -> Path:
    separator = draw(st.sampled_from([",", ",", ",", ";", "|", "\t", " "]))
    ending = draw(st.sampled_from(["csv", "csv", "csv.gz", "tsv"]))
    head = list(table)
    spoil = draw(st.sampled_from([None] * 6 + ["twice", "blank", "short", "long", "no head"]))
    if spoil == "twice":
        head[1] = head[0]
    elif spoil == "blank":
        head[3] = ""
    lines = [
        separator.join("" if v is None else str(v) for v in row)
        for row in zip(*table.values(), strict=True)
    ]
    if lines and spoil == "short":
        lines[-1] = lines[-1].rsplit(separator, 1)[0]
    elif lines and spoil == "long":
        lines = [f"{line}{separator}1" for line in lines]
    text = "\n".join(([] if spoil == "no head" else [separator.join(head)]) + lines)
    data = text.encode(draw(st.sampled_from(["utf-8"] * 6 + ["utf-16", "utf-8-sig"])))
    if draw(st.integers(0, 7)) == 0 and data:  # cut, or spoilt by other bytes
        at = draw(st.integers(0, len(data) - 1))
        data = data[:at] + draw(st.sampled_from([b"", b"\0", b"\xff\xfe", b'"', b"\r"]))
    if ending.endswith("gz"):
        data = gzip.compress(data)
        data = data[: -draw(st.integers(1, len(data)))] if draw(st.integers(0, 5)) == 0 else data
    path = folder / f"runs.{ending}"
    path.write_bytes(data)
    return path


def as_parquet(draw: st.DrawFn, table: dict[str, list[Any]], folder: Path) -> Path:
    arrays: list[Any] = []
    for values in table.values():
        kinds = [
            None,
            None,
            pa.float64(),
            pa.float32(),
            pa.string(),
            pa.int64(),
            pa.decimal128(38, 9),
        ]
        kinds += [pa.list_(pa.float64()), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
        kinds += [pa.timestamp("us"), pa.bool_(), pa.null(), pa.float16(), pa.uint64()]
        array: Any = pa.array([float(i) for i in range(len(values))])
        with contextlib.suppress(pa.ArrowException, TypeError, ValueError, OverflowError):
            array = pa.array(values)
        with contextlib.suppress(pa.ArrowException, TypeError, ValueError, OverflowError):
            array = pa.array(values, draw(st.sampled_from(kinds)))
        arrays.append(array)
    names = list(table)
    if draw(st.integers(0, 9)) == 0:
        names[1] = names[0]
    path = folder / "runs.parquet"
    pq.write_table(pa.Table.from_arrays(arrays, names=names), path)
    if draw(st.integers(0, 7)) == 0:
        data = path.read_bytes()
        path.write_bytes(data[: draw(st.integers(0, len(data)))])
    return path


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Fails what takes longer than SLOWEST seconds of this process's own time."""

    def late(*_: object) -> None:
        raise AssertionError(f"more than {SLOWEST} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SLOWEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def said(words: list[str]) -> Result:
    """What a verb says: exit 0, or 2 with one sentence."""
    with in_time():
        result = CliRunner().invoke(main, words)
    assert isinstance(result.exception, SystemExit | None), (words, result.exception)
    assert result.exit_code in (0, 2), (words, result.output)
    if result.exit_code == 2:
        sentence = result.output.strip()
        assert sentence and len(sentence) < 1500, sentence
        for word in (
            "Traceback",
            "pyarrow",
            "pandas.errors",
            "Arrow",
            "numpy.",
            "C error",
            "dtype",
        ):
            assert word not in sentence, sentence
    return result


VARIABLES = ("N", "D", "N,D", "D,N", "N,kind", "seed,N", "N,N", "Q", "loss", "")
FORMS = ("additive", "power", "auto", "saturating", "gamma", "kaplan", "peaked", "cubic")
CONDITIONS = ("N > 1e5", "kind == 'a'", "kind != 'a' and loss < 3", "seed == 0", "N > D", "true")


@given(st.data())
@profile
def test_every_table_is_fitted_replayed_and_compared_or_refused_in_a_sentence(data: st.DataObject):
    draw: Any = data.draw
    with tempfile.TemporaryDirectory() as name:
        folder, table = Path(name), draw(tables())
        write = draw(st.sampled_from([as_csv, as_csv, as_parquet]))
        path = str(write(draw, table, folder))
        variables, form = draw(st.sampled_from(VARIABLES)), draw(st.sampled_from(FORMS))
        variables = variables if draw(st.booleans()) else "N,D" if form != "power" else "N"
        words = [path, "--variables", variables, "--form", form]
        fitted = ["fit", *words, *(["--json"] if draw(st.booleans()) else [])]
        costs = ("6*N*D", "N", "D/N", "N-D", "0*N", "1e300*N", "kind", "N**40")
        for option, texts in (
            ("--where", CONDITIONS),
            ("--predict", CONDITIONS),
            ("--cost", costs),
        ):
            if draw(st.integers(0, 2)) == 0:
                fitted += [option, draw(st.sampled_from(texts))]
        if draw(st.integers(0, 3)) == 0:
            fitted += ["--cluster", draw(st.sampled_from(["seed", "kind", "N"]))]
        if draw(st.integers(0, 5)) == 0:
            fitted += ["--report", str(folder / "law.html")]
        said(fitted)
        replayed = ["replay", *words, "--cost", draw(st.sampled_from(costs))]
        replayed += ["--target", draw(st.sampled_from(CONDITIONS)), "--budget", "60%"]
        said(replayed)
        left = {p.name for p in folder.iterdir()} - {Path(path).name}
        assert left <= ({"law.html"} if "--report" in fitted else set()), left


@given(tables(), st.sampled_from(["kind", "seed", "N", "gone"]), st.sampled_from(FORMS))
@profile
def test_every_frame_is_compared_or_refused_in_a_sentence(table, by, form):
    frame = pd.DataFrame({c: pd.Series(v, dtype=object) for c, v in table.items()})
    variables = ["N"] if form == "power" else ["N", "D"]
    with in_time():
        try:
            both = compare(frame.infer_objects(), by, variables, form=form, seed="seed")
            both.exponents()
            both.paired()
        except LawError as error:
            assert str(error)
