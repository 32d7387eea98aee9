"""Tunes as ABC, the text in which players of dance music exchange them.

>>> from mircourse import abcnotation, notearray
>>> print(abcnotation.to_abc(notearray.note_array([0, 1, 2], [1, 1, 2], [67, 69, 71]), title="Up"))
X:1
T:Up
M:4/4
L:1/8
K:C
G2 A2 B4 |]

The text follows the ABC standard 2.1 (Walshaw, 2011).

Lesson: book/rnn/lstm
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mircourse.melodies import likely_sharps, melody_line
from mircourse.rhythm import parse_meter
from mircourse.spelling import check_sharps, parse_key, signature_alters, spell

if TYPE_CHECKING:
    from mircourse.scores import Piece

UNIT = Fraction(1, 2)  # quarter notes in a length of 1: an eighth note
_TONICS = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#")
_MODES = {
    "minor": "m", "dorian": "dor", "mixolydian": "mix", "phrygian": "phr", "lydian": "lyd",
    "locrian": "loc", "aeolian": "m",
}  # fmt: skip
_SIGNS = {-2: "__", -1: "_", 0: "=", 1: "^", 2: "^^"}
# Of an odd division, how many stand in the time of how many: (3:2, (5:4, (7:4, (9:8.
_TUPLETS = {3: 2, 5: 4, 7: 4, 9: 8}
_BARS_A_LINE = 4


class _Sign(NamedTuple):
    """One written note or rest: a piece of a note that does not cross a bar line."""

    start: Fraction  # quarter notes since the beginning
    length: Fraction
    pitch: int | None  # None for a rest
    tied: bool  # to the next


def to_abc(
    music: Piece | np.ndarray,
    *,
    title: str | None = None,
    number: int = 1,
    meter: str | None = None,
    pickup_beats: float | None = None,
    sharps: int | None = None,
) -> str:
    """Write a tune as ABC, one voice; of notes that begin together the top one.

    Parameters
    ----------
    music : Piece or note array
        A `mircourse.melodies.Melody` becomes one by its method ``piece``.
    title : str, optional
        The piece's by default.
    number : int
        For the X field, 1 or more.
    meter : str, optional
        The piece's by default; 4/4 if that has none.
    pickup_beats : float, optional
        Quarter notes before the first full bar; the piece's by default, or 0.
    sharps : int, optional
        Of the key signature, -7 to 7; the piece's by default, or the signature that needs fewest
        accidentals.

    Returns
    -------
    str
        Ends with a line break. Onsets and durations are exact.

    Raises
    ------
    TypeError
        If it is neither a piece nor a note array.
    ValueError
        If there are no notes, or a number, the meter or the title is invalid.
    """
    given: Any = getattr(music, "notes", music)
    notes = melody_line(given)
    title = getattr(music, "title", "") if title is None else title
    meter = meter or getattr(music, "meter", None) or "4/4"
    pickup = getattr(music, "pickup_beats", 0.0) if pickup_beats is None else pickup_beats
    if not len(notes):
        raise ValueError("there are no notes to write")
    if number < 1 or "\n" in title:
        raise ValueError(f"expected a number of 1 or more and a title of one line, got {number}")
    signature = parse_meter(meter)
    bar = Fraction(4 * signature.count, signature.unit)
    first = _exact(pickup)
    if not 0 <= first < bar:
        raise ValueError(f"pickup_beats must be 0 to less than a bar of {bar}, got {pickup}")
    if sharps is None:
        own = getattr(music, "sharps", None)
        sharps = likely_sharps(notes) if own is None else own
    check_sharps(sharps)
    beat = Fraction(4 * (3 if signature.compound else 1), signature.unit)
    bars = _bars(notes, bar=bar, first=first)
    written = [_write_bar(signs, sharps, start, beat) for start, signs in bars]
    lines = [
        " | ".join(written[i : i + _BARS_A_LINE]) for i in range(0, len(written), _BARS_A_LINE)
    ]
    fields = [f"X:{number}", f"T:{title}", f"M:{meter}", "L:1/8", f"K:{_key(music, sharps)}"]
    return "\n".join([*fields, " |\n".join(lines) + " |]"]) + "\n"


def _exact(beats: float) -> Fraction:
    # Note values and tuplets have small denominators; what differs is the rounding of a float.
    return Fraction(float(beats)).limit_denominator(2520)


def _key(music: Any, sharps: int) -> str:
    key, mode = getattr(music, "key", None), getattr(music, "mode", None) or "major"
    known = mode in _MODES or mode == "major"
    # A key that contradicts the signature would change the notes.
    if key is not None and known and parse_key(f"{key} {mode}") == sharps:
        return key + _MODES.get(mode, "")
    return _TONICS[sharps + 7]


def _bars(
    notes: np.ndarray, *, bar: Fraction, first: Fraction
) -> list[tuple[Fraction, list[_Sign]]]:
    """Return each bar's beginning and signs; notes that cross a bar line are tied."""
    found: dict[int, list[_Sign]] = {}
    for start, end, pitch in _filled(notes):
        while start < end:
            k = (start - first) // bar
            line = first + (k + 1) * bar
            stop = min(end, line)
            found.setdefault(k, []).append(
                _Sign(start, stop - start, pitch, pitch is not None and stop < end)
            )
            start = stop
    return [(first + k * bar, found[k]) for k in sorted(found)]


def _filled(notes: np.ndarray) -> Iterator[tuple[Fraction, Fraction, int | None]]:
    """Yield start, end and pitch of each note and of the rests between."""
    now = Fraction(0)
    for note in notes:
        start = _exact(note["onset_beat"])
        if start > now:
            yield now, start, None
        now = start + _exact(note["duration_beat"])
        yield start, now, int(note["pitch"])


def _write_bar(signs: list[_Sign], sharps: int, start: Fraction, beat: Fraction) -> str:
    key = signature_alters(sharps)
    now: dict[tuple[str, int], int] = {}  # accidentals hold until the bar line
    text = ""
    left = 0  # signs that are still to come in the tuplet
    odd = 1
    for i, sign in enumerate(signs):
        if i and not left and (sign.start - start) % beat == 0:
            text += " "
        if not left:
            odd, left = _tuplet(signs[i:])
            if left:
                text += f"({odd}" if left == odd == 3 else f"({odd}:{_TUPLETS[odd]}:{left}"
        length = sign.length
        if left:
            length = length * odd / _TUPLETS[odd]
            left -= 1
        text += _pitch(sign.pitch, sharps, key, now) + _length(length / UNIT)
        text += "-" if sign.tied else ""
    return text


def _tuplet(signs: list[_Sign]) -> tuple[int, int]:
    """Return the odd division that the first sign begins and how many signs it holds, or (1, 0).

    It goes on until the signs in it together are a plain length again.
    """
    odd = _odd_part(signs[0].length)
    if odd == 1:
        return 1, 0
    if odd not in _TUPLETS:
        raise ValueError(f"a note of {signs[0].length} of a quarter note cannot be written")
    total = Fraction(0)
    for n, sign in enumerate(signs, 1):
        if odd % _odd_part(sign.length):
            break
        total += sign.length
        if _odd_part(total) == 1:
            return odd, n
    return odd, 1


def _odd_part(length: Fraction) -> int:
    denominator = length.denominator
    return denominator // (denominator & -denominator)


def _pitch(
    pitch: int | None, sharps: int, key: dict[str, int], now: dict[tuple[str, int], int]
) -> str:
    if pitch is None:
        return "z"
    letter, alter, octave = spell(pitch, sharps)
    before = now.get((letter, octave), key.get(letter, 0))
    # Repeated within a bar, which the standard does not ask for: some readers forget.
    sign = _SIGNS[alter] if alter != before or alter != key.get(letter, 0) else ""
    now[letter, octave] = alter
    # C is the C of octave 4, c the one above; commas and apostrophes go further.
    name = letter.lower() + "'" * (octave - 5) if octave >= 5 else letter + "," * (4 - octave)
    return sign + name


def _length(units: Fraction) -> str:
    over = "" if units.numerator == 1 else str(units.numerator)
    return over + ("" if units.denominator == 1 else f"/{units.denominator}")
