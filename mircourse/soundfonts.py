"""Soundfonts: which there are, where they lie, and what programs they hold.

A soundfont (SF2) is a RIFF file of recorded samples and of presets that say how to play them. A
preset has a bank and a program number; bank 0 holds the instruments of General MIDI.
"""

from __future__ import annotations

import functools
import importlib.util
import struct
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from mircourse import registry

SHIPPED = "soundfont/fluid-subset.sf2"
NAMES = ("fluid", "timgm6mb")
_PRESET_BYTES = 38  # of one preset header, SoundFont 2.04 specification, section 7.2


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
    """Return the bytes of a soundfont; a file that did not change is read once.

    Raises
    ------
    ValueError
        As `locate`, and if the file is not SF2.
    """
    path = locate(font)
    return _read(path, path.stat().st_mtime_ns)


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


@functools.lru_cache(maxsize=2)
def _read(path: Path, modified: int) -> bytes:
    content = path.read_bytes()
    if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
        raise ValueError(f"{path} is not a soundfont (SF2); it begins with {content[:12]!r}")
    declared = struct.unpack_from("<I", content, 4)[0] + 8
    if len(content) < declared:
        raise ValueError(f"{path} is cut short: {len(content)} bytes of {declared}")
    return content


@functools.lru_cache(maxsize=8)
def _programs(path: Path, modified: int) -> tuple[tuple[int, str], ...]:
    content = _read(path, modified)
    for name, start, end in _chunks(content, 12, len(content)):
        if name == b"LIST" and content[start : start + 4] == b"pdta":
            headers = {n: (a, b) for n, a, b in _chunks(content, start + 4, end)}
            first, last = headers.get(b"phdr", (0, 0))
            found = []
            # The last header is a terminator.
            for at in range(first, last - _PRESET_BYTES, _PRESET_BYTES):
                label, program, bank = struct.unpack_from("<20sHH", content, at)
                if bank == 0:
                    found.append((program, label.split(b"\0")[0].decode("latin-1").strip()))
            if found:
                return tuple(sorted(found))
    raise ValueError(f"{path} has no presets in bank 0")


def _chunks(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while start + 8 <= end:
        name, size = struct.unpack_from("<4sI", content, start)
        yield name, start + 8, start + 8 + size
        start += 8 + size + size % 2
