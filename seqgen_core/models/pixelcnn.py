"""Gated PixelCNN: scores the next intensity of an image, given all rows above and the pixels to the left.

Source: van den Oord et al. 2016, arXiv:1606.05328, sections 2.1 to 2.3; masks and the order red, green, blue:
arXiv:1601.06759, sections 3.4 and 3.5.
Changed: kernels have only the taps that their mask would leave; an intensity enters as two numbers, itself in [-1, 1]
and a 1 that tells it from what lies outside the image. Left out: conditioning that depends on the place.
Axes: B batch, T time in tokens, H rows, W columns, C channels, K taps, L layers.

Output t predicts intensity t in raster order: row, column, colour. Nothing follows the image's last token: its output
is zeros.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen_core.errors import ShapeError, UsageError
from seqgen_core.models.base import CausalModel, LayerRow
from seqgen_core.models.blocks import gated, read_clock
from seqgen_core.models.condition import Condition
from seqgen_core.models.pixelcnn_layers import ColourConv, Layer, looked_at, shares
from seqgen_core.models.pixelcnn_state import State, after, pixel_by_pixel, stacked, widened
from seqgen_core.models.tokens import NOTHING, heard
from seqgen_core.settings.model import PixelcnnSettings
from seqgen_core.settings.tokens import PixelTokens, TokenSpec


class Pixelcnn(CausalModel):
    """advance: tokens int64 (B, T), state -> outputs (B, T, head.size), next state; a whole image has `longest` tokens.

    A row's beginning runs the vertical stack once for that row, each token the horizontal stack for one colour of one
    pixel; several tokens at once run both for all their rows in parallel.
    Raises UsageError for tokens that are no images or have more colours than there are channels.
    """

    def __init__(self, settings: PixelcnnSettings, tokens: TokenSpec) -> None:
        if not isinstance(tokens, PixelTokens):
            raise UsageError(
                f"model pixelcnn needs images; the data are {tokens}.",
                "Data prepared with the codec pixels.",
                "Any other model, such as wavenet or sequnet, takes these data.",
            )
        colours, width = tokens.channels, settings.output_channels
        if colours > min(settings.channels, width):
            name = "channels" if colours > settings.channels else "output_channels"
            raise UsageError(
                f"model.{name} = {getattr(settings, name)}; the data are {tokens}.",
                f"A channel for each colour: {colours} or more.",
            )
        super().__init__(tokens, settings.mixtures)
        self.settings, self.image, self.classes = settings, tokens, settings.classes
        self.longest = self.period = tokens.length
        self.layers = nn.ModuleList(Layer(settings, tokens, index) for index in range(settings.layers))
        edges, mixed = shares(settings.channels, colours), shares(width, colours)
        self.mix = ColourConv(edges, mixed, 0, own=True)
        self.output = ColourConv(mixed, shares(colours * self.head.size, colours), 0, own=True)
        self.output.begin(self.head)
        self.row = tokens.width * colours  # intensities
        # Rows and columns on each side that the kernels of the first and of the later layers look at.
        self.first_above, self.first_beside = looked_at(settings.first_kernel_size, tokens)
        self.above, self.beside = looked_at(settings.kernel_size, tokens)
        self.receptive_field = self._reach(settings.layers)

    def initial_state(self, batch: int) -> list[Tensor]:
        """Clock 0, no intensities, zeros."""
        weight, image = self.mix.weight, self.image  # the weight lends its device and dtype
        layers, channels, early = self.settings.layers, self.settings.channels, self.mix.inputs[-2]
        clock = torch.zeros(batch, dtype=torch.int64, device=weight.device)
        state = State(
            clock=clock,
            codes=clock.new_full((batch, self.first_above, image.width, image.channels), NOTHING),
            row=clock.new_full((batch, image.width, image.channels), NOTHING),
            above=weight.new_zeros(batch, layers - 1, channels, self.above, image.width),
            told=weight.new_zeros(batch, image.width, layers, 2 * channels),
            beside=weight.new_zeros(batch, layers - 1, channels, self.beside),
            early=weight.new_zeros(batch, layers, early),
            gates=weight.new_zeros(batch, layers, early),
            mixed=weight.new_zeros(batch, self.mix.outputs[-2]),
        )
        return list(state)

    def _run(
        self,
        tokens: Tensor,
        state: list[Tensor] | None,
        condition: Condition,
        last: int,
        presence: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        begin, steps = 0 if state is None else read_clock(state[0]), tokens.shape[1]
        if begin + steps > self.image.length:
            raise ShapeError(
                f"tokens {tuple(tokens.shape)} after {begin} others; wanted {self.image.length} in all for {self.image}"
            )
        if state is None:
            initial = State(*self.initial_state(len(tokens)))
            outputs, kept = self._advance_rows(tokens, 0, initial, condition.labels, last, presence, keep=False)
        elif steps == 1:
            outputs, kept = self._advance_pixel(tokens, begin, State(*state), condition.labels)
        else:
            outputs, kept = self._advance_rows(tokens, begin, State(*state), condition.labels, last, None, keep=True)
        if outputs.shape[1] < last:  # the image is complete
            outputs = F.pad(outputs, (0, 0, 0, 1))
        return outputs, [] if kept is None else list(kept)

    def _advance_rows(
        self,
        tokens: Tensor,
        begin: int,
        state: State,
        labels: Tensor | None,
        last: int,
        presence: Tensor | None,
        *,
        keep: bool,
    ) -> tuple[Tensor, State | None]:
        """Outputs (B, last, head.size), or one less where the image ends, of tokens that come after `begin` others."""
        image, row, most, batch = self.image, self.row, self.first_above, len(tokens)
        end = begin + tokens.shape[1]
        stop = min(end, image.length - 1)  # outputs from `begin` to here predict something
        hand = (begin - 1) // row  # the row in hand; -1 before the first token
        top, bottom = min(end - last, stop - 1) // row, (stop - 1) // row
        # Rows before this one of the vertical stack are in the state, or matter to no output that is asked for.
        fresh = hand + 1 if keep else max(0, top - (len(self.layers) - 1) * self.above)

        known = max(0, begin - 1) - (hand - most) * row
        codes = torch.cat([state.codes.flatten(1), state.row.flatten(1)], dim=1)[:, :known]
        codes = torch.cat([codes, tokens[:, begin == 0 :]], dim=1)
        ahead = (bottom + 1 - hand + most) * row - codes.shape[1]
        codes = F.pad(codes, (0, ahead), value=NOTHING).view(batch, -1, image.width, image.channels)
        if presence is not None:
            presence = F.pad(presence[:, 1:], (known, ahead)).view_as(codes)
        x = self._hear(codes, presence)  # (B, 2 colours, H, W), from row hand - most on

        told, above = [part.transpose(1, 2)[:, :, None] for part in state.told.unbind(2)], state.above
        if fresh <= bottom:
            rows, sent = x[:, :, fresh - hand : bottom - hand + most], bottom + 1 - max(top, fresh)
            new, above = self._descend(rows, above if keep else None, labels, bottom + 1 - fresh, sent)
            told = [torch.cat(parts, dim=2) for parts in zip(told, new, strict=True)] if top == hand else new

        x = x[:, :, top - hand + most :]
        pixel, colour = divmod((stop - 1) % row, image.channels)
        passed = pixel + (colour == image.channels - 1)  # pixels of the row that all colours have passed
        beside, early, gates = [], [], []
        for layer, heard_above in zip(self._each_layer(), told, strict=True):
            if keep and not layer.first:
                left = x[:, :, -1, max(0, passed - self.beside) : passed]
                beside.append(F.pad(left, (self.beside - left.shape[2], 0)))
            x, gate = layer.across(x, heard_above)
            if keep:
                early.append(x[:, : layer.edges[-2], -1, pixel])
                gates.append(gate[:, : layer.edges[-2], -1, pixel])
        mixed = torch.relu(self.mix(torch.relu(x)))  # (B, C, H, W)
        outputs = F.linear(mixed.permute(0, 2, 3, 1), self.output.kernel()[:, :, 0, 0], self.output.bias)
        outputs = outputs.reshape(batch, -1, self.head.size)[:, end - last - top * row : stop - top * row]
        if not keep:
            return outputs, None
        return outputs, State(
            clock=state.clock + tokens.shape[1],
            codes=codes[:, -most - 1 : -1].clone(),
            row=codes[:, -1].clone(),
            above=above,
            told=pixel_by_pixel(told).to(state.told),
            beside=stacked(beside, state.beside),
            early=stacked(early, state.early),
            gates=stacked(gates, state.gates),
            mixed=mixed[:, : state.mixed.shape[1], -1, pixel].to(state.mixed),
        )

    def _advance_pixel(self, tokens: Tensor, begin: int, state: State, labels: Tensor | None) -> tuple[Tensor, State]:
        """The output (B, 1, head.size) of one token that comes after `begin` others; none (B, 0, …) of the last one."""
        image, codes, row, above, told, beside = self.image, *state[1:6]
        if begin:
            flat, place = row.flatten(1), (begin - 1) % self.row
            row = torch.cat([flat[:, :place], tokens, flat[:, place + 1 :]], dim=1).view_as(row)
        if begin == image.length - 1:
            outputs = told.new_zeros(len(tokens), 0, self.head.size)
            return outputs, state._replace(clock=state.clock + 1, row=row)
        if begin % self.row == 0:
            codes = torch.cat([codes, row[:, None]], dim=1)[:, 1:]
            row = torch.full_like(row, NOTHING)
            rows, above = self._descend(self._hear(codes), above, labels, 1, 1)
            told = pixel_by_pixel(rows).to(told)
            beside = torch.zeros_like(beside)

        pixel, colour = divmod(begin % self.row, image.channels)
        taps = self.first_beside + 1
        window = self._hear(row[:, None, max(0, pixel + 1 - taps) : pixel + 1])[:, :, 0]  # (B, 2 colours, K)
        window = F.pad(window, (taps - window.shape[2], 0))
        windows, columns, gates = [], [], []
        x = window[:, :, -1]
        for index, layer in enumerate(self._each_layer()):
            if index:
                x = widened(x, self.settings.channels)  # later colours are silent
                window = torch.cat([beside[:, index - 1], x[:, :, None]], dim=2)
                windows.append(window)
            y, gate = layer.at(window, told[:, pixel, index], state.gates[:, index], colour)
            x = after(state.early[:, index, : layer.edges[colour]], y)
            columns.append(x)
            gates.append(gate)
        mixed = torch.relu(self.mix.at(torch.relu(x)[:, :, None], colour))
        mixed = after(state.mixed[:, : self.mix.outputs[colour]], mixed)
        outputs = self.output.at(mixed[:, :, None], colour)
        state = state._replace(clock=state.clock + 1, codes=codes, row=row, above=above, told=told, beside=beside)
        if colour == image.channels - 1:
            return outputs[:, None], state._replace(beside=stacked([part[:, :, 1:] for part in windows], beside))
        room = state.early.shape[2]
        return outputs[:, None], state._replace(
            early=stacked([widened(part, room) for part in columns], state.early),
            gates=stacked([widened(part, room) for part in gates], state.gates),
            mixed=widened(mixed, state.mixed.shape[1]).to(state.mixed),
        )

    def _descend(
        self, x: Tensor, above: Tensor | None, labels: Tensor | None, count: int, sent: int
    ) -> tuple[list[Tensor], Tensor]:
        """The vertical stack over `count` new rows: what each layer tells of the last `sent` of them, (B, 2C, sent, W).

        x (B, 2 colours, H, W): what the first layer looks at. above: as in the state, and so returned for later rows.
        """
        told, kept = [], []
        for index, layer in enumerate(self._each_layer()):
            if index and above is not None:
                x = torch.cat([above[:, index - 1], x], dim=2)
                kept.append(x[:, :, x.shape[2] - self.above :])
            heard_above, z = layer.descend(x, labels, count, sent)
            told.append(heard_above)
            if index < len(self.layers) - 1:
                x = gated(z)
        return told, x if above is None else stacked(kept, above)

    def _hear(self, codes: Tensor, presence: Tensor | None = None) -> Tensor:
        """Intensities (B, H, W, colours) as a network hears them, two numbers each: (B, 2 colours, H, W).

        Channels come last in memory, and stay so: on a CPU the convolutions are faster for it.
        """
        there = (codes != NOTHING).to(self.mix.weight.dtype)
        numbers = torch.stack([heard(codes, self.image, there.dtype)[..., 0], there], dim=-1)
        if presence is not None:
            numbers = numbers * presence[..., None]
        return numbers.flatten(3).permute(0, 3, 1, 2)

    def _each_layer(self) -> Iterator[Layer]:
        for layer in self.layers:
            assert isinstance(layer, Layer)
            yield layer

    def _reach(self, layers: int) -> int:
        """Intensities from the one predicted back to the farthest that so many layers look at.

        That is the first colour of the pixel as many rows up and then as many columns to the left as the kernels add up
        to, and the image has; both stacks reach equally far.
        """
        image, settings = self.image, self.settings
        pixels = settings.first_kernel_size // 2 + (layers - 1) * (settings.kernel_size // 2)
        up, left = min(pixels, image.height - 1), min(pixels, image.width - 1)
        return up * self.row + left * image.channels + image.channels - 1

    @property
    def parameter_count(self) -> int:
        """Trained numbers; weights that a mask keeps at zero are none."""
        return sum(row.parameters for row in self.layer_table())

    def layer_table(self) -> list[LayerRow]:
        """Every layer with both its stacks, then the output layers; reach in raster order."""
        settings = self.settings
        parts: list[tuple[str, int, nn.Module]] = []
        for index, layer in enumerate(self.layers):
            parts.append((f"layer {index + 1}", settings.kernel_size if index else settings.first_kernel_size, layer))
        parts += [("mix", 1, self.mix), ("output", 1, self.output)]
        rows = []
        for index, (name, kernel, part) in enumerate(parts):
            masked = sum(conv.masked for conv in part.modules() if isinstance(conv, ColourConv))
            size = sum(parameter.numel() for parameter in part.parameters()) - masked
            # Every weight of a kernel is used once for each pixel, those of the horizontal stack colour by colour.
            weights = sum(parameter.numel() for parameter in part.parameters() if parameter.dim() == 4) - masked
            reach = self._reach(min(index + 1, settings.layers))
            rows.append(LayerRow(name, kernel, 1, 1, reach, size, weights / self.image.channels))
        return rows


MODEL = Pixelcnn
