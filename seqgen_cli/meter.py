"""The figures of a task in progress, on one line that fits: amount, bits, speed, time left, memory, in this order.

Where a line is too short, the bar gives way first, then the word "memory", what a stage tells beside these figures,
held-out bits, digits of the speed, the unit, memory, the total; bits and the time left stay to the last.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

WINDOW = 120.0
"""Seconds over which speed, and from it the time left, is measured."""
LEAST_BAR, MOST_BAR = 10, 40
STAYING = ("bits", "held-out", "time left")
UNRATED = ("checks", "windows a step")
"""Units of very different size, of which a speed says nothing."""
GAP = "  "


@dataclass(frozen=True)
class Part:
    """One figure in words, the longest form first; ranks: of each shortening, the highest comes first."""

    name: str
    forms: tuple[str, ...]
    ranks: tuple[int, ...] = ()


class Meter:
    """What a task has done of its total, and how fast. total: in units, None where unknown."""

    def __init__(self, name: str, total: float | None, unit: str) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done, self.figures = 0.0, dict[str, float | str]()
        self.started = time.monotonic()
        self._seen = deque[tuple[float, float]]()  # (time, done), a second apart
        self._kept: dict[tuple[str, int], int] = {}  # columns of each figure's widest text yet
        self._given_way: dict[tuple[str, ...], int] = {}  # shortenings, by the figures that stood side by side
        self._width = 0

    def update(self, done: float, figures: Mapping[str, float | str]) -> None:
        """So much is done in all; figures as a stage names them. Those of bits and speed stay until told anew."""
        now = time.monotonic()
        staying = {name: value for name, value in self.figures.items() if name in STAYING or name.endswith("/s")}
        self.figures = {**staying, **figures}
        self.done = done
        if not self._seen or now - self._seen[-1][0] >= 1:
            self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] > WINDOW:
            self._seen.popleft()
        self._updated = now

    @property
    def speed(self) -> float | None:
        """Units per second of late; None while too little has passed."""
        if not self._seen:
            return None
        before, done = self._seen[0]
        return (self.done - done) / (self._updated - before) if self.done > done and self._updated > before else None

    @property
    def seconds_left(self) -> float | None:
        """By the speed, and no longer than the stage itself gives it."""
        told = self.figures.get("time left")
        known = [told] if isinstance(told, float) else []
        speed = self.speed
        if self.total is not None and speed:
            known.append(max(0.0, (self.total - self.done) / speed))
        return max(0.0, min(known) - (time.monotonic() - self._updated)) if known else None

    @property
    def share(self) -> float | None:
        """What is done of the total, or has passed of the time that the stage has."""
        if self.total:
            return self.done / self.total
        left, passed = self.seconds_left, time.monotonic() - self.started
        return None if left is None else passed / max(1e-9, passed + left)

    def parts(self, memory: str = "") -> list[Part]:
        """The figures from left to right."""
        return [
            Part("", (self.name,)),
            self._amount(),
            *(_part(name, value) for name, value in self._ordered()),
            *self._own_speed(),
            *([Part("left", (f"{clock(left)} left",))] if (left := self.seconds_left) is not None else []),
            *([Part("memory", (_of_memory(memory), memory, ""), (9, 4))] if memory else []),
        ]

    def line(self, memory: str = "", *, over: bool = False) -> str:
        """All figures, however long that is; over: the task has ended, and took so long."""
        parts = self.parts(memory)
        texts = [part.forms[0] for part in parts[1:] if not (over and part.name in ("left", "now"))]
        taken = time.monotonic() - self.started
        texts += [f"in {clock(taken)}"] if over and taken >= 1 else []
        return f"{self.name}: {GAP.join(texts)}"

    def fitted(self, width: int, memory: str = "", *, unicode: bool = True) -> str:
        """The figures in at most `width` columns; what has given way once stays away, so that nothing flickers."""
        if width != self._width:
            self._width, self._given_way, self._kept = width, {}, {}
        parts = self.parts(memory)
        shown = tuple(part.name for part in parts)
        ways = sorted(
            ((rank, place) for place, part in enumerate(parts) for rank in part.ranks), key=lambda way: -way[0]
        )
        for given_way in range(self._given_way.get(shown, 0), len(ways) + 1):
            chosen = [0] * len(parts)
            for _, place in ways[:given_way]:
                chosen[place] += 1
            texts = [self._still(part, form) for part, form in zip(parts, chosen, strict=True)]
            line = GAP.join(text for text in texts if text)
            self._given_way[shown] = given_way
            if len(line) <= width:
                break
        room = min(MOST_BAR, width - len(line) - len(GAP))
        if (share := self.share) is not None and room >= LEAST_BAR and not self._given_way[shown]:
            line = GAP.join([texts[0], bar(share, room, unicode=unicode), *filter(None, texts[1:])])
        return line if len(line) <= width else line[: max(0, width - 1)] + "…"

    def _still(self, part: Part, form: int) -> str:
        """The text, right-aligned in the room that this figure has taken before."""
        text, key = part.forms[form], (part.name, form)
        self._kept[key] = max(self._kept.get(key, 0), len(text))
        return text.rjust(self._kept[key]) if text and part.name != "now" else text

    def _amount(self) -> Part:
        done, unit = f"{self.done:,.0f}", f" {self.unit}"
        if not self.total:
            return Part("amount", (done + unit, done), (5,))
        share = f"{min(1.0, self.done / self.total):.0%}"
        total = f"{self.total:,.0f}"
        of_total = f"{done:>{len(total)}}/{total}"
        return Part("amount", (of_total + unit, of_total, f"{share:>4}"), (5, 3))

    def _own_speed(self) -> list[Part]:
        """Where a stage tells none of its own, and is at its work."""
        speed = self.speed
        if not speed or self.unit in UNRATED or any(name.endswith("/s") or name == "now" for name in self.figures):
            return []
        return [_speed_part(speed, f"{self.unit}/s")]

    def _ordered(self) -> list[tuple[str, float | str]]:
        """The stage's figures, those that everyone looks for last, next to the clock."""
        places = {"bits": 1, "held-out": 2}
        named = [(name, value) for name, value in self.figures.items() if name != "time left"]
        return sorted(named, key=lambda pair: places.get(pair[0], 4 if pair[0].endswith("/s") else 3))


def _part(name: str, value: float | str) -> Part:
    said = f"{value:.4g}" if isinstance(value, float) else str(value)
    if name in ("bits", "held-out"):
        said = f"{value:.3f}" if isinstance(value, float) else said
        return Part(name, (f"{said} bits",)) if name == "bits" else Part(name, (f"held-out {said}", ""), (7,))
    if name == "now":
        return Part(name, (said, said.partition(",")[0]), (2,))
    if name.endswith("/s"):
        return _speed_part(float(said.replace(",", "")), name)
    if name == "real-time factor":
        return Part(name, (f"{name} {said}", f"{said}× real time", ""), (8, 4))
    return Part(name, (f"{name.replace('_', ' ')} {said}", ""), (8,))


def _of_memory(size: str) -> str:
    return f"memory {size}" if size[:1].isdigit() else size.replace(" ", " memory ", 1)  # "GPU 3.1 GiB"


def _speed_part(speed: float, unit: str) -> Part:
    """58,645 samples/s, or 58.6k samples/s."""
    short = next((f"{speed / by:.3g}{sign}" for by, sign in ((1e6, "M"), (1e3, "k")) if speed >= by), f"{speed:.3g}")
    return Part("speed", (f"{speed:,.0f} {unit}" if speed >= 100 else f"{short} {unit}", f"{short} {unit}", ""), (6, 1))


def clock(seconds: float) -> str:
    """3:12, 1:04:00, 2d 3h."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24}d {hours % 24}h"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def bar(share: float, width: int, *, unicode: bool = True) -> str:
    """So much of a line of `width` columns."""
    full, rest = ("━", "─") if unicode else ("#", "-")
    done = round(width * min(1.0, max(0.0, share)))
    return full * done + rest * (width - done)
