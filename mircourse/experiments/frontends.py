"""Where learning begins: instruments from designed features, from log-mels and from waveforms.

The notes, their splits and what is augmented are those of `mircourse.experiments.instruments`. A
`MusicCNN` reads log-mels, a `SampleCNN` the waveform; both are kept once trained, for their
layers are looked into as well.
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
from torch import Tensor

from mircourse import recordings
from mircourse.augment import repitch
from mircourse.experiments import instruments
from mircourse.experiments.remembered import Trained, kept
from mircourse.recordings import Recordings

SMOOTHING = 0.1


def network(
    settings: Mapping[str, Any], *, task: str, seed: int, fast: bool
) -> tuple[torch.nn.Module, float]:
    """Return a trained network and the seconds that its training took; trained once.

    Parameters
    ----------
    settings : mapping
        As `instruments.train` takes them; ``model`` may be ``"SampleCNN"``, which has ``crop``,
        the seconds of a note that a step of its training hears.
    task, seed, fast
        As `instruments.train` takes them.
    """

    def train(folder: Path) -> Trained:
        if settings["model"] == "SampleCNN":
            return _from_waveforms(settings, task=task, seed=seed, fast=fast)
        model, seconds = instruments.trained(settings, task=task, seed=seed, fast=fast)
        arguments = {"n_classes": 19, "hop_length": instruments.HOP, **settings["arguments"]}
        return Trained(model, arguments, seconds)

    recipe = {**settings, "task": task, "seed": seed, "fast": fast}
    return kept("frontends", recipe, train)


def recognised(settings: Mapping[str, Any], *, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score a network, or with ``features`` in the settings a regression, on held-out pitches."""
    fraction = settings.get("fraction", 1.0)
    if "features" in settings:
        return instruments.linear(settings["features"], task=task, fraction=fraction, seed=seed)
    model, seconds = network(settings, task=task, seed=seed, fast=fast)
    if settings["model"] != "SampleCNN":
        return instruments.scored(model, settings, task=task) | {"seconds": seconds}
    from mircourse import training

    _, score = instruments.split(task)
    logits = training.predict(model, _audio(score, 0, settings["seconds"]), batch_size=16)
    found = instruments.outcome(score, logits.argmax(axis=1))
    parameters = sum(p.numel() for p in model.parameters())
    return found | {"parameters": parameters, "seconds": seconds}


def _from_waveforms(settings: Mapping[str, Any], *, task: str, seed: int, fast: bool) -> Trained:
    from mircourse import training
    from mircourse.samplecnn import SampleCNN

    fraction = settings.get("fraction", 1.0)
    learn, _ = instruments.split(task, fraction=fraction, seed=seed)
    shifts = (0,) if fast else instruments.SHIFTS
    seconds = 0.2 if fast else settings["seconds"]
    x = np.concatenate([_audio(learn, shift, seconds) for shift in shifts])  # (N, samples)
    training.seed_everything(seed)
    arguments = {"n_classes": 19, **settings["arguments"]}
    model = SampleCNN(**arguments)
    samples = round(min(seconds, settings["crop"]) * learn[0].sample_rate)
    began = time.perf_counter()
    training.fit(
        training.ClassificationTask(model, lr=settings["lr"], label_smoothing=SMOOTHING),
        (x, np.tile(learn.labels, len(shifts))),
        # As for the other networks: a part of the data is seen more often, though not so often
        # that the steps are as many.
        epochs=1 if fast else round(settings["epochs"] / fraction**0.5),
        batch_size=settings.get("batch_size", 32),
        seed=seed,
        batch_transform=functools.partial(cropped, samples=samples),
    )
    return Trained(model, arguments, time.perf_counter() - began)


def cropped(x: Tensor, y: Tensor, *, samples: int) -> tuple[Tensor, Tensor]:
    """Return as many samples of each waveform from a place of its own, drawn at random."""
    room = x.shape[1] - samples
    if room <= 0:
        return x, y
    start = torch.randint(room + 1, (len(x), 1))
    return x.gather(1, start + torch.arange(samples)), y  # (B, S) -> (B, samples)


@functools.lru_cache(maxsize=8)
def _repitched(shift: int) -> NDArray[np.float32]:
    notes = recordings.load()
    rate = notes[0].sample_rate
    audio = notes.audio(instruments.SECONDS)  # (N, samples)
    return np.stack([repitch(a, semitones=shift, sample_rate=rate) for a in audio])


def _audio(notes: Recordings, shift: int, seconds: float) -> NDArray[np.float32]:
    """Return the beginning of notes, repitched: ``(N, samples)``."""
    position = {note.id: k for k, note in enumerate(recordings.load())}
    samples = round(seconds * notes[0].sample_rate)
    return _repitched(shift)[[position[note.id] for note in notes], :samples]
