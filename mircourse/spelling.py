"""How a pitch is written: letter, accidental and octave in a key, by the line of fifths.

On the line ... B♭ F C G D A E B F♯ ... every key takes its seven notes from seven neighbours, and
its commonest chromatic notes from those beside them (Temperley, 2000).
"""

from __future__ import annotations

from typing import NamedTuple

_LINE = "FCGDAEB"
_NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
# Sharps of the key signature relative to the major key on the same tonic.
_MODES = {
    "major": 0, "ionian": 0, "mixolydian": -1, "dorian": -2, "minor": -3, "aeolian": -3,
    "phrygian": -4, "locrian": -5, "lydian": 1,
}  # fmt: skip
_SIGNS = {"-2": "♭♭", "-1": "♭", "0": "", "1": "♯", "2": "𝄪"}


class Spelling(NamedTuple):
    """A written pitch: ``Spelling("F", 1, 4)`` is F♯4."""

    letter: str
    alter: int
    octave: int

    def __str__(self) -> str:
        return f"{self.letter}{_SIGNS[str(self.alter)]}{self.octave}"


def spell(pitch: int, sharps: int) -> Spelling:
    """Write a MIDI pitch in a key signature.

    Parameters
    ----------
    pitch : int
        0 to 127.
    sharps : int
        Of the key signature, from -7 to 7; flats are negative.
    """
    # From three fifths below the signature's tonic to eight above: in C, E flat to G sharp.
    lowest = sharps - 3
    place = lowest + (7 * pitch - lowest) % 12
    alter, letter = divmod(place + 1, 7)
    natural = _NATURAL[_LINE[letter]]
    return Spelling(_LINE[letter], alter, (pitch - alter - natural) // 12 - 1)


def signature_alters(sharps: int) -> dict[str, int]:
    """Return how a key signature alters each letter: ``{"F": 1}`` in G major."""
    if sharps >= 0:
        return dict.fromkeys(_LINE[:sharps], 1)
    return dict.fromkeys(_LINE[sharps:], -1)


def parse_key(key: str) -> int:
    """Return the sharps of a key such as ``"D major"``, ``"Bb"`` or ``"E dorian"``.

    Raises
    ------
    ValueError
        If the tonic or the mode is unknown, or the signature would need more than seven signs.
    """
    tonic, _, mode = key.strip().partition(" ")
    mode = mode.strip().lower() or "major"
    letter, signs = tonic[:1], tonic[1:].replace("♯", "#").replace("♭", "b")
    one_kind = signs in ("#" * len(signs), "b" * len(signs))
    if letter not in _NATURAL or not one_kind or mode not in _MODES:
        raise ValueError(f"key {key!r} but one such as 'D major' or 'Bb minor' is expected")
    sharps = _LINE.index(letter) - 1 + 7 * (signs.count("#") - signs.count("b")) + _MODES[mode]
    return check_sharps(sharps)


def check_sharps(sharps: int) -> int:
    """Return the number of sharps if a key signature can have it; else raise ValueError."""
    if not -7 <= sharps <= 7:
        raise ValueError(f"a key signature of {sharps} sharps, but -7 to 7 are expected")
    return int(sharps)
