"""From a music21 score to note tables, in whole ticks.

A beat is a quarter note and lasts `TICKS` = 10,080 ticks, which is divisible by every division up
to ten and by 32, so that tuplets and 128th notes are exact. What happens on the way:

- tied notes become one note; a tie sign between different pitches, or across a gap, is ignored;
- grace notes are left out (they have no length of their own) and counted;
- chord symbols and unpitched percussion are left out;
- transposing parts are read at sounding pitch;
- repeats are written once, as in the source; first and second endings follow one another;
- where two notes of one part start together on one pitch, the longer is kept;
- ``voice`` is the part's number from the top of the score, starting with 0.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np

TICKS = 10080
Row = tuple[int, int, int, int]  # onset, duration (ticks), pitch, voice


def note_table(score: Any) -> tuple[np.ndarray, Counter]:
    """Return the score's notes, (n, 4) int32 sorted by onset, pitch and voice, and what was met."""
    counts: Counter = Counter()
    if any(part.getInstrument().transposition for part in score.parts):
        score = score.toSoundingPitch(inPlace=False)
    rows: list[Row] = []
    for voice, part in enumerate(score.parts):
        rows += _part_rows(part, voice, counts)
    rows.sort(key=lambda row: (row[0], row[2], row[3], row[1]))
    return np.array(rows, dtype=np.int32).reshape(-1, 4), counts


def _part_rows(part: Any, voice: int, counts: Counter) -> list[Row]:
    open_ties: dict[int, list[int]] = {}  # pitch -> [onset, duration] that a tie may lengthen
    merged: list[tuple[int, list[int]]] = []
    for onset, duration, pitch, tie in _sounding(part, counts):
        held = open_ties.pop(pitch, None)
        if tie in ("stop", "continue") and held and sum(held) == onset:
            held[1] += duration
            counts["ties"] += 1
        else:
            held = [onset, duration]
            merged.append((pitch, held))
        if tie in ("start", "continue"):
            open_ties[pitch] = held
    longest: dict[tuple[int, int], int] = {}
    for pitch, (onset, duration) in merged:
        key = (onset, pitch)
        counts["unisons"] += key in longest
        longest[key] = max(duration, longest.get(key, 0))
    return [(onset, duration, pitch, voice) for (onset, pitch), duration in longest.items()]


def _sounding(part: Any, counts: Counter) -> list[tuple[int, int, int, str | None]]:
    found = []
    for element in part.flatten().notes:
        if "ChordSymbol" in element.classes or not hasattr(element, "pitches"):
            continue
        if element.duration.isGrace:
            counts["grace"] += len(element.pitches)
            continue
        onset, duration = ticks(element.offset, counts), ticks(element.quarterLength, counts)
        if duration <= 0:
            counts["empty"] += 1
            continue
        for note in element.notes if element.isChord else (element,):
            if not 0 <= note.pitch.midi <= 127:
                raise ValueError(f"pitch {note.pitch} lies outside the MIDI range 0..127")
            tie = note.tie or element.tie
            found.append((onset, duration, note.pitch.midi, tie.type if tie else None))
    return found


def ticks(quarters: Fraction | float, counts: Counter) -> int:
    exact = Fraction(quarters).limit_denominator(65535) * TICKS
    if exact.denominator != 1:
        counts["rounded"] += 1
    return round(exact)


def first_measure(score: Any) -> tuple[str | None, float, int | None]:
    """Return the first time signature ("6/8"), the pickup's length in beats, and the sharps.

    The pickup is what sounds before the first full bar: the length of the first measure where
    that is shorter than its time signature says, otherwise 0. Sharps are positive, flats negative.
    """
    part = score.parts[0]
    measure = part.getElementsByClass("Measure").first()
    signature = part.recurse().getElementsByClass("TimeSignature").first()
    key = part.recurse().getElementsByClass("KeySignature").first()
    sharps = None if key is None else int(key.sharps)
    if measure is None or signature is None:
        return (signature.ratioString if signature else None), 0.0, sharps
    first = max(
        (p.getElementsByClass("Measure").first() for p in score.parts),
        key=lambda m: m.duration.quarterLength if m is not None else 0,
    )
    length, full = first.duration.quarterLength, signature.barDuration.quarterLength
    return signature.ratioString, float(length) if 0 < length < full else 0.0, sharps
