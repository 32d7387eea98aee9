"""Soundfonts: which there are, where they lie, and what programs they hold.

A soundfont (SF2) is a RIFF file of recorded samples and of presets that say how to play them. A
preset has a bank and a program number; bank 0 holds the instruments of General MIDI.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import math
import struct
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np

from mircourse import registry

SHIPPED = "soundfont/fluid-subset.sf2"
NAMES = ("fluid", "timgm6mb")
# SoundFont 2.04 specification, sections 7.2 to 7.9: presets and instruments own bags (zones), a bag
# owns generators. Numbers of generators: section 8.1.2.
_BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
_GENERATOR = np.dtype([("operator", "<u2"), ("amount", "<u2")])
_TABLES = {
    "phdr": np.dtype(
        [("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("unused", "S12")]
    ),
    "pbag": _BAG,
    "pgen": _GENERATOR,
    "inst": np.dtype([("name", "S20"), ("bag", "<u2")]),
    "ibag": _BAG,
    "igen": _GENERATOR,
}
_CHORUS_SEND, _REVERB_SEND, _RELEASE = 15, 16, 38
_INSTRUMENT, _KEY_RANGE, _SAMPLE = 41, 43, 53


def locate(font: str | PathLike[str]) -> Path:
    """Return the file of a soundfont.

    Parameters
    ----------
    font : str or path-like
        ``"fluid"``, the 20 programs of FluidR3 GM that ship with the course; ``"timgm6mb"``, the
        128 programs of the font that pretty_midi ships (GPL-2: fine to render with, not for audio
        that you publish with other terms); or the path of an .sf2 file.

    Raises
    ------
    ValueError
        If it is neither a known name nor a file.
    mircourse.registry.DataError
        If the shipped font is missing or altered.
    """
    if font == "fluid":
        return registry.path(SHIPPED)
    if font == "timgm6mb":
        # Found without importing pretty_midi, which takes a second.
        spec = importlib.util.find_spec("pretty_midi")
        if spec is None or spec.origin is None:
            raise ValueError("font 'timgm6mb' comes with pretty_midi; pip install pretty_midi")
        return Path(spec.origin).with_name("TimGM6mb.sf2")
    path = Path(font)
    if not path.is_file():
        names = ", ".join(map(repr, NAMES))
        raise ValueError(f"font must be {names} or the path of an .sf2 file, got {str(font)!r}")
    return path


def read(font: str | PathLike[str]) -> bytes:
    """Return the bytes of a soundfont, dry: with its sends to reverb and chorus set to 0.

    A file that did not change is read once.

    Raises
    ------
    ValueError
        As `locate`, and if the file is not SF2.
    """
    path = locate(font)
    return _dry(path, path.stat().st_mtime_ns)


def with_release(font: str | PathLike[str], *, factor: float) -> bytes:
    """Return the bytes of a soundfont whose notes die away faster or slower once let go.

    The release is a time in an SF2 file, in logarithmic units (timecents). Written to a file, the
    result is a font like any other.

    Parameters
    ----------
    font : str or path-like
        As in `locate`.
    factor : float
        What to multiply the times by, above 0. Instruments without such a time keep none.

    Raises
    ------
    ValueError
        As `locate`, if the file is not SF2, or the factor is not positive.
    """
    if not factor > 0:
        raise ValueError(f"got factor={factor}; expected a positive number")
    path = locate(font)
    content = bytearray(read(path))
    at, size = _places(path, bytes(content))["igen"]
    rows = np.frombuffer(content, _GENERATOR, size // _GENERATOR.itemsize, at)
    own = rows["operator"] == _RELEASE
    cents = rows["amount"][own].view("<i2").astype(int) + round(1200 * math.log2(factor))
    rows["amount"][own] = np.clip(cents, -12000, 8000).astype("<i2").view("<u2")
    return bytes(content)


def programs(font: str | PathLike[str] = "fluid") -> dict[int, str]:
    """Return the General MIDI programs that a font can play, by number, with the font's names.

    Parameters
    ----------
    font : str or path-like
        As in `locate`.

    Raises
    ------
    ValueError
        As `locate`, and if the file is not SF2.

    Examples
    --------
    >>> programs("fluid")[73]
    'Flute'
    """
    path = locate(font)
    return dict(_programs(path, path.stat().st_mtime_ns))


def pitches(font: str | PathLike[str] = "fluid") -> dict[int, range]:
    """Return the MIDI pitches at which each program of a font sounds, lowest to highest.

    Parameters
    ----------
    font : str or path-like
        As in `locate`.

    Raises
    ------
    ValueError
        As `locate`, and if the file is not SF2.

    Examples
    --------
    >>> pitches("fluid")[58]  # a tuba
    range(0, 73)
    """
    path = locate(font)
    return dict(_pitches(path, path.stat().st_mtime_ns))


@functools.lru_cache(maxsize=2)
def _read(path: Path, modified: int) -> bytes:
    content = path.read_bytes()
    if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
        raise ValueError(f"{path} is not a soundfont (SF2); it begins with {content[:12]!r}")
    declared = struct.unpack_from("<I", content, 4)[0] + 8
    if len(content) < declared:
        raise ValueError(f"{path} is cut short: {len(content)} bytes of {declared}")
    return content


@functools.lru_cache(maxsize=6)
def _dry(path: Path, modified: int) -> bytes:
    content = bytearray(_read(path, modified))
    for table in ("pgen", "igen"):
        at, size = _places(path, bytes(content)).get(table, (0, 0))
        rows = np.frombuffer(content, _TABLES[table], size // _TABLES[table].itemsize, at)
        rows["amount"][np.isin(rows["operator"], (_CHORUS_SEND, _REVERB_SEND))] = 0
    return bytes(content)


@functools.lru_cache(maxsize=8)
def _programs(path: Path, modified: int) -> tuple[tuple[int, str], ...]:
    presets = _tables(path, _read(path, modified))["phdr"]
    return tuple(
        sorted(
            (int(preset["program"]), preset["name"].decode("latin-1").strip())
            for preset in presets[:-1]  # the last header is a terminator
            if preset["bank"] == 0
        )
    )


@functools.lru_cache(maxsize=8)
def _pitches(path: Path, modified: int) -> dict[int, range]:
    tables = _tables(path, _read(path, modified))
    zones = _zones(tables["inst"], tables["ibag"], tables["igen"], _SAMPLE)
    # An instrument sounds where a zone of it has a sample, a preset where a zone of it and the
    # instrument in that zone both do.
    instruments = [[keys for keys, _ in own] for own in zones]
    found = {}
    zones = _zones(tables["phdr"], tables["pbag"], tables["pgen"], _INSTRUMENT)
    for preset, own in zip(tables["phdr"][:-1], zones, strict=True):
        limits = [
            (max(low, inner_low), min(high, inner_high))
            for (low, high), instrument in own
            for inner_low, inner_high in instruments[instrument]
        ]
        limits = [(low, high) for low, high in limits if low <= high]
        if preset["bank"] == 0 and limits:
            low, high = min(low for low, _ in limits), max(high for _, high in limits)
            found[int(preset["program"])] = range(low, high + 1)
    return found


def _zones(
    headers: np.ndarray, bags: np.ndarray, generators: np.ndarray, end: int
) -> list[list[tuple[tuple[int, int], int]]]:
    # For each header its zones: the key range, and the instrument or sample that `end` names. A
    # first zone without one is global: its range holds where a zone has none.
    found = []
    for first, last in itertools.pairwise(headers["bag"]):
        zones, default = [], (0, 127)
        for bag in range(first, last):
            rows = generators[bags["generator"][bag] : bags["generator"][bag + 1]]
            amounts = {int(row["operator"]): int(row["amount"]) for row in rows}
            limits = amounts.get(_KEY_RANGE)
            keys = default if limits is None else (limits & 0xFF, limits >> 8)
            if end in amounts:
                zones.append((keys, amounts[end]))
            else:
                default = keys
        found.append(zones)
    return found


def _tables(path: Path, content: bytes) -> dict[str, np.ndarray]:
    places = _places(path, content)
    return {
        name: np.frombuffer(content, kind, places[name][1] // kind.itemsize, places[name][0])
        for name, kind in _TABLES.items()
    }


def _places(path: Path, content: bytes) -> dict[str, tuple[int, int]]:
    # Where each table of presets and instruments begins, and its bytes.
    for name, start, end in _chunks(content, 12, len(content)):
        if name == b"LIST" and content[start : start + 4] == b"pdta":
            inner = _chunks(content, start + 4, end)
            places = {n.decode("latin-1"): (a, b - a) for n, a, b in inner}
            if set(_TABLES) <= set(places):
                return places
    raise ValueError(f"{path} has no presets")


def _chunks(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while start + 8 <= end:
        name, size = struct.unpack_from("<4sI", content, start)
        yield name, start + 8, start + 8 + size
        start += 8 + size + size % 2
