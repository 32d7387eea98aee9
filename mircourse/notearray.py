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
    notes = from_columns(NOTE_DTYPE, onset, duration, pitch=pitch, voice=voice, velocity=velocity)
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
    return check_fields(notes, NOTE_DTYPE, kind="note array", unit="beats")


def from_columns(
    dtype: np.dtype, onset: npt.ArrayLike, duration: npt.ArrayLike, **others: npt.ArrayLike
) -> np.ndarray:
    """Make a structured array of ``dtype``, whose first two fields are the two times.

    The other columns are given by name; all but ``pitch`` may be one number for all notes.

    Raises
    ------
    ValueError, TypeError
        As `note_array`, the ranges apart, which `check_fields` looks at.
    """
    onset = np.asarray(onset)
    if onset.ndim != 1:
        raise ValueError(f"onset must have shape (n,), got {onset.shape}")
    start, length = (dtype.names or ())[:2]
    columns = {start: onset, length: np.asarray(duration)}
    columns |= {name: np.asarray(column) for name, column in others.items()}
    notes = np.zeros(len(onset), dtype)
    for name, column in columns.items():
        single = name in ("voice", "velocity") and column.ndim == 0
        if not single and column.shape != onset.shape:
            raise ValueError(
                f"{name} has shape {column.shape}, expected {onset.shape} as onset has"
            )
        notes[name] = _checked(name, column, whole=dtype[name].kind == "i")
    return notes


def check_fields(notes: np.ndarray, dtype: np.dtype, *, kind: str, unit: str) -> np.ndarray:
    """Return ``notes`` unchanged if its fields are sound; errors speak of ``kind`` and ``unit``.

    Raises
    ------
    TypeError, ValueError
        As `check_notes`.
    """
    names = dtype.names or ()
    fields = getattr(getattr(notes, "dtype", None), "names", None)
    missing = [name for name in names if name not in (fields or ())]
    if missing:
        raise TypeError(f"expected a {kind}; {type(notes).__name__} lacks {', '.join(missing)}")
    if notes.ndim != 1:
        raise ValueError(f"a {kind} has shape (n,), got {notes.shape}")
    onset, duration = names[:2]
    for name in (onset, duration):
        _require(np.isfinite(notes[name]), notes, name, "finite")
    _require(notes[onset] >= 0, notes, onset, f"at least 0 {unit}")
    _require(notes[duration] > 0, notes, duration, f"more than 0 {unit}")
    _require((notes["pitch"] >= 0) & (notes["pitch"] <= 127), notes, "pitch", "0 to 127")
    if "voice" in names:
        _require(notes["voice"] >= 0, notes, "voice", "at least 0")
    _require((notes["velocity"] >= 1) & (notes["velocity"] <= 127), notes, "velocity", "1 to 127")
    return notes


def _checked(name: str, column: np.ndarray, *, whole: bool) -> np.ndarray:
    if column.size == 0:
        return column.astype(float)
    if column.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be numbers, got dtype {column.dtype}")
    if whole:
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
