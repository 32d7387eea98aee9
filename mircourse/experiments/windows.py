"""Style of 32 quarters of music: which of seven collections they are from, five folds by work.

A window is a graph of notes (`mircourse.notegraph`). Of each collection at most 400 windows count,
spread over its works: the largest collection then has a fifth of all. What a model is, and how it
learns, is a mapping of settings:

============= ===================================================================================
``model``     ``"majority"``, ``"counts"`` (logistic regression) or ``"gnn"``
``counted``   what the regression counts: ``"notes"``, or ``"edges"`` as well
``arguments`` of `mircourse.chordgnn.ChordProgressionGNN`, besides the sizes
``edges``     whether the graph has edges
``epochs``    and ``batch_size``, ``lr``
============= ===================================================================================
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mircourse import scores
from mircourse.chordgnn import ChordProgressionGNN
from mircourse.experiments.remembered import Trained, kept, remembered
from mircourse.notegraph import N_FEATURES, NOTE_EDGE_TYPES, build_note_graph
from mircourse.tasks import ClassificationTask
from mircourse.training import fit, seed_everything

VERSION = 1
COLLECTIONS = ("bach", "beethoven", "haydn", "monteverdi", "mozart", "schumann", "trecento")
QUARTERS = 32
MOST = 400  # windows of a collection
FOLDS = 5
FAST_WINDOWS = 6  # of a collection
STRENGTH = 0.1  # inverse regularisation of the logistic regression
_DURATIONS = (0.25, 0.375, 0.5, 0.75, 1, 1.5, 2, 3, 4)
_INTERVALS = 25  # -12 to 12 semitones; larger ones count as octaves


class Window:
    """Some quarters of a piece.

    Attributes
    ----------
    notes : numpy.ndarray
        Onsets from 0.
    label : int
        An index of `COLLECTIONS`.
    work : str
        Movements of one work, and pieces of one melody family, share it.
    """

    def __init__(self, notes: NDArray[Any], label: int, work: str) -> None:
        self.notes = notes
        self.label = label
        self.work = work


@functools.cache
def windows(fast: bool = False) -> tuple[Window, ...]:
    """Return the windows, collection by collection; those with notes, and whole ones alone."""
    found = []
    for label, name in enumerate(COLLECTIONS):
        cut = [
            (round_, number, piece, start)
            for number, piece in enumerate(scores.load(name))
            for round_, start in enumerate(
                np.arange(0, piece.duration_beat - QUARTERS + 1e-6, QUARTERS)
            )
        ]
        # The first window of every piece, then the second of every piece that has one.
        cut.sort(key=lambda item: item[:2])
        for _, _, piece, start in cut[: FAST_WINDOWS if fast else MOST]:
            notes = piece.excerpt(start, start + QUARTERS).notes
            if len(notes):
                work = re.sub(r"-movement.*", "", piece.family or piece.id)
                found.append(Window(notes, label, work))
    return tuple(found)


@functools.cache
def folds(fast: bool = False) -> tuple[NDArray[np.int64], ...]:
    """Return the numbers of the test windows of each fold."""
    from sklearn.model_selection import StratifiedGroupKFold

    label = [window.label for window in windows(fast)]
    split = StratifiedGroupKFold(2 if fast else FOLDS, shuffle=True, random_state=0)
    work = [window.work for window in windows(fast)]
    return tuple(test for _, test in split.split(label, label, work))


def styles(settings: Mapping[str, Any], *, seed: int, fast: bool) -> dict[str, Any]:
    """Name the collection of every window, by what has not seen its work.

    Parameters
    ----------
    settings : mapping
        See the module.
    seed : int
        Decides initial weights, order, dropout and keys.
    fast : bool
        Two folds of some windows, one epoch.

    Returns
    -------
    dict
        ``scores``, ``truth``, ``prediction``, ``groups`` (works), ``parameters``, ``seconds``.
    """
    began = time.perf_counter()
    truth = np.array([window.label for window in windows(fast)])
    prediction = np.zeros_like(truth)
    parameters, seconds = 0, 0.0
    for test in folds(fast):
        train = np.setdiff1d(np.arange(len(truth)), test)
        if settings["model"] == "gnn":
            network, spent = trained({**settings, "learn": train.tolist()}, seed=seed, fast=fast)
            seconds += spent
            parameters = sum(p.numel() for p in network.parameters())
            prediction[test] = guesses(network, test, settings, fast=fast)
        else:
            prediction[test] = without_network(settings, train, test, fast=fast)
    return {
        "scores": (truth == prediction).astype(float),
        "truth": truth,
        "prediction": prediction,
        "groups": [window.work for window in windows(fast)],
        "parameters": parameters,
        "seconds": seconds or time.perf_counter() - began,
    }


class GraphTask(ClassificationTask):
    """One class for each graph of a batch."""

    def forward(self, x: Any) -> Any:
        """Return the logits of a batch of graphs."""
        return self.model(x.x, x.edge_index, x.batch, edge_type=x.edge_type)


@remembered
def trained(settings: Mapping[str, Any], *, seed: int, fast: bool) -> tuple[nn.Module, float]:
    """Return a network and the seconds of its training; kept in the cache folder.

    Besides what the module says, the settings have ``learn``, the numbers of the windows.
    """
    settings = dict(settings) | ({"epochs": 1} if fast else {})
    arguments = {
        "node_features": N_FEATURES,
        "n_classes": len(COLLECTIONS),
        "n_edge_types": len(NOTE_EDGE_TYPES),
        **settings["arguments"],
    }

    def train(folder: Path) -> Trained:
        seed_everything(seed)
        model = ChordProgressionGNN(**arguments)
        result = fit(
            GraphTask(model, lr=settings["lr"]),
            batches(settings["learn"], settings, fast=fast, train=True),
            epochs=settings["epochs"],
            seed=seed,
            gradient_clip=1.0,
            checkpoint_dir=folder,
        )
        return Trained(model, arguments, result.seconds)

    return kept("windows", [VERSION, settings, seed, fast], train)


def batches(
    some: Sequence[int] | NDArray[np.int64], settings: Mapping[str, Any], *, fast: bool, train: bool
) -> torch.utils.data.DataLoader:
    """Return batches of graphs and labels; for training shuffled, each in a key of its own."""
    from torch_geometric.data import Batch

    made = graphs(fast)
    data = [(made[i], windows(fast)[i].label) for i in some]

    def collate(items: list[Any]) -> tuple[Any, torch.Tensor]:
        several = []
        for graph, _ in items:
            moved = graph.clone()
            if train:
                by = int(torch.randint(12, ()))
                moved.x = torch.cat([graph.x[:, :12].roll(by, 1), graph.x[:, 12:]], dim=1)
            if not settings["edges"]:
                moved.edge_index = graph.edge_index[:, :0]
                moved.edge_type = graph.edge_type[:0]
            several.append(moved)
        return Batch.from_data_list(several), torch.tensor([label for _, label in items])

    return torch.utils.data.DataLoader(
        data,  # type: ignore[arg-type]
        batch_size=settings["batch_size"],
        shuffle=train,
        collate_fn=collate,
    )


@functools.cache
def graphs(fast: bool = False) -> tuple[Any, ...]:
    """Return the graphs of all windows."""
    return tuple(build_note_graph(window.notes) for window in windows(fast))


@torch.no_grad()
def guesses(
    network: nn.Module, test: NDArray[np.int64], settings: Mapping[str, Any], *, fast: bool
) -> NDArray[np.int64]:
    """Return a network's label of each of some windows."""
    task = GraphTask(network).eval()
    parts = [task(x).argmax(dim=1) for x, _ in batches(test, settings, fast=fast, train=False)]
    return torch.cat(parts).numpy()


def without_network(
    settings: Mapping[str, Any], train: NDArray[np.int64], test: NDArray[np.int64], *, fast: bool
) -> NDArray[np.int64]:
    """Return the labels that the commonest answer or a logistic regression on counts gives."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    label = np.array([window.label for window in windows(fast)])
    if settings["model"] == "majority":
        return np.full(len(test), np.bincount(label[train]).argmax())
    x = counted(fast)
    if settings["counted"] == "notes":
        x = x[:, : _n_note_counts()]
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=2000))
    return regression.fit(x[train], label[train]).predict(x[test])


@functools.cache
def counted(fast: bool = False) -> NDArray[np.float64]:
    """Return what the regression counts of each window.

    Of the notes: pitch classes, loudest first (so that keys do not matter), octaves, durations,
    places in the quarter, how many notes. Of the edges: how many of each type a note has, and the
    intervals along those of the types onset, consecutive, during and rest.
    """
    rows = []
    for window, graph in zip(windows(fast), graphs(fast), strict=True):
        notes = window.notes
        n = len(notes)
        pitch = notes["pitch"].astype(int)
        classes = np.bincount(pitch % 12, minlength=12) / n
        onset = np.rint(notes["onset_beat"] % 1 * 12).astype(int) % 12
        parts: list[Any] = [
            np.roll(classes, -classes.argmax()),
            np.bincount(pitch // 12, minlength=11)[:11] / n,
            np.bincount(
                np.searchsorted(_DURATIONS, notes["duration_beat"] - 1e-6),
                minlength=len(_DURATIONS) + 1,
            )
            / n,
            np.bincount(onset, minlength=12) / n,
            [np.log(n), notes["duration_beat"].sum() / QUARTERS],
        ]
        source, target = graph.edge_index.numpy()
        kind = graph.edge_type.numpy()
        interval = np.clip(pitch[target] - pitch[source], -12, 12) + 12
        for code in range(4):
            of_kind = interval[kind == code]
            parts.append(np.bincount(of_kind, minlength=_INTERVALS) / max(len(of_kind), 1))
            parts.append(np.array([len(of_kind) / n]))
        rows.append(np.concatenate(parts))
    return np.stack(rows)


def _n_note_counts() -> int:
    return 12 + 11 + len(_DURATIONS) + 1 + 12 + 2


def validate(settings: Mapping[str, Any], *, seed: int = 0) -> dict[str, float]:
    """Score settings on a third of the first fold's training works; no test window is touched.

    Parameters
    ----------
    settings : mapping
        See the module.
    seed : int
        As in `styles`.

    Returns
    -------
    dict
        ``accuracy`` and ``macro_f1``.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    from mircourse import metrics

    label = np.array([window.label for window in windows()])
    work = np.array([window.work for window in windows()])
    outer = np.setdiff1d(np.arange(len(label)), folds()[0])
    split = StratifiedGroupKFold(3, shuffle=True, random_state=0)
    train, test = next(split.split(outer, label[outer], work[outer]))
    train, test = outer[train], outer[test]
    if settings["model"] == "gnn":
        network, _ = trained({**settings, "learn": train.tolist()}, seed=seed, fast=False)
        found = guesses(network, test, settings, fast=False)
    else:
        found = without_network(settings, train, test, fast=False)
    return {
        "accuracy": metrics.accuracy(label[test], found),
        "macro_f1": metrics.macro_f1(label[test], found),
    }
