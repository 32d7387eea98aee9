"""From a recording to its notes, however long it is.

The recording is heard in overlapping pieces, so that memory stays bounded and a note near the edge
of a piece is read from the piece that holds what is before and after it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from mircourse.audio import check_audio
from mircourse.pianoroll import notes_of

if TYPE_CHECKING:
    from mircourse.transcription import MusicTranscriptionRNN

__all__ = ["WEIGHTS", "hear", "transcribe"]

WEIGHTS = "transcription-piano"
SECONDS = 20.0  # of a piece
LEAD = 0.2  # of silence put before a recording
OVERLAP = 2.0  # heard before and after a piece, and thrown away


def transcribe(
    audio: ArrayLike,
    *,
    sample_rate: float,
    model: MusicTranscriptionRNN | None = None,
    onset_threshold: float | None = None,
    pitch_threshold: float | None = None,
) -> NDArray:
    """Write down the notes of a recording.

    The result is the same each time. Each piece of 20 s is heard with 2 s before and after it, in
    the memory that 24 s need; the answers for the whole recording take 0.2 GB an hour.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    audio : array_like, shape (samples,)
        Mono audio, full scale at ±1, of any length; `mircourse.audio.read_audio` reads files.
    sample_rate : float
        Samples per second; other rates than the network's are resampled.
    model : MusicTranscriptionRNN, optional
        The trained network that ships, unless given.
    onset_threshold, pitch_threshold : float, optional
        Probabilities from which a note begins, and goes on; the network's own unless given. Lower
        ones find more notes and invent more.

    Returns
    -------
    performed note array
        ``onset_sec``, ``duration_sec``, ``pitch`` (21 to 108) and ``velocity`` (1 to 127), sorted
        by onset and pitch; empty for silence.

    Raises
    ------
    TypeError, ValueError
        If the audio is not a mono signal with finite numbers, is empty, or a threshold is not
        between 0 and 1.

    Examples
    --------
    >>> len(transcribe(np.zeros(8000), sample_rate=8000))
    0
    """
    model = _shipped() if model is None else model
    samples = _at_rate(check_audio(audio, sample_rate=sample_rate), sample_rate, model.sample_rate)
    # A beginning is heard against the silence before it; some recordings have none.
    lead = round(LEAD / model.hop_seconds)
    hop = round(model.hop_seconds * model.sample_rate)
    rolls = [roll[lead:] for roll in hear(model, np.pad(samples, (lead * hop, 0)))]
    return notes_of(
        *rolls,
        hop_seconds=model.hop_seconds,
        onset_threshold=model.onset_threshold if onset_threshold is None else onset_threshold,
        pitch_threshold=model.pitch_threshold if pitch_threshold is None else pitch_threshold,
    )


def hear(model: MusicTranscriptionRNN, samples: NDArray[np.float32]) -> list[NDArray]:
    """Return a network's answers for a whole recording, piece by piece.

    Parameters
    ----------
    model : MusicTranscriptionRNN
        On any device; it is left in the mode it was in.
    samples : ndarray of float32, shape (n,)
        Mono, at the network's rate, 1 sample or more.

    Returns
    -------
    list of three ndarray
        Probabilities of pitches (T, 88) and onsets (T, 1 or 88), velocities (T, 1 or 88).
    """
    hop = round(model.hop_seconds * model.sample_rate)
    frames = 1 + len(samples) // hop
    step, overlap = (round(s / model.hop_seconds) for s in (SECONDS, OVERLAP))
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    parts: list[list[NDArray]] = [[], [], []]
    try:
        with torch.inference_mode():
            for first in range(0, frames, step):
                last = min(first + step, frames)
                begin, end = max(0, first - overlap), min(frames, last + overlap)
                stop = len(samples) if end == frames else (end - 1) * hop + 1
                x = torch.from_numpy(samples[begin * hop : stop]).to(device)
                logits = model.logits(x[None])  # (1, end - begin, 88) each
                for part, roll, scale in zip(parts, logits, (1, 1, 127), strict=True):
                    own = roll[0, first - begin : last - begin].float().sigmoid() * scale
                    part.append(own.cpu().numpy())
    finally:
        model.train(training)
    return [np.concatenate(part) for part in parts]


def _at_rate(samples: NDArray[np.float32], rate: float, expected: int) -> NDArray[np.float32]:
    if rate == expected:
        return samples
    import soxr

    resampled = soxr.resample(samples, rate, expected)
    return resampled if len(resampled) else np.zeros(1, np.float32)


@functools.lru_cache(maxsize=1)
def _shipped() -> MusicTranscriptionRNN:
    from mircourse import weights

    return weights.load(WEIGHTS).model  # type: ignore[return-value]
