"""What can be read off features that were learned elsewhere, or designed, from a few labels."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from mircourse import recordings
from mircourse.contrastive import best_strength, embeddings, knn_probe, linear_probe
from mircourse.experiments import dances, fewlabels, selfsupervised
from mircourse.experiments.runner import cache_dir

VERSION = 1  # of the features that nobody learned; raised when they change
FEATURES = ("simclr", "random", "mfcc", "musicnn")


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
        As in `selfsupervised.pretrained`; "mfcc" and "musicnn" depend on the domain alone.
    settings : mapping, optional
        Of `selfsupervised.pretrained`.

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
            model, seconds = selfsupervised.pretrained(
                settings or {}, domain=domain, held_out=held_out, seed=seed, fast=fast
            )
        else:
            model = selfsupervised.untrained(domain=domain, seed=seed)
        rows = embeddings(model, selfsupervised.heard(domain, fast=fast))
    else:
        raise ValueError(f"features must be one of {FEATURES}, got {name!r}")
    return dict(zip(fewlabels.ids(domain, fast=fast), rows, strict=True)), seconds


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
    return scored(
        known,
        seconds,
        domain=domain,
        held_out=held_out,
        fraction=fraction,
        seed=seed,
        fast=fast,
        reader=reader,
    )


def scored(
    known: Mapping[str, NDArray],
    seconds: float,
    *,
    domain: str,
    held_out: str,
    fraction: float,
    seed: int,
    fast: bool,
    reader: str = "linear",
) -> dict[str, Any]:
    """Read the labels of held-out items off their vectors; what it gives is as of `probe`.

    Parameters
    ----------
    known : mapping
        A vector for each item of the domain, by its id.
    seconds : float
        That it took to make them.
    domain, held_out, fraction, seed, fast, reader
        As in `probe`.
    """
    share: dict[str, Any] = {"domain": domain, "held_out": held_out, "fraction": fraction}
    began = time.perf_counter()
    learn, score = fewlabels.labelled(**share, seed=seed, fast=fast)
    if reader == "k-NN":
        fitted = knn_probe(rows_of(known, learn), fewlabels.labels(domain, learn))
        parameters = 0
    else:
        fitted = fitted_probe(known, **share, seed=seed, fast=fast)
        parameters = int(fitted[-1].coef_.size + fitted[-1].intercept_.size)
    right = fitted.predict(rows_of(known, score)) == fewlabels.labels(domain, score)
    return {
        "scores": right.astype(float).tolist(),
        "groups": fewlabels.groups(domain, score),
        "parameters": parameters,
        "seconds": seconds + time.perf_counter() - began,
    }


def fitted_probe(
    known: Mapping[str, NDArray],
    *,
    domain: str,
    held_out: str,
    fraction: float,
    seed: int,
    fast: bool,
) -> Any:  # a scikit-learn pipeline
    """Fit a linear probe to a share of the labels; its regularisation is chosen on the valid split.

    Parameters
    ----------
    known : mapping
        A vector for each item of the domain, by its id.
    domain, held_out, fraction, seed, fast
        As in `probe`.
    """
    learn, _ = fewlabels.labelled(domain, held_out, fraction=fraction, seed=seed, fast=fast)
    tune, check = fewlabels.labelled(domain, "valid", fraction=fraction, seed=seed, fast=fast)
    # Of all that is not held out, the labels of most untold.
    seen, _ = fewlabels.labelled(domain, held_out, fraction=1.0, seed=seed, fast=fast)
    unlabelled = rows_of(known, seen)
    strength = best_strength(
        rows_of(known, tune),
        fewlabels.labels(domain, tune),
        held_out=(rows_of(known, check), fewlabels.labels(domain, check)),
        unlabelled=unlabelled,
    )
    return linear_probe(
        rows_of(known, learn),
        fewlabels.labels(domain, learn),
        strength=strength,
        unlabelled=unlabelled,
    )


def rows_of(known: Mapping[str, NDArray], items: Iterable[Any]) -> NDArray:
    """Return the vectors of items, (N, D)."""
    return np.stack([known[item.id] for item in items])


def _designed(name: str, *, domain: str, fast: bool) -> NDArray:
    memory = joblib.Memory(cache_dir() / "contrastive" / "features", verbose=0)
    return memory.cache(_compute)(name, domain=domain, fast=fast, version=VERSION)


def _compute(name: str, *, domain: str, fast: bool, version: int) -> NDArray:
    """Return MFCC statistics, or musicnn's pooled activations, of all items: (N, D)."""
    from mircourse.experiments.peers import musicnn
    from mircourse.features import mfcc_statistics

    if domain == "instruments":
        audio, rate = recordings.load().audio(selfsupervised.HEARD), selfsupervised.RATE
    else:
        pieces, rate = fewlabels.all_tunes(fast), dances.SAMPLE_RATE
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
