"""Scores as note arrays: some five thousand pieces in ten collections, each one line away.

>>> from mircourse import scores
>>> chorales = scores.load("bach")
>>> chorales["bwv66.6"].notes["pitch"][:4]
array([57, 64, 69, 73], dtype=int16)

A note array is a NumPy structured array, one row a note, sorted by onset, then pitch:

================= ===== =====================================================================
``onset_beat``     f8   beats since the start of the piece; a beat is a quarter note everywhere
``duration_beat``  f8   beats, more than 0
``pitch``          i2   MIDI note number, 0 to 127 (60 is middle C)
``voice``          i2   the part's number counted from the top of the score, starting with 0
``velocity``       i2   1 to 127; the scores carry no dynamics, so 64 unless you set it
================= ===== =====================================================================

Where the arrays come from and what they leave out is told in ``data/scores/README.md``.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from mircourse import registry
from mircourse.midi import from_midi, to_midi
from mircourse.notearray import NOTE_DTYPE, check_notes, note_array

__all__ = [
    "NOTE_DTYPE",
    "Collection",
    "JsbEntry",
    "Piece",
    "check_notes",
    "from_midi",
    "jsb_split",
    "load",
    "names",
    "note_array",
    "to_midi",
]

SPLITS = ("train", "valid", "test")
PUBLIC_DOMAIN = "public-domain works; note data derived from the music21 corpus, see the card"
# What each collection holds, and whom to credit for its encoding.
CATALOGUE = {
    "bach": ("Bach, four-part chorales", "Margaret Greentree and the music21 corpus"),
    "ryan": ("Ryan's Mammoth Collection, Boston 1883", "the transcribers named in each piece"),
    "oneill": ("O'Neill's Music of Ireland, 1850 melodies, 1903", "the transcribers in each piece"),
    "aird": ("Aird's Selection of Airs, Glasgow 1782-1801", "Jack Campin"),
    "beethoven": ("Beethoven, string quartet movements", "the music21 corpus"),
    "haydn": ("Haydn, string quartet movements", "the music21 corpus"),
    "mozart": ("Mozart, quartet and sonata movements", "the music21 corpus"),
    "schumann": ("Robert and Clara Schumann, movements", "the music21 corpus"),
    "trecento": ("Italian and French music of the 14th century", "the encoders in each piece"),
    "monteverdi": ("Monteverdi, madrigals of books 3 and 4", "the music21 corpus"),
}
_FIFTHS = "FCGDAEB"


@dataclass(frozen=True, eq=False, repr=False)
class Piece:
    """One piece of a collection: its notes and what is known about it.

    Attributes
    ----------
    id : str
        Unique among all collections, for example ``"bwv66.6"`` or ``"oneill-0732"``.
    title, collection, composer : str
        ``composer`` is "traditional" for the dance tunes.
    notes : numpy.ndarray
        Note array (see the module), read-only.
    meter : str or None
        First time signature, for example ``"6/8"``.
    key, mode : str or None
        Tonic ("F#", "Bb") and mode ("major", "minor", "dorian", ...) as the encoder states them;
        None where the source says nothing or says nothing reliable.
    tune_type : str or None
        "reel", "jig", ... as the transcriber states it; never guessed from the title.
    family : str
        Pieces with nearly the same melody, in any key, share a family.
    split : str
        "train", "valid" or "test"; a family lies in one split.
    pickup_beats : float
        Beats before the first full bar: downbeats fall at ``pickup_beats + k * bar_beats``.
    encoder : str or None
        Who encoded the piece, where the file says so.
    sharps : int or None
        Sharps of the first key signature; flats are negative.
    parts : tuple of str
        The parts' names by voice number ("Soprano", ...); empty where the source names none.
    """

    id: str
    title: str
    collection: str
    composer: str
    notes: np.ndarray
    meter: str | None = None
    key: str | None = None
    mode: str | None = None
    tune_type: str | None = None
    family: str = ""
    split: str = "train"
    pickup_beats: float = 0.0
    encoder: str | None = None
    sharps: int | None = None
    parts: tuple[str, ...] = ()

    def __repr__(self) -> str:
        voices = f" in {self.n_voices} voices" if self.n_voices > 1 else ""
        key = f"{self.key} {self.mode}" if self.key else None
        facts = [
            f"{len(self.notes)} notes{voices}",
            f"{self.duration_beat:g} beats",
            *(fact for fact in (self.meter, key, self.tune_type) if fact),
        ]
        return f"Piece({self.id!r}, {self.title!r}: {', '.join(facts)})"

    @property
    def duration_beat(self) -> float:
        """Beats from the start to the end of the last note to stop; 0 without notes."""
        if not len(self.notes):
            return 0.0
        return float(np.max(self.notes["onset_beat"] + self.notes["duration_beat"]))

    @property
    def n_voices(self) -> int:
        """Number of parts that have notes."""
        return len(np.unique(self.notes["voice"]))

    @property
    def bar_beats(self) -> float | None:
        """Beats in a bar of the first time signature (3 in 6/8), or None without one."""
        if self.meter is None:
            return None
        over, under = self.meter.split("/")
        return 4 * int(over) / int(under)

    def transpose(self, semitones: int) -> Piece:
        """Return the piece ``semitones`` higher (lower if negative), key and signature included.

        Raises
        ------
        TypeError
            If ``semitones`` is not a whole number.
        ValueError
            If a pitch would leave 0..127.
        """
        if not isinstance(semitones, int | np.integer):
            raise TypeError(f"semitones must be a whole number, got {semitones!r}")
        pitch = self.notes["pitch"].astype(int) + int(semitones)
        if len(pitch) and (pitch.min() < 0 or pitch.max() > 127):
            raise ValueError(
                f"transposing {self.id!r} by {semitones} semitones gives pitches "
                f"{pitch.min()}..{pitch.max()}, outside 0..127"
            )
        notes = self.notes.copy()
        notes["pitch"] = pitch
        key, sharps = _transposed_key(self.key, self.sharps, int(semitones))
        return dataclasses.replace(self, notes=_frozen(notes), key=key, sharps=sharps)

    def excerpt(self, start_beat: float, end_beat: float) -> Piece:
        """Return the notes that begin in ``[start_beat, end_beat)``, the first beat becoming 0.

        A note that sounds on past ``end_beat`` is cut there; one that began before
        ``start_beat`` is left out. ``pickup_beats`` keeps pointing at the downbeats.

        Raises
        ------
        ValueError
            If the limits are not finite, or ``end_beat`` does not come after ``start_beat``.
        """
        if not (np.isfinite(start_beat) and np.isfinite(end_beat) and start_beat < end_beat):
            raise ValueError(f"expected start_beat < end_beat, got {start_beat} and {end_beat}")
        onset = self.notes["onset_beat"]
        notes = self.notes[(onset >= start_beat) & (onset < end_beat)].copy()
        room = end_beat - notes["onset_beat"]
        notes["duration_beat"] = np.minimum(notes["duration_beat"], room)
        notes["onset_beat"] -= start_beat
        bar = self.bar_beats
        pickup = (self.pickup_beats - start_beat) % bar if bar else 0.0
        return dataclasses.replace(self, notes=_frozen(notes), pickup_beats=float(pickup))


class Collection(Sequence[Piece]):
    """Pieces in order, found by index, slice or id.

    Attributes
    ----------
    name : str
        As `load` takes it.
    licence, credit : str
        The terms, and whom to credit for the encoding.
    """

    def __init__(self, pieces: Iterable[Piece], *, name: str, licence: str, credit: str) -> None:
        self._pieces = tuple(pieces)
        self._by_id = {piece.id: piece for piece in self._pieces}
        self.name, self.licence, self.credit = name, licence, credit

    def __repr__(self) -> str:
        counts = Counter(piece.split for piece in self)
        splits = ", ".join(f"{split} {counts[split]}" for split in SPLITS if counts[split])
        total = sum(len(piece.notes) for piece in self)
        return f"Collection({self.name!r}: {len(self)} pieces, {total:,} notes; {splits})"

    def __len__(self) -> int:
        return len(self._pieces)

    @overload
    def __getitem__(self, index: int | str) -> Piece: ...
    @overload
    def __getitem__(self, index: slice) -> Collection: ...
    def __getitem__(self, index: int | str | slice) -> Piece | Collection:
        """Return a piece by index or id, or a smaller collection by slice.

        Raises
        ------
        KeyError
            If there is no piece with this id.
        """
        if isinstance(index, str):
            if index not in self._by_id:
                first = ", ".join(list(self._by_id)[:3])
                raise KeyError(f"{self.name!r} has no piece {index!r}; its ids look like {first}")
            return self._by_id[index]
        if isinstance(index, slice):
            return self._with(self._pieces[index])
        return self._pieces[index]

    def split(self, name: str) -> Collection:
        """Return the pieces of one split: "train", "valid" or "test"."""
        if name not in SPLITS:
            raise ValueError(f"no split {name!r}; choose from {', '.join(SPLITS)}")
        return self.filter(lambda piece: piece.split == name)

    def filter(self, keep: Callable[[Piece], bool]) -> Collection:
        """Return the pieces for which ``keep(piece)`` is true."""
        return self._with(piece for piece in self._pieces if keep(piece))

    def _with(self, pieces: Iterable[Piece]) -> Collection:
        return Collection(pieces, name=self.name, licence=self.licence, credit=self.credit)


class JsbEntry(NamedTuple):
    """One piece of the JSB Chorales split (Boulanger-Lewandowski et al., 2012).

    ``index`` counts within ``split``; ``piece_id`` is the chorale in our "bach" collection that it
    was matched to, None where none was found. The data set's version is ours ``semitones`` higher,
    with the repeats written out if ``repeats``; ``agreement`` is the share of its sixteenth-note
    cells (soprano, alto, tenor, bass) that then equal ours.
    """

    split: str
    index: int  # type: ignore[assignment]  # a field, not tuple.index
    piece_id: str | None
    semitones: int
    repeats: bool
    agreement: float | None


def names() -> list[str]:
    """Return the collections' names, as `load` takes them."""
    return list(CATALOGUE)


def load(name: str, *, split: str | None = None) -> Collection:
    """Load a collection, or one split of it.

    Parameters
    ----------
    name : str
        One of `names`.
    split : {"train", "valid", "test"}, optional
        The whole collection if left out. No melody family lies in two splits, across collections
        too: a tune that stands both in Ryan and in O'Neill is in one split.

    Raises
    ------
    ValueError
        If the name or the split is unknown; the message lists the known ones.
    mircourse.registry.DataError
        If a data file is missing, truncated or altered.
    """
    if name not in CATALOGUE:
        raise ValueError(f"no collection {name!r}; choose from {', '.join(names())}")
    pieces = _read(name)
    collection = Collection(pieces, name=name, licence=PUBLIC_DOMAIN, credit=CATALOGUE[name][1])
    return collection if split is None else collection.split(split)


def jsb_split() -> list[JsbEntry]:
    """Return the standard JSB Chorales split, in its order, mapped to our chorales.

    The split leaks: the same melody, sometimes the same chorale in another key, stands on both
    sides. Use it to compare with published figures, and our families for honest ones.
    """
    rows = _json(registry.path("scores/jsb_split.json"))["pieces"]
    return [JsbEntry(*row) for row in rows]


def _read(name: str) -> list[Piece]:
    families = _json(registry.path("scores/families.json"))[name]
    members = registry.arrays(f"scores/{name}.npz")
    labels = json.loads(members["pieces"].tobytes())
    ticks, start = members["ticks"].item(), members["start"]
    notes = np.zeros(start[-1], NOTE_DTYPE)
    notes["duration_beat"] = members["duration"] / ticks
    notes["pitch"], notes["voice"] = members["pitch"], members["voice"]
    notes["velocity"] = 64
    # Onsets are stored as steps from the previous note of the piece.
    onset = np.cumsum(members["onset"], dtype=np.int64)
    base = np.concatenate([[0], onset])[start[:-1]]
    notes["onset_beat"] = (onset - np.repeat(base, np.diff(start))) / ticks
    _frozen(notes)
    return [
        Piece(
            id=label["id"],
            title=label["title"],
            collection=name,
            composer=label["composer"],
            notes=notes[first:last],
            meter=label["meter"],
            key=label["key"],
            mode=label["mode"],
            tune_type=label["tune_type"],
            family=families[label["id"]][0],
            split=families[label["id"]][1],
            pickup_beats=label["pickup"],
            encoder=label["encoder"],
            sharps=label["sharps"],
            parts=tuple(label.get("parts", ())),
        )
        for label, first, last in zip(labels, start[:-1], start[1:], strict=True)
    ]


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _frozen(notes: np.ndarray) -> np.ndarray:
    notes.setflags(write=False)
    return notes


def _transposed_key(
    key: str | None, sharps: int | None, semitones: int
) -> tuple[str | None, int | None]:
    # On the line of fifths (F C G D A E B) a semitone is seven steps; of the spellings twelve
    # steps apart, the one with at most six sharps or flats is taken.
    if sharps is None and key is None:
        return None, None
    place = None if key is None else _FIFTHS.index(key[0]) + 7 * (key.count("#") - key.count("b"))
    base = sharps if sharps is not None else (place or 0) - 1
    shift = (base + 7 * semitones + 6) % 12 - 6 - base if semitones % 12 else 0
    if place is not None:
        accidentals, letter = divmod(place + shift, 7)
        key = _FIFTHS[letter] + ("#" * accidentals if accidentals > 0 else "b" * -accidentals)
    return key, None if sharps is None else sharps + shift
