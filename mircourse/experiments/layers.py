"""What the layers of an instrument network know: probes for instrument, pitch class and register.

Every layer is seen alike: its maps averaged over time, standardised, brought to `COMPONENTS`
numbers by principal components, and read by a logistic regression. The network was trained to
name instruments and never told a pitch.

An *instrument* is read from the pitches of the test split, which neither the network nor the probe
has learned from. *Pitch class* and *register* are read from instruments whose notes the probe has
not learned from, in five folds over all notes; most of these the network has heard in training.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from mircourse import recordings
from mircourse.cnn import MusicCNN
from mircourse.experiments import frontends, instruments

INSTRUMENT, PITCH_CLASS, REGISTER = "instrument", "pitch class", "register"
ASKED = (INSTRUMENT, PITCH_CLASS, REGISTER)
# What `MusicCNN.extract_features` calls the layers.
LAYERS = {
    "log-mel": "spectrogram",
    "block 1": "conv1",
    "tall filters": "harmonic",
    "wide filters": "temporal",
    "block 3": "conv3",
    "embedding": "embedding",
}
EDGES = (48, 60, 72)  # MIDI pitches at which a register begins: four of them
COMPONENTS = 64
FOLDS = 5
STRENGTHS = (0.01, 0.1, 1.0)


def read(settings: Mapping[str, Any], *, asked: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score a probe of one layer.

    Parameters
    ----------
    settings : mapping
        ``layer``, of `LAYERS`; ``network``, the settings of `frontends.network`, and ``trained``.
    asked : {"instrument", "pitch class", "register"}
        What is read.
    seed : int
        Decides the network.
    fast : bool
        A network trained for one epoch on fewer notes, and two folds.
    """
    x = representations(settings, seed=seed, fast=fast)[settings["layer"]]
    notes = recordings.load()
    if asked == INSTRUMENT:
        test = np.array([note.split == "test" for note in notes])
        y = np.asarray(notes.labels)
        prediction = probe(x[~test], y[~test], np.asarray(notes.pitches)[~test]).predict(x[test])
        return {
            "scores": (prediction == y[test]).astype(float).tolist(),
            "groups": [str(pitch) for pitch in np.asarray(notes.pitches)[test]],
        }
    y = targets(np.asarray(notes.pitches), asked)
    fold = np.asarray(notes.labels) % FOLDS
    right = np.zeros(len(y))
    for held_out in range(2 if fast else FOLDS):
        out = fold == held_out
        found = probe(x[~out], y[~out], np.asarray(notes.labels)[~out])
        right[out] = found.predict(x[out]) == y[out]
    return {"scores": right.tolist(), "groups": [note.instrument for note in notes]}


def targets(pitches: ArrayLike, asked: str) -> NDArray[np.int64]:
    """Return the pitch class, 0 to 11, or the register, 0 to 3, of MIDI pitches."""
    numbers = np.asarray(pitches, dtype=np.int64)
    return numbers % 12 if asked == PITCH_CLASS else np.digitize(numbers, EDGES)


def probe(x: NDArray, y: NDArray, groups: NDArray) -> Any:
    """Return a fitted probe, its strength chosen on a quarter of the groups.

    Parameters
    ----------
    x : array, shape (N, D)
        One layer's vectors.
    y : array, shape (N,)
        What to read.
    groups : array, shape (N,)
        What must not be on both sides when the strength is chosen.
    """
    kinds = np.unique(groups)
    check = np.isin(groups, np.random.default_rng(0).permutation(kinds)[: max(1, len(kinds) // 4)])
    best = max(
        STRENGTHS, key=lambda c: _pipeline(c, x[~check], y[~check]).score(x[check], y[check])
    )
    return _pipeline(best, x, y)


def representations(
    settings: Mapping[str, Any], *, seed: int, fast: bool
) -> dict[str, NDArray[np.float32]]:
    """Return every layer's vectors (N, D) of all recorded notes: maps averaged over time."""
    # As text, which a cache can tell apart.
    network = json.dumps(settings["network"], sort_keys=True)
    return _representations(network, settings["trained"], seed, fast)


@functools.lru_cache(maxsize=2)
def _representations(
    network: str, trained: bool, seed: int, fast: bool
) -> dict[str, NDArray[np.float32]]:
    settings = json.loads(network)
    if trained:
        model, _ = frontends.network(settings, task="instruments", seed=seed, fast=fast)
    else:
        model = untrained(settings, seed=seed)
    assert isinstance(model, MusicCNN), f"only MusicCNN names its layers, got {settings['model']}"
    return vectors(model, spectrograms(settings["seconds"]))


@functools.cache
def spectrograms(seconds: float) -> torch.Tensor:
    """Return the log-mels (N, F, T) of the beginning of all recorded notes."""
    notes = recordings.load()
    front_end = MusicCNN(width=0.05, hop_length=instruments.HOP).spectrogram
    audio = notes.audio(seconds)  # (N, samples)
    with torch.inference_mode():
        return torch.cat([front_end(part) for part in torch.from_numpy(audio).split(32)])


def untrained(settings: Mapping[str, Any], *, seed: int) -> MusicCNN:
    """Return a network as training begins with it, but for its normalisations.

    These are set to what the recordings need; with their defaults the numbers of an untrained
    network would be of no reasonable size.
    """
    from mircourse import training

    training.seed_everything(seed)
    model = MusicCNN(n_classes=19, hop_length=instruments.HOP, **settings["arguments"])
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = None  # averages over all batches alike
    with torch.no_grad():
        for part in spectrograms(settings["seconds"]).clone().split(64):
            model.train()(part)
    return model.eval()


def vectors(model: MusicCNN, x: torch.Tensor) -> dict[str, NDArray[np.float32]]:
    """Return every layer's vectors (N, D) of log-mels (N, F, T): maps averaged over time."""
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in LAYERS}
    with torch.inference_mode():
        for batch in x.split(64):
            maps = model.extract_features(batch)
            for name, of in LAYERS.items():
                found = maps[of]
                # (B, C, F, T) or (B, F, T) -> (B, C F) or (B, F); the embedding has no time.
                found = found if found.ndim == 2 else found.mean(dim=-1).flatten(1)
                parts[name].append(found)
    return {name: torch.cat(several).numpy() for name, several in parts.items()}


def _pipeline(strength: float, x: NDArray, y: NDArray) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        StandardScaler(),
        PCA(min(COMPONENTS, *x.shape), whiten=False, svd_solver="full"),
        LogisticRegression(C=strength, max_iter=2000, tol=1e-3),
    ).fit(x, y)
