"""Derive ``data/chords/analyses.npz`` from the Roman-numeral analyses in music21 10.5.1's corpus.

Twenty chorales of Bach and forty-eight madrigals of Monteverdi, each a text file in which
musicologists wrote the numerals by hand. ``source`` is a music21 corpus folder; by default the
installed package's. Needs ``<out>/scores/families.json``, since an analysis is in the same split
as its score.
"""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from . import archive, families, scores

FIELDS = [
    ("onset_beat", "<f8"),
    ("duration_beat", "<f8"),
    ("figure", "<U16"),
    ("degree", "i1"),
    ("root", "i1"),
    ("bass", "i1"),
    ("quality", "<U8"),
    ("inversion", "i1"),
    ("key_tonic", "i1"),
    ("key_mode", "<U5"),
    ("pitch_classes", "?", (12,)),
]
QUALITIES = {"major": "major", "minor": "minor", "diminished": "dim", "augmented": "aug"}


def build(out: Path, source: Path | None = None) -> None:
    """Write ``<out>/chords/analyses.npz``."""
    known = json.loads((out / "scores" / "families.json").read_text(encoding="utf-8"))
    analyses = [parse(path) for path in list_files(source or scores.corpus_folder())]
    analyses.sort(key=lambda analysis: analysis["id"])
    assign(analyses, {**known["bach"], **known["monteverdi"]})
    (out / "chords").mkdir(parents=True, exist_ok=True)
    (out / "chords" / "analyses.npz").write_bytes(archive.npz_bytes(arrays(analyses)))
    count = Counter(analysis["split"] for analysis in analyses)
    total = sum(len(analysis["chords"]) for analysis in analyses)
    print(f"chords: {len(analyses)} analyses, {total} chords, {dict(count)}")


def list_files(corpus: Path) -> list[Path]:
    return sorted((corpus / "bach" / "choraleAnalyses").glob("*.rntxt")) + sorted(
        (corpus / "monteverdi").glob("*.rntxt")
    )


def parse(path: Path) -> dict[str, Any]:
    """Return one analysis: its metadata, and under "chords" its structured array."""
    from music21 import converter

    text = path.read_text(encoding="utf-8")
    with warnings.catch_warnings():
        # The analyses have slips that music21 warns about and reads anyway.
        warnings.simplefilter("ignore")
        score = converter.parse(text, format="romanText", forceSource=True)
    fields = dict(re.findall(r"(?m)^(\w+): *(.*?) *$", text))
    rows: list[tuple] = []
    for numeral in score.parts[0].flatten().getElementsByClass("RomanNumeral"):
        row = chord_row(numeral)
        if rows and numeral.tie and numeral.tie.type in ("stop", "continue"):
            before = rows[-1]
            rows[-1] = (before[0], row[0] + row[1] - before[0], *before[2:])
        elif row[1] > 0:
            rows.append(row)
    bach = "choraleAnalyses" in path.parts
    return {
        "id": chorale_id(fields["BWV"]) if bach else f"monteverdi-{path.stem.split('.', 1)[1]}",
        "title": scores.titles.MISPRINTS.get(path.stem, fields["Title"]),
        "composer": "Johann Sebastian Bach" if bach else "Claudio Monteverdi",
        "analyst": fields.get("Analyst") or None,
        "proofreader": fields.get("Proofreader") or None,
        "chords": np.array(rows, dtype=FIELDS),
    }


def chord_row(numeral: Any) -> tuple:
    pitches = np.zeros(12, dtype=bool)
    pitches[list(numeral.pitchClasses)] = True
    return (
        float(numeral.offset),
        float(numeral.quarterLength),
        numeral.figure,
        numeral.scaleDegree,
        numeral.root().pitchClass,
        numeral.bass().pitchClass,
        QUALITIES.get(numeral.quality, "other"),
        numeral.inversion(),
        numeral.key.tonic.pitchClass,
        numeral.key.mode,
        pitches,
    )


def chorale_id(bwv: str) -> str:
    """Return our id of a chorale that an analysis calls "269", "41.6s" or "248(2).12"."""
    part = re.fullmatch(r"(\d+)\((\d)\)\.(\d+)", bwv)
    return f"bwv{part[1]}.{part[3]}-{part[2]}" if part else f"bwv{bwv.rstrip('s')}"


def assign(analyses: list[dict[str, Any]], known: dict[str, list[str]]) -> None:
    """Give each analysis its score's split; those without a score fill up the fractions."""
    filled = Counter(known[a["id"]][1] for a in analyses if a["id"] in known)
    rest = [a for a in analyses if a["id"] not in known]
    for analysis in analyses:
        analysis["split"] = known.get(analysis["id"], (None, None))[1]
    for analysis in sorted(rest, key=lambda a: families.digest(a["id"])):
        analysis["split"] = max(
            families.FRACTIONS, key=lambda s: families.FRACTIONS[s] * len(analyses) - filled[s]
        )
        filled[analysis["split"]] += 1


def arrays(analyses: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return the archive's members: ``start`` delimits the analyses in the columns of `FIELDS`."""
    joined = np.concatenate([analysis["chords"] for analysis in analyses])
    labels = [{k: v for k, v in a.items() if k != "chords"} for a in analyses]
    start = np.cumsum([0, *(len(analysis["chords"]) for analysis in analyses)])
    columns = {field[0]: joined[field[0]] for field in FIELDS}
    return {"start": start.astype(np.int32), **columns, "analyses": archive.json_array(labels)}
