"""Notes to audio: `synth.render` beside real time, a call for each piece, and sine waves."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pretty_midi

from mircourse import scores, synth
from mircourse.experiments.benchmark import Timing
from mircourse.scores import Piece, note_array
from parts.beside import beside, beside_real_time

CLAIM = "Rendering is faster than real time, than a call for each piece, and than sine waves"
RATE = 22050


def rows(*, fast: bool) -> list[Timing]:
    tunes = scores.load("ryan", split="valid")
    if fast:
        bars = [tune.excerpt(0, 2) for tune in tunes[:2]]
        return measure(bars, [single_note(60)], seconds=0.5, repeats=1)
    notes = [single_note(pitch) for pitch in range(52, 68)]
    return measure(list(tunes[:4]), notes, seconds=2.0, repeats=5)


def measure(
    tunes: Sequence[Piece],
    notes: Sequence[np.ndarray],
    *,
    seconds: float,
    repeats: int,
) -> list[Timing]:
    length = sum(len(audio) for audio in synth.render(tunes, sample_rate=RATE)) / RATE
    whole = f"{len(tunes)} tunes, {length:.0f} s in all"
    midi = [pretty_midi.PrettyMIDI(io.BytesIO(scores.to_midi(tune))) for tune in tunes]
    of_tunes, tunes_memory = beside(
        lambda: synth.render(tunes, sample_rate=RATE),
        lambda: [synth.render(tune, sample_rate=RATE) for tune in tunes],
        repeats=repeats,
    )
    of_notes, notes_memory = beside(
        lambda: synth.render(notes, sample_rate=RATE, seconds=seconds),
        lambda: [synth.render(note, sample_rate=RATE, seconds=seconds) for note in notes],
        repeats=repeats,
    )
    of_sines, sines_memory = beside(
        lambda: synth.render(tunes, sample_rate=RATE),
        lambda: [song.synthesize(fs=RATE) for song in midi],
        repeats=repeats,
    )
    return [
        Timing(
            "render against real time",
            beside_real_time(
                lambda: synth.render(tunes, sample_rate=RATE), length, repeats=repeats
            ),
            whole,
            note=f"seconds of audio at {RATE:,} Hz for each second of processor time",
        ),
        Timing(
            "one call against a call for each piece",
            of_tunes,
            whole,
            note=f"the same samples{tunes_memory}",
        ),
        Timing(
            "one call against a call for each piece",
            of_notes,
            f"{len(notes)} notes of {seconds:g} s",
            note=f"the same samples; every call reads the font{notes_memory}",
        ),
        Timing(
            "render against pretty_midi.synthesize",
            of_sines,
            whole,
            note=f"the peer sounds one sine wave a note, not an instrument{sines_memory}",
        ),
    ]


def single_note(pitch: int) -> np.ndarray:
    return note_array([0], [3], [pitch])
