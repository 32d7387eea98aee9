"""One step of training: `MusicCNN` beside a ResNet-18 on the same log-mels and labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mircourse import recordings
from mircourse.cnn import MusicCNN
from mircourse.experiments.benchmark import Timing
from mircourse.recordings import Recordings
from parts.beside import Function, beside
from parts.resnet import ResNet18

CLAIM = "MusicCNN learns instruments with less computation than a plain ResNet-18"
N_CLASSES = 19
HOP = 1024  # of the chapter's instrument models


def rows(*, fast: bool) -> list[Timing]:
    notes = recordings.load()
    if fast:
        return [measure(notes[:2], width=0.125, seconds=0.5, repeats=1)]
    return [
        # Of the experiments; of the model that ships; of the article.
        measure(notes[:16], width=0.125, seconds=1.25, repeats=7),
        measure(notes[:16], width=0.1875, seconds=2.5, repeats=7),
        measure(notes[:4], width=1.0, seconds=2.5, repeats=5),
    ]


def measure(notes: Recordings, *, width: float, seconds: float, repeats: int) -> Timing:
    torch.manual_seed(0)
    # The faster layout on a CPU, for both.
    ours = MusicCNN(N_CLASSES, width=width, hop_length=HOP).to(memory_format=torch.channels_last)
    peer = ResNet18(N_CLASSES).to(memory_format=torch.channels_last)
    with torch.no_grad():
        spectrograms = ours.spectrogram(torch.from_numpy(notes.audio(seconds)))  # (B, F, T)
    labels = torch.from_numpy(notes.labels)  # (B,)
    n, rows, frames = spectrograms.shape
    ratio, memory = beside(
        step(ours, spectrograms, labels), step(peer, spectrograms, labels), repeats=repeats
    )
    return Timing(
        f"MusicCNN of width {width:g} against ResNet-18",
        ratio,
        "one step of training",
        parameters=parameters(ours),
        note=f"{n} log-mels of {seconds:g} s, {rows} × {frames}: forward, backward, AdamW; "
        f"ResNet-18 has {parameters(peer):,} parameters{memory}",
    )


def step(model: nn.Module, spectrograms: Tensor, labels: Tensor) -> Function:
    """Return a function that takes one step: loss, gradients, AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()

    def take() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(model(spectrograms), labels).backward()
        optimizer.step()

    return take


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
