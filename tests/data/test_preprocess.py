"""From raw files to prepared data: nothing lost silently, nothing rescaled, nothing done twice."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.files import read_mono, write_wav
from seqgen_core.data import sound
from seqgen_core.data.preprocess import PreprocessReport, preprocess
from seqgen_core.data.store import SPLITS, PreparedData
from seqgen_core.data.workers import Crashed, Done
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.progress import Silent
from seqgen_core.settings.preprocess import PreprocessSettings

RATE = 8000


def noise(seconds: float = 1.0, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE)).clip(-1, 1)


def fill(folder: Path, count: int, seconds: float = 0.3) -> Path:
    for number in range(count):
        write_wav(folder / f"{number:02}.wav", noise(seconds, seed=number), RATE)
    return folder


def prepare(raw: Path, out: Path, jobs: int = 1, rate: int = RATE, **settings: Any) -> PreprocessReport:
    return preprocess(PreprocessSettings(inputs=(raw,), out=out, rate=rate, jobs=jobs, **settings))


class Failing(Silent):
    """A listener that fails as soon as work begins."""

    def begin(self, task: str, total: float | None, unit: str) -> None:
        raise ZeroDivisionError


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in folder.iterdir()}


@pytest.mark.parametrize(("companding", "levels"), [("mu-law", 256), ("a-law", 64), ("linear", 65536)])
def test_tokens_are_the_encoded_recordings(tmp_path, companding, levels):
    raw = fill(tmp_path / "raw", 5)
    report = prepare(raw, tmp_path / "out", codec=companding, levels=levels)
    data = PreparedData.open(tmp_path / "out")
    data.verify()
    codec = AudioCodec(data.manifest.codec)
    assert sorted(item.origin for item in data.manifest.items) == sorted(str(path) for path in raw.iterdir())
    for item in data.manifest.items:
        assert np.array_equal(data.tokens(item), codec.encode(read_mono(Path(item.origin), RATE)))
    assert {item.split for item in data.manifest.items} == set(SPLITS)
    assert sum(report.seconds(split) for split in SPLITS) == pytest.approx(5 * 0.3)
    train = np.concatenate([data.tokens(item) for item in data.items("train")])
    shares = np.bincount(train)[np.bincount(train) > 0] / len(train)
    assert data.manifest.order0_bits == pytest.approx(-(shares * np.log2(shares)).sum())


def test_work_leaves_nothing_but_data(tmp_path):
    prepare(fill(tmp_path / "raw", 3), tmp_path / "out")
    (shard,) = (tmp_path / "out").glob("tokens-*.bin")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"manifest.json", ".lock", shard.name}


def test_processes_give_what_one_gives(tmp_path):
    raw = fill(tmp_path / "raw", 5)
    one = prepare(raw, tmp_path / "one").manifest
    two = prepare(raw, tmp_path / "two", jobs=2).manifest
    assert [item.model_dump(exclude={"shard"}) for item in one.items] == [
        item.model_dump(exclude={"shard"}) for item in two.items
    ]


def test_the_whole_folder_of_formats_is_accounted_for(shared_data, tmp_path):
    report = prepare(shared_data / "formats", tmp_path / "out", jobs=2, rate=16000)
    manifest = report.manifest
    used = {Path(item.origin).name for item in manifest.items}
    assert {Path(r.origin).name for r in report.rejected} == {
        *("all_nan_float.wav", "nan_inf_float.wav", "no_data_chunk.wav", "random_bytes.wav", "rate_0_header.wav"),
        *("rate_1hz_header.wav", "silent.wav", "text_named.wav", "truncated_header.wav", "truncated_no_index.m4a"),
        *("unknown_codec_tag.wav", "zero_byte.mp3", "zero_byte.wav", "zero_channels_header.wav", "zero_frames.wav"),
    }
    assert {Path(r.origin).name for r in report.too_short} == {"one_sample.wav", "two_and_half_samples.wav"}
    found = {path.name for path in (shared_data / "formats").rglob("*") if path.is_file()}
    aside = {Path(r.origin).name for r in manifest.rejected}
    assert used | aside == found - {".hidden.wav", "readme.txt"}
    assert not used & aside
    warned = {line.split(".wav")[0].rpartition("/")[2]: line for line in manifest.warnings if ".wav: " in line}
    assert "5295 samples (11.0%) beyond full scale were clamped (peak 4.58)" in warned["over_range_float"]
    assert "clipped: 5299 samples" in warned["clipped"]
    assert "mean is 0.356" in warned["dc_offset_whale"]
    assert "1 file is hidden: skipped" in manifest.warnings
    assert any("20 files" in line or "same bytes" in line for line in manifest.warnings)
    PreparedData.open(tmp_path / "out").verify()


def test_finished_work_is_recognised(tmp_path):
    raw = fill(tmp_path / "raw", 3)
    first = prepare(raw, tmp_path / "out")
    before = snapshot(tmp_path / "out")
    again = prepare(raw, tmp_path / "out", jobs=2)
    assert (first.fresh, again.fresh) == (True, False)
    assert again.manifest == first.manifest
    assert snapshot(tmp_path / "out") == before


@pytest.mark.parametrize("change", ["settings", "new file", "changed file", "touched shard"])
def test_anything_else_is_done_anew(tmp_path, change):
    raw = fill(tmp_path / "raw", 3)
    prepare(raw, tmp_path / "out")
    settings = {}
    if change == "settings":
        settings = {"levels": 16}
    elif change == "new file":
        write_wav(raw / "new.wav", noise(seed=99), RATE)
    elif change == "changed file":
        write_wav(raw / "00.wav", noise(0.3, seed=99), RATE)
    else:
        (shard,) = (tmp_path / "out").glob("tokens-*.bin")
        os.truncate(shard, 100)
    report = prepare(raw, tmp_path / "out", **settings)
    assert report.fresh
    data = PreparedData.open(tmp_path / "out")
    data.verify()
    assert len(list((tmp_path / "out").glob("tokens-*.bin"))) == 1
    assert data.manifest.codec.levels == settings.get("levels", 256)
    for item in data.manifest.items:
        expected = AudioCodec(data.manifest.codec).encode(read_mono(Path(item.origin), RATE))
        assert np.array_equal(data.tokens(item), expected)


def test_the_old_data_stand_until_the_new_are_whole(tmp_path, monkeypatch):
    raw = fill(tmp_path / "raw", 3)
    before = prepare(raw, tmp_path / "out").manifest
    monkeypatch.setattr(sound.PreparedWriter, "finish", lambda *_, **__: pytest.fail("stopped here"))
    with pytest.raises(BaseException, match="stopped here"):
        prepare(raw, tmp_path / "out", levels=16)
    data = PreparedData.open(tmp_path / "out")
    data.verify()
    assert data.manifest == before


def test_interrupted_work_is_not_done_again(tmp_path, monkeypatch):
    raw = fill(tmp_path / "raw", 6)
    done = []
    original = sound.prepare_file

    def counting(task):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(task.path.name)
        return original(task)

    monkeypatch.setattr(sound, "prepare_file", counting)
    with pytest.raises(KeyboardInterrupt):
        prepare(raw, tmp_path / "out")
    assert done == ["00.wav", "01.wav", "02.wav", "03.wav"]
    damaged = min((tmp_path / "out" / ".work").glob("*.tokens"))  # as after a loss of power
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (tmp_path / "out" / "tokens-deadbeef-00000.bin").write_bytes(b"left by a killed build")
    done.clear()
    with pytest.raises(ZeroDivisionError):
        preprocess(PreprocessSettings(inputs=(raw,), out=tmp_path / "out", rate=RATE, jobs=1), Failing())
    assert not list((tmp_path / "out").glob("*.bin"))
    prepare(raw, tmp_path / "out")
    assert len(done) == 3
    assert done[1:] == ["04.wav", "05.wav"]
    PreparedData.open(tmp_path / "out").verify()
    assert len(list((tmp_path / "out").glob("*.bin"))) == 1


def test_a_file_that_a_decoder_chokes_on_is_tried_again_next_time(tmp_path, monkeypatch):
    raw = fill(tmp_path / "raw", 4)
    from seqgen_core.data import prepare as files

    def choke(path):
        if path.name == "01.wav":
            raise RuntimeError("bad\nday")
        return original(path)

    original = files.SoundFile
    monkeypatch.setattr(files, "SoundFile", choke)
    first = prepare(raw, tmp_path / "out")
    assert [r.reason for r in first.rejected] == ["unexpected RuntimeError: bad day"]
    assert len(first.manifest.items) == 3
    monkeypatch.setattr(files, "SoundFile", original)
    second = prepare(raw, tmp_path / "out")
    assert (second.fresh, len(second.manifest.items)) == (True, 4)


def test_a_file_that_kills_its_process_is_set_aside_and_tried_again(tmp_path, monkeypatch):
    raw = fill(tmp_path / "raw", 4)
    original = sound.run_all

    def crash_on_the_second(function, tasks, jobs):
        for done in original(function, tasks, jobs):
            yield Done(done.number, Crashed() if done.number == 1 else done.result)

    monkeypatch.setattr(sound, "run_all", crash_on_the_second)
    first = prepare(raw, tmp_path / "out")
    assert [(Path(r.origin).name, r.reason) for r in first.rejected] == [("01.wav", "the decoder crashed on it")]
    monkeypatch.setattr(sound, "run_all", original)
    assert len(prepare(raw, tmp_path / "out").manifest.items) == 4


def test_two_runs_on_one_output_are_kept_apart(tmp_path):
    from seqgen_core.data.fetching.locks import lock

    raw = fill(tmp_path / "raw", 3)
    with lock(tmp_path / "out" / ".lock") as held:
        assert held
        with pytest.raises(SeqgenError, match="Another process is preparing data"):
            prepare(raw, tmp_path / "out")


def test_amplitude_is_never_rescaled_per_file(tmp_path):
    write_wav(tmp_path / "raw" / "loud.wav", noise(level=0.2), RATE)
    write_wav(tmp_path / "raw" / "soft.wav", noise(level=0.01), RATE)
    write_wav(tmp_path / "raw" / "more.wav", noise(seed=3), RATE)
    levels = {}
    for normalise in ("none", "peak", "rms"):
        prepare(tmp_path / "raw", tmp_path / normalise, codec="linear", levels=65536, normalise=normalise)
        data = PreparedData.open(tmp_path / normalise)
        codec = AudioCodec(data.manifest.codec)
        sounds = {Path(item.origin).stem: codec.decode(data.tokens(item)) for item in data.manifest.items}
        levels[normalise] = {name: float(np.sqrt(np.square(x).mean())) for name, x in sounds.items()}
        everything = np.concatenate(list(sounds.values()))
        if normalise == "none":
            assert data.manifest.gain == 1
            assert levels[normalise]["soft"] == pytest.approx(0.01, rel=0.03)
        if normalise == "peak":
            assert np.abs(everything).max() == pytest.approx(0.95, abs=1e-4)
        if normalise == "rms":
            assert np.sqrt(np.square(everything).mean()) == pytest.approx(0.1, rel=1e-3)
        assert levels[normalise]["loud"] / levels["none"]["loud"] == pytest.approx(data.manifest.gain, rel=1e-3)
        assert levels[normalise]["loud"] / levels[normalise]["soft"] == pytest.approx(20, rel=0.02)


def test_silence_is_cut_and_counted(tmp_path):
    pause = np.zeros(3 * RATE)
    write_wav(tmp_path / "raw" / "a.wav", np.concatenate([pause, noise(), pause, noise(), pause]), RATE)
    write_wav(tmp_path / "raw" / "b.wav", noise(seed=1), RATE)
    write_wav(tmp_path / "raw" / "c.wav", noise(seed=2), RATE)
    write_wav(tmp_path / "raw" / "d.wav", noise(seed=2, level=1e-3), RATE)
    report = prepare(tmp_path / "raw", tmp_path / "out", trim_silence=-40, longest_silence=0.5)
    assert report.manifest.silence_dropped_seconds == pytest.approx(9 - 0.5 - 0.1, abs=0.05)
    assert [(Path(r.origin).name, r.reason) for r in report.rejected] == [
        ("d.wav", "all 1.00 s are silence below -40 dBFS")
    ]
    assert prepare(tmp_path / "raw", tmp_path / "untrimmed").manifest.silence_dropped_seconds == 0


def test_short_files_are_reported(tmp_path):
    raw = fill(tmp_path / "raw", 3)
    write_wav(raw / "short.wav", noise(0.2), RATE)
    report = prepare(raw, tmp_path / "out", minimum_seconds=0.25)
    assert [r.reason for r in report.too_short] == ["too short: 0.2 s, the shortest used is 0.25 s"]
    assert not report.rejected
    assert not prepare(raw, tmp_path / "all", minimum_seconds=0).too_short


def test_one_recording_is_cut_along_time(tmp_path):
    write_wav(tmp_path / "raw" / "one.wav", noise(10), RATE)
    report = prepare(tmp_path / "raw", tmp_path / "out")
    data = PreparedData.open(tmp_path / "out")
    assert [item.split for item in data.manifest.items] == list(SPLITS)
    assert [report.seconds(split) for split in SPLITS] == pytest.approx([9, 0.5, 0.5])
    whole = AudioCodec(data.manifest.codec).encode(read_mono(tmp_path / "raw" / "one.wav", RATE))
    assert np.array_equal(np.concatenate([data.tokens(item) for item in data.manifest.items]), whole)
    assert data.items("valid")[0].origin.endswith("one.wav [9.00–9.50 s]")
    assert len({item.key for item in data.manifest.items}) == 3
    assert any("only one recording" in line for line in report.manifest.warnings)


def test_chunks_cut_items_and_never_splits(tmp_path):
    raw = fill(tmp_path / "raw", 4, seconds=1.05)
    report = prepare(raw, tmp_path / "out", chunk_seconds=0.25, minimum_seconds=0.1)
    data = PreparedData.open(tmp_path / "out")
    whole = {path: AudioCodec(data.manifest.codec).encode(read_mono(path, RATE)) for path in raw.iterdir()}
    for path, tokens in whole.items():
        mine = [item for item in data.manifest.items if item.origin.startswith(str(path))]
        assert len({item.split for item in mine}) == 1
        assert [item.length for item in mine] == [2000, 2000, 2000, 2400]  # the rest of 0.05 s stays with the last
        assert np.array_equal(np.concatenate([data.tokens(item) for item in mine]), tokens)
    assert len({item.key for item in report.manifest.items}) == 16


def test_folders_become_labels(tmp_path):
    for number, name in enumerate(["violin", "flute", "train/flute", "violin", "bad"]):
        write_wav(tmp_path / "raw" / name / f"{number}.wav", noise(seed=number), RATE)
    (tmp_path / "raw" / "bad" / "4.wav").write_bytes(b"")
    manifest = prepare(tmp_path / "raw", tmp_path / "out", labels="folder").manifest
    assert manifest.label_names == ("flute", "violin")
    for item in manifest.items:
        assert item.label is not None
        assert manifest.label_names[item.label] in item.origin
    assert all(item.label is None for item in prepare(tmp_path / "raw", tmp_path / "plain").manifest.items)


def test_given_folders_are_the_split(tmp_path):
    for number, name in enumerate(["train", "train", "val", "test", "train"]):
        write_wav(tmp_path / "raw" / name / f"{number}.wav", noise(seed=number), RATE)
    for item in prepare(tmp_path / "raw", tmp_path / "out").manifest.items:
        assert item.split == {"val": "valid"}.get(Path(item.origin).parent.name, Path(item.origin).parent.name)


def test_nothing_usable_names_the_reasons(tmp_path):
    for name in ("a.wav", "b.mp3"):
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(b"")
    with pytest.raises(
        SeqgenError, match=r"None of 2 files could be used: .*a\.wav: it is empty .*b\.mp3: it is empty"
    ):
        prepare(tmp_path / "raw", tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_no_sound_at_all_says_what_is_taken(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "table.csv").write_text("x")
    with pytest.raises(SeqgenError, match=r"There is no sound in .*raw; 1 file is no sound") as caught:
        prepare(tmp_path / "raw", tmp_path / "out")
    assert "seqgen download" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_input_and_output_must_differ(tmp_path):
    raw = fill(tmp_path / "raw", 3)
    with pytest.raises(UsageError, match="input and output at once"):
        prepare(raw, raw)


def test_shares_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match=r"valid_share \+ test_share is 1"):
        PreprocessSettings(valid_share=0.5, test_share=0.5)
