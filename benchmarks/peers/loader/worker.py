"""Examples per second of openunmix.data.MUSDBDataset through torch's DataLoader: worker.py FOLDER SECONDS BATCH WORKERS BATCHES.

Prints one line of JSON. The data set is used as scripts/train.py does: wav files, random track per source, gain and
channel swap. A mixture and one target come out of it; reading all four sources is part of that.
"""

import json
import random
import sys
import time
import types

import torch

# The package imports torchaudio for other data sets than this one.
sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))
from openunmix import data  # noqa: E402


def main():
    folder, seconds, batch, workers, batches = sys.argv[1], float(sys.argv[2]), *map(int, sys.argv[3:6])
    torch.manual_seed(1)
    random.seed(1)
    augmentations = data.Compose([data._augment_gain, data._augment_channelswap])
    tracks = data.MUSDBDataset(target="vocals", root=folder, is_wav=True, split="train", subsets="train",
                               seq_duration=seconds, samples_per_track=64, random_track_mix=True,
                               source_augmentations=augmentations)
    loader = iter(torch.utils.data.DataLoader(tracks, batch_size=batch, shuffle=True, num_workers=workers))
    # Batches of several workers come in bursts: the clock starts behind a whole one and stops behind a whole one.
    for _ in range(2 * workers):
        next(loader)
    begin = time.perf_counter()
    for _ in range(batches):
        x, _ = next(loader)
    wall = time.perf_counter() - begin
    print(json.dumps({"examples_per_s": batch * batches / wall, "shape": list(x.shape)}))


if __name__ == "__main__":
    main()
