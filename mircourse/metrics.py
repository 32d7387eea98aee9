"""How good a model is, and how sure we can be: scores, intervals and paired differences.

Conventions
-----------
Every metric takes the reference first and the estimate second, both of shape ``(n_items,)``.
Labels are whole numbers or strings, one an item; onsets are times in seconds. Scores are between
0 and 1 and higher is better. A class that nobody predicts has precision 0.

Metrics
-------
`accuracy`, `balanced_accuracy`, `macro_f1`, `confusion`
    Classification, by scikit-learn.
`onset_scores`, `onset_f_measure`
    Onset detection, by mir_eval.
`bootstrap`, `bootstrap_statistic`, `paired_difference`
    Intervals for a mean over items, for any other statistic, for one model against another; they
    live in `mircourse.intervals`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mircourse.intervals import Interval, bootstrap, bootstrap_statistic, paired_difference

__all__ = [
    "Interval",
    "OnsetScores",
    "accuracy",
    "balanced_accuracy",
    "bootstrap",
    "bootstrap_statistic",
    "confusion",
    "macro_f1",
    "onset_f_measure",
    "onset_scores",
    "paired_difference",
]


@dataclass(frozen=True)
class OnsetScores:
    """What `onset_scores` returns: F-measure, precision and recall, each from 0 to 1."""

    f_measure: float
    precision: float
    recall: float


def accuracy(reference: ArrayLike, estimated: ArrayLike) -> float:
    """Return the share of items whose label is right.

    Lesson: book/cnn/spectrograms

    Parameters
    ----------
    reference, estimated : array_like, shape (n_items,)
        True and predicted labels.

    Raises
    ------
    ValueError
        If there are no items, or the shapes differ or are not one-dimensional, or a label is NaN.

    Examples
    --------
    >>> accuracy(["reel", "jig", "jig"], ["reel", "jig", "reel"])
    0.6666666666666666
    """
    true, guess = _labels(reference, estimated)
    return float(np.mean(true == guess))


def balanced_accuracy(reference: ArrayLike, estimated: ArrayLike) -> float:
    """Return the mean over classes of the share of that class's items whose label is right.

    A predictor that always says the commonest class scores one over the number of classes,
    however common that class is. Classes that no reference item has do not enter the mean.

    Parameters
    ----------
    reference, estimated : array_like, shape (n_items,)
        True and predicted labels.

    Raises
    ------
    ValueError
        As for `accuracy`.
    """
    from sklearn.metrics import recall_score

    true, guess = _labels(reference, estimated)
    classes = np.unique(true)
    return float(recall_score(true, guess, labels=classes, average="macro", zero_division=0))


def macro_f1(
    reference: ArrayLike, estimated: ArrayLike, *, labels: ArrayLike | None = None
) -> float:
    """Return the mean over classes of the F1 score, ``2 P R / (P + R)``.

    Parameters
    ----------
    reference, estimated : array_like, shape (n_items,)
        True and predicted labels.
    labels : array_like, optional
        The classes to average over; those that occur on either side by default. Give all classes
        when you compare sets of items that do not all hold every class.

    Raises
    ------
    ValueError
        As for `accuracy`.
    """
    from sklearn.metrics import f1_score

    true, guess = _labels(reference, estimated)
    classes = None if labels is None else np.asarray(labels)
    return float(f1_score(true, guess, labels=classes, average="macro", zero_division=0))


def confusion(
    reference: ArrayLike, estimated: ArrayLike, *, labels: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Count the items of each true class (rows) by predicted class (columns).

    Parameters
    ----------
    reference, estimated : array_like, shape (n_items,)
        True and predicted labels.
    labels : array_like, optional
        The classes in the order you want; those that occur, sorted, by default.

    Returns
    -------
    numpy.ndarray, shape (n_classes, n_classes)
        Counts; they sum to ``n_items``.

    Raises
    ------
    ValueError
        As for `accuracy`, and if an item has a label that is not in ``labels``.
    """
    from sklearn.metrics import confusion_matrix

    true, guess = _labels(reference, estimated)
    classes = np.unique(np.concatenate([true, guess])) if labels is None else np.asarray(labels)
    unknown = np.setdiff1d(np.concatenate([true, guess]), classes)
    if unknown.size:
        raise ValueError(f"labels {unknown.tolist()} occur but are not in {classes.tolist()}")
    return confusion_matrix(true, guess, labels=classes).astype(np.int64)


def onset_scores(
    reference: ArrayLike, estimated: ArrayLike, *, window: float = 0.05
) -> OnsetScores:
    """Score detected onsets against true ones, by `mir_eval.onset.f_measure`.

    An estimate is right if it can be paired with a reference onset at most ``window`` seconds
    away, no onset being paired twice (the largest such pairing counts). This is the measure of
    MIREX's audio onset detection task (Böck, Krebs and Schedl, 2012, describe it).

    Lesson: book/cnn/spectrograms

    Parameters
    ----------
    reference, estimated : array_like, shape (n,)
        Onset times in seconds, in any order. Either may be empty: all three scores are then 0,
        as in mir_eval, even if both are.
    window : float
        Largest distance of a pair, in seconds.

    Raises
    ------
    ValueError
        If times are negative, not finite, not one-dimensional, beyond 30,000 s (mir_eval takes
        that for a mistake of units), or ``window`` is not positive.

    Examples
    --------
    >>> onset_scores([0.5, 1.0, 1.5], [0.51, 1.2])
    OnsetScores(f_measure=0.4, precision=0.5, recall=0.3333333333333333)
    """
    import mir_eval

    if not window > 0:
        raise ValueError(f"window={window!r} s but a positive time is expected")
    true, guess = _onsets("reference", reference), _onsets("estimated", estimated)
    if true.size == 0 or guess.size == 0:
        return OnsetScores(0.0, 0.0, 0.0)
    return OnsetScores(*(float(x) for x in mir_eval.onset.f_measure(true, guess, window=window)))


def onset_f_measure(reference: ArrayLike, estimated: ArrayLike, *, window: float = 0.05) -> float:
    """Return the F-measure of `onset_scores` alone."""
    return onset_scores(reference, estimated, window=window).f_measure


def _labels(reference: ArrayLike, estimated: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    true, guess = np.asarray(reference), np.asarray(estimated)
    if true.shape != guess.shape or true.ndim != 1 or true.size == 0:
        raise ValueError(
            f"reference has shape {true.shape} and estimated {guess.shape}, but the same "
            "(n_items,) with at least one item is expected"
        )
    for name, values in (("reference", true), ("estimated", guess)):
        if np.issubdtype(values.dtype, np.floating):
            if not np.isfinite(values).all():
                raise ValueError(f"{name} labels hold NaN or infinity")
            raise ValueError(f"{name} labels are {values.dtype}, but classes are expected")
    return true, guess


def _onsets(name: str, times: ArrayLike) -> NDArray[np.float64]:
    seconds = np.asarray(times, dtype=np.float64)
    if seconds.ndim != 1:
        raise ValueError(f"{name} onsets have shape {seconds.shape} but (n,) is expected")
    if not np.isfinite(seconds).all() or (seconds < 0).any():
        raise ValueError(f"{name} onsets hold negative, NaN or infinite times")
    return np.sort(seconds)
