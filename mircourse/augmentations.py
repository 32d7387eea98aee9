"""Random changes of the clips of a batch, each by itself: louder, noisier, higher, faster.

Each is drawn for every clip by itself, from PyTorch's global generator, which
`mircourse.training.fit` seeds; computed for a whole batch on its device; and the labels follow the
sound (`mircourse.clips.Clips`). `mircourse.mixing` has those that take two clips, and
`mircourse.pipeline` puts them in a row.

Lesson: book/index
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mircourse import soundchanges
from mircourse.clips import Clips

Range = tuple[float, float]
STEPS = 8  # of the rates between the slowest and the fastest: clips of one rate go together


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """A change that each clip undergoes with probability `p`; the base of those below.

    A subclass is a frozen dataclass whose ranges are its fields, and `change` changes all the
    clips that it is given.

    Lesson: book/index

    Raises
    ------
    ValueError
        If `p` is not in [0, 1], or a range is not two numbers in order.
    """

    p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"p must be in [0, 1], got {self.p}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                _check_range(f"{type(self).__name__}: {field.name}", value)

    def __call__(self, clips: Clips) -> Clips:
        """Return the clips, some of them changed."""
        if self.p == 1:
            return self.change(clips)
        index = (torch.rand(len(clips)) < self.p).nonzero().flatten()
        return clips if not len(index) else clips.put(index, self.change(clips.take(index)))

    def change(self, clips: Clips) -> Clips:
        """Return all the clips changed."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Gain(Augmentation):
    """Louder or softer by decibels.

    Lesson: book/index
    """

    decibels: Range = (-6.0, 6.0)

    def change(self, clips: Clips) -> Clips:
        """Return the clips louder or softer."""
        gain = 10 ** (drawn(self.decibels, clips) / 20)  # (B,)
        return dataclasses.replace(clips, audio=clips.audio * gain[:, None])


@dataclass(frozen=True, kw_only=True)
class Noise(Augmentation):
    """White noise, `snr` decibels below the mean power of the clip; silence stays silent.

    Lesson: book/index
    """

    snr: Range = (10.0, 40.0)

    def change(self, clips: Clips) -> Clips:
        """Return the clips with noise."""
        x = clips.audio
        power = x.square().mean(dim=1) * 10 ** (-drawn(self.snr, clips) / 10)  # (B,)
        return dataclasses.replace(clips, audio=x + torch.randn_like(x) * power.sqrt()[:, None])


@dataclass(frozen=True, kw_only=True)
class Room(Augmentation):
    """Reverberation of `seconds`, its energy `decibels` that of the direct sound.

    Lesson: book/index
    """

    seconds: Range = (0.1, 0.6)
    decibels: Range = (-20.0, -3.0)

    def change(self, clips: Clips) -> Clips:
        """Return the clips in rooms."""
        seconds, wet = drawn(self.seconds, clips), 10 ** (drawn(self.decibels, clips) / 10)
        heard = soundchanges.reverberated(
            clips.audio, seconds=seconds, wet=wet, sample_rate=clips.sample_rate
        )
        return dataclasses.replace(clips, audio=heard)


@dataclass(frozen=True, kw_only=True)
class PitchShift(Augmentation):
    """Higher or lower by whole semitones, at the same speed; pitches of the notes move along.

    Lesson: book/index
    """

    semitones: tuple[int, int] = (-2, 2)

    def change(self, clips: Clips) -> Clips:
        """Return the clips shifted."""
        low, high = self.semitones
        up = torch.randint(int(low), int(high) + 1, (len(clips),))
        audio = _by_value(clips.audio, up, lambda x, s: soundchanges.pitch_shifted(x, semitones=s))
        return clips.moved(audio, semitones=up)


@dataclass(frozen=True, kw_only=True)
class Speed(Augmentation):
    """A faster or slower tape, by whole semitones: pitch, times and formants move together.

    Without a phase vocoder's artefacts: within three semitones an instrument stays the same.

    Lesson: book/index
    """

    semitones: tuple[int, int] = (-2, 2)

    def change(self, clips: Clips) -> Clips:
        """Return the clips played faster or slower."""
        low, high = self.semitones
        up = torch.randint(int(low), int(high) + 1, (len(clips),))
        audio = _by_value(clips.audio, up, lambda x, s: soundchanges.sped(x, semitones=s))
        return clips.moved(audio, semitones=up, rate=2 ** (up / 12))


@dataclass(frozen=True, kw_only=True)
class TimeStretch(Augmentation):
    """Faster or slower at the same pitch, cut or zero-padded to the same length; onsets move.

    Eight rates between the two are drawn from, evenly spaced in their logarithm.

    Lesson: book/index
    """

    rate: Range = (0.8, 1.25)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.rate[0] > 0:
            raise ValueError(f"TimeStretch: rate must be above 0, got {self.rate}")

    def change(self, clips: Clips) -> Clips:
        """Return the clips stretched."""
        slow, fast = (math.log(rate) for rate in self.rate)
        step = torch.randint(STEPS, (len(clips),)) / (STEPS - 1)
        rate = torch.exp(slow + step * (fast - slow))  # (B,)
        n = clips.audio.shape[1]

        def change(x: Tensor, r: float) -> Tensor:
            return soundchanges.fitted(soundchanges.stretched(x, rate=r), n)

        return clips.moved(_by_value(clips.audio, rate, change), rate=rate)


@dataclass(frozen=True, kw_only=True)
class Crop(Augmentation):
    """`seconds` of each clip, from anywhere or from at most `latest` seconds after its begin.

    A clip that is too short is zero-padded at its end. `p` has to be 1.

    Lesson: book/index
    """

    seconds: float = 1.0
    latest: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p != 1 or not self.seconds > 0 or (self.latest or 0) < 0:
            raise ValueError(f"Crop takes p=1, seconds above 0, latest of 0 or more, got {self}")

    def change(self, clips: Clips) -> Clips:
        """Return excerpts of the clips."""
        n = round(self.seconds * clips.sample_rate)
        x = soundchanges.fitted(clips.audio, max(n, clips.audio.shape[1]))
        room = x.shape[1] - n
        if self.latest is not None:
            room = min(room, round(self.latest * clips.sample_rate))
        first = torch.randint(room + 1, (len(clips),))
        if room == 0:
            return clips.moved(x[:, :n])
        index = (first[:, None] + torch.arange(n)).to(x.device)  # (B, n)
        return clips.moved(x.gather(1, index), later=-first / clips.sample_rate)


@dataclass(frozen=True, kw_only=True)
class SpecAugment:
    """Hide bands and stretches of time of spectrograms (Park et al., 2019), without the warping.

    What is hidden becomes the mean of its spectrogram. `masks` times, up to `bands` neighbouring
    rows and up to `frames` neighbouring frames are hidden, each width drawn evenly from zero.

    Lesson: book/index

    Raises
    ------
    ValueError
        If `p` is not in [0, 1], or a number is below 0.
    """

    p: float = 1.0
    bands: int = 16
    frames: int = 8
    masks: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1 or min(self.bands, self.frames, self.masks) < 0:
            raise ValueError(f"p must be in [0, 1] and the numbers 0 or more, got {self}")

    def __call__(self, spectrograms: Tensor) -> Tensor:
        """Return spectrograms (B, F, T) with parts hidden; onsets and pitches do not move."""
        from torchaudio.functional import mask_along_axis_iid

        if spectrograms.ndim != 3:
            raise ValueError(f"expected spectrograms (B, F, T), got {tuple(spectrograms.shape)}")
        mean = spectrograms.mean(dim=(1, 2), keepdim=True)
        seen = torch.ones_like(spectrograms)
        for _ in range(self.masks):
            for axis, width in ((1, self.bands), (2, self.frames)):
                if width:
                    seen = mask_along_axis_iid(seen, width + 1, 0.0, axis)
        chosen = (torch.rand(len(seen)) < self.p).to(seen.device)
        return torch.where(chosen[:, None, None] & (seen == 0), mean, spectrograms)


def _check_range(name: str, value: tuple[float, ...]) -> None:
    if len(value) != 2 or not all(map(math.isfinite, value)) or value[0] > value[1]:
        raise ValueError(f"{name} must be two numbers, the lower one first, got {value}")


def drawn(bounds: Range, clips: Clips) -> Tensor:
    """Return a number between the bounds for each clip, (B,), where the clips are."""
    low, high = bounds
    return (low + (high - low) * torch.rand(len(clips))).to(clips.audio)


def _by_value(audio: Tensor, values: Tensor, change: Callable[[Tensor, float], Tensor]) -> Tensor:
    """Change clips (B, n) in groups of one value, values (B,), each group in one go."""
    out = torch.empty_like(audio)
    for value in values.unique():
        index = (values == value).nonzero().flatten().to(audio.device)
        out[index] = change(audio[index], float(value))
    return out
