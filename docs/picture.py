"""Draw a waveform and a spectrogram of one clip: `python docs/picture.py FOLDER [CLIP] [--out PICTURE.png]`.

FOLDER is what `seqgen generate --conditional --out FOLDER` wrote.
"""

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import soundfile

mpl.use("Agg")
import matplotlib.pyplot as plt

WINDOW, HOP = 512, 128  # samples


def main(folder: Path, number: int, out: Path) -> None:
    """One waveform and one spectrogram, the place marked where the model takes over."""
    sheet = json.loads((folder / "sheet.json").read_text())
    clip = sheet["clips"][number]
    waveform, rate = soundfile.read(folder / clip["files"]["joined"], dtype="float32")
    kind = sheet["model"]["kind"]
    switch = clip["prime"]["tokens"] / sheet["codec"]["rate"]
    seconds = np.arange(len(waveform)) / rate
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(9, 4.2), sharex=True, height_ratios=(1, 1.6))
    top.plot(seconds[seconds < switch], waveform[seconds < switch], color="#555555", linewidth=0.4)
    top.plot(seconds[seconds >= switch], waveform[seconds >= switch], color="#c2410c", linewidth=0.4)
    top.set_ylim(-1, 1)
    top.set_ylabel("amplitude")
    top.set_title(f"a held-out recording (grey) and what a {kind} made of it (orange)", fontsize=10)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = 20 * np.log10(np.abs(np.fft.rfft(frames)).T + 1e-4)
    bottom.imshow(
        power,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=power.max() - 80,
        extent=(0, len(waveform) / rate, 0, rate / 2000),
    )
    for axes in (top, bottom):
        axes.axvline(switch, color="#2563eb", linewidth=1)
    bottom.set_ylabel("kHz")
    bottom.set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    print(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A clip that continues a recording, as a waveform and a spectrogram.")
    parser.add_argument("folder", type=Path, help="what `seqgen generate --conditional --out FOLDER` wrote")
    parser.add_argument("clip", type=int, nargs="?", default=0, help="number of the clip (0)")
    parser.add_argument("--out", type=Path, default=Path("continuation.png"), help="picture (./continuation.png)")
    given = parser.parse_args()
    main(given.folder, given.clip, given.out)
