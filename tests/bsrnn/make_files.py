#!/usr/bin/env python3
"""Makes tests/bsrnn/files with PyTorch: checkpoints of small networks in the names of other programs, an input, and what
the networks make of it (the plain implementation of benchmarks/peers/bsrnn/networks.py).

usage: make_files.py [FOLDER]

expected.json: per file the profile, targets, trained numbers, and checksums of the stems of input.wav's samples
(a formula, given there) for one chunk of the whole length.
"""

import json
import math
import pathlib
import sys
import types

import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "benchmarks" / "peers" / "bsrnn"))
from networks import Amanteur, Authors, separate  # noqa: E402

OUT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "files"
FFT, HOP, WIDTHS, SAMPLES = 64, 16, [3, 7, 23], 320
FRAMES = SAMPLES // HOP + 1


def vary(net, seed):
    """Away from PyTorch's initial values, so that every parameter counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in net.named_parameters():
            noise = torch.rand(value.shape, generator=generator) - 0.5
            if value.std() == 0 or value.numel() == 1:
                value.add_(0.4 * noise)
            else:
                value.copy_(noise * 2 / math.sqrt(value.shape[-1] if value.dim() > 1 else 4))
    return net.eval()


def audio():
    n = torch.arange(SAMPLES, dtype=torch.float64)
    rows = [0.5 * torch.sin(2 * math.pi * (0.031 + 0.007 * c) * n) + 0.3 * torch.sin(2 * math.pi * 0.117 * n + c)
            + 0.1 * torch.sin(0.0013 * n * n) for c in (0, 1)]
    return torch.stack(rows)


def lightning(net, prefix, **hyper):
    state = {prefix + name: value for name, value in net.state_dict().items()}
    state["stft.transf.window" if not prefix else "featurizer.0.window"] = torch.hann_window(FFT)
    adam = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-3}]}
    return {"epoch": 3, "global_step": 100, "pytorch-lightning_version": "2.0.0", "state_dict": state,
            "optimizer_states": [adam], "hyper_parameters": hyper}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    options = {"features": 4, "pairs": 1, "fft": FFT, "hop": HOP}
    four = ["vocals", "bass", "drums", "other"]
    cases = {}

    def case(name, net, profile, targets, make):
        torch.save(make(net.float()), OUT / name)
        numbers = sum(p.numel() for p in net.parameters())
        with torch.no_grad():
            torch.set_default_dtype(torch.float64)
            stems = separate(net.double(), audio(), SAMPLES, SAMPLES)
            torch.set_default_dtype(torch.float32)
        cases[name] = {"profile": profile, "targets": targets, "parameters": numbers,
                       "stems": [[[round(v, 9) for v in row[::7].tolist()] for row in stem] for stem in stems]}

    hyper = {"sample_rate": 8000, "n_fft": FFT, "n_hop": HOP, "feature_dim": 4}
    case("vocals_amanteur.ckpt", vary(Amanteur(WIDTHS, FRAMES, **options), 1), "amanteur", ["vocals"],
         lambda net: lightning(net, "model."))
    case("vocals_amanteur.pt", vary(Amanteur(WIDTHS, FRAMES, **options), 2), "amanteur", ["vocals"],
         lambda net: net.state_dict())
    case("paper.pth", vary(Authors(WIDTHS, mask_layers=1, eps=1e-5, **options), 3), "paper", ["vocals"],
         lambda net: net.state_dict())
    case("bass.ckpt", vary(Authors(WIDTHS, eps=1e-7, groups=2, **options), 4), "magron", ["bass"],
         lambda net: lightning(net, "", targets=["bass"], group_num=2, **hyper))
    old = lambda net: {k.replace("maskers.0.mask.", "mask."): v for k, v in net.state_dict().items()}  # noqa: E731
    case("drums_old.pth", vary(Authors(WIDTHS, **options), 5), "magron", ["drums"], old)
    case("naive.ckpt", vary(Authors(WIDTHS, naive=True, **options), 6), "magron", ["other"],
         lambda net: lightning(net, "", targets="other", group_num=1, **hyper))
    case("opt.ckpt", vary(Authors(WIDTHS, tac=12, prelu=True, heads=2, width=3, **options), 7), "magron", ["vocals"],
         lambda net: lightning(net, "", targets=["vocals"], group_num=1, **hyper))
    case("simo.ckpt", vary(Authors(WIDTHS, targets=4, subtract_last=True, tac=8, **options), 8), "magron", four,
         lambda net: lightning(net, "", targets=four, group_num=1, subtract_last_trgt=True, **hyper))
    (OUT / "expected.json").write_text(json.dumps(
        {"torch": torch.__version__.split("+")[0], "fft": FFT, "hop": HOP, "samples": SAMPLES, "every": 7,
         "input": "x[c][n]=0.5 sin(2 pi (0.031+0.007 c) n)+0.3 sin(2 pi 0.117 n + c)+0.1 sin(0.0013 n^2)",
         "cases": cases}) + "\n")


main()
