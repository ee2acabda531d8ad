"""Drawing: everything that clips need before the first token, and the ways to draw them, at once or as they come.

Axes: N tokens compared.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from seqgen_core.audio.encoders import Encoding
from seqgen_core.audio.features import read_features
from seqgen_core.data.store import VERIFIED_AT_ONCE
from seqgen_core.devices import choose_device, memory_guard
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.generation import clips, starts, verify
from seqgen_core.generation.clips import Clip
from seqgen_core.generation.dither import BURST, WINDOW, Dither, check_dither
from seqgen_core.generation.engines import Choice, choose_engine
from seqgen_core.generation.ranking import Ranked, check_rank
from seqgen_core.generation.rendering.base import NOTES_RATE
from seqgen_core.generation.sampling import Filters
from seqgen_core.generation.starts import Prime
from seqgen_core.generation.stop import Stop
from seqgen_core.library.generation import Generation
from seqgen_core.library.labels import class_number
from seqgen_core.library.streaming import ClipStream
from seqgen_core.library.writing import ClipWriter, Written, sheet_folder
from seqgen_core.models.base import CausalModel
from seqgen_core.progress import Progress
from seqgen_core.settings.codec import AudioCodecSettings, CodecSettings, NotesCodecSettings
from seqgen_core.settings.generate import GenerateSettings
from seqgen_core.streams import Upsampled

if TYPE_CHECKING:
    from seqgen_core.library.run import Run

VERIFY_STEPS = 256
VERIFY_NARROW_STEPS = 2048
"""Tokens over which the cost of narrow weights is measured."""
VERIFY_TOLERANCE = 1e-4
"""Largest difference of an output in fp32 that counts as equal (law 3)."""
LESS_MEMORY = "Lower generate.batch_size."


@dataclass(frozen=True)
class Drawing:
    """Clips that are about to be drawn: all is chosen and checked, nothing drawn. Iterating over it draws them.

    primes: one of each clip, or of each candidate where the best are kept (settings.rank); candidate n has start
    n % starts. length: new tokens of each. dither: what frees trapped clips, where that is asked for.
    """

    run: "Run"
    settings: GenerateSettings
    model: CausalModel
    step: int
    engine: Choice
    primes: tuple[Prime, ...]
    length: int
    starts: int
    dither: Dither | None
    progress: Progress

    def __iter__(self) -> Iterator[Clip]:
        """The clips, each as soon as it is drawn; of candidates those that are kept, when all are drawn.

        Ctrl-C passes on as KeyboardInterrupt after the clips that it left unfinished. Raises SeqgenError where memory
        is used up.
        """
        return iter(self._ranked() or self._drawn())

    def _ranked(self, stop: Stop | None = None) -> Ranked | None:
        if not self.settings.rank:
            return None
        keep = self.settings.count // self.starts
        return Ranked(self._drawn(stop), starts=self.starts, of_start=self.settings.rank, keep=keep)

    def _drawn(self, stop: Stop | None = None) -> Iterator[Clip]:
        with memory_guard(LESS_MEMORY):
            yield from clips.draw_clips(
                self.model,
                self.primes,
                length=self.length,
                batch_size=self.settings.batch_size,
                seed=self.settings.seed,
                engine=self.engine,
                dither=self.dither,
                progress=self.progress,
                rate=self.run.settings.data.codec.tokens_per_second,
                stop=stop,
            )

    def all(self) -> Generation:
        """All clips at once. Raises as drawing does."""
        ranked = self._ranked()
        drawn = tuple(ranked or self._drawn())
        candidates = tuple(ranked.candidates) if ranked else ()
        return Generation(self.run, self.settings, self.step, str(self.engine), drawn, candidates)

    def write(self, folder: Path | None = None) -> Written:
        """Write each clip as it is drawn, into a folder, that of the settings, or a new one in the run's samples.

        Ctrl-C passes on when what is drawn so far is written; progress hears of it. A second one ends the work at
        once. Raises UsageError where the folder holds clips, OSError after telling what was kept.
        """
        stop = Stop()
        ranked = self._ranked(stop)
        with sheet_folder(folder or self.settings.out, self.run.path) as place:
            writer = ClipWriter(self.run, self.settings, self.step, str(self.engine), place)
            try:
                for clip in ranked or self._drawn(stop):
                    with stop.later():
                        writer.add(clip)
                if stop.asked:  # while the last one was written
                    raise KeyboardInterrupt
            except KeyboardInterrupt:
                if stop.twice:
                    raise
                stop.asked = True
                with stop.later():
                    if writer.written:
                        writer.finish(ranked.candidates if ranked else (), stopped=True)
                        self.progress.say(f"kept in {place}: {writer.account()}")
                    elif ranked:
                        self.progress.say("no candidate was whole; nothing is kept")
                raise
            except OSError:
                if writer.written:
                    self.progress.say(f"kept in {place}: {writer.account()}")
                raise
            return writer.finish(ranked.candidates if ranked else ())

    def stream(self) -> ClipStream:
        """The one clip of text or sound as it is made, block by block."""
        codec = self.run.settings.data.codec
        return ClipStream(self.model, self.engine, self.primes[0], self.length, codec, self.settings, self.dither)

    def verify(self) -> None:
        """Compare the engine with a plain forward on this very model; progress hears what was found.

        Raises SeqgenError where exact weights give other outputs.
        """
        exact = self.settings.weights == "fp32"
        steps = VERIFY_STEPS if exact else VERIFY_NARROW_STEPS
        with memory_guard(LESS_MEMORY):
            found = verify.verify(self.model, self.engine, self.primes[0], steps, self.settings.seed)
        line = f"{self.engine.name} against the plain forward over {found.steps} tokens: outputs differ by at most"
        line = f"{line} {found.difference:.1e}"
        if exact and found.difference > VERIFY_TOLERANCE:
            raise SeqgenError(
                f"{line}, more than {VERIFY_TOLERANCE:g}.", hint="Report this, with the run's settings.toml."
            )
        if exact:
            self.progress.say(f"verified: {line} (up to {VERIFY_TOLERANCE:g} counts as equal)")
            return
        cost = f"{self.settings.weights} costs {round(found.bits - found.plain_bits, 4) + 0.0:.4f} bits per token"
        heard = "real excerpt" if len(self.primes[0].tokens) > found.steps else "what the model draws"
        self.progress.say(f"measured: {line}; {cost} on {heard} ({found.bits:.4f}, with fp32 {found.plain_bits:.4f})")


def prepare_drawing(run: "Run", settings: GenerateSettings, progress: Progress) -> Drawing:
    """Find model, engine and primes as the settings say.

    Raises UsageError for settings that cannot be meant, SeqgenError for data, files or weights of no use.
    """
    if settings.prime is not None and settings.conditional:
        raise UsageError(
            "--conditional draws excerpts from the data and --prime names a file.", hint="Leave one of them out."
        )
    if settings.features is not None and (settings.prime is not None or settings.conditional):
        raise UsageError(
            "What --prime and --conditional continue has features of its own, and --features names others.",
            hint="Leave one of them out.",
        )
    codec = run.settings.data.codec
    filters = Filters(settings.temperature, settings.top_k, settings.top_p)
    if settings.rank:
        check_rank(settings.rank, 1 if settings.conditional else settings.count)
    if settings.dither:
        check_dither(codec, filters)
    _check_format(codec, settings, progress)
    label = class_number(settings.label, run.path, run.settings, needed=not settings.conditional)
    device = choose_device(settings.device)
    model, step = run.model(settings.checkpoint, ema=settings.ema, device=device, progress=progress)
    choose = partial(
        choose_engine, model, settings.engine, weights=settings.weights, threads=settings.threads, progress=progress
    )
    engine = choose(filters)
    dither = None
    if settings.dither:
        rate = codec.tokens_per_second or 0
        dither = Dither(choose(Filters()), max(2, round(WINDOW * rate)), max(1, round(BURST * rate)))
    progress.say(f"engine: {engine}")
    with memory_guard(LESS_MEMORY):
        primes = clips.conditioned(model, _primes(run, settings, model, label, progress), label)
        length = starts.clip_length(codec, primes, length=settings.length, seconds=settings.seconds)
        if settings.length is None and primes[0].given > 1:
            length = _answer_length(run, settings, length, progress)
    different = settings.count if settings.conditional else 1
    if settings.rank:
        primes = primes[:different] * settings.rank
    return Drawing(run, settings, model, step, engine, tuple(primes), length, different, dither, progress)


def _check_format(codec: CodecSettings, settings: GenerateSettings, progress: Progress) -> None:
    """Raise UsageError where the format of sound files makes no sense; say where sound is resampled for it."""
    encoding = Encoding(settings.format, settings.bitrate)
    if not isinstance(codec, AudioCodecSettings | NotesCodecSettings):
        if encoding != Encoding():
            raise UsageError(
                f"--format and --bitrate are of sound; the run was trained on {codec}.", hint="Leave them out."
            )
        return
    rate = codec.rate if isinstance(codec, AudioCodecSettings) else NOTES_RATE
    encoding.check(rate)
    if encoding.rate(rate) != rate:
        progress.say(f"{settings.format} knows no {rate} Hz: written at {encoding.rate(rate)} Hz")
    kbits = encoding.kbits(rate)
    if settings.bitrate is not None and kbits != settings.bitrate:
        progress.say(f"{settings.format} knows no {settings.bitrate} kbit/s: written at {kbits} kbit/s")


def _primes(
    run: "Run", settings: GenerateSettings, model: CausalModel, label: int | None, progress: Progress
) -> list[Prime]:
    account = run.settings.data
    if not model.local_features:
        account = account.model_copy(update={"features": None})
    length = starts.prime_length(model, account.codec, settings.prime_seconds, settings.rows)
    if settings.prime is not None:
        own = starts.own_prime(settings.prime, account, length, label)
        return [own] * settings.count
    if settings.conditional:
        data = run.data(progress)
        if data.token_size(settings.split) <= VERIFIED_AT_ONCE:
            data.verify(settings.split)
        streams = [data.stream(item) for item in data.items(settings.split)]
        if not model.local_features:
            streams = [dataclasses.replace(stream, features=None) for stream in streams]
        whole = model.longest is not None or account.codec.kind == "pixels"
        return starts.draw_primes(streams, length, settings.count, settings.seed, whole=whole)
    if settings.rows is not None:
        raise UsageError("--rows says how much of an image is given; none is.", hint="Add --prime FILE.")
    return starts.from_nothing(account.codec, settings.count, label, _own_features(run, settings, model))


def _own_features(run: "Run", settings: GenerateSettings, model: CausalModel) -> Upsampled | None:
    mel = run.settings.data.features
    if settings.features is None:
        return None
    if mel is None or not model.local_features:
        raise UsageError(f"{run.path} was trained without features.", hint="Leave --features out.")
    frames = read_features(settings.features, mel, run.settings.data.gain)
    return Upsampled(frames, mel.hop, 1 + (len(frames) - 1) * mel.hop)  # up to the last frame's centre


def _answer_length(run: "Run", settings: GenerateSettings, otherwise: int, progress: Progress) -> int:
    """Tokens that complete a sequence of a task, whose beginning is given."""
    lengths = [item.length - item.given for item in run.data(progress).items(settings.split)]
    return max(1, min(lengths, default=otherwise))
