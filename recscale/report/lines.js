/* Parallel coordinates: a line a run, an axis a column. A range is drawn by the mouse, or written
   into the filter of its column, which the keyboard reaches. */
"use strict";

const TOP = 34, FOOT = 24, SIDE = 52, APART = 104, HIGH = 300;

class Lines {
  constructor(runs, axes, colour) {
    this.runs = runs;
    this.axes = axes.map((name) => this.scale(runs.columns.find((c) => c.name === name)));
    this.colour = this.axes.find((a) => a.name === colour) || this.axes[this.axes.length - 1];
    this.lit = null;
    this.canvas = make("canvas");
    this.canvas.setAttribute("role", "img");
    this.node = make("div", {className: "scroll lines", hidden: this.axes.length < 2}, this.canvas);
    this.node.setAttribute("aria-label", "parallel coordinates");
    this.canvas.addEventListener("pointerdown", (e) => this.press(e));
    new ResizeObserver(() => this.paint()).observe(this.node);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }

  /** Where a value lies on its axis, 0 to 1: logarithmic where the positive values span a lot. */
  scale(c) {
    let low = Infinity, high = -Infinity;
    for (let i = 0; i < this.runs.n; i++) {
      const v = c.at(i);
      if (v !== null) { low = Math.min(low, v); high = Math.max(high, v); }
    }
    const log = low > 0 && high >= 8 * low, f = log ? Math.log : (v) => v;
    const [from, to] = [f(low), f(high)];
    return {
      name: c.name, column: c, low, high,
      at: (v) => to > from ? (f(v) - from) / (to - from) : 0.5,
      value: (share) => log ? Math.exp(from + share * (to - from)) : from + share * (to - from),
    };
  }

  draw(rows) {
    this.rows = rows;
    const facts = this.axes.map((a) => {
      const c = a.column;
      return `${a.name} ${c.shown === undefined ? "" : this.runs.span(c, rows)}`;
    });
    this.canvas.setAttribute("aria-label",
      `Parallel coordinates of ${rows.length} runs, the same as in the table below: ${facts.join(", ")}`);
    this.paint();
  }

  light(i) {
    this.lit = i;
    this.paint();
  }

  x(k) {
    return SIDE + k * (this.width - 2 * SIDE) / Math.max(1, this.axes.length - 1);
  }

  y(share) {
    return HIGH - FOOT - share * (HIGH - TOP - FOOT);
  }

  path(pen, i) {
    let on = false;
    pen.beginPath();
    this.axes.forEach((a, k) => {
      const v = a.column.at(i);
      if (v === null) { on = false; return; }
      if (on) pen.lineTo(this.x(k), this.y(a.at(v))); else pen.moveTo(this.x(k), this.y(a.at(v)));
      on = true;
    });
    pen.stroke();
  }

  paint() {
    if (!this.rows || this.node.hidden) return;
    const style = getComputedStyle(document.body), ratio = devicePixelRatio || 1;
    const ink = style.getPropertyValue("--ink"), soft = style.getPropertyValue("--soft");
    const faint = style.getPropertyValue("--line");
    this.width = Math.max(this.node.clientWidth, APART * (this.axes.length - 1) + 2 * SIDE);
    const canvas = this.canvas, pen = canvas.getContext("2d");
    if (canvas.width !== Math.round(this.width * ratio)) {
      canvas.width = Math.round(this.width * ratio);
      canvas.height = Math.round(HIGH * ratio);
      canvas.style.width = `${this.width}px`;
      canvas.style.height = `${HIGH}px`;
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, this.width, HIGH);
    const chosen = new Set(this.rows);
    pen.lineWidth = 1;
    pen.strokeStyle = faint;
    pen.globalAlpha = 0.5;
    if (chosen.size < this.runs.n) {
      for (let i = 0; i < this.runs.n; i++) if (!chosen.has(i)) this.path(pen, i);
    }
    pen.globalAlpha = Math.max(0.08, Math.min(0.8, 60 / Math.max(1, chosen.size)));
    for (const i of this.rows) {
      const v = this.colour.column.at(i), share = v === null ? 1 : this.colour.at(v);
      pen.strokeStyle = `hsl(${200 - 190 * share} 65% 48%)`;
      this.path(pen, i);
    }
    pen.globalAlpha = 1;
    if (this.lit !== null) {
      pen.lineWidth = 3;
      pen.strokeStyle = ink;
      this.path(pen, this.lit);
    }
    pen.lineWidth = 1;
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "center";
    const room = (this.width - 2 * SIDE) / Math.max(1, this.axes.length - 1) - 8;
    this.axes.forEach((a, k) => {
      const x = this.x(k), words = WORDS[a.column.kind];
      pen.strokeStyle = soft;
      pen.strokeRect(x, this.y(1), 0, this.y(0) - this.y(1));
      pen.fillStyle = ink;
      pen.fillText(fitted(pen, a.name, Math.min(room, 2 * SIDE)), x, 14);
      pen.fillStyle = soft;
      pen.fillText(words(a.high), x, 29);
      pen.fillText(words(a.low), x, HIGH - 6);
      const range = this.range(a);
      if (range) {
        pen.fillStyle = "rgba(46, 134, 171, .35)";
        const [from, to] = range.map((v) => this.y(Math.min(1, Math.max(0, a.at(v)))));
        pen.fillRect(x - 7, to, 14, Math.max(2, from - to));
      }
    });
  }

  range(a) {
    const text = this.runs.state.filters[a.name];
    const found = text && parsed(text, true).range;
    return found && [Math.max(a.low, found[0]), Math.min(a.high, found[1])];
  }

  /** A drag along an axis sets the filter of its column; a click there takes it away. */
  press(event) {
    if (event.pointerType === "touch") return;  // which scrolls
    const box = () => this.canvas.getBoundingClientRect(), x = event.clientX - box().left;
    const k = this.axes.findIndex((_, k) => Math.abs(this.x(k) - x) < 24);
    if (k < 0) return;
    event.preventDefault();
    const a = this.axes[k], first = event.clientY - box().top;
    const share = (y) => Math.min(1, Math.max(0, (this.y(0) - y) / (this.y(0) - this.y(1))));
    const filter = (text) => {
      this.runs.set({filters: {...this.runs.state.filters, [a.name]: text}, most: STEP});
    };
    const move = (e) => {
      const ends = [share(first), share(e.clientY - box().top)].sort((p, q) => p - q);
      const [low, high] = ends.map((s) => s === 0 ? a.low : s === 1 ? a.high : a.value(s));
      filter(`${short(low, a.low)}..${short(high, a.high)}`);
    };
    const up = (e) => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", up);
      if (Math.abs(e.clientY - box().top - first) < 4) filter("");
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", up);
  }
}

/** Four digits, but an end of the axis as it is: rounded it would leave out its own run. */
const short = (v, end) => v === end ? String(end) : String(Number(v.toPrecision(4)));

function fitted(pen, text, room) {
  if (pen.measureText(text).width <= room) return text;
  while (text && pen.measureText(`${text}…`).width > room) text = text.slice(0, -1);
  return `${text}…`;
}
