"""How much of one melody another keeps: its contour, and its pitch classes.

Lesson: book/index
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mircourse import melodybars


def overlap(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return how far two melodies have the same pitch classes for as long, 0 to 1.

    The smaller share of each pitch class in the time that sounds, summed.

    Lesson: book/index

    Parameters
    ----------
    a, b : ndarray of int, (n,)
        Symbols.
    """
    shares = [_shares(row) for row in (a, b)]
    return float(np.minimum(*shares).sum())


def contour(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return how far two melodies go up and down together: the correlation of their pitches.

    Counted over the steps in which both sound; 0 where one of them does not move.

    Lesson: book/index

    Parameters
    ----------
    a, b : ndarray of int, (n,)
        Symbols.

    Raises
    ------
    ValueError
        If they are not of one length.
    """
    if np.shape(a) != np.shape(b):
        raise ValueError(f"expected melodies of one length, got {np.shape(a)} and {np.shape(b)}")
    first, second = melodybars.sounding(a).astype(float), melodybars.sounding(b).astype(float)
    both = (first > 0) & (second > 0)
    first, second = first[both], second[both]
    if not both.any() or first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _shares(symbols: NDArray[np.int64]) -> NDArray[np.float64]:
    pitch = melodybars.sounding(symbols)
    counts = np.bincount(pitch[pitch > 0] % 12, minlength=12)
    return counts / max(1, counts.sum())
