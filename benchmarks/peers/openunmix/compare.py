#!/usr/bin/env python3
"""Runs Open-Unmix in its Python package and in mssbench, on the same audio with the same weights, and prints one table.

usage: compare.py --mssbench BUILD/cli/mssbench --audio SONG.wav [--venv DIR] [--work DIR] [--threads 2]

The weights are drawn at random with the official shapes (no trained ones are needed to compare numbers and times),
saved by PyTorch as the package's trainer saves them, and read by both sides. Per case (niter 0, 1, 2, with and without a
residual): the largest difference of any sample of any stem, in full scale (bar 1e-4); the chain's wall and processor
time, the best of the repeats, without start-up and without reading the weights; the high-water mark of the process, and
the whole process's time. Ours includes reading the audio file and writing the stems, the package's does not.

Where the package's Fourier transform gives a bin of the mixture exactly 0 (silence, or chance: the first frame is
symmetric, so that its imaginary parts nearly cancel), its filter puts 1 there and into the residual. So does
mode=openunmix, where our transform gives exactly 0, which need not be the same bins. The number of such bins is printed;
with any, a residual may differ by 5e-4 in their frames. --start begins elsewhere.

The package is installed from the Python package index into a virtual environment of its own (requirements.txt) unless
--venv names one that has it. torchaudio, which the package imports to read files and to resample, is left out.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from shared import prepare, table  # noqa: E402
BAR = 1e-4


def timed(command, **options):
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        out, err = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed ({process.returncode}): {(err or out).strip()[-2000:]}")
    return out, time.perf_counter() - begin, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mssbench", required=True, help="the program")
    parser.add_argument("--audio", required=True, type=pathlib.Path, help="stereo at 44.1 kHz")
    parser.add_argument("--seconds", type=float, default=30.0, help="use this much of it")
    parser.add_argument("--start", type=float, default=0.0, help="begin at this second of it")
    parser.add_argument("--venv", type=pathlib.Path, default=pathlib.Path("peers-venv"))
    parser.add_argument("--work", type=pathlib.Path, help="folder for weights and stems (default: a temporary one)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--niter", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    python = prepare(options.venv, HERE / "requirements.txt", without_dependencies=["openunmix"], further=["tqdm", "numpy"])
    work = options.work or pathlib.Path(tempfile.mkdtemp(prefix="openunmix-"))
    weights = work / "weights"
    timed([python, HERE / "worker.py", "make", weights, str(options.seed)])
    cut = f"""
import sys, soundfile
x, rate = soundfile.read(sys.argv[1], dtype="float32", always_2d=True, start=int(float(sys.argv[4]) * 44100),
                          frames=int(float(sys.argv[2]) * 44100))
assert rate == 44100 and x.shape[1] == 2, "stereo at 44.1 kHz, please"
for i in range({options.repeats}):
    soundfile.write(f"{{sys.argv[3]}}/cut{{i}}.wav", x, rate, subtype="FLOAT")
"""
    timed([python, "-c", cut, options.audio, str(options.seconds), work, str(options.start)])
    songs = [work / f"cut{i}.wav" for i in range(options.repeats)]
    compare = """
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
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads)}
    rows, failed, torch, zero_bins = [], False, "", 0
    for niter in options.niter:
        for residual in (False, True):
            theirs_folder, ours_folder = work / "theirs", work / "ours"
            for folder in (theirs_folder, ours_folder):
                shutil.rmtree(folder, ignore_errors=True)
            out, their_process, _ = timed([python, HERE / "worker.py", "run", weights, songs[0], str(niter),
                                           "1" if residual else "0", str(options.repeats), str(options.threads),
                                           theirs_folder], env=environment)
            theirs = json.loads(out.splitlines()[-1])
            torch = theirs["torch"]
            command = [options.mssbench, "separate", *songs, "-m", f"umx:weights={weights}", "--niter", str(niter),
                       "-o", ours_folder, "--threads", str(options.threads), "--json"]
            if residual:
                command += ["--residual", "residual"]
            out, _, _ = timed(command)
            report = json.loads(out)
            best = min((entry["measured"] for entry in report), key=lambda cost: cost["wall_s"])
            # Memory and time of one process, of one file.
            shutil.rmtree(ours_folder / "cut0")
            _, our_process, our_peak = timed([*command[:2], songs[0], *command[2 + len(songs):]])
            worst = float(timed([python, "-c", compare, theirs_folder, ours_folder / "cut0"])[0])
            failed = failed or not worst <= BAR
            zero_bins = theirs["zero_bins"]
            rows.append((str(niter), "yes" if residual else "no", f"{worst:.1e}", f"{theirs['wall_s']:.2f} s",
                         f"{best['wall_s']:.2f} s", f"{theirs['wall_s'] / best['wall_s']:.1f}", f"{theirs['cpu_s']:.2f} s",
                         f"{best['cpu_s']:.2f} s", f"{theirs['peak_mb']:.0f} MB", f"{our_peak:.0f} MB",
                         f"{their_process:.1f} s", f"{our_process:.2f} s", report[0]["spec"]))
    header = ("niter", "residual", "difference", "package", "ours", "ratio", "package CPU", "ours", "package memory",
              "ours", "process", "ours", "our spec")
    print(f"{options.seconds:g} s of stereo, {options.threads} threads, best of {options.repeats}; openunmix on PyTorch "
          f"{torch}; {zero_bins} bins of the mixture are exactly 0 for it")
    table(header, rows)
    if options.work is None:
        shutil.rmtree(work, ignore_errors=True)
    if failed:
        sys.exit(f"a difference is above {BAR:g} of full scale")


if __name__ == "__main__":
    main()
