"""When in Rome: some thousand analyses by many hands (Gotham et al., 2023), from your own copy.

The corpus does not ship. Clone or download ``github.com/MarkGotham/When-in-Rome`` and name the
folder or the zip; nothing is fetched. Its own analyses are CC BY-SA 4.0; those that it brings
together from elsewhere state their terms in the file, some of them non-commercial.

>>> from mircourse import chords
>>> analyses = chords.load(full=True, data_home="When-in-Rome-master.zip")  # doctest: +SKIP

Lesson: book/index
"""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mircourse import romantext
from mircourse.chords import Analysis
from mircourse.registry import DataError

FILE = "analysis.txt"
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}


class SkippedPieces(UserWarning):
    """Pieces of a corpus could not be read; the message names them."""


def load(home: str | os.PathLike[str]) -> list[Analysis]:
    """Read the corpus.

    Parameters
    ----------
    home : path
        A clone's folder, its folder ``Corpus``, or a zip of either.

    Returns
    -------
    list of Analysis
        In order of their ids, which are the folders' names from the genre on. Which split a piece
        is in follows from the name of its set (an opus, a song cycle): a set is in one split.
        Chorales and madrigals that ship with the course are among them.

    Raises
    ------
    mircourse.registry.DataError
        If there is no folder or zip of that name, or no analysis in it.

    Warns
    -----
    SkippedPieces
        If a piece cannot be read; one warning names each and says why.
    """
    found, skipped = [], []
    for name, content in _files(Path(home)):
        try:
            score = romantext.read(content.decode("utf-8-sig"))
        except (ValueError, UnicodeDecodeError) as error:
            skipped.append(f"{name}: {error}")
            continue
        score.chords.setflags(write=False)
        found.append(
            Analysis(
                id=name,
                title=score.fields.get("Title") or PurePosixPath(name).name,
                composer=score.fields.get("Composer", ""),
                split=_split(name),
                chords=score.chords,
                analyst=score.fields.get("Analyst") or None,
            )
        )
    if not found and not skipped:
        raise DataError(f"{home} holds no {FILE}: expected a clone or a zip of When in Rome")
    if skipped:
        pieces = "piece" if len(skipped) == 1 else "pieces"
        warnings.warn(
            f"{len(skipped)} {pieces} of {len(skipped) + len(found)} skipped: "
            + "; ".join(skipped),
            SkippedPieces,
            stacklevel=2,
        )
    return found


def _files(home: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the id and the content of each piece, in order of ids."""
    if home.is_dir():
        paths = {_id(path.relative_to(home).as_posix()): path for path in home.rglob(FILE)}
        for name in sorted(paths):
            yield name, paths[name].read_bytes()
        return
    if not zipfile.is_zipfile(home):
        raise DataError(f"{home} is neither a folder nor a zip")
    with zipfile.ZipFile(home) as archive:
        members = {
            _id(member): member
            for member in archive.namelist()
            if PurePosixPath(member).name == FILE
        }
        for name in sorted(members):
            yield name, archive.read(members[name])


def _id(path: str) -> str:
    parts = PurePosixPath(path).parent.parts
    return "/".join(parts[parts.index("Corpus") + 1 :] if "Corpus" in parts else parts)


def _split(name: str) -> str:
    digest = hashlib.sha256(name.rpartition("/")[0].encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for split, share in SHARES.items():
        place -= share
        if place < 0:
            return split
    return "test"
