// The table of scores: sortable, floors and oracles in groups of their own, intervals drawn.

const cost_columns = [
  { key: "rtf", title: "real-time factor", help: "separation time / duration of the track, median over tracks", value: (c) => number(c.rtf), show: (v) => significant(v) },
  { key: "cpu_per_s", title: "CPU s per s", help: "processor time per second of music, median over tracks", value: (c) => number(c.cpu_per_s), show: (v) => significant(v) },
  { key: "peak_bytes", title: "peak memory", help: "largest memory of the process up to this row; rows that ran before it in the same process count too",
    value: (c) => number(c.peak_bytes), show: (v) => prefixed(v, "B") },
  { key: "parameters", title: "parameters", help: "trained numbers of the network", value: (c) => number(c.parameters), show: (v) => prefixed(v, "") },
  { key: "macs_per_s", title: "multiply-adds per s", help: "multiply-accumulates of the network per second of music", value: (c) => number(c.macs_per_s), show: (v) => prefixed(v, "") },
];

const used_costs = () => cost_columns.filter((column) => section().rows.some((row) => !Number.isNaN(column.value(row.cost))));

/// Flags of a row: what a reader should know before he believes its numbers.
function row_flags(row) {
  const out = [], all = section().tracks.length;
  for (const note of row.notes) out.push([note_names[note.kind] || note.kind, note.text]);
  if (row.failed) out.push(["failed", "failed on " + plural(row.failed, "track")]);
  if (row.tracks < all) out.push(["incomplete", "has scores for " + row.tracks + " of " + plural(all, "track") + ": does not compare with complete rows"]);
  if (is_below_floor(row)) out.push(["below floor", "its average is worse than that of " + section().floor]);
  const silent = row.silent.filter(([, , kind]) => kind === "silent_estimate").length;
  if (silent && row.kind !== "floor") out.push(["silent", plural(silent, "estimate") + " silent all along: an SDR of 0 dB by definition"]);
  const c = cell(row, state.metric, target_count());
  // Silent references take the same frames from every row; what a row's own silence takes besides is its own doing.
  const fewest = Math.min(...section().rows.map((other) => cell(other, state.metric, target_count())).filter((o) => o.frames).map((o) => o.dropped / o.frames));
  if (c.frames && c.dropped / c.frames > fewest + 0.01) out.push(["frames dropped", fixed((100 * c.dropped) / c.frames, 0) + ` % of the frames have no value, ${fixed(100 * fewest, 0)} % in other rows: estimates are silent in them`]);
  const training = section().tracks.filter((track) => track.training).length;
  if (training && !row.notes.some((note) => note.kind === "training-data") && ["benchmark", "extra", "unknown"].includes(row.training)) {
    out.push(["may have heard them", plural(training, "track") + " of this table belong to a training set"]);
  }
  const perfect = row.scores[state.metric].some((values) => values.some((v) => number(v) >= 200 && unit() === "dB"));
  if (perfect) out.push(["perfect", "a value of 200 dB or more: the estimate is the reference"]);
  return out;
}

function flag_list(row) {
  const flags = row_flags(row);
  return flags.length ? element("ul", { class: "flags" }, flags.map(([name, why]) => element("li", { title: why }, name, element("span", { class: "hidden" }, ": " + why)))) : "";
}

function sort_rows(rows) {
  const { key, target, down } = state.sort;
  const all = section().rows;
  const value = (r) => {
    const row = all[r];
    if (key === "name") return row.name.toLowerCase();
    if (key === "score") return score(row, target < 0 ? target_count() : target);
    if (key === "tracks") return row.tracks;
    if (key === "training") return training_names[row.training];
    if (key === "seeds") return row.seeds.length;
    return cost_columns.find((column) => column.key === key).value(row.cost);
  };
  const nothing = (v) => typeof v === "number" && Number.isNaN(v);
  return [...rows].sort((a, b) => {
    // Rows that heard the test tracks stand behind the others.
    if (key === "score" && all[a].ranked !== all[b].ranked) return all[a].ranked ? -1 : 1;
    const x = value(a), y = value(b);
    if (nothing(x) || nothing(y)) return nothing(x) === nothing(y) ? a - b : nothing(x) ? 1 : -1;  // what has none stands last
    if (x === y) return a - b;
    return (x < y ? -1 : 1) * (down ? -1 : 1);
  });
}

function sort_header(title, help, key, target, first_down, kind) {
  const active = state.sort.key === key && (key !== "score" || (state.sort.target < 0 ? target_count() : state.sort.target) === target);
  const button = element("button", {
    type: "button", class: "sort", title: help, "data-sort": key + (key === "score" ? "-" + target : ""),
    onclick: () => {
      state.sort = { key, target: target === undefined ? -1 : target, down: active ? !state.sort.down : first_down };
      const name = button.dataset.sort;
      render_leaderboard();
      const again = document.querySelector(`button[data-sort="${name}"]`);
      if (again) again.focus();
      announce("Sorted by " + title + (state.sort.down ? ", largest first" : ", smallest first"));
    },
  }, title, element("span", { "aria-hidden": "true", class: "arrow" }, active ? (state.sort.down ? " ▼" : " ▲") : " ↕"));
  return element("th", { scope: "col", class: kind, "aria-sort": active ? (state.sort.down ? "descending" : "ascending") : null }, button);
}

function announce(message) {
  document.getElementById("announcer").textContent = message;
}

/// Dot, interval and the bands of floor and oracle, on one scale for all rows.
function interval_chart(row, axis, t, width) {
  const c = cell(row, state.metric, t), height = 26;
  const label = fixed(c.value, report.digits) + (Number.isNaN(c.low) ? "" : ", interval " + interval_text(c.low, c.high, report.digits));
  return svg(width, height, label, ...reference_bands(t, axis, 0, height, true), ...interval_mark(c, axis, height / 2, kind_class(row)));
}

function score_cell(row, r, t) {
  const c = cell(row, state.metric, t), digits = report.digits, best = proven_best(t) === r;
  const of = c.tracks && c.tracks < section().tracks.length ? " (" + c.tracks + " tracks)" : "";
  return element("td", { class: "number" + (t === state.target ? " chosen" : "") },
    best ? element("strong", { title: "best method, by more than chance" }, fixed(c.value, digits), element("span", { class: "hidden" }, " (best)"), " ★") : fixed(c.value, digits),
    Number.isNaN(c.low) ? null : element("span", { class: "interval" }, interval_text(c.low, c.high, digits)),
    of && row.tracks === section().tracks.length ? element("span", { class: "interval" }, of) : null);
}

function render_leaderboard() {
  const place = document.getElementById("leaderboard-table");
  const t = state.target, rows = section().rows, chosen = chosen_rows(), digits = report.digits;
  const with_tracks = rows.some((row) => row.tracks < section().tracks.length), with_seeds = rows.some((row) => row.seeds.length > 1), costs = used_costs();
  const chart = place.clientWidth < 700 ? 130 : 190;
  const values = chosen.flatMap((r) => { const c = cell(rows[r], state.metric, t); return [c.value, c.low, c.high]; })
    .concat(reference_values(t)).filter(Number.isFinite);
  const axis = values.length ? linear_axis(values, 6, chart - 6, 4) : null;

  // The place among methods does not depend on how the table is sorted.
  const places = new Map();
  [...rows.keys()].filter((r) => rows[r].kind === "method" && rows[r].ranked && !Number.isNaN(score(rows[r], target_count())))
    .sort((a, b) => (is_higher_better() ? 1 : -1) * (score(rows[b], target_count()) - score(rows[a], target_count())))
    .forEach((r, i) => places.set(r, i + 1));

  const head = element("tr", {},
    element("th", { scope: "col", class: "number", title: "place among the methods, by the average" }, "#"),
    sort_header("row", "sort by name", "name", undefined, false, "row-head"),
    targets_shown().map((k) => sort_header(k === target_count() ? "avg" : target_name(k), "sort by " + target_name(k), "score", k, is_higher_better(), "number")),
    axis ? element("th", { scope: "col" }, target_name(t) + ", drawn",
      svg(chart, 16, "scale of the drawings", ...axis.ticks.map((tick) => text(axis.position(tick), 12, axis.label(tick), "tick", "middle")))) : null,
    with_tracks ? sort_header("tracks", "tracks with scores", "tracks", undefined, true, "number") : null,
    with_seeds ? sort_header("seeds", "number of seeds, and the least and greatest average that one seed gives", "seeds", undefined, true, "number") : null,
    costs.map((column) => sort_header(column.title, column.help, column.key, undefined, false, "number")),
    sort_header("trained on", "what the weights were trained on, where that is known", "training", undefined, false, ""));

  const columns = head.children.length, bodies = [];
  for (const group of [...new Set(chosen.map((r) => group_of(rows[r])))]) {
    const members = sort_rows(chosen.filter((r) => group_of(rows[r]) === group));
    bodies.push(element("tbody", { class: kind_class(rows[members[0]]) },
      element("tr", { class: "group" }, element("th", { colspan: columns, scope: "rowgroup" }, element("span", {}, group_title(rows[members[0]])))),
      members.map((r) => {
        const row = rows[r], average = cell(row, state.metric, target_count());
        return element("tr", { "data-row": r },
          element("td", { class: "number" }, places.has(r) ? places.get(r) : ""),
          element("th", { scope: "row", class: "row-head" }, element("a", { href: `#row-${state.section}-${r}`, title: [row.spec, ...row.about].join(". ") }, short(row.name, 60)), flag_list(row)),
          targets_shown().map((k) => score_cell(row, r, k)),
          axis ? element("td", { class: "drawn" }, interval_chart(row, axis, t, chart)) : null,
          with_tracks ? element("td", { class: "number" }, row.tracks === section().tracks.length ? row.tracks : row.tracks + "/" + section().tracks.length) : null,
          with_seeds ? element("td", { class: "number" }, row.seeds.length,
            Number.isNaN(average.spread[0]) ? null : element("span", { class: "interval" }, interval_text(average.spread[0], average.spread[1], digits))) : null,
          costs.map((column) => element("td", { class: "number" }, column.show(column.value(row.cost)))),
          element("td", { title: row.training_text, class: "words" }, training_names[row.training]));
      })));
  }
  const what = `${metric_label()}: ${state.statistic} over ${plural(section().tracks.length, "track")}` +
    (metric_info().framewise ? " of medians over frames" : "") + "; small: 95 % interval over tracks";
  put(place, 
    bodies.length ? scrolling("Leaderboard", element("table", { class: "leaderboard" }, element("caption", {}, what), element("thead", {}, head), bodies))
      : element("p", {}, "No row fits the filters. ", element("button", { type: "button", onclick: clear_filters }, "Show all rows")),
    element("p", { class: "note" }, legend_of_bands(t)),
    elsewhere(),
    element("p", { class: "note" }, "All targets, metrics and intervals in full precision: ", element("a", { href: "table.csv" }, "table.csv"), "; every track: ", element("a", { href: "tracks.csv" }, "tracks.csv"), "."));
  performance.mark("leaderboard");  // for measuring how soon the page can be used
}

/// Rows of the same data set that yield other stems, and so stand in other scenarios.
function elsewhere() {
  const own = new Set(section().rows.map((row) => row.spec)), found = new Map();
  report.sections.forEach((s, k) => {
    if (s.dataset !== section().dataset || s.subset !== section().subset) return;
    const rows = s.rows.filter((row) => !own.has(row.spec));
    if (rows.length) found.set(k, rows);
  });
  if (!found.size) return null;
  return element("p", { class: "note" }, "Rows that do not yield all of these targets stand in another scenario: ",
    [...found].map(([k, rows], i) => [i ? "; " : "", rows.map((row) => short(row.name, 40)).join(", ") + " in ",
      element("button", { type: "button", class: "quiet", onclick: () => { set_section(k); build_controls(); render_all(); document.getElementById("leaderboard").scrollIntoView(); } }, report.sections[k].scenario)]), ".");
}

function legend_of_bands(t) {
  const { floor, oracle } = references(t), parts = [];
  if (floor) parts.push(element("span", { class: "key key-floor" }), ` floor: ${floor.name}, ${fixed(score(floor, t), report.digits)} `);
  if (oracle) parts.push(element("span", { class: "key key-oracle" }), ` best oracle: ${oracle.name}, ${fixed(score(oracle, t), report.digits)} `);
  if (proven_best(t) >= 0) parts.push(" ★ best method, where the interval of its difference to the second best leaves out 0");
  return parts;
}
