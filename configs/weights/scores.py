#!/usr/bin/env python3
"""Prints the tables of README.md from a report's table.csv: python3 scores.py REPORT/table.csv

SDR (BSS Eval v4) in dB: median over tracks of medians over frames, 95 % interval over tracks; values below the floor
`mixture-over-j` are marked with <.
"""

import csv
import sys

STEMS = ["vocals", "drums", "bass", "other"]
TITLES = {"synthetic": "composed songs, disjoint test", "evr": "CC0 album, test", "musdb": "MUSDB18 clip"}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rows, order, tracks = {}, [], {}
    with open(sys.argv[1], newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["scenario"] != "stems" or row["metric"] != "SDR" or not row["median"]:
                continue
            row["dataset"] += "/" + row["subset"]
            key = (row["dataset"], row["spec"])
            if row["spec"] not in order:
                order.append(row["spec"])
            rows.setdefault(key, {})[row["target"]] = row
            tracks[row["dataset"]] = max(int(row["tracks"]), tracks.get(row["dataset"], 0))
    sets = sorted(tracks, key=lambda name: next((i for i, t in enumerate(TITLES) if name.lower().startswith(t)), 9))

    def title(dataset):
        text = next((text for start, text in TITLES.items() if dataset.lower().startswith(start)), dataset)
        return f"{text}: {dataset.rsplit('/', 1)[1]}" if text == TITLES["musdb"] else text

    def cell(dataset, spec, target, interval):
        row = rows.get((dataset, spec), {}).get(target)
        if row is None:
            return ""
        floor = float(rows[(dataset, "mixture-over-j")][target]["median"])
        value = float(row["median"])
        text = f"{value:.2f}"
        if interval and row["median_low"]:
            text += f" [{float(row['median_low']):.2f}, {float(row['median_high']):.2f}]"
        return text + (" <" if value < floor else "")

    print("| mean of the four stems | " + " | ".join(f"{title(d)} ({tracks[d]})" for d in sets) + " |")
    print("|---|" + "---|" * len(sets))
    for spec in order:
        print(f"| `{spec}` | " + " | ".join(cell(d, spec, "avg", True) for d in sets) + " |")
    for dataset in sets:
        print(f"\n| {title(dataset)} | " + " | ".join(STEMS) + " |")
        print("|---|" + "---|" * len(STEMS))
        for spec in order:
            if (dataset, spec) in rows:
                print(f"| `{spec}` | " + " | ".join(cell(dataset, spec, stem, False) for stem in STEMS) + " |")


if __name__ == "__main__":
    main()
