// What all parts of the page use: data that come from files or blocks, elements, numbers, rows.
//
// Text from records enters the document as text nodes and attribute values only (element(), picture()); nothing here
// parses markup.
"use strict";

/// Kinds of notes (reports/report.h) as flags say them.
const note_names = { mixed: "not of one origin", "training-data": "trained on these tracks", untrained: "untrained", "ill-conditioned": "ill-conditioned" };

const mssbench = {
  values: new Map(),   // name -> value
  waiting: new Map(),  // name -> [resolve]
  data(name, value) {
    this.values.set(name, value);
    for (const resolve of this.waiting.get(name) || []) resolve(value);
    this.waiting.delete(name);
  },
};

/// The value `name`: from a block inside the page, or from a file beside it.
function load(name) {
  if (mssbench.values.has(name)) return Promise.resolve(mssbench.values.get(name));
  const block = document.getElementById("data-" + name);
  if (block) {
    mssbench.data(name, JSON.parse(block.textContent));
    block.remove();
    return Promise.resolve(mssbench.values.get(name));
  }
  return new Promise((resolve, reject) => {
    const first = !mssbench.waiting.has(name);
    if (first) mssbench.waiting.set(name, []);
    mssbench.waiting.get(name).push(resolve);
    if (!first) return;
    const script = document.createElement("script");
    script.src = "page/data/" + name + ".js";
    script.onload = () => script.remove();
    script.onerror = () => {
      mssbench.waiting.delete(name);
      script.remove();
      reject(new Error("page/data/" + name + ".js cannot be read; was it moved apart from index.html?"));
    };
    document.head.append(script);
  });
}

// --- elements ------------------------------------------------------------------------------------------------------------

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function element(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function picture(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/// These children, lists of them too, in place of those that are there.
function put(place, ...children) {
  place.replaceChildren();
  fill(place, {}, children);
}

/// A table, or anything wide, that scrolls by itself and can be reached by the keyboard.
function scrolling(label, ...children) {
  return element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label }, ...children);
}

function select(label, options, value, change) {
  const control = element("select", { onchange: () => change(control.value) },
    options.map(([key, text]) => element("option", { value: key, selected: String(key) === String(value) }, text)));
  return element("label", { class: "control" }, element("span", {}, label), control);
}

/// Text that can be copied as it stands.
function code_block(text) {
  const area = element("pre", {}, element("code", {}, text));
  const button = element("button", { type: "button", class: "quiet copy", onclick: () => {
    const done = () => { button.textContent = "Copied"; setTimeout(() => { button.textContent = "Copy"; }, 1500); };
    const by_hand = () => {
      const range = document.createRange();
      range.selectNodeContents(area);
      const selection = window.getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      if (document.execCommand("copy")) done();
    };
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, by_hand);
    else by_hand();
  } }, "Copy");
  return element("div", { class: "code" }, area, button);
}

// --- numbers -------------------------------------------------------------------------------------------------------------

/// Numbers of the data: null is undefined, "inf" and "-inf" are infinite.
function number(value) {
  if (value === "inf") return Infinity;
  if (value === "-inf") return -Infinity;
  return value === null || value === undefined ? NaN : value;
}

/// A number for readers, with a real minus sign and never "−0.00".
function fixed(value, digits) {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? "−" + text : text;
}

function signed(value, digits) {
  const text = fixed(value, digits);
  return value > 0 && Number(text) !== 0 ? "+" + text : text;
}

function interval_text(low, high, digits) {
  return Number.isNaN(low) ? "" : fixed(low, digits) + " … " + fixed(high, digits);
}

/// Three significant digits with a prefix: 8.9 M, 1.2 G.
function prefixed(value, unit) {
  if (Number.isNaN(value)) return "–";
  const steps = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]];
  const [scale, prefix] = steps.find(([s]) => value >= s) || [1, ""];
  return significant(value / scale) + " " + prefix + unit;
}

function significant(value) {
  if (Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  if (Math.abs(value) >= 1000) return value.toFixed(0);
  return String(Number(value.toPrecision(Math.abs(value) >= 100 ? 3 : 2)));
}

function p_text(p) {
  if (Number.isNaN(p)) return "–";
  return p < 1e-4 ? "p < 0.0001" : "p = " + p.toFixed(4);
}

function quantile(sorted, share) {
  const place = share * (sorted.length - 1), below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

function mean_of(values) {
  return values.length ? values.reduce((a, b) => a + b, 0) / values.length : NaN;
}

function plural(count, one, many) {
  return count + " " + (count === 1 ? one : many || one + "s");
}

function duration_text(seconds) {
  if (Number.isNaN(seconds)) return "–";
  const whole = Math.round(seconds);
  return Math.floor(whole / 60) + ":" + String(whole % 60).padStart(2, "0");
}

// --- what is shown -------------------------------------------------------------------------------------------------------

let report = null;

/// Choices of the reader; everything on the page follows them.
const state = {
  section: 0,
  metric: 0,        // index into the section's metrics
  statistic: "median",
  target: 0,        // index into the section's targets; their number is the average
  kinds: { method: true, floor: true, oracle: true },
  protocol: "",
  training: "",
  text: "",
  sort: { key: "score", target: -1, down: true },
  cost: "rtf",
};

const section = () => report.sections[state.section];
const metric_id = () => section().metrics[state.metric];
const metric_info = () => report.metrics[metric_id()];
const unit = () => metric_info().unit;
const metric_label = () => metric_id() + (unit() ? " (" + unit() + ")" : "");
const target_count = () => section().targets.length;
const target_name = (t) => (t < target_count() ? section().targets[t] : "average");
const targets_shown = () => (target_count() > 1 ? [target_count(), ...section().targets.keys()] : [0]);
const is_higher_better = () => metric_info().higher;
const section_title = (s) => s.dataset + " / " + s.subset + " / " + s.scenario;

const kind_names = { method: "method", floor: "floor", oracle: "oracle" };
const training_names = {
  none: "nothing trained", benchmark: "MUSDB18 only", extra: "other or more data", unknown: "not known", oracle: "knows the stems",
};

/// Numbers of a cell by name.
function cell(row, m, t) {
  const c = row.cells[m][t];
  return {
    median: number(c[0]), median_low: number(c[1]), median_high: number(c[2]),
    mean: number(c[3]), mean_low: number(c[4]), mean_high: number(c[5]),
    tracks: c[6], frames: c[7], dropped: c[8], silent_references: c[9], silent_estimates: c[10],
    spread: state.statistic === "mean" ? [number(c[13]), number(c[14])] : [number(c[11]), number(c[12])],
    value: number(state.statistic === "mean" ? c[3] : c[0]),
    low: number(state.statistic === "mean" ? c[4] : c[1]),
    high: number(state.statistic === "mean" ? c[5] : c[2]),
  };
}

const score = (row, t) => cell(row, state.metric, t).value;

/// Tracks' values, finite ones only.
function track_values(row, t) {
  return row.scores[state.metric][t].map(number).filter(Number.isFinite);
}

function group_of(row) {
  return row.kind === "oracle" ? "oracle " + row.protocol : row.kind;
}

function group_title(row) {
  if (row.kind === "method") return "Methods";
  if (row.kind === "floor") return "Floors";
  return "Oracles (know the true stems)" + (row.protocol ? ", protocol " + row.protocol : "");
}

/// Indices of the rows that the filters leave, in the report's order: methods, floors, oracles by protocol.
function chosen_rows() {
  const wanted = state.text.toLowerCase().split(/\s+/).filter(Boolean);
  return [...section().rows.keys()].filter((r) => {
    const row = section().rows[r];
    if (!state.kinds[row.kind]) return false;
    if (state.protocol && row.protocol !== state.protocol) return false;
    if (state.training && row.training !== state.training) return false;
    const text = (row.name + " " + row.spec).toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
}

/// Those of them that have a value of this target.
function scored_rows(t) {
  return chosen_rows().filter((r) => !Number.isNaN(score(section().rows[r], t)));
}

/// The floor's row, and the best oracle for a target.
function references(t) {
  const rows = section().rows;
  const floor = rows.find((row) => row.spec === section().floor) || null;
  const better = (a, b) => (is_higher_better() ? score(a, t) > score(b, t) : score(a, t) < score(b, t));
  let oracle = null;
  for (const row of rows) {
    if (row.kind !== "oracle" || Number.isNaN(score(row, t))) continue;
    if (!oracle || better(row, oracle)) oracle = row;
  }
  return { floor: floor && !Number.isNaN(score(floor, t)) ? floor : null, oracle };
}

function is_below_floor(row) {
  const { floor } = references(target_count());
  if (!floor || row.kind === "floor") return false;
  const value = score(row, target_count()), bound = score(floor, target_count());
  return is_higher_better() ? value < bound : value > bound;
}

/// A name that fits; the whole one stands in a title.
function short(text, letters) {
  const all = [...text];
  if (all.length <= letters) return text;
  const head = Math.ceil((letters - 1) * 0.65);
  return all.slice(0, head).join("") + "…" + all.slice(all.length - (letters - 1 - head)).join("");
}

/// The index of the row that is best by more than chance, or -1.
function proven_best(t) {
  if (state.statistic !== report.statistic || !section().best.length) return -1;
  return section().best[state.metric][t];
}
