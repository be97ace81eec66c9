"""What cannot come to anything is refused by `plan`, with its line, before it is paid for; what has
no effect is said."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner
from fuzz_sweeps import world
from planted_study import SWEEP as PLANTED
from planted_study import planted

from recscale.cli import main
from recscale.families.click import ClickSpec
from recscale.spec.schema import kinds_of

GRID = """name: x
data: {source: synthetic, rows: 2000, users: 80, items: 60}
model: {family: dlrm, embedding_dim: [4, 8, 16], mlp_width: [8, 32, 128]}
train: {data_fraction: [0.25, 0.5, 1.0], batch_size: 32}
budget: {flop: 1e15}
"""
AXES = GRID + "search: {strategy: axes}\n"
SEARCH = GRID + "search: {strategy: frontier, target: {flop: 10x}}\n"
SEVERAL = GRID.replace("{family: dlrm, embedding_dim: [4, 8, 16], mlp_width: [8, 32, 128]}",
                       "[{family: dlrm, mlp_width: [8, 32, 128]}, {family: wukong}]")  # fmt: skip
NEXT = """name: y
data: {source: synthetic, task: next_item, rows: 2000, users: 80, items: 60}
model: {family: decoder, sequence_depth: [1, 2, 4], sequence_width: [8, 16, 32]}
train: {data_fraction: [0.25, 0.5, 1.0], batch_size: 16}
budget: {flop: 1e15}
"""
EVENTS = """name: z
data: {source: events, path: log.csv, columns: {user: u, item: i, time: t, label: l, sparse: [c]}}
model: {family: dlrm, embedding_dim: [4, 8, 16], mlp_width: [8, 32, 128]}
train: {data_fraction: [0.25, 0.5, 1.0], batch_size: 32}
budget: {flop: 1e15}
"""
CLICK = [
    kind
    for of in ClickSpec.__subclasses__()
    for kind in get_args(of.model_fields["family"].annotation)
]
KINDS = {"grid": GRID, "axes": AXES, "search": SEARCH, "several": SEVERAL, "next": NEXT}


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory: pytest.TempPathFactory):
    """One folder for all, so that each world is prepared once."""
    folder = tmp_path_factory.mktemp("plans")
    world(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def planned(text: str) -> tuple[int, list[str]]:
    """The exit code, and what was refused or warned of."""
    Path("s.yaml").write_text(text)
    shown = CliRunner().invoke(main, ["plan", "s.yaml"])
    assert shown.exit_code in (0, 2), shown.exc_info
    lines = shown.output.splitlines()
    return shown.exit_code, [x for x in lines if shown.exit_code or x.startswith("warning: ")]


def refused(text: str) -> str:
    code, lines = planned(text)
    assert code == 2 and len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("law", "said"),
    [
        ("variables: [nope]", "law.variables: nope is not known before a run"),
        ("variables: [samples, samples]", "law.variables: samples stands twice"),
        ("variables: []", "law.variables: names no column"),
        ("variables: [eval_loss]", "what a run measures is no variable"),
        ("variables: [family]", "law.variables: family is not known before a run, or no number"),
        ("variables: [precision]", "law.variables: precision is not known before a run"),
        ("variables: [table_params, dense_params, samples, table_rows, forward_flop]",
         "form additive takes 1 or 2 or 3 or 4 variables, not the 5"),
        ("form: power, variables: [dense_params, forward_flop, samples]",
         "form power takes 1 variable, not the 3 of dense_params, forward_flop, samples; 3 go"),
        ("form: kaplan, variables: [samples]", "form kaplan takes 2 variables"),
        ("form: gamma, variables: [samples]", "form gamma takes 2 or 3 or 4 variables"),
        ("variables: [batch_size]", "batch_size has 1 value in this sweep"),
        ("variables: [sequence_length, samples]", "sequence_length has 1 value in this sweep"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_a_law_that_cannot_be_is_refused_with_its_line(kind: str, law: str, said: str):
    line = refused(KINDS[kind] + f"law: {{{law}}}\n")
    assert line.startswith(f"s.yaml:{7 if kind in ('axes', 'search') else 6}: law."), line
    assert said in line or (kind == "several" and "sequence_length has" in line), line


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sequence_width": "negatives: 5, sequence_width"}, "by model.negatives the training"),
        ({"sequence_width": "negatives: [null, 5], sequence_width"}, "by model.negatives the"),
        ({"sequence_width": "dropout: 0.1, sequence_width"}, "by model.dropout the training"),
        ({"sequence_width": "dropout_top: 0.1, sequence_width"}, "by model.dropout_top the"),
        ({"batch_size": "epochs: [1, 2], batch_size"}, "no batch of a second pass"),
        ({"schedule: anytime": "schedule: decayed"}, "is no loss of family decoder"),
        ({}, ""),
    ],
)
def test_a_progressive_loss_that_runs_will_not_have_is_refused(change: dict[str, str], why: str):
    text = NEXT.replace("batch_size", "schedule: anytime, warmup_samples: 32, batch_size")
    text += "law: {loss: progressive_loss}\n"
    for old, new in change.items():
        text = text.replace("warmup_samples: 32, " * (new == "schedule: decayed"), "")
        text = text.replace(old, new)
    if not why:
        assert planned(text) == (0, [])
        return
    said = refused(text)
    assert said.startswith("s.yaml:6: law.loss: 'progressive_loss'") and why in said, said


def test_a_form_that_does_not_take_the_usual_variables_says_which_they_are():
    said = refused(GRID + "law: {form: power}\n")
    assert "s.yaml:6: law.form: form power takes 1 variable" in said
    assert "table_params, dense_params, samples" in said and "name them in law.variables" in said
    assert planned(NEXT + "law: {form: kaplan}\n")[0] == 0


def test_repeats_and_held_out_sizes_are_checked_against_the_axes():
    assert "no run sees its unique_samples much more than once" in refused(
        GRID + "law: {form: repeated}\n"
    )
    more = GRID.replace("batch_size: 32", "batch_size: 32, epochs: [1, 2, 8]")
    assert planned(more + "law: {form: repeated}\n")[0] == 0
    said = refused(GRID + "law: {variables: [dense_params, samples], hold_out_largest: 7}\n")
    assert "s.yaml:6: law.hold_out_largest: 7 of 9 sizes (dense_params) are held out" in said
    assert planned(GRID + "law: {variables: [dense_params, samples], hold_out_largest: 2}\n") == (
        0, [],
    )  # fmt: skip
    said = refused(GRID + "law: {hold_out_largest: 1000}\n")
    assert "1000 of 3 sizes (table_params) are held out" in said


@pytest.mark.parametrize("kind", KINDS)
def test_good_laws_are_planned_in_silence(kind: str):
    variables = "[forward_flop, samples]" if kind == "several" else "[dense_params, samples]"
    law = f"law: {{variables: {variables}}}\n"
    if kind == "several":
        sizes = "{family: wukong, mlp_width: [8, 32, 128]}"
        text = SEVERAL.replace("{family: wukong}", sizes)
        assert planned(text + law) == (0, [])
    else:
        assert planned(KINDS[kind] + law) == (0, [])


def test_a_usual_law_that_these_runs_do_not_determine_is_a_warning():
    one = GRID.replace("[0.25, 0.5, 1.0]", "1.0")
    assert planned(one) == (0, [])  # of the two axes that it sweeps they determine one
    code, (said,) = planned(one.replace("[4, 8, 16]", "[4, 8]").replace("[8, 32, 128]", "8"))
    assert code == 0
    assert "law.variables: left out, and of table_params, dense_params, samples" in said
    assert "table_params has 2 values in this sweep" in said
    code, lines = planned(SEVERAL)
    assert code == 0 and any("forward_flop" in line for line in lines), lines


def test_runs_without_a_place_in_the_law_are_counted():
    depths = GRID.replace("[8, 32, 128]", "[8, 32, 128], sequence_depth: [0, 1, 2, 4]")
    code, (said,) = planned(depths + "law: {variables: [sequence_depth, samples]}\n")
    assert code == 0 and "27 of 108 runs stay outside the law: sequence_depth is 0" in said, said


def test_a_target_beyond_all_measure_is_refused():
    said = refused(SEARCH.replace("10x", "1e300"))
    assert said.startswith("s.yaml:6: search.target.flop: 1e+300 is ") and "1e+12 times at" in said


def test_a_column_that_a_log_lacks_is_named_with_the_line_of_its_key():
    said = refused(EVENTS.replace("item: i", f"item: {'n' * 5000}"))
    assert said.startswith("s.yaml:2: log.csv: data.columns.item: no column 'nnn")
    assert len(said) < 300


def test_two_fractions_that_train_the_same_rows_are_refused():
    said = refused(GRID.replace("[0.25, 0.5, 1.0]", "[0.25, 0.5, 0.505, 1.0]"))
    assert "s.yaml:4: train.data_fraction: 0.5 and 0.505 are the same 896 of 1,800" in said


@pytest.mark.parametrize("kind", ["grid", "search", "next"])
def test_rates_that_factors_drive_out_of_reach_are_said(kind: str):
    text = KINDS[kind].replace("batch_size", "learning_rate: {tune: [1, 1e14]}, batch_size")
    rate = "8e+13" if kind == "next" else "1e+13"  # the usual ones follow the width there
    code, lines = planned(text)
    said = f"s.yaml:4: train.learning_rate.tune: sparse rates of {rate} come of it"
    assert code == 0 and said in lines[0], lines
    assert "should be at most 10,000" in refused(KINDS[kind].replace(
        "batch_size", "learning_rate: {sparse: 2e11}, batch_size"
    ))  # fmt: skip


@pytest.mark.parametrize("family", kinds_of("model"))
def test_dimensions_that_fbgemm_does_not_take_are_refused_of_every_family(family: str):
    click = family in CLICK
    key = "embedding_dim" if click or family == "two_tower" else "sequence_width"
    text: list[str] = [*(GRID if click else NEXT).splitlines()]
    text[2] = f"model: {{family: {family}, {key}: [8, 6]}}"
    said = refused("\n".join(text))
    assert (
        f"s.yaml:3: model.{key}: dimension 6 leaves tables whose dimension is no multiple" in said
    )


def test_the_key_of_too_little_memory_is_named():
    said = refused(GRID.replace("[4, 8, 16]", "[4, 1000000000]"))
    assert said.startswith("resources.machine: 9 of 18 runs need more memory than 1")
    code, lines = planned(SEARCH.replace("[4, 8, 16]", "[4, 8, 16, 1000000000]"))
    assert code == 0 and "9 of 36 candidates need more memory" in lines[0], lines


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("batch_size: 32", "batch_size: 32, sgd_rate: 0.5", "train.sgd_rate: has no effect"),
        ("batch_size: 32", "batch_size: 32, sgd_after: 1.0", "train.sgd_after: has no effect"),
        ("budget:", "resources: {resting_bytes: 1e9}\nbudget:",
         "resources.resting_bytes: has no effect: no training rests"),
        ("[8, 32, 128]", "[8, 32, 128], sequence_width: 64",
         "model.sequence_width: has no effect: sequence_depth is 0"),
        ("[8, 32, 128]", "[8, 32, 128], sequence_width: [16, 64]",
         "model.sequence_width: 64 makes the same runs as 16"),
        ("[8, 32, 128]", "[8, 32, 128], embedding_rows: [null, 1000000]",
         "model.embedding_rows: 1000000 makes the same runs as null"),
        ("budget", "search: {goal: slopes}\nbudget", "search.goal: has no effect"),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_said(old: str, new: str, said: str):
    code, lines = planned(GRID.replace(old, new))
    assert code == 0 and len(lines) == 1 and said in lines[0], lines
    assert lines[0].startswith("warning: s.yaml:")


def test_what_has_no_effect_on_a_trainer_of_ones_own_is_said():
    Path("mine.py").write_text("def train(config, report, checkpoint_dir):\n    pass\n")
    text = 'name: t\ntrainer: "mine:train"\naxes: {h: [1, 2, 4], samples: [10, 100, 1000]}\n'
    text += "cost: h * samples\nbudget: {flop: 1e15}\n"
    assert planned(text) == (0, [])
    more = "resources: {checkpoint_s: 5}\nlaw: {below_baseline: true}\n"
    code, lines = planned(text + more)
    assert code == 0 and [line.split(" has no effect: ")[0] for line in lines] == [
        "warning: s.yaml:6: resources.checkpoint_s:", "warning: s.yaml:7: law.below_baseline:"
    ]  # fmt: skip


def test_negatives_of_a_log_that_has_its_own_are_said():
    mine = EVENTS.replace("path: log.csv", "path: log.csv, negatives: {per_positive: 9}, seed: 1")
    code, (first, second) = planned(mine)
    assert code == 0
    assert "s.yaml:2: data.negatives: has no effect: data.columns.label (l) says" in first
    assert "data.seed: has no effect" in second
    assert planned(mine.replace(", label: l", "")) == (0, [])


def test_options_of_a_softmax_without_sampling_are_said():
    code, lines = planned(NEXT.replace("family: decoder", "family: decoder, correction: false"))
    assert code == 0 and "model.correction: has no effect: the softmax is over all" in lines[0]


@pytest.mark.parametrize(
    ("path", "storage", "said"),
    [
        (".", "runs", "data.path: . takes in runs (storage)"),
        (".", ".", "takes in"),
        ("'*'", "runs", "takes in runs"),
        ("'**/*.csv'", "runs", "takes in runs"),
        ("'run[s]'", "runs", "takes in runs"),
        ("runs/store", "runs", "data.path: runs/store lies in"),
        ("runs/z/runs.csv", "runs", "which this sweep writes"),
        ("log.csv", "log.csv", "storage: log.csv: {here}/log.csv is no folder"),
        ("log.csv", "log.csv/deeper", "is no folder"),
        ("log.csv", "loop", "loop is no folder"),
        ("log.csv", "''", "storage: is empty"),
        ("' '", "runs", "data.path: is empty"),
        ("a" * 300, "runs", "a name of 300 bytes; file systems take 255 at most"),
        ("log.csv", "a/" * 2100, "a path of 4,200 bytes; file systems take 4,095 at most"),
        ("log.csv", "~nobody_of_this_name/x", "no user 'nobody_of_this_name' is known here"),
        ("~nobody_of_this_name/x", "runs", "data.path: ~nobody_of_this_name/x: no user"),
        ("log.csv", "'s3://'", "storage: s3://: names no bucket or folder"),
        ("log.csv", "'data:,x://'", "names no bucket or folder"),
        ("log.csv", "http://127.0.0.1:9/x", "can only be read; use a local path, s3:// or gs://"),
        ("log.csv", "ftp://127.0.0.1:9/x", "storage: ftp://127.0.0.1:9/x"),
        ("log.csv", "hf://a/b", "no such place can be opened"),
        ("log.csv", "github://a/b", "no such place can be opened"),
        ("log.csv", "foo://a/b", "no such place can be opened"),
    ],
    ids=lambda value: value[:20],
)
def test_folders_within_each_other_and_names_that_no_file_can_have(path, storage, said, here):
    text = EVENTS.replace("log.csv", path) + f"storage: {storage}\n"
    Path("s.yaml").touch()
    before = sorted(here.rglob("*"))
    assert said.format(here=here) in refused(text)
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("files", "what"),
    [
        (("manifest.json", "checksums.npy"), "a prepared store"),
        (("ledger/a-1.jsonl",), "a run directory"),
    ],
)
def test_storage_within_what_a_sweep_keeps_is_refused(files, what, tmp_path: Path):
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    for storage in (tmp_path, tmp_path / "deep" / "er"):
        said = f"storage: {storage} lies in {tmp_path}, which is {what}"
        assert said in refused(EVENTS + f"storage: {storage}\n")


@pytest.mark.parametrize("path", ["log.csv", "lo*.csv", "folder/../log.csv", "other"])
def test_a_log_beside_its_storage_is_read(path: str, here: Path):
    (here / "other").mkdir(exist_ok=True)
    (here / "other" / "log.csv").write_bytes((here / "log.csv").read_bytes())
    assert planned(EVENTS.replace("log.csv", path))[0] == 0
    assert planned(EVENTS.replace("log.csv", path) + "storage: other/.runs\n")[0] == 0


@pytest.mark.parametrize("verb", ["status", "ask", "report"])
def test_a_run_directory_that_cannot_be_is_refused(verb: str):
    for path, said in (
        ("", "is empty"),
        ("a" * 5000, "a name of 5,000 bytes"),
        ("a\0b", "a\\x00b"),
        ("http://127.0.0.1:9/x", "cannot be reached"),
        ("gs://", "names no bucket or folder"),
        ("hf://a/b", "no such place can be opened"),
    ):
        shown = CliRunner().invoke(main, [verb, path])
        assert shown.exit_code == 2 and said in shown.output, shown.exc_info


def test_a_run_directory_of_a_law_that_plan_refuses_today_still_reports(tmp_path: Path):
    """Older ledgers hold them."""
    for number, variables in enumerate(("[nope]", "[family]", "[embedding_rows]")):
        text = PLANTED.replace("[table_params, dense_params, samples]", variables)
        run_dir = tmp_path / str(number)
        planted(run_dir, text.replace("seeds: 2", "seeds: 1"))
        for verb in ("status", "report"):
            shown = CliRunner().invoke(main, [verb, str(run_dir)])
            assert shown.exit_code == 0, shown.exc_info


def test_the_plan_of_thousands_of_runs_shows_its_ends_and_its_sum():
    wide = ", ".join(str(4 * n) for n in range(1, 21))
    text = GRID.replace("[4, 8, 16]", f"[{wide}]").replace(
        "batch_size: 32", "batch_size: 32, seeds: 5"
    )
    Path("s.yaml").write_text(text)
    shown = CliRunner().invoke(main, ["plan", "s.yaml"]).output.splitlines()
    assert any("... 500 runs between; plan --json lists all" in line for line in shown)
    assert sum(line.startswith("dlrm-") for line in shown) == 400
    assert any(line.startswith("900 runs, 0 done") for line in shown)
