"""Performed notes: what sounds when, in seconds, as a transcriber writes it down.

A note array (`mircourse.scores`) says in beats what is written; a performed array says in seconds
what is heard. It has no voices, for one pitch that two voices hold is one sound:

================= ===== ==================================================================
``onset_sec``      f8   seconds since the start of the recording, at least 0
``duration_sec``   f8   seconds, more than 0
``pitch``          i2   MIDI note number, 0 to 127; a piano's 88 keys are 21 to 108
``velocity``       i2   1 to 127, how hard the key is struck
================= ===== ==================================================================

The names are partitura's (Cancino-Chacón et al., 2022). Rows are sorted by onset, then pitch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mircourse.notearray import check_fields, check_notes, from_columns, note_array

if TYPE_CHECKING:
    from mircourse.scores import Piece

__all__ = ["PERFORMED_DTYPE", "check_performed", "perform", "performed_notes", "to_beats"]

PERFORMED_DTYPE = np.dtype(
    [("onset_sec", "f8"), ("duration_sec", "f8"), ("pitch", "i2"), ("velocity", "i2")]
)
# Onsets of one pitch that are closer than this are one: no hammer strikes twice in a millisecond.
_TOGETHER = 0.001


def performed_notes(
    onset: npt.ArrayLike,
    duration: npt.ArrayLike,
    pitch: npt.ArrayLike,
    *,
    velocity: npt.ArrayLike = 64,
) -> np.ndarray:
    """Make a performed array from columns.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    onset, duration : array_like, shape (n,)
        Seconds; onsets at least 0, durations more than 0.
    pitch : array_like of int, shape (n,)
        MIDI note numbers, 0 to 127.
    velocity : array_like of int, shape (n,) or a single one
        1 to 127.

    Returns
    -------
    numpy.ndarray of `PERFORMED_DTYPE`, shape (n,)
        Sorted by onset, then pitch. No notes make an empty array.

    Raises
    ------
    ValueError
        If the columns' lengths differ or a value is NaN, infinite or out of its range.
    TypeError
        If a column is not numeric, or pitch or velocity has fractions.

    Examples
    --------
    >>> performed_notes([0.5, 0.0], [0.4, 0.5], [64, 60])["pitch"]
    array([60, 64], dtype=int16)
    """
    notes = from_columns(PERFORMED_DTYPE, onset, duration, pitch=pitch, velocity=velocity)
    check_performed(notes)
    return notes[np.lexsort((notes["pitch"], notes["onset_sec"]))]


def check_performed(notes: np.ndarray) -> np.ndarray:
    """Return ``notes`` unchanged if it is a sound performed array.

    Raises
    ------
    TypeError
        If it is not a structured array with the fields of `PERFORMED_DTYPE`.
    ValueError
        If it is not one-dimensional, or a value is NaN, infinite or out of its range.
    """
    return check_fields(notes, PERFORMED_DTYPE, kind="performed array", unit="seconds")


def perform(music: Piece | np.ndarray, *, tempo: float) -> np.ndarray:
    """Say what a listener hears, in seconds, of music played at a steady tempo.

    Voices that strike one pitch together are one note: as long as the longest, as loud as the
    loudest. A pitch struck again while it sounds ends there and begins anew, and then lasts until
    the last voice leaves it.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    music : Piece or note array, shape (n,)
        See `mircourse.scores`.
    tempo : float
        Quarter notes per minute.

    Returns
    -------
    numpy.ndarray of `PERFORMED_DTYPE`, shape (m,)
        ``m <= n``; no pitch overlaps itself.

    Raises
    ------
    ValueError, TypeError
        If the notes or the tempo are not valid.

    Examples
    --------
    Two voices on middle C, of which the second strikes it again after one beat:

    >>> from mircourse.scores import note_array
    >>> twice = note_array([0, 0, 1], [4, 1, 1], [60, 60, 60], voice=[0, 1, 1])
    >>> perform(twice, tempo=60)[["onset_sec", "duration_sec"]].tolist()
    [(0.0, 1.0), (1.0, 3.0)]
    """
    given: Any = getattr(music, "notes", music)
    notes = check_notes(given)
    second = 60 / _check_tempo(tempo)
    order = np.lexsort((notes["onset_beat"], notes["pitch"]))
    heard: list[list[float]] = []  # onset, end, pitch, velocity
    for beat, length, pitch, _, velocity in notes[order].tolist():
        onset, end = second * beat, second * (beat + length)
        last = heard[-1] if heard and heard[-1][2] == pitch else None
        if last and onset - last[0] < _TOGETHER:
            last[1], last[3] = max(last[1], end), max(last[3], velocity)
            continue
        if last and last[1] > onset:
            last[1], end = onset, max(last[1], end)
        heard.append([onset, end, pitch, velocity])
    table = np.array(heard, dtype=float).reshape(-1, 4)
    return performed_notes(
        table[:, 0], table[:, 1] - table[:, 0], table[:, 2], velocity=table[:, 3]
    )


def to_beats(performed: np.ndarray, *, tempo: float = 120.0) -> np.ndarray:
    """Return a note array that sounds like ``performed`` when played at ``tempo``.

    So a transcription can be heard, engraved and written as MIDI by what takes note arrays
    (`mircourse.synth`, `mircourse.notation`, `mircourse.scores.to_midi`) at the same tempo.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    performed : numpy.ndarray of `PERFORMED_DTYPE`, shape (n,)
        Notes in seconds.
    tempo : float
        Quarter notes per minute. It need not be the music's own: it sets the unit of time.

    Returns
    -------
    numpy.ndarray of `mircourse.scores.NOTE_DTYPE`, shape (n,)
        All in voice 0.

    Raises
    ------
    ValueError, TypeError
        If the notes or the tempo are not valid.
    """
    check_performed(performed)
    beats = _check_tempo(tempo) / 60
    return note_array(
        beats * performed["onset_sec"],
        beats * performed["duration_sec"],
        performed["pitch"],
        velocity=performed["velocity"],
    )


def _check_tempo(tempo: float) -> float:
    if not 0 < tempo < math.inf:
        raise ValueError(f"tempo must be above 0 and finite, got {tempo} quarter notes per minute")
    return tempo
