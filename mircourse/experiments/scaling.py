"""What more music is worth: an LSTM and n-grams that learn from 1 to 100 % of the tunes.

The tunes, the symbols and the cost of a note are those of `mircourse.experiments.melodies`. A
share of the train split is drawn with the seed, the same for the network and for the n-grams.
Each network trains until the valid split says that it is enough.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mircourse.experiments.melodies import FAST_TUNES, scored, tunes
from mircourse.experiments.remembered import Trained, kept
from mircourse.experiments.runner import Outcome
from mircourse.melodies import Melody

CHECKED = 4  # every fourth tune of the valid split says when to stop


def part(share: float, *, seed: int, fast: bool = False) -> list[Melody]:
    """Return a share of the train tunes, at least one, drawn with the seed.

    With one seed, the smaller part is in the larger.

    Raises
    ------
    ValueError
        If the share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share is in (0, 1], got {share}")
    every = tunes("train")[: 2 * FAST_TUNES if fast else None]
    order = np.random.default_rng(seed).permutation(len(every))
    return [every[i] for i in order[: max(1, round(share * len(every)))]]


def bits(settings: Mapping[str, Any], *, seed: int, fast: bool) -> dict[str, Any]:
    """Score a model of ``settings["share"]`` of the tunes by what the test tunes cost.

    Parameters
    ----------
    settings : mapping
        ``model`` (``"LSTM"`` or ``"n-gram"``), ``share``; of the LSTM ``arguments``, ``epochs``
        for all of the tunes, ``lr``, ``batch_size`` and ``patience``.
    seed : int
        Decides which tunes, the initial weights and the order.
    fast : bool
        One epoch, on a few tunes.
    """
    learn = part(settings["share"], seed=seed, fast=fast)
    heard = scored(fast)
    if settings["model"] == "n-gram":
        from mircourse.melodyngram import MelodyNGram

        began = time.perf_counter()
        counted = MelodyNGram().fit(learn)
        cost = [counted.bits(melody) for melody in heard]
        parameters, seconds = counted.n_counts, time.perf_counter() - began
    else:
        model, seconds = network(settings, seed=seed, fast=fast)
        cost = model.bits(heard)
        parameters = sum(p.numel() for p in model.parameters())
    return {
        "truth": [melody.n_notes for melody in heard],
        "prediction": [float(c) for c in cost],
        "groups": [melody.family for melody in heard],
        "parameters": parameters,
        "seconds": seconds,
    }


def network(settings: Mapping[str, Any], *, seed: int, fast: bool) -> tuple[Any, float]:
    """Return a network that learned from a share of the tunes, and the seconds that took."""

    def train(folder: Path) -> Trained:
        from mircourse import training
        from mircourse.melodylstm import MelodyLSTM
        from mircourse.melodytraining import MelodyTask, loader

        learn = part(settings["share"], seed=seed, fast=fast)
        check = tunes("valid")[::CHECKED][: FAST_TUNES if fast else None]
        training.seed_everything(seed)
        model = MelodyLSTM(**settings["arguments"])
        began = time.perf_counter()
        training.fit(
            MelodyTask(model, lr=settings["lr"]),
            loader(learn, batch_size=settings["batch_size"], seed=seed),
            valid=loader(check, batch_size=32),
            # Few tunes are read more often, though not so often that the steps are as many.
            epochs=1 if fast else round(settings["epochs"] / settings["share"] ** 0.5),
            patience=settings["patience"],
            gradient_clip=1.0,
            seed=seed,
            checkpoint_dir=folder,
        )
        return Trained(model, settings["arguments"], time.perf_counter() - began)

    return kept("scaling", {**settings, "seed": seed, "fast": fast}, train)


def redrawn(outcomes: Sequence[Sequence[Outcome]]) -> Any:
    """Return a function that draws losses again, for `mircourse.powerlaw.bootstrapped`.

    Parameters
    ----------
    outcomes : sequence of K sequences of Outcome
        For each amount of data its seeds, with bits and notes of the same tunes.

    Returns
    -------
    callable
        Takes a generator; draws tune families and seeds, the same for all amounts; returns bits
        per note (K,).
    """
    names = np.unique(outcomes[0][0].groups, return_inverse=True)[1]
    n_groups = names.max() + 1
    notes = np.bincount(names, weights=outcomes[0][0].truth)  # (G,)
    paid = np.stack(
        [[np.bincount(names, weights=one.prediction) for one in several] for several in outcomes]
    )  # (K, seeds, G)

    def draw(rng: np.random.Generator) -> NDArray[np.float64]:
        weight = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)
        seeds = rng.integers(paid.shape[1], size=paid.shape[1])
        return (paid[:, seeds].mean(axis=1) @ weight) / (notes @ weight)

    return draw


def means(outcomes: Sequence[Sequence[Outcome]]) -> ArrayLike:
    """Return bits per note (K,) of each amount of data, over all tunes and seeds."""
    return [
        float(np.mean([np.sum(one.prediction) / np.sum(one.truth) for one in several]))
        for several in outcomes
    ]
