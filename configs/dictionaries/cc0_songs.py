#!/usr/bin/env python3
"""Make the data set that the dictionary `cc0` was learned from: four whole songs of a CC0 album in four stems.

    git clone https://github.com/ichbinsoftware/everythingisremixed album
    python3 cc0_songs.py album cc0_songs        # needs ffmpeg and numpy

"everything is remixed" by Software-Entwicklungskit (CC0 1.0) comes as 9 to 38 stems per song, 33 minutes of music in all.
Songs 1 to 4 (Hydrogen, Lithium, Sodium, Potassium) go to OUT/train, as NAME/{drums,bass,other,vocals,mixture}.wav,
16 bit, 44.1 kHz, stereo. Songs 5 to 7 stay untouched: excerpts of them are test songs.

Stems are the files "*_Stem_NAME_mobile.m4a", grouped by NAME: VOX is vocals; the synthesisers listed in BASS are bass;
drum words are drums; all else is other. The artist's balance is very heavy in bass, so each stem is brought toward
-20 (drums, vocals), -21 (bass) or -23 dBFS (other), by 12 dB at most: the level is the mean power of the seconds that are
less than 30 dB below the loudest. A gain for all brings the mixture's peak to 0.95. The mixture is the exact sum.
"""

import pathlib
import re
import subprocess
import sys
import wave

import numpy as np

RATE = 44100
SONGS = {1: "Hydrogen", 2: "Lithium", 3: "Sodium", 4: "Potassium"}
BASS = {1: [], 2: ["SY BASS"], 3: ["SY BASS", "BASS STAB"], 4: ["PAD + BASS", "MINILOGUE"]}
DRUMS = ["DRUM", "KICK", "HH", "HAT", "BEAT", "TOM", "SNARE", "CLAP", "CRASH", "CYMBAL", "K & SN", "TOPS", "PERC", "PRC"]
LEVEL_DB = {"drums": -20, "bass": -21, "other": -23, "vocals": -20}


def group(song, name):
    if "VOX" in name:
        return "vocals"
    if any(word in name for word in BASS[song]):
        return "bass"
    return "drums" if any(word in name for word in DRUMS) else "other"


def decode(path):
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "f32le", "-ar", str(RATE), "-ac", "2", "-"]
    return np.frombuffer(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout, np.float32).reshape(-1, 2)


def add(a, b):
    if len(a) < len(b):
        a, b = b, a
    a = a.copy()
    a[: len(b)] += b
    return a


def gain_db(stem, level):
    seconds = stem[: len(stem) // RATE * RATE].astype(np.float64).reshape(-1, 2 * RATE)
    power = (seconds**2).mean(axis=1)
    if not power.max() > 0:
        return 0.0
    return float(np.clip(level - 10 * np.log10(power[power > 1e-3 * power.max()].mean()), -12, 12))


def write(path, samples):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.astype("<i2").tobytes())


def main():
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} ALBUM OUT\n\n{__doc__}")
    album, out = map(pathlib.Path, sys.argv[1:])
    for number, title in SONGS.items():
        folder = album / "src" / f"{number}.{title}"
        files = sorted(folder.glob("*_Stem_*_mobile.m4a"))
        if not files:
            sys.exit(f"{folder}: no files *_Stem_*_mobile.m4a; is {album} a clone of everythingisremixed?")
        stems = {}
        for file in files:
            name = re.fullmatch(r".*_Stem_(.*)_mobile\.m4a", file.name).group(1)
            target = group(number, name)
            stems[target] = add(stems.get(target, np.zeros((0, 2), np.float32)), decode(file))
        samples = max(map(len, stems.values()))
        for target, level in LEVEL_DB.items():
            stem = add(stems.get(target, np.zeros((0, 2), np.float32)), np.zeros((samples, 2), np.float32))
            stems[target] = stem * 10 ** (gain_db(stem, level) / 20)
        scale = 32768 * 0.95 / np.abs(sum(stems.values())).max()
        stems = {target: np.round(scale * stem).clip(-32768, 32767).astype(np.int32) for target, stem in stems.items()}
        stems["mixture"] = sum(stems.values())
        destination = out / "train" / title
        destination.mkdir(parents=True, exist_ok=True)
        for target, stem in stems.items():
            write(destination / f"{target}.wav", stem)
        print(f"{destination}: {samples / RATE:.0f} s, {len(files)} files")


if __name__ == "__main__":
    main()
