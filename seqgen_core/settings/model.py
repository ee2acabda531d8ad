"""Settings of the models: one class per kind, joined in the union that the rest of the code walks."""

from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from seqgen_core.settings.base import Settings


def _odd_taps(taps: int) -> int:
    if taps % 2 == 0:
        raise ValueError(f"{taps} is even; Seq-U-Net needs an odd kernel, so {taps - 1 or 3} or {taps + 1}")
    return taps


class _AnyModel(Settings):
    """What every model offers."""

    search: ClassVar[tuple[str, ...]] = ()
    """What `seqgen tune` also searches where nothing is named."""

    mixtures: int = Field(0, ge=0, le=100)
    """Logistics that mix to the distribution of an ordered token; 0 takes a softmax, or 10 of them for pcm16 sound."""


class WaveNetSettings(_AnyModel):
    """WaveNet (van den Oord et al. 2016): stacks of dilated causal convolutions with gates and skip connections."""

    search = ("model.kernel_size=2,3",)

    kind: Literal["wavenet"] = "wavenet"
    """Sort of model."""
    stacks: int = Field(3, ge=1, le=64)
    """Stacks, one after another; each starts again at dilation 1."""
    layers: int = Field(10, ge=1, le=20)
    """Layers per stack; the dilation doubles from one to the next."""
    kernel_size: int = Field(2, ge=2, le=64)
    """Taps of each dilated convolution."""
    residual_channels: int = Field(64, ge=1, le=8192)
    """Channels that run from layer to layer."""
    dilation_channels: int = Field(64, ge=1, le=8192)
    """Channels of the filter, and of the gate, in each layer."""
    skip_channels: int = Field(256, ge=1, le=8192)
    """Channels that each layer sends to the output."""
    output_channels: int | None = Field(None, ge=1, le=8192)
    """Channels between the two last convolutions; without it as many as skip_channels."""
    bias: bool = True
    """Biases in the layers and the one-hot input; the two last convolutions always have them."""
    skip: Literal["sum", "mean"] = "sum"
    """How the layers' skip connections meet: added, or averaged."""
    input: Literal["embedding", "one-hot"] = "embedding"
    """How a token enters: a table of learned vectors, or the 1×1 convolution over one-hot vectors of the papers."""
    classes: int = Field(0, ge=0, le=1_000_000)
    """Class labels for global conditioning; 0 means none."""
    local_features: int = Field(0, ge=0, le=65536)
    """Numbers per token for local conditioning, as many as the data's features have bands; 0 means none."""


class SequnetSettings(_AnyModel):
    """Seq-U-Net (Stoller et al. 2019), gated residual variant: a causal U-Net whose levels run at halving clocks."""

    search = ("model.kernel_size=3,5",)

    kind: Literal["sequnet"] = "sequnet"
    """Sort of model."""
    features: int = Field(64, ge=1, le=8192)
    """Channels at every level."""
    levels: int = Field(8, ge=1, le=20)
    """Levels, the bottleneck included; each runs at half the clock of the one above."""
    depth: int = Field(1, ge=1, le=64)
    """Gated residual convolutions per block."""
    kernel_size: int = Field(5, ge=3, le=63)
    """Taps of each convolution; odd."""

    _odd = field_validator("kernel_size")(_odd_taps)


class _EmbeddingModel(_AnyModel):
    """What the models offer whose experiments began with those of the TCN: text and piano rolls."""

    search = ("model.dropout=0..0.5",)

    embedding: int = Field(0, ge=0, le=8192)
    """Numbers in the learned vector by which a token enters; 0 lets it enter as it is: one-hot, notes, an amplitude."""
    embedding_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of these numbers that training leaves out at random."""
    tied: bool = False
    """Whether the output layer's weights are the vectors of the embedding."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of every layer's outputs that training leaves out at random."""

    @model_validator(mode="after")
    def _embedded(self) -> Self:
        if not self.embedding and (self.tied or self.embedding_dropout):
            named = "tied" if self.tied else "embedding_dropout"
            raise ValueError(f"{named} is about an embedding, but embedding is 0; give it a size, such as 100")
        return self


class TcnSettings(_EmbeddingModel):
    """TCN (Bai et al. 2018): residual blocks of two dilated causal convolutions, weight-normalised."""

    kind: Literal["tcn"] = "tcn"
    """Sort of model."""
    channels: int = Field(64, ge=1, le=8192)
    """Channels of each block; with tied weights the last has as many as the embedding."""
    levels: int = Field(10, ge=1, le=20)
    """Residual blocks; the dilation doubles from one to the next."""
    kernel_size: int = Field(3, ge=2, le=64)
    """Taps of each dilated convolution."""


class SequnetPlainSettings(_EmbeddingModel):
    """Seq-U-Net (Stoller et al. 2019), plain variant for text and piano rolls: LeakyReLU, no gates, dropout."""

    kind: Literal["sequnet_plain"] = "sequnet_plain"
    """Sort of model."""
    features: int = Field(64, ge=1, le=8192)
    """Channels at every level but the bottleneck."""
    bottleneck_features: int | None = Field(None, ge=1, le=8192)
    """Channels of the bottleneck; without it as many as features."""
    levels: int = Field(8, ge=2, le=20)
    """Levels, the bottleneck included; each runs at half the clock of the one above."""
    kernel_size: int = Field(5, ge=3, le=63)
    """Taps of each convolution; odd."""

    _odd = field_validator("kernel_size")(_odd_taps)


class SamplernnSettings(_AnyModel):
    """SampleRNN (Mehri et al. 2017): recurrent tiers over frames, at ever faster clocks, and a network over samples."""

    search = ("model.cell=gru,lstm",)

    kind: Literal["samplernn"] = "samplernn"
    """Sort of model."""
    frame_sizes: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field((16,), min_length=1, max_length=16)
    """Tokens in a frame of each recurrent tier, slowest first, each a multiple of the next: [16], or [8, 2]."""
    cell: Literal["gru", "lstm"] = "gru"
    """Recurrent cell: gated recurrent units, or long short-term memory."""
    layers: int = Field(1, ge=1, le=5)
    """Recurrent layers per tier."""
    channels: int = Field(256, ge=1, le=8192)
    """Channels of the recurrent layers and of the network over samples."""
    embedding: int = Field(64, ge=0, le=8192)
    """Numbers in the learned vector of a symbol; 0 takes one-hot vectors. Amplitudes and notes enter as they are."""
    skip: bool = False
    """Whether a tier's input goes to all its recurrent layers, and all of them to its output; for 2 or more layers."""
    weight_norm: bool = True
    """Weight normalisation of all layers but the embedding."""
    learn_initial_state: bool = True
    """Whether the state before the first token is learned; otherwise it is zero."""

    @field_validator("frame_sizes", mode="before")
    @classmethod
    def _listed(cls, sizes: object) -> object:
        if isinstance(sizes, str):
            return [part.strip() for part in sizes.split(",")]
        return [sizes] if isinstance(sizes, int) else sizes

    @field_validator("frame_sizes")
    @classmethod
    def _nested(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        for slower, faster in pairwise(sizes):
            if slower % faster:
                raise ValueError(f"{slower} is no multiple of {faster}; each frame holds whole frames of the next tier")
        return sizes

    @model_validator(mode="after")
    def _skips_something(self) -> Self:
        if self.skip and self.layers == 1:
            raise ValueError("skip connections go around recurrent layers, but layers is 1; take 2 or more, or no skip")
        return self


class PixelcnnSettings(_AnyModel):
    """Gated PixelCNN (van den Oord et al. 2016), for images: a vertical and a horizontal stack of convolutions."""

    search = ("model.first_kernel_size=5,7,9",)

    kind: Literal["pixelcnn"] = "pixelcnn"
    """Sort of model."""
    layers: int = Field(8, ge=1, le=200)
    """Layers, each with both stacks."""
    channels: int = Field(32, ge=1, le=8192)
    """Channels of each stack, which the colours of the image share among them."""
    first_kernel_size: int = Field(7, ge=3, le=63)
    """Rows and columns of the first layer's kernel, before it is masked; odd."""
    kernel_size: int = Field(3, ge=3, le=63)
    """Rows and columns of the other layers' kernels; odd."""
    output_channels: int = Field(64, ge=1, le=8192)
    """Channels between the two last convolutions, shared among the colours."""
    classes: int = Field(0, ge=0, le=1_000_000)
    """Class labels, which every layer is told; 0 means none."""

    @field_validator("first_kernel_size", "kernel_size")
    @classmethod
    def _odd(cls, taps: int) -> int:
        if taps % 2 == 0:
            raise ValueError(f"{taps} is even; PixelCNN needs an odd kernel, so {taps - 1} or {taps + 1}")
        return taps


ModelSettings = Annotated[
    WaveNetSettings | SequnetSettings | TcnSettings | SequnetPlainSettings | SamplernnSettings | PixelcnnSettings,
    Field(discriminator="kind"),
]
"""Settings of any model, told apart by `kind`."""

MODEL_KINDS: dict[str, type[Settings]] = {
    settings.model_fields["kind"].default: settings for settings in get_args(get_args(ModelSettings)[0])
}
"""Every model by its kind, in the order of the union."""
