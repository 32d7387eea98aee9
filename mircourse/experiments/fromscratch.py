"""The supervised side of the comparison: the same network, with the labels that a probe has.

It is trained as in the CNN chapter. With fewer items it sees each more often, though not so often
that the steps are as many.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from mircourse.experiments import dances, fewlabels, instruments, selfsupervised
from mircourse.experiments.cnn import RECIPE, music


def train(
    domain: str, *, fraction: float, seed: int, fast: bool, held_out: str = "test"
) -> dict[str, Any]:
    """Train a `MusicCNN` on a share of the labels and score it.

    Parameters
    ----------
    domain, held_out : str
        As in `mircourse.experiments.fewlabels`.
    fraction : float
        Share of the labels, in (0, 1]; the same items as `fewlabels.labelled`.
    seed : int
        Of weights, order and what is labelled.
    fast : bool
        One epoch.

    Returns
    -------
    dict
        ``scores`` (1 where right), ``groups``, ``parameters``, ``seconds``.
    """
    if domain == "instruments":
        settings = RECIPE | music() | {"fraction": fraction}
        task = "valid" if held_out == "valid" else domain
        found = instruments.train(settings, task=task, seed=seed, fast=fast)
        return {name: found[name] for name in ("scores", "groups", "parameters", "seconds")}
    from mircourse import training
    from mircourse.cnn import MusicCNN

    learn, score = fewlabels.labelled(domain, held_out, fraction=fraction, seed=seed, fast=fast)
    training.seed_everything(seed)
    model = MusicCNN(**selfsupervised.NETWORKS[domain] | {"dropout": 0.5})
    x, test = (dances.spectrograms(model, p).astype(np.float32) for p in (learn, score))
    began = time.perf_counter()
    training.fit(
        training.ClassificationTask(model, lr=dances.RECIPE["lr"], label_smoothing=0.1),
        (x, dances.labels(learn)),
        epochs=1 if fast else round(dances.RECIPE["epochs"] / fraction**0.5),
        batch_size=int(dances.RECIPE["batch_size"]),
        seed=seed,
        batch_transform=dances.excerpts,
    )
    seconds = time.perf_counter() - began
    right = training.predict(model, test).argmax(axis=1) == dances.labels(score)
    return {
        "scores": right.astype(float).tolist(),
        "groups": [piece.family for piece in score],
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "seconds": seconds,
    }
