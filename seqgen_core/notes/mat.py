"""The piano rolls of Boulanger-Lewandowski et al. 2012 (arXiv:1206.6392) as MATLAB files, as the TCN and Seq-U-Net
papers use them: traindata, validdata and testdata, each a cell array of rolls (frames, 88), key 0 the lowest A.

The chorales of JSB_Chorales.mat lie an octave above where choirs sing them (keys G2 to C7); they are left there.
"""

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.io
from numpy.typing import NDArray

from seqgen_core.notes.errors import UnreadableNotesError

MatPart = Literal["train", "valid", "test"]
MAT_PARTS: dict[MatPart, str] = {"train": "traindata", "valid": "validdata", "test": "testdata"}
"""Names of the splits' variables."""
MAT_KEYS, MAT_LOWEST = 88, 21  # a piano, from the A of 27.5 Hz
_WANTED = f"A MATLAB file with {', '.join(MAT_PARTS.values())}: cell arrays of piano rolls (frames, {MAT_KEYS})."


def is_mat(path: Path) -> bool:
    """Whether a file is a MATLAB file, by its name or by how it begins. Raises OSError."""
    with path.open("rb") as stream:
        return stream.read(6) == b"MATLAB" or path.suffix.lower() == ".mat"


def read_mat(path: Path) -> dict[MatPart, list[NDArray[np.uint8]]]:
    """All rolls, uint8 (frames, 88), of each split. Raises UnreadableNotesError for a file of another content."""
    try:
        data = io.BytesIO(Path(path).read_bytes())
    except OSError as problem:
        raise UnreadableNotesError(path, f"it cannot be read: {problem.strerror or problem}", _WANTED) from None
    try:
        variables = scipy.io.loadmat(data, variable_names=tuple(MAT_PARTS.values()))
    except NotImplementedError:
        reason = "it is of MATLAB's version 7.3, which is another format"
        raise UnreadableNotesError(path, reason, _WANTED, "Save it with `save -v7`.") from None
    except Exception as problem:  # damaged files end in errors of every kind
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise UnreadableNotesError(path, f"it cannot be read as a MATLAB file ({reason})", _WANTED) from None
    missing = [name for name in MAT_PARTS.values() if name not in variables]
    if missing:
        raise UnreadableNotesError(path, f"it lacks {' and '.join(missing)}", _WANTED)
    return {part: _rolls(path, name, variables[name]) for part, name in MAT_PARTS.items()}


def _rolls(path: Path, name: str, cells: Any) -> list[NDArray[np.uint8]]:
    if not isinstance(cells, np.ndarray) or cells.dtype != object:
        raise UnreadableNotesError(path, f"{name} is no cell array", _WANTED)
    rolls = []
    for place, cell in enumerate(cells.ravel(), start=1):
        roll = np.asarray(cell)
        if not (roll.ndim == 2 and (roll.shape[1] == MAT_KEYS or roll.size == 0) and roll.dtype.kind in "buif"):
            what = f"an array {roll.shape} of {roll.dtype}"
            raise UnreadableNotesError(path, f"{name}{{{place}}} is {what}", _WANTED)
        if not np.isin(roll, (0, 1)).all():
            odd = roll[~np.isin(roll, (0, 1))][0]
            raise UnreadableNotesError(path, f"{name}{{{place}}} holds {odd}, not 0 or 1 alone", _WANTED)
        rolls.append(roll.astype(np.uint8).reshape(-1, MAT_KEYS))
    return rolls
