"""Two views of one recording: what a contrastive loss is to find alike.

Lesson: book/index
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from mircourse.augmentations import SpecAugment
from mircourse.clips import Clips
from mircourse.pipeline import Pipeline


class Views:
    """Make a view of each recording of a batch, another one at every call.

    Waveforms pass a pipeline, then a front end makes spectrograms of them, of which parts are
    hidden. Each of the three may be left out: without a front end the views are waveforms, without
    a pipeline the input may be spectrograms already.

    Lesson: book/index

    Parameters
    ----------
    pipeline : mircourse.pipeline.Pipeline, optional
        With a `mircourse.augmentations.Crop`, if the views are to be excerpts.
    sample_rate : int, optional
        Of the waveforms; goes with a pipeline.
    front_end : callable, optional
        The encoder's own, ``encoder.spectrogram``: (B, n) to (B, F, T).
    masks : mircourse.augmentations.SpecAugment, optional
        What is hidden of the spectrograms.

    Raises
    ------
    ValueError
        If a pipeline comes without a rate.

    Examples
    --------
    >>> import torch
    >>> from mircourse.augment import Crop, Gain, Pipeline
    >>> views = Views(Pipeline(Crop(seconds=0.5), Gain()), sample_rate=8000)
    >>> views(torch.randn(4, 8000)).shape
    torch.Size([4, 4000])
    """

    def __init__(
        self,
        pipeline: Pipeline | None = None,
        *,
        sample_rate: int | None = None,
        front_end: Callable[[Tensor], Tensor] | None = None,
        masks: SpecAugment | None = None,
    ) -> None:
        if pipeline is not None and sample_rate is None:
            raise ValueError("a pipeline needs the sample_rate of the waveforms")
        self.pipeline, self.sample_rate = pipeline, sample_rate
        self.front_end, self.masks = front_end, masks

    def __call__(self, x: Tensor) -> Tensor:
        """Return a view of each item, (B, n) or (B, F, T) to the same or to spectrograms."""
        if self.pipeline is not None:
            assert self.sample_rate is not None
            x = self.pipeline(Clips(x, self.sample_rate)).audio
        if self.front_end is not None:
            x = self.front_end(x)  # (B, n) -> (B, F, T)
        return x if self.masks is None else self.masks(x)

    def __repr__(self) -> str:
        parts = (self.pipeline, self.masks)
        return f"Views({', '.join(repr(part) for part in parts if part is not None)})"
