/* Unpacks plotly, draws the figures, and makes what is drawn readable without eyes, on a phone, on
   paper and in the dark. */
"use strict";

const ROWS = 500;  // of a figure's numbers in its table
const colours = () => {
  const style = getComputedStyle(document.body);
  return {ink: style.getPropertyValue("--ink").trim(), soft: style.getPropertyValue("--soft").trim()};
};

async function unpacked() {
  const bytes = Uint8Array.from(atob(document.getElementById("plotly").textContent.trim()),
    (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  document.head.append(make("script", {textContent: await new Response(stream).text()}));
}

/** Ticks of a logarithmic axis from decade to decade, or at 1, 2 and 5, as many as there is room
    for; each says its whole number. */
function ticks(low, high, room) {
  const most = Math.max(2, Math.floor(room / 52)), decades = high - low;
  const at = [];
  const steps = decades > most ? [1] : 3 * decades <= most ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil(decades / most));
  for (let d = Math.floor(low); d <= Math.ceil(high); d++) {
    if (((d % every) + every) % every) continue;
    for (const s of steps) {
      const v = d + Math.log10(s);
      if (v >= low - 1e-9 && v <= high + 1e-9) at.push(v);
    }
  }
  return at.length >= 2 ? at : [low + 0.05 * decades, high - 0.05 * decades];
}

function relabelled(div) {
  const change = {};
  for (const key of ["xaxis", "yaxis"]) {
    const axis = div._fullLayout[key];
    if (!axis || axis.type !== "log" || div.dataset[key] === "own") continue;
    const [low, high] = axis.range, room = key === "xaxis" ? axis._length : 0.8 * axis._length;
    const at = ticks(Math.min(low, high), Math.max(low, high), room).map((v) => 10 ** v);
    change[`${key}.tickvals`] = at;
    change[`${key}.ticktext`] = at.map(quantity);
    change[`${key}.tickangle`] = 0;
  }
  return change;
}

async function draw(div) {
  const f = JSON.parse(document.getElementById(`figure-${div.dataset.figure}`).textContent);
  for (const key of ["xaxis", "yaxis"]) if (f.layout[key]?.tickvals) div.dataset[key] = "own";
  f.layout.font.color = colours().soft;
  div.replaceChildren();
  await Plotly.newPlot(div, f.data, f.layout, {responsive: true, displaylogo: false,
    modeBarButtons: [["toImage", "resetScale2d"]]});
  let last = "";
  const again = (seen) => {
    if (seen && "xaxis.range[0]" in seen) div.zoom = seen;
    if (seen && seen["xaxis.autorange"]) div.zoom = null;
    const change = relabelled(div), now = JSON.stringify(change);
    if (now !== last && now !== "{}") { last = now; Plotly.relayout(div, change); }
  };
  again();
  div.on("plotly_relayout", again);
  div.on("plotly_autosize", () => again());
  numbers(div, f);
}

/** The facts of a figure as a table, made when it is opened. */
function numbers(div, f) {
  if (f.layout.meta) return;  // a table below has the same numbers
  const name = div.getAttribute("aria-label"), unit = (a) => f.layout[a].title.text;
  const details = make("details", {className: "numbers"},
    make("summary", {textContent: "This figure's numbers"}));
  details.firstChild.setAttribute("aria-label", `Numbers of the figure: ${name}`);
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    const rows = f.data.filter((t) => t.x && t.name).flatMap((t) => t.x.map((x, i) => [t.name, x, t.y[i]]))
      .filter((r) => r[1] !== null && r[2] !== null);
    const body = rows.slice(0, ROWS).map((r) => make("tr", {}, ...r.map((v, k) => make("td", {
      textContent: typeof v === "number" ? (k === 1 ? quantity(v) : plain(v, 5)) : v,
      className: k ? "num" : ""}))));
    const head = make("tr", {}, ...["what", unit("xaxis"), unit("yaxis")].map((t) => make("th", {
      scope: "col", textContent: t})));
    details.append(scrolling(make("div", {className: "scroll"},
      make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)))));
    if (rows.length > ROWS) {
      details.append(make("p", {className: "soft",
        textContent: `The first ${ROWS} of ${rows.length}; runs.csv and curves.parquet hold all.`}));
    }
  });
  div.after(details);
}

/** A box that scrolls says so, and the keyboard reaches it. */
function scrolling(box) {
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  if (!box.hasAttribute("aria-label")) box.setAttribute("aria-label", "table that scrolls");
  return box;
}

function hints() {
  for (const box of document.querySelectorAll(".scroll")) {
    box.classList.toggle("more", box.scrollWidth > box.clientWidth + 1);
  }
}

/** On a phone a wide table becomes a card a row, whose cells bear the names of their columns. */
function cards(table) {
  const names = [...table.querySelectorAll("th")].map((th) => th.textContent);
  table.setAttribute("role", "table");
  for (const row of table.rows) {
    row.setAttribute("role", "row");
    [...row.cells].forEach((cell, i) => {
      cell.setAttribute("role", cell.tagName === "TH" ? "columnheader" : "cell");
      if (cell.tagName === "TD" && i) cell.dataset.name = names[i] || "";
    });
  }
}

/** Links to the sections, from their headings. */
function contents() {
  const nav = document.getElementById("contents");
  if (!nav) return;
  const links = [...document.querySelectorAll("h2[id]")].map((h) => make("a", {
    href: `#${h.id}`, textContent: h.textContent}));
  nav.append(...links);
  nav.hidden = links.length < 3;
}

async function start() {
  contents();
  const wide = [...document.querySelectorAll("table.wide")];
  wide.forEach(cards);
  document.querySelectorAll(".scroll").forEach(scrolling);
  document.addEventListener("layout", hints);
  addEventListener("resize", hints);
  document.addEventListener("toggle", hints, true);
  const plots = [...document.querySelectorAll(".plot")], was = kept();
  follow();
  hints();
  if (plots.length) await unpacked();
  for (const div of plots) await draw(div);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    plots.forEach((div) => Plotly.relayout(div, {"font.color": colours().soft}));
  });
  addEventListener("beforeprint", () => {
    document.body.classList.add("paper");
    plots.forEach((div) => Plotly.relayout(div, {width: div.parentElement.clientWidth}));
  });
  addEventListener("afterprint", () => {
    document.body.classList.remove("paper");
    plots.forEach((div) => Plotly.relayout(div, {width: null, autosize: true}));
  });
  await restore(was);
  document.body.dataset.drawn = String(plots.length);
}
