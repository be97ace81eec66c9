"""A family of a user's own: from its dotted path to its runs, their identity and their costs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from architectures import architecture
from click.testing import CliRunner

from recscale import Family
from recscale.cli import main
from recscale.families import FAMILIES, FamilyError
from recscale.families.declared import RESERVED
from recscale.families.door import FOLDERS, load
from recscale.families.own import _COUNTED, OwnConfig
from recscale.frame import records_frame
from recscale.manifest import Manifest
from recscale.models.contract import build
from recscale.models.counting import Subject, count
from recscale.planner import planned_runs
from recscale.reference import look_up
from recscale.run import Cost, RunConfig, TrainConfig
from recscale.spec import SweepSpec
from recscale.specfile import dump_spec, load_spec, parse_spec
from recscale.study import plan_entry

REPOSITORY = Path(__file__).parents[1]
GOOD = """
import torch
from pydantic import Field, model_validator
from torch import nn
from recscale import Embeddings, Family
from beside import WIDTH


class Good(Family):
    dim: int = Field(8, multiple_of=4, le=32)
    width: int | None = 16
    rate: float = 0.5
    kind: str = "plain"

    @model_validator(mode="after")
    def _fits(self):
        if self.width and self.width < self.dim:
            raise ValueError(f"width {self.width} is less than dim {self.dim}; take more")
        return self

    def build(self, data):
        return Network(self, data)


class Network(nn.Module):
    def __init__(self, at, data):
        super().__init__()
        self.vectors = Embeddings(data, at.dim)
        self.out = nn.Linear(at.dim * len(data.tables), 1)

    def forward(self, features):
        return self.out(self.vectors(features).flatten(1)).squeeze(1)
"""
SWEEP = """
name: mine
data: {source: synthetic, rows: 20000, users: 500, items: 300}
model: {family: "mine:Good", dim: [4, 8]}
train: {data_fraction: [0.25, 1.0], batch_size: 256}
budget: {flop: 1e15}
"""
TRAIN = TrainConfig(
    data_fraction=0.5, batch_size=64, epochs=1, dense_rate=0.003, sparse_rate=0.1, rate_factor=1.0,
    warmup=0.05, eval_points=6, diverge_above=10.0, seed=0,
)  # fmt: skip
IDS = {
    "dlrm": "dlrm-d8-rall-w16-o24-s0-f0.5-x1-seed0-8749eddf",
    "dlrm-narrow": "dlrm-d4-r50-w16-o24-s0-f0.5-x1-seed0-5c9c5f54",
    "dlrm-sets": "dlrm-d16-m4-rall-w16-o24-s2-f0.5-x1-seed0-9ced3604",
    "dcnv2": "dcnv2-d8-rall-c2-w16-s0-f0.5-x1-seed0-4e8ca932",
    "dcnv2-low-rank": "dcnv2-d8-rall-c2q3-w16-s2-f0.5-x1-seed0-cffa6ed8",
    "wukong": "wukong-d8-rall-l2-F4-L3-k5-w16-s0-f0.5-x1-seed0-44174e22",
    "wukong-sets": "wukong-d8-m2-rall-l2-F4-L3-k5-w16-s0-f0.5-x1-seed0-84e8bde6",
    "decoder": "decoder-l2-d16-h2-s8-f0.5-x1-seed0-8489598d",
    "decoder-untied": "decoder-l2-d16-h2-s8-f0.5-x1-seed0-bba28aa0",
    "hstu": "hstu-l2-d16-h2-s8-f0.5-x1-seed0-7e586425",
    "hstu-untied": "hstu-l2-d16-h1-s8-f0.5-x1-seed0-fb2b227b",
}


def forget() -> None:
    """What this process has imported from users' folders."""
    load.cache_clear()
    _COUNTED.clear()
    for name in ("mine", "beside"):
        sys.modules.pop(name, None)


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweep_file: Callable[..., Path]
) -> Iterator[Path]:
    """A user's folder, with a family and its sweep, as of a process that knows no other."""
    monkeypatch.setenv(FOLDERS, "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(GOOD)
    (tmp_path / "beside.py").write_text("WIDTH = 1\n")
    sweep_file(SWEEP)
    forget()
    yield tmp_path
    forget()


def ids(folder: Path, data: Manifest) -> list[str]:
    forget()
    return [p.run_id for p in planned_runs(load_spec(folder / "sweep.yaml"), data)]


@pytest.mark.parametrize("name", IDS)
def test_the_runs_of_built_in_families_keep_their_ids(name: str):
    assert RunConfig(data="d", model=architecture(name), train=TRAIN).run_id == IDS[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_each_place_knows_every_family(name: str, store: Path, sequence_store):
    """The sweep file, the ledger, the networks, the training tasks, the help and the README."""
    from recscale.data.store import Store
    from recscale.train.host import PlainHost
    from recscale.train.loop import _Training

    task = FAMILIES[name].spec.task
    data = f"{{source: synthetic, task: {task}}}"
    spec = parse_spec(
        f"name: x\ndata: {data}\nmodel: {{family: {name}}}\ntrain: {{batch_size: 64}}\n"
        "budget: {flop: 1e15}\n"
    )
    opened = Store.open(store) if task == "click" else sequence_store
    run = planned_runs(spec, opened.manifest)[0].config
    assert RunConfig.model_validate(json.loads(run.model_dump_json())) == run
    assert type(run.model) is FAMILIES[name].config
    assert isinstance(build(run.model, opened.manifest, "meta"), torch.nn.Module)
    assert _Training(run, opened, PlainHost()).task is not None
    assert look_up(f"model.{name}.family")
    assert f"| `{name}` (" in (REPOSITORY / "README.md").read_text()


def test_reserved_names_are_those_of_all_other_columns():
    taken = {*records_frame([]).columns, *TrainConfig.model_fields, *Cost.model_fields}
    taken |= {*OwnConfig.model_fields, "name"}
    assert {c for c in taken if not c.startswith("best_")} <= RESERVED


def test_a_sweep_is_planned_on_axes_of_ones_own(folder: Path, data: Manifest):
    spec = load_spec(folder / "sweep.yaml")
    assert spec.axes() == {
        "dim": (4, 8), "width": (16,), "rate": (0.5,), "epochs": (1,), "data_fraction": (0.25, 1.0)
    }  # fmt: skip
    planned = planned_runs(spec, data)
    assert len(planned) == 4 and len({p.run_id for p in planned}) == 4
    assert planned[0].run_id.startswith("Good-d4-w16-r0.5-f0.25-x1-seed0-")
    rows = sum(t.rows for t in data.tables)
    assert [p.cost.table_params for p in planned] == [4 * rows, 8 * rows, 4 * rows, 8 * rows]
    assert parse_spec(dump_spec(spec)) == spec
    assert spec.model.may_grow("dim", 32) and not spec.model.may_grow("dim", 64)
    assert not spec.model.may_grow("rate", 1.0)


def test_another_source_is_another_run_and_an_equal_one_the_same(folder: Path, data: Manifest):
    """The module's own file, what it takes from beside it, and the version stated by hand."""
    first = ids(folder, data)
    assert ids(folder, data) == first
    (folder / "other.py").write_text("X = 1\n")
    assert ids(folder, data) == first
    (folder / "beside.py").write_text("WIDTH = 2\n")
    second = ids(folder, data)
    (folder / "mine.py").write_text(f"{GOOD}\n# another word\n")
    third = ids(folder, data)
    text = GOOD.replace("class Good(Family):", 'class Good(Family):\n    version = "2"\n')
    (folder / "mine.py").write_text(text)
    assert len({*first, *second, *third, *ids(folder, data)}) == 16


def test_a_ledger_is_read_where_the_code_is_not(folder: Path, data: Manifest):
    spec = load_spec(folder / "sweep.yaml")
    planned = planned_runs(spec, data)
    entry = json.loads(json.dumps(plan_entry(spec, data, planned)))
    assert entry["code"] == {"mine:Good": str(folder)}
    (folder / "mine.py").unlink()
    forget()
    read = SweepSpec.model_validate(entry["spec"])
    assert read == spec and read.axes() == spec.axes()
    run = RunConfig.model_validate(entry["runs"][0]["config"])
    assert run == planned[0].config and hash(run.model) == hash(planned[0].config.model)
    with pytest.raises(FamilyError, match="there is no module mine"):
        run.model.tables(data)


def test_a_run_of_another_source_is_not_built(folder: Path, data: Manifest):
    run = planned_runs(load_spec(folder / "sweep.yaml"), data)[0].config
    (folder / "mine.py").write_text(GOOD + "\n# changed\n")
    forget()
    with pytest.raises(FamilyError, match="another source here"):
        run.model.check_here()


def counted(family: str, data: Manifest, **axes: Any):
    found = load(f"own_families.costs:{family}")
    return count(Subject.of_own(cast(Family, found.cls(**axes))), data)


def test_a_network_like_dlrm_is_counted_as_by_hand(data: Manifest):
    """Dot products n x n x dim, then two linear layers, two FLOPs a multiply-add; a look-up a
    table and sample."""
    n, dim, width = len(data.tables), 8, 16
    found = counted("Dots", data, dim=dim, width=width)
    assert found.flop == 2 * (n * n * dim + n * n * width + width)
    assert found.dense_params == n * n * width + width + width + 1
    assert {k: (t.rows, t.dim) for k, t in found.tables.items()} == {
        t.name: (t.rows, dim) for t in data.tables
    }
    assert found.lookups == {t.name: 1.0 for t in data.tables}
    # kept for backward: the stacked vectors, their products, the hidden layer before the output
    kept = n * dim + n * n + width
    assert 2 * kept <= found.activations <= 3 * 2 * kept


def test_a_network_that_attends_is_counted_as_by_hand(data: Manifest):
    """Causal attention counts whole: 2 S^2 d multiply-adds; its table is of the history."""
    dim, length = 8, 6
    found = counted("Attends", data, dim=dim, sequence_length=length)
    linear = length * dim * 3 * dim + dim
    assert found.flop == 2 * (linear + 2 * length**2 * dim)
    assert found.tables == {"past": (data.items.rows, dim)}
    assert found.lookups == {"past": min(length, data.history_mean_length)}


def test_a_table_beyond_all_memory_is_counted(data: Manifest):
    huge = tuple(t.model_copy(update={"rows": 10**11}) for t in data.tables)
    found = counted("Attends", data.model_copy(update={"tables": huge}), dim=64)
    assert found.tables["past"].rows * 64 == 64 * 10**11


BAD = {
    "nowhere:Good": "there is no module nowhere; searched",
    "mine:Goof": "the module mine has no Goof; did you mean 'Good'?",
    "mine": "'mine' is not a family; allowed: 'dlrm'",
    "mine.Good": "'mine.Good' is no dotted path; write my_pkg.my_model:MyFamily",
    "mine:Network": "Network is no family; let it extend recscale.Family",
    "mine:Embeddings": "Embeddings is no family",
    "recscale:Family": "Family declares no axes; give it fields such as mlp_width: int = 64",
    '"mine:Good", dim: many': "model.dim: 'many': should be a whole number",
    '"mine:Good", dim: [8, x]': "model.dim[1]: 'x': should be a whole number",
    '"mine:Good", dims: 8': "model.dims: unknown key; did you mean 'dim'?",
    '"mine:Good", code: x': "model.code: unknown key; allowed: family, dim, width, rate, kind",
    '"mine:Good", dim: 64': "model.dim: 64: should be at most 32",
    '"mine:Good", kind: [a, b]': "model.kind: a list of 2: should be text",
    '"mine:Good", dim: 32': "refuses dim 32, width 16, rate 0.5, kind plain: width 16 is less than",
}


@pytest.mark.parametrize("written", BAD)
def test_bad_input_is_a_sentence_with_its_line(written: str, folder: Path):
    text = SWEEP.replace('"mine:Good", dim: [4, 8]', written)
    refused(folder, text, BAD[written])


BODIES = {
    "samples: int = 8": "the axis samples has a name that recscale uses itself",
    "build: int = 8": "the axis build has a name that recscale uses itself",
    "copy: int = 8": "the axis copy has a name that recscale uses itself",
    "dim = 8": "line 10): dim = 8 has no type; write dim: int = 8",
    "dim: list[int] = [8]": "the axis dim has the type list[int]; axes are int",
    "dim: int = 'eight'": "the default of the axis dim, 'eight', is not of its type",
    "dim: nn.Module = 8": "an axis of type",
    "dim: int = 8; task = 'rank'": "task = 'rank'; allowed: 'click', 'next_item', 'custom'",
    "dim: int = 8": "it has no build(self, data)",
    "dim: int = 8\n    def build(self, data): pass": "build returns nothing",
    "dim: int = 8\n    def build(self, data): 1 / 0": "fails (mine.py, line 12): ZeroDivisionError",
    "dim: int = 8; build = lazy": "a lazy module has no parameters before it runs",
    "dim: int = 6\n    def build(self, data): return Out(self.dim, data)": "a multiple of 4",
    "dim: int = 8\n    def build(self, data): exit(3)": "SystemExit: 3",
    "dim: int = 8; build = out(lambda x, f: x[:, None])": (
        "a tensor of shape [5, 1] and torch.float32 for 5 rows; it should be [5], a logit a row; "
        "add .squeeze(1)"
    ),
    "dim: int = 8; build = out(lambda x, f: x / 0 * 0)": "not finite",
    "dim: int = 8; build = out(lambda x, f: x.detach())": "backward",
    "dim: int = 8; build = out(lambda x, f: x / x.max().item())": (
        "on the meta device, where tensors have shapes and no values"
    ),
    "dim: int = 8; build = out(lambda x, f: f.history.x)": (
        "features.history is None unless the class has an axis sequence_length"
    ),
    "dim: int = 8; task = 'custom'\n    def build(self, data): return Out(self.dim, data)": (
        "task custom needs a loss(self, output, features, label)"
    ),
}
OUT = """
import torch; from torch import nn; from recscale import Embeddings, Family
def lazy(self, data):
    network = Out(self.dim, data)
    network.out = nn.LazyLinear(1)
    return network
def out(last):
    def build(self, data): return Out(self.dim, data, last)
    return build
class Good(Family):
    {}
class Out(nn.Module):
    def __init__(self, dim, data, last=lambda x, f: x):
        super().__init__()
        self.e, self.out = Embeddings(data, dim), nn.Linear(dim * len(data.tables), 1)
        self.last = last
    def forward(self, features):
        x = self.out(self.e(features).flatten(1)).squeeze(1)
        return self.last(x, features)
"""


@pytest.mark.parametrize("body", BODIES)
def test_a_class_that_cannot_be_used_is_a_sentence_before_anything_is_spent(
    body: str, folder: Path
):
    (folder / "mine.py").write_text(OUT.format(body))
    refused(folder, SWEEP.replace(", dim: [4, 8]", ""), BODIES[body])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1 +", "cannot be imported (mine.py, line 1): SyntaxError"),
        (
            "import nothing_here",
            "(mine.py, line 1): ModuleNotFoundError: No module named",
        ),
        ("raise SystemExit(4)", "(mine.py, line 1): SystemExit: 4"),
    ],
)
def test_a_module_that_cannot_be_imported_is_a_sentence(source: str, said: str, folder: Path):
    (folder / "mine.py").write_text(source)
    refused(folder, SWEEP, said)


def refused(folder: Path, text: str, said: str) -> None:
    sweep = folder / "sweep.yaml"
    sweep.write_text(f"{text}storage: {folder}/runs\n")
    asked = CliRunner().invoke(main, ["plan", str(sweep)])
    assert asked.exit_code == 2, asked.output or asked.exception
    lines = asked.output.strip().splitlines()
    assert len(lines) == 1, asked.output
    assert lines[0].startswith(f"{sweep}:4: model"), asked.output
    assert said in asked.output


def test_what_stands_beside_a_family_hides_nothing_that_is_installed(folder: Path):
    """In a process of its own: a user's folder may hold a json.py."""
    (folder / "json.py").write_text("raise RuntimeError('the wrong json')\n")
    shutil.move(folder / "mine.py", folder / "math_of_mine.py")
    script = (
        "from recscale.families.door import load, search_in\n"
        f"search_in({str(folder)!r})\n"
        "load('math_of_mine:Good')\n"
        "import json; print(json.dumps(1))"
    )
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/")
    assert done.stdout.strip() == "1", done.stderr


def test_a_search_does_not_go_on_with_another_source(folder: Path):
    """Its runs are evidence of another network."""
    from recscale.engine.ready import ready, standing
    from recscale.ledger import Ledger
    from recscale.planner import Launch, PlanError, decide_search
    from recscale.planner.journal import entry

    text = SWEEP.replace("dim: [4, 8]", "dim: [4, 8, 16]").replace(
        "[0.25, 1.0]", "[0.25, 0.5, 1.0]"
    )
    text += f"search: {{strategy: frontier, target: {{flop: 10x}}}}\nstorage: {folder}/runs\n"
    (folder / "sweep.yaml").write_text(text)
    sweep = ready(load_spec(folder / "sweep.yaml"))
    assert sweep.problem is not None  # of whose doublings width 16 refuses those beyond dim 16
    ledger = Ledger(sweep.run_dir)
    ledger.append("plan", **plan_entry(sweep.spec, sweep.problem.data, []))
    decision = decide_search(sweep.problem, standing(sweep))
    assert isinstance(decision, Launch)
    ledger.append("decision", **entry(decision))
    assert ready(load_spec(folder / "sweep.yaml")).problem is not None
    (folder / "mine.py").write_text(GOOD + "\n# changed\n")
    forget()
    with pytest.raises(PlanError, match="has another source .* than the search in"):
        ready(load_spec(folder / "sweep.yaml"))
