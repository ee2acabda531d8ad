"""The shell commands of README.md and of the pages in docs/, read from their ```sh blocks."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ("cli.md", "settings.md", "models.md")
PAGES = tuple(
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if path.relative_to(ROOT / "docs" if path.parent.name != ROOT.name else ROOT).as_posix() not in GENERATED
)
_BLOCK = re.compile(r"(?:^<!-- run: (?P<before>[^\n]*?) -->\n)?^```sh\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(seqgen [a-z][^`]*)`")
_TYPED = re.compile(r"^\$ (seqgen .*)$", re.MULTILINE)
_ENDS = {"&&", "||", ";"}


@dataclass(frozen=True)
class Command:
    """One program with its words, and the programs that it is piped into. where: page and line."""

    where: str
    words: tuple[str, ...]
    piped: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        return " | ".join(shlex.join(words) for words in (self.words, *self.piped))


@dataclass(frozen=True)
class Block:
    """One ```sh block: its commands in order, and what the comment `<!-- run: … -->` before it asks for.

    script: its text, where it is a whole script, which begins with #!.
    """

    where: str
    before: tuple[str, ...]
    commands: tuple[Command, ...]
    script: str = ""


def blocks(page: str) -> list[Block]:
    """The blocks of a page, named by its path below the repository's root."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        before = tuple((match["before"] or "").replace(",", " ").split())
        commands = tuple(command for one in _logical(match["text"], line) for command in _commands(page, *one))
        script = match["text"] if match["text"].startswith("#!") else ""
        found.append(Block(f"{page}:{line}", before, commands, script))
    return found


def inline(page: str) -> list[Command]:
    """Commands in a line of prose or in a table, such as `seqgen info presets`, and after a $ in outputs."""
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", lambda match: "\n" * match[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)
    typed = [
        command
        for match in _TYPED.finditer(text)
        for command in _commands(page, text.count("\n", 0, match.start()) + 1, match[1])
    ]
    return typed + [
        command
        for match in _INLINE.finditer(prose)
        for command in _commands(page, prose.count("\n", 0, match.start()) + 1, " ".join(match[1].split()))
    ]


def _logical(text: str, line: int) -> list[tuple[int, str]]:
    """Lines with those joined that end with a backslash."""
    found: list[tuple[int, str]] = []
    open_line = False
    for number, raw in enumerate(text.splitlines(), line):
        if open_line:
            first, begun = found.pop()
            found.append((first, f"{begun} {raw.strip()}"))
        elif raw.strip():
            found.append((number, raw.strip()))
        open_line = raw.endswith("\\")
        if open_line:
            first, begun = found.pop()
            found.append((first, begun.removesuffix("\\").rstrip()))
    return found


def _commands(page: str, line: int, text: str) -> list[Command]:
    words = shlex.shlex(text, posix=True, punctuation_chars="&|;")
    words.whitespace_split = True
    words.commenters = "#"
    pipes: list[list[str]] = [[]]
    found = []
    for word in [*words, ";"]:
        if word in _ENDS:
            if pipes[0]:
                found.append(Command(f"{page}:{line}", tuple(pipes[0]), tuple(map(tuple, pipes[1:]))))
            pipes = [[]]
        elif word == "|":
            pipes.append([])
        else:
            pipes[-1].append(word)
    return found
