"""When a note begins, in rendered chorales and tunes whose onsets are known exactly.

The network learns from one soundfont; a *task* is the soundfont that is tested: the one that was
learned from, or one that was never heard.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mircourse import scores, synth
from mircourse.experiments.remembered import remembered

FONTS = {"same soundfont": "fluid", "unheard soundfont": "timgm6mb"}
COLLECTIONS = ("bach", "ryan")
PROGRAMS = (0, 24, 40, 73)  # piano, nylon-string guitar, violin, flute
SAMPLE_RATE = 22050
SECONDS = 10.0
COUNTS = {"train": 48, "valid": 12, "test": 24}  # excerpts of each collection
# Thresholds tried on the validation excerpts.
THRESHOLDS = tuple(np.round(np.arange(0.1, 0.95, 0.05), 2))
DELTAS = tuple(np.round(np.arange(0.01, 0.5, 0.03), 2))


@dataclass(frozen=True)
class Excerpt:
    """A rendered passage.

    Attributes
    ----------
    name, family : str
        Of the piece it is from.
    audio : ndarray of float32, shape (n,)
        Mono, with a little noise.
    onsets : ndarray, shape (k,)
        Seconds at which notes begin, each once, ascending.
    """

    name: str
    family: str
    audio: NDArray[np.float32]
    onsets: NDArray[np.float64]


@functools.lru_cache(maxsize=8)
def excerpts(split: str, *, font: str = "fluid", fast: bool = False) -> tuple[Excerpt, ...]:
    """Render passages of 10 s from a split; tempo, instrument and loudness vary by piece.

    Parameters
    ----------
    split : {"train", "valid", "test"}
        Of the scores.
    font : str
        As `mircourse.synth.render` takes it.
    fast : bool
        Two passages of each collection.
    """
    rng = np.random.default_rng(len(split))
    music, tempos, programs, pieces = [], [], [], []
    for name in COLLECTIONS:
        collection = scores.load(name, split=split)
        count = 2 if fast else COUNTS[split]
        for i in rng.choice(len(collection), size=min(count, len(collection)), replace=False):
            piece = collection[int(i)]
            notes = piece.notes.copy()
            notes["velocity"] = rng.integers(40, 110) + rng.integers(-10, 11, len(notes))
            music.append(notes)
            tempos.append(float(rng.uniform(70, 120)))
            programs.append(int(rng.choice(PROGRAMS)))
            pieces.append(piece)
    played = synth.render(
        music,
        tempo=tempos,
        program=programs,
        font=font,
        sample_rate=SAMPLE_RATE,
        seconds=SECONDS,
    )
    found = []
    for piece, notes, tempo, audio in zip(pieces, music, tempos, played, strict=True):
        onsets = np.unique(notes["onset_beat"]) * 60 / tempo
        level = np.abs(audio).max() * 10 ** rng.uniform(-3, -1.5)
        noisy = audio + level * rng.standard_normal(len(audio))
        # An onset in the last 50 ms has hardly begun to sound.
        found.append(
            Excerpt(
                piece.id, piece.family, noisy.astype(np.float32), onsets[onsets < SECONDS - 0.05]
            )
        )
    return tuple(found)


def targets(found: tuple[Excerpt, ...], *, frames: int, hop_seconds: float) -> NDArray[np.float32]:
    """Return 1 at the frame of each onset and 0.25 beside it: ``(N, frames)``."""
    y = np.zeros((len(found), frames), dtype=np.float32)
    for row, excerpt in zip(y, found, strict=True):
        at = np.round(excerpt.onsets / hop_seconds).astype(int)
        for offset, value in ((-1, 0.25), (1, 0.25), (0, 1.0)):
            near = at + offset
            near = near[(near >= 0) & (near < frames)]
            row[near] = np.maximum(row[near], value)
    return y


def train(settings: Mapping[str, Any], *, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train an `OnsetCNN` on the first soundfont and score it on the task's.

    Parameters
    ----------
    settings : mapping
        ``arguments`` of the constructor, ``epochs``, ``lr``.
    task : str
        A key of `FONTS`.
    seed : int
        Decides the initial weights and the order.
    fast : bool
        One epoch on a few passages.
    """
    model, threshold, seconds = trained(settings, seed=seed, fast=fast)
    test = excerpts("test", font=FONTS[task], fast=fast)
    outcome = _outcome(test, detect(model, test, threshold=threshold))
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return outcome | {"parameters": parameters, "seconds": seconds}


@remembered
def trained(settings: Mapping[str, Any], *, seed: int, fast: bool) -> tuple[Any, float, float]:
    """Return a trained `OnsetCNN`, its threshold from the validation split, and the seconds."""
    from mircourse import cnn, training

    began = time.perf_counter()
    training.seed_everything(seed)
    model = cnn.OnsetCNN(SAMPLE_RATE, **settings["arguments"])
    learn, check = excerpts("train", fast=fast), excerpts("valid", fast=fast)
    x = _spectrograms(model, learn)
    y = targets(learn, frames=x.shape[2], hop_seconds=model.hop_seconds)
    task = training.FrameTask(model, lr=settings["lr"], pos_weight=3.0)
    training.fit(task, (x, y), epochs=1 if fast else settings["epochs"], batch_size=2, seed=seed)
    best = max(
        THRESHOLDS, key=lambda t: np.mean(_f_measures(check, detect(model, check, threshold=t)))
    )
    return model, float(best), time.perf_counter() - began


def detect(
    model: Any, found: tuple[Excerpt, ...], *, threshold: float
) -> list[NDArray[np.float64]]:
    """Return the onsets that a network finds in each passage, in seconds."""
    from mircourse import training
    from mircourse.cnn import peak_pick

    logits = training.predict(model, _spectrograms(model, found), batch_size=8)  # (N, T)
    return [
        peak_pick(p, hop_seconds=model.hop_seconds, threshold=threshold)
        for p in 1 / (1 + np.exp(-logits.astype(np.float64)))
    ]


def without_learning(name: str, *, task: str, fast: bool) -> dict[str, Any]:
    """Score a detector that learns nothing.

    Parameters
    ----------
    name : {"grid", "librosa", "librosa, tuned"}
        An onset every quarter of a second; librosa's detector as it comes; the same with the
        ``delta`` of its peak picking chosen on the validation split.
    task : str
        A key of `FONTS`.
    fast : bool
        A few passages.
    """
    test = excerpts("test", font=FONTS[task], fast=fast)
    if name == "grid":
        return _outcome(test, [np.arange(0, SECONDS, 0.25)] * len(test))
    delta = None
    if name == "librosa, tuned":
        check = excerpts("valid", fast=fast)
        delta = max(DELTAS, key=lambda d: np.mean(_f_measures(check, _librosa(check, d))))
    elif name != "librosa":
        raise ValueError(f"name must be grid, librosa or 'librosa, tuned', got {name!r}")
    return _outcome(test, _librosa(test, delta))


def _librosa(found: tuple[Excerpt, ...], delta: float | None) -> list[NDArray[np.float64]]:
    import librosa

    chosen: dict[str, Any] = {} if delta is None else {"delta": float(delta)}
    return [
        librosa.onset.onset_detect(
            y=e.audio, sr=SAMPLE_RATE, hop_length=220, units="time", **chosen
        )
        for e in found
    ]


def _spectrograms(model: Any, found: tuple[Excerpt, ...]) -> NDArray[np.float32]:
    import torch

    audio = torch.from_numpy(np.stack([e.audio for e in found]))  # (N, samples)
    with torch.inference_mode():
        return torch.cat([model.spectrogram(a) for a in audio.split(8)]).numpy()  # (N, F, T)


def _f_measures(found: tuple[Excerpt, ...], times: list[NDArray[np.float64]]) -> list[float]:
    from mircourse.metrics import onset_f_measure

    return [onset_f_measure(e.onsets, t) for e, t in zip(found, times, strict=True)]


def _outcome(found: tuple[Excerpt, ...], times: list[NDArray[np.float64]]) -> dict[str, Any]:
    return {"scores": _f_measures(found, times), "groups": [e.family for e in found]}
