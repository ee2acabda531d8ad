"""The Gated PixelCNN against slow versions: who may hear whom, and every number of the network, pixel by pixel."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from seqgen_core import models
from seqgen_core.errors import ShapeError, UsageError
from seqgen_core.models.condition import Condition
from seqgen_core.models.pixelcnn import Pixelcnn
from seqgen_core.models.reach import measure_reach
from seqgen_core.models.tokens import random_tokens
from seqgen_core.settings.model import PixelcnnSettings
from seqgen_core.settings.presets import load_preset
from seqgen_core.settings.tokens import (
    AmplitudeTokens,
    BinaryTokens,
    CategoricalTokens,
    PixelTokens,
    TokenSpec,
)

torch.set_num_threads(1)

Place = tuple[int, int, int]
"""Row, column, colour."""


def build(image: PixelTokens, seed: int = 0, **changed: Any) -> Pixelcnn:
    torch.manual_seed(seed)
    small = {"layers": 2, "channels": 24, "first_kernel_size": 3, "kernel_size": 3, "output_channels": 24}
    model = models.build(PixelcnnSettings.model_validate({**small, **changed}), image)
    assert isinstance(model, Pixelcnn)
    return model.double().eval()


def places(image: PixelTokens) -> list[Place]:
    """All intensities in raster order."""
    return list(itertools.product(range(image.height), range(image.width), range(image.channels)))


def heard_by_masks(image: PixelTokens, settings: PixelcnnSettings) -> np.ndarray:
    """Table (N, N): whether the prediction of one intensity hears another, by walking the masks of figure 2."""
    pixels = [place[:2] for place in places(image)[:: image.channels]]
    inside = set(pixels)
    colours = range(image.channels)
    above: dict[tuple[int, int], set[Place]] = {}
    left: dict[Place, set[Place]] = {}
    for layer in range(settings.layers):
        reach = (settings.kernel_size if layer else settings.first_kernel_size) // 2
        around = range(-reach, reach + 1)
        new_above: dict[tuple[int, int], set[Place]] = {}
        new_left: dict[Place, set[Place]] = {}
        for row, column in pixels:
            window = {(row + i, column + j) for i in around for j in around if i < 0 or (layer and i == 0)} & inside
            new_above[row, column] = (
                set().union(*(above[pixel] for pixel in window))
                if layer
                else {(*pixel, colour) for pixel in window for colour in colours}
            )
            before = {(row, column + j) for j in around if j < 0} & inside
            for colour in colours:
                mask = [(row, column, other) for other in colours if other < colour or (layer and other == colour)]
                sources = [(*pixel, other) for pixel in before for other in colours] + mask
                reached = set().union(*(left[source] for source in sources)) if layer else set(sources)
                new_left[row, column, colour] = reached | new_above[row, column]
        above, left = new_above, new_left
    table = np.zeros((len(places(image)),) * 2, bool)
    for number, (row, column, colour) in enumerate(places(image)):
        earlier = [left[row, column, other] for other in colours if other <= colour]  # the output layers: mask B
        for place in set().union(*earlier):
            table[number, places(image).index(place)] = True
    return table


def heard_by_gradients(model: Pixelcnn) -> np.ndarray:
    """The same table as the built model has it: the derivative of outputs by what is heard of each intensity."""
    tokens = random_tokens(model.tokens, 8, model.image.length)
    labels = torch.zeros(8, dtype=torch.int64) if model.classes else None
    presence = torch.ones(tokens.shape, dtype=torch.float64, requires_grad=True)
    outputs = model.forward_weighted(tokens, presence, Condition(labels))
    mixed = (outputs * torch.randn_like(outputs)).sum(dim=(0, 2))
    rows = [torch.autograd.grad(output, presence, retain_graph=True)[0].abs().amax(dim=0) for output in mixed[:-1]]
    table = torch.stack(rows)  # (N, 1 + N)
    assert not bool(table[:, 0].any())  # the first token says nothing
    return (table[:, 1:] > 0).numpy()


@pytest.mark.parametrize(
    ("image", "changed"),
    [
        (PixelTokens(height=6, width=5, channels=1, levels=4), {"layers": 1}),
        (PixelTokens(height=7, width=5, channels=1, levels=2), {"layers": 2, "first_kernel_size": 5}),
        (PixelTokens(height=6, width=6, channels=1, levels=2), {"layers": 2, "kernel_size": 5}),
        (PixelTokens(height=4, width=4, channels=3, levels=5), {"layers": 1, "classes": 2}),
        (PixelTokens(height=4, width=4, channels=3, levels=5), {"layers": 2}),
        (PixelTokens(height=3, width=4, channels=2, levels=5), {"layers": 3}),
        (PixelTokens(height=1, width=5, channels=3, levels=5), {}),
        (PixelTokens(height=5, width=1, channels=3, levels=5), {}),
        (PixelTokens(height=1, width=1, channels=3, levels=5), {}),
    ],
)
def test_each_intensity_hears_what_the_masks_leave(image: PixelTokens, changed: dict[str, Any]) -> None:
    model = build(image, **changed)
    wanted = heard_by_masks(image, model.settings)
    assert np.array_equal(heard_by_gradients(model), wanted)
    lags = [i - int(row.argmax()) for i, row in enumerate(wanted) if row.any()]
    assert model.receptive_field == max(lags) == measure_reach(model)


def test_there_is_no_blind_spot_and_colours_come_in_order() -> None:
    """With layers enough, each intensity hears every one before it in raster order and none after it, nor itself."""
    image = PixelTokens(height=4, width=5, channels=3, levels=4)
    heard = heard_by_gradients(build(image, layers=4))
    assert np.array_equal(heard, np.tri(len(heard), k=-1, dtype=bool))


def slow_outputs(model: Pixelcnn, codes: np.ndarray, label: int) -> np.ndarray:
    """Outputs (H, W, colours, head.size) for one image of codes (H, W, colours): loops over pixels, in numpy."""
    image, settings = model.image, model.settings
    height, width, colours, channels = image.height, image.width, image.channels, settings.channels
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    group = np.repeat(np.arange(colours), [channels // colours] * colours)  # of each channel
    double = np.repeat(group, 2)
    inputs = np.stack([codes * 2 / (image.levels - 1) - 1, np.ones(codes.shape)], axis=-1).reshape(height, width, -1)
    input_group = np.repeat(np.arange(colours), 2)

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    def taps(kernel: np.ndarray, x: np.ndarray, row: int, column: int, top: int, left: int) -> np.ndarray:
        total = np.zeros(kernel.shape[0])
        for i, j in np.ndindex(kernel.shape[2:]):
            if 0 <= row + top + i < height and 0 <= column + left + j < width:
                total += kernel[:, :, i, j] @ x[row + top + i, column + left + j]
        return total

    def masked(kernel: np.ndarray, before: np.ndarray, after: np.ndarray, own: bool, left: int = 0) -> np.ndarray:
        kernel = kernel.copy()
        kernel[:, :, 0, left:] *= (before[None, :] < after[:, None] + own)[:, :, None]
        return kernel

    above = left = inputs
    for index in range(settings.layers):
        name, pad = f"layers.{index}.", (settings.kernel_size if index else settings.first_kernel_size) // 2
        condition = weights[name + "condition.weight"][label]
        beside = masked(weights[name + "horizontal.weight"], group if index else input_group, double, index > 0, pad)
        residual = masked(weights[name + "residual.weight"], group, group, True)
        new_above, new_left = np.zeros((height, width, channels)), np.zeros((height, width, channels))
        for row, column in np.ndindex(height, width):
            z = taps(weights[name + "vertical.weight"], above, row, column, -pad, -pad)
            z = z + weights[name + "vertical.bias"] + condition[: 2 * channels]
            new_above[row, column] = np.tanh(z[:channels]) * sigmoid(z[channels:])
            z = weights[name + "link.weight"][:, :, 0, 0] @ z + weights[name + "bias"] + condition[2 * channels :]
            z = z + taps(beside, left, row, column, 0, -pad)
            halves = z.reshape(colours, 2, -1)  # each colour's signals, then its gates
            gates = (np.tanh(halves[:, 0]) * sigmoid(halves[:, 1])).reshape(-1)
            y = residual[:, :, 0, 0] @ gates + weights[name + "residual.bias"]
            new_left[row, column] = y + left[row, column] if index else y
        above, left = new_above, new_left
    wide = np.repeat(np.arange(colours), [settings.output_channels // colours] * colours)
    out = np.repeat(np.arange(colours), model.head.size)
    mix = masked(weights["mix.weight"], group, wide, True)[:, :, 0, 0]
    output = masked(weights["output.weight"], wide, out, True)[:, :, 0, 0]
    mixed = np.maximum(np.maximum(left, 0) @ mix.T + weights["mix.bias"], 0)
    return (mixed @ output.T + weights["output.bias"]).reshape(height, width, colours, -1)


@pytest.mark.parametrize("colours", [1, 3])
def test_the_numbers_are_those_of_a_slow_version(colours: int) -> None:
    image = PixelTokens(height=5, width=6, channels=colours, levels=5)
    model = build(image, layers=3, channels=6, output_channels=9, first_kernel_size=5, classes=4)
    tokens = random_tokens(image, 2, image.length)
    with torch.no_grad():
        outputs = model(tokens, Condition(torch.tensor([3, 1])))
    for row, label in enumerate((3, 1)):
        wanted = slow_outputs(model, tokens[row, 1:].view(5, 6, colours).numpy(), label)
        np.testing.assert_allclose(outputs[row, :-1].numpy(), wanted.reshape(-1, model.head.size), rtol=0, atol=1e-12)


def test_the_first_token_says_nothing_and_nothing_follows_the_last() -> None:
    image = PixelTokens(height=3, width=4, channels=2, levels=5)
    model = build(image)
    tokens = random_tokens(image, 3, image.length)
    other = tokens.clone()
    other[:, 0] = (tokens[:, 0] + 1) % 5
    with torch.no_grad():
        outputs = model(tokens)
        assert torch.equal(model(other), outputs)
        assert not bool(outputs[:, -1].any())
        assert torch.equal(model(tokens, last=1), outputs[:, -1:])
        first, _ = model.advance(tokens[:, :1], model.initial_state(3))
        again, state = model.advance(other[:, :1], model.initial_state(3))
        assert torch.equal(first, again)
        _, state = model.advance(tokens[:, 1:], state)
    with pytest.raises(ShapeError, match=r"after 25 others; wanted 25 in all for images of 3 × 4 × 2"):
        model.advance(tokens[:, :1], state)
    with pytest.raises(ShapeError, match=r"\(3, 26\) after 0 others"):
        model(torch.cat([tokens, tokens[:, :1]], dim=1))


def test_one_intensity_alone_depends_on_nothing() -> None:
    image = PixelTokens(height=1, width=1, levels=5)
    model = build(image)
    assert model.receptive_field == measure_reach(model) == 0
    with torch.no_grad():
        state, alone = model.initial_state(2), model(torch.tensor([[0, 4], [0, 1]]))
        first, state = model.advance(torch.zeros(2, 1, dtype=torch.int64), state)
        second, _ = model.advance(torch.tensor([[4], [1]]), state)
    assert torch.equal(alone[0], alone[1])
    torch.testing.assert_close(torch.cat([first, second], dim=1), alone)


def test_the_middle_intensity_is_not_the_outside() -> None:
    """It enters as 0, as the outside does, but is known to be there; what is not heard is as if outside."""
    image = PixelTokens(height=3, width=3, levels=5)
    model = build(image)
    tokens = torch.full((1, image.length), 2)
    nothing = torch.zeros(1, image.length, dtype=torch.float64)
    with torch.no_grad():
        heard = model(tokens)
        silent = model.forward_weighted(tokens, nothing)
        assert torch.equal(model.forward_weighted(tokens, nothing + 1), heard)
        assert torch.equal(model.forward_weighted((tokens + 1) % 5, nothing), silent)
    assert not torch.equal(heard, silent)
    torch.testing.assert_close(silent[:, 0], heard[:, 0])  # before the first intensity there is nothing either


def test_every_layer_is_told_the_label() -> None:
    image = PixelTokens(height=4, width=4, channels=3, levels=4)
    model = build(image, layers=3, classes=5)
    tokens = random_tokens(image, 2, image.length)

    def outputs(*labels: int) -> tuple[torch.Tensor, torch.Tensor]:
        told, state, pieces = Condition(torch.tensor(labels)), model.initial_state(2), []
        for time in range(image.length):
            piece, state = model.advance(tokens[:, time : time + 1], state, told)
            pieces.append(piece)
        return model(tokens, told), torch.cat(pieces, dim=1)

    tables = [table for name, table in model.named_parameters() if name.endswith("condition.weight")]
    assert [table.shape for table in tables] == [(5, 96)] * 3
    with torch.no_grad():
        before = [table.clone() for table in tables]
        for chosen in range(3):
            for number, table in enumerate(tables):
                table.copy_(before[number] if number == chosen else torch.zeros_like(table))
            for one, two in zip(outputs(0, 3), outputs(0, 4), strict=True):
                assert torch.equal(one[0], two[0])
                assert bool((one[1, :-1] != two[1, :-1]).any(dim=1).all())  # whatever is predicted


@pytest.mark.parametrize("colours", [1, 3])
def test_a_token_costs_a_pixel_and_a_row_s_beginning_a_row(colours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Multiplications of every step counted: as the table says, and never those of a whole forward."""
    image = PixelTokens(height=5, width=6, channels=colours, levels=4)
    model = build(image, layers=3, classes=2)
    done = 0
    conv2d, linear = torch.nn.functional.conv2d, torch.nn.functional.linear

    def counted(*given: Any, **named: Any) -> torch.Tensor:
        nonlocal done
        y = conv2d(*given, **named)
        done += given[1].numel() * y.shape[2] * y.shape[3]
        return y

    def counted_product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        nonlocal done
        done += weight.numel() * x[..., 0].numel()
        return linear(x, weight, bias)

    monkeypatch.setattr(torch.nn.functional, "conv2d", counted)
    monkeypatch.setattr(torch.nn.functional, "linear", counted_product)
    state, told, costs = model.initial_state(1), Condition(torch.tensor([1])), []
    for token in random_tokens(image, 1, image.length)[0]:
        done = 0
        _, state = model.advance(token.view(1, 1), state, told)
        costs.append(done)
    assert costs.pop() == 0
    row = image.width * colours
    begun, later = costs[::row], [cost for time, cost in enumerate(costs) if time % row]
    assert max(later) < min(begun)
    assert len(set(begun)) == 1
    # The tap of a pixel's own colours is multiplied with zeros where the mask shuts it.
    assert sum(costs) / len(costs) == pytest.approx(model.multiply_adds, rel=1e-9 if colours == 1 else 0.1)
    done = 0
    model(torch.zeros(1, image.length - 1, dtype=torch.int64), told)
    assert max(costs) < done / 3


def test_a_new_model_s_deepest_vertical_layer_still_hears_the_image() -> None:
    image = PixelTokens(height=9, width=9, levels=4)
    model = build(image, layers=20, first_kernel_size=7, classes=3)
    spreads = []  # over images, before the gates
    for name, module in model.named_modules():
        if name.endswith("vertical"):
            module.register_forward_hook(lambda _, inputs, z: spreads.append(float(z[:, :, -3:].std(dim=0).mean())))
    with torch.no_grad():
        model(random_tokens(image, 32, image.length), Condition(torch.zeros(32, dtype=torch.int64)))
    assert len(spreads) == 20
    assert 0.3 < min(spreads) < max(spreads) < 1.5


def test_masked_weights_stay_zero_and_are_not_counted() -> None:
    image = PixelTokens(height=4, width=4, channels=3, levels=4)
    model = build(image, channels=7, output_channels=8, classes=2)  # the colours' shares differ
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    tokens, moved = random_tokens(image, 6, image.length), 0
    for _ in range(3):
        loss = model.head.bits(model(tokens[:, :-1], Condition(torch.tensor([0, 1] * 3))), tokens[:, 1:]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, parameter in model.named_parameters():
        owner = model.get_submodule(name.rpartition(".")[0])
        mask = getattr(owner, "mask", None)
        if mask is None or not name.endswith("weight"):
            moved += parameter.numel()
            continue
        assert not bool(parameter[~mask].any())
        moved += int(mask.sum())
    assert moved == model.parameter_count < sum(parameter.numel() for parameter in model.parameters())
    rows = model.layer_table()
    assert rows[-1].receptive_field == model.receptive_field
    assert [row.name for row in rows] == ["layer 1", "layer 2", "mix", "output"]


def test_bfloat16_autocast_keeps_the_state_in_the_weights_type() -> None:
    image = PixelTokens(height=3, width=3, channels=3, levels=4)
    model = build(image).float()
    tokens = random_tokens(image, 2, image.length)
    state = model.initial_state(2)
    kinds = [part.dtype for part in state]
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        for first, stop in ((0, 1), (1, 2), (2, 3), (3, 20), (20, 28)):
            _, state = model.advance(tokens[:, first:stop], state)
            assert [part.dtype for part in state] == kinds


def test_gradients_flow_through_stepping() -> None:
    image = PixelTokens(height=3, width=2, channels=2, levels=4)
    model = build(image)
    tokens, state, total = random_tokens(image, 2, image.length), model.initial_state(2), torch.zeros(())
    for time in range(image.length - 1):
        outputs, state = model.advance(tokens[:, time : time + 1], state)
        total = total + outputs.square().sum()
    stepped = torch.autograd.grad(total, list(model.parameters()))
    parallel = torch.autograd.grad(model(tokens[:, :-1]).square().sum(), list(model.parameters()))
    for one, two in zip(stepped, parallel, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize(
    "tokens",
    [CategoricalTokens(values=256), CategoricalTokens(values=50, ordered=True), BinaryTokens(), AmplitudeTokens()],
)
def test_only_images_will_do(tokens: TokenSpec) -> None:
    with pytest.raises(UsageError) as caught:
        models.build(PixelcnnSettings(), tokens)
    assert caught.value.got == f"model pixelcnn needs images; the data are {tokens}."


@pytest.mark.parametrize("name", ["channels", "output_channels"])
def test_every_colour_needs_a_channel(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        models.build(PixelcnnSettings.model_validate({name: 2}), PixelTokens(height=4, width=4, channels=3))
    assert caught.value.got == f"model.{name} = 2; the data are images of 4 × 4 × 3 with 256 levels."
    assert "3 or more" in caught.value.wanted


@pytest.mark.parametrize("name", ["first_kernel_size", "kernel_size"])
def test_kernels_are_odd(name: str) -> None:
    with pytest.raises(ValidationError, match=r"6 is even.*so 5 or 7"):
        PixelcnnSettings.model_validate({name: 6})


def test_a_false_declaration_is_not_believed() -> None:
    image = PixelTokens(height=6, width=5, channels=2, levels=3)
    model = build(image)
    assert model.receptive_field == 2 * 10 + 2 * 2 + 1
    for claimed in (1, 1000):
        model.receptive_field = claimed
        assert measure_reach(model) == 25


@pytest.mark.parametrize("levels", [2, 4, 256])
def test_the_preset_for_mnist_takes_any_number_of_levels(levels: int) -> None:
    settings = PixelcnnSettings(**load_preset("pixelcnn-mnist")["model"])
    with torch.device("meta"):
        model = models.build(settings, PixelTokens(height=28, width=28, levels=levels))
    assert (model.classes, model.head.size, model.longest) == (10, levels, 785)
    assert model.receptive_field == 12 * 28 + 12


def test_the_preset_for_cifar_sees_the_whole_image() -> None:
    preset = load_preset("pixelcnn-cifar10")
    image = PixelTokens(**preset["tokens"])
    with torch.device("meta"):
        model = models.build(PixelcnnSettings(**preset["model"]), image)
    assert (model.classes, model.head.size) == (10, 256)
    assert model.receptive_field == image.length - 2  # from the first intensity to the output of the last
