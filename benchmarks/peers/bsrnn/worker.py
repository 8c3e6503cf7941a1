"""The peer's side of compare.py, one process per measurement.

worker.py make FILE PROFILE SCHEME SEED SIZE            random weights as a state dict
worker.py run FILE PROFILE SCHEME SIZE AUDIO CHUNK HOP THREADS STEMS
                                                        separates (samples per chunk and hop); one line of JSON
"""

import json
import pathlib
import resource
import sys
import time

import torch
from networks import Amanteur, Authors, band_widths, separate

SIZES = {"large": {"features": 128, "pairs": 12}, "small": {"features": 64, "pairs": 8}}


def make(profile, scheme, size):
    sizes = SIZES[size]
    if profile == "amanteur":
        return Amanteur(band_widths(scheme, "edge"), **sizes)
    rule, layers, eps = ("edge", 1, 1e-5) if profile == "paper" else ("floor", 2, 1e-7)
    return Authors(band_widths(scheme, rule), mask_layers=layers, eps=eps, **sizes)


def main():
    what, file, profile, scheme = sys.argv[1:5]
    if what == "make":
        torch.manual_seed(int(sys.argv[5]))
        torch.save(make(profile, scheme, sys.argv[6]).state_dict(), file)
        return
    size, audio, chunk, hop, threads, stems = sys.argv[5:]
    import numpy
    import soundfile

    torch.set_num_threads(int(threads))
    net = make(profile, scheme, size).eval()
    net.load_state_dict(torch.load(file, weights_only=True))
    samples, _ = soundfile.read(audio, dtype="float32", always_2d=True)
    x = torch.from_numpy(samples.T.copy())
    with torch.inference_mode():
        separate(net, x[:, :2 * net.fft], int(chunk), int(chunk))  # warm
        wall, cpu = time.perf_counter(), time.process_time()
        y = separate(net, x, int(chunk), int(hop))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    numpy.save(pathlib.Path(stems), y[0].numpy())
    print(json.dumps({"torch": torch.__version__, "wall_s": wall, "cpu_s": cpu,
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


main()
