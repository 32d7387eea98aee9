"""Recorded notes of nineteen instruments, and the public sets of recordings that you may add.

`load` returns the notes that ship with the course: 22,050 Hz, mono, 2.5 s at most, each starting
10 ms before its onset. Their splits are by pitch: a MIDI number is in one split for every
instrument, so that a model cannot pass the test by remembering a pitch. What the splits do not
hide is the room: the notes of an instrument come from one session, and a held-out pitch shares
its player, room and microphone with the training pitches.
"""

from __future__ import annotations

import functools
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from mircourse import registry

SPLITS = ("train", "valid", "test")


class Recording:
    """One recorded note, or one excerpt of a public set.

    Parameters
    ----------
    audio : ndarray of float, shape (n,), or function that returns it
        Mono samples in [-1, 1]. A function is called each time `audio` is asked for, so that a
        large set need not be in memory.
    sample_rate : int
        In Hz.
    instrument : str
        The label: an instrument, or what the set labels (a genre in GTZAN).
    pitch : int or None
        MIDI number, 60 = C4; None where the set gives none.
    id : str
        Unique within its source, for example ``"cello-041-2"``: instrument, pitch, take.
    split : str
        ``"train"``, ``"valid"`` or ``"test"``.
    credit, licence : str
        Who made it, and the terms: an SPDX identifier or a short phrase.
    """

    def __init__(
        self,
        *,
        audio: NDArray[np.floating] | Callable[[], NDArray[np.floating]],
        sample_rate: int,
        instrument: str,
        pitch: int | None,
        id: str,
        split: str,
        credit: str,
        licence: str,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split of {id!r} must be one of {', '.join(SPLITS)}, got {split!r}")
        self._audio = audio
        self.sample_rate = sample_rate
        self.instrument = instrument
        self.pitch = pitch
        self.id = id
        self.split = split
        self.credit = credit
        self.licence = licence

    @property
    def audio(self) -> NDArray[np.float32]:
        """Mono samples, shape (n,); those of the notes are read-only, since all callers share."""
        samples = self._audio() if callable(self._audio) else self._audio
        return np.asarray(samples, dtype=np.float32)

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.audio) / self.sample_rate

    def __repr__(self) -> str:
        pitch = "" if self.pitch is None else f", pitch {self.pitch}"
        length = "" if callable(self._audio) else f"{self.seconds:.2f} s at "
        return (
            f"<Recording {self.id}: {self.instrument}{pitch}, {length}{self.sample_rate} Hz, "
            f"{self.split}>"
        )


class Recordings(Sequence[Recording]):
    """Recordings in a fixed order, and the arrays that a model takes.

    Parameters
    ----------
    items : sequence of Recording
        What it holds.
    name : str, keyword-only
        The source, for `repr`.
    instruments : sequence of str, keyword-only
        Every label of the source, also those that no item has; `labels` counts in this order.
    """

    def __init__(
        self, items: Sequence[Recording], *, name: str, instruments: Sequence[str]
    ) -> None:
        self._items = tuple(items)
        self.name = name
        self.instruments = sorted(instruments)
        unknown = {item.instrument for item in self._items} - set(self.instruments)
        if unknown:
            raise ValueError(f"labels {sorted(unknown)} are not among {self.instruments}")

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int | str) -> Recording: ...

    @overload
    def __getitem__(self, index: slice) -> Recordings: ...

    def __getitem__(self, index: int | str | slice) -> Recording | Recordings:
        """Return one recording by position or id, or several by slice."""
        if isinstance(index, slice):
            return self._with(self._items[index])
        if isinstance(index, str):
            for item in self._items:
                if item.id == index:
                    return item
            raise KeyError(f"no recording {index!r} in {self!r}")
        return self._items[index]

    def __iter__(self) -> Iterator[Recording]:
        return iter(self._items)

    def __repr__(self) -> str:
        counts = ", ".join(f"{sum(r.split == s for r in self)} {s}" for s in SPLITS)
        return (
            f"<Recordings {self.name}: {len(self)} of {len(self.instruments)} classes ({counts})>"
        )

    @property
    def labels(self) -> NDArray[np.int64]:
        """Position of each recording's label in `instruments`, shape (N,)."""
        number = {name: k for k, name in enumerate(self.instruments)}
        return np.array([number[item.instrument] for item in self], dtype=np.int64)

    @property
    def pitches(self) -> NDArray[np.int64]:
        """MIDI number of each recording, shape (N,); -1 where the source gives none."""
        return np.array([-1 if r.pitch is None else r.pitch for r in self], dtype=np.int64)

    def audio(self, seconds: float = 2.0) -> NDArray[np.float32]:
        """Return all recordings in one array, cropped at the end or padded with zeros there.

        Parameters
        ----------
        seconds : float
            Length of each row; above 0.

        Returns
        -------
        ndarray of float32, shape (N, round(seconds * sample_rate))

        Raises
        ------
        ValueError
            If `seconds` is not above 0, or the recordings have several sample rates.
        """
        if not 0 < seconds < float("inf"):
            raise ValueError(f"seconds must be above 0 and finite, got {seconds}")
        rates = {item.sample_rate for item in self}
        if len(rates) > 1:
            raise ValueError(f"one sample rate is expected, got {sorted(rates)} Hz")
        n = round(seconds * rates.pop()) if rates else 0
        rows = np.zeros((len(self), n), dtype=np.float32)  # (N, n)
        for row, item in zip(rows, self, strict=True):
            samples = item.audio[:n]
            row[: len(samples)] = samples
        return rows

    def split(self, name: str) -> Recordings:
        """Return the recordings of one split: ``"train"``, ``"valid"`` or ``"test"``.

        Raises
        ------
        ValueError
            If there is no split of that name.
        """
        if name not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {name!r}")
        return self.filter(lambda item: item.split == name)

    def filter(self, keep: Callable[[Recording], bool]) -> Recordings:
        """Return the recordings for which ``keep(recording)`` is true; labels stay as they are."""
        return self._with([item for item in self if keep(item)])

    def credits(self) -> str:
        """Return whom to credit, and the licence: a line for each source, with its count."""
        lines = Counter(f"{item.credit}. Licence: {item.licence}." for item in self)
        return "\n".join(f"{count:5d}  {line}" for line, count in sorted(lines.items()))

    def _with(self, items: Sequence[Recording]) -> Recordings:
        return Recordings(items, name=self.name, instruments=self.instruments)


def load(
    source: str = "notes",
    *,
    split: str | None = None,
    full: bool = False,
    data_home: str | Path | None = None,
    fold: int = 0,
) -> Recordings:
    """Load the notes that ship with the course, or a public set that you have downloaded.

    Lesson: book/cnn/spectrograms

    Parameters
    ----------
    source : str
        ``"notes"``; with ``full=True`` one of ``"gtzan_genre"``, ``"medley_solos_db"``,
        ``"tinysol"``.
    split : str, optional
        Only ``"train"``, ``"valid"`` or ``"test"``.
    full : bool
        Read a public set by mirdata (``pip install "mircourse[full]"``), once you have it;
        `mircourse.public_sets` tells what they are and what is wrong with them.
    data_home : path, optional
        Folder of the public set; mirdata's own choice, ``~/mir_datasets/<source>``, if not given.
    fold : int
        Of TinySOL, the fold to test on.

    Returns
    -------
    Recordings

    Raises
    ------
    ValueError
        If the source or the split is unknown, or a public set is asked for without ``full=True``.
    ImportError
        If a public set is asked for and mirdata is not installed.
    mircourse.registry.DataError
        If a file is missing, altered or cannot be read; the message says what to do.

    Examples
    --------
    >>> notes = load(split="train")
    >>> notes.audio(seconds=2.0).shape  # doctest: +SKIP
    (255, 44100)
    """
    if full:
        from mircourse import public_sets

        found = public_sets.load(source, data_home=data_home, fold=fold)
    elif source == "notes":
        found = _notes(registry.data_dir())
    else:
        raise ValueError(
            f"source must be 'notes', got {source!r}; public sets need full=True "
            'and pip install "mircourse[full]"'
        )
    return found if split is None else found.split(split)


@functools.lru_cache(maxsize=1)
def _notes(folder: Path) -> Recordings:
    # Kept for one folder at a time: a session loads the notes many times and decoding takes 1 s.
    index = json.loads(registry.path("recordings/index.json").read_text(encoding="utf-8"))
    items = []
    for name, about in index["instruments"].items():
        notes = [note for note in index["notes"] if note["instrument"] == name]
        with zipfile.ZipFile(registry.path(f"recordings/{name}.zip")) as archive:
            for note in notes:
                key = f"{note['pitch']:03d}-{note['take']}"
                items.append(
                    Recording(
                        audio=_decode(archive.read(f"{key}.ogg")),
                        sample_rate=index["sample_rate"],
                        instrument=name,
                        pitch=note["pitch"],
                        id=f"{name}-{key}",
                        split=note["split"],
                        credit=about["credit"],
                        licence=about["licence"],
                    )
                )
    return Recordings(items, name="notes", instruments=list(index["instruments"]))


def _decode(ogg: bytes) -> NDArray[np.float32]:
    import soundfile

    audio, _ = soundfile.read(io.BytesIO(ogg), dtype="float32")
    audio.flags.writeable = False
    return audio
