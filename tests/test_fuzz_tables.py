"""Tables made up from seeds, fitted, replayed and compared: an answer, or a sentence."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import hostile_tables
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from recscale.cli import main
from recscale.laws import LawError, compare

LONG = "RECSCALE_SLOW" in os.environ
SLOWEST = 5  # seconds of this process's own time
profile = settings(
    max_examples=1000 if LONG else 25,
    deadline=None,
    derandomize=not LONG,
    phases=[Phase.explicit, Phase.generate],  # a seed has no smaller form
    suppress_health_check=[HealthCheck.too_slow],
)
seeds = st.integers(0, 2**32 - 1).map(random.Random)


@contextlib.contextmanager
def in_time(limit: int = SLOWEST) -> Iterator[None]:
    """Fails what takes longer than `limit` seconds, or waits for what never comes."""

    def late(*_: object) -> None:
        raise AssertionError(f"more than {limit} s")

    clocks = ((signal.ITIMER_PROF, signal.SIGPROF, 1), (signal.ITIMER_REAL, signal.SIGALRM, 20))
    for clock, sign, times in clocks:
        signal.signal(sign, late)
        signal.setitimer(clock, times * limit)
    try:
        yield
    finally:
        for clock, sign, _ in clocks:
            signal.setitimer(clock, 0)
            signal.signal(sign, signal.SIG_IGN)  # one that is under way would end the process


def check(words: list[str]) -> None:
    """A verb exits 0, or 2 with one sentence, and warns of nothing."""
    # of a dozen and more fits on noise each, or of a belief for every row bought
    fits = 4 if "auto" in words or words[0] == "replay" else 1
    with in_time(fits * SLOWEST), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
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


@given(seeds)
@example(random.Random(609))  # losses so large that a law of 0 over them underflows
@example(random.Random(178353))  # a rising form that is below 0 at some of the runs
@example(random.Random(29538))  # a peaked law that leaves all floats at the target
@profile
def test_every_table_is_fitted_and_replayed_or_refused_in_a_sentence(pick: random.Random):
    with tempfile.TemporaryDirectory() as name:
        path = hostile_tables.written(pick, hostile_tables.table(pick), Path(name))
        words = hostile_tables.fitted(pick, path)
        check(words)
        check(hostile_tables.replayed(pick, path))
        left = {p.name for p in Path(name).iterdir()} - {path.name}
        assert left <= ({"law.html"} if "--report" in words else set()), left


@given(seeds)
@profile
def test_every_frame_is_compared_or_refused_in_a_sentence(pick: random.Random):
    columns = hostile_tables.table(pick)
    frame = pd.DataFrame({c: pd.Series(v, dtype=object) for c, v in columns.items()})
    frame = frame.infer_objects() if pick.random() < 0.8 else frame
    by, form = pick.choice(["kind", "kind", "seed", "gone"]), pick.choice(hostile_tables.FORMS)
    with in_time(4 * SLOWEST):
        try:
            both = compare(frame, by, ["N", "D"], form=form, seed=pick.choice(["seed", None]))
            both.exponents()
            both.paired()
        except LawError as error:
            assert str(error)


def test_a_verb_that_never_ends_would_be_told():
    with pytest.raises(AssertionError, match="more than"), in_time():
        signal.setitimer(signal.ITIMER_PROF, 0.05)
        while True:
            pass
