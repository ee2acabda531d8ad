"""Archives of strangers: what is right is unpacked, what would do harm is refused, what is damaged is named."""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from seqgen_core.data.datasets.entry import Placed
from seqgen_core.data.datasets.unpack import BLOCK, Arrived, Unpacker, safe_name
from seqgen_core.errors import SeqgenError

FILES = {"top/one.wav": b"first" * 100, "top/sub/two.wav": os.urandom(5000), "top/readme.txt": b"not wanted"}


def place(name: str) -> Placed | None:
    """The sound, each file in its folder below the first, readmes left out."""
    return Placed(name.partition("/")[2] or name) if name.endswith(".wav") else None


Members = Mapping[str, bytes | tarfile.TarInfo] | Sequence[tuple[str, bytes | tarfile.TarInfo]]


def tar(path: Path, members: Members, pack: Callable[[bytes], bytes] = bytes) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items() if isinstance(members, Mapping) else members:
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    path.write_bytes(pack(buffer.getvalue()))
    return path


def zipped(path: Path, members: dict[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def unpack(path: Path, into: Path, most_bytes: int = 10_000, most_members: int = 10, **others: Any) -> Unpacker:
    into.mkdir(exist_ok=True)
    unpacker = Unpacker(into, others.pop("place", place), most_bytes, most_members, **others)
    unpacker.take(Arrived(path, path.name, f"https://example.org/{path.name}"))
    return unpacker


def everything(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


PACKED = {
    "x.tar": bytes, "x.tar.gz": gzip.compress, "x.tgz": gzip.compress, "x.tar.bz2": bz2.compress,
    "x.tar.xz": lzma.compress,
}  # fmt: skip


@pytest.mark.parametrize("name", [*PACKED, "x.zip"])
def test_every_kind_of_archive(tmp_path: Path, name: str):
    make = zipped if name == "x.zip" else lambda path, members: tar(path, members, PACKED[name])
    unpacker = unpack(make(tmp_path / name, FILES), tmp_path / "out")
    wanted = {"one.wav": FILES["top/one.wav"], "sub/two.wav": FILES["top/sub/two.wav"]}
    assert everything(tmp_path / "out") == wanted
    assert {file.path: file.size for file in unpacker.files} == {name: len(data) for name, data in wanted.items()}
    assert unpacker.files[0].origin == f"https://example.org/{name}#top/one.wav"
    assert unpacker.written == sum(map(len, wanted.values()))


def test_a_file_packed_by_gzip_and_a_plain_one(tmp_path: Path):
    (tmp_path / "one.wav.gz").write_bytes(gzip.compress(b"hello"))
    (tmp_path / "two.wav").write_bytes(b"hello again")
    unpack(tmp_path / "one.wav.gz", tmp_path / "out")
    unpack(tmp_path / "two.wav", tmp_path / "out")
    assert everything(tmp_path / "out") == {"one.wav": b"hello", "two.wav": b"hello again"}


def test_a_tree_without_what_is_hidden(tmp_path: Path):
    for name in ("a/one.wav", "a/.hidden.wav", "a/.git/two.wav", "a/b/three.wav", "a/four.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "out").mkdir()
    unpacker = Unpacker(tmp_path / "out", place, 1000, 10)
    unpacker.tree(tmp_path / "a")
    assert sorted(everything(tmp_path / "out")) == ["one.wav", "three.wav"]
    assert unpacker.files[1].origin == str(tmp_path / "a" / "one.wav")


def test_leading_dots_and_folders_as_members(tmp_path: Path):
    folder = tarfile.TarInfo("./top")
    folder.type = tarfile.DIRTYPE
    path = tar(tmp_path / "x.tar.gz", {"./": folder, "./top/one.wav": b"hello"}, gzip.compress)
    unpack(path, tmp_path / "out", place=lambda name: Placed(name))
    assert everything(tmp_path / "out") == {"top/one.wav": b"hello"}
    assert not (tmp_path / "out" / "top" / "one.wav").stat().st_mode & stat.S_IXUSR


ESCAPES = ["../evil.wav", "a/../../evil.wav", "/absolute/evil.wav", "a/..", "C:/evil.wav", "c:evil.wav", "..\\evil.wav"]


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("wanted", [True, False])
def test_names_that_lead_out_make_an_archive_refused(tmp_path: Path, name: str, wanted: bool):
    place = (lambda name: Placed(name)) if wanted else (lambda name: None)
    outside = sorted(tmp_path.rglob("*"))
    for make in (lambda: tar(tmp_path / "x.tar", {name: b"evil"}), lambda: zipped(tmp_path / "x.zip", {name: b"evil"})):
        with pytest.raises(SeqgenError, match="leads out of the folder"):
            unpack(make(), tmp_path / "out", place=place)
    assert everything(tmp_path / "out") == {}
    left = set(tmp_path.rglob("*")) - {tmp_path / "out", tmp_path / "x.tar", tmp_path / "x.zip"}
    assert left == set(outside)


@pytest.mark.parametrize(
    ("name", "inside"),
    [("one.wav", "one.wav"), ("./one.wav", "one.wav"), ("a//b/./c.wav", "a/b/c.wav"), ("..a", "..a"), ("a/", "a")],
)
def test_names_that_stay_inside(name: str, inside: str):
    assert safe_name(name, "x.tar") == inside


def test_a_place_that_leads_out_is_refused_too(tmp_path: Path):
    with pytest.raises(SeqgenError, match="leads out of the folder"):
        unpack(tar(tmp_path / "x.tar", {"a.wav": b""}), tmp_path / "out", place=lambda name: Placed(f"../{name}"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused_where_they_are_wanted(tmp_path: Path, kind: bytes):
    def member(name: str) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        return info

    with pytest.raises(SeqgenError, match=r"'top/link.wav' is no plain file"):
        unpack(tar(tmp_path / "x.tar", {"l": member("top/link.wav")}), tmp_path / "out")
    unpack(tar(tmp_path / "x.tar", {"l": member("top/link"), "top/one.wav": b"hello"}), tmp_path / "out")
    assert everything(tmp_path / "out") == {"one.wav": b"hello"}


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_of_a_zip(tmp_path: Path, kind: int):
    with pytest.raises(SeqgenError, match=r"'top/link.wav' is no plain file"):
        unpack(zipped(tmp_path / "x.zip", {"top/link.wav": b"/etc/passwd"}, kind | 0o777), tmp_path / "out")


def test_a_link_before_a_file_below_it_does_not_lead_out(tmp_path: Path):
    link = tarfile.TarInfo("top/sub")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
    unpack(tar(tmp_path / "x.tar", {"l": link, "top/sub/two.wav": b"x"}), tmp_path / "out")  # the link is not wanted
    assert everything(tmp_path / "out") == {"sub/two.wav": b"x"}
    assert not (tmp_path / "two.wav").exists()


@pytest.mark.parametrize("second", ["top/one.wav", "top/ONE.wav", "other/one.wav"])
def test_two_members_for_one_place(tmp_path: Path, second: str):
    path = tar(tmp_path / "x.tar", [("top/one.wav", b"1"), (second, b"2")])
    with pytest.raises(SeqgenError, match="have one place"):
        unpack(path, tmp_path / "out")


def test_a_file_and_a_folder_of_one_name(tmp_path: Path):
    path = tar(tmp_path / "x.tar", {"top/a.wav": b"1", "top/a.wav/b.wav": b"2"})
    with pytest.raises(SeqgenError, match="a file and a folder, of one name"):
        unpack(path, tmp_path / "out")


class TestBombs:
    """Nothing grows without end: by size, by number, by ratio, by lies in headers."""

    @pytest.mark.parametrize("name", ["x.tar.gz", "x.tar.bz2", "x.tar.xz", "x.zip"])
    def test_more_than_the_data_set_has(self, tmp_path: Path, name: str):
        zeros = {"top/zeros.wav": bytes(40 * BLOCK)}
        path = zipped(tmp_path / name, zeros) if name == "x.zip" else tar(tmp_path / name, zeros, PACKED[name])
        with pytest.raises(SeqgenError, match="unpacks to more than"):
            unpack(path, tmp_path / "out", most_bytes=5 * BLOCK)
        assert sum(map(len, everything(tmp_path / "out").values())) <= 7 * BLOCK

    @pytest.mark.parametrize("name", ["x.tar.gz", "x.zip"])
    def test_a_ratio_that_no_data_have(self, tmp_path: Path, name: str):
        zeros = {"top/zeros.wav": bytes(40 * BLOCK)}
        path = zipped(tmp_path / name, zeros) if name == "x.zip" else tar(tmp_path / name, zeros, PACKED[name])
        with pytest.raises(SeqgenError, match="unpacks to more than"):
            unpack(path, tmp_path / "out", most_bytes=1 << 40)

    def test_of_a_single_file(self, tmp_path: Path):
        (tmp_path / "x.wav.gz").write_bytes(gzip.compress(bytes(40 * BLOCK)))
        with pytest.raises(SeqgenError, match="unpacks to more than"):
            unpack(tmp_path / "x.wav.gz", tmp_path / "out", most_bytes=5 * BLOCK)

    def test_in_what_is_not_wanted(self, tmp_path: Path):
        path = tar(tmp_path / "x.tar.gz", {"top/zeros.txt": bytes(40 * BLOCK)}, gzip.compress)
        with pytest.raises(SeqgenError, match="unpacks to more than"):
            unpack(path, tmp_path / "out", most_bytes=1 << 40)

    @pytest.mark.parametrize("name", ["x.tar.gz", "x.zip"])
    def test_too_many_members(self, tmp_path: Path, name: str):
        many = {f"top/{n}.txt": b"" for n in range(100)}
        path = zipped(tmp_path / name, many) if name == "x.zip" else tar(tmp_path / name, many, PACKED[name])
        with pytest.raises(SeqgenError, match="more than the 11 members"):
            unpack(path, tmp_path / "out", most_members=10)

    def test_a_sparse_file_of_a_terabyte(self, tmp_path: Path):
        info = tarfile.TarInfo("top/hole.wav")
        info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(1 << 40),
                            "GNU.sparse.numblocks": "1", "GNU.sparse.map": f"{(1 << 40) - 1},1"}  # fmt: skip
        info.size = 1
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(info, io.BytesIO(b"x"))
        (tmp_path / "x.tar").write_bytes(buffer.getvalue())
        with pytest.raises(SeqgenError, match="unpacks to more than"):
            unpack(tmp_path / "x.tar", tmp_path / "out")

    def test_a_zip_whose_members_share_their_data(self, tmp_path: Path):
        path = zipped(tmp_path / "x.zip", {"top/a.wav": bytes(4 * BLOCK)})
        content = bytearray(path.read_bytes())
        end = content.rindex(b"PK\5\6")
        start = int.from_bytes(content[end + 16 : end + 20], "little")
        entry = bytes(content[start:end])
        entries = b"".join(entry.replace(b"top/a.wav", b"top/%c.wav" % letter) for letter in b"abcdefgh")
        tail = bytearray(content[end:])
        tail[8:10] = tail[10:12] = (8).to_bytes(2, "little")
        tail[12:16] = len(entries).to_bytes(4, "little")
        path.write_bytes(bytes(content[:start]) + entries + bytes(tail))
        with pytest.raises(SeqgenError):
            unpack(path, tmp_path / "out", most_bytes=8 * BLOCK)
        assert sum(map(len, everything(tmp_path / "out").values())) <= 10 * BLOCK


def damaged(path: Path, how: str) -> Path:
    content = bytearray(path.read_bytes())
    if how == "empty":
        content = bytearray()
    elif how == "cut":
        content = content[: len(content) * 2 // 3]
    elif how == "scrambled":
        content[len(content) // 2] ^= 0xFF
    elif how == "checksum":
        content[-6] ^= 0xFF
    else:
        content = bytearray(b"<html>This is no archive.</html>")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("how", ["empty", "cut", "scrambled", "page"])
@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar.bz2", "x.tar.xz", "x.zip"])
def test_damage_is_one_clear_error(tmp_path: Path, name: str, how: str):
    path = zipped(tmp_path / name, FILES) if name == "x.zip" else tar(tmp_path / name, FILES, PACKED[name])
    with pytest.raises(SeqgenError) as caught:
        unpack(damaged(path, how), tmp_path / "out")
    assert f"{name} is damaged or cut short" in caught.value.got
    assert "\n" not in caught.value.got


def test_the_checksum_at_the_end_counts(tmp_path: Path):
    (tmp_path / "three.wav.gz").write_bytes(gzip.compress(b"hello"))
    for path in (tar(tmp_path / "x.tar.gz", FILES, gzip.compress), tmp_path / "three.wav.gz"):
        with pytest.raises(SeqgenError, match="is damaged or cut short"):
            unpack(damaged(path, "checksum"), tmp_path / "out")


def test_a_zip_with_a_password(tmp_path: Path):
    path = zipped(tmp_path / "x.zip", {"top/one.wav": b"secret"})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(SeqgenError, match="locked by a password"):
        unpack(path, tmp_path / "out")


def test_a_zip_that_lies_about_a_size(tmp_path: Path):
    path = zipped(tmp_path / "x.zip", {"top/one.wav": bytes(5000)})
    content = path.read_bytes().replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little"))
    path.write_bytes(content)
    with pytest.raises(SeqgenError, match="damaged"):
        unpack(path, tmp_path / "out")


def test_whoever_watches_can_stop(tmp_path: Path):
    seen: list[int] = []

    def watch(written: int) -> None:
        seen.append(written)
        if len(seen) == 2:
            raise KeyboardInterrupt

    path = tar(tmp_path / "x.tar", {f"top/{n}.wav": b"1234" for n in range(5)})
    with pytest.raises(KeyboardInterrupt):
        unpack(path, tmp_path / "out", watch=watch)
    assert seen == [4, 8]


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(self: Path, *arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    path = tar(tmp_path / "x.tar", FILES)
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="No space left"):
        Unpacker(tmp_path / "out", place, 10_000, 10).take(Arrived(path, path.name, ""))
