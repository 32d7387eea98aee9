"""The true chroma of a score, and how near an estimate comes to it.

*Definition.* Time is cut into hops. A pitch class sounds in a hop if a note of that class, in any
octave, sounds at the middle of the hop: it has begun and its written duration is not over. How
loud it is, and how long an instrument rings on, do not count.

Lesson: book/rnn/streaming
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

PITCH_CLASSES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")


def score_chroma(performed: np.ndarray, *, hop_seconds: float, frames: int) -> NDArray[np.bool_]:
    """Return which pitch classes sound in each hop.

    Lesson: book/rnn/streaming

    Parameters
    ----------
    performed : numpy.ndarray
        Notes in seconds: a structured array with ``onset_sec``, ``duration_sec`` and ``pitch``,
        as `mircourse.performed.perform` makes it.
    hop_seconds : float
        Length of a hop; hop ``k`` is judged at ``(k + 1/2) * hop_seconds``.
    frames : int
        Number of hops.

    Returns
    -------
    numpy.ndarray of bool, shape (frames, 12)
        Columns from C to B.

    Raises
    ------
    TypeError
        If ``performed`` lacks a field.
    ValueError
        If the hop is not positive or ``frames`` is negative.

    Examples
    --------
    >>> notes = np.array(
    ...     [(0.0, 0.2, 60)], dtype=[("onset_sec", "f8"), ("duration_sec", "f8"), ("pitch", "i2")]
    ... )
    >>> score_chroma(notes, hop_seconds=0.1, frames=3)[:, 0]
    array([ True,  True, False])
    """
    fields = getattr(getattr(performed, "dtype", None), "names", None) or ()
    missing = [n for n in ("onset_sec", "duration_sec", "pitch") if n not in fields]
    if missing:
        raise TypeError(f"expected notes in seconds; they lack {', '.join(missing)}")
    if not hop_seconds > 0 or frames < 0:
        raise ValueError(
            f"got hop_seconds={hop_seconds}, frames={frames}; expected a positive hop and 0 "
            "frames or more"
        )
    # The first hop whose middle is not before a time.
    edges = np.stack([performed["onset_sec"], performed["onset_sec"] + performed["duration_sec"]])
    first, last = np.clip(np.ceil(edges / hop_seconds - 0.5), 0, frames).astype(int)  # (2, n)
    sounding = np.zeros((frames, 12), dtype=bool)
    for a, b, pitch in zip(first, last, performed["pitch"], strict=True):
        sounding[a:b, pitch % 12] = True
    return sounding


def pitch_class_f(reference: ArrayLike, estimated: ArrayLike) -> float:
    """Return the F-measure of sounding pitch classes, all frames of a piece counted together.

    ``2 n_right / (n_reference + n_estimated)``, where each sounding pitch class of each frame
    counts one; 0 where none is right.

    Lesson: book/rnn/streaming

    Parameters
    ----------
    reference, estimated : array_like of bool, shape (frames, 12)
        What sounds, and what is said to.

    Raises
    ------
    TypeError
        If either is not boolean: chroma values need a threshold first.
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> pitch_class_f([[True, False], [True, True]], [[True, False], [False, True]])
    0.8
    """
    true, guess = np.asarray(reference), np.asarray(estimated)
    if true.dtype != bool or guess.dtype != bool:
        raise TypeError(f"got {true.dtype} and {guess.dtype}; expected booleans (use a threshold)")
    if true.shape != guess.shape:
        raise ValueError(f"got shapes {true.shape} and {guess.shape}; expected the same")
    both, said = np.count_nonzero(true & guess), np.count_nonzero(true) + np.count_nonzero(guess)
    return 2 * both / said if said else 0.0
