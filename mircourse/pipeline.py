"""Augmentations in a row, their probabilities and ranges in one place.

>>> from mircourse.augment import Gain, Noise, PitchShift
>>> pipeline = Pipeline(
...     PitchShift(semitones=(-2, 2), p=0.5),
...     Noise(snr=(10.0, 40.0), p=0.3),
...     Gain(decibels=(-6.0, 6.0)),
... )
>>> pipeline.without("Noise")
Pipeline(PitchShift(p=0.5, semitones=(-2, 2)), Gain(p=1.0, decibels=(-6.0, 6.0)))

Lesson: book/index
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from mircourse.augmentations import Augmentation
from mircourse.clips import Clips


class Pipeline:
    """Several augmentations, one after the other.

    Lesson: book/index

    Parameters
    ----------
    *steps : Augmentation
        In the order in which they are applied.

    Raises
    ------
    TypeError
        If a step is none. `SpecAugment` is for spectrograms and follows the front end.
    """

    def __init__(self, *steps: Augmentation) -> None:
        for step in steps:
            if not isinstance(step, Augmentation):
                raise TypeError(f"expected augmentations of clips, got {step!r}")
        self.steps = steps

    def __call__(self, clips: Clips) -> Clips:
        """Return the clips changed by every step."""
        for step in self.steps:
            clips = step(clips)
        return clips

    def __repr__(self) -> str:
        return f"Pipeline({', '.join(map(repr, self.steps))})"

    def without(self, name: str) -> Pipeline:
        """Return the pipeline without the steps of a class name.

        Raises
        ------
        ValueError
            If there is none; the message lists those there are.
        """
        kept = [step for step in self.steps if type(step).__name__ != name]
        if len(kept) == len(self.steps):
            known = ", ".join(type(step).__name__ for step in self.steps)
            raise ValueError(f"no step {name!r}; there are {known or 'none'}")
        return Pipeline(*kept)

    def batch_transform(
        self, *, sample_rate: int, n_classes: int | None = None
    ) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return what `mircourse.training.fit` takes as ``batch_transform``, for waveforms.

        Parameters
        ----------
        sample_rate : int
            Of the waveforms (B, n).
        n_classes : int, optional
            Give it where clips are mixed: class indices (B,) become shares (B, n_classes), which
            `mircourse.tasks.ClassificationTask` takes. Without it targets stay as they are.
        """

        def transform(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            if n_classes is None:
                return self(Clips(x, sample_rate)).audio, y
            shares = functional.one_hot(y, n_classes).to(x.dtype) if y.ndim == 1 else y
            changed = self(Clips(x, sample_rate, classes=shares))
            assert changed.classes is not None
            total = changed.classes.sum(dim=1, keepdim=True)
            return changed.audio, changed.classes / total.clamp(min=1)

        return transform
