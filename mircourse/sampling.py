"""Draw from a model's probabilities: temperature, top-k, nucleus, seeds.

*Temperature* T sharpens (below 1) or flattens (above 1) a distribution: each probability is raised
to 1/T. At 0 the most likely symbol is taken. *Top-k* sampling (Fan et al., 2018) draws only from
the k most likely symbols, *nucleus* sampling (Holtzman et al., 2020) only from the fewest that
together have probability `top_p`; the rest, each unlikely but many, are left out.

Lessons: book/rnn/lstm, book/transformer/musictransformer
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from mircourse.melodies import END, REST, Melody


class Reader(Protocol):
    """A model that reads melodies, several at a time, and says what may come next in each.

    After the probabilities of durations have been asked for, those of pitches are asked for with
    the durations that were drawn, and both are appended.
    """

    def durations(self) -> NDArray[np.float64]:
        """Return the probability of each duration symbol, ``(B, N_DURATIONS)``."""

    def pitches(self, duration: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability of each pitch symbol after the durations, ``(B, N_PITCHES)``."""

    def append(self, duration: NDArray[np.int64], pitch: NDArray[np.int64]) -> None:
        """Take one more event in each melody, ``(B,)``."""


class MelodyModel(Protocol):
    """A model that can continue melodies."""

    def reader(self, prompts: Sequence[Melody]) -> Reader:
        """Return a reader that has read the prompts."""


def nucleus(
    probabilities: npt.ArrayLike,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> NDArray[np.float64]:
    """Change distributions by temperature, then keep the top k, and the nucleus of these.

    Parameters
    ----------
    probabilities : array_like, (..., K)
        At least 0, each distribution with a sum above 0.
    temperature : float
        0 or more; 0 puts everything on the most likely symbol, the first of equals.
    top_k : int, optional
        Symbols that are kept, 1 or more; all unless given. Of equally likely ones the first.
    top_p : float
        In (0, 1]. Of equally likely symbols the first ones are kept; one is always kept.

    Returns
    -------
    ndarray of float, (..., K)
        Distributions that sum to 1.

    Raises
    ------
    ValueError
        If a number is out of range, or a row is not a distribution.
    """
    if not (temperature >= 0 and np.isfinite(temperature)):
        raise ValueError(f"temperature must be a number of 0 or more, got {temperature}")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be in (0, 1], got {top_p}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim == 0 or not np.isfinite(p).all() or (p < 0).any() or not (p.sum(-1) > 0).all():
        raise ValueError("probabilities must be finite, 0 or more, with sums above 0")
    if temperature == 0:
        return np.eye(p.shape[-1])[p.argmax(axis=-1)]
    if temperature != 1:
        # Relative to the largest, so that a low temperature does not make all of them 0.
        p = (p / p.max(axis=-1, keepdims=True)) ** (1 / temperature)
    p = p / p.sum(axis=-1, keepdims=True)
    if top_p < 1 or top_k is not None:
        order = np.argsort(-p, axis=-1, kind="stable")
        ranked = np.take_along_axis(p, order, axis=-1)
        if top_k is not None:
            ranked[..., top_k:] = 0
        # Of what the top k have, not of all that there was.
        before = np.cumsum(ranked, axis=-1) - ranked
        kept = np.where(before < top_p * ranked.sum(axis=-1, keepdims=True), ranked, 0)
        np.put_along_axis(p, order, kept, axis=-1)
        p /= p.sum(axis=-1, keepdims=True)
    return p


def draw(probabilities: NDArray[np.float64], rngs: Sequence[np.random.Generator]) -> NDArray:
    """Draw one symbol from each distribution ``(B, K)`` with a generator of its own: ``(B,)``."""
    u = np.array([rng.random() for rng in rngs])
    cumulative = probabilities.cumsum(axis=1)
    # Scaled by what the row sums to, so that rounding cannot leave u above all of it.
    return (cumulative > (u * cumulative[:, -1])[:, None]).argmax(axis=1)


def continue_melodies(
    model: MelodyModel,
    prompts: Sequence[Melody],
    events: int,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int | Sequence[int] = 0,
) -> list[Melody]:
    """Let a model go on with melodies until each ends or has so many more events.

    Parameters
    ----------
    model : MelodyModel
        A `mircourse.melodylstm.MelodyLSTM`, or another that has a reader.
    prompts : sequence of Melody
        What they begin with; an end is taken off.
    events : int
        Most events that are added to each, 0 or more.
    temperature, top_p : float
        As in `nucleus`, for durations and pitches alike.
    seed : int or sequence of int
        One for all, or one for each prompt. Each melody draws from a stream of its own: what it
        becomes does not depend on its neighbours.

    Returns
    -------
    list of Melody
        Prompt and continuation; the last event is the end if the model came to one.

    Raises
    ------
    ValueError
        If there are no prompts, `events` is negative, seeds and prompts differ in number, or
        temperature or `top_p` is out of range.
    """
    if not prompts or events < 0:
        raise ValueError(f"expected prompts and 0 or more events, got {len(prompts)}, {events}")
    seeds = [[seed, i] for i in range(len(prompts))] if isinstance(seed, int) else list(seed)
    if len(seeds) != len(prompts):
        raise ValueError(f"{len(seeds)} seeds for {len(prompts)} prompts")
    nucleus([1.0], temperature=temperature, top_p=top_p)  # refuses settings out of range
    rngs = [np.random.default_rng(one) for one in seeds]
    starts = [prompt.first(len(prompt)) for prompt in prompts]
    reader = model.reader(starts)
    columns: list[tuple[NDArray, NDArray]] = []
    going = np.ones(len(prompts), bool)
    for _ in range(events):
        p = nucleus(reader.durations(), temperature=temperature, top_p=top_p)
        duration = draw(p, rngs)
        p = nucleus(reader.pitches(duration), temperature=temperature, top_p=top_p)
        pitch = np.where(duration == END, REST, draw(p, rngs))
        columns.append((np.where(going, duration, END), pitch))
        going &= duration != END
        if not going.any():
            break
        reader.append(duration, pitch)
    made = []
    for i, start in enumerate(starts):
        added = np.array([(d[i], p[i]) for d, p in columns], dtype=np.int64).reshape(-1, 2)
        ends = np.flatnonzero(added[:, 0] == END)
        added = added[: ends[0] + 1] if len(ends) else added
        made.append(
            dataclasses.replace(
                start,
                duration=np.concatenate([start.duration, added[:, 0]]),
                pitch=np.concatenate([start.pitch, added[:, 1]]),
            )
        )
    return made
