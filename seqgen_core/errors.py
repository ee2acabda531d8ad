"""Errors that a person can act on: what was got, what was wanted, what to do next."""


class SeqgenError(Exception):
    """Work that failed for a reason a person can mend; the command line exits with 1.

    got: one sentence with the offending value and where it stands.
    wanted: one sentence (or nothing) with what would have been right.
    hint: one sentence (or nothing) with the next command or change to make.
    """

    exit_code = 1

    def __init__(self, got: str, wanted: str = "", hint: str = "") -> None:
        super().__init__(got)
        self.got = got
        self.wanted = wanted
        self.hint = hint


class UsageError(SeqgenError):
    """A command, option or setting that cannot be meant as given; the command line exits with 2."""

    exit_code = 2


class ShapeError(ValueError):
    """A tensor of the wrong shape reached a model: a fault in calling code, named with the shape that it got."""
