#!/usr/bin/env python3
"""Opens the page of `mssbench report` in Chromium and uses it: sorting, filters, a track, players, keyboard, hostile text, print,
accessibility. Prints a line that starts with SKIPPED: where there is no Chromium.

With --pictures DIR it also writes screenshots (light, dark, phone) and the printed page.
With axe-core at hand (AXE names its axe.min.js) its findings count, too.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import accessibility
import devtools

SONGS = "synthetic:songs=3,seconds=4"
failures = []


def check(condition, what):
    print(("ok      " if condition else "FAILED  ") + what)
    if not condition:
        failures.append(what)


def equal(found, expected, what):
    check(found == expected, what + ("" if found == expected else f": expected {expected!r}, found {found!r}"))


class Program:
    def __init__(self, path, folder):
        self.path, self.folder = path, folder

    def __call__(self, *arguments):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        done = subprocess.run([self.path, *map(str, arguments)], cwd=self.folder, env=environment, capture_output=True, text=True)
        if done.returncode not in (0, 6):
            sys.exit(f"{' '.join(map(str, arguments))} gave {done.returncode}:\n{done.stderr}")
        return done


def address(path, fragment=""):
    return pathlib.Path(path).resolve().as_uri() + fragment


def names(page):
    """Names of the leaderboard's rows, as shown."""
    return page.eval("[...document.querySelectorAll('.leaderboard tbody th.row-head a')].map(e => e.textContent)")


def column(page, index):
    """Numbers of a column of the methods."""
    return page.eval(f"[...document.querySelectorAll('.leaderboard tbody.kind-method tr[data-row]')].map(e => parseFloat(e.children[{index}].firstChild.textContent.replace('−', '-')))")


def choose(page, label, value):
    page.eval(f"""(() => {{ const all = [...document.querySelectorAll('label.control')].filter(e => e.querySelector('span').textContent === {json.dumps(label)});
        const s = all[0].querySelector('select'); s.value = {json.dumps(str(value))}; s.dispatchEvent(new Event('change')); }})()""")


def finished(page):
    """Waits until all parts are drawn, after the opening or a choice."""
    page.until("document.querySelector('#metrics-place table') !== null && !document.getElementById('content').hasAttribute('aria-busy')")


def test_leaderboard(page, index):
    page.open(address(index))
    finished(page)
    equal(page.problems(), [], "opens without errors or requests")
    check(page.eval("document.title").startswith("Source separation on synthetic"), "the title names the data set")
    equal(page.eval("(document.querySelector('section[aria-labelledby=overview-title]').textContent.match(/Synthetic songs:/g) || []).length"), 1,
          "what is to be known about a data set is said once, whatever the number of its scenarios")
    # The same numbers as the table.
    with open(pathlib.Path(index).parent / "table.json") as file:
        section = json.load(file)["sections"][0]
    expected = {row["name"]: row["metrics"]["SDR"]["average"]["median"] for row in section["rows"]}
    shown = dict(zip(names(page), page.eval("[...document.querySelectorAll('.leaderboard tr[data-row]')].map(e => parseFloat(e.children[2].firstChild.textContent.replace('−', '-')))")))
    equal(sorted(shown), sorted(expected), "every row is there")
    check(all(abs(shown[name] - expected[name]) < 0.0051 for name in expected), "values are those of table.json")
    groups = page.eval("[...document.querySelectorAll('.leaderboard tr.group')].map(e => e.textContent)")
    check(groups[0] == "Methods" and any("Floors" in g for g in groups) and any("Oracles" in g for g in groups), "floors and oracles stand apart")
    check(page.eval("document.querySelectorAll('.leaderboard svg .band, .leaderboard svg .bound').length") > 0, "floor and oracle are drawn as bands")
    check(page.eval("document.querySelectorAll('.leaderboard svg .whisker').length") > 0, "intervals are drawn")

    # Sorting, by mouse and by keyboard.
    values = column(page, 2)
    equal(values, sorted(values, reverse=True), "starts with the best average first")
    page.click("button[data-sort='score-0']")
    values = column(page, 3)
    equal(values, sorted(values, reverse=True), "a click on a header sorts by it")
    equal(page.eval("document.querySelector('button[data-sort=\"score-0\"]').closest('th').getAttribute('aria-sort')"), "descending", "and says so")
    page.eval("document.querySelector('button[data-sort=\"score-0\"]').focus()")
    page.key("Enter")
    values = column(page, 3)
    equal(values, sorted(values), "Enter on the header turns the order")
    equal(page.eval("document.activeElement.dataset.sort"), "score-0", "the focus stays on the header")
    page.click("button[data-sort='name']")
    methods = page.eval("[...document.querySelectorAll('.leaderboard tbody.kind-method th.row-head a')].map(e => e.textContent)")
    equal(methods, sorted(methods, key=str.lower), "rows sort by name")
    page.click("button[data-sort='rtf']")
    check(page.eval("document.querySelector('th[aria-sort] button').dataset.sort") == "rtf", "costs sort")

    # Filters.
    page.eval("document.querySelector('input[data-kind=oracle]').click()")
    check(not any("irm" in name for name in names(page)), "oracles can be left out")
    page.eval("document.querySelector('input[data-kind=oracle]').click()")
    page.eval("(() => { const s = document.querySelector('input[type=search]'); s.value = 'CC0#'; s.dispatchEvent(new Event('input')); })()")
    check(names(page) and all("cc0#" in name for name in names(page)), "rows are found by a part of their name")
    page.eval("(() => { const s = document.querySelector('input[type=search]'); s.value = 'nothing like it'; s.dispatchEvent(new Event('input')); })()")
    check(page.eval("document.querySelector('#leaderboard-table button') !== null"), "no match offers to show all")
    page.click("#leaderboard-table button")
    equal(len(names(page)), len(expected), "and does")
    choose(page, "Protocol", "P4")
    check(names(page) == [n for n in names(page) if "P4" in n] and names(page), "rows are found by protocol")
    choose(page, "Protocol", "")
    choose(page, "Trained on", "oracle")
    check(names(page) and all("irm" in n or "P4" in n for n in names(page)), "rows are found by what they were trained on")
    choose(page, "Trained on", "")
    metric = page.eval("[...document.querySelectorAll('#controls select')].find(s => [...s.options].some(o => o.text === 'SI-SDR')).options.length")
    check(metric > 5, "all metrics can be chosen")
    choose(page, "Metric", 5)
    check("SDR: " not in page.eval("document.querySelector('.leaderboard caption').textContent")[:5], "another metric changes the table")
    choose(page, "Metric", 0)
    choose(page, "Target in charts", 1)
    check("drums" in page.eval("document.querySelector('.leaderboard thead').textContent") and "drums, drawn" in page.eval("document.querySelector('.leaderboard thead').textContent"), "charts follow the target")
    choose(page, "Over tracks", "mean")
    check("mean over" in page.eval("document.querySelector('.leaderboard caption').textContent"), "means can be shown")
    choose(page, "Over tracks", "median")
    choose(page, "Data set and scenario", page.eval("report.sections.findIndex(s => s.scenario === 'vocals/accompaniment')"))
    check("accompaniment" in page.eval("document.querySelector('.leaderboard thead').textContent"), "the other scenario has its own targets")
    choose(page, "Data set and scenario", 0)
    finished(page)
    equal(page.eval("document.querySelectorAll('details.row').length"), page.eval("report.sections[0].rows.length"), "the first scenario's rows are back")

    check("hpss" in page.eval("document.getElementById('leaderboard').innerText"), "rows of other scenarios are named")
    page.click("#leaderboard-table p button")
    equal(page.eval("report.sections[state.section].scenario"), "stems:drums", "and one click away")
    choose(page, "Data set and scenario", 0)
    finished(page)
    equal(page.eval("document.querySelectorAll('details.row').length"), page.eval("report.sections[0].rows.length"), "the first scenario's rows are back")

    # The other parts.
    for part, what in (("#distributions svg .point", "points of tracks"), ("#tracks td.dark, #tracks td.light", "a heat map"), ("#differences td[class^=verdict]", "differences with verdicts"),
                       ("#ranks svg .dot", "ranks"), ("#seeds svg .point", "seeds"), ("#cost svg .dot", "cost against quality"), ("#metrics tbody tr", "definitions")):
        page.until(f"document.querySelectorAll({json.dumps(part)}).length > 0", 20)
        check(True, what + " are drawn")
    check("95 % interval" in page.eval("document.querySelector('#differences td[class^=verdict]').title"), "differences tell their interval")
    page.eval("document.querySelector('details.row summary').click()")
    page.until("document.querySelector('details.row[open] .code') !== null", 10)
    text = page.eval("document.querySelector('details.row[open]').textContent")
    check("mssbench run -d" in text and "[run]" in text and "Spec" in text, "a row tells its command and plan")
    check("What it does" in text and "matrix factorisation" in text, "and what its method does")
    equal(page.problems(), [], "no errors so far")


def test_command_repeats(page, index, program, folder):
    """The command that the page gives makes the same scores."""
    page.open(address(index, "#row-0-0"))
    page.until("document.querySelector('details.row[open] .code') !== null", 10)
    blocks = page.eval("[...document.querySelectorAll('details.row[open] .code code')].map(e => e.textContent)")
    command = [b for b in blocks if b.startswith("mssbench run")][-1].split("\n")[0]
    shell = command.replace("mssbench ", program.path + " ", 1).replace("-o again", "-o again-command")
    done = subprocess.run(shell, shell=True, cwd=folder, capture_output=True, text=True)
    equal(done.returncode, 0, "the command of a row runs: " + command)
    plan = [b for b in blocks if b.startswith("[run]")][0]
    with open(folder / "again.toml", "w") as file:
        file.write(plan)
    program("run", "again.toml", "-o", "again-plan")

    def scores(path):
        out = {}
        with open(path) as file:
            for line in file:
                record = json.loads(line)
                out[(record["track"], record["spec"], record["scenario"], record["seed"], record["target"])] = record.get("scores")
        return out

    first, again, planned = scores(folder / "run/records.jsonl"), scores(folder / "again-command/records.jsonl"), scores(folder / "again-plan/records.jsonl")
    shared = [key for key in again if key in first]
    check(shared and all(first[key]["uSDR"] == again[key]["uSDR"] for key in shared), "and makes the same scores")
    check(set(planned) == set(again), "and so does its plan")


def test_track(page, index):
    page.open(address(index))
    finished(page)
    page.click("#tracks tbody th a")
    page.until("document.getElementById('track-name') !== null && document.querySelector('.timeline svg path.series') !== null", 20)
    check(page.eval("document.activeElement.id") == "track-name", "a track's page has the focus on its title")
    check(page.eval("document.querySelectorAll('.timeline svg path.series').length") > 1, "series of several rows over time")
    check(page.eval("document.querySelectorAll('.timeline svg path.wave').length") == 1, "against the waveform")
    before = page.eval("document.querySelectorAll('.timeline svg path.series').length")
    page.eval("document.querySelector('fieldset.checks input:checked').click()")
    equal(page.eval("document.querySelectorAll('.timeline svg path.series').length"), before - 1, "a row can be hidden")
    images = page.eval("[...document.querySelectorAll('.spectrum img')].map(e => e.alt)")
    check(len(images) > 3 and "mixture" in images[0] and "reference" in images[1], "spectrograms of mixture, reference and estimates")
    page.until("[...document.querySelectorAll('.spectrum img')].slice(0, 2).every(e => (e.loading = 'eager', e.complete && e.naturalWidth > 100))", 20)

    # Players: by keyboard. The place goes on when signals change.
    page.eval("document.querySelector('.player').focus()")
    page.key("k")
    page.until("player.playing && player.position() > 0.1", 20)
    check(True, "k plays")
    equal(page.eval("document.querySelector('.play').textContent"), "Pause", "and the button says so")
    # One reading of the clock for both numbers: it may go on between two.
    clock = "(t => [player.position(t), t])(player.context.currentTime)"
    heard = page.eval("player.selected")
    for key, what in (("1", "1 chooses the first target"), ("ArrowDown", "the arrow goes to the next signal"), ("2", "2 chooses the second target"), ("r", "r chooses the reference"), ("m", "m chooses the mixture")):
        first = page.eval(clock)
        page.key(key)
        page.until(f"player.voice && player.voice.signal === player.selected && player.selected !== {heard}", 20)
        heard = page.eval("player.selected")
        second = page.eval(clock)
        length = page.eval("player.to - player.from")
        drift = ((second[0] - first[0]) - (second[1] - first[1]) + length / 2) % length - length / 2
        check(abs(drift) < 0.005, f"{what}; the place goes on ({1000 * drift:.2f} ms)")
    # Every change ends the old voice by a ramp and begins the new one by one: nothing jumps.
    page.key("l")
    equal(page.eval("player.loop"), False, "l switches the loop")
    page.key("l")
    page.key("ArrowLeft")
    page.key("k")
    page.until("!player.playing", 10)
    check(True, "k stops")
    at = page.eval("player.position()")
    page.key("ArrowRight")
    check(abs(page.eval("player.position()") - min(at + 1, 3.98)) < 0.05, "the arrow moves a second on")
    loud = page.eval("player.media.signals.filter(s => s.kind === 'estimate' && s.lkfs !== '-inf').map(s => { const r = player.media.signals.find(o => o.kind === 'reference' && o.target === s.target); return r.lkfs === '-inf' || Math.abs(s.matched_db) > 29.9 ? 0 : s.lkfs + s.matched_db - r.lkfs; })")
    check(loud and max(abs(x) for x in loud) < 0.02, "estimates are matched to the loudness of their reference")
    # What sounds is the file: the decoded excerpt against the samples of the page's own clock.
    equal(page.eval("player.buffer(0).then(b => [b.duration, b.numberOfChannels])"), [4, 2], "the excerpt decodes to its whole length")
    page.click(".track-nav a:nth-of-type(2)")
    page.until("location.hash === '#track-0-1' || location.hash === '#track-0-0'", 10)
    page.eval("location.hash = '#tracks'")
    page.until("document.getElementById('leaderboard') !== null", 10)
    equal(page.eval("player === null"), True, "leaving the track stops the player")
    equal(page.problems(), [], "no errors on the track's page")


def test_no_click(page, index):
    """Renders a change of signals off-line with the player's own voices and looks for jumps."""
    page.open(address(index, "#track-0-0"), "document.querySelector('.player') !== null")
    largest = page.eval("""(async () => {
      const rate = 44100, offline = new OfflineAudioContext(1, rate, rate);
      const tone = (f) => { const b = offline.createBuffer(1, rate, rate), d = b.getChannelData(0); for (let i = 0; i < rate; ++i) d[i] = 0.5 * Math.sin(2 * Math.PI * f * i / rate + 1); return b; };
      const p = new Player(player.media);
      p.buffers.set(0, tone(110)); p.buffers.set(1, tone(97)); p.context = offline; p.ready = () => Promise.resolve();
      p.media = { ...p.media, length_s: 1 }; p.to = 1; p.loop = false; p.volume = 1; p.gain_of = () => 1;
      const change = offline.suspend(0.4).then(async () => { p.selected = 1; await p.begin(); await offline.resume(); });
      p.selected = 0; p.offset = 0; await p.begin();
      const out = (await offline.startRendering()).getChannelData(0); await change;
      let jump = 0; for (let i = 1; i < out.length; ++i) jump = Math.max(jump, Math.abs(out[i] - out[i - 1]));
      return [jump, Math.max(...out)];
    })()""")
    # A tone of 110 Hz at 0.5 moves by 0.0078 from sample to sample; the ramps add 0.5 / 529.
    check(0.3 < largest[1] and largest[0] < 0.011, f"a change of signals does not click (largest step {largest[0]:.4f})")


def hostile_records(source, target):
    """The records with names that try to break out."""
    evil = "</script><img src=x onerror=\"window.broken=1\">'\"&<!--\u2028"
    target.mkdir()
    with open(source / "records.jsonl") as file, open(target / "records.jsonl", "w") as out:
        for line in file:
            record = json.loads(line)
            record["track"] = evil + record["track"]
            record["dataset"] = "set" + evil
            if record["spec"] == "hpss":
                record["spec"] = "hpss" + evil
            if record["target"] == "vocals":
                record["target"] = "vocals" + evil
            record["measured"]["command"] = "command " + evil
            record["options"] = {evil: evil}
            out.write(json.dumps(record) + "\n")
    return evil


def test_hostile(page, program, folder):
    evil = hostile_records(folder / "run", folder / "evil")
    for single in ([], ["--single"]):
        program("report", "evil", "-o", "evil-report", *single)
        page.open(address(folder / "evil-report/index.html"))
        finished(page)
        for row in range(3):
            page.eval(f"location.hash = '#row-0-{row}'")
        page.until("document.querySelector('details.row[open]') !== null")
        page.eval("location.hash = '#track-0-0'")
        page.until("document.querySelector('.timeline svg') !== null")
        equal(page.eval("window.broken === undefined && document.querySelectorAll('img').length === 0"), True, "text from records makes no element" + (" (one file)" if single else ""))
        check(evil.strip("\u2028") in page.eval("document.getElementById('track-name').textContent"), "and stands as it is")
    equal(page.problems(), [], "hostile text causes no errors")
    # The policy stops a script that stands in the page all the same.
    equal(page.eval("""new Promise(resolve => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.head.append(s);
        setTimeout(() => resolve(window.ran === undefined), 100); })"""), True, "the policy lets no other script run")


def test_single(page, program, folder):
    program("report", "run", "-o", "single", "--single", "--audio", SONGS, "--audio-tracks", "*1*")
    os.rename(folder / "single/index.html", folder / "alone.html")
    page.open(address(folder / "alone.html"))
    finished(page)
    check(len(names(page)) > 4, "one file alone shows its tables")
    page.eval("location.hash = document.querySelector('#tracks tbody th a').getAttribute('href')")
    page.until("document.querySelector('.timeline svg path.series') !== null", 20)
    check(True, "and its tracks")
    track = page.eval("report.sections[0].tracks.findIndex(t => t.media)")
    page.eval(f"location.hash = '#track-0-{track}'")
    page.until("document.querySelector('.player') !== null", 20)
    equal(page.eval("(async () => { await player.ready(); return (await player.buffer(0)).duration; })()"), 4, "and its players")
    equal(page.problems(), [], "one file opens without errors or requests")


def test_special(page, program, folder):
    """Runs that are not as everybody expects."""
    records = [json.loads(line) for line in open(folder / "run/records.jsonl")]

    def report(name, some, *more):
        (folder / name).mkdir()
        with open(folder / name / "records.jsonl", "w") as file:
            file.writelines(json.dumps(r) + "\n" for r in some)
        program("report", name, "-o", name + "-report", *more)
        page.open(address(folder / (name + "-report/index.html")))
        finished(page)
        return page.eval("document.body.innerText")

    tracks = sorted({r["track"] for r in records})
    text = report("one-track", [r for r in records if r["track"] == tracks[0]])
    check("One track only" in text and "NaN" not in text, "one track: says that there are no intervals")
    text = report("no-method", [r for r in records if r["oracle"] or r["floor"]])
    check("No method stands here" in text and "NaN" not in text, "no method: says so")
    text = report("untrained", [r for r in records if r["weights"] is None])
    check("NaN" not in text, "no trained row: a page")
    first = next(r["spec"] for r in records if r["spec"].startswith("nmf@cc0"))
    failed = dict(next(r for r in records if r["spec"] == first and r["track"] == tracks[1]))
    for name in ("scores", "mean", "frames"):
        failed.pop(name, None)
    failed.update(scenario="", target="", error={"code": "numeric", "message": "it broke <b>here</b>", "where": "", "what": "", "expected": "", "found": "", "hint": ""})
    half = [r for r in records if not (r["spec"] == first and r["track"] == tracks[1]) and not (r["spec"] == "irm2" and r["track"] == tracks[2])] + [failed]
    text = report("half", half)
    check("it broke <b>here</b>" in text and "not scored" in text and "failed" in text and "2/3" in text, "half done: failures and gaps are named")
    other = [dict(r, dataset="other set") for r in records if r["spec"] != "hpss"]
    text = report("two", records + other)
    equal(page.eval("document.querySelector('#controls select').options.length"), 2 * len({r["scenario"] for r in records}), "two data sets: both can be chosen")
    check("synthetic and " in page.eval("document.title") or " and synthetic" in page.eval("document.title"), "and both are in the title")
    (folder / "failed").mkdir()
    with open(folder / "failed/records.jsonl", "w") as file:
        file.write(json.dumps(failed) + "\n")
    program("report", "failed", "-o", "failed-report")
    page.open(address(folder / "failed-report/index.html"), "document.getElementById('loading') === null")
    check("it broke <b>here</b>" in page.eval("document.body.innerText"), "nothing but failures: they are listed")
    program("report", "run", "-o", "published-report", "--published")
    page.open(address(folder / "published-report/index.html"))
    finished(page)
    check(page.eval("document.querySelectorAll('#published table').length") > 0 and page.eval("document.querySelectorAll('.leaderboard th').length > 0 && ![...document.querySelectorAll('.leaderboard th.row-head')].some(e => e.textContent.includes('HT Demucs'))"), "published rows stand apart")
    equal(page.problems(), [], "special runs cause no errors")


def test_accessibility(browser, index):
    for dark in (False, True):
        for fragment, wait in (("", "document.querySelector('#metrics-place table') !== null"), ("#track-0-0", "document.querySelector('.player') !== null")):
            page = browser.page(dark=dark)
            page.open(address(index, fragment), wait)
            page.eval("(() => { for (const d of document.querySelectorAll('details')) d.open = true; })()")
            page.until("[...document.querySelectorAll('details.row')].every(d => d.children.length > 1)")
            found = accessibility.findings(page)
            equal(found, [], f"accessible ({'dark' if dark else 'light'}, {'results' if not fragment else 'track'})")
            axe = os.environ.get("AXE")
            if axe and os.path.exists(axe):
                found = accessibility.axe_findings(page, axe)
                equal(found, [], f"axe-core finds nothing ({'dark' if dark else 'light'}, {'results' if not fragment else 'track'})")
    phone = browser.page(width=390, height=844, phone=True)
    for fragment, wait in (("", "document.querySelector('#metrics-place table') !== null"), ("#track-0-0", "document.querySelector('.player') !== null")):
        phone.open("about:blank", "true")
        phone.open(address(index, fragment), wait)
        check(phone.eval("document.documentElement.scrollWidth") <= 390, "a phone scrolls in one direction only " + fragment)
    if not os.environ.get("AXE"):
        print("note    AXE does not name an axe.min.js: only the checks of accessibility.py were made")


def test_print(page, index, folder):
    page.open(address(index))
    finished(page)
    check(page.pdf(folder / "page.pdf") > 20000, "the page prints")


def pictures(browser, index, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, dark, width, phone in (("light", False, 1400, False), ("dark", True, 1400, False), ("phone", False, 390, True)):
        for view, fragment, wait in (("results", "", "document.querySelector('#metrics-place table') !== null"), ("track", "#track-0-0", "document.querySelector('.player') !== null || document.querySelector('.timeline svg') !== null")):
            page = browser.page(width=width, height=900, dark=dark, phone=phone)
            page.open(address(index, fragment), wait)
            page.eval("(() => { for (const d of [...document.querySelectorAll('details')].slice(0, 1)) d.open = true; for (const i of document.images) i.loading = 'eager'; })()")
            page.eval("new Promise(resolve => setTimeout(resolve, 400))")
            page.picture(folder / f"{view}-{name}.png", whole=True)
    page = browser.page()
    for view, fragment, wait in (("results", "", "document.querySelector('#metrics-place table') !== null"), ("track", "#track-0-0", "document.querySelector('.timeline svg') !== null")):
        page.open("about:blank", "true")
        page.open(address(index, fragment), wait)
        page.pdf(folder / f"{view}.pdf")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--pictures", help="folder for screenshots")
    parser.add_argument("--index", help="only take pictures, of this index.html")
    arguments = parser.parse_args()
    chromium = devtools.find_chromium()
    if not chromium:
        print("SKIPPED: no Chromium was found (install chromium, or name one in CHROMIUM)")
        return
    if arguments.index:
        with devtools.Browser(chromium) as browser:
            pictures(browser, arguments.index, arguments.pictures)
        return
    with tempfile.TemporaryDirectory(prefix="mssbench-page-") as scratch, devtools.Browser(chromium) as browser:
        folder = pathlib.Path(scratch)
        program = Program(os.path.abspath(arguments.program), folder)
        program("run", "-d", SONGS, "-m", "mixture-over-j", "-m", "mixture", "-m", "irm2", "-m", "nmf@cc0", "-m", "nmf:components=4,protocol=P4,iterations=10", "-m", "hpss",
                "-m", "nmf:iterations=5,start=cc0-means", "--seeds", "1,2", "-o", "run", "--save-estimates", "--metrics", "all")
        program("report", "run", "-o", "report", "--audio", SONGS)
        index = folder / "report/index.html"
        page = browser.page()
        test_leaderboard(page, index)
        test_command_repeats(page, index, program, folder)
        test_track(page, index)
        test_no_click(browser.page(), index)
        test_hostile(browser.page(), program, folder)
        test_single(browser.page(), program, folder)
        test_special(browser.page(), program, folder)
        test_accessibility(browser, index)
        test_print(browser.page(), index, folder)
        if arguments.pictures:
            pictures(browser, index, arguments.pictures)
    if failures:
        sys.exit(f"{len(failures)} checks failed:\n  " + "\n  ".join(failures))


if __name__ == "__main__":
    main()
