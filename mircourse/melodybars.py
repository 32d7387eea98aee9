"""Melodies as rows of symbols, bar by bar on a grid: what a variational autoencoder reads.

A bar has as many steps whatever it is written in: 16 in 4/4, 2/2 and 2/4, 12 in 6/8. Reels stand
in 2/4 in one book and in 2/2 in another; on this grid they look alike. In each step one of
`N_SYMBOLS` symbols stands:

========= =================================================================================
`HOLD`     what was there goes on, a note or a rest
`REST`     a rest begins
from 2     a note begins: `FIRST_NOTE` is pitch `mircourse.melodies.LOWEST`, and so on
========= =================================================================================

Roberts et al. (2018) use the same alphabet with all 128 pitches; here it ends where the tunes do.

`encode` is exact for a melody whose notes begin and end on the grid. Triplets do not: their notes
are moved to the nearest step, and of two that fall on one the longer stays. `on_grid` tells which
melodies are exact. Dance tunes are played round and round, and `windows` reads them so: after the
last bar, whose missing end is the pickup, the first follows.

Lesson: book/index
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from mircourse.melodies import HIGHEST, LOWEST, likely_sharps, melody_line
from mircourse.notearray import note_array

if TYPE_CHECKING:
    from mircourse.scores import Piece

HOLD, REST, FIRST_NOTE = 0, 1, 2
N_SYMBOLS = FIRST_NOTE + HIGHEST - LOWEST + 1
# Steps in a bar.
STEPS = {"4/4": 16, "2/2": 16, "2/4": 16, "6/8": 12}
DUPLE = ("4/4", "2/2", "2/4")
COLLECTIONS = ("ryan", "oneill", "aird")
_NEAR = 1e-6  # of a step, for sums of triplets


class Window(NamedTuple):
    """Bars of a piece as symbols.

    Attributes
    ----------
    symbols : ndarray of int64, (bars * steps,)
    piece : Piece
        Where they are from.
    bar : int
        The first one, counted from 0.
    """

    symbols: NDArray[np.int64]
    piece: Piece
    bar: int


def steps_of(meter: str | None) -> int:
    """Return the steps in a bar of a meter.

    Raises
    ------
    ValueError
        If it is not one of `STEPS`; the message lists those.
    """
    if meter not in STEPS:
        raise ValueError(f"bars on a grid are of {', '.join(STEPS)}, got {meter!r}")
    return STEPS[meter]


def encode(
    music: Piece | np.ndarray, *, meter: str | None = None, pickup_beats: float | None = None
) -> NDArray[np.int64]:
    """Turn a melody into symbols, whole bars from its first note on.

    Lesson: book/index

    Parameters
    ----------
    music : Piece or note array
        One voice; of chords the top note is taken (`mircourse.melodies.melody_line`).
    meter : str, optional
        One of `STEPS`; the piece's by default, 4/4 for a note array.
    pickup_beats : float, optional
        Quarter notes before the first full bar; the piece's by default, or 0. A pickup makes the
        end of a bar of its own, which begins with a rest.

    Returns
    -------
    ndarray of int64, (bars * steps,)
        No notes make no bars. In front of the first note, and after the last, there is a rest.

    Raises
    ------
    ValueError
        If the meter has no grid, or a pitch is outside `LOWEST` to `HIGHEST`.
    TypeError
        If it is neither a piece nor a note array.
    """
    meter, steps, pickup = _time_of(music, meter, pickup_beats)
    notes = melody_line(_notes(music))
    if not len(notes):
        return np.zeros(0, np.int64)
    _check_range(notes["pitch"], str(getattr(music, "id", "a melody")))
    first, last = _steps(notes, meter, pickup)
    lead = -(-round(pickup * steps / _beats(meter)) // steps) * steps  # whole bars in front
    first, last = first + lead, last + lead
    n_bars = -(-int(last.max()) // steps)
    return _written(first, last, notes, n_bars * steps)


def decode(symbols: npt.ArrayLike, *, meter: str = "4/4", pickup_beats: float = 0.0) -> np.ndarray:
    """Turn symbols, `encode`'s or any that a network wrote, into a note array.

    Lesson: book/index

    Parameters
    ----------
    symbols : array_like of int, (bars * steps,)
        A `HOLD` before anything has begun is a rest.
    meter : str
        Says how many quarter notes a bar has; one of `STEPS`.
    pickup_beats : float
        Takes that much of the beginning away, as far as it is silent: `encode`'s inverse.

    Returns
    -------
    numpy.ndarray of `mircourse.scores.NOTE_DTYPE`, (n,)

    Raises
    ------
    ValueError
        If the meter has no grid, the symbols do not fill whole bars, or one is out of range.
    """
    row = check_symbols(symbols, steps=steps_of(meter))
    if row.ndim != 1:
        raise ValueError(f"expected the symbols of one melody, (n,), got {row.shape}")
    begins = np.flatnonzero(row != HOLD)
    ends = np.append(begins[1:], len(row))
    sounds = row[begins] >= FIRST_NOTE
    begins, ends = begins[sounds], ends[sounds]
    step = _beats(meter) / STEPS[meter]
    gone = (-pickup_beats) % _beats(meter)
    onset = begins * step - gone
    if len(onset) and onset[0] < -_NEAR:
        raise ValueError(f"a note sounds before a pickup of {pickup_beats} quarter notes")
    pitch = row[begins] - FIRST_NOTE + LOWEST
    return note_array(np.maximum(onset, 0), (ends - begins) * step, pitch)


def canonical(symbols: npt.ArrayLike) -> NDArray[np.int64]:
    """Return the symbols that `encode` would write for what these sound like.

    A rest begins at the beginning of a melody and after a note, nowhere else.

    Parameters
    ----------
    symbols : array_like of int, (..., n)
    """
    row = check_symbols(symbols, steps=1)
    if not row.shape[-1]:
        return row
    place = np.arange(row.shape[-1])
    # What sounds in each step: the last symbol that was no hold, a rest before any.
    begun = np.maximum.accumulate(np.where(row != HOLD, place, -1), axis=-1)
    state = np.where(begun < 0, REST, np.take_along_axis(row, np.maximum(begun, 0), axis=-1))
    again = np.zeros(row.shape, bool)
    again[..., 1:] = (state[..., 1:] == REST) & (state[..., :-1] == REST)
    found = np.where(again, HOLD, row)
    found[..., 0] = state[..., 0]
    return found


def sounding(symbols: npt.ArrayLike) -> NDArray[np.int64]:
    """Return which pitch sounds in each step, 0 where none does: (..., n)."""
    row = check_symbols(symbols, steps=1)
    place = np.arange(row.shape[-1])
    begun = np.maximum.accumulate(np.where(row != HOLD, place, -1), axis=-1)
    state = np.where(begun < 0, REST, np.take_along_axis(row, np.maximum(begun, 0), axis=-1))
    return np.where(state >= FIRST_NOTE, state - FIRST_NOTE + LOWEST, 0)


def transpose(symbols: npt.ArrayLike, semitones: int) -> NDArray[np.int64]:
    """Return symbols so many semitones higher.

    Raises
    ------
    ValueError
        If a pitch would leave `LOWEST` to `HIGHEST`; `room` says how far there is to go.
    """
    row = check_symbols(symbols, steps=1)
    moved = np.where(row >= FIRST_NOTE, row + semitones, row)
    outside = (moved < FIRST_NOTE) | (moved >= N_SYMBOLS)
    if np.any(outside & (row >= FIRST_NOTE)):
        raise ValueError(f"{semitones} semitones higher, a pitch leaves {LOWEST} to {HIGHEST}")
    return moved


def room(symbols: npt.ArrayLike) -> NDArray[np.int64]:
    """Return by how many semitones each row can go down (negative) and up: (..., 2)."""
    row = check_symbols(symbols, steps=1)
    sounds = row >= FIRST_NOTE
    low = np.where(sounds, row, N_SYMBOLS).min(axis=-1, initial=N_SYMBOLS)
    high = np.where(sounds, row, 0).max(axis=-1, initial=0)
    ends = np.stack([FIRST_NOTE - low, N_SYMBOLS - 1 - high], axis=-1)
    return np.where(sounds.any(axis=-1, keepdims=True), ends, 0)


def windows(piece: Piece, *, bars: int, hop: int | None = None) -> list[Window]:
    """Cut a tune that is played round and round into parts of so many bars.

    Lesson: book/index

    Parameters
    ----------
    piece : Piece
        Of one of the meters in `STEPS`.
    bars : int
        In a window. A shorter tune is played again until it fills one.
    hop : int, optional
        Bars from one window to the next; as many as a window has unless given. Windows begin
        within the tune and may end after it began anew.

    Returns
    -------
    list of Window
        The first begins with the first full bar. A note that is held over into a window is
        silent there.

    Raises
    ------
    ValueError
        If a number is below 1, the meter has no grid, or a pitch is out of range.
    """
    hop = bars if hop is None else hop
    if bars < 1 or hop < 1:
        raise ValueError(f"bars and hop must be at least 1, got {bars} and {hop}")
    meter, steps, pickup = _time_of(piece, None, None)
    notes = melody_line(piece.notes)
    if not len(notes):
        return []
    _check_range(notes["pitch"], piece.id)
    first, last = _steps(notes, meter, pickup)
    # The last bar and the pickup make one, as players know; otherwise the pickup has its own.
    n_bars = max(1, -(-(int(last.max()) - min(0, int(first.min()))) // steps))
    first, last = first % (n_bars * steps), first % (n_bars * steps) + last - first
    rounds = -(-(n_bars + bars) // n_bars)
    shift = np.repeat(np.arange(rounds) * n_bars * steps, len(first))
    first, last = np.tile(first, rounds) + shift, np.tile(last, rounds) + shift
    row = _written(first, last, np.tile(notes, rounds), rounds * n_bars * steps)
    found = []
    for bar in range(0, n_bars, hop):
        part = row[bar * steps : (bar + bars) * steps].copy()
        part[0] = REST if part[0] == HOLD else part[0]
        found.append(Window(canonical(part), piece, bar))
    return found


@functools.cache
def tunes(
    split: str, *, meters: Sequence[str] = DUPLE, collections: Sequence[str] = COLLECTIONS
) -> tuple[Piece, ...]:
    """Return the tunes of Ryan, O'Neill and Aird in these meters.

    Parameters
    ----------
    split : {"train", "valid", "test"}
        Melody families do not cross splits.
    meters, collections : tuple of str
        Those that count.
    """
    from mircourse import scores

    return tuple(
        piece
        for name in collections
        for piece in scores.load(name, split=split)
        if piece.meter in meters and len(piece.notes)
    )


def on_grid(piece: Piece) -> bool:
    """Return whether every note begins and ends on a step, so that nothing is moved."""
    meter, steps, pickup = _time_of(piece, None, None)
    notes = melody_line(piece.notes)
    ends = notes["onset_beat"] + notes["duration_beat"]
    times = np.concatenate([notes["onset_beat"], ends]) - pickup
    exact = times * steps / _beats(meter)
    return bool((np.abs(exact - np.rint(exact)) < _NEAR).all())


def piece(symbols: npt.ArrayLike, *, meter: str = "4/4", title: str = "") -> Piece:
    """Return symbols as a piece, to engrave and to hear."""
    from mircourse.scores import Piece

    notes = decode(symbols, meter=meter)
    sharps = likely_sharps(notes) if len(notes) else 0
    return Piece(
        id="new",
        title=title,
        collection="",
        composer="",
        notes=notes,
        meter=meter,
        sharps=sharps,
    )


def check_symbols(symbols: Any, *, steps: int) -> NDArray[np.int64]:
    """Return symbols as int64 after a look at them.

    Parameters
    ----------
    symbols : array_like of int, (..., n)
    steps : int
        n is a multiple of this.

    Raises
    ------
    TypeError
        If they are not whole numbers.
    ValueError
        If n is not a multiple of `steps`, or a symbol is out of range.
    """
    row = np.asarray(symbols)
    if row.dtype.kind not in "iu" and row.size:
        raise TypeError(f"symbols must be whole numbers, got {row.dtype}")
    row = row.astype(np.int64)
    if row.ndim == 0 or row.shape[-1] % steps:
        raise ValueError(f"expected bars of {steps} steps, got symbols of shape {row.shape}")
    if row.size and (row.min() < 0 or row.max() >= N_SYMBOLS):
        raise ValueError(f"symbols go from 0 to {N_SYMBOLS - 1}, got {row.min()} to {row.max()}")
    return row


def _notes(music: Any) -> np.ndarray:
    return getattr(music, "notes", music)


def _time_of(music: Any, meter: str | None, pickup_beats: float | None) -> tuple[str, int, float]:
    """Return meter, steps in a bar and quarter notes before the first full bar."""
    if meter is None:
        meter = getattr(music, "meter", "4/4")
    pickup = getattr(music, "pickup_beats", 0.0) if pickup_beats is None else pickup_beats
    steps = steps_of(meter)
    if not (pickup >= 0 and np.isfinite(pickup)):
        raise ValueError(f"pickup_beats must be 0 or more, got {pickup}")
    assert meter is not None
    return meter, steps, float(pickup)


def _beats(meter: str) -> float:
    over, under = map(int, meter.split("/"))
    return 4 * over / under


def _check_range(pitch: NDArray, name: str) -> None:
    if pitch.min() < LOWEST or pitch.max() > HIGHEST:
        raise ValueError(
            f"pitches of {name} must be {LOWEST} to {HIGHEST}, got {pitch.min()} to {pitch.max()}"
        )


def _steps(
    notes: np.ndarray, meter: str, pickup: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the steps where notes begin and end, from the first full bar; one at least each."""
    scale = STEPS[meter] / _beats(meter)
    onset = (notes["onset_beat"] - pickup) * scale
    # Halves go up, whichever way floats fall.
    first = np.floor(onset + 0.5 + _NEAR).astype(np.int64)
    last = np.floor(onset + notes["duration_beat"] * scale + 0.5 + _NEAR).astype(np.int64)
    return first, np.maximum(last, first + 1)


def _written(
    first: NDArray[np.int64], last: NDArray[np.int64], notes: np.ndarray, n: int
) -> NDArray[np.int64]:
    """Return n symbols for notes from step to step; of those that begin in one the longest."""
    order = np.lexsort((-notes["duration_beat"], first))
    order = order[np.append(True, np.diff(first[order]) > 0)]
    first, last, pitch = first[order], last[order], notes["pitch"][order].astype(np.int64)
    last = np.minimum(last, np.append(first[1:], n))
    row = np.full(n, HOLD)
    row[0] = REST
    row[last[last < n]] = REST
    row[first] = pitch - LOWEST + FIRST_NOTE  # a note where another ends
    return canonical(row)
