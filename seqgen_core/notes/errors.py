"""What is said of files that give no piano roll."""

from pathlib import Path

from seqgen_core.errors import SeqgenError


class UnreadableNotesError(SeqgenError):
    """A file that gives no piano roll; `reason` is a phrase about it that does not repeat its name."""

    def __init__(self, path: Path, reason: str, wanted: str = "A MIDI file of type 0 or 1.", hint: str = "") -> None:
        name = str(path).encode("utf-8", "backslashreplace").decode()
        super().__init__(f"{name}: {reason}.", wanted, hint)
        self.reason = reason
