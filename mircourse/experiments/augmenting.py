"""What each augmentation is worth: a network trained with one of them, or with none.

Domains, shares and what is held out are those of `mircourse.experiments.fewlabels`. Every network
takes as many steps. A change of which there are a few versions only, a shift by whole semitones for
example, is made once in all of them, and each time an item is met one is drawn; any other is made
anew for each batch. An excerpt of a tune is drawn anew either way.
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

from mircourse import recordings
from mircourse.augment import (
    Augmentation,
    Clips,
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
from mircourse.experiments import dances, fewlabels, selfsupervised
from mircourse.experiments.runner import cache_dir

RECIPES: dict[str, dict[str, Any]] = {
    "instruments": {"epochs": 30, "lr": 0.005, "batch_size": 32},
    "dances": {"epochs": 12, "lr": 0.004, "batch_size": 32},
}
VERSION = 1  # of the changed spectrograms; raised when they change
RATES = {"instruments": selfsupervised.RATE, "dances": dances.SAMPLE_RATE}
# Seconds that a network hears in training, and what is changed first: what is played a quarter
# faster, or four semitones up, still fills what is heard.
HEARD = {
    "instruments": selfsupervised.HEARD,
    "dances": dances.EXCERPT * dances.FRONT_END["hop_length"] / dances.SAMPLE_RATE,
}
SLACK = 1.26
TAPES = tuple(range(-2, 3))  # semitones
# Eight, evenly spaced in their logarithm, as `TimeStretch` draws them.
STRETCHES = tuple(np.geomspace(0.8, 1.25, 8).tolist())
# Each version, and how many times as fast it plays.
VERSIONS: dict[str, tuple[tuple[Augmentation, float], ...]] = {
    "pitch shift": tuple((PitchShift(semitones=(s, s)), 1.0) for s in TAPES),
    "time stretch": tuple((TimeStretch(rate=(rate, rate)), rate) for rate in STRETCHES),
    "speed": tuple((Speed(semitones=(s, s)), 2 ** (s / 12)) for s in TAPES),
}
# Without a version of their own: spectrograms as they are, or of the scores in several keys.
PLAIN = ("nothing", "masks", "keys")
DRAWN: dict[str, tuple[Augmentation, ...]] = {
    "gain": (Gain(decibels=(-12.0, 6.0)),),
    "noise": (Noise(snr=(10.0, 40.0)),),
    "room": (Room(),),
    "mixing": (MixUp(alpha=0.4),),
    "sums": (Sum(p=0.5),),
    "far too much": (Speed(semitones=(-12, 12)), Noise(snr=(-5.0, 5.0))),
}
CHANGES = (*PLAIN, *VERSIONS, *DRAWN)
MASKS = {
    "instruments": SpecAugment(bands=16, frames=6),
    "dances": SpecAugment(bands=6, frames=20),
}
Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


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
        One of `CHANGES`; "keys", for the dances, plays each tune in one of three keys.
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
    x = material(change, domain, learn, fast=fast)
    training.seed_everything(seed)
    model: Any = MusicCNN(**selfsupervised.NETWORKS[domain] | {"dropout": 0.5})
    # The faster layout for these sizes on a CPU; the arithmetic is the same.
    model = model.to(memory_format=torch.channels_last)
    recipe = RECIPES[domain]
    began = time.perf_counter()
    training.fit(
        training.ClassificationTask(model, lr=recipe["lr"], label_smoothing=0.1),
        (x, fewlabels.labels(domain, learn)),
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


def material(change: str, domain: str, items: Any, *, fast: bool) -> NDArray[np.floating]:
    """Return what `changed` changes: waveforms (N, n), or spectrograms by version (N, V, F, T).

    Raises
    ------
    ValueError
        If the change or the domain is unknown, or "keys" is asked of recorded notes, which have
        none.
    """
    if change not in CHANGES or domain not in fewlabels.DOMAINS:
        raise ValueError(f"no change {change!r} of {domain!r}; there are {', '.join(CHANGES)}")
    if change == "keys":
        if domain == "instruments":
            raise ValueError("recorded notes have no key to be moved; shift their pitch")
        model = MusicCNN(**selfsupervised.NETWORKS[domain])
        keys = [[p.transpose(k) for p in items] for k in selfsupervised.KEYS]
        return np.stack([dances.spectrograms(model, moved) for moved in keys], axis=1)
    every = fewlabels.ids(domain, fast=fast)
    rows = [every.index(item.id) for item in items]
    if change in DRAWN:
        return sound(domain, fast=fast)[rows]
    if change in VERSIONS:
        memory = joblib.Memory(cache_dir() / "augmenting", mmap_mode="r", verbose=0)
        return memory.cache(_versions)(change, domain, fast=fast, version=VERSION)[rows]
    return selfsupervised.heard(domain, fast=fast)[rows][:, None]


def sound(domain: str, *, fast: bool) -> NDArray[np.floating]:
    """Return the waveforms of all items, (N, n): notes a little longer than they are heard."""
    if domain == "instruments":
        return recordings.load().audio(SLACK * HEARD[domain])
    return fewlabels.tune_audio(fast=fast)


def changed(change: str, domain: str, model: MusicCNN) -> Transform:
    """Return what makes spectrograms to learn from of a batch of `material`, and their labels.

    Spectrograms are (B, F, T); labels become shares (B, classes) where clips are changed as sound.

    Raises
    ------
    ValueError
        If the change or the domain is unknown.
    """
    if change not in CHANGES or domain not in fewlabels.DOMAINS:
        raise ValueError(f"no change {change!r} of {domain!r}; there are {', '.join(CHANGES)}")
    hop = int(selfsupervised.NETWORKS[domain]["hop_length"])
    # A note is heard from its beginning, a tune from anywhere in it.
    anywhere = domain == "dances"
    frames = dances.EXCERPT if anywhere else 1 + round(HEARD[domain] * RATES[domain]) // hop
    rates = torch.tensor([rate for _, rate in VERSIONS.get(change, ((None, 1.0),))])

    def draw(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        version = torch.randint(x.shape[1], (len(x),))
        one = x[torch.arange(len(x)), version]  # (B, V, F, T) -> (B, F, T)
        # What is played faster is over sooner: silence follows.
        there = x.shape[3] / rates.expand(x.shape[1])[version].clamp(min=1)
        first = places(there, frames) if anywhere else torch.zeros(len(x), dtype=torch.long)
        cut = windows(one, first, frames)
        return MASKS[domain](cut) if change == "masks" else cut, y

    if change not in DRAWN:
        return draw
    steps = DRAWN[change]
    n_classes = int(selfsupervised.NETWORKS[domain]["n_classes"])
    moved = Pipeline(*steps, Crop(seconds=HEARD[domain], latest=0.0)).batch_transform(
        sample_rate=RATES[domain], n_classes=n_classes
    )
    slack = SLACK if any(isinstance(step, Speed) for step in steps) else 1.0
    n = round(slack * HEARD[domain] * RATES[domain])

    def make(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        room = torch.full((len(x),), float(x.shape[1] // hop))
        # In whole frames, as excerpts of spectrograms begin.
        first = (
            hop * places(room, -(-n // hop)) if anywhere else torch.zeros(len(x), dtype=torch.long)
        )
        with torch.no_grad():
            heard, shares = moved(windows(x, first, n), y)
            return model.spectrogram(heard)[:, :, :frames], shares  # (B, n) -> (B, F, T)

    return make


def places(there: Tensor, needed: int) -> Tensor:
    """Draw where excerpts of `needed` begin, (B,), in items of which so much is there, (B,)."""
    room = (there - needed).clamp(min=0).floor() + 1
    return (torch.rand(len(there)) * room).long()


def windows(x: Tensor, first: Tensor, n: int) -> Tensor:
    """Return `n` along the last axis of each item, from `first`: (B, ..., T) -> (B, ..., n)."""
    cut = [one[..., k : k + n] for one, k in zip(x, first.tolist(), strict=True)]
    return torch.stack(cut)


def _versions(change: str, domain: str, *, fast: bool, version: int) -> NDArray[np.float16]:
    """Return the spectrograms of all items, each in every version of a change: (N, V, F, T)."""
    model = MusicCNN(**selfsupervised.NETWORKS[domain])
    crop = Crop(seconds=HEARD[domain], latest=0.0)
    parts = []
    for audio in torch.from_numpy(np.array(sound(domain, fast=fast))).split(32):
        clips = Clips(audio.float(), RATES[domain])
        made = []
        for step, _ in VERSIONS[change]:
            one = step(clips)
            heard = crop(one) if domain == "instruments" else one
            with torch.inference_mode():
                made.append(model.spectrogram(heard.audio).half())  # (32, F, T)
        parts.append(torch.stack(made, dim=1))
    return torch.cat(parts).numpy()
