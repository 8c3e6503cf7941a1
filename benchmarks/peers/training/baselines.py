"""The baselines of mssbench in plain PyTorch, as one would write them: for compare.py. Attributes have the names of our
tensors. Open-Unmix and Demucs come from their authors' packages, Band-split RNN from ../bsrnn/networks.py."""

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
