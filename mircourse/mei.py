"""A score as MEI, the Music Encoding Initiative's XML, which verovio engraves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np

from mircourse.rhythm import UNITS, Group, Meter, Value, lay_out
from mircourse.spelling import Spelling, signature_alters, spell

_PIECE = "piece"
_ACCIDENTALS = {-2: "ff", -1: "f", 0: "n", 1: "s", 2: "x"}
_SOUNDING = _ACCIDENTALS | {2: "ss"}  # for a note whose sign is not written


@dataclass(frozen=True)
class Chord:
    """Notes of one layer that begin and end together, in units from the start of the score."""

    start: int
    end: int
    pitches: tuple[int, ...]


@dataclass(frozen=True)
class Staff:
    """A staff: its layers, each a sequence of chords that do not overlap, and its name."""

    layers: list[list[Chord]]
    name: str = ""

    @property
    def bass_clef(self) -> bool:
        """Whether most notes lie below middle C."""
        pitches = [pitch for layer in self.layers for chord in layer for pitch in chord.pitches]
        return bool(np.mean(pitches) < 58)


def quantise(notes: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return ``(start, end, pitch, voice)`` in units of 1/24 beat; nothing vanishes."""
    start = np.rint(notes["onset_beat"] * UNITS).astype(int)
    end = np.rint((notes["onset_beat"] + notes["duration_beat"]) * UNITS).astype(int)
    end = np.maximum(end, start + 1)
    columns = (start, end, notes["pitch"], notes["voice"])
    return [(int(a), int(b), int(p), int(v)) for a, b, p, v in zip(*columns, strict=True)]


def layers_of(notes: Sequence[tuple[int, int, int, int]]) -> list[list[Chord]]:
    """Put notes that begin and end together in chords, and chords that overlap in layers."""
    together: dict[tuple[int, int], set[int]] = {}
    for start, end, pitch, _ in notes:
        together.setdefault((start, end), set()).add(pitch)
    layers: list[list[Chord]] = []
    for (start, end), pitches in sorted(together.items()):
        chord = Chord(start, end, tuple(sorted(pitches)))
        for layer in layers:
            if layer[-1].end <= start:
                layer.append(chord)
                break
        else:
            layers.append([chord])
    return layers


def write(
    staves: Sequence[Staff],
    *,
    meter: Meter,
    sharps: int,
    pickup: int,
    measures: int,
    final: bool,
    prefix: str,
) -> str:
    """Return a score as MEI.

    Parameters
    ----------
    staves : sequence of Staff
        From the top of the page.
    meter : Meter
        Measures begin at ``pickup + k * meter.units``.
    sharps : int
        Of the key signature.
    pickup : int
        Units before the first full measure, fewer than a measure has.
    measures : int
        How many full measures.
    final : bool
        Whether the last barline is that of the end.
    prefix : str
        Begins the names of the notes.
    """
    mei = ET.Element("mei", {"xmlns": "http://www.music-encoding.org/ns/mei", "meiversion": "5.0"})
    ET.SubElement(ET.SubElement(ET.SubElement(mei, "meiHead"), "fileDesc"), "titleStmt")
    score = mei
    for name in ("music", "body", "mdiv", "score"):
        score = ET.SubElement(score, name)
    _write_definition(score, staves, meter, sharps)
    section = ET.SubElement(score, "section")
    edges = [pickup + k * meter.units for k in range(measures + 1)]
    edges = [0, *edges] if pickup else edges
    hanging: dict[str, tuple[str, ET.Element]] = {}
    for number, (start, end) in enumerate(itertools.pairwise(edges)):
        measure = ET.SubElement(section, "measure", n=str(number if pickup else number + 1))
        if end - start < meter.units:
            measure.set("metcon", "false")
        if end == edges[-1]:
            measure.set("right", "end" if final else "single")
        for i, staff in enumerate(staves, start=1):
            written = ET.SubElement(measure, "staff", n=str(i))
            _write_staff(written, staff, start, end, meter, sharps)
        _name_and_tie(measure, prefix, hanging)
    return ET.tostring(mei, encoding="unicode")


def _write_definition(
    score: ET.Element, staves: Sequence[Staff], meter: Meter, sharps: int
) -> None:
    signs = f"{abs(sharps)}{'s' if sharps > 0 else 'f'}" if sharps else "0"
    definition = ET.SubElement(score, "scoreDef", keysig=signs)
    definition.set("meter.count", str(meter.count))
    definition.set("meter.unit", str(meter.unit))
    if not meter.shown:
        definition.set("meter.form", "invis")
    group = ET.SubElement(definition, "staffGrp")
    if len(staves) > 1:
        group.set("symbol", "bracket")
        group.set("bar.thru", "true")
    for i, staff in enumerate(staves, start=1):
        shape, line = ("F", "4") if staff.bass_clef else ("G", "2")
        settings = {"n": str(i), "lines": "5", "clef.shape": shape, "clef.line": line}
        written = ET.SubElement(group, "staffDef", settings)
        if staff.name:
            ET.SubElement(written, "label").text = staff.name


def _write_staff(
    parent: ET.Element, staff: Staff, start: int, end: int, meter: Meter, sharps: int
) -> None:
    accidentals = _accidentals(staff, start, end, sharps)
    for i, chords in enumerate(staff.layers):
        inside = [chord for chord in chords if chord.start < end and chord.end > start]
        if not inside and i > 0:
            continue
        layer = ET.SubElement(parent, "layer", n=str(i + 1))
        if not inside and end - start == meter.units:
            ET.SubElement(layer, "mRest")
            continue
        events: list[tuple[int, int]] = []
        sounding: dict[int, Chord] = {}
        at = start
        for chord in inside:
            if chord.start > at:
                events.append((at - start, chord.start - start))
            sounding[len(events)] = chord
            at = min(chord.end, end)
            events.append((max(chord.start, start) - start, at - start))
        if at < end:
            events.append((at - start, end - start))
        for group in lay_out(events, end - start, meter):
            _write_group(layer, group, sounding, start, meter, accidentals)


def _accidentals(
    staff: Staff, start: int, end: int, sharps: int
) -> dict[tuple[int, int], tuple[Spelling, bool]]:
    """Return the spelling of each note by (onset, pitch), and whether its sign is written.

    A sign holds for its line until the barline, in all layers; a note tied over the barline needs
    none.
    """
    signature = signature_alters(sharps)
    state: dict[tuple[str, int], int] = {}
    found: dict[tuple[int, int], tuple[Spelling, bool]] = {}
    notes = {
        (c.start, p) for layer in staff.layers for c in layer for p in c.pitches if c.end > start
    }
    for onset, pitch in sorted(notes):
        if onset >= end:
            continue
        written = spell(pitch, sharps)
        line = (written.letter, written.octave)
        tied = onset < start
        shown = not tied and state.get(line, signature.get(written.letter, 0)) != written.alter
        if not tied:
            state[line] = written.alter
        found[onset, pitch] = (written, shown)
    return found


def _write_group(
    layer: ET.Element,
    group: Group,
    sounding: dict[int, Chord],
    start: int,
    meter: Meter,
    accidentals: dict[tuple[int, int], tuple[Spelling, bool]],
) -> None:
    parent = layer
    if group.triplet:
        parent = ET.SubElement(layer, "tuplet", num="3", numbase="2")
        if not group.bracket:
            parent.set("bracket.visible", "false")
            parent.set("num.visible", "false")
    for beam in _beams(group, sounding, meter):
        inner = ET.SubElement(parent, "beam") if len(beam) > 1 else parent
        for value in beam:
            settings = {"dur": str(value.duration)}
            if value.dots:
                settings["dots"] = str(value.dots)
            if value.event not in sounding:
                ET.SubElement(inner, "rest", settings)
                continue
            chord = sounding[value.event]
            _write_chord(inner, chord, settings, start + value.start, accidentals)


def _write_chord(
    parent: ET.Element,
    chord: Chord,
    settings: dict[str, str],
    at: int,
    accidentals: dict[tuple[int, int], tuple[Spelling, bool]],
) -> None:
    begins = at == chord.start
    if len(chord.pitches) > 1:
        parent, settings = ET.SubElement(parent, "chord", settings), {}
    for pitch in chord.pitches:
        written, shown = accidentals[chord.start, pitch]
        note = ET.SubElement(parent, "note", settings)
        note.set("pname", written.letter.lower())
        note.set("oct", str(written.octave))
        if shown and begins:
            note.set("accid", _ACCIDENTALS[written.alter])
        elif written.alter:
            note.set("accid.ges", _SOUNDING[written.alter])
        # Which sounding note this is a piece of: `_name_and_tie` joins the pieces.
        name = f"{chord.start}-{chord.end}-{pitch}"
        note.set(_PIECE, f"{name} {at} {'i' if begins else 't'}")


def _name_and_tie(
    measure: ET.Element, prefix: str, hanging: dict[str, tuple[str, ET.Element]]
) -> None:
    """Give notes names, and tie the pieces of a note, over the barline too.

    Ties are elements that name both ends: MEI's shorter attribute leaves it open which of two
    notes of a chord on one line is meant.
    """
    for staff in measure.findall("staff"):
        for layer in staff.findall("layer"):
            for note in layer.iter("note"):
                sounding, at, place = note.attrib.pop(_PIECE).split()
                name = f"{prefix}-{staff.get('n')}-{layer.get('n')}-{sounding}"
                note.set("xml:id", f"{name}-{at}")
                if place == "t":
                    before, home = hanging[name]
                    ET.SubElement(home, "tie", startid=f"#{before}", endid=f"#{name}-{at}")
                hanging[name] = (f"{name}-{at}", measure)


def _beams(group: Group, sounding: dict[int, Chord], meter: Meter) -> list[list[Value]]:
    """Join notes shorter than a quarter that fall in the same beat."""
    beams: list[list[Value]] = []
    # Four eighths share a beam where a measure of quarters falls into halves.
    wide = meter.unit == 4 and meter.count % 2 == 0 and all(v.duration <= 8 for v in group.values)
    span = 2 * meter.beat if wide else max(meter.beat, UNITS)
    for value in group.values:
        joins = value.duration >= 8 and value.event in sounding
        if joins and beams and _joins(beams[-1][-1], sounding):
            before = beams[-1][-1]
            if group.triplet or before.start // span == value.start // span:
                beams[-1].append(value)
                continue
        beams.append([value])
    return beams


def _joins(value: Value, sounding: dict[int, Chord]) -> bool:
    return value.duration >= 8 and value.event in sounding
