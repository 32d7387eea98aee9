"""Rendered notes of many instruments: two notes of one timbre are two views of it.

The crops of a recorded note share its pitch, and a network may tell notes apart by that. The notes
of one rendered instrument share all but that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mircourse import synth
from mircourse.augment import SpecAugment
from mircourse.cnn import MusicCNN
from mircourse.experiments.runner import cache_dir
from mircourse.scores import note_array

PROGRAMS = tuple(range(112))  # those of General MIDI with a pitch
LOWEST, HIGHEST, NOTES = 36, 84, 13  # MIDI pitches, and how many notes between them
NOISE = 1e-3  # of the loudest sample: recordings are never digitally silent
FONT = "timgm6mb"


class PitchViews:
    """One of the K notes of a timbre, (B, K, F, T) to (B, F, T), with parts hidden."""

    def __init__(self) -> None:
        self.masks = SpecAugment(bands=16, frames=6)

    def __call__(self, x: Tensor) -> Tensor:
        """Return a note of each timbre, another one at every call."""
        pitch = torch.randint(x.shape[1], (len(x),))
        return self.masks(x[torch.arange(len(x)), pitch])

    def __repr__(self) -> str:
        return f"PitchViews({self.masks!r})"


def spectrograms(
    arguments: Mapping[str, Any], *, seconds: float, fast: bool
) -> NDArray[np.float32]:
    """Return the spectrograms of the notes of every program, from the cache where they are.

    Parameters
    ----------
    arguments : mapping
        Of the `MusicCNN` whose front end makes them.
    seconds : float
        Heard of each note.
    fast : bool
        Four programs, two notes.

    Returns
    -------
    ndarray of float32, shape (programs, notes, F, T)
    """
    programs, notes = (PROGRAMS[::28], 2) if fast else (PROGRAMS, NOTES)
    played = {program: pitches(program, notes=notes) for program in programs}
    memory = joblib.Memory(cache_dir() / "contrastive" / "timbres", verbose=0)
    return memory.cache(_compute)(dict(arguments), played=played, seconds=seconds, font=FONT)


def pitches(program: int, *, notes: int = NOTES) -> tuple[int, ...]:
    """Return pitches from the lowest to the highest that a program plays of those in question."""
    playable = synth.pitches(FONT)[program]
    ends = max(LOWEST, playable[0]), min(HIGHEST, playable[-1])
    return tuple(np.linspace(*ends, notes).round().astype(int).tolist())


def _compute(
    arguments: dict[str, Any],
    *,
    played: dict[int, tuple[int, ...]],
    seconds: float,
    font: str,
) -> NDArray[np.float32]:
    encoder = MusicCNN(**arguments)
    rng = np.random.default_rng(0)
    rows = []
    for program, of_program in played.items():
        notes = [note_array([0], [4], [pitch], velocity=90) for pitch in of_program]
        audio = synth.render(notes, program=program, font=font, seconds=seconds)
        loud = np.stack([one / max(1e-6, np.abs(one).max()) for one in audio])  # (K, n)
        noisy = loud + NOISE * rng.standard_normal(loud.shape)
        with torch.inference_mode():
            rows.append(encoder.spectrogram(torch.from_numpy(noisy.astype(np.float32))).numpy())
    return np.stack(rows)
