"""The peer's side of compare.py: the same network, weights and batch in PyTorch eager.

worker.py CASE FOLDER THREADS DEVICE PRECISION ABOUT    ABOUT: what training_steps printed; answers lines as it does
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
    # openunmix imports it to read files and to resample, neither of which is done here.
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")

import numpy
import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "bsrnn"))


def read_safetensors(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    out = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        values = numpy.frombuffer(data[8 + size + begin:8 + size + end],
                                  dtype={"F32": numpy.float32, "I64": numpy.int64}[entry["dtype"]])
        out[name] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return out


class Spectra:
    def __init__(self, fft, hop, center, device):
        self.fft, self.hop, self.center = fft, hop, center
        self.window = torch.hann_window(fft, device=device)

    def __call__(self, x):
        y = torch.stft(x.reshape(-1, x.shape[-1]), self.fft, self.hop, window=self.window, center=self.center,
                       return_complex=True)
        return y.reshape(*x.shape[:-1], *y.shape[-2:])

    def inverse(self, x, length):
        y = torch.istft(x.reshape(-1, *x.shape[-2:]), self.fft, self.hop, window=self.window, length=length)
        return y.reshape(*x.shape[:-2], -1)


def load(net, weights):
    """Every tensor of the network gets its values, and every value is used."""
    net.load_state_dict(weights, strict=True)


def build(case, about, weights, device):
    """The network and its loss of (mixture, targets)."""
    configuration = about["configuration"]
    if case == "umx":
        from openunmix import model

        net = model.OpenUnmix(nb_bins=configuration["bins"], nb_channels=2, hidden_size=configuration["hidden"],
                              max_bin=configuration["max_bin"])
        spectra = Spectra(configuration["fft_size"], configuration["hop_samples"], False, device)
        prefix = "target_models.vocals."
        load(net, {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)})
        net.lstm.dropout = 0.0
        return net, lambda x, y, auto: nn.functional.mse_loss(auto(net, spectra(x).abs()), spectra(y[:, 0]).abs())
    if case == "xumx":
        import baselines

        net = baselines.XUmx(configuration["targets"], configuration["bins"], configuration["hidden"],
                             configuration["max_bin"])
        load(net, {name: value for name, value in weights.items() if not name.endswith(".window")})
        fft, hop = configuration["fft_size"], configuration["hop_samples"]
        spectra = Spectra(fft, hop, True, device)

        def xumx_loss(x, y, auto):
            mixture = spectra(x)
            found = auto(net, mixture.abs())
            length = hop * (mixture.shape[-1] - 1)
            waves = spectra.inverse(found * (mixture / mixture.abs().clamp(min=1e-30)).unsqueeze(1), length)
            return baselines.multi_domain_loss(waves, y[..., :length], x[..., :length], found, spectra(y).abs())

        return net, xumx_loss
    if case == "conv-tasnet":
        from demucs.tasnet import ConvTasNet

        net = ConvTasNet(configuration["targets"], N=configuration["filters"], L=configuration["filter_length"],
                         B=configuration["bottleneck"], H=configuration["hidden"], P=configuration["taps"],
                         X=configuration["blocks"], R=configuration["repeats"])
        load(net, weights)
        return net, lambda x, y, auto: nn.functional.l1_loss(auto(net, x), y)
    if case.startswith("demucs"):
        from demucs.model import Demucs

        light = case == "demucs-light"
        net = Demucs(configuration["targets"], channels=configuration["width"], depth=configuration["depth"],
                     lstm_layers=configuration["lstm_layers"] if not light else 0,
                     resample=configuration["resample"], rescale=0, normalize=False)
        if light:
            net.lstm = OneWay(configuration["width"] * 4)
        load(net, weights)
        loss = nn.functional.mse_loss if about["loss"] == "mse_time" else nn.functional.l1_loss

        def demucs_loss(x, y, auto):
            found = auto(net, x)
            begin = (y.shape[-1] - found.shape[-1]) // 2
            return loss(found, y[..., begin:begin + found.shape[-1]])

        return net, demucs_loss
    if case == "bsrnn":
        from networks import Authors, band_widths

        one = configuration["networks"]["vocals"]
        net = Authors(band_widths("V7", "edge"), mask_layers=1, eps=one["eps"], features=one["features"],
                      pairs=one["pairs"])
        load(net, weights)
        spectra = Spectra(2048, 512, True, device)

        def bsrnn_loss(x, y, auto):
            length = x.shape[-1]
            found, wanted = auto(net, spectra(x)), spectra(y)
            error = found - wanted
            time_error = spectra.inverse(found, length) - spectra.inverse(wanted, length)
            return error.real.abs().mean() + error.imag.abs().mean() + time_error.abs().mean()

        return net, bsrnn_loss
    import baselines

    if case == "conv1d":
        net = baselines.Conv1d()
        load(net, weights)
        return net, lambda x, y, auto: nn.functional.l1_loss(auto(net, x), y[:, 0])
    net = baselines.Dprnn()
    load(net, weights)
    spectra = Spectra(4096, 1024, True, device)

    def dprnn_loss(x, y, auto):
        magnitudes = spectra(x).abs()
        return nn.functional.mse_loss(auto(net, magnitudes) * magnitudes, spectra(y[:, 0]).abs())

    return net, dprnn_loss


class OneWay(nn.Module):
    """The light model's LSTM."""

    def __init__(self, size):
        super().__init__()
        self.lstm = nn.LSTM(size, size, num_layers=1)

    def forward(self, x):
        return self.lstm(x.permute(2, 0, 1))[0].permute(1, 2, 0)


def main():
    case, folder, threads, device, precision = sys.argv[1:6]
    about, folder = json.loads(sys.argv[6]), pathlib.Path(folder)
    torch.set_num_threads(int(threads))
    torch.manual_seed(1)
    weights = read_safetensors(folder / f"{case}.safetensors")
    net, loss_of = build(case, about, weights, device)
    net.to(device).train()
    parameters = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=about["rate"], weight_decay=about["weight_decay"])
    values = numpy.fromfile(folder / f"{case}.f32", dtype=numpy.float32)
    stems = torch.from_numpy(values.reshape(about["items"], about["stems"], 2, about["samples"]))
    mixture, targets = stems.sum(1), stems[:, :about["targets"]]

    def auto(module, x):
        if precision != "bf16":
            return module(x)
        with torch.autocast(device.split(":")[0], dtype=torch.bfloat16):
            y = module(x)
        return y.float() if not y.is_complex() else y

    cuda = device != "cpu"
    print(json.dumps({"torch": torch.__version__, "parameters": sum(p.numel() for p in parameters)}), flush=True)
    for line in sys.stdin:
        if not line.strip():
            break
        if cuda:
            torch.cuda.synchronize()
        begin, begin_cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            # As a trainer does: the batch comes from the host.
            loss = loss_of(mixture.to(device), targets.to(device), auto)
            optimiser.zero_grad()
            loss.backward()
            if about["clip"] > 0:
                nn.utils.clip_grad_norm_(parameters, about["clip"])
            optimiser.step()
            value = loss.item()
        if cuda:
            torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - begin_cpu,
                          "loss": value, "peak_mb": peak}), flush=True)


main()
