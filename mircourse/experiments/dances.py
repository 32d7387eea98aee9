"""Which dance a tune is: reel, hornpipe, strathspey or clog, by ear or from the score.

The tunes are those of Ryan and O'Neill in duple time (2/4, 2/2, 4/4), since a 6/8 alone would tell
a jig. By ear, every bar lasts half a second: Ryan writes in 2/4 what O'Neill writes in 2/2, and
no tempo is marked. (Twice the speed of a dance: half the sound to compute, the same notes.) The
baselines read the same bars from the score.

A *task* says what is learned from and what is scored: ``"valid"`` is what settings were chosen
on; ``"dances"`` learns from the train and valid splits and is scored on the test split.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from mircourse import registry, scores, synth
from mircourse.experiments.runner import cache_dir
from mircourse.scores import Piece, note_array
from mircourse.soundfonts import SHIPPED

TYPES = ("clog", "hornpipe", "reel", "strathspey")
METERS = ("2/4", "2/2", "4/4")
COLLECTIONS = ("ryan", "oneill")
BASELINES = (
    "majority",
    "time signature",
    "pitch n-grams",
    "rhythm n-grams",
    "pitch and rhythm n-grams",
)

BAR_SECONDS = 0.5
BARS = 16  # two strains of eight bars, which is all that most tunes have
SAMPLE_RATE = 8000
PROGRAM = 24  # nylon-string guitar: a plucked note is heard at once, a bowed one is not
NOISE = 1e-3  # of the loudest sample: a rest is quiet, never digital silence
FRONT_END = {"n_fft": 256, "hop_length": 200, "n_mels": 32}  # 20 frames a bar
EXCERPT = 160  # frames, eight bars
RECIPE = {"epochs": 12, "lr": 0.004, "batch_size": 32}
NGRAM = 5
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)  # inverse regularisation of the baselines


def tunes(split: str | None = None) -> list[Piece]:
    """Return the duple tunes of the four types that have enough of them.

    Parameters
    ----------
    split : {"train", "valid", "test"}, optional
        All of them if left out. Melody families do not cross splits.

    Raises
    ------
    ValueError
        If the split is unknown.
    """
    return [
        piece
        for name in COLLECTIONS
        for piece in scores.load(name, split=split)
        if piece.tune_type in TYPES and piece.meter in METERS
    ]


def labels(pieces: Sequence[Piece]) -> NDArray[np.int64]:
    """Return the type of each tune as an index of `TYPES`, ``(N,)``.

    Raises
    ------
    ValueError
        If a piece is of another type.
    """
    for piece in pieces:
        if piece.tune_type not in TYPES:
            raise ValueError(f"{piece!r} is none of {', '.join(TYPES)}")
    return np.array([TYPES.index(piece.tune_type or "") for piece in pieces], dtype=np.int64)


def divided(task: str) -> tuple[list[Piece], list[Piece]]:
    """Return the tunes to learn from and those to be scored on.

    Raises
    ------
    ValueError
        If the task is neither ``"valid"`` nor ``"dances"``.
    """
    if task == "valid":
        return tunes("train"), tunes("valid")
    if task == "dances":
        return tunes("train") + tunes("valid"), tunes("test")
    raise ValueError(f"task must be valid or dances, got {task!r}")


# ------------------------------------------------------------------------------ from the score


def rhythm(piece: Piece) -> list[str]:
    """Return the time from each note to the next as a share of the bar, ``"1/8"``."""
    onset = np.unique(piece.notes["onset_beat"])
    steps = np.diff(onset) / _bar(piece)
    return [str(Fraction(float(step)).limit_denominator(96)) for step in steps]


def intervals(piece: Piece) -> list[str]:
    """Return the interval from each note to the next in semitones, of the top note of a chord."""
    _, last = np.unique(piece.notes["onset_beat"][::-1], return_index=True)
    # Sorted by onset, then pitch: the last note of an onset is its highest.
    pitch = piece.notes["pitch"][::-1][last].astype(int)
    return [str(step) for step in np.diff(pitch)]


def baseline(name: str, *, task: str = "dances") -> dict[str, Any]:
    """Score a classifier that reads the score: a logistic regression on counts of n-grams.

    Runs of one to five intervals, steps of time, or both are counted; the logarithm of one plus
    the count is the feature. The regularisation is chosen on the validation split.

    Parameters
    ----------
    name : str
        One of `BASELINES`.
    task : {"valid", "dances"}
        See the module.

    Returns
    -------
    dict
        ``scores`` (1 where right), ``groups`` (family), ``truth``, ``prediction``, ``parameters``
        and ``seconds``.

    Raises
    ------
    ValueError
        If the name or the task is unknown.
    """
    readers: dict[str, tuple[Callable[[Piece], list[str]], ...]] = {
        "majority": (),
        "time signature": (lambda piece: [str(piece.meter)],),
        "pitch n-grams": (intervals,),
        "rhythm n-grams": (rhythm,),
        "pitch and rhythm n-grams": (intervals, rhythm),
    }
    if name not in readers:
        raise ValueError(f"no baseline {name!r}; choose from {', '.join(BASELINES)}")
    began = time.perf_counter()
    learn, score = divided(task)
    if name == "majority":
        prediction = np.full(len(score), np.bincount(labels(learn)).argmax())
        return _outcome(score, prediction) | {"parameters": 0, "seconds": 0.0}
    tune, check = divided("valid")
    counts = _counts(readers[name])
    x, y = counts.fit_transform(tune), labels(tune)
    held_out = counts.transform(check), labels(check)
    best = max(STRENGTHS, key=lambda c: _regression(c).fit(x, y).score(*held_out))
    model = _regression(best).fit(counts.fit_transform(learn), labels(learn))
    return _outcome(score, model.predict(counts.transform(score))) | {
        "parameters": int(model.coef_.size + model.intercept_.size),
        "seconds": time.perf_counter() - began,
    }


def _regression(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=1000, tol=1e-3)


def _counts(readers: Sequence[Callable[[Piece], list[str]]]) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.preprocessing import FunctionTransformer

    counters = [CountVectorizer(analyzer=_grams(reader), min_df=3) for reader in readers]
    return make_pipeline(make_union(*counters), FunctionTransformer(np.log1p))


def _grams(reader: Callable[[Piece], list[str]]) -> Callable[[Piece], list[tuple[str, ...]]]:
    def grams(piece: Piece) -> list[tuple[str, ...]]:
        tokens = reader(piece)
        return [
            tuple(tokens[i : i + n])
            for n in range(1, NGRAM + 1)
            for i in range(len(tokens) - n + 1)
        ]

    return grams


# -------------------------------------------------------------------------------------- by ear


def performance(piece: Piece) -> NDArray[Any]:
    """Return a tune's notes with the bar as the beat, repeated until 16 bars are full.

    Raises
    ------
    ValueError
        If the piece has no notes or no meter.
    """
    if not len(piece.notes):
        raise ValueError(f"{piece!r} has no notes to play")
    bar = _bar(piece)
    onset, duration = piece.notes["onset_beat"] / bar, piece.notes["duration_beat"] / bar
    # A tune ends on a bar line or, after a pickup, short of one by that.
    length = max(1, round(piece.duration_beat / bar))
    rounds = -(-BARS // length)
    start = length * np.repeat(np.arange(rounds), len(onset))
    return note_array(
        np.tile(onset, rounds) + start,
        np.tile(duration, rounds),
        np.tile(piece.notes["pitch"], rounds),
    )


def audio(pieces: Sequence[Piece]) -> NDArray[np.float32]:
    """Render tunes at two bars a second: ``(N, samples)`` at 8 kHz, 8 s, peak 1, a little noise."""
    played = synth.render(
        [performance(piece) for piece in pieces],
        tempo=60.0 / BAR_SECONDS,
        program=PROGRAM,
        sample_rate=SAMPLE_RATE,
        seconds=BARS * BAR_SECONDS,
    )
    loud = np.stack([one / max(1e-6, np.abs(one).max()) for one in played])
    # One noise for all: a tune sounds the same whatever is rendered beside it.
    noise = np.random.default_rng(0).standard_normal(loud.shape[1], dtype=np.float32)
    return loud + np.float32(NOISE) * noise


def spectrograms(model: Any, pieces: Sequence[Piece]) -> NDArray[np.float16]:
    """Return a model's own spectrograms of tunes, ``(N, F, T)``, from the cache where they are.

    Parameters
    ----------
    model : mircourse.cnn.MusicCNN or mircourse.cnn.HarmonicCNN
        At `SAMPLE_RATE`; only its ``spectrogram`` is used.
    pieces : sequence of Piece
        Not empty.

    Raises
    ------
    ValueError
        If there is no piece, or the model is for another rate.
    """
    if not pieces:
        raise ValueError("got no tunes; expected at least one")
    import torch

    rate = model.spectrogram.transform.sample_rate
    if rate != SAMPLE_RATE:
        raise ValueError(f"got a model for {rate} Hz; the tunes are rendered at {SAMPLE_RATE} Hz")
    folder = cache_dir() / "dances" / "spectrograms"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{_key(model, piece)}.npy" for piece in pieces]
    missing = [k for k, file in enumerate(files) if not file.exists()]
    # Stored a few at a time: the first use, minutes for all tunes, goes on where it was stopped.
    for first in range(0, len(missing), 32):
        some = missing[first : first + 32]
        waveforms = torch.from_numpy(audio([pieces[k] for k in some]))  # (32, samples)
        with torch.inference_mode():
            made = model.spectrogram(waveforms).numpy().astype(np.float16)  # (32, F, T)
        for k, one in zip(some, made, strict=True):
            beside = files[k].with_suffix(f".{os.getpid()}.part")
            with beside.open("wb") as stream:
                np.save(stream, one)
            os.replace(beside, files[k])
    return np.stack([np.load(file) for file in files])


def train(
    arguments: Mapping[str, Any], *, seed: int, fast: bool = False, task: str = "dances"
) -> dict[str, Any]:
    """Train a `MusicCNN` and score it; what was trained before with the same settings is recalled.

    Training hears excerpts of eight bars, scoring all sixteen.

    Parameters
    ----------
    arguments : mapping
        Of the constructor, beside the front end's: ``width``, ``branches``, ``pooling``, ...
    seed : int
        Decides the initial weights, the order and the excerpts.
    fast : bool
        One epoch on a few tunes.
    task : {"valid", "dances"}
        See the module.

    Returns
    -------
    dict
        ``scores`` (1 where right), ``groups`` (family), ``truth``, ``prediction``, ``parameters``
        and ``seconds`` of training.

    Raises
    ------
    ValueError
        If the task is unknown, or an argument is invalid.
    """
    memory = joblib.Memory(cache_dir() / "dances", verbose=0)
    # The recipe is part of what a result depends on.
    settings = {"arguments": dict(arguments), "front_end": FRONT_END, "recipe": RECIPE}
    return memory.cache(_train)(settings, seed=seed, fast=fast, task=task)


def _train(settings: dict[str, Any], *, seed: int, fast: bool, task: str) -> dict[str, Any]:
    from mircourse import training

    model, seconds = trained(settings["arguments"], seed=seed, fast=fast, task=task)
    _, score = divided(task)
    logits = training.predict(model, spectrograms(model, score).astype(np.float32))
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return _outcome(score, logits.argmax(axis=1)) | {"parameters": parameters, "seconds": seconds}


def trained(arguments: Mapping[str, Any], *, seed: int, fast: bool, task: str) -> tuple[Any, float]:
    """Return a network trained as `train` says, and the seconds that took."""
    import torch

    from mircourse import cnn, training

    learn, _ = divided(task)
    learn = learn[:64] if fast else learn
    training.seed_everything(seed)
    options: dict[str, Any] = {"normalize": "input", **FRONT_END, **arguments}
    model: Any = cnn.MusicCNN(len(TYPES), SAMPLE_RATE, **options)
    model = model.to(memory_format=torch.channels_last)
    x = spectrograms(model, learn).astype(np.float32)
    began = time.perf_counter()
    goal = training.ClassificationTask(model, lr=RECIPE["lr"], label_smoothing=0.1)
    training.fit(
        goal,
        (x, labels(learn)),
        epochs=1 if fast else int(RECIPE["epochs"]),
        batch_size=int(RECIPE["batch_size"]),
        seed=seed,
        batch_transform=excerpts,
    )
    return model, time.perf_counter() - began


def excerpts(x: Any, y: Any) -> tuple[Any, Any]:
    """Cut eight bars out of each spectrogram ``(B, F, T)``, from anywhere, as its labels stay."""
    import torch

    start = torch.randint(0, max(1, x.shape[2] - EXCERPT + 1), (len(x),)).tolist()
    cut = [one[:, first : first + EXCERPT] for one, first in zip(x, start, strict=True)]
    return torch.stack(cut), y  # (B, F, T) -> (B, F, EXCERPT)


def _bar(piece: Piece) -> float:
    if piece.bar_beats is None:
        raise ValueError(f"{piece!r} has no meter")
    return piece.bar_beats


def _key(model: Any, piece: Piece) -> str:
    font = registry.entries()[SHIPPED].sha256
    settings = (repr(model.spectrogram.transform), PROGRAM, BARS, BAR_SECONDS, NOISE, font)
    notes = performance(piece).tobytes()
    return hashlib.sha256(repr(settings).encode() + notes).hexdigest()[:24]


def _outcome(score: Sequence[Piece], prediction: NDArray) -> dict[str, Any]:
    truth = labels(score)
    return {
        "scores": (prediction == truth).astype(float).tolist(),
        "groups": [piece.family for piece in score],
        "truth": truth.tolist(),
        "prediction": [int(p) for p in prediction],
    }
