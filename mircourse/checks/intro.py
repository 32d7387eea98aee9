"""What a right answer to the self-check of the introduction has.

Lesson: book/intro/selfcheck
"""

from __future__ import annotations

import math

import numpy as np

from mircourse.check import exercise, expect

counting = exercise("intro_1", title="Python: count")


@counting.property("octaves of a note are counted together")
def _counting_octaves(pitch_classes):
    expect(pitch_classes([60, 72, 48, 62]), {0: 3, 2: 1})


@counting.property("what does not occur is not in the dictionary")
def _counting_absent(pitch_classes):
    expect(pitch_classes([61, 61]), {1: 2})


@counting.property("no notes, no entries")
def _counting_nothing(pitch_classes):
    expect(pitch_classes([]), {})


shapes = exercise("intro_2", title="NumPy: axes")


def _frames(seed, n_frames=4, width=6):
    return np.random.default_rng(seed).normal(size=(n_frames, width))


@shapes.property("one number for each frame")
def _shapes_shape(loudness):
    expect(np.shape(loudness(_frames(0))), (4,))


@shapes.property("it is the root of the mean of the squares")
def _shapes_value(loudness):
    frames = _frames(1)
    wanted = [math.sqrt(sum(x * x for x in frame) / len(frame)) for frame in frames.tolist()]
    expect(loudness(frames), np.array(wanted))


@shapes.property("a frame of silence has 0, and the others what they have without it")
def _shapes_silence(loudness):
    frames = _frames(2)
    frames[1] = 0
    expect(np.asarray(loudness(frames))[1], 0.0)
    expect(np.delete(loudness(frames), 1), loudness(np.delete(frames, 1, axis=0)))


layer = exercise("intro_3", title="Matrices: a layer")


def _layer_case(seed, n, d_in, d_out):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d_in)), rng.normal(size=(d_out, d_in)), rng.normal(size=d_out)


@layer.property("a row of answers for each row of x, a column for each row of W")
def _layer_shape(linear):
    expect(np.shape(linear(*_layer_case(0, 5, 3, 2))), (5, 2))


@layer.property("each number is a product of a row of x and a row of W, plus an entry of b")
def _layer_value(linear):
    x, w, b = _layer_case(1, 4, 3, 2)
    wanted = [
        [
            sum(one * other for one, other in zip(row, weights, strict=True)) + bias
            for weights, bias in zip(w.tolist(), b.tolist(), strict=True)
        ]
        for row in x.tolist()
    ]
    expect(linear(x, w, b), np.array(wanted))


@layer.property("a square W is not taken for its transpose")
def _layer_square(linear):
    x = np.array([[1.0, 0.0]])
    expect(linear(x, np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros(2)), np.array([[1.0, 3.0]]))


bits = exercise("intro_4", title="Probabilities: bits")


@bits.property("1/2, 1/4 and 1/8 cost 1, 2 and 3 bits, two in the mean")
def _bits_by_hand(cost):
    expect(cost([1 / 2, 1 / 4, 1 / 8]), 2.0)


@bits.property("what was certain costs nothing")
def _bits_certain(cost):
    expect(cost([1.0, 1.0]), 0.0)


@bits.property("a thousand notes in a row do not come to 0")
def _bits_many(cost):
    expect(cost([0.3] * 1000), -math.log2(0.3))


slope = exercise("intro_5", title="Derivatives: one step downhill")


def _error(w, x, y):
    return np.mean((w * x - y) ** 2)


def _step_case(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(), rng.normal(size=8), rng.normal(size=8)


@slope.property("the step is the rate times the derivative, against it")
def _slope_value(step):
    w, x, y = _step_case(0)
    near = 1e-6
    derivative = (_error(w + near, x, y) - _error(w - near, x, y)) / (2 * near)
    expect(step(w, x, y, 0.1), w - 0.1 * derivative, rtol=1e-6)


@slope.property("a small step makes the error smaller")
def _slope_downhill(step):
    w, x, y = _step_case(1)
    after = _error(step(w, x, y, 0.01), x, y)
    assert after < _error(w, x, y), f"the error was {_error(w, x, y):.4f} and is now {after:.4f}"


@slope.property("at the bottom it stays")
def _slope_bottom(step):
    _, x, _ = _step_case(2)
    expect(step(3.0, x, 3.0 * x, 0.1), 3.0)
