"""The solutions of the self-check pass; typical mistakes fail at the property they break."""

from collections import Counter

import numpy as np
import pytest
from answers import Answers, ExerciseTests

ANSWERS = Answers("intro", 5, page="selfcheck")

WRONG = {
    "octaves apart": (1, lambda pitches: dict(Counter(pitches)), "octaves"),
    "all twelve": (
        1,
        lambda pitches: {k: sum(p % 12 == k for p in pitches) for k in range(12)},
        "not occur",
    ),
    "nothing returned": (1, lambda pitches: Counter(p % 12 for p in pitches) or None, "no notes"),
    "all frames together": (2, lambda frames: np.sqrt(np.mean(frames**2)), "one number for each"),
    "the other axis": (2, lambda frames: np.sqrt(np.mean(frames**2, axis=0)), "one number for"),
    "mean of absolutes": (2, lambda frames: np.mean(np.abs(frames), axis=1), "root of the mean"),
    "a loop that skips": (
        2,
        lambda frames: np.array([np.sqrt(np.mean(f**2)) if f.any() else np.nan for f in frames]),
        "silence",
    ),
    "lying": (3, lambda x, W, b: (x @ W.T + b).T, "a row of answers"),
    "no b": (3, lambda x, W, b: x @ W.T, "plus an entry of b"),
    "W as it fits": (
        3,
        lambda x, W, b: (x @ W if W.shape[0] == W.shape[1] else x @ W.T) + b,
        "transpose",
    ),
    "nats": (4, lambda p: -np.mean(np.log(p)), "1, 2 and 3 bits"),
    "sum of three": (4, lambda p: -np.sum(np.log2(p)) / 3, "a thousand"),
    "one more bit": (4, lambda p: 1 - np.mean(np.log2(p)), "certain"),
    "uphill": (5, lambda w, x, y, rate: w + rate * np.mean(2 * (w * x - y) * x), "smaller"),
    "half": (5, lambda w, x, y, rate: w - rate * np.mean((w * x - y) * x), "the rate times"),
    "fixed": (5, lambda w, x, y, rate: w - rate, "at the bottom"),
}


class TestSelfCheck(ExerciseTests):
    answers, wrong = ANSWERS, WRONG


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_product_of_a_thousand_probabilities_is_too_small():
    ANSWERS.expect_failure(4, lambda p: -np.log2(np.prod(p)) / len(p), "a thousand")


def test_a_library_does_as_well():
    ANSWERS.check(1, lambda pitches: Counter(p % 12 for p in pitches))
