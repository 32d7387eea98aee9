"""RomanText: analyses by hand as text files (Tymoczko et al., 2019).

A line is a measure, ``m3 b2 V65 b3 C: I``: what follows a beat begins there and lasts until the
next chord; a key holds until the next. Of a chord that is read in two keys, ``I G: IV``, the first
reading counts. `read` places the chords in quarter notes.

Lesson: book/index
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mircourse.chords import CHORD_DTYPE
from mircourse.chordsymbols import Chord, Key, numeral, parse_key

_HEADER = re.compile(r"([A-Z][\w -]*?)\s*:\s*(.*)")
_MEASURE = re.compile(r"m(\d+)([a-z]?)(?:-m?(\d+)[a-z]?)?(?=\s|=|$)\s*(.*)")
_COPY = re.compile(r"=\s*m?(\d+)[a-z]?(?:-m?(\d+)[a-z]?)?\s*")
_BEAT = re.compile(r"b(\d+(?:\.\d+)?)")
_KEY = re.compile(r"([A-Ga-g][#b-]*);?:")
_METER = re.compile(r"(?:(fast|slow)\s+)?(\d+)/(\d+)\??", re.IGNORECASE)
_METERS = {"C": "4/4", "Cut": "2/2"}
_MARKS = re.compile(r"\|*:?\|+:?\|*|:\|\|?|\|\|?:|[{}()]|KS-?\d+")
_SILENCE = ("NC", "N.C.")
_ROUGHEST = 16  # a beat is divided into so many at most: 2.33 is two and a third


class Score(NamedTuple):
    """What a file says.

    Attributes
    ----------
    fields : dict of str to str
        The lines before the first measure, such as "Composer" and "Title".
    chords : numpy.ndarray
        (n,) of `mircourse.chords.CHORD_DTYPE`.
    """

    fields: dict[str, str]
    chords: NDArray


class _Event(NamedTuple):
    at: Fraction  # quarters since the measure's begin
    chord: Chord | None  # None where there is silence
    key: Key


class _Measure(NamedTuple):
    number: int
    start: Fraction  # quarters since the first measure's begin
    text: str
    events: list[_Event]


class _Meter(NamedTuple):
    bar: Fraction
    beat: Fraction  # in quarters


def read(text: str) -> Score:
    """Read an analysis.

    Parameters
    ----------
    text : str
        Of a RomanText file.

    Returns
    -------
    Score
        Onsets count from the file's first chord or first full measure, whichever is earlier.

    Raises
    ------
    ValueError
        If there are no chords, or a line cannot be read: the message names the measure and the
        symbol.
    """
    fields: dict[str, str] = {}
    measures: list[_Measure] = []
    meter, key = _meter("4/4"), None
    end = Fraction(0)
    for line in text.splitlines():
        match = _MEASURE.fullmatch(line.strip())
        if match is None:
            header = _HEADER.fullmatch(line.strip())
            if header is None:
                if re.match(r"m\d", line.strip()) and "var" not in line.split()[0]:
                    raise ValueError(f"cannot read the line {line.strip()!r}")
                continue
            if header[1].lower().replace(" ", "") == "timesignature":
                meter = _meter(header[2])
            elif not measures:
                fields[header[1]] = header[2].strip()
            continue
        number, ending, rest = int(match[1]), match[2], match[4]
        try:
            start = _start(measures, number, ending, end, meter)
            copy = _COPY.match(rest)
            if copy is None:
                copied = [_Measure(number, start, rest, [])]
            else:
                copied = _copied(measures, match, copy, start)
            for measure in copied:
                # A copy is read anew: its numerals are those of the key of now.
                events, key = _events(measure.text, meter, key)
                measures.append(measure._replace(events=events))
        except ValueError as error:
            raise ValueError(f"measure {number}: {error}") from None
        end = measures[-1].start + meter.bar
    return Score(fields, _table(list(_chords(measures)), end))


def _start(
    measures: list[_Measure], number: int, ending: str, end: Fraction, meter: _Meter
) -> Fraction:
    """Return where a measure begins; those that no line speaks of pass in the meter of now."""
    if not measures:
        return Fraction(0)
    before = measures[-1].number
    if number < before and not ending:
        raise ValueError(f"comes after measure {before}")
    return end + max(0, number - before - 1) * meter.bar


def _copied(
    measures: list[_Measure], line: re.Match[str], copy: re.Match[str], start: Fraction
) -> list[_Measure]:
    number, until = int(line[1]), int(line[3] or line[1])
    first, last = int(copy[1]), int(copy[2] or copy[1])
    if until - number != last - first:
        raise ValueError(f"{last - first + 1} measures cannot become {until - number + 1}")
    source = [measure for measure in measures if first <= measure.number <= last]
    if not source:
        raise ValueError(f"there are no measures {first} to {last} to copy")
    return [
        m._replace(number=number + m.number - first, start=start + m.start - source[0].start)
        for m in source
    ]


def _events(rest: str, meter: _Meter, key: Key | None) -> tuple[list[_Event], Key | None]:
    events = []
    at = Fraction(0)
    for token in rest.split():
        beat, new_key = _BEAT.fullmatch(token), _KEY.fullmatch(token)
        if beat is not None:
            place = Fraction(beat[1]).limit_denominator(_ROUGHEST)
            at = (place - 1) * meter.beat
            if not 0 <= at < meter.bar:
                raise ValueError(f"has no beat {beat[1]}")
        elif new_key is not None:
            key = parse_key(new_key[1])
        elif _MARKS.fullmatch(token):
            continue
        else:
            if key is None:
                raise ValueError(f"no key has been named before {token!r}")
            # A slash at the end is a slip that changes nothing.
            chord = None if token in _SILENCE else numeral(token.rstrip("/"), key)
            events.append(_Event(at, chord, key))
    return events, key


def _chords(measures: list[_Measure]) -> Iterator[tuple[Fraction, _Event]]:
    for measure in measures:
        for event in measure.events:
            yield measure.start + event.at, event


def _table(events: list[tuple[Fraction, _Event]], end: Fraction) -> NDArray:
    """Return the chords; each lasts until the next, the last to the end of its measure."""
    rows = []
    origin = min(Fraction(0), events[0][0]) if events else Fraction(0)
    for place, (onset, event) in enumerate(events):
        until = next((later for later, _ in events[place + 1 :] if later > onset), end)
        chord = event.chord
        # A chord where keys change is written twice, as "I G: IV": in the old key, then the new.
        pivot = place > 0 and events[place - 1][0] == onset
        if chord is None or pivot:
            continue
        rows.append(
            (
                float(onset - origin),
                float(until - onset),
                chord.symbol,
                chord.degree,
                chord.root,
                chord.bass,
                chord.quality,
                chord.inversion,
                event.key.tonic,
                event.key.mode,
                chord.pitch_classes,
            )
        )
    if not rows:
        raise ValueError("there are no chords")
    return np.array(rows, dtype=CHORD_DTYPE)


def _meter(text: str) -> _Meter:
    """Return the lengths of a bar and of a beat; 6/8 has two beats, slow 6/8 six."""
    text = text.strip()
    match = _METER.fullmatch(_METERS.get(text, text))
    if match is None:
        raise ValueError(f"expected a time signature such as 4/4 or slow 6/8, got {text!r}")
    speed, above, below = (match[1] or "").lower(), int(match[2]), int(match[3])
    unit = Fraction(4, below)
    three = above % 3 == 0 and (above > 3 or speed == "fast")
    return _Meter(above * unit, 3 * unit if three and speed != "slow" else unit)
