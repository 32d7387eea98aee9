"""What a sixteenth note of a chorale costs: n-grams, an LSTM and the Music Transformer.

Chorales are grids of sixteenth notes and four voices, read cell by cell (`mircourse.choralegrid`).
The cost of a cell is minus the natural logarithm of the probability that a model gives to what is
sung, given all cells before. Networks and n-grams learn from the train part of a protocol; what is
scored is its test part. Everything about them was chosen on the valid part of the standard split.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from mircourse import choralegrid
from mircourse.choralegrid import N_SYMBOLS
from mircourse.choralengram import ChoraleNGram
from mircourse.experiments import writers
from mircourse.sequences import Example
from mircourse.transformertraining import nats

ALL, SHARED, NEW = "all of test", "melodies of train", "new melodies"
FAST_PIECES = 4


def scored(data: str, *, part: str = ALL, fast: bool = False) -> list[Example]:
    """Return the chorales of the test part, or those whose melody is, or is not, in train too.

    Parameters
    ----------
    data : str
        The protocol, "standard" or "families".
    part : str
        `ALL`, `SHARED` or `NEW`.
    fast : bool
        Only a few of them.
    """
    known = {example.family for example in writers.examples(data, "train")}
    found = [
        example
        for example in writers.examples(data, "test")
        if part == ALL or (example.family in known) == (part == SHARED)
    ]
    return found[: FAST_PIECES if fast else None]


@functools.cache
def ngram(data: str) -> ChoraleNGram:
    """Return the n-gram model, counted on the train part."""
    return ChoraleNGram().fit([chorale.grid for chorale in choralegrid.jsb("train", protocol=data)])  # type: ignore[arg-type]


@functools.cache
def unigram(data: str) -> np.ndarray:
    """Return how often each symbol occurs in the train part, one more each: ``(129,)``."""
    counts = np.ones(N_SYMBOLS)
    for example in writers.examples(data, "train"):
        counts += np.bincount(example.tokens[1:], minlength=N_SYMBOLS)
    return counts / counts.sum()


def cost(
    settings: Mapping[str, Any], *, data: str, part: str = ALL, seed: int, fast: bool
) -> dict[str, Any]:
    """Score a model by what the cells of the test part cost.

    Parameters
    ----------
    settings : mapping
        ``{"model": "uniform"}``, ``"unigram"`` or ``"n-gram"``; or those of a network, see
        `mircourse.experiments.writers`, without ``data``.
    data, part : str
        As in `scored`.
    seed : int
        Of the network.
    fast : bool
        A network of one epoch on a few chorales, a few chorales to score.

    Returns
    -------
    dict
        ``truth`` (cells of each chorale), ``prediction`` (nats), ``groups`` (melody family),
        ``parameters``, ``seconds``.
    """
    heard = scored(data, part=part, fast=fast)
    cells = [len(example) for example in heard]
    parameters, seconds = 0, 0.0
    model = settings.get("model")
    if model == "uniform":
        found = [n * math.log(N_SYMBOLS) for n in cells]
    elif model == "unigram":
        price = -np.log(unigram(data))
        found, parameters = [price[e.tokens[1:]].sum() for e in heard], N_SYMBOLS
    elif model == "n-gram":
        began = time.perf_counter()
        counted = ngram(data)
        parameters, seconds = counted.n_counts, time.perf_counter() - began
        found = [counted.nats(choralegrid.grid_of(e.tokens)) for e in heard]
    else:
        network, seconds = writers.trained({**settings, "data": data}, seed=seed, fast=fast)
        parameters = writers.parameters(network)
        length = settings["length"]
        found = nats(network, heard, pad=choralegrid.PAD, length=length)[:, 0].tolist()
    return {
        "truth": cells,
        "prediction": [float(one) for one in found],
        "groups": [example.family for example in heard],
        "parameters": parameters,
        "seconds": seconds,
    }
