"""Convolutional networks on spectrograms: the models of the CNN chapter.

`MusicCNN` classifies recordings from their log-mel spectrogram with tall and wide filters,
`HarmonicCNN` from harmonics stacked as channels, and `OnsetCNN` says for each frame whether a note
begins. Their parts (`SameConv2d`, `MultiScaleConv2d`, `AttentionPooling`) are public, too.

*Conventions.* Every model takes a batch of mono waveforms ``(B, samples)`` at its sample rate, or
the spectrograms ``(B, F, T)`` that its front end makes of them, which may be cached; both give the
same logits. A waveform of any length above 0 will do.

Lessons: book/cnn/spectrograms, book/cnn/musiccnn, book/cnn/harmoniccnn
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mircourse.blocks import MultiScaleConv2d, SameConv2d, as_kernel, conv_block, scaled
from mircourse.classifier import SpectrogramClassifier, SpectrogramInput, normalizer
from mircourse.features import LogMel
from mircourse.harmonic import HarmonicCNN, HarmonicStack
from mircourse.onsets import OnsetCNN, peak_pick
from mircourse.pooling import AttentionPooling, ClassifierHead, Pooling

__all__ = [
    "AttentionPooling",
    "HarmonicCNN",
    "HarmonicStack",
    "MultiScaleConv2d",
    "MusicCNN",
    "OnsetCNN",
    "SameConv2d",
    "peak_pick",
]

Branches = Literal["both", "tall", "wide", "square"]

# Filter shapes (f, t) of the second block, by what `branches` asks for.
TALL, WIDE, SQUARE = (12, 1), (1, 7), (3, 3)
BRANCHES = {
    "both": {"harmonic": TALL, "temporal": WIDE},
    "tall": {"harmonic": TALL},
    "wide": {"temporal": WIDE},
    "square": {"square": SQUARE},
}


class MusicCNN(SpectrogramClassifier):
    r"""Classify recordings with tall and wide filters on a log-mel spectrogram.

    Log-mel, normalisation, a 3 × 3 block, then two branches in parallel: *tall* 12 × 1 filters see
    twelve neighbouring rows of one instant (harmonic structure), *wide* 1 × 7 filters see seven
    frames of one row (how a sound begins, lasts and repeats). A 3 × 3 block joins them; time is
    pooled with attention, :eq:`eq:cnn-attention`. A filter is the tensor of :eq:`eq:cnn-filter`,

    .. math:: W \in \mathbb{R}^{f \times t \times c_{in} \times c_{out}}

    The idea of filter shapes that follow music is that of Pons, Lidy and Serra (2016).

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    n_classes : int
        Number of classes.
    sample_rate : int
        Samples per second of the waveforms.
    width : float
        Factor on all channels. At 1 the four blocks have 64, 128 + 128 and 256; at 0.25 the model
        trains on two cores.
    n_mels, n_fft, hop_length : int
        Of `mircourse.features.LogMel`: rows, samples per window, samples between frames.
    branches : {"both", "tall", "wide", "square"}
        Filter shapes of the second block. The variants with one shape (square is 3 × 3) get as
        many channels as make their parameter count that of ``"both"``.
    scales : sequence of int or (int, int)
        Kernels of the first block. More than one makes it the sum of :eq:`eq:cnn-multiscale`; the
        second block then gives up the channels that this costs.
    pooling : {"attention", "average"}
        How time is pooled.
    keep_frequency : bool
        Keep the frequency axis up to the classifier, rather than averaging it.
    normalize : {"bands", "input"}
        Batch-normalise every mel band, or standardise each spectrogram by its own mean and
        deviation, which cancels loudness.
    dropout : float
        Share of the pooled vector that training drops.

    Raises
    ------
    ValueError
        If an argument is outside what is listed.

    Examples
    --------
    >>> model = MusicCNN(n_classes=19, width=0.25)
    >>> model(torch.randn(4, 44100)).shape
    torch.Size([4, 19])
    """

    def __init__(
        self,
        n_classes: int = 10,
        sample_rate: int = 22050,
        *,
        width: float = 1.0,
        n_mels: int = 128,
        n_fft: int = 2048,
        hop_length: int = 512,
        branches: Branches = "both",
        scales: Sequence[int | tuple[int, int]] = (3,),
        pooling: Pooling = "attention",
        keep_frequency: bool = True,
        normalize: Literal["bands", "input"] = "input",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if branches not in BRANCHES:
            raise ValueError(f"got branches={branches!r}; expected one of {', '.join(BRANCHES)}")
        self.sample_rate = sample_rate
        self.n_classes = n_classes
        self.spectrogram = SpectrogramInput(
            LogMel(sample_rate, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels), rows=n_mels
        )
        self.normalize = normalizer(normalize, n_mels)
        c1, c2, c3 = (scaled(c, width) for c in (64, 128, 256))
        shapes = BRANCHES[branches]
        channels = _matched_channels(c1, c2, c3, shapes=list(shapes.values()), scales=scales)
        first = (
            SameConv2d(1, c1, scales[0], bias=False)
            if len(scales) == 1
            else MultiScaleConv2d(1, c1, kernel_sizes=scales, bias=False)
        )
        self.conv1 = conv_block(first, c1, pool=(2, 2))
        self.branches = nn.ModuleDict(
            {
                name: conv_block(SameConv2d(c1, c, shape, bias=False), c)
                for (name, shape), c in zip(shapes.items(), channels, strict=True)
            }
        )
        third = SameConv2d(sum(channels), c3, 3, bias=False)
        self.conv3 = conv_block(third, c3, pool=(2, 2))
        self.head = ClassifierHead(
            c3,
            -(-n_mels // 4),  # two poolings that keep the remainder
            n_classes,
            keep_frequency=keep_frequency,
            pooling=pooling,
            reduced=max(16, c3 // 8),
            hidden=max(8, c3 // 2),
            dropout=dropout,
        )

    def extract_features(self, x: Tensor) -> dict[str, Tensor]:
        """Return the maps on the way from ``x`` to the logits, by name.

        Parameters
        ----------
        x : Tensor, shape (B, samples) or (B, n_mels, T)
            Waveforms, or log-mel spectrograms.

        Returns
        -------
        dict of Tensor
            ``spectrogram`` (B, F, T); ``conv1`` (B, C, F/2, T/2); ``harmonic`` and ``temporal``
            (those the model has, or ``square``), of the same size; ``conv3`` (B, C, F/4, T/4);
            ``attention`` (B, T/4), which sums to 1 over time; ``embedding`` (B, D).
        """
        return super().extract_features(x)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Return the maps of `extract_features` and the logits; the forward pass itself."""
        spectrogram = self.spectrogram(x)  # (B, samples) -> (B, F, T)
        maps = {"spectrogram": spectrogram}
        h = self.normalize(spectrogram).unsqueeze(1)  # (B, F, T) -> (B, 1, F, T)
        maps["conv1"] = h = self.conv1(h)  # (B, 1, F, T) -> (B, C1, F/2, T/2)
        parallel = {name: branch(h) for name, branch in self.branches.items()}
        h = torch.cat(list(parallel.values()), dim=1)  # 2 x (B, C2, F/2, T/2) -> (B, 2 C2, ...)
        maps |= parallel
        maps["conv3"] = h = self.conv3(h)  # (B, 2 C2, F/2, T/2) -> (B, C3, F/4, T/4)
        return maps | self.head(h)  # (B, C3, F/4, T/4) -> (B, n_classes)


def _matched_channels(
    c1: int,
    c2: int,
    c3: int,
    *,
    shapes: Sequence[tuple[int, int]],
    scales: Sequence[int | tuple[int, int]],
) -> list[int]:
    """Return the channels of each branch that keep the parameter count of the article's shapes."""

    def area(kernel: int | tuple[int, int]) -> int:
        f, t = as_kernel(kernel)
        return f * t

    def cost(shape: tuple[int, int]) -> int:
        # One channel more: its filter, its normalisation, its 3 x 3 filters in the third block.
        return c1 * area(shape) + 2 + 9 * c3

    budget = c2 * (cost(TALL) + cost(WIDE)) - c1 * (sum(map(area, scales)) - 9)
    channels = round(budget / sum(map(cost, shapes)))
    if channels < 1:
        raise ValueError(
            f"scales={scales!r} cost more parameters than the second block has to give; "
            "expected fewer or smaller kernels"
        )
    return [channels] * len(shapes)
