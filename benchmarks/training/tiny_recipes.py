#!/usr/bin/env python3
"""Every small recipe from end to end: trained in two goes, the second with --resume; validated; a row from `mssbench run`.

    benchmarks/training/tiny_recipes.py PROGRAM [RECIPE…] [-d synthetic] [--test synthetic:songs=2,seed=5] [--steps N] [--work DIR]

RECIPE: those of configs/recipes that end in -tiny (all). --steps ends each after N steps, to find errors before the whole takes
its time. A semi-supervised recipe begins with the weights of the same network's plain recipe, which is trained before it.

Printed for each: steps, processor and wall seconds of training (validation and scores included) on --threads threads, the validation loss after the
first and of the best epoch, and the row's SDR (BSS Eval v4, median over frames, median over the test songs; mean over targets) beside that
of the mixture itself. Processor seconds say what a quiet machine needs, whatever else runs. What is in --work already is not done again.
"""

import argparse
import csv
import json
import math
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))
from shared import table  # noqa: E402

RECIPES = HERE.parent.parent / "configs" / "recipes"
TEACHERS = {"bsrnn-semi-tiny": "bsrnn-tiny"}


def call(command, log):
    """Processor and wall seconds."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with open(log, "a") as out:
        if subprocess.run([str(part) for part in command], stdout=out, stderr=subprocess.STDOUT).returncode != 0:
            sys.exit(f"failed: {' '.join(map(str, command))}\n{pathlib.Path(log).read_text()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - begin


def train(options, recipe):
    """The run's folder; what it took is beside it."""
    run, facts = options.work / recipe, options.work / f"{recipe}.json"
    if facts.exists():
        return run, json.loads(facts.read_text())
    command = [options.program, "train", recipe, "-d", options.dataset, "-o", run, "--resume", "--threads", options.threads,
               "--progress", "none"]
    if options.steps:
        command += ["--recipe", f"budget.steps={options.steps}"]
    if recipe in TEACHERS:
        command += ["--recipe", f"model.weights={train(options, TEACHERS[recipe])[0]}"]
    log = options.work / f"{recipe}.log"
    first = call([*command, "--max-steps", str(options.first)], log)
    with open(run / "log.csv", newline="") as file:
        half = max(int(row["step"]) for row in csv.DictReader(file))
    rest = call(command, log)
    with open(run / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    if int(rows[-1]["step"]) <= half:
        sys.exit(f"{recipe}: the second go did not go on from step {half}")
    losses = [float(row["ema_loss"] or row["valid_loss"]) for row in rows if row["valid_loss"]]
    found = {"steps": int(rows[-1]["step"]), "processor_s": first[0] + rest[0], "wall_s": first[1] + rest[1],
             "first": losses[0] if losses else None, "best": min(losses) if losses else None}
    facts.write_text(json.dumps(found))
    return run, found


def score(options, recipe, run):
    """Mean SDR over the network's targets, and the mixture's over the same ones."""
    results = options.work / f"scores-{recipe}"
    family = json.loads((run / "run.json").read_text())["network"]["method"]
    log = options.work / f"{recipe}.log"
    if not (results / "report" / "table.json").exists():
        call([options.program, "run", "-d", options.test, "-m", f"{family}:weights={run}", "-m", "mixture", "--metrics", "sdr", "-o",
              results, "--threads", options.threads, "--progress", "none"], log)
        call([options.program, "report", results, "-o", results / "report"], log)
    values = {}
    with open(results / "report" / "tracks.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["metric"] == "SDR" and row["value"]:
                side = "mixture" if row["spec"].startswith("mixture") else "network"
                values.setdefault((row["scenario"], row["target"]), {}).setdefault(side, []).append(float(row["value"]))
    targets = {}
    for (_, target), sides in values.items():  # the same target in two scenarios: the first of them
        if "network" in sides and target not in targets:
            targets[target] = {side: statistics.median(numbers) for side, numbers in sides.items()}
    if not targets:
        sys.exit(f"{recipe}: no row")
    return [statistics.fmean(sides.get(side, math.nan) for sides in targets.values()) for side in ("network", "mixture")], sorted(targets)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("recipe", nargs="*", default=sorted(path.stem for path in RECIPES.glob("*-tiny.toml")))
    parser.add_argument("-d", "--dataset", default="synthetic")
    parser.add_argument("--test", default="synthetic:songs=2,seed=5", help="songs that nothing was trained on")
    parser.add_argument("--steps", type=int, default=0, help="end after so many steps; 0: as the recipes say")
    parser.add_argument("--first", type=int, default=3, help="steps of the first go")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--work", type=pathlib.Path, help="folder for runs and results (default: a new one)")
    options = parser.parse_args()
    options.work = options.work or pathlib.Path(tempfile.mkdtemp(prefix="tiny-recipes-"))
    options.work.mkdir(parents=True, exist_ok=True)
    options.work = options.work.resolve()
    os.environ.setdefault("MSSBENCH_CACHE", str(options.work / "cache"))
    rows = []
    for recipe in options.recipe:
        run, found = train(options, recipe)
        (sdr, floor), targets = score(options, recipe, run)
        loss = "-" if found["best"] is None else f"{found['first']:.4g} -> {found['best']:.4g}"
        rows.append([recipe, str(found["steps"]), f"{found['processor_s']:.0f}", f"{found['wall_s']:.0f}", loss, f"{sdr:.2f}", f"{floor:.2f}",
                     ", ".join(targets)])
        print(f"{recipe}: done", file=sys.stderr)
    table(["recipe", "steps", "processor s", "wall s", "validation loss", "SDR", "mixture", "targets"], rows)


if __name__ == "__main__":
    main()
