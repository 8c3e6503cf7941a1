"""Band-split RNN in plain PyTorch, as one would write it from the paper: what compare.py measures against, and what the
files of tests/bsrnn were made with (make_files.py).

Two classes, because the readings in circulation differ in more than options. Attributes have the names of the programs
whose checkpoints mssbench reads, so that state_dict() gives their keys:
  Authors    the authors' reading with magronp/bsrnn's names and options: one or two hidden layers, TAC, attention,
             several targets, both channels in a band. With one hidden layer it is the paper's text.
  Amanteur   amanteur/BandSplitRNN-PyTorch's reading and names.

Spectra are complex, (batch, channels, bins, frames).
"""

import math

import torch
from torch import nn

STEPS = {
    "V7": [(1000, 100), (4000, 250), (8000, 500), (16000, 1000), (20000, 2000)],
    "bass": [(500, 50), (1000, 100), (4000, 500), (8000, 1000), (16000, 2000)],
    "drums": [(1000, 50), (2000, 100), (4000, 250), (8000, 500), (16000, 1000)],
    "joint": [(1000, 50), (2000, 100), (4000, 250), (8000, 500), (16000, 1000), (20000, 2000)],
}


def band_widths(scheme, rule, rate=44100, fft=2048):
    bins, widths, start = fft // 2 + 1, [], 0
    for until, step in STEPS[scheme]:
        for edge in range(start + step, until + 1, step):
            if rule == "floor":
                widths.append(math.floor(step / (rate / 2) * bins))
            else:
                widths.append(sum(1 for i in range(bins) if i * rate / fft < edge) - sum(widths))
        start = until
    return widths + [bins - sum(widths)]


class Recurrent(nn.Module):
    """x + linear(BLSTM(norm(x))) over sequences (rows, length, features)."""

    def __init__(self, features, hidden, groups, eps, names):
        super().__init__()
        self.names = names
        self.add_module(names[0], nn.GroupNorm(groups, features, eps))
        self.add_module(names[1], nn.LSTM(features, hidden, batch_first=True, bidirectional=True))
        self.add_module(names[2], nn.Linear(2 * hidden, features))

    def forward(self, x):
        norm, lstm, linear = (getattr(self, name) for name in self.names)
        y = norm(x.transpose(1, 2)).transpose(1, 2)
        return x + linear(lstm(y)[0])


def over_time_and_bands(x, time, band):
    """x: (batch, bands, frames, features)."""
    batch, bands, frames, features = x.shape
    x = time(x.reshape(batch * bands, frames, features)).reshape(batch, bands, frames, features)
    x = x.transpose(1, 2).reshape(batch * frames, bands, features)
    return band(x).reshape(batch, frames, bands, features).transpose(1, 2)


class Tac(nn.Module):
    def __init__(self, features, hidden, prelu):
        super().__init__()
        act = nn.PReLU() if prelu else nn.Tanh()
        self.transform = nn.Sequential(nn.Linear(features, hidden), act)
        self.average = nn.Sequential(nn.Linear(hidden, hidden), act)
        self.concat = nn.Sequential(nn.Linear(2 * hidden, features), act)

    def forward(self, x):
        """(chunks, channels, bands, frames, features)"""
        v = self.transform(x)
        r = self.average(v.mean(1, keepdim=True)).expand_as(v)
        return x + self.concat(torch.cat([v, r], -1))


class FrameNorm(nn.Module):
    """Over channels and bands of each frame of (batch, channels, frames, bands)."""

    def __init__(self, channels, bands, eps):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, bands))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, bands))
        self.eps = eps

    def forward(self, x):
        mean = x.mean((1, 3), keepdim=True)
        deviation = (x.var((1, 3), unbiased=False, keepdim=True) + self.eps).sqrt()
        return (x - mean) / deviation * self.gamma + self.beta


class FrameAttention(nn.Module):
    def __init__(self, features, bands, heads, width, eps=1e-7):
        super().__init__()
        self.heads = heads

        def part(channels):
            return nn.Sequential(nn.Conv2d(features, channels, 1), nn.PReLU(), FrameNorm(channels, bands, eps))

        for h in range(heads):
            self.add_module(f"attn_conv_Q_{h}", part(width))
            self.add_module(f"attn_conv_K_{h}", part(width))
            self.add_module(f"attn_conv_V_{h}", part(features // heads))
        self.attn_concat_proj = part(features)

    def forward(self, x):
        """(batch, features, frames, bands)"""
        found = []
        for h in range(self.heads):
            q, k, v = (getattr(self, f"attn_conv_{letter}_{h}")(x) for letter in "QKV")
            lines = [y.transpose(1, 2).flatten(2) for y in (q, k, v)]
            weights = torch.softmax(lines[0] @ lines[1].transpose(1, 2) / math.sqrt(lines[0].shape[2]), 2)
            found.append((weights @ lines[2]).reshape(v.transpose(1, 2).shape).transpose(1, 2))
        return x + self.attn_concat_proj(torch.cat(found, 1))


class Pair(nn.Module):
    def __init__(self, features, hidden, groups, eps, bands, tac, prelu, heads, width):
        super().__init__()
        names = ("norm", "main_layer", "proj")
        self.time_net = Recurrent(features, hidden, groups, eps, names)
        self.band_net = Recurrent(features, hidden, groups, eps, names)
        if heads:
            self.attn_block = FrameAttention(features, bands, heads, width)
        if tac:
            self.tac_module = Tac(features, tac, prelu)

    def forward(self, x, channels):
        x = over_time_and_bands(x, self.time_net, self.band_net)
        if hasattr(self, "tac_module"):
            x = self.tac_module(x.reshape(-1, channels, *x.shape[1:])).reshape(x.shape)
        if hasattr(self, "attn_block"):
            x = self.attn_block(x.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
        return x


class Masks(nn.Module):
    def __init__(self, widths, features, hidden, layers, channels, eps):
        super().__init__()
        self.channels = channels
        self.mask = nn.ModuleList()
        for width in widths:
            stages = [nn.GroupNorm(1, features, eps)]
            inputs = features
            for _ in range(layers):
                stages += [nn.Conv1d(inputs, hidden, 1), nn.Tanh()]
                inputs = hidden
            self.mask.append(nn.Sequential(*stages, nn.Conv1d(inputs, 4 * width * channels, 1)))

    def forward(self, x):
        """(batch, bands, frames, features) -> complex (batch * channels, bins, frames)"""
        out = []
        for k, mask in enumerate(self.mask):
            y = mask(x[:, k].transpose(1, 2))
            y = y.reshape(y.shape[0] * self.channels, 2, 2, -1, y.shape[2])
            y = y[:, 0] * torch.sigmoid(y[:, 1])
            out.append(torch.complex(y[:, 0], y[:, 1]))
        return torch.cat(out, 1)


class Authors(nn.Module):
    def __init__(self, widths, features=128, pairs=12, mask_layers=2, eps=1e-7, groups=1, targets=1,
                 subtract_last=False, tac=0, prelu=False, heads=0, width=16, naive=False, fft=2048, hop=512):
        super().__init__()
        self.widths, self.fft, self.hop, self.naive, self.subtract_last = widths, fft, hop, naive, subtract_last
        channels = 2 if naive else 1
        self.BN = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(1, 2 * w * channels, eps), nn.Conv1d(2 * w * channels, features, 1)) for w in widths)
        self.separator = nn.Sequential(
            *(Pair(features, 2 * features, groups, eps, len(widths), tac, prelu, heads, width) for _ in range(pairs)))
        self.maskers = nn.ModuleList(
            Masks(widths, features, 4 * features, mask_layers, channels, eps) for _ in range(targets - subtract_last))

    def forward(self, spectrum):
        """-> (batch, targets, channels, bins, frames)"""
        batch, channels, bins, frames = spectrum.shape
        parts = torch.stack([spectrum.real, spectrum.imag], 2).split(self.widths, 3)
        rows = batch if self.naive else batch * channels
        x = torch.stack([net(part.reshape(rows, -1, frames)).transpose(1, 2) for net, part in zip(self.BN, parts)], 1)
        for pair in self.separator:
            x = pair(x, channels)
        found = [masks(x).reshape(batch, channels, bins, frames) * spectrum for masks in self.maskers]
        if self.subtract_last:
            found.append(spectrum - sum(found))
        return torch.stack(found, 1)


class Gate(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = nn.Linear(size, 2 * size)

    def forward(self, x):
        value, gate = self.linear(x).chunk(2, -1)
        return value * torch.sigmoid(gate)


class Mlp(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, outputs), Gate(outputs))

    def forward(self, x):
        return self.mlp(x)


class Named(nn.Module):
    """Holds modules under given names."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class Amanteur(nn.Module):
    def __init__(self, widths, frames=263, features=128, pairs=12, fft=2048, hop=512):
        super().__init__()
        self.widths, self.fft, self.hop = widths, fft, hop
        self.bandsplit = Named(layernorms=nn.ModuleList(nn.LayerNorm([4 * w, frames]) for w in widths),
                               fcs=nn.ModuleList(nn.Linear(4 * w, features) for w in widths))
        names = ("groupnorm", "rnn", "fc")
        self.bandsequence = Named(bsrnn=nn.ModuleList(
            nn.Sequential(*(Recurrent(features, 2 * features, features, 1e-5, names) for _ in range(2)))
            for _ in range(pairs)))
        self.maskest = Named(layernorms=nn.ModuleList(nn.LayerNorm([frames, features]) for _ in widths),
                             mlp=nn.ModuleList(Mlp(features, 4 * features, 4 * w) for w in widths))

    def forward(self, spectrum):
        batch, channels, _, frames = spectrum.shape
        mean, deviation = spectrum.mean((1, 2, 3), keepdim=True), spectrum.std((1, 2, 3), keepdim=True)
        given = (spectrum - mean) / (deviation + 1e-5)
        parts = torch.stack([given.real, given.imag], 2).split(self.widths, 3)
        x = torch.stack([fc(norm(part.reshape(batch, -1, frames)).transpose(1, 2)) for norm, fc, part in
                         zip(self.bandsplit.layernorms, self.bandsplit.fcs, parts)], 1)
        for time, band in self.bandsequence.bsrnn:
            x = over_time_and_bands(x, time, band)
        found = []
        for k, (norm, mlp) in enumerate(zip(self.maskest.layernorms, self.maskest.mlp)):
            y = mlp(norm(x[:, k])).transpose(1, 2).reshape(batch, channels, 2, -1, frames)
            found.append(torch.complex(y[:, :, 0], y[:, :, 1]))
        return (torch.cat(found, 2) * given * deviation + mean).unsqueeze(1)


def separate(net, audio, chunk, hop):
    """(channels, samples) -> (targets, channels, samples): chunks filled with zeros, the mean where they overlap."""
    total, window = audio.shape[1], torch.hann_window(net.fft)
    out = count = None
    begin = 0
    while True:
        piece = audio[:, begin:begin + chunk]
        size = piece.shape[1]
        piece = nn.functional.pad(piece, (0, chunk - size))
        spectrum = torch.stft(piece, net.fft, net.hop, window=window, return_complex=True)
        found = net(spectrum.unsqueeze(0))[0]
        if out is None:
            out, count = torch.zeros(found.shape[0], *audio.shape), torch.zeros(total)
        wave = torch.istft(found.flatten(0, 1), net.fft, net.hop, window=window, length=chunk)
        out[:, :, begin:begin + size] += wave.reshape(found.shape[0], -1, chunk)[:, :, :size]
        count[begin:begin + size] += 1
        begin += hop
        if begin - hop + size >= total:
            return out / count
