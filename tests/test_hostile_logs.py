"""`prepare` and `new --from` on files that are no clean log: right, or one sentence and exit 2."""

from __future__ import annotations

import os
import random
import re
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from hostile_logs import SPOILERS, Spoiler
from test_fuzz_tables import in_time

from recscale.cli import main
from recscale.data.store import Store
from recscale.specfile import load_spec

LONG = "RECSCALE_SLOW" in os.environ
EACH = 40 if LONG else 2  # logs of each kind; 13 kinds

SWEEP = """
name: hostile
data:
  source: events
  path: {path}
  task: {task}
  columns: {{user: user, item: item, time: time{more}}}
  refuse_above: {above}
model: {{family: {family}}}
budget: {{flop: 1e15}}
storage: {storage}
"""


def verb(words: list[str]) -> tuple[int, str]:
    with in_time():
        result = CliRunner().invoke(main, words)
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    assert result.exit_code in (0, 2), (words, result.output)
    if result.exit_code == 2:
        sentence = result.stderr.strip()
        assert sentence and len(sentence) < 1500, sentence
        assert not re.search(r"Traceback|pyarrow|utf8_|pandas|numpy", sentence), sentence
        assert "\n" not in sentence or "hostile.yaml" in sentence or "\\n" in sentence, sentence
    return result.exit_code, result.output


def prepared_or_refused(pick: random.Random, place: Path, folder: Path) -> None:
    task = pick.choice(["click", "click", "next_item"])
    above = pick.choice([0.01, 0.9])
    more = ", label: label, dense: [price]" if task == "click" else ""
    family = "dlrm" if task == "click" else "decoder"
    said = {"path": repr(str(place)), "task": task, "more": more, "family": family, "above": above}
    sweep = folder / "hostile.yaml"
    try:
        sweep.write_text(SWEEP.format(**said, storage=folder / "runs"))
    except UnicodeEncodeError:  # a name that no sweep file can hold
        return
    code, _ = verb(["prepare", str(sweep)])
    stores = folder / "runs" / "store"
    seen = [p for p in stores.iterdir() if p.is_dir()] if stores.is_dir() else []
    assert len(seen) <= 1 and (seen or code == 2), seen
    for store in seen:  # whole, also where the sweep is refused for what the store holds
        Store.open(store).verify()


def begun_or_refused(place: Path, folder: Path) -> None:
    target = folder / "begun.yaml"
    code, _ = verb(["new", str(folder / "begun"), "--from", str(place)])
    assert target.exists() == (code == 0)
    if code == 0:
        load_spec(str(target))


@pytest.mark.parametrize("spoiler", SPOILERS, ids=lambda s: s.__name__)
def test_a_log_is_prepared_or_refused_in_a_sentence(spoiler: Spoiler):
    for n in range(EACH):
        pick = random.Random(f"{spoiler.__name__} {n}")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "log").mkdir()
            place = spoiler(pick, folder / "log") or folder / "log"
            try:
                prepared_or_refused(pick, place, folder)
                begun_or_refused(place, folder)
            except BaseException:
                print(f"log {n}")
                raise
