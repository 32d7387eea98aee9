"""Whether tasks that are learned together pull the weights that they share the same way.

Cosines of the gradients of their losses, before training and after it, on what is held out: on
excerpts of 3.2 s of the transcriber's test passages, and on the recorded notes of each test pitch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from mircourse.experiments import instruments, pianos, together, transcribers, transcriptions
from mircourse.experiments.remembered import remembered
from mircourse.gradients import gradient_cosines
from mircourse.transcription import MusicTranscriptionRNN
from mircourse.transcriptionloss import TranscriptionLoss

MOMENTS = ("before training", "after training")
SOURCES = ("notes", "passages")


def measure(
    settings: Mapping[str, Any], *, source: str, moment: str, seed: int, fast: bool
) -> dict[str, Any]:
    """Measure the cosine of two tasks' gradients on each held-out item.

    Parameters
    ----------
    settings : mapping
        ``pair`` of names of losses; without it the cosine is 0, that of two directions which have
        nothing to do with each other.
    source : {"notes", "passages"}
        Instrument and pitch of recorded notes, or pitches, onsets and velocities of piano music.
    moment : str
        One of `MOMENTS`.
    seed : int
        Of the network.
    fast : bool
        A few items, and a network that has hardly learnt.

    Raises
    ------
    ValueError
        If the source or the moment is unknown.
    """
    if source not in SOURCES or moment not in MOMENTS:
        raise ValueError(f"expected one of {SOURCES} and of {MOMENTS}, got {source!r}, {moment!r}")
    where = {"trained": moment == MOMENTS[1], "source": source}
    cosines, groups = _cosines(where, seed=seed, fast=fast)
    pair = settings.get("pair")
    scores = [0.0 if pair is None else one[pair[0], pair[1]] for one in cosines]
    return {"scores": scores, "groups": groups, "seconds": 0.0}


Measured = tuple[list[dict[tuple[str, str], float]], list[str]]


@remembered
def _cosines(settings: Mapping[str, Any], *, seed: int, fast: bool) -> Measured:
    """Return the cosines of all pairs on each item, and what each item belongs to."""
    trained = settings["trained"]
    return (_of_notes if settings["source"] == "notes" else _of_passages)(trained, seed, fast)


def _of_notes(trained: bool, seed: int, fast: bool) -> Measured:
    _, score = instruments.split("instruments")
    model = together.untrained(seed)
    if trained:
        both = {"weights": [1.0, 1.0]}
        model, _ = together.network(both, split="instruments", seed=seed, fast=fast)
    model.eval()
    x, y = torch.from_numpy(together.inputs(model, score)), together.targets(score)
    pitches = sorted({int(pitch) for pitch in score.pitches})
    cosines = []
    for pitch in pitches[: 2 if fast else None]:
        rows = [k for k, other in enumerate(score.pitches) if other == pitch]
        losses = together.losses(model(x[rows]), torch.from_numpy(y[rows]))
        cosines.append(gradient_cosines(losses, shared(model, heads=("head.fc",))))
    return cosines, [str(pitch) for pitch in pitches[: len(cosines)]]


def _of_passages(trained: bool, seed: int, fast: bool) -> Measured:
    from mircourse import training

    settings = transcribers.SMALL
    training.seed_everything(seed)
    model = MusicTranscriptionRNN(**settings["arguments"])
    if trained:
        model, _ = transcribers.trained(settings, seed=seed, fast=fast)
    model.eval()
    loss = TranscriptionLoss()
    heads = ("outputs", "key_outputs")
    cosines, groups = [], []
    for passage in transcriptions.passages(transcriptions.UNHEARD, fast=fast):
        x = model.features(torch.from_numpy(passage.audio)[None])  # (1, T, features)
        y = transcribers.rolls(passage, frames=x.shape[1], hop_seconds=model.hop_seconds)
        some = slice(0, transcribers.FRAMES)
        parts = loss(model.logits(x[:, some]), y[None, some].float())
        losses = {name: parts[name] for name in transcriptions.PARTS}
        cosines.append(gradient_cosines(losses, shared(model, heads=heads)))
        groups.append(passage.family)
    return cosines, groups


def shared(model: nn.Module, *, heads: Sequence[str]) -> list[nn.Parameter]:
    """Return the weights that all tasks use: those of no head.

    Raises
    ------
    ValueError
        If there is no such head.
    """
    named = dict(model.named_parameters())
    for head in heads:
        if not any(name.startswith(f"{head}.") for name in named):
            raise ValueError(f"no head {head!r} in {type(model).__name__}")
    return [p for name, p in named.items() if not name.startswith(tuple(f"{h}." for h in heads))]


FAMILIES = f"pitch (notes), {pianos.FAMILIES} (passages)"
