"""One measurement of a reference filter in a process of its own; prints a JSON object.

usage: worker.py norbert|openunmix complex128|complex64 SECONDS ITERATIONS REPEATS BLOCK_FRAMES

Stereo, four sources, 2049 bins, 1 + SECONDS * 44100 / 1024 frames of random data, in blocks of BLOCK_FRAMES (0 = all at
once). The time is the processor time of the filter calls alone, the best of REPEATS.
"""

import importlib.util
import json
import os
import resource
import sys
import time

BINS, CHANNELS, SOURCES = 2049, 2, 4


def load_filtering():
    """open-unmix's filtering.py by itself: importing the package would ask for torchaudio."""
    package = importlib.util.find_spec("openunmix")
    path = os.environ.get("OPENUNMIX_FILTERING") or os.path.join(
        package.submodule_search_locations[0], "filtering.py")
    spec = importlib.util.spec_from_file_location("openunmix_filtering", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    peer, dtype, seconds, iterations, repeats, block = sys.argv[1:]
    seconds, iterations, repeats, block = (int(x) for x in (seconds, iterations, repeats, block))
    import numpy as np

    frames = 1 + seconds * 44100 // 1024
    block = block or frames
    sizes = [min(block, frames - begin) for begin in range(0, frames, block)]
    single = dtype == "complex64"
    rng = np.random.default_rng(0)
    longest = max(sizes)
    real = np.float32 if single else np.float64
    v = rng.random((longest, BINS, CHANNELS, SOURCES), dtype=real)
    parts = rng.random((longest, BINS, CHANNELS, 2), dtype=real) * 10 - 5
    if peer == "norbert":
        import norbert

        x = parts[..., 0] + 1j * parts[..., 1]

        def run(n):
            # The filter may overwrite its input.
            data = x[:n].copy()
            begin = time.process_time()
            norbert.wiener(v[:n], data, iterations)
            return time.process_time() - begin
    else:
        import torch

        torch.set_num_threads(1)
        filtering = load_filtering()
        x, v = torch.from_numpy(parts), torch.from_numpy(v)

        def run(n):
            data = x[:n].clone()
            begin = time.process_time()
            filtering.wiener(v[:n], data, iterations, softmask=False, residual=False)
            return time.process_time() - begin
    cpu = min(sum(run(n) for n in sizes) for _ in range(repeats))
    print(json.dumps({"cpu_s": cpu, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}))


if __name__ == "__main__":
    main()
