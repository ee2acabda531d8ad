"""Tiny runs of every kind of data, some of them in a bad way, for pages to show."""

import shutil
from pathlib import Path

import numpy as np
from tiny import TINY_MODELS, make_data, make_images, make_run

from seqgen_core.data.store import PreparedData
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.runs import RunFolder
from seqgen_core.settings.codec import NotesCodecSettings, TextCodecSettings
from seqgen_core.training import loop

STRANGE = """<b>"bass" & 'drum'</b>"""
"""A label that would be an element, were it not escaped."""
SENTENCE = "the cat sat on <i>the</i> mat & so on\n"


def make_notes(path: Path) -> PreparedData:
    """Three pieces of 30 frames of 12 keys, three notes going round."""
    codec = NotesCodecSettings(rate=4.0, lowest=60, keys=12)
    with PreparedWriter(path, codec) as writer:
        for number, split in enumerate(("train", "valid", "test")):
            roll = np.zeros((30, 12), np.uint8)
            roll[np.arange(30), (np.arange(30) // 3 + number) % 3 * 4] = 1
            writer.add(roll, origin=f"piece {number}", split=split)
        writer.finish()
    return PreparedData.open(path)


def make_text(path: Path) -> PreparedData:
    """The same sentence many times over, in three splits."""
    vocabulary = tuple(sorted(set(SENTENCE)))
    tokens = np.array([vocabulary.index(one) for one in SENTENCE * 12], np.uint8)
    with PreparedWriter(path, TextCodecSettings(vocabulary=vocabulary)) as writer:
        for split in ("train", "valid", "test"):
            writer.add(tokens, origin=f"{split}.txt", split=split)
        writer.finish()
    return PreparedData.open(path)


def make_labelled(path: Path) -> PreparedData:
    """Sound of two classes, one of them with a name that means something to HTML."""
    data = make_data(path, labels=2, lengths={"train": (500, 400), "valid": (200, 200), "test": (400, 300)})
    named = data.manifest.model_copy(update={"label_names": ("plain", STRANGE)})
    (path / "manifest.json").write_text(named.model_dump_json())
    return PreparedData.open(path)


def make_runs(folder: Path) -> dict[str, RunFolder]:
    """Runs by name, trained for a few steps: two of sound, one of labelled sound, one each of notes, text, images."""
    sound, images = make_data(folder / "data" / "sound"), make_images(folder / "data" / "images")
    runs = folder / "runs"
    made = {
        "tones": (make_run(runs / "tones", sound, "sequnet"), sound),
        "tones-tcn": (make_run(runs / "tones-tcn", sound, "tcn", steps=4, learning_rate=3e-3), sound),
    }
    for name, data, model in (
        ("it's <labelled>", make_labelled(folder / "data" / "labelled"), "wavenet"),
        ("notes", make_notes(folder / "data" / "notes"), "tcn"),
        ("text", make_text(folder / "data" / "text"), "tcn"),
        ("images", images, "pixelcnn"),
    ):
        made[name] = (make_run(runs / name, data, model, steps=4, window=16), data)
    for run, data in made.values():
        loop.train(run, data)
    return {name: run for name, (run, _) in made.items()}


def make_broken(folder: Path) -> dict[str, RunFolder]:
    """Runs in a bad way: without data, imported, never begun, failed before any validation, with damaged metrics."""
    data = make_data(folder / "data" / "lost", lengths={"train": (200,), "valid": (100,), "test": (100,)})
    runs = folder / "runs"
    lost = make_run(runs / "lost", data, "tcn", steps=2)
    loop.train(lost, data)
    made = {"lost": lost, "new": make_run(runs / "new", data, "samplernn"), "failed": make_run(runs / "failed", data)}
    made["failed"].set_status("failed", 3, "The loss is no number any more")
    (made["failed"].path / "metrics.jsonl").write_text('{"step": 1, "kind": "train", "bits": 3.5}\n{"step": 2, "ki')
    shutil.copytree(lost.path, runs / "imported")
    imported = RunFolder.open(runs / "imported")
    account = imported.settings.data.model_copy(update={"path": None, "content_hash": ""})
    imported.replace_settings(imported.settings.model_copy(update={"data": account}))
    imported.set_status("imported", 2)
    (imported.path / "metrics.jsonl").unlink()
    made["imported"] = imported
    shutil.rmtree(data.path)
    assert TINY_MODELS.keys() >= {"tcn", "samplernn"}
    return made
