#!/usr/bin/env python3
"""Times and checks the scorer against museval, fast_bss_eval and mir_eval in one run.

    compare.py DATA [--program build/release/benchmarks/peers/evaluate/score_raw] [--venv DIR] [--seconds 30 240]
               [--threads 1 2]
               [--tools museval fast_bss_eval mir_eval]

DATA is a folder of songs (any depth) with vocals.flac, drums.flac, bass.flac and other.flac each, at 44.1 kHz stereo;
songs with a stem that is silent throughout are left out, the rest is joined end to end and repeated to the length that is
asked for. Beside that music, white noise is scored. The Python packages are installed by name into a virtual environment
of this script's own; the project does not depend on them. Every measurement runs in a fresh process. One table is printed:

  v4       BSS Eval v4, 4 stereo sources: museval.metrics.bss_eval against the scorer
  sources  bss_eval_sources, whole signal, 4 mono sources (left channels): mir_eval, fast_bss_eval against the scorer

wall and CPU time and peak memory are those of the evaluation alone, audio already in memory; "beyond audio" is peak memory
minus what the process held before. Differences are the largest over all sources and frames where both are finite.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import venv

STEMS = ["vocals", "drums", "bass", "other"]
PACKAGES = ["museval", "fast_bss_eval", "mir_eval", "soundfile", "numpy", "scipy"]
RATE_HZ = 44100


def inside_venv(folder):
    """Runs this script again with the virtual environment's Python, making it first where it is missing."""
    python = folder / "bin" / "python"
    if pathlib.Path(sys.prefix).resolve() == folder.resolve():
        return
    if not (folder / "ready").exists():
        print(f"installing {', '.join(PACKAGES)} into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (folder / "ready").touch()
    os.execv(python, [str(python), *sys.argv])


def load_songs(data):
    import numpy as np
    import soundfile as sf

    songs = []
    for path in sorted(pathlib.Path(data).rglob("vocals.flac")):
        stems = [sf.read(path.parent / f"{s}.flac", dtype="int16", always_2d=True)[0] for s in STEMS]
        if all(s.any() for s in stems) and all(s.shape == stems[0].shape for s in stems):
            songs.append(np.stack(stems))
    if not songs:
        sys.exit(f"compare.py: no songs with {', '.join(STEMS)} in flac under {data}")
    return np.concatenate(songs, axis=1)


def make_signals(kind, seconds, songs, folder):
    """Writes [source][channel][sample] float32 files; returns their paths."""
    import numpy as np

    rng = np.random.default_rng(1)
    length = seconds * RATE_HZ
    if kind == "music":
        repeats = -(-length // songs.shape[1])
        reference = np.tile(songs, (1, repeats, 1))[:, :length].astype(np.float64) / 32768
        mixture = reference.sum(axis=0)
        estimate = reference + 0.1 * (mixture - reference) + 1e-3 * rng.standard_normal(reference.shape)
    else:
        reference = np.round(3000 * rng.standard_normal((4, length, 2))) / 32768
        estimate = 0.8 * reference + 0.1 * np.roll(reference, 1, axis=0) + 0.02 * rng.standard_normal(reference.shape)
    paths = []
    for name, signal in (("reference", reference), ("estimate", estimate)):
        path = folder / f"{kind}{seconds}.{name}"
        signal.astype(np.float32).transpose(0, 2, 1).tofile(path)
        signal[:, :, :1].astype(np.float32).transpose(0, 2, 1).tofile(f"{path}.left")
        paths.append(str(path))
    return paths


def peak_memory():
    """High-water mark of this process's own memory (getrusage's also counts the process that started it)."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def child(tool, reference, estimate, samples):
    """One evaluation in this process; prints a JSON line."""
    import resource
    import time
    import types

    import numpy as np

    channels = 2 if tool == "museval" else 1
    signals = [
        np.fromfile(p, dtype=np.float32).reshape(4, channels, samples).transpose(0, 2, 1).astype(np.float64).copy()
        for p in (reference, estimate)
    ]
    if tool == "museval":
        # museval imports musdb, which wants ffmpeg; neither is used here.
        sys.modules.setdefault("musdb", types.ModuleType("musdb"))
        import museval.metrics

        def run():
            sdr, isr, sir, sar, _ = museval.metrics.bss_eval(
                *signals, window=RATE_HZ, hop=RATE_HZ, compute_permutation=False, filters_len=512,
                framewise_filters=False, bsseval_sources_version=False)
            return {"SDR": sdr, "ISR": isr, "SIR": sir, "SAR": sar}
    elif tool == "mir_eval":
        import mir_eval.separation

        def run():
            sdr, sir, sar, _ = mir_eval.separation.bss_eval_sources(
                signals[0][:, :, 0], signals[1][:, :, 0], compute_permutation=False)
            return {"SDR": sdr[:, None], "SIR": sir[:, None], "SAR": sar[:, None]}
    else:
        import fast_bss_eval
        import numpy.linalg

        # NumPy 2 reads a stack of right-hand sides as matrices, fast_bss_eval still means vectors.
        solve = numpy.linalg.solve
        numpy.linalg.solve = lambda a, b: solve(a, b[..., None])[..., 0] if b.ndim == a.ndim - 1 else solve(a, b)

        def run():
            sdr, sir, sar = fast_bss_eval.bss_eval_sources(
                signals[0][:, :, 0], signals[1][:, :, 0], filter_length=512, compute_permutation=False)
            return {"SDR": sdr[:, None], "SIR": sir[:, None], "SAR": sar[:, None]}
    peak_before = peak_memory()
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    scores = run()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    peak = peak_memory()
    print(json.dumps({
        "wall_s": wall,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_rss_bytes": peak,
        "beyond_audio_bytes": peak - peak_before,
        "scores": {k: np.asarray(v, dtype=float).tolist() for k, v in scores.items()},
    }))


def measure(command, threads):
    env = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        env[name] = str(threads)
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        tail = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return {"error": tail}
    return json.loads(done.stdout.strip().splitlines()[-1])


def difference(ours, theirs, metrics):
    import numpy as np

    worst = 0.0
    for metric in metrics:
        a = np.array([[np.nan if v is None else v for v in row] for row in ours["scores"][metric]], dtype=float)
        b = np.array(theirs["scores"][metric], dtype=float)
        both = np.isfinite(a) & np.isfinite(b)
        if a.shape != b.shape or not both.any():
            return float("nan")
        worst = max(worst, float(np.abs(a - b)[both].max()))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--program", default="build/release/benchmarks/peers/evaluate/score_raw")
    parser.add_argument("--venv", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "mssbench-peers-evaluate")
    parser.add_argument("--seconds", type=int, nargs="+", default=[30, 240])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--tools", nargs="+", default=["museval", "fast_bss_eval", "mir_eval"])
    arguments = parser.parse_args()
    if not os.access(arguments.program, os.X_OK):
        sys.exit(f"compare.py: {arguments.program} is not built (target score_raw)")
    inside_venv(arguments.venv)

    header = ["signal", "s", "problem", "threads", "tool", "wall s", "CPU s", "peak MB", "beyond audio MB", "ours faster",
              "max diff SDR dB", "max diff others dB"]
    rows = [header]
    songs = load_songs(arguments.data)
    with tempfile.TemporaryDirectory() as scratch:
        for seconds in arguments.seconds:
            for kind in ("music", "noise"):
                reference, estimate = make_signals(kind, seconds, songs, pathlib.Path(scratch))
                samples = seconds * RATE_HZ
                problems = [("v4", "all", 2, "", ["museval"]), ("sources", "sources", 1, ".left", ["mir_eval", "fast_bss_eval"])]
                for threads in arguments.threads:
                    for problem, mode, channels, suffix, peers in problems:
                        peers = [p for p in peers if p in arguments.tools]
                        if not peers:
                            continue
                        ours = measure([arguments.program, reference + suffix, estimate + suffix, "4", str(channels),
                                        str(samples), str(RATE_HZ), str(threads), mode], threads)
                        for tool in ["mssbench", *peers]:
                            result = ours if tool == "mssbench" else measure(
                                [sys.executable, __file__, "--child", tool, reference + suffix, estimate + suffix,
                                 str(samples)], threads)
                            label = [kind, str(seconds), problem, str(threads), tool]
                            print(" ".join(label), file=sys.stderr)
                            if "error" in result or "error" in ours:
                                rows.append(label + [result.get("error", ours.get("error", "")), *[""] * 6])
                                continue
                            same = tool == "mssbench"
                            others = ["ISR", "SIR", "SAR"] if problem == "v4" else ["SIR", "SAR"]
                            rows.append(label + [
                                f"{result['wall_s']:.2f}", f"{result['cpu_s']:.2f}",
                                f"{result['peak_rss_bytes'] / 1e6:.0f}", f"{result['beyond_audio_bytes'] / 1e6:.0f}",
                                "" if same else f"{result['wall_s'] / ours['wall_s']:.0f}x",
                                "" if same else f"{difference(ours, result, ['SDR']):.1e}",
                                "" if same else f"{difference(ours, result, others):.1e}"])
    widths = [max(len(r[i]) for r in rows) for i in range(len(header))]
    for i, row in enumerate(rows):
        print("| " + " | ".join(c.ljust(w) for c, w in zip(row, widths)) + " |")
        if i == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")


if __name__ == "__main__":
    if len(sys.argv) == 6 and sys.argv[1] == "--child":
        child(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
    else:
        main()
