"""Notes to audio, by a sampler: the same notes in any timbre, at a known time to the millisecond.

`render` plays note arrays on a soundfont with midirenderer. It plays dry and mono, and on a grid
of 1/750 s (64 samples at the sampler's 48 kHz), which makes a piece come out the same alone and
in a batch. A note sounds within 0.7 ms of its time on the score; how soon it is heard is the
instrument's own attack.
"""

from __future__ import annotations

import io
import itertools
import math
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from mircourse.notearray import check_notes
from mircourse.soundfonts import pitches, programs, read

if TYPE_CHECKING:
    from mircourse.scores import Piece

__all__ = ["pitches", "programs", "render"]

TAIL_SECONDS = 1.0
_RATE = 48_000
_BLOCK = 64
_BLOCKS_PER_SECOND = _RATE // _BLOCK
# The sampler reads events between blocks. Ticks of half a block put every event half a block
# before the one that it starts, where rounding cannot move it.
_TICKS_PER_SECOND = 2 * _BLOCKS_PER_SECOND
# Between two pieces, so that the voices of the one are free before the other begins.
_GAP_BLOCKS = 2
# A batch is rendered whole: this bounds its memory, 115 MB of 16-bit stereo.
_BATCH_BLOCKS = 600 * _BLOCKS_PER_SECOND
_CHANNELS = [channel for channel in range(16) if channel != 9]  # 9 is the drums
_LOUD, _SOFT = 127, 32  # channel volume; the amplitude goes with its square

Program = int | Mapping[int, int]


@dataclass(frozen=True)
class _Job:
    """One piece, ready to be written as MIDI: times in blocks from its own start."""

    notes: list[tuple[int, int, int, int, int]]  # start, stop, channel, pitch, velocity
    channels: dict[int, int]  # channel: program
    blocks: int
    samples: int


@overload
def render(
    music: Piece | np.ndarray,
    *,
    sample_rate: int = ...,
    tempo: float = ...,
    program: Program = ...,
    font: str | PathLike[str] = ...,
    seconds: float | None = ...,
) -> NDArray[np.float32]: ...


@overload
def render(
    music: Sequence[Piece | np.ndarray],
    *,
    sample_rate: int = ...,
    tempo: float | Sequence[float] = ...,
    program: Program | Sequence[Program] = ...,
    font: str | PathLike[str] = ...,
    seconds: float | None = ...,
) -> list[NDArray[np.float32]]: ...


def render(
    music: Any,
    *,
    sample_rate: int = 22050,
    tempo: float | Sequence[float] = 120.0,
    program: Program | Sequence[Program] = 0,
    font: str | PathLike[str] = "fluid",
    seconds: float | None = None,
) -> NDArray[np.float32] | list[NDArray[np.float32]]:
    """Play notes on a soundfont.

    Lesson: book/cnn/spectrograms

    Parameters
    ----------
    music : Piece, note array, or sequence of them
        What to play. Many pieces in one call take less time than a call each, since a call reads
        the font; the result is the same to the bit.
    sample_rate : int
        Of the result, in Hz; 1,000 to 192,000. The sampler runs at 48 kHz.
    tempo : float, or one for each piece
        Quarter notes per minute.
    program : int or mapping of voice to int, or one of these for each piece
        General MIDI program, counted from 0; a voice missing from the mapping gets 0. `programs`
        lists what a font has.
    font : str or path-like
        ``"fluid"`` (20 programs, shipped), ``"timgm6mb"`` (128 programs, from pretty_midi), or
        the path of an .sf2 file.
    seconds : float, optional
        Length of the result: longer music is cut off, shorter is followed by silence. Without it
        the result ends 1 s after the last note does.

    Returns
    -------
    ndarray of float32, shape (n,), or a list of them for a sequence of pieces
        Mono. The level is the font's, not normalised: a few notes at velocity 64 peak near 0.1,
        and a loud tutti may pass 1. No notes give silence.

    Raises
    ------
    ValueError
        If a note, the tempo, the rate or the length is out of range, the font is unknown or lacks
        the program (the message lists those that it has), the program does not sound at a pitch
        (`pitches` tells where it does), or a piece needs more than 15 programs.
    TypeError
        If `music` is not notes.

    Examples
    --------
    >>> from mircourse.scores import note_array
    >>> c_major = note_array([0, 1, 2], [1, 1, 1], [60, 64, 67])
    >>> render(c_major, program=73, seconds=2.0).shape
    (44100,)
    """
    sample_rate = _check_rate(sample_rate)
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be above 0 and finite, got {seconds}")
    single = hasattr(music, "notes") or isinstance(music, np.ndarray)
    if not single and not isinstance(music, Sequence):
        raise TypeError(f"expected a piece, notes or a sequence of these, got {type(music)}")
    pieces = [music] if single else list(music)
    tempos = _one_each(tempo, len(pieces), "tempo")
    voices = _one_each(program, len(pieces), "program")
    ranges = pitches(font)
    jobs = [
        _job(getattr(p, "notes", p), t, v, ranges, font, sample_rate, seconds)
        for p, t, v in zip(pieces, tempos, voices, strict=True)
    ]
    soundfont = read(font)
    audio = [
        _resample(played, sample_rate, job.samples)
        for batch in _batches(jobs)
        for job, played in zip(batch, _play(batch, soundfont), strict=True)
    ]
    return audio[0] if single else audio


def _job(
    notes: np.ndarray,
    tempo: float,
    program: Program,
    ranges: Mapping[int, range],
    font: str | PathLike[str],
    sample_rate: int,
    seconds: float | None,
) -> _Job:
    check_notes(notes)
    if not 0 < tempo < math.inf:
        raise ValueError(f"tempo must be above 0 and finite, got {tempo} quarter notes per minute")
    second = (
        60 / tempo * np.stack([notes["onset_beat"], notes["onset_beat"] + notes["duration_beat"]])
    )  # (2, n): start, stop
    if seconds is None:
        seconds = float(second.max(initial=0)) + TAIL_SECONDS
    blocks = math.ceil(seconds * _BLOCKS_PER_SECOND)
    start, stop = np.rint(second * _BLOCKS_PER_SECOND).astype(int)
    channels = _channels(notes, program, ranges, font)
    rows = [
        (int(a), int(b), channels[int(voice)][0], int(pitch), int(velocity))
        for a, b, voice, pitch, velocity in zip(
            start, stop, notes["voice"], notes["pitch"], notes["velocity"], strict=True
        )
        if a < blocks
    ]
    return _Job(
        _untangled(rows), dict(channels.values()), blocks, max(1, round(seconds * sample_rate))
    )


def _channels(
    notes: np.ndarray, program: Program, ranges: Mapping[int, range], font: str | PathLike[str]
) -> dict[int, tuple[int, int]]:
    # voice: (channel, program). Each voice has a channel of its own, so that two voices can hold
    # one pitch; where there are too many, those of one program share.
    numbers = {
        int(v): int(program.get(int(v), 0) if isinstance(program, Mapping) else program)
        for v in np.unique(notes["voice"])
    }
    for v, number in numbers.items():
        if number not in ranges:
            listed = ", ".join(f"{n} {name}" for n, name in programs(font).items())
            raise ValueError(f"font {str(font)!r} has no program {number}; it has {listed}")
        own = notes["pitch"][notes["voice"] == v]
        low, high = ranges[number][0], ranges[number][-1]
        if own.min() < low or own.max() > high:
            # Played all the same, these notes would be silent, and the score would not be.
            raise ValueError(
                f"program {number} sounds at pitches {low} to {high}; "
                f"voice {v} goes from {own.min()} to {own.max()}"
            )
    keys: dict[int, Any] = {v: v for v in numbers}
    if len(keys) > len(_CHANNELS):
        keys = numbers
    order = {key: k for k, key in enumerate(dict.fromkeys(keys.values()))}
    if len(order) > len(_CHANNELS):
        raise ValueError(f"a piece can have {len(_CHANNELS)} programs, got {len(order)}")
    return {v: (_CHANNELS[order[keys[v]]], number) for v, number in numbers.items()}


def _untangled(rows: list[tuple[int, int, int, int, int]]) -> list[tuple[int, int, int, int, int]]:
    # A note-off ends every note of its channel and pitch: a note that begins while its pitch still
    # sounds ends the other, and of several that begin together the longest and loudest stays.
    by_key: dict[tuple[int, int], list[tuple[int, int, int, int, int]]] = defaultdict(list)
    for row in sorted(rows):
        same = by_key[row[2], row[3]]
        start, stop, channel, pitch, velocity = row
        if same and same[-1][0] == start:
            velocity = max(velocity, same.pop()[4])
        elif same:
            a, b, *rest, loudness = same.pop()
            same.append((a, min(b, start), rest[0], rest[1], loudness))
        same.append((start, max(stop, start + 1), channel, pitch, velocity))
    return [row for same in by_key.values() for row in same]


def _batches(jobs: list[_Job]) -> Iterator[list[_Job]]:
    batch: list[_Job] = []
    for job in jobs:
        if batch and sum(j.blocks for j in batch) + job.blocks > _BATCH_BLOCKS:
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


def _play(batch: list[_Job], soundfont: bytes) -> list[NDArray[np.float32]]:
    audio = []
    for job, stereo in zip(batch, _sample(batch, soundfont, _LOUD), strict=True):
        gain = 1.0
        # 16 bits at full scale: the sampler clipped. Played again 24 dB lower, it does not.
        if stereo.max(initial=0) == 32767 or stereo.min(initial=0) == -32768:
            (stereo,) = _sample([job], soundfont, _SOFT)
            gain = (_LOUD / _SOFT) ** 2
        mono = stereo[:, 0].astype(np.float32) + stereo[:, 1]  # (samples, 2) -> (samples,)
        audio.append(mono * np.float32(gain / 65536))
    return audio


def _sample(batch: list[_Job], soundfont: bytes, volume: int) -> list[NDArray[np.int16]]:
    import midirenderer
    import soundfile

    wav = midirenderer.render_wave_from(soundfont, _midi(batch, volume))
    stereo, _ = soundfile.read(io.BytesIO(wav), dtype="int16")  # (samples, 2)
    return [
        stereo[first * _BLOCK : (first + job.blocks) * _BLOCK]
        for first, job in zip(_starts(batch), batch, strict=False)
    ]


def _starts(batch: list[_Job]) -> list[int]:
    # In blocks: where each piece begins, and at last where the next one would.
    lengths = (job.blocks + _GAP_BLOCKS for job in batch)
    return list(itertools.accumulate(lengths, initial=0))


def _midi(batch: list[_Job], volume: int) -> bytes:
    # (tick, order within the tick, message); all sound off (120) parts one piece from the next.
    events: list[tuple[int, int, bytes]] = []
    *starts, end = _starts(batch)
    for first, job in zip(starts, batch, strict=True):
        at = _tick(first)
        for channel, program in job.channels.items():
            control = 0xB0 | channel
            # Reverb (91) and chorus (93) would carry over into the next piece.
            for number, value in ((91, 0), (93, 0), (7, volume)):
                events.append((at, 1, bytes((control, number, value))))
            events.append((at, 1, bytes((0xC0 | channel, program))))
            events.append((_tick(first + job.blocks), 0, bytes((control, 120, 0))))
        for start, stop, channel, pitch, velocity in job.notes:
            events.append((_tick(first + start), 3, bytes((0x90 | channel, pitch, velocity))))
            if stop < job.blocks:
                events.append((_tick(first + stop), 2, bytes((0x80 | channel, pitch, 0))))
    # The tempo, 1 s a beat, makes the division of the header the ticks per second.
    track = bytearray(b"\x00\xff\x51\x03" + (1_000_000).to_bytes(3, "big"))
    now = 0
    for tick, _, message in sorted(events):
        track += _variable_length(tick - now) + message
        now = tick
    track += _variable_length(2 * end - now) + b"\xff\x2f\x00"
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, _TICKS_PER_SECOND)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + bytes(track)


def _tick(block: int) -> int:
    return max(0, 2 * block - 1)


def _variable_length(number: int) -> bytes:
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | 0x80)
    return bytes(reversed(groups))


def _resample(mono: NDArray[np.float32], sample_rate: int, samples: int) -> NDArray[np.float32]:
    import soxr

    if sample_rate != _RATE:
        mono = soxr.resample(mono, _RATE, sample_rate)
    result = np.zeros(samples, dtype=np.float32)
    result[: len(mono)] = mono[:samples]
    return result


def _check_rate(sample_rate: int) -> int:
    if not 1_000 <= sample_rate <= 192_000 or sample_rate % 1:
        raise ValueError(f"sample_rate must be 1,000 to 192,000 whole Hz, got {sample_rate}")
    return int(sample_rate)


def _one_each(value: Any, count: int, name: str) -> list[Any]:
    if isinstance(value, Sequence | np.ndarray):
        if len(value) != count:
            raise ValueError(f"{count} pieces need {count} values of {name}, got {len(value)}")
        return list(value)
    return [value] * count
