#!/usr/bin/env python3
"""One training step of every family in mssbench and in PyTorch eager: the same weights, batch, loss and optimiser on the same
device, alternating in one run.

usage: compare.py --steps BUILD/benchmarks/peers/training/training_steps [--demucs V2] [CASE…]

  CASE        umx, xumx, demucs-light, demucs, conv-tasnet, bsrnn, conv1d, dprnn (all)
  loss        of the first step on both sides (bar: 1e-4 relative), and after all steps
  step        median of the rounds, and the ratio of PyTorch's to ours (bar 0.97)
  processor   the same of processor time: on a machine that does other work too, --judge processor holds the bar to it

Open-Unmix is the package's, Demucs and Conv-TasNet their authors' (branch v2 of facebookresearch/demucs, --demucs), Band-split
RNN that of ../bsrnn/networks.py, X-UMX and the baselines those of baselines.py. Dropout is off on both sides: the two would
draw other numbers. Memory is the process's peak (on a GPU the allocator's), of which PyTorch's modules in Python are 0.2 GB.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from shared import prepare, table  # noqa: E402
CASES = ["umx", "xumx", "demucs-light", "demucs", "conv-tasnet", "bsrnn", "conv1d", "dprnn"]
BAR, LOSS_BAR = 0.97, 1e-4


class Side:
    def __init__(self, command, environment):
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=environment)
        self.about = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"a side ended with status {self.process.wait()}")
        return json.loads(line)

    def steps(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return self.read()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", required=True, help="the program training_steps")
    parser.add_argument("--demucs", type=pathlib.Path, help="folder that holds branch v2's package demucs")
    parser.add_argument("--venv", type=pathlib.Path, default=pathlib.Path("peers-venv"))
    parser.add_argument("--python", type=pathlib.Path, help="an interpreter that has the requirements")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    parser.add_argument("--judge", default="wall", choices=["wall", "processor"], help="the time that must meet the bar")
    parser.add_argument("--json", type=pathlib.Path, help="write the numbers here")
    parser.add_argument("cases", nargs="*", default=CASES)
    options = parser.parse_args()
    python = options.python or prepare(options.venv, HERE / "requirements.txt", "--no-deps")
    paths = [str(p) for p in [options.demucs] if p] + list(filter(None, [os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(options.threads),
                   "MKL_NUM_THREADS": str(options.threads)}
    rows, numbers, failed = [], {}, []
    for case in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            ours = Side([options.steps, case, folder, options.threads, options.device, options.precision], environment)
            theirs = Side([python, HERE / "worker.py", case, folder, options.threads, options.device,
                           options.precision, json.dumps(ours.about)], environment)
            first = [side.steps(1)["loss"] for side in (ours, theirs)]
            times, processor = {0: [], 1: []}, {0: [], 1: []}
            last = {}
            for _ in range(options.rounds):
                for i, side in enumerate((ours, theirs)):
                    last[i] = side.steps(1)
                    times[i].append(last[i]["seconds"])
                    processor[i].append(last[i]["cpu_seconds"])
            ours.end()
            theirs.end()
        a, b = statistics.median(times[0]), statistics.median(times[1])
        ratio, cpu_ratio = b / a, statistics.median(processor[1]) / statistics.median(processor[0])
        difference = abs(first[0] - first[1]) / abs(first[1])
        bar = LOSS_BAR if options.precision == "float32" else 2e-2
        if difference > bar or ours.about["parameters"] != theirs.about["parameters"]:
            failed.append(f"{case}: losses {first} or parameters differ")
        judged = ratio if options.judge == "wall" else cpu_ratio
        if judged < BAR:
            failed.append(f"{case}: {judged:.2f} of PyTorch's speed ({options.judge} time)")
        rows.append((case, f"{ours.about['parameters']}", f"{ours.about['items']}", f"{difference:.0e}",
                     f"{abs(last[0]['loss'] - last[1]['loss']) / abs(last[1]['loss']):.0e}", f"{b * 1000:.0f} ms",
                     f"{a * 1000:.0f} ms", f"{ratio:.2f}", f"{cpu_ratio:.2f}", f"{ours.about['items'] / a:.2f}",
                     f"{last[1]['peak_mb']:.0f} MB", f"{last[0]['peak_mb']:.0f} MB"))
        print(f"{case}: {ratio:.2f}, of processor time {cpu_ratio:.2f}", file=sys.stderr, flush=True)
        numbers[case] = {"pytorch_s": times[1], "ours_s": times[0], "ratio": ratio,
                         "pytorch_processor_s": processor[1], "ours_processor_s": processor[0],
                         "processor_ratio": cpu_ratio, "loss_difference": difference,
                         "pytorch_peak_mb": last[1]["peak_mb"], "ours_peak_mb": last[0]["peak_mb"]}
    header = ("case", "parameters", "batch", "loss", f"after {options.rounds + 1}", "PyTorch", "ours", "ratio", "processor",
              "examples/s", "PyTorch memory", "ours")
    print(f"{options.device}, {options.precision}, {options.threads} threads, medians of {options.rounds}, alternating")
    table(header, rows)
    if options.json:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n")
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
