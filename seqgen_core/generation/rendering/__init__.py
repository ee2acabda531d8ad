"""Renderers: tokens to files that a person can hear, read or look at, one module for each kind of data."""

from seqgen_core.audio.encoders import Encoding
from seqgen_core.generation.rendering.base import Renderer
from seqgen_core.settings.codec import AudioCodecSettings, CodecSettings, NotesCodecSettings, TextCodecSettings

__all__ = ["Renderer", "renderer_for"]


def renderer_for(codec: CodecSettings, encoding: Encoding | None = None) -> Renderer:
    """The renderer of a codec's kind; only its module is imported. encoding: of sound; None means 16-bit WAV."""
    encoding = encoding or Encoding()
    if isinstance(codec, AudioCodecSettings):
        from seqgen_core.generation.rendering.sound import SoundRenderer

        return SoundRenderer(codec, encoding)
    if isinstance(codec, TextCodecSettings):
        from seqgen_core.generation.rendering.text import TextRenderer

        return TextRenderer(codec)
    if isinstance(codec, NotesCodecSettings):
        from seqgen_core.generation.rendering.notes import NotesRenderer

        return NotesRenderer(codec, encoding)
    from seqgen_core.generation.rendering.images import ImagesRenderer

    return ImagesRenderer(codec)
