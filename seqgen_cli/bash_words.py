"""The line as bash hands it over for completion, put together again where bash took key=value apart."""

import contextlib
import io
import os
import shlex
from collections.abc import Generator

from seqgen_cli.options import COMPLETING


@contextlib.contextmanager
def as_one_word() -> Generator[None]:
    """Within it key=value is one word in bash too, which takes words apart at "=" and replaces what follows alone."""
    words = _words_of_bash() if os.environ.get(COMPLETING) == "complete_bash" else None
    if words is None:
        yield
        return
    joined, at = words
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = shlex.join(joined), str(at)
    answer, begun = io.StringIO(), joined[at].rpartition("=")[0]
    try:
        with contextlib.redirect_stdout(answer):
            yield
    finally:
        for line in answer.getvalue().splitlines():
            print(line.removeprefix(f"{begun}=") if begun else line)


def _words_of_bash() -> tuple[list[str], int] | None:
    """The words of the line, joined around "=", and the place of the one to complete; None where they are not whole."""
    try:
        words, at = shlex.split(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
    except (KeyError, ValueError):  # an open quotation mark
        return None
    words += [""] * (at + 1 - len(words))
    joined, new_at = list[str](), at
    for place, word in enumerate(words):
        if place and (word == "=" or words[place - 1] == "="):
            joined[-1] += word
            new_at -= place <= at
        else:
            joined.append(word)
    return joined, new_at
