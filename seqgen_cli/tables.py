"""A table as lines within a width: headings and prose wrap at words, names are cut in their middle, numbers stay whole.

The first character of a column's name says how it gives way: '>' a number, right-aligned and never cut; '~' a name,
such as a path or an address, cut in its middle; '/' in the last column a sentence, which goes below its row where it
has no room beside it; anything else is prose.
"""

import os.path
from collections.abc import Sequence

from rich.cells import cell_len, chop_cells

GAP = 2
LEAST_NAME = 16
"""Columns that a name keeps while prose beside it can still be wrapped further."""
LEAST = 8


def lay_out(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> tuple[list[str], list[str]]:
    """Lines of the heading (none where no column has a name) and of the rows; width None has a line for each row."""
    names, kinds, cells, full = _taken_apart(columns, rows)
    if width is not None and kinds[-1:] == ["/"] and sum(full) + GAP * (len(full) - 1) > width:
        return _sentences_below(columns, rows, width)
    widths = full if width is None else _widths(names, kinds, cells, full, width - GAP * (len(full) - 1))
    heading = _row(names, kinds, widths, cut=False) if any(names) else []
    return heading, [line for row in rows for line in _row(row, kinds, widths, cut=width is not None)]


def _sentences_below(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> tuple[list[str], list[str]]:
    names, kinds, cells, full = _taken_apart(columns[:-1], [row[:-1] for row in rows])
    widths = _widths(names, kinds, cells, full, width - GAP * (len(full) - 1))
    lines = []
    for row in rows:
        lines += _row(row[:-1], kinds, widths, cut=True)
        lines += [f"{' ' * GAP}{part}" for part in wrap(row[-1], width - GAP)]
    return _row(names, kinds, widths, cut=False), lines


def _taken_apart(
    columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[str], list[list[str]], list[int]]:
    """Names, kinds, cells and full widths of the columns."""
    kinds = [name[:1] if name[:1] in (">", "~", "/") else "" for name in columns]
    names = [name.removeprefix(kind) for name, kind in zip(columns, kinds, strict=True)]
    cells = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in columns]
    return names, kinds, cells, [_longest([name, *column]) for name, column in zip(names, cells, strict=True)]


def _widths(names: list[str], kinds: list[str], cells: list[list[str]], full: list[int], room: int) -> list[int]:
    """Columns for each column where all have `room` together."""
    if sum(full) <= room:
        return full
    least = []
    for name, kind, column in zip(names, kinds, cells, strict=True):
        word = _longest(name.split())
        inside = _longest(column) if kind == ">" else min(LEAST_NAME, _longest(column))
        if kind in ("", "/"):
            inside = min(_longest([word for text in column for word in text.split()]), room // 2)
        least.append(max(word, inside))
    while sum(least) > room:  # where even that is too wide, the longest words are broken
        columns, place = max(((w, place) for place, w in enumerate(least) if kinds[place] != ">"), default=(0, 0))
        if columns <= LEAST:
            break
        least[place] -= 1
    left, short = room - sum(least), [place for place in range(len(full)) if least[place] < full[place]]
    while left > 0 and short:
        for place in list(short)[:left]:
            least[place], left = least[place] + 1, left - 1
        short = [place for place in short if least[place] < full[place]]
    return least


def _row(cells: Sequence[str], kinds: list[str], widths: list[int], *, cut: bool) -> list[str]:
    parts = []
    for cell, kind, width in zip(cells, kinds, widths, strict=True):
        parts.append([shorten(cell, width)] if kind == "~" and cut else wrap(cell, width))
    lines = []
    for number in range(max(map(len, parts), default=0)):
        texts = [part[number] if number < len(part) else "" for part in parts]
        spaces = [" " * (width - cell_len(text)) for text, width in zip(texts, widths, strict=True)]
        padded = [
            space + text if kind == ">" else text + space
            for text, space, kind in zip(texts, spaces, kinds, strict=True)
        ]
        lines.append((" " * GAP).join(padded).rstrip())
    return lines


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most so many columns, broken at spaces, within a word only where it is longer than a line."""
    lines = []
    for paragraph in text.split("\n"):
        if cell_len(paragraph) <= width:
            lines.append(paragraph)
            continue
        line = ""
        for word in paragraph.split():
            if line and cell_len(line) + 1 + cell_len(word) <= width:
                line = f"{line} {word}"
                continue
            if line:
                lines.append(line)
            *whole, line = chop_cells(word, width)
            lines += whole
        lines.append(line)
    return lines


def shorten(name: str, width: int) -> str:
    """A name in at most so many columns: its beginning, an ellipsis, and more of its end, which tells more."""
    if cell_len(name) <= width:
        return name
    room = width - 1
    begin = _cut(name, room // 3)
    end = _cut(name[::-1], room - cell_len(begin))[::-1]
    return f"{begin}…{end}"


def without_common_folder(paths: Sequence[str]) -> list[str]:
    """Paths without the folders that all of them lie in; what is no path, or of mixed kinds, as it stands."""
    folders = [os.path.dirname(path) for path in paths]
    if not all(folders) or len({os.path.isabs(folder) for folder in folders}) != 1:
        return list(paths)
    common = os.path.commonpath(folders)
    return [os.path.relpath(path, common) for path in paths] if common else list(paths)


def _cut(text: str, width: int) -> str:
    return chop_cells(text, width)[0] if width > 0 else ""


def _longest(texts: Sequence[str]) -> int:
    return max((cell_len(line) for text in texts for line in text.split("\n")), default=0)
