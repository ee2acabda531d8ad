"""The demo's sound: "Greensleeves" on a physically modelled plucked string.

The string is the extended Karplus-Strong model (Jaffe and Smith 1983, Computer Music Journal 7:2): a delay line of one
period, fed back through a damping filter (their section on decay), tuned by fractional delay, plucked at a chosen point
(the pick-position comb). The fraction is a third-order Lagrange interpolator rather than their all-pass, so that the
loop is one short FIR filter and can be computed a period at a time. The tune is traditional (England, before 1580); the
setting is ours. Everything is a function of the rate and the seeds below.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PEAK = 0.7  # of the loudest sample of all recordings together
EIGHTH = 0.25  # seconds of an eighth note at the first variation's tempo
_TAIL = 0.9  # seconds after the last bar
_LOSS_FREQUENCY = 3000.0  # Hz at which the damping filter's loss is stated, to sound alike at every sampling rate
_NAMES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

# note:length in eighths; 6/8, four bars a phrase
_BARS = {
    "opening": "C5:2 D5:1 E5:1.5 F5:.5 E5:1",
    "refrain": "G5:3 G5:1.5 F#5:.5 E5:1",
    "descent": "D5:2 B4:1 G4:1.5 A4:.5 B4:1",
    "question": "C5:2 A4:1 A4:1.5 G#4:.5 A4:1 B4:2 G#4:1 E4:3",
    "answer": "C5:1.5 B4:.5 A4:1 G#4:1.5 F#4:.5 G#4:1 A4:6",
}
_MELODY = {
    "verse-1": ("opening", "descent", "question"),
    "verse-2": ("opening", "descent", "answer"),
    "chorus-1": ("refrain", "descent", "question"),
    "chorus-2": ("refrain", "descent", "answer"),
}
# one chord for each half bar
_HARMONY = {
    "verse-1": "Am Am G G Am Am E E",
    "verse-2": "Am Am G G Am E Am Am",
    "chorus-1": "C C G G Am Am E E",
    "chorus-2": "C C G G Am E Am Am",
}
_CHORDS = {
    "Am": ("A2", "E3", "A3", "C4"),
    "G": ("G2", "D3", "G3", "B3"),
    "E": ("E2", "B2", "E3", "G#3"),
    "C": ("C3", "G3", "C4", "E4"),
}


@dataclass(frozen=True)
class _Variation:
    """How one time through is played: chord notes on the three eighths of a half bar (None rests), and touch."""

    pattern: tuple[int | None, int | None, int | None]
    tempo: float  # relative to EIGHTH
    position: float  # where the string is plucked, as a share of its length
    brightness: float  # Hz, where the pluck's spectrum has fallen to a half


_VARIATIONS = (
    _Variation((0, None, None), 1.0, 0.22, 1800),
    _Variation((0, 2, 3), 1.02, 0.22, 1800),
    _Variation((0, 1, 2), 0.97, 0.30, 1500),
    _Variation((0, 3, 2), 1.0, 0.15, 2200),
)


def frequency(note: str) -> float:
    """Hz of a note such as "A4" or "G#3", equal temperament with A4 = 440."""
    semitone = _NAMES[note[0]] + note.count("#") + 12 * (int(note[-1]) - 4) - 9  # from A4
    return 440.0 * 2 ** (semitone / 12)


def pluck(
    hertz: float,
    seconds: float,
    rate: int,
    *,
    seed: int = 0,
    position: float = 0.2,
    brightness: float = 1800.0,
    decay: float = 2.5,
) -> NDArray[np.float64]:
    """One plucked string, float64 (T,), rate * seconds samples, about 1 at its loudest.

    position: place of the pluck as a share of the string. brightness: Hz at which the pluck has half its strength.
    decay: seconds in which the fundamental falls by 60 dB. Raises ValueError where the rate is too low for the pitch.
    """
    period = rate / hertz
    whole = int(period) - 2  # the loop's plain delay; the filters below add the rest, 2 to 3 samples
    if whole < 4:
        raise ValueError(f"{hertz:g} Hz cannot be tuned at {rate} Hz; {6 * hertz:g} Hz or more is needed")
    loop = _loop_filter(period - whole, hertz, rate, decay)
    excitation = _excitation(hertz, rate, seed, position, brightness)

    count, past = round(seconds * rate), whole + len(loop) - 1
    line = np.zeros(past + count)
    line[past : past + len(excitation)] = excitation[:count]
    for start in range(past, past + count, whole):  # a stretch that depends only on what is computed already
        stop = min(start + whole, past + count)
        line[start:stop] += np.convolve(line[start - past : stop - whole], loop, "valid")
    return line[past:]


def synthesise_demo(rate: int = 16000) -> dict[str, NDArray[np.float32]]:
    """Four variations of four phrases: 16 recordings of about 7 seconds, name to float32 (T,), bit for bit repeatable.

    One gain for all puts the loudest sample at 0.7; no recording has a DC offset.
    """
    recordings = {}
    body = _body(rate)
    for number, variation in enumerate(_VARIATIONS):
        for place, phrase in enumerate(_MELODY):
            waveform = np.convolve(_play(phrase, variation, rate, seed=1000 * (4 * number + place)), body)
            recordings[f"greensleeves-{number + 1}-{phrase}"] = waveform - waveform.mean()
    gain = PEAK / max(np.abs(waveform).max() for waveform in recordings.values())
    return {name: (waveform * gain).astype(np.float32) for name, waveform in recordings.items()}


def _play(phrase: str, variation: _Variation, rate: int, seed: int) -> NDArray[np.float64]:
    eighth = EIGHTH / variation.tempo
    notes = [(start, length, note, 1.0) for start, length, note in _melody(phrase)]
    for half_bar, chord in enumerate(_HARMONY[phrase].split()):
        for place, degree in enumerate(variation.pattern):
            if degree is not None:
                length = 6.0 if degree == 0 else 3.0  # the bass rings on
                notes.append((3 * half_bar + place, length, _CHORDS[chord][degree], 0.6 if degree == 0 else 0.4))
    waveform = np.zeros(round((24 * eighth + _TAIL) * rate))
    touch = np.random.default_rng(seed)
    for number, (start, length, note, strength) in enumerate(notes):
        late, force = touch.uniform(0, 0.008), strength * touch.uniform(0.8, 1.0)  # seconds; a human hand
        begin = round((start * eighth + late) * rate)
        seconds = min(length * eighth + 0.25, (len(waveform) - begin) / rate)
        string = pluck(
            frequency(note),
            seconds,
            rate,
            seed=seed + number + 1,
            position=variation.position + touch.uniform(-0.02, 0.02),
            brightness=variation.brightness * (0.7 + 0.3 * force),
        )
        fade = min(len(string), round(0.12 * rate))  # the finger that stops the string
        string[-fade:] *= np.cos(np.linspace(0, np.pi / 2, fade)) ** 2
        waveform[begin : begin + len(string)] += force * string
    return waveform


def _melody(phrase: str) -> list[tuple[float, float, str]]:
    """(start, length, note), times in eighths."""
    events, start = [], 0.0
    for word in " ".join(_BARS[bar] for bar in _MELODY[phrase]).split():
        note, length = word.split(":")
        events.append((start, float(length), note))
        start += float(length)
    return events


def _loop_filter(delay: float, hertz: float, rate: int, decay: float) -> NDArray[np.float64]:
    """FIR taps of one trip along the string: damping (delay 1) and the fractional rest (delay 1 to 2)."""
    loss = 0.02 * (hertz / 220) ** -0.5  # of one period at _LOSS_FREQUENCY
    side = min(0.5, loss / (1 - np.cos(2 * np.pi * _LOSS_FREQUENCY / rate)))
    damping = np.array([side / 2, 1 - side, side / 2])
    fraction = delay - 1
    places = np.arange(4)
    lagrange = np.array([np.prod([(fraction - j) / (k - j) for j in places if j != k]) for k in places])
    return 10 ** (-3 / (hertz * decay)) * np.convolve(damping, lagrange)


def _excitation(hertz: float, rate: int, seed: int, position: float, brightness: float) -> NDArray[np.float64]:
    """One period: harmonics with random phases, softened, with the comb of the pick position; no DC."""
    length = round(rate / hertz)
    harmonics = np.arange(length // 2 + 1)
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(harmonics))
    spectrum = np.exp(1j * phases) / (1 + (harmonics * hertz / brightness) ** 2)
    spectrum *= 1 - np.exp(-2j * np.pi * harmonics * position)
    spectrum[0] = 0
    period = np.fft.irfft(spectrum, length)
    return period / np.abs(period).max()


def _body(rate: int) -> NDArray[np.float64]:
    """Impulse response of a small wooden body: the string itself and three damped resonances."""
    time = np.arange(round(0.04 * rate)) / rate
    modes = ((105, 0.25), (210, 0.2), (420, 0.12))  # Hz and strength, near those of a guitar
    ring = sum(strength * np.sin(2 * np.pi * hertz * time) * np.exp(-90 * time) for hertz, strength in modes)
    response = np.asarray(ring) * (16000 / rate) * 0.15
    response[0] += 1
    return response
