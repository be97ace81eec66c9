/* Numbers as recscale.words has them, and nodes whose texts are never read as HTML. */
"use strict";

const UNITS = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
const plain = (v, digits) => {  // as Python's %g
  const e = v ? Math.floor(Math.log10(Math.abs(Number(v.toPrecision(digits))))) : 0;
  if (e >= -4 && e < digits) return String(Number(v.toPrecision(digits)));
  const [m, power] = v.toExponential(digits - 1).split("e");
  return `${Number(m)}e${power[0]}${power.slice(1).padStart(2, "0")}`;
};
const quantity = (v) => {
  if (Math.abs(v) >= 999.5 * UNITS[0][0]) return plain(v, 3).replace("e+", "e");
  const unit = UNITS.find(([limit]) => Math.abs(v) >= 0.9995 * limit);
  return unit ? plain(v / unit[0], 3) + unit[1] : plain(v, 3);
};
const seconds = (v) => {
  if (v < 60) return `${v.toFixed(0)}s`;
  const m = Math.round(v / 60);
  return m < 60 ? `${m}m` : `${Math.floor(m / 60)}h${String(m % 60).padStart(2, "0")}m`;
};
const WORDS = {  // the same as in recscale.words
  quantity, time: seconds, plain: (v) => plain(v, 6), usd: (v) => v.toFixed(4),
  loss: (v) => v && Math.abs(v) < 2e-4 ? plain(v, 2) : v.toFixed(4), text: String,
};
const amount = (text) => {  // 1.2G -> 1.2e9; NaN for what is no number
  const found = /^([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)([EPTGMk])?$/i.exec(text.trim());
  if (!found) return NaN;
  const unit = UNITS.find(([, sign]) => sign === found[2]);
  return found[2] && !unit ? NaN : Number(found[1]) * (unit ? unit[0] : 1);
};

function make(tag, facts = {}, ...children) {
  const node = Object.assign(document.createElement(tag), facts);
  node.append(...children);
  return node;
}
