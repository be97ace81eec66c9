"""Every key of the sweep file is explained from its own code, without torch and ray."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel

from recscale.cli import main
from recscale.families import FAMILIES
from recscale.reference import UnknownKey, every_key, look_up, mapping_at, mappings_of, sections
from recscale.spec import SweepSpec
from recscale.specfile import TAGS, kinds_of


def explain(*words: str) -> Result:
    return CliRunner().invoke(main, ["help", *words])


def test_every_key_of_the_sweep_file_has_a_docstring():
    assert [k.path for k in every_key() if not k.meaning] == []


def test_every_kind_of_mapping_says_what_it_is():
    dumb = [f"{k.path}.{m.kind}" for k in every_key() for m in mappings_of(k) if not m.meaning]
    assert dumb == []


def test_the_walk_reaches_every_field_that_a_sweep_file_can_hold():
    """By brute force over pydantic's own schema of the file."""
    schema = SweepSpec.model_json_schema(by_alias=True)
    schema["$defs"].pop("TrainerSpec")  # what a ledger has of a trainer, whose keys are the file's
    nodes = [schema, *schema["$defs"].values()]
    fields = {name for node in nodes for name in node.get("properties", ())}
    assert {k.path.rsplit(".", 1)[-1] for k in every_key()} == fields


def test_a_key_has_its_type_default_and_meaning():
    shown = explain("train.learning_rate.tune")
    assert shown.exit_code == 0
    assert "number > 0; a list is an axis; default 1" in " ".join(shown.output.split())
    assert "the best enters the law" in " ".join(shown.output.split())
    assert "default null" in explain("data.columns.label").output
    assert "required" in explain("data.columns.user").output
    assert "uniform | popularity; default uniform" in explain("data.negatives.distribution").output
    assert "share, such as 10% or 0.1; default 0.1" in explain("data.holdout.last").output


def test_without_a_key_the_sections_are_listed():
    shown = explain()
    assert shown.exit_code == 0
    for key in sections():
        assert f"{key.path}: " in shown.output
    assert [k.path for k in sections()][:3] == ["name", "data", "model"]


def test_every_family_is_told_of_with_its_task_and_paper_here_and_in_the_readme():
    shown = explain("families").output
    rows = (Path(__file__).parents[1] / "README.md").read_text().splitlines()
    for name, family in FAMILIES.items():
        assert f"\n  {name}: task {family.spec.task}\n" in shown
        meaning = " ".join((family.spec.__doc__ or "").split())
        assert meaning in " ".join(shown.split())
        (paper,) = set(re.findall(r"\d{4}\.\d{5}", meaning)[:1])
        (row,) = (row for row in rows if row.startswith(f"| `{name}` "))
        assert f"[{paper}](https://arxiv.org/abs/{paper})" in row
        assert f"| `{family.spec.task}` |" in row


@pytest.mark.parametrize("key", ["data", "model"])
def test_what_has_kinds_is_shown_by_kind(key):
    shown = explain(key).output
    for kind in kinds_of(key):
        assert kind in shown
        mapping = mapping_at(f"{key}.{kind}")
        one = explain(f"{key}.{kind}")
        assert one.exit_code == 0
        for below in mapping.keys:
            assert f"  {below.path.rsplit('.', 1)[-1]}: " in one.output
    assert TAGS[key] in explain(f"{key}.{kinds_of(key)[0]}").output


def test_a_kind_may_stand_in_the_key_or_be_left_out():
    assert explain("data.events.columns.user").output == explain("data.columns.user").output
    both = explain("data.path").output  # of events and of the published layouts
    assert "data.events.path" in both and "data.criteo.path" in both
    assert "data.events.path" not in explain("data.movielens.path").output


def test_an_unknown_key_names_the_nearest():
    for wrong, near in (
        ("train.lerning_rate", "train.learning_rate"),
        ("model.dlm", "model.dlrm"),
        ("holdout", "data.holdout"),
        ("data.colums.user", "data.columns.user"),
        ("zzzz", "sections: name, data, model"),
    ):
        shown = explain(wrong)
        assert shown.exit_code == 2
        assert near in shown.output and len(shown.output.splitlines()) == 1
    with pytest.raises(UnknownKey):
        look_up("")


def test_a_verb_is_explained_too():
    assert "recscale plan" in explain("plan").output


def test_help_loads_neither_torch_nor_ray():
    code = (
        "import sys; from recscale.cli import main; main(['help', 'data'], standalone_mode=False)\n"
        "print([m for m in ('torch', 'torchrec', 'ray') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"


def test_defaults_are_written_as_the_file_takes_them():
    """What `help` calls the default is what the object holds when the key is left out."""
    import yaml

    def check(model: type[BaseModel], keys) -> None:
        for key in keys:
            if key.default:
                field = key.path.rsplit(".", 1)[-1]
                name = next(n for n, f in model.model_fields.items() if (f.alias or n) == field)
                held = model.model_fields[name].get_default(call_default_factory=True)
                said = yaml.safe_load(key.default)
                said = tuple(said) if isinstance(said, list) else said
                assert held in (said, (said,)), key.path

    check(SweepSpec, sections())
    for key in every_key():
        for node, mapping in zip(key.below, mappings_of(key), strict=True):
            check(node, mapping.keys)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("st", "status"), ("comp", "compare"), ("status --pa", "--page"), ("fit --rep", "--report")],
)
def test_the_shell_completes_verbs_and_options(typed: str, offered: str):
    found = CliRunner().invoke(
        main,
        prog_name="recscale",
        env={
            "_RECSCALE_COMPLETE": "bash_complete",
            "COMP_WORDS": f"recscale {typed}",
            "COMP_CWORD": str(len(typed.split())),
        },
    )
    assert f"plain,{offered}" in found.output.split("\n")
