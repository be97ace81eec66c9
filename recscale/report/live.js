/* A page of a sweep that runs loads itself anew, and keeps where its reader was. */
"use strict";

const SILENT_S = 900, TYPING_MS = 20000;
const KEY = `recscale ${location.pathname}`;

/** Where the reader is: scroll, from the last heading above where there is one (the page may have
    grown above it), the table's state, what is unfolded, zoom and focus. */
function place() {
  const boxes = [...document.querySelectorAll(".scroll")].map((b) => [b.scrollLeft, b.scrollTop]);
  const unfolded = [...document.querySelectorAll("details")].map((d) => d.open);
  const zoom = [...document.querySelectorAll(".plot")].map((d) => d.zoom || null);
  const focus = document.activeElement?.getAttribute("aria-label") || "";
  const above = [...document.querySelectorAll("h2[id]")]
    .filter((h) => h.getBoundingClientRect().top <= 0).pop();
  const y = above ? -above.getBoundingClientRect().top : scrollY;
  return {x: scrollX, y, from: above?.id, boxes, unfolded, zoom, focus, runs: window.runs?.state};
}

function keep() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(place()));
  } catch { /* a browser that keeps nothing: the page loads at its top */ }
}

function kept() {
  try {
    const text = sessionStorage.getItem(KEY);
    sessionStorage.removeItem(KEY);
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function restore(was) {
  if (!was) return;
  if (was.runs) window.runs?.set(was.runs);
  document.querySelectorAll("details").forEach((d, i) => { if (i in was.unfolded) d.open = was.unfolded[i]; });
  document.querySelectorAll(".plot").forEach((d, i) => { if (was.zoom[i]) Plotly.relayout(d, was.zoom[i]); });
  await new Promise((done) => setTimeout(done));  // what is unfolded has filled itself by then
  if (was.focus) {
    [...document.querySelectorAll("[aria-label]")].find((n) => n.getAttribute("aria-label") === was.focus)
      ?.focus({preventScroll: true});
  }
  document.querySelectorAll(".scroll").forEach((b, i) => {
    if (was.boxes[i]) [b.scrollLeft, b.scrollTop] = was.boxes[i];
  });
  const from = was.from && document.getElementById(was.from);
  scrollTo(was.x, was.y + (from ? from.getBoundingClientRect().top + scrollY : 0));
}

function follow() {
  const {live, heard, stopped} = document.body.dataset, at = new Date(1000 * heard);
  if (!live && !stopped) return;
  const note = make("p", {className: "soft", id: "live"});
  document.querySelector("h1").after(note);
  const when = at.toISOString().slice(0, 19).replace("T", " ") + " UTC";
  if (stopped) {
    note.textContent = `Stopped; as of ${when}. The command that started the sweep goes on.`;
    return;
  }
  if (Date.now() / 1000 - heard > SILENT_S) {
    note.textContent = `No sign of life since ${when}: this page loads itself no more.`;
    return;
  }
  note.textContent = `Live, as of ${when}; loads itself every ${live} s and keeps your place.`;
  let typed = -Infinity, held = false;
  addEventListener("input", () => { typed = performance.now(); }, true);
  addEventListener("pointerdown", () => { held = true; }, true);
  addEventListener("pointerup", () => { held = false; }, true);
  const again = () => {
    if (held || document.hidden || performance.now() - typed < TYPING_MS) {
      setTimeout(again, 2000);
      return;
    }
    keep();
    location.reload();
  };
  setTimeout(again, 1000 * live);
}
