// Provenance: where each row comes from, and how to make it again.

/// A word for a shell.
function quoted(word) {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : "'" + word.replace(/'/g, "'\\''") + "'";
}

function toml_text(word) {
  return '"' + word.replace(/[\\"]/g, "\\$&").replace(/[\u0000-\u001f\u007f]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0")) + '"';
}

/// The data set as an argument, and what to do where a name alone does not find it.
function dataset_argument(name) {
  const lower = name.toLowerCase();
  if (lower.startsWith("synthetic")) return [name, ""];
  if (lower === "musdb18" || lower === "musdb18-hq") return [lower.replace("-", ""), "found through the environment variable MUSDB_PATH"];
  const [folder, tag] = name.split("#");
  return [folder, tag ? `the folder that was called ${folder}; its tracks' names and lengths have the tag ${tag}` : "the folder of that data set"];
}

function options_table(options) {
  const flat = [];
  const walk = (prefix, value) => {
    if (value !== null && typeof value === "object" && !Array.isArray(value)) {
      for (const [key, inner] of Object.entries(value)) walk(prefix ? prefix + "." + key : key, inner);
    } else {
      flat.push([prefix, Array.isArray(value) ? JSON.stringify(value) : String(value)]);
    }
  };
  walk("", options || {});
  if (!flat.length) return element("p", { class: "note" }, "no parameters");
  return scrolling("Parameters", element("table", { class: "plain narrow" }, element("caption", { class: "hidden" }, "Parameters"),
    element("tbody", {}, flat.map(([key, value]) => element("tr", {}, element("th", { scope: "row" }, key), element("td", {}, short(value, 400)))))));
}

function row_details(r) {
  const s = section(), row = s.rows[r], from = row.from, facts = [];
  const fact = (name, ...value) => facts.push(element("dt", {}, name), element("dd", {}, ...value));
  if (row.about.length) fact("What it does", row.about.join(" "));
  fact("Spec", element("code", {}, row.spec));
  fact("Kind", kind_names[row.kind] + (row.protocol ? ", protocol " + row.protocol : ""));
  fact("Trained on", row.training_text || training_names[row.training]);
  if (from.weights) fact("Weights", element("code", {}, (from.weights.label || "") + " "), "SHA-256 ", element("code", {}, from.weights.sha256 || "not recorded"));
  fact("Seeds", row.seeds.length ? row.seeds.join(", ") + (from.random === false ? " (the method is not random)" : "") : "none");
  fact("Tracks", `${row.tracks} of ${s.tracks.length}` + (row.failed ? `, ${row.failed} failed` : ""));
  if (from.versions && from.versions.length) fact("Program", "mssbench " + from.versions.join("; ") + (from.isas.length ? ", instruction set " + from.isas.join(", ") : ""));
  if (row.cost.machines.length) fact("Machine", row.cost.machines.join("; ") + (from.hosts && from.hosts.length ? " (" + from.hosts.join(", ") + ")" : "") + (row.cost.threads.length ? ", tracks at once × threads each: " + row.cost.threads.join(", ") : ""));
  if (from.started) fact("First started", from.started + " (UTC)");
  const parts = [element("dl", {}, facts), element("h3", {}, "Parameters, all with their values"), options_table(from.options)];
  if (from.commands && from.commands.length) parts.push(element("h3", {}, "As it was run"), from.commands.map(code_block));
  if (from.separated_here) {
    const [where, hint] = dataset_argument(s.dataset), seeds = row.seeds.join(",");
    const subset = s.subset === "all" ? "" : " --subset " + quoted(s.subset);
    parts.push(element("h3", {}, "To make this row again"),
      hint ? element("p", { class: "note" }, `${quoted(where)}: ${hint}.`) : null,
      code_block(`mssbench run -d ${quoted(where)}${subset} -m ${quoted(row.spec)}${row.seeds.length > 1 || row.seeds[0] ? " --seeds " + seeds : ""} -o again\nmssbench compare RUN#${quoted(row.spec)} again`),
      element("p", { class: "note" }, "or as a plan, for mssbench run PLAN.toml:"),
      code_block(`[run]\ndataset = ${toml_text(where)}\n` + (subset ? `subset = ${toml_text(s.subset)}\n` : "") + `methods = [${toml_text(row.spec)}]\n` + (row.seeds.length > 1 || row.seeds[0] ? `seeds = [${row.seeds.join(", ")}]\n` : "") + `out = "again"\n`),
      element("p", { class: "note" }, "The same program on the same instruction set gives the same scores to the last bit, whatever the threads; RUN is the folder of this report's records."));
  } else if (row.tracks) {
    parts.push(element("p", { class: "note" }, "The stems were made by another program and scored here; how they were made is not recorded."));
  }
  return parts;
}

function render_rows(place) {
  put(place, chosen_rows().map((r) => {
    const row = section().rows[r];
    const details = element("details", { id: `row-${state.section}-${r}`, class: "row" }, element("summary", {}, element("span", { class: "summary-name" }, row.name), element("span", { class: "badge " + kind_class(row) }, kind_names[row.kind])));
    // Filled when opened: most readers open one or two.
    details.complete = () => {
      if (details.children.length === 1) fill(details, {}, row_details(r));
    };
    details.addEventListener("toggle", details.complete);
    return details;
  }));
}
