"""Change music in ways that keep its label, or that change the label along with it.

`Pipeline` changes a batch of recordings at random, every probability and range in one place:
`PitchShift`, `TimeStretch`, `Speed`, `Crop`, `Gain`, `Noise`, `Room`, `MixUp` and `Sum`, on
`Clips` that carry their notes and classes. `SpecAugment` hides parts of spectrograms. `Transpose`
moves scores to other keys. `repitch` changes one recording by a known amount.

Lesson: book/cnn/musiccnn
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mircourse.audio import check_audio
from mircourse.augmentations import (
    Augmentation,
    Crop,
    Gain,
    Noise,
    PitchShift,
    Room,
    SpecAugment,
    Speed,
    TimeStretch,
)
from mircourse.clips import Clips
from mircourse.mixing import MixUp, Sum
from mircourse.pipeline import Pipeline
from mircourse.scorechanges import Transpose, transpose_chords

__all__ = [
    "Augmentation",
    "Clips",
    "Crop",
    "Gain",
    "MixUp",
    "Noise",
    "Pipeline",
    "PitchShift",
    "Room",
    "SpecAugment",
    "Speed",
    "Sum",
    "TimeStretch",
    "Transpose",
    "repitch",
    "transpose_chords",
]


def repitch(audio: ArrayLike, *, semitones: float, sample_rate: float) -> NDArray[np.float32]:
    r"""Play a recording faster or slower, as a tape would: pitch and duration change together.

    The recording is resampled by :math:`2^{s/12}`. Unlike a phase vocoder it adds no artefacts,
    but it moves the formants with the pitch, so a large shift changes the instrument: stay within
    about three semitones.

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    audio : array, shape (n,)
        Mono audio.
    semitones : float
        Up if positive; from -24 to 24.
    sample_rate : float
        Samples per second, in and out.

    Returns
    -------
    ndarray of float32, shape (n,)
        As long as the input: what is missing at the end is zero, what is too much is cut.

    Raises
    ------
    ValueError
        If the audio is empty, not mono or not finite, or the shift is out of range.

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
    >>> up = repitch(tone, semitones=12, sample_rate=22050)
    >>> int(np.abs(np.fft.rfft(up[:11025])).argmax() * 2)
    880
    """
    if not -24 <= semitones <= 24:
        raise ValueError(f"got semitones={semitones}; expected from -24 to 24")
    x = check_audio(audio, sample_rate=sample_rate)
    if semitones == 0:
        return x.astype(np.float32)
    import librosa

    played = librosa.resample(
        x, orig_sr=sample_rate * 2 ** (semitones / 12), target_sr=sample_rate, res_type="soxr_hq"
    )
    return librosa.util.fix_length(played, size=len(x)).astype(np.float32)
