#!/usr/bin/env python3
"""Makes tests/demucs/files: tiny networks of the family in the layouts of the authors' files.

Run by hand with a PyTorch (2.15 wrote the committed ones):  python3 make_files.py
Classes are stand-ins of the same names, since a file only names them.
"""
import argparse
import math
import sys
import types
import zlib
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent / "files"
SOURCES = ["drums", "bass", "other", "vocals"]


def stand_in(module, name):
    parts = module.split(".")
    for i in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
    made = type(name, (), {"__module__": module, "__qualname__": name})
    setattr(sys.modules[module], name, made)
    return made


def filled(shapes):
    state, n = {}, 0
    for name, shape in shapes:
        count = math.prod(shape)
        fan = max(1, count // shape[0])
        state[name] = torch.sin(torch.arange(n, n + count, dtype=torch.float64)).reshape(shape).float() / fan**0.5
        n += count
    return state


def demucs(channels, depth, stems=4, audio=2):
    shapes, widths = [], [channels * 2**i for i in range(depth)]
    for i, c in enumerate(widths):
        shapes += [(f"encoder.{i}.0.weight", [c, audio if i == 0 else widths[i - 1], 8]), (f"encoder.{i}.0.bias", [c]),
                   (f"encoder.{i}.2.weight", [2 * c, c, 1]), (f"encoder.{i}.2.bias", [2 * c])]
    for j in range(depth):
        i = depth - 1 - j
        c, out = widths[i], stems * audio if i == 0 else widths[i - 1]
        shapes += [(f"decoder.{j}.0.weight", [2 * c, c, 3]), (f"decoder.{j}.0.bias", [2 * c]),
                   (f"decoder.{j}.2.weight", [c, out, 8]), (f"decoder.{j}.2.bias", [out])]
    h = widths[-1]
    for layer in range(2):
        for end in ("", "_reverse"):
            shapes += [(f"lstm.lstm.weight_ih_l{layer}{end}", [4 * h, h if layer == 0 else 2 * h]),
                       (f"lstm.lstm.weight_hh_l{layer}{end}", [4 * h, h]),
                       (f"lstm.lstm.bias_ih_l{layer}{end}", [4 * h]), (f"lstm.lstm.bias_hh_l{layer}{end}", [4 * h])]
    return filled(shapes + [("lstm.linear.weight", [h, 2 * h]), ("lstm.linear.bias", [h])])


def tasnet(n, b, h, x, r):
    shapes = [("encoder.conv1d_U.weight", [n, 2, 20]), ("separator.network.0.gamma", [1, n, 1]),
              ("separator.network.0.beta", [1, n, 1]), ("separator.network.1.weight", [b, n, 1])]
    for i in range(r):
        for k in range(x):
            at = f"separator.network.2.{i}.{k}.net"
            shapes += [(f"{at}.0.weight", [h, b, 1]), (f"{at}.1.weight", [1]), (f"{at}.2.gamma", [1, h, 1]),
                       (f"{at}.2.beta", [1, h, 1]), (f"{at}.3.net.0.weight", [h, 1, 3]),
                       (f"{at}.3.net.1.weight", [1]), (f"{at}.3.net.2.gamma", [1, h, 1]),
                       (f"{at}.3.net.2.beta", [1, h, 1]), (f"{at}.3.net.3.weight", [b, h, 1])]
    shapes += [("separator.network.3.weight", [4 * n, b, 1]), ("decoder.basis_signals.weight", [2 * 20, n])]
    return filled(shapes)


def package(klass, state, args=(), **kwargs):
    training = argparse.Namespace(half=False, diffq=0, restart=None, checkpoints=Path("checkpoints"), seed=42)
    return {"klass": klass, "args": args, "kwargs": kwargs, "state": state, "training_args": training}


def main():
    HERE.mkdir(exist_ok=True)
    model = stand_in("demucs.model", "Demucs")
    conv = stand_in("demucs.tasnet", "ConvTasNet")
    small = demucs(2, 3)
    torch.save(package(model, small, (SOURCES,), channels=2, depth=3, resample=True, samplerate=8000,
                       segment_length=16000), HERE / "v2.th")
    torch.save(package(model, {k: v.half() for k, v in small.items()}, (), sources=SOURCES, channels=2, depth=3,
                       resample=False, segment_length=16000), HERE / "v2_half.th")
    torch.save(small, HERE / "bare.th")
    torch.save(small, HERE / "bare_legacy.th", _use_new_zipfile_serialization=False)
    torch.save((model, (), {"sources": 4, "channels": 2, "depth": 3}, small), HERE / "v1.th")
    torch.save(package(model, demucs(2, 3, stems=2), (), sources=["speech", "noise"], channels=2, depth=3),
               HERE / "two_stems.th")
    broken = dict(small)
    broken["decoder.1.0.weight"] = broken["decoder.1.0.weight"][:, :, :2].clone()
    del broken["lstm.linear.bias"]
    broken["surplus"] = torch.zeros(3)
    torch.save(package(model, broken, (SOURCES,), channels=2, depth=3), HERE / "misfit.th")
    torch.save((model, (4,), {"channels": 2, "depth": 3, "upsample": True}, small), HERE / "upsample.th")
    torch.save(package(conv, tasnet(8, 6, 10, 2, 2), (SOURCES,), N=8, B=6, H=10, X=2, R=2, segment_length=8000),
               HERE / "tasnet.th")
    torch.save(package(conv, tasnet(8, 6, 10, 2, 2), (SOURCES,), N=8, B=6, H=10, X=2, R=2, norm_type="cLN"),
               HERE / "tasnet_cln.th")
    torch.save(package(model, {"compressed": zlib.compress(b"levels")}, (SOURCES,), channels=2), HERE / "diffq.th")
    torch.save({"compressed": zlib.compress(b"levels")}, HERE / "diffq_bare.th")
    torch.save(package(stand_in("demucs.hdemucs", "HDemucs"), {"encoder.0.conv.weight": torch.zeros(4, 4, 8, 1),
                                                               "tencoder.0.conv.weight": torch.zeros(4, 2, 8)},
                       (), sources=SOURCES), HERE / "hybrid.th")
    v3 = {k.replace(".2.", ".3.", 1) if k.startswith(("encoder", "decoder")) else k: v for k, v in small.items()}
    torch.save(package(stand_in("demucs.demucs", "Demucs"), v3, (), sources=SOURCES), HERE / "v3.th")


main()
