"""Players for a notebook: a caption and a few seconds of MP3 inside the page itself.

>>> from mircourse import listen, recordings
>>> listen.player(recordings.load()["flute-060-1"])  # doctest: +SKIP
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mircourse.loudness import loudness

if TYPE_CHECKING:
    from mircourse.recordings import Recording
    from mircourse.scores import Piece

TARGET_LUFS = -20.0
PEAK = 0.89  # -1 dB of full scale
MAX_SECONDS = 60.0
_FADE_SECONDS = 0.05
# 56 kbit/s at this rate: the least at which a frame has room for the tag that says how many samples
# to play, and so little that twelve players of 8 s stay under 1 MB in base64.
_MP3_RATE = 22050
_COMPRESSION = 0.7
_ENCODER_GAIN = 0.95  # LAME's own, unless told otherwise


@dataclass(frozen=True, eq=False)
class Player:
    """Something to hear: displays as a captioned player in a notebook.

    Attributes
    ----------
    caption : str
        What is heard, as plain text; it says so if the audio was cut.
    mp3 : bytes
        The sound, mono.
    seconds : float
        Its duration.
    """

    caption: str
    mp3: bytes = field(repr=False)
    seconds: float

    def __repr__(self) -> str:
        return f"<Player {self.caption!r}, {self.seconds:.2f} s>"

    def _repr_html_(self) -> str:
        caption = html.escape(self.caption, quote=True)
        data = base64.b64encode(self.mp3).decode("ascii")
        return (
            f'<figure class="mircourse-player"><figcaption>{caption}</figcaption>'
            f'<audio controls preload="metadata" aria-label="{caption}" '
            f'src="data:audio/mpeg;base64,{data}"></audio></figure>'
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the sound as an MP3 file."""
        Path(path).write_bytes(self.mp3)


def player(
    sound: NDArray[np.floating] | Recording | Piece,
    *,
    sample_rate: int | None = None,
    caption: str | None = None,
    max_seconds: float = 8.0,
    tempo: float = 120.0,
    program: int | Mapping[int, int] = 0,
    font: str | PathLike[str] = "fluid",
) -> Player:
    """Make a player for audio, a recording or a piece.

    Lesson: book/cnn/spectrograms

    Parameters
    ----------
    sound : ndarray of float (n,), Recording, Piece or note array
        Mono audio, or what `mircourse.synth.render` plays.
    sample_rate : int, optional
        Of audio, in Hz; required for an array of audio, and only for it.
    caption : str, optional
        What is heard; required for arrays. A recording or a piece has one of its own.
    max_seconds : float
        What is longer is cut there, faded out, and the caption says so; at most 60.
    tempo, program, font
        For a piece, as in `mircourse.synth.render`.

    Returns
    -------
    Player
        Set to one loudness (-20 LUFS, or as near as peaks at -1 dB allow), so that no player in
        a page startles; silence stays silence.

    Raises
    ------
    ValueError
        If there is no caption or no sample rate, the audio is empty, not mono or not finite, or
        `max_seconds` is not in (0, 60].
    TypeError
        If the audio is not floating point.
    """
    if not 0 < max_seconds <= MAX_SECONDS:
        raise ValueError(f"max_seconds must be above 0 and at most 60, got {max_seconds}")
    caption = _own_caption(sound) if caption is None else caption
    if not caption.strip():
        raise ValueError("a player needs a caption that says what is heard, got an empty one")
    notes: Any = getattr(sound, "notes", sound)
    if getattr(notes, "dtype", np.dtype(float)).names:
        audio, sample_rate, whole = _rendered(notes, tempo, program, font, max_seconds)
    else:
        audio = _checked(getattr(sound, "audio", sound))
        sample_rate = sample_rate or getattr(sound, "sample_rate", None)
        if sample_rate is None or not 0 < sample_rate < np.inf:
            raise ValueError(f"audio needs a sample_rate in Hz above 0, got {sample_rate}")
        whole = len(audio) / sample_rate
        audio = audio[: max(1, round(max_seconds * sample_rate))]
    if whole > max_seconds + 0.5 / sample_rate:
        caption = f"{caption} (the first {max_seconds:g} s of {whole:.0f} s)"
        fade = min(len(audio), round(_FADE_SECONDS * sample_rate))
        audio = audio * np.minimum(1, np.arange(len(audio), 0, -1) / max(1, fade))
    mp3 = _mp3(_levelled(audio, sample_rate), sample_rate)
    return Player(caption=caption, mp3=mp3, seconds=len(audio) / sample_rate)


def _own_caption(sound: Any) -> str:
    if hasattr(sound, "notes"):
        return f"{sound.title} ({sound.id})"
    if hasattr(sound, "instrument"):
        pitch = "" if sound.pitch is None else f", MIDI pitch {sound.pitch}"
        return f"{sound.instrument}{pitch} ({sound.id})"
    raise ValueError("an array needs a caption that says what is heard: player(..., caption='...')")


def _rendered(
    notes: np.ndarray,
    tempo: float,
    program: int | Mapping[int, int],
    font: str | PathLike[str],
    max_seconds: float,
) -> tuple[NDArray[np.float32], int, float]:
    from mircourse.synth import TAIL_SECONDS, render

    sample_rate = 22050
    last = (notes["onset_beat"] + notes["duration_beat"]).max(initial=0.0)
    whole = float(last) * 60 / tempo + TAIL_SECONDS
    # The tail is silence but for what rings on: it is no loss, and not said to be one.
    whole = max_seconds if max_seconds < whole <= max_seconds + TAIL_SECONDS else whole
    audio = render(
        notes,
        sample_rate=sample_rate,
        tempo=tempo,
        program=program,
        font=font,
        seconds=min(whole, max_seconds),
    )
    return audio, sample_rate, whole


def _checked(audio: Any) -> NDArray[np.floating]:
    audio = np.asarray(audio)
    if audio.dtype.kind != "f":
        raise TypeError(f"audio must be floating point in [-1, 1], got dtype {audio.dtype}")
    if audio.ndim != 1 or not len(audio):
        raise ValueError(f"audio must be mono, of shape (n,) with n > 0, got {audio.shape}")
    if not np.isfinite(audio).all():
        raise ValueError(
            f"audio has {np.count_nonzero(~np.isfinite(audio))} NaN or infinite values"
        )
    return audio


def _levelled(audio: NDArray[np.floating], sample_rate: float) -> NDArray[np.floating]:
    now = loudness(audio, sample_rate=sample_rate)
    if now == -np.inf:
        return audio
    return audio * min(10 ** ((TARGET_LUFS - now) / 20), PEAK / float(np.abs(audio).max()))


def _mp3(audio: NDArray[np.floating], sample_rate: float) -> bytes:
    import soundfile
    import soxr

    if sample_rate != _MP3_RATE:
        audio = soxr.resample(audio, sample_rate, _MP3_RATE)
    stream = io.BytesIO()
    soundfile.write(
        stream,
        audio / _ENCODER_GAIN,
        _MP3_RATE,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT",
        compression_level=_COMPRESSION,
    )
    return stream.getvalue()
