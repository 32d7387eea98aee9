import base64
import io
import itertools
from xml.etree import ElementTree as ET

import mido
import music21
import numpy as np
import pytest
import verovio
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import notation, scores
from mircourse.mei import quantise
from mircourse.notearray import note_array
from mircourse.rhythm import UNITS, lay_out, parse_meter
from mircourse.spelling import parse_key, spell

MEI = "{http://www.music-encoding.org/ns/mei}"
NAME = "{http://www.w3.org/XML/1998/namespace}id"
NATURAL = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
ALTER = {"ff": -2, "f": -1, "n": 0, "s": 1, "x": 2}
METERS = ["2/4", "3/4", "4/4", "2/2", "3/8", "6/8", "9/8", "12/8", "5/8", "7/8", None]


def played(mei):
    """Return the notes that verovio plays: (onset, duration, pitch) in units, sorted."""
    toolkit = verovio.toolkit()
    assert toolkit.loadData(mei)
    file = mido.MidiFile(file=io.BytesIO(base64.b64decode(toolkit.renderToMIDI())))
    notes = []
    for track in file.tracks:
        now, began = 0, {}
        for message in track:
            now += message.time
            if message.type == "note_on" and message.velocity:
                began.setdefault(message.note, []).append(now)
            elif message.type in ("note_on", "note_off"):
                start = began[message.note].pop(0)
                notes.append((start, now - start, message.note))
    scale = UNITS / file.ticks_per_beat
    return sorted((round(a * scale), round(d * scale), p) for a, d, p in notes)


def read(mei):
    """Read a score as a musician does, from the signs alone: (measure, pitch) of untied notes."""
    root = ET.fromstring(mei)
    signs = root.find(f".//{MEI}scoreDef").get("keysig")
    order = "fcgdaeb" if signs.endswith("s") else "beadgcf"
    signature = dict.fromkeys(order[: int(signs.rstrip("sf"))], 1 if signs.endswith("s") else -1)
    tied = {tie.get("endid") for tie in root.iter(f"{MEI}tie")}
    found = []
    for number, measure in enumerate(root.iter(f"{MEI}measure")):
        for staff in measure.iter(f"{MEI}staff"):
            heard = []
            for layer in staff.iter(f"{MEI}layer"):
                heard += timed(layer)
            line = {}
            for _, note in sorted(heard, key=lambda item: item[0]):
                name, octave = note.get("pname"), int(note.get("oct"))
                if f"#{note.get(NAME)}" in tied:
                    assert note.get("accid") is None
                    continue
                if note.get("accid"):
                    line[name, octave] = ALTER[note.get("accid")]
                alter = line.get((name, octave), signature.get(name, 0))
                found.append((number, 12 * (octave + 1) + NATURAL[name] + alter))
    return found


def timed(element, at=0.0, scale=1.0):
    """Return (time, note) for the notes below an element."""
    notes = []
    for child in element:
        tag = child.tag.removeprefix(MEI)
        if tag in ("beam", "tuplet"):
            inner = scale * 2 / 3 if tag == "tuplet" else scale
            notes += timed(child, at, inner)
            at += sum(length(leaf) for leaf in leaves(child)) * inner
        elif tag != "mRest":
            chord = list(child) if tag == "chord" else [child] * (tag == "note")
            notes += [(round(at, 6), note) for note in chord]
            at += length(child) * scale
    return notes


def leaves(element):
    for child in element:
        tag = child.tag.removeprefix(MEI)
        if tag in ("beam", "tuplet"):
            ratio = 2 / 3 if tag == "tuplet" else 1
            yield from ((leaf, ratio) for leaf in leaves(child)) if ratio != 1 else leaves(child)
        else:
            yield child


def length(leaf):
    if isinstance(leaf, tuple):
        return length(leaf[0]) * leaf[1]
    return 4 * UNITS / int(leaf.get("dur")) * (2 - 0.5 ** int(leaf.get("dots", 0)))


@st.composite
def music(draw):
    """Voices in ranges of their own, each a sequence of chords and silences."""
    grid = draw(st.sampled_from([1, 2, 3, 4, 6, 12]))
    columns = []
    for voice in range(draw(st.integers(1, 4))):
        at = 0
        for _ in range(draw(st.integers(1, 8))):
            at += grid * draw(st.sampled_from([0, 0, 0, 1, 2, 5]))
            size = grid * draw(st.integers(1, 12))
            low = 72 - 12 * voice
            pitches = draw(st.sets(st.integers(low, low + 11), min_size=1, max_size=2))
            columns += [(at, size, pitch, voice) for pitch in pitches]
            at += size
    onset, duration, pitch, voice = np.array(columns).T
    return note_array(onset / UNITS, duration / UNITS, pitch, voice=voice)


@settings(max_examples=25, deadline=None)
@given(
    music(), st.sampled_from(METERS), st.integers(-7, 7), st.integers(0, 2), st.sampled_from([1, 3])
)
def test_what_is_written_is_what_was_given(notes, meter, sharps, eighths, grid):
    pickup = eighths * grid / 6 if meter != "3/8" or eighths * grid / 6 < 1.5 else 0.0
    pickup = min(pickup, 0.5)
    drawn = notation.engrave(notes, measures=None, meter=meter, key=sharps, pickup_beats=pickup)
    wanted = sorted((a, b - a, p) for a, b, p, _ in quantise(notes))
    assert played(drawn.mei) == wanted
    assert sorted(p for _, p in read(drawn.mei)) == sorted(notes["pitch"].tolist())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=12),
    st.sampled_from([meter for meter in METERS if meter]),
    st.integers(0, 30),
)
def test_values_fill_the_measure(lengths, text, pickup):
    meter = parse_meter(text)
    size = meter.units - pickup if pickup < meter.units else meter.units
    ends = [end for end in np.cumsum(lengths).tolist() if end < size] + [size]
    events = list(zip([0, *ends], ends, strict=False))
    groups = lay_out(events, size, meter)
    at = 0
    lasts = [0] * len(events)
    for group in groups:
        for value in group.values:
            assert value.start == at
            at += value.length
            lasts[value.event] += value.length
            written = 4 * UNITS / value.duration * (2 - 0.5**value.dots)
            assert value.length == written * (2 / 3 if group.triplet else 1)
    assert at == size
    assert lasts == [end - start for start, end in events]


def values(onsets, meter, end):
    cuts = [*onsets, end]
    groups = lay_out(list(itertools.pairwise(cuts)), end, parse_meter(meter))
    return [
        (("3:" if g.triplet else "") + " ".join(f"{v.duration}{'.' * v.dots}" for v in g.values))
        for g in groups
    ]


@pytest.mark.parametrize(
    ("onsets", "meter", "end", "written"),
    [
        ([0, 24, 48, 72], "4/4", 96, ["4 4 4 4"]),
        ([0, 12, 36, 72], "4/4", 96, ["8 4 4. 4"]),
        ([0, 36], "6/8", 72, ["4. 4."]),
        ([0, 60], "6/8", 72, ["4. 4 8"]),
        ([0, 12, 48, 60], "6/8", 72, ["8 4 8 8 8"]),
        ([0, 8, 16, 24], "2/4", 48, ["3:8 8 8", "4"]),
        ([0, 16, 24], "2/4", 48, ["3:4 8", "4"]),
        ([0, 16, 32], "2/4", 48, ["3:4 4 4"]),
        ([0, 12, 16, 20, 24], "2/4", 48, ["8", "3:16 16 16", "4"]),
        ([0, 4, 8, 12, 24, 36], "6/8", 72, ["3:16 16 16", "8 8 4."]),
        ([0, 12], "4/4", 72, ["8 8 2"]),
        ([0], "5/8", 60, ["2 8"]),
    ],
)
def test_rhythms_are_written_as_usual(onsets, meter, end, written):
    assert values(onsets, meter, end) == written


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 127), st.integers(-7, 7))
def test_spelling_keeps_the_pitch(pitch, sharps):
    letter, alter, octave = spell(pitch, sharps)
    assert 12 * (octave + 1) + NATURAL[letter.lower()] + alter == pitch
    assert -2 <= alter <= 2
    scale = {p.midi % 12: p for p in music21.key.KeySignature(sharps).getScale("major").pitches}
    if pitch % 12 in scale:
        assert (letter, alter) == (scale[pitch % 12].step, scale[pitch % 12].alter)


def test_common_chromatic_notes():
    assert [str(spell(p, 0)) for p in (66, 70, 68, 63, 61)] == ["F♯4", "B♭4", "G♯4", "E♭4", "C♯4"]
    assert str(spell(75, 4)) == "D♯5"
    assert str(spell(59, -7)) == "C♭4"
    assert str(spell(60, 7)) == "B♯3"


def test_keys_agree_with_music21():
    modes = ["major", "minor", "dorian", "phrygian", "lydian", "mixolydian", "aeolian", "locrian"]
    tried = 0
    for tonic in "CDEFGAB":
        for sign in ("", "#", "b"):
            for mode in modes:
                key = music21.key.Key(tonic + sign.replace("b", "-"), mode)
                if abs(key.sharps) <= 7:
                    tried += 1
                    assert parse_key(f"{tonic}{sign} {mode}") == key.sharps
    assert tried > 100
    assert parse_key("B♭") == -2


@pytest.mark.parametrize(
    ("collection", "every"), [("ryan", 150), ("bach", 60), ("haydn", 9), ("trecento", 60)]
)
def test_pieces_are_engraved_as_they_sound(collection, every):
    for piece in scores.load(collection)[::every]:
        drawn = notation.engrave(piece, measures=None)
        wanted = {(a, p) for a, _, p, _ in quantise(piece.notes)}
        assert {(a, p) for a, _, p in played(drawn.mei)} == wanted, piece
        assert len(drawn.svg) > 1000


def test_verovio_has_nothing_to_complain_about(capfd):
    notation.engrave(scores.load("bach")[5], measures=None)
    notation.engrave(note_array([1, 2.25], [9, 1 / 3], [60, 61]), measures=None, key="Db")
    double_sharps = note_array([0, 1, 2.5], [1, 1.5, 4], [67, 67, 67])
    drawn = notation.engrave(double_sharps, measures=None, key="B", meter="2/4")
    assert [p for _, _, p in played(drawn.mei)] == [67, 67, 67]
    assert capfd.readouterr().err == ""


def test_a_fiddle_tune_with_a_pickup():
    tune = next(p for p in scores.load("ryan") if p.meter == "6/8" and p.pickup_beats > 0)
    drawn = notation.engrave(tune, measures=4)
    root = ET.fromstring(drawn.mei)
    measures = list(root.iter(f"{MEI}measure"))
    assert [m.get("n") for m in measures] == ["0", "1", "2", "3", "4"]
    assert measures[0].get("metcon") == "false"
    assert measures[-1].get("right") == "single"
    last = list(ET.fromstring(notation.engrave(tune, measures=None).mei).iter(f"{MEI}measure"))[-1]
    assert last.get("right") == "end"
    assert "the first 4 measures of" in drawn.description
    assert f"Score of {tune.title}" in drawn.description
    limit = (tune.pickup_beats + 12) * UNITS
    wanted = {(a, p) for a, _, p, _ in quantise(tune.notes) if a < limit}
    assert {(a, p) for a, _, p in played(drawn.mei)} == wanted


def test_chorales_share_two_staves_and_quartets_do_not():
    chorale, quartet = scores.load("bach")[5], scores.load("haydn")[0]
    staves = [
        len(list(ET.fromstring(notation.engrave(p).mei).iter(f"{MEI}staffDef")))
        for p in (chorale, quartet)
    ]
    assert staves == [2, 4]
    clefs = ET.fromstring(notation.engrave(chorale).mei).iter(f"{MEI}staffDef")
    assert [c.get("clef.shape") for c in clefs] == ["G", "F"]


def test_a_sign_holds_for_its_measure_and_not_for_a_tied_note():
    """In D major: F natural twice, tied over the barline, then F natural and F sharp again."""
    notes = note_array([0, 1, 4, 6, 7], [1, 1, 2, 1, 1], [65, 65, 65, 65, 66])
    tied = note_array([0, 3, 5, 6], [3, 2, 1, 1], [62, 65, 65, 66])
    for music_, accids in (
        (notes, ["n", None, "n", None, "s"]),
        (tied, [None, "n", None, "n", "s"]),
    ):
        drawn = notation.engrave(music_, meter="4/4", key="D major", measures=None)
        found = ET.fromstring(drawn.mei).iter(f"{MEI}note")
        assert [note.get("accid") for note in found] == accids


def test_html_is_accessible_and_has_a_ground_of_its_own():
    notes = note_array([0], [1], [60])
    drawn = notation.engrave(notes, title='A <b>"tune"</b>')
    page = drawn._repr_html_()
    assert 'role="img" aria-label="Score of A &lt;b&gt;&quot;tune&quot;' in page
    assert "background:#fcfcfc" in page
    assert "<figcaption>A &lt;b&gt;" in page
    svg = ET.fromstring(drawn.svg)
    assert svg.get("viewBox") and not svg.get("width")
    assert repr(drawn).startswith("Engraving(title='A <b>")


def test_the_same_score_is_the_same_bytes_and_others_share_no_names(tmp_path):
    one, two = (notation.engrave(note_array([0], [1], [60])).svg for _ in range(2))
    assert one == two
    other = notation.engrave(note_array([0], [1], [61])).svg

    def names(svg):
        return {e.get("id") for e in ET.fromstring(svg).iter() if e.get("id")}

    assert not names(one) & names(other)
    drawn = notation.engrave(note_array([0], [1], [60]))
    drawn.save(tmp_path / "score.svg")
    assert (tmp_path / "score.svg").read_text(encoding="utf-8") == one


def test_rounding_lets_nothing_vanish():
    drawn = notation.engrave(note_array([0, 1 / 3], [0.001, 1 / 3], [60, 62]), measures=None)
    assert played(drawn.mei) == [(0, 1, 60), (8, 8, 62)]


NOTES = note_array([0, 40], [1, 1], [60, 62])


@pytest.mark.parametrize(
    ("music_", "options", "error", "message"),
    [
        ([60], {}, TypeError, "note array"),
        (NOTES[:0], {}, ValueError, "no notes to engrave"),
        (NOTES[1:], {"measures": 2}, ValueError, "no notes to engrave"),
        (NOTES, {"measures": 0}, ValueError, "measures=0"),
        (NOTES, {"meter": "waltz"}, ValueError, "'waltz'.*'6/8'"),
        (NOTES, {"meter": "4/5"}, ValueError, "lower figure 5"),
        (NOTES, {"meter": "0/4"}, ValueError, "'0/4'"),
        (NOTES, {"key": "H major"}, ValueError, "'H major'"),
        (NOTES, {"key": "C#b"}, ValueError, "'C#b'"),
        (NOTES, {"key": 8}, ValueError, "8 sharps"),
        (NOTES, {"pickup_beats": 4.0, "meter": "4/4"}, ValueError, "pickup_beats=4.0"),
    ],
)
def test_bad_input_is_refused(music_, options, error, message):
    with pytest.raises(error, match=message):
        notation.engrave(music_, **options)
