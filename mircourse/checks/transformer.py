"""What a right answer to the exercises on attention of the Transformer chapter has.

`mircourse.checks.transformer_events` has the other exercises of the chapter.

Lesson: book/transformer/exercises
"""

from __future__ import annotations

import tracemalloc

import numpy as np

from mircourse.check import exercise, expect
from mircourse.checks import transformer_events as transformer_events  # of this chapter, too
from mircourse.checks.oracles import in_blocks, tune_as_rows

slope = exercise("transformer_3", title="Why the root of d")


@slope.property("among equal scores, raising one takes from the others alike")
def _slope_even(softmax_slope):
    expect(softmax_slope(np.full(5, 2.0)), (np.eye(5) - 0.2) / 5)


@slope.property("agrees with automatic differentiation")
def _slope_autograd(softmax_slope):
    import torch

    scores = np.random.default_rng(0).normal(0, 2, 7)
    wanted = torch.autograd.functional.jacobian(
        lambda z: z.softmax(0), torch.from_numpy(scores), vectorize=False
    )
    expect(softmax_slope(scores), wanted)


@slope.property("scores of a thousand do not overflow: where one wins, nothing can be learnt")
def _slope_large(softmax_slope):
    expect(softmax_slope(np.array([1000.0, 0.0, -1000.0])), np.zeros((3, 3)))


attention = exercise("transformer_4", title="Attention with a mask")


def _attention_case(seed, queries=4, keys=6, leading=()):
    rng = np.random.default_rng(seed)
    q, k = (rng.standard_normal((*leading, n, 8)) for n in (queries, keys))
    may = rng.random((*leading, queries, keys)) < 0.6
    may[..., 0] = True
    return q, k, rng.standard_normal((*leading, keys, 3)), may


def _torch_attention(q, k, v, may):
    import torch

    query, key, value, mask = (torch.from_numpy(np.asarray(part)) for part in (q, k, v, may))
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)


@attention.property("where everything may be read, it agrees with PyTorch")
def _attention_torch(attend):
    q, k, v, may = _attention_case(0)
    may[:] = True
    expect(attend(q, k, v, may), _torch_attention(q, k, v, may))


@attention.property("what may not be read does not matter, and the weights still add up to 1")
def _attention_mask(attend):
    q, k, v, may = _attention_case(1)
    expect(attend(q, k, v, may), _torch_attention(q, k, v, may))


@attention.property("batch and heads may stand before")
def _attention_leading(attend):
    case = _attention_case(2, leading=(2, 3))
    expect(attend(*case), _torch_attention(*case))


@attention.property("scores of ten thousand do not overflow")
def _attention_large(attend):
    q, k, v, may = _attention_case(3)
    expect(attend(1e4 * q, k, v, may), _torch_attention(1e4 * q, k, v, may))


@attention.property("who may read nothing gets 0, not NaN")
def _attention_nothing(attend):
    q, k, v, may = _attention_case(4)
    may[1] = False
    expect(np.asarray(attend(q, k, v, may))[1], np.zeros(3))


reading = exercise("transformer_5", title="Who may read what")


def _reading_oracle(piece):
    may = np.zeros((*piece.shape, piece.shape[1]), bool)
    for b, i, j in np.ndindex(*may.shape):
        may[b, i, j] = j <= i and piece[b, i] == piece[b, j] >= 0
    return may


@reading.property("within a piece: itself and what came before")
def _reading_causal(may_read):
    expect(may_read(np.zeros((1, 4), int)), np.tril(np.ones((4, 4), bool))[None])


@reading.property("nothing of a piece before it in the same row")
def _reading_packed(may_read):
    piece = np.array([[0, 0, 1, 1, 1, 2]])
    expect(may_read(piece), _reading_oracle(piece))


@reading.property("padding reads nothing and is not read, wherever it stands")
def _reading_padding(may_read):
    piece = np.array([[0, 0, 0, -1, -1], [-1, -1, 0, 0, 1]])
    expect(may_read(piece), _reading_oracle(piece))


order = exercise("transformer_6", title="Does order matter?")


def _attending(x):
    scores = np.exp(x @ x.T / 3)
    return scores / scores.sum(axis=1, keepdims=True) @ x


def _layers():
    """Return layers that are equivariant, and layers that only look so."""
    rng = np.random.default_rng(0)
    w, place = rng.standard_normal((6, 6)), rng.standard_normal((8, 6))
    past = np.tril(np.ones((8, 8))) / np.arange(1, 9)[:, None]
    return {
        "attention": _attending,
        "mean": lambda x: np.tile(x.mean(axis=0), (len(x), 1)),
        "each": lambda x: np.tanh(x @ w),
        "placed": lambda x: _attending(x + place),
        "past": lambda x: past @ x,
        "palindrome": lambda x: (
            x + np.pad(x, ((1, 1), (0, 0)))[2:] + np.pad(x, ((1, 0), (0, 0)))[:-1]
        ),
        "ring": lambda x: x + np.roll(x, 1, axis=0),
        "sorted": lambda x: np.sort(x, axis=0),
        "first": lambda x: x + x[:1],
    }


def _order_case(ignores_order, *names):
    x, layers = np.random.default_rng(1).standard_normal((8, 6)), _layers()
    expect([bool(ignores_order(layers[name], x.copy())) for name in names], _told(names))


def _told(names):
    return [name in ("attention", "mean", "each") for name in names]


@order.property("attention without positions does not see the order; with them it does")
def _order_attention(ignores_order):
    _order_case(ignores_order, "attention", "each", "placed")


@order.property("reading only the past is to see the order")
def _order_past(ignores_order):
    _order_case(ignores_order, "past")


@order.property("one reordering is not enough: not backwards, not a rotation, not two neighbours")
def _order_more(ignores_order):
    _order_case(ignores_order, "palindrome", "ring", "first")


@order.property("what comes out has to move along: sorting the rows is not enough")
def _order_sorted(ignores_order):
    _order_case(ignores_order, "sorted", "mean")


positions = exercise("transformer_7", title="Positions")


def _positions_oracle(n, d):
    table = np.empty((n, d))
    for t, column in np.ndindex(n, d):
        angle = t / 10000 ** (2 * (column // 2) / d)
        table[t, column] = np.cos(angle) if column % 2 else np.sin(angle)
    return table


@positions.property("the first position is 0, 1, 0, 1, ...")
def _positions_first(encode_positions):
    expect(np.asarray(encode_positions(3, 6))[0], [0, 1, 0, 1, 0, 1])


@positions.property("sine and cosine of one angle stand side by side")
def _positions_formula(encode_positions):
    expect(encode_positions(50, 16), _positions_oracle(50, 16))


@positions.property("an odd d ends with a sine")
def _positions_odd(encode_positions):
    for d in (1, 7):
        expect(encode_positions(9, d), _positions_oracle(9, d))


rotation = exercise("transformer_8", title="A shift is a rotation")


@rotation.property("no shift, no rotation")
def _rotation_none(shift):
    expect(shift(0, 6), np.eye(6), atol=1e-12)


@rotation.property("it takes every position k further on")
def _rotation_moves(shift):
    table = _positions_oracle(400, 16)
    for k in (1, 5, 60):
        expect(table[:-k] @ np.asarray(shift(k, 16)).T, table[k:], atol=1e-7)


@rotation.property("back is forth, transposed")
def _rotation_back(shift):
    matrix = np.asarray(shift(3, 8))
    expect(shift(-3, 8), matrix.T, atol=1e-9)
    expect(matrix @ matrix.T, np.eye(8), atol=1e-9)


cached = exercise("transformer_12", title="One token at a time")


def _cache_case(seed, rows=11):
    x = tune_as_rows(seed)[:rows]
    return x, *np.random.default_rng(seed).standard_normal((3, 12, 6))


def _whole(x, wq, wk, wv):
    q, k, v = x @ wq, x @ wk, x @ wv
    return np.asarray(_torch_attention(q, k, v, np.tril(np.ones((len(x), len(x)), bool))))


@cached.property("all tokens at once: attention to the past")
def _cached_whole(step):
    case = _cache_case(0)
    expect(step(case[0], None, *case[1:])[0], _whole(*case))


@cached.property("token by token gives the same")
def _cached_single(step):
    x, *weights = _cache_case(1)
    expect(in_blocks(step, x, [1], *weights), _whole(x, *weights))


@cached.property("so does a prompt first, and then a few tokens at a time")
def _cached_blocks(step):
    x, *weights = _cache_case(2)
    expect(in_blocks(step, x, [4, 3, 1, 2], *weights), _whole(x, *weights))


@cached.property("a cache may be used twice, for two ways to go on")
def _cached_pure(step):
    x, *weights = _cache_case(3)
    _, cache = step(x[:4], None, *weights)
    first = np.array(step(x[4:5], cache, *weights)[0])
    step(x[5:6], cache, *weights)
    expect(step(x[4:5], cache, *weights)[0], first)


@cached.property("only new tokens are multiplied by the weights: the cache holds keys and values")
def _cached_size(step):
    x, wq, wk, wv = _cache_case(4)
    _, cache = step(x[:7], None, wq, wk, wv)
    # What was kept is read; the weights that made it are not asked again.
    got, _ = step(x[7:8], cache, wq, 0 * wk, 0 * wv)
    k, v = np.zeros((8, 6)), np.zeros((8, 6))
    k[:7], v[:7] = x[:7] @ wk, x[:7] @ wv
    expect(got, _torch_attention(x[7:8] @ wq, k, v, np.ones((1, 8), bool)))


skewing = exercise("transformer_14", title="Skewing")


def _skew_oracle(q, e):
    out = np.zeros((*q.shape[:-1], q.shape[-2]))
    for i, j in np.ndindex(*out.shape[-2:]):
        if j <= i:
            out[..., i, j] = q[..., i, :] @ e[len(e) - 1 - (i - j)]
    return out


def _skew_case(seed, length, table, leading=()):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((*leading, length, 4)), rng.standard_normal((table, 4))


@skewing.property("each query meets the embedding of its distance to the key")
def _skew_full(relative_scores):
    case = _skew_case(0, 6, 6)
    expect(np.tril(relative_scores(*case)), _skew_oracle(*case))


@skewing.property("what comes later scores 0 here; the mask takes care of it")
def _skew_future(relative_scores):
    case = _skew_case(1, 5, 5)
    expect(relative_scores(*case), _skew_oracle(*case))


@skewing.property("a sequence shorter than the table finds the same distances in it")
def _skew_short(relative_scores):
    for length in (1, 4):
        case = _skew_case(2, length, 9)
        expect(np.tril(relative_scores(*case)), _skew_oracle(*case))


@skewing.property("batch and heads may stand before")
def _skew_leading(relative_scores):
    case = _skew_case(3, 5, 7, leading=(2, 3))
    expect(np.tril(relative_scores(*case)), _skew_oracle(*case))


@skewing.property("an embedding for each pair of places is never stored")
def _skew_memory(relative_scores):
    length, size = 96, 256
    rng = np.random.default_rng(4)
    q, e = rng.standard_normal((2, length, size))
    tracemalloc.start()
    try:
        relative_scores(q, e)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # In arrays of T × T numbers: the embeddings of all pairs would be 256 of them.
    taken = peak / (8 * length**2)
    expect(
        f"{'less' if taken < 20 else 'more'} than 20 arrays (T, T)", "less than 20 arrays (T, T)"
    )
