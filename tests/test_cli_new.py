"""`recscale new`: what it writes can be planned, or a sentence says what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from layouts import BEGIN, CASES, Case, N, World, write
from layouts_public import PUBLIC

from recscale.cli import main
from recscale.specfile import load_spec


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(w) for w in words])


def test_criteo_is_known_without_names():
    w = World()
    ids = {f"C{i}": w.texts(w.rng.integers(0, 50, N), "{:08x}") for i in range(26)}
    numbers = {f"I{i}": w.rng.integers(0, 90, N) for i in range(13)}
    write("train.txt", {"label": w.click, **numbers, **ids}, "\t", header=False)
    assert call("new", "mine", "--from", "train.txt").exit_code == 0
    assert load_spec("mine.yaml").data.source == "criteo"
    assert call("plan", "mine.yaml").exit_code == 0


def test_a_column_without_a_name_is_left_out():
    w = World()
    columns = {"": w.category, "user": w.user, "item": w.item, "click": w.click}
    write("log.csv", {**columns, "time": w.time})
    shown = call("new", "mine", "--from", "log.csv")
    assert shown.exit_code == 0, shown.output
    assert "it has no name" in shown.output
    assert call("plan", "mine.yaml").exit_code == 0


@pytest.mark.parametrize("case", [*CASES, *PUBLIC], ids=lambda c: c[0].__name__)
def test_what_is_guessed_of_a_layout_can_be_planned(case: Case):
    layout, task, parts, words = case
    log = layout(World())
    shown = call("new", "mine", "--from", log)
    assert shown.exit_code == 0, shown.output
    written = Path("mine.yaml").read_text()
    data = load_spec("mine.yaml").data
    got = {part: getattr(data.columns, part) for part in parts}
    assert got == parts, written
    assert data.task == task, written
    assert words in written, written
    for column in parts.values():  # printed with the reason
        assert str(column) in shown.output
    planned = call("plan", "mine.yaml", "--json")
    assert planned.exit_code == 0, planned.output + written
    facts = json.loads(planned.stdout)
    runs = facts["runs"] if isinstance(facts, dict) else facts
    spec = load_spec("mine.yaml")
    architectures = len(runs) // spec.train.seeds
    assert architectures > 2 * len(spec.law_variables) + 2  # a law's coefficients, and one to spare
    budget = spec.budget
    assert budget.flop and budget.usd
    assert sum(r["train_flop"] for r in runs) < budget.flop
    assert sum(r["usd"] for r in runs) < budget.usd


@pytest.mark.parametrize(
    "name, file",
    [("mine", "mine.yaml"), ("mine.yaml", "mine.yaml"), ("sub/dir/v1.2", "sub/dir/v1.2.yaml"),
     ("2024", "2024.yaml"), ("y.yml", "y.yml")],
)  # fmt: skip
@pytest.mark.parametrize("like", [(), ("--like", "retail_decoder")])
def test_new_writes_where_it_is_told_and_names_the_sweep_after_the_file(name, file, like):
    shown = call("new", name, *like)
    assert shown.exit_code == 0, shown.output
    assert load_spec(file).name == Path(file).stem
    assert f"recscale plan {file}" in shown.output and f"recscale plan {file}" in read(file)


def read(file: str) -> str:
    return Path(file).read_text()


EXAMPLES = [p.stem for p in (Path(__file__).parents[1] / "sweeps").glob("*.yaml")]


@pytest.mark.parametrize("like", EXAMPLES)
def test_a_copy_says_nothing_of_the_runs_of_the_example(like):
    assert call("new", "mine", "--like", like).exit_code == 0
    comments = " ".join(line.partition("#")[2] for line in read("mine.yaml").splitlines())
    assert "not run yet" in comments and like in comments
    for word in ("Last run", "minutes", "cores", "TFLOP", "shop", "Online Retail", "NE "):
        assert word not in comments


@pytest.mark.parametrize(
    "words, said",
    [
        (("a b",), "holds only letters"),
        (("sub/",), "holds only letters"),
        (("../..",), "holds only letters"),
        (("",), "is empty"),
        (("-x", "--like", "demo"), "No such option"),
        (("file/x",), "cannot be written"),
        (("mine", "--like", "demo", "--from", "log.csv"), "give one of them"),
        (("mine", "--like", "nothing"), "retail_dlrm"),
        (("mine", "--like", "../sweeps/demo"), "retail_dlrm"),
        (("there",), "exists"),
        (("mine", "--from", "nowhere.csv"), "no file there"),
    ],
)
def test_new_refuses_in_a_sentence_and_writes_nothing(words, said):
    Path("file").write_text("")
    Path("there.yaml").write_text("mine")
    shown = call("new", *words)
    assert shown.exit_code == 2 and said in shown.output
    assert sorted(p.name for p in Path().iterdir()) == ["file", "there.yaml"]
    assert read("there.yaml") == "mine"


def without(column: str) -> str:
    w = World()
    columns = {"user_id": w.user, "item_id": w.item, "time": w.time, "click": w.click}
    del columns[column]
    return write("log.csv", columns)


def six_devices() -> str:
    """A user under a name that no one knows, beside what he holds in his hand."""
    w = World()
    columns = {"msisdn": w.texts(w.user, "m{:04x}"), "device": w.category % 6, "sku": w.item}
    return write("log.csv", columns | {"time": w.time, "click": w.click})


def notes_beside() -> str:
    Path("logs").mkdir()
    Path("logs/README.md").write_text("# What this is\n")
    write("logs/log.csv", {"user": [1, 2], "item": [1, 2], "time": [BEGIN, BEGIN + 9]})
    return "logs"


def every_line_longer() -> str:
    w = World()
    lists = [f"[{i}, {i}]" for i in w.item]
    return write("log.csv", {"user": w.user, "items": lists, "time": w.time})


def shown_and_clicked() -> str:
    """EB-NeRD's and Adressa's way: a row lists what was shown, and what of that was clicked."""
    w = World()
    shown = [w.rng.choice(90, 6, replace=False).tolist() for _ in range(N)]
    table = {"user_id": w.user, "session_id": w.user * 7, "impression_time": w.time}
    table |= {"article_id": [None if i % 3 else int(i) for i in w.item]}
    table |= {"article_ids_inview": shown, "article_ids_clicked": [s[:1] for s in shown]}
    pq.write_table(pa.table(table), "behaviors.parquet")
    return "behaviors.parquet"


def google_analytics() -> str:
    """Users whose text looks like numbers, and items within structs."""
    w = World()
    with open("events.jsonl", "w") as file:
        for u, i, t in zip(w.user.tolist(), w.item.tolist(), w.time.tolist(), strict=True):
            row = {"user_pseudo_id": f"{u}.{u * 7}", "event_timestamp": str(t * 10**6)}
            file.write(json.dumps(row | {"items": [{"item_id": f"sku{i}"}]}) + "\n")
    return "events.jsonl"


def durations() -> str:
    w = World()
    since = pa.array((w.time - w.time[0]) * 10**6, pa.duration("us"))
    pq.write_table(pa.table({"user_id": w.user, "item_id": w.item, "timestamp": since}), "1.pq")
    return "1.pq"


def lists_of_other_lengths() -> str:
    table = {"user": [1, 2], "item": [[1, 2], [3]], "time": [[BEGIN, BEGIN + 1], [BEGIN, BEGIN]]}
    pq.write_table(pa.table(table), "sequential.parquet")
    return "sequential.parquet"


def other_tables() -> str:
    w = World()
    Path("ml").mkdir()
    write("ml/links.csv", {"movieId": w.item, "imdbId": w.item})
    write("ml/ratings.csv", {"userId": w.user, "movieId": w.item, "timestamp": w.time})
    return "ml/*.csv"


@pytest.mark.parametrize(
    "content, said",
    [
        (every_line_longer, "names 3 columns in its first line, and none of the 600 lines"),
        (shown_and_clicked, "article_ids_clicked has lists; of lists of what was shown"),
        (google_analytics, "with a value a row (items has lists;"),
        (lists_of_other_lengths, "'time' has '[1509494400, 1509494401]', which is none"),
        (durations, "'timestamp' has '0:00:00', which is none"),
        (other_tables, "some of the files lack imdbId, userId, timestamp: if they are other"),
        (lambda: without("time"), "no column holds times"),
        (lambda: without("user_id"), "no column tells who acted"),
        (notes_beside, "such as logs/*.csv"),
        (six_devices, "no column tells who acted"),
        (lambda: without("item_id"), "no column tells what was shown or taken"),
        (lambda: write("log.txt", {"a": ["1 2 3", "4 5 6 7"]}, header=False), "sequences"),
        (lambda: write("log.csv", {"user": [], "item": [], "time": []}), "no rows"),
        (lambda: write("log.csv", {"user,item,time,x,x": ["1,2,3,4,5"]}), "two columns"),
        (lambda: write("log.json", {"a": ["[{}]"]}, header=False), "log.json"),
    ],
)
def test_what_a_log_lacks_is_said(content, said):
    log = content()
    shown = call("new", "mine", "--from", log)
    assert shown.exit_code == 2, shown.output
    assert said in shown.output and len(shown.output.splitlines()) == 1
    assert log in shown.output
    assert not Path("mine.yaml").exists()
