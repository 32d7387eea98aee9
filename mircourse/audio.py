"""Audio from files, and whether it is fit to be read: mono, floating point, finite, right rate.

`read_audio` reads files. Functions that take NumPy audio call `check_audio`, modules that take
tensors `check_waveform`.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

# Frames read at a time: 1.5 s at 44.1 kHz, so that stereo at a high rate is never held whole.
_BLOCK = 1 << 16


def read_audio(
    path: str | PathLike[str], *, sample_rate: int | None = None
) -> tuple[NDArray[np.float32], int]:
    """Read an audio file as one mono signal.

    WAV, FLAC, Ogg Vorbis, MP3 and whatever else libsndfile reads, at any rate, with any number of
    channels, of which the mean is taken. The file is read in blocks: an hour at 16 kHz needs 0.5 GB
    at most, whatever the rate of the file.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    path : path-like
        The file.
    sample_rate : int, optional
        Resample to so many Hz; the file's own rate unless given.

    Returns
    -------
    audio : numpy.ndarray of float32, shape (n,)
        Full scale at ±1; at least one sample.
    sample_rate : int
        In Hz.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not audio, is damaged, holds no audio, or holds NaN or infinite samples; the
        message names the file. Or if ``sample_rate`` is not positive.
    """
    import soundfile
    import soxr

    if sample_rate is not None and not 0 < sample_rate < np.inf:
        raise ValueError(f"sample_rate={sample_rate!r} but a positive number of Hz is expected")
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"there is no file {file}")
    if not file.is_file():
        raise ValueError(f"{file} is not a file")
    if not file.stat().st_size:
        raise ValueError(f"{file} is empty: it has 0 bytes")
    parts: list[NDArray[np.float32]] = []
    try:
        with soundfile.SoundFile(file) as source:
            rate = int(source.samplerate)
            wanted = rate if sample_rate is None else int(sample_rate)
            stream = None if wanted == rate else soxr.ResampleStream(rate, wanted, 1)
            while len(block := source.read(_BLOCK, dtype="float32", always_2d=True)):
                mono = block.mean(axis=1)  # (n, channels) -> (n,)
                parts.append(mono if stream is None else stream.resample_chunk(mono))
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise ValueError(f"{file} cannot be read as audio: {error}") from error
    if not parts:
        raise ValueError(f"{file} holds no audio: it has a header and no samples")
    if stream is not None:
        parts.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    audio = np.concatenate(parts)
    if not len(audio):
        audio = np.zeros(1, np.float32)
    if not np.isfinite(audio).all():
        raise ValueError(f"{file} holds NaN or infinite samples")
    return audio, wanted


def check_audio(
    audio: ArrayLike, *, sample_rate: float, expected_rate: float | None = None
) -> NDArray[np.float32]:
    """Return one mono signal as float32, or say what is wrong with it.

    Parameters
    ----------
    audio : array_like, shape (n,)
        Mono audio in floating point, full scale at ±1. Silence is valid.
    sample_rate : float
        Samples per second of ``audio``.
    expected_rate : float, optional
        The rate that whoever asks was built for.

    Returns
    -------
    numpy.ndarray, shape (n,)
        The same samples as float32.

    Raises
    ------
    TypeError
        If the samples are not floating point (integer PCM has no agreed full scale).
    ValueError
        If the audio is empty, is not mono, has NaN or infinite samples, or if the rates differ.

    Examples
    --------
    >>> check_audio([0.0, 0.5, -0.5], sample_rate=22050)
    array([ 0. ,  0.5, -0.5], dtype=float32)
    >>> check_audio([0.0, 0.5], sample_rate=44100, expected_rate=22050)
    Traceback (most recent call last):
    ValueError: audio is at 44100 Hz but 22050 Hz is expected; resample it first
    """
    samples = np.asarray(audio)
    _check_type(np.issubdtype(samples.dtype, np.floating), samples.dtype)
    if samples.ndim != 1:
        raise ValueError(
            f"audio has shape {samples.shape} but one mono signal of shape (samples,) is expected; "
            "average stereo over its channel axis, and pass a batch one signal at a time"
        )
    if samples.size == 0:
        raise ValueError("audio has no samples")
    bad = int(np.count_nonzero(~np.isfinite(samples)))
    if bad:
        raise ValueError(f"audio has {bad} NaN or infinite samples of {samples.size}")
    check_rate(sample_rate, expected_rate)
    return samples.astype(np.float32, copy=False)


def check_waveform(waveform: Tensor) -> None:
    """Raise if a tensor is not a batch of mono waveforms, ``(..., samples)``.

    In a compiled or exported graph only the dtype and the shape are looked at, for asking about
    the values would break the graph.

    Raises
    ------
    TypeError
        If it is not a floating-point tensor.
    ValueError
        If it is empty, has its channels last, or has NaN or infinite samples.
    """
    if not isinstance(waveform, Tensor):
        raise TypeError(f"waveform is a {type(waveform).__name__} but a torch.Tensor is expected")
    _check_type(waveform.is_floating_point(), waveform.dtype)
    if waveform.ndim == 0 or waveform.shape[-1] == 0:
        raise ValueError(
            f"waveform has shape {tuple(waveform.shape)} but (..., samples) is expected"
        )
    if torch.compiler.is_compiling():
        return
    if waveform.ndim > 1 and waveform.shape[-1] <= 8 < waveform.shape[-2]:
        raise ValueError(
            f"waveform has shape {tuple(waveform.shape)}, which looks like (samples, channels), "
            "but mono (..., samples) is expected; average over the last axis"
        )
    bad = waveform.numel() - int(torch.isfinite(waveform).sum())
    if bad:
        raise ValueError(f"waveform has {bad} NaN or infinite samples of {waveform.numel()}")


def _check_type(is_floating: bool, dtype: object) -> None:
    if not is_floating:
        raise TypeError(
            f"audio is {dtype} but floating point with full scale at ±1 is expected; "
            "divide 16-bit PCM by 32768"
        )


def check_rate(sample_rate: float, expected_rate: float | None) -> None:
    """Raise ValueError if a sample rate is not positive, or is not the one expected."""
    if not sample_rate > 0:
        raise ValueError(f"sample_rate={sample_rate!r} but a positive number of Hz is expected")
    if expected_rate is not None and sample_rate != expected_rate:
        raise ValueError(
            f"audio is at {sample_rate:g} Hz but {expected_rate:g} Hz is expected; "
            "resample it first"
        )
