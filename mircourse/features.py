"""From a waveform to what a model reads: log-mel, log-CQT, CQT and MFCC statistics.

`LogMel` and `LogCQT` are modules, so a model can hold its own front end and take waveforms, on a
CPU or a GPU; `cqt` and `mfcc_statistics` are functions on NumPy arrays. Audio is mono floating
point with full scale at ±1. Frames are centred: frame ``t`` looks at the samples around
``t * hop_length``, and ``n`` samples give ``1 + n // hop_length`` frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from mircourse.audio import check_audio, check_rate, check_waveform

__all__ = ["C1_HZ", "LogCQT", "LogMel", "check_audio", "cqt", "mfcc_statistics"]

C1_HZ = 440.0 * 2.0 ** ((24 - 69) / 12)  # MIDI pitch 24, 32.703 Hz


class _FrontEnd(nn.Module):
    """What `LogMel` and `LogCQT` share: checks, float32 arithmetic, the logarithm."""

    sample_rate: int
    hop_length: int
    eps: float
    frequencies: NDArray[np.float64]

    def __init__(self, sample_rate: int, hop_length: int, eps: float) -> None:
        super().__init__()
        for name, value in (("sample_rate", sample_rate), ("hop_length", hop_length)):
            if int(value) != value or value < 1:
                raise ValueError(f"{name}={value!r} but a positive whole number is expected")
        if not eps > 0:
            raise ValueError(f"eps={eps!r} but a positive number is expected")
        self.sample_rate, self.hop_length, self.eps = int(sample_rate), int(hop_length), eps

    def forward(self, waveform: Tensor, *, sample_rate: float | None = None) -> Tensor:
        """Return the natural log of the power spectrogram, ``(..., bands, frames)``.

        Parameters
        ----------
        waveform : Tensor, shape (..., samples)
            Mono audio; leading axes are batch axes.
        sample_rate : float, optional
            The waveform's rate, checked against the module's if you give it.

        Returns
        -------
        Tensor, shape (..., bands, frames)
            In the waveform's dtype. The arithmetic is float32 whatever that dtype is, inside
            ``torch.autocast`` too: a power spectrum spans more than half precision can hold.

        Raises
        ------
        TypeError
            If the waveform is not floating point.
        ValueError
            If it is empty, holds NaN or infinity (checked in eager mode only: the check would
            break a compiled or exported graph), has its channels last, or has another rate.
        """
        check_waveform(waveform)
        if sample_rate is not None:
            check_rate(sample_rate, self.sample_rate)
        lead = waveform.shape[:-1]
        x = waveform.to(torch.float32).reshape(-1, waveform.shape[-1])  # (N, samples)
        with torch.autocast(device_type=waveform.device.type, enabled=False):
            log_power = torch.log(self._power(x) + self.eps)  # (N, bands, frames)
        return log_power.to(waveform.dtype).reshape(*lead, *log_power.shape[-2:])

    def times(self, frames: int) -> NDArray[np.float64]:
        """Return the time in seconds at the centre of each of ``frames`` frames."""
        return np.arange(frames) * self.hop_length / self.sample_rate

    def _power(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _apply(self, fn: Any, recurse: bool = True) -> _FrontEnd:
        # model.half() and model.bfloat16() would round the window and the filters for good:
        # let the buffers follow the model to its device but keep their precision.
        exact = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            moved = self._buffers[name]
            if buffer is not None and moved is not None and moved.dtype != buffer.dtype:
                self._buffers[name] = buffer.to(moved.device)
        return self


class LogMel(_FrontEnd):
    r"""Log-mel spectrogram, ``(..., samples)`` to ``(..., n_mels, frames)``.

    .. math:: y = \ln(M\,|\mathrm{STFT}(x)|^2 + \varepsilon)

    with a Hann window, reflected edges and torchaudio's triangular filters on the HTK mel scale,
    :math:`2595 \log_{10}(1 + f/700)` (O'Shaughnessy, 1987), without area normalisation. It agrees
    with ``librosa.feature.melspectrogram(htk=True, norm=None, pad_mode="reflect")`` to a relative
    1e-3 of each power above 1e-6 of the loudest. The filters are not part of a checkpoint.

    Lesson: book/cnn/spectrograms

    Parameters
    ----------
    sample_rate : int
        Samples per second of the waveforms to come.
    n_fft, hop_length : int
        Window and hop in samples. A waveform shorter than one window is zero-padded to one.
    n_mels : int
        Number of mel bands.
    f_min, f_max : float
        Edges of the filter bank in Hz; ``f_max=None`` is half the sample rate.
    eps : float
        Added to the power before the logarithm: silence gives ``ln(eps)``.

    Attributes
    ----------
    frequencies : numpy.ndarray, shape (n_mels,)
        Centre of each band in Hz.

    Examples
    --------
    >>> LogMel(22050)(torch.zeros(4, 22050)).shape
    torch.Size([4, 128, 44])
    """

    window: Tensor
    filterbank: Tensor

    def __init__(
        self,
        sample_rate: int = 22050,
        *,
        n_fft: int = 2048,
        hop_length: int = 512,
        n_mels: int = 128,
        f_min: float = 0.0,
        f_max: float | None = None,
        eps: float = 1e-9,
    ) -> None:
        super().__init__(sample_rate, hop_length, eps)
        self.n_fft, self.n_mels = n_fft, n_mels
        self.f_min = f_min
        self.f_max = sample_rate / 2 if f_max is None else f_max
        if not 0 <= f_min < self.f_max <= sample_rate / 2:
            raise ValueError(
                f"f_min={f_min} and f_max={self.f_max} Hz, but 0 <= f_min < f_max <= "
                f"{sample_rate / 2} Hz (half of sample_rate={sample_rate}) is expected"
            )
        if n_fft < 2 or n_mels < 1:
            raise ValueError(f"n_fft={n_fft}, n_mels={n_mels}: at least 2 and 1 are expected")
        filters = _torchaudio_functional().melscale_fbanks(
            n_fft // 2 + 1, f_min, self.f_max, n_mels, sample_rate, norm=None, mel_scale="htk"
        )  # (n_fft // 2 + 1, n_mels)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filterbank", filters.T.contiguous(), persistent=False)
        low, high = (2595 * np.log10(1 + f / 700) for f in (f_min, self.f_max))
        self.frequencies = 700 * (10 ** (np.linspace(low, high, n_mels + 2)[1:-1] / 2595) - 1)

    def _power(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, max(0, self.n_fft - x.shape[-1])))
        spectrum = torch.stft(
            x,
            self.n_fft,
            hop_length=self.hop_length,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )  # (N, n_fft // 2 + 1, frames)
        return self.filterbank @ (spectrum.real.square() + spectrum.imag.square())

    def extra_repr(self) -> str:
        """Return the settings, as ``print(model)`` shows them."""
        return (
            f"sample_rate={self.sample_rate}, n_fft={self.n_fft}, hop_length={self.hop_length}, "
            f"n_mels={self.n_mels}, f_min={self.f_min:g}, f_max={self.f_max:g}"
        )


class LogCQT(_FrontEnd):
    r"""Log-power constant-Q transform, ``(..., samples)`` to ``(..., n_bins, frames)``.

    Bin :math:`k` is at :math:`f_{min} 2^{k/B}` with :math:`B` bins an octave, so multiplying a
    frequency by :math:`h` is a shift by :math:`B \log_2 h` bins: a transposed sound is the same
    image moved up or down. Each bin correlates the signal with a Hann-windowed complex exponential
    of :math:`Q` periods (Brown, 1991), scaled so that a sinusoid of amplitude :math:`A` at a bin's
    centre reads :math:`\ln(A^2 + \varepsilon)` in every octave. Edges are zero-padded.

    Against ``librosa.cqt`` (which scales each bin by half the square root of its filter's length,
    and resamples octave by octave) amplitudes agree to 2 % of the loudest. On a GPU that computes
    convolutions in TF32, parts more than about 60 dB below the loudest carry rounding noise.

    Lesson: book/cnn/harmoniccnn

    Parameters
    ----------
    sample_rate : int
        Samples per second of the waveforms to come.
    hop_length : int
        Samples from one frame to the next.
    bins_per_octave : int
        Frequency resolution; 12 is one bin a semitone.
    n_bins : int
        Number of bins. The default reaches eight octaves, C1 to B8.
    f_min : float
        Frequency of the lowest bin in Hz; the default is C1. The longest filter lasts
        ``Q / f_min`` seconds: 1.06 s with the defaults, half as long from C2.
    eps : float
        Added to the power before the logarithm: silence gives ``ln(eps)``.

    Attributes
    ----------
    frequencies : numpy.ndarray, shape (n_bins,)
        Centre of each bin in Hz.
    lengths : numpy.ndarray, shape (n_bins,)
        Length of each bin's filter in samples, not rounded.

    Examples
    --------
    >>> LogCQT(22050)(torch.zeros(4, 22050)).shape
    torch.Size([4, 192, 44])
    """

    def __init__(
        self,
        sample_rate: int = 22050,
        *,
        hop_length: int = 512,
        bins_per_octave: int = 24,
        n_bins: int = 192,
        f_min: float = C1_HZ,
        eps: float = 1e-9,
    ) -> None:
        super().__init__(sample_rate, hop_length, eps)
        if bins_per_octave < 1 or n_bins < 1 or not f_min > 0:
            raise ValueError(
                f"bins_per_octave={bins_per_octave}, n_bins={n_bins}, f_min={f_min}: "
                "all have to be positive"
            )
        self.bins_per_octave, self.n_bins, self.f_min = bins_per_octave, n_bins, f_min
        self.frequencies = f_min * 2.0 ** (np.arange(n_bins) / bins_per_octave)
        self.lengths = _quality(bins_per_octave) * sample_rate / self.frequencies
        # A Hann window of Q periods has zeros two bins of 1/length from its centre.
        top = float(self.frequencies[-1] + 2 * sample_rate / self.lengths[-1])
        if top > sample_rate / 2:
            raise ValueError(
                f"the highest of {n_bins} bins reaches {top:.0f} Hz, beyond half of "
                f"sample_rate={sample_rate}; ask for fewer bins or a lower f_min"
            )
        # One bank an octave: filters halve in length from one octave to the next.
        self._banks = [f"bank{i}" for i in range(0, n_bins, bins_per_octave)]
        for i, name in zip(range(0, n_bins, bins_per_octave), self._banks, strict=True):
            octave = slice(i, i + bins_per_octave)
            bank = _filter_bank(
                self.frequencies[octave] / sample_rate, self.lengths[octave], hop_length
            )
            self.register_buffer(name, bank, persistent=False)

    def _power(self, x: Tensor) -> Tensor:
        hop, samples = self.hop_length, x.shape[-1]
        frames = 1 + samples // hop
        octaves = []
        for name in self._banks:
            bank = self.get_buffer(name)  # (2 * bins, hop, blocks)
            half = bank.shape[-1] // 2
            # Whole blocks of one hop, so that a filter of many hops is a short convolution.
            padded = F.pad(x, (half * hop, (half + frames) * hop - samples))
            blocks = padded.reshape(x.shape[0], -1, hop).transpose(1, 2)  # (N, hop, T)
            response = F.conv1d(blocks, bank)[..., :frames]  # (N, 2 * bins, frames)
            real, imaginary = response.chunk(2, dim=1)
            octaves.append(real.square() + imaginary.square())  # (N, bins, frames)
        return torch.cat(octaves, dim=1)  # (N, n_bins, frames)

    def extra_repr(self) -> str:
        """Return the settings, as ``print(model)`` shows them."""
        return (
            f"sample_rate={self.sample_rate}, hop_length={self.hop_length}, "
            f"bins_per_octave={self.bins_per_octave}, n_bins={self.n_bins}, f_min={self.f_min:g}"
        )


def cqt(
    audio: ArrayLike,
    *,
    sample_rate: int,
    hop_length: int = 512,
    bins_per_octave: int = 24,
    n_bins: int = 192,
    f_min: float = C1_HZ,
) -> NDArray[np.float32]:
    """Return the constant-Q amplitude spectrogram of one signal, by librosa.

    Parameters
    ----------
    audio : array_like, shape (samples,)
        Mono audio; see `check_audio`. Shorter than the longest filter, it is zero-padded to it
        and the frames of the padding are cut off again.
    sample_rate : int
        Samples per second.
    hop_length, bins_per_octave, n_bins, f_min
        As for `LogCQT`. ``hop_length`` has to be divisible by two once for every octave but one.

    Returns
    -------
    numpy.ndarray, shape (n_bins, 1 + samples // hop_length)
        Amplitudes: a sinusoid of amplitude ``A`` at a bin's centre reads ``A`` (librosa's own
        scale differs by half the square root of the filter's length).

    Raises
    ------
    TypeError, ValueError
        If `check_audio` refuses the audio, or librosa the settings.
    """
    samples = check_audio(audio, sample_rate=sample_rate)
    import librosa

    frequencies = f_min * 2.0 ** (np.arange(n_bins) / bins_per_octave)
    lengths = _quality(bins_per_octave) * sample_rate / frequencies
    longest = 2 ** int(np.ceil(np.log2(lengths.max())))  # librosa's FFT for the lowest octave
    padded = np.pad(samples, (0, max(0, longest - samples.size)))
    try:
        transform = librosa.cqt(
            padded,
            sr=sample_rate,
            hop_length=hop_length,
            fmin=f_min,
            n_bins=n_bins,
            bins_per_octave=bins_per_octave,
            tuning=0.0,
        )  # (n_bins, frames)
    except librosa.ParameterError as error:
        raise ValueError(f"librosa refuses these CQT settings: {error}") from error
    amplitude = 2 * np.abs(transform) / np.sqrt(lengths)[:, None]
    return amplitude[:, : 1 + samples.size // hop_length].astype(np.float32)


def mfcc_statistics(audio: ArrayLike, *, sample_rate: int, n_mfcc: int = 20) -> NDArray[np.float32]:
    """Summarise one signal's timbre as fixed-length statistics of its MFCCs, by librosa.

    Mel-frequency cepstral coefficients (Davis and Mermelstein, 1980) frame by frame, then the
    mean and standard deviation over time of the coefficients and of their first differences
    (librosa's ``delta`` over 9 frames): what a classifier without deep learning reads.

    Lesson: book/cnn/spectrograms

    Parameters
    ----------
    audio : array_like, shape (samples,)
        Mono audio; see `check_audio`. Shorter than nine frames, it is zero-padded to nine.
    sample_rate : int
        Samples per second.
    n_mfcc : int
        Number of coefficients, at most 128.

    Returns
    -------
    numpy.ndarray, shape (4 * n_mfcc,)
        Means, standard deviations, means of the deltas, standard deviations of the deltas.

    Raises
    ------
    TypeError, ValueError
        If `check_audio` refuses the audio, or ``n_mfcc`` is out of range.
    """
    samples = check_audio(audio, sample_rate=sample_rate)
    if not 1 <= n_mfcc <= 128:
        raise ValueError(f"n_mfcc={n_mfcc} but 1 to 128 is expected (there are 128 mel bands)")
    import librosa

    n_fft, hop_length, width = 2048, 512, 9
    samples = np.pad(
        samples, (0, max(0, n_fft - samples.size, (width - 1) * hop_length - samples.size))
    )
    mfcc = librosa.feature.mfcc(
        y=samples, sr=sample_rate, n_mfcc=n_mfcc, n_fft=n_fft, hop_length=hop_length
    )  # (n_mfcc, frames)
    delta = librosa.feature.delta(mfcc, width=width)
    parts = [mfcc.mean(axis=1), mfcc.std(axis=1), delta.mean(axis=1), delta.std(axis=1)]
    return np.concatenate(parts).astype(np.float32)


def _quality(bins_per_octave: int) -> float:
    """Return Q, centre frequency over bandwidth, by librosa's definition."""
    step = 2.0 ** (2 / bins_per_octave)
    return (step + 1) / (step - 1)


def _filter_bank(
    frequencies: NDArray[np.float64], lengths: NDArray[np.float64], hop_length: int
) -> Tensor:
    """Return Hann-windowed exponentials as convolution weights, ``(2 * bins, hop, blocks)``.

    Frequencies are in cycles per sample. An even number of blocks of one hop holds the longest
    filter, whose centre falls on the boundary between the two middle blocks.
    """
    blocks = 2 * int(np.ceil(np.ceil(lengths.max()) / 2 / hop_length))
    time = np.arange(blocks * hop_length) - blocks * hop_length // 2  # samples from the centre
    weights = np.zeros((2, len(lengths), time.size))
    for k, (frequency, length) in enumerate(zip(frequencies, lengths, strict=True)):
        inside = np.abs(time) <= length / 2
        window = np.where(inside, 0.5 + 0.5 * np.cos(2 * np.pi * time / length), 0.0)
        window *= 2 / window.sum()
        weights[0, k] = window * np.cos(2 * np.pi * frequency * time)
        weights[1, k] = window * np.sin(2 * np.pi * frequency * time)
    shaped = weights.reshape(2 * len(lengths), blocks, hop_length).swapaxes(1, 2)
    return torch.from_numpy(np.ascontiguousarray(shaped, dtype=np.float32))


def _torchaudio_functional() -> Any:
    try:
        import torchaudio.functional
    except (ImportError, OSError) as error:
        raise ImportError(
            "torchaudio does not load beside this torch (a wheel built for CUDA beside a torch "
            "without it is the usual reason); run: mircourse doctor --fix"
        ) from error
    return torchaudio.functional
