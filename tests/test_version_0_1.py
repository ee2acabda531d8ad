"""Data and runs of version 0.1 are read: their codec is "audio", and its curve stands beside it."""

import json

from seqgen_core.data.store import PreparedData
from seqgen_core.runs import RunFolder
from seqgen_core.settings.codec import AudioCodecSettings
from seqgen_core.settings.model import SequnetSettings

OLD_MANIFEST = {
    "version": 1,
    "codec": {"kind": "audio", "rate": 8000, "companding": "a-law", "levels": 16},
    "tokens": {"kind": "categorical", "values": 16, "ordered": True},
    "label_names": [],
    "items": [
        {
            "key": "38b8a5ed43a4fa3f",
            "origin": "data/raw/a.wav",
            "split": "train",
            "shard": "tokens-0a1b2c3d-00000.bin",
            "offset": 0,
            "length": 4,
            "sha256": "054edec1d0211f624fed0cbca9d4f9400b0e491c43742af2c5b0abebf0c990d8",
            "label": None,
        }
    ],
    "rejected": [],
    "warnings": [],
    "order0_bits": 2.0,
    "gain": 1.0,
    "silence_dropped_seconds": 0.0,
    "fingerprint": "0123456789abcdef",
    "settings": {
        "inputs": ["data/raw"],
        "out": "data/prepared",
        "rate": 8000,
        "companding": "a-law",
        "levels": 16,
        "trim_silence": None,
        "longest_silence": 1.0,
        "minimum_seconds": 0.1,
        "chunk_seconds": None,
        "normalise": "none",
        "valid_share": 0.05,
        "test_share": 0.05,
        "seed": 0,
        "labels": "none",
        "jobs": 0,
    },
}
"""As version 0.1 wrote it: the codec is "audio", its curve stands beside it, and settings name it `companding`."""
OLD_SETTINGS = """version = 1

[model]
kind = "sequnet"
features = 5
levels = 3
depth = 1
kernel_size = 3

[tokens]
kind = "categorical"
values = 16
ordered = true

[data]
path = "data/prepared"
gain = 1.0
content_hash = "91b8b7f1143da429"
label_names = []
order0_bits = 2.0

[data.codec]
kind = "audio"
rate = 8000
companding = "a-law"
levels = 16

[train]
data = "data/prepared"
runs = "runs"
steps = 3
batch_size = 3
window = 32
clip_norm = "none"
"""


def write_data(path):
    path.mkdir(parents=True)
    (path / "manifest.json").write_text(json.dumps(OLD_MANIFEST))
    (path / "tokens-0a1b2c3d-00000.bin").write_bytes(bytes([0, 1, 2, 3]))
    return PreparedData.open(path)


def test_data_are_read(tmp_path):
    data = write_data(tmp_path / "data")
    assert data.manifest.codec == AudioCodecSettings(kind="a-law", rate=8000, levels=16)
    assert data.manifest.tokens == data.manifest.codec.tokens
    assert data.manifest.settings.codec == "a-law"
    stream = data.stream(data.items("train")[0])
    assert (stream.tokens.tolist(), stream.given, stream.features) == ([0, 1, 2, 3], 1, None)
    data.verify()


def test_a_run_is_read_and_knows_its_data(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.toml").write_text(OLD_SETTINGS)
    settings = RunFolder.open(tmp_path / "run").settings
    assert settings.model == SequnetSettings(features=5, levels=3, depth=1, kernel_size=3)
    data = write_data(tmp_path / "data")
    assert settings.data.codec == data.manifest.codec
    assert settings.tokens == data.manifest.tokens
    assert settings.data.content_hash == data.content_hash()
    assert (settings.train.carry, settings.train.clip_norm) == (None, None)
