"""The shipped contract on every built-in family and on families as users write them; and that it
finds what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from architectures import SEQUENCES, SIZES, architecture
from click.testing import CliRunner
from label_logs import MMOE, labelled_subject

from recscale.cli import main
from recscale.families import FAMILIES
from recscale.families.door import search_in
from recscale.testing import CHECKS, FamilyContract, Subject, subject
from recscale.testing.contract import compared, found

REPOSITORY = Path(__file__).parents[1]
SMALL: dict[str, dict[str, Any]] = {
    "dlrm": dict(embedding_dim=8, mlp_width=16, sequence_depth=1, sequence_width=16),
    "dcnv2": dict(
        embedding_dim=8,
        mlp_width=16,
        cross_layers=2,
        sequence_depth=1,
        sequence_width=16,
        sequence_encoder="hstu",
        sequence_target=True,
    ),
    "wukong": dict(embedding_dim=8, mlp_width=16, layers=1, n_F=4, n_L=3, k=5),
    "deepfm": dict(embedding_dim=8, mlp_width=16),
    "autoint": dict(embedding_dim=8, attention_layers=1, attention_width=16, mlp_width=16),
    "rankmixer": dict(embedding_dim=8, token_width=16, layers=1, expansion=2),
    "adrec": dict(embedding_dim=8, layers=1, heads=1, mlp_width=16),
    "decoder": dict(sequence_depth=1, sequence_width=16, sequence_length=10),
    "hstu": dict(sequence_depth=1, sequence_width=16, sequence_length=10),
    "fuxi": dict(sequence_depth=1, sequence_width=16, sequence_length=10),
    "climber": dict(sequence_depth=1, sequence_width=16, sequence_length=10, subsequences=3),
    "two_tower": dict(embedding_dim=16, tower_width=16, output_dim=16, sequence_length=10),
    "own.deepfm:DeepFM": {},
    "own_families.sequence:Mixer": {},
    "own_families.tasks:Both": {},
}


@pytest.fixture(scope="module", autouse=True)
def families() -> None:
    search_in(REPOSITORY / "sweeps", REPOSITORY / "tests")


def small(family: str) -> Subject:
    return subject(family, **SMALL[family])


def at(name: str) -> Subject:
    """An architecture of the tests' own list."""
    model = architecture(name)
    given = subject(model.family)
    return Subject(given.spec, given.store, given.run.model_copy(update={"model": model}))


def test_every_family_is_here():
    assert set(FAMILIES) <= set(SMALL)


@pytest.mark.parametrize("check", ["parameters", "FLOPs", "answers", "gradients"])
@pytest.mark.parametrize("name", [*SIZES, *SEQUENCES])
def test_every_architecture_holds(name: str, check: str):
    said = found(check, at(name))
    assert said.holds, said.said


@pytest.mark.parametrize("check", [c for c in CHECKS if c != "two workers"])
@pytest.mark.parametrize("family", SMALL)
def test_every_family_holds(family: str, check: str):
    said = found(check, small(family))
    assert said.holds, said.said


@pytest.mark.parametrize("check", ["parameters", "answers", "gradients"])
def test_tables_that_were_built_on_the_processor_are_sharded(check: str):
    """As torchrec builds them where a user says nothing."""
    said = found(check, subject("own_families.costs:Attends"))
    assert said.holds, said.said


def test_two_workers_train_what_one_does_in_every_family(tmp_path):
    several = labelled_subject(tmp_path, **MMOE)
    assert len(compared([several, *(small(f) for f in SMALL)])) == 1 + len(SMALL)


@pytest.mark.parametrize(
    ("family", "axes", "check", "said"),
    [
        ("Told", {"wrong": True}, "FLOPs", "correct the closed form"),
        ("Normed", {}, "answers", "depends on the others of its batch"),
        ("Idle", {}, "gradients", "no gradient reaches idle.weight, idle.bias"),
    ],
)
def test_what_a_family_breaks_is_found(family: str, axes: dict, check: str, said: str):
    broken = found(check, subject(f"own_families.costs:{family}", **axes))
    assert not broken.holds and said in broken.said


class TestInherited(FamilyContract):
    """As a user's own test file has it."""

    family = "own_families.costs:Dots"
    axes = {"width": 8}
    test_two_workers = None  # above


def test_the_verb_prints_a_line_a_check_and_says_by_its_exit_whether_all_hold():
    bad = CliRunner().invoke(main, ["check", "own_families.costs:Told", "--at", "wrong=true"])
    lines = bad.output.splitlines()
    assert bad.exit_code == 2
    assert [line[:4] for line in lines].count("FAIL") == 1
    assert len(lines) == 1 + len(CHECKS) and lines[2].startswith("FAIL FLOPs: ")
    none = CliRunner().invoke(main, ["check", "own_families.costs:Nope"])
    assert none.exit_code == 2 and "has no Nope" in none.output
