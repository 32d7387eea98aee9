"""What each augmentation is worth: a network trained with one of them, or with none.

Domains, shares and what is held out are those of `mircourse.experiments.fewlabels`. Every network
takes as many steps, and each of its batches is changed anew, so that no two are alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mircourse.augment import (
    Augmentation,
    Crop,
    Gain,
    MixUp,
    Noise,
    Pipeline,
    PitchShift,
    Room,
    SpecAugment,
    Speed,
    Sum,
    TimeStretch,
)
from mircourse.cnn import MusicCNN
from mircourse.experiments import dances, fewlabels, instruments, selfsupervised
from mircourse.experiments.runner import cache_dir

RECIPES: dict[str, dict[str, Any]] = {
    "instruments": {"epochs": 30, "lr": 0.005, "batch_size": 32},
    "dances": {"epochs": 12, "lr": 0.004, "batch_size": 32},
}
RATES = {"instruments": selfsupervised.RATE, "dances": dances.SAMPLE_RATE}
# Seconds that a network hears in training, and what is changed first: what is played a quarter
# faster, or four semitones up, still fills what is heard.
HEARD = {
    "instruments": selfsupervised.HEARD,
    "dances": dances.EXCERPT * dances.FRONT_END["hop_length"] / dances.SAMPLE_RATE,
}
SLACK = 1.26
CHANGES: dict[str, tuple[Augmentation, ...]] = {
    "nothing": (),
    "gain": (Gain(decibels=(-12.0, 6.0)),),
    "noise": (Noise(snr=(10.0, 40.0)),),
    "room": (Room(),),
    "pitch shift": (PitchShift(semitones=(-2, 2)),),
    "time stretch": (TimeStretch(rate=(0.8, 1.25)),),
    "speed": (Speed(semitones=(-2, 2)),),
    "mixing": (MixUp(alpha=0.4),),
    "sums": (Sum(p=0.5),),
    "masks": (),
    "keys": (),
    "far too much": (Speed(semitones=(-12, 12)), Noise(snr=(-5.0, 5.0))),
}
MASKS = {
    "instruments": SpecAugment(bands=16, frames=6),
    "dances": SpecAugment(bands=6, frames=20),
}


def train(
    change: str,
    *,
    domain: str,
    fraction: float,
    seed: int,
    fast: bool,
    held_out: str = "test",
) -> dict[str, Any]:
    """Train a `MusicCNN` with one augmentation and score it on what is as it was recorded.

    Parameters
    ----------
    change : str
        A key of `CHANGES`; "keys", for the dances, plays each tune in one of three keys.
    domain, held_out : str
        As in `mircourse.experiments.fewlabels`.
    fraction : float
        Share of the labels, in (0, 1].
    seed : int
        Of the weights, the order, what is labelled and the changes.
    fast : bool
        One epoch.

    Returns
    -------
    dict
        ``scores`` (1 where right), ``groups``, ``parameters``, ``seconds``.

    Raises
    ------
    ValueError
        If the change is unknown, or "keys" is asked of recorded notes, which have none.
    """
    from mircourse import training

    learn, score = fewlabels.labelled(domain, held_out, fraction=fraction, seed=seed, fast=fast)
    audio = sound(domain, learn, keys=change == "keys", fast=fast)  # (N, K, n)
    training.seed_everything(seed)
    model = MusicCNN(**selfsupervised.NETWORKS[domain] | {"dropout": 0.5})
    recipe = RECIPES[domain]
    began = time.perf_counter()
    training.fit(
        training.ClassificationTask(model, lr=recipe["lr"], label_smoothing=0.1),
        (audio, fewlabels.labels(domain, learn)),
        # Few items are heard more often, though not so often that the steps are as many.
        epochs=1 if fast else round(recipe["epochs"] / fraction**0.5),
        batch_size=recipe["batch_size"],
        seed=seed,
        batch_transform=changed(change, domain, model),
    )
    seconds = time.perf_counter() - began
    every = fewlabels.ids(domain, fast=fast)
    rows = [every.index(item.id) for item in score]
    logits = training.predict(model, selfsupervised.heard(domain, fast=fast)[rows])
    right = logits.argmax(axis=1) == fewlabels.labels(domain, score)
    return {
        "scores": right.astype(float).tolist(),
        "groups": fewlabels.groups(domain, score),
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "seconds": seconds,
    }


def changed(
    change: str, domain: str, model: MusicCNN
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return what makes spectrograms (B, F, T) and shares (B, classes) of a batch of waveforms.

    Waveforms are (B, K, n): one of the K keys is drawn, then an excerpt, then the change.

    Raises
    ------
    ValueError
        If the change or the domain is unknown.
    """
    if change not in CHANGES or domain not in fewlabels.DOMAINS:
        raise ValueError(f"no change {change!r} of {domain!r}; there are {', '.join(CHANGES)}")
    # A note is heard from its beginning, a tune from anywhere in it.
    latest = 0.0 if domain == "instruments" else None
    pipeline = Pipeline(
        Crop(seconds=SLACK * HEARD[domain], latest=latest),
        *CHANGES[change],
        Crop(seconds=HEARD[domain], latest=0.0),
    )
    n_classes = int(selfsupervised.NETWORKS[domain]["n_classes"])
    moved = pipeline.batch_transform(sample_rate=RATES[domain], n_classes=n_classes)

    def transform(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        key = torch.randint(x.shape[1], (len(x),))
        one = x[torch.arange(len(x)), key].float()  # (B, K, n) -> (B, n)
        with torch.no_grad():
            heard, shares = moved(one, y)
            spectrograms = model.spectrogram(heard)  # (B, n) -> (B, F, T)
        return MASKS[domain](spectrograms) if change == "masks" else spectrograms, shares

    return transform


def sound(domain: str, items: Any, *, keys: bool, fast: bool) -> NDArray[np.floating]:
    """Return the waveforms of items, (N, K, n): as they are, K = 1, or in three keys."""
    if domain == "instruments":
        if keys:
            raise ValueError("recorded notes have no key to be moved; shift their pitch")
        return items.audio(instruments.SECONDS)[:, None]
    every = fewlabels.ids(domain, fast=fast)
    rows = [every.index(item.id) for item in items]
    shifts = selfsupervised.KEYS if keys else (0,)
    return np.stack([_played(shift, fast)[rows] for shift in shifts], axis=1)


def _played(shift: int, fast: bool) -> NDArray[np.float16]:
    memory = joblib.Memory(cache_dir() / "augmenting", mmap_mode="r", verbose=0)
    return memory.cache(_play)(shift, fast=fast, version=selfsupervised.VERSION)


def _play(shift: int, *, fast: bool, version: int) -> NDArray[np.float16]:
    """Return all tunes, moved by `shift` semitones, as audio: (N, samples)."""
    tunes = [piece.transpose(shift) for piece in fewlabels.all_tunes(fast)]
    parts = [dances.audio(tunes[k : k + 32]).astype(np.float16) for k in range(0, len(tunes), 32)]
    return np.concatenate(parts)
