r"""What a representation knows, by the simplest readers, and how it lies on the sphere.

A linear probe and a vote of the nearest neighbours read labels off vectors that stay as they are.
Alignment and uniformity (Wang & Isola, 2020) need no labels: views of one recording should lie
together, and recordings should fill the sphere.

Lesson: book/index
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from mircourse.ntxent import check_views

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)  # inverse regularisation of a linear probe


class _Embedding(nn.Module):
    """A network whose output is the representation of another."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.embed(x)


def embeddings(model: nn.Module, x: ArrayLike | Tensor, *, batch_size: int = 64) -> NDArray:
    """Return the representations of many inputs, in evaluation mode: (N, D), float32.

    Lesson: book/index

    Parameters
    ----------
    model : nn.Module
        With ``embed``, as `mircourse.simclr.SimCLR`.
    x : array or tensor, shape (N, ...)
    batch_size : int
        Items at a time.

    Raises
    ------
    ValueError
        If there is no input, or one is not finite.
    """
    from mircourse.training import predict

    return predict(_Embedding(model).train(model.training), x, batch_size=batch_size)


def linear_probe(
    x: ArrayLike, y: ArrayLike, *, strength: float = 1.0, unlabelled: ArrayLike | None = None
) -> Any:  # a scikit-learn pipeline
    """Fit a logistic regression to standardised vectors.

    Lesson: book/index

    Parameters
    ----------
    x : array, shape (N, D)
        Representations.
    y : array, shape (N,)
        Labels, of two classes or more.
    strength : float
        Inverse of the regularisation, above 0; choose it on held-out data (`best_strength`).
    unlabelled : array, shape (M, D), optional
        Vectors to take the mean and deviation from. With few labels theirs are poor, and where
        there are labels for some there usually is more without.

    Returns
    -------
    sklearn.pipeline.Pipeline
        With ``predict`` and ``score``.

    Raises
    ------
    ValueError
        If the arrays do not fit each other, there is only one class, or a number is not finite.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    vectors, labels = _checked(x, y)
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(f"a probe needs two classes or more, got {classes.tolist()} alone")
    regression = LogisticRegression(C=strength, max_iter=2000, tol=1e-3)
    scale = StandardScaler().fit(vectors if unlabelled is None else np.asarray(unlabelled))
    with _few_labels():
        regression.fit(scale.transform(vectors), labels)
    return make_pipeline(scale, regression)


def best_strength(
    x: ArrayLike,
    y: ArrayLike,
    *,
    held_out: tuple[ArrayLike, ArrayLike],
    strengths: Sequence[float] = STRENGTHS,
    unlabelled: ArrayLike | None = None,
) -> float:
    """Return the strength whose probe of `x` and `y` reads held-out vectors and labels best.

    Of equally good ones it is the smallest. The rest is as in `linear_probe`.

    Lesson: book/index
    """
    scores = [
        linear_probe(x, y, strength=s, unlabelled=unlabelled).score(*held_out) for s in strengths
    ]
    return float(strengths[int(np.argmax(scores))])


def knn_probe(x: ArrayLike, y: ArrayLike, *, neighbours: int = 5) -> Any:
    """Fit a vote of the nearest vectors by cosine, the nearer the weightier.

    Nothing is learned: what it gets right is how the representation itself is laid out.

    Lesson: book/index

    Parameters
    ----------
    x : array, shape (N, D)
        Representations.
    y : array, shape (N,)
        Labels.
    neighbours : int
        Voters; all there are, if there are fewer.

    Returns
    -------
    sklearn.neighbors.KNeighborsClassifier

    Raises
    ------
    ValueError
        If the arrays do not fit each other, a number is not finite, or `neighbours` is below 1.
    """
    from sklearn.neighbors import KNeighborsClassifier

    vectors, labels = _checked(x, y)
    if neighbours < 1:
        raise ValueError(f"neighbours must be 1 or more, got {neighbours}")
    voters = min(neighbours, len(vectors))
    with _few_labels():
        votes = KNeighborsClassifier(voters, metric="cosine", weights="distance")
        return votes.fit(vectors, labels)


def alignment(z1: Tensor, z2: Tensor) -> Tensor:
    r"""Return the mean squared distance of two views' directions (Wang & Isola, 2020, eq. 3).

    .. math:: \frac{1}{N} \sum_i \lVert f(x_i) - f(x_i') \rVert^2

    with vectors of length 1: 0 if views coincide, 2 if they have nothing to do with each other.
    (Equation eq:simclr-alignment of the lesson.)

    Lesson: book/index

    Parameters
    ----------
    z1, z2 : Tensor, shape (N, D)
        Vectors of any length.

    Raises
    ------
    TypeError, ValueError
        As `mircourse.ntxent.check_views`.
    """
    check_views(z1, z2)
    z1, z2 = (functional.normalize(z, dim=1) for z in (z1, z2))
    return (z1 - z2).square().sum(dim=1).mean()


def uniformity(z: Tensor, *, t: float = 2.0) -> Tensor:
    r"""Return how evenly directions fill the sphere (Wang & Isola, 2020, eq. 5): lower is more so.

    .. math:: \log \frac{2}{N(N-1)} \sum_{i < j} e^{-t \lVert f(x_i) - f(x_j) \rVert^2}

    with vectors of length 1: 0 if all coincide, and for t = 2 in many dimensions not below -4.
    (Equation eq:simclr-uniformity of the lesson.)

    Lesson: book/index

    Parameters
    ----------
    z : Tensor, shape (N, D)
        Two vectors or more, of any length.
    t : float
        Above 0.

    Raises
    ------
    TypeError, ValueError
        If there are fewer than two vectors, they are not finite, or t is not above 0.
    """
    check_views(z, z)
    if len(z) < 2 or not t > 0:
        raise ValueError(f"expected two vectors or more and t above 0, got {len(z)} and {t}")
    z = functional.normalize(z, dim=1)
    return torch.pdist(z).square().mul(-t).logsumexp(dim=0) - np.log(len(z) * (len(z) - 1) / 2)


@contextlib.contextmanager
def _few_labels() -> Iterator[None]:
    # scikit-learn takes one or two labels of each class for a regression; here they are the point.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than")
        yield


def _checked(x: ArrayLike, y: ArrayLike) -> tuple[NDArray, NDArray]:
    vectors, labels = np.asarray(x), np.asarray(y)
    if vectors.ndim != 2 or labels.shape != vectors.shape[:1] or not len(vectors):
        raise ValueError(
            f"expected vectors (N, D) and labels (N,), got {vectors.shape} and {labels.shape}"
        )
    if not np.isfinite(vectors).all():
        raise ValueError("a vector holds NaN or infinity")
    return vectors, labels
