"""SampleRNN in plain PyTorch, written here to compare with, since its authors' code (Python 2, Theano) does not run.

It is built of the parts that PyTorch ports of it take: a 1x1 convolution over frames of numbers, torch's GRU and a
transposed convolution in each tier; over samples an embedding, a convolution over the newest of its vectors and 1x1
convolutions, the first of which follows a ReLU, so that there is one hidden layer less than in the authors' code and
in ours. Weights are normalised as ours are; training carries the state of the GRUs from window to window.
Source: Mehri et al. 2017, arXiv:1612.07837.
Axes: B batch, T time in tokens, N frames, S tokens of a frame, C channels, P tokens before the window that are heard.
"""

import math
import time
from typing import NoReturn

import numpy as np
import torch
from ours import held_out, task_data, train_settings
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm
from trainees import AfterStep, Task

from seqgen_core import models
from seqgen_core.errors import SeqgenError
from seqgen_core.settings.model import SamplernnSettings
from seqgen_core.training.feeding import training_windows

VALUES = 256
SILENCE = 128


class PlainTraining:
    """Plain SampleRNN and Adam on the windows that ours has. Raises SeqgenError where it has no such model."""

    def __init__(self, task: Task) -> None:
        assert isinstance(task.settings, SamplernnSettings)
        if task.precision != "fp32":
            raise SeqgenError(f"it is not written for {task.precision}")
        self._task = task
        self._model = PlainSampleRNN(task.settings)
        self._clip_norm = train_settings(task).clip_norm or math.inf
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=task.learning_rate)
        with torch.device("meta"):
            shape = models.build(task.settings, task.tokens)
        data = task_data(task)
        self._windows = training_windows(shape, data, train_settings(task))
        self._held_out = [] if task.data is None else held_out(data, task)

    def train(self, after_step: AfterStep) -> NoReturn:
        """One step after another; reading windows counts as a step's time."""
        model, step = self._model, 0
        past, state = model.silence(self._task.batch)
        while True:
            started = time.perf_counter()
            batch = self._windows.batch(step)
            assert batch.fresh is not None
            begins, begun = model.silence(self._task.batch)
            fresh = torch.from_numpy(batch.fresh)
            past = torch.where(fresh[:, None], begins, past)
            state = [torch.where(fresh[:, None], new, old) for new, old in zip(begun, state, strict=True)]
            codes = torch.cat([past, torch.from_numpy(batch.inputs)], dim=1)  # (B, P + T)
            model.train()
            logits, state = model(codes, state)
            nats = F.cross_entropy(logits, torch.from_numpy(batch.targets), reduction="none")
            mask = torch.from_numpy(batch.mask)
            self._optimizer.zero_grad(set_to_none=True)
            ((nats * mask).sum() / mask.sum().clamp(min=1)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), self._clip_norm)
            self._optimizer.step()
            past, state, step = codes[:, -past.shape[1] :], [part.detach() for part in state], step + 1
            after_step(time.perf_counter() - started, batch.scored)

    @torch.no_grad()
    def score(self) -> float:
        """Mean bits of the held-out tokens."""
        model, bits, tokens = self._model.eval(), 0.0, 0
        size = model.sizes[0]
        chunk = max(size, 16384 // size * size)
        for stream in self._held_out:
            codes = torch.from_numpy(np.array(stream.tokens, np.int64))
            past, state = model.silence(1)
            for start in range(0, len(codes) - 1, chunk):
                targets = codes[start + 1 : start + 1 + chunk]
                steps = math.ceil(len(targets) / size) * size
                heard = F.pad(codes[start : start + len(targets)], (0, steps - len(targets)))[None]
                heard = torch.cat([past, heard], dim=1)
                logits, state = model(heard, state)
                nats = F.cross_entropy(logits[0, :, : len(targets)].T, targets, reduction="none")
                nats = nats[max(0, stream.given - 1 - start) :]
                bits, tokens = bits + float(nats.double().sum()) / math.log(2), tokens + len(nats)
                past = heard[:, -past.shape[1] :]
        return bits / tokens


class PlainSampleRNN(nn.Module):
    """forward: codes int64 (B, P + T), state -> logits (B, V, T), next state.

    T is a multiple of the slowest tier's frame; logits[:, :, t] predict the code after codes[:, P + t].
    state: of each layer of each tier, slowest first, (B, C).
    """

    def __init__(self, settings: SamplernnSettings) -> None:
        super().__init__()
        if settings.cell != "gru" or settings.skip or not settings.embedding:
            raise SeqgenError("it has gated recurrent units and an embedding, and no skip connections")
        channels, sizes = settings.channels, settings.frame_sizes
        self.sizes, self.layers, self.channels = sizes, settings.layers, channels

        def normalised(layer: nn.Module) -> nn.Module:
            return weight_norm(layer) if settings.weight_norm else layer

        self.expand = nn.ModuleList(normalised(nn.Conv1d(size, channels, 1)) for size in sizes)
        self.recurrent = nn.ModuleList(nn.GRU(channels, channels, self.layers, batch_first=True) for _ in sizes)
        finer = [*sizes[1:], 1]
        self.upsample = nn.ModuleList(
            normalised(nn.ConvTranspose1d(channels, channels, size // faster, stride=size // faster))
            for size, faster in zip(sizes, finer, strict=True)
        )
        self.embed = nn.Embedding(VALUES, settings.embedding)
        self.newest = normalised(nn.Conv1d(settings.embedding, channels, sizes[-1], bias=False))
        self.hidden = normalised(nn.Conv1d(channels, channels, 1))
        self.output = normalised(nn.Conv1d(channels, VALUES, 1))

    def silence(self, batch: int) -> tuple[Tensor, list[Tensor]]:
        """What is heard and remembered before a recording begins: codes (B, P), state."""
        state = [torch.zeros(batch, self.channels) for _ in range(self.layers * len(self.sizes))]
        return torch.full((batch, self.sizes[0] - 1), SILENCE), state

    def forward(self, codes: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        slowest, told, kept = self.sizes[0], None, []
        for tier, size in enumerate(self.sizes):
            numbers = codes[:, slowest - size : codes.shape[1] - size + 1] * (4 / VALUES) - 2  # in [-2, 2)
            x = self.expand[tier](numbers.view(len(codes), -1, size).transpose(1, 2))  # (B, C, N)
            x = x if told is None else x + told
            past = torch.stack(state[tier * self.layers : (tier + 1) * self.layers])
            y, after = self.recurrent[tier](x.transpose(1, 2), past)
            told = self.upsample[tier](y.transpose(1, 2))  # (B, C, N of the faster tier)
            kept += list(after)
        assert told is not None
        x = self.newest(self.embed(codes[:, slowest - self.sizes[-1] :]).transpose(1, 2))  # (B, C, T)
        x = torch.relu(x + told)
        return self.output(torch.relu(self.hidden(x))), kept


def multiply_adds(settings: SamplernnSettings) -> float:
    """Multiplications with a weight per token that are needed; those with vectors of symbols can be looked up."""
    channels, total = settings.channels, 0.0
    for size, faster in zip(settings.frame_sizes, [*settings.frame_sizes[1:], 1], strict=True):
        work = size * channels + 6 * settings.layers * channels**2 + size // faster * channels**2
        total += work / size
    return total + channels**2 + channels * VALUES
