"""Move scores and their harmony to other keys: what is music stays, what depends on the key moves.

Lesson: book/index
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from mircourse.chords import Analysis
from mircourse.notearray import check_notes
from mircourse.scores import Piece

Score = TypeVar("Score", Piece, np.ndarray)


@dataclass(frozen=True, kw_only=True)
class Transpose:
    """Move a piece by a random number of semitones, as many as keep it within a range.

    Every shift that fits is as likely as every other. A `mircourse.scores.Piece` takes its key
    along; a note array has none. The notes' times do not change.

    Lesson: book/index

    Attributes
    ----------
    semitones : (int, int)
        Least and most; the default reaches each of the twelve keys once.
    lowest, highest : int
        MIDI pitches that no note may leave; 21 to 108 are the piano's.
    p : float
        Probability that a piece is moved at all.

    Raises
    ------
    ValueError
        If a range is not two numbers in order, or `p` is not in [0, 1].

    Examples
    --------
    >>> from mircourse import scores
    >>> tune = scores.load("ryan")[0]
    >>> moved = Transpose(semitones=(2, 2))(tune, rng=np.random.default_rng(0))
    >>> int(moved.notes["pitch"][0] - tune.notes["pitch"][0]), tune.key, moved.key
    (2, 'D', 'E')
    """

    semitones: tuple[int, int] = (-6, 5)
    lowest: int = 21
    highest: int = 108
    p: float = 1.0

    def __post_init__(self) -> None:
        if self.semitones[0] > self.semitones[1] or not 0 <= self.lowest <= self.highest <= 127:
            raise ValueError(
                f"ranges are two numbers in order, pitches from 0 to 127; got {self.semitones} "
                f"and {self.lowest} to {self.highest}"
            )
        if not 0 <= self.p <= 1:
            raise ValueError(f"p must be in [0, 1], got {self.p}")

    def __call__(self, score: Score, *, rng: np.random.Generator) -> Score:
        """Return the score in another key; as it is if no shift fits or there are no notes.

        Raises
        ------
        TypeError
            If it is neither a piece nor a note array.
        """
        if isinstance(score, Piece):
            shift = self.draw(score.notes, rng=rng)
            return score.transpose(shift) if shift else score
        if not isinstance(score, np.ndarray) or "pitch" not in (score.dtype.names or ()):
            raise TypeError(f"expected a Piece or a note array, got {type(score).__name__}")
        shift = self.draw(score, rng=rng)
        moved = score.copy()
        moved["pitch"] += np.asarray(shift, moved["pitch"].dtype)
        return check_notes(moved) if shift else score

    def draw(self, notes: np.ndarray, *, rng: np.random.Generator) -> int:
        """Return the semitones by which notes are moved: 0 if there are none or nothing fits."""
        if not len(notes) or rng.random() >= self.p:
            return 0
        pitch = notes["pitch"].astype(int)
        low = max(self.semitones[0], self.lowest - int(pitch.min()))
        high = min(self.semitones[1], self.highest - int(pitch.max()))
        return int(rng.integers(low, high + 1)) if low <= high else 0


def transpose_chords(analysis: Analysis, *, semitones: int) -> Analysis:
    """Return an analysis in another key: roots, basses, tonics and pitch classes turn.

    Degrees, figures, qualities and inversions are relative to the key and stay.

    Lesson: book/index

    Raises
    ------
    TypeError
        If `semitones` is not a whole number.
    """
    if not isinstance(semitones, int | np.integer):
        raise TypeError(f"semitones must be a whole number, got {semitones!r}")
    chords = analysis.chords.copy()
    for name in ("root", "bass", "key_tonic"):
        chords[name] = (chords[name].astype(int) + int(semitones)) % 12
    chords["pitch_classes"] = np.roll(chords["pitch_classes"], int(semitones), axis=1)  # (n, 12)
    chords.setflags(write=False)
    return dataclasses.replace(analysis, chords=chords)
