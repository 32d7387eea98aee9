"""What a right answer to the exercises on good practice has.

Lesson: book/index
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from mircourse.check import exercise, expect

noise = exercise("practice_1", title="Noise at a level")


def _noise_case(seed, level=0.1):
    rng = np.random.default_rng(seed)
    tone = np.sin(np.arange(4000) * 0.3) * np.linspace(1, 0, 4000)
    return tone, level * rng.standard_normal(4000)


def _ratio(noisy, x):
    return 10 * np.log10(np.mean(x**2) / np.mean((np.asarray(noisy) - x) ** 2))


@noise.property("the clip is as many decibels above the noise as was asked for")
def _noise_level(add_noise):
    x, drawn = _noise_case(0)
    for snr in (-3.0, 0.0, 20.0):
        expect(_ratio(add_noise(x.copy(), drawn.copy(), snr), x), snr, atol=1e-6)


@noise.property("it is the noise that was given, whatever its own level was")
def _noise_shape(add_noise):
    x, drawn = _noise_case(1)
    soft = np.asarray(add_noise(x.copy(), 0.01 * drawn, 10.0))
    expect(add_noise(x.copy(), drawn.copy(), 10.0), soft)
    added = soft - x
    expect(added / np.abs(added).max(), drawn / np.abs(drawn).max(), atol=1e-6)


@noise.property("silence stays silent")
def _noise_silence(add_noise):
    _, drawn = _noise_case(2)
    expect(add_noise(np.zeros(4000), drawn, 10.0), np.zeros(4000))


labels = exercise("practice_2", title="Labels that move")
NOTES = np.array([[0.0, 0.5, 60.0], [0.5, 1.5, 64.0], [1.5, 3.0, 67.0], [3.0, 4.0, 72.0]])


def _moved_oracle(notes, rate, semitones, seconds):
    rows = []
    for onset, offset, pitch in notes:
        onset, offset = onset / rate, min(offset / rate, seconds)
        if onset < seconds:
            rows.append((onset, offset, pitch + semitones))
    return np.array(rows).reshape(-1, 3)


@labels.property("higher and as fast: pitches move, times stay")
def _labels_pitch(move_notes):
    expect(move_notes(NOTES.copy(), 1.0, 3, 4.0), NOTES + np.array([0, 0, 3]))


@labels.property("twice as fast: every time is half of what it was")
def _labels_rate(move_notes):
    expect(move_notes(NOTES.copy(), 2.0, 0, 4.0), NOTES / [2, 2, 1])


@labels.property("slower, in a clip as long as before: some notes are cut, others are gone")
def _labels_cut(move_notes):
    for rate in (0.5, 0.8, 0.9):
        expect(move_notes(NOTES.copy(), rate, -2, 4.0), _moved_oracle(NOTES, rate, -2, 4.0))


@labels.property("a note that would begin at the very end is gone; no note may be left")
def _labels_end(move_notes):
    expect(move_notes(NOTES.copy(), 1.0, 0, 3.0), NOTES[:3])
    expect(np.shape(move_notes(NOTES[1:].copy(), 0.1, 0, 1.0)), (0, 3))


mixing = exercise("practice_3", title="Mixing two clips")


def _mixing_case():
    rng = np.random.default_rng(3)
    return rng.standard_normal((4, 6)), np.array([0, 2, 2, 1]), np.array([1, 2, 3, 0])


@mixing.property("a share of 1 leaves a clip as it is, a share of 0 puts the other in its place")
def _mixing_ends(mixup):
    x, y, other = _mixing_case()
    mixed, shares = mixup(x.copy(), y.copy(), np.array([1.0, 1, 0, 0]), other, 3)
    expect(mixed, x[[0, 1, 3, 0]])
    expect(shares, np.eye(3)[y[[0, 1, 3, 0]]])


@mixing.property("sound and label are mixed alike, each clip by a share of its own")
def _mixing_shares(mixup):
    x, y, other = _mixing_case()
    share = np.array([0.5, 0.9, 0.25, 0.7])
    mixed, shares = mixup(x.copy(), y.copy(), share, other, 3)
    expect(mixed, share[:, None] * x + (1 - share)[:, None] * x[other])
    hot = np.eye(3)[y]
    expect(shares, share[:, None] * hot + (1 - share)[:, None] * hot[other])


@mixing.property("two clips of one class leave its label at 1")
def _mixing_same(mixup):
    x, _, other = _mixing_case()
    _, shares = mixup(x, np.array([1, 1, 1, 1]), np.full(4, 0.3), other, 3)
    expect(shares, np.tile([0.0, 1, 0], (4, 1)))


keys = exercise("practice_4", title="Keys that fit")


@keys.property("the shifts, in order, that leave every note within the range")
def _keys_fit(shifts_that_fit):
    expect(list(shifts_that_fit(np.array([55, 60, 79]), 55, 84)), [0, 1, 2, 3, 4, 5])
    expect(list(shifts_that_fit(np.array([57, 62, 81]), 55, 84)), [-2, -1, 0, 1, 2, 3])


@keys.property("of twelve keys each once, where there is room")
def _keys_room(shifts_that_fit):
    expect(list(shifts_that_fit(np.array([60, 67]), 21, 108)), list(range(-6, 6)))


@keys.property("where nothing fits, none: not even leaving the tune as it is")
def _keys_none(shifts_that_fit):
    expect(list(shifts_that_fit(np.array([50, 86]), 55, 84)), [])
    expect(list(shifts_that_fit(np.array([100]), 21, 84)), [])


missing = exercise("practice_5", title="Some labels are missing")


def _missing_case():
    rng = np.random.default_rng(5)
    return rng.random((6, 3)), rng.random((6, 3)) < 0.5, np.array([1.0, 0.5, 2.0])


def _missing_oracle(losses, known, weights):
    total = 0.0
    for k, weight in enumerate(weights):
        rows = [losses[i, k] for i in range(len(losses)) if known[i, k]]
        total += weight * sum(rows) / len(rows) if rows else 0.0
    return total


@missing.property("where all is known: the weighted sum of the tasks' means")
def _missing_all(total_loss):
    losses, _, weights = _missing_case()
    everything = np.ones((6, 3), bool)
    expect(total_loss(losses, everything, weights), losses.mean(axis=0) @ weights)


@missing.property("a task's mean is over the items whose label is known")
def _missing_some(total_loss):
    losses, known, weights = _missing_case()
    expect(total_loss(losses, known, weights), _missing_oracle(losses, known, weights))


@missing.property("a task of which nothing is known in this batch costs nothing")
def _missing_none(total_loss):
    losses, known, weights = _missing_case()
    known[:, 1] = False
    expect(total_loss(losses, known, weights), _missing_oracle(losses, known, weights))


@missing.property("what stands where no label is known does not matter, not even NaN")
def _missing_nan(total_loss):
    losses, known, weights = _missing_case()
    hidden = np.where(known, losses, np.nan)
    expect(total_loss(hidden, known, weights), _missing_oracle(losses, known, weights))


angles = exercise("practice_6", title="Do they pull the same way?")


@angles.property("1 with itself, 0 at a right angle, −1 the other way")
def _angles_plain(cosines):
    g = np.array([[3.0, 0.0], [0.0, 0.1], [-2.0, 0.0]])
    expect(cosines(g), [[1, 0, -1], [0, 1, 0], [-1, 0, 1]])


@angles.property("the length of a gradient does not matter")
def _angles_length(cosines):
    g = np.random.default_rng(6).standard_normal((3, 40))
    wanted = np.array([[a @ b / math.sqrt((a @ a) * (b @ b)) for b in g] for a in g])
    expect(cosines(g), wanted)
    expect(cosines(g * [[1e-9], [1.0], [1e6]]), wanted)


@angles.property("a gradient of 0 pulls nowhere: 0 with all, itself included")
def _angles_zero(cosines):
    expect(cosines(np.array([[1.0, 1.0], [0.0, 0.0]])), [[1, 0], [0, 0]])


surgery = exercise("practice_7", title="Gradient surgery")


def _surgery_oracle(gradients):
    total = np.zeros(gradients.shape[1])
    for i, g in enumerate(gradients):
        mine = g.copy()
        for j, other in enumerate(gradients):
            if j != i and mine @ other < 0:
                mine = mine - (mine @ other) / (other @ other) * other
        total += mine
    return total


@surgery.property("gradients that agree are added as they are")
def _surgery_agree(combine):
    g = np.array([[1.0, 0.2, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 2.0]])
    expect(combine(g.copy()), g.sum(axis=0))


@surgery.property("of two in conflict each loses what goes against the other")
def _surgery_two(combine):
    g = np.array([[1.0, 0.0], [-0.5, 1.0]])
    got = np.asarray(combine(g.copy()))
    expect(got, _surgery_oracle(g))
    expect(bool((g @ got >= -1e-9).all()), True)


@surgery.property("each is compared with the others as they were, in their order")
def _surgery_three(combine):
    for seed in range(8):
        g = np.random.default_rng(seed).standard_normal((4, 3))
        expect(combine(g.copy()), _surgery_oracle(g))


@surgery.property("a gradient of 0 is no conflict, and nothing is divided by it")
def _surgery_zero(combine):
    expect(combine(np.array([[1.0, -1.0], [0.0, 0.0]])), [1, -1])


scaling = exercise("practice_8", title="Standardised by what?")


def _scaling_case():
    rng = np.random.default_rng(8)
    return rng.normal(3, 2, (20, 4)), rng.normal(5, 1, (7, 4))


@scaling.property("what is learned from comes out with mean 0 and deviation 1")
def _scaling_train(standardise):
    train, test = _scaling_case()
    got = np.asarray(standardise(train.copy(), test.copy())[0])
    expect(got.mean(axis=0), np.zeros(4), atol=1e-9)
    expect(got.std(axis=0), np.ones(4))


@scaling.property("what is tested on is measured by the same mean and deviation")
def _scaling_test(standardise):
    train, test = _scaling_case()
    wanted = (test - train.mean(axis=0)) / train.std(axis=0)
    expect(standardise(train.copy(), test.copy())[1], wanted)


@scaling.property("one test item is enough, and gets the same as among others")
def _scaling_one(standardise):
    train, test = _scaling_case()
    whole = np.asarray(standardise(train.copy(), test.copy())[1])
    expect(standardise(train.copy(), test[:1].copy())[1], whole[:1])


@scaling.property("a feature that never varies becomes 0, not NaN")
def _scaling_constant(standardise):
    train, test = _scaling_case()
    train[:, 2] = test[:, 2] = 7.0
    learned, tested = standardise(train, test)
    expect(np.asarray(learned)[:, 2], np.zeros(20))
    expect(np.asarray(tested)[:, 2], np.zeros(7))


folding = exercise("practice_9", title="A probe becomes a layer")


def _folding_case():
    rng = np.random.default_rng(9)
    return rng.standard_normal((3, 5)), rng.standard_normal(3), rng.normal(4, 1, 5), rng.random(5)


@folding.property("on raw vectors it says what the probe says of standardised ones")
def _folding_same(fold):
    weight, bias, mean, deviation = _folding_case()
    x = np.random.default_rng(0).normal(4, 3, (11, 5))
    new_weight, new_bias = fold(weight.copy(), bias.copy(), mean.copy(), deviation.copy())
    wanted = (x - mean) / deviation @ weight.T + bias
    expect(x @ np.asarray(new_weight).T + np.asarray(new_bias), wanted)


@folding.property("of vectors that are standardised already it is the probe itself")
def _folding_none(fold):
    weight, bias, *_ = _folding_case()
    new_weight, new_bias = fold(weight.copy(), bias.copy(), np.zeros(5), np.ones(5))
    expect(new_weight, weight)
    expect(new_bias, bias)


@folding.property("the probe's own weights stay as they are")
def _folding_pure(fold):
    weight, bias, mean, deviation = _folding_case()
    kept = weight.copy(), bias.copy()
    fold(weight, bias, mean, deviation)
    expect(weight, kept[0])
    expect(bias, kept[1])


worth = exercise("practice_10", title="How many labels is it worth?")
SHARES, SCRATCH = np.array([0.01, 0.1, 1.0]), np.array([0.2, 0.5, 0.9])


def _worth_oracle(shares, scratch, score):
    for (a, low), (b, high) in itertools.pairwise(zip(shares, scratch, strict=True)):
        if low <= score <= high:
            part = (score - low) / (high - low)
            return math.exp(math.log(a) + part * math.log(b / a))
    return math.inf


@worth.property("a score that was measured is worth the share at which it was")
def _worth_measured(labels_worth):
    for share, score in zip(SHARES, SCRATCH, strict=True):
        expect(labels_worth(SHARES, SCRATCH, score), share)


@worth.property("halfway between 10 % and 100 % is about 32 %: shares are factors")
def _worth_between(labels_worth):
    for score in (0.3, 0.7, 0.85):
        expect(labels_worth(SHARES, SCRATCH, score), _worth_oracle(SHARES, SCRATCH, score))


@worth.property("a score that all the labels do not reach is worth infinitely many")
def _worth_never(labels_worth):
    expect(labels_worth(SHARES, SCRATCH, 0.95), math.inf)


@worth.property("one that the fewest labels exceed is worth no more than these")
def _worth_less(labels_worth):
    expect(labels_worth(SHARES, SCRATCH, 0.1), 0.01)
