#!/usr/bin/env python3
"""Writes a run folder of made-up records, as large as asked for: RUN/records.jsonl.

Scores are random numbers around a quality per row and a difficulty per track; nothing was separated. For measuring how
long a report takes (benchmarks/report_page.py) and for trying the page.
"""

import argparse
import json
import os
import random
import statistics

SCALARS = ("cSDR", "uSDR", "SDR-track", "SI-SDR", "SI-SDR-channel", "SD-SDR", "SI-SNR", "SDR-best-gain", "uSDR-msst", "SI-SDR-msst",
           "SNR-torchmetrics", "SI-SDR-torchmetrics", "SI-SNR-torchmetrics", "cSDRi", "uSDRi", "SDR-track-i", "SI-SDRi",
           "SI-SDR-channel-i", "SD-SDRi")
FRAMEWISE = ("SDR", "ISR", "SIR", "SAR")
TARGETS = ("vocals", "drums", "bass", "other")


def rows_of(count):
    """(spec, kind, protocol, quality in dB, weights)"""
    out = [("mixture-over-j", "floor", "", 1.2, None), ("mixture", "floor", "", -4.9, None), ("irm2", "oracle", "", 9.4, None),
           ("nmf:protocol=P4", "oracle", "P4", 2.3, None)]
    for i in range(count - len(out)):
        name = ["nmf", "umx", "demucs", "bsrnn", "repet", "hpss"][i % 6] + f":components={8 + i}"
        out.append((name, "method", "P0" if i % 6 == 0 else "", 2 + 6 * i / max(1, count - 5), {"label": f"w{i}#00000000", "sha256": "0" * 64} if i % 6 in (1, 2, 3) else None))
    return out[:count]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--tracks", type=int, default=50)
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--dataset", default="made-up")
    arguments = parser.parse_args()
    draw = random.Random(1)
    os.makedirs(arguments.run, exist_ok=True)
    lines = []
    tracks = [(f"Artist {i:02d} - Title {i:02d}", draw.gauss(0, 1.5)) for i in range(arguments.tracks)]
    for spec, kind, protocol, quality, weights in rows_of(arguments.rows):
        for track, ease in tracks:
            base = quality + ease + draw.gauss(0, 0.8)
            for seed in range(arguments.seeds if kind == "method" else 1):
                for k, target in enumerate(TARGETS):
                    level = base - 0.7 * k + draw.gauss(0, 0.5)
                    values = {m: [level + 3 * j + draw.gauss(0, 2) for _ in range(arguments.frames)] for j, m in enumerate(FRAMEWISE)}
                    scores = {m: statistics.median(v) for m, v in values.items()}
                    scores.update({m: level + 0.05 * j + draw.gauss(0, 0.2) for j, m in enumerate(SCALARS)})
                    lines.append(json.dumps({
                        "schema": 1, "dataset": arguments.dataset, "subset": "test", "track": track, "spec": spec, "scenario": "stems", "seed": seed,
                        "target": target, "scores": scores, "mean": {m: statistics.fmean(v) for m, v in values.items()},
                        "frames": {"window_s": 1.0, "hop_s": 1.0, "count": arguments.frames, "dropped": {"total": 0, "silent_reference": 0, "silent_estimate": 0, "anti_phase": 0}, "values": values},
                        "silent_reference": False, "silent_estimate": False, "version": "0.1.0", "revision": "made-up", "isa": "none",
                        "oracle": kind == "oracle", "floor": kind == "floor", "random": True, "protocol": protocol, "options": {"components": 8},
                        "weights": weights, "dataset_stems": list(TARGETS), "unscored_targets": [], "fingerprint": "0" * 64, "samples": 44100 * arguments.frames,
                        "rate_hz": 44100, "channels": 2, "erratum": "",
                        "measured": {"wall_s": 10 ** (1 + quality / 10), "cpu_s": 10 ** (1.2 + quality / 10), "rtf": 10 ** (quality / 10) / 20, "scoring_wall_s": 1.0,
                                     "peak_rss_bytes": int(2e8 * (1 + abs(quality))), "threads": 2, "jobs": 1, "host": "nowhere", "processor": "none",
                                     "started_utc": "2026-01-01T00:00:00Z", "command": "made_up.py", "item_records": 4}}, separators=(",", ":")))
    with open(os.path.join(arguments.run, "records.jsonl"), "w") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
