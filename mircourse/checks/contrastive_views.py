"""What a right answer to the exercises on views, and on what they left behind, has.

Exercises 6 to 8 of the chapter on contrastive learning; `mircourse.checks.contrastive` has the
others.

Lesson: book/index
"""

from __future__ import annotations

import numpy as np

from mircourse.check import exercise, expect

spread = exercise("contrastive_6", title="Together, and apart")


def _vectors(seed, n=5, d=4):
    return np.random.default_rng(seed).standard_normal((n, d))


def _unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


@spread.property("alignment: the mean squared distance of two views' directions")
def _spread_alignment(alignment_and_uniformity):
    z1, z2 = _vectors(6), _vectors(7)
    wanted = np.mean([np.sum((a - b) ** 2) for a, b in zip(_unit(z1), _unit(z2), strict=True)])
    expect(alignment_and_uniformity(z1.copy(), z2.copy())[0], wanted)


@spread.property("uniformity: over pairs of different clips, each pair once")
def _spread_uniformity(alignment_and_uniformity):
    z1, z2 = _vectors(8), _vectors(9)
    u = _unit(z1)
    pairs = [np.exp(-2 * np.sum((u[i] - u[j]) ** 2)) for i in range(5) for j in range(i)]
    expect(alignment_and_uniformity(z1.copy(), z2.copy())[1], np.log(np.mean(pairs)))


@spread.property("where all clips are one, both are 0")
def _spread_collapsed(alignment_and_uniformity):
    same = np.ones((4, 3))
    expect(alignment_and_uniformity(same, 2 * same), (0, 0), atol=1e-9)


votes = exercise("contrastive_7", title="Ask the neighbours")


def _votes_oracle(z, labels, query, k):
    sims = [q @ query / np.linalg.norm(q) / np.linalg.norm(query) for q in z]
    nearest = sorted(range(len(z)), key=lambda i: -sims[i])[:k]
    voices = [int(labels[i]) for i in nearest]
    most = max(voices.count(label) for label in voices)
    return next(label for label in voices if voices.count(label) == most)


@votes.property("one neighbour: the label of the nearest by cosine, however long its vector")
def _votes_one(vote):
    z = _vectors(10, 12) * np.geomspace(0.01, 100, 12)[:, None]
    labels = np.arange(12)
    for query in _vectors(11, 4):
        expect(vote(z, labels, query, 1), _votes_oracle(z, labels, query, 1))


@votes.property("several: the commonest label among them")
def _votes_several(vote):
    z, labels = _vectors(12, 30), np.arange(30) % 3
    for query in _vectors(13, 6):
        expect(vote(z, labels, query, 5), _votes_oracle(z, labels, query, 5))


@votes.property("where labels are equally common, the one whose neighbour is nearer")
def _votes_tie(vote):
    z = np.array([[1.0, 0.5], [1.0, 0.1], [1.0, 0.2], [1.0, 0.4]])
    labels, query = np.array([0, 2, 1, 0]), np.array([1.0, 0.0])
    expect(vote(z, labels, query, 2), 2)
    expect(vote(z, labels, query, 4), 0)


crops = exercise("contrastive_8", title="Two views of one clip")
DRAWS = 200


@crops.property("each is a stretch of the clip as it is, (2, n)")
def _crops_stretches(views):
    x = np.arange(1.0, 41.0)
    for seed in range(20):
        first, second = _drawn(views(x.copy(), 8, np.random.default_rng(seed)), 8)
        for view in (first, second):
            expect(view, np.arange(view[0], view[0] + 8))


@crops.property("every place may be drawn, the first and the last, none more than others")
def _crops_places(views):
    x, rng = np.arange(5.0), np.random.default_rng(0)
    starts = [view[0] for _ in range(DRAWS) for view in _drawn(views(x.copy(), 3, rng), 3)]
    counts = np.array([starts.count(place) for place in range(3)])
    assert counts.min() > DRAWS // 3, f"in {2 * DRAWS} views, places 0, 1, 2: {counts.tolist()}"
    expect(views(x.copy(), 5, rng), [x, x])


@crops.property("the one does not tell where the other is")
def _crops_apart(views):
    x, rng = np.arange(4.0), np.random.default_rng(1)
    pairs = [tuple(_drawn(views(x.copy(), 3, rng), 3)[:, 0]) for _ in range(DRAWS)]
    counts = {pair: pairs.count(pair) for pair in ((0, 0), (0, 1), (1, 0), (1, 1))}
    assert min(counts.values()) > DRAWS // 10, f"in {DRAWS} calls, of places 0 and 1: {counts}"


@crops.property("a clip that is too short is followed by zeros")
def _crops_short(views):
    found = views(np.array([3.0, 1.0, 2.0]), 5, np.random.default_rng(2))
    expect(found, [[3, 1, 2, 0, 0]] * 2)


@crops.property("the generator that it is given decides: the same seed, the same views")
def _crops_seed(views):
    x = np.arange(1000.0)
    one, again = (views(x.copy(), 10, np.random.default_rng(3)) for _ in range(2))
    expect(again, np.asarray(one))


def _drawn(found, n):
    found = np.asarray(found)
    expect(np.array(found.shape), np.array([2, n]))
    return found
