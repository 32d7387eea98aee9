"""What a right answer to the exercises on pairs and the contrastive loss has.

`mircourse.checks.contrastive_views` has the other exercises of the chapter.

Lesson: book/index
"""

from __future__ import annotations

import math

import numpy as np

from mircourse.check import exercise, expect
from mircourse.checks import contrastive_views as contrastive_views  # of this chapter, too

partners = exercise("contrastive_1", title="Who belongs to whom?")


@partners.property("each view's partner is the other view of the same clip")
def _partners_pairs(partner):
    for n in (1, 2, 5):
        expect(partner(n), [*range(n, 2 * n), *range(n)])


@partners.property("the partner of the partner is oneself")
def _partners_back(partner):
    found = np.asarray(partner(7))
    expect(found[found], np.arange(14))


cosines = exercise("contrastive_2", title="Directions")


def _vectors(seed, n=5, d=4):
    return np.random.default_rng(seed).standard_normal((n, d))


def _cosine_oracle(z):
    def one(a, b):
        length = math.sqrt((a @ a) * (b @ b))
        return a @ b / length if length else 0.0

    return np.array([[one(a, b) for b in z] for a in z])


@cosines.property("cosines of all pairs, each with itself among them")
def _cosines_all(similarities):
    z = _vectors(0) / np.linalg.norm(_vectors(0), axis=1, keepdims=True)
    expect(similarities(z.copy()), _cosine_oracle(z), atol=1e-9)


@cosines.property("the length of a vector does not matter")
def _cosines_length(similarities):
    z = _vectors(1)
    expect(similarities(z * [[1e-6], [1], [1e6], [3], [0.1]]), _cosine_oracle(z), atol=1e-7)


@cosines.property("a vector of zeros is like nothing, itself included")
def _cosines_zero(similarities):
    z = _vectors(2)
    z[3] = 0
    expect(similarities(z.copy()), _cosine_oracle(z), atol=1e-9)


loss = exercise("contrastive_3", title="The loss")


def _log_share(i, j, sim):
    """Return minus the logarithm of j's share among all but i, as `sim` (N, N) has them."""
    others = [s for k, s in enumerate(sim[i]) if k != i]
    top = max(others)
    return top + math.log(sum(math.exp(s - top) for s in others)) - sim[i, j]


def _loss_oracle(z1, z2, tau):
    sim, n = _cosine_oracle(np.concatenate([z1, z2])) / tau, len(z1)
    return np.mean([_log_share(i, (i + n) % (2 * n), sim) for i in range(2 * n)])


@loss.property("agrees with the equation, term by term")
def _loss_equation(contrastive_loss):
    for seed, tau in ((0, 0.5), (1, 0.1)):
        z1, z2 = _vectors(seed), _vectors(seed + 10)
        expect(contrastive_loss(z1.copy(), z2.copy(), tau), _loss_oracle(z1, z2, tau))


@loss.property("exchanging the views changes nothing")
def _loss_symmetric(contrastive_loss):
    z1, z2 = _vectors(2), _vectors(3)
    forth, back = contrastive_loss(z1, z2, 0.2), contrastive_loss(z2, z1, 0.2)
    expect(forth, back)


@loss.property("where all vectors are one it is log(2N - 1)")
def _loss_collapsed(contrastive_loss):
    same = np.ones((4, 3))
    expect(contrastive_loss(same, same, 0.1), math.log(7))


@loss.property("a temperature of 0.001 does not overflow")
def _loss_cold(contrastive_loss):
    z1, z2 = _vectors(4), _vectors(5)
    expect(contrastive_loss(z1, z2, 0.001), _loss_oracle(z1, z2, 0.001))


pulls = exercise("contrastive_4", title="Who is pushed away?")


def _pulls_oracle(sims, tau):
    top = max(sims)
    each = [math.exp((s - top) / tau) for s in sims]
    return np.array(each) / sum(each)


@pulls.property("shares of the push, which add up to 1")
def _pulls_sum(push):
    sims = np.array([0.9, 0.1, -0.4, 0.7])
    expect(push(sims, 0.5), _pulls_oracle(sims, 0.5))


@pulls.property("cold: the nearest takes nearly all; hot: all nearly the same")
def _pulls_ends(push):
    sims = np.array([0.9, 0.1, -0.4, 0.7])
    expect(push(sims, 0.01), [1, 0, 0, 0], atol=1e-4)
    expect(push(sims, 1000.0), np.full(4, 0.25), atol=1e-3)


@pulls.property("a temperature of 0.0005 does not overflow")
def _pulls_cold(push):
    sims = np.array([0.9, -0.9, 0.8999])
    expect(push(sims, 0.0005), _pulls_oracle(sims, 0.0005))


chance = exercise("contrastive_5", title="What does the loss begin at?")


@chance.property("with cosines of 0 between all: the loss of an untrained network")
def _chance_start(start_loss):
    for n, tau in ((2, 1.0), (32, 0.2), (256, 0.1)):
        expect(start_loss(n, tau), math.log(2 * n - 1))


@chance.property("the best there is: views that agree, all else at right angles")
def _chance_best(start_loss):
    for n, tau in ((2, 1.0), (32, 0.2)):
        wanted = math.log(math.exp(1 / tau) + 2 * n - 2) - 1 / tau
        expect(start_loss(n, tau, agreement=1.0), wanted)


@chance.property("a temperature of 0.001 does not overflow")
def _chance_cold(start_loss):
    expect(start_loss(8, 0.001, agreement=1.0), 0.0, atol=1e-9)


slope = exercise("contrastive_9", title="The gradient by hand")


def _units(seed, n=4, d=3):
    z = _vectors(seed, n, d)
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def _product_loss(z, tau):
    """Return the loss of vectors (2N, D) that are compared by plain products."""
    sim, n = z @ z.T / tau, len(z) // 2
    return np.mean([_log_share(i, (i + n) % (2 * n), sim) for i in range(2 * n)])


def _slope_oracle(z1, z2, tau):
    z, step = np.concatenate([z1, z2]), 1e-6
    found = np.empty_like(z)
    for at in np.ndindex(z.shape):
        there, back = z.copy(), z.copy()
        there[at] += step
        back[at] -= step
        found[at] = (_product_loss(there, tau) - _product_loss(back, tau)) / (2 * step)
    return found


@slope.property("agrees with what a small change of each number does to the loss")
def _slope_differences(gradient):
    z1, z2 = _units(2), _units(3)
    expect(gradient(z1.copy(), z2.copy(), 0.3), _slope_oracle(z1, z2, 0.3), atol=1e-7)


@slope.property("where all vectors are one nothing moves: collapse is a place to get stuck")
def _slope_collapsed(gradient):
    same = np.tile([0.6, 0.8], (3, 1))
    expect(gradient(same, same, 0.2), np.zeros((6, 2)), atol=1e-12)


@slope.property("a temperature of 0.0005 does not overflow")
def _slope_cold(gradient):
    z1 = np.eye(3)
    expect(gradient(z1, z1, 0.0005), np.zeros((6, 3)), atol=1e-6)


told = exercise("contrastive_10", title="Labels after all")


def _told_oracle(z, labels, tau):
    sim, found = _cosine_oracle(z) / tau, []
    for i in range(len(z)):
        same = [j for j in range(len(z)) if j != i and labels[j] == labels[i]]
        if same:
            found.append(np.mean([_log_share(i, j, sim) for j in same]))
    return np.mean(found)


@told.property("with two of each label it is the loss of exercise 3")
def _told_pairs(labelled_loss):
    z1, z2 = _vectors(6), _vectors(7)
    labels = np.tile(np.arange(5), 2)
    wanted = _loss_oracle(z1, z2, 0.5)
    expect(labelled_loss(np.concatenate([z1, z2]), labels, 0.5), wanted)


@told.property("with several, each asks for all of its own: the mean of minus the logarithms")
def _told_several(labelled_loss):
    z, labels = _vectors(8, 7), np.array([0, 1, 0, 1, 0, 1, 1])
    expect(labelled_loss(z.copy(), labels, 0.3), _told_oracle(z, labels, 0.3))


@told.property("one that is alone with its label asks for nothing, but is asked about")
def _told_alone(labelled_loss):
    z, labels = _vectors(9, 6), np.array([0, 0, 1, 1, 2, 3])
    expect(labelled_loss(z.copy(), labels, 0.5), _told_oracle(z, labels, 0.5))
