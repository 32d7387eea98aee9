r"""SampleCNN: a network that begins at the waveform, sample by sample.

No spectrogram is computed. The first filters see three samples, and each block pools by three, so
that after :math:`k` blocks one frame stands for :math:`3^{k+1}` samples: the network has to find
its own way from pressure to pitch and timbre. After Lee, Park, Kim and Nam (2017).

Lesson: book/intro/why
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mircourse.audio import check_waveform
from mircourse.blocks import scaled

STEP = 3  # samples or frames that become one, at the entrance and in each block
WIDEST = 512


class SampleCNN(nn.Module):
    """Classify recordings from their waveform by filters of three samples.

    A convolution of three samples and stride 3; then blocks of a convolution over three frames,
    batch normalisation, ReLU and max-pooling over three; then the mean over time, where the
    network of Lee et al. has pooled its one length of input down to a single frame; then a linear
    layer. Each waveform is first brought to mean 0 and deviation 1, which cancels loudness.

    Lesson: book/intro/why

    Parameters
    ----------
    n_classes : int
        Number of classes.
    width : float
        Factor on the channels: 128 in the first layers, 256 in the middle, 512 in the last block
        at 1.
    blocks : int
        Blocks that pool by three; 9 in the network of Lee et al.
    dropout : float
        Share of the pooled vector that training drops.

    Raises
    ------
    ValueError
        If ``blocks`` is below 1, or an argument is out of range.

    Examples
    --------
    >>> SampleCNN(19, width=0.1, blocks=6)(torch.randn(2, 22050)).shape
    torch.Size([2, 19])
    """

    def __init__(
        self,
        n_classes: int = 10,
        *,
        width: float = 1.0,
        blocks: int = 9,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if n_classes < 1 or blocks < 1:
            raise ValueError(
                f"got n_classes={n_classes} and blocks={blocks}; expected 1 or more of each"
            )
        channels = [scaled(c, width) for c in _channels(blocks)]
        self.samples = nn.Conv1d(1, channels[0], STEP, stride=STEP, bias=False)
        self.normalize = nn.BatchNorm1d(channels[0])
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(before, after, STEP, padding=1, bias=False),
                nn.BatchNorm1d(after),
                nn.ReLU(),
                # A remainder is kept, so one frame stays one frame.
                nn.MaxPool1d(STEP, ceil_mode=True),
            )
            for before, after in itertools.pairwise(channels)
        )
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(channels[-1], n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of waveforms.

        Parameters
        ----------
        x : Tensor, shape (B, samples)
            Mono waveforms, of any length above 0.

        Returns
        -------
        Tensor, shape (B, n_classes)

        Raises
        ------
        TypeError
            If ``x`` is not floating point.
        ValueError
            If it has another shape, is empty, or holds NaN or infinity.
        """
        return self.classify(self.dropout(self.embed(x)))  # (B, D) -> (B, n_classes)

    def embed(self, x: Tensor) -> Tensor:
        """Return what the classifier reads, ``(B, D)``, of waveforms ``(B, samples)``."""
        if isinstance(x, Tensor) and x.ndim != 2:
            shape = tuple(x.shape)
            raise ValueError(f"got shape {shape}; expected mono waveforms (B, samples)")
        check_waveform(x)
        centred = x - x.mean(dim=1, keepdim=True)
        # Silence, with a deviation far below 0.001, must not be blown up to 1.
        x = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
        x = F.pad(x, (0, -x.shape[1] % STEP)).unsqueeze(1)  # (B, S) -> (B, 1, 3 T)
        h = torch.relu(self.normalize(self.samples(x)))  # (B, 1, 3 T) -> (B, C, T)
        for block in self.blocks:
            h = block(h)  # (B, C, T) -> (B, C', T / 3)
        return h.mean(dim=2)  # (B, D, T) -> (B, D)


def _channels(blocks: int) -> list[int]:
    """Return the channels of the entrance and of each block."""
    return [128] * min(3, blocks) + [256] * (blocks - 3) + [WIDEST]
