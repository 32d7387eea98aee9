"""Autoencoders of melodies, with and without a conductor: trained, kept, and how they reconstruct.

The melodies are duple tunes of Ryan, O'Neill and Aird in windows of 2 or 16 bars, in the keys they
stand in. Networks learn from all windows of the train split, begun every two or four bars; what
is scored is the first window of each tune of the test split. What a network is, and how it learns,
is a mapping of settings, chosen on the validation split:

============== =============================================================================
``arguments``  of `mircourse.hierarchicalvae.MelodyVAE`
``hop``        bars from one window of a tune to the next
``beta``       and ``annealing``, ``free_bits``, of `mircourse.vaetraining.VAETask`
``epochs``     and ``batch_size``, ``lr``
============== =============================================================================
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mircourse import melodybars
from mircourse.experiments.remembered import Trained, kept, remembered
from mircourse.hierarchicalvae import MelodyVAE, note_matches
from mircourse.melodybars import Window
from mircourse.training import fit, seed_everything
from mircourse.vaetraining import VAETask

VERSION = 2  # raised when data or training change: nothing kept is used again
FREE, FORCED = "as it writes", "teacher forcing"
FAST_TUNES = 8
_SHAPE = {"conductor_dim": 96, "bar_dim": 48, "encoder_dim": 96, "embedding": 16, "forget": 0.6}
_RECIPE = {"beta": 0.05, "annealing": 0.5, "free_bits": 0.0, "epochs": 8, "lr": 0.0015}
_LONG = {**_RECIPE, "hop": 4, "batch_size": 8}
_SHORT = {**_RECIPE, "hop": 2, "batch_size": 16}


def settings_of(bars: int, decoder: str) -> dict[str, Any]:
    """Return the settings of a network; both decoders have about as many weights.

    Parameters
    ----------
    bars : int
        2 or 16.
    decoder : {"hierarchical", "flat"}
    """
    hidden = {"hierarchical": {2: 96, 16: 96}, "flat": {2: 150, 16: 168}}[decoder][bars]
    arguments = {
        "bars": bars,
        "latent_dim": {2: 48, 16: 128}[bars],
        "hidden_dim": hidden,
        "decoder": decoder,
        **_SHAPE,
    }
    return {"arguments": arguments, **(_LONG if bars > 2 else _SHORT)}


# What the course ships.
SHIPPED = settings_of(16, "hierarchical")


@functools.cache
def windows(split: str, *, bars: int, hop: int | None, most: int | None) -> tuple[Window, ...]:
    """Return windows of the tunes of a split; the first of each where there is no hop.

    Parameters
    ----------
    split : {"train", "valid", "test"}
    bars : int
        In a window.
    hop : int, optional
        Bars from one to the next.
    most : int, optional
        Tunes; all of them unless given.
    """
    found = []
    for piece in melodybars.tunes(split)[:most]:
        parts = melodybars.windows(piece, bars=bars, hop=hop)
        found += parts if hop else parts[:1]
    return tuple(found)


def scored(bars: int, *, fast: bool, split: str = "test") -> tuple[Window, ...]:
    """Return the windows that are scored: the first of each tune."""
    return windows(split, bars=bars, hop=None, most=FAST_TUNES if fast else None)


def symbols(found: tuple[Window, ...]) -> torch.Tensor:
    """Return windows as one tensor, (N, bars * steps)."""
    return torch.from_numpy(np.stack([window.symbols for window in found]))


@remembered
def trained(settings: Mapping[str, Any], *, seed: int, fast: bool) -> tuple[MelodyVAE, float]:
    """Return a trained network and the seconds that its training took; kept in the cache folder.

    Parameters
    ----------
    settings : mapping
        See the module.
    seed : int
        Decides the initial weights, the order and what is hidden.
    fast : bool
        One epoch on a few tunes.
    """
    settings = dict(settings) | ({"epochs": 1} if fast else {})

    def train(folder: Path) -> Trained:
        arguments = settings["arguments"]
        most = FAST_TUNES if fast else None
        x = symbols(windows("train", bars=arguments["bars"], hop=settings["hop"], most=most))
        seed_everything(seed)
        model = MelodyVAE(**arguments)
        result = fit(
            VAETask(
                model,
                beta=settings["beta"],
                annealing=settings["annealing"],
                free_bits=settings["free_bits"],
                lr=settings["lr"],
            ),
            (x, x),
            epochs=settings["epochs"],
            batch_size=settings["batch_size"],
            seed=seed,
            gradient_clip=1.0,
            checkpoint_dir=folder,
        )
        return Trained(model, arguments, result.seconds)

    return kept("melodyvaes", [VERSION, settings, seed, fast], train)


def reconstruction(
    settings: Mapping[str, Any], *, how: str, seed: int, fast: bool, split: str = "test"
) -> dict[str, Any]:
    """Score a network by the notes that come back from the mean code of a melody.

    The score of a melody is the F-measure of its notes; a note is right if one begins in the same
    step with the same pitch.

    Parameters
    ----------
    settings : mapping
        See the module; or ``{"another tune": bars}``, for what one tune has of another.
    how : {"as it writes", "teacher forcing"}
        After the symbols that it wrote itself, or after the right ones.
    seed : int
    fast : bool
    split : {"test", "valid"}

    Returns
    -------
    dict
        ``scores``, ``groups`` (family), ``parameters``, ``seconds``.
    """
    another = settings.get("another tune")
    bars = another or settings["arguments"]["bars"]
    heard = scored(bars, fast=fast, split=split)
    x = symbols(heard)
    parameters, seconds = 0, 0.0
    if another:
        found = x.roll(len(x) // 2, dims=0)
    else:
        model, seconds = trained(settings, seed=seed, fast=fast)
        parameters = sum(p.numel() for p in model.parameters())
        found = reconstructed(model, x, how=how)
    return {
        "scores": f_measures(found, x).tolist(),
        "groups": [window.piece.family for window in heard],
        "parameters": parameters,
        "seconds": seconds,
    }


@torch.no_grad()
def reconstructed(model: MelodyVAE, x: torch.Tensor, *, how: str) -> torch.Tensor:
    """Return what comes back from the mean codes of melodies, (N, bars * steps).

    Raises
    ------
    ValueError
        If there is no such way.
    """
    if how not in (FREE, FORCED):
        raise ValueError(f"how must be {FREE!r} or {FORCED!r}, got {how!r}")
    parts = []
    for part in x.split(64):
        mu, _ = model.encode(part)
        parts.append(model.write(mu) if how == FREE else model.logits(mu, part).argmax(dim=-1))
    return torch.cat(parts)


def f_measures(found: torch.Tensor, x: torch.Tensor) -> NDArray[np.float64]:
    """Return the F-measure of the notes of each melody, (N,)."""
    right, said, there = note_matches(found, x).double().unbind(dim=-1)
    return (2 * right / (said + there).clamp(min=1)).numpy()
