"""Prepared data: a folder of tokens that training, evaluation and generation read through memory maps.

    manifest.json               what is in it; written last, so a folder without one is not finished
    tokens-<build>-00000.bin    shards: the tokens of many items, one after another, little-endian, nothing between them
    features-<build>.bin        features for local conditioning, float32, little-endian, where there are any

An item is one stretch of one recording that lies in one split; a window never crosses items.
The manifest is replaced in one rename and names its shards: while new data is built beside it, the old stays whole.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, ValidationError

from seqgen_core.errors import SeqgenError
from seqgen_core.settings.base import Settings
from seqgen_core.settings.codec import AudioCodecSettings, CodecSettings
from seqgen_core.settings.features import MelSettings
from seqgen_core.settings.preprocess import PreprocessSettings
from seqgen_core.settings.tokens import TokenSpec
from seqgen_core.streams import Stream, Upsampled, token_dtype

VERSION = 1
MANIFEST = "manifest.json"
Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
VERIFIED_AT_ONCE = 2**30
"""Bytes of tokens whose sums are compared before every work on them: two thirds of a second on one core."""


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
    given: int = 1
    """Tokens at its start that are given, not predicted."""
    frames: int = 0
    """Frames of its features; 0 without features."""
    features_offset: int = 0
    """Frames before them in the file of features."""


class Rejected(Settings):
    """A file that could not be used."""

    origin: str
    """File or address."""
    reason: str
    """Why, in one line."""


def _from_version_0_1(values: Any) -> Any:
    """Data of version 0.1 were made with the setting `companding`, which is now `codec`."""
    if isinstance(values, dict) and "companding" in values:
        rest = {name: value for name, value in values.items() if name != "companding"}
        return {**rest, "codec": values["companding"]}
    return values


class Manifest(Settings):
    """The content of manifest.json."""

    version: int = VERSION
    """Version of this layout."""
    codec: CodecSettings
    """How the tokens were made and turn back into sound, text, notes or images."""
    tokens: TokenSpec
    """What one token is."""
    label_names: tuple[str, ...] = ()
    """Names of the class labels, by index."""
    features: MelSettings | None = None
    """How features were made of the sound; none without features."""
    features_file: str = ""
    """Name of the file that holds the features."""
    items: tuple[Item, ...] = ()
    """Everything that was stored."""
    rejected: tuple[Rejected, ...] = ()
    """Everything that was set aside."""
    warnings: tuple[str, ...] = ()
    """What a person should know about this data."""
    remarks: tuple[str, ...] = ()
    """What is worth knowing and nothing to worry about, such as the yardstick of a task."""
    order0_bits: float | None = None
    """Entropy in bits of the histogram of the training tokens (of each place of a vector, summed); none without any."""
    gain: float = 1.0
    """Factor that all amplitudes were multiplied by before the codec (see normalise)."""
    silence_dropped_seconds: float = 0.0
    """Seconds of silence that were cut."""
    fingerprint: str = ""
    """Of the settings and inputs, to recognise finished work; empty where a run should try again."""
    settings: Annotated[PreprocessSettings, BeforeValidator(_from_version_0_1)] = PreprocessSettings()
    """The settings that made it."""


class PreparedData:
    """A finished prepared folder, open for reading."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self.dtype = token_dtype(manifest.tokens.values).newbyteorder("<")
        self.token_bytes = self.dtype.itemsize * math.prod(manifest.tokens.shape)
        self._maps: dict[str, np.ndarray] = {}

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
            end = (item.offset + item.length) * data.token_bytes
            needed[item.shard] = max(needed.get(item.shard, 0), end)
            if item.frames and manifest.features is not None:
                end = (item.features_offset + item.frames) * manifest.features.bands * 4
                needed[manifest.features_file] = max(needed.get(manifest.features_file, 0), end)
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
        """Read-only memory-mapped tokens (length, *shape) of an item, uint8 or uint16."""
        shard = self._mapped(item.shard, self.dtype, self.manifest.tokens.shape)
        return shard[item.offset : item.offset + item.length]

    def frames(self, item: Item) -> NDArray[np.float32] | None:
        """Read-only memory-mapped features (frames, bands) of an item, None without features."""
        features = self.manifest.features
        if features is None or not item.frames:
            return None
        frames = self._mapped(self.manifest.features_file, np.dtype("<f4"), (features.bands,))
        return frames[item.features_offset : item.features_offset + item.frames]

    def stream(self, item: Item, length: int | None = None) -> Stream:
        """An item as every later stage takes it, or its first `length` tokens."""
        tokens, frames, mel = self.tokens(item), self.frames(item), self.manifest.features
        features = None if frames is None or mel is None else Upsampled(frames, mel.hop, len(tokens))
        stream = Stream(item.origin, tokens, item.label, features, item.given)
        return stream if length is None else stream.cut(length)

    def content_hash(self) -> str:
        """Sixteen hexadecimal digits over codec and items: equal where training would read the very same tokens."""
        codec, features = self.manifest.codec, self.manifest.features
        # What version 0.1 did not know is left out where it says nothing, so that its runs still know their data.
        items = [
            (item.split, item.sha256, item.length, item.label, *([item.given] if item.given > 1 else []))
            for item in self.manifest.items
        ]
        layout = codec.model_dump_json()
        if isinstance(codec, AudioCodecSettings):
            layout = f'{{"kind":"audio","rate":{codec.rate},"companding":"{codec.kind}","levels":{codec.levels}}}'
        return stable_key(layout, json.dumps(items), *([features.model_dump_json()] if features else []))

    def token_size(self, split: Split | None = None) -> int:
        """Bytes of the tokens of a split, or of all."""
        return sum(item.length for item in self._of(split)) * self.token_bytes

    def verify(self, split: Split | None = None) -> None:
        """Compare the tokens of every item, or of a split's, with its sha256: some 1.6 GB a second on one core.

        Raises SeqgenError that names the first that differs.
        """
        for item in self._of(split):
            if hashlib.sha256(self.tokens(item).data).hexdigest() != item.sha256:
                raise SeqgenError(
                    f"the tokens of {item.origin} in {self.path / item.shard} are not what was written there.",
                    hint=_again(self.path),
                )

    def _of(self, split: Split | None) -> tuple[Item, ...]:
        return self.manifest.items if split is None else self.items(split)

    def _mapped(self, file: str, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        if file not in self._maps:
            try:
                self._maps[file] = np.memmap(self.path / file, dtype=dtype, mode="r").reshape(-1, *shape)
            except (FileNotFoundError, ValueError) as problem:
                raise SeqgenError(
                    f"{self.path / file} is gone or was cut since {self.path} was opened: it was prepared anew.",
                    hint="Run the command again.",
                ) from problem
        return self._maps[file]

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


def remove_stray_shards(path: Path, wanted: set[str]) -> None:
    """Delete the files of tokens and features that no manifest names: of a killed build, or replaced by a new one."""
    for shard in [*path.glob("tokens-*-*.bin"), *path.glob("features-*.bin")]:
        if shard.name not in wanted:
            shard.unlink(missing_ok=True)


def stable_key(*parts: object) -> str:
    """Sixteen hexadecimal digits that depend on the parts alone."""
    return hashlib.sha256("\n".join(str(part) for part in parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
