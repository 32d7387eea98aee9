"""What a right answer to the exercises on layers and keys of the GNN chapter has.

`mircourse.checks.gnn_graphs` has the other exercises of the chapter.

Lesson: book/gnn/exercises
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from mircourse.check import exercise, expect
from mircourse.checks import gnn_graphs as gnn_graphs  # of this chapter, too
from mircourse.checks.gnn_graphs import NO_EDGES, roots

Case = tuple[NDArray, NDArray]


def _chorale(number: int, size: int = 4) -> Case:
    """Return a piece's graph, with random vectors of its chords, (n, size) and (2, E)."""
    from mircourse.chordgraph import chord_edges

    edges, _ = chord_edges(roots(number), edge_types=("previous", "next", "fifth"), reach=3)
    return np.random.default_rng(number).standard_normal((len(roots(number)), size)), edges


def _weights(seed: int, *shape: int) -> NDArray:
    return np.random.default_rng(100 + seed).standard_normal(shape)


def _sums(h: NDArray, edges: NDArray, weight: NDArray | None = None) -> NDArray:
    """Return what arrives at each node, edge by edge."""
    out = np.zeros_like(h)
    for e, (j, i) in enumerate(edges.T):
        out[i] += h[j] * (1 if weight is None else weight[e])
    return out


layer = exercise("gnn_2", title="One layer")


def _layer_oracle(x, edges, w_self, w_msg):
    return np.maximum(x @ w_self + _sums(x @ w_msg, edges), 0)


@layer.property("messages go from sources to targets")
def _layer_direction(message_passing):
    x, edges = np.array([[1.0], [10.0], [100.0]]), np.array([[0, 1], [1, 2]])
    expect(message_passing(x, edges, np.eye(1), np.eye(1)), [[1], [11], [110]])


@layer.property("a piece: two matrices, and nothing below zero")
def _layer_piece(message_passing):
    case = (*_chorale(0), _weights(0, 4, 3), _weights(1, 4, 3))
    expect(message_passing(*case), _layer_oracle(*case))


@layer.property("all that arrives at a node is added up, also along an edge that is there twice")
def _layer_twice(message_passing):
    x, edges = np.array([[1.0], [2.0], [4.0]]), np.array([[0, 1, 1, 2], [2, 2, 2, 0]])
    expect(message_passing(x, edges, np.eye(1), np.eye(1)), [[5], [2], [9]])


@layer.property("without edges a chord keeps its own term")
def _layer_alone(message_passing):
    x, w = _chorale(1)[0], _weights(2, 4, 3)
    expect(message_passing(x, NO_EDGES, w, w), np.maximum(x @ w, 0))


plain = exercise("gnn_3", title="The plain graph convolution")


def _plain_oracle(x, edges, w):
    edges = np.concatenate([edges, np.tile(np.arange(len(x)), (2, 1))], axis=1)
    degree = np.bincount(edges[1], minlength=len(x))
    return _sums(x @ w, edges, 1 / np.sqrt(degree[edges[0]] * degree[edges[1]]))


@plain.property("two chords that hear one another come out the same")
def _plain_two(convolve):
    x = np.array([[1.0, 0.0], [0.0, 1.0]])
    expect(convolve(x, np.array([[0, 1], [1, 0]]), np.eye(2)), np.full((2, 2), 0.5))


@plain.property("a chord without edges comes out as it is, times the matrix")
def _plain_alone(convolve):
    x, w = _chorale(0)[0], _weights(3, 4, 3)
    expect(convolve(x, NO_EDGES, w), x @ w)


@plain.property("degrees are those of what arrives, at both ends of an edge")
def _plain_piece(convolve):
    x, edges = _chorale(2)
    one_way = edges[:, edges[0] < edges[1]]
    for given in (edges, one_way):
        expect(convolve(x, given, _weights(4, 4, 3)), _plain_oracle(x, given, _weights(4, 4, 3)))


typed = exercise("gnn_4", title="A mean for each type")


def _typed_oracle(h, edges, types, n_types):
    out = np.zeros((len(h), n_types, h.shape[1]))
    for i, r in np.ndindex(*out.shape[:2]):
        heard = h[edges[0][(edges[1] == i) & (types == r)]]
        out[i, r] = heard.mean(axis=0) if len(heard) else 0
    return out


@typed.property("the mean of what arrives along edges of each type")
def _typed_mean(means):
    h = np.array([[1.0], [2.0], [4.0], [9.0]])
    edges, types = np.array([[0, 1, 2, 3], [3, 3, 3, 0]]), np.array([1, 1, 0, 1])
    expect(means(h, edges, types, 2), [[[0], [9]], [[0], [0]], [[0], [0]], [[4], [1.5]]])


@typed.property("a piece and its five types; 0, not NaN, where nothing of a type arrives")
def _typed_piece(means):
    from mircourse.chordgraph import chord_edges

    h = _chorale(0)[0]
    case = chord_edges(roots(0), reach=6)
    expect(means(h, *case, 5), _typed_oracle(h, *case, 5))


@typed.property("there may be a type of which there is no edge at all")
def _typed_unused(means):
    h, edges = _chorale(1)
    types = np.zeros(edges.shape[1], int)
    expect(means(h, edges, types, 3), _typed_oracle(h, edges, types, 3))


softmax = exercise("gnn_8", title="A softmax for each graph")


def _softmax_oracle(score, batch):
    out = np.zeros(len(score))
    for g in set(batch.tolist()):
        s = score[batch == g]
        out[batch == g] = np.exp(s - s.max()) / np.exp(s - s.max()).sum()
    return out


@softmax.property("one graph: the softmax")
def _softmax_one(graph_softmax):
    score = np.log([1.0, 2.0, 5.0])
    expect(graph_softmax(score, np.zeros(3, int)), [0.125, 0.25, 0.625])


@softmax.property("a graph gets in a batch what it gets alone")
def _softmax_batch(graph_softmax):
    batch = np.array([0, 0, 0, 1, 2, 2, 2, 2])
    score = np.random.default_rng(0).normal(0, 2, 8)
    expect(graph_softmax(score, batch), _softmax_oracle(score, batch))


@softmax.property("scores of a thousand do not overflow, nor vanish beside another graph's")
def _softmax_large(graph_softmax):
    batch = np.array([0, 0, 1, 1, 2])
    score = np.array([1000.0, 999.0, -1000.0, -1001.0, 0.0])
    expect(graph_softmax(score, batch), _softmax_oracle(score, batch))


twelve = exercise("gnn_11", title="Twelve keys")


def _reader(seed: int, scale: float = 1.0):
    """Return something that reads chords as if C were the tonic: scores (n,), degrees (n, 7)."""
    w, v = _weights(seed, 12), _weights(seed + 1, 12, 7)

    def read(x):
        e = np.exp(x @ v)
        return scale * (x @ w), e / e.sum(axis=1, keepdims=True)

    return read


def _twelve_oracle(read, x):
    found = [read(np.roll(x, -k, axis=1)) for k in range(12)]
    score = np.array([s for s, _ in found])  # (12, n)
    p = np.exp(score - score.max(axis=0))
    p /= p.sum(axis=0)
    return sum(p[k][:, None] * found[k][1] for k in range(12))


def _sounding(number: int) -> NDArray:
    from mircourse import chords

    return chords.load(split="train")[number].chords["pitch_classes"].astype(float)


@twelve.property("each tonic's degrees count by how well the tonic fits that chord")
def _twelve_plain(degrees):
    read, x = _reader(5), _sounding(0)
    expect(degrees(read, x), _twelve_oracle(read, x))


@twelve.property("all chords a third higher: the same degrees")
def _twelve_moved(degrees):
    read, x = _reader(7), _sounding(1)
    expect(degrees(read, np.roll(x, 4, axis=1)), degrees(read, x))


@twelve.property("scores of a thousand do not overflow")
def _twelve_large(degrees):
    read, x = _reader(9, scale=1000.0), _sounding(2)
    expect(degrees(read, x), _twelve_oracle(read, x))


chain = exercise("gnn_12", title="A chain of keys")


def _chain_oracle(score, change):
    """Return the probabilities by a look at every way to give keys to all chords."""
    n, k = score.shape
    out = np.zeros((n, k))
    for path in itertools.product(range(k), repeat=n):
        value = sum(score[i, key] for i, key in enumerate(path))
        value += sum(change[a, b] for a, b in itertools.pairwise(path))
        for i, key in enumerate(path):
            out[i, key] += np.exp(value)
    return out / out.sum(axis=1, keepdims=True)


def _chain_case(seed, n, k):
    return _weights(20 + seed, n, k), _weights(30 + seed, k, k)


@chain.property("one chord: the softmax of its scores")
def _chain_one(key_probabilities):
    expect(key_probabilities(np.log([[1.0, 3.0]]), np.zeros((2, 2))), [[0.25, 0.75]])


@chain.property("where changing costs nothing, chords say nothing of one another")
def _chain_free(key_probabilities):
    score, _ = _chain_case(0, 5, 3)
    wanted = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    expect(key_probabilities(score, np.zeros((3, 3))), wanted)


@chain.property("what comes before counts, and what comes after: all ways through, added up")
def _chain_all(key_probabilities):
    for seed, n, k in ((1, 2, 3), (2, 6, 3)):
        case = _chain_case(seed, n, k)
        expect(key_probabilities(*case), _chain_oracle(*case))


@chain.property("change[a, b] is for key a before and key b after")
def _chain_direction(key_probabilities):
    change = np.array([[0.0, 5.0], [-5.0, 0.0]])
    expect(key_probabilities(np.zeros((2, 2)), change), _chain_oracle(np.zeros((2, 2)), change))


@chain.property("five hundred chords do not overflow")
def _chain_long(key_probabilities):
    score = np.zeros((500, 2))
    score[0] = 0.0, 900.0
    change = np.array([[900.0, 0.0], [0.0, 900.0]])
    expect(key_probabilities(score, change), np.tile([0.0, 1.0], (500, 1)), atol=1e-6)
