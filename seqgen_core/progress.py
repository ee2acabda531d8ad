"""How a stage tells what it is doing, without knowing who listens: the command line, a log, or nobody."""

from typing import Protocol


class Progress(Protocol):
    """Listener for one stage of work. A stage begins a task, updates it, ends it; it never prints."""

    def begin(self, task: str, total: float | None, unit: str) -> None:
        """A task starts; total is in units (None where unknown)."""

    def update(self, done: float, **figures: float | str) -> None:
        """The current task has done so many units in all; figures are named values worth showing beside it."""

    def end(self) -> None:
        """The current task is over, well or badly."""

    def say(self, line: str) -> None:
        """One line that a person should see in passing."""

    def warn(self, line: str) -> None:
        """One line about something that went wrong without stopping the work."""


class Silent:
    """A listener that ignores everything."""

    def begin(self, task: str, total: float | None, unit: str) -> None: ...

    def update(self, done: float, **figures: float | str) -> None: ...

    def end(self) -> None: ...

    def say(self, line: str) -> None: ...

    def warn(self, line: str) -> None: ...
