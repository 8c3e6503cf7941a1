#!/usr/bin/env python3
"""How long `mssbench report` takes for 50 tracks, 30 rows and 4 targets of made-up records, how large its page is, and how soon the
page shows its first sorted table.

    python3 benchmarks/report_page.py build/release/cli/mssbench [--tracks 50] [--rows 30] [--frames 240]

Without Chromium the last number is missing.
"""

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

html = pathlib.Path(__file__).resolve().parent.parent / "tests" / "html"
sys.path.insert(0, str(html))
import devtools  # noqa: E402


def timed(command):
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - begin, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    for name, value in (("tracks", 50), ("rows", 30), ("frames", 240)):
        parser.add_argument("--" + name, type=int, default=value)
    arguments = parser.parse_args()
    program = os.path.abspath(arguments.program)
    with tempfile.TemporaryDirectory(prefix="mssbench-page-") as scratch:
        folder = pathlib.Path(scratch)
        subprocess.run([sys.executable, html / "made_up.py", folder / "run", "--tracks", str(arguments.tracks), "--rows", str(arguments.rows),
                        "--frames", str(arguments.frames)], check=True)
        print(f"records.jsonl {(folder / 'run/records.jsonl').stat().st_size / 1e6:.0f} MB")
        pages = []
        for name, options in (("folder", []), ("single", ["--single"])):
            wall, cpu = timed([program, "report", folder / "run", "-o", folder / name, *options])
            index = folder / name / "index.html"
            first = index.stat().st_size + sum((folder / name / "page" / part).stat().st_size for part in ("report.js", "report.css", "data/report.js") if not options)
            print(f"{name}: mssbench report {wall:.1f} s ({cpu:.1f} s of processor time), index.html {index.stat().st_size / 1e6:.2f} MB, read for the first view {first / 1e6:.2f} MB")
            pages.append((name, index))
        chromium = devtools.find_chromium()
        if not chromium:
            print("no Chromium: the page was not opened")
            return
        with devtools.Browser(chromium) as browser:
            for name, index in pages:
                page = browser.page()
                page.open(index.as_uri())
                page.until("document.querySelector('#metrics-place table') !== null")
                shown = page.eval("performance.getEntriesByName('leaderboard')[0].startTime")
                began = time.monotonic()
                page.click("button[data-sort='score-1']")
                print(f"{name}: first sorted table {shown / 1000:.2f} s after opening, sorted by another column in {time.monotonic() - began:.2f} s; problems: {page.problems() or 'none'}")


if __name__ == "__main__":
    main()
