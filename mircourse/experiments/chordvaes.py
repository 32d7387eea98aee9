"""Autoencoders of single chords, and whether what they make of a random code is a chord.

Chords are quarters of chorales, all moved to C major or A minor. Each network draws a thousand
codes and decodes them to their four likeliest keys, for a chorale has four voices. What comes out
counts as a chord if some chorale of the train split has the very same keys.

What a network is, and how it learns, is a mapping of settings:

========== ======================================================================================
``noise``  whether codes are drawn from q(z | x), as in a variational autoencoder, or are its mean
``beta``   what a nat of the rate costs; it rises over most of the steps
``codes``  drawn from the "prior", or from a normal distribution "fitted" to the codes of the train
           split
========== ======================================================================================

Lesson: book/vae/musicvae
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mircourse import choralerolls
from mircourse.choralerolls import KEYS
from mircourse.experiments.remembered import remembered
from mircourse.musicvae import MusicVAE
from mircourse.training import seed_everything

DRAWS, FAST_DRAWS = 1000, 20
CHORD, NEW = "is a chord of the chorales", "was not drawn before"
TASKS = (CHORD, NEW)
ARGUMENTS: dict[str, Any] = {"input_dim": KEYS, "latent_dim": 16, "hidden_dim": 128}
STEPS, FAST_STEPS = 1500, 3
BATCH, RATE, ANNEALING = 64, 5e-3, 0.8
VOICES = 4


@functools.cache
def data(split: str) -> Tensor:
    """Return the chords of a split, (N, 88)."""
    return torch.from_numpy(choralerolls.chords(split))


@torch.no_grad()
def network() -> MusicVAE:
    """Return a new network, whose codes differ from the start, in narrow clouds."""
    model = MusicVAE(**ARGUMENTS)
    model.fc_mu.weight.mul_(4)
    model.fc_logvar.bias.fill_(-3.0)
    return model


def learn(model: MusicVAE, x: Tensor, *, beta: float, noise: bool, steps: int) -> None:
    """Train a network on chords (N, 88), in batches drawn at random.

    Parameters
    ----------
    model : MusicVAE
    x : Tensor, (N, 88)
    beta : float
        Rises in a straight line over the first 80 % of the steps.
    noise : bool
        Whether codes are drawn or are their means.
    steps : int
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        batch = x[torch.randint(len(x), (BATCH,))]  # (B, 88)
        mu, logvar = model.encode(batch)
        z = model.reparameterize(mu, logvar) if noise else mu
        now = beta * min(1.0, step / (ANNEALING * steps))
        loss = model.loss_function(model.logits(z), batch, mu, logvar, now)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


@remembered
def trained(settings: Mapping[str, Any], *, seed: int, fast: bool) -> tuple[MusicVAE, float]:
    """Return a trained network and the seconds that its training took."""
    seed_everything(seed)
    model = network()
    began = time.perf_counter()
    learn(model, data("train"), **settings, steps=FAST_STEPS if fast else STEPS)
    return model.eval(), time.perf_counter() - began


def codes(model: MusicVAE, n: int, *, kind: str, seed: int) -> Tensor:
    """Return codes at random, (n, D).

    Parameters
    ----------
    model : MusicVAE
    n : int
    kind : {"prior", "fitted"}
    seed : int
    """
    rng = np.random.default_rng(seed)
    if kind == "prior":
        drawn = rng.standard_normal((n, model.latent_dim))
    else:
        mu = model.encode(data("train"))[0].detach().double().numpy()  # (N, D)
        drawn = rng.multivariate_normal(mu.mean(axis=0), np.cov(mu.T), n)
    return torch.from_numpy(drawn).float()


def drawn(settings: Mapping[str, Any], *, seed: int, fast: bool) -> tuple[NDArray, int, float]:
    """Return what is drawn, bool (n, 88), with the parameters and the seconds that it took.

    Parameters
    ----------
    settings : mapping
        See the module; or ``{"keys": "each by itself"}``, or ``{"keys": "held out"}``.
    seed : int
        Of the network, and of the draws.
    fast : bool
        Hardly trained, few draws.
    """
    n = FAST_DRAWS if fast else DRAWS
    rng = np.random.default_rng(seed)
    if settings.get("keys") == "each by itself":
        often = data("train").double().mean(dim=0).numpy()
        keys = [rng.choice(KEYS, VOICES, replace=False, p=often / often.sum()) for _ in range(n)]
        found = np.zeros((n, KEYS), bool)
        np.put_along_axis(found, np.stack(keys), True, axis=1)
        return found, KEYS, 0.0
    if settings.get("keys") == "held out":
        held = data("test").numpy() > 0.5
        held = held[held.sum(axis=1) == VOICES]
        return held[rng.choice(len(held), n)], 0, 0.0
    how = {name: settings[name] for name in ("beta", "noise")}
    model, seconds = trained(how, seed=seed, fast=fast)
    z = codes(model, n, kind=settings["codes"], seed=seed)
    parameters = sum(p.numel() for p in model.parameters())
    with torch.no_grad():
        return likeliest(model.logits(z)).numpy(), parameters, seconds


def likeliest(logits: Tensor) -> Tensor:
    """Return the four likeliest keys: (..., 88) -> bool (..., 88)."""
    best = logits.topk(VOICES, dim=-1).indices
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, best, True)


def score(settings: Mapping[str, Any], *, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score what is drawn: 1 if it is a chord of the train split, or if it is new.

    Parameters
    ----------
    settings : mapping
        As in `drawn`.
    task : str
        One of `TASKS`.
    seed : int
    fast : bool

    Returns
    -------
    dict
        ``scores``, ``groups`` (draw), ``parameters``, ``seconds``.
    """
    found, parameters, seconds = drawn(settings, seed=seed, fast=fast)
    scores = is_known(found) if task == CHORD else is_new(found)
    return {
        "scores": scores.astype(float).tolist(),
        "groups": [str(k) for k in range(len(found))],
        "parameters": parameters,
        "seconds": seconds,
    }


def is_known(chords: NDArray) -> NDArray[np.bool_]:
    """Say which chords, bool (n, 88), a chorale of the train split has, key for key: (n,)."""
    return np.array([row.tobytes() in _known() for row in np.packbits(chords, axis=1)])


def is_new(chords: NDArray) -> NDArray[np.bool_]:
    """Say which chords, bool (n, 88), are none of those before them: (n,)."""
    _, first = np.unique(np.packbits(chords, axis=1), axis=0, return_index=True)
    return np.isin(np.arange(len(chords)), first)


@functools.cache
def _known() -> frozenset[bytes]:
    rows = np.packbits(data("train").numpy() > 0.5, axis=1)
    return frozenset(row.tobytes() for row in rows)
