"""Which instrument plays a recorded note: data, models and baselines of the CNN chapter.

A *task* says what is learned from and what is scored: ``"valid"`` is what settings were chosen
on; ``"instruments"`` is the held-out pitches of the test split, with all else to learn from;
``"low to high"`` learns the lower half of each instrument's notes and is scored on the upper half.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from mircourse import recordings, synth
from mircourse.augment import repitch
from mircourse.experiments.runner import cache_dir
from mircourse.recordings import Recordings
from mircourse.scores import note_array

SECONDS = 2.5
HOP = 1024
SHIFTS = (-2, -1, 0, 1, 2)  # semitones by which training notes are repitched

# General MIDI programs (from 0) of the 19 instruments.
PROGRAMS = {
    "bass-electric": 33,
    "bassoon": 70,
    "cello": 42,
    "contrabass": 43,
    "flute": 73,
    "french-horn": 60,
    "guitar-acoustic": 25,
    "guitar-electric": 27,
    "guitar-nylon": 24,
    "harmonium": 20,
    "harp": 46,
    "organ": 19,
    "piano": 0,
    "saxophone": 65,
    "trombone": 57,
    "trumpet": 56,
    "tuba": 58,
    "violin": 40,
    "xylophone": 13,
}


def split(task: str, *, fraction: float = 1.0, seed: int = 0) -> tuple[Recordings, Recordings]:
    """Return the recordings to learn from and those to be scored on.

    Parameters
    ----------
    task : {"valid", "instruments", "low to high"}
        See the module.
    fraction : float
        Share of each instrument's notes to learn from, at least one, drawn with `seed`.
    seed : int
        Decides which.

    Raises
    ------
    ValueError
        If the task is unknown or the fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got {fraction}")
    notes = recordings.load()
    if task == "valid":
        learn, score = notes.split("train"), notes.split("valid")
    elif task == "instruments":
        learn, score = notes.filter(lambda note: note.split != "test"), notes.split("test")
    elif task == "low to high":
        middle = {
            name: float(np.median(notes.pitches[notes.labels == label]))
            for label, name in enumerate(notes.instruments)
        }
        low = {note.id for note in notes if (note.pitch or 0) <= middle[note.instrument]}
        learn = notes.filter(lambda note: note.id in low)
        score = notes.filter(lambda note: note.id not in low)
    else:
        raise ValueError(f"task must be valid, instruments or low to high, got {task!r}")
    if fraction < 1:
        rng = np.random.default_rng(seed)
        kept: set[str] = set()
        for name in notes.instruments:
            ids = [note.id for note in learn if note.instrument == name]
            n = max(1, round(fraction * len(ids)))
            kept |= set(rng.choice(ids, size=n, replace=False))
        learn = learn.filter(lambda note: note.id in kept)
    return learn, score


def train(settings: Mapping[str, Any], *, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train a network and score it; what was trained before with the same settings is recalled.

    Parameters
    ----------
    settings : mapping
        ``model`` (``"MusicCNN"`` or ``"HarmonicCNN"``), ``arguments`` of its constructor,
        ``seconds`` that it hears of each note, ``fraction`` of the recordings, ``learn_from``
        (``"recorded"``, ``"rendered"`` or ``"both"``: rendered first, then recorded), ``epochs``,
        ``lr``, ``batch_size``.
    task : str
        As `split` takes it.
    seed : int
        Decides the initial weights, the order and what `fraction` keeps.
    fast : bool
        One epoch on fewer notes.

    Returns
    -------
    dict
        ``scores`` (1 where right), ``groups`` (pitch), ``truth``, ``prediction``, ``parameters``
        and ``seconds`` of training.
    """
    memory = joblib.Memory(cache_dir() / "instruments", verbose=0)
    return memory.cache(_train)(dict(settings), task=task, seed=seed, fast=fast)


def _train(settings: dict[str, Any], *, task: str, seed: int, fast: bool) -> dict[str, Any]:
    model, seconds = trained(settings, task=task, seed=seed, fast=fast)
    return scored(model, settings, task=task) | {"seconds": seconds}


def scored(model: Any, settings: Mapping[str, Any], *, task: str) -> dict[str, Any]:
    """Score a trained network: what `train` returns, but for the seconds."""
    from mircourse import training

    _, score = split(task)
    x = heard(inputs(model, score, shift=0), settings)
    logits = training.predict(model, x)  # (N, F, T) -> (N, n_classes)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return outcome(score, logits.argmax(axis=1)) | {"parameters": parameters}


def trained(settings: Mapping[str, Any], *, task: str, seed: int, fast: bool) -> tuple[Any, float]:
    """Return a network trained as `train` says, and the seconds that took."""
    import torch

    from mircourse import cnn, training

    learn, _ = split(task, fraction=settings.get("fraction", 1.0), seed=seed)
    shifts = SHIFTS[:1] if fast else SHIFTS
    training.seed_everything(seed)
    kind = {"MusicCNN": cnn.MusicCNN, "HarmonicCNN": cnn.HarmonicCNN}[settings["model"]]
    model: Any = kind(n_classes=19, hop_length=HOP, **settings["arguments"])
    # Channels last is the faster layout for these sizes on a CPU; the arithmetic is the same.
    model = model.to(memory_format=torch.channels_last)
    source = settings.get("learn_from", "recorded")
    stages = {
        "recorded": [_recorded(model, learn, shifts)],
        "rendered": [_rendered(model, learn, fast)],
        "both": [_rendered(model, learn, fast), _recorded(model, learn, shifts)],
    }[source]
    began = time.perf_counter()
    # A part of the data is seen more often, though not so often that the steps are as many.
    epochs = 1 if fast else round(settings["epochs"] / settings.get("fraction", 1.0) ** 0.5)
    for x, y in stages:
        training.fit(
            training.ClassificationTask(model, lr=settings["lr"], label_smoothing=0.1),
            (heard(x, settings), y),
            epochs=epochs,
            batch_size=settings.get("batch_size", 32),
            seed=seed,
        )
    return model, time.perf_counter() - began


def linear(name: str, *, task: str, fraction: float = 1.0, seed: int = 0) -> dict[str, Any]:
    """Score a logistic regression on features that are not learned here.

    The regularisation is chosen on the validation split; features are standardised.

    Parameters
    ----------
    name : {"majority", "mfcc", "log-mel", "musicnn", "mfcc + musicnn"}
        The features; "majority" always answers with the commonest instrument, "log-mel" stands
        for the mean and deviation of each band over time.
    task, fraction, seed
        As `split` takes them.
    """
    learn, score = split(task, fraction=fraction, seed=seed)
    if name == "majority":
        return outcome(score, np.full(len(score), np.bincount(learn.labels).argmax()))
    features = _features(tuple(name.split(" + ")))
    position = {note.id: k for k, note in enumerate(recordings.load())}

    def rows(notes: Recordings) -> NDArray[np.floating]:
        return features[[position[note.id] for note in notes]]

    tune, check = split("valid", fraction=fraction, seed=seed)
    strengths = (0.01, 0.1, 1.0, 10.0, 100.0)
    best = max(
        strengths,
        key=lambda c: _regression(c).fit(rows(tune), tune.labels).score(rows(check), check.labels),
    )
    model = _regression(best).fit(rows(learn), learn.labels)
    return outcome(score, model.predict(rows(score)))


def _regression(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))


@functools.lru_cache(maxsize=4)
def _features(names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return one row of features per recording, those named side by side."""
    from mircourse.features import mfcc_statistics

    notes = recordings.load()
    audio = notes.audio(SECONDS)  # (N, n)
    makers: dict[str, Callable[[], NDArray]] = {
        "mfcc": lambda: np.stack(
            [mfcc_statistics(a, sample_rate=notes[0].sample_rate) for a in audio]
        ),
        "log-mel": lambda: _bands(audio, notes[0].sample_rate),
        "musicnn": lambda: _musicnn(audio, notes[0].sample_rate),
    }
    return np.concatenate([makers[name]() for name in names], axis=1)  # (N, D)


def _bands(audio: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """Return mean and deviation over time of the 128 bands that a MusicCNN sees: (N, 256)."""
    import torch

    from mircourse.features import LogMel

    rows = LogMel(sample_rate, hop_length=HOP)(torch.from_numpy(audio)).double()  # (N, F, T)
    return torch.cat([rows.mean(dim=2), rows.std(dim=2)], dim=1).numpy()


def _musicnn(audio: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """Return the pooled activations (N, 1506), of all that musicnn computes the best here."""
    from mircourse.experiments.peers import musicnn

    model = musicnn.load()
    rows = []
    for clip in audio:
        found = musicnn.features(clip, sample_rate=sample_rate, model=model)
        pooled = [found["mean_pool"], found["max_pool"]]  # each (n_windows, 753)
        rows.append(np.concatenate([p.mean(axis=0) for p in pooled]))
    return np.stack(rows)  # (N, 1506)


def _recorded(model: Any, learn: Recordings, shifts: tuple[int, ...]) -> tuple[NDArray, NDArray]:
    x = np.concatenate([inputs(model, learn, shift=s) for s in shifts])  # (N * shifts, F, T)
    return x, np.tile(learn.labels, len(shifts))


def _rendered(model: Any, learn: Recordings, fast: bool) -> tuple[NDArray, NDArray]:
    """Render the notes within each instrument's range at two loudnesses, as synthetic data."""
    step = 12 if fast else 1
    wanted = []
    for label, name in enumerate(learn.instruments):
        pitches = learn.pitches[learn.labels == label]
        for pitch in range(pitches.min(), pitches.max() + 1, step):
            wanted += [(label, PROGRAMS[name], pitch, velocity) for velocity in (60, 100)]
    return _rendered_inputs(_front_end(model), tuple(wanted), model), np.array(
        [label for label, *_ in wanted]
    )


def _front_end(model: Any) -> tuple[str, int]:
    return repr(model.spectrogram.transform), model.spectrogram.rows


# Spectrograms of all recordings, and of what was rendered, by front end.
_SPECTROGRAMS: dict[Any, NDArray[np.float32]] = {}


def _rendered_inputs(
    front_end: tuple[str, int], wanted: tuple[tuple[int, int, int, int], ...], model: Any
) -> NDArray[np.float32]:
    key = (front_end, wanted)
    if key not in _SPECTROGRAMS:
        audio = np.zeros((len(wanted), round(SECONDS * 22050)), dtype=np.float32)
        by_program: dict[int, list[int]] = {}
        for row, (_, program, _, _) in enumerate(wanted):
            by_program.setdefault(program, []).append(row)
        for program, rows in by_program.items():
            notes = [note_array([0], [4], [wanted[r][2]], velocity=wanted[r][3]) for r in rows]
            played = synth.render(notes, program=program, font="timgm6mb", seconds=SECONDS)
            for row, one in zip(rows, played, strict=True):
                audio[row] = one / max(1e-6, np.abs(one).max())
        _SPECTROGRAMS[key] = _spectrograms(model, audio)
    return _SPECTROGRAMS[key]


def inputs(model: Any, notes: Recordings, *, shift: int) -> NDArray[np.float32]:
    """Return the model's own spectrograms of recordings, repitched by `shift`: ``(N, F, T)``."""
    key = (_front_end(model), shift)
    everything = recordings.load()
    if key not in _SPECTROGRAMS:
        rate = everything[0].sample_rate
        moved = [repitch(a, semitones=shift, sample_rate=rate) for a in everything.audio(SECONDS)]
        _SPECTROGRAMS[key] = _spectrograms(model, np.stack(moved))
    position = {note.id: k for k, note in enumerate(everything)}
    return _SPECTROGRAMS[key][[position[note.id] for note in notes]]


def heard(x: NDArray[np.float32], settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return the part of spectrograms ``(N, F, T)`` that ``settings["seconds"]`` names."""
    frames = 1 + round(settings.get("seconds", SECONDS) * 22050) // HOP
    return np.ascontiguousarray(x[:, :, :frames])  # (N, F, T) -> (N, F, frames)


def _spectrograms(model: Any, audio: NDArray[np.float32]) -> NDArray[np.float32]:
    import torch

    with torch.inference_mode():
        parts = [model.spectrogram(part) for part in torch.from_numpy(audio).split(32)]
    return torch.cat(parts).numpy()  # (N, F, T)


def outcome(score: Recordings, prediction: NDArray) -> dict[str, Any]:
    """Return what a unit gives: scores (1 where right), groups (pitch), truth and prediction."""
    return {
        "scores": (prediction == score.labels).astype(float).tolist(),
        "groups": [str(pitch) for pitch in score.pitches],
        "truth": score.labels.tolist(),
        "prediction": [int(p) for p in prediction],
    }
