// The page as a whole: what can be chosen, which part is drawn when, and the way between the results and a track.

const parts = [
  { id: "tracks", title: "Tracks", render: render_tracks, lead: "Every track under every row: where a method fails, and on what." },
  { id: "distributions", title: "Distributions", render: render_distributions, lead: "How far the tracks scatter around the numbers above." },
  { id: "differences", title: "Differences", render: render_differences, lead: "Which row is better than which, by more than chance." },
  { id: "ranks", title: "Ranks", render: render_ranks, lead: "The same question by ranks over tracks, whatever the size of the differences." },
  { id: "cost", title: "Cost", render: render_cost, lead: "What quality costs." },
  { id: "seeds", title: "Seeds", render: render_seeds, lead: "How far the result depends on random start values." },
  { id: "published", title: "Published", render: render_published, lead: "What others have printed." },
  { id: "defects", title: "Defects", render: render_defects, lead: "What a reader should know before he believes the numbers." },
  { id: "rows", title: "Rows", render: render_rows, lead: "What each row is, where it comes from, and how to make it again." },
  { id: "metrics", title: "Metrics", render: render_metrics, lead: "What the numbers mean." },
];

let generation = 0;

/// Draws the leaderboard at once and the rest in steps, so that the table never waits; a later choice stops it.
function render_all(now) {
  const mine = ++generation;
  if (!document.getElementById("leaderboard-table")) return;
  const content = document.getElementById("content");
  content.setAttribute("aria-busy", "true");
  render_leaderboard();
  const left = [...parts];
  const next = () => {
    if (mine !== generation) return;
    if (!left.length) {
      content.removeAttribute("aria-busy");
      return;
    }
    const part = left.shift(), place = document.getElementById(part.id + "-place");
    if (place) part.render(place);
    if (now) next();
    else setTimeout(next, 0);
  };
  if (now) next();
  else setTimeout(next, 0);
}

function clear_filters() {
  Object.assign(state, { kinds: { method: true, floor: true, oracle: true }, protocol: "", training: "", text: "" });
  build_controls();
  render_all();
}

function set_section(s) {
  const metric = metric_id(), target = target_name(state.target);
  state.section = s;
  // The same metric and target where the other section has them.
  state.metric = Math.max(0, section().metrics.indexOf(metric));
  const found = section().targets.indexOf(target);
  state.target = found >= 0 ? found : target_count() > 1 ? target_count() : 0;
  state.sort = { key: "score", target: -1, down: is_higher_better() };
  state.protocol = "";
  track_state.rows = null;
}

function build_controls() {
  const place = document.getElementById("controls"), rows = section().rows;
  const again = () => render_all();
  const protocols = [...new Set(rows.map((row) => row.protocol).filter(Boolean))].sort();
  const trainings = [...new Set(rows.map((row) => row.training))];
  const search = element("input", { type: "search", value: state.text, placeholder: "part of a name", oninput: () => { state.text = search.value; again(); } });
  put(place, ...[
    report.sections.length > 1 ? select("Data set and scenario", report.sections.map((s, k) => [k, section_title(s)]), state.section, (k) => { set_section(Number(k)); build_controls(); again(); }) : null,
    select("Metric", section().metrics.map((m, k) => [k, m]), state.metric, (k) => { state.metric = Number(k); state.sort.down = is_higher_better(); again(); }),
    select("Target in charts", targets_shown().map((t) => [t, target_name(t)]), state.target, (t) => { state.target = Number(t); again(); }),
    select("Over tracks", [["median", "median"], ["mean", "mean"]], state.statistic, (value) => { state.statistic = value; again(); }),
    protocols.length ? select("Protocol", [["", "all"], ...protocols.map((p) => [p, p])], state.protocol, (p) => { state.protocol = p; again(); }) : null,
    trainings.length > 1 ? select("Trained on", [["", "anything"], ...trainings.map((k) => [k, training_names[k]])], state.training, (k) => { state.training = k; again(); }) : null,
    element("label", { class: "control" }, element("span", {}, "Rows"), search),
    element("fieldset", { class: "checks" }, element("legend", {}, "Kinds"), [["method", "methods"], ["floor", "floors"], ["oracle", "oracles"]].filter(([kind]) => rows.some((row) => row.kind === kind)).map(([kind, title]) =>
      element("label", { class: "check" }, element("input", { type: "checkbox", "data-kind": kind, checked: state.kinds[kind], onchange: (event) => { state.kinds[kind] = event.target.checked; again(); } }), title))),
  ].filter(Boolean));
}

/// What came out, in sentences.
function overview(s) {
  const before = state.section;
  state.section = s;
  const t = target_count(), methods = section().rows.filter((row) => row.kind === "method" && row.ranked && !Number.isNaN(score(row, t)));
  const { floor, oracle } = references(t), out = [], digits = report.digits, u = unit() ? " " + unit() : "";
  if (methods.length) {
    const best = methods.reduce((a, b) => ((is_higher_better() ? score(b, t) > score(a, t) : score(b, t) < score(a, t)) ? b : a)), c = cell(best, state.metric, t);
    const proven = proven_best(t) >= 0 ? ", by more than chance" : methods.length > 1 ? "; its lead over the second is not proven by these tracks" : "";
    out.push(`Best method: `, element("strong", {}, best.name), `, ${metric_id()} ${fixed(c.value, digits)}${u}` + (Number.isNaN(c.low) ? "" : ` (95 % interval ${interval_text(c.low, c.high, digits)})`) + proven + ". ");
  } else {
    out.push("No method stands here, only floors and oracles. ");
  }
  if (floor) out.push(`Doing nothing (${floor.name}) gives ${fixed(score(floor, t), digits)}${u}. `);
  if (oracle) out.push(`The best oracle (${oracle.name}) reaches ${fixed(score(oracle, t), digits)}${u}. `);
  if (section().tracks.length === 1) out.push("One track only: there are no intervals, and nothing here says how other tracks would come out. ");
  const failed = section().errors.length, partial = section().rows.filter((row) => row.tracks < section().tracks.length).length;
  if (failed) out.push(element("a", { href: "#defects" }, plural(failed, "failure")), ". ");
  if (partial) out.push(element("a", { href: "#defects" }, plural(partial, "row") + " without all tracks"), ": the run was not finished, or parts of it failed. ");
  state.section = before;
  return out;
}

/// What is to be known about a data set, below the last section that it concerns.
function remarks_below(s) {
  const one = report.sections[s], later = report.sections.slice(s + 1).filter((other) => other.dataset === one.dataset);
  return one.remarks.filter((remark) => !later.some((other) => other.remarks.includes(remark)));
}

function build_results() {
  const content = document.getElementById("content");
  const many = report.sections.length > 1;
  put(content, 
    element("section", { "aria-labelledby": "overview-title" }, element("h2", { id: "overview-title" }, "What came out"),
      report.sections.flatMap((s, k) => [element("p", {}, many ? element("strong", {}, section_title(s) + ": ") : null, overview(k)),
        ...remarks_below(k).map((remark) => element("p", {}, element("strong", {}, remark)))])),
    element("form", { id: "controls", class: "controls", "aria-label": "What is shown", onsubmit: (event) => event.preventDefault() }),
    element("p", { id: "announcer", class: "hidden", role: "status", "aria-live": "polite" }),
    element("section", { id: "leaderboard", "aria-labelledby": "leaderboard-title" }, element("h2", { id: "leaderboard-title" }, "Leaderboard"), element("div", { id: "leaderboard-table" })),
    parts.map((part) => element("section", { id: part.id, "aria-labelledby": part.id + "-title" }, element("h2", { id: part.id + "-title" }, part.title), element("p", { class: "lead" }, part.lead), element("div", { id: part.id + "-place" }))));
  put(document.getElementById("contents"), element("ul", {}, [{ id: "leaderboard", title: "Leaderboard" }, ...parts].map((part) => element("li", {}, element("a", { href: "#" + part.id }, part.title)))));
  build_controls();
  render_all();
}

function route(first) {
  const track = /^#track-(\d+)-(\d+)$/.exec(location.hash), row = /^#row-(\d+)-(\d+)$/.exec(location.hash);
  const results = document.getElementById("leaderboard");
  if (track && report.sections[track[1]] && report.sections[track[1]].tracks[track[2]]) {
    if (Number(track[1]) !== state.section) set_section(Number(track[1]));
    ++generation;
    document.getElementById("content").removeAttribute("aria-busy");
    document.getElementById("contents").hidden = true;
    render_track(document.getElementById("content"), Number(track[1]), Number(track[2]));
    if (!first) window.scrollTo(0, 0);
    return;
  }
  close_track();
  document.getElementById("contents").hidden = false;
  if (!results) build_results();
  if (row && report.sections[row[1]] && report.sections[row[1]].rows[row[2]]) {
    if (Number(row[1]) !== state.section) { set_section(Number(row[1])); build_controls(); }
    if (!chosen_rows().includes(Number(row[2]))) clear_filters();
    render_all(true);
    const details = document.getElementById(location.hash.slice(1));
    details.complete();
    details.open = true;
    details.scrollIntoView();
    details.querySelector("summary").focus();
  } else if (!results && location.hash.length > 1) {
    render_all(true);
    const place = document.getElementById(location.hash.slice(1));
    if (place) place.scrollIntoView();
  }
}

function theme_button() {
  const button = document.getElementById("theme"), themes = ["", "dark", "light"];
  const names = { "": "Colours: as the system", dark: "Colours: dark", light: "Colours: light" };
  let now = "";
  const show = () => {
    if (now) document.documentElement.dataset.theme = now;
    else delete document.documentElement.dataset.theme;
    button.textContent = names[now];
  };
  button.addEventListener("click", () => { now = themes[(themes.indexOf(now) + 1) % themes.length]; show(); });
  show();
}

function build_frame() {
  const rows = new Set(report.sections.flatMap((s) => s.rows.map((row) => row.spec))), tracks = new Set(report.sections.flatMap((s) => s.tracks.map((track) => s.dataset + "/" + s.subset + "/" + track.name)));
  document.getElementById("summary").textContent = `${plural(rows.size, "row")}, ${plural(tracks.size, "track")}, ${plural(report.records, "record")}. ` +
    (report.versions.length ? `Scored by mssbench ${report.versions.join(", ")} (${report.revisions.join(", ")}).` : "");
  put(document.getElementById("footer"), 
    element("p", {}, "Made by mssbench report from records alone. The same numbers: ", ["table.md", "table.csv", "table.tex", "table.json", "tracks.csv", "stats.md"].flatMap((name, k) => [k ? ", " : "", element("a", { href: name }, name)]), ". ",
      "Scripts, styles and charts of this page are part of mssbench (MIT licence); nothing is loaded from elsewhere."));
}

let drawn_width = 0;

async function start() {
  theme_button();
  try {
    report = await load("report");
  } catch (error) {
    document.getElementById("loading").textContent = error.message;
    return;
  }
  state.statistic = report.statistic;
  const first = report.sections.findIndex((s) => s.metrics.length);
  if (first < 0) {
    build_frame();
    put(document.getElementById("content"), element("h2", {}, "Nothing was scored"), element("p", {}, "All items of this run failed:"),
      element("ul", {}, report.sections.flatMap((s) => s.errors.map((error) => element("li", {}, `${error.track} by ${error.spec}: ${error.message}`)))));
    return;
  }
  // Files are called by the place in the report, which sections without scores count in.
  report.sections.forEach((s, k) => { s.place = k; });
  report.sections = report.sections.filter((s) => s.metrics.length);
  state.section = 0;
  state.target = target_count() > 1 ? target_count() : 0;
  state.sort.down = is_higher_better();
  build_frame();
  route(true);
  window.addEventListener("hashchange", () => route(false));
  drawn_width = document.documentElement.clientWidth;
  let waiting = 0;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      // Phones resize when their bars come and go: only another width draws anew.
      if (document.documentElement.clientWidth === drawn_width) return;
      drawn_width = document.documentElement.clientWidth;
      if (document.getElementById("leaderboard")) render_all();
    }, 200);
  });
  window.addEventListener("beforeprint", () => {
    if (document.getElementById("leaderboard")) render_all(true);
    for (const details of document.querySelectorAll("details.row")) {
      details.complete();
      details.open = true;
    }
  });
}

start();
