"""Text files in: UTF-8, whatever ends their lines."""

import codecs
from pathlib import Path

from seqgen_core.errors import SeqgenError

_OTHER_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


class UnreadableTextError(SeqgenError):
    """A file that gives no usable text; `reason` is a phrase about it that does not repeat its name."""

    def __init__(self, path: Path, reason: str, hint: str = "") -> None:
        name = str(path).encode("utf-8", "backslashreplace").decode()
        super().__init__(f"{name}: {reason}.", "A text file in UTF-8.", hint)
        self.reason = reason


def read_text(path: Path) -> str:
    """The text of a file, without its byte order mark, each line ended by \\n alone.

    Raises UnreadableTextError where it is empty, not UTF-8 (naming the byte and its place) or cannot be read.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise UnreadableTextError(path, f"it cannot be read: {problem.strerror or problem}") from None
    encoding = next((name for mark, name in _OTHER_MARKS.items() if data.startswith(mark)), None)
    if encoding is not None:
        raise UnreadableTextError(path, f"it is {encoding}, as its first two bytes say", _convert(encoding))
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as problem:
        place = problem.start + len(data) - len(problem.object)  # counted from the start of the file, mark included
        line = data.count(b"\n", 0, place) + 1
        reason = f"byte 0x{data[place]:02x} at offset {place} (line {line}) is not UTF-8"
        raise UnreadableTextError(path, reason, _convert("ISO-8859-1")) from None
    if not text:
        raise UnreadableTextError(path, "it is empty" if not data else "it holds a byte order mark and nothing else")
    if "\0" in text:
        place = len(text[: text.index("\0")].encode()) + len(data) - len(data.removeprefix(codecs.BOM_UTF8))
        raise UnreadableTextError(path, f"byte 0x00 at offset {place} is no character of a text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _convert(encoding: str) -> str:
    return f"Convert it, if it is {encoding}: `iconv -f {encoding} -t UTF-8 FILE > NEW`."
