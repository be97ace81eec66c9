"""Public layouts as they are published: the store holds what a plain reader finds in the file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from field_clicks import CLICKS
from field_logs import Event, assert_same, expected, text_file, time_range
from field_public import PUBLIC
from field_ratings import RATINGS, SEQUENCES
from field_refused import REFUSED
from field_views import VIEWS

from recscale.cli import main
from recscale.data.identity import MEMORY
from recscale.data.prepare import prepare
from recscale.data.store import Store
from recscale.spec import DataSpec
from recscale.specfile import parse_spec

LOGS = CLICKS | RATINGS | VIEWS | PUBLIC


def sweep_of(data: str) -> str:
    """A sweep of a family of the data's task."""
    raw = yaml.safe_load(data)
    click = raw.get("task", "click" if raw["source"] in ("events", "criteo") else "") == "click"
    model = f"{{family: {'dlrm' if click else 'decoder'}}}"
    return f"name: field\ndata: {data}\nmodel: {model}\nbudget: {{flop: 1e12}}\n"


def data_of(text: str) -> DataSpec:
    return parse_spec(sweep_of(text)).data


@pytest.mark.parametrize("layout", LOGS)
def test_a_published_log(layout, tmp_path):
    folder = tmp_path / "log"
    log = LOGS[layout](folder)
    store = Store.open(prepare(data_of(log.data), tmp_path / "stores"))
    assert_same(store, log)
    if log.unit:
        return  # a line's place is no time
    rows, facts = expected(log, 0.1), store.manifest
    for evaluates, said in ((False, facts.time_range_train), (True, facts.time_range_eval)):
        want = time_range([row for row in rows if row.evaluates is evaluates])
        assert tuple(text[:19] for text in said or ()) == want


def wrongs(rows: list[Event]) -> dict[str, list[Event]]:
    """Logs that differ a little from the one of `rows`, each in one way."""
    a = next(e for e in rows if e.user != rows[0].user)
    b = next(e for e in rows if e.user == rows[0].user and e.item != a.item)
    swapped = {a: a._replace(item=b.item), b: b._replace(item=a.item)}
    return {
        "a row lost": [e for e in rows if e is not a],
        "a label turned": [e._replace(label=1 - e.label) if e is a else e for e in rows],
        "a millisecond": [e._replace(time=e.time + 10**6) if e is a else e for e in rows],
        "two items swapped": [swapped.get(e, e) for e in rows],
        "user and item swapped": [e._replace(user=e.item, item=e.user) for e in rows],
        "two users in one": [e._replace(user=rows[0].user) if e is a else e for e in rows],
    }


def test_a_wrong_store_is_told(tmp_path):
    log = CLICKS["criteo_attribution"](tmp_path / "log")
    store = Store.open(prepare(data_of(log.data), tmp_path / "stores"))
    assert_same(store, log)
    for wrong, rows in wrongs(log.rows).items():
        try:
            assert_same(store, replace(log, rows=rows))
        except AssertionError:
            continue
        pytest.fail(f"not told: {wrong}")


def test_a_file_sorted_by_item_within_a_second_teaches_no_order(tmp_path):
    # 200 users each rate the same ten films in one second, in MovieLens' order: by item
    rows = [f"{u},{i},3.5,{1_600_000_000 + u}" for u in range(200) for i in range(10)]
    text_file(tmp_path / "ratings.csv", ["userId,movieId,rating,timestamp", *rows])
    data = data_of(f"{{source: movielens, path: {tmp_path}/ratings.csv}}")
    items = Store.open(prepare(data, tmp_path / "stores")).arrays["history_items"]
    for place in items.reshape(200, 10).T:
        # of 20 each: seven standard deviations
        assert np.bincount(place).max() < 50, "films stand where the file has them"


@pytest.mark.parametrize("layout", SEQUENCES)
def test_an_order_without_times(layout, tmp_path):
    log = SEQUENCES[layout](tmp_path / "log")
    store = Store.open(prepare(data_of(log.data), tmp_path / "stores"))
    assert_same(store, log, leave_one_out=True)


@pytest.mark.parametrize("layout", REFUSED)
def test_a_file_that_is_no_log(layout, tmp_path):
    refused = REFUSED[layout](tmp_path / "log")
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(sweep_of(refused.data) + f"storage: {tmp_path}/runs\n")
    result = CliRunner().invoke(main, ["prepare", str(sweep)])
    assert result.exit_code == 2, result.output
    assert [word for word in refused.words if word not in result.output] == [], result.output
    assert "\n" not in result.output.strip(), result.output
    written = {
        p.name for p in (tmp_path / "runs").rglob("*") if p.suffix in (".npy", ".json", ".tmp")
    }
    assert written <= {MEMORY}, "something half-written"  # what was seen of old files is kept whole
