"""The page in a real browser: nothing complains, all is drawn, what is asked of the table is done,
nothing is wider than the screen, every text can be read, and what is hostile stays text."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import DESK, PHONE, Browser, browser, needed
from planted_study import DATA, SWEEP, planted, record

from recscale.ledger import Ledger
from recscale.planner import planned_runs
from recscale.report.page import living, render
from recscale.specfile import parse_spec
from recscale.study import Study, plan_entry
from recscale.words import number, quantity
from recscale.words import time as time_words

pytestmark = [needed, pytest.mark.xdist_group("browser")]
HOSTILE = (
    "<img src=x onerror=\"document.title='run'\">'\"&</script><script>document.title='run'</script>"
)


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study.of(planted(tmp_path_factory.mktemp("planted")))


@pytest.fixture(scope="module")
def page(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(study))
    return path


@pytest.fixture
def desk(chrome: Browser, page: Path) -> Browser:
    """The page as it is first seen; it is loaded only where another one was."""
    chrome.wide(DESK)
    if chrome.driver.current_url != page.as_uri():
        chrome.said()
        chrome.open(page)
    chrome.driver.find_element("xpath", "//button[text()='Clear all']").click()
    return chrome


def rows(b: Browser) -> list[list[str]]:
    return b.js(
        "return [...document.querySelectorAll('table.runs tbody tr')]"
        ".map((r) => [...r.cells].map((c) => c.textContent))"
    )


def column(b: Browser, name: str) -> list[str]:
    names = b.js("return runs.columns.map((c) => c.name)")
    return [r[names.index(name)] for r in rows(b)]


def type_into(b: Browser, label: str, text: str) -> None:
    field = b.driver.find_element("css selector", f'[aria-label="{label}"]')
    field.clear()
    field.send_keys(text)


def test_nothing_complains_and_every_figure_is_drawn(desk: Browser, page: Path):
    drawn = desk.js(
        "return [...document.querySelectorAll('.plot')].map((d) =>"
        " [d.dataset.figure, d.querySelectorAll('.trace path, .trace .point, .fills path').length])"
    )
    assert len(drawn) == len(re.findall('id="figure-', page.read_text())) and len(drawn) > 8
    assert [name for name, marks in drawn if not marks] == []
    assert desk.said() == []


def test_cells_are_as_the_terminal_writes_them(desk: Browser, study: Study):
    frame = study.frame().set_index("run_id")
    of = {"samples": quantity, "train_flop": quantity, "eval_ne": number, "time_s": time_words}
    ids = column(desk, "run_id")
    assert sorted(ids) == sorted(frame.index)
    for name, words in of.items():
        known = [(i, t) for i, t in zip(ids, column(desk, name), strict=True) if t != "–"]
        assert len(known) > 40
        values = frame[name].to_dict()
        assert [t for _, t in known] == [words(float(values[i])) for i, _ in known]


@pytest.mark.parametrize("value", [0.4, 999.4, 999.6, 1234567, 1e9, 3.05e12, 1e21, 2.5e-7, 12.35])
def test_numbers_are_words_numbers(desk: Browser, value: float):
    assert desk.js("return quantity(arguments[0])", value) == quantity(value)
    if value < 1e6:  # no loss is larger, nor a time
        assert desk.js("return WORDS.loss(arguments[0])", value) == number(value)
        assert desk.js("return seconds(arguments[0])", value) == time_words(value)
    assert desk.js("return plain(arguments[0], 6)", value) == f"{value:.6g}"


def test_a_column_sorts_both_ways_and_what_is_unknown_comes_last(desk: Browser):
    head = "th:nth-child({}) button".format(
        1 + desk.js("return runs.columns.findIndex((c) => c.name === 'eval_ne')")
    )
    for direction in ("ascending", "descending"):
        desk.driver.find_element("css selector", f"table.runs {head}").send_keys("\n")  # a key
        values = column(desk, "eval_ne")
        known = [float(v) for v in values if v != "–"]
        assert known == sorted(known, reverse=direction == "descending")
        assert "–" not in values[: len(known)] and len(known) < len(values)
        assert desk.js(f"return document.querySelectorAll('th[aria-sort={direction}]').length") == 1


@pytest.mark.parametrize(
    ("name", "text", "passes"),
    [
        ("embedding_dim", "8..16", lambda v: 8 <= float(v) <= 16),
        ("embedding_dim", ">=16", lambda v: float(v) >= 16),
        ("embedding_dim", "<8", lambda v: float(v) < 8),
        ("embedding_dim", "16", lambda v: v == "16"),
        ("embedding_dim", "!16", lambda v: v != "16"),
        ("samples", ">50k", lambda v: v in ("99.8k", "400k", "1M")),
        ("samples", "..20k", lambda v: v == "20k"),
        ("state", "left", lambda v: v == "left out"),
        ("state", "!done", lambda v: v != "done"),
        ("run_id", "SEED1", lambda v: "seed1" in v),
        ("eval_ne", "–", lambda v: v == "–"),
        ("eval_ne", ">=", lambda v: False),
        ("samples", "no number", lambda v: False),
    ],
)
def test_a_filter_lets_pass_what_it_says(desk: Browser, name: str, text: str, passes):
    whole = column(desk, name)
    type_into(desk, f"filter {name}", text)
    assert sorted(column(desk, name)) == sorted(v for v in whole if passes(v))
    assert desk.js("return document.querySelector('[role=status]').textContent").startswith(
        f"{sum(map(passes, whole))} of "
    )


def test_runs_are_grouped_and_a_group_opens(desk: Browser):
    whole = column(desk, "embedding_dim")
    desk.js(
        "const s = document.querySelector('#runs-table select'); s.value = 'embedding_dim';"
        "s.dispatchEvent(new Event('change'))"
    )
    heads = [r[0] for r in rows(desk)]
    assert heads == [f"{d} ({whole.count(d)})" for d in ("4", "8", "16", "32")]
    button = desk.driver.find_element("css selector", "tr.group button")
    button.send_keys("\n")
    assert len(rows(desk)) == len(heads) + whole.count("4")
    assert desk.js("return document.activeElement.getAttribute('aria-expanded')") == "true"


def test_a_range_on_an_axis_is_the_filter_of_its_column(desk: Browser):
    from selenium.webdriver.common.action_chains import ActionChains

    canvas = desk.driver.find_element("css selector", "canvas")
    at = desk.js("const l = runs.lines; return [l.x(0), l.y(1), l.y(0), l.axes[0].name, l.width]")
    x, top, bottom, name, width = at
    high = desk.js("return runs.lines.canvas.clientHeight")
    desk.js("arguments[0].scrollIntoView({block: 'center'})", canvas)
    middle = top + 0.4 * (bottom - top)
    drag = ActionChains(desk.driver)
    drag.move_to_element_with_offset(canvas, x - width / 2, top - 2 - high / 2).click_and_hold()
    drag.move_by_offset(0, int(middle - top)).release().perform()
    text = desk.js("return runs.inputs[arguments[0]].value", name)
    low, _, upper = text.partition("..")
    assert name == "embedding_dim" and upper == "32" and 8 < float(low) < 16
    assert set(column(desk, name)) == {"16", "32"}
    label = desk.js("return runs.lines.canvas.getAttribute('aria-label')")
    assert "embedding_dim 16 to 32" in label


WIDER = """
const wide = [];
for (const n of document.querySelectorAll("body *")) {
  const r = n.getBoundingClientRect();
  if (r.width && r.right > innerWidth + 1 && !n.closest(".scroll, .plot, pre"))
    wide.push(n.tagName + " " + n.className + " " + r.right);
}
return [document.documentElement.scrollWidth - innerWidth, wide.slice(0, 5)];
"""


@pytest.mark.parametrize("width", [PHONE, 768, DESK])
def test_nothing_is_wider_than_the_screen(chrome: Browser, page: Path, width: int):
    chrome.wide(width)
    chrome.open(page)
    over, wide = chrome.js(WIDER)
    assert over <= 0 and wide == []
    for name in ("gains", "ahead"):  # as cards on a phone, whole on a desk
        hidden = chrome.js(
            "const t = [...document.querySelectorAll('table.wide')];"
            "return t.filter((t) => t.scrollWidth > t.parentElement.clientWidth + 1).length"
        )
        assert hidden == 0 or width == 768, name


SPILLED = """
return [...document.querySelectorAll("td, th")].filter((c) => c.getClientRects().length
  && c.scrollWidth > c.clientWidth + 1 && getComputedStyle(c).overflowX === "visible")
  .map((c) => c.textContent.trim().slice(0, 40));
"""


@pytest.mark.parametrize("width", [PHONE, 768, DESK])
def test_no_cell_runs_into_the_next(chrome: Browser, page: Path, width: int):
    chrome.wide(width)
    chrome.open(page)
    chrome.js("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert chrome.js(SPILLED) == []


def test_the_sections_are_linked_from_the_first_screen(desk: Browser):
    links = desk.driver.find_elements("css selector", "#contents a")
    assert {"Marginal gains", "Runs"} <= {a.text for a in links} and len(links) > 6
    gains = next(a for a in links if a.text == "Marginal gains")
    gains.send_keys("\n")
    top = desk.js("return document.getElementById('gains').getBoundingClientRect().top")
    assert -2 <= top < 200


OVERLAP = """
const found = [];
for (const plot of document.querySelectorAll(".plot")) {
  for (const axis of ["xtick", "ytick"]) {
    const labels = [...plot.querySelectorAll(`g.${axis} text`)];
    const boxes = labels.map((t) => t.getBoundingClientRect());
    boxes.sort((a, b) => axis === "xtick" ? a.left - b.left : a.top - b.top);
    boxes.slice(1).forEach((b, i) => {
      const a = boxes[i];
      const apart = axis === "xtick" ? b.left - a.right : b.top - a.bottom;
      if (apart < 0) found.push([plot.dataset.figure, axis, apart]);
    });
  }
}
return found;
"""


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_tick_labels_do_not_collide_and_say_whole_numbers(chrome: Browser, page: Path, width: int):
    chrome.wide(width)
    chrome.open(page)
    assert chrome.js(OVERLAP) == []
    texts = chrome.js(
        "const d = document.querySelector('[data-figure=compute]');"
        "return [...d.querySelectorAll('g.xtick text')].map((t) => t.textContent)"
    )
    assert len(texts) >= 2 and all(t[-1] in "kMGTPE" for t in texts)


CONTRAST = """
const linear = (v) => v <= .03928 * 255 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
const lum = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
const rgb = (text) => {
  const m = text.match(/[\\d.]+/g).map(Number);
  return [m.slice(0, 3), m[3] ?? 1];
};
const over = (n) => {
  for (let e = n; e; e = e.parentElement) {
    const [c, a] = rgb(getComputedStyle(e).backgroundColor);
    if (a === 1) return c;
  }
  return rgb(getComputedStyle(document.body).backgroundColor)[0];
};
const low = new Set();
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const t = walk.currentNode, n = t.parentElement;
  if (!t.textContent.trim() || !n.getClientRects().length || n.closest("script, style")) continue;
  const style = getComputedStyle(n);
  const [c] = rgb(n instanceof SVGElement ? style.fill : style.color);
  const [x, y] = [lum(c), lum(over(n))].sort((p, q) => q - p);
  const ratio = (x + .05) / (y + .05);
  if (ratio < 4.5) low.add(`${n.tagName} ${ratio.toFixed(2)} ${t.textContent.slice(0, 30)}`);
}
for (const i of document.querySelectorAll("input")) {
  const [c] = rgb(getComputedStyle(i, "::placeholder").color);
  const [x, y] = [lum(c), lum(over(i))].sort((p, q) => q - p);
  if ((x + .05) / (y + .05) < 4.5) low.add("placeholder");
}
return [...low];
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(chrome: Browser, page: Path, dark: bool):
    """WCAG 2 AA: 4.5 to 1."""
    chrome.wide(DESK, dark)
    chrome.open(page)
    assert chrome.js("return getComputedStyle(document.body).backgroundColor") == (
        "rgb(22, 24, 27)" if dark else "rgb(255, 255, 255)"
    )
    assert chrome.js(CONTRAST) == []


def test_who_sees_no_figure_hears_its_name_and_reads_its_numbers(desk: Browser):
    names = desk.js(
        "return [...document.querySelectorAll('.plot, canvas')].map((n) =>"
        " [n.getAttribute('role'), n.getAttribute('aria-label')])"
    )
    assert all(role == "img" and name and " " in name for role, name in names)
    assert ("img", "eval_ne against training FLOP of the run") in [
        (role, name.split(":")[0]) for role, name in names
    ]
    table = desk.js(
        "const d = document.querySelector('.numbers'); d.open = true;"
        "return new Promise((done) => setTimeout("
        "() => done(d.querySelectorAll('tbody tr').length), 50))"
    )
    assert table >= 20
    unnamed = desk.js(
        "return [...document.querySelectorAll('button, input, select, summary')]"
        ".filter((n) => !(n.textContent.trim() || n.ariaLabel || n.labels?.length)).length"
    )
    assert unnamed == 0


def test_on_paper_nothing_is_cut_off(desk: Browser, page: Path):
    desk.js("dispatchEvent(new Event('beforeprint'))")
    over = desk.js(
        "const right = document.body.getBoundingClientRect().right + 2;"
        "return [...document.querySelectorAll('.plot .main-svg')]"
        ".filter((s) => s.getBoundingClientRect().right > right).length"
    )
    assert over == 0
    desk.js("dispatchEvent(new Event('afterprint'))")
    assert desk.pdf().startswith(b"%PDF")
    assert desk.said() == []


def test_hostile_names_and_errors_stay_text(chrome: Browser, tmp_path: Path):
    text = SWEEP.replace("seeds: 2", "seeds: 1").replace("tune: [1, 3]", "tune: [1]")
    spec = parse_spec(text)
    runs = planned_runs(spec, DATA)
    tables = tuple(t.model_copy(update={"name": f"{HOSTILE}{t.name}"}) for t in DATA.tables)
    data = DATA.model_copy(
        update={
            "tables": tables,
            "history": tables[0].name,
            "baselines": {HOSTILE: 0.5},
            "notes": {HOSTILE: HOSTILE},
        }
    )
    ledger = Ledger(tmp_path / "run")
    ledger.append("plan", **plan_entry(spec, data, runs))
    for i, p in enumerate(runs):
        failed = {"status": "failed", "error": HOSTILE, "curve": (), "measured": None}
        facts = failed if i == 3 else {"worse_than": {HOSTILE: 0.5}} if i == 4 else {}
        ledger.record(record(p, reason=HOSTILE, **facts))
    page = tmp_path / "report.html"
    page.write_text(render(Study.of(ledger), HOSTILE))
    chrome.wide(DESK)
    chrome.said()
    chrome.open(page)
    assert chrome.js("return document.title") == f"{HOSTILE} · recscale"
    assert chrome.js("return document.querySelector('h1').textContent") == HOSTILE
    assert chrome.js("return document.querySelectorAll('img').length") == 0
    assert HOSTILE in chrome.js("return document.body.textContent")
    assert chrome.said() == []


def test_a_live_page_loads_itself_anew_and_keeps_its_readers_place(
    chrome: Browser, page: Path, tmp_path: Path
):
    html, page = page.read_text(), tmp_path / "report.html"
    page.write_bytes(living(html, time.time(), 12))
    chrome.wide(DESK)
    chrome.open(page)
    assert "Live" in chrome.js("return document.getElementById('live').textContent")
    chrome.js("runs.set({filters: {embedding_dim: '8..16'}, sort: 'eval_ne', group: 'seed'})")
    chrome.js("document.querySelectorAll('details')[1].open = true")
    chrome.wait("document.querySelectorAll('details')[1].children.length > 1")
    chrome.js("scrollTo(0, 2500)")
    place = (
        "return [Math.round(document.getElementById('gains').getBoundingClientRect().top),"
        " runs.chosen().length]"
    )
    before = chrome.js(place)
    page.write_text(html.replace("48 runs done", "48 runs done, and over"))
    chrome.wait("document.body.dataset.drawn && !document.getElementById('live')")
    assert "and over" in chrome.js("return document.body.textContent")
    assert chrome.js(place) == pytest.approx(before, abs=1)  # of pixels
    assert chrome.js("return [runs.state.sort, runs.state.group]") == ["eval_ne", "seed"]
    assert chrome.js("return document.querySelectorAll('details')[1].open")
    assert chrome.js("return runs.inputs.embedding_dim.value") == "8..16"


def test_a_page_whose_driver_is_silent_stops_and_says_so(
    chrome: Browser, page: Path, tmp_path: Path
):
    silent = tmp_path / "report.html"
    silent.write_bytes(living(page.read_text(), 1.7e9, 1))
    chrome.open(silent)
    said = chrome.js("return document.getElementById('live').textContent")
    assert said.startswith("No sign of life since 2023-11-14")
