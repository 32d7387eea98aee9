"""Chorales as piano rolls, for a `MusicVAE`: chords of 88 keys, and bars of such frames.

A frame is half a quarter note long. A key is down (1) in a frame if one of the voices sings it at
the beginning of the frame. That it is struck again, a roll does not tell.

Lesson: book/vae/musicvae
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from mircourse import choralegrid
from mircourse.notearray import note_array

if TYPE_CHECKING:
    from mircourse.scores import Piece

KEYS = 88
LOWEST = 21
FRAMES = 8  # in a bar of 4/4
CELLS = 2  # sixteenth notes in a frame
QUARTER = 4  # and in a quarter
BEATS = 0.5


class Bar(NamedTuple):
    """A bar of a chorale.

    Attributes
    ----------
    roll : ndarray of float32, (8, 88)
        1 where a key is down.
    grid : ndarray of int16, (8, 4)
        The pitch of each voice in each frame, soprano first.
    mode : str
        "major" or "minor", of the chorale.
    family : str
        Of the chorale.
    """

    roll: NDArray[np.float32]
    grid: NDArray[np.int16]
    mode: str
    family: str


def roll(grid: npt.ArrayLike) -> NDArray[np.float32]:
    """Return which keys are down: pitches (T, 4) -> (T, 88).

    Lesson: book/vae/musicvae

    Parameters
    ----------
    grid : array_like of int, (T, 4)
        Pitches, `mircourse.choralegrid.REST` for silence.

    Raises
    ------
    ValueError
        If the shape does not fit, or a pitch is not one of the 88 keys.
    """
    cells = np.asarray(grid)
    if cells.ndim != 2 or cells.dtype.kind not in "iu":
        raise ValueError(f"expected pitches (T, voices), got {cells.dtype} {cells.shape}")
    sings = cells != choralegrid.REST
    keys = cells.astype(int) - LOWEST
    if ((keys < 0) | (keys >= KEYS))[sings].any():
        raise ValueError(f"pitches must be {LOWEST} to {LOWEST + KEYS - 1}, those of the 88 keys")
    found = np.zeros((len(cells), KEYS), np.float32)
    frame, _ = np.nonzero(sings)
    found[frame, keys[sings]] = 1
    return found


def notes_of(roll: npt.ArrayLike, *, threshold: float = 0.5) -> np.ndarray:
    """Return the notes of a roll: a key that is down in frames in a row is one note.

    Lesson: book/vae/musicvae

    Parameters
    ----------
    roll : array_like, (T, 88)
        From 0 to 1, as `roll` or a network gives them.
    threshold : float
        From which on a key is down.

    Returns
    -------
    numpy.ndarray of `mircourse.scores.NOTE_DTYPE`, (n,)

    Raises
    ------
    ValueError
        If the shape does not fit or a number is not finite.
    """
    values = np.asarray(roll, float)
    if values.ndim != 2 or values.shape[1] != KEYS or not np.isfinite(values).all():
        raise ValueError(f"expected finite numbers (T, {KEYS}), got {values.shape}")
    down = np.pad(values >= threshold, ((1, 1), (0, 0)))
    # Key by key, so that beginnings and ends are in one order.
    key, first = np.nonzero((down[1:] & ~down[:-1]).T)
    _, last = np.nonzero((down[:-1] & ~down[1:]).T)
    return note_array(first * BEATS, (last - first) * BEATS, key + LOWEST)


@functools.cache
def bars(split: str) -> tuple[Bar, ...]:
    """Return the full bars of the chorales in 4/4 of a split, in major and minor.

    Lesson: book/vae/musicvae

    Parameters
    ----------
    split : {"train", "valid", "test"}
        Melody families do not cross splits.
    """
    found = []
    for piece, cells in _grids(split):
        if piece.meter != "4/4" or piece.mode not in ("major", "minor"):
            continue
        first = round(piece.pickup_beats * 4)
        frames = cells[first::CELLS]
        for k in range(0, len(frames) - FRAMES + 1, FRAMES):
            part = frames[k : k + FRAMES]
            inside = (part >= LOWEST) & (part < LOWEST + KEYS)
            if (inside | (part == choralegrid.REST)).all() and inside.any():
                found.append(Bar(roll(part), part, piece.mode, piece.family))
    return tuple(found)


def chords(split: str) -> NDArray[np.float32]:
    """Return the chords of the chorales of a split, moved to C major or A minor, (N, 88).

    One is taken at each quarter note in which all four voices sing; it may have passing notes.

    Lesson: book/vae/musicvae

    Parameters
    ----------
    split : {"train", "valid", "test"}
        Melody families do not cross splits.
    """
    found = []
    for piece, cells in _grids(split):
        if piece.sharps is None:
            continue
        first = round(piece.pickup_beats / choralegrid.CELL) % QUARTER
        quarters = cells[first::QUARTER]
        sung = quarters[(quarters != choralegrid.REST).all(axis=1)]
        # A sharp is seven semitones up; the nearer way back, by six at most.
        found.append(roll(sung + (6 - (7 * piece.sharps + 6) % 12)))
    return np.concatenate(found)


def moved(rolls: NDArray[np.float32], semitones: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return rolls (B, T, 88), each so many semitones (B,) higher; what leaves the keys is lost."""
    found = np.zeros_like(rolls)
    for k, by in enumerate(semitones.tolist()):
        if by >= 0:
            found[k, :, by:] = rolls[k, :, : KEYS - by]
        else:
            found[k, :, :by] = rolls[k, :, -by:]
    return found


@functools.cache
def _grids(split: str) -> tuple[tuple[Piece, NDArray], ...]:
    """Return the chorales of a split that have four voices, each with its grid."""
    from mircourse import scores

    found = []
    for piece in scores.load("bach", split=split):
        try:
            found.append((piece, choralegrid.grid(piece)))
        except ValueError:  # instruments, or one of the four voices missing
            continue
    return tuple(found)
