"""Where the shipped data lives, and proof that it is what was shipped.

``data/registry.json`` lists every data file with its SHA-256, size, licence and card. A file is
opened through `path`, which compares the file's hash with the registry's before anything reads it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

REMEDY = (
    "reinstall the package (pip install --force-reinstall mircourse), restore the file from the "
    "repository (git checkout -- data), or point MIRCOURSE_DATA to an intact copy"
)


class DataError(RuntimeError):
    """A data file is missing, truncated, altered, or unknown to the registry."""


@dataclass(frozen=True)
class Entry:
    """One shipped file, as ``registry.json`` describes it.

    Attributes
    ----------
    name : str
        Path relative to the data folder, with forward slashes.
    sha256 : str
        Hash of the file's bytes, 64 hexadecimal digits.
    bytes : int
        Size of the file.
    licence : str
        SPDX identifier, or a short phrase where there is none.
    card : str
        The Markdown page that tells where the file came from.
    """

    name: str
    sha256: str
    bytes: int
    licence: str
    card: str


def data_dir() -> Path:
    """Return the folder of shipped data.

    ``MIRCOURSE_DATA`` decides if it is set; otherwise the copy inside an installed package, and
    in a source checkout the folder ``data`` beside the package.

    Raises
    ------
    DataError
        If no such folder exists.
    """
    chosen = os.environ.get("MIRCOURSE_DATA")
    package = Path(__file__).resolve().parent
    candidates = [Path(chosen)] if chosen else [package / "_data", package.parent / "data"]
    for candidate in candidates:
        if (candidate / "registry.json").is_file():
            return candidate
    places = ", ".join(str(c) for c in candidates)
    raise DataError(f"no registry.json found in {places}; {REMEDY}")


def entries() -> dict[str, Entry]:
    """Return every registered file by name.

    Raises
    ------
    DataError
        If the registry is missing or is not valid JSON.
    """
    return _read_registry(data_dir() / "registry.json")


def path(name: str) -> Path:
    """Return the path of a registered file after checking its size and hash.

    Parameters
    ----------
    name : str
        Path relative to the data folder, for example ``"scores/ryan.npz"``.

    Raises
    ------
    DataError
        If the name is not registered, or the file is missing, truncated or altered. The message
        names the file, what was expected, what was found and the remedy.
    """
    known = entries()
    if name not in known:
        raise DataError(f"{name!r} is not in the registry; it lists {', '.join(sorted(known))}")
    file = data_dir() / name
    fault = _fault(file, known[name])
    if fault:
        raise DataError(fault)
    return file


def arrays(name: str) -> dict[str, np.ndarray]:
    """Return the members of a registered npz archive, after checking it as `path` does.

    Parameters
    ----------
    name : str
        Path relative to the data folder, for example ``"scores/ryan.npz"``.

    Raises
    ------
    DataError
        As `path` does, or if the file is not an archive of plain arrays.
    """
    import numpy as np

    file = path(name)
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {member: archive[member] for member in archive.files}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, AttributeError) as error:
        raise DataError(f"{file} cannot be read as an npz archive ({error}); {REMEDY}") from error


def verify() -> dict[str, str]:
    """Check every registered file and return the faults found, by name; empty if all is well."""
    root = data_dir()
    faults = {name: _fault(root / name, entry) for name, entry in entries().items()}
    return {name: fault for name, fault in faults.items() if fault}


def _fault(file: Path, entry: Entry) -> str:
    expected = f"expected {entry.bytes} bytes with SHA-256 {entry.sha256}"
    if not file.is_file():
        return f"{file} is missing ({expected}); {REMEDY}"
    stat = file.stat()
    if stat.st_size != entry.bytes:
        return f"{file} has {stat.st_size} bytes ({expected}); {REMEDY}"
    found = _sha256(file, stat.st_mtime_ns)
    if found != entry.sha256:
        return f"{file} has SHA-256 {found} ({expected}); {REMEDY}"
    return ""


@functools.lru_cache(maxsize=256)
def _sha256(file: Path, modified: int) -> str:
    # The time of modification is part of the key: a file that changes is hashed again.
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_registry(file: Path) -> dict[str, Entry]:
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        return {name: Entry(name=name, **fields) for name, fields in raw["files"].items()}
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not a valid registry ({error!r}); {REMEDY}") from error
