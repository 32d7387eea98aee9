"""ABC text, read back by music21's parser and compared note by note."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import melodies, scores
from mircourse.abcnotation import to_abc
from mircourse.notearray import note_array


def read(text):
    """What music21 makes of ABC: (onset, duration, pitch) of each note, ties merged."""
    from music21 import converter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of music21's own code
        score = converter.parse(text, format="abc")
        notes = score.parts[0].stripTies().flatten().notes
        return [
            (Fraction(n.offset), Fraction(n.duration.quarterLength), n.pitch.midi) for n in notes
        ]


def same(text, notes):
    found = read(text)
    assert [p for _, _, p in found] == notes["pitch"].tolist()
    for column, field in enumerate(("onset_beat", "duration_beat")):
        values = [float(row[column]) for row in found]
        np.testing.assert_allclose(values, notes[field], atol=1e-3)


def test_the_text_of_a_tune():
    notes = note_array(
        [0, 0.5, 1, 1.5, 2, 3, 3 + 1 / 3, 3 + 2 / 3, 4],
        [0.5, 0.5, 0.5, 0.5, 1, 1 / 3, 1 / 3, 1 / 3, 1.5],
        [67, 66, 65, 79, 84, 59, 60, 61, 62],
    )
    assert to_abc(notes, title="A tune", pickup_beats=1, meter="2/4", sharps=1) == (
        "X:1\nT:A tune\nM:2/4\nL:1/8\nK:G\nGF | =Fg c'2 | (3B,C^C D2- | D |]\n"
    )


def test_accidentals_are_repeated_and_cancelled():
    notes = note_array(np.arange(8.0), np.ones(8), [61, 61, 60, 73, 61, 61, 61, 61])
    body = to_abc(notes, sharps=0).splitlines()[-1]
    assert body == "^C2 ^C2 =C2 ^c2 | ^C2 ^C2 ^C2 ^C2 |]"


def test_rests_and_crossing_notes():
    notes = note_array([0.5, 3], [0.25, 2.5], [60, 62])
    assert to_abc(notes, sharps=0).splitlines()[-1] == "zC/2z9/2 D2- | D3 |]"


@pytest.mark.parametrize(("sharps", "key"), [(0, "C"), (2, "D"), (-3, "Eb"), (7, "C#"), (-7, "Cb")])
def test_key_signatures(sharps, key):
    assert f"\nK:{key}\n" in to_abc(note_array([0], [1], [60]), sharps=sharps)


def test_a_mode_is_written_where_it_fits_the_signature():
    dorian = next(p for p in scores.load("ryan") if p.mode == "dorian")
    assert f"\nK:{dorian.key}dor\n" in to_abc(dorian)
    assert "dor" not in to_abc(dorian, sharps=dorian.sharps + 1)


events = st.lists(
    st.tuples(st.sampled_from(["1/4", "1/2", "3/4", "1", "3/2", "2", "1/8", "1/16", "7/8", "5/4"]),
              st.one_of(st.none(), st.integers(48, 100))),
    min_size=1, max_size=20,
).filter(lambda row: row[0][1] is not None)  # fmt: skip


@given(events, st.sampled_from(["2/4", "6/8", "3/4", "9/8", "4/4"]), st.integers(-5, 5))
@settings(max_examples=15, deadline=None)
def test_any_tune_is_read_back(row, meter, sharps):
    onset, columns = Fraction(0), []
    for text, pitch in row:
        if pitch is not None:
            columns.append((float(onset), float(Fraction(text)), pitch))
        onset += Fraction(text)
    notes = note_array(*(np.array(c) for c in zip(*columns, strict=True)))
    same(to_abc(notes, meter=meter, sharps=sharps), notes)


@pytest.mark.parametrize("name", ["ryan", "oneill"])
def test_real_tunes_are_read_back(name):
    """Triplets, ties, pickups and keys as they come; a few of them."""
    for piece in scores.load(name)[::250]:
        same(to_abc(piece), melodies.melody_line(piece.notes))


def test_what_cannot_be_written_is_refused():
    notes = note_array([0], [1], [60])
    with pytest.raises(ValueError, match="no notes"):
        to_abc(notes[:0])
    with pytest.raises(ValueError, match="title of one line"):
        to_abc(notes, title="a\nb")
    with pytest.raises(ValueError, match="a note of 1/11"):
        to_abc(note_array([0], [1 / 11], [60]))
    with pytest.raises(ValueError, match="pickup_beats must be"):
        to_abc(notes, pickup_beats=4)
    with pytest.raises(TypeError, match="note array"):
        to_abc("CDE")
