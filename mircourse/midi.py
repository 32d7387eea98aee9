"""Note arrays to MIDI files and back."""

from __future__ import annotations

import io
import re
from collections import defaultdict, deque
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mircourse.notearray import check_notes, note_array

if TYPE_CHECKING:
    from mircourse.scores import Piece

# Divisible by all that tuplets and 128th notes need, so that every shipped score is exact.
TICKS_PER_BEAT = 10080
# Channel 9 (the tenth) is the drum channel of General MIDI.
_CHANNELS = [channel for channel in range(16) if channel != 9]


def to_midi(
    music: Piece | np.ndarray,
    path: str | PathLike[str] | None = None,
    *,
    tempo: float = 120.0,
    program: int | Mapping[int, int] = 0,
) -> bytes:
    """Write notes as a standard MIDI file, one track a voice.

    Parameters
    ----------
    music : Piece or numpy.ndarray
        A piece, or a note array (n,).
    path : path-like, optional
        Where to write the file as well.
    tempo : float
        Quarter notes per minute, 4 to 6000.
    program : int or mapping of voice to int
        General MIDI program, 0 to 127 (0 is the grand piano); a voice missing from the mapping
        gets 0.

    Returns
    -------
    bytes
        The file. `from_midi` gives the notes back, to the 1/10,080 of a beat, provided that no
        note begins while the same pitch still sounds in the same voice: MIDI cannot say which of
        the two a note-off ends.

    Raises
    ------
    ValueError, TypeError
        If the notes, the tempo or a program are not valid.
    """
    import mido

    given: Any = getattr(music, "notes", music)
    notes = check_notes(given)
    if not 4 <= tempo <= 6000:
        raise ValueError(f"tempo must be 4 to 6000 quarter notes per minute, got {tempo}")
    midi = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT, charset="utf-8")
    conductor = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo))])
    meter = getattr(music, "meter", None)
    if meter:
        over, under = map(int, meter.split("/"))
        signature = mido.MetaMessage("time_signature", numerator=over, denominator=under)
        conductor.append(signature)
    midi.tracks.append(conductor)
    for order, voice in enumerate(np.unique(notes["voice"])):
        number = program.get(int(voice), 0) if isinstance(program, Mapping) else program
        if not 0 <= number <= 127:
            raise ValueError(f"a program is 0 to 127, got {number} for voice {voice}")
        channel = _CHANNELS[order % len(_CHANNELS)]
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=f"voice {voice}")])
        track.append(mido.Message("program_change", channel=channel, program=int(number)))
        now = 0
        for tick, velocity, pitch in _events(notes[notes["voice"] == voice]):
            kind = "note_on" if velocity else "note_off"
            track.append(
                mido.Message(kind, channel=channel, note=pitch, velocity=velocity, time=tick - now)
            )
            now = tick
        midi.tracks.append(track)
    stream = io.BytesIO()
    midi.save(file=stream)
    if path is not None:
        Path(path).write_bytes(stream.getvalue())
    return stream.getvalue()


def from_midi(source: str | PathLike[str] | bytes) -> np.ndarray:
    """Read a MIDI file into a note array; beats are quarter notes, so tempo plays no part.

    Each track and channel that has notes becomes a voice, numbered in order, except in files from
    `to_midi`, where a voice keeps its number. Drums (channel 10) are left out, as are notes
    without length; a note that is never switched off lasts to the end of its track.

    Parameters
    ----------
    source : path-like or bytes
        The file or its contents.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a MIDI file, or its times are not in beats (SMPTE).
    """
    import mido

    raw = source if isinstance(source, bytes) else Path(source).read_bytes()
    origin = "these bytes" if isinstance(source, bytes) else str(source)
    try:
        midi = mido.MidiFile(file=io.BytesIO(raw), clip=True)
    except (OSError, EOFError, ValueError, KeyError, IndexError) as error:
        raise ValueError(f"{origin} cannot be read as MIDI: {error!r}") from error
    if midi.ticks_per_beat <= 0:
        raise ValueError(f"{origin} counts time in SMPTE frames, expected ticks per quarter note")
    voices: dict[tuple[int, int], list[list[int]]] = defaultdict(list)
    for number, track in enumerate(midi.tracks):
        for channel, note in _track_notes(track):
            voices[number, channel].append(note)
    named = [re.fullmatch(r"voice (\d+)", midi.tracks[track].name) for track, _ in voices]
    numbers = [int(m[1]) for m in named if m] if all(named) else list(range(len(voices)))
    rows = [
        (*note, number)
        for number, notes in zip(numbers, voices.values(), strict=True)
        for note in notes
        if note[1] > 0
    ]
    table = np.array(rows, dtype=float).reshape(-1, 5)
    onset, duration = table[:, 0] / midi.ticks_per_beat, table[:, 1] / midi.ticks_per_beat
    return note_array(onset, duration, table[:, 2], velocity=table[:, 3], voice=table[:, 4])


def _events(notes: np.ndarray) -> list[tuple[int, int, int]]:
    # (tick, velocity, pitch); velocity 0 is the end, and sorts before a start on the same tick.
    events = []
    for note in notes:
        start = round(note["onset_beat"] * TICKS_PER_BEAT)
        stop = round((note["onset_beat"] + note["duration_beat"]) * TICKS_PER_BEAT)
        events.append((start, int(note["velocity"]), int(note["pitch"])))
        events.append((max(stop, start + 1), 0, int(note["pitch"])))
    return sorted(events)


def _track_notes(track: object) -> list[tuple[int, list[int]]]:
    found: list[tuple[int, list[int]]] = []  # channel, [start, length, pitch, velocity]
    sounding: dict[tuple[int, int], deque[list[int]]] = defaultdict(deque)
    now = 0
    for message in track:  # type: ignore[attr-defined]
        now += message.time
        if message.type not in ("note_on", "note_off") or message.channel == 9:
            continue
        waiting = sounding[message.channel, message.note]
        if message.type == "note_on" and message.velocity:
            note = [now, 0, message.note, message.velocity]
            waiting.append(note)
            found.append((message.channel, note))
        elif waiting:
            note = waiting.popleft()
            note[1] = now - note[0]
    for waiting in sounding.values():
        for note in waiting:
            note[1] = now - note[0]
    return found
