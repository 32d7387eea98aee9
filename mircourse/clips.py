"""A batch of clips with what is known of them, so that a change of the sound changes the labels.

Lesson: book/index
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from mircourse.audio import check_rate, check_waveform

NOTE_FIELDS = ("onset", "offset", "pitch")  # seconds, seconds, MIDI number


@dataclass(frozen=True, eq=False)
class Clips:
    """Mono clips of one length, and their labels.

    Labels are kept as notes in seconds; frames or piano rolls are made of them when nothing moves
    any more. Everything lies on one device.

    Lesson: book/index

    Attributes
    ----------
    audio : Tensor, shape (B, n)
        Full scale at ±1.
    sample_rate : int
        In Hz.
    notes : Tensor, shape (B, N, 3), optional
        Onset and offset in seconds and MIDI pitch of up to N notes a clip, as `NOTE_FIELDS`; a row
        without a note is NaN. What a crop cuts off is no longer a note of the clip.
    classes : Tensor, shape (B, K), optional
        Share or presence of each class, in [0, 1].

    Raises
    ------
    TypeError, ValueError
        If a shape or a number is other than said.
    """

    audio: Tensor
    sample_rate: int
    notes: Tensor | None = None
    classes: Tensor | None = None

    def __post_init__(self) -> None:
        check_waveform(self.audio)
        check_rate(self.sample_rate, None)
        if self.audio.ndim != 2:
            raise ValueError(f"audio must be (B, n), got {tuple(self.audio.shape)}")
        for name, label, ndim in (("notes", self.notes, 3), ("classes", self.classes, 2)):
            if label is None:
                continue
            if label.ndim != ndim or len(label) != len(self.audio) or not label.is_floating_point():
                raise ValueError(
                    f"{name} must be floating point of {ndim} axes, one row for each of the "
                    f"{len(self.audio)} clips, got {label.dtype} {tuple(label.shape)}"
                )
        if self.notes is not None and self.notes.shape[2] != len(NOTE_FIELDS):
            raise ValueError(f"notes must be (B, N, 3), {NOTE_FIELDS}: {tuple(self.notes.shape)}")

    def __len__(self) -> int:
        return len(self.audio)

    @property
    def seconds(self) -> float:
        """Length of every clip."""
        return self.audio.shape[1] / self.sample_rate

    def take(self, index: Tensor) -> Clips:
        """Return some of the clips, in the order of `index`, shape (k,) of int64."""
        index = index.to(self.audio.device)
        return dataclasses.replace(
            self,
            audio=self.audio[index],
            notes=None if self.notes is None else self.notes[index],
            classes=None if self.classes is None else self.classes[index],
        )

    def put(self, index: Tensor, some: Clips) -> Clips:
        """Return all clips with those of `index` replaced by `some`, of the same length."""
        index = index.to(self.audio.device)
        audio = self.audio.index_copy(0, index, some.audio)
        classes = self.classes
        if classes is not None and some.classes is not None:
            classes = classes.index_copy(0, index, some.classes)
        notes = self.notes
        if notes is not None and some.notes is not None:
            width = max(notes.shape[1], some.notes.shape[1])
            notes = padded(notes, width).index_copy(0, index, padded(some.notes, width))
        return dataclasses.replace(self, audio=audio, notes=notes, classes=classes)

    def moved(
        self,
        audio: Tensor,
        *,
        semitones: Tensor | float = 0.0,
        rate: Tensor | float = 1.0,
        later: Tensor | float = 0.0,
    ) -> Clips:
        """Return other audio with the same notes higher, `rate` times as fast, `later` by seconds.

        Each of the three is a number or one a clip, (B,). Notes that end before the new audio
        begins, or begin after its end, are gone; those that it cuts are shortened.
        """
        if self.notes is None:
            return dataclasses.replace(self, audio=audio)
        end = audio.shape[1] / self.sample_rate
        up, fast, by = (_column(value, self.notes) for value in (semitones, rate, later))
        times = self.notes[..., :2] / fast[..., None] + by[..., None]  # (B, N, 2)
        onset, offset = times.unbind(dim=2)
        gone = (offset <= 0) | (onset >= end)
        moved = torch.stack([onset.clamp(min=0), offset.clamp(max=end), self.notes[..., 2] + up], 2)
        notes = moved.masked_fill(gone[..., None], torch.nan)
        return dataclasses.replace(self, audio=audio, notes=notes)


def padded(notes: Tensor, width: int) -> Tensor:
    """Return note tables (B, N, 3) with NaN rows up to `width` notes."""
    return torch.nn.functional.pad(notes, (0, 0, 0, width - notes.shape[1]), value=torch.nan)


def _column(value: Tensor | float, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).reshape(-1, 1)  # (B, 1)
