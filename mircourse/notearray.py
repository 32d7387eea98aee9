"""The note array: the one form in which the course hands music from function to function.

`mircourse.scores` documents the fields; the names are partitura's (Cancino-Chacón et al., 2022).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NOTE_DTYPE = np.dtype(
    [
        ("onset_beat", "f8"),
        ("duration_beat", "f8"),
        ("pitch", "i2"),
        ("voice", "i2"),
        ("velocity", "i2"),
    ]
)


def note_array(
    onset: npt.ArrayLike,
    duration: npt.ArrayLike,
    pitch: npt.ArrayLike,
    *,
    voice: npt.ArrayLike = 0,
    velocity: npt.ArrayLike = 64,
) -> np.ndarray:
    """Make a note array from columns.

    Parameters
    ----------
    onset, duration : array_like, (n,)
        Beats (quarter notes); onsets at least 0, durations more than 0.
    pitch : array_like of int, (n,)
        MIDI note numbers, 0 to 127.
    voice : array_like of int, (n,) or a single one
        At least 0.
    velocity : array_like of int, (n,) or a single one
        1 to 127.

    Returns
    -------
    numpy.ndarray, (n,), of `NOTE_DTYPE`
        Sorted by onset, then pitch, then voice. No notes make an empty array.

    Raises
    ------
    ValueError
        If the columns' lengths differ or a value is NaN, infinite or out of its range.
    TypeError
        If a column is not numeric, or a whole-number column has fractions.
    """
    onset = np.asarray(onset)
    if onset.ndim != 1:
        raise ValueError(f"onset must have shape (n,), got {onset.shape}")
    columns = {
        "onset_beat": onset,
        "duration_beat": np.asarray(duration),
        "pitch": np.asarray(pitch),
        "voice": np.asarray(voice),
        "velocity": np.asarray(velocity),
    }
    notes = np.zeros(len(onset), NOTE_DTYPE)
    for name, column in columns.items():
        single = name in ("voice", "velocity") and column.ndim == 0
        if not single and column.shape != onset.shape:
            raise ValueError(
                f"{name} has shape {column.shape}, expected {onset.shape} as onset has"
            )
        notes[name] = _checked(name, column)
    check_notes(notes)
    return notes[np.lexsort((notes["voice"], notes["pitch"], notes["onset_beat"]))]


def check_notes(notes: np.ndarray) -> np.ndarray:
    """Return ``notes`` unchanged if it is a sound note array.

    Raises
    ------
    TypeError
        If it is not a structured array with the fields of `NOTE_DTYPE`.
    ValueError
        If it is not one-dimensional, or a value is NaN, infinite or out of its range.
    """
    fields = getattr(getattr(notes, "dtype", None), "names", None)
    missing = [name for name in NOTE_DTYPE.names or () if name not in (fields or ())]
    if missing:
        raise TypeError(f"expected a note array; {type(notes).__name__} lacks {', '.join(missing)}")
    if notes.ndim != 1:
        raise ValueError(f"a note array has shape (n,), got {notes.shape}")
    for name in ("onset_beat", "duration_beat"):
        _require(np.isfinite(notes[name]), notes, name, "finite")
    _require(notes["onset_beat"] >= 0, notes, "onset_beat", "at least 0 beats")
    _require(notes["duration_beat"] > 0, notes, "duration_beat", "more than 0 beats")
    _require((notes["pitch"] >= 0) & (notes["pitch"] <= 127), notes, "pitch", "0 to 127")
    _require(notes["voice"] >= 0, notes, "voice", "at least 0")
    _require((notes["velocity"] >= 1) & (notes["velocity"] <= 127), notes, "velocity", "1 to 127")
    return notes


def _checked(name: str, column: np.ndarray) -> np.ndarray:
    if column.size == 0:
        return column.astype(float)
    if column.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be numbers, got dtype {column.dtype}")
    if NOTE_DTYPE[name].kind == "i":
        if not np.isfinite(column).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity")
        if column.dtype.kind == "f" and (column != np.round(column)).any():
            raise TypeError(f"{name} must be whole numbers, got {column[column % 1 != 0].flat[0]}")
        # Clipping keeps what is out of range out of range, where int16 would wrap around.
        column = np.clip(column, -1, 32767)
    return column


def _require(good: np.ndarray, notes: np.ndarray, name: str, expected: str) -> None:
    if not good.all():
        at = int(np.argmin(good))
        raise ValueError(f"{name} must be {expected}, got {notes[name][at]} at note {at}")
