"""Spectrogram frames that look only back, so that they can be made while the music plays.

The frames of `mircourse.features` are centred: each needs half a window of the future. Those of
`CausalSpectrogram` end where the audio ends that has been heard.

Lesson: book/rnn/streaming
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mircourse.audio import check_waveform

A1_HZ = 55.0
BANDS_PER_OCTAVE = 24


class CausalSpectrogram(nn.Module):
    r"""Log-power spectrogram of the past, ``(..., samples)`` to ``(..., frames, n_bands)``.

    Frame :math:`k` sees the ``n_fft`` samples that end with sample :math:`(k + 1)\,hop`: it is
    complete as soon as hop :math:`k` has been heard. What lies before the first sample is silence.
    Power is scaled so that a sinusoid of amplitude :math:`A` at a band's centre reads about
    :math:`\ln(A^2 + \varepsilon)`. Time comes before frequency, as recurrent networks read it.

    Lesson: book/rnn/streaming

    Parameters
    ----------
    sample_rate : int
        Samples per second.
    n_fft, hop_length : int
        Window, and samples from one frame to the next; the hop is at most the window.
    n_bands : int
        Number of bands: triangles, 24 to the octave from A1 (55 Hz) on, so that two bands are a
        semitone; none is narrower than a bin of the transform.
    eps : float
        Added to the power before the logarithm: silence gives ``ln(eps)``.

    Attributes
    ----------
    frequencies : numpy.ndarray, shape (n_bands,)
        Centre of each band in Hz.

    Raises
    ------
    ValueError
        If an argument is out of range, or the bands would pass half the sample rate.

    Examples
    --------
    >>> CausalSpectrogram(22050)(torch.zeros(2, 22050)).shape
    torch.Size([2, 43, 128])
    """

    window: Tensor
    filterbank: Tensor

    def __init__(
        self,
        sample_rate: int = 22050,
        *,
        n_fft: int = 4096,
        hop_length: int = 512,
        n_bands: int = 128,
        eps: float = 1e-8,
    ) -> None:
        super().__init__()
        if not (1 <= hop_length <= n_fft and n_bands >= 1 and eps > 0 and sample_rate > 0):
            raise ValueError(
                f"got sample_rate={sample_rate}, n_fft={n_fft}, hop_length={hop_length}, "
                f"n_bands={n_bands}, eps={eps}; expected positive values and a hop of at most n_fft"
            )
        self.sample_rate, self.n_fft, self.hop_length = sample_rate, n_fft, hop_length
        self.n_bands, self.eps = n_bands, eps
        filters, self.frequencies = _pitch_bands(sample_rate, n_fft, n_bands)
        window = torch.hann_window(n_fft)
        self.register_buffer("window", window * (2 / window.sum()), persistent=False)
        self.register_buffer("filterbank", filters, persistent=False)  # (n_bands, bins)

    @property
    def hop_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop_length / self.sample_rate

    @property
    def context(self) -> int:
        """Samples before a hop that its frame sees as well."""
        return self.n_fft - self.hop_length

    def forward(self, waveform: Tensor) -> Tensor:
        """Return the frames of a recording, as if it were heard from silence on.

        Parameters
        ----------
        waveform : Tensor, shape (..., samples)
            Mono audio.

        Returns
        -------
        Tensor, shape (..., samples // hop_length, n_bands)
            Samples that do not fill a hop make no frame.

        Raises
        ------
        TypeError, ValueError
            If the waveform is not floating point, is empty, or holds NaN or infinity.
        """
        check_waveform(waveform)
        return self.frames(F.pad(waveform, (self.context, 0)))

    def frames(self, waveform: Tensor) -> Tensor:
        """Return the frames of hops that follow `context` samples of past.

        Parameters
        ----------
        waveform : Tensor, shape (..., context + samples)
            The past, then the hops; nothing is checked.

        Returns
        -------
        Tensor, shape (..., samples // hop_length, n_bands)
        """
        if waveform.shape[-1] < self.n_fft:
            return waveform.new_zeros(*waveform.shape[:-1], 0, self.n_bands)
        x = waveform.unfold(-1, self.n_fft, self.hop_length)  # (..., samples) -> (..., T, n_fft)
        spectrum = torch.fft.rfft(x * self.window)  # -> (..., T, bins)
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.log(power @ self.filterbank.T + self.eps)  # -> (..., T, n_bands)

    def extra_repr(self) -> str:
        """Return the settings, as ``print(model)`` shows them."""
        return (
            f"sample_rate={self.sample_rate}, n_fft={self.n_fft}, hop_length={self.hop_length}, "
            f"n_bands={self.n_bands}"
        )


def _pitch_bands(sample_rate: int, n_fft: int, n_bands: int) -> tuple[Tensor, NDArray[np.float64]]:
    """Return triangular filters, ``(n_bands, bins)``, and their centres in Hz."""
    centres = A1_HZ * 2 ** (np.arange(n_bands) / BANDS_PER_OCTAVE)
    if centres[-1] >= sample_rate / 2:
        raise ValueError(
            f"{n_bands} bands from A1 reach {centres[-1]:.0f} Hz; expected less than "
            f"{sample_rate / 2:.0f} Hz, half the sample rate"
        )
    width = np.maximum(centres * (2 ** (1 / BANDS_PER_OCTAVE) - 1), sample_rate / n_fft)
    bins = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    distance = np.abs(bins - centres[:, None]) / width[:, None]  # (n_bands, bins)
    return torch.from_numpy(np.maximum(0, 1 - distance)).float(), centres
