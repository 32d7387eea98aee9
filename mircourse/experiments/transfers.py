"""Style transfer: what an independent judge hears, and how much of the melody is left.

Tunes of the test split, 16 bars of a reel, a hornpipe or an air in duple time, are moved towards
each of the other two styles. The judge is a logistic regression that has read the tunes of the
train split as they are: the rhythms of their bars and runs of intervals. The network and its
attribute vectors know nothing of it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mircourse import likeness, melodybars, styletransfer
from mircourse.experiments import melodyvaes
from mircourse.experiments.remembered import remembered
from mircourse.melodybars import FIRST_NOTE
from mircourse.styletransfer import STYLES, AttributeVectors

BARS = 16
TAKEN, CONTOUR, CLASSES = "taken for the target style", "contour kept", "pitch classes kept"
TASKS = (TAKEN, CONTOUR, CLASSES)
EACH, FAST = 40, 2  # tunes of a style
LONGEST = 3  # intervals in a run


class Item(NamedTuple):
    """A tune and the style it is moved towards."""

    symbols: NDArray[np.int64]
    style: str
    target: str
    family: str


@functools.cache
def tunes(style: str, split: str, most: int | None) -> tuple[melodybars.Window, ...]:
    """Return the first 16 bars of tunes of a style."""
    pieces = styletransfer.tunes_of(style, split=split)[:most]
    return tuple(melodybars.windows(piece, bars=BARS)[0] for piece in pieces)


@functools.cache
def items(fast: bool, split: str = "test") -> tuple[Item, ...]:
    """Return what is scored: tunes of each style with each of the other styles."""
    each = FAST if fast else EACH
    return tuple(
        Item(window.symbols, style, target, window.piece.family)
        for style in STYLES
        for window in tunes(style, split, each)
        for target in STYLES
        if target != style
    )


def score(settings: Mapping[str, Any], *, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score a way to give tunes another style.

    Parameters
    ----------
    settings : mapping
        ``{"way": "copy"}`` leaves the tune as it is, ``{"way": "random"}`` takes a random tune of
        the target style of the train split in its place; ``network`` and ``strength`` move it.
    task : str
        One of `TASKS`.
    seed : int
        Of the network, or of what is taken.
    fast : bool

    Returns
    -------
    dict
        ``scores``, ``groups`` (family), ``parameters``, ``seconds``.
    """
    asked = items(fast)
    parameters, seconds = 0, 0.0
    if "network" in settings:
        model, seconds = melodyvaes.trained(settings["network"], seed=seed, fast=fast)
        parameters = sum(p.numel() for p in model.parameters())
    found = changed(settings, seed=seed, fast=fast)
    if task == TAKEN:
        said = judge(fast).predict(found)
        scores = [float(a == item.target) for a, item in zip(said, asked, strict=True)]
    else:
        measure = likeness.contour if task == CONTOUR else likeness.overlap
        pairs = zip(found, asked, strict=True)
        scores = [measure(new, item.symbols) for new, item in pairs]
    return {
        "scores": scores,
        "groups": [item.family for item in asked],
        "parameters": parameters,
        "seconds": seconds,
    }


@remembered
def changed(settings: Mapping[str, Any], *, seed: int, fast: bool) -> list[NDArray[np.int64]]:
    """Return the tunes of `items` as the settings change them."""
    asked = items(fast)
    if settings.get("way") == "copy":
        return [item.symbols for item in asked]
    if settings.get("way") == "random":
        rng = np.random.default_rng(seed)
        pools = {style: tunes(style, "train", FAST if fast else None) for style in STYLES}
        drawn = [pools[item.target] for item in asked]
        return [pool[int(rng.integers(len(pool)))].symbols for pool in drawn]
    model, _ = melodyvaes.trained(settings["network"], seed=seed, fast=fast)
    known = vectors(settings["network"], seed=seed, fast=fast)
    found: list[NDArray[np.int64]] = [item.symbols for item in asked]
    for style in STYLES:
        for target in STYLES:
            those = [k for k, i in enumerate(asked) if (i.style, i.target) == (style, target)]
            if not those:
                continue
            rows = np.stack([asked[k].symbols for k in those])
            direction = known.between(style, target)
            new = styletransfer.moved(model, rows, direction, strength=settings["strength"])
            for k, row in zip(those, new, strict=True):
                found[k] = row
    return found


@remembered
def vectors(settings: Mapping[str, Any], *, seed: int, fast: bool) -> AttributeVectors:
    """Return the attribute vectors of a network."""
    model, _ = melodyvaes.trained(settings, seed=seed, fast=fast)
    return styletransfer.learn(model, most=FAST if fast else None)


# --------------------------------------------------------------------------------------- judge


class Judge:
    """Tells styles by the rhythms of bars and by runs of intervals.

    Parameters
    ----------
    melodies : sequence of ndarray of int, (n,)
        To learn from.
    labels : sequence of str
        Their styles.
    """

    def __init__(self, melodies: list[NDArray[np.int64]], labels: list[str]) -> None:
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer

        self._model = make_pipeline(
            CountVectorizer(analyzer=words),
            FunctionTransformer(np.log1p),
            # Airs, reels and hornpipes count alike, however many there are.
            LogisticRegression(C=0.1, max_iter=1000, class_weight="balanced"),
        )
        self._model.fit(melodies, labels)

    def predict(self, melodies: list[NDArray[np.int64]]) -> NDArray[Any]:
        """Return the style of each melody, (N,)."""
        return self._model.predict(melodies)


def words(symbols: NDArray[np.int64]) -> list[str]:
    """Return what the judge counts in a melody: in which steps of a bar notes begin, and runs."""
    begins = np.asarray(symbols) >= FIRST_NOTE
    found = ["rhythm " + "".join("x" if b else "." for b in bar) for bar in begins.reshape(-1, 16)]
    steps = np.diff(np.asarray(symbols)[begins])
    for n in range(1, LONGEST + 1):
        found += [f"run {steps[k : k + n].tolist()}" for k in range(len(steps) - n + 1)]
    return found


@functools.cache
def judge(fast: bool) -> Judge:
    """Return the judge, which has read the tunes of the train split."""
    read = [(w.symbols, s) for s in STYLES for w in tunes(s, "train", 8 if fast else None)]
    return Judge([row for row, _ in read], [style for _, style in read])
