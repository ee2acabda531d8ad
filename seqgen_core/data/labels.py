"""Class labels of raw files: none, the folder's name, a pattern of file names, or a CSV file.

A pattern such as "{label}_{speaker}_{}.wav" is laid over the name of a file; {label} is what is wanted, other names in
braces stand for what differs and are not kept. Each field takes as few characters as it can, from the left. With a
slash the pattern covers the folders before the name too, and without a dot it covers the name without its suffix.
Capitals make no difference outside the fields.
A CSV file has the columns `file` and `label`, and `split` if it likes. A file is meant by its name or by the end of its
path, counted from anywhere; of several lines the one that says most is taken. Its suffix may be left out.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from seqgen_core.data.discover import RawFile, printable
from seqgen_core.data.splits import FOLDER_SPLITS
from seqgen_core.data.store import Rejected, Split
from seqgen_core.errors import SeqgenError, UsageError

Labeller = Callable[[RawFile], tuple[str | None, Split | None]]
"""From a file to its label and split, each None where nothing is said of it. Raises UnlabelledError."""
_WANTED = 'none, folder, a pattern with {label} such as "{label}_{}_{}.wav", or a CSV file with columns file and label.'
_FIELD = re.compile(r"\{([^{}/]*)\}")
_COLUMNS = ("file", "label", "split")


class UnlabelledError(SeqgenError):
    """A file of which the pattern or the CSV file says nothing; `reason` is a phrase that does not repeat its name."""

    def __init__(self, origin: str, reason: str) -> None:
        super().__init__(f"{origin}: {reason}.")
        self.reason = reason


def labeller(labels: str) -> Labeller:
    """What gives files their labels, by the setting `labels`.

    Raises UsageError for a pattern without {label}, or a CSV file that is missing, damaged, or contradicts itself.
    """
    if labels == "none":
        return lambda file: (None, None)
    if labels == "folder":
        return lambda file: (file.label, None)
    if "{" in labels or "}" in labels:
        return _by_pattern(labels)
    return _by_list(Path(labels))


def label_files(labels: str, files: Sequence[RawFile]) -> tuple[list[RawFile], list[Rejected]]:
    """The files with their labels, and with their splits where a CSV file names them; and those that have no label.

    Raises UsageError as `labeller` does, and where not one file gets a label.
    """
    label_of = labeller(labels)
    kept: list[RawFile] = []
    rejected: list[Rejected] = []
    for file in files:
        try:
            label, split = label_of(file)
        except UnlabelledError as problem:
            rejected.append(Rejected(origin=file.origin, reason=problem.reason))
        else:
            kept.append(replace(file, label=label, given=split or file.given))
    if files and not kept:
        raise UsageError(
            f"Not one of {len(files)} files gets a label: {rejected[0].origin}: {rejected[0].reason}.",
            _WANTED,
            "Set --labels to what the names really are; none leaves labels out.",
        )
    return kept, rejected


def _by_pattern(pattern: str) -> Labeller:
    names = [name.strip() for name in _FIELD.findall(pattern)]
    if names.count("label") != 1 or "{" in (rest := _FIELD.sub("", pattern)) or "}" in rest:
        times = {0: "has no {label}", 1: "has a brace without its partner"}.get(
            names.count("label"), "has {label} twice"
        )
        fields = [f"{{{name}}}" for name in names if name and name != "label"]
        hint = (
            f"If {' or '.join(fields)} is the label, write {{label}} there." if fields and "label" not in names else ""
        )
        raise UsageError(f'labels = "{printable(pattern)}" {times}.', _WANTED, hint)
    parts = _plain(pattern).replace("\\", "/").split("/")
    whole_name = "." in _FIELD.sub("", parts[-1])
    compiled = re.compile("/".join(map(_expression, parts)), re.IGNORECASE)

    def label_of(file: RawFile) -> tuple[str | None, Split | None]:
        path = file.path.absolute()
        name = path.name if whole_name else path.stem
        match = compiled.fullmatch(_plain("/".join([*path.parts[-len(parts) : -1], name])))
        if match is None:
            raise UnlabelledError(file.origin, f'its name does not fit the pattern of labels "{printable(pattern)}"')
        return match["label"], None

    return label_of


def _expression(part: str) -> str:
    """Of one part of the path: literal text, and fields of one character or more."""
    pieces = _FIELD.split(part)  # text, field, text, field, …, text
    fields = ["(?P<label>[^/]+?)" if name.strip() == "label" else "[^/]+?" for name in pieces[1::2]]
    literals = [re.escape(text) for text in pieces[::2]]
    return "".join(text + field for text, field in zip(literals, [*fields, ""], strict=True))


def _by_list(path: Path) -> Labeller:
    entries: dict[tuple[str, ...], tuple[str, Split | None]] = {}
    first_line: dict[tuple[str, ...], int] = {}
    for line, (name, label, split) in _rows(path):
        parts = _parts(name)
        if entries.setdefault(parts, (label, split)) != (label, split):
            before = ", ".join(filter(None, entries[parts]))
            now = ", ".join(filter(None, (label, split)))
            raise UsageError(
                f"{printable(path)}: line {line} says {name} is {now}, line {first_line[parts]} that it is {before}.",
                hint="Give it one label.",
            )
        first_line.setdefault(parts, line)

    def label_of(file: RawFile) -> tuple[str | None, Split | None]:
        whole = tuple(map(_plain, file.path.absolute().parts))
        for parts in (whole, (*whole[:-1], _plain(file.path.stem))):
            for start in range(len(parts)):
                if parts[start:] in entries:
                    return entries[parts[start:]]
        raise UnlabelledError(file.origin, f"{printable(path)} does not name it")

    return label_of


def _rows(path: Path) -> list[tuple[int, tuple[str, str, Split | None]]]:
    """Line number, and file, label and split, of every line below the header."""
    shown = printable(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        header = text.partition("\n")[0]
        delimiter = max(",;\t", key=header.count)
        reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
        columns = [name.strip().lower() for name in next(reader, [])]
        lines = [(reader.line_num, [value.strip() for value in row]) for row in reader if any(map(str.strip, row))]
    except FileNotFoundError:
        raise UsageError(f'labels = "{shown}", and there is no such file.', _WANTED) from None
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        why = getattr(problem, "strerror", None) or problem
        raise UsageError(f"The labels in {shown} cannot be read: {why}.", "A CSV file in UTF-8.") from None
    missing = [name for name in _COLUMNS[:2] if name not in columns]
    if missing:
        found = ", ".join(filter(None, columns)) or "nothing"
        raise UsageError(
            f"{shown} has no column {' and no column '.join(missing)}: its first line names {found}.",
            "A first line such as file,label or file,label,split.",
        )
    rows = []
    for line, values in lines:
        row = dict(zip(columns, values, strict=False))
        name, label, split = (row.get(column, "") for column in _COLUMNS)
        if not name or not label:
            raise UsageError(f"{shown}: line {line} names no {'label' if name else 'file'}.")
        if split and split.lower() not in FOLDER_SPLITS:
            raise UsageError(f'{shown}: line {line} names the split "{split}".', "train, valid or test, or nothing.")
        rows.append((line, (_plain(name), _plain(label), FOLDER_SPLITS.get(split.lower()))))
    if not rows:
        raise UsageError(f"{shown} names no file.", "A line for each file below file,label.")
    return rows


def _parts(name: str) -> tuple[str, ...]:
    """Of a path, as a file's own parts are."""
    return tuple(part for part in Path(name.replace("\\", "/")).parts if part != ".")


def _plain(text: str) -> str:
    """Printable and composed: an é typed in a list meets the é of a file name that is kept as e and an accent."""
    return unicodedata.normalize("NFC", printable(text))
