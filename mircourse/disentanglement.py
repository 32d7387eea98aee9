r"""How far single latent numbers stand for single factors: the mutual information gap, and SAP.

Both ask of each factor which latent number tells most of it, and which comes next: a code that is
disentangled has one number for a factor, and the second tells nothing. 1 is best, 0 worst.

Lesson: book/vae/musicvae
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

BINS = 20


def mutual_information(codes: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how many nats each column of labels tells of others.

    Parameters
    ----------
    codes : ndarray of int, (N, D)
        0 and up.
    labels : ndarray of int, (N,)
        0 and up.

    Returns
    -------
    ndarray of float, (D,)
    """
    N, D = codes.shape
    rows, columns = int(codes.max()) + 1, int(labels.max()) + 1
    cells = (np.arange(D) * rows + codes) * columns + labels[:, None]  # (N, D)
    counts = np.bincount(cells.ravel(), minlength=D * rows * columns)
    joint = counts.reshape(D, rows, columns) / N
    apart = joint.sum(2, keepdims=True) * joint.sum(1, keepdims=True)
    there = joint > 0
    ratio = np.where(there, joint, 1) / np.where(there, apart, 1)
    return (joint * np.log(ratio)).sum(axis=(1, 2))


def entropy(labels: NDArray[np.int64]) -> float:
    """Return the entropy of labels in nats, (N,)."""
    return float(mutual_information(labels[:, None], labels)[0])


def binned(values: npt.ArrayLike, *, bins: int = BINS) -> NDArray[np.int64]:
    """Return in which of so many bins of about equal count each number lies, (N,).

    Equal numbers share a bin.
    """
    row = np.asarray(values, float)
    edges = np.unique(np.quantile(row, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, row, side="right")


def information(z: npt.ArrayLike, factors: npt.ArrayLike, *, bins: int = BINS) -> NDArray:
    """Return what each latent number tells of each factor, as a share of its entropy: (D, F).

    Parameters
    ----------
    z : array_like, (N, D)
        Codes, binned by `binned`.
    factors : array_like, (N, F)
        Binned likewise.
    bins : int

    Raises
    ------
    ValueError
        If the shapes do not fit, a number is not finite, or a factor does not vary.
    """
    codes, truth = _checked(z, factors)
    latents = np.stack([binned(column, bins=bins) for column in codes.T], axis=1)
    told = [information_of(latents, binned(column, bins=bins)) for column in truth.T]
    return np.stack(told, axis=1)


def information_of(codes: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what each column of labels tells of others, as a share of their entropy.

    Parameters
    ----------
    codes : ndarray of int, (N, D)
        Bins.
    labels : ndarray of int, (N,)
        Bins of a factor.

    Returns
    -------
    ndarray of float, (D,)
        From 0 to 1.

    Raises
    ------
    ValueError
        If all labels are the same.
    """
    whole = entropy(labels)
    if whole <= 0:
        raise ValueError("a factor is the same throughout: nothing can be told of it")
    return mutual_information(codes, labels) / whole


def mig(z: npt.ArrayLike, factors: npt.ArrayLike, *, bins: int = BINS) -> NDArray[np.float64]:
    r"""Return the mutual information gap of each factor (Chen et al., 2018), (F,).

    .. math::
        \frac{1}{H(v)} \left( I(z_{(1)}; v) - I(z_{(2)}; v) \right)

    of the latent number that tells most of the factor v and the one that comes next. Their mean
    over factors is the MIG of a model.

    Lesson: book/vae/musicvae

    Parameters
    ----------
    z : array_like, (N, D)
        Codes, of two numbers or more.
    factors : array_like, (N, F)
    bins : int
        Both are cut into so many bins.

    Raises
    ------
    ValueError
        If there is one latent number alone, or as `information`.
    """
    return _gap(information(z, factors, bins=bins))


def sap(z: npt.ArrayLike, factors: npt.ArrayLike) -> NDArray[np.float64]:
    """Return the separated attribute predictability of each factor (Kumar et al., 2018), (F,).

    The gap between the squared correlations of the factor with the two latent numbers that are
    nearest to it: what a straight line explains.

    Lesson: book/vae/musicvae

    Parameters
    ----------
    z : array_like, (N, D)
        Codes, of two numbers or more.
    factors : array_like, (N, F)

    Raises
    ------
    ValueError
        As `mig`.
    """
    codes, truth = _checked(z, factors)
    codes = codes - codes.mean(axis=0)
    truth = truth - truth.mean(axis=0)
    spread = np.sqrt((codes**2).sum(axis=0))[:, None] * np.sqrt((truth**2).sum(axis=0))
    correlation = codes.T @ truth / np.maximum(spread, 1e-12)  # (D, F)
    return _gap(correlation**2)


def _checked(
    z: npt.ArrayLike, factors: npt.ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    codes, truth = np.asarray(z, float), np.asarray(factors, float)
    if codes.ndim != 2 or truth.ndim != 2 or len(codes) != len(truth) or not len(codes):
        raise ValueError(f"expected (N, D) and (N, F), got {codes.shape} and {truth.shape}")
    if not (np.isfinite(codes).all() and np.isfinite(truth).all()):
        raise ValueError("codes and factors must be finite")
    if (truth == truth[0]).all(axis=0).any():
        raise ValueError("a factor is the same throughout: nothing can be told of it")
    return codes, truth


def _gap(table: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(table) < 2:
        raise ValueError(f"a gap is between two latent numbers, got {len(table)}")
    ranked = np.sort(table, axis=0)
    return ranked[-1] - ranked[-2]
