"""Train a transcription network on rendered piano music, and score what it writes down."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mircourse.experiments import pianos
from mircourse.experiments.remembered import Trained, kept
from mircourse.experiments.runner import cache_dir
from mircourse.notescores import note_scores
from mircourse.pianoroll import notes_of, piano_roll
from mircourse.tasks import Task
from mircourse.training import fit, seed_everything
from mircourse.transcribing import hear
from mircourse.transcription import MusicTranscriptionRNN
from mircourse.transcriptionloss import TranscriptionLoss

VERSION = 4  # raised when passages, features or training change: nothing kept is used again
BATCH = 6
EPOCH_STEPS = 250
FRAMES = 160  # of an excerpt: 3.2 s at 20 ms a frame
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
PITCH_THRESHOLDS = (0.2, 0.3, 0.4, 0.5)


class Excerpts(Dataset):
    """Random excerpts of passages, as features and rolls.

    Parameters
    ----------
    features : list of Tensor, each (T, n_features)
    rolls : list of Tensor, each (T, 3, 88)
        Pitches, onsets, velocities.
    excerpts : int
        How many an epoch has.
    colour : bool
        Change level and spectral envelope at random, as another piano, microphone or room would:
        a sum of a few slow cosines over the rows, up to 8 dB, is added to the logarithms.
    windows : int
        Of the spectrogram; the rows of each are coloured alike.
    """

    def __init__(
        self,
        features: Sequence[Tensor],
        rolls: Sequence[Tensor],
        *,
        excerpts: int,
        colour: bool,
        windows: int,
    ) -> None:
        self.features, self.rolls = features, rolls
        self.excerpts, self.colour, self.windows = excerpts, colour, windows
        self.rows = features[0].shape[1] // windows
        self.ends = torch.tensor([max(1, len(f) - FRAMES + 1) for f in features]).cumsum(0)

    def __len__(self) -> int:
        return self.excerpts

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        at = int(torch.randint(int(self.ends[-1]), ()))
        passage = int(torch.searchsorted(self.ends, at, right=True))
        start = at - (int(self.ends[passage - 1]) if passage else 0)
        x = self.features[passage][start : start + FRAMES].float()
        y = self.rolls[passage][start : start + FRAMES].float()
        if self.colour:
            x = x + self._colour().repeat(self.windows)
        return x, y

    def _colour(self) -> Tensor:
        where = torch.linspace(0, 1, self.rows)
        level = torch.empty(1).uniform_(-1.4, 1.4)  # 6 dB in the log of a power
        waves = torch.rand(4, 1) * torch.arange(1, 5)[:, None]  # up to four periods
        heights = 0.9 * torch.randn(4, 1)
        return level + (heights * torch.cos(6.283 * (waves * where + torch.rand(4, 1)))).sum(0)


class TranscriptionTask(Task):
    """`TranscriptionLoss` on the logits of a `MusicTranscriptionRNN`."""

    model: MusicTranscriptionRNN

    def __init__(self, model: MusicTranscriptionRNN, loss: TranscriptionLoss, **settings: Any):
        super().__init__(model, **settings)
        self.loss = loss

    def forward(self, x: Tensor) -> Any:
        """Return the model's logits."""
        return self.model.logits(x)

    def terms(self, logits: Any, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss times the number of excerpts, and that number."""
        total = self.loss(logits, target)["total"]
        return total * len(target), total.new_tensor(float(len(target)))

    def counts(self, logits: Any, target: Tensor) -> Tensor:
        """Return cells found, cells there, and both, of the pitch roll."""
        found, there = logits.pitches > 0, target[:, :, 0] > 0.5
        return torch.stack([(found & there).sum(), found.sum(), there.sum()])

    def summary(self, counts: Tensor) -> dict[str, float]:
        """Return the F-measure over cells of the pitch roll."""
        both, found, there = counts.tolist()
        return {"frame_f": 2 * both / (found + there) if found + there else 0.0}


def rolls(passage: pianos.Passage, *, frames: int, hop_seconds: float) -> Tensor:
    """Return the rolls of a passage, (T, 3, 88) in half precision."""
    roll = piano_roll(passage.notes, frames=frames, hop_seconds=hop_seconds)
    return torch.from_numpy(np.stack([roll.pitches, roll.onsets, roll.velocities], 1)).half()


# Small enough to be trained many times; the other is what the course ships.
SMALL: dict[str, Any] = {
    "arguments": {
        "front_end": "harmonic",
        "hidden_dim": 48,
        "n_layers": 1,
        "onset_outputs": 88,
        "velocity_outputs": 88,
        "channels": 10,
        "size": 64,
    },
    "minutes": 20,
    "varied": list(pianos.VARIED),
    "steps": 300,
    "lr": 5e-3,
}
FULL: dict[str, Any] = SMALL | {
    "arguments": SMALL["arguments"]
    | {"hidden_dim": 128, "channels": 16, "size": 128, "key_dim": 24},
    "minutes": 120,
    "steps": 3000,
    "lr": 3e-3,
}


def trained(
    settings: Mapping[str, Any], *, seed: int, fast: bool
) -> tuple[MusicTranscriptionRNN, float]:
    """Return a trained network, its thresholds chosen on the validation split, and the seconds.

    It is kept in the folder for work in progress: several experiments score the same network.

    Parameters
    ----------
    settings : mapping
        ``arguments`` of the network, ``minutes`` of music to learn from and what is ``varied`` in
        it, ``steps``, ``lr``, and ``loss``, arguments of `TranscriptionLoss`.
    seed : int
        Decides the initial weights and the excerpts; the passages are the same for all.
    fast : bool
        A few steps on a minute of music.
    """
    settings = dict(settings) | ({"minutes": 1, "steps": 2} if fast else {})

    def train(folder: Path) -> Trained:
        model, seconds = _train(settings, seed, folder)
        return Trained(model, settings["arguments"] | _tuned(model, fast=fast), seconds)

    return kept("transcribers", [VERSION, settings, seed], train)


def _train(
    settings: Mapping[str, Any], seed: int, folder: Path
) -> tuple[MusicTranscriptionRNN, float]:
    # An epoch is what is lost if training is interrupted.
    epochs = max(1, settings["steps"] // EPOCH_STEPS)
    seed_everything(seed)
    model = MusicTranscriptionRNN(**settings["arguments"])
    xs, ys = _corpus(model, settings["minutes"], settings["varied"])
    data = Excerpts(
        xs,
        ys,
        excerpts=BATCH * (settings["steps"] // epochs),
        colour="noise" in settings["varied"],
        windows=model.acoustic.n_windows,
    )
    task = TranscriptionTask(
        model, TranscriptionLoss(**settings.get("loss", {})), lr=settings["lr"]
    )
    result = fit(
        task,
        data,
        epochs=epochs,
        batch_size=BATCH,
        seed=seed,
        gradient_clip=1.0,
        checkpoint_dir=folder,
    )
    return model, result.seconds


def _corpus(
    model: MusicTranscriptionRNN, minutes: float, varied: Sequence[str]
) -> tuple[list[Tensor], list[Tensor]]:
    """Return features and rolls of the training passages, computed once for all networks."""
    front_end = model.acoustic.spectrogram.extra_repr()
    key = json.dumps([VERSION, front_end, minutes, list(varied)])
    file = cache_dir() / "transcribers" / f"corpus-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if not file.exists():
        xs, ys = [], []
        for passage in pianos.training(minutes, varied=varied):
            x = model.features(torch.from_numpy(passage.audio)[None])[0]  # (T, features)
            xs.append(x.half())
            ys.append(rolls(passage, frames=len(x), hop_seconds=model.hop_seconds))
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        torch.save((xs, ys), part)
        part.replace(file)
    return torch.load(file, mmap=True)


def _tuned(model: MusicTranscriptionRNN, *, fast: bool) -> dict[str, float]:
    """Return the thresholds with the best note F-measures on the validation passages.

    They are scored as the soundfont plays them and with the sound varied: on the plain ones alone,
    thresholds come out too high for a piano or a room that was not heard in training.
    """
    valid = [
        passage
        for sound in ((), ("timbre", "room", "noise"))
        for passage in pianos.held_out("valid", sound=sound, fast=fast)
    ]
    heard = [hear(model, p.audio) for p in valid]

    def score(thresholds: tuple[float, float]) -> float:
        onset, pitch = thresholds
        total = 0.0
        for passage, found in zip(valid, heard, strict=True):
            notes = notes_of(
                *found, hop_seconds=model.hop_seconds, onset_threshold=onset, pitch_threshold=pitch
            )
            total += note_scores(passage.notes, notes).f
            total += note_scores(passage.notes, notes, offset_ratio=0.2).f
        return total

    onset, pitch = max(itertools.product(THRESHOLDS, PITCH_THRESHOLDS), key=score)
    return {"onset_threshold": onset, "pitch_threshold": pitch}
