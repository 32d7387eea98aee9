"""Harmony written down by people: 68 Roman-numeral analyses of Bach and Monteverdi.

>>> from mircourse import chords
>>> analysis = chords.load()[0]
>>> analysis.chords["figure"][:4]
array(['vi', 'ii6', 'V', 'I'], dtype='<U16')

``Analysis.chords`` is a NumPy structured array, one row a chord, in order:

=================== ========== ================================================================
``onset_beat``      f8         beats (quarter notes) since the start of the score, pickup included
``duration_beat``   f8         beats, more than 0
``figure``          U16        the numeral as written, for example "V6/5" or "viio7/V"
``degree``          i1         scale degree of the numeral, 1 to 7, in the key or, for an applied
                               chord ("V7/IV"), in the key that it is applied to
``root``, ``bass``  i1         pitch classes, 0 (C) to 11 (B)
``quality``         U8         of the triad: "major", "minor", "dim", "aug" or "other"
``inversion``       i1         0 in root position, 1, 2, 3
``key_tonic``       i1         pitch class of the local key's tonic
``key_mode``        U5         "major" or "minor"
``pitch_classes``   bool (12,) which pitch classes the numeral stands for, C first
=================== ========== ================================================================

Given the key, degree follows from root almost by arithmetic: a model that is to find the degree
must not be given the key. Where the analyses come from is told in ``data/chords/README.md``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

import numpy as np

from mircourse import registry

CHORD_DTYPE = np.dtype(
    [
        ("onset_beat", "f8"),
        ("duration_beat", "f8"),
        ("figure", "U16"),
        ("degree", "i1"),
        ("root", "i1"),
        ("bass", "i1"),
        ("quality", "U8"),
        ("inversion", "i1"),
        ("key_tonic", "i1"),
        ("key_mode", "U5"),
        ("pitch_classes", "?", (12,)),
    ]
)
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False, repr=False)
class Analysis:
    """One piece's harmony.

    Attributes
    ----------
    id : str
        The piece's id in the collections "bach" and "monteverdi" of `mircourse.scores`; the eight
        madrigals of Monteverdi's fifth book have an analysis only.
    title, composer : str
    split : str
        "train", "valid" or "test", as the piece's score has it.
    chords : numpy.ndarray
        (n,) of `CHORD_DTYPE`, read-only; see the module.
    analyst : str or None
        Who wrote the analysis, where the file says so.
    """

    id: str
    title: str
    composer: str
    split: str
    chords: np.ndarray
    analyst: str | None = None

    def __repr__(self) -> str:
        start = " ".join(self.chords["figure"][:6].tolist())
        return f"Analysis({self.id!r}, {self.title!r}: {len(self.chords)} chords, {start} ...)"


def load(
    *,
    split: str | None = None,
    full: bool = False,
    data_home: str | os.PathLike[str] | None = None,
) -> list[Analysis]:
    """Load the analyses, or those of one split.

    Parameters
    ----------
    split : {"train", "valid", "test"}, optional
        All of them if left out.
    full : bool
        Read your own copy of the corpus When in Rome instead, more than a thousand; see
        `mircourse.wheninrome`.
    data_home : path, optional
        Where that copy is: the folder of a clone, or a zip.

    Raises
    ------
    ValueError
        If the split is unknown, or one of `full` and `data_home` comes without the other.
    mircourse.registry.DataError
        If the data file is missing, truncated or altered, or the copy holds no analyses.

    Warns
    -----
    mircourse.wheninrome.SkippedPieces
        If pieces of When in Rome cannot be read; the warning names them.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose from {', '.join(SPLITS)}")
    if full != (data_home is not None):
        raise ValueError(
            "full=True and data_home, the folder or zip of a copy of When in Rome, go together"
        )
    if data_home is not None:
        from mircourse import wheninrome

        return [piece for piece in wheninrome.load(data_home) if split in (None, piece.split)]
    members = registry.arrays("chords/analyses.npz")
    labels = json.loads(members["analyses"].tobytes())
    start = members["start"]
    chords = np.zeros(start[-1], CHORD_DTYPE)
    for name in CHORD_DTYPE.names or ():
        chords[name] = members[name]
    chords.setflags(write=False)
    return [
        Analysis(
            id=label["id"],
            title=label["title"],
            composer=label["composer"],
            split=label["split"],
            chords=chords[first:last],
            analyst=label["analyst"],
        )
        for label, first, last in zip(labels, start[:-1], start[1:], strict=True)
        if split in (None, label["split"])
    ]
