"""Changes that take two clips of a batch: a weighted mean of both, or both at once.

Lesson: book/index
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from mircourse.augmentations import Augmentation, Range, drawn
from mircourse.clips import Clips


@dataclass(frozen=True, kw_only=True)
class MixUp(Augmentation):
    """A weighted mean of two clips and of their classes (Zhang et al., 2018).

    The weight is drawn from Beta(`alpha`, `alpha`). Of notes there is no weighted mean: a clip
    with notes is refused; take `Sum`.

    Lesson: book/index
    """

    alpha: float = 0.2

    def change(self, clips: Clips) -> Clips:
        """Return clips mixed with each other."""
        if not self.alpha > 0:
            raise ValueError(f"MixUp: alpha must be above 0, got {self.alpha}")
        if clips.notes is not None:
            raise ValueError("MixUp weighs classes; notes are either there or not: use Sum")
        share = torch.distributions.Beta(self.alpha, self.alpha).sample((len(clips),))
        share = share.to(clips.audio)[:, None]  # (B, 1)
        other = clips.take(torch.randperm(len(clips)))
        classes = clips.classes
        if classes is not None and other.classes is not None:
            classes = share.to(classes) * classes + (1 - share.to(classes)) * other.classes
        audio = share * clips.audio + (1 - share) * other.audio
        return dataclasses.replace(clips, audio=audio, classes=classes)


@dataclass(frozen=True, kw_only=True)
class Sum(Augmentation):
    """Two clips at once, the second `decibels` louder: all notes and all classes of both.

    A sum beyond full scale is brought back to it. Silence is added as it is.

    Lesson: book/index
    """

    decibels: Range = (-6.0, 6.0)

    def change(self, clips: Clips) -> Clips:
        """Return clips added to each other."""
        other = clips.take(torch.randperm(len(clips)))
        powers = [c.audio.square().mean(dim=1) for c in (clips, other)]  # 2 x (B,)
        gain = (powers[0] / powers[1].clamp(min=1e-12)).sqrt()
        gain = torch.where((powers[0] > 0) & (powers[1] > 0), gain, torch.ones_like(gain))
        gain = gain * 10 ** (drawn(self.decibels, clips) / 20)
        audio = clips.audio + gain[:, None] * other.audio
        audio = audio / audio.abs().amax(dim=1, keepdim=True).clamp(min=1)
        classes, notes = clips.classes, clips.notes
        if classes is not None and other.classes is not None:
            classes = torch.maximum(classes, other.classes)
        if notes is not None and other.notes is not None:
            notes = torch.cat([notes, other.notes], dim=1)  # 2 x (B, N, 3) -> (B, 2N, 3)
        return dataclasses.replace(clips, audio=audio, classes=classes, notes=notes)
