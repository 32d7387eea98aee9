"""Pieces as files: MIDI, ABC, audio or a drawn score, whichever the name ends with."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mircourse.scores import Piece

SUFFIXES = (".mid", ".abc", ".wav", ".svg")
_SAMPLE_RATE = 44100


def check_targets(targets: Sequence[Path], *, one_voice: bool, overwrite: bool) -> None:
    """Look at the names of files before any is written.

    Parameters
    ----------
    targets : sequence of Path
        Files that are to be written.
    one_voice : bool
        Whether the music has one voice, as ABC has here.
    overwrite : bool
        Whether files that exist may be replaced.

    Raises
    ------
    ValueError
        If a name has another ending, a file could not hold the music, or one is there already.
    """
    for target in targets:
        suffix = target.suffix.lower()
        if suffix not in SUFFIXES:
            raise ValueError(f"{target} must end with one of {', '.join(SUFFIXES)}")
        if suffix == ".abc" and not one_voice:
            raise ValueError(
                f"{target} would hold one voice, but this style has several: choose .mid or .svg"
            )
        if target.exists() and not overwrite:
            raise ValueError(f"{target} is there already (--overwrite replaces it)")


def content(piece: Piece, suffix: str) -> bytes:
    """Return a piece as the bytes of a file of this kind."""
    from mircourse.styles import TEMPO

    if suffix == ".mid":
        from mircourse.scores import to_midi

        return to_midi(piece, tempo=TEMPO)
    if suffix == ".abc":
        from mircourse.abcnotation import to_abc

        return to_abc(piece).encode()
    if suffix == ".svg":
        from mircourse.notation import engrave

        return engrave(piece, measures=None).svg.encode()
    return _sound(piece)


def _sound(piece: Piece) -> bytes:
    import numpy as np
    import soundfile

    from mircourse.styles import TEMPO
    from mircourse.synth import render

    audio = render(piece, tempo=TEMPO, sample_rate=_SAMPLE_RATE)
    stream = io.BytesIO()
    peak = max(float(np.abs(audio).max()), 1e-9)
    soundfile.write(stream, 0.9 * audio / peak, _SAMPLE_RATE, format="WAV")
    return stream.getvalue()
