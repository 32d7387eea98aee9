r"""n-gram models: the probability of a symbol, counted after the symbols before it.

After a long context the counts are exact and few, after a short one many and vague. An `NGram`
mixes all lengths, from the uniform distribution up: with the counts of `c` after a context,

.. math::
    P_k(w) = \frac{\max(c_k(w) - D_k, 0)}{\sum_v c_k(v)} + \lambda_k P_{k-1}(w)

for Kneser and Ney's smoothing (1995), interpolated as in Chen and Goodman (1999, eq. 21), where
:math:`\lambda_k` gives away what the discount :math:`D_k` took, and the shorter contexts count not
how often a symbol came but after how many different longer contexts. Witten and Bell (1991) count
occurrences everywhere and give the shorter context a weight equal to the number of kinds of symbol
seen.

Contexts are rows of symbols, nearest first; a shorter context leaves out the last columns. Columns
may hold anything known in time: the symbol before, or the place in the bar.

Lesson: book/rnn/lstm
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

Smoothing = Literal["kneser-ney", "witten-bell"]
SMOOTHINGS = ("kneser-ney", "witten-bell")
BEFORE = -1  # the symbol of what is before the beginning


@dataclass(frozen=True)
class _Level:
    """Counts after contexts of one length.

    The contexts are numbered; `rows[i] : rows[i + 1]` are the symbols that followed context i.
    """

    keys: NDArray[np.int64]  # (contexts,), sorted: number of the shorter context, next column
    rows: NDArray[np.int64]  # (contexts + 1,)
    symbols: NDArray[np.int64]  # (pairs,)
    weights: NDArray[np.float64]  # (pairs,), after the discount, of all that the context gives
    rest: NDArray[np.float64]  # (contexts,), what is left to the shorter context


class NGram:
    """Interpolated n-gram model of one symbol given a context.

    Lesson: book/rnn/lstm

    Parameters
    ----------
    n_symbols : int
        Symbols are 0 to ``n_symbols - 1``.
    order : int
        Columns of the context that are used, plus one: a bigram has order 2, and 1 counts
        symbols without a context.
    smoothing : {"kneser-ney", "witten-bell"}
        See the module.

    Raises
    ------
    ValueError
        If a number is below 1 or the smoothing is unknown.
    """

    def __init__(self, n_symbols: int, *, order: int, smoothing: Smoothing = "kneser-ney") -> None:
        if n_symbols < 1 or order < 1:
            raise ValueError(f"n_symbols and order must be 1 or more, got {n_symbols}, {order}")
        if smoothing not in SMOOTHINGS:
            raise ValueError(f"smoothing must be one of {SMOOTHINGS}, got {smoothing!r}")
        self.n_symbols = n_symbols
        self.order = order
        self.smoothing = smoothing
        self._base = 0
        self._levels: list[_Level] = []

    @property
    def n_counts(self) -> int:
        """Number of pairs of a context and a symbol that were seen, over all lengths."""
        return sum(len(level.symbols) for level in self._levels)

    def fit(self, contexts: npt.ArrayLike, targets: npt.ArrayLike) -> Self:
        """Count.

        Parameters
        ----------
        contexts : array_like of int, (N, at least order - 1)
            Column 0 is the nearest; `BEFORE` or more.
        targets : array_like of int, (N,)
            The symbols that followed.

        Raises
        ------
        ValueError
            If there are no targets, a shape does not fit, or a symbol is out of range.
        """
        context = self._context(contexts)
        target = np.asarray(targets)
        if target.shape != context.shape[:1] or not len(target):
            raise ValueError(
                f"targets must have shape ({len(context)},), not empty, got {target.shape}"
            )
        if target.min() < 0 or target.max() >= self.n_symbols:
            raise ValueError(f"targets must be 0 to {self.n_symbols - 1}")
        self._base = int(context.max(initial=0)) + 2
        numbers = [np.zeros(len(target), np.int64)]
        keys = [np.zeros(1, np.int64)]
        for column in context.T:
            found, number = np.unique(numbers[-1] * self._base + column + 1, return_inverse=True)
            keys.append(found)
            numbers.append(number)
        pairs = [np.unique(n * self.n_symbols + target, return_counts=True) for n in numbers]
        self._levels = []
        for k, (pair, count) in enumerate(pairs):
            if self.smoothing == "kneser-ney" and k < len(pairs) - 1:
                # Every longer context that the symbol followed counts once.
                longer = pairs[k + 1][0]
                parent = keys[k + 1][longer // self.n_symbols] // self._base
                _, count = np.unique(
                    parent * self.n_symbols + longer % self.n_symbols, return_counts=True
                )
            self._levels.append(self._level(keys[k], pair, count))
        return self

    def _level(self, keys: NDArray, pair: NDArray, count: NDArray) -> _Level:
        owner, symbols = pair // self.n_symbols, pair % self.n_symbols
        rows = np.searchsorted(owner, np.arange(len(keys) + 1))
        total = np.add.reduceat(count, rows[:-1]).astype(float)
        kinds = np.diff(rows)
        if self.smoothing == "kneser-ney":
            # Ney, Essen and Kneser (1994): an estimate of the best discount from the symbols
            # seen once and twice.
            once, twice = int((count == 1).sum()), int((count == 2).sum())
            discount = once / (once + 2 * twice) if once and twice else 0.5
            weights = np.maximum(count - discount, 0) / total[owner]
            rest = discount * kinds / total
        else:
            weights = count / (total + kinds)[owner]
            rest = kinds / (total + kinds)
        return _Level(keys, rows, symbols, weights, rest)

    def probabilities(self, contexts: npt.ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each symbol after each context, ``(M, n_symbols)``.

        Raises
        ------
        ValueError
            If the model has not been fitted, or the contexts do not fit.
        """
        context = self._context(contexts)
        if not self._levels:
            raise ValueError("this model has counted nothing: call fit first")
        p = np.full((len(context), self.n_symbols), 1 / self.n_symbols)
        alive = np.arange(len(context))  # rows whose context of this length was seen
        number = np.zeros(len(context), np.int64)
        for k, level in enumerate(self._levels):
            if k:
                column = context[alive, k - 1] + 1
                key = number * self._base + column
                at = np.minimum(np.searchsorted(level.keys, key), len(level.keys) - 1)
                # A symbol that no context had is out of the base, and could look like another.
                seen = (level.keys[at] == key) & (column < self._base)
                alive, number = alive[seen], at[seen]
            p[alive] *= level.rest[number, None]
            first, size = level.rows[number], np.diff(level.rows)[number]
            row = np.repeat(alive, size)
            start = np.repeat(first - np.cumsum(size) + size, size)
            entry = start + np.arange(len(row))
            p[row, level.symbols[entry]] += level.weights[entry]
        return p

    def log2_probability(
        self, contexts: npt.ArrayLike, targets: npt.ArrayLike
    ) -> NDArray[np.float64]:
        """Return the base-2 logarithm of the probability of each target, ``(M,)``."""
        context, target = self._context(contexts), np.asarray(targets)
        # A few thousand rows of all symbols at a time fit into a processor's cache.
        parts = np.array_split(np.arange(len(target)), len(target) // 4096 + 1)
        return np.concatenate(
            [np.log2(self.probabilities(context[i])[np.arange(len(i)), target[i]]) for i in parts]
        )

    def _context(self, contexts: npt.ArrayLike) -> NDArray[np.int64]:
        context = np.asarray(contexts)
        if context.ndim != 2 or context.shape[1] < self.order - 1:
            raise ValueError(
                f"contexts must be (N, {self.order - 1} or more) for order {self.order}, "
                f"got {context.shape}"
            )
        context = context[:, : self.order - 1].astype(np.int64)
        if context.size and context.min() < BEFORE:
            raise ValueError(f"symbols of a context must be {BEFORE} or more")
        return context


def windows(
    sequences: Sequence[npt.ArrayLike], *, order: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut sequences of symbols into contexts and targets for `NGram.fit`.

    Returns
    -------
    contexts : ndarray of int, (N, order - 1)
        The symbols before each, nearest first; `BEFORE` where there was none.
    targets : ndarray of int, (N,)
        Every symbol of every sequence.
    """
    rows = [np.asarray(sequence, dtype=np.int64) for sequence in sequences]
    contexts = [lagged(row, order - 1) for row in rows]
    empty: list[Any] = [np.zeros((0, order - 1), np.int64)]
    return np.concatenate(empty + contexts), np.concatenate([np.zeros(0, np.int64), *rows])


def lagged(sequence: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return the ``n`` symbols before each of a sequence, nearest first, ``(len, n)``."""
    padded = np.concatenate([np.full(n, BEFORE), sequence])
    return (
        np.stack([padded[n - k - 1 : len(padded) - k - 1] for k in range(n)], axis=1)
        if n
        else (np.zeros((len(sequence), 0), np.int64))
    )
