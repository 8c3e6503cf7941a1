"""The peer's side of compare.py, one process per measurement.

worker.py make FOLDER SEED                          a set of random weights with the official shapes
worker.py run FOLDER AUDIO NITER RESIDUAL REPEATS THREADS STEMS
                                                    separates; stems as .npy into the folder STEMS, one line of JSON
"""

import json
import pathlib
import resource
import sys
import time
import types

try:
    import torchaudio  # noqa: F401
except Exception:
    # openunmix imports it to read files and to resample, neither of which is done here, and there is not always a
    # release for the newest PyTorch.
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")

import numpy
import torch

TARGETS = ["vocals", "drums", "bass", "other"]


def make(folder, seed):
    from openunmix import model

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    for target in TARGETS:
        net = model.OpenUnmix(nb_bins=2049, nb_channels=2, hidden_size=512, max_bin=1487)
        with torch.no_grad():
            # Away from the identity, so that every parameter counts.
            for name, value in net.state_dict().items():
                if name.endswith("running_var") or name == "output_scale" or name in ("bn1.weight", "bn2.weight",
                                                                                      "bn3.weight"):
                    value.uniform_(0.5, 1.5)
                elif name.endswith("running_mean") or name in ("bn1.bias", "bn2.bias", "bn3.bias"):
                    value.uniform_(-0.2, 0.2)
                elif name == "input_mean":
                    value.uniform_(-1, 0)
                elif name == "input_scale":
                    value.uniform_(0.2, 1)
                elif name == "output_mean":
                    value.uniform_(0, 1)
        torch.save(net.state_dict(), folder / f"{target}.pth")
        args = {"nfft": 4096, "nhop": 1024, "nb_channels": 2, "hidden_size": 512, "bandwidth": 16000}
        (folder / f"{target}.json").write_text(json.dumps({"args": args}))
    (folder / "separator.json").write_text(
        json.dumps({"nfft": 4096, "nhop": 1024, "sample_rate": 44100, "nb_channels": 2}))


def run(folder, audio, niter, residual, repeats, threads, stems):
    from openunmix import utils

    import soundfile

    torch.set_num_threads(threads)
    samples, rate = soundfile.read(audio, dtype="float32", always_2d=True)
    separator = utils.load_separator(str(folder), targets=TARGETS, niter=niter, residual=residual, device="cpu")
    separator.freeze()
    mixture = utils.preprocess(torch.as_tensor(samples.T.copy()), rate, separator.sample_rate)
    runs = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        with torch.no_grad():
            estimates = separator(mixture)
        runs.append((time.perf_counter() - wall, time.process_time() - cpu))
        estimates = {name: value[0].numpy() for name, value in separator.to_dict(estimates).items()}
    spectrum = torch.view_as_complex(separator.stft(mixture))
    stems.mkdir(parents=True, exist_ok=True)
    for name, value in estimates.items():
        numpy.save(stems / f"{name}.npy", value)
    best = min(runs)
    print(json.dumps({"wall_s": best[0], "cpu_s": best[1], "torch": torch.__version__,
                      "zero_bins": int((spectrum == 0).sum()),
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(pathlib.Path(sys.argv[2]), int(sys.argv[3]))
    else:
        run(pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5] == "1", int(sys.argv[6]),
            int(sys.argv[7]), pathlib.Path(sys.argv[8]))
