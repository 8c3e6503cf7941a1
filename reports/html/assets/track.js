// The page of one track: scores, the metric over time against the waveform, spectrograms, players.

const line_styles = 7;  // colours of CSS (--line-0 …); beyond them dashes tell lines apart

const letters_of_numbers = new Map([..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"].map((letter, value) => [letter, value]));

/// The values of one series: some letters each, the number of steps plus half the range; 0 is "undefined".
function frames_of(text, { letters, step }) {
  const out = [], half = 2 ** (6 * letters - 1);
  for (let i = 0; i + letters <= text.length; i += letters) {
    let n = 0;
    for (let k = 0; k < letters; ++k) n = n * 64 + letters_of_numbers.get(text[i + k]);
    out.push(n === 0 ? NaN : (n - half) * step);
  }
  return out;
}

const track_state = { id: "", target: 0, metric: "", rows: null };

function track_scores_table(i) {
  const rows = chosen_rows(), digits = report.digits;
  return scrolling("Scores of this track", element("table", { class: "plain" },
    element("caption", {}, metric_label() + " of this track" + (metric_info().framewise ? " (median over its frames)" : "")),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "row"), targets_shown().map((t) => element("th", { scope: "col", class: "number" }, target_name(t))))),
    element("tbody", {}, rows.map((r) => {
      const row = section().rows[r];
      return element("tr", { class: kind_class(row) }, element("th", { scope: "row", title: row.spec }, short(row.name, 60)),
        targets_shown().map((t) => element("td", { class: "number" }, fixed(number(row.scores[state.metric][t][i]), digits))));
    }))));
}

/// The series over time, the waveform of the target below on the same axis.
function timeline(place, i, frames, media) {
  const t = track_state.target, name = target_name(t), width = chart_width(place, 1), seconds = number(section().tracks[i].seconds);
  const series = [...track_state.rows].sort((a, b) => a - b).map((r) => ({ r, text: frames.metrics[track_state.metric][r] && frames.metrics[track_state.metric][r][name] }))
    .filter((entry) => entry.text).map(({ r, text: coded }) => ({ r, values: frames_of(coded, frames) }));
  const left = 44, right = width - 10, top = 10, height = 220, wave = media && media.waveforms[name] ? 70 : 0, gap = wave ? 14 : 0;
  const total = Number.isFinite(seconds) ? seconds : Math.max(1, ...series.map(({ values }) => values.length)) * frames.hop_s;
  const x = (s) => left + (s / total) * (right - left);
  const all = series.flatMap(({ values }) => values).filter(Number.isFinite), out = [];
  if (!all.length) out.push(text(left + 8, top + 20, "No frames with values for the rows shown.", "row-name"));
  const sorted = [...all].sort((a, b) => a - b);
  // Silence gives values far below; they are drawn at the edge.
  const y = all.length ? linear_axis([Math.max(sorted[0], quantile(sorted, 0.02) - 3), sorted[sorted.length - 1]], top + height, top, 5) : null;
  if (y) for (const tick of y.ticks) out.push(line(left, y.position(tick), right, y.position(tick), "grid"), text(left - 5, y.position(tick) + 4, y.label(tick), "tick", "end"));
  const step = nice_step(total, Math.max(2, (right - left) / 90)), bottom = top + height + gap + wave;
  for (let s = 0; s <= total + 1e-9; s += step) out.push(line(x(s), top, x(s), bottom, "grid"), text(x(s), bottom + 14, step < 1 ? s.toFixed(1) : duration_text(s), "tick", "middle"));
  if (media && media.length_s < total - 1) out.push(picture("rect", { x: x(media.begin_s), y: top, width: Math.max(1, x(media.begin_s + media.length_s) - x(media.begin_s)), height: bottom - top, class: "excerpt" }));
  series.forEach(({ r, values }) => {
    const k = [...chosen_rows()].indexOf(r);
    let path = "", open = false;
    values.forEach((v, n) => {
      if (!Number.isFinite(v)) { open = false; return; }
      const at = Math.min(Math.max(y.position(v), top), top + height);
      path += (open ? "L" : "M") + x(n * frames.hop_s + frames.window_s / 2).toFixed(1) + " " + at.toFixed(1);
      if (!open && !Number.isFinite(values[n + 1])) path += "h1.5";
      open = true;
    });
    out.push(titled(picture("path", { d: path, class: `series line-${k % line_styles}${k >= line_styles ? " dashed" : ""}` }), section().rows[r].name));
  });
  out.push(picture("rect", { x: left, y: top, width: right - left, height, class: "frame" }));
  if (wave) {
    const peaks = media.waveforms[name], middle = top + height + gap + wave / 2, each = (right - left) / peaks.length;
    out.push(picture("path", { class: "wave", d: peaks.map((p, n) => `M${(left + n * each).toFixed(1)} ${(middle - (p / 255) * wave / 2).toFixed(1)}v${Math.max(0.5, (p / 255) * wave).toFixed(1)}`).join("") }));
    out.push(text(left - 5, middle + 4, "wave", "tick", "end"));
  }
  out.push(picture("text", { x: 11, y: top + height / 2, class: "axis-label", "text-anchor": "middle", transform: `rotate(-90 11 ${top + height / 2})` }, track_state.metric + (report.metrics[track_state.metric].unit ? " (" + report.metrics[track_state.metric].unit + ")" : "")));
  const label = `${track_state.metric} over time, ${name}: ` + series.map(({ r, values }) => {
    const some = values.filter(Number.isFinite).sort((a, b) => a - b);
    return section().rows[r].name + (some.length ? `, median ${fixed(quantile(some, 0.5), report.digits)}, from ${fixed(some[0], 1)} to ${fixed(some[some.length - 1], 1)}` : ", no values");
  }).join("; ");
  const table = element("details", {}, element("summary", {}, "The same as a table"));
  table.addEventListener("toggle", () => {
    if (!table.open || table.children.length > 1) return;
    const count = Math.max(0, ...series.map(({ values }) => values.length));
    table.append(scrolling("Values over time", element("table", { class: "plain" }, element("caption", { class: "hidden" }, label),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "from second"), series.map(({ r }) => element("th", { scope: "col", class: "number" }, short(section().rows[r].name, 24))))),
      element("tbody", {}, [...Array(count).keys()].map((n) => element("tr", {}, element("th", { scope: "row" }, String(Number((n * frames.hop_s).toFixed(3)))), series.map(({ values }) => element("td", { class: "number" }, n < values.length ? fixed(values[n], 2) : ""))))))));
  });
  put(place, svg(width, bottom + 20, label, ...out), table);
}

function timeline_section(i, frames, media) {
  const rows = chosen_rows().filter((r) => Object.values(frames.metrics).some((of_rows) => of_rows[r]));
  const metrics = Object.keys(frames.metrics);
  if (!metrics.includes(track_state.metric)) track_state.metric = metrics.includes(metric_id()) ? metric_id() : metrics[0];
  if (!track_state.rows) {
    const by_score = rows.filter((r) => section().rows[r].kind === "method").sort((a, b) => score(section().rows[b], target_count()) - score(section().rows[a], target_count())).slice(0, 4);
    const { floor, oracle } = references(target_count());
    track_state.rows = new Set([...by_score, ...[floor, oracle].filter(Boolean).map((row) => section().rows.indexOf(row)).filter((r) => rows.includes(r))]);
  }
  const place = element("div", { class: "timeline" });
  const draw = () => timeline(place, i, frames, media);
  const box = (r) => {
    const k = chosen_rows().indexOf(r);
    return element("label", { class: "check" }, element("input", { type: "checkbox", checked: track_state.rows.has(r), onchange: (event) => {
      if (event.target.checked) track_state.rows.add(r); else track_state.rows.delete(r);
      draw();
    } }), picture("svg", { viewBox: "0 0 22 10", width: 22, height: 10, "aria-hidden": "true" }, line(0, 5, 22, 5, `series line-${k % line_styles}${k >= line_styles ? " dashed" : ""}`)), short(section().rows[r].name, 40));
  };
  const whole = element("section", { "aria-labelledby": "over-time" }, element("h3", { id: "over-time" }, "Over time"),
    element("p", { class: "note" }, "One value per frame; gaps are frames that do not count, because a reference or an estimate is silent in them." + (media && media.length_s < number(section().tracks[i].seconds) - 1 ? " The shaded part is what the players hold." : "")),
    element("div", { class: "controls" },
      metrics.length > 1 ? select("Metric", metrics.map((m) => [m, m]), track_state.metric, (m) => { track_state.metric = m; draw(); }) : null,
      select("Target", section().targets.map((name, k) => [k, name]), track_state.target, (k) => { track_state.target = Number(k); draw(); })),
    element("fieldset", { class: "checks" }, element("legend", {}, "Rows"), rows.map(box)), place);
  whole.draw = draw;
  return whole;
}

// --- players ---------------------------------------------------------------------------------------------------------------

const fade_s = 0.012;

/// Plays one of many signals of equal length. Changing over starts the next one at the very sample where the last one is,
/// and cross-fades, so that nothing clicks and time goes on.
class Player {
  constructor(media) {
    this.media = media;
    this.buffers = new Map();
    this.context = null;
    this.voice = null;      // {source, gain, signal}
    this.selected = 0;
    this.playing = false;
    this.offset = 0;        // seconds into the excerpt where playing starts, or stands
    this.started = 0;       // context time at which `offset` sounded
    this.loop = true;
    this.from = 0;
    this.to = media.length_s;
    this.matched = true;
    this.volume = 0.9;
    this.changed = () => {};
    // The loudest of all matched signals stays below full scale, and all others with it.
    this.headroom = 1 / Math.max(1, ...media.signals.map((s) => number(s.peak) * number(s.gain)));
  }

  gain_of(k) {
    const s = this.media.signals[k];
    const own = this.matched ? s.gain : s.gain / 10 ** (s.matched_db / 20);
    return own * this.headroom * this.volume;
  }

  async buffer(k) {
    if (!this.buffers.has(k)) {
      const sound = await load(this.media.signals[k].audio);
      const bytes = Uint8Array.from(atob(sound.flac), (c) => c.charCodeAt(0));
      this.buffers.set(k, await this.context.decodeAudioData(bytes.buffer));
      // The text is large; from a file it can be had again.
      if (!report.single) mssbench.values.delete(this.media.signals[k].audio);
    }
    return this.buffers.get(k);
  }

  position(at) {
    if (!this.playing) return this.offset;
    let p = this.offset + ((at === undefined ? this.context.currentTime : at) - this.started);
    if (this.loop && p >= this.to && this.to > this.from) p = this.from + ((p - this.from) % (this.to - this.from));
    return Math.min(Math.max(p, 0), this.media.length_s);
  }

  ready() {
    if (!this.context) this.context = new AudioContext();
    return this.context.resume();
  }

  quiet() {
    if (!this.voice) return;
    const { source, gain } = this.voice, now = this.context.currentTime;
    gain.gain.cancelScheduledValues(now);
    gain.gain.setValueAtTime(gain.gain.value, now);
    gain.gain.linearRampToValueAtTime(0, now + fade_s);
    source.onended = null;
    source.stop(now + fade_s + 0.01);
    this.voice = null;
  }

  async begin(offset) {
    await this.ready();
    const k = this.selected, buffer = await this.buffer(k);
    if (k !== this.selected) return;  // another one was chosen meanwhile
    const at = this.context.currentTime + 0.015;
    const place = offset === undefined ? this.position(at) : offset;
    this.quiet();
    const source = this.context.createBufferSource(), gain = this.context.createGain();
    source.buffer = buffer;
    source.loop = this.loop;
    source.loopStart = this.from;
    source.loopEnd = Math.min(this.to, buffer.duration);
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(this.gain_of(k), at + fade_s);
    source.connect(gain).connect(this.context.destination);
    source.onended = () => { if (this.voice && this.voice.source === source) { this.playing = false; this.offset = 0; this.voice = null; this.changed(); } };
    source.start(at, place);
    this.voice = { source, gain, signal: k };
    this.offset = place;
    this.started = at;
    this.playing = true;
    this.changed();
  }

  play() { return this.begin(this.offset >= this.media.length_s - 0.05 ? this.from : this.offset); }

  pause() {
    this.offset = this.position();
    this.playing = false;
    this.quiet();
    this.changed();
  }

  toggle() { return this.playing ? this.pause() : this.play(); }

  choose(k) {
    this.selected = k;
    this.changed();
    return this.playing ? this.begin() : Promise.resolve();
  }

  seek(seconds) {
    const place = Math.min(Math.max(seconds, 0), this.media.length_s - 0.02);
    if (this.playing) return this.begin(place);
    this.offset = place;
    this.changed();
    return Promise.resolve();
  }

  /// Loop, its ends or loudness changed: go on at the same place with the new settings.
  renew() { if (this.playing) this.begin(); else this.changed(); }

  end() {
    if (this.playing) this.pause();
    if (this.context) this.context.close();
    this.context = null;
    this.buffers.clear();
  }
}

let player = null;

function signal_name(s) {
  if (s.kind === "mixture") return "mixture";
  if (s.kind === "reference") return "reference";
  const row = section().rows.find((candidate) => candidate.spec === s.spec);
  return row ? row.name : s.spec;
}

function player_section(media) {
  const signals = media.signals, targets = [...new Set(signals.filter((s) => s.target).map((s) => s.target))];
  const names = ["reference", ...new Set(signals.filter((s) => s.kind === "estimate").map((s) => s.spec))];
  const find = (name, target) => signals.findIndex((s) => s.target === target && (name === "reference" ? s.kind === "reference" : s.spec === name && s.kind === "estimate"));
  player = new Player(media);
  const buttons = new Map(), heads = [];
  const button = (k) => {
    if (k < 0) return element("span", { class: "none" }, "–");
    const s = signals[k], b = element("button", { type: "button", class: "signal", "aria-pressed": "false", "aria-label": `${signal_name(s)}${s.target ? ", " + s.target : ""}`,
      onclick: () => { player.choose(k); if (!player.playing) player.play(); } }, s.kind === "mixture" ? "mixture" : "listen");
    buttons.set(k, b);
    return b;
  };
  const play = element("button", { type: "button", class: "play", onclick: () => player.toggle() }, "Play");
  const slider = element("input", { type: "range", min: 0, max: media.length_s, step: 0.01, value: 0, "aria-label": "Position in the excerpt", oninput: () => player.seek(Number(slider.value)) });
  const clock = element("output", { class: "clock" });
  const now = element("strong", {});
  const check = (label, value, change) => element("label", { class: "check" }, element("input", { type: "checkbox", checked: value, onchange: (event) => { change(event.target.checked); player.renew(); } }), label);
  const loop_text = element("span", { class: "note" });
  const loop = check("Loop", true, (on) => { player.loop = on; });
  const show = () => {
    play.textContent = player.playing ? "Pause" : "Play";
    for (const [k, b] of buttons) b.setAttribute("aria-pressed", String(k === player.selected));
    const s = signals[player.selected];
    now.textContent = signal_name(s) + (s.target ? ", " + s.target : "");
    loop_text.textContent = ` ${duration_text(media.begin_s + player.from)} to ${duration_text(media.begin_s + player.to)}`;
    loop.querySelector("input").checked = player.loop;
    tick();
  };
  const tick = () => {
    if (!player || player.media !== media) return;
    const at = player.position();
    if (document.activeElement !== slider || player.playing) slider.value = at;
    clock.textContent = `${fixed(at, 1)} s of ${fixed(media.length_s, 1)} s`;
    slider.setAttribute("aria-valuetext", clock.textContent);
    for (const head of heads) head.style.left = (100 * at) / media.length_s + "%";
    if (player.playing) requestAnimationFrame(tick);
  };
  player.changed = show;

  const order = (step) => {  // the next signal of the same target
    const of = [...buttons.keys()].filter((k) => signals[k].target === signals[player.selected].target);
    player.choose(of[(of.indexOf(player.selected) + step + of.length) % of.length]);
  };
  const to_target = (target) => {
    const s = signals[player.selected], k = find(s.kind === "estimate" ? s.spec : "reference", target);
    player.choose(k >= 0 ? k : find("reference", target));
  };
  const keys = (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const typing = event.target.tagName === "SELECT" || (event.target.tagName === "INPUT" && event.target.type === "text");
    if (typing) return;
    const on_slider = event.target === slider, index = Number(event.key) - 1;
    if (event.key === " " && event.target.tagName !== "BUTTON" && event.target.type !== "checkbox") player.toggle();
    else if (event.key === "k") player.toggle();
    else if (event.key === "ArrowLeft" && !on_slider) player.seek(player.position() - 1);
    else if (event.key === "ArrowRight" && !on_slider) player.seek(player.position() + 1);
    else if (event.key === "ArrowUp" && !on_slider) order(-1);
    else if (event.key === "ArrowDown" && !on_slider) order(1);
    else if (event.key === "m") player.choose(0);
    else if (event.key === "r" && signals[player.selected].target) player.choose(find("reference", signals[player.selected].target));
    else if (event.key === "l") { player.loop = !player.loop; player.renew(); }
    else if (event.key === "[") { player.from = Math.min(player.position(), player.to - 0.1); player.renew(); }
    else if (event.key === "]") { player.to = Math.max(player.position(), player.from + 0.1); player.renew(); }
    else if (index >= 0 && index < targets.length) to_target(targets[index]);
    else return;
    event.preventDefault();
  };

  const spectra = (k) => {
    const s = signals[k], head = element("div", { class: "playhead" });
    heads.push(head);
    return element("figure", {}, element("div", { class: "spectrum" }, element("img", { src: s.spectrum, alt: `Spectrogram: ${signal_name(s)}${s.target ? ", " + s.target : ""}`, loading: "lazy" }), head),
      element("figcaption", {}, signal_name(s), s.target ? ", " + s.target : "", Number.isFinite(number(s.lkfs)) ? `, ${fixed(s.lkfs, 1)} LKFS` : ", silent"));
  };
  const spectra_place = element("div", { class: "grid" });
  const show_spectra = (target) => {
    heads.length = 0;
    put(spectra_place, ...[spectra(0), ...names.map((name) => find(name, target)).filter((k) => k >= 0).map(spectra)]);
    tick();
  };
  const chosen = targets.includes(target_name(track_state.target)) ? target_name(track_state.target) : targets[0];
  const table = element("table", { class: "plain signals" }, element("caption", { class: "hidden" }, "Signals to listen to"),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "signal"), targets.map((target, n) => element("th", { scope: "col" }, `${target} (${n + 1})`)))),
    element("tbody", {}, element("tr", {}, element("th", { scope: "row" }, "mixture"), element("td", { colspan: targets.length }, button(0))),
      names.map((name) => element("tr", {}, element("th", { scope: "row" }, name === "reference" ? "reference" : short(signal_name({ kind: "estimate", spec: name }), 46)), targets.map((target) => element("td", {}, button(find(name, target))))))));
  const out = element("section", { "aria-labelledby": "listen", class: "player", onkeydown: keys, tabindex: "-1" },
    element("h3", { id: "listen" }, "Listen"),
    element("p", { class: "note" }, `An excerpt from ${duration_text(media.begin_s)} to ${duration_text(media.begin_s + media.length_s)}. All signals run together; changing between them keeps the place. Estimates are matched to the loudness of their reference (ITU-R BS.1770) unless that is switched off.`),
    element("div", { class: "transport" }, play, slider, clock, check("Match loudness", true, (on) => { player.matched = on; }), loop, loop_text,
      element("label", { class: "control" }, element("span", {}, "Volume"), element("input", { type: "range", min: 0, max: 1, step: 0.01, value: player.volume, oninput: (event) => { player.volume = Number(event.target.value); if (player.voice) player.voice.gain.gain.setTargetAtTime(player.gain_of(player.voice.signal), player.context.currentTime, 0.02); } }))),
    element("p", { "aria-live": "polite" }, "Now: ", now),
    scrolling("Signals", table),
    element("details", {}, element("summary", {}, "Keys"), element("p", {}, "While something in this part has the focus: ", [["k", "or space: play and pause"], ["← →", "one second back and on"], ["↑ ↓", "signal before and after, same target"], ["1 … " + targets.length, "target"], ["m", "mixture"], ["r", "reference"], ["l", "loop"], ["[ ]", "loop from here, to here"]].map(([key, what]) => [element("kbd", {}, key), " " + what + "; "]))),
    element("h3", {}, "Spectrograms"),
    element("p", { class: "note" }, `Of the same excerpt: ${fixed(media.lowest_hz, 0)} Hz to ${fixed(media.highest_hz / 1000, 1)} kHz on a logarithmic axis, upwards; colours over ${fixed(-media.floor_db, 0)} dB below the mixture's largest value.`),
    element("div", { class: "controls" }, select("Target", targets.map((target) => [target, target]), chosen, show_spectra)), spectra_place);
  show_spectra(chosen);
  show();
  return out;
}

function close_track() {
  if (player) player.end();
  player = null;
}

async function render_track(place, s, i) {
  close_track();
  state.section = s;
  const track = section().tracks[i], id = s + "-" + i, many = section().tracks.length;
  if (track_state.id !== id) Object.assign(track_state, { id, target: state.target < target_count() ? state.target : 0 });
  const go = (k, label) => (k >= 0 && k < many ? element("a", { href: `#track-${s}-${k}`, class: "button" }, label) : null);
  const rate = number(track.rate_hz), channels = number(track.channels);
  const facts = element("dl", { class: "facts" },
    element("dt", {}, "Data set"), element("dd", {}, section_title(section())),
    element("dt", {}, "Length"), element("dd", {}, duration_text(number(track.seconds)) + (Number.isNaN(rate) ? "" : `, ${rate} Hz, ` + plural(channels, "channel"))),
    track.fingerprint ? [element("dt", {}, "Fingerprint"), element("dd", {}, element("code", {}, track.fingerprint))] : null,
    track.erratum ? [element("dt", {}, "Published defect"), element("dd", {}, track.erratum)] : null,
    track.training ? [element("dt", {}, "Training track"), element("dd", {}, "belongs to a training set; rows with trained weights may have heard it")] : null);
  const notes = section().notes.filter((note) => note.tracks.includes(track.name));
  const errors = section().errors.filter((error) => error.track === track.name);
  const main = element("article", { "aria-labelledby": "track-name" },
    element("p", { class: "track-nav" }, element("a", { href: "#tracks", class: "button" }, "← All results"), go(i - 1, "Previous track"), go(i + 1, "Next track")),
    element("h2", { id: "track-name", tabindex: "-1" }, track.name), facts,
    notes.length ? element("ul", {}, notes.map((note) => element("li", {}, note.text))) : null,
    errors.length ? element("ul", {}, errors.map((error) => element("li", {}, `${error.spec} failed: ${error.message}`))) : null,
    element("h3", {}, "Scores"),
    element("div", { class: "controls" }, select("Metric", section().metrics.map((m, k) => [k, m]), state.metric, (m) => { state.metric = Number(m); put(scores, track_scores_table(i)); })));
  const scores = element("div", {}, track_scores_table(i));
  main.append(scores);
  put(place, main);
  document.getElementById("track-name").focus();
  try {
    const media = track.media ? await load(track.media) : null;
    const frames = track.frames ? await load("track-" + section().place + "-" + i) : null;
    if (track_state.id !== id || !main.isConnected) return;
    if (frames) {
      const over_time = timeline_section(i, frames, media);
      main.append(over_time);
      over_time.draw();
    } else {
      main.append(element("h3", {}, "Over time"), element("p", { class: "note" }, "The records hold no frames of this track (whole-track metrics only, or scores of another program)."));
    }
    if (media) main.append(player_section(media));
    else main.append(element("h3", {}, "Listen"), element("p", { class: "note" }, "To hear and see the signals: run with --save-estimates, then mssbench report RUN --audio DATASET."));
  } catch (error) {
    main.append(element("p", { class: "problem" }, error.message));
  }
}
