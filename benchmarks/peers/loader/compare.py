#!/usr/bin/env python3
"""How many training examples a second: our loader, Open-Unmix's MUSDBDataset, libsndfile alone; one table.

usage: compare.py --build BUILD [--venv DIR] [--work DIR] [--workers 2]

An example is 6 s of stereo from four sources, each of a song of its own, with gains and channel swaps, out of 16-bit wav
files (the built-in songs, 60 s each, laid out as MUSDB18-HQ). Everything is read once before it is timed, so that the
system's cache is warm; ours also has its own cache filled. The three alternate; medians are printed. Bars: 50 times
MUSDBDataset, twice libsndfile reading the same crops of the same files (opened, sought, read, split into channels).

The package is installed from the Python package index into a virtual environment of its own unless --venv names one that
has it; it needs the program ffmpeg.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from shared import prepare  # noqa: E402


def run(command):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{command[0]} failed ({result.returncode}): {(result.stderr or result.stdout).strip()[-2000:]}")
    return json.loads(result.stdout.strip().splitlines()[-1]) if result.stdout.strip() else {}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, type=pathlib.Path, help="build folder")
    parser.add_argument("--venv", type=pathlib.Path, default=pathlib.Path("peers-venv"))
    parser.add_argument("--work", type=pathlib.Path, help="folder for songs and cache (default: a temporary one)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-batches", type=int, default=8, help="of 4 examples; a multiple of --workers")
    options = parser.parse_args()
    python = prepare(options.venv, HERE / "requirements.txt", without_dependencies=["openunmix"], further=["tqdm", "numpy"])
    work = options.work or pathlib.Path(tempfile.mkdtemp(prefix="loader-"))
    program = options.build / "benchmarks" / "peers" / "loader" / "loader_speed"
    songs = work / "songs"
    if not songs.exists():
        run([program, "make", songs, "--songs", options.songs, "--seconds", 60])
    for file in songs.rglob("*.wav"):
        file.read_bytes()
    command = [program, "run", songs, "--cache", work / "cache", "--workers", options.workers]
    run([*command, "--repeats", 1])  # fills the cache
    ours, peers = [], []
    for _ in range(options.rounds):
        ours.append(run(command))
        peers.append(run([python, HERE / "worker.py", songs, 6, 4, options.workers, options.peer_batches]))
    value = lambda key: statistics.median(one[key] for one in ours)
    peer = statistics.median(one["examples_per_s"] for one in peers)
    print(f"| examples of 6 s a second, {options.workers} workers | | ours is faster by |")
    print("|---|---|---|")
    print(f"| ours | {value('ours_per_s'):.0f} | |")
    print(f"| openunmix.data.MUSDBDataset | {peer:.2f} | {value('ours_per_s') / peer:.0f} |")
    print(f"| libsndfile, the same crops | {value('files_per_s'):.0f} | {value('ours_over_files'):.2f} |")
    print(f"| the same and their sum | {value('files_mix_per_s'):.0f} | {value('ours_over_files_mix'):.2f} |")
    fine = value("ours_per_s") / peer >= 50 and value("ours_over_files") >= 2
    print("bars (50 and 2): " + ("met" if fine else "MISSED"))
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
