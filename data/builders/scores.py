"""Derive the note arrays in ``data/scores`` from the corpus that ships with music21 10.5.1.

``source`` is a music21 corpus folder; by default the installed package's. Everything is derived
anew in about six minutes on one core. What is left out, and why, is in the table below and in the
card (``data/scores/README.md``).
"""

from __future__ import annotations

import re
import unicodedata
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from . import archive, notes, titles, tunes

MUSIC21 = "10.5.1"


@dataclass(frozen=True)
class Source:
    """Where a collection comes from: a corpus folder, what to skip, and what its files do not say.

    ``keys`` tells whether the encoders' major/minor labels mean anything: some programs write
    "major" whatever the key.
    """

    folders: tuple[str, ...]
    composer: str
    skip: Callable[[str], bool] = lambda name: False
    keys: bool = True
    tunes: bool = field(default=False)


def _not_a_chorale(name: str) -> bool:
    return name == "bwv846"


def _other_version(name: str) -> bool:
    return name in {"madrigal.3.1_old", "dichterliebe_no2"} or name.endswith("_bak")


SOURCES = {
    "bach": Source(("bach",), "Johann Sebastian Bach", _not_a_chorale),
    "ryan": Source(("ryansMammoth",), "traditional", tunes=True),
    "oneill": Source(("oneills1850",), "traditional", tunes=True),
    "aird": Source(("airdsAirs",), "traditional", tunes=True),
    "beethoven": Source(("beethoven",), "Ludwig van Beethoven"),
    "haydn": Source(("haydn",), "Joseph Haydn"),
    "mozart": Source(("mozart",), "Wolfgang Amadeus Mozart"),
    "schumann": Source(("schumann_robert", "schumann_clara"), "", _other_version, keys=False),
    "trecento": Source(("trecento",), "", _other_version, keys=False),
    "monteverdi": Source(("monteverdi",), "Claudio Monteverdi", _other_version, keys=False),
}
COMPOSERS = {"schumann_robert": "Robert Schumann", "schumann_clara": "Clara Schumann"}
# An edition's or anybody's copyright line: such a file is left out whole.
RESERVED = re.compile(r"©|&#169;|copyright|edizion", re.IGNORECASE)
GREENTREE = re.compile(r"PDF ?© ?200[34] Margaret Greentree")


def build(out: Path, source: Path | None = None, only: tuple[str, ...] = tuple(SOURCES)) -> None:
    """Write ``<out>/scores/<collection>.npz`` for each collection."""
    folder = out / "scores"
    folder.mkdir(parents=True, exist_ok=True)
    for name in only:
        pieces = derive(name, source or corpus_folder())
        (folder / f"{name}.npz").write_bytes(archive.npz_bytes(arrays(pieces)))
        total = sum(len(piece["notes"]) for piece in pieces)
        print(f"{name}: {len(pieces)} pieces, {total} notes", flush=True)


def corpus_folder() -> Path:
    """Return the installed music21's corpus, which must be the version we derive from."""
    import music21

    if music21.__version__ != MUSIC21:
        raise RuntimeError(f"music21 is {music21.__version__}; the data derives from {MUSIC21}")
    return Path(music21.__file__).parent / "corpus"


def derive(name: str, corpus: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """Return a collection's pieces (the first ``limit`` of them), sorted by id."""
    jobs = sorted(list_jobs(name, corpus), key=lambda job: job[0])[:limit]
    if len({job[0] for job in jobs}) != len(jobs):
        raise RuntimeError(f"{name}: two pieces share an id")
    if limit is not None:
        return [parse(*job) for job in jobs]
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(parse, *zip(*jobs, strict=True), chunksize=8))


def list_jobs(name: str, corpus: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield (id, collection, path inside the corpus, ABC text or full path) of each piece kept."""
    source = SOURCES[name]
    seen: Counter = Counter()
    for folder in source.folders:
        for path in sorted((corpus / folder).rglob("*")):
            if path.suffix not in ((".abc",) if source.tunes else (".mxl", ".xml")):
                continue
            if source.skip(path.stem) or (not source.tunes and is_reserved(path)):
                continue
            if path.suffix == ".xml" and path.with_suffix(".mxl").exists():
                continue
            inside = path.relative_to(corpus).as_posix()
            if not source.tunes:
                yield piece_id(name, path.relative_to(corpus / folder)), name, inside, str(path)
                continue
            for tune in tunes.split_tunes(path.read_text(encoding="utf-8")):
                stem = path.stem if name == "ryan" else f"{tunes.number(tunes.header(tune)):04d}"
                seen[stem] += 1
                again = "" if seen[stem] == 1 else f"-{seen[stem]}"
                yield f"{name}-{stem}{again}", name, inside, tune


def piece_id(name: str, path: Path) -> str:
    """Return an id from a file's name: ``bwv66.6``, ``beethoven-opus18no1-movement1``."""
    stem = path.with_suffix("").as_posix() if path.suffix in (".mxl", ".xml") else path.as_posix()
    if name == "bach":
        return stem
    plain = unicodedata.normalize("NFKD", stem.removeprefix("madrigal.")).encode("ascii", "ignore")
    return f"{name}-" + re.sub(r"[^A-Za-z0-9.]+", "-", plain.decode()).strip("-")


def xml_text(path: Path) -> str:
    raw = path.read_bytes()
    if path.suffix == ".mxl":
        with zipfile.ZipFile(path) as opened:
            name = next(n for n in opened.namelist() if not n.startswith("META-INF"))
            raw = opened.read(name)
    return raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")


def is_reserved(path: Path) -> bool:
    """Tell whether a MusicXML file carries a copyright line other than the chorales' PDF credit."""
    return bool(RESERVED.search(GREENTREE.sub("", xml_text(path))))


def parse(identity: str, name: str, inside: str, text: str) -> dict[str, Any]:
    """Parse one piece: the dictionary of its metadata, and under "notes" its (n, 4) table."""
    from music21 import converter, stream

    source = SOURCES[name]
    # Beaming takes two thirds of music21's time and changes no note.
    unbeamed = mock.patch.object(stream.Stream, "makeBeams", lambda self, **_: self)
    with unbeamed, warnings.catch_warnings():
        # The corpus has hundreds of small faults that music21 warns about and mends.
        warnings.simplefilter("ignore")
        score = converter.parse(text, format="abc" if source.tunes else None, forceSource=True)
        table, counts = notes.note_table(score)
        meter, pickup, sharps = notes.first_measure(score)
    labels = _tune_labels(text) if source.tunes else _xml_labels(name, inside, text, score)
    return {
        "id": identity,
        **labels,
        "meter": meter,
        "pickup": pickup,
        "sharps": sharps,
        "source": inside,
        "left_out": {key: counts[key] for key in ("grace", "unisons") if counts[key]},
        "notes": table,
    }


def _tune_labels(text: str) -> dict[str, Any]:
    fields = tunes.header(text)
    key, mode = tunes.key_and_mode(fields)
    return {
        "title": tunes.title(fields),
        "composer": "traditional",
        "key": key,
        "mode": mode,
        "tune_type": tunes.tune_type(fields),
        "encoder": tunes.encoder(fields),
    }


def _xml_labels(name: str, inside: str, path: str, score: Any) -> dict[str, Any]:
    source, xml = SOURCES[name], xml_text(Path(path))
    key = score.recurse().getElementsByClass("Key").first() if source.keys else None
    signed = [re.sub(r"\s+", " ", e).strip() for e in re.findall(r"<encoder>(.*?)</encoder>", xml)]
    signed += ["Margaret Greentree"] * bool(GREENTREE.search(xml))
    folder = inside.split("/")[0]
    return {
        "title": titles.title(name, Path(path)),
        "composer": source.composer
        or COMPOSERS.get(folder)
        or titles.trecento_composer(Path(path), xml),
        "key": key.tonic.name.replace("-", "b") if key is not None else None,
        "mode": key.mode if key is not None else None,
        "tune_type": None,
        "encoder": ", ".join(dict.fromkeys(filter(None, signed))) or None,
        "parts": [re.sub(r"\s+", " ", part.partName or "").strip() for part in score.parts],
    }


def arrays(pieces: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return the members of a collection's archive.

    ``start`` (pieces + 1,) int32 delimits the pieces in the four columns: ``onset`` (ticks since
    the previous note of the piece), ``duration`` (ticks), ``pitch`` and ``voice`` (uint8).
    ``pieces`` holds the metadata as JSON text, ``ticks`` the ticks of a quarter note.
    """
    tables = [piece["notes"] for piece in pieces]
    sizes = [0, *(len(table) for table in tables)]
    labels = [{k: v for k, v in piece.items() if k != "notes"} for piece in pieces]
    joined = np.concatenate(tables)
    steps = np.concatenate([np.diff(table[:, 0], prepend=0) for table in tables])
    return {
        "start": np.cumsum(sizes).astype(np.int32),
        "onset": steps.astype(np.int32),
        "duration": joined[:, 1].astype(np.int32),
        "pitch": joined[:, 2].astype(np.uint8),
        "voice": joined[:, 3].astype(np.uint8),
        "ticks": np.array([notes.TICKS], dtype=np.int32),
        "pieces": archive.json_array(labels),
    }
