#!/usr/bin/env python3
"""Writes tests/golden/conv-tasnet-training.json: steps of Conv-TasNet in its authors' code (facebookresearch/demucs, branch
v2, demucs/tasnet.py), float64, on the weights and signals of demucs.json's formulas.

usage: PYTHONPATH=FOLDER_OF_demucs make_tasnet_training.py tests/golden/conv-tasnet-training.json
"""

import json
import math
import pathlib
import sys

import numpy
import torch
from demucs.tasnet import ConvTasNet

STEPS, SAMPLES, RATE = 5, 468, 3e-4


def hashed(key, count):
    x = (numpy.uint32(key) * numpy.uint32(0x9E3779B1) + numpy.arange(1, count + 1, dtype=numpy.uint32)).astype(numpy.uint32)
    for shift, factor in [(16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)]:
        x = (x ^ (x >> numpy.uint32(shift))) * numpy.uint32(factor)
    return 2.0 * x.astype(numpy.float64) / 4294967296.0 - 1.0


def signal(key):
    t = numpy.arange(SAMPLES)
    rows = [0.5 * ((t * (37 + 11 * c) % 441) / 441.0 - 0.5) + 0.25 * hashed(key + c, SAMPLES) for c in range(2)]
    return numpy.stack(rows).astype(numpy.float32)


def main():
    numpy.seterr(over="ignore")
    net = ConvTasNet(["drums", "bass", "other", "vocals"], N=16, L=20, B=16, H=32, P=3, X=3, R=2).double()
    with torch.no_grad():
        for k, (name, p) in enumerate(net.state_dict().items()):
            size = 2.0 / math.sqrt(p.numel() / p.shape[0]) if p.dim() >= 2 else 0.1
            around = 1.0 if p.dim() == 1 and name.endswith(".weight") else 0.0
            values = (around + hashed(k, p.numel()) * size).astype(numpy.float32)
            p.copy_(torch.from_numpy(values.astype(numpy.float64)).reshape(p.shape))
    gains = [numpy.float32(0.2 + 0.1 * s) for s in range(4)]
    stems = torch.from_numpy(numpy.stack([signal(3000 + 10 * s) * g for s, g in enumerate(gains)])).double().unsqueeze(0)
    mixture = stems.sum(1)
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    steps = []
    for _ in range(STEPS):
        loss = torch.nn.functional.l1_loss(net(mixture), stems)
        optimiser.zero_grad()
        loss.backward()
        norm = torch.sqrt(sum(p.grad.square().sum() for p in net.parameters()))
        optimiser.step()
        steps.append({"loss": loss.item(), "grad_norm": norm.item()})
    sums = {name: p.sum().item() for name, p in net.state_dict().items()}
    about = ("Conv-TasNet (N 16, L 20, B 16, H 32, P 3, X 3, R 2, gLN), four sources, L1, Adam 3e-4: weights and signals as "
             "demucs.json has them (conv_tasnet_music, training.setup); made by tests/demucs/make_tasnet_training.py")
    pathlib.Path(sys.argv[1]).write_text(json.dumps(
        {"about": about, "torch": torch.__version__, "input_length": SAMPLES, "rate": RATE, "steps": steps,
         "parameter_sums": sums}, indent=1) + "\n")


main()
