#!/usr/bin/env python3
"""Training on a device: is it what the processor computes, how fast is it beside PyTorch eager, does it wait for data?

  parity      for every family the losses of ten steps on the device and on the processor, from the same weights and batch
              (float32; bar: 1e-3 relative)
  throughput  ../peers/training/compare.py on the device, float32 and bf16: step time and peak memory beside PyTorch's
  waiting     share of a training run's time that the device waits for examples (bar: 2 %)

On the processor parity compares it with itself: what differs there is not deterministic.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
CASES = ["umx", "xumx", "demucs-light", "demucs", "conv-tasnet", "bsrnn", "conv1d", "dprnn"]


def losses(program, case, device, threads, size, count):
    with tempfile.TemporaryDirectory() as folder:
        command = [str(program), case, folder, str(threads), device, "float32", "1", size]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            out = []
            for _ in range(count):
                process.stdin.write("1\n")
                process.stdin.flush()
                out.append(json.loads(process.stdout.readline())["loss"])
            process.stdin.close()
        return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--demucs", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, help="write all numbers here")
    parser.add_argument("cases", nargs="*", default=CASES)
    options = parser.parse_args()
    steps = options.build / "benchmarks/peers/training/training_steps"
    begin, failed, report = time.time(), [], {"device": options.device}

    print("parity with the processor, ten steps")
    for case in options.cases:
        here = losses(steps, case, "cpu", options.threads, "small", 10)
        there = losses(steps, case, options.device, options.threads, "small", 10)
        worst = max(abs(a - b) / abs(a) for a, b in zip(here, there))
        print(f"  {case:14} first {abs(here[0] - there[0]) / abs(here[0]):.1e}  worst of ten {worst:.1e}", flush=True)
        report.setdefault("parity", {})[case] = worst
        if not worst <= 1e-3:
            failed.append(f"{case}: the device's losses differ by {worst:.1e}")

    for precision in ["float32", "bf16"]:
        numbers = options.out.with_suffix(f".{precision}.json") if options.out else None
        command = [sys.executable, HERE.parent / "peers/training/compare.py", "--steps", steps, "--python", options.python,
                   "--device", options.device, "--precision", precision, "--threads", options.threads, "--rounds",
                   options.rounds, *(["--demucs", options.demucs] if options.demucs else []),
                   *(["--json", numbers] if numbers else []), *options.cases]
        done = subprocess.run([str(part) for part in command], check=False)
        if done.returncode != 0:
            failed.append(f"throughput, {precision}: see above")
        if numbers and numbers.exists():
            report[precision] = json.loads(numbers.read_text())

    with tempfile.TemporaryDirectory() as folder:
        command = [options.build / "cli/mssbench", "train", "umx-tiny", "-d", "synthetic", "-o", f"{folder}/run", "--device",
                   options.device, "--threads", options.threads, "--json", "--progress", "none", "--recipe",
                   "validation.scores_every=0", "--recipe", "budget.epochs=4"]
        out = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout
        run = json.loads(out)
    share = run["waited_s"] / run["seconds"]
    print(f"waiting for data: {100 * share:.2f} % of {run['seconds']:.1f} s, {run['examples_per_s']:.1f} examples/s")
    report["waiting"] = share
    if share > 0.02:
        failed.append(f"the device waits for data {100 * share:.1f} % of the time")
    report["minutes"] = (time.time() - begin) / 60
    print(f"{report['minutes']:.1f} minutes")
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n")
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
