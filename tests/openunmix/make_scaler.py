#!/usr/bin/env python3
"""Writes tests/golden/openunmix-scaler.json: Open-Unmix's input statistics of real songs, from the spectrograms of the Python
package (openunmix 1.3.0, transforms.make_filterbanks as scripts/train.py calls it: magnitudes, mean over the channels) and the
mean and population standard deviation that its sklearn StandardScaler takes of all frames, in float64. Numbers only; the audio
is CC0 (Software-Entwicklungskit) and not part of the repository.

usage: make_scaler.py FOLDER_OF_evr_cc0 tests/golden/openunmix-scaler.json
"""

import json
import pathlib
import sys
import types

try:
    import torchaudio  # noqa: F401
except Exception:
    # openunmix imports it to read files and to resample, neither of which is done here.
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")

import numpy
import soundfile
import torch
from openunmix import transforms

TRACKS, FFT, HOP, EVERY = 2, 4096, 1024, 32


def main():
    folder = pathlib.Path(sys.argv[1]) / "test"
    names = sorted(path.name for path in folder.iterdir())[:TRACKS]
    stft, _ = transforms.make_filterbanks(n_fft=FFT, n_hop=HOP, sample_rate=44100)
    encoder = torch.nn.Sequential(stft, transforms.ComplexNorm(mono=True))
    frames = []
    for name in names:
        audio, rate = soundfile.read(folder / name / "mixture.flac", dtype="float32", always_2d=True)
        assert rate == 44100
        with torch.no_grad():
            frames.append(encoder(torch.from_numpy(audio.T.copy())[None])[0, 0].T.double().numpy())
    rows = numpy.concatenate(frames)
    mean, deviation = rows.mean(0), rows.std(0)
    deviation = numpy.maximum(deviation, 1e-4 * deviation.max())
    pathlib.Path(sys.argv[2]).write_text(json.dumps(
        {"about": "tests/openunmix/make_scaler.py", "tracks": names, "frames": len(rows), "fft": FFT, "hop": HOP, "every": EVERY,
         "mean_sum": mean.sum(), "std_sum": deviation.sum(), "mean": mean[::EVERY].tolist(),
         "std": deviation[::EVERY].tolist()}, indent=1) + "\n")


main()
