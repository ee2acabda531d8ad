"""Writing prepared data: shards of tokens, features beside them, and the manifest that makes them valid."""

import hashlib
import math
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from seqgen_core.data.store import MANIFEST, Item, Manifest, Rejected, Split, remove_stray_shards, stable_key
from seqgen_core.errors import SeqgenError
from seqgen_core.files import fsync_directory, write_text_atomically
from seqgen_core.settings.codec import CodecSettings
from seqgen_core.settings.features import MelSettings
from seqgen_core.settings.preprocess import PreprocessSettings
from seqgen_core.streams import token_dtype

SHARD_BYTES = 256 * 2**20


class PreparedWriter:
    """Builds prepared data in a folder; what stood there stays valid until `finish`.

    Use it as a context manager: leaving it without `finish` removes the shards written so far.
    """

    def __init__(self, path: Path, codec: CodecSettings, features: MelSettings | None = None) -> None:
        self.path = Path(path)
        self.codec, self.features = codec, features
        self.spec = codec.tokens
        self.dtype = token_dtype(self.spec.values).newbyteorder("<")
        self.items: list[Item] = []
        self._token_bytes = self.dtype.itemsize * math.prod(self.spec.shape)
        self._histogram = _Histogram(self.spec.values, math.prod(self.spec.shape))
        self._frames = 0
        self._frames_stream: IO[bytes] | None = None
        self._build = uuid.uuid4().hex[:8]
        self._shards: list[Path] = []
        self._stream: IO[bytes] | None = None
        self._tokens_in_shard = 0
        self._finished = False

    def __enter__(self) -> "PreparedWriter":
        self.path.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._close_all()
        if not self._finished:
            for file in [*self._shards, self._features_file]:
                file.unlink(missing_ok=True)

    def add(
        self,
        tokens: NDArray[np.integer],
        *,
        origin: str,
        split: Split,
        label: int | None = None,
        key: str = "",
        given: int = 1,
        frames: NDArray[np.floating] | None = None,
    ) -> Item:
        """Store the tokens (T, *shape) of one item, T >= 1, and its features (K, bands) where there are any.

        Raises SeqgenError where a token is not one of the codec's.
        """
        if tokens.shape[1:] != self.spec.shape or tokens.ndim < 1 or not len(tokens):
            raise ValueError(f"tokens of shape {tokens.shape}; (T, *{self.spec.shape}) with T >= 1 is needed")
        if self._stream is None or self._tokens_in_shard * self._token_bytes >= SHARD_BYTES:
            self._open_shard()
        assert self._stream is not None
        digest = hashlib.sha256()
        for start in range(0, len(tokens), 2**22):  # blocks, since the item may be a memory map of hours
            block = np.asarray(tokens[start : start + 2**22])
            if block.min() < 0 or block.max() >= self.spec.values:
                outside = block.max() if block.max() >= self.spec.values else block.min()
                raise SeqgenError(f"token {outside} of {origin} does not exist with {self.spec.values} values.")
            data = np.ascontiguousarray(block, dtype=self.dtype).tobytes()
            digest.update(data)
            self._stream.write(data)
            if split == "train":
                # One given token changes nothing that could be seen; those of a task would drown its answer.
                self._histogram.count(block[max(0, given - start) :] if given > 1 else block)
        item = Item(
            key=key or stable_key(origin),
            origin=origin,
            split=split,
            shard=self._shards[-1].name,
            offset=self._tokens_in_shard,
            length=len(tokens),
            sha256=digest.hexdigest(),
            label=label,
            given=given,
            frames=0 if frames is None else len(frames),
            features_offset=self._frames,
        )
        if frames is not None:
            self._write_frames(frames)
        self._tokens_in_shard += len(tokens)
        self.items.append(item)
        return item

    def finish(
        self,
        settings: PreprocessSettings | None = None,
        *,
        label_names: Sequence[str] = (),
        rejected: Iterable[Rejected] = (),
        warnings: Iterable[str] = (),
        remarks: Iterable[str] = (),
        gain: float = 1.0,
        silence_dropped_seconds: float = 0.0,
        fingerprint: str = "",
    ) -> Manifest:
        """Make the shards durable, put the manifest in place, remove shards of earlier builds."""
        self._close_all()
        fsync_directory(self.path)
        manifest = Manifest(
            codec=self.codec,
            tokens=self.spec,
            features=self.features,
            features_file=self._features_file.name if self._frames else "",
            label_names=tuple(label_names),
            items=tuple(self.items),
            rejected=tuple(rejected),
            warnings=tuple(warnings),
            remarks=tuple(remarks),
            order0_bits=self._histogram.entropy_bits(),
            gain=gain,
            silence_dropped_seconds=silence_dropped_seconds,
            fingerprint=fingerprint,
            settings=settings or PreprocessSettings(codec=self.codec.kind, out=self.path),
        )
        write_text_atomically(self.path / MANIFEST, manifest.model_dump_json(indent=1))
        self._finished = True
        remove_stray_shards(self.path, {manifest.features_file, *(item.shard for item in self.items)})
        return manifest

    def _open_shard(self) -> None:
        self._close_shard()
        shard = self.path / f"tokens-{self._build}-{len(self._shards):05d}.bin"
        self._shards.append(shard)
        self._stream = shard.open("wb")
        self._tokens_in_shard = 0

    def _close_shard(self) -> None:
        _close(self._stream)
        self._stream = None

    def _close_all(self) -> None:
        self._close_shard()
        _close(self._frames_stream)
        self._frames_stream = None

    @property
    def _features_file(self) -> Path:
        return self.path / f"features-{self._build}.bin"

    def _write_frames(self, frames: NDArray[np.floating]) -> None:
        if self.features is None or frames.ndim != 2 or frames.shape[1] != self.features.bands or not len(frames):
            raise ValueError(f"features of shape {frames.shape}; (K, bands) as {self.features} says is needed")
        if self._frames_stream is None:
            self._frames_stream = self._features_file.open("wb")
        for start in range(0, len(frames), 2**14):  # blocks, since they may be a memory map of hours
            self._frames_stream.write(np.ascontiguousarray(frames[start : start + 2**14], "<f4").tobytes())
        self._frames += len(frames)


class _Histogram:
    """How often each value stands in the training tokens; for vectors at each of their places."""

    def __init__(self, values: int, places: int) -> None:
        self._counts = np.zeros((places, values), np.int64)

    def count(self, tokens: NDArray[np.integer]) -> None:
        """Add a block of tokens (T, *shape)."""
        places, values = self._counts.shape
        flat = tokens.reshape(-1, places).astype(np.int64)  # (T, places)
        shifted = flat + np.arange(places) * values
        self._counts += np.bincount(shifted.ravel(), minlength=places * values).reshape(places, values)

    def entropy_bits(self) -> float | None:
        """Entropy in bits per token, summed over the places; None of nothing."""
        if not self._counts.any():
            return None
        return math.fsum(entropy_bits(place) for place in self._counts)


def entropy_bits(histogram: NDArray[np.integer]) -> float:
    """Entropy in bits of the counts (V,): what a model needs that knows the histogram and nothing else."""
    shares = histogram[histogram > 0] / histogram.sum()
    return max(0.0, -math.fsum(float(share) * math.log2(share) for share in shares))


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        stream.flush()
        os.fsync(stream.fileno())
        stream.close()
