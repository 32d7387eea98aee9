"""Chorales as grids: which pitch each of four voices sings in each sixteenth note.

A grid is an int16 array, one row a sixteenth note, with soprano, alto, tenor and bass in its
columns: MIDI pitches, `REST` (128) for silence. Read row by row, from the soprano down, it is a
sequence of symbols, as Huang et al. (2018, Music Transformer) give chorales to their network. A
grid does not tell a note that is held from one that is struck again, and it takes no notice of
what begins and ends between two sixteenths.

Lesson: book/transformer/musictransformer
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from mircourse.notearray import check_notes, note_array

if TYPE_CHECKING:
    from mircourse.scores import Piece

VOICES = ("Soprano", "Alto", "Tenor", "Bass")
CELL = 0.25  # quarter notes
REST = 128
N_SYMBOLS = 129
# Outside the symbols, in the order of `mircourse.events`.
PAD, BOS, EOS = range(N_SYMBOLS, N_SYMBOLS + 3)

Protocol = Literal["standard", "families"]
_SPLITS = ("train", "valid", "test")
_NEAR = 1e-6  # beats, for sums of triplets


class Chorale(NamedTuple):
    """A chorale of the protocol.

    Attributes
    ----------
    id, family : str
        Of the piece in ``scores.load("bach")``.
    grid : ndarray of int16, (T, 4)
        See `grid`.
    """

    id: str
    family: str
    grid: NDArray[np.int16]

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Its symbols, ``(4 T,)``; see `tokens`."""
        return tokens(self.grid)


def grid(music: Piece | np.ndarray) -> NDArray[np.int16]:
    """Return which pitch each voice sings at the beginning of each sixteenth note.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    music : Piece or note array
        A piece whose parts are named after the four voices, instruments beside them left out; or
        notes in voices 0 to 3, the soprano first. Where a voice has several notes at once, the
        one that began last counts, of these the highest.

    Returns
    -------
    ndarray of int16, (T, 4)
        T sixteenth notes, from beat 0 to the end of the last note.

    Raises
    ------
    ValueError
        If one of the four voices is missing.
    TypeError
        If it is neither a piece nor a note array.
    """
    given: Any = getattr(music, "notes", music)
    notes = check_notes(given)
    numbers = _numbers(music)
    notes = notes[np.isin(notes["voice"], numbers)]
    end = notes["onset_beat"] + notes["duration_beat"]
    first = np.ceil(notes["onset_beat"] / CELL - _NEAR).astype(int)
    last = np.ceil(end / CELL - _NEAR).astype(int)
    cells = np.full((last.max(initial=0), len(VOICES)), REST, np.int16)
    column = {number: k for k, number in enumerate(numbers)}
    # Sorted by onset, then pitch: what is written later counts.
    for note, a, b in zip(notes, first, last, strict=True):
        cells[a:b, column[int(note["voice"])]] = note["pitch"]
    return cells


def notes_of(grid: npt.ArrayLike) -> np.ndarray:
    """Return the note array of a grid: equal cells in a row are one held note.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    grid : array_like of int, (T, 4)
        Pitches 0 to 127, or `REST`.

    Returns
    -------
    numpy.ndarray of `mircourse.scores.NOTE_DTYPE`, (n,)
        In voices 0 to 3.

    Raises
    ------
    ValueError
        If the shape or a symbol is out of range.
    """
    cells = _checked(grid)
    edges = np.ones((len(cells) + 1, len(VOICES)), bool)
    edges[1:-1] = cells[1:] != cells[:-1]
    onset, length, pitch, voice = [], [], [], []
    for v in range(len(VOICES)):
        starts = np.flatnonzero(edges[:, v])
        for a, b in itertools.pairwise(starts):
            if cells[a, v] != REST:
                onset.append(CELL * a)
                length.append(CELL * (b - a))
                pitch.append(cells[a, v])
                voice.append(v)
    return note_array(onset, length, pitch, voice=voice)


def tokens(grid: npt.ArrayLike) -> NDArray[np.int64]:
    """Return a grid as symbols, row by row: ``(4 T,)``, soprano, alto, tenor, bass, soprano, ...

    Raises
    ------
    ValueError
        If the shape or a symbol is out of range.
    """
    return _checked(grid).astype(np.int64).ravel()  # (T, 4) -> (4T,)


def grid_of(tokens: npt.ArrayLike) -> NDArray[np.int16]:
    """Return the grid of a sequence of symbols; an incomplete last row is filled with rests.

    `PAD`, `BOS` and `EOS` are left out.

    Raises
    ------
    ValueError
        If a symbol is out of range, or the shape is not ``(n,)``.
    """
    given = np.asarray(tokens)
    if given.ndim != 1 or (given.size and (given.min() < 0 or given.max() > EOS)):
        raise ValueError(f"expected symbols 0 to {EOS} of shape (n,), got shape {given.shape}")
    cells = given[given < N_SYMBOLS].astype(np.int16)
    fill = np.full(-len(cells) % len(VOICES), REST, np.int16)
    return np.concatenate([cells, fill]).reshape(-1, len(VOICES))  # (n,) -> (T, 4)


def jsb(split: str, *, protocol: Protocol = "standard") -> list[Chorale]:
    """Return the chorales of the JSB protocol, or the same chorales split by melody family.

    The published data (Boulanger-Lewandowski et al., 2012) have 382 chorales; 353 are found in
    ours, and these are returned, in the published key. In 100 of them the published version writes
    out repeats which ours do not: figures are close to, not the same as, those on that data.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    split : {"train", "valid", "test"}
        Which part.
    protocol : {"standard", "families"}
        "standard" is the published split, which leaks: most melodies of its test part are in train
        too. "families" divides the same 353 chorales so that no melody is on both sides.

    Returns
    -------
    list of Chorale
        In the published order.

    Raises
    ------
    ValueError
        If the split or the protocol is unknown.
    """
    from mircourse import scores

    if split not in _SPLITS:
        raise ValueError(f"no split {split!r}; choose from {', '.join(_SPLITS)}")
    if protocol not in ("standard", "families"):
        raise ValueError(f"protocol must be standard or families, got {protocol!r}")
    bach = scores.load("bach")
    found = []
    for entry in scores.jsb_split():
        if entry.piece_id is None:
            continue
        piece = bach[entry.piece_id]
        if split == (entry.split if protocol == "standard" else piece.split):
            cells = grid(piece.transpose(entry.semitones))
            found.append(Chorale(piece.id, piece.family, cells))
    return found


def _numbers(music: Piece | np.ndarray) -> list[int]:
    """Return the numbers of soprano, alto, tenor and bass."""
    parts: Sequence[str] = getattr(music, "parts", ()) or VOICES
    numbers = []
    for voice in VOICES:
        # "Bass Continuo" and "Soprano 1" are meant, "Bassoon" is not.
        named = [k for k, part in enumerate(parts) if part.split()[0] == voice]
        if not named:
            raise ValueError(f"no part is named {voice}; the parts are {', '.join(parts)}")
        numbers.append(named[0])
    return numbers


def _checked(grid: npt.ArrayLike) -> NDArray:
    cells = np.asarray(grid)
    if cells.ndim != 2 or cells.shape[1] != len(VOICES):
        raise ValueError(f"a grid has shape (T, {len(VOICES)}), got {cells.shape}")
    if cells.size and (cells.min() < 0 or cells.max() > REST):
        raise ValueError(f"a cell is 0 to {REST}, got {cells.min()} to {cells.max()}")
    return cells
