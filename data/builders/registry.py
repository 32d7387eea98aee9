"""Hash everything that ships in ``data`` into ``data/registry.json``.

Left out are the results, which experiments write, and whatever is not data: cards, build scripts,
hidden files and the registry itself. Run it after any other part has been rebuilt; the same files
always give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mircourse.files import write_whole

LEFT_OUT = {"results", "builders", "__pycache__"}
NOT_DATA = {".md", ".py", ".pyc"}
# Licence and card by folder; a file named in full overrides its folder.
LICENCES = {
    "scores": "public-domain works; see card",
    "chords": "distributed with music21; no terms in the files; see card",
    "recordings": "CC-BY-3.0, edited from recordings under CC0-1.0 and other terms; see card",
    "recordings/guitar-nylon.zip": "CC-BY-4.0; see card",
    "soundfont": "MIT",
    "weights": "MIT",
}


def build(out: Path, source: Path | None = None) -> None:
    """Write ``<out>/registry.json``."""
    text = json.dumps({"version": 1, "files": describe(out)}, indent=1, sort_keys=True) + "\n"
    write_whole(out / "registry.json", text.encode())


def describe(folder: Path) -> dict[str, dict[str, str | int]]:
    """Return what the registry says of each data file, by name relative to ``folder``.

    Raises
    ------
    ValueError
        If a file lies in a folder whose licence the table above does not give.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or len(name.parts) < 2 or path.suffix in NOT_DATA:
            continue
        if LEFT_OUT.intersection(name.parts) or any(part.startswith(".") for part in name.parts):
            continue
        kind = name.parts[0]
        if name.as_posix() not in LICENCES and kind not in LICENCES:
            raise ValueError(f"{name}: no licence is known for {kind!r}; add it to {__file__}")
        files[name.as_posix()] = {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
            "licence": LICENCES.get(name.as_posix(), LICENCES.get(kind, "")),
            "card": f"{kind}/README.md",
        }
    return files
