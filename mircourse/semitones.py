"""What transcription reads: spectrograms whose rows are semitones, or thirds of them.

`SemitoneSpectrogram` averages the power of a short-time Fourier transform around each pitch, so
that a transposed sound is nearly the same image moved by whole rows, at a fraction of a constant-Q
transform's cost. With two windows it shows both when a note begins (the short one) and what it is
(the long one).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mircourse.audio import check_rate, check_waveform

__all__ = ["KEYS", "LOWEST_PITCH", "SemitoneSpectrogram"]

LOWEST_PITCH = 21  # A0, the lowest key of a piano
KEYS = 88
TOP_HZ = 0.98  # of half the sample rate: rows above it are left out


class SemitoneSpectrogram(nn.Module):
    r"""Log power around each pitch, ``(..., samples)`` to ``(..., frames, rows)``.

    Row :math:`r` of a window is the natural log of a weighted mean of :math:`|\mathrm{STFT}|^2`
    with a triangle around :math:`27.5 \cdot 2^{r / 12 b}` Hz, :math:`b` rows a semitone. The
    triangle reaches the neighbouring rows' centres, or one bin of the transform where that is
    further, and its weights sum to one: where low rows are closer than bins, they share them. Frame
    ``t`` is centred on sample ``t * hop_length``; beyond the ends there is silence, so that a
    recording padded with zeros begins with the frames of the recording alone.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    sample_rate : int
        Samples per second of the waveforms to come.
    hop_length : int
        Samples from one frame to the next.
    windows : sequence of int
        Lengths in samples of the Hann windows; each gives ``n_rows`` rows, in this order.
    rows_per_semitone : int
        b. One row a semitone for the 88 keys is what the article's model reads.
    n_rows : int, optional
        Rows from A0 upwards; the 88 keys unless given.
    eps : float
        Added to the power, in units of a full-scale sinusoid's, before the logarithm.

    Attributes
    ----------
    n_features : int
        Rows of all windows together, the last axis of what comes out.
    hop_seconds : float
        Seconds from one frame to the next.
    frequencies : numpy.ndarray, shape (n_rows,)
        Centre of each row in Hz.

    Raises
    ------
    ValueError
        If a number is out of range, or the highest row is beyond half the sample rate.

    Examples
    --------
    >>> SemitoneSpectrogram(16000)(torch.zeros(4, 16000)).shape
    torch.Size([4, 51, 88])
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        *,
        hop_length: int = 320,
        windows: Sequence[int] = (4096,),
        rows_per_semitone: int = 1,
        n_rows: int | None = None,
        eps: float = 1e-8,
    ) -> None:
        super().__init__()
        n_rows = KEYS * rows_per_semitone if n_rows is None else n_rows
        if min(sample_rate, hop_length, rows_per_semitone, n_rows, *windows) < 1 or not eps > 0:
            raise ValueError(
                f"sample_rate={sample_rate}, hop_length={hop_length}, windows={tuple(windows)}, "
                f"rows_per_semitone={rows_per_semitone}, n_rows={n_rows}, eps={eps}: "
                "all have to be positive"
            )
        self.sample_rate, self.hop_length, self.eps = sample_rate, hop_length, eps
        self.windows, self.n_rows = tuple(windows), n_rows
        self.n_features = n_rows * len(self.windows)
        self.hop_seconds = hop_length / sample_rate
        steps = np.arange(-1, n_rows + 1) / (12 * rows_per_semitone)
        edges = 440.0 * 2.0 ** ((LOWEST_PITCH - 69) / 12 + steps)
        self.frequencies = edges[1:-1]
        if self.frequencies[-1] > TOP_HZ * sample_rate / 2:
            raise ValueError(
                f"the highest of {n_rows} rows is at {self.frequencies[-1]:.0f} Hz, but at most "
                f"{TOP_HZ:.0%} of {sample_rate / 2:.0f} Hz, half of the sample rate, is expected"
            )
        for i, length in enumerate(self.windows):
            bank = _triangles(edges, length=length, sample_rate=sample_rate)
            self.register_buffer(f"bank{i}", bank, persistent=False)
            self.register_buffer(f"window{i}", torch.hann_window(length), persistent=False)

    def frames(self, samples: int | Tensor) -> Any:
        """Return how many frames so many samples give."""
        return 1 + samples // self.hop_length

    def forward(self, waveform: Tensor, *, sample_rate: float | None = None) -> Tensor:
        """Return the features, ``(..., frames, n_features)``, in float32.

        Parameters
        ----------
        waveform : Tensor, shape (..., samples)
            Mono audio; leading axes are batch axes.
        sample_rate : float, optional
            The waveform's rate, checked against the module's if you give it.

        Raises
        ------
        TypeError
            If the waveform is not floating point.
        ValueError
            If it is empty, holds NaN or infinity, has its channels last, or has another rate.
        """
        check_waveform(waveform)
        if sample_rate is not None:
            check_rate(sample_rate, self.sample_rate)
        lead, samples = waveform.shape[:-1], waveform.shape[-1]
        x = waveform.to(torch.float32).reshape(-1, samples)  # (N, samples)
        count = self.frames(samples)
        parts = []
        with torch.autocast(device_type=waveform.device.type, enabled=False):
            for i, length in enumerate(self.windows):
                window, bank = self.get_buffer(f"window{i}"), self.get_buffer(f"bank{i}")
                left = length // 2
                right = (count - 1) * self.hop_length + length - left - samples
                spectrum = torch.stft(
                    F.pad(x, (left, max(0, right))),
                    length,
                    hop_length=self.hop_length,
                    window=window.to(x.device),
                    center=False,
                    return_complex=True,
                )[..., :count]  # (N, length // 2 + 1, T)
                # A sinusoid of amplitude A has |STFT| = A * sum(window) / 2 at its bin.
                power = spectrum.abs().square() * (2 / window.sum()) ** 2
                parts.append(torch.log(bank @ power + self.eps))  # (N, n_rows, T)
        features = torch.cat(parts, dim=1).transpose(1, 2)  # (N, T, n_features)
        return features.reshape(*lead, *features.shape[-2:])

    def extra_repr(self) -> str:
        """Return the settings, as ``print(model)`` shows them."""
        return (
            f"sample_rate={self.sample_rate}, hop_length={self.hop_length}, "
            f"windows={self.windows}, n_rows={self.n_rows}"
        )


def _triangles(edges: np.ndarray, *, length: int, sample_rate: int) -> Tensor:
    bins = np.arange(length // 2 + 1) * sample_rate / length  # (bins,) in Hz
    width = sample_rate / length
    centre = edges[1:-1, None]
    below = np.maximum(centre - edges[:-2, None], width)
    above = np.maximum(edges[2:, None] - centre, width)
    distance = bins - centre  # (rows, bins)
    weight = np.maximum(0, 1 - np.where(distance < 0, -distance / below, distance / above))
    return torch.from_numpy((weight / weight.sum(1, keepdims=True)).astype(np.float32))
