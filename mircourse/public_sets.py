"""Public sets of recordings through mirdata, with the split that each was published with.

They are too large to ship: you download one once, and `mircourse.recordings.load` reads it with
``full=True``. A recording is decoded when its audio is asked for, at 22,050 Hz.

=================== ========================================================================
``gtzan_genre``     1,000 excerpts of 30 s in 10 genres (Tzanetakis and Cook, 2002). Repeats,
                    wrong labels and distortion fill 100 pages of Sturm (2013); read here are the
                    930 excerpts that Kereliuk, Sturm and Larsen (2015) left after filtering, in
                    their split, which keeps an artist's songs together.
``medley_solos_db`` 21,571 excerpts of 3 s, 8 instruments (Lostanlen and Cella, 2016); trained on
                    MedleyDB, tested on solosDB: another collection.
``tinysol``         2,913 notes of 14 instruments (Cella et al., 2020) in 5 folds.
=================== ========================================================================
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mircourse.recordings import Recording, Recordings
from mircourse.registry import DataError

SAMPLE_RATE = 22050
FOLDS = 5


@dataclass(frozen=True)
class _Set:
    """How to read one set; `label`, `pitch` and `split` take a mirdata track."""

    credit: str
    licence: str
    label: Callable[[Any], str]
    pitch: Callable[[Any], int | None]
    split: Callable[[Any, int], str | None]
    note: str = ""


def load(source: str, *, data_home: str | Path | None = None, fold: int = 0) -> Recordings:
    """Load a public set; see `mircourse.recordings.load`.

    Parameters
    ----------
    source : str
        ``"gtzan_genre"``, ``"medley_solos_db"`` or ``"tinysol"``.
    data_home : path, optional
        Where the set lies; mirdata's own place, ``~/mir_datasets/<source>``, if not given.
    fold : int
        Of TinySOL, the fold to test on, 0 to 4; the next one is for validation.

    Raises
    ------
    ValueError
        If the source or the fold is unknown.
    ImportError
        If mirdata is not installed.
    mircourse.registry.DataError
        If the set is not there, or not whole; the message says how to get it.
    """
    if source not in SETS:
        raise ValueError(f"with full=True source must be one of {', '.join(SETS)}, got {source!r}")
    if fold not in range(FOLDS):
        raise ValueError(f"fold must be 0 to {FOLDS - 1}, got {fold}")
    about = SETS[source]
    dataset = _dataset(source, data_home)
    items = []
    try:
        for track_id in dataset.track_ids:
            track = dataset.track(track_id)
            split = about.split(track, fold)
            if split is not None:
                items.append(_recording(track, about, split))
    except FileNotFoundError as error:
        raise DataError(_how_to_get(source, dataset, str(error))) from error
    print(f"{source}: {len(items)} recordings; {about.credit}; licence: {about.licence}.")
    return Recordings(items, name=source, instruments=sorted({item.instrument for item in items}))


def _dataset(source: str, data_home: str | Path | None) -> Any:
    try:
        import mirdata
    except ImportError as error:
        raise ImportError(
            'public sets are read by mirdata: pip install "mircourse[full]"'
        ) from error
    return mirdata.initialize(source, data_home=None if data_home is None else str(data_home))


def _recording(track: Any, about: _Set, split: str) -> Recording:
    path = Path(track.audio_path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    return Recording(
        audio=functools.partial(_decode, path),
        sample_rate=SAMPLE_RATE,
        instrument=about.label(track),
        pitch=about.pitch(track),
        id=track.track_id,
        split=split,
        credit=about.credit,
        licence=about.licence,
    )


def _decode(path: Path) -> NDArray[np.float32]:
    import soundfile
    import soxr

    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path} cannot be read as audio ({error}); download it again") from error
    mono = audio.mean(axis=1)  # (samples, channels) -> (samples,)
    return mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE)


def _how_to_get(source: str, dataset: Any, fault: str) -> str:
    command = (
        f'python -c "import mirdata; mirdata.initialize({source!r}, '
        f'data_home={str(dataset.data_home)!r}).download()"'
    )
    note = SETS[source].note.format(home=dataset.data_home)
    return f"{source} is not whole in {dataset.data_home} ({fault}). Get it with: {command}{note}"


def _medley_split(track: Any, fold: int) -> str:
    return {"training": "train", "validation": "valid"}.get(track.subset, track.subset)


def _tinysol_split(track: Any, fold: int) -> str:
    return {fold: "test", (fold + 1) % FOLDS: "valid"}.get(track.split, "train")


def _gtzan_split(track: Any, fold: int) -> str | None:
    return gtzan_filtered().get(track.track_id)


@functools.cache
def gtzan_filtered() -> dict[str, str]:
    """Return the split of each GTZAN excerpt that Kereliuk, Sturm and Larsen (2015) kept."""
    from torchaudio.datasets import gtzan

    lists = {"train": gtzan.filtered_train, "valid": gtzan.filtered_valid}
    lists["test"] = gtzan.filtered_test
    return {track: split for split, tracks in lists.items() for track in tracks}


SETS = {
    "gtzan_genre": _Set(
        credit="Tzanetakis and Cook (2002), filtered by Kereliuk, Sturm and Larsen (2015)",
        licence="none stated; the excerpts are of published records",
        label=lambda track: track.genre,
        pitch=lambda track: None,
        split=_gtzan_split,
        note="; if the set's own server no longer answers, put the folder 'genres' of another "
        "copy in {home}/gtzan_genre, where mirdata looks for it",
    ),
    "medley_solos_db": _Set(
        credit="Lostanlen and Cella (2016), from MedleyDB and solosDB",
        licence="CC-BY-4.0",
        label=lambda track: track.instrument,
        pitch=lambda track: None,
        split=_medley_split,
    ),
    "tinysol": _Set(
        credit="Cella et al. (2020), recorded at Ircam",
        licence="CC-BY-4.0",
        label=lambda track: track.instrument_full,
        pitch=lambda track: track.pitch_id,
        split=_tinysol_split,
    ),
}
