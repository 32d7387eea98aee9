r"""How a loss falls with the amount of data: a power law above a floor, and its interval.

Lesson: book/intro/why
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mircourse.intervals import Interval


class PowerLaw(NamedTuple):
    r"""A loss :math:`L(n) = L_\infty + a n^{-b}`, :eq:`eq:intro-power`.

    Lesson: book/intro/why

    Attributes
    ----------
    floor : float
        :math:`L_\infty`, what no amount of data takes away.
    scale : float
        :math:`a`, what there is above the floor at n = 1.
    exponent : float
        :math:`b`. Ten times the data leave :math:`10^{-b}` of what is above the floor.
    """

    floor: float
    scale: float
    exponent: float

    def __call__(self, n: ArrayLike) -> NDArray[np.float64]:
        """Return the loss after n examples."""
        return self.floor + self.scale * np.asarray(n, dtype=float) ** -self.exponent


def fit(n: ArrayLike, loss: ArrayLike, *, floor: bool = True) -> PowerLaw:
    """Fit a power law to losses by least squares.

    For a given exponent the law is linear in its two other numbers, which then have a closed
    form; the exponent is searched for between 0.01 and 3.

    Lesson: book/intro/why

    Parameters
    ----------
    n : array, shape (K,)
        Amounts of data, above 0; at least three different ones, two without a floor.
    loss : array, shape (K,)
        What was lost with each.
    floor : bool
        Whether there is one; else it is 0. It is never below 0.

    Raises
    ------
    ValueError
        If the arrays do not fit each other, hold too few amounts, or numbers out of range.
    """
    x, y = np.asarray(n, dtype=float), np.asarray(loss, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"expected n and loss of one shape (K,), got {x.shape} and {y.shape}")
    if not (np.isfinite(x) & np.isfinite(y) & (x > 0)).all():
        raise ValueError("expected finite losses and amounts of data above 0")
    needed = 3 if floor else 2
    if len(np.unique(x)) < needed:
        raise ValueError(f"expected {needed} different amounts of data or more, got {x.tolist()}")
    # A grid, then a finer one around the best: the error may have more than one valley.
    low, high = np.log(0.01), np.log(3.0)
    for _ in range(4):
        grid = np.linspace(low, high, 61)
        errors, bases, scales = _fits(x, y, np.exp(grid), floor)
        best, step = int(np.argmin(errors)), grid[1] - grid[0]
        low, high = max(low, grid[best] - step), min(high, grid[best] + step)
    return PowerLaw(float(bases[best]), float(scales[best]), float(np.exp(grid[best])))


def bootstrapped(
    n: ArrayLike,
    loss: ArrayLike,
    draw: Callable[[np.random.Generator], ArrayLike],
    *,
    draws: int = 500,
) -> tuple[Interval, Interval]:
    """Return exponent and floor with their 95 % intervals, from fits to losses drawn again.

    Lesson: book/intro/why

    Parameters
    ----------
    n, loss : array, shape (K,)
        Amounts of data, and what was lost with each.
    draw : callable
        Takes a generator and returns losses ``(K,)``, resampled together, so that what is hard
        for all amounts of data stays so.
    draws : int
        How often.
    """
    rng = np.random.default_rng(0)
    found = fit(n, loss)
    laws = np.array([fit(n, draw(rng)) for _ in range(draws)])  # (draws, 3)
    exponent, floor = (
        Interval(whole, *map(float, np.quantile(column, [0.025, 0.975])))
        for whole, column in ((found.exponent, laws[:, 2]), (found.floor, laws[:, 0]))
    )
    return exponent, floor


def _fits(
    x: NDArray[np.float64], y: NDArray[np.float64], exponents: NDArray[np.float64], floor: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return squared errors, floors and scales (G,) of the best laws with these exponents (G,)."""
    z = x ** -exponents[:, None]  # (G, K)
    base = np.zeros(len(z))
    scale = z @ y / np.square(z).sum(axis=1)
    if floor:
        deviation = z - z.mean(axis=1, keepdims=True)
        with_floor = deviation @ y / np.square(deviation).sum(axis=1)
        under = y.mean() - with_floor * z.mean(axis=1)
        base = np.where(under > 0, under, 0.0)
        scale = np.where(under > 0, with_floor, scale)
    return np.square(y - base[:, None] - scale[:, None] * z).sum(axis=1), base, scale
