"""Clips drawn while a model trains: continuations of one held-out excerpt, into the run's samples folder."""

from collections.abc import Callable

import numpy as np

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.generation import clips, render
from seqgen_core.models.base import CausalModel
from seqgen_core.runs import RunFolder

Sound = tuple[str, np.ndarray, int]
"""(name, float32 waveform (n,), rate in Hz)."""


def preview_drawer(
    run: RunFolder, origin: str, tokens: np.ndarray, label: int | None
) -> Callable[[CausalModel, int], list[Sound]]:
    """A function (model, step) → sounds that continues excerpts of one recording as the run's settings say.

    The excerpts and the randomness are the same at every step, so that the sounds can be compared.
    """
    codec, settings = AudioCodec(run.settings.data.codec), run.settings.train

    def draw(model: CausalModel, step: int) -> list[Sound]:
        length = clips.prime_length(model, codec, None)
        primes = clips.draw_primes([clips.Stream(origin, tokens, label)], length, settings.sample_count, settings.seed)
        folder = run.path / "samples" / f"step-{step}"
        entries, sounds = [], []
        for clip in clips.draw_clips(
            model,
            codec.silence,
            primes,
            count=settings.sample_count,
            length=max(1, round(settings.sample_length * codec.rate)),
            batch_size=settings.sample_count,
            seed=settings.seed,
        ):
            entries.append(render.write_clip(clip, codec, folder))
            joined = np.concatenate([codec.decode(primes[clip.number].tokens), render.clip_sound(clip, codec)])
            sounds.append((f"sample-{clip.number}", joined, codec.rate))
        render.write_sheet(folder, render.sheet_head(run, step, settings.seed, ema=bool(settings.ema)), entries)
        return sounds

    return draw
