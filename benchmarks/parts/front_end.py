"""Audio to spectrogram: `LogMel` and `LogCQT` beside librosa and torchaudio."""

from __future__ import annotations

import librosa
import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray

from mircourse import recordings
from mircourse.experiments.benchmark import Timing
from mircourse.features import C1_HZ, LogCQT, LogMel
from parts.beside import Function, beside

CLAIM = "The front ends of the models are at least as fast as those of librosa and torchaudio"
RATE, EPS = 22050, 1e-9
MEL = {"n_fft": 2048, "hop_length": 512, "n_mels": 128}
CQT = {"hop_length": 512, "n_bins": 192, "bins_per_octave": 24}


def rows(*, fast: bool) -> list[Timing]:
    notes = recordings.load()
    if fast:
        return measure(notes[:2].audio(2.0), "2 clips of 2 s", repeats=1)
    batch = measure(notes[:32].audio(2.5), "32 clips of 2.5 s", repeats=9)
    return batch + measure(notes[:1].audio(2.5), "1 clip of 2.5 s", repeats=31)


def measure(clips: NDArray[np.float32], task: str, *, repeats: int) -> list[Timing]:
    """Time the front ends on clips ``(N, n)`` that they all transform in one call."""
    waveforms = torch.from_numpy(clips)  # (N, n)
    log_mel, log_cqt = LogMel(RATE, eps=EPS, **MEL), LogCQT(RATE, eps=EPS, **CQT)
    mel = torchaudio.transforms.MelSpectrogram(RATE, norm=None, mel_scale="htk", **MEL)
    # librosa scales each bin by half the square root of its filter's length.
    scale = 2 / np.sqrt(log_cqt.lengths)[:, None].astype(np.float32)  # (n_bins, 1)

    def mel_by_librosa() -> NDArray[np.float32]:
        power = librosa.feature.melspectrogram(
            y=clips, sr=RATE, htk=True, norm=None, pad_mode="reflect", **MEL
        )  # (N, n_mels, frames)
        return np.log(power + EPS)

    def mel_by_torchaudio() -> torch.Tensor:
        return torch.log(mel(waveforms) + EPS)  # (N, n_mels, frames)

    def cqt_by_librosa() -> NDArray[np.float32]:
        transform = librosa.cqt(clips, sr=RATE, fmin=C1_HZ, tuning=0.0, **CQT)
        return np.log((np.abs(transform) * scale) ** 2 + EPS)  # (N, n_bins, frames)

    compared: list[tuple[str, Function, Function, float, str]] = [
        (
            "LogMel against librosa",
            lambda: log_mel(waveforms),
            mel_by_librosa,
            1e-3,
            "librosa.feature.melspectrogram and np.log; it makes its filters anew in every call",
        ),
        (
            "LogMel against torchaudio",
            lambda: log_mel(waveforms),
            mel_by_torchaudio,
            1e-3,
            "torchaudio's MelSpectrogram and torch.log, without the checks of LogMel",
        ),
        (
            "LogCQT against librosa",
            lambda: log_cqt(waveforms),
            cqt_by_librosa,
            2e-2,
            "librosa.cqt, its scale made ours, and np.log; it halves the rate for every octave",
        ),
    ]
    timings = []
    for name, ours, peer, tolerance, note in compared:
        with torch.inference_mode():
            check_alike(np.asarray(ours()), np.asarray(peer()), tolerance)
            ratio, memory = beside(ours, peer, repeats=repeats)
        timings.append(Timing(name, ratio, task, note=note + memory))
    return timings


def check_alike(ours: NDArray[np.float32], peer: NDArray[np.float32], tolerance: float) -> None:
    """Raise if two log-power spectrograms are not the same: then their times mean nothing."""
    a, b = np.exp(ours / 2), np.exp(peer / 2)
    if a.shape != b.shape or np.abs(a - b).max() > tolerance * b.max():
        apart = f"{np.abs(a - b).max() / b.max():.1e}" if a.shape == b.shape else "all"
        raise ValueError(
            f"shapes {a.shape} and {b.shape}, amplitudes {apart} of the loudest apart; "
            f"expected the same shape and at most {tolerance:g}"
        )
