#!/usr/bin/env python3
"""Compares the Wiener filter with norbert and open-unmix's filter in one run and prints one table.

usage: compare.py --bench BUILD/benchmarks/mss_benchmarks [--venv DIR] [--seconds 30 240] [--iterations 1 3]

Stereo, four sources, STFT 4096/1024 at 44.1 kHz, one thread each, every measurement in its own process. Times are
processor seconds of the filter alone, spectrogram to spectrogram; ratio = reference / ours. 30 s are filtered in one
window by norbert, as its users do; open-unmix's filter, and norbert on 240 s (whose copies do not fit into memory
otherwise), get blocks of 300 frames, and so do we. Memory is the high-water mark of the process; for ours on audio to
audio, what the filter adds to input and output audio.

The peers are installed from the Python package index into a virtual environment of their own (requirements.txt) unless
--venv names one that has them. Where open-unmix cannot be installed, set OPENUNMIX_FILTERING to the path of its
filtering.py; a peer that fails is left out of the table and named below it.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def prepare(folder):
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        install = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*install, "norbert==0.2.1", "numpy", "scipy"], check=True)
        # Without its dependencies: filtering.py needs torch alone.
        subprocess.run([*install, "--no-deps", "openunmix==1.3.0"], check=False)
        subprocess.run([*install, "torch"], check=False)
    return python


def peer(python, name, dtype, seconds, iterations, repeats, block):
    command = [python, HERE / "worker.py", name, dtype, *(str(x) for x in (seconds, iterations, repeats, block))]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True)
    if done.returncode != 0:
        return None, f"{name} {dtype}: " + (done.stderr.strip().splitlines() or ["no message"])[-1]
    return json.loads(done.stdout), None


def ours(bench, case, repeats):
    command = [bench, f"--benchmark_filter=^{case}/real_time$", "--benchmark_format=json",
               f"--benchmark_repetitions={repeats}", "--benchmark_min_time=0.01"]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=True)
    if not done.stdout.strip():
        sys.exit(f"{bench} has no case {case}")
    runs = [b for b in json.loads(done.stdout)["benchmarks"] if b["run_type"] == "iteration"]
    best = min(runs, key=lambda b: b["cpu_time"])
    return {"cpu_s": best["cpu_time"] / 1e3, "extra_mb": runs[0].get("extra_MB"), "x_realtime": best["x_realtime"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the program mss_benchmarks")
    parser.add_argument("--venv", type=pathlib.Path, default=pathlib.Path("peers-venv"))
    parser.add_argument("--seconds", type=int, nargs="+", default=[30, 240], choices=[30, 240])
    parser.add_argument("--iterations", type=int, nargs="+", default=[1, 3], choices=[1, 3])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    python = prepare(options.venv)
    failures, rows = [], []
    for seconds in options.seconds:
        for iterations in options.iterations:
            for name, mode in (("norbert", 1), ("openunmix", 2)):
                for dtype, real in (("complex128", "double"), ("complex64", "float")):
                    window = 0 if name == "norbert" and seconds == 30 else 300
                    repeats = options.repeats if seconds == 30 else 1
                    theirs, failure = peer(python, name, dtype, seconds, iterations, repeats, window)
                    if failure:
                        failures.append(failure)
                        continue
                    case = f"wiener_filter<{real}>/seconds:{seconds}/iterations:{iterations}/mode:{mode}/window:{window}"
                    mine = ours(options.bench, case, options.repeats)
                    clean = ours(options.bench, case.replace(f"mode:{mode}/window:{window}", "mode:0/window:300"),
                                 options.repeats)
                    rows.append((f"{seconds} s", str(iterations), f"{name} {dtype}", f"{theirs['cpu_s']:.2f} s",
                                 f"{mine['cpu_s']:.3f} s", f"{theirs['cpu_s'] / mine['cpu_s']:.1f}",
                                 f"{clean['cpu_s']:.3f} s", f"{theirs['cpu_s'] / clean['cpu_s']:.1f}",
                                 f"{theirs['peak_mb']:.0f} MB"))
    header = ("audio", "iterations", "reference", "reference", "ours, its mode", "ratio", "ours, clean", "ratio",
              "reference's peak memory")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print()
    for seconds in options.seconds:
        for iterations in options.iterations:
            song = ours(options.bench, f"wiener_song/seconds:{seconds}/iterations:{iterations}", 1)
            print(f"audio to audio, {seconds} s, {iterations} iterations, mode clean: {song['cpu_s']:.2f} s, "
                  f"{song['extra_mb']:.0f} MB beyond input and output audio")
    for failure in sorted(set(failures)):
        print(f"left out: {failure}")


if __name__ == "__main__":
    main()
