"""How the held-out notes lie on the sphere: alignment of views, and uniformity.

In the *projection* z, which the loss compares, and in the *representation* h, which is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mircourse import recordings
from mircourse.experiments import instruments, selfsupervised

SPACES = ("projection", "representation")
DRAWS = 4  # pairs of views of each note
SPREAD = 2.0  # t of uniformity


def measure(
    kind: str, settings: Mapping[str, Any], *, space: str, seed: int, fast: bool
) -> dict[str, Any]:
    """Measure a network on the notes of the test split.

    Parameters
    ----------
    kind : {"alignment", "uniformity"}
        ``scores``, the squared distance of two views of each note; or ``prediction``, the mean
        over the other notes of exp(-2 d²), whose mean's logarithm is the uniformity.
    settings : mapping
        ``features``: "random" or "simclr", and what `selfsupervised.pretrained` takes.
    space : str
        One of `SPACES`.
    seed : int
        Of the network and the views.
    fast : bool
        A tiny version.

    Raises
    ------
    ValueError
        If the kind or the space is unknown.
    """
    if kind not in ("alignment", "uniformity") or space not in SPACES:
        raise ValueError(f"expected alignment or uniformity, in one of {SPACES}: {kind}, {space}")
    options = {name: value for name, value in settings.items() if name != "features"}
    if settings["features"] == "random":
        model: Any = selfsupervised.untrained(domain="instruments", seed=seed)
        seconds = 0.0
    else:
        model, seconds = selfsupervised.pretrained(
            options, domain="instruments", held_out="test", seed=seed, fast=fast
        )
    _, notes = instruments.split("instruments")

    def placed(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return functional.normalize(model(x) if space == SPACES[0] else model.embed(x), dim=1)

    groups = [str(pitch) for pitch in notes.pitches]
    if kind == "uniformity":
        every = [note.id for note in recordings.load()]
        heard = selfsupervised.heard("instruments", fast=fast)
        z = placed(torch.from_numpy(heard[[every.index(note.id) for note in notes]]))
        potentials = torch.exp(-SPREAD * torch.cdist(z, z).square()).fill_diagonal_(0)  # (N, N)
        found = (potentials.sum(dim=1) / (len(z) - 1)).double().numpy()
        truth = np.zeros(len(found))
        return {"truth": truth, "prediction": found, "groups": groups, "seconds": seconds}
    views = selfsupervised.note_views(model.encoder)
    audio = torch.from_numpy(notes.audio(instruments.SECONDS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = [
            (placed(views(audio)) - placed(views(audio))).square().sum(dim=1)  # (N,)
            for _ in range(1 if fast else DRAWS)
        ]
    scores = torch.stack(drawn).mean(dim=0)
    return {"scores": scores.double().tolist(), "groups": groups, "seconds": seconds}
