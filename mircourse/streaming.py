"""StreamingChroma: audio in blocks of any size, chroma as soon as it can be known.

`StreamingChroma` is the stream itself; `stream_file` and `stream_microphone` feed it.

Lesson: book/rnn/streaming
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from os import PathLike, fspath
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from mircourse.audio import check_audio, check_rate
from mircourse.realtime import N_PITCH_CLASSES, RealTimeMusicRNN, StreamState, export_onnx

__all__ = [
    "Chroma",
    "MicrophoneError",
    "RealTimeMusicRNN",
    "StreamState",
    "StreamingChroma",
    "export_onnx",
    "stream_file",
    "stream_microphone",
]

SHIPPED = "realtime-chroma"
_FRAMES_AT_ONCE = 512  # bounds the memory that a long block takes


class MicrophoneError(RuntimeError):
    """No microphone can be opened here; the message says why and what to do instead."""


class Chroma(NamedTuple):
    """A stretch of chroma.

    Attributes
    ----------
    times : numpy.ndarray, shape (n,)
        The instants that the rows are about, in seconds from the start of the stream.
    values : numpy.ndarray of float32, shape (n, 12)
        How likely each pitch class sounds, from C to B.
    """

    times: NDArray[np.float64]
    values: NDArray[np.float32]


class StreamingChroma:
    """Turn a stream of audio into chroma, whatever the size of its blocks.

    It keeps the samples that the next frame of the spectrogram still needs, and the state of the
    network. The chroma of a stream therefore does not depend on how it was cut into blocks.

    Lesson: book/rnn/streaming

    Parameters
    ----------
    model : RealTimeMusicRNN, optional
        The network, used where its weights are; the one that ships with the course unless given.
    sample_rate : int, optional
        Of the audio to come, the network's own unless given. Another rate is resampled as the
        blocks arrive.
    silence_db : float
        A hop whose mean square is below this level, in dB of full scale, has no chroma: its row is
        zeros.

    Attributes
    ----------
    sample_rate : int
        Of the audio that `push` expects.
    hop_seconds : float
        Seconds from one row of chroma to the next.
    latency_seconds : float
        The longest time from an instant of the music to the sample that completes its chroma, the
        look-ahead included. What the blocks hold back, and the computing, comes on top.

    Raises
    ------
    TypeError
        If ``model`` is not a `RealTimeMusicRNN`.
    ValueError
        If the rate is not positive.

    Examples
    --------
    >>> stream = StreamingChroma(RealTimeMusicRNN(hidden_dim=8))
    >>> times, values = stream.push(np.zeros(2000, dtype=np.float32))
    >>> times.round(3), values.shape
    (array([0.012, 0.035, 0.058]), (3, 12))
    """

    def __init__(
        self,
        model: RealTimeMusicRNN | None = None,
        *,
        sample_rate: int | None = None,
        silence_db: float = -80.0,
    ) -> None:
        if model is None:
            model = _shipped()
        if not isinstance(model, RealTimeMusicRNN):
            raise TypeError(f"got a {type(model).__name__}; expected a RealTimeMusicRNN")
        self.model = model
        rate = model.spectrogram.sample_rate
        self.sample_rate = rate if sample_rate is None else sample_rate
        check_rate(self.sample_rate, None)
        self.hop_seconds = model.spectrogram.hop_seconds
        self.latency_seconds = (model.look_ahead + 1) * self.hop_seconds
        self._silence = 10.0 ** (silence_db / 10)
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next block begins a new stream."""
        front_end = self.model.spectrogram
        self._heard = np.zeros(front_end.context, dtype=np.float32)  # the past of the next hop
        self._state: StreamState | None = None
        self._loud = np.empty(0, dtype=bool)  # of hops whose chroma is still to come
        self._frames = 0  # that the network has read
        self._rows = 0  # of chroma that were returned
        self._samples = 0  # that were heard, at the rate of the network
        self._ended = False
        self._resampler: Any = None
        if self.sample_rate != front_end.sample_rate:
            import soxr

            self._resampler = soxr.ResampleStream(
                self.sample_rate, front_end.sample_rate, 1, dtype="float32"
            )

    def push(self, audio: ArrayLike, *, sample_rate: float | None = None) -> Chroma:
        """Hear a block and return the chroma that it completes.

        Parameters
        ----------
        audio : array_like, shape (n,)
            Mono, floating point, full scale at ±1. No samples at all are a block, too.
        sample_rate : float, optional
            The block's rate, checked against the stream's if you give it.

        Returns
        -------
        Chroma
            Perhaps of no rows, where the block is shorter than a hop.

        Raises
        ------
        TypeError
            If the samples are not floating point.
        ValueError
            If the block is not mono, holds NaN or infinity or has another rate, or after `flush`.
            The stream is then as it was before the block.
        """
        if self._ended:
            raise ValueError("the stream was flushed and has ended; call reset() to begin another")
        samples = np.asarray(audio)
        if samples.shape != (0,):
            samples = check_audio(samples, sample_rate=self.sample_rate)
        if sample_rate is not None:
            check_rate(sample_rate, self.sample_rate)
        return self._hear(self._at_own_rate(samples.astype(np.float32, copy=False), last=False))

    def flush(self) -> Chroma:
        """End the stream and return the rest of its chroma, as if silence followed.

        With what `push` returned, there is now a row for every hop that the audio began.

        Raises
        ------
        ValueError
            If the stream was flushed before.
        """
        if self._ended:
            raise ValueError("the stream was flushed and has ended; call reset() to begin another")
        self._ended = True
        tail = self._at_own_rate(np.empty(0, dtype=np.float32), last=True)
        samples, hop = self._samples + len(tail), self.model.spectrogram.hop_length
        begun = -(-samples // hop)
        silence = np.zeros((begun + self.model.look_ahead) * hop - samples, dtype=np.float32)
        return self._hear(np.concatenate([tail, silence]))

    def _at_own_rate(self, samples: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
        if self._resampler is None:
            return samples
        return self._resampler.resample_chunk(samples, last=last)

    def _hear(self, samples: NDArray[np.float32]) -> Chroma:
        front_end = self.model.spectrogram
        hop, context = front_end.hop_length, front_end.context
        self._samples += len(samples)
        heard = np.concatenate([self._heard, samples])
        complete = (len(heard) - context) // hop
        parts = [np.empty((0, N_PITCH_CLASSES), dtype=np.float32)]
        for first in range(0, complete, _FRAMES_AT_ONCE):
            stop = min(first + _FRAMES_AT_ONCE, complete)
            parts.append(self._read(heard[first * hop : context + stop * hop]))
        self._heard = heard[complete * hop :].copy()
        values = np.concatenate(parts)  # (n, 12)
        times = (self._rows + 0.5 + np.arange(len(values), dtype=np.float64)) * self.hop_seconds
        self._rows += len(values)
        return Chroma(times, values)

    def _read(self, heard: NDArray[np.float32]) -> NDArray[np.float32]:
        front_end, weight = self.model.spectrogram, self.model.output.weight
        hops = heard[front_end.context :].reshape(-1, front_end.hop_length)  # (T, hop)
        loud = np.square(hops, dtype=np.float64).mean(axis=1) >= self._silence  # -> (T,)
        with torch.inference_mode():
            x = front_end.frames(torch.from_numpy(heard).to(weight.device))[None]  # (1, T, F)
            chroma, self._state = self.model(x, self._state)
        values = chroma[0].cpu().numpy()  # (1, T, 12) -> (T, 12)
        # The first rows of a stream, look_ahead of them, are about nothing.
        values = values[min(len(values), max(0, self.model.look_ahead - self._frames)) :]
        self._frames += len(hops)
        self._loud = np.concatenate([self._loud, loud])
        now, self._loud = self._loud[: len(values)], self._loud[len(values) :]
        return values * now[:, None]


def stream_file(
    path: str | PathLike[str],
    *,
    model: RealTimeMusicRNN | None = None,
    block: int = 1024,
    silence_db: float = -80.0,
) -> Iterator[Chroma]:
    """Read a sound file block by block, as if it were being played, and yield its chroma.

    Channels are averaged and the file's rate is resampled to the network's. No more than one block
    is in memory.

    Lesson: book/rnn/streaming

    Parameters
    ----------
    path : path
        A file that soundfile reads: wav, flac, ogg, mp3.
    model, silence_db
        As for `StreamingChroma`.
    block : int
        Samples at a time.

    Yields
    ------
    Chroma
        For each block, and one for the end of the file; some may have no rows.

    Raises
    ------
    ValueError
        If the file cannot be read or holds no samples, naming it, or ``block`` is below 1.
    """
    import soundfile

    if block < 1:
        raise ValueError(f"got block={block}; expected 1 sample or more")
    try:
        with soundfile.SoundFile(fspath(path)) as file:
            stream = StreamingChroma(model, sample_rate=file.samplerate, silence_db=silence_db)
            heard = 0
            while len(samples := file.read(block, dtype="float32", always_2d=True)):
                heard += len(samples)
                yield stream.push(samples.mean(axis=1))  # (n, channels) -> (n,)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{fspath(path)!r} cannot be read as audio: {error}") from error
    if not heard:
        raise ValueError(f"{fspath(path)!r} has no samples")
    yield stream.flush()


def stream_microphone(
    *,
    seconds: float | None = None,
    model: RealTimeMusicRNN | None = None,
    block_seconds: float = 0.05,
    device: int | str | None = None,
    silence_db: float = -80.0,
) -> Iterator[Chroma]:
    """Listen to a microphone of the computer that runs Python, and yield its chroma.

    That computer is yours where you run a notebook locally. In Colab it is one of Google's, which
    has no microphone: use `stream_file` there. The package ``sounddevice`` has to be installed.

    Lesson: book/rnn/streaming

    Parameters
    ----------
    seconds : float, optional
        How long; until you stop it unless given.
    model, silence_db
        As for `StreamingChroma`.
    block_seconds : float
        Length of a block, which adds to the latency.
    device : int or str, optional
        As ``sounddevice`` numbers or names it; the system's default unless given.

    Yields
    ------
    Chroma
        For each block; some may have no rows.

    Raises
    ------
    MicrophoneError
        If ``sounddevice`` or the PortAudio library is missing, or no microphone opens.
    ValueError
        If a length is not positive.

    Warns
    -----
    RuntimeWarning
        If blocks were not fetched fast enough and samples were lost.
    """
    if block_seconds <= 0 or (seconds is not None and seconds <= 0):
        raise ValueError(
            f"got seconds={seconds}, block_seconds={block_seconds}; expected positive lengths"
        )
    elsewhere = "stream_file reads a recording instead"
    try:
        import sounddevice
    except ImportError as error:
        raise MicrophoneError(
            f"sounddevice is not installed; pip install sounddevice where the computer that runs "
            f"Python has a microphone; {elsewhere}"
        ) from error
    except OSError as error:
        raise MicrophoneError(f"the PortAudio library is missing ({error}); {elsewhere}") from error
    try:
        rate = int(sounddevice.query_devices(device, "input")["default_samplerate"])
        opened = sounddevice.InputStream(
            samplerate=rate, device=device, channels=1, dtype="float32"
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise MicrophoneError(f"no microphone opens ({error}); {elsewhere}") from error
    stream = StreamingChroma(model, sample_rate=rate, silence_db=silence_db)
    block = max(1, round(block_seconds * rate))
    left = None if seconds is None else max(1, round(seconds * rate))
    with opened:
        while left is None or left > 0:
            samples, lost = opened.read(block if left is None else min(block, left))
            if lost:
                warnings.warn("the microphone lost samples", RuntimeWarning, stacklevel=2)
            left = None if left is None else left - len(samples)
            yield stream.push(samples[:, 0])  # (n, 1) -> (n,)
    yield stream.flush()


def _shipped() -> RealTimeMusicRNN:
    from mircourse import weights

    model = weights.load(SHIPPED).model
    assert isinstance(model, RealTimeMusicRNN)
    return model
