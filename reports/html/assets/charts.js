// Charts as SVG: axes, and charts with one line per row (boxes, ranks, seeds). Widths are those of the place a chart stands
// in, so that letters keep their size on a phone.

const names_width = 210;

function nice_step(range, count) {
  const raw = range / Math.max(1, count), power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((m) => m * power).find((step) => step >= raw);
}

/// Linear axis over the values with a little room; position() maps to pixels.
function linear_axis(values, from, to, wanted) {
  let low = Math.min(...values), high = Math.max(...values);
  const room = Math.max(0.04 * (high - low), 0.1);
  low -= room;
  high += room;
  const step = nice_step(high - low, wanted || Math.max(2, Math.abs(to - from) / 70));
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high + 1e-12; ++i) ticks.push(i * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return {
    low, high, ticks,
    label: (value) => fixed(value, digits),
    position: (value) => from + ((value - low) / (high - low)) * (to - from),
  };
}

function log_axis(values, from, to) {
  const low = Math.log10(Math.min(...values)) - 0.08, high = Math.log10(Math.max(...values)) + 0.08;
  const span = Math.max(high - low, 0.3), start = (low + high - span) / 2;
  const marks = span > 4 ? [1] : span > 1.2 ? [1, 3] : [1, 2, 3, 5, 7];
  const ticks = [];
  for (let power = Math.floor(start); power <= start + span; ++power) {
    for (const mark of marks) {
      const value = mark * 10 ** power;
      if (Math.log10(value) >= start && Math.log10(value) <= start + span) ticks.push(value);
    }
  }
  return { ticks, position: (value) => from + ((Math.log10(value) - start) / span) * (to - from) };
}

function svg(width, height, label, ...children) {
  return picture("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label, class: "chart" }, ...children);
}

function line(x1, y1, x2, y2, kind) {
  return picture("line", { x1, y1, x2, y2, class: kind });
}

function text(x, y, content, kind, anchor) {
  return picture("text", { x, y, class: kind, "text-anchor": anchor || "start" }, content);
}

function titled(node, title) {
  node.append(picture("title", {}, title));
  return node;
}

/// How wide the place is for one of `columns` charts.
function chart_width(place, columns) {
  const whole = place.clientWidth || document.documentElement.clientWidth - 32;
  return Math.max(260, Math.floor((whole - (columns - 1) * 24) / columns));
}

function columns_for(place) {
  return (place.clientWidth || 0) >= 1000 ? 2 : 1;
}

function kind_class(row) {
  return "kind-" + row.kind;
}

/// Bands of the floor and of the best oracle: their intervals, or lines where they have none.
function reference_bands(t, axis, top, bottom, vertical) {
  const out = [];
  const { floor, oracle } = references(t);
  for (const [row, kind] of [[floor, "floor"], [oracle, "oracle"]]) {
    if (!row) continue;
    const c = cell(row, state.metric, t);
    const at = axis.position(c.value);
    if (!Number.isNaN(c.low)) {
      const a = axis.position(c.low), b = axis.position(c.high);
      const from = Math.min(a, b), size = Math.max(1, Math.abs(b - a));
      out.push(vertical
        ? picture("rect", { x: from, y: top, width: size, height: bottom - top, class: "band band-" + kind })
        : picture("rect", { x: top, y: from, width: bottom - top, height: size, class: "band band-" + kind }));
    }
    out.push(vertical ? line(at, top, at, bottom, "bound bound-" + kind) : line(top, at, bottom, at, "bound bound-" + kind));
  }
  return out;
}

function reference_values(t) {
  const { floor, oracle } = references(t);
  return [floor, oracle].filter(Boolean).flatMap((row) => {
    const c = cell(row, state.metric, t);
    return [c.value, c.low, c.high].filter(Number.isFinite);
  });
}

/// One line per row: draw(r, axis, y, height) gives what stands in it. Names stand to the left, or above where it is narrow.
function rows_chart({ rows, values, width, title, axis_label, label, draw, behind, row_height }) {
  const narrow = width < 520, names = narrow ? 8 : Math.min(names_width, width * 0.38);
  const each = (row_height || 20) + (narrow ? 14 : 0), top = 26, height = top + rows.length * each;
  const right = width - 12;
  const axis = linear_axis(values, names, right);
  const out = [text(narrow ? 8 : names, 14, title, "chart-title")];
  for (const tick of axis.ticks) {
    out.push(line(axis.position(tick), top, axis.position(tick), height, "grid"));
    out.push(text(axis.position(tick), height + 14, axis.label(tick), "tick", "middle"));
  }
  if (behind) out.push(...behind(axis, top, height));
  out.push(text((names + right) / 2, height + 30, axis_label, "axis-label", "middle"));
  rows.forEach((r, i) => {
    const row = section().rows[r], middle = top + i * each + (narrow ? 14 : 0) + (row_height || 20) / 2;
    const letters = Math.floor((narrow ? right - 16 : names - 12) / 7);
    out.push(titled(text(narrow ? 8 : names - 8, narrow ? middle - 11 : middle + 4, short(row.name, letters), "row-name", narrow ? "start" : "end"), row.name));
    out.push(...draw(r, axis, middle, row_height || 20));
  });
  out.push(picture("rect", { x: names, y: top, width: right - names, height: height - top, class: "frame" }));
  return svg(width, height + 36, label, ...out);
}

/// Dot with its interval.
function interval_mark(c, axis, y, kind) {
  const out = [];
  if (!Number.isNaN(c.low)) {
    const a = axis.position(c.low), b = axis.position(c.high);
    out.push(line(a, y, b, y, "whisker " + kind), line(a, y - 4, a, y + 4, "whisker " + kind), line(b, y - 4, b, y + 4, "whisker " + kind));
  }
  if (Number.isFinite(c.value)) out.push(picture("circle", { cx: axis.position(c.value), cy: y, r: 4, class: "dot " + kind }));
  return out;
}

/// viridis through five knots of its published values, and whether dark letters stand better on it.
function heat_color(share) {
  const knots = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const at = Math.min(Math.max(share, 0), 1) * 4, low = Math.min(3, Math.floor(at)), part = at - low;
  const color = knots[low].map((c, i) => Math.round(c + part * (knots[low + 1][i] - c)));
  const linear = color.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  return { color: `rgb(${color.join(",")})`, dark: (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) };
}

/// Points at the same place side by side: a shift in [-1, 1] that depends on the index alone.
function jitter(i) {
  return ((i * 0.6180339887) % 1) * 2 - 1;
}

function figure(chart, caption) {
  return element("figure", {}, chart, element("figcaption", {}, caption));
}
