"""The peer's side of compare.py, one process per measurement.

worker.py make FILE CHANNELS SEED                   random weights, saved as the authors' trainer saves a model
worker.py run FILE AUDIO SEGMENT OVERLAP THREADS STEMS
                                                    separates; stems as .npy into the folder STEMS, one line of JSON
"""

import argparse
import json
import pathlib
import resource
import sys
import time

import numpy
import torch

SOURCES = ["drums", "bass", "other", "vocals"]


def make(file, channels, seed):
    from demucs.model import Demucs
    from demucs.utils import save_model

    torch.manual_seed(seed)
    model = Demucs(SOURCES, channels=channels)
    with torch.no_grad():
        # An untrained network is quiet; this brings its stems to full scale, so that differences are seen.
        model.decoder[-1][-1].weight *= 40
    save_model(model, None, argparse.Namespace(half=False, diffq=0, qat=0), file)


def run(file, audio, segment, overlap, threads, stems):
    import soundfile
    from demucs.utils import apply_model, load_model

    torch.set_num_threads(threads)
    load = torch.load
    # PyTorch 2.6 and newer refuse the classes in these files unless told otherwise.
    torch.load = lambda source, place=None: load(source, place, weights_only=False)
    model = load_model(file)
    model.eval()
    if segment > 0:
        model.segment_length = int(round(segment * model.samplerate))
    samples, rate = soundfile.read(audio, dtype="float32", always_2d=True)
    mixture = torch.as_tensor(samples.T.copy())
    wall, cpu = time.perf_counter(), time.process_time()
    ref = mixture.mean(0)
    found = apply_model(model, (mixture - ref.mean()) / ref.std(), split=segment >= 0, overlap=overlap)
    found = found * ref.std() + ref.mean()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    stems.mkdir(parents=True, exist_ok=True)
    for name, value in zip(model.sources, found):
        numpy.save(stems / f"{name}.npy", value.numpy())
    print(json.dumps({"wall_s": wall, "cpu_s": cpu, "torch": torch.__version__,
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        run(pathlib.Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]),
            pathlib.Path(sys.argv[7]))
