/* The runs of a sweep as a table that sorts, filters and groups, and as parallel coordinates. One
   state decides what both show: a range drawn on an axis is the filter of its column. All that
   comes from data is set as text, never as HTML. */
"use strict";

const STEP = 100;  // rows added at a time: of ten thousand a browser takes seconds

/** What a filter lets pass, of one column: a test of a value and its text, and the range if it is
    one. `>=8`, `4..16`, `1.2G`, part of a text; `!` before it turns it round. */
function parsed(text, numeric) {
  text = text.trim();
  if (text.startsWith("!") && text.length > 1) {
    const other = parsed(text.slice(1), numeric);
    return {passes: (v, shown) => !other.passes(v, shown)};
  }
  const part = text.toLowerCase();
  if (numeric) {
    const sides = text.split("..");
    const ends = sides.map((s) => s.trim() ? amount(s) : null);
    if (sides.length === 2 && !ends.some(Number.isNaN) && ends.some((e) => e !== null)) {
      const [low, high] = [ends[0] ?? -Infinity, ends[1] ?? Infinity];
      return {range: [low, high], passes: (v) => v !== null && v >= low && v <= high};
    }
    const found = /^(>=|<=|>|<|=)?(.+)$/.exec(text), bound = found ? amount(found[2]) : NaN;
    if (!Number.isNaN(bound)) {
      const than = {
        ">": (v) => v > bound, "<": (v) => v < bound, ">=": (v) => v >= bound,
        "<=": (v) => v <= bound,
      }[found[1]];
      if (than) return {passes: (v) => v !== null && than(v)};
      return {passes: (v, shown) => v === bound || shown === found[2].trim()};
    }
  }
  return {passes: (v, shown) => shown.toLowerCase().includes(part)};
}

class Runs {
  constructor(root, data) {
    this.root = root;
    this.columns = data.columns.map((c) => ({
      ...c, numeric: c.kind !== "text",
      at: c.at ? (i) => c.values[c.at[i]] : (i) => c.values[i],
    }));
    for (const c of this.columns) {
      c.shown = (i) => c.at(i) === null ? c.none : WORDS[c.kind](c.at(i));
    }
    this.n = data.n;
    this.state = {filters: {}, search: "", sort: "", up: true, group: "", open: [], most: STEP};
    this.collator = new Intl.Collator("en", {numeric: true});
    this.lines = new Lines(this, data.axes, data.colour);
    this.build();
    this.show();
  }

  build() {
    const find = make("input", {type: "search"});
    find.addEventListener("input", () => this.set({search: find.value, most: STEP}));
    const few = this.columns.filter((c) => {
      const seen = new Set();
      for (let i = 0; i < this.n && seen.size <= 60; i++) seen.add(c.shown(i));
      return seen.size > 1 && seen.size <= 60;
    });
    const group = make("select", {}, make("option", {value: "", textContent: "nothing"}),
      ...few.map((c) => make("option", {value: c.name, textContent: c.name})));
    group.addEventListener("change", () => this.set({group: group.value, open: [], most: STEP}));
    const clear = make("button", {type: "button", textContent: "Clear all"});
    clear.addEventListener("click", () => {
      this.set({filters: {}, search: "", sort: "", up: true, group: "", open: [], most: STEP});
    });
    this.find = find; this.group = group;
    this.said = make("p", {className: "soft"});
    this.said.setAttribute("role", "status");
    this.more = make("button", {type: "button", className: "more"});
    this.more.addEventListener("click", () => this.set({most: this.state.most + STEP}));
    this.body = make("tbody");
    const names = make("tr"), inputs = make("tr", {className: "filters"});
    this.heads = {}; this.inputs = {};
    for (const c of this.columns) {
      const button = make("button", {type: "button", textContent: c.name});
      const th = this.heads[c.name] = make("th", {scope: "col"}, button);
      button.addEventListener("click", () => {
        const s = this.state;
        this.set({sort: c.name, up: s.sort === c.name ? !s.up : true});
      });
      names.append(th);
      const input = this.inputs[c.name] = make("input", {type: "text", size: c.numeric ? 8 : 14});
      input.setAttribute("aria-label", `filter ${c.name}`);
      input.placeholder = c.numeric ? "4..16, >=8" : "part, !part";
      input.addEventListener("input", () => {
        this.set({filters: {...this.state.filters, [c.name]: input.value}, most: STEP});
      });
      inputs.append(make("td", {}, input));
    }
    const table = make("table", {className: "runs"}, make("thead", {}, names, inputs), this.body);
    const scroll = make("div", {className: "scroll"}, table);
    scroll.setAttribute("aria-label", "table of runs");
    this.root.append(
      make("div", {className: "controls"}, make("label", {}, "Search ", find),
        make("label", {}, "Group by ", group), clear),
      this.said, this.lines.node, scroll, this.more);
  }

  set(change) {
    Object.assign(this.state, change);
    this.show();
  }

  /** Indices of the runs that pass all filters, in the order asked for. */
  chosen() {
    const s = this.state, part = s.search.trim().toLowerCase();
    const tests = this.columns.filter((c) => (s.filters[c.name] || "").trim())
      .map((c) => [c, parsed(s.filters[c.name], c.numeric)]);
    const out = [];
    for (let i = 0; i < this.n; i++) {
      if (!tests.every(([c, t]) => t.passes(c.at(i), c.shown(i)))) continue;
      if (part && !this.columns.some((c) => c.shown(i).toLowerCase().includes(part))) continue;
      out.push(i);
    }
    const by = this.columns.find((c) => c.name === s.sort);
    return by ? out.sort((a, b) => this.order(by, a, b)) : out;
  }

  order(c, a, b) {  // what is not known comes last, whichever way
    const x = c.at(a), y = c.at(b);
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    const d = c.numeric ? x - y : this.collator.compare(x, y);
    return (this.state.up ? d : -d) || a - b;
  }

  show() {
    const s = this.state, rows = this.chosen();
    if (this.find.value !== s.search) this.find.value = s.search;
    this.group.value = s.group;
    for (const c of this.columns) {
      const text = s.filters[c.name] || "", input = this.inputs[c.name];
      if (input.value !== text) input.value = text;
      const sorted = s.sort === c.name ? (s.up ? "ascending" : "descending") : "none";
      this.heads[c.name].setAttribute("aria-sort", sorted);
    }
    this.said.textContent = `${rows.length.toLocaleString("en")} of ${this.n.toLocaleString("en")} runs`;
    const by = this.columns.find((c) => c.name === s.group);
    const drawn = [];
    if (by) this.grouped(rows, by, drawn); else for (const i of rows) drawn.push(() => this.row(i));
    this.body.replaceChildren(...drawn.slice(0, s.most).map((draw) => draw()));
    const left = drawn.length - s.most;
    this.more.hidden = left <= 0;
    this.more.textContent = `${Math.min(STEP, left)} more of ${left.toLocaleString("en")} rows`;
    this.lines.draw(rows);
    document.dispatchEvent(new Event("layout"));
  }

  row(i) {
    const tr = make("tr", {}, ...this.columns.map((c) => make(
      "td", {textContent: c.shown(i), className: c.numeric ? "num" : c.name === "run_id" ? "id" : ""})));
    tr.addEventListener("pointerenter", () => this.lines.light(i));
    tr.addEventListener("pointerleave", () => this.lines.light(null));
    return tr;
  }

  /** A row for each value of a column, from least to most; its runs below it where it is open. */
  grouped(rows, by, drawn) {
    const groups = new Map();
    for (const i of rows) {
      const key = by.shown(i);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(i);
    }
    const up = this.state.up;
    this.state.up = this.state.sort === by.name ? up : true;
    const keys = [...groups.keys()].sort((a, b) => this.order(by, groups.get(a)[0], groups.get(b)[0]));
    this.state.up = up;
    for (const key of keys) {
      const own = groups.get(key), open = this.state.open.includes(key);
      drawn.push(() => this.head(by, key, own, open));
      if (open) for (const i of own) drawn.push(() => this.row(i));
    }
  }

  head(by, key, own, open) {
    const button = make("button", {type: "button", textContent: `${key} (${own.length})`});
    button.setAttribute("aria-expanded", String(open));
    button.addEventListener("click", () => {
      this.set({open: open ? this.state.open.filter((k) => k !== key) : [...this.state.open, key]});
      [...this.body.querySelectorAll("button")].find((b) => b.textContent === button.textContent)?.focus();
    });
    const cells = this.columns.slice(1).map((c) => make(
      "td", {textContent: this.span(c, own), className: c.numeric ? "num" : ""}));
    return make("tr", {className: "group"}, make("td", {}, button), ...cells);
  }

  span(c, own) {  // one value, or from which to which
    if (!c.numeric) {
      const seen = new Set(own.map((i) => c.shown(i)));
      return seen.size === 1 ? [...seen][0] : `${seen.size} values`;
    }
    let low = Infinity, high = -Infinity;
    for (const i of own) {
      const v = c.at(i);
      if (v !== null) { low = Math.min(low, v); high = Math.max(high, v); }
    }
    if (low > high) return c.none;
    return low === high ? WORDS[c.kind](low) : `${WORDS[c.kind](low)} to ${WORDS[c.kind](high)}`;
  }
}
