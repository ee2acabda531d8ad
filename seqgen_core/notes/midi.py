"""MIDI files to piano rolls and back.

Reading: the edges of each note are rounded to the nearest frame; a note too short for that has the frame in which it
begins. The drum channel (10) is left out, for its numbers are no pitches; so are notes beyond the keys, which are
counted. Pedals are ignored: a roll says which keys are held, not which strings ring on. A note that never ends lasts as
long as the file. All tracks and channels come together on one keyboard.
Writing: one piano, one velocity, one tempo, so chosen that frames begin on ticks.
Source: Standard MIDI Files 1.0 (MIDI Manufacturers Association, RP-001).
"""

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqgen_core.files import write_bytes_atomically
from seqgen_core.notes.errors import UnreadableNotesError
from seqgen_core.notes.rolls import held_notes
from seqgen_core.settings.codec import NotesCodecSettings

MOST_FRAMES = 4_000_000  # 11 hours at 100 frames per second, 352 MB of 88 keys: longer files are damaged, not music
DRUMS = 9  # channel 10, counted from 0
VELOCITY = 80
_TEMPO = 500_000  # microseconds per beat until a file says otherwise
_SILENCING = (120, 123)  # controllers "all sound off" and "all notes off"
_LAST_TICK = 2**40


@dataclass(frozen=True)
class Piece:
    """A MIDI file as a roll, uint8 (frames, keys), and the number of its notes that lie beyond the keys."""

    roll: NDArray[np.uint8]
    beyond: int


@dataclass(frozen=True)
class _Note:
    number: int
    start: int  # ticks
    stop: int


def read_midi(path: Path, settings: NotesCodecSettings) -> NDArray[np.uint8]:
    """The piano roll of a MIDI file, uint8 (frames, keys). Raises UnreadableNotesError for one that is damaged."""
    return read_piece(path, settings).roll


def read_piece(path: Path, settings: NotesCodecSettings) -> Piece:
    """As read_midi, with what does not fit on the keys."""
    file = _parse(path)
    notes, last = _notes(file.tracks)
    if last > _LAST_TICK:
        raise UnreadableNotesError(path, "it claims to last longer than any music; it is damaged")
    clock = _Clock(path, file)
    edges = np.array([(note.start, note.stop) for note in notes], np.int64).reshape(-1, 2)
    exact = clock.seconds(edges) * settings.rate + 1e-6  # the addend lets halves go up, whatever their last bit
    frames = np.floor(exact + 0.5)
    short = frames[:, 1] <= frames[:, 0]
    frames[short, 0] = np.floor(exact[short, 0])
    frames[short, 1] = frames[short, 0] + 1
    length = max(math.floor(clock.seconds(np.array(last)) * settings.rate + 1e-6 + 0.5), frames.max(initial=0))
    if length > MOST_FRAMES:
        hours = float(clock.seconds(np.array(last))) / 3600
        reason = f"it lasts {hours:.3g} hours, {length:.3g} frames; at most {MOST_FRAMES} are read"
        raise UnreadableNotesError(path, reason)
    roll = np.zeros((int(length), settings.keys), np.uint8)
    beyond = 0
    for note, (start, stop) in zip(notes, frames.astype(np.int64).tolist(), strict=True):
        if 0 <= note.number - settings.lowest < settings.keys:
            roll[start:stop, note.number - settings.lowest] = 1
        else:
            beyond += 1
    return Piece(roll, beyond)


def write_midi(path: Path, roll: ArrayLike, settings: NotesCodecSettings, title: str = "") -> None:
    """Write a roll (frames, keys) as a MIDI file of type 0, atomically; read_midi gives it back. Raises OSError.

    title: name of the track, of which what is not Latin-1, the only letters that MIDI knows, becomes a question mark.
    """
    grid = np.asarray(roll)
    tempo, resolution = _tempo(settings.rate)
    ticks_per_frame = 1e6 * resolution / (settings.rate * tempo)
    events = []  # (tick, 0 for an end or 1 for a start, number); ends first, so that a key is free when struck
    for start, stop, key in held_notes(grid).tolist():
        number = settings.lowest + key
        events += [(round(start * ticks_per_frame), 1, number), (round(stop * ticks_per_frame), 0, number)]
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=tempo), mido.Message("program_change", program=0)])
    if title:
        named = title.encode("latin-1", "replace").decode("latin-1")
        track.insert(0, mido.MetaMessage("track_name", name=named))
    now = 0
    for tick, begins, number in sorted(events):
        what = "note_on" if begins else "note_off"
        track.append(mido.Message(what, note=number, velocity=VELOCITY if begins else 64, time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=max(0, round(len(grid) * ticks_per_frame) - now)))
    memory = io.BytesIO()
    mido.MidiFile(type=0, ticks_per_beat=resolution, tracks=[track]).save(file=memory)
    write_bytes_atomically(Path(path), memory.getvalue())


def _parse(path: Path) -> mido.MidiFile:
    try:
        data = Path(path).read_bytes()
    except OSError as problem:
        raise UnreadableNotesError(path, f"it cannot be read: {problem.strerror or problem}") from None
    if not data.startswith(b"MThd"):
        raise UnreadableNotesError(path, "it is empty" if not data else "it is no MIDI file (it lacks MThd)")
    try:
        file = mido.MidiFile(file=io.BytesIO(data))
    except EOFError:
        raise UnreadableNotesError(path, "it is damaged: it ends too early") from None
    except Exception as problem:  # the library lets errors of many kinds through
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise UnreadableNotesError(path, f"it is damaged: {reason}") from None
    if file.type not in (0, 1) and len(file.tracks) > 1:
        raise UnreadableNotesError(path, f"it is of type {file.type}: its tracks are not meant to sound together")
    return file


def _notes(tracks: Iterable[mido.MidiTrack]) -> tuple[list[_Note], int]:
    """All notes but drums, and the last tick of the file."""
    notes: list[_Note] = []
    ends, endless = [0], []
    for track in tracks:
        now = 0
        sounding: dict[tuple[int, int], int] = {}  # (channel, number) to the tick of its start
        for message in track:
            now += message.time
            if message.type in ("note_on", "note_off") and message.channel != DRUMS:
                place = (message.channel, message.note)
                if message.type == "note_on" and message.velocity:
                    sounding.setdefault(place, now)
                elif place in sounding:
                    notes.append(_Note(message.note, sounding.pop(place), now))
            elif message.type == "control_change" and message.control in _SILENCING:
                for place in [place for place in sounding if place[0] == message.channel]:
                    notes.append(_Note(place[1], sounding.pop(place), now))
        ends.append(now)
        endless += [(number, start) for (_, number), start in sounding.items()]
    last = max(ends)
    return notes + [_Note(number, start, last) for number, start in endless], last


class _Clock:
    """Ticks to seconds, by the tempo changes of all tracks."""

    def __init__(self, path: Path, file: mido.MidiFile) -> None:
        division = file.ticks_per_beat
        # SMPTE: the upper byte is minus the frames per second (29 stands for 30 / 1.001), the lower the ticks of each
        smpte = {24: 24.0, 25: 25.0, 29: 30 / 1.001, 30: 30.0}.get(-(division >> 8), 0.0) * (division & 0xFF)
        if division == 0 or (division < 0 and not smpte):
            raise UnreadableNotesError(path, f"it is damaged: its header says {division} ticks per beat")
        changes = {0: 1 / smpte if division < 0 else _TEMPO / (1e6 * division)}  # tick to seconds per tick from there
        for track in file.tracks if division > 0 else ():
            now = 0
            for message in track:
                now += message.time
                if message.type == "set_tempo":
                    changes[now] = message.tempo / (1e6 * division)
        self._ticks = np.array(sorted(changes), np.int64)
        self._pace = np.array([changes[tick] for tick in sorted(changes)])
        self._seconds = np.concatenate([[0.0], np.cumsum(np.diff(self._ticks) * self._pace[:-1])])

    def seconds(self, ticks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Ticks of any shape -> seconds since the beginning."""
        part = np.searchsorted(self._ticks, ticks, side="right") - 1
        return self._seconds[part] + (ticks - self._ticks[part]) * self._pace[part]


def _tempo(rate: float) -> tuple[int, int]:
    """Microseconds per beat and ticks per beat that suit frames of 1 / rate seconds.

    A beat is a whole number of frames near half a second, of those one whose microseconds are whole or come closest;
    where frames are longer than that, a frame is a whole number of beats.
    """
    if rate < 2:
        beats = math.ceil(0.5 / rate)
        return max(1, round(1e6 / (rate * beats))), 480
    low, high = math.ceil(0.35 * rate), max(math.ceil(0.35 * rate), math.floor(0.7 * rate))

    def preference(frames: int) -> tuple[float, float]:
        exact = 1e6 * frames / rate
        return round(abs(exact - round(exact)), 3), abs(exact - _TEMPO)

    frames = min(range(low, high + 1), key=preference)
    return round(1e6 * frames / rate), frames * max(24, 480 // frames)
