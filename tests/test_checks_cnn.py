"""Solutions of the CNN exercises pass; typical mistakes fail at the property they break."""

import numpy as np
from answers import Answers, ExerciseTests

ANSWERS = Answers("cnn", 10)
solution = ANSWERS.solution


def nearest_pairs(reference, estimated, window=0.05):
    hits = sum(any(abs(r - e) <= window for e in estimated) for r in reference)
    return 2 * hits / (len(reference) + len(estimated))


def overflowing(x, w, v):
    with np.errstate(over="ignore", invalid="ignore"):
        weight = np.exp(np.tanh(x @ w.T) @ v)
        return weight @ x / weight.sum()


def item_means(scores, groups, n, rng):
    return scores[rng.integers(0, len(scores), (n, len(scores)))].mean(axis=1)


def attending(x, w, v, *, scaled=True, last=0.0):
    energy = np.tanh(x @ w.T) @ v
    energy[-1] += last
    weight = np.exp(energy - energy.max())
    return weight @ x / (weight.sum() if scaled else 1)


def in_turn(reference, estimated, window=0.05):
    """Pair each onset with the nearest that is free, from the first on."""
    free, hits = list(estimated), 0
    for onset in reference:
        near = min(free, key=lambda e: abs(e - onset), default=None)
        if near is not None and abs(near - onset) <= window:
            free.remove(near)
            hits += 1
    return 2 * hits / (len(reference) + len(estimated))


def harmonic_mean(reference, estimated):
    hits = solution(7)(reference, estimated) * (len(reference) + len(estimated)) / 2
    precision, recall = hits / np.float64(len(estimated)), hits / len(reference)
    return 2 * precision * recall / (precision + recall)


def shifted_twice(x, harmonics, b, n):
    return solution(8)(x, [h**2 for h in harmonics], b, n)


def turned_back(x, harmonics, b, n):
    return solution(8)(x[::-1], harmonics, b, n)


def group_sums(scores, groups, n, rng):
    """Divide by the number of groups, not by that of the items drawn."""
    return solution(9)(scores, groups, n, rng) * len(scores) / len(set(groups.tolist())) / 2


def one_family_out(families, seed):
    """Leave the largest family in no split at all."""
    names, counts = np.unique(families, return_counts=True)
    return np.where(families == names[counts.argmax()], "none", solution(10)(families, seed))


def three_equal_parts(families, seed):
    rng = np.random.default_rng(seed)
    part = {name: rng.integers(3) for name in sorted(set(families))}
    return np.array(["train", "valid", "test"])[[part[name] for name in families]]


WRONG = {
    "uncentred frames": (1, lambda n, hop: n // hop, "centred frames"),
    "the article's padding": (2, lambda kernel: (kernel // 2, kernel // 2), "add up to"),
    "a bias per weight": (
        3,
        lambda f, t, i, o, bias: f * t * i * o * (2 if bias else 1),
        "agrees with PyTorch",
    ),
    "channels left out": (3, lambda f, t, i, o, bias: f * t * o + o * bias, "without bias"),
    "a frame too many": (4, lambda layers: solution(4)(layers) + 1, "sees one frame"),
    "strides forgotten": (4, lambda layers: 1 + sum(k - 1 for k, _ in layers), "found by trying"),
    "convolution for correlation": (
        5,
        lambda x, kernels: sum(
            __import__("scipy.signal").signal.convolve2d(x, k, mode="same") for k in kernels
        ),
        "one scale",
    ),
    "overflow": (6, overflowing, "do not overflow"),
    "weights not scaled": (6, lambda *a: attending(*a, scaled=False), "left as they are"),
    "no tanh": (6, lambda x, w, v: attending(np.arctanh(0.2 * x), w, v) / 0.2, "the formula"),
    "the last frame favoured": (6, lambda *a: attending(*a, last=1.0), "order of the frames"),
    "pairs used twice": (7, nearest_pairs, "paired once"),
    "the nearest in turn": (7, in_turn, "not greedily"),
    "0 / 0 for nothing": (7, harmonic_mean, "nothing found"),
    "shifts too far": (8, shifted_twice, "copy rows"),
    "upside down": (8, turned_back, "as many rows"),
    "rounded shifts": (
        8,
        lambda x, harmonics, b, n: np.stack([x[round(b * np.log2(h)) :][:n] for h in harmonics]),
        "between two rows",
    ),
    "items for groups": (9, item_means, "keeps groups whole"),
    "one mean": (9, lambda s, g, n, rng: solution(9)(s, g, 1, rng), "as were asked for"),
    "half of the sum": (9, group_sums, "that of the formula"),
    "a family lost": (10, one_family_out, "one of the three"),
    "thirds": (10, three_equal_parts, "60 to 80"),
    "always the same": (10, lambda families, seed: solution(10)(families, 0), "seed decides"),
    "a random split": (
        10,
        lambda families, seed: np.random.default_rng(seed).choice(
            ["train", "valid", "test"], p=[0.7, 0.15, 0.15], size=len(families)
        ),
        "no family is in two",
    ),
}


class TestExercises(ExerciseTests):
    answers, wrong = ANSWERS, WRONG
