"""Ten styles of music as events, and events as music with bars again.

Each style is a part of the scores that ship. They are played at a steady `TEMPO` at which a quarter
note is 48 steps of 10 ms: sixteenths, thirty-seconds and their triplets fall on the grid of
`mircourse.events`. The scores say nothing of dynamics, so a rule is put in their place: notes that
begin with a bar are struck at `ACCENT`, the others at `PLAIN`. Such a performance tells where the
bars are, and gives a network a touch to learn. The rule follows the first time signature of a
piece; where the meter changes later, its accents go on as before.

Lesson: book/transformer/musictransformer
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from mircourse.events import STEPS_PER_SECOND, decode, encode
from mircourse.notearray import note_array
from mircourse.performed import perform

if TYPE_CHECKING:
    from mircourse.scores import Piece

STYLES = (
    "chorale", "madrigal", "trecento", "beethoven", "haydn and mozart",
    "reel", "hornpipe", "jig", "air", "slip jig",
)  # fmt: skip
TUNES = STYLES[5:]  # one voice
TEMPO = 125.0  # quarter notes per minute
STEPS = 48  # of 10 ms in a quarter note at that tempo
ACCENT, PLAIN = 82, 62

_COLLECTIONS = {
    "chorale": ("bach",),
    "madrigal": ("monteverdi",),
    "trecento": ("trecento",),
    "beethoven": ("beethoven",),
    "haydn and mozart": ("haydn", "mozart"),
    "air": ("aird",),
}
_BY_TYPE = ("ryan", "oneill")  # for the other styles
_SPLIT_AT = 60  # the lowest pitch on the upper of two staves
_METERS = {1.5: "3/8", 2.0: "2/4", 3.0: "3/4", 4.0: "4/4", 4.5: "9/8", 5.0: "5/4", 6.0: "3/2"}
_COMPOUND = {3.0: "6/8", 6.0: "12/8"}


class Styled(NamedTuple):
    """A piece in a style, as events.

    Attributes
    ----------
    piece : Piece
        As the collection has it.
    style : int
        Its place in `STYLES`.
    tokens : ndarray of int64, (n,)
        From ``BOS`` to ``EOS``; see `mircourse.events`.
    """

    piece: Piece
    style: int
    tokens: NDArray[np.int64]


class Bars(NamedTuple):
    """Where the bars of a performance are, as its accents tell.

    Attributes
    ----------
    beats : float
        Quarter notes in a bar.
    pickup_beats : float
        Quarter notes before the first full bar.
    n_bars : int
        Bars that have begun, the pickup not counted.
    """

    beats: float
    pickup_beats: float
    n_bars: int


def styled(split: str) -> list[Styled]:
    """Return every piece of the ten styles, as events.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    split : {"train", "valid", "test"}
        Melody families do not cross splits, also from one style to another.

    Returns
    -------
    list of Styled
        Style by style. The four dances are those tunes of Ryan and O'Neill that have the type;
        an "air" is any piece of Aird, whatever its type.

    Raises
    ------
    ValueError
        If there is no such split.
    """
    return [
        Styled(piece, style, tokens(piece))
        for style, name in enumerate(STYLES)
        for piece in pieces(name, split=split)
    ]


def pieces(style: str, *, split: str) -> list[Piece]:
    """Return the pieces of a style.

    Raises
    ------
    ValueError
        If there is no such style or split.
    """
    from mircourse import scores

    number(style)
    found = [
        piece
        for name in _COLLECTIONS.get(style, _BY_TYPE)
        for piece in scores.load(name, split=split)
    ]
    return found if style in _COLLECTIONS else [p for p in found if p.tune_type == style]


def number(style: str) -> int:
    """Return the place of a style in `STYLES`.

    Raises
    ------
    ValueError
        If there is no such style; the message lists those that there are.
    """
    if style not in STYLES:
        raise ValueError(f"no style {style!r}; choose from {', '.join(STYLES)}")
    return STYLES.index(style)


def tokens(piece: Piece) -> NDArray[np.int64]:
    """Return a piece as events, from ``BOS`` to ``EOS``, accented and at `TEMPO`."""
    return encode(perform(accented(piece), tempo=TEMPO), ends=True)


def accented(piece: Piece) -> Piece:
    """Return the piece with `ACCENT` at the beginning of each bar and `PLAIN` elsewhere."""
    notes = piece.notes.copy()
    notes["velocity"] = PLAIN
    if piece.bar_beats is not None:
        place = (notes["onset_beat"] - piece.pickup_beats) / piece.bar_beats
        notes["velocity"][np.abs(place - np.rint(place)) < 1e-6] = ACCENT
    return dataclasses.replace(piece, notes=notes)


def bars(tokens: npt.ArrayLike) -> Bars | None:
    """Find the bars that the accents of a performance mark.

    A bar is as long as most steps from one accent to the next. A bar whose beginning nothing
    marks (a note held over, a rest) is counted by its length.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    tokens : array_like of int, (n,)
        Events at `TEMPO`.

    Returns
    -------
    Bars or None
        None where there are fewer than two accents.

    Raises
    ------
    ValueError, TypeError
        As `mircourse.events.decode`.
    """
    return _bars(decode(tokens))


def _bars(heard: np.ndarray) -> Bars | None:
    onset = np.rint(heard["onset_sec"] * STEPS_PER_SECOND).astype(np.int64)
    loud = heard["velocity"] > (ACCENT + PLAIN) / 2
    accents = np.unique(onset[loud])
    if len(accents) < 2:
        return None
    lengths, times = np.unique(np.diff(accents), return_counts=True)
    bar = int(lengths[times.argmax()])
    pickup = int(accents[0] % bar)
    n_bars = int((onset.max() - pickup) // bar) + 1
    return Bars(bar / STEPS, pickup / STEPS, n_bars)


def music(tokens: npt.ArrayLike, *, title: str = "") -> Piece:
    """Turn events at `TEMPO` into a piece in beats, to engrave, hear and write.

    The bars are found by their accents, 6/8 told from 3/4 by where in a bar notes begin. Music in
    which notes overlap is written in two voices, from middle C up and below it. The key signature
    is the one that needs fewest accidentals.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    tokens : array_like of int, (n,)
        Any events, written by a model or by `styled`.
    title : str
        Of the piece.

    Returns
    -------
    Piece
        Its ``meter`` is None where the accents mark no bars that a time signature can name.

    Raises
    ------
    ValueError, TypeError
        If a token is out of range.

    Examples
    --------
    >>> from mircourse import scores
    >>> jig = scores.load("oneill").filter(lambda piece: piece.tune_type == "jig")[0]
    >>> again = music(tokens(jig))
    >>> again.meter, len(again.notes) == len(jig.notes)
    ('6/8', True)
    """
    from mircourse.melodies import likely_sharps
    from mircourse.scores import Piece

    heard = decode(tokens)
    onset, length = (
        np.rint(heard[name] * STEPS_PER_SECOND) / STEPS for name in ("onset_sec", "duration_sec")
    )
    found = _bars(heard)
    meter = None if found is None else _meter(onset, found)
    sounding = np.maximum.accumulate(onset + length)
    overlaps = bool((sounding[:-1] > onset[1:] + 1e-9).any())
    voice = (heard["pitch"] < _SPLIT_AT).astype(int) if overlaps else 0
    notes = note_array(onset, length, heard["pitch"], voice=voice, velocity=heard["velocity"])
    return Piece(
        id="new",
        title=title,
        collection="",
        composer="",
        notes=notes,
        meter=meter,
        pickup_beats=found.pickup_beats if found is not None and meter else 0.0,
        sharps=likely_sharps(notes) if len(notes) else 0,
    )


def _meter(onset: NDArray[np.float64], found: Bars) -> str | None:
    place = (onset - found.pickup_beats) % found.beats

    def begin_at(*places: float) -> int:
        return int(np.isclose(place[:, None], places).sum())

    # Dotted quarters have their second beat at 1.5, where quarters and halves have none.
    if found.beats in _COMPOUND and begin_at(1.5, 4.5) > begin_at(2, 4):
        return _COMPOUND[found.beats]
    return _METERS.get(found.beats)
