#!/usr/bin/env python3
"""Runs Demucs v2 in its authors' Python code and in mssbench, on the same audio with the same weights file and settings.

usage: compare.py --mssbench BUILD/cli/mssbench --demucs CHECKOUT --audio SONG.wav [--venv DIR] [--threads 2]

CHECKOUT is a working copy of github.com/facebookresearch/demucs, branch v2. The weights are drawn at random with the
official shapes and saved by that code; both sides read that file. Per case (seconds of audio x seconds of a segment,
0 = the file's 40 s, -1 = in one piece): the largest difference of any sample of any stem, in full scale (bar 1e-4); the
separation's wall and processor time, medians of the repeats, which alternate between the two; the high-water mark of each process.
Reading weights and audio is left out of both sides' times; ours include writing the stems.

Packages come from the Python package index into a virtual environment of its own (requirements.txt) unless --venv names
one that has them, or --python an interpreter.
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

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from shared import prepare, table  # noqa: E402
BAR = 1e-4


def run(command, **options):
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        out, err = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed ({process.returncode}): {(err or out).strip()[-2000:]}")
    return out, usage.ru_maxrss / 1024


CUT = """
import sys, numpy, soundfile
x, rate = soundfile.read(sys.argv[1], dtype="float32", always_2d=True)
assert rate == 44100 and x.shape[1] == 2, "stereo at 44.1 kHz, please"
n = int(float(sys.argv[2]) * rate)
soundfile.write(sys.argv[3], numpy.tile(x, (-(-n // len(x)), 1))[:n], rate, subtype="FLOAT")
"""
COMPARE = """
import sys, numpy, soundfile, pathlib
worst = 0.0
names = sorted(p.stem for p in pathlib.Path(sys.argv[1]).glob("*.npy"))
assert names == sorted(p.stem for p in pathlib.Path(sys.argv[2]).glob("*.wav")), "the stems differ"
for name in names:
    theirs = numpy.load(f"{sys.argv[1]}/{name}.npy")
    ours, _ = soundfile.read(f"{sys.argv[2]}/{name}.wav", dtype="float32", always_2d=True)
    worst = max(worst, float(numpy.abs(theirs.T - ours).max()))
print(worst)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mssbench", required=True, help="the program")
    parser.add_argument("--demucs", required=True, type=pathlib.Path, help="working copy of branch v2")
    parser.add_argument("--audio", required=True, type=pathlib.Path, help="stereo at 44.1 kHz; repeated where it is short")
    parser.add_argument("--cases", nargs="+", default=["30x10", "30x0", "60x0"], help="SECONDSxSEGMENT")
    parser.add_argument("--overlap", type=float, default=0.25)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--venv", type=pathlib.Path, default=pathlib.Path("peers-venv"))
    parser.add_argument("--python", help="an interpreter that has the packages, instead of --venv")
    parser.add_argument("--work", type=pathlib.Path, help="folder for weights and stems (default: a temporary one)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    python = options.python or prepare(options.venv, HERE / "requirements.txt")
    work = options.work or pathlib.Path(tempfile.mkdtemp(prefix="demucs-"))
    work.mkdir(parents=True, exist_ok=True)
    paths = [str(options.demucs), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(options.threads),
                   "MKL_NUM_THREADS": str(options.threads)}
    weights = work / f"random{options.channels}.th"
    if not weights.exists():
        run([python, HERE / "worker.py", "make", weights, str(options.channels), "1"], env=environment)
    rows, failed, torch = [], False, ""
    for case in options.cases:
        seconds, segment = case.split("x")
        song = work / f"cut{seconds}.wav"
        run([python, "-c", CUT, options.audio, seconds, song], env=environment)
        spec = f"demucs:overlap={options.overlap:g},weights={weights}"
        if float(segment) > 0:
            spec += f",segment={segment}"
        if float(segment) < 0:
            spec = f"demucs:split=false,weights={weights}"
        theirs, ours, peaks = [], [], []
        for _ in range(options.repeats):
            for folder in ("theirs", "ours"):
                shutil.rmtree(work / folder, ignore_errors=True)
            out, _ = run([python, HERE / "worker.py", "run", weights, song, segment, str(options.overlap),
                          str(options.threads), work / "theirs"], env=environment)
            theirs.append(json.loads(out.splitlines()[-1]))
            out, peak = run([options.mssbench, "separate", song, "-m", spec, "-o", work / "ours", "--threads",
                             str(options.threads), "--json"])
            ours.append(json.loads(out)[0]["measured"])
            peaks.append(peak)
        torch = theirs[0]["torch"]
        worst = float(run([python, "-c", COMPARE, work / "theirs", work / "ours" / song.stem], env=environment)[0])
        failed = failed or not worst <= BAR

        def median(runs, key):
            return statistics.median(entry[key] for entry in runs)

        wall, our_wall = median(theirs, "wall_s"), median(ours, "wall_s")
        cpu, our_cpu = median(theirs, "cpu_s"), median(ours, "cpu_s")
        rows.append((f"{seconds} s", {"0": "40 s", "-1": "whole"}.get(segment, f"{segment} s"), f"{worst:.1e}",
                     f"{wall:.2f} s", f"{our_wall:.2f} s", f"{wall / our_wall:.2f}", f"{cpu:.2f} s", f"{our_cpu:.2f} s",
                     f"{cpu / our_cpu:.2f}", f"{median(theirs, 'peak_mb'):.0f} MB", f"{statistics.median(peaks):.0f} MB"))
    header = ("audio", "segment", "difference", "package", "ours", "ratio", "package CPU", "ours", "ratio",
              "package memory", "ours")
    print(f"{options.channels} channels, overlap {options.overlap:g}, {options.threads} threads, medians of "
          f"{options.repeats}; Demucs v2 on PyTorch {torch}")
    table(header, rows)
    if options.work is None:
        shutil.rmtree(work, ignore_errors=True)
    if failed:
        sys.exit(f"a difference is above {BAR:g} of full scale")


if __name__ == "__main__":
    main()
