"""Solutions of the CNN exercises pass; typical mistakes fail at the property they break."""

import numpy as np
import pytest
from answers import Answers

from mircourse.check import CheckFailed

ANSWERS = Answers("cnn", 10)
solution = ANSWERS.solution


@pytest.mark.parametrize("number", ANSWERS.numbers)
def test_the_solution_passes(number):
    ANSWERS.check(number, solution(number))


@pytest.mark.parametrize("number", ANSWERS.numbers)
def test_the_stub_counts_as_not_attempted(number):
    with pytest.raises(CheckFailed, match="not attempted yet"):
        ANSWERS.check(number, ANSWERS.stub(number))


def nearest_pairs(reference, estimated, window=0.05):
    hits = sum(any(abs(r - e) <= window for e in estimated) for r in reference)
    return 2 * hits / (len(reference) + len(estimated))


def overflowing(x, w, v):
    with np.errstate(over="ignore", invalid="ignore"):
        weight = np.exp(np.tanh(x @ w.T) @ v)
        return weight @ x / weight.sum()


def item_means(scores, groups, n, rng):
    return scores[rng.integers(0, len(scores), (n, len(scores)))].mean(axis=1)


WRONG = {
    "uncentred frames": (1, lambda n, hop: n // hop, "centred frames"),
    "the article's padding": (2, lambda kernel: (kernel // 2, kernel // 2), "add up to"),
    "a bias per weight": (
        3,
        lambda f, t, i, o, bias: f * t * i * o * (2 if bias else 1),
        "agrees with PyTorch",
    ),
    "strides forgotten": (4, lambda layers: 1 + sum(k - 1 for k, _ in layers), "found by trying"),
    "convolution for correlation": (
        5,
        lambda x, kernels: sum(
            __import__("scipy.signal").signal.convolve2d(x, k, mode="same") for k in kernels
        ),
        "one scale",
    ),
    "overflow": (6, overflowing, "do not overflow"),
    "pairs used twice": (7, nearest_pairs, "paired once"),
    "rounded shifts": (
        8,
        lambda x, harmonics, b, n: np.stack([x[round(b * np.log2(h)) :][:n] for h in harmonics]),
        "between two rows",
    ),
    "items for groups": (9, item_means, "keeps groups whole"),
    "a random split": (
        10,
        lambda families, seed: np.random.default_rng(seed).choice(
            ["train", "valid", "test"], p=[0.7, 0.15, 0.15], size=len(families)
        ),
        "no family is in two",
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_typical_mistake_fails_at_the_property_it_breaks(mistake):
    ANSWERS.expect_failure(*WRONG[mistake])
