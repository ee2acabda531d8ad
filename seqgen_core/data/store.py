"""Prepared data: a folder of tokens that training, evaluation and generation read through memory maps.

    manifest.json               what is in it; written last, so a folder without one is not finished
    tokens-<build>-00000.bin    shards: the tokens of many items, one after another, little-endian, nothing between them

An item is one stretch of one recording that lies in one split; a window never crosses items.
The manifest is replaced in one rename and names its shards: while new data is built beside it, the old stays whole.
"""

import hashlib
import json
import math
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from seqgen_core.audio.codec import token_dtype
from seqgen_core.errors import SeqgenError
from seqgen_core.files import fsync_directory, write_text_atomically
from seqgen_core.settings.base import Settings
from seqgen_core.settings.codec import AudioCodecSettings
from seqgen_core.settings.preprocess import PreprocessSettings
from seqgen_core.settings.tokens import TokenSpec

VERSION = 1
MANIFEST = "manifest.json"
SHARD_BYTES = 256 * 2**20
Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class Item(Settings):
    """One stretch of one recording: where its tokens lie and where they come from."""

    key: str
    """Stable name, the same in every build of the same recording."""
    origin: str
    """File or address that it came from, and the stretch in seconds where it is not the whole."""
    split: Split
    """train, valid or test."""
    shard: str
    """Name of the file that holds its tokens."""
    offset: int
    """Tokens before it in the shard."""
    length: int
    """Number of its tokens."""
    sha256: str
    """Of its tokens' bytes, little-endian."""
    label: int | None = None
    """Class label, an index into the manifest's label_names; none without labels."""


class Rejected(Settings):
    """A file that could not be used."""

    origin: str
    """File or address."""
    reason: str
    """Why, in one line."""


class Manifest(Settings):
    """The content of manifest.json."""

    version: int = VERSION
    """Version of this layout."""
    codec: AudioCodecSettings
    """How the tokens were made and turn back into sound."""
    tokens: TokenSpec
    """What one token is."""
    label_names: tuple[str, ...] = ()
    """Names of the class labels, by index."""
    items: tuple[Item, ...] = ()
    """Everything that was stored."""
    rejected: tuple[Rejected, ...] = ()
    """Everything that was set aside."""
    warnings: tuple[str, ...] = ()
    """What a person should know about this data."""
    order0_bits: float | None = None
    """Entropy in bits of the histogram of the training tokens; none without training tokens."""
    gain: float = 1.0
    """Factor that all amplitudes were multiplied by before the codec (see normalise)."""
    silence_dropped_seconds: float = 0.0
    """Seconds of silence that were cut."""
    fingerprint: str = ""
    """Of the settings and inputs, to recognise finished work; empty where a run should try again."""
    settings: PreprocessSettings = PreprocessSettings()
    """The settings that made it."""


class PreparedData:
    """A finished prepared folder, open for reading."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self.dtype = token_dtype(manifest.tokens.values).newbyteorder("<")
        self._maps: dict[str, NDArray[np.unsignedinteger]] = {}

    @classmethod
    def open(cls, path: Path) -> "PreparedData":
        """Read the manifest of a folder and look at its shards.

        Raises SeqgenError where there is no prepared data, its version is unknown, or a shard is missing or too short.
        """
        path = Path(path)
        manifest = read_manifest(path)
        data = cls(path, manifest)
        needed: dict[str, int] = {}
        for item in manifest.items:
            end = (item.offset + item.length) * data.dtype.itemsize
            needed[item.shard] = max(needed.get(item.shard, 0), end)
        for shard, size in needed.items():
            file = path / shard
            if not file.is_file():
                raise SeqgenError(f"{file} is missing; {path / MANIFEST} names it.", hint=_again(path))
            if file.stat().st_size < size:
                raise SeqgenError(
                    f"{file} has {file.stat().st_size} bytes; {path / MANIFEST} needs {size}.", hint=_again(path)
                )
        return data

    def items(self, split: Split) -> tuple[Item, ...]:
        """The items of one split, in the manifest's order."""
        return tuple(item for item in self.manifest.items if item.split == split)

    def tokens(self, item: Item) -> NDArray[np.unsignedinteger]:
        """Read-only memory-mapped tokens (length,) of an item, uint8 or uint16."""
        if item.shard not in self._maps:
            self._maps[item.shard] = np.memmap(self.path / item.shard, dtype=self.dtype, mode="r")
        return self._maps[item.shard][item.offset : item.offset + item.length]

    def content_hash(self) -> str:
        """Sixteen hexadecimal digits over codec and items: equal where training would read the very same tokens."""
        items = [(item.split, item.sha256, item.length, item.label) for item in self.manifest.items]
        return stable_key(self.manifest.codec.model_dump_json(), json.dumps(items))

    def verify(self) -> None:
        """Compare every item's tokens with its sha256. Raises SeqgenError that names the first that differs."""
        for item in self.manifest.items:
            if hashlib.sha256(self.tokens(item).data).hexdigest() != item.sha256:
                raise SeqgenError(
                    f"the tokens of {item.origin} in {self.path / item.shard} are not what was written there.",
                    hint=_again(self.path),
                )

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_maps": {}}  # a memory map would be pickled as a copy of the data


def read_manifest(path: Path) -> Manifest:
    """The manifest of a prepared folder. Raises SeqgenError where it is missing, unreadable or of another version."""
    file = path / MANIFEST
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SeqgenError(f"There is no prepared data in {path}: {file} does not exist.", hint=_again(path)) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise SeqgenError(f"{file} cannot be read: {problem}.", hint=_again(path)) from None
    try:
        version = json.loads(text)["version"]
    except (ValueError, KeyError, TypeError):
        raise SeqgenError(f"{file} is not a manifest of prepared data.", hint=_again(path)) from None
    if version != VERSION:
        raise SeqgenError(f"{file} has version {version}.", f"Version {VERSION}.", _again(path))
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SeqgenError(f"{file} is damaged at {place}: {first['msg']}.", hint=_again(path)) from None


def _again(path: Path) -> str:
    return f"Prepare it with `seqgen preprocess … --out {path}`."


class PreparedWriter:
    """Builds prepared data in a folder; what stood there stays valid until `finish`.

    Use it as a context manager: leaving it without `finish` removes the shards written so far.
    """

    def __init__(self, path: Path, codec: AudioCodecSettings) -> None:
        self.path = Path(path)
        self.codec = codec
        self.dtype = token_dtype(codec.levels).newbyteorder("<")
        self.items: list[Item] = []
        self._histogram = np.zeros(codec.levels, np.int64)
        self._build = uuid.uuid4().hex[:8]
        self._shards: list[Path] = []
        self._stream: IO[bytes] | None = None
        self._tokens_in_shard = 0
        self._finished = False

    def __enter__(self) -> "PreparedWriter":
        self.path.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._close_shard()
        if not self._finished:
            for shard in self._shards:
                shard.unlink(missing_ok=True)

    def add(
        self, tokens: NDArray[np.integer], *, origin: str, split: Split, label: int | None = None, key: str = ""
    ) -> Item:
        """Store the tokens (T,) of one item; T >= 1. Raises SeqgenError where a token is not one of the codec's."""
        if tokens.ndim != 1 or not len(tokens):
            raise ValueError(f"tokens of shape {tokens.shape}; (T,) with T >= 1 is needed")
        if self._stream is None or self._tokens_in_shard * self.dtype.itemsize >= SHARD_BYTES:
            self._open_shard()
        assert self._stream is not None
        digest = hashlib.sha256()
        for start in range(0, len(tokens), 2**22):  # blocks, since the item may be a memory map of hours
            block = np.asarray(tokens[start : start + 2**22])
            if block.min() < 0 or block.max() >= self.codec.levels:
                outside = block.max() if block.max() >= self.codec.levels else block.min()
                raise SeqgenError(f"token {outside} of {origin} does not exist with {self.codec.levels} levels.")
            data = np.ascontiguousarray(block, dtype=self.dtype).tobytes()
            digest.update(data)
            self._stream.write(data)
            if split == "train":
                self._histogram += np.bincount(block.astype(np.int64, copy=False), minlength=self.codec.levels)
        item = Item(
            key=key or stable_key(origin),
            origin=origin,
            split=split,
            shard=self._shards[-1].name,
            offset=self._tokens_in_shard,
            length=len(tokens),
            sha256=digest.hexdigest(),
            label=label,
        )
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
        gain: float = 1.0,
        silence_dropped_seconds: float = 0.0,
        fingerprint: str = "",
    ) -> Manifest:
        """Make the shards durable, put the manifest in place, remove shards of earlier builds."""
        self._close_shard()
        fsync_directory(self.path)
        manifest = Manifest(
            codec=self.codec,
            tokens=self.codec.tokens,
            label_names=tuple(label_names),
            items=tuple(self.items),
            rejected=tuple(rejected),
            warnings=tuple(warnings),
            order0_bits=entropy_bits(self._histogram) if self._histogram.any() else None,
            gain=gain,
            silence_dropped_seconds=silence_dropped_seconds,
            fingerprint=fingerprint,
            settings=settings
            or PreprocessSettings(
                rate=self.codec.rate, companding=self.codec.companding, levels=self.codec.levels, out=self.path
            ),
        )
        write_text_atomically(self.path / MANIFEST, manifest.model_dump_json(indent=1))
        self._finished = True
        remove_stray_shards(self.path, {item.shard for item in self.items})
        return manifest

    def _open_shard(self) -> None:
        self._close_shard()
        shard = self.path / f"tokens-{self._build}-{len(self._shards):05d}.bin"
        self._shards.append(shard)
        self._stream = shard.open("wb")
        self._tokens_in_shard = 0

    def _close_shard(self) -> None:
        if self._stream is not None:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._stream = None


def remove_stray_shards(path: Path, wanted: set[str]) -> None:
    """Delete the shards that no manifest names: left by a killed build, or replaced by a new one."""
    for shard in path.glob("tokens-*-*.bin"):
        if shard.name not in wanted:
            shard.unlink(missing_ok=True)


def stable_key(*parts: object) -> str:
    """Sixteen hexadecimal digits that depend on the parts alone."""
    return hashlib.sha256("\n".join(str(part) for part in parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def entropy_bits(histogram: NDArray[np.integer]) -> float:
    """Entropy in bits per token of the counts (V,): what a model needs that knows the histogram and nothing else."""
    shares = histogram[histogram > 0] / histogram.sum()
    return max(0.0, -math.fsum(float(share) * math.log2(share) for share in shares))
