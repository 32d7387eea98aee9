"""Tunes as symbols, and back: what a model of melody reads, predicts and writes.

A tune becomes a row of *events*, each a note or a rest, and one event that ends it. Of an event
three things are known:

========= =================================================================================
place      the meter and how far into the bar it begins; never predicted, since the meter is
           given and the rest follows from the durations before
duration   one of `DURATIONS`, or the end
pitch      a MIDI note number from `LOWEST` to `HIGHEST`, or a rest
========= =================================================================================

The probability of a tune is the product, over its events, of that of the duration (after
everything before, and the place) and that of the pitch (after the duration, too). Every model of
the course factors it so, with these symbols: their bits per note can be compared.

`encode` and `decode` are exact on what they can hold. What they cannot: of notes that begin
together the top one is kept, a note that still sounds when the next begins is cut there
(`melody_line`), and velocity and voice are dropped. Grace notes are not in the scores to begin
with. A duration that is not listed, or a pitch out of range, is refused.

Lesson: book/rnn/lstm
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mircourse.notearray import check_notes, note_array

if TYPE_CHECKING:
    from mircourse.scores import Piece

TICKS = 10080  # in a quarter note; all durations below are whole
# Every duration in the three books of dance tunes, and those of their rests, in quarter notes.
DURATIONS = tuple(
    Fraction(text)
    for text in (
        *("1/36", "1/24", "1/18", "1/16", "1/14", "1/12", "1/10", "1/8", "1/6", "3/16"),
        *("1/4", "1/3", "3/8", "1/2", "5/8", "3/4", "7/8", "1", "9/8", "7/6", "5/4", "4/3"),
        *("3/2", "7/4", "2", "9/4", "5/2", "11/4", "23/8", "3", "4", "5", "6", "8"),
    )
)
LOWEST, HIGHEST = 48, 100
# Symbols, by number. A model never predicts a start: it stands for what is before the first event.
REST = HIGHEST - LOWEST + 1
N_PITCHES = REST + 1
START_PITCH = N_PITCHES
END = len(DURATIONS)
N_DURATIONS = END + 1
START_DURATION = N_DURATIONS

METERS = ("2/4", "2/2", "4/4", "6/8", "9/8", "12/8", "3/4", "3/8", "3/2", "5/4", "6/4")
STEPS = 12  # places in a quarter note
_LONGEST = 6  # quarter notes in a bar
_POSITIONS = STEPS * _LONGEST
N_PLACES = len(METERS) * _POSITIONS

_DURATION_TICKS = np.array([int(d * TICKS) for d in DURATIONS])


@dataclass(frozen=True, eq=False)
class Melody:
    """A tune as symbols; ``len`` counts its events, the end included if it has one.

    Attributes
    ----------
    duration, pitch : ndarray of int, (n,)
        Symbols of each event. An end has `REST` for its pitch, which nobody predicts.
    meter : str
        One of `METERS`.
    pickup_beats : float
        Quarter notes before the first full bar.
    id, family : str
        Of the piece; empty for what a model wrote.
    """

    duration: NDArray[np.int64]
    pitch: NDArray[np.int64]
    meter: str
    pickup_beats: float = 0.0
    id: str = ""
    family: str = ""

    def __len__(self) -> int:
        return len(self.duration)

    def __repr__(self) -> str:
        ended = "" if self.ended else ", no end"
        return f"Melody({self.id or 'new'!r}: {self.n_notes} notes in {self.meter}{ended})"

    @property
    def ended(self) -> bool:
        """Whether the last event is the end."""
        return bool(len(self)) and bool(self.duration[-1] == END)

    @property
    def n_notes(self) -> int:
        """Number of events that sound."""
        return int((self.pitch != REST).sum())

    @property
    def onset_ticks(self) -> NDArray[np.int64]:
        """Where each event begins, and where the last one ends, in ticks: ``(n + 1,)``."""
        return np.concatenate([[0], np.cumsum(duration_ticks(self.duration))])

    @property
    def place(self) -> NDArray[np.int64]:
        """Symbols of the place of each event and of the one to come, ``(n + 1,)``."""
        return place_of(self.onset_ticks, meter=self.meter, pickup_beats=self.pickup_beats)

    def transpose(self, semitones: int) -> Melody:
        """Return the melody so many semitones higher.

        Raises
        ------
        ValueError
            If a pitch would leave `LOWEST` to `HIGHEST`.
        """
        sounds = self.pitch != REST
        pitch = np.where(sounds, self.pitch + semitones, REST)
        if ((pitch < 0) | (pitch >= REST))[sounds].any():
            raise ValueError(f"{self!r} moved by {semitones} leaves {LOWEST} to {HIGHEST}")
        return dataclasses.replace(self, pitch=pitch)

    def room(self) -> tuple[int, int]:
        """Return by how many semitones it can be transposed down (negative) and up."""
        pitch = self.pitch[self.pitch != REST]
        if not len(pitch):
            return 0, 0
        return -int(pitch.min()), REST - 1 - int(pitch.max())

    def first(self, events: int) -> Melody:
        """Return its first events, without the end."""
        n = min(events, len(self) - self.ended)
        return dataclasses.replace(self, duration=self.duration[:n], pitch=self.pitch[:n])

    def piece(self, *, title: str = "") -> Piece:
        """Return it as a piece, to engrave, hear or write as ABC.

        The key signature is the one that needs fewest accidentals, as the key is not a symbol.
        """
        from mircourse.scores import Piece

        notes = decode(self)
        return Piece(
            id=self.id or "new",
            title=title,
            collection="",
            composer="",
            notes=notes,
            meter=self.meter,
            family=self.family,
            pickup_beats=self.pickup_beats,
            sharps=likely_sharps(notes),
        )


def place_of(
    ticks: NDArray[np.int64], *, meter: str, pickup_beats: float = 0.0
) -> NDArray[np.int64]:
    """Return the place symbols of moments in a tune, ``(n,)``.

    Parameters
    ----------
    ticks : ndarray of int, (n,)
        Moments since the beginning of the tune, pickup included.
    meter : str
        One of `METERS`.
    pickup_beats : float
        Quarter notes before the first full bar.

    Raises
    ------
    ValueError
        If the meter is unknown.
    """
    bar = bar_ticks(meter)
    into_bar = (np.asarray(ticks) - round(pickup_beats * TICKS)) % bar
    return METERS.index(meter) * _POSITIONS + into_bar * STEPS // TICKS


def duration_ticks(symbols: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how long duration symbols last, in ticks; an end takes no time."""
    return np.append(_DURATION_TICKS, 0)[symbols]


def bar_ticks(meter: str) -> int:
    """Return the ticks in a bar of a meter.

    Raises
    ------
    ValueError
        If it is not one of `METERS`.
    """
    if meter not in METERS:
        raise ValueError(f"meter must be one of {', '.join(METERS)}, got {meter!r}")
    over, under = map(int, meter.split("/"))
    return 4 * TICKS * over // under


def melody_line(notes: np.ndarray) -> np.ndarray:
    """Return the top note of each onset, cut where the next begins, as voice 0 at velocity 64.

    Raises
    ------
    TypeError, ValueError
        If it is not a sound note array.
    """
    check_notes(notes)
    # Sorted by onset, then pitch: the last note of an onset is its highest.
    last = np.append(np.diff(notes["onset_beat"]) > 0, True)[: len(notes)]
    top = notes[last]
    duration = top["duration_beat"].copy()
    room = np.diff(top["onset_beat"])
    # By less than half a tick, a note is too long because of rounding alone.
    late = np.append(duration[:-1] > room + 0.5 / TICKS, False)[: len(top)]
    duration[late] = room[late[:-1]]
    return note_array(top["onset_beat"], duration, top["pitch"])


def encode(
    music: Piece | np.ndarray, *, meter: str | None = None, pickup_beats: float | None = None
) -> Melody:
    """Turn a tune into symbols, its end included.

    Parameters
    ----------
    music : Piece or note array
        One voice; of chords the top note is taken (`melody_line`).
    meter : str, optional
        The piece's by default; 4/4 if that has none.
    pickup_beats : float, optional
        Quarter notes before the first full bar; the piece's by default, or 0.

    Raises
    ------
    ValueError
        If the meter is unknown, a pitch is outside `LOWEST` to `HIGHEST`, or a note lasts for
        something that is not in `DURATIONS`. A rest becomes the longest ones that fit.
    TypeError
        If it is neither a piece nor a note array.
    """
    given: Any = getattr(music, "notes", music)
    notes = melody_line(given)
    meter = meter or getattr(music, "meter", None) or "4/4"
    pickup = getattr(music, "pickup_beats", 0.0) if pickup_beats is None else pickup_beats
    name = getattr(music, "id", "")
    bar_ticks(meter)
    outside = (notes["pitch"] < LOWEST) | (notes["pitch"] > HIGHEST)
    if outside.any():
        raise ValueError(
            f"pitches of {name or 'a melody'} must be {LOWEST} to {HIGHEST}, got "
            f"{notes['pitch'].min()} to {notes['pitch'].max()}"
        )
    onset = np.round(notes["onset_beat"] * TICKS).astype(np.int64)
    end = np.round((notes["onset_beat"] + notes["duration_beat"]) * TICKS).astype(np.int64)
    durations, pitches = [], []
    now = 0
    for start, stop, pitch in zip(onset.tolist(), end.tolist(), notes["pitch"], strict=True):
        for symbol in _rests(start - now):
            durations.append(symbol)
            pitches.append(REST)
        durations.append(_symbol(stop - start, name))
        pitches.append(int(pitch) - LOWEST)
        now = stop
    return Melody(
        duration=np.array([*durations, END]),
        pitch=np.array([*pitches, REST]),
        meter=meter,
        pickup_beats=float(pickup),
        id=name,
        family=getattr(music, "family", ""),
    )


def decode(melody: Melody) -> np.ndarray:
    """Turn symbols back into a note array.

    Raises
    ------
    ValueError
        If a symbol is unknown, or something comes after the end.
    """
    for name, symbols, count in (
        ("duration", melody.duration, N_DURATIONS),
        ("pitch", melody.pitch, N_PITCHES),
    ):
        if symbols.ndim != 1 or ((symbols < 0) | (symbols >= count)).any():
            raise ValueError(f"symbols of {name} must be 0 to {count - 1}, one an event")
    if (melody.duration[:-1] == END).any():
        raise ValueError("a melody goes on after its end")
    sounds = (melody.pitch != REST) & (melody.duration != END)
    onset, step = melody.onset_ticks[:-1][sounds], melody.duration[sounds]
    return note_array(onset / TICKS, _DURATION_TICKS[step] / TICKS, melody.pitch[sounds] + LOWEST)


def blank(meter: str, *, pickup_beats: float = 0.0) -> Melody:
    """Return a melody without events, for a model to begin.

    Raises
    ------
    ValueError
        If the meter is unknown.
    """
    bar_ticks(meter)
    nothing = np.zeros(0, np.int64)
    return Melody(nothing, nothing.copy(), meter, pickup_beats)


def tunes(
    split: str | None = None, *, collections: Sequence[str] = ("ryan", "oneill")
) -> list[Melody]:
    """Return the dance tunes as symbols.

    Parameters
    ----------
    split : {"train", "valid", "test"}, optional
        All of them if left out. Melody families do not cross splits.
    collections : sequence of str
        Of "ryan", "oneill" and "aird".
    """
    from mircourse import scores

    return [encode(piece) for name in collections for piece in scores.load(name, split=split)]


def likely_sharps(notes: np.ndarray) -> int:
    """Return the key signature, -6 to 6 sharps, that needs fewest accidentals, or is simplest."""
    from mircourse.spelling import signature_alters

    natural = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
    present = np.bincount(notes["pitch"] % 12, minlength=12)

    def accidentals(sharps: int) -> int:
        alters = signature_alters(sharps)
        scale = {(step + alters.get(letter, 0)) % 12 for letter, step in natural.items()}
        return int(sum(count for pitch, count in enumerate(present) if pitch not in scale))

    return min(range(-6, 7), key=lambda sharps: (accidentals(sharps), abs(sharps), -sharps))


def _symbol(ticks: int, name: str) -> int:
    place = int(np.searchsorted(_DURATION_TICKS, ticks))
    if place == END or _DURATION_TICKS[place] != ticks:
        lasts = Fraction(ticks, TICKS)
        raise ValueError(
            f"a note of {name or 'the melody'} lasts {lasts} of a quarter note; melodies.DURATIONS "
            "lists what can be encoded"
        )
    return place


def _rests(ticks: int) -> list[int]:
    """Return the longest durations that together make a rest."""
    symbols = []
    while ticks > 0:
        place = int(np.searchsorted(_DURATION_TICKS, ticks, side="right")) - 1
        if place < 0:
            raise ValueError(f"a rest of {ticks} ticks is shorter than any duration")
        symbols.append(place)
        ticks -= int(_DURATION_TICKS[place])
    return symbols
