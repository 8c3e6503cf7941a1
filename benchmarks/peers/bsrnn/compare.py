#!/usr/bin/env python3
"""Runs Band-split RNN in plain PyTorch (networks.py, eager) and in mssbench, on the same audio with the same weights, and
prints tables.

usage: compare.py --mssbench BUILD/cli/mssbench [--audio SONG.wav] [--venv DIR] [--threads 2]

The weights are drawn at random at the published sizes, saved by PyTorch in the layout of the public programs, and read by
both sides. Runs alternate, and the medians of the repeats are compared, without start-up and without reading weights.

  difference  the largest of any sample of the target, in full scale (bar 1e-4)
  GFLOP/s     two per multiply-accumulate, counted by `mssbench` from the network (1.1e3 of them per sample of stereo), over
              wall time
  --hops      ours alone: hop against time
  --memory    ours alone: high-water mark for lengths of track

Without --audio the track is noise: times do not depend on it.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from shared import prepare, table  # noqa: E402
BAR, RATE = 1e-4, 44100
# Multiply-accumulates per second of stereo at hop = chunk, tests/bsrnn/bands_test.cpp.
MACS = {("large", "V7"): 144.9e9, ("large", "bass"): 106.2e9, ("large", "drums"): 194.4e9}


def timed(command, **options):
    begin = time.perf_counter()
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          **options) as process:
        out, err = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed ({process.returncode}): {(err or out).strip()[-2000:]}")
    return out, time.perf_counter() - begin


def peak_mb(command):
    """Runs it and reports the process's high-water mark."""
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        err = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed: {err[-2000:]}")
    return usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mssbench", required=True, help="the program")
    parser.add_argument("--audio", type=pathlib.Path, help="stereo at 44.1 kHz")
    parser.add_argument("--seconds", type=float, default=30.0, help="use this much of it")
    parser.add_argument("--venv", type=pathlib.Path, default=pathlib.Path("peers-venv"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hop", type=float, default=1.5)
    parser.add_argument("--cases", nargs="+", default=["paper/V7/large"],
                        help="PROFILE/BANDS/SIZE: paper, magron or amanteur; V7, bass or drums; large or small")
    parser.add_argument("--hops", nargs="*", type=float, help="also a table of hop against time (3 1.5 0.5)")
    parser.add_argument("--memory", nargs="*", help="also memory: CASE@SECONDS … (magron/V7/small@600 paper/V7/large@60)")
    options = parser.parse_args()
    if options.hops == []:
        options.hops = [3.0, 1.5, 0.5]
    if options.memory == []:
        options.memory = ["paper/V7/large@60", "paper/V7/large@120", "magron/V7/small@60", "magron/V7/small@600"]
    python = prepare(options.venv, HERE / "requirements.txt")
    work = pathlib.Path(tempfile.mkdtemp(prefix="bsrnn-"))

    def track(seconds, name):
        path = work / f"{name}.wav"
        script = """
import sys, numpy, soundfile
count = int(float(sys.argv[2]) * 44100)
if sys.argv[3]:
    x, rate = soundfile.read(sys.argv[3], dtype="float32", always_2d=True, frames=count)
    assert rate == 44100 and x.shape[1] == 2, "stereo at 44.1 kHz, please"
else:
    x = numpy.random.default_rng(1).uniform(-0.5, 0.5, (count, 2)).astype("float32")
soundfile.write(sys.argv[1], x, 44100, subtype="FLOAT")
"""
        timed([python, "-c", script, path, seconds, options.audio or ""])
        return path

    def weights_of(case):
        profile, bands, size = case.split("/")
        target = {"V7": "vocals"}.get(bands, bands)
        path = work / f"{target}-{profile}-{size}.pth"
        if not path.exists():
            timed([python, HERE / "worker.py", "make", path, profile, bands, options.seed, size])
        return path, profile, bands, size, target

    def ours(case, song, hop, out):
        path, profile, _, _, target = weights_of(case)
        chunk = "" if profile == "amanteur" else ",chunk=3"
        shutil.rmtree(out, ignore_errors=True)
        return [options.mssbench, "separate", song, "-m",
                f"bsrnn:weights={path},target={target}{chunk},hop={hop:g},window=none,residual=none", "-o", out, "--threads",
                options.threads]

    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads)}
    song, rows, failed, version = track(options.seconds, "song"), [], False, ""
    for case in options.cases:
        path, profile, bands, size, target = weights_of(case)
        chunk = 134144 if profile == "amanteur" else 3 * RATE
        found, theirs = [], []
        for _ in range(options.repeats):
            out, _ = timed([python, HERE / "worker.py", "run", path, profile, bands, size, song, chunk,
                            round(options.hop * RATE), options.threads, work / "theirs.npy"], env=environment)
            theirs.append(json.loads(out.splitlines()[-1]))
            out, _ = timed([*ours(case, song, options.hop, work / "ours"), "--json"])
            found.append(json.loads(out)[0]["measured"])
        version = theirs[0]["torch"]
        compare = """
import sys, numpy, soundfile
theirs = numpy.load(sys.argv[1])
ours, _ = soundfile.read(sys.argv[2], dtype="float32", always_2d=True)
print(float(numpy.abs(theirs.T - ours).max()), float(numpy.abs(theirs).max()))
"""
        worst, largest = map(float, timed([python, "-c", compare, work / "theirs.npy",
                                           work / "ours" / "song" / f"{target}.wav"])[0].split())
        failed = failed or not worst <= BAR
        a, b = (statistics.median(run["wall_s"] for run in runs) for runs in (theirs, found))
        ca, cb = (statistics.median(run["cpu_s"] for run in runs) for runs in (theirs, found))
        chunks = max(1, -(-(options.seconds * RATE - chunk) // round(options.hop * RATE)) + 1)
        macs = MACS.get((size, bands))
        flops = macs * 2 * chunks * chunk / RATE / 1e9 if macs and profile != "amanteur" else None
        rows.append((case, f"{worst:.1e}", f"{largest:.2f}", f"{a:.1f} s", f"{b:.1f} s", f"{a / b:.2f}", f"{ca:.1f} s",
                     f"{cb:.1f} s", f"{ca / cb:.2f}", f"{flops / a:.0f}" if flops else "-",
                     f"{flops / b:.0f}" if flops else "-", f"{statistics.median(r['peak_mb'] for r in theirs):.0f} MB",
                     f"{peak_mb(ours(case, song, options.hop, work / 'ours')):.0f} MB"))
    print(f"{options.seconds:g} s of stereo, hop {options.hop:g} s, {options.threads} threads, medians of {options.repeats}; "
          f"PyTorch {version}, eager")
    table(("network", "difference", "of", "PyTorch", "ours", "ratio", "CPU", "ours", "ratio", "GFLOP/s", "ours", "memory",
           "ours"), rows)

    if options.hops:
        print(f"\nhop against time, {options.cases[0]}, {options.seconds:g} s")
        rows = []
        for hop in options.hops:
            walls = [json.loads(timed([*ours(options.cases[0], song, hop, work / "ours"), "--json"])[0])[0]["measured"]
                     for _ in range(options.repeats)]
            wall = statistics.median(run["wall_s"] for run in walls)
            cpu = statistics.median(run["cpu_s"] for run in walls)
            rows.append((f"{hop:g} s", f"{wall:.1f} s", f"{cpu:.1f} s", f"{wall / options.seconds:.2f}"))
        table(("hop", "wall", "CPU", "times real time"), rows)

    if options.memory:
        print("\nhigh-water mark of the process")
        rows = []
        for entry in options.memory:
            case, seconds = entry.split("@")
            long = track(float(seconds), "long")
            rows.append((case, f"{float(seconds):g} s", f"{peak_mb(ours(case, long, 3.0, work / 'ours')):.0f} MB"))
        table(("network", "track", "memory"), rows)
    shutil.rmtree(work, ignore_errors=True)
    if failed:
        sys.exit(f"a difference is above {BAR:g} of full scale")


if __name__ == "__main__":
    main()
