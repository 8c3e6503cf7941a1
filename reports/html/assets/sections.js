// The sections below the leaderboard. Each is a function that fills its place from the state.

function nothing_to_show(place, why) {
  put(place, element("p", { class: "note" }, why));
}

// --- distributions ---------------------------------------------------------------------------------------------------------

function box_of(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const low = quantile(sorted, 0.25), high = quantile(sorted, 0.75), reach = 1.5 * (high - low);
  return { low, high, median: quantile(sorted, 0.5), mean: mean_of(sorted), from: sorted.find((v) => v >= low - reach), to: [...sorted].reverse().find((v) => v <= high + reach) };
}

function draw_box(row, t, axis, y) {
  const values = track_values(row, t), out = [];
  if (!values.length) return out;
  const kind = kind_class(row), b = box_of(values);
  if (values.length > 2) {
    out.push(line(axis.position(b.from), y, axis.position(b.to), y, "whisker " + kind));
    out.push(picture("rect", { x: axis.position(b.low), y: y - 6, width: Math.max(1, axis.position(b.high) - axis.position(b.low)), height: 12, class: "box " + kind }));
  }
  row.scores[state.metric][t].forEach((raw, i) => {
    const v = number(raw);
    if (!Number.isFinite(v)) return;
    out.push(titled(picture("circle", { cx: axis.position(v), cy: y + 4.5 * jitter(i + 1), r: 1.8, class: "point " + kind }), section().tracks[i].name + ": " + fixed(v, report.digits)));
  });
  if (values.length > 2) out.push(line(axis.position(b.median), y - 6, axis.position(b.median), y + 6, "median"));
  const x = axis.position(b.mean);
  out.push(titled(picture("path", { d: `M${x} ${y - 4}L${x + 4} ${y}L${x} ${y + 4}L${x - 4} ${y}Z`, class: "mean" }), "mean " + fixed(b.mean, report.digits)));
  return out;
}

function render_distributions(place) {
  const columns = columns_for(place), width = chart_width(place, columns), charts = [];
  for (const t of targets_shown()) {
    const rows = scored_rows(t).filter((r) => track_values(section().rows[r], t).length);
    const values = rows.flatMap((r) => track_values(section().rows[r], t));
    if (!values.length) continue;
    const text = rows.map((r) => section().rows[r].name + ": median " + fixed(quantile([...track_values(section().rows[r], t)].sort((a, b) => a - b), 0.5), report.digits)).join("; ");
    charts.push(rows_chart({
      rows, values, width, title: target_name(t), axis_label: metric_label() + ", one point per track",
      label: `Distribution over tracks, ${target_name(t)}. ${text}`,
      draw: (r, axis, y) => draw_box(section().rows[r], t, axis, y),
    }));
  }
  if (!charts.length) return nothing_to_show(place, "No values of this metric.");
  put(place, 
    element("p", { class: "note" }, "Points are tracks. Boxes hold the middle half, with the median as a line and the mean as a diamond; whiskers reach the last track within 1.5 times the box. Infinite values are left out."),
    element("div", { class: "grid" }, charts.map((chart) => element("figure", {}, chart))));
}

// --- tracks by rows --------------------------------------------------------------------------------------------------------

function render_tracks(place) {
  const t = state.target, rows = scored_rows(t), tracks = section().tracks;
  if (!rows.length) return nothing_to_show(place, "No values of this metric.");
  const value = (r, i) => number(section().rows[r].scores[state.metric][t][i]);
  const order = tracks.map((track, i) => ({ i, mean: mean_of(rows.map((r) => value(r, i)).filter(Number.isFinite)) }))
    .sort((a, b) => (Number.isNaN(a.mean) ? 1 : Number.isNaN(b.mean) ? -1 : b.mean - a.mean));
  const all = rows.flatMap((r) => tracks.map((_, i) => value(r, i))).filter(Number.isFinite).sort((a, b) => a - b);
  const low = quantile(all, 0.02), high = quantile(all, 0.98);
  const cells = (i) => rows.map((r) => {
    const v = value(r, i);
    if (!Number.isFinite(v)) return element("td", { class: "none" }, fixed(v, 1));
    const { color, dark } = heat_color(high > low ? (v - low) / (high - low) : 0.5);
    const td = element("td", { class: dark ? "dark" : "light" }, fixed(v, 1));
    td.style.backgroundColor = color;
    return td;
  });
  put(place, 
    element("p", { class: "note" }, `${metric_label()}, ${target_name(t)}. Colours run from the 2nd to the 98th percentile (${fixed(low, 1)} … ${fixed(high, 1)}); tracks by their mean over the rows shown. A track's name leads to its own page.`),
    scrolling("Tracks by rows", element("table", { class: "heat" },
      element("caption", { class: "hidden" }, `${metric_label()} of every track and row, ${target_name(t)}`),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "track"),
        rows.map((r) => element("th", { scope: "col", class: "turned", title: section().rows[r].name }, element("span", {}, short(section().rows[r].name, 26)))))),
      element("tbody", {}, order.map(({ i }) => element("tr", {},
        element("th", { scope: "row" }, element("a", { href: `#track-${state.section}-${i}`, title: tracks[i].name }, short(tracks[i].name, 42))), cells(i)))))));
}

// --- paired differences ----------------------------------------------------------------------------------------------------

const verdict_signs = { better: "▲", worse: "▼", equivalent: "=", undecided: "" };

function render_differences(place) {
  const t = state.target, compared = section().compared[metric_id()];
  if (!compared) {
    return nothing_to_show(place, `Differences with intervals were worked out for ${Object.keys(section().compared).join(" and ")}; ` +
      "mssbench report --metrics chooses others.");
  }
  const pairs = new Map();
  for (const [a, b, n, estimate, low, high, won, tied, lost, p, verdict] of compared[t].pairs) {
    pairs.set(a + "-" + b, { n, estimate: number(estimate), low: number(low), high: number(high), won, tied, lost, p: number(p), verdict });
    const turned = { better: "worse", worse: "better" }[verdict] || verdict;
    pairs.set(b + "-" + a, { n, estimate: -number(estimate), low: -number(high), high: -number(low), won: lost, tied, lost: won, p: number(p), verdict: turned });
  }
  const rows = scored_rows(t).filter((r) => section().rows[r].ranked);
  if (rows.length < 2 || !pairs.size) return nothing_to_show(place, "Differences need two rows.");
  const td = (a, b) => {
    if (a === b) return element("td", { class: "self" }, element("span", { class: "hidden" }, "the same row"));
    const d = pairs.get(a + "-" + b);
    if (!d) return element("td", { class: "none" }, "–");
    const why = `${section().rows[a].name} minus ${section().rows[b].name}: ${signed(d.estimate, report.digits + 1)} ${unit()}` +
      (Number.isNaN(d.low) ? "" : ` (95 % interval ${interval_text(d.low, d.high, report.digits + 1)})`) +
      `, better on ${d.won}, equal on ${d.tied}, worse on ${d.lost} of ${plural(d.n, "track")}; ${p_text(d.p)} after Holm: ${d.verdict}`;
    return element("td", { class: "verdict-" + d.verdict, title: why }, element("span", { class: "estimate" }, signed(d.estimate, report.digits)),
      element("span", { class: "sign", "aria-hidden": "true" }, " " + verdict_signs[d.verdict]), element("span", { class: "hidden" }, " " + d.verdict),
      Number.isNaN(d.low) ? null : element("span", { class: "interval" }, interval_text(d.low, d.high, report.digits)));
  };
  put(place, 
    element("p", { class: "note" }, `${metric_label()}, ${target_name(t)}: the ${report.statistic} over tracks of the difference "row minus column", with its 95 % interval. `,
      element("span", { class: "key verdict-better" }, "▲"), " better, ", element("span", { class: "key verdict-worse" }, "▼"), " worse (adjusted after Holm over all pairs of this table), ",
      element("span", { class: "key verdict-equivalent" }, "="), ` equivalent (the 90 % interval lies inside ±${report.margin} ${unit()}); the rest is undecided.`),
    scrolling("Paired differences", element("table", { class: "matrix" },
      element("caption", { class: "hidden" }, `Differences between rows, ${metric_label()}, ${target_name(t)}`),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "row minus …"),
        rows.map((r) => element("th", { scope: "col", class: "turned", title: section().rows[r].name }, element("span", {}, short(section().rows[r].name, 24)))))),
      element("tbody", {}, rows.map((a) => element("tr", {},
        element("th", { scope: "row", title: section().rows[a].name }, short(section().rows[a].name, 34)), rows.map((b) => td(a, b))))))));
}

// --- ranks -----------------------------------------------------------------------------------------------------------------

/// Longest runs of rows, by mean rank, whose ends are not told apart.
function cliques(ordered, critical) {
  const out = [];
  for (let i = 0; i < ordered.length; ++i) {
    let j = i;
    while (j + 1 < ordered.length && ordered[j + 1].rank - ordered[i].rank < critical) ++j;
    if (j > i && (!out.length || j > out[out.length - 1][1])) out.push([i, j]);
  }
  return out;
}

function render_ranks(place) {
  const t = state.target, compared = section().compared[metric_id()], ranks = compared && compared[t].ranks;
  if (!ranks) {
    return nothing_to_show(place, compared ? "Ranks need two rows with two tracks in common."
      : `Ranks were worked out for ${Object.keys(section().compared).join(" and ")}; mssbench report --metrics chooses others.`);
  }
  const ordered = ranks.rows.map((r, i) => ({ r, rank: number(ranks.mean[i]) })).sort((a, b) => a.rank - b.rank);
  const critical = number(ranks.critical), bars = Number.isNaN(critical) ? [] : cliques(ordered, critical);
  const width = Math.min(chart_width(place, 1), 860), rank_of = new Map(ordered.map(({ r, rank }) => [r, rank]));
  let lanes = 0;
  const chart = rows_chart({
    rows: ordered.map(({ r }) => r), values: ordered.flatMap(({ rank }) => (Number.isNaN(critical) ? [rank] : [rank, rank + critical / 2, rank - critical / 2])), width,
    title: `Mean ranks over ${plural(ranks.tracks, "track")}, ${target_name(t)}`, axis_label: "mean rank (1 is best)",
    label: "Mean ranks: " + ordered.map(({ r, rank }) => section().rows[r].name + " " + fixed(rank, 2)).join("; "),
    behind: (axis, top, height) => {
      const each = (height - top) / ordered.length;
      return bars.map(([i, j]) => {
        const x = axis.position(axis.high) - 6 - 7 * (lanes++ % 8);
        return titled(line(x, top + i * each + each * 0.25, x, top + (j + 1) * each - each * 0.25, "clique"),
          "not told apart: " + ordered.slice(i, j + 1).map(({ r }) => section().rows[r].name).join(", "));
      });
    },
    draw: (r, axis, y) => {
      const rank = rank_of.get(r), out = [];
      if (!Number.isNaN(critical)) out.push(line(axis.position(rank - critical / 2), y, axis.position(rank + critical / 2), y, "critical"));
      out.push(titled(picture("circle", { cx: axis.position(rank), cy: y, r: 4, class: "dot " + kind_class(section().rows[r]) }), "mean rank " + fixed(rank, 2)));
      return out;
    },
  });
  put(place, figure(chart, `By ${metric_label()}. Friedman: χ² = ${fixed(number(ranks.statistic), 2)}, ${plural(ranks.degrees, "degree")} of freedom, ${p_text(number(ranks.p))}. ` +
    (Number.isNaN(critical) ? "" : `Critical difference (Conover's test after Friedman's, 5 %, not adjusted): ${fixed(critical, 2)}; each line is as long. ` +
      "Rows joined by an upright bar on the right are not told apart.")));
}

// --- seeds -----------------------------------------------------------------------------------------------------------------

function render_seeds(place) {
  const which = state.statistic === "mean" ? 1 : 0, columns = columns_for(place), width = chart_width(place, columns);
  const with_seeds = chosen_rows().filter((r) => section().rows[r].by_seed);
  if (!with_seeds.length) return nothing_to_show(place, "No row was run with several seeds (mssbench run --seeds 1,2,3).");
  const charts = [];
  for (const t of targets_shown()) {
    const of = (r) => section().rows[r].by_seed[state.metric][t].map((pair) => number(pair[which]));
    const rows = with_seeds.filter((r) => of(r).some(Number.isFinite)), values = rows.flatMap(of).filter(Number.isFinite);
    if (!values.length) continue;
    charts.push(rows_chart({
      rows, values, width, title: target_name(t), axis_label: metric_label() + ", one point per seed",
      label: "Seeds: " + rows.map((r) => section().rows[r].name + " " + of(r).map((v) => fixed(v, report.digits)).join(", ")).join("; "),
      draw: (r, axis, y) => {
        const row = section().rows[r], values_of = of(r).filter(Number.isFinite), x = axis.position(mean_of(values_of));
        return [line(axis.position(Math.min(...values_of)), y, axis.position(Math.max(...values_of)), y, "whisker " + kind_class(row)),
          ...of(r).map((v, i) => (Number.isFinite(v) ? titled(picture("circle", { cx: axis.position(v), cy: y, r: 4, class: "point " + kind_class(row) }), `seed ${row.seeds[i]}: ${fixed(v, report.digits)}`) : "")).filter(Boolean),
          line(x, y - 7, x, y + 7, "median")];
      },
    }));
  }
  put(place, element("p", { class: "note" }, `The ${state.statistic} over tracks that each seed alone gives; the line is their mean.`), element("div", { class: "grid" }, charts.map((chart) => element("figure", {}, chart))));
}

// --- cost ------------------------------------------------------------------------------------------------------------------

function render_cost(place) {
  const costs = used_costs();
  if (!costs.length) return nothing_to_show(place, "The records hold no times: the stems were made by another program.");
  const column = costs.find((c) => c.key === state.cost) || costs[0], t = state.target;
  const rows = scored_rows(t).filter((r) => column.value(section().rows[r].cost) > 0 && Number.isFinite(score(section().rows[r], t)));
  const control = element("div", { class: "controls" }, select("Cost", costs.map((c) => [c.key, c.title]), column.key, (key) => {
    state.cost = key;
    render_cost(place);
    place.querySelector("select").focus();
  }));
  if (!rows.length) return put(place, control, element("p", { class: "note" }, "No row has both a score and this cost."));
  const width = Math.min(chart_width(place, 1), 860), height = Math.max(320, Math.min(480, width * 0.6)), left = 46, right = width - 10, top = 12, bottom = height - 44;
  const costs_of = rows.map((r) => column.value(section().rows[r].cost));
  const x = log_axis(costs_of, left, right);
  const y = linear_axis(rows.flatMap((r) => { const c = cell(section().rows[r], state.metric, t); return [c.value, c.low, c.high]; }).concat(reference_values(t)).filter(Number.isFinite), bottom, top, 6);
  const out = [];
  for (const tick of x.ticks) out.push(line(x.position(tick), top, x.position(tick), bottom, "grid"), text(x.position(tick), bottom + 14, column.show(tick), "tick", "middle"));
  for (const tick of y.ticks) out.push(line(left, y.position(tick), right, y.position(tick), "grid"), text(left - 5, y.position(tick) + 4, y.label(tick), "tick", "end"));
  out.push(...reference_bands(t, y, left, right, false));
  // Rows that no other row beats in both.
  const better = (a, b) => (is_higher_better() ? a > b : a < b);
  const front = rows.filter((r, i) => section().rows[r].kind === "method" && section().rows[r].ranked && !rows.some((s, k) => section().rows[s].kind === "method" && section().rows[s].ranked && k !== i &&
    costs_of[k] <= costs_of[i] && !better(score(section().rows[r], t), score(section().rows[s], t)) && (costs_of[k] < costs_of[i] || better(score(section().rows[s], t), score(section().rows[r], t)))))
    .sort((a, b) => column.value(section().rows[a].cost) - column.value(section().rows[b].cost));
  if (front.length > 1) out.push(picture("polyline", { points: front.map((r) => x.position(column.value(section().rows[r].cost)) + "," + y.position(score(section().rows[r], t))).join(" "), class: "front" }));
  const taken = [];
  rows.forEach((r, i) => {
    const row = section().rows[r], c = cell(row, state.metric, t), px = x.position(costs_of[i]), py = y.position(c.value), kind = kind_class(row);
    if (!Number.isNaN(c.low)) out.push(line(px, y.position(c.low), px, y.position(c.high), "whisker " + kind));
    out.push(titled(picture("circle", { cx: px, cy: py, r: 5, class: "dot " + kind }), `${row.name}: ${fixed(c.value, report.digits)} ${unit()}, ${column.title} ${column.show(costs_of[i])}`));
    // The name stands where no other one does: right or left, moved up or down.
    const letters = short(row.name, width < 520 ? 18 : 30), size = letters.length * 6;
    const spots = [0, -12, 12, -24, 24, -36, 36].flatMap((dy) => [[px + 9, dy, "start"], [px - 9, dy, "end"]]);
    for (const [at, dy, anchor] of spots) {
      const from = anchor === "start" ? at : at - size, yy = py + 4 + dy;
      if (from < left || from + size > right || yy < top + 8 || yy > bottom - 2) continue;
      if (taken.some(([f, g, h]) => f < from + size && g > from && Math.abs(h - yy) < 12)) continue;
      taken.push([from, from + size, yy]);
      out.push(text(at, yy, letters, "row-name", anchor));
      break;
    }
  });
  out.push(picture("rect", { x: left, y: top, width: right - left, height: bottom - top, class: "frame" }));
  out.push(text((left + right) / 2, height - 8, column.title + " (logarithmic)", "axis-label", "middle"));
  out.push(picture("text", { x: 12, y: (top + bottom) / 2, class: "axis-label", "text-anchor": "middle", transform: `rotate(-90 12 ${(top + bottom) / 2})` }, metric_label() + ", " + target_name(t)));
  const machines = [...new Set(rows.flatMap((r) => section().rows[r].cost.machines))], threads = [...new Set(rows.flatMap((r) => section().rows[r].cost.threads))];
  put(place, control, figure(svg(width, height, `Quality against cost: ${rows.map((r, i) => section().rows[r].name + " " + fixed(score(section().rows[r], t), report.digits) + " at " + column.show(costs_of[i])).join("; ")}`, ...out),
    element("span", {}, column.help + ". The line joins methods that no other method beats in both. ",
      machines.length ? "Measured on " + machines.join(" and ") + (threads.length ? " (tracks at once × threads each: " + threads.join(", ") + ")" : "") + ". " : "",
      machines.length > 1 || threads.length > 1 ? element("strong", {}, "Times of different machines or threads do not compare.") : "")));
}

// --- published -------------------------------------------------------------------------------------------------------------

function render_published(place) {
  const groups = report.published && report.published[metric_id()];
  if (!groups) {
    return nothing_to_show(place, report.published ? `Papers print no numbers that compare with this report's ${metric_id()}.`
      : "Not asked for (mssbench report --published), and the data set is not MUSDB18.");
  }
  const extra = { "": () => true, none: (row) => row.extra_data === "none", extra: (row) => row.extra_data !== "none" && row.extra_data !== "knows the true stems" };
  const wanted = state.training === "benchmark" ? "none" : state.training === "extra" ? "extra" : "";
  put(place, 
    element("p", { class: "note" }, "As papers and repositories print them: other programs, other machines, sometimes other rules. They never stand in one ranking with measured rows."),
    groups.map((group) => scrolling("Published: " + group.metric + ", " + group.test_set, element("table", { class: "published" },
      element("caption", {}, group.metric + ", " + group.test_set),
      element("thead", {}, element("tr", {}, ["method", "year", "data beyond MUSDB18"].map((name) => element("th", { scope: "col" }, name)),
        ["vocals", "drums", "bass", "other", "average"].map((name) => element("th", { scope: "col", class: "number" }, name)), ["parameters", "source", "remarks"].map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, group.rows.filter(extra[wanted]).map((row) => element("tr", {},
        element("th", { scope: "row" }, row.method), element("td", {}, row.year), element("td", {}, row.extra_data),
        ["vocals", "drums", "bass", "other"].map((name) => element("td", { class: "number" }, fixed(number(row[name]), 2))),
        element("td", { class: "number" }, Number.isNaN(number(row.average_printed)) ? fixed(number(row.average), 2) : fixed(number(row.average_printed), 2)),
        element("td", {}, row.parameters), element("td", {}, row.source, row.second_hand ? " (quoted elsewhere)" : ""), element("td", {}, row.flags.join("; ")))))))));
}

// --- defects ---------------------------------------------------------------------------------------------------------------

function render_defects(place) {
  const s = section(), found = [];
  const add = (what, where, why) => found.push([what, where, why]);
  for (const error of s.errors) add("failed", `${error.track} by ${error.spec}` + (error.seed ? `, seed ${error.seed}` : ""), error.message);
  for (const row of s.rows) {
    if (row.tracks + row.failed < s.tracks.length) {
      const missing = s.tracks.filter((_, i) => row.scores[0].every((values) => Number.isNaN(number(values[i])))).map((track) => track.name);
      add("not scored", row.name, plural(s.tracks.length - row.tracks - row.failed, "track") + " without scores: " + missing.slice(0, 5).join(", ") + (missing.length > 5 ? " …" : ""));
    }
  }
  for (const [where, notes] of [["all rows", s.notes], ...s.rows.map((row) => [row.name, row.notes])]) {
    for (const note of notes) add(note_names[note.kind] || note.kind, where + (note.tracks.length ? ": " + note.tracks.slice(0, 5).join(", ") + (note.tracks.length > 5 ? ` … (${note.tracks.length})` : "") : ""), note.text);
  }
  const silent = new Map();
  for (const row of s.rows) {
    for (const [i, target, kind] of row.silent) {
      if (kind === "silent_estimate" && row.kind === "floor") continue;  // what the floor "silence" is
      const key = kind === "silent_reference" ? "silent reference|" + s.tracks[i].name + ", " + target : "silent estimate|" + row.name + ", " + target;
      if (!silent.has(key)) silent.set(key, new Set());
      silent.get(key).add(s.tracks[i].name);
    }
  }
  for (const [key, tracks] of silent) {
    const [what, where] = key.split("|");
    add(what, where, what === "silent reference" ? "the true stem is silent all along: left out of every row" : `on ${plural(tracks.size, "track")}: an SDR of 0 dB by definition, other metrics undefined`);
  }
  const training = s.tracks.filter((track) => track.training);
  if (training.length) add("training tracks", training.slice(0, 5).map((track) => track.name).join(", ") + (training.length > 5 ? ` … (${training.length})` : ""), "belong to a training set (the subset train, or MUSDB18's): rows with trained weights may have heard them");
  const dropped = [];
  for (const track of s.tracks) if (track.erratum) add("published defect", track.name, track.erratum);
  for (const row of s.rows) {
    const c = cell(row, state.metric, target_count());
    if (c.frames && c.dropped / c.frames > 0.1) dropped.push(`${row.name} ${fixed((100 * c.dropped) / c.frames, 0)} %`);
    const perfect = row.scores[state.metric].flat().filter((v) => number(v) >= 200).length;
    if (perfect && unit() === "dB") add("perfect estimate", row.name, plural(perfect, "value") + " of 200 dB or more: read as perfect, digits mean nothing");
    if (is_below_floor(row)) add("below the floor", row.name, "its average is worse than that of " + s.floor);
  }
  if (dropped.length) add("frames dropped", dropped.slice(0, 8).join(", ") + (dropped.length > 8 ? ` and ${dropped.length - 8} more rows` : ""), `so many frames have no ${metric_id()}, because a reference or an estimate is silent in them; they count in no median. Where the share is the same, it is the references`);
  const infinite = s.rows.filter((row) => row.scores[state.metric].flat().some((v) => Math.abs(number(v)) === Infinity));
  for (const row of infinite) add("infinite values", row.name, "count as what they are in medians; charts leave them out");
  for (const warning of report.warnings) add("warning", "report", warning);
  if (!found.length) return nothing_to_show(place, "None found: every row has all tracks, nothing is silent, nothing failed, no track is known to be defective or a training track.");
  put(place, scrolling("Defects", element("table", { class: "plain" }, element("caption", { class: "hidden" }, "Defects and what they mean"),
    element("thead", {}, element("tr", {}, ["what", "where", "meaning"].map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, found.map(([what, where, why]) => element("tr", {}, element("th", { scope: "row" }, what), element("td", {}, where), element("td", {}, why)))))));
}

// --- metrics ---------------------------------------------------------------------------------------------------------------

function render_metrics(place) {
  put(place, 
    element("p", {}, "s is the reference, e the estimate; |·|² sums over samples and channels. Higher is better in every metric below, all in dB."),
    scrolling("Metrics", element("table", { class: "plain" }, element("caption", { class: "hidden" }, "Definitions of the metrics in this report"),
      element("thead", {}, element("tr", {}, ["metric", "definition", "per track"].map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, Object.entries(report.metrics).map(([id, info]) => element("tr", {}, element("th", { scope: "row" }, id),
        element("td", {}, info.definition || "no definition of it is built in"), element("td", {}, info.framewise ? "median over frames of 1 s" : "whole track")))))),
    element("h3", {}, "How the numbers come about"),
    element("dl", {},
      element("dt", {}, "Value"), element("dd", {}, "Median (or mean, as chosen above) over tracks of each track's value; for frame-wise metrics that is the median over its frames. Undefined values are left out and counted. The average stands over the targets with equal weights."),
      element("dt", {}, "Interval"), element("dd", {}, "95 % BCa bootstrap interval over tracks (10,000 draws, seeded, as wide as Student's t asks for in small samples). It says how far the number would move with other tracks of the same kind; one track has none."),
      element("dt", {}, "Difference"), element("dd", {}, "Paired per track. Differences that other tracks could undo are called undecided, whatever their size; a classical test has to agree with the interval."),
      element("dt", {}, "Floors"), element("dd", {}, "What costs nothing: the mixture itself as every estimate (mixture), the mixture divided by the number of stems (mixture-over-j), silence. A row below the floor is worse than doing nothing."),
      element("dt", {}, "Oracles"), element("dd", {}, "Methods that know the true stems: what masks of this kind could reach at best. Rows under protocols P3 to P5 know them when components are assigned. They are never ranked with methods."),
      element("dt", {}, "Protocol"), element("dd", {}, "How the components of a factorisation were assigned to targets: P0 to P2 know nothing of the test track's stems, P3 to P5 do."),
      element("dt", {}, "Seeds"), element("dd", {}, "A track's value is the mean over the seeds; the spread is what single seeds give."),
      element("dt", {}, "Data set"), element("dd", {}, "Its name; a number behind # (songs#1a2b3c4d) is made of its tracks' names and lengths and keeps different sets of one name apart."),
      element("dt", {}, "Row"), element("dd", {}, "A spec: a method, its preset behind @, its parameters behind :, post-filters behind |. Weights and dictionaries stand with the first digits of their hash."),
      element("dt", {}, "Scenario"), element("dd", {}, "Which targets were scored jointly. stems: all stems of the track; vocals/accompaniment: two sources; stems:drums and the like: what methods yield that give only some of the stems, with all other rows scored on the same. Numbers of different scenarios do not compare.")),
    element("p", { class: "note" }, "In full: docs/metrics.md and docs/reports.md of mssbench. All numbers in full precision: ",
      element("a", { href: "table.csv" }, "table.csv"), ", ", element("a", { href: "tracks.csv" }, "tracks.csv"), ", ", element("a", { href: "table.json" }, "table.json"), "; tests: ", element("a", { href: "stats.md" }, "stats.md"), "."));
}
