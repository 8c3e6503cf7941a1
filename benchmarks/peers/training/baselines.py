"""X-UMX and the baselines of mssbench in plain PyTorch, as one would write them: for compare.py. Attributes have the names
of our tensors (X-UMX: asteroid's). Open-Unmix, Demucs and Conv-TasNet come from their authors' packages, Band-split RNN from
../bsrnn/networks.py."""

import itertools

import torch
from torch import nn


class Conv1d(nn.Module):
    """Waveforms (B, 2, T) to the target's."""

    def __init__(self):
        super().__init__()
        channels = [2, 32, 64, 32, 2]
        for i, (a, b) in enumerate(zip(channels, channels[1:])):
            self.add_module(str(i), nn.Conv1d(a, b, 15, padding=7))

    def forward(self, x):
        for i in range(3):
            x = torch.relu(getattr(self, str(i))(x))
        return getattr(self, "3")(x)


class Step(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * hidden, features)
        self.norm = nn.LayerNorm(features)

    def forward(self, x):
        return x + self.norm(self.fc(self.lstm(x)[0]))


class Block(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.intra = Step(features, hidden)
        self.inter = Step(features, hidden)


class Dprnn(nn.Module):
    """Magnitudes (B, 2, F, N) to masks of that shape."""

    bins, segment, step = 2049, 32, 16

    def __init__(self, features=128, hidden=128, blocks=4):
        super().__init__()
        self.register_buffer("input_mean", torch.zeros(2 * self.bins))
        self.register_buffer("input_scale", torch.ones(2 * self.bins))
        self.encoder = nn.Linear(2 * self.bins, features)
        self.blocks = nn.ModuleList(Block(features, hidden) for _ in range(blocks))
        self.pointwise = nn.Linear(features, 2 * self.bins)
        self.head = nn.Conv1d(6, 2, 3, padding=1)

    def forward(self, magnitudes):
        batch, channels, bins, frames = magnitudes.shape
        x = magnitudes.permute(0, 3, 2, 1).reshape(batch, frames, -1)
        h = self.encoder((torch.log1p(x) + self.input_mean) * self.input_scale)
        count = 1 if frames <= self.segment else -(-(frames - self.segment) // self.step) + 1
        length = (count - 1) * self.step + self.segment
        h = nn.functional.pad(h, (0, 0, 0, length - frames)).unfold(1, self.segment, self.step).transpose(2, 3)
        for block in self.blocks:
            h = block.intra(h.reshape(batch * count, self.segment, -1)).reshape(batch, count, self.segment, -1)
            h = block.inter(h.transpose(1, 2).reshape(batch * self.segment, count, -1))
            h = h.reshape(batch, self.segment, count, -1).transpose(1, 2)
        total = h.new_zeros(batch, length, h.shape[3])
        for i in range(count):
            total[:, i * self.step:i * self.step + self.segment] += h[:, i]
        image = nn.functional.pad(self.pointwise(total[:, :frames]), (0, 0, 1, 1))
        near = torch.cat([image[:, d:d + frames].reshape(batch * frames, bins, 2) for d in range(3)], 2)
        mask = torch.sigmoid(self.head(near.transpose(1, 2)))
        return mask.reshape(batch, frames, channels, bins).permute(0, 2, 3, 1)


class XUmx(nn.Module):
    """Magnitudes (B, 2, F, N) to those of all targets, (B, S, 2, F, N): Sawata et al. 2021."""

    def __init__(self, targets, bins, hidden, max_bin):
        super().__init__()
        self.targets, self.bins, self.hidden, self.max_bin = targets, bins, hidden, max_bin

        def part(make):
            return nn.ModuleDict({target: make() for target in targets})

        self.layer_enc = part(lambda: Named(enc=nn.Sequential(nn.Linear(2 * max_bin, hidden, bias=False),
                                                              nn.BatchNorm1d(hidden))))
        self.layer_lstm = part(lambda: nn.LSTM(hidden, hidden // 2, num_layers=3, bidirectional=True))
        self.layer_dec = part(lambda: Named(dec=nn.Sequential(
            nn.Linear(2 * hidden, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, 2 * bins, bias=False), nn.BatchNorm1d(2 * bins))))
        self.mean_scale = nn.ParameterDict()
        for target in targets:
            self.mean_scale[f"input_mean_{target}"] = nn.Parameter(torch.zeros(max_bin))
            self.mean_scale[f"input_scale_{target}"] = nn.Parameter(torch.ones(max_bin))
            self.mean_scale[f"output_mean_{target}"] = nn.Parameter(torch.ones(bins))
            self.mean_scale[f"output_scale_{target}"] = nn.Parameter(torch.ones(bins))

    def forward(self, magnitudes):
        x = magnitudes.permute(3, 0, 1, 2)  # frames first
        frames, batch = x.shape[:2]
        encoded = []
        for target in self.targets:
            y = (x[..., :self.max_bin] + self.mean_scale[f"input_mean_{target}"]) * self.mean_scale[f"input_scale_{target}"]
            y = self.layer_enc[target].enc(y.reshape(frames * batch, -1))
            encoded.append(torch.tanh(y.reshape(frames, batch, self.hidden)))
        e = sum(encoded) / len(encoded)
        o = sum(self.layer_lstm[target](e)[0] for target in self.targets) / len(self.targets)
        seen = torch.cat([e, o], -1).reshape(frames * batch, -1)
        found = []
        for target in self.targets:
            y = self.layer_dec[target].dec(seen).reshape(frames, batch, 2, self.bins)
            y = y * self.mean_scale[f"output_scale_{target}"] + self.mean_scale[f"output_mean_{target}"]
            found.append((torch.relu(y) * x).permute(1, 2, 3, 0))
        return torch.stack(found, 1)


class Named(nn.Module):
    """Holds modules under given names."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


def multi_domain_loss(waves, wanted, mixture, magnitudes, wanted_magnitudes, time_weight=10.0, eps=1e-8):
    """10 wSDR + MSE of magnitudes, each the mean over the sums of one, two and three of four targets. waves, wanted:
    (B, S, 2, T); mixture: (B, 2, T)."""

    def cosine(a, b):
        return (a * b).sum(-1) / (torch.sqrt(eps + a.square().sum(-1)) * torch.sqrt(eps + b.square().sum(-1)) + eps)

    time, spectral, count = 0, 0, 0
    for size in range(1, waves.shape[1]):
        for subset in itertools.combinations(range(waves.shape[1]), size):
            estimate, target = (sum(x[:, s] for s in subset) for x in (waves, wanted))
            rest = mixture - target
            energy, rest_energy = target.square().sum(-1), rest.square().sum(-1)
            weight = energy / (energy + rest_energy + eps)
            time -= (weight * cosine(estimate, target) + (1 - weight) * cosine(mixture - estimate, rest)).mean()
            estimate, target = (sum(x[:, s] for s in subset) for x in (magnitudes, wanted_magnitudes))
            spectral += nn.functional.mse_loss(estimate, target)
            count += 1
    return time_weight * (1 + time / count) + spectral / count
