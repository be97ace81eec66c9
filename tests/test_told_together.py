"""What is wrong is told at once, each with its line; what to do about it makes nothing worse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from recscale.cli import main
from recscale.specfile import SpecError, parse_spec

SWEEP = """name: mine
data:
  source: events
  path: log.parquet
  task: click
  columns: {user: user, item: item, time: time, label: clicked, dense: [price]}
model: {family: dlrm, embedding_dim: [4, 8], mlp_width: 16}
train: {batch_size: 64}
budget: {usd: 1}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    n = 200
    columns = {
        "user": np.arange(n) % 9, "item": np.arange(n) % 7, "time": 1_700_000_000 + np.arange(n),
        "clicked": np.arange(n) % 2, "price": [0.5] * n, "prices": [[0.5]] * n,
        "money": ["12,50 EUR"] * n, "colour": ["red"] * n, "tags": [["a", "b"]] * n,
    }  # fmt: skip
    pd.DataFrame(columns).to_parquet(tmp_path / "log.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(text: str) -> list[str]:
    Path("mine.yaml").write_text(text)
    ended = CliRunner().invoke(main, ["plan", "mine.yaml"])
    assert ended.exit_code == 2 and isinstance(ended.exception, SystemExit), ended.output
    return ended.output.splitlines()


def test_every_variable_that_is_not_set(here: Path):
    text = SWEEP.replace("mine\n", "mine\nstorage: ${RS_A}/runs\n", 1)
    assert planned(text.replace("log.parquet", "${RS_B}/${RS_C}")) == [
        "mine.yaml:2: storage: the environment variable RS_A is not set; export it or write a path",
        "mine.yaml:5: data.path: the environment variables RS_B and RS_C are not set; export them "
        "or write a path",
    ]


def test_every_column_that_is_not_there_or_not_of_its_kind(here: Path):
    (said,) = planned(SWEEP.replace("user: user", "user: usr").replace("[price]", "[prize, cost]"))
    assert said.startswith("mine.yaml:6: ") and all(
        w in said for w in ("'usr'", "'prize'", "'cost'")
    )
    said = planned(
        SWEEP.replace("time: time", "time: tags").replace("[price]", "[prices, money, colour]")
    )
    assert len(said) == 4 and all(line.startswith("mine.yaml:6: ") for line in said)
    of = {
        name: line
        for name in ("tags", "prices", "money", "colour")
        for line in said
        if name in line
    }
    assert "which are no times" in of["tags"]
    # a price in other words, or in a list, is no code
    assert "sparse" not in of["prices"] + of["money"] and "sparse" in of["colour"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("family: dlrm, embedding_dim: [4, 8]", "family: dlrn, embeding_dim: 4",
         ["7: model.family: 'dlrn' is not a family; did you mean 'dlrm'?",
          "7: model.embeding_dim: unknown key; did you mean 'embedding_dim'?"]),
        ("{family: dlrm, embedding_dim: [4, 8], mlp_width: 16}",
         "[{family: wukon, n_F: 0}, {family: dlrm, mlp_width: -1}]",
         ["7: model[0].family: 'wukon' is not", "7: model[0].n_F: 0: should be at least 1",
          "7: model[1].mlp_width: -1: should be at least 1"]),
        ("source: events", "source: event", ["3: data.source: 'event' is not a source; did you"]),
        ("family: dlrm", "family: 3", ["7: model.family: 3 is not a family; allowed: "]),
        ("{batch_size: 64}", "{learning_rate: 0.001}",
         ["8: train.learning_rate: 0.001: should be a mapping; write {dense: 1e-3, sparse: 5e-2}"]),
        ("{usd: 1}", "5", ["9: budget: 5: should be a mapping; write {usd: 10}"]),
        ("log.parquet", "*.parquet", ["4: not YAML: while scanning an alias"]),
        ("  path", "\tpath", ["4: not YAML: while scanning for the next token"]),
    ],
)  # fmt: skip
def test_what_was_meant_is_said_with_all_that_is_wrong_beside_it(old, new, said):
    with pytest.raises(SpecError) as caught:
        parse_spec(SWEEP.replace(old, new))
    for start in said:
        assert any(line.startswith(f"sweep:{start}") for line in caught.value.lines)
    assert ("in quotes" in str(caught.value)) == ("*" in new)
    assert ("not tabs" in str(caught.value)) == ("\t" in new)
