"""Judge what was generated: well-formed, like real music, new, and in the style asked for.

What is judged is what `mircourse.experiments.generated.written` returns, an item each of its
`items`; real held-out music is judged in the same way.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mircourse import events, styles
from mircourse.events import PAD
from mircourse.experiments import grams
from mircourse.experiments.generated import Item, excerpts, items, written
from mircourse.grammar import Grammar
from mircourse.styles import STYLES

OUT_OF_PLACE = "events out of place"
PITCH_CLASSES, DURATIONS = "pitch classes", "durations"
KINDS = (OUT_OF_PLACE, PITCH_CLASSES, DURATIONS)
LEARN_EACH = 80  # excerpts a style that the judge of styles learns from, at most
CHECK_EACH = 12
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse: hashes are modulo 2 ** 64
_INVERSE = pow(_BASE, -1, 2**64)

# ---------------------------------------------------------------------- well-formed, like real


def likeness(settings: Mapping[str, Any], *, kind: str, seed: int, fast: bool) -> dict[str, Any]:
    """Count, for each item, what `share` makes a figure of.

    Parameters
    ----------
    settings : mapping
        As in `written`.
    kind : str
        One of `KINDS`: events that the grammar does not allow; or a histogram of the notes, beside
        that of the style's train pieces. Pitch classes are counted up from the commonest one, so
        that the key plays no part; durations are in the bins of `mircourse.events`.
    seed, fast
        As in `written`.
    """
    made = written(settings, seed=seed, fast=fast)
    groups = [item.family for item in items(fast)]
    if kind == OUT_OF_PLACE:
        truth: Any = [len(tokens) for tokens in made]
        return {"truth": truth, "prediction": _out_of_place(made), "groups": groups}
    real = _reference(kind, fast)
    return {
        "truth": [real[item.style].tolist() for item in items(fast)],
        "prediction": [histogram(tokens, kind).tolist() for tokens in made],
        "groups": groups,
    }


def share(truth: NDArray, prediction: NDArray) -> float:
    """Return the share of events out of place, or of notes that histograms disagree about.

    The latter is the total variation distance between the histogram of a piece and that of its
    style, the share of notes that would have to be others, as a mean over pieces. That of all notes
    together would be smaller, but it grows where pieces are drawn again, as the bootstrap does: its
    interval would lie above it.
    """
    if truth.ndim == 1:
        return float(prediction.sum() / max(1, truth.sum()))
    real = truth / truth.sum(axis=1, keepdims=True)
    found = prediction / np.maximum(1, prediction.sum(axis=1, keepdims=True))
    return float(np.mean(1 - np.minimum(real, found).sum(axis=1)))


def histogram(tokens: NDArray[np.int64], kind: str) -> NDArray[np.int64]:
    """Return how many notes have each pitch class above the commonest, or each duration."""
    notes = events.decode(tokens)
    if kind == PITCH_CLASSES:
        counts = np.bincount(notes["pitch"] % 12, minlength=12)
        return np.roll(counts, -int(counts.argmax()))
    steps = np.rint(notes["duration_sec"] * events.STEPS_PER_SECOND)
    return np.bincount(events.duration_bins(steps), minlength=events.N_DURATIONS)


@functools.cache
def _reference(kind: str, fast: bool) -> list[NDArray[np.int64]]:
    return [
        np.sum([histogram(item.tokens, kind) for item in learnt(style, fast)], axis=0)
        for style in STYLES
    ]


@functools.cache
def learnt(style: str, fast: bool) -> tuple[Item, ...]:
    """Return excerpts of a style's train pieces."""
    return tuple(excerpts(style, split="train", most=4 if fast else LEARN_EACH))


def _out_of_place(made: Sequence[NDArray[np.int64]]) -> list[int]:
    longest = max(map(len, made))
    rows = np.full((len(made), longest), PAD)
    for row, tokens in zip(rows, made, strict=True):
        row[: len(tokens)] = tokens
    rules, wrong = Grammar(len(rows)), np.zeros(len(rows), np.int64)
    rules.append(rows[:, 0])
    for column in rows.T[1:]:
        right = rules.allowed()[np.arange(len(rows)), column]
        wrong += ~right & (column != PAD)
        rules.append(column)
    return wrong.tolist()


# ------------------------------------------------------------------------------------- copying


def copied(settings: Mapping[str, Any], *, seed: int, fast: bool) -> dict[str, Any]:
    """Score each item by the longest run of notes that a train piece has as well, in any key."""
    made = written(settings, seed=seed, fast=fast)
    return {
        "scores": [longest_shared(moves(tokens)) for tokens in made],
        "groups": [item.family for item in items(fast)],
    }


def moves(tokens: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a symbol for each step from one note to the next: interval and time, ``(n - 1,)``."""
    notes = events.decode(tokens)
    interval = np.diff(notes["pitch"].astype(np.int64)) + 128
    wait = np.diff(np.rint(notes["onset_sec"] * events.STEPS_PER_SECOND).astype(np.int64))
    return (wait * 256 + interval).astype(np.uint64)


def longest_shared(own: NDArray[np.uint64]) -> int:
    """Return the notes of the longest run of moves that stands in the train split, or 1."""
    # A run of `low` moves is there. If one is, so are the shorter ones; most are short, and the
    # lengths that are tried are the same for all pieces.
    low, high = 0, 1
    while high <= len(own) and _known_run(own, high):
        low, high = high, 2 * high
    while high - low > 1:
        n = (low + high) // 2
        low, high = (n, high) if _known_run(own, n) else (low, n)
    return low + 1


def _known_run(own: NDArray[np.uint64], n: int) -> bool:
    runs, known = _runs(own, n), _known_runs(n)
    if not len(known):
        return False
    at = np.minimum(np.searchsorted(known, runs), len(known) - 1)
    return bool((known[at] == runs).any())


def _runs(row: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """Return a hash of each run of n symbols, wherever it stands."""
    if len(row) < n:
        return np.zeros(0, np.uint64)
    power, inverse = (np.cumprod(np.full(len(row), base, np.uint64)) for base in (_BASE, _INVERSE))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((row + np.uint64(1)) * power)])
    return (sums[n:] - sums[:-n]) * inverse[: len(row) - n + 1]


@functools.cache
def _known_runs(n: int) -> NDArray[np.uint64]:
    return np.unique(np.concatenate([_runs(row, n) for row in _known()]))


@functools.cache
def _known() -> tuple[NDArray[np.uint64], ...]:
    return tuple(moves(one.tokens) for one in styles.styled("train"))


# -------------------------------------------------------------------------------------- styles


def obeyed(settings: Mapping[str, Any], *, seed: int, fast: bool) -> dict[str, Any]:
    """Score each item by whether a judge takes it for the style that was asked for."""
    made = written(settings, seed=seed, fast=fast)
    heard = judge(fast).predict([grams.counts(tokens) for tokens in made])
    asked = np.array([item.style for item in items(fast)])
    return {
        "scores": (heard == asked).astype(float).tolist(),
        "groups": [item.family for item in items(fast)],
    }


@functools.cache
def judge(fast: bool) -> Any:
    """Return a classifier of styles that has heard real train pieces, and nothing generated.

    A logistic regression on counts of runs of intervals, of times and of chords, whose strength is
    chosen on the valid split.
    """
    learn = _counted([one for style in STYLES for one in learnt(style, fast)])
    most = 2 if fast else CHECK_EACH
    check = _counted([e for style in STYLES for e in excerpts(style, split="valid", most=most)])

    def make(strength: float) -> Any:
        return grams.classifier(strength, min_count=2, balanced=True)

    return make(grams.best_strength(make, learn, check)).fit(*learn)


def _counted(some: Sequence[Item]) -> tuple[list[Any], NDArray[np.int64]]:
    return [grams.counts(one.tokens) for one in some], np.array([one.style for one in some])
