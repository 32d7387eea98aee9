"""Networks that learned without labels, and what a probe reads off them.

Two *domains*: ``"instruments"``, the recorded notes of `mircourse.experiments.instruments`, and
``"dances"``, the rendered tunes of `mircourse.experiments.dances`. *Held out* says what is scored:
``"valid"`` is what settings were chosen on, ``"test"`` is scored once. A network sees what is not
held out, without labels; a share of it is labelled for the probe, at least one item a class.

Two views of a note are excerpts that play at different speeds, in noise, in a room, with parts of
the spectrum hidden. Two views of a tune are eight bars from anywhere in it, in one of three keys.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mircourse import recordings
from mircourse.augment import Crop, Noise, Pipeline, Room, SpecAugment, Speed
from mircourse.cnn import MusicCNN
from mircourse.contrastive import (
    SimCLR,
    Views,
    best_strength,
    embeddings,
    knn_probe,
    linear_probe,
)
from mircourse.experiments import dances, instruments, timbres
from mircourse.experiments.remembered import Trained, kept
from mircourse.experiments.runner import cache_dir

DOMAINS = ("instruments", "dances")
VERSION = 1  # of the views and the networks; raised when they change
RATE = 22050
HEARD = 1.25  # seconds of a note, as the supervised networks hear them
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
    "instruments": {"epochs": 30, "batch_size": 32, "lr": 0.002, "temperature": 0.2},
    "dances": {"epochs": 12, "batch_size": 64, "lr": 0.002, "temperature": 0.2},
}
PROJECTION = 64
KEYS = (0, -3, 4)  # semitones by which tunes are moved
FEATURES = ("simclr", "random", "mfcc", "musicnn")


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
        ``temperature``, ``negatives``; for notes ``without`` and ``strong``, or ``source``:
        "rendered" learns from the instruments of `mircourse.experiments.timbres` instead.
    domain, held_out : str
        See the module.
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
        if recipe.get("source") == "rendered":
            x: Any = timbres.spectrograms(arguments, seconds=HEARD, fast=fast)  # (N, K, F, T)
            views = timbres.PitchViews()
        elif domain == "instruments":
            some = {name: recipe[name] for name in ("without", "strong") if name in recipe}
            learn, _ = instruments.split(_task(domain, held_out))
            x = learn.audio(instruments.SECONDS)  # (N, n)
            views = note_views(model.encoder, **some)
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


# --------------------------------------------------------------------------------------- features


def features(
    name: str,
    *,
    domain: str,
    held_out: str,
    seed: int,
    fast: bool,
    settings: Mapping[str, Any] | None = None,
) -> tuple[dict[str, NDArray], float]:
    """Return a vector for each item of a domain by its id, and the seconds it took to learn.

    Parameters
    ----------
    name : str
        One of `FEATURES`.
    domain, held_out, seed, fast
        As in `pretrained`; "mfcc" and "musicnn" depend on the domain alone.
    settings : mapping, optional
        Of `pretrained`.

    Raises
    ------
    ValueError
        If the name is another.
    """
    seconds = 0.0
    if name in ("mfcc", "musicnn"):
        rows = _designed(name, domain=domain, fast=fast)
    elif name in ("simclr", "random"):
        if name == "simclr":
            model, seconds = pretrained(
                settings or {}, domain=domain, held_out=held_out, seed=seed, fast=fast
            )
        else:
            model = untrained(domain=domain, seed=seed)
        rows = embeddings(model, heard(domain, fast=fast))
    else:
        raise ValueError(f"features must be one of {FEATURES}, got {name!r}")
    return dict(zip(_ids(domain, fast=fast), rows, strict=True)), seconds


def probe(
    name: str,
    *,
    domain: str,
    held_out: str,
    fraction: float,
    seed: int,
    fast: bool,
    settings: Mapping[str, Any] | None = None,
    reader: str = "linear",
) -> dict[str, Any]:
    """Read the labels of held-out items off features, having been told a share of the others'.

    The regularisation of the linear probe is chosen on the valid split, with as large a share of
    the train split.

    Parameters
    ----------
    name, domain, held_out, seed, fast, settings
        As in `features`.
    fraction : float
        Share of the labels, in (0, 1].
    reader : {"linear", "k-NN"}

    Returns
    -------
    dict
        ``scores`` (1 where right), ``groups``, ``parameters`` of the probe, ``seconds``.
    """
    known, seconds = features(
        name, domain=domain, held_out=held_out, seed=seed, fast=fast, settings=settings
    )

    def vectors(items: Any) -> NDArray:
        return np.stack([known[item.id] for item in items])

    learn, score = labelled(domain, held_out, fraction=fraction, seed=seed, fast=fast)
    began = time.perf_counter()
    if reader == "k-NN":
        fitted, parameters = knn_probe(vectors(learn), _labels(domain, learn)), 0
    else:
        tune, check = labelled(domain, "valid", fraction=fraction, seed=seed, fast=fast)
        # Of all that is not held out, the labels of most untold.
        seen, _ = labelled(domain, held_out, fraction=1.0, seed=seed, fast=fast)
        unlabelled = vectors(seen)
        strength = best_strength(
            vectors(tune),
            _labels(domain, tune),
            held_out=(vectors(check), _labels(domain, check)),
            unlabelled=unlabelled,
        )
        fitted = linear_probe(
            vectors(learn), _labels(domain, learn), strength=strength, unlabelled=unlabelled
        )
        parameters = int(fitted[-1].coef_.size + fitted[-1].intercept_.size)
    right = fitted.predict(vectors(score)) == _labels(domain, score)
    return {
        "scores": right.astype(float).tolist(),
        "groups": _groups(domain, score),
        "parameters": parameters,
        "seconds": seconds + time.perf_counter() - began,
    }


# ------------------------------------------------------------------------------------------- data


def labelled(
    domain: str, held_out: str, *, fraction: float, seed: int, fast: bool
) -> tuple[Any, Any]:
    """Return the items whose labels are told, and those that are scored.

    Raises
    ------
    ValueError
        If the domain or what is held out is unknown, or the fraction out of range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got {fraction}")
    task = _task(domain, held_out)
    if domain == "instruments":
        return instruments.split(task, fraction=fraction, seed=seed)
    learn, score = _tunes(held_out, fast=fast)
    if fraction == 1:
        return learn, score
    rng = np.random.default_rng(seed)
    y = dances.labels(learn)
    chosen = [
        rng.permutation(np.flatnonzero(y == k))[: max(1, round(fraction * (y == k).sum()))]
        for k in np.unique(y)
    ]
    return [learn[i] for i in sorted(np.concatenate(chosen).tolist())], score


def tune_inputs(held_out: str, *, fast: bool) -> NDArray[np.float16]:
    """Return the spectrograms of the tunes to learn from, each in all `KEYS`: (N, K, F, T)."""
    learn, _ = _tunes(held_out, fast=fast)
    encoder = MusicCNN(**NETWORKS["dances"])
    return np.stack(
        [dances.spectrograms(encoder, [p.transpose(k) for p in learn]) for k in KEYS], axis=1
    )


def _task(domain: str, held_out: str) -> str:
    if domain not in DOMAINS or held_out not in ("valid", "test"):
        raise ValueError(
            f"expected a domain of {DOMAINS} and 'valid' or 'test' held out, got {domain!r} and "
            f"{held_out!r}"
        )
    return "valid" if held_out == "valid" else domain


def _tunes(held_out: str, *, fast: bool) -> tuple[list[Any], list[Any]]:
    learn, score = dances.divided(_task("dances", held_out))
    return (learn[::40], score[::10]) if fast else (learn, score)


def _all_tunes(fast: bool) -> list[Any]:
    found = {
        p.id: p for held in ("valid", "test") for some in _tunes(held, fast=fast) for p in some
    }
    return list(found.values())


def _ids(domain: str, *, fast: bool) -> list[str]:
    items = recordings.load() if domain == "instruments" else _all_tunes(fast)
    return [item.id for item in items]


def _labels(domain: str, items: Any) -> NDArray[np.int64]:
    return items.labels if domain == "instruments" else dances.labels(items)


def _groups(domain: str, items: Any) -> list[str]:
    if domain == "instruments":
        return [str(pitch) for pitch in items.pitches]
    return [piece.family for piece in items]


@functools.lru_cache(maxsize=4)
def heard(domain: str, *, fast: bool) -> NDArray[np.float32]:
    """Return what is embedded: spectrograms of all notes, 1.25 s each, or of all whole tunes."""
    encoder = MusicCNN(**NETWORKS[domain])
    if domain == "dances":
        return dances.spectrograms(encoder, _all_tunes(fast)).astype(np.float32)
    audio = torch.from_numpy(recordings.load().audio(HEARD))
    with torch.inference_mode():
        return torch.cat([encoder.spectrogram(part) for part in audio.split(64)]).numpy()


def _designed(name: str, *, domain: str, fast: bool) -> NDArray:
    memory = joblib.Memory(cache_dir() / "contrastive" / "features", verbose=0)
    return memory.cache(_compute)(name, domain=domain, fast=fast, version=VERSION)


def _compute(name: str, *, domain: str, fast: bool, version: int) -> NDArray:
    """Return MFCC statistics, or musicnn's pooled activations, of all items: (N, D)."""
    from mircourse.experiments.peers import musicnn
    from mircourse.features import mfcc_statistics

    if domain == "instruments":
        audio, rate = recordings.load().audio(HEARD), RATE
    else:
        pieces, rate = _all_tunes(fast), dances.SAMPLE_RATE
        audio = np.concatenate(
            [dances.audio(pieces[first : first + 32]) for first in range(0, len(pieces), 32)]
        )
    if name == "mfcc":
        return np.stack([mfcc_statistics(clip, sample_rate=rate) for clip in audio])
    model = musicnn.load()
    rows = []
    for clip in audio:
        found = musicnn.features(clip, sample_rate=rate, model=model)
        pooled = [found[kind].mean(axis=0) for kind in ("mean_pool", "max_pool")]  # 2 x (753,)
        rows.append(np.concatenate(pooled))
    return np.stack(rows)
