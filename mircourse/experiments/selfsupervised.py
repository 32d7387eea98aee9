"""Networks that learned without labels.

*Domains* and what is *held out* are those of `mircourse.experiments.fewlabels`. A network sees what
is not held out, without labels; what it learned is read off by `mircourse.experiments.readouts`.

Two views of a timbre are two of its notes (`mircourse.experiments.timbres`), two views of a
recorded note that note twice; both are excerpts that play at different speeds, in noise, in a room,
with parts of the spectrum hidden. Two views of a tune are eight bars from anywhere in it, in one of
three keys.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mircourse import recordings
from mircourse.augment import Crop, Noise, Pipeline, Room, SpecAugment, Speed
from mircourse.cnn import MusicCNN
from mircourse.contrastive import SimCLR, Views
from mircourse.experiments import dances, fewlabels, instruments, timbres
from mircourse.experiments.remembered import Trained, kept

VERSION = 2  # of the views and the networks; raised when they change
RATE = 22050
HEARD = 1.25  # seconds of a note, as the supervised networks hear them
LONGEST = 2.2  # seconds that the views of a note are taken from
NETWORKS: dict[str, dict[str, Any]] = {
    "instruments": {"n_classes": 19, "hop_length": instruments.HOP, "width": 0.125, "dropout": 0.0},
    "dances": {
        "n_classes": len(dances.TYPES),
        "sample_rate": dances.SAMPLE_RATE,
        "width": 0.125,
        "dropout": 0.0,
        **dances.FRONT_END,
    },
}
RECIPES: dict[str, dict[str, Any]] = {
    "instruments": {
        "source": "rendered",
        "epochs": 150,
        "batch_size": 56,
        "lr": 0.002,
        "temperature": 0.2,
    },
    "dances": {"epochs": 12, "batch_size": 64, "lr": 0.002, "temperature": 0.2},
}
PROJECTION = 64
KEYS = (0, -3, 4)  # semitones by which tunes are moved


class ContrastiveCNN(SimCLR):
    """A `MusicCNN` with a projector, built from numbers, so that it can be kept in a file."""

    def __init__(self, projection_dim: int = PROJECTION, **arguments: Any) -> None:
        super().__init__(MusicCNN(**arguments), projection_dim)


# --------------------------------------------------------------------------------------- views


def note_views(encoder: Any, *, without: str = "", strong: bool = False) -> Views:
    """Return the views of notes, less one augmentation, or with all but the crop far stronger.

    Parameters
    ----------
    encoder : MusicCNN
        Its front end makes the spectrograms.
    without : str
        "Crop" (both views begin with the note), "Speed", "Noise", "Room" or "SpecAugment".
    strong : bool
        More than an instrument stands: seven semitones, noise as loud as the note, wet rooms.
    """
    semitones = (-7, 7) if strong else (-2, 2)
    # As long as the fastest view, which then fills what is heard of it.
    longest = HEARD * 2 ** (semitones[1] / 12)
    steps = [
        Crop(seconds=longest, latest=0.0 if without == "Crop" else 0.25),
        Speed(semitones=semitones),
        Noise(snr=(0.0, 10.0) if strong else (15.0, 40.0), p=0.5),
        Room(decibels=(-3.0, 6.0) if strong else (-20.0, -6.0), p=0.5),
    ]
    kept_steps = [s for s in steps if isinstance(s, Crop) or type(s).__name__ != without]
    masks = SpecAugment(bands=48, frames=14) if strong else SpecAugment(bands=16, frames=6)
    return Views(
        Pipeline(*kept_steps, Crop(seconds=HEARD, latest=0.0)),
        sample_rate=RATE,
        front_end=encoder.spectrogram,
        masks=None if without == "SpecAugment" else masks,
    )


class TuneViews:
    """Eight bars of a tune (K, F, T) in one of its K keys, from anywhere, with parts hidden."""

    def __init__(self) -> None:
        self.masks = SpecAugment(bands=6, frames=10)

    def __call__(self, x: Tensor) -> Tensor:
        """Return (B, F, EXCERPT) of the spectrograms (B, K, F, T) of tunes in K keys."""
        key = torch.randint(x.shape[1], (len(x),))
        cut, _ = dances.excerpts(x[torch.arange(len(x)), key].float(), key)
        return self.masks(cut)

    def __repr__(self) -> str:
        return f"TuneViews({self.masks!r})"


# -------------------------------------------------------------------------------------- learning


def pretrained(
    settings: Mapping[str, Any], *, domain: str, held_out: str, seed: int, fast: bool
) -> tuple[Any, float]:
    """Return a `ContrastiveCNN` that learned from views, and the seconds; kept in the cache.

    Parameters
    ----------
    settings : mapping
        What differs from the domain's `RECIPES`: ``epochs``, ``batch_size``, ``lr``,
        ``temperature``, ``negatives``; for instruments ``source``, "rendered" timbres or the
        "recorded" notes that are not held out, ``without`` and ``strong`` as in `note_views`.
        ``without`` "Pitch" makes two views of one rendered note.
    domain, held_out : str
        See `mircourse.experiments.fewlabels`.
    seed : int
        Of weights, order and views.
    fast : bool
        Two epochs on a few items.
    """
    recipe = RECIPES[domain] | dict(settings)
    if fast:
        recipe["epochs"] = 2
    everything = {"domain": domain, "held_out": held_out, "seed": seed, "fast": fast}

    def train(folder: Path) -> Trained:
        from mircourse import training
        from mircourse.contrastivetraining import ContrastiveTask

        training.seed_everything(seed)
        arguments = NETWORKS[domain]
        model: Any = ContrastiveCNN(**arguments)
        model = model.to(memory_format=torch.channels_last)
        began = time.perf_counter()
        views: Callable[[Tensor], Tensor]
        if domain == "instruments":
            some = {name: recipe[name] for name in ("without", "strong") if name in recipe}
            views = note_views(model.encoder, **some)
            if recipe["source"] == "rendered":
                x: Any = timbres.audio(seconds=LONGEST, sample_rate=RATE, fast=fast)  # (N, K, n)
                if recipe.get("without") == "Pitch":
                    x = x.reshape(-1, 1, x.shape[-1])  # (N, K, n) -> (N K, 1, n)
                views = timbres.TimbreViews(views)
            else:
                learn, _ = instruments.split(fewlabels.task_of(domain, held_out))
                x = learn.audio(LONGEST)  # (N, n)
        else:
            x = tune_inputs(held_out, fast=fast)  # (N, K, F, T)
            views = TuneViews()
        if fast:
            x = x[:: max(1, len(x) // 24)]
        task = ContrastiveTask(
            model,
            views=views,
            temperature=recipe["temperature"],
            negatives=recipe.get("negatives", True),
            lr=recipe["lr"],
        )
        training.fit(
            task,
            (x, np.zeros(len(x))),
            epochs=recipe["epochs"],
            batch_size=recipe["batch_size"],
            seed=seed,
            checkpoint_dir=folder,
        )
        return Trained(model, arguments, time.perf_counter() - began)

    key = {"version": VERSION, **everything, **recipe, "network": NETWORKS[domain]}
    return kept("contrastive", key, train)


def untrained(*, domain: str, seed: int) -> ContrastiveCNN:
    """Return a network as it is before training."""
    from mircourse import training

    training.seed_everything(seed)
    return ContrastiveCNN(**NETWORKS[domain]).eval()


def tune_inputs(held_out: str, *, fast: bool) -> NDArray[np.float16]:
    """Return the spectrograms of the tunes to learn from, each in all `KEYS`: (N, K, F, T)."""
    learn, _ = fewlabels.tunes(held_out, fast=fast)
    encoder = MusicCNN(**NETWORKS["dances"])
    return np.stack(
        [dances.spectrograms(encoder, [p.transpose(k) for p in learn]) for k in KEYS], axis=1
    )


@functools.lru_cache(maxsize=4)
def heard(domain: str, *, fast: bool) -> NDArray[np.float32]:
    """Return what is embedded: spectrograms of all notes, 1.25 s each, or of all whole tunes."""
    encoder = MusicCNN(**NETWORKS[domain])
    if domain == "dances":
        return dances.spectrograms(encoder, fewlabels.all_tunes(fast)).astype(np.float32)
    audio = torch.from_numpy(recordings.load().audio(HEARD))
    with torch.inference_mode():
        return torch.cat([encoder.spectrogram(part) for part in audio.split(64)]).numpy()
