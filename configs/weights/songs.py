#!/usr/bin/env python3
"""Make the data set that the networks of this folder were trained on: composed songs and a CC0 album, in pieces of 30 s.

    mssbench synth synth_full --preset full
    python3 ../dictionaries/cc0_songs.py album cc0_songs        # see there
    python3 songs.py synth_full cc0_songs OUT

Composed songs are linked as they are: 86 to train on, and the first 6 of the 14 validation songs. Of each of the four
songs of the album the pieces are cut one after the other; those in which the mixture is silent (below -60 dBFS) are
left out, and the last but one piece of each is for validation. Training tracks lie in OUT/train, the others in OUT/valid.
"""

import array
import json
import math
import pathlib
import sys
import wave

SECONDS = 30
VALIDATION_SONGS = 6
STEMS = ["mixture", "drums", "bass", "other", "vocals"]


def pieces(song, out):
    """Cuts one song of the album."""
    audio = {}
    for stem in STEMS:
        with wave.open(str(song / f"{stem}.wav")) as file:
            parameters = file.getparams()
            audio[stem] = file.readframes(file.getnframes())
    bytes_per_piece = SECONDS * parameters.framerate * parameters.nchannels * parameters.sampwidth
    found = []
    for index in range(len(audio["mixture"]) // bytes_per_piece):
        cut = {stem: data[index * bytes_per_piece : (index + 1) * bytes_per_piece] for stem, data in audio.items()}
        samples = array.array("h", cut["mixture"])
        level = math.sqrt(sum(s * s for s in samples[::16]) / len(samples[::16])) / 32768
        if level < 1e-3:
            continue
        name = f"{song.name} {index + 1:02d}"
        found.append((name, cut))
    for position, (name, cut) in enumerate(found):
        folder = out / ("valid" if position == len(found) - 2 else "train") / name
        folder.mkdir(parents=True, exist_ok=True)
        for stem, data in cut.items():
            with wave.open(str(folder / f"{stem}.wav"), "wb") as file:
                file.setparams(parameters)
                file.writeframes(data)


def main():
    if len(sys.argv) != 4:
        sys.exit(f"usage: {sys.argv[0]} SYNTH_FULL CC0_SONGS OUT\n\n{__doc__}")
    synth, album, out = map(pathlib.Path, sys.argv[1:])
    split = json.loads((synth / "split.json").read_text())
    for folder, names in (("train", split["train"]), ("valid", split["valid"][:VALIDATION_SONGS])):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            link = out / folder / name
            if not link.exists():
                link.symlink_to((synth / "train" / name).resolve(), target_is_directory=True)
    for song in sorted((album / "train").iterdir()):
        pieces(song, out)
    print(f"{out}: {len(list((out / 'train').iterdir()))} tracks to train on, {len(list((out / 'valid').iterdir()))} to validate on")


if __name__ == "__main__":
    main()
