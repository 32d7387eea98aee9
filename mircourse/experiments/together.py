"""Instrument and pitch of a note, learned by one network or by two.

The notes and their splits are those of `mircourse.experiments.instruments`. A pitch of the test
split is in no training note as it was recorded; repitched by up to two semitones, with its label
moved along, a neighbour takes its place. So the one task is told to ignore what the other is about.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mircourse.experiments import instruments
from mircourse.experiments.remembered import Trained, kept
from mircourse.recordings import Recordings
from mircourse.tasks import Task

TASKS = ("instruments", "pitches")
LOWEST, PITCHES = 21, 88  # as on a piano; the recorded notes lie within, repitched too
INSTRUMENTS = 19
SIZES = (INSTRUMENTS, PITCHES)
RECIPE: dict[str, Any] = {"arguments": {"width": 0.125}, "epochs": 8, "lr": 0.005, "batch_size": 32}
SECONDS = 1.25


class TwoAnswers(Task):
    """Cross-entropy of the instrument and of the pitch, weighted, of one network's logits.

    Parameters
    ----------
    model : nn.Module
        Of logits (B, 19 + 88): those of the instruments, then those of the pitches.
    weights : (float, float)
        Of the two parts; 0 leaves one out.
    **settings
        As `mircourse.tasks.Task` takes them.
    """

    def __init__(self, model: nn.Module, *, weights: tuple[float, float], **settings: Any) -> None:
        super().__init__(model, **settings)
        self.weights = weights

    def settings(self) -> dict[str, Any]:
        """Return what a checkpoint must agree on to be resumed."""
        return super().settings() | {"weights": list(self.weights)}

    def terms(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted loss times the number of notes, and that number."""
        parts = torch.stack(list(losses(logits, target).values()))  # (2,)
        total = parts @ parts.new_tensor(self.weights)
        return total * len(target), logits.new_tensor(float(len(target)))

    def counts(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return right answers to each question, and notes."""
        right = [
            (one.argmax(dim=1) == wanted).sum()
            for one, wanted in zip(logits.split(SIZES, dim=1), target.unbind(dim=1), strict=True)
        ]
        return torch.stack([*right, right[0].new_tensor(len(target))])

    def summary(self, counts: Tensor) -> dict[str, float]:
        """Return the accuracy of each answer."""
        *right, items = counts.tolist()
        return {name: r / items for name, r in zip(TASKS, right, strict=True)}


def losses(logits: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return the two mean cross-entropies, of logits (B, 107) and targets (B, 2)."""
    parts = zip(TASKS, logits.split(SIZES, dim=1), target.unbind(dim=1), strict=True)
    return {name: functional.cross_entropy(one, y, label_smoothing=0.1) for name, one, y in parts}


def targets(notes: Recordings, *, shift: int = 0) -> NDArray[np.int64]:
    """Return instrument and pitch of notes, (N, 2); the pitch `shift` semitones higher.

    Raises
    ------
    ValueError
        If a pitch is beyond a piano's keys.
    """
    pitch = notes.pitches + shift - LOWEST
    if len(pitch) and not 0 <= pitch.min() <= pitch.max() < PITCHES:
        raise ValueError(f"pitches from {pitch.min() + LOWEST} to {pitch.max() + LOWEST}")
    return np.stack([notes.labels, pitch], axis=1).astype(np.int64)


def network(
    settings: Mapping[str, Any], *, split: str, seed: int, fast: bool
) -> tuple[nn.Module, float]:
    """Return a network trained for one or both answers, and the seconds; kept in the cache.

    Parameters
    ----------
    settings : mapping
        ``weights`` of the two answers; ``share`` of the recipe's epochs; ``fraction`` of the notes.
    split : str
        A task of `instruments.split`.
    seed : int
        Of weights, order and what the fraction keeps.
    fast : bool
        One epoch of unmoved notes.
    """
    recipe = {**RECIPE, **settings}

    def train(folder: Path) -> Trained:
        from mircourse import training

        fraction = recipe.get("fraction", 1.0)
        learn, _ = instruments.split(split, fraction=fraction, seed=seed)
        model = untrained(seed)
        shifts = (0,) if fast else instruments.SHIFTS
        x = np.concatenate([inputs(model, learn, shift=shift) for shift in shifts])
        y = np.concatenate([targets(learn, shift=shift) for shift in shifts])
        epochs = recipe["epochs"] * recipe.get("share", 1.0) / fraction**0.5
        began = time.perf_counter()
        training.fit(
            TwoAnswers(model, weights=tuple(recipe["weights"]), lr=recipe["lr"]),
            (x, y),
            epochs=1 if fast else max(1, round(epochs)),
            batch_size=recipe["batch_size"],
            seed=seed,
            checkpoint_dir=folder,
        )
        return Trained(model, _arguments(), time.perf_counter() - began)

    return kept("together", {**recipe, "split": split, "seed": seed, "fast": fast}, train)


def answered(
    settings: Mapping[str, Any], *, task: str, split: str, seed: int, fast: bool
) -> dict[str, Any]:
    """Score a network's answer to one question, on the notes that are held out.

    Parameters
    ----------
    settings, split, seed, fast
        As `network` takes them, but for the ``weights``; ``together`` says whether the network
        learned both answers or the one that is asked.
    task : {"instruments", "pitches"}
        What is asked.

    Raises
    ------
    ValueError
        If the task is another.
    """
    from mircourse import training

    column = TASKS.index(task)
    options = {name: value for name, value in settings.items() if name != "together"}
    alone = [float(k == column) for k in range(len(TASKS))]
    weights = [1.0, 1.0] if settings["together"] else alone
    model, seconds = network(options | {"weights": weights}, split=split, seed=seed, fast=fast)
    _, score = instruments.split(split)
    logits = torch.from_numpy(training.predict(model, inputs(model, score)))
    found = logits.split(SIZES, dim=1)[column].argmax(dim=1).numpy()
    return {
        "scores": (found == targets(score)[:, column]).astype(float).tolist(),
        "groups": [str(pitch) for pitch in score.pitches],
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
    }


def untrained(seed: int) -> nn.Module:
    """Return the network as it is before training."""
    from mircourse import training
    from mircourse.cnn import MusicCNN

    training.seed_everything(seed)
    model = MusicCNN(**_arguments())
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def inputs(model: Any, notes: Recordings, *, shift: int = 0) -> NDArray[np.float32]:
    """Return the first 1.25 s of notes as the network's own spectrograms, (N, F, T)."""
    made = instruments.inputs(model, notes, shift=shift)
    return instruments.heard(made, {"seconds": SECONDS})


def _arguments() -> dict[str, Any]:
    return {"n_classes": sum(SIZES), "hop_length": instruments.HOP, **RECIPE["arguments"]}
