"""Music as a sequence of events: the vocabulary of 388 with which a Transformer reads and writes.

A performance becomes what a pianist does: keys go down and up, time passes, the touch changes. The
encoding is that of Oore et al. (2018), with the steps of 10 ms of Huang et al. (2019); the former
have 125 steps of 8 ms, and so 413 events. The numbering is ours:

========== ============== ==================================================================
0 – 127    ``NOTE_ON``    the key of this pitch goes down, as hard as the last velocity says
128 – 255  ``NOTE_OFF``   the key of this pitch comes up
256 – 355  ``TIME_SHIFT`` 10 ms to 1 s pass, in steps of 10 ms; longer waits are several
356 – 387  ``VELOCITY``   from here on keys are struck so hard: 32 levels of four MIDI values
========== ============== ==================================================================

`N_EVENTS` = 388 counts these. Tokens that a model needs and music does not come after them, and so
leave the numbers of the events alone; they sound as nothing:

=== ======== ======================================================================
388 ``PAD``  fills short sequences of a batch; never read
389 ``BOS``  a piece begins
390 ``EOS``  a piece ends
391 ``MASK`` stands for an event that a model shall guess
392 ``CLS``  stands for the whole sequence
393 ``SEP``  between two phrases
=== ======== ======================================================================

`N_TOKENS` = 394 counts all. At one instant keys come up before others go down, each from the
lowest; a velocity is written only where it changes. So one performance has one sequence.

Lesson: book/transformer/musictransformer
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from mircourse.performed import check_performed, performed_notes

NOTE_ON, NOTE_OFF, TIME_SHIFT, VELOCITY = 0, 128, 256, 356
N_EVENTS = 388
PAD, BOS, EOS, MASK, CLS, SEP = range(N_EVENTS, N_EVENTS + 6)
N_TOKENS = 394
SPECIALS = {"PAD": PAD, "BOS": BOS, "EOS": EOS, "MASK": MASK, "CLS": CLS, "SEP": SEP}

STEPS_PER_SECOND = 100
MAX_SHIFT = 100  # steps
N_VELOCITIES = 32
N_DURATIONS = 32
N_DYNAMICS = 8
IGNORED = -100  # a target that is not scored, as PyTorch's losses have it

_VALUES_A_LEVEL = 4  # MIDI velocities in one of the 32 levels
_START_LEVEL = 15  # before a velocity is given: 61 to 64
_BINS_AN_OCTAVE = 4
_SHORTEST = 3  # steps
_KINDS = {NOTE_ON: "NOTE_ON", NOTE_OFF: "NOTE_OFF", TIME_SHIFT: "TIME_SHIFT", VELOCITY: "VELOCITY"}


class NoteTargets(NamedTuple):
    """What the three heads of a `MusicTransformer` shall say at each token, each int64 ``(n,)``.

    `IGNORED` (-100) stands where no note follows.
    """

    pitches: NDArray[np.int64]
    durations: NDArray[np.int64]
    dynamics: NDArray[np.int64]


def encode(performed: np.ndarray, *, ends: bool = False) -> NDArray[np.int64]:
    """Return a performance as tokens.

    Onsets and ends are rounded to 10 ms and velocities to 32 levels; `decode` gives the rest back
    exactly. A note shorter than that lasts 10 ms. Notes of one pitch that begin together are one,
    as long as the longest and as loud as the loudest. A pitch struck again while it sounds ends
    there and begins anew, and then lasts until the last of them ends.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    performed : numpy.ndarray of `mircourse.performed.PERFORMED_DTYPE`, shape (m,)
        Notes in seconds; `mircourse.performed.perform` makes them of a score.
    ends : bool
        Put `BOS` before and `EOS` after.

    Returns
    -------
    ndarray of int64, shape (n,)
        Empty without notes (and ends).

    Raises
    ------
    TypeError, ValueError
        If it is not a sound performed array.

    Examples
    --------
    >>> middle_c = performed_notes([0.0], [0.5], [60], velocity=64)
    >>> names(encode(middle_c))
    ['VELOCITY 61-64', 'NOTE_ON 60', 'TIME_SHIFT 500 ms', 'NOTE_OFF 60']
    """
    onset, end, pitch, level = _quantised(check_performed(performed))
    n = len(onset)
    time = np.concatenate([onset, end])  # (n,), (n,) -> (2n,)
    begins = np.repeat([1, 0], n)
    key = np.tile(pitch, 2)
    order = np.lexsort((key, begins, time))
    time, begins, key = time[order], begins[order], key[order]

    wait = np.diff(time, prepend=0)
    shifts = -(-wait // MAX_SHIFT)
    sound = np.flatnonzero(begins)
    touch = np.tile(level, 2)[order][sound]
    changes = np.zeros(2 * n, np.int64)
    changes[sound] = np.diff(touch, prepend=-1) != 0

    last = np.cumsum(shifts + changes + 1) - 1  # where the key itself stands
    tokens = np.full(last[-1] + 1 if n else 0, TIME_SHIFT + MAX_SHIFT - 1, np.int64)
    tokens[last] = key + np.where(begins, NOTE_ON, NOTE_OFF)
    changed = np.flatnonzero(changes)
    tokens[last[changed] - 1] = VELOCITY + np.repeat(touch, changes[sound])
    waits = np.flatnonzero(wait)
    # Full shifts fill the place already; the last one is what is left.
    tokens[(last - changes - 1)[waits]] = TIME_SHIFT + (wait[waits] - 1) % MAX_SHIFT
    return np.concatenate([[BOS], tokens, [EOS]]) if ends else tokens


def decode(tokens: npt.ArrayLike) -> np.ndarray:
    """Return what a sequence of tokens sounds like. Any sequence is music, if odd music.

    A note lasts until its pitch is switched off or struck again, or until the piece ends: with the
    sequence, or at any special token but `MASK`. Notes without length are left out; a note-off of
    what does not sound changes nothing. Before the first velocity keys are struck at 62; of a
    level's four MIDI velocities the second is played.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    tokens : array_like of int, shape (n,)
        0 to 393.

    Returns
    -------
    numpy.ndarray of `mircourse.performed.PERFORMED_DTYPE`, shape (m,)

    Raises
    ------
    ValueError
        If a token is out of range, or the shape is not ``(n,)``.
    TypeError
        If the tokens are not whole numbers.

    Examples
    --------
    >>> decode([NOTE_ON + 60, TIME_SHIFT + 49, NOTE_OFF + 60]).tolist()
    [(0.0, 0.5, 60, 62)]
    """
    tokens = check_tokens(tokens)
    at, steps = _notes(tokens)
    sounds = steps > 0
    at, steps = at[sounds], steps[sounds]
    onset = steps_after(tokens)[at]
    velocity = _VALUES_A_LEVEL * _levels(tokens)[at] + 2
    return performed_notes(
        onset / STEPS_PER_SECOND, steps / STEPS_PER_SECOND, tokens[at], velocity=velocity
    )


def check_tokens(tokens: npt.ArrayLike) -> NDArray[np.int64]:
    """Return tokens as int64, shape ``(n,)``.

    Raises
    ------
    ValueError, TypeError
        As `decode`.
    """
    given = np.asarray(tokens)
    if given.ndim != 1:
        raise ValueError(f"tokens must have shape (n,), got {given.shape}")
    if not given.size:
        return np.zeros(0, np.int64)
    if given.dtype.kind not in "iu":
        raise TypeError(f"tokens must be whole numbers, got an array of {given.dtype}")
    wrong = (given < 0) | (given >= N_TOKENS)
    if wrong.any():
        at = int(wrong.argmax())
        raise ValueError(f"a token is 0 to {N_TOKENS - 1}, got {given[at]} at position {at}")
    return given.astype(np.int64)


def names(tokens: npt.ArrayLike) -> list[str]:
    """Return tokens in words, one string each, such as ``"NOTE_ON 60"``.

    Raises
    ------
    ValueError, TypeError
        As `decode`.
    """
    return [_name(token) for token in check_tokens(tokens).tolist()]


def note_targets(tokens: npt.ArrayLike) -> NoteTargets:
    r"""Say for each token which note begins next after it: what the three heads shall predict.

    - ``pitches``: 0 to 127.
    - ``durations``: 0 to 31, four bins an octave. Bin :math:`b` holds :math:`d` steps of 10 ms
      where :math:`b = \lfloor 4 \log_2(d / 3) + 0.3 \rfloor`; shorter ones are in bin 0, longer
      ones in bin 31. Where a quarter note is 48 steps, as in `mircourse.styles`, a 64th is bin 0,
      a sixteenth 8, a quarter 16, a whole note 24; triplets, plain and dotted values differ.
    - ``dynamics``: 0 to 7, four velocity levels each: 0 is MIDI velocity 1 to 16, 7 is 113 to 127.

    A token with no note after it in its piece has `IGNORED`. A new piece begins at each special
    token but `MASK`: what comes after `EOS` is not foretold from before it.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    tokens : array_like of int, shape (n,)

    Returns
    -------
    NoteTargets
        Three arrays of shape (n,).

    Raises
    ------
    ValueError, TypeError
        As `decode`.
    """
    tokens = check_tokens(tokens)
    at, steps = _notes(tokens)
    order = np.argsort(at)
    at, steps = at[order], steps[order]
    piece = _piece(tokens)
    following = np.searchsorted(at, np.arange(len(tokens)), side="right")
    found = np.full(len(tokens), False)
    inside = following < len(at)
    found[inside] = piece[at[following[inside]]] == piece[inside]
    note = following[found]

    def spread(values: NDArray) -> NDArray[np.int64]:
        out = np.full(len(tokens), IGNORED, np.int64)
        out[found] = values[note]
        return out

    return NoteTargets(
        spread(tokens[at]),
        spread(duration_bins(steps)),
        spread(_levels(tokens)[at] // (N_VELOCITIES // N_DYNAMICS)),
    )


def duration_bins(steps: npt.ArrayLike) -> NDArray[np.int64]:
    """Return the bin, 0 to 31, of durations in steps of 10 ms; see `note_targets`."""
    length = np.maximum(np.asarray(steps, dtype=float), 1)
    # Three tenths past the edge of a bin, so that plain values do not lie on one.
    place = np.floor(_BINS_AN_OCTAVE * np.log2(length / _SHORTEST) + 0.3)
    return np.clip(place, 0, N_DURATIONS - 1).astype(np.int64)


def _quantised(notes: np.ndarray) -> tuple[NDArray[np.int64], ...]:
    """Return onset, end (steps), pitch and velocity level; no pitch overlaps itself."""
    onset = _steps(notes["onset_sec"])
    end = np.maximum(_steps(notes["onset_sec"] + notes["duration_sec"]), onset + 1)
    pitch = notes["pitch"].astype(np.int64)
    level = (notes["velocity"].astype(np.int64) - 1) // _VALUES_A_LEVEL
    order = np.lexsort((onset, pitch))
    onset, end, pitch, level = (column[order] for column in (onset, end, pitch, level))
    first = np.flatnonzero((np.diff(onset, prepend=-1) != 0) | (np.diff(pitch, prepend=-1) != 0))
    if not len(first):
        return onset, end, pitch, level
    end, level = np.maximum.reduceat(end, first), np.maximum.reduceat(level, first)
    onset, pitch = onset[first], pitch[first]
    # What an earlier note of the same pitch still had to sound is given to the later one.
    lift = pitch * (end.max() + 1)
    end = np.maximum.accumulate(end + lift) - lift
    again = np.flatnonzero(pitch[1:] == pitch[:-1])
    end[again] = np.minimum(end[again], onset[again + 1])
    return onset, end, pitch, level


def _steps(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(seconds * STEPS_PER_SECOND + 0.5).astype(np.int64)


def _notes(tokens: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each note begins, as an index, and how many steps it lasts; by pitch."""
    keys = np.flatnonzero(tokens < TIME_SHIFT)
    pitch, piece, time = tokens[keys] % NOTE_OFF, _piece(tokens)[keys], steps_after(tokens)
    order = np.lexsort((piece, pitch))  # stable: in time within a pitch of a piece
    keys, pitch, piece = keys[order], pitch[order], piece[order]
    closing = np.append(time, 0)[np.searchsorted(_piece(tokens), piece, side="right") - 1]
    same = np.flatnonzero((pitch[1:] == pitch[:-1]) & (piece[1:] == piece[:-1]))
    closing[same] = time[keys[same + 1]]
    on = tokens[keys] < NOTE_OFF
    return keys[on], (closing - time[keys])[on]


def steps_after(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many steps of 10 ms have passed after each token, (..., n) like the tokens."""
    shift = (tokens >= TIME_SHIFT) & (tokens < VELOCITY)
    return np.where(shift, tokens - TIME_SHIFT + 1, 0).cumsum(axis=-1)


def _piece(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.cumsum((tokens >= N_EVENTS) & (tokens != MASK))


def _levels(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the velocity level, 0 to 31, in force at each token."""
    touch = (tokens >= VELOCITY) & (tokens < N_EVENTS)
    last = np.maximum.accumulate(np.where(touch, np.arange(1, len(tokens) + 1), 0))
    return np.concatenate([[_START_LEVEL], tokens - VELOCITY])[last]


def _name(token: int) -> str:
    for special, number in SPECIALS.items():
        if token == number:
            return special
    base = max(start for start in _KINDS if start <= token)
    value: Any = token - base
    if base == TIME_SHIFT:
        value = f"{1000 * (value + 1) // STEPS_PER_SECOND} ms"
    elif base == VELOCITY:
        low = _VALUES_A_LEVEL * value + 1
        value = f"{low}-{min(low + _VALUES_A_LEVEL - 1, 127)}"
    return f"{_KINDS[base]} {value}"
