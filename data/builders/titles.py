"""Titles and composers of the pieces whose files do not say, or say it wrongly."""

from __future__ import annotations

import functools
import re
from pathlib import Path

GENRES = {
    "opus133": "Große Fuge",
    "k545": "Piano Sonata",
    "opus48": "Dichterliebe",
    "polonaise": "Polonaise",
}
# Ballata, madrigal and Mass composers as the trecento files' names or creator fields sign them.
TRECENTO = {
    "Giovanni": "Giovanni da Cascia",
    "Jacopo": "Jacopo da Bologna",
    "Piero": "Piero",
    "Bartholus": "Bartolo da Firenze",
    "Lorenzo": "Lorenzo da Firenze",
    "Gherardello": "Gherardello da Firenze",
    "Grat": "Gratiosus de Padua",
    "Egardus": "Egardus",
    "Chipre": "Chipre",
    "Perrinet": "Perrinet",
    "Guymont": "Guymont",
    "Graneti": "Johannes Graneti",
    "PMFC_24": "Johannes Ciconia",
}
PMFC_NUMBER = r"^(?:Fava|PMFC_\d+)(?:[-_](?:Giovanni|Jacopo|Piero))?(?:[-_]\d+[ab]?)?[-_]"
# The analysis of 3.8 is headed with the title of 4.9.
MISPRINTS = {"madrigal.3.8": "Vattene pur, crudel"}


def title(collection: str, path: Path) -> str:
    """Return a piece's title from its catalogue number or its file's name."""
    if collection == "bach":
        number = path.stem.removeprefix("bwv")
        return f"{chorale_titles().get(number, 'Chorale')}, BWV {number}"
    if path.stem in MISPRINTS:
        return MISPRINTS[path.stem]
    if collection == "monteverdi":
        match = re.search(r"(?m)^Title: *(.*)$", path.with_suffix(".rntxt").read_text("utf-8"))
        return match.group(1).strip() if match else path.stem
    if collection == "trecento":
        name = re.sub(PMFC_NUMBER, "", path.stem)
        return re.sub(r"[-_ ]+", " ", name).strip()
    return _numbered(path)


def _numbered(path: Path) -> str:
    folder = path.parent.name if path.stem.startswith("movement") else path.stem
    genre = next((GENRES[key] for key in GENRES if folder.startswith(key)), "String Quartet")
    opus = re.search(r"op(?:us)?(\d+)(?:no?(\d+))?", folder)
    number = f"op. {opus[1]}" + (f" no. {opus[2]}" if opus[2] else "") if opus else ""
    if folder.startswith("k"):
        number = f"K. {folder[1:]}"
    movement = re.match(r"movement(\d+)(?:_(\w+))?", path.stem)
    if not movement:
        return f"{genre} {number}"
    part = f" ({movement[2]})" if movement[2] else ""
    return f"{genre} {number}, movement {movement[1]}{part}"


def trecento_composer(path: Path, xml: str) -> str:
    """Return the composer whom the file's name or its creator field names, or "Anonymous"."""
    creators = re.findall(r"<creator[^>]*composer[^>]*>([^<]*)<", xml)
    text = " ".join([path.stem, *creators])
    return next((name for sign, name in TRECENTO.items() if sign in text), "Anonymous")


@functools.cache
def chorale_titles() -> dict[str, str]:
    """Return chorale titles by BWV number, from the lists inside music21."""
    from music21.corpus import chorales

    found = {str(bwv): entry["title"] for bwv, entry in chorales.ChoraleList().byBWV.items()}
    for entry in chorales.ChoraleListRKBWV().byRiemenschneider.values():
        found.setdefault(str(entry["bwv"]), entry["title"])
    return found
