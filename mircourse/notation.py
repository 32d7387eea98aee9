"""Notes as a printed score, engraved by verovio and shown as SVG in the page.

>>> from mircourse import notation, scores
>>> notation.engrave(scores.load("ryan")[0])  # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
import html
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mircourse.figures import BACKGROUND
from mircourse.mei import Staff, layers_of, quantise, write
from mircourse.notearray import check_notes
from mircourse.rhythm import UNITS, Meter, parse_meter
from mircourse.spelling import check_sharps, parse_key, spell

if TYPE_CHECKING:
    from mircourse.scores import Piece

_OPTIONS = {
    # A system 1200 units wide is legible both at 640 pixels and on a phone at 360.
    "pageWidth": 1200,
    "pageHeight": 60000,
    "adjustPageHeight": True,
    "pageMarginTop": 30,
    "pageMarginBottom": 30,
    "pageMarginLeft": 30,
    "pageMarginRight": 30,
    "header": "none",
    "footer": "none",
    "svgViewBox": True,
    "mnumInterval": 0,
}


@dataclass(frozen=True)
class Engraving:
    """A printed score: displays as SVG in a notebook, on a near-white ground of its own.

    Attributes
    ----------
    title : str
        Shown under the score; may be empty.
    description : str
        What the score holds, for those who cannot see it.
    svg : str
        The drawing, without a fixed size.
    mei : str
        The score in the Music Encoding Initiative's XML, for other programs.
    """

    title: str
    description: str
    svg: str = field(repr=False)
    mei: str = field(repr=False)

    def _repr_html_(self) -> str:
        label = html.escape(self.description, quote=True)
        caption = f"<figcaption>{html.escape(self.title)}</figcaption>" if self.title else ""
        return (
            f'<figure class="mircourse-score"><div role="img" aria-label="{label}" '
            f'style="background:{BACKGROUND};color:#000;max-width:40rem">{self.svg}</div>'
            f"{caption}</figure>"
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the drawing as an SVG file."""
        Path(path).write_text(self.svg, encoding="utf-8")


def engrave(
    music: Piece | np.ndarray,
    *,
    measures: int | None = 8,
    meter: str | None = None,
    key: str | int | None = None,
    pickup_beats: float | None = None,
    title: str | None = None,
) -> Engraving:
    """Engrave the first measures of a piece or of a note array.

    Onsets and ends are rounded to 1/24 of a quarter note, which holds thirty-seconds and their
    triplets. Four voices of one note at a time, the upper above middle C and the lower not, share
    two staves, as in a hymn book; otherwise each voice has a staff.

    Lesson: book/start/notation

    Parameters
    ----------
    music : Piece or note array
        With at least one note in the measures asked for; see `mircourse.scores`.
    measures : int, optional
        Full measures from the start, a pickup not counted; None for all.
    meter : str, optional
        Such as ``"6/8"``; the piece's by default. Without either, four quarters make a measure and
        no time signature is shown.
    key : str or int, optional
        Such as ``"D major"``, or the number of sharps (flats negative); the piece's key signature
        by default, or none.
    pickup_beats : float, optional
        Quarter notes before the first full measure; the piece's by default, or 0.
    title : str, optional
        The piece's by default.

    Returns
    -------
    Engraving

    Raises
    ------
    TypeError
        If ``music`` is not a piece or a note array.
    ValueError
        If there are no notes to engrave, or the meter, key or a number is out of range.
    """
    given: Any = getattr(music, "notes", music)
    notes = check_notes(given)
    meter = getattr(music, "meter", None) if meter is None else meter
    pickup = getattr(music, "pickup_beats", 0.0) if pickup_beats is None else pickup_beats
    title = getattr(music, "title", "") if title is None else title
    if measures is not None and measures < 1:
        raise ValueError(f"measures={measures} but at least 1 is expected, or None for all")
    signature = parse_meter(meter)
    if not 0 <= pickup < signature.units / UNITS:
        raise ValueError(
            f"pickup_beats={pickup} but from 0 to less than a measure, "
            f"{signature.units / UNITS:g} quarter notes, is expected"
        )
    start = round(pickup * UNITS)
    rows = quantise(notes)
    whole = max(1, -(-(max((row[1] for row in rows), default=0) - start) // signature.units))
    count = whole if measures is None else min(measures, whole)
    limit = start + count * signature.units
    rows = [(a, min(b, limit), p, v) for a, b, p, v in rows if a < limit]
    if not rows:
        raise ValueError("there are no notes to engrave in these measures")
    sharps = _sharps(music, key)
    staves = _staves(rows, getattr(music, "parts", ()))
    # Names inside the drawing follow from the music: two scores in a page do not share them, and
    # the same score is the same bytes each time.
    seed = hashlib.sha256(repr((rows, signature, sharps, start, count)).encode()).digest()[:4]
    mei = write(
        staves,
        meter=signature,
        sharps=sharps,
        pickup=start,
        measures=count,
        final=count == whole,
        prefix=f"n{seed.hex()}",
    )
    description = _describe(rows, title, signature, sharps, count, whole)
    return Engraving(title, description, _svg(mei, 1 + int.from_bytes(seed) // 4), mei)


def _sharps(music: Piece | np.ndarray, key: str | int | None) -> int:
    if isinstance(key, str):
        return parse_key(key)
    if key is not None:
        return check_sharps(key)
    if getattr(music, "sharps", None) is not None:
        return check_sharps(getattr(music, "sharps"))  # noqa: B009
    tonic, mode = getattr(music, "key", None), getattr(music, "mode", None)
    return parse_key(f"{tonic} {mode or 'major'}") if tonic else 0


def _staves(rows: list[tuple[int, int, int, int]], parts: tuple[str, ...]) -> list[Staff]:
    voices = sorted({voice for _, _, _, voice in rows})
    layers = [layers_of([row for row in rows if row[3] == voice]) for voice in voices]
    means = [np.mean([row[2] for row in rows if row[3] == voice]) for voice in voices]
    single = all(
        len(own) == 1 and all(len(chord.pitches) == 1 for chord in own[0]) for own in layers
    )
    ordered = means == sorted(means, reverse=True)
    if len(voices) == 4 and single and ordered and means[1] >= 60 > means[2]:
        return [Staff([*layers[0], *layers[1]]), Staff([*layers[2], *layers[3]])]
    named = [parts[v] if len(voices) > 1 and v < len(parts) else "" for v in voices]
    return [Staff(own, name) for own, name in zip(layers, named, strict=True)]


def _describe(
    rows: list[tuple[int, int, int, int]],
    title: str,
    meter: Meter,
    sharps: int,
    count: int,
    whole: int,
) -> str:
    voices = sorted({row[3] for row in rows})
    extent = f"{count} measure{'s' * (count > 1)}"
    extent = f"the first {extent} of {whole}" if count < whole else extent
    time = f" in {meter.count}/{meter.unit}" if meter.shown else ""
    kind = "sharp" if sharps > 0 else "flat"
    signs = f"{abs(sharps)} {kind}{'s' * (abs(sharps) > 1)}" if sharps else "no sharps or flats"
    top = sorted((row[0], -row[2]) for row in rows if row[3] == voices[0])[:6]
    first = ", ".join(str(spell(-pitch, sharps)) for _, pitch in top)
    voiced = f", {len(voices)} voices; the upper" if len(voices) > 1 else "; it"
    return (
        f"Score{f' of {title}' if title else ''}: {extent}{time}, key signature of {signs}"
        f"{voiced} begins {first}."
    )


def _svg(mei: str, seed: int) -> str:
    import verovio

    toolkit = verovio.toolkit()
    toolkit.setOptions({**_OPTIONS, "xmlIdSeed": seed})
    if not toolkit.loadData(mei):
        raise RuntimeError(f"verovio cannot read the score: {toolkit.getLog()}")
    return "".join(toolkit.renderToSVG(page + 1) for page in range(toolkit.getPageCount()))
