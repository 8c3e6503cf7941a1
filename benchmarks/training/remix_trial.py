#!/usr/bin/env python3
"""Does remixing help the small networks? Trains each recipe with and without it, several seeds each, and compares the scores.

    benchmarks/training/remix_trial.py PROGRAM DATA [RECIPE…] [--seeds 3] [--jobs 2] [--steps RECIPE=N,…] [--work DIR] [--target vocals]

DATA is a folder of songs in train/ and test/, such as `mssbench synth DATA --preset small` makes. The two sides differ in
augment.remix.probability alone: 1, or 0 (every source from the example's own song, gains and drops as before). Every run has
the same number of steps, one thread, and weights chosen by validation loss; the test songs are scored once, by `mssbench run`.

Printed for each recipe and metric: the mean over the tracks that each seed gives, and the difference "with minus without" with
a 95 % interval. Its draws resample the tracks (the same for both sides) and the seeds of either side, as docs/metrics.md has it
for trained systems; three seeds tell little about seeds, and the interval is too narrow by sqrt(2/3) in that part.

What is done already in --work is not done again, so an interrupted trial goes on.
"""

import argparse
import concurrent.futures
import csv
import math
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers"))
from shared import table  # noqa: E402

STEPS = {"umx-tiny": 600, "bsrnn-tiny": 300}
METHODS = {"umx-tiny": "umx", "bsrnn-tiny": "bsrnn"}
DRAWS = 10000


def call(command, log, seconds=None):
    """Runs it; its processor seconds are added to the file `seconds`, whatever it came to."""
    with open(log, "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if seconds is not None:
        with open(seconds, "a") as out:
            out.write(f"{used.ru_utime + used.ru_stime:.1f}\n")
    if status != 0:
        raise RuntimeError(f"failed: {' '.join(map(str, command))}\n{pathlib.Path(log).read_text()[-2000:]}")


def folder_of(options, recipe, remix, seed):
    return options.work / f"{recipe}-{'with' if remix else 'without'}-{seed}"


def train(options, recipe, remix, seed):
    run = folder_of(options, recipe, remix, seed)
    done = run.with_suffix(".done")
    if not done.exists():
        call(
            [options.program, "train", recipe, "-d", options.data, "-o", run, "--resume", "--threads", "1",
             "--progress", "none", "--recipe", f"augment.remix.probability={int(remix)}", "--recipe", f"seed={seed}",
             "--recipe", f"budget.steps={options.steps[recipe]}", "--recipe", "budget.epochs=0",
             "--recipe", "validation.scores_every=0", "--recipe", "data.workers=1"], run.with_suffix(".log"),
            run.with_suffix(".seconds"))
        done.touch()


def scores(options, recipe):
    """{metric: {(remix, seed): {track: score}}} of the networks, {metric: {track: score}} of the mixture."""
    results, methods = options.work / f"scores-{recipe}", []
    names = {}
    for remix in (True, False):
        for seed in range(1, options.seeds + 1):
            run = folder_of(options, recipe, remix, seed)
            names[run.name] = (remix, seed)
            methods += ["-m", f"{METHODS[recipe]}:weights={run}"]
    if not (results / "report" / "tracks.csv").exists():
        call([options.program, "run", "-d", options.data, "--subset", "test", *methods, "-m", "mixture", "--metrics",
                           "sdr", "-o", results, "--threads", "1", "--progress", "none"],
                          options.work / f"scores-{recipe}.log")
        call([options.program, "report", results, "-o", results / "report"], options.work / f"report-{recipe}.log")
    with open(results / "report" / "tracks.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file)
                if row["target"] == options.target and row["metric"] in options.metrics and row["value"]]
    found, floor = {}, {}
    scenarios = {row["scenario"] for row in rows if "weights=" in row["spec"]}
    scenario = min(scenarios)  # the networks': usually vocals against accompaniment
    for row in rows:
        if row["scenario"] != scenario:
            continue
        value = float(row["value"])
        if (run := re.search(r"weights=([^#,|]+)#", row["spec"])) is not None:
            found.setdefault(row["metric"], {}).setdefault(names[run[1]], {})[row["track"]] = value
        else:
            floor.setdefault(row["metric"], {})[row["track"]] = value
    return found, floor


def compare(by_run, seeds):
    """Mean over seeds and tracks of with - without, its interval, and what each side gives."""
    tracks = sorted(set.intersection(*(set(values) for values in by_run.values())))
    sides = {remix: [[by_run[remix, seed][t] for t in tracks] for seed in range(1, seeds + 1)] for remix in (True, False)}
    mean = {remix: [statistics.fmean(row) for row in rows] for remix, rows in sides.items()}
    numbers, draws = random.Random(1), []
    for _ in range(DRAWS):
        picked = [numbers.randrange(len(tracks)) for _ in tracks]
        value = {}
        for remix, rows in sides.items():
            chosen = [rows[numbers.randrange(seeds)] for _ in range(seeds)]
            value[remix] = statistics.fmean(row[i] for row in chosen for i in picked)
        draws.append(value[True] - value[False])
    draws.sort()
    return mean, statistics.fmean(mean[True]) - statistics.fmean(mean[False]), draws[int(0.025 * DRAWS)], draws[int(0.975 * DRAWS) - 1], len(tracks)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("data", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("recipe", nargs="*", default=list(STEPS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", default="", help="other numbers of steps: RECIPE=N,…")
    parser.add_argument("--work", type=pathlib.Path, help="folder for runs and results (default: a new one)")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, each on one thread")
    parser.add_argument("--target", default="vocals")
    parser.add_argument("--metrics", default="SDR,uSDR")
    options = parser.parse_args()
    options.metrics = options.metrics.split(",")
    steps = dict(STEPS)
    steps.update((name, int(number)) for name, number in (one.split("=") for one in options.steps.split(",") if one))
    options.steps = steps
    options.work = options.work or pathlib.Path(tempfile.mkdtemp(prefix="remix-trial-"))
    options.work.mkdir(parents=True, exist_ok=True)
    options.work = options.work.resolve()
    os.environ.setdefault("MSSBENCH_CACHE", str(options.work / "cache"))
    # Seed by seed, so that what an interrupted trial has done is of every kind.
    todo = [(options, recipe, remix, seed) for seed in range(1, options.seeds + 1) for recipe in options.recipe for remix in (True, False)]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for each in [pool.submit(train, *one) for one in todo]:
            each.result()
    rows = []
    for recipe in options.recipe:
        found, floor = scores(options, recipe)
        cost = sum(float(line) for path in options.work.glob(f"{recipe}-*.seconds") for line in path.read_text().split())
        print(f"{recipe}: {options.steps[recipe]} steps, {2 * options.seeds} runs, {cost:.0f} s of processor time in training")
        for metric in options.metrics:
            mean, difference, low, high, tracks = compare(found[metric], options.seeds)
            spread = {side: statistics.stdev(values) if len(values) > 1 else math.nan for side, values in mean.items()}
            texts = {side: " ".join(f"{value:.2f}" for value in values) for side, values in mean.items()}
            rows.append([recipe, metric, str(tracks), f"{statistics.fmean(floor[metric].values()):.2f}", texts[False], f"{spread[False]:.2f}",
                         texts[True], f"{spread[True]:.2f}", f"{difference:+.2f}", f"[{low:+.2f}, {high:+.2f}]"])
    print(f"\n{options.target}, dB; means over the test tracks, one number per seed")
    table(["recipe", "metric", "tracks", "mixture", "without remix", "sd", "with remix", "sd", "difference", "95 % interval"], rows)


if __name__ == "__main__":
    main()
