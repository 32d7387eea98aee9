"""Notes to events and back, beside miditok, on the same music, which both give back the same."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Any

import numpy as np

from mircourse import events, scores, styles
from mircourse.experiments.benchmark import Timing
from mircourse.performed import perform, to_beats
from parts.beside import beside

CLAIM = "Notes become events, and events notes, at least as fast as with miditok"


def rows(*, fast: bool) -> list[Timing]:
    tokenizer = midi_like()
    music = [
        perform(styles.accented(piece), tempo=styles.TEMPO)
        for name in ("bach", "mozart")
        for piece in scores.load(name, split="test")[: 1 if fast else None]
    ]
    theirs = [as_score(performed) for performed in music]
    ours = [events.encode(performed) for performed in music]
    sequences = [tokenizer(score) for score in theirs]
    notes = sum(map(len, music))
    same = sum(
        agree(events.decode(tokens), tokenizer.decode([sequence.ids]))
        for tokens, sequence in zip(ours, flat(sequences), strict=True)
    )
    if same < notes:
        raise SystemExit(f"of {notes} notes only {same} came back the same from both")
    repeats = 1 if fast else 9
    task = f"{len(music)} pieces, {notes:,} notes"
    version = importlib.metadata.version("miditok")
    kinds = [
        (
            "encode",
            lambda: [events.encode(m) for m in music],
            lambda: [tokenizer(s) for s in theirs],
        ),
        (
            "decode",
            lambda: [events.decode(tokens) for tokens in ours],
            lambda: [tokenizer.decode([sequence.ids]) for sequence in flat(sequences)],
        ),
    ]
    made = []
    for name, mine, other in kinds:
        found, memory = beside(mine, other, repeats=repeats)
        note = (
            f"{notes / found.seconds_a / 1e3:.0f} against {notes / found.seconds_b / 1e3:.0f} "
            f"thousand notes a second; miditok {version}, MIDILike, from and to its scores in "
            f"memory; all notes came back the same from both{memory}"
        )
        made.append(Timing(f"{name} against miditok", found, task, note=note))
    return made


def midi_like() -> Any:
    """Return miditok's tokeniser with our steps of time and 32 velocities."""
    try:
        from miditok import MIDILike, TokenizerConfig
    except ImportError:
        sys.exit("this benchmark needs miditok, which the course does not: pip install miditok")
    return MIDILike(
        TokenizerConfig(
            pitch_range=(0, 127),
            beat_res={(0, 3): styles.STEPS},
            num_velocities=events.N_VELOCITIES,
            special_tokens=["PAD"],
        )
    )


def as_score(performed: np.ndarray) -> Any:
    """Return the music as miditok has it in memory."""
    from symusic import Score

    tempo = styles.TEMPO
    return Score.from_midi(scores.to_midi(to_beats(performed, tempo=tempo), tempo=tempo))


def flat(sequences: list[Any]) -> list[Any]:
    """Return one sequence a piece: miditok gives one for each program, and there is one."""
    return [s[0] if isinstance(s, list) else s for s in sequences]


def agree(ours: np.ndarray, theirs: Any) -> int:
    """Return how many notes both have, in steps and velocity levels."""
    mine = {
        (
            round(100 * n["onset_sec"]),
            round(100 * n["duration_sec"]),
            n["pitch"],
            n["velocity"] // 4,
        )
        for n in ours
    }
    steps = styles.STEPS / theirs.ticks_per_quarter
    other = {
        (round(n.time * steps), round(n.duration * steps), n.pitch, (n.velocity - 1) // 4)
        for track in theirs.tracks
        for n in track.notes
    }
    return len(mine & other)
