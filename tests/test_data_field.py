"""Public layouts as they are published: the store holds what a plain reader finds in the file."""

from __future__ import annotations

import pytest
import yaml
from field_clicks import CLICKS
from field_logs import assert_same, expected, utc_range
from field_ratings import RATINGS, SEQUENCES
from field_refused import REFUSED
from field_views import VIEWS

from recscale.data.layout import DataError
from recscale.data.prepare import prepare
from recscale.data.store import Store
from recscale.spec import DataSpec
from recscale.specfile import SpecError, parse_spec

LOGS = CLICKS | RATINGS | VIEWS


def data_of(text: str) -> DataSpec:
    """The data section as a sweep of a family of its task reads it."""
    raw = yaml.safe_load(text)
    click = raw.get("task", "click" if raw["source"] in ("events", "criteo") else "") == "click"
    model = f"{{family: {'dlrm' if click else 'decoder'}}}"
    sweep = f"name: field\ndata: {text}\nmodel: {model}\nbudget: {{flop: 1e12}}\n"
    return parse_spec(sweep).data


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
        want = utc_range([row for row in rows if row.evaluates is evaluates])
        assert tuple(text[:19] for text in said or ()) == want


@pytest.mark.parametrize("layout", SEQUENCES)
def test_an_order_without_times(layout, tmp_path):
    log = SEQUENCES[layout](tmp_path / "log")
    store = Store.open(prepare(data_of(log.data), tmp_path / "stores"))
    assert_same(store, log, leave_one_out=True)


@pytest.mark.parametrize("layout", REFUSED)
def test_a_file_that_is_no_log(layout, tmp_path):
    refused = REFUSED[layout](tmp_path / "log")
    with pytest.raises((DataError, SpecError)) as caught:
        prepare(data_of(refused.data), tmp_path / "stores")
    sentence = str(caught.value)
    assert [word for word in refused.words if word not in sentence] == [], sentence
    assert "Traceback" not in sentence and len(sentence) < 1000
    left = [p for p in (tmp_path / "stores").rglob("*") if p.name != "lock" and p.is_dir()]
    assert left == [], "nothing half-written"
