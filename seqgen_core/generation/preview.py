"""Clips drawn while a model trains: continuations of one held-out excerpt, into the run's samples folder."""

from collections.abc import Callable
from dataclasses import replace

from seqgen_core.generation import clips, render, starts
from seqgen_core.generation.rendering import renderer_for
from seqgen_core.models.base import CausalModel
from seqgen_core.previews import Preview
from seqgen_core.runs import RunFolder
from seqgen_core.settings.codec import PixelsCodecSettings
from seqgen_core.streams import Stream

TEXT_TOKENS = 200


def preview_drawer(run: RunFolder, stream: Stream) -> Callable[[CausalModel, int], list[Preview]]:
    """A function (model, step) → clips to show, that continues excerpts of one recording as the run's settings say.

    The excerpts and the randomness are the same at every step, so that the clips can be compared.
    """
    codec, settings = run.settings.data.codec, run.settings.train
    renderer = renderer_for(codec)
    image = isinstance(codec, PixelsCodecSettings)

    def draw(model: CausalModel, step: int) -> list[Preview]:
        length = starts.prime_length(model, codec, None)
        heard = stream if model.local_features else replace(stream, features=None)
        primes = starts.draw_primes([heard], length, settings.sample_count, settings.seed, whole=image)
        rate = codec.tokens_per_second
        wanted = None if image else TEXT_TOKENS if rate is None else max(1, round(settings.sample_length * rate))
        if stream.given > 1:  # the answer of a task
            wanted = max(1, len(stream.tokens) - stream.given)
        folder = run.path / "samples" / f"step-{step}"
        entries, shown = [], []
        for clip in clips.draw_clips(
            model,
            primes,
            length=starts.clip_length(codec, primes, length=wanted, seconds=None),
            batch_size=settings.sample_count,
            seed=settings.seed,
        ):
            entries.append(render.write_clip(clip, renderer, folder))
            shown.append(renderer.preview(render.whole(clip), f"sample-{clip.number}"))
        head = render.sheet_head(run.path, run.settings, step, settings.seed, ema=bool(settings.ema))
        render.write_sheet(folder, head, entries)
        return shown

    return draw
