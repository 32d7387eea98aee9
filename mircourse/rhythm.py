"""How a duration is written: which note values, tied or not, in which triplets.

Time is counted in units of 1/24 quarter note, in which note values down to the thirty-second (3
units) and their triplets are whole numbers. Measures are laid out one layer at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

UNITS = 24  # in a quarter note
_WHOLE = 4 * UNITS
# Units of each written value: (MEI duration, dots).
_PLAIN = {_WHOLE >> k: (2**k, 0) for k in range(6)} | {
    (_WHOLE >> k) * 3 // 2: (2**k, 1) for k in range(5)
}
_TRIPLET = {64 >> k: 2**k for k in range(7)}


class Meter(NamedTuple):
    """A time signature, or ``Meter(4, 4, False)`` where there is none to show."""

    count: int  # type: ignore[assignment]  # a field, not tuple.count
    unit: int
    shown: bool = True

    @property
    def units(self) -> int:
        """Units in a measure."""
        return self.count * _WHOLE // self.unit

    @property
    def compound(self) -> bool:
        """Whether three of the lower figure make a beat, as in 6/8."""
        return self.unit >= 8 and self.count % 3 == 0

    @property
    def beat(self) -> int:
        """Units in a beat."""
        return _WHOLE // self.unit * (3 if self.compound else 1)


def parse_meter(text: str | None) -> Meter:
    """Return a meter from ``"6/8"``, or one that is not shown from None.

    Raises
    ------
    ValueError
        If the text is not two whole numbers with a stroke between, or the lower figure is not a
        power of two up to 32.
    """
    if text is None:
        return Meter(4, 4, shown=False)
    over, _, under = text.partition("/")
    if not (over.isdecimal() and under.isdecimal() and int(over) > 0):
        raise ValueError(f"meter {text!r} but one such as '6/8' is expected")
    if int(under) not in (1, 2, 4, 8, 16, 32):
        raise ValueError(f"meter {text!r} has the lower figure {under}; 1 to 32 are known")
    return Meter(int(over), int(under))


@dataclass(frozen=True)
class Value:
    """One written note or rest: a piece of an event.

    Attributes
    ----------
    event : int
        Index of the event it belongs to.
    start, length : int
        Units from the start of the measure, and sounding units.
    duration, dots : int
        What is written: 4 is a quarter note, 8 an eighth.
    """

    event: int
    start: int
    length: int
    duration: int
    dots: int


@dataclass(frozen=True)
class Group:
    """Values written together: in a triplet (three in the time of two) or not.

    ``bracket`` is false where a triplet's number would stand for one note alone.
    """

    values: tuple[Value, ...]
    triplet: bool = False
    bracket: bool = True


def lay_out(events: Sequence[tuple[int, int]], length: int, meter: Meter) -> list[Group]:
    """Write the events of one layer of one measure.

    Parameters
    ----------
    events : sequence of (start, end)
        Units from the start of the measure; in order, without gaps, from 0 to ``length``.
    length : int
        Units in the measure (fewer than the meter's in a pickup).
    meter : Meter
        Decides where a long note is split.

    Returns
    -------
    list of Group
        In order; the lengths of an event's values sum to its own.
    """
    cuts = {start for start, _ in events} | {length}
    # A pickup is the end of a measure, not its beginning.
    offset = -length % meter.beat if length < meter.units else 0
    groups: list[Group] = []
    for start, end, kind in _spans(cuts, length, meter, offset):
        values = []
        for index, (first, last) in enumerate(events):
            a, b = max(first, start), min(last, end)
            if a < b:
                values += _write(index, a, b - a, start, kind, meter, offset)
        if kind == "raw":
            groups += [Group((v,), triplet=v.length not in _PLAIN, bracket=False) for v in values]
        else:
            groups.append(Group(tuple(values), triplet=kind == "triplet"))
    return groups


def _spans(cuts: set[int], length: int, meter: Meter, offset: int) -> list[tuple[int, int, str]]:
    """Divide a measure into spans: plain, triplet, or raw where neither fits."""
    spans: list[tuple[int, int, str]] = []
    at = 0
    while at < length:
        end = min(length, at + meter.beat - (at + offset) % meter.beat)
        two = end + meter.beat
        if _fits(cuts, at, end, 3):
            found = [(at, end, "plain")]
        elif end not in cuts and two <= length and _fits(cuts, at, two, 2):
            found = [(at, two, "triplet")]
        else:
            found = _divide(cuts, at, end)
        for span in found:
            if span[2] == "plain" == (spans[-1][2] if spans else ""):
                span = (spans.pop()[0], span[1], "plain")
            spans.append(span)
        at = found[-1][1]
    return spans


def _divide(cuts: set[int], start: int, end: int) -> list[tuple[int, int, str]]:
    if _fits(cuts, start, end, 3):
        return [(start, end, "plain")]
    size = end - start
    step = UNITS // 2 if size % 36 == 0 else size // 2
    inner = [at for at in range(start + step, end, step) if at in cuts] if size % 6 == 0 else []
    if not inner and _fits(cuts, start, end, 2):
        return [(start, end, "triplet")]
    if not inner:
        return [(start, end, "raw")]
    edges = [start, *inner, end]
    return [s for a, b in itertools.pairwise(edges) for s in _divide(cuts, a, b)]


def _fits(cuts: set[int], start: int, end: int, grid: int) -> bool:
    return all((cut - start) % grid == 0 for cut in {*cuts, end} if start <= cut <= end)


def _write(
    event: int, start: int, length: int, span: int, kind: str, meter: Meter, offset: int
) -> list[Value]:
    """Return the values of one event inside one span."""
    values = []
    for sounding in _pieces(start, length, span, kind, meter, offset):
        if kind == "triplet":
            duration, dots = _PLAIN[sounding * 3 // 2]
        elif sounding in _PLAIN:
            duration, dots = _PLAIN[sounding]
        else:
            duration, dots = _TRIPLET[sounding], 0
        values.append(Value(event, start, sounding, duration, dots))
        start += sounding
    return values


def _pieces(start: int, length: int, span: int, kind: str, meter: Meter, offset: int) -> list[int]:
    """Split a length into written ones, at beats where it cannot be written as a whole."""
    if kind == "raw":
        return _greedy(length, sorted(_PLAIN | _TRIPLET, reverse=True))
    if kind == "triplet":
        plain = sorted(_PLAIN, reverse=True)
        return [piece * 2 // 3 for piece in _greedy(length * 3 // 2, plain)]
    into_beat = (start + offset) % meter.beat
    crosses = into_beat + length > meter.beat
    whole_beats = into_beat == 0 and length % meter.beat == 0
    if length in _PLAIN and not (meter.compound and crosses and not whole_beats):
        return [length]
    if into_beat and crosses:
        first = meter.beat - into_beat
        rest = _pieces(start + first, length - first, span, kind, meter, offset)
        return [*_pieces(start, first, span, kind, meter, offset), *rest]
    if meter.compound and crosses:
        whole = length - length % meter.beat
        rest = _pieces(start + whole, length - whole, span, kind, meter, offset)
        return [*_greedy(whole, sorted(_PLAIN, reverse=True)), *rest]
    return _greedy(length, sorted(_PLAIN, reverse=True))


def _greedy(length: int, sizes: Sequence[int]) -> list[int]:
    pieces = []
    for size in sizes:
        while length >= size:
            pieces.append(size)
            length -= size
    return pieces
