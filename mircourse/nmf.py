r"""Piano transcription without a neural network: which single notes add up to this sound.

A magnitude spectrogram is explained as a sum of the spectra of single notes, each as loud as it
has to be: :math:`V \approx W H` with nothing negative (Smaragdis and Brown, 2003). The spectra
``W`` are not learnt from the recording but taken from rendered single notes, two for each key,
its attack and what follows; only ``H`` is sought. A note begins where its row of ``H`` rises.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mircourse.audio import check_audio
from mircourse.performed import performed_notes

__all__ = ["nmf_activations", "nmf_transcribe"]

SAMPLE_RATE = 16000
N_FFT, HOP = 2048, 320  # windows of 128 ms every 20 ms
KEYS = np.arange(21, 109)
HOP_SECONDS = HOP / SAMPLE_RATE
# Frames that are solved together, which bounds the memory: a minute.
_BLOCK = 3000
_QUIET = 1e-4  # of full scale: below it there is nothing to hear
_SHORTEST = 0.04  # seconds


def nmf_transcribe(
    audio: ArrayLike,
    *,
    sample_rate: float,
    onset_threshold: float = 0.12,
    release: float = 0.2,
) -> NDArray:
    """Write down the notes of a piano recording.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    audio : array_like, shape (samples,)
        Mono audio, full scale at ±1.
    sample_rate : float
        Samples per second; the audio is resampled to 16 kHz.
    onset_threshold : float
        How far a key's activation must rise within three frames to be an onset, as a share of the
        recording's largest activation.
    release : float
        A note ends where its activation has fallen to this share of its peak. Both defaults did
        best on the validation passages, in the soundfont that the templates are from.

    Returns
    -------
    performed array, shape (n,)
        Velocities follow the square root of the activation, loudest at 100. Silence has no notes.

    Raises
    ------
    TypeError, ValueError
        If the audio is not a mono signal of finite numbers, or a threshold is not in (0, 1).
    """
    if not (0 < onset_threshold < 1 and 0 < release < 1):
        raise ValueError(
            f"got onset_threshold={onset_threshold}, release={release}; expected numbers in (0, 1)"
        )
    level = nmf_activations(audio, sample_rate=sample_rate)  # (T, 88)
    return _notes(level, onset_threshold, release)


def nmf_activations(audio: ArrayLike, *, sample_rate: float) -> NDArray[np.float32]:
    """Return how loud each of the 88 keys is in each frame of 20 ms, shape (T, 88).

    Parameters and errors are those of `nmf_transcribe`.
    """
    samples = check_audio(audio, sample_rate=sample_rate)
    if sample_rate != SAMPLE_RATE:
        import soxr

        samples = soxr.resample(samples, sample_rate, SAMPLE_RATE)
    if np.abs(samples).max(initial=0) < _QUIET:
        return np.zeros((1 + len(samples) // HOP, len(KEYS)), np.float32)
    spectrum = _spectrogram(samples)  # (T, F)
    blocks = (spectrum[i : i + _BLOCK] for i in range(0, len(spectrum), _BLOCK))
    both = np.concatenate([_solve(block, _templates()) for block in blocks])  # (T, 2 * 88)
    return both.reshape(len(both), 2, len(KEYS)).sum(axis=1)  # -> (T, 88)


def _spectrogram(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    import librosa

    # The square root of the magnitude makes loud partials count less. (F, T) -> (T, F)
    stft = librosa.stft(samples, n_fft=N_FFT, hop_length=HOP, pad_mode="constant")
    return np.sqrt(np.abs(stft)).T.astype(np.float32)


@functools.lru_cache(maxsize=1)
def _templates() -> NDArray[np.float32]:
    # Spectra of the attack of each key and of what follows, (2 * 88, F), each of sum 1.
    from mircourse.scores import note_array
    from mircourse.synth import render

    notes = [note_array([0.2], [1.0], [key], velocity=80) for key in KEYS]
    first = round(0.2 / HOP_SECONDS)
    attack, body = [], []
    for sound in render(notes, tempo=60, sample_rate=SAMPLE_RATE, seconds=1.2):
        spectrum = _spectrogram(sound)  # (T, F)
        attack.append(spectrum[first : first + 3].mean(axis=0))
        body.append(spectrum[first + 5 : first + 40].mean(axis=0))
    both = np.stack(attack + body)
    return both / both.sum(axis=1, keepdims=True)


def _solve(
    spectrum: NDArray[np.float32], templates: NDArray[np.float32], *, steps: int = 40
) -> NDArray[np.float32]:
    """Return the activations (T, K) that explain ``spectrum`` (T, F) by ``templates`` (K, F).

    The multiplicative updates of Lee and Seung (2001) for the Kullback-Leibler divergence, the
    templates held fixed: what scikit-learn's ``NMF`` does with ``solver="mu"``.
    """
    tiny = np.float32(1e-9)
    found = np.full((len(spectrum), len(templates)), spectrum.mean() + tiny, np.float32)
    for _ in range(steps):
        ratio = spectrum / np.maximum(found @ templates, tiny)  # (T, F)
        found *= ratio @ templates.T  # the templates sum to 1, so there is nothing to divide by
    return found


def _notes(level: NDArray[np.float32], onset_threshold: float, release: float) -> NDArray:
    from scipy.signal import find_peaks

    loudest = float(level.max(initial=0))
    rows: list[tuple[float, float, int, float]] = []
    padded = np.pad(level, ((2, 2), (0, 0)))
    rise = padded[3:] - padded[:-3]  # (T + 1, 88): from two frames before t to one after
    for k, key in enumerate(KEYS.tolist()) if loudest else ():
        starts, _ = find_peaks(np.pad(rise[:, k], 1), height=onset_threshold * loudest, distance=4)
        starts = starts - 1
        for i, start in enumerate(starts):
            limit = int(starts[i + 1]) if i + 1 < len(starts) else len(level)
            own = level[start:limit, k]
            if not len(own):
                continue
            peak = float(own[:10].max())
            below = np.flatnonzero(own[int(own[:10].argmax()) :] < release * peak)
            length = int(own[:10].argmax() + below[0]) if len(below) else len(own)
            seconds = max(length * HOP_SECONDS, _SHORTEST)
            rows.append((start * HOP_SECONDS, seconds, key, 100 * (peak / loudest) ** 0.5))
    table = np.array(rows).reshape(-1, 4)
    velocity = np.clip(np.rint(table[:, 3]), 1, 127)
    return performed_notes(table[:, 0], table[:, 1], table[:, 2], velocity=velocity)
