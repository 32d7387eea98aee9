"""Rendered notes of many instruments: two notes of one timbre are two views of it.

The crops of a recorded note share its pitch, and a network may tell notes apart by that. The notes
of one rendered instrument share all but that.
"""

from __future__ import annotations

from collections.abc import Callable

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mircourse import synth
from mircourse.experiments.runner import cache_dir
from mircourse.scores import note_array

PROGRAMS = tuple(range(112))  # those of General MIDI with a pitch
LOWEST, HIGHEST, NOTES = 36, 84, 13  # MIDI pitches, and how many notes between them
NOISE = 1e-3  # of the loudest sample: recordings are never digitally silent
FONT = "timgm6mb"


class TimbreViews:
    """A view of one of the K notes of each timbre: (B, K, n) to what `views` makes of (B, n)."""

    def __init__(self, views: Callable[[Tensor], Tensor]) -> None:
        self.views = views

    def __call__(self, x: Tensor) -> Tensor:
        """Return a view of a note of each timbre, another one at every call."""
        note = torch.randint(x.shape[1], (len(x),))
        return self.views(x[torch.arange(len(x)), note].float())

    def __repr__(self) -> str:
        return f"TimbreViews({self.views!r})"


def audio(*, seconds: float, sample_rate: int, fast: bool) -> NDArray[np.float16]:
    """Return the notes of every program, from the cache where they are, the loudest sample 1.

    Parameters
    ----------
    seconds : float
        Of each note.
    sample_rate : int
        In Hz.
    fast : bool
        Four programs, two notes.

    Returns
    -------
    ndarray of float16, shape (programs, notes, n)
    """
    programs, notes = (PROGRAMS[::28], 2) if fast else (PROGRAMS, NOTES)
    played = {program: pitches(program, notes=notes) for program in programs}
    memory = joblib.Memory(cache_dir() / "contrastive" / "timbres", verbose=0)
    return memory.cache(_play)(played, seconds=seconds, sample_rate=sample_rate, font=FONT)


def pitches(program: int, *, notes: int = NOTES) -> tuple[int, ...]:
    """Return pitches from the lowest to the highest that a program plays of those in question."""
    playable = synth.pitches(FONT)[program]
    ends = max(LOWEST, playable[0]), min(HIGHEST, playable[-1])
    return tuple(np.linspace(*ends, notes).round().astype(int).tolist())


def _play(
    played: dict[int, tuple[int, ...]], *, seconds: float, sample_rate: int, font: str
) -> NDArray[np.float16]:
    rng = np.random.default_rng(0)
    rows = []
    for program, of_program in played.items():
        notes = [note_array([0], [4], [pitch], velocity=90) for pitch in of_program]
        heard = synth.render(
            notes, program=program, font=font, seconds=seconds, sample_rate=sample_rate
        )
        loud = np.stack([one / max(1e-6, np.abs(one).max()) for one in heard])  # (K, n)
        rows.append((loud + NOISE * rng.standard_normal(loud.shape)).astype(np.float16))
    return np.stack(rows)
