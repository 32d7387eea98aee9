"""OnsetCNN: find the moments at which notes begin.

The network gives one logit per frame; `peak_pick` turns the probabilities into times. After
Schlüter and Böck (2014), with one spectrogram instead of three.

Lesson: book/cnn/spectrograms
"""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from mircourse.blocks import scaled
from mircourse.classifier import SpectrogramInput
from mircourse.features import LogMel


class OnsetCNN(nn.Module):
    """Say for each frame of a recording whether a note begins there.

    Each frame is judged from the ``context`` frames centred on it, 7 to either side by default:
    filters of 3 bands × 7 frames, max-pooling over 3 bands, filters of 3 × 3, pooling again, a
    hidden layer, one logit. No step depends on the length, so a recording of any length is one
    pass. The architecture is that of Schlüter and Böck (2014), who used three window lengths.

    Lesson: book/cnn/spectrograms

    Parameters
    ----------
    sample_rate : int
        Samples per second of the waveforms.
    n_mels, n_fft, hop_length : int
        Of `mircourse.features.LogMel`; the defaults are 80 bands, 46 ms windows, 10 ms hops.
    context : int
        Frames that decide on one frame: odd, at least 9.
    width : float
        Factor on the channels: 10, 20 and 256 hidden units at 1.
    dropout : float
        Share of the hidden layer's input and output that training drops.

    Raises
    ------
    ValueError
        If ``context`` is even or less than 9, or there are fewer than 17 bands.

    Examples
    --------
    >>> import torch
    >>> OnsetCNN(width=0.5)(torch.randn(2, 22050)).shape
    torch.Size([2, 101])
    """

    def __init__(
        self,
        sample_rate: int = 22050,
        *,
        n_mels: int = 80,
        n_fft: int = 1024,
        hop_length: int = 220,
        context: int = 15,
        width: float = 1.0,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if context < 9 or context % 2 == 0:
            raise ValueError(f"got context={context}; expected an odd number of frames, 9 or more")
        rows = ((n_mels - 2) // 3 - 2) // 3  # two filters of 3 bands, each followed by pooling
        if rows < 1:
            raise ValueError(f"got n_mels={n_mels}; expected 17 or more")
        self.sample_rate = sample_rate
        self.hop_seconds = hop_length / sample_rate
        self.context = context
        self.spectrogram = SpectrogramInput(
            LogMel(sample_rate, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels), rows=n_mels
        )
        self.normalize = nn.BatchNorm1d(n_mels)
        c1, c2, hidden = (scaled(c, width) for c in (10, 20, 256))
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, c1, (3, 7)),
            nn.ReLU(),
            nn.MaxPool2d((3, 1)),
            nn.Conv2d(c1, c2, (3, 3)),
            nn.ReLU(),
            nn.MaxPool2d((3, 1)),
        )
        # A dense layer on every window of frames is a convolution over them.
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Conv1d(c2 * rows, hidden, context - 8),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv1d(hidden, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit per frame.

        Parameters
        ----------
        x : Tensor, shape (B, samples) or (B, n_mels, T)
            Mono waveforms, or log-mel spectrograms.

        Returns
        -------
        Tensor, shape (B, T)
            Frame ``t`` is at ``t * hop_seconds``; a sigmoid makes it the probability of an onset.

        Raises
        ------
        TypeError, ValueError
            If ``x`` is neither, is empty, or holds NaN or infinity.
        """
        half = self.context // 2
        h = self.normalize(self.spectrogram(x))  # (B, samples) -> (B, F, T)
        # Repeating the first and last frame makes no onset where the recording starts or stops.
        h = F.pad(h, (half, half), mode="replicate").unsqueeze(1)  # -> (B, 1, F, T + 2 half)
        h = self.convolutions(h).flatten(1, 2)  # -> (B, C, F', T + 2 half - 8) -> (B, C F', ...)
        return self.classifier(h).squeeze(1)  # (B, 1, T) -> (B, T)


def peak_pick(
    probabilities: ArrayLike,
    *,
    hop_seconds: float,
    threshold: float = 0.5,
    smooth: int = 3,
    min_gap: float = 0.03,
) -> NDArray[np.float64]:
    """Turn the onset probabilities of one recording into onset times.

    The curve is smoothed with a Hamming window; each local maximum at or above the threshold is an
    onset; of onsets closer than ``min_gap`` the highest stays. After Schlüter and Böck (2014).

    Lesson: book/cnn/spectrograms

    Parameters
    ----------
    probabilities : array_like, shape (T,)
        Between 0 and 1, one per frame.
    hop_seconds : float
        Seconds from one frame to the next.
    threshold : float
        Smallest smoothed probability of an onset, between 0 and 1.
    smooth : int
        Length of the Hamming window in frames, odd; 1 leaves the curve as it is. The paper's 5
        brings a lone frame of probability 1 down to 0.45; 3 only to 0.86.
    min_gap : float
        Least time between two onsets, in seconds.

    Returns
    -------
    numpy.ndarray, shape (n_onsets,)
        Times in seconds, ascending; empty if there is none.

    Raises
    ------
    ValueError
        If the curve is not one-dimensional, holds NaN or something outside 0 to 1 (logits need a
        sigmoid first), or another argument is out of range.

    Examples
    --------
    >>> peak_pick([0, 0, 0.9, 0, 0, 0, 0.8, 0], hop_seconds=0.01, smooth=1)
    array([0.02, 0.06])
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 1:
        raise ValueError(f"got probabilities of shape {p.shape}; expected (T,): one recording")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(
            f"got values from {p.min()} to {p.max()}; expected probabilities, between 0 and 1 "
            "(apply a sigmoid to logits)"
        )
    if hop_seconds <= 0 or min_gap < 0 or not 0 <= threshold <= 1:
        raise ValueError(
            f"got hop_seconds={hop_seconds}, min_gap={min_gap}, threshold={threshold}; expected "
            "a positive hop, a gap of at least 0 and a threshold between 0 and 1"
        )
    if smooth < 1 or smooth % 2 == 0:
        raise ValueError(f"got smooth={smooth}; expected an odd number of frames")
    if p.size == 0:
        return np.empty(0)
    from scipy.signal import find_peaks

    window = np.hamming(smooth) if smooth > 1 else np.ones(1)
    curve = np.convolve(p, window / window.sum(), mode="full")[smooth // 2 :][: p.size]
    edged = np.pad(curve, 1, constant_values=-1.0)  # so that the first and last frame may be peaks
    apart = max(1, int(np.ceil(min_gap / hop_seconds - 1e-9)))  # frames; 0.03 / 0.01 is 3, not 4
    peaks, _ = find_peaks(edged, height=threshold, distance=apart)
    return (peaks - 1) * hop_seconds
