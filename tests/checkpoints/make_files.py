#!/usr/bin/env python3
"""Makes tests/checkpoints/files: small files of torch.save and of plain pickle, and what is in them (expected.json).

Run by hand with a PyTorch (2.15 wrote the committed ones):  python3 make_files.py
With an old PyTorch, python3 make_files.py --old adds files of its own (1.13.1 wrote the committed torch_1_13*.pth), which
the first form keeps.
Files differ from run to run in what PyTorch puts into them (serialization ids); contents do not.
"""
import argparse
import collections
import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent / "files"
EXPECTED = {}


def values(t):
    t = t.detach().contiguous()
    if t.dtype == torch.bool:
        t = t.to(torch.uint8)
    if str(t.dtype) in ("torch.uint16", "torch.uint32", "torch.uint64"):
        return [int(x) for x in t.view(-1).tolist()]
    return [float(x) for x in t.reshape(-1).to(torch.float64)]


def described(tensors):
    out = {}
    for name, t in tensors.items():
        out[name] = {
            "type": str(t.dtype).replace("torch.", ""),
            "shape": list(t.shape),
            "parameter": isinstance(t, torch.nn.Parameter),
        }
        if not t.dtype.is_complex:
            out[name]["values"] = values(t)
    return out


def expect(name, layout, tensors, **more):
    EXPECTED[name] = {"layout": layout, "tensors": described(tensors), **more}


def save(name, obj, tensors, legacy=False, **options):
    torch.save(obj, HERE / name, _use_new_zipfile_serialization=not legacy, **options)
    expect(name, "legacy" if legacy else "zip", tensors)


def refused(name, word):
    EXPECTED[name] = {"refused": word}


def prefixed(prefix, tensors):
    return {prefix + k: v for k, v in tensors.items()}


def located(tag, f):
    """torch.save as if the tensors lay on another device."""
    original = torch.serialization.location_tag
    torch.serialization.location_tag = lambda storage: tag
    try:
        f()
    finally:
        torch.serialization.location_tag = original


def rezipped(source, target, change=lambda name, data: data, compression=zipfile.ZIP_STORED, zip64=False,
             rename=lambda name: name):
    limit = zipfile.ZIP64_LIMIT
    if zip64:
        zipfile.ZIP64_LIMIT = 1
    try:
        with zipfile.ZipFile(HERE / source) as old, zipfile.ZipFile(HERE / target, "w", compression) as new:
            for item in old.infolist():
                if rename(item.filename) is None:
                    continue
                info = zipfile.ZipInfo(rename(item.filename))
                info.compress_type = compression
                with new.open(info, "w", force_zip64=zip64) as entry:
                    entry.write(change(item.filename, old.read(item)))
    finally:
        zipfile.ZIP64_LIMIT = limit


class Call:
    """Pickled as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def plain_files():
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    state = net.state_dict()
    first = {k: v.clone() for k, v in state.items()}  # training below changes the parameters in place
    save("state_dict.pth", state, first)
    save("state_dict_legacy.pth", state, dict(state), legacy=True)
    save("state_dict_protocol4.pth", state, dict(state), pickle_protocol=4)
    save("state_dict_protocol5_legacy.pth", state, dict(state), legacy=True, pickle_protocol=5)
    located("cuda:2", lambda: save("cuda.pth", state, dict(state)))
    located("cuda:0", lambda: save("cuda_legacy.pth", state, dict(state), legacy=True))
    EXPECTED["cuda.pth"]["location"] = "cuda:2"
    EXPECTED["cuda_legacy.pth"]["location"] = "cuda:0"

    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    state = net.state_dict()
    tensors = prefixed("state_dict.", state)
    for i, s in optimizer.state_dict()["state"].items():
        tensors.update(prefixed(f"optimizer.state.{i}.", s))
    checkpoint = {
        "epoch": 12,
        "state_dict": state,
        "best_loss": 0.25,
        "optimizer": optimizer.state_dict(),
        "history": [1.5, 0.5, None, True],
    }
    save("checkpoint.chkpnt", checkpoint, tensors)
    save("checkpoint_legacy.chkpnt", checkpoint, tensors, legacy=True)

    x = torch.tensor([[1.5, -2.0, 0.1], [65504.0, 6.1e-5, 0.0]])
    half = {"half": x.half(), "bfloat16": x.bfloat16()}
    save("half.pth", half, half)
    save("half_legacy.pth", half, half, legacy=True)
    types_ = {
        "f64": torch.tensor([0.1, -1e300], dtype=torch.float64),
        "i64": torch.tensor([-(2**40), 7]),
        "i32": torch.tensor([-5, 2**31 - 1], dtype=torch.int32),
        "i16": torch.tensor([-32768, 3], dtype=torch.int16),
        "i8": torch.tensor([-128, 127], dtype=torch.int8),
        "u8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "u16": torch.tensor([0, 65535], dtype=torch.uint16),
        "u32": torch.tensor([1, 2**32 - 1], dtype=torch.uint32),
        "u64": torch.tensor([1, 2**53], dtype=torch.uint64),
        "c64": torch.tensor([1 + 2j]),
    }
    save("types.pth", types_, types_)

    base = torch.arange(24, dtype=torch.float32)
    shared = {
        "whole": base,
        "middle": base[4:12].view(2, 4),
        "transposed": base.view(4, 6).t(),
        "strided": base[1::5],
        "block": base.view(2, 3, 4)[:, 1:, ::2],
        "expanded": base[3:4].expand(2, 3),
        "scalar": torch.tensor(2.5),
        "scalar_inside": base[7],
        "empty": torch.zeros(0, 3),
    }
    save("shared.pth", shared, shared)
    save("shared_legacy.pth", shared, shared, legacy=True)

    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    tied = torch.nn.Parameter(torch.tensor([3.0]), requires_grad=False)
    mixed = {
        "list": [torch.tensor([1]), {"deep": (torch.tensor([2.0]), tied)}],
        "ordered": collections.OrderedDict(a=parameter, b=tied),
        "default": collections.defaultdict(list, k=[1]),
        7: torch.tensor([7.0]),
        "set": {1, 2},
        "frozen": frozenset([3]),
        "bytes": b"\x00\xff",
        "array": bytearray(b"ab"),
        "text": "Grüße \U0001f3b5",
        "big": 2**80,
        "negative": -(2**70),
        "small": -129,
        "none": None,
        "flags": [True, False],
        "real": -0.125,
        "complex": 1 + 2j,
        "size": torch.Size([2, 3]),
        "dtype": torch.float16,
        "device": torch.device("cuda", 1),
    }
    tensors = {
        "list.0": torch.tensor([1]),
        "list.1.deep.0": torch.tensor([2.0]),
        "list.1.deep.1": tied,
        "ordered.a": parameter,
        "ordered.b": tied,
        "7": torch.tensor([7.0]),
    }
    save("mixed.pth", mixed, tensors)
    save("mixed_legacy.pth", mixed, tensors, legacy=True)
    save("tensor.pth", torch.tensor([[1.0, 2.0]]), {"tensor": torch.tensor([[1.0, 2.0]])})

    # A class that no reader knows, as a package of weights may hold it.
    vendor = types.ModuleType("vendor.models")
    vendor.Hyper = type("Hyper", (), {"__module__": "vendor.models"})
    sys.modules["vendor"], sys.modules["vendor.models"] = types.ModuleType("vendor"), vendor
    hyper = vendor.Hyper()
    hyper.depth, hyper.window = 4, torch.tensor([0.5, 1.0, 0.5])
    package = {"args": argparse.Namespace(lr=0.001), "hyper": hyper, "klass": vendor.Hyper, "state": {"w": parameter}}
    tensors = {"hyper.window": hyper.window, "state.w": parameter}
    save("unknown_class.th", package, tensors)
    EXPECTED["unknown_class.th"]["globals"] = ["argparse.Namespace", "vendor.models.Hyper"]
    module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1))
    own = {k: v for k, v in module.state_dict(keep_vars=True).items()}
    save("module.pt", module, own)
    save("module_legacy.pt", module, own, legacy=True)

    coo = {"sparse": torch.eye(2).to_sparse(), "dense": torch.eye(2)}
    save("sparse.pth", coo, {"dense": coo["dense"]})
    EXPECTED["sparse.pth"]["unreadable"] = ["sparse"]

    rezipped("shared.pth", "zip64.pth", zip64=True)
    expect("zip64.pth", "zip", shared)
    rezipped("state_dict.pth", "deflated.pth", compression=zipfile.ZIP_DEFLATED)
    EXPECTED["deflated.pth"] = {"error": "unsupported", "says": "deflate"}

    def of_2020(name):
        """PyTorch 1.6 wrote data.pkl, data/* and version, below "archive"."""
        rest = name.partition("/")[2]
        return "archive/" + rest if rest in ("data.pkl", "version") or rest.startswith("data/") else None

    rezipped("state_dict.pth", "zip_2020.pth", rename=of_2020)
    expect("zip_2020.pth", "zip", first)

    def big(name, data):
        if name.endswith("/byteorder"):
            return b"big"
        return data[::-1] if "/data/" in name else data

    one = {"x": torch.tensor([0.1], dtype=torch.float64)}
    torch.save(one, HERE / "big_endian.pth")
    rezipped("big_endian.pth", "big_endian_.pth", change=big)
    os.replace(HERE / "big_endian_.pth", HERE / "big_endian.pth")
    expect("big_endian.pth", "zip", one)


def pickles():
    shared = ["again"]
    # Without the types that newer protocols write as calls of compatibility functions: those are in the reader's tests.
    data = {
        "text": "Grüße\n\\ \U0001f3b5",
        "numbers": [0, 1, 255, 256, -1, 65536, 2**31, -(2**31), 2**62, 2**80, -(2**80), 0.1, -1e300],
        "flags": (True, False, None),
        "bytes": b"\x00\x7f\x80\xff",
        "set": {5},
        "frozen": frozenset([6]),
        "nested": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {}, [], {"a": {"b": [1]}}],
        "shared": [shared, shared],
        "ordered": collections.OrderedDict([("z", 1), ("a", 2)]),
    }
    for protocol in range(6):
        name = f"plain{protocol}.pkl"
        with open(HERE / name, "wb") as f:
            pickle.dump(data, f, protocol=protocol)
        expect(name, "pickle", {})


def malicious():
    save_options = {"refuse_system.pth": (Call(os.system, "true"), False, {}),
                    "refuse_eval_legacy.pth": (Call(eval, "1"), True, {}),
                    "refuse_subprocess.pth": (Call(subprocess.Popen, ["true"]), False, {"pickle_protocol": 4})}
    words = {"refuse_system.pth": os.name == "nt" and "nt.system" or "posix.system",
             "refuse_eval_legacy.pth": "__builtin__.eval", "refuse_subprocess.pth": "subprocess.Popen"}
    for name, (call, legacy, options) in save_options.items():
        torch.save({"weight": torch.ones(1), "x": call}, HERE / name, _use_new_zipfile_serialization=not legacy, **options)
        refused(name, words[name])


# ---- Open-Unmix ------------------------------------------------------------------------------------------------------


def open_unmix_state(bins, max_bin, hidden, channels, layers, one_way, generator, old=False):
    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    state = collections.OrderedDict()
    for key, size in (("input_mean", max_bin), ("input_scale", max_bin), ("output_scale", bins), ("output_mean", bins)):
        state[key] = draw(size)
    if old:
        state["sample_rate"] = torch.tensor(22050)
        state["stft.window"] = torch.hann_window(2 * (bins - 1))
        state["transform.0.window"] = torch.hann_window(2 * (bins - 1))

    def norm(key, size):
        state[key + ".weight"], state[key + ".bias"] = draw(size), draw(size)
        state[key + ".running_mean"], state[key + ".running_var"] = draw(size), draw(size).abs()
        state[key + ".num_batches_tracked"] = torch.tensor(17)

    state["fc1.weight"] = draw(hidden, channels * max_bin)
    norm("bn1", hidden)
    per_direction = hidden if one_way else hidden // 2
    for layer in range(layers):
        for suffix in [""] if one_way else ["", "_reverse"]:
            state[f"lstm.weight_ih_l{layer}{suffix}"] = draw(4 * per_direction, hidden)
            state[f"lstm.weight_hh_l{layer}{suffix}"] = draw(4 * per_direction, per_direction)
            state[f"lstm.bias_ih_l{layer}{suffix}"] = draw(4 * per_direction)
            state[f"lstm.bias_hh_l{layer}{suffix}"] = draw(4 * per_direction)
    state["fc2.weight"] = draw(hidden, 2 * hidden)
    norm("bn2", hidden)
    state["fc3.weight"] = draw(channels * bins, hidden)
    norm("bn3", channels * bins)
    return state


def content_hash(configuration, targets):
    """The definition in methods/openunmix/weights.h, written a second time."""
    h = hashlib.sha256(b"mssbench-openunmix-weights 1\n")
    h.update(json.dumps(configuration, separators=(",", ":")).encode() + b"\n")
    for target in sorted(targets):
        one = hashlib.sha256()
        for key in sorted(targets[target]):
            t = targets[target][key].float().contiguous()
            one.update(f"{key} F32 {list(t.shape)}\n".encode())
            one.update(t.numpy().astype("<f4").tobytes())
        h.update(f"{target} {one.hexdigest()}\n".encode())
    return h.hexdigest()


EXTRA = ("num_batches_tracked", "window", "sample_rate")


def kept(state):
    return {k: v for k, v in state.items() if not k.endswith(EXTRA)}


def configuration(architecture, rate, fft, hop, channels, max_bin, hidden, layers, one_way, targets):
    return {
        "architecture": architecture, "rate_hz": rate, "fft_size": fft, "hop_samples": hop, "channels": channels,
        "bins": fft // 2 + 1, "max_bin": max_bin, "hidden": hidden, "layers": layers, "unidirectional": one_way,
        "targets": targets,
    }


def save_hashed(folder, target, separator, state, legacy):
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=not legacy)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    (folder / f"{target}{separator}{digest[:8]}.pth").write_bytes(buffer.getvalue())


def open_unmix():
    # An official folder: two files as PyTorch wrote them in 2019, two as it writes them now.
    generator = torch.Generator().manual_seed(3)
    folder = HERE / "umxtiny"
    folder.mkdir()
    (folder / "separator.json").write_text(
        json.dumps({"sample_rate": 22050, "nfft": 16, "nhop": 4, "nb_channels": 2}) + "\n")
    names = ["vocals", "drums", "bass", "other"]
    targets = {}
    for i, name in enumerate(names):
        state = open_unmix_state(9, 7, 4, 2, 3, False, generator, old=i < 2)
        save_hashed(folder, name, "-", state, legacy=i < 2)
        targets[name] = kept(state)
    c = configuration("openunmix", 22050, 16, 4, 2, 7, 4, 3, False, names)
    EXPECTED["umxtiny"] = {"configuration": c, "content_sha256": content_hash(c, targets),
                           "sample": values(targets["bass"]["lstm.bias_hh_l2_reverse"])}

    # umxse's file names: speech_<hash>.
    folder = HERE / "umxsetiny"
    folder.mkdir()
    (folder / "separator.json").write_text(
        json.dumps({"sample_rate": 16000, "nfft": 8, "nhop": 4, "nb_channels": 1}) + "\n")
    targets = {}
    for name in ["speech", "noise"]:
        state = open_unmix_state(5, 5, 2, 1, 1, False, generator)
        save_hashed(folder, name, "_", state, legacy=True)
        targets[name] = kept(state)
    c = configuration("openunmix", 16000, 8, 4, 1, 5, 2, 1, False, ["speech", "noise"])
    EXPECTED["umxsetiny"] = {"configuration": c, "content_sha256": content_hash(c, targets)}

    # What the package's trainer leaves: the best epoch's .pth, the .chkpnt of the last one, and a record of it all.
    folder = HERE / "trained"
    folder.mkdir()
    best = open_unmix_state(5, 4, 2, 2, 2, True, generator)
    last = open_unmix_state(5, 4, 2, 2, 2, True, generator)
    torch.save(best, folder / "vocals.pth")
    torch.save({"epoch": 3, "state_dict": last, "best_loss": 0.5, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}},
                "scheduler": {"best": 0.5}}, folder / "vocals.chkpnt")
    (folder / "vocals.json").write_text(json.dumps(
        {"epochs_trained": 3, "args": {"nfft": 8, "nhop": 2, "hidden_size": 2, "nb_channels": 2, "unidirectional": True,
                                       "bandwidth": 16000}, "best_loss": 0.5, "best_epoch": 2}) + "\n")
    (folder / "separator.json").write_text(
        json.dumps({"sample_rate": 44100.0, "nfft": 8, "nhop": 2, "nb_channels": 2}) + "\n")
    c = configuration("openunmix", 44100, 8, 2, 2, 4, 2, 2, True, ["vocals"])
    EXPECTED["trained"] = {"configuration": c, "content_sha256": content_hash(c, {"vocals": kept(best)}),
                           "chkpnt_sha256": content_hash(c, {"vocals": kept(last)})}

    # X-UMX as asteroid saves it.
    sources = ["bass", "drums", "vocals", "other"]
    state, targets = collections.OrderedDict(), {}
    for source in sources:
        one = open_unmix_state(5, 3, 2, 1, 1, False, generator)
        targets[source] = kept(one)
        for key, value in one.items():
            part, _, rest = key.partition(".")
            place = {"fc1": "layer_enc.{}.enc.0.", "bn1": "layer_enc.{}.enc.1.", "lstm": "layer_lstm.{}.",
                     "fc2": "layer_dec.{}.dec.0.", "bn2": "layer_dec.{}.dec.1.", "fc3": "layer_dec.{}.dec.3.",
                     "bn3": "layer_dec.{}.dec.4."}.get(part)
            state[place.format(source) + rest if place else f"mean_scale.{key}_{source}"] = value.half() if place else value
    state["encoder.0.window"] = torch.hann_window(8)
    state["decoder.window"] = state["encoder.0.window"]
    torch.save({"model_name": "XUMX", "state_dict": state,
                "model_args": {"window_length": 8, "in_chan": 8, "n_hop": 4, "sample_rate": 16000, "sources": sources,
                               "hidden_size": 2, "nb_channels": 1, "input_mean": None, "max_bin": 3, "nb_layers": 1,
                               "bidirectional": True, "spec_power": 1}}, HERE / "xumx.pth")
    for source in sources:  # the file keeps the networks in half precision
        targets[source] = {k: v if k.startswith(("input", "output")) else v.half().float()
                           for k, v in targets[source].items()}
    c = configuration("xumx", 16000, 8, 4, 1, 3, 2, 1, False, sources)
    EXPECTED["xumx.pth"] = {"configuration": c, "content_sha256": content_hash(c, targets)}


def old_files():
    """The same kinds of tensors by the PyTorch that runs this."""
    name = "torch_" + "_".join(torch.__version__.split(".")[:2])
    torch.manual_seed(2)
    base = torch.arange(12, dtype=torch.float32)
    content = collections.OrderedDict(torch.nn.LSTM(2, 1, bidirectional=True).state_dict())
    content.update(half=torch.tensor([1.5, -65504.0]).half(), bfloat16=torch.tensor([0.1]).bfloat16(), base=base,
                   transposed=base.view(3, 4).t(), count=torch.tensor(5), parameter=torch.nn.Parameter(torch.ones(2)))
    nested = {"epoch": 1, "state_dict": content}
    save(name + ".pth", nested, prefixed("state_dict.", content))
    located("cuda:1", lambda: save(name + "_legacy.pth", nested, prefixed("state_dict.", content), legacy=True))


def main():
    HERE.mkdir(exist_ok=True)
    if "--old" in sys.argv[1:]:
        EXPECTED.update(json.loads((HERE / "expected.json").read_text()))
        old_files()
    else:
        for old in sorted(HERE.rglob("*"), reverse=True):
            if old.is_dir():
                old.rmdir()
            elif not old.name.startswith("torch_") and old.name != "expected.json":
                old.unlink()
        if (HERE / "expected.json").exists():
            before = json.loads((HERE / "expected.json").read_text())
            EXPECTED.update({k: v for k, v in before.items() if k.startswith("torch_")})
        plain_files()
        pickles()
        malicious()
        open_unmix()
    (HERE / "expected.json").write_text(json.dumps(EXPECTED, indent=1) + "\n")


if __name__ == "__main__":
    main()
