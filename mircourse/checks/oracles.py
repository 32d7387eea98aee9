"""Music and slow, plain computations with which checks compare answers."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = tuple[NDArray, NDArray, NDArray, NDArray]
SECONDS_PER_BEAT = 0.6


@functools.cache
def chorale() -> Columns:
    """Return onset and duration in seconds, pitch and velocity of a Bach chorale."""
    from mircourse import scores

    piece = scores.load("bach", split="train")[0].notes
    velocity = np.random.default_rng(0).integers(30, 100, len(piece))
    return (
        piece["onset_beat"] * SECONDS_PER_BEAT,
        piece["duration_beat"] * SECONDS_PER_BEAT,
        piece["pitch"].astype(int),
        velocity,
    )


@functools.cache
def _pitches() -> list[NDArray]:
    from mircourse import scores

    tunes = scores.load("oneill", split="train")[:20]
    return [tune.notes["pitch"].astype(int) for tune in tunes]


def tunes_as_symbols(count: int) -> list[NDArray]:
    """Return the pitches of tunes of O'Neill's collection, each (notes,)."""
    return _pitches()[:count]


def tune_as_rows(number: int) -> NDArray:
    """Return a tune as a row a note, its pitch class marked with 1: (notes, 12)."""
    return np.eye(12)[_pitches()[number] % 12]


def witten_bell(tunes: list[NDArray], n: int) -> NDArray:
    """Return the bigram of Witten and Bell (1991) over n symbols, count by count: (n, n)."""
    single = Counter(int(note) for tune in tunes for note in tune)
    pairs = Counter((int(a), int(b)) for tune in tunes for a, b in itertools.pairwise(tune))
    total, kinds = sum(single.values()), len(single)
    p_single = [(single[w] + kinds / n) / (total + kinds) for w in range(n)]
    result = np.tile(p_single, (n, 1))
    for v in {a for a, _ in pairs}:
        after = {w: count for (a, w), count in pairs.items() if a == v}
        followed = sum(after.values())
        for w in range(n):
            backed_off = len(after) * p_single[w]
            result[v, w] = (after.get(w, 0) + backed_off) / (followed + len(after))
    return result


def in_blocks(step: Callable[..., Any], x: NDArray, sizes: list[int], *rest: Any) -> NDArray:
    """Feed x (T, C) to ``step(block, state, *rest)`` in blocks of these sizes, over and over."""
    out: list[NDArray] = []
    state, start = None, 0
    while start < len(x):
        size = sizes[len(out) % len(sizes)]
        block, state = step(x[start : start + size], state, *rest)
        out.append(block)
        start += size
    return np.concatenate(out)


def causal_correlation(x: NDArray, kernel: NDArray) -> NDArray:
    """Correlate x (T, C) with a kernel (K, C, D) whose last tap is the present: (T, D)."""
    past = np.concatenate([np.zeros((len(kernel) - 1, x.shape[1])), x])
    return np.stack(
        [np.einsum("kc,kcd->d", past[t:][: len(kernel)], kernel) for t in range(len(x))]
    )


def autograd_jacobians(x: NDArray, hidden: int = 6) -> tuple[NDArray, NDArray, NDArray]:
    """Return weights, states and the derivative of the last state by each, of an RNN run on x.

    The states (T, H) are those of ``tanh(w @ h + u @ x)`` with random weights; the derivatives are
    (T, H, H), the last state's entry first.
    """
    import torch

    rng = np.random.default_rng(0)
    w, u = (torch.from_numpy(rng.normal(0, 0.5, (hidden, n))) for n in (hidden, x.shape[1]))
    states: list[torch.Tensor] = []
    h = torch.zeros(hidden, dtype=torch.float64)
    for row in torch.from_numpy(x):
        h = torch.tanh(w @ h + u @ row).requires_grad_()
        states.append(h)
    rows = [torch.autograd.grad(h[i], states, retain_graph=True) for i in range(hidden)]
    wanted = np.stack([[part.numpy() for part in row] for row in rows], axis=1)
    return w.numpy(), torch.stack(states).detach().numpy(), wanted
