"""From tune to tune: through the latent space of a network, or by mixing the notes.

Items are pairs of two-bar beginnings of test tunes of the same mode, the second moved to the key
nearest to the first's. Each way has `STEPS` melodies, both ends included. What a melody in between
costs is asked of a network that had nothing to do with it: the LSTM that ships, which learnt from
the train split. A way through nonsense costs more than its ends.

Mixing takes each symbol from the second melody if a number drawn for its step is below the share
of the way that has been gone: once taken, it stays. Splicing puts the first steps of the second
melody in front of the last ones of the first.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mircourse import melodies, melodybars, weights
from mircourse.experiments import melodyvaes
from mircourse.experiments.melodies import uniform_bits
from mircourse.melodies import DURATIONS, Melody
from mircourse.notearray import note_array

STEPS = 9
BARS = 2
COST, LARGEST = "cost in between", "largest step"
TASKS = (COST, LARGEST)
JUDGE = "melodylstm-tunes"
MOST, FAST = 150, 4


@functools.cache
def pairs(fast: bool) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64], str], ...]:
    """Return first melody, second melody in a near key, and the family of the first."""
    heard = melodyvaes.scored(BARS, fast=False)
    found = []
    for k, first in enumerate(heard):
        second = heard[(k + len(heard) // 2) % len(heard)]
        if first.piece.mode != second.piece.mode or first.piece.family == second.piece.family:
            continue
        if first.piece.sharps is None or second.piece.sharps is None:
            continue
        # A step on the line of fifths is seven semitones; the nearest way there.
        by = (7 * (first.piece.sharps - second.piece.sharps) + 6) % 12 - 6
        low, high = melodybars.room(second.symbols)
        if low <= by <= high:
            moved = melodybars.transpose(second.symbols, by)
            found.append((first.symbols, moved, first.piece.family))
    return tuple(found[: FAST if fast else MOST])


def ways(settings: Mapping[str, Any], *, seed: int, fast: bool) -> NDArray[np.int64]:
    """Return the melodies from first to second of each pair: (pairs, STEPS, n).

    Parameters
    ----------
    settings : mapping
        ``way``: "linear" or "spherical", with ``network``, the settings of one; "mixing", or
        "splicing".
    seed : int
        Of the network, or of the mixing.
    fast : bool
    """
    first, second = (np.stack(side) for side in list(zip(*pairs(fast), strict=True))[:2])
    way = settings["way"]
    if way in ("linear", "spherical"):
        model, _ = melodyvaes.trained(settings["network"], seed=seed, fast=fast)
        ends = torch.from_numpy(first), torch.from_numpy(second)
        written = model.interpolate(*ends, STEPS, path=way)  # (STEPS, pairs, n)
        return melodybars.canonical(written.transpose(0, 1).numpy())
    n = first.shape[1]
    if way == "mixing":
        threshold = np.random.default_rng(seed).random((len(first), 1, n))
    else:
        threshold = np.broadcast_to((np.arange(n) + 0.5) / n, (len(first), 1, n))
    gone = np.linspace(0, 1, STEPS)[:, None]
    found = np.where(threshold < gone, second[:, None], first[:, None])
    return melodybars.canonical(found)


def score(settings: Mapping[str, Any], *, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score a way from tune to tune.

    The cost is the mean bits per note of the melodies in between, less the mean of the two ends,
    which are the reconstructions where a network is asked. The largest step is the largest share
    of the symbols' sounding pitches that changes at once, over the mean one: 1 is a steady way.

    Returns
    -------
    dict
        ``scores``, ``groups`` (family of the first tune).
    """
    found = ways(settings, seed=seed, fast=fast)
    if task == COST:
        bits = np.stack([bits_per_note(way) for way in found])  # (pairs, STEPS)
        scores = bits[:, 1:-1].mean(axis=1) - bits[:, [0, -1]].mean(axis=1)
    else:
        heard = melodybars.sounding(found)
        changed = (heard[:, 1:] != heard[:, :-1]).mean(axis=-1)  # (pairs, STEPS - 1)
        scores = changed.max(axis=1) / np.maximum(changed.mean(axis=1), 1e-9)
        # Nothing changes: as steady as can be.
        scores = np.where(changed.max(axis=1) == 0, 1.0, scores)
    return {"scores": scores.tolist(), "groups": [family for *_, family in pairs(fast)]}


@functools.cache
def _judge() -> Any:
    return weights.load(JUDGE).model.float()


def bits_per_note(symbols: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what the judge asks for melodies of bars in 2/2, in bits a note: (N, n) -> (N,)."""
    said = [spoken(row) for row in symbols]
    costs = np.array([uniform_bits(melody) for melody in said])
    some = [k for k, melody in enumerate(said) if len(melody)]
    if some:
        costs[some] = _judge().bits([said[k] for k in some])
    return costs / np.maximum(1, [melody.n_notes for melody in said])


def spoken(symbols: NDArray[np.int64]) -> Melody:
    """Return symbols as a melody without an end.

    A note whose duration is none of `mircourse.melodies.DURATIONS` lasts for the longest of these
    that is shorter, and a rest follows.
    """
    notes = melodybars.decode(symbols, meter="2/2")
    known = np.array([float(d) for d in DURATIONS])
    place = np.searchsorted(known, notes["duration_beat"] + 1e-9) - 1
    notes = note_array(notes["onset_beat"], known[place], notes["pitch"])
    melody = melodies.encode(notes, meter="2/2")
    return melody.first(len(melody))
