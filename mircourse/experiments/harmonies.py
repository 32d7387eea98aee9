"""Scale degree of each chord, key not given: five folds by piece.

Networks learn from four folds and are scored on the fifth; a unit is all five. What a network is,
and how it learns, is a mapping of settings:

============= ===================================================================================
``model``     one of `NETWORKS`, or ``"majority"`` or ``"trees"``
``arguments`` of its constructor
``graph``     of `mircourse.harmonytraining.harmony_graph`, besides the piece
``augment``   whether training pieces are moved to other keys, anew each time
``weights``   of the further tasks, see `mircourse.harmonytraining.HarmonyTask`
``epochs``    and ``batch_size``, ``lr``
============= ===================================================================================

Settings were chosen within the training pieces of the first fold, by `validate`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mircourse import chords
from mircourse.chordgraph import chord_features
from mircourse.experiments.chordreaders import SequenceHarmony, SignedHarmony, TwelveSequences
from mircourse.experiments.remembered import Trained, kept, remembered
from mircourse.harmony import N_DEGREES, HarmonyGNN
from mircourse.harmonytraining import HarmonyTask, harmony_graph, loader, read
from mircourse.training import fit, seed_everything

VERSION = 1  # raised when data or training change: nothing kept is used again
FOLDS = 5
INNER = 3  # parts of the first fold's training pieces that settings were chosen on
FAST_PIECES = 10
NETWORKS: dict[str, type[nn.Module]] = {
    "twelve": HarmonyGNN,
    "signed": SignedHarmony,
    "sequence": SequenceHarmony,
    "twelve sequences": TwelveSequences,
}
RECIPE: dict[str, Any] = {"epochs": 30, "batch_size": 6, "lr": 0.003, "augment": False}
NEIGHBOURS = (1, 2, 3, 4)  # chords before and after that the trees see one by one
AROUND = 8  # chords on either side whose profile they see


@functools.cache
def pieces(fast: bool = False) -> tuple[chords.Analysis, ...]:
    """Return the analyses, in the fast version the ten shortest."""
    found = chords.load()
    return tuple(sorted(found, key=lambda p: len(p.chords))[:FAST_PIECES] if fast else found)


@functools.cache
def folds(fast: bool = False) -> tuple[NDArray[np.int64], ...]:
    """Return the numbers of the test pieces of each fold: folds of about as many chords."""
    from sklearn.model_selection import GroupKFold

    piece = np.repeat(np.arange(len(pieces(fast))), [len(p.chords) for p in pieces(fast)])
    split = GroupKFold(2 if fast else FOLDS).split(piece, groups=piece)
    return tuple(np.unique(piece[test]) for _, test in split)


def inner_folds() -> list[NDArray[np.int64]]:
    """Return three parts of the first fold's training pieces."""
    train = np.setdiff1d(np.arange(len(pieces())), folds()[0])
    parts = np.array_split(np.random.default_rng(5).permutation(train), INNER)
    return [np.sort(part) for part in parts]


def degrees(settings: Mapping[str, Any], *, seed: int, fast: bool) -> dict[str, Any]:
    """Find the scale degree of every chord, by what has not seen its piece.

    Parameters
    ----------
    settings : mapping
        See the module.
    seed : int
        Decides initial weights, order, dropout and keys.
    fast : bool
        Two folds of ten short pieces, one epoch.

    Returns
    -------
    dict
        ``scores`` (1 where the degree is right), ``truth`` and ``prediction`` (degrees from 1),
        ``groups`` (pieces), ``parameters`` (of one fold's network) and ``seconds``.
    """
    began = time.perf_counter()
    all_pieces = pieces(fast)
    found: list[Any] = [None] * len(all_pieces)
    parameters = 0
    seconds = 0.0
    for fold, test in enumerate(folds(fast)):
        train = np.setdiff1d(np.arange(len(all_pieces)), test)
        if settings["model"] in NETWORKS:
            key = {**settings, "train": train.tolist(), "fold": fold}
            network, spent = trained(key, seed=seed, fast=fast)
            seconds += spent
            parameters = sum(p.numel() for p in network.parameters())
            guess = guesses(network, [all_pieces[i] for i in test], settings)
        else:
            guess = without_network(settings["model"], train, test, fast=fast)
        ends = np.cumsum([len(all_pieces[i].chords) for i in test])[:-1]
        for i, part in zip(test, np.split(guess, ends), strict=True):
            found[i] = part
    truth = np.concatenate([piece.chords["degree"] for piece in all_pieces]).astype(int)
    prediction = np.concatenate(found) + 1
    return {
        "scores": (truth == prediction).astype(float),
        "truth": truth,
        "prediction": prediction,
        "groups": [piece.id for piece in all_pieces for _ in piece.chords],
        "parameters": parameters,
        "seconds": seconds or time.perf_counter() - began,
    }


@remembered
def trained(settings: Mapping[str, Any], *, seed: int, fast: bool) -> tuple[nn.Module, float]:
    """Return the network of one fold and the seconds of its training; kept in the cache folder."""
    settings = dict(settings) | ({"epochs": 1} if fast else {})

    def train(folder: Path) -> Trained:
        seed_everything(seed)
        model = NETWORKS[settings["model"]](**settings["arguments"])
        learn = [graph(pieces(fast)[i], settings) for i in settings["train"]]
        result = fit(
            HarmonyTask(model, weights=settings.get("weights"), lr=settings["lr"]),
            loader(learn, batch_size=settings["batch_size"], augment=settings["augment"]),
            epochs=settings["epochs"],
            seed=seed,
            gradient_clip=1.0,
            checkpoint_dir=folder,
        )
        return Trained(model, settings["arguments"], result.seconds)

    return kept("harmonies", [VERSION, settings, seed, fast], train)


def graph(piece: chords.Analysis, settings: Mapping[str, Any]) -> Any:
    """Return the graph of a piece as the settings want it."""
    return harmony_graph(piece, **settings.get("graph", {}))


def guesses(
    network: nn.Module, test: list[chords.Analysis], settings: Mapping[str, Any]
) -> NDArray[np.int64]:
    """Return a network's degrees, from 0, of all chords of some pieces."""
    found = read(network, [graph(piece, settings) for piece in test])
    return found["degree"].argmax(dim=1).numpy()


def without_network(
    model: str, train: NDArray[np.int64], test: NDArray[np.int64], *, fast: bool
) -> NDArray[np.int64]:
    """Return the degrees, from 0, that the commonest answer or boosted trees give.

    Raises
    ------
    ValueError
        If the model is unknown.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    learn = np.concatenate([pieces(fast)[i].chords["degree"] for i in train]).astype(int) - 1
    n_test = sum(len(pieces(fast)[i].chords) for i in test)
    if model == "majority":
        return np.full(n_test, np.bincount(learn).argmax())
    if model != "trees":
        raise ValueError(f"no model {model!r}; there are majority, trees, {', '.join(NETWORKS)}")
    seen, asked = (
        np.concatenate([tabulated(pieces(fast)[i]) for i in part]) for part in (train, test)
    )
    trees = HistGradientBoostingClassifier(
        max_iter=5 if fast else 150, learning_rate=0.1, max_leaf_nodes=15, random_state=0
    )
    return trees.fit(seen, learn).predict(asked)


def tabulated(piece: chords.Analysis) -> NDArray[np.float32]:
    """Return what the trees know of each chord, all of it relative to the chord's bass.

    Pitch classes of the chord and of the four before and after; the intervals to their basses and
    its own root; the profile of eight chords on either side and of the whole piece, weighted by
    duration; pitch classes and bass of the piece's last chord; the chord's duration and metrical
    place, and how far into the piece it is.
    """
    rows = piece.chords
    n = len(rows)
    bass, root = rows["bass"].astype(int), rows["root"].astype(int)
    sounding = rows["pitch_classes"].astype(np.float32)
    weighted = sounding * rows["duration_beat"].astype(np.float32)[:, None]
    here = np.arange(n)
    relative = (bass[:, None] + np.arange(12)) % 12  # (n, 12)
    parts = [np.take_along_axis(sounding, relative, 1), ((root - bass) % 12)[:, None]]
    for step in (*NEIGHBOURS, *(-s for s in NEIGHBOURS)):
        there = here + step
        inside = (there >= 0) & (there < n)
        there = np.clip(there, 0, n - 1)
        near = np.take_along_axis(sounding[there], relative, 1)
        interval = (bass[there] - bass) % 12
        parts += [np.where(inside[:, None], near, np.nan)]
        parts += [np.where(inside, interval, np.nan)[:, None]]
    sums = np.concatenate([np.zeros((1, 12), np.float32), weighted.cumsum(0)])
    window = sums[np.minimum(here + AROUND + 1, n)] - sums[np.maximum(here - AROUND, 0)]
    for profile in (window, np.broadcast_to(sums[-1], (n, 12)), np.tile(sounding[-1], (n, 1))):
        share = profile / np.maximum(profile.sum(1, keepdims=True), 1e-6)
        parts.append(np.take_along_axis(share, relative, 1))
    parts += [((bass[-1] - bass) % 12)[:, None], (here / n)[:, None]]
    parts.append(chord_features(rows, features=["time"]))
    return np.concatenate([np.asarray(part, np.float32) for part in parts], axis=1)


def macro_f1(truth: NDArray, prediction: NDArray) -> float:
    """Return the mean F1 of the seven degrees; one that is nowhere counts 0.

    As `mircourse.metrics.macro_f1` with all labels, fast enough for a bootstrap.
    """
    truth, prediction = np.asarray(truth, int) - 1, np.asarray(prediction, int) - 1
    right = np.bincount(truth[truth == prediction], minlength=N_DEGREES)
    both = np.bincount(truth, minlength=N_DEGREES) + np.bincount(prediction, minlength=N_DEGREES)
    return float(np.mean(2 * right / np.maximum(both, 1)))


def validate(settings: Mapping[str, Any], *, seed: int = 0, parts: int = INNER) -> dict[str, float]:
    """Score settings within the training pieces of the first fold; no test piece is touched.

    Parameters
    ----------
    settings : mapping
        See the module.
    seed : int
        As in `degrees`.
    parts : int
        How many of the three inner folds to score.

    Returns
    -------
    dict
        ``accuracy`` and ``macro_f1``, the mean over the parts.
    """
    found = []
    inner = inner_folds()
    for test in inner[:parts]:
        train = np.setdiff1d(np.concatenate(inner), test)
        truth = np.concatenate([pieces()[i].chords["degree"] for i in test]).astype(int)
        if settings["model"] in NETWORKS:
            key = {**settings, "train": train.tolist()}
            network, _ = trained(key, seed=seed, fast=False)
            guess = guesses(network, [pieces()[i] for i in test], settings)
        else:
            guess = without_network(settings["model"], train, test, fast=False)
        found.append((np.mean(truth == guess + 1), macro_f1(truth, guess + 1)))
    accuracy, f1 = np.mean(found, axis=0)
    return {"accuracy": float(accuracy), "macro_f1": float(f1)}


def keys(settings: Mapping[str, Any], *, seed: int, fast: bool) -> dict[str, Any]:
    """Find the local key of every chord; the parameters and what comes back are as of `degrees`."""
    all_pieces = pieces(fast)
    right: list[Any] = [None] * len(all_pieces)
    for fold, test in enumerate(folds(fast)):
        train = np.setdiff1d(np.arange(len(all_pieces)), test)
        key = {**settings, "train": train.tolist(), "fold": fold}
        network, _ = trained(key, seed=seed, fast=fast)
        for i in test:
            asked = graph(all_pieces[i], settings)
            found = read(network, [asked])["key"].argmax(dim=1)
            right[i] = (found == asked.y[:, 1]).to(torch.float64).numpy()
    return {
        "scores": np.concatenate(right),
        "groups": [piece.id for piece in all_pieces for _ in piece.chords],
    }
