"""The MusicVAE on bars of chorales: what a bar costs at each beta, and what single numbers mean.

A bar is eight frames of 88 keys. Networks learn from the chorales of the train split, each bar in
another key each time, and are scored on the test split, in keys that are drawn once for all.
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

from mircourse import choralerolls, latent
from mircourse.choralegrid import REST
from mircourse.choralerolls import FRAMES, KEYS, Bar
from mircourse.disentanglement import binned, information_of
from mircourse.experiments.remembered import Trained, kept, remembered
from mircourse.musicvae import MusicVAE
from mircourse.training import fit, seed_everything
from mircourse.vaetraining import VAETask

VERSION = 1  # raised when data or training change: nothing kept is used again
ELBO, WEIGHTED = "minus the ELBO", "minus the importance-weighted bound"
RATE, DISTORTION = "rate", "distortion"
COSTS = (ELBO, WEIGHTED, RATE, DISTORTION)
FACTORS = ("density", "register", "width", "direction", "mode")
DRAWS, FAST_DRAWS = 128, 4
ROOM = 6  # semitones by which bars are moved, up or down
FAST_BARS = 24
ARGUMENTS: dict[str, Any] = {
    "input_dim": FRAMES * KEYS,
    "latent_dim": 24,
    "hidden_dim": 256,
}
RECIPE = {"epochs": 160, "batch_size": 64, "lr": 0.002, "annealing": 0.6}


@functools.cache
def data(split: str, fast: bool) -> tuple[tuple[Bar, ...], NDArray[np.float32]]:
    """Return the bars of a split and their rolls in keys drawn once for all, (N, 704)."""
    found = choralerolls.bars(split)[: FAST_BARS if fast else None]
    rolls = np.stack([bar.roll for bar in found])
    keys = np.random.default_rng(0).integers(-ROOM, ROOM, len(found))
    return found, choralerolls.moved(rolls, keys).reshape(len(found), -1)


class Moving:
    """Move each bar of a batch to another key; the ``batch_transform`` of `fit`."""

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the bars (B, 704) in other keys, as inputs and as targets."""
        by = torch.randint(-ROOM, ROOM, (len(x), 1, 1), device=x.device)
        keys = torch.arange(KEYS, device=x.device) - by  # (B, 1, 88): where each key comes from
        there = (keys >= 0) & (keys < KEYS)
        rolls = x.view(len(x), FRAMES, KEYS)
        moved = rolls.gather(2, keys.clamp(0, KEYS - 1).expand_as(rolls)) * there
        return (flat := moved.flatten(1)), flat


@remembered
def trained(settings: Mapping[str, Any], *, seed: int, fast: bool) -> tuple[MusicVAE, float]:
    """Return a trained network and the seconds that its training took; kept in the cache folder.

    Parameters
    ----------
    settings : mapping
        ``beta``.
    seed : int
        Decides the initial weights, the order and the keys.
    fast : bool
        One epoch on a few bars.
    """
    recipe = {**RECIPE, **settings} | ({"epochs": 1} if fast else {})

    def train(folder: Path) -> Trained:
        found = choralerolls.bars("train")[: FAST_BARS if fast else None]
        x = np.stack([bar.roll for bar in found]).reshape(len(found), -1)
        seed_everything(seed)
        model = MusicVAE(**ARGUMENTS)
        task = VAETask(model, beta=recipe["beta"], annealing=recipe["annealing"], lr=recipe["lr"])
        result = fit(
            task,
            (x, x),
            epochs=recipe["epochs"],
            batch_size=recipe["batch_size"],
            seed=seed,
            batch_transform=Moving(),
            checkpoint_dir=folder,
        )
        return Trained(model, ARGUMENTS, result.seconds)

    return kept("rollvaes", [VERSION, ARGUMENTS, recipe, seed, fast], train)


def cost(settings: Mapping[str, Any], *, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score a network by what a held-out bar costs, in nats.

    Parameters
    ----------
    settings : mapping
        ``beta``; or ``{"model": "frequencies"}``, how often each key is down in each frame.
    task : str
        One of `COSTS`.
    seed : int
    fast : bool

    Returns
    -------
    dict
        ``scores``, ``groups`` (family), ``parameters``, ``seconds``.
    """
    bars, _ = data("test", fast)
    began = time.perf_counter()
    if settings.get("model") == "frequencies":
        scores, parameters = _frequencies(fast), FRAMES * KEYS
        seconds = time.perf_counter() - began
    else:
        model, seconds = trained(settings, seed=seed, fast=fast)
        parameters = sum(p.numel() for p in model.parameters())
        scores = _costs(settings["beta"], seed, fast)[task]
    return {
        "scores": scores.tolist(),
        "groups": [bar.family for bar in bars],
        "parameters": parameters,
        "seconds": seconds,
    }


@functools.lru_cache(maxsize=1)  # one task after another is asked for
def _costs(beta: float, seed: int, fast: bool) -> dict[str, NDArray[np.float64]]:
    model, _ = trained({"beta": beta}, seed=seed, fast=fast)
    x = torch.from_numpy(data("test", fast)[1])
    found = latent.bounds(model, x, samples=FAST_DRAWS if fast else DRAWS)
    return {
        ELBO: -found["elbo"].numpy(),
        WEIGHTED: -found["iwae"].numpy(),
        RATE: found["rate"].numpy(),
        DISTORTION: found["distortion"].numpy(),
    }


def _frequencies(fast: bool) -> NDArray[np.float64]:
    learn, x = data("train", fast)[1], data("test", fast)[1]
    p = (learn.sum(axis=0) + 0.5) / (len(learn) + 1)
    return -(x * np.log(p) + (1 - x) * np.log1p(-p)).sum(axis=1)


# --------------------------------------------------------------------------------------- factors


def factors(bar: Bar, *, key: int = 0) -> list[float]:
    """Return what a bar is like, in the order of `FACTORS`.

    Changes of pitch in all voices; the mean pitch; semitones from bass to soprano, in the mean;
    how far the soprano goes up from the first frame to the last; 1 for minor.

    Parameters
    ----------
    bar : Bar
    key : int
        Semitones by which it is moved.
    """
    grid = bar.grid.astype(float)
    grid[bar.grid == REST] = np.nan
    sings = ~np.isnan(grid)
    changes = float((bar.grid[1:] != bar.grid[:-1]).sum())
    both = sings[:, 0] & sings[:, -1]
    width = float((grid[both, 0] - grid[both, -1]).mean()) if both.any() else 0.0
    soprano = grid[sings[:, 0], 0]
    rise = float(soprano[-1] - soprano[0]) if len(soprano) else 0.0
    return [changes, float(grid[sings].mean()) + key, width, rise, float(bar.mode == "minor")]


def codes(settings: Mapping[str, Any], *, factor: str, seed: int, fast: bool) -> dict[str, Any]:
    """Return the codes of held-out bars and one factor, both in bins, for `gap`.

    Parameters
    ----------
    settings : mapping
        ``beta``, or ``{"model": "untrained"}``.
    factor : str
        One of `FACTORS`.
    seed : int
    fast : bool

    Returns
    -------
    dict
        ``truth`` (N,), ``prediction`` (N, D), ``groups`` (family), ``parameters``, ``seconds``.
    """
    bars, x = data("test", fast)
    if settings.get("model") == "untrained":
        seed_everything(seed)
        model, seconds = MusicVAE(**ARGUMENTS), 0.0
    else:
        model, seconds = trained(settings, seed=seed, fast=fast)
    with torch.no_grad():
        mu = model.encode(torch.from_numpy(x))[0].numpy()
    keys = np.random.default_rng(0).integers(-ROOM, ROOM, len(bars))
    values = [factors(bar, key=int(k)) for bar, k in zip(bars, keys, strict=True)]
    column = np.array(values)[:, FACTORS.index(factor)]
    return {
        "truth": binned(column).tolist(),
        "prediction": np.stack([binned(one) for one in mu.T], axis=1).tolist(),
        "groups": [bar.family for bar in bars],
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
    }


def gap(truth: NDArray, prediction: NDArray) -> float:
    """Return the mutual information gap of binned codes (N, D) and a binned factor (N,).

    0 where the factor is the same throughout, as it may be in a bootstrap sample.
    """
    if (truth == truth[0]).all():
        return 0.0
    told = np.sort(information_of(prediction, truth))
    return float(told[-1] - told[-2])
