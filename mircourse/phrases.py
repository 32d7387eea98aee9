"""Phrases of tunes and movements as events, and pairs of which the second may follow the first.

A pair asks: does this phrase go on as the other did? A wrong second phrase has to be an honest
one. Here it comes from another melody family of the same collection, has the same metre and mode,
is moved to the same tonic and into the same register, and stood at the same place in its piece. So
neither key, metre, register, editor nor form gives the answer away; only the music can.

Lesson: book/transformer/musicbert
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from mircourse import events
from mircourse.events import CLS, NOTE_OFF, SEP, TIME_SHIFT, VELOCITY
from mircourse.performed import perform
from mircourse.scores import Piece
from mircourse.styles import TEMPO

MAX_TOKENS = 98  # of a phrase, so that a pair with its marks has at most 199
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True, eq=False)
class Phrase:
    """Some bars of a piece as events.

    Attributes
    ----------
    tokens : ndarray of int64, (n,)
        Note-ons, note-offs and time shifts; no velocities.
    piece, family : str
        Where it comes from.
    place : int
        Counted from 0 in its piece.
    kind : tuple of str
        What an honest wrong continuation shares: collection, metre and mode.
    tonic : int
        Pitch class of the tonic, 0 for C; without a stated key, of the major key that has the
        signature.
    centre : float
        Mean pitch of the piece.
    """

    tokens: NDArray[np.int64]
    piece: str
    family: str
    place: int
    kind: tuple[str, str, str]
    tonic: int
    centre: float

    def __len__(self) -> int:
        return len(self.tokens)

    def moved(self, semitones: int) -> Phrase:
        """Return the phrase so many semitones higher.

        Raises
        ------
        ValueError
            If a pitch would leave 0 to 127.
        """
        return dataclasses.replace(
            self,
            tokens=transposed(self.tokens, semitones),
            tonic=(self.tonic + semitones) % 12,
            centre=self.centre + semitones,
        )


@dataclass(frozen=True, eq=False)
class Pair:
    """Two phrases, and whether the second follows the first in its piece."""

    first: Phrase
    second: Phrase
    follows: bool


def tonic_of(piece: Piece) -> int | None:
    """Return the pitch class of a piece's tonic, 0 for C; None where nothing is known.

    Without a stated key it is the tonic of the major key that has the signature.
    """
    if piece.key is not None:
        accidentals = piece.key.count("#") - piece.key[1:].count("b")
        return (_LETTERS[piece.key[0]] + accidentals) % 12
    return None if piece.sharps is None else 7 * piece.sharps % 12


def tokens_of(piece: Piece) -> NDArray[np.int64]:
    """Return a piece as events without velocities, at 125 quarter notes a minute.

    A 2/4 bar is played as slowly as a 4/4 bar: what one book writes in 2/4 another writes in 2/2,
    and the notes on paper would tell the books apart, not the dances.

    Lesson: book/transformer/musicbert
    """
    tempo = TEMPO / 2 if piece.meter == "2/4" else TEMPO
    tokens = events.encode(perform(piece, tempo=tempo))
    return tokens[tokens < VELOCITY]


def transposed(tokens: npt.ArrayLike, semitones: int) -> NDArray[np.int64]:
    """Return tokens with every note so many semitones higher.

    Raises
    ------
    ValueError
        If a pitch would leave 0 to 127.
    """
    tokens = np.asarray(tokens, dtype=np.int64)
    keys = tokens < TIME_SHIFT
    pitch = tokens % NOTE_OFF + semitones
    if (keys & ((pitch < 0) | (pitch >= NOTE_OFF))).any():
        raise ValueError(
            f"moved by {semitones} semitones, pitches run from {pitch[keys].min()} to "
            f"{pitch[keys].max()}; expected 0 to 127"
        )
    return np.where(keys, tokens + semitones, tokens)


def phrases(piece: Piece, *, bars: int = 4) -> list[Phrase]:
    """Cut a piece at every so many bar lines, from the first full bar on.

    A last phrase that lacks no more than the pickup is whole: the pickup makes up for it.

    Lesson: book/transformer/musicbert

    Parameters
    ----------
    piece : Piece
        With a metre and a key or a signature; others have no phrases here.
    bars : int
        Length of a phrase.

    Returns
    -------
    list of Phrase
        In order; phrases without a note are left out.

    Raises
    ------
    ValueError
        If `bars` is below 1.
    """
    if bars < 1:
        raise ValueError(f"bars must be 1 or more, got {bars}")
    tonic, bar = tonic_of(piece), piece.bar_beats
    if bar is None or tonic is None or not len(piece.notes):
        return []
    length = bars * bar
    count = int((piece.duration_beat + 1e-6) // length)
    kind = (piece.collection, str(piece.meter), piece.mode or "signature")
    centre = float(piece.notes["pitch"].mean())
    found = []
    for place in range(count):
        start = piece.pickup_beats + place * length
        # A hair early: onsets of triplets are rounded.
        tokens = tokens_of(piece.excerpt(start - 1e-6, start + length - 1e-6))
        if len(tokens):
            found.append(Phrase(tokens, piece.id, piece.family, place, kind, tonic, centre))
    return found


class Continuations:
    """Phrases that have a next one, and honest wrong ones to set beside it.

    Lesson: book/transformer/musicbert

    Parameters
    ----------
    pieces : sequence of Piece
        Wrong phrases are taken from these alone: give one split.
    bars : int
        Length of a phrase.

    Raises
    ------
    ValueError
        If no phrase has both a next one and a wrong one.
    """

    def __init__(self, pieces: Sequence[Piece], *, bars: int = 4) -> None:
        self.followed: list[tuple[Phrase, Phrase]] = []
        self._others: dict[tuple, list[Phrase]] = defaultdict(list)
        follow: list[tuple[Phrase, Phrase]] = []
        for piece in pieces:
            found = phrases(piece, bars=bars)
            for phrase in found:
                self._others[phrase.kind, phrase.place].append(phrase)
            follow += [(a, b) for a, b in itertools.pairwise(found) if b.place == a.place + 1]
        families = {k: {p.family for p in some} for k, some in self._others.items()}
        self.followed = [(a, b) for a, b in follow if families[b.kind, b.place] - {a.family}]
        if not self.followed:
            raise ValueError(
                f"among {len(pieces)} pieces no phrase of {bars} bars has both a next phrase and "
                "one of the same metre, mode and place in another family"
            )

    def __len__(self) -> int:
        return len(self.followed)

    def right(self, index: int) -> Pair:
        """Return a phrase and the next one of its piece."""
        return Pair(*self.followed[index], follows=True)

    def wrong(self, index: int, draw: Callable[[int], int]) -> Pair:
        """Return the same phrase and an honest wrong one; ``draw(n)`` chooses among n."""
        first, second = self.followed[index]
        others = [p for p in self._others[second.kind, second.place] if p.family != first.family]
        return Pair(first, _as_if_of(first, others[draw(len(others))]), follows=False)

    def pairs(self, *, seed: int) -> list[Pair]:
        """Return every phrase twice, with its next one and with a wrong one."""
        rng = np.random.default_rng(seed)
        draw = lambda n: int(rng.integers(n))  # noqa: E731
        return [pair for i in range(len(self)) for pair in (self.right(i), self.wrong(i, draw))]


def join(first: Phrase, second: Phrase | None = None) -> NDArray[np.int64]:
    """Return what a bidirectional model reads: `CLS`, a phrase, `SEP`, the other one, `SEP`.

    Of long phrases the end of the first and the beginning of the second are kept, `MAX_TOKENS`
    each, so that where they meet is always seen.
    """
    row = [CLS, *first.tokens[-MAX_TOKENS:].tolist(), SEP]
    if second is not None:
        row += [*second.tokens[:MAX_TOKENS].tolist(), SEP]
    return np.array(row, np.int64)


def _as_if_of(first: Phrase, other: Phrase) -> Phrase:
    """Return the other phrase on the tonic of the first, in the octave of the first's piece."""
    up = (first.tonic - other.tonic) % 12
    up += 12 * round((first.centre - other.centre - up) / 12)
    return other.moved(up)
