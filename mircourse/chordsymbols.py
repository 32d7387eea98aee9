"""Chords written as text: chord symbols and Roman numerals.

>>> from mircourse import chordsymbols
>>> [chord.symbol for chord in chordsymbols.parse("C G7 Am F")]
['C', 'G7', 'Am', 'F']
>>> [chord.root for chord in chordsymbols.parse("I V7 vi IV in C")]
[0, 7, 9, 5]

Numerals are read as RomanText reads them (Tymoczko et al., 2019). Upper case is major, lower case
minor; ``o``, ``ø`` (or ``/o``) and ``+`` make a triad diminished, half-diminished or augmented.
The seventh is the key's own unless ``o7``, ``ø7``, ``M7`` or ``d7`` (the dominant's) say otherwise.
In minor, ``VI`` and ``VII`` stand on the natural degrees, ``vi`` and ``vii`` on the raised ones.

Lesson: book/gnn/messagepassing
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NUMERALS = ("i", "ii", "iii", "iv", "v", "vi", "vii")
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}  # semitones
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
# Thirds and fifths of a triad, in semitones.
_TRIADS = {"major": (4, 7), "minor": (3, 7), "dim": (3, 6), "aug": (4, 8)}
# Figured bass: which member of the chord is the bass, and the largest member.
_FIGURES = {
    **dict.fromkeys(("", "53", "5"), (0, 5)),
    **dict.fromkeys(("6", "63"), (1, 5)),
    "64": (2, 5),
    **dict.fromkeys(("7", "753", "73", "75"), (0, 7)),
    **dict.fromkeys(("65", "653"), (1, 7)),
    **dict.fromkeys(("43", "643"), (2, 7)),
    **dict.fromkeys(("42", "2", "642"), (3, 7)),
    "9": (0, 9),
}
# Augmented sixths: degree, members above the tonic, and what a figure of 6 or none stands for.
_SIXTHS = {
    "It": (4, {1: 6, 3: 8, 5: 12}, "6"),
    "Ger": (4, {1: 6, 3: 8, 5: 12, 7: 15}, "65"),
    "Fr": (2, {1: 2, 3: 6, 5: 8, 7: 12}, "43"),
}
_NUMERAL = re.compile(
    r"(?P<accidental>b{0,2}|#{0,2}|-)(?P<numeral>(?i:vii|vi|v|iv|iii|ii|i))"
    r"(?P<mark>ø|/o|o|\+)?(?P<seventh>maj|M|d)?(?P<figure>[0-9/]*)"
)
_SIXTH = re.compile(r"(It|Ger|Fr)(?P<figure>[0-9/]*)")
_ALTERED = re.compile(r"\[([^\]]*)\]")
_KEY = re.compile(r"([A-Ga-g])(b{0,2}|#{0,2}|-{0,2})(?:[ ]*(major|minor|maj|min|m))?")
_PLAIN = str.maketrans({"♭": "b", "♯": "#", "°": "o", "º": "o", "Ø": "ø", "−": "-"})


@dataclass(frozen=True)
class Chord:
    """A chord as a symbol says it.

    Attributes
    ----------
    symbol : str
        As written.
    root, bass : int
        Pitch classes, 0 (C) to 11 (B).
    pitch_classes : tuple of bool, length 12
        Which pitch classes the symbol stands for, C first.
    degree : int or None
        Scale degree of a Roman numeral, 1 to 7; of an applied chord in the key that it is applied
        to. None for a chord symbol.
    """

    symbol: str
    root: int
    bass: int
    pitch_classes: tuple[bool, ...]
    degree: int | None = None

    @property
    def inversion(self) -> int:
        """Which member is the bass: 0 the root, 1 the third, 2 the fifth, 3 the seventh."""
        return (0, 3, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3)[(self.bass - self.root) % 12]

    @property
    def quality(self) -> str:
        """Of the triad: "major", "minor", "dim", "aug", or "other" where it has no third."""
        has = [self.pitch_classes[(self.root + step) % 12] for step in range(12)]
        if has[3] == has[4]:
            return "other"
        if has[7] or not has[8 if has[4] else 6]:
            return "major" if has[4] else "minor"
        return "aug" if has[4] else "dim"


class Key(NamedTuple):
    """A key.

    Attributes
    ----------
    tonic : int
        Pitch class, 0 (C) to 11 (B).
    mode : str
        "major" or "minor".
    """

    tonic: int
    mode: str


def parse(text: str) -> list[Chord]:
    """Read a chord progression.

    Parameters
    ----------
    text : str
        Chord symbols, ``"C G7 Am F/A"``, or Roman numerals and their key, ``"I V6/5 vi IV in C"``
        or ``"i iv V7 i in c minor"``. Spaces, commas and bar lines separate chords.

    Returns
    -------
    list of Chord

    Raises
    ------
    ValueError
        If there is no chord, numerals come without a key, or a symbol is unknown: the message
        names it and its place.
    """
    if not isinstance(text, str):
        raise TypeError(f"expected text such as 'C G7 Am F', got {type(text).__name__}")
    chords, _, key = text.partition(" in ")
    symbols = re.split(r"[\s,|]+", chords.strip(" \t\r\n,|"))
    if symbols == [""]:
        raise ValueError(f"expected chords such as 'C G7 Am F', got {text!r}")
    if not key and all(_is_numeral(symbol) for symbol in symbols):
        raise ValueError(f"Roman numerals need a key, as in '{chords.strip()} in C'")
    where = parse_key(key) if key else None
    found = []
    for place, symbol in enumerate(symbols, start=1):
        try:
            found.append(chord_symbol(symbol) if where is None else numeral(symbol, where))
        except ValueError as error:
            raise ValueError(f"chord {place} of {len(symbols)}: {error}") from None
    return found


def parse_key(text: str) -> Key:
    """Read a key: "C", "f#", "Bb major", "A minor"; a lower-case letter alone is minor.

    Raises
    ------
    ValueError
        If the text is not a key.
    """
    match = _KEY.fullmatch(text.strip().translate(_PLAIN))
    if match is None:
        raise ValueError(f"expected a key such as 'C', 'f#' or 'Bb minor', got {text!r}")
    letter, accidental, mode = match.groups()
    if mode is None:
        mode = "minor" if letter.islower() else "major"
    shift = accidental.count("#") - accidental.count("b") - accidental.count("-")
    return Key(
        (_LETTERS[letter.upper()] + shift) % 12, "minor" if mode[:3] in ("min", "m") else "major"
    )


def chord_symbol(symbol: str) -> Chord:
    """Read one chord symbol, such as "G7", "F#m7b5" or "C/E".

    Raises
    ------
    ValueError
        If the symbol is unknown.
    """
    from pychord import Chord as Symbol

    plain = symbol.translate(_PLAIN)
    plain = re.sub(r"^([A-G][b#]*)o", r"\1dim", plain)
    plain = re.sub(r"^([A-G][b#]*)ø7?", r"\1m7b5", plain)
    plain = re.sub(r"^([A-G][b#]*)\+(?=$|/)", r"\1aug", plain)
    # An inversion by number ("C/1") would be read as a chord of the library's own notation.
    if not re.match(r"[A-G]", plain) or re.search(r"/\d", plain):
        raise ValueError(f"unknown chord symbol {symbol!r}")
    try:
        known = Symbol(plain)
        members = {member % 12 for member in known.components(visible=False)}
    except ValueError:
        raise ValueError(f"unknown chord symbol {symbol!r}") from None
    root = _pitch_class(known.root)
    bass = _pitch_class(known.on) if known.on else root
    return Chord(symbol, root, bass, _flags(members | {bass}))


def numeral(symbol: str, key: Key) -> Chord:
    """Read one Roman numeral in a key, such as "V6/5", "viio7/V", "bII6", "Ger65" or "V[no3]".

    Raises
    ------
    ValueError
        If the numeral is unknown.
    """
    plain = symbol.translate(_PLAIN)
    altered = [part for group in _ALTERED.findall(plain) for part in re.split(r"(?=no)", group)]
    head, *applied = re.split(r"/(?=[b#-]*[ivIV])", _ALTERED.sub("", plain))
    for above in reversed(applied):
        match = _NUMERAL.fullmatch(above)
        if match is None:
            raise ValueError(f"unknown Roman numeral {symbol!r}")
        tonic = (key.tonic + _root(match, key.mode)) % 12
        key = Key(tonic, "major" if match["numeral"].isupper() else "minor")
    degree, members, bass = _members(head, key.mode, symbol)
    root = members[1]  # its name stays where it is left out, as in "V6[no1]"
    assert root is not None
    for part in filter(None, altered):
        members = _alter(members, part, degree, key.mode, symbol)
    left = {member: pitch for member, pitch in members.items() if pitch is not None}
    if not left:
        raise ValueError(f"nothing is left of {symbol!r}")
    # Where the bass is left out, the next member above it is the lowest.
    bass = min(left, key=lambda member: (member < bass, member))
    flags = _flags({(key.tonic + pitch) % 12 for pitch in left.values()})
    return Chord(symbol, (key.tonic + root) % 12, (key.tonic + left[bass]) % 12, flags, degree)


def _members(head: str, mode: str, symbol: str) -> tuple[int, dict[int, int | None], int]:
    """Return degree, pitch above the tonic of each member (1, 3, 5, 7, 9), and the bass member."""
    head = re.sub(r"^N(?=\d|$)", "bII", re.sub(r"^Cad", "I" if mode == "major" else "i", head))
    sixth = _SIXTH.fullmatch(head)
    if sixth is not None:
        degree, pitches, usual = _SIXTHS[sixth[1]]
        figure = usual if _digits(sixth) in ("", "6") else _digits(sixth)
        bass, largest = _FIGURES.get(figure, (0, 0))
        if largest != max(pitches):
            raise ValueError(f"unknown Roman numeral {symbol!r}")
        return degree, dict(pitches), 2 * bass + 1
    match = _NUMERAL.fullmatch(head)
    if match is None or _digits(match) not in _FIGURES:
        raise ValueError(f"unknown Roman numeral {symbol!r}")
    bass, largest = _FIGURES[_digits(match)]
    mark = match["mark"] or ""
    quality = "major" if match["numeral"].isupper() else "minor"
    quality = {"o": "dim", "ø": "dim", "/o": "dim", "+": "aug"}.get(mark, quality)
    root, degree = _root(match, mode), _degree(match)
    third, fifth = _TRIADS[quality]
    members: dict[int, int | None] = {1: root, 3: root + third, 5: root + fifth}
    if largest >= 7:
        own = _step(degree + 6, mode) - 12 * (degree > 1)
        above = (own - root) % 12
        seventh = {"o": 9, "ø": 10, "/o": 10}.get(mark, above)
        seventh = {"maj": 11, "M": 11, "d": 10}.get(match["seventh"] or "", seventh)
        members[7] = root + seventh
    if largest >= 9:
        members[9] = _step(degree + 1, mode)
    return degree, members, 2 * bass + 1


def _alter(
    members: dict[int, int | None], part: str, degree: int, mode: str, symbol: str
) -> dict[int, int | None]:
    """Return the members after "no3", "#5", "b7", "maj7" or "add4"."""
    match = re.fullmatch(r"(no|add|maj|min)?([b#]{0,2})(\d+)", part)
    if match is None:
        raise ValueError(f"unknown alteration [{part}] of {symbol!r}")
    what, accidental, number = match[1], match[2], int(match[3])
    root = members[1]
    if what == "no":
        return {**members, number: None}
    if what in ("maj", "min"):
        if number != 7 or root is None:
            raise ValueError(f"unknown alteration [{part}] of {symbol!r}")
        return {**members, 7: root + (11 if what == "maj" else 10)}
    own = _step(degree + number - 1, mode)
    return {**members, number: own + accidental.count("#") - accidental.count("b")}


def _root(match: re.Match[str], mode: str) -> int:
    """Return the root of a numeral in semitones above the tonic."""
    degree, sharp = _degree(match), match["accidental"].count("#")
    flat = match["accidental"].count("b") + match["accidental"].count("-")
    if mode == "minor" and degree in (6, 7):
        # A sharp before vi or a flat before VI says only what the case says already.
        if match["numeral"].islower():
            return _step(degree, mode) + max(1, sharp) - flat
        flat = max(0, flat - 1)
    return _step(degree, mode) + sharp - flat


def _degree(match: re.Match[str]) -> int:
    return NUMERALS.index(match["numeral"].lower()) + 1


def _digits(match: re.Match[str]) -> str:
    return match["figure"].replace("/", "")


def _step(number: int, mode: str) -> int:
    """Return the pitch of a scale's step, from 1, in semitones above the tonic."""
    octave, step = divmod(number - 1, 7)
    return SCALES[mode][step] + 12 * octave


def _is_numeral(symbol: str) -> bool:
    return re.match(r"[b#♭♯]*[ivIV]", symbol) is not None


def _pitch_class(name: str) -> int:
    return (_LETTERS[name[0]] + name.count("#") - name.count("b")) % 12


def _flags(members: set[int]) -> tuple[bool, ...]:
    return tuple(pitch in members for pitch in range(12))


def pitch_class_matrix(chords: Sequence[Chord]) -> NDArray[np.bool_]:
    """Return the pitch classes of chords as rows, ``(n, 12)``."""
    return np.array([chord.pitch_classes for chord in chords], dtype=bool).reshape(-1, 12)
