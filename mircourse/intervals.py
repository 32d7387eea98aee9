"""How sure a figure is: bootstrap intervals over groups of items and over seeds.

A test set is a sample, and so is a training run: other pieces, or another random seed, would have
given another figure. The intervals here are percentile bootstrap intervals (Efron, 1979). Items
that belong together (the frames of a piece, the instruments at one pitch, the transpositions of a
tune) are drawn together, as *groups*: drawing them one by one would count the same evidence many
times and give an interval that is too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLOCK = 2**22  # resampled counts held at once: 32 MiB


@dataclass(frozen=True)
class Interval:
    """A figure and the interval around it; prints as ``0.87 [0.83, 0.91]``.

    Attributes
    ----------
    mean : float
        The figure on the items as they are.
    low, high : float
        Ends of the bootstrap interval.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self:.2f}"

    def __format__(self, spec: str) -> str:
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def bootstrap(
    scores: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the mean of per-item scores and its bootstrap interval.

    Each resample draws as many groups as there are, with replacement, and takes all items of
    every group drawn; with several seeds it draws seeds, with replacement, as well.

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    scores : array_like, shape (n_items,) or (n_seeds, n_items)
        One number an item (for accuracy: 1 if right, 0 if wrong), from one run or from several.
    groups : array_like, shape (n_items,), optional
        Which items belong together; every item is its own group by default.
    n : int
        Number of resamples.
    seed : int
        Seed of the resampling.
    level : float
        Coverage asked for, between 0 and 1.

    Returns
    -------
    Interval
        With one group and one seed nothing can vary: the interval is the mean itself, and says
        nothing about other groups.

    Raises
    ------
    ValueError
        If there are no items, a score is not finite, or shapes or settings do not fit.

    Examples
    --------
    >>> print(bootstrap([1, 1, 0, 1] * 25, groups=[0, 1, 2, 3] * 25))
    0.75 [0.25, 1.00]
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim not in (1, 2) or values.size == 0:
        raise ValueError(
            f"scores have shape {values.shape} but (n_items,) or (n_seeds, n_items) is expected, "
            "with at least one item"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(values))} scores are NaN or infinite")
    values = np.atleast_2d(values)  # (S, N)
    _check_settings(n, level)
    member, n_groups = _group_index(groups, values.shape[1])
    sizes = np.bincount(member, minlength=n_groups)  # (G,)
    sums = np.stack([np.bincount(member, weights=run, minlength=n_groups) for run in values])
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, n, block := max(1, _BLOCK // n_groups)):
        rows = min(block, n - start)
        drawn = _draw(rng, n_groups, rows)  # (rows, G) how often each group is drawn
        runs = _draw(rng, len(values), rows) / len(values)  # (rows, S) weight of each seed
        means.append(np.einsum("bs,sg,bg->b", runs, sums, drawn, optimize=True) / (drawn @ sizes))
    return _interval(float(values.mean()), np.concatenate(means), level)


def bootstrap_statistic(
    fn: Callable[[NDArray[np.int64]], float] | Sequence[Callable[[NDArray[np.int64]], float]],
    n_items: int,
    *,
    groups: ArrayLike | None = None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return a statistic that is not a mean over items, and its bootstrap interval.

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    fn : callable, or sequence of callables
        Takes an array of item indices (repeated where an item is drawn again) and returns the
        statistic on those items; for several seeds, one callable a seed, whose mean counts.
    n_items : int
        Number of items.
    groups, n, seed, level
        As for `bootstrap`. ``fn`` is called ``n`` times for each seed drawn.

    Raises
    ------
    ValueError
        If there are no items, the statistic is not finite on a resample, or settings do not fit.

    Examples
    --------
    >>> score = np.array([0.1, 0.9, 0.4, 0.5])
    >>> bootstrap_statistic(lambda i: float(np.median(score[i])), 4).mean
    0.45
    """
    runs: list[Callable[[NDArray[np.int64]], float]]
    runs = [fn] if callable(fn) else list(fn)
    if n_items < 1 or not runs:
        raise ValueError(f"n_items={n_items} and {len(runs)} callables: at least one is expected")
    _check_settings(n, level)
    member, n_groups = _group_index(groups, n_items)
    order = np.argsort(member, kind="stable")
    items = np.split(order, np.cumsum(np.bincount(member, minlength=n_groups))[:-1])
    rng = np.random.default_rng(seed)
    values = np.empty(n)
    for b in range(n):
        index = np.concatenate([items[g] for g in rng.integers(n_groups, size=n_groups)])
        drawn = rng.integers(len(runs), size=len(runs))
        values[b] = np.mean([runs[s](index) for s in drawn])
    whole = float(np.mean([run(np.arange(n_items)) for run in runs]))
    if not np.isfinite(values).all() or not np.isfinite(whole):
        raise ValueError("the statistic is NaN or infinite on a resample; define it there")
    return _interval(whole, values, level)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the mean of ``a - b`` over the same items, and its bootstrap interval.

    What is hard for one model is mostly hard for the other: compared item by item, two models
    can differ clearly though their own intervals overlap. The difference is clear at ``level``
    if the interval leaves 0 out.

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    a, b : array_like, shape (n_items,) or (n_seeds, n_items)
        Scores of the two models on the same items in the same order; run ``i`` of one is paired
        with run ``i`` of the other, and a single run with all.
    groups, n, seed, level
        As for `bootstrap`.

    Raises
    ------
    ValueError
        If the shapes do not fit, or as for `bootstrap`.
    """
    first, second = (np.atleast_2d(np.asarray(x, dtype=np.float64)) for x in (a, b))
    same_items = first.shape[-1] == second.shape[-1]
    runs = {first.shape[0], second.shape[0]}
    if first.ndim != 2 or second.ndim != 2 or not same_items or (len(runs) > 1 and 1 not in runs):
        raise ValueError(
            f"a has shape {np.shape(a)} and b {np.shape(b)}, but the same items and the same "
            "number of seeds (or one) are expected"
        )
    return bootstrap(first - second, groups=groups, n=n, seed=seed, level=level)


def _check_settings(n: int, level: float) -> None:
    if n < 1 or not 0 < level < 1:
        raise ValueError(f"n={n}, level={level}: n >= 1 and 0 < level < 1 are expected")


def _group_index(groups: ArrayLike | None, n_items: int) -> tuple[NDArray[np.int64], int]:
    """Return each item's group as a number from 0, and how many groups there are."""
    if groups is None:
        return np.arange(n_items), n_items
    names = np.asarray(groups)
    if names.shape != (n_items,):
        raise ValueError(f"groups have shape {names.shape} but one for each of {n_items} items")
    unique, member = np.unique(names, return_inverse=True)
    return member, len(unique)


def _draw(rng: np.random.Generator, k: int, rows: int) -> NDArray[np.float64]:
    """Draw ``k`` of ``k`` with replacement, ``rows`` times; return the counts, ``(rows, k)``."""
    flat = rng.integers(k, size=(rows, k)) + k * np.arange(rows)[:, None]
    return np.bincount(flat.ravel(), minlength=rows * k).reshape(rows, k).astype(np.float64)


def _interval(mean: float, values: NDArray[np.float64], level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high))
