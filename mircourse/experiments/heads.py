"""What the three heads of a Music Transformer are worth, on events of dance tunes.

Two networks learn alike, one the next token alone, the other pitch, duration and dynamics of the
next note as well. What is scored is what the next token of the test tunes costs; and, of the second
network, what the heads' answers cost beside answers that only know how often each occurs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mircourse import events
from mircourse.experiments import writers
from mircourse.sequences import IGNORED, Example
from mircourse.transformertraining import HEADS, nats

NEXT = "next token"
SIZES = {"pitches": 128, "durations": events.N_DURATIONS, "dynamics": events.N_DYNAMICS}
FAST_PIECES = 6


def scored(settings: Mapping[str, Any], *, fast: bool) -> tuple[Example, ...]:
    """Return the test pieces of the settings' styles, with targets for the heads."""
    styles = tuple(settings["styles"])
    found = writers.examples(writers.STYLED, "test", heads=True, styles=styles)
    return found[: FAST_PIECES if fast else None]


def cost(settings: Mapping[str, Any], *, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score a network by what the next token, or what one of the heads is to say, costs.

    Parameters
    ----------
    settings : mapping
        Those of a network, see `mircourse.experiments.writers`; with ``"model": "frequencies"``
        each answer costs what its share in the train split makes it cost.
    task : str
        "next token", or a head.
    seed : int
        Of the network.
    fast : bool
        A network of one epoch on a few tunes, a few tunes to score.

    Returns
    -------
    dict
        ``truth`` (answers of each piece), ``prediction`` (nats), ``groups`` (melody family),
        ``parameters``, ``seconds``.
    """
    heard = scored(settings, fast=fast)
    if settings.get("model") == "frequencies":
        price = _prices(tuple(settings["styles"]), task)
        found = np.array([_sums(price, example, task) for example in heard])
        parameters, seconds = len(price), 0.0
    else:
        network, seconds = writers.trained(settings, seed=seed, fast=fast)
        parameters = writers.parameters(network)
        head = None if task == NEXT else task
        found = nats(network, heard, pad=events.PAD, length=settings["length"], head=head)
    return {
        "truth": found[:, 1].astype(int).tolist(),
        "prediction": found[:, 0].tolist(),
        "groups": [example.family for example in heard],
        "parameters": parameters,
        "seconds": seconds,
    }


def _answers(example: Example, task: str) -> NDArray[np.int64]:
    column = 0 if task == NEXT else 1 + HEADS.index(task)
    targets = example.targets()[:, column]
    return targets[targets != IGNORED]


def _prices(styles: tuple[str, ...], task: str) -> NDArray[np.float64]:
    """Return minus the logarithm of each answer's share, one more of each than there are."""
    learn = writers.examples(writers.STYLED, "train", heads=True, styles=styles)
    size = SIZES.get(task, events.N_TOKENS)
    counts = np.ones(size)
    for example in learn:
        counts += np.bincount(_answers(example, task), minlength=size)
    return -np.log(counts / counts.sum())


def _sums(price: NDArray[np.float64], example: Example, task: str) -> tuple[float, int]:
    answers = _answers(example, task)
    return float(price[answers].sum()), len(answers)
