"""Who writes down what: networks, peers and methods without learning on the same passages."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from mircourse.experiments import pianos, transcribers
from mircourse.experiments.pianos import Passage
from mircourse.experiments.runner import cache_dir
from mircourse.notescores import frame_scores, match_notes, note_scores, velocity_error
from mircourse.performed import performed_notes
from mircourse.pianoroll import piano_roll
from mircourse.transcribing import hear

HEARD, UNHEARD = "piano, same soundfont", "piano, unheard soundfont"
DETACHED = "unheard soundfont, detached"
TASKS: dict[str, dict[str, Any]] = {
    HEARD: {},
    UNHEARD: {"font": "timgm6mb"},
    DETACHED: {"font": "timgm6mb", "detached": True},
    "harpsichord": {"program": pianos.UNHEARD["harpsichord"]},
    "reed organ": {"program": pianos.UNHEARD["reed organ"]},
}
SETTLED = 0.03
Measure = Callable[[NDArray, NDArray], float]


def onset_f(reference: NDArray, estimated: NDArray) -> float:
    """Return the F-measure of notes by pitch and onset, 50 ms."""
    return note_scores(reference, estimated).f


def note_f(reference: NDArray, estimated: NDArray) -> float:
    """Return the F-measure of notes by pitch, onset and offset (50 ms or 20 % of the length)."""
    return note_scores(reference, estimated, offset_ratio=0.2).f


def frame_f(reference: NDArray, estimated: NDArray) -> float:
    """Return the F-measure of frames of 10 ms."""
    return frame_scores(reference, estimated).f


def passages(task: str, *, fast: bool) -> tuple[Passage, ...]:
    """Return the test passages of a key of `TASKS`."""
    return pianos.held_out("test", fast=fast, **TASKS[task])


def score(
    settings: Mapping[str, Any], *, task: str, seed: int, fast: bool, measure: Measure = onset_f
) -> dict[str, Any]:
    """Score what a system writes down, passage by passage.

    Parameters
    ----------
    settings : mapping
        ``system``: ``"network"`` (with the settings of `transcribers.trained`), ``"nmf"``,
        ``"basic-pitch"``, ``"madmom"``, or ``"every beat"``, a middle C on every half second.
    task : str
        A key of `TASKS`.
    seed : int
        For the network.
    fast : bool
        A few passages, and a network that has hardly learnt.
    measure : callable
        Of reference and estimate, both performed arrays.
    """
    test = passages(task, fast=fast)
    found, facts = written(settings, task=task, seed=seed, fast=fast)
    scores = [measure(p.notes, notes) for p, notes in zip(test, found, strict=True)]
    return {"scores": scores, "groups": [p.family for p in test], **facts}


def by_polyphony(
    settings: Mapping[str, Any], *, task: str, voices: int, seed: int, fast: bool
) -> dict[str, Any]:
    """Score by onset the notes that begin while so many keys are down, their own among them.

    Keys are counted `SETTLED` seconds after the onset: in a performance the notes before are let
    go a little after the next ones are struck.
    """
    test = passages(task, fast=fast)
    found, facts = written(settings, task=task, seed=seed, fast=fast)
    scores, groups = [], []
    for passage, notes in zip(test, found, strict=True):
        reference = passage.notes
        there = np.maximum(_down(reference, reference["onset_sec"] + SETTLED), 1)
        pairs = match_notes(reference, notes)
        # An estimated note stands where its partner does; one without a partner, where it begins.
        heard = np.maximum(_down(reference, notes["onset_sec"] + SETTLED), 1)
        right = 0
        for i, j in pairs:
            heard[j] = there[i]
            right += there[i] == voices
        total = int((there == voices).sum())
        if total:
            scores.append(2 * right / (total + int((heard == voices).sum())))
            groups.append(passage.family)
    return {"scores": scores, "groups": groups, **facts}


def _down(notes: NDArray, times: NDArray) -> NDArray[np.int64]:
    begun = notes["onset_sec"] <= times[:, None] + 1e-6
    return (begun & (notes["onset_sec"] + notes["duration_sec"] > times[:, None] + 1e-6)).sum(1)


def velocities(settings: Mapping[str, Any], *, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Return the mean absolute velocity error over the notes found, in MIDI steps.

    A ``"mean"`` system gives every note that the network found the mean velocity of the training
    passages. A passage of which no note was found counts as an error of half the range.
    """
    test = passages(task, fast=fast)
    constant = settings["system"] == "mean"
    network = dict(settings) | {"system": "network"}
    found, facts = written(network, task=task, seed=seed, fast=fast)
    scores, groups = [], []
    for passage, notes in zip(test, found, strict=True):
        if constant:
            notes = notes.copy()
            notes["velocity"] = round(_mean_velocity())
        error = velocity_error(passage.notes, notes)
        scores.append(error if np.isfinite(error) else 63.5)
        groups.append(passage.family)
    return {"scores": scores, "groups": groups, **facts}


@functools.cache
def _mean_velocity() -> float:
    music = pianos.training(5, varied=("velocity",))
    return float(np.mean(np.concatenate([p.notes["velocity"] for p in music])))


def written(
    settings: Mapping[str, Any], *, task: str, seed: int, fast: bool
) -> tuple[list[NDArray], dict[str, Any]]:
    """Return what a system writes down of each test passage, and its size and training time.

    What was written is kept in the folder for work in progress: several measures read it.
    """
    memory = joblib.Memory(cache_dir() / "transcriptions", verbose=0)
    asked = json.dumps([transcribers.VERSION, dict(settings)], sort_keys=True)
    return memory.cache(_written)(asked, task, seed, fast)


def _written(asked: str, task: str, seed: int, fast: bool) -> tuple[list[NDArray], dict[str, Any]]:
    _, settings = json.loads(asked)
    system = settings.pop("system")
    audio = [p.audio for p in passages(task, fast=fast)]
    if system == "network":
        model, seconds = transcribers.trained(settings, seed=seed, fast=fast)
        found = [model.transcribe(a, sample_rate=pianos.SAMPLE_RATE) for a in audio]
        parameters = sum(p.numel() for p in model.parameters())
        return found, {"parameters": parameters, "seconds": seconds}
    return _without_training(system, audio), {}


def _without_training(system: str, audio: list[NDArray[np.float32]]) -> list[NDArray]:
    if system == "every beat":
        return [_middle_c(len(a) / pianos.SAMPLE_RATE) for a in audio]
    if system == "nmf":
        from mircourse.nmf import nmf_transcribe

        return [nmf_transcribe(a, sample_rate=pianos.SAMPLE_RATE) for a in audio]
    if system == "basic-pitch":
        from mircourse.experiments.peers import basic_pitch

        return basic_pitch.transcribe_all(audio, sample_rate=pianos.SAMPLE_RATE)
    if system == "madmom":
        from mircourse.experiments.peers import madmom

        return madmom.transcribe_all(audio, sample_rate=pianos.SAMPLE_RATE)
    raise ValueError(f"unknown system {system!r}")


def _middle_c(seconds: float) -> NDArray:
    onset = np.arange(0, seconds, 0.5)
    return performed_notes(onset, np.full(len(onset), 0.5), np.full(len(onset), 60))


PARTS = ("pitches", "onsets", "velocities")


def part(settings: Mapping[str, Any], *, name: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score one output of a network by itself, on the unheard piano, frame by frame.

    Pitches and onsets by average precision over the cells of their roll, which needs no threshold;
    velocities by one minus the mean absolute error over the cells that sound, as a share of 127.

    Parameters
    ----------
    settings : mapping
        Of `transcribers.trained`.
    name : str
        One of `PARTS`.
    seed : int
        For the network.
    fast : bool
        A few passages, and a network that has hardly learnt.
    """
    from sklearn.metrics import average_precision_score

    network = {key: value for key, value in settings.items() if key != "system"}
    model, seconds = transcribers.trained(network, seed=seed, fast=fast)
    scores, groups = [], []
    for passage in passages(UNHEARD, fast=fast):
        found = hear(model, passage.audio)[PARTS.index(name)]  # (T, 88)
        truth = piano_roll(passage.notes, frames=len(found), hop_seconds=model.hop_seconds)
        roll = getattr(truth, name)
        if name == "velocities":
            down = truth.pitches > 0
            scores.append(1 - float(np.abs(found - roll)[down].mean()) / 127)
        else:
            scores.append(float(average_precision_score((roll > 0.5).ravel(), found.ravel())))
        groups.append(passage.family)
    parameters = sum(p.numel() for p in model.parameters())
    return {"scores": scores, "groups": groups, "parameters": parameters, "seconds": seconds}
