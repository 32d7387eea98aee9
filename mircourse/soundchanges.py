"""Change waveforms (B, n) on the device where they are: pitch, time, room.

Each function changes a whole batch by one amount or by one amount a clip. The spectra are those of
`torch.stft` and the phase vocoder is torchaudio's. What it does not do well is done here:
torchaudio resamples with a table of filters that for 22,050 to 20,812 Hz takes over a gigabyte;
one Fourier transform resamples to any length exactly. And it convolves in transforms of the very
length that comes out, for some lengths several times as slow as a slightly longer one.

Lesson: book/index
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# Of the phase vocoder: 46 ms at 22,050 Hz. A shorter window would smear onsets less, and low notes
# more.
N_FFT = 1024
FADE = 64  # samples over which the end of a clip goes to zero, lest the transform hears a click


def resampled(audio: Tensor, *, n: int) -> Tensor:
    """Return clips (B, samples) as `n` samples, band-limited: exact for what is periodic in them.

    Raises
    ------
    ValueError
        If `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, got {n}")
    before = audio.shape[1]
    if n == before:
        return audio
    # As many zeros behind: the transform takes a clip for one turn of a loop.
    spectrum = torch.fft.rfft(functional.pad(_faded(audio), (0, before)))  # (B, before + 1)
    spectrum = functional.pad(spectrum, (0, max(0, n - before)))[:, : n + 1]
    return torch.fft.irfft(spectrum, n=2 * n)[:, :n] * (n / before)


def sped(audio: Tensor, *, semitones: float) -> Tensor:
    """Play clips (B, n) as a faster tape does: higher and shorter, what is missing zero.

    Lesson: book/index
    """
    n = audio.shape[1]
    played = resampled(audio, n=max(1, round(n / 2 ** (semitones / 12))))
    return fitted(played, n)


def stretched(audio: Tensor, *, rate: float) -> Tensor:
    """Play clips (B, n) `rate` times as fast at the same pitch, by a phase vocoder.

    Onsets are smeared by up to half its window of 1,024 samples.

    Lesson: book/index

    Returns
    -------
    Tensor, shape (B, round(n / rate))
    """
    from torchaudio.functional import phase_vocoder

    if rate == 1:
        return audio
    n = max(1, round(audio.shape[1] / rate))
    hop = N_FFT // 4
    window = torch.hann_window(N_FFT, device=audio.device, dtype=audio.dtype)
    # Zeros on both sides: the transform needs half a window, and a clip may be shorter.
    wide = functional.pad(audio, (N_FFT // 2, N_FFT // 2 + max(0, N_FFT - audio.shape[1])))
    spectrum = torch.stft(wide, N_FFT, hop, window=window, center=False, return_complex=True)
    advance = torch.linspace(0, math.pi * hop, N_FFT // 2 + 1, device=audio.device)[:, None]
    spectrum = phase_vocoder(spectrum, rate, advance.to(audio.dtype))  # (B, bins, frames)
    # Overlapped and added by hand: the inverse of `torch.istft` wants whole windows at the ends.
    frames = torch.fft.irfft(spectrum.transpose(1, 2), n=N_FFT) * window  # (B, frames, N_FFT)
    length = (frames.shape[1] - 1) * hop + N_FFT
    fold = {"output_size": (1, length), "kernel_size": (1, N_FFT), "stride": (1, hop)}
    added = functional.fold(frames.transpose(1, 2), **fold).flatten(1)  # type: ignore[arg-type]
    squares = (window**2).expand(1, frames.shape[1], N_FFT).transpose(1, 2)
    weight = functional.fold(squares, **fold).flatten(1)  # type: ignore[arg-type]
    out = added / weight.clamp(min=0.1)
    return fitted(out[:, N_FFT // 2 :], n)


def pitch_shifted(audio: Tensor, *, semitones: float) -> Tensor:
    """Return clips (B, n) higher by `semitones`, as long and as fast as they were.

    Lesson: book/index
    """
    if semitones == 0:
        return audio
    slow = stretched(audio, rate=2 ** (-semitones / 12))
    return fitted(resampled(slow, n=audio.shape[1]), audio.shape[1])


def reverberated(audio: Tensor, *, seconds: Tensor, wet: Tensor, sample_rate: float) -> Tensor:
    """Put clips (B, n) into rooms: noise that decays by 60 dB in `seconds` follows the sound.

    After Moorer (1979). The direct sound stays where it is, so onsets do not move.

    Lesson: book/index

    Parameters
    ----------
    audio : Tensor, shape (B, n)
    seconds : Tensor, shape (B,)
        Reverberation time of each room, above 0.
    wet : Tensor, shape (B,)
        Energy of the reverberation as a share of that of the direct sound.
    sample_rate : float
    """
    length = max(2, min(audio.shape[1], math.ceil(float(seconds.max()) * sample_rate)))
    time = torch.arange(length, device=audio.device, dtype=audio.dtype) / sample_rate
    decay = torch.exp(-math.log(1000) * time / seconds.to(audio)[:, None])  # (B, length)
    tail = torch.randn(decay.shape, device=audio.device, dtype=audio.dtype) * decay
    tail[:, 0] = 0  # that is the direct sound's place
    tail = tail * (wet.to(audio)[:, None] / tail.square().sum(dim=1, keepdim=True)).sqrt()
    tail[:, 0] = 1
    return _convolved(audio, tail)[:, : audio.shape[1]]


def fitted(audio: Tensor, n: int) -> Tensor:
    """Return clips cut or zero-padded at the end to `n` samples."""
    return functional.pad(audio, (0, max(0, n - audio.shape[1])))[:, :n]


def _convolved(audio: Tensor, filters: Tensor) -> Tensor:
    """Convolve each clip with a filter of its own, (B, n) and (B, k) -> (B, n + k - 1)."""
    from scipy.fft import next_fast_len

    whole = audio.shape[1] + filters.shape[1] - 1
    # A transform whose length has a large prime factor takes several times as long.
    n = next_fast_len(whole, real=True)
    product = torch.fft.rfft(audio, n=n) * torch.fft.rfft(filters, n=n)
    return torch.fft.irfft(product, n=n)[:, :whole]


def _faded(audio: Tensor) -> Tensor:
    length = min(FADE, audio.shape[1])
    ramp = torch.ones(audio.shape[1], device=audio.device, dtype=audio.dtype)
    ramp[-length:] = torch.linspace(1, 0, length + 1, device=audio.device, dtype=audio.dtype)[1:]
    return audio * ramp
