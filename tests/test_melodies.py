"""Tunes as symbols: exact there and back, on invented tunes and on the real ones."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import melodies, scores
from mircourse.melodies import DURATIONS, END, HIGHEST, LOWEST, METERS, REST, TICKS
from mircourse.notearray import note_array

events = st.lists(
    st.tuples(
        st.integers(0, len(DURATIONS) - 1),
        st.one_of(st.none(), st.integers(LOWEST, HIGHEST)),
    ),
    max_size=30,
).filter(lambda row: all(a[1] or b[1] for a, b in itertools.pairwise(row)))  # no two rests meet


def notes_of(row):
    """A note array from (duration, pitch or None) pairs, each duration a Fraction of a beat."""
    onset, columns = 0, []
    for symbol, pitch in row:
        if pitch is not None:
            columns.append((float(onset), float(DURATIONS[symbol]), pitch))
        onset += DURATIONS[symbol]
    return (
        note_array(*(np.array(c) for c in zip(*columns, strict=True)))
        if columns
        else (note_array([], [], []))
    )


@given(events)
@settings(max_examples=200, deadline=None)
def test_any_melody_comes_back_exactly(row):
    notes = notes_of(row)
    melody = melodies.encode(notes)
    back = melodies.decode(melody)
    assert melody.ended and melody.n_notes == len(notes)
    np.testing.assert_array_equal(back["pitch"], notes["pitch"])
    for field in ("onset_beat", "duration_beat"):
        np.testing.assert_array_equal(np.round(back[field] * TICKS), np.round(notes[field] * TICKS))


@given(events)
@settings(max_examples=50, deadline=None)
def test_symbols_come_back_from_notes(row):
    """Encoding what was decoded gives the same symbols, but for how rests are divided."""
    melody = melodies.encode(notes_of(row))
    again = melodies.encode(melodies.decode(melody))
    np.testing.assert_array_equal(melody.duration, again.duration)
    np.testing.assert_array_equal(melody.pitch, again.pitch)


@pytest.mark.parametrize("name", ["ryan", "oneill", "aird"])
def test_every_tune_of_the_books_comes_back_exactly(name):
    for piece in scores.load(name):
        melody = melodies.encode(piece)
        np.testing.assert_array_equal(melodies.decode(melody), melodies.melody_line(piece.notes))
        assert (melody.meter, melody.pickup_beats) == (piece.meter or "4/4", piece.pickup_beats)
        assert (melody.id, melody.family) == (piece.id, piece.family)


def test_most_tunes_lose_nothing():
    pieces = scores.load("oneill")
    kept = [np.array_equal(melodies.melody_line(p.notes), p.notes) for p in pieces]
    assert np.mean(kept) > 0.98


def test_chords_keep_their_top_note_and_overlaps_are_cut():
    notes = note_array([0, 0, 1], [4, 2, 1], [60, 67, 62], velocity=[1, 2, 3])
    line = melodies.melody_line(notes)
    np.testing.assert_array_equal(line, note_array([0, 1], [1, 1], [67, 62]))


def test_rests_before_and_between_notes_are_events():
    melody = melodies.encode(note_array([1, 2.5], [1, 0.5], [60, 62]), meter="3/4")
    assert melody.pitch.tolist() == [REST, 60 - LOWEST, REST, 62 - LOWEST, REST]
    lasts = [float(DURATIONS[d]) for d in melody.duration[:-1]]
    assert lasts == [1, 1, 0.5, 0.5]
    assert melody.duration[-1] == END


@pytest.mark.parametrize(
    ("meter", "pickup", "expected"),
    [
        ("6/8", 0.0, [0, 1, 2, 0, 1]),
        ("6/8", 0.5, [2.5, 0.5, 1.5, 2.5, 0.5]),
        ("2/4", 1, [1, 0, 1, 0, 1]),
    ],
)
def test_places_count_from_the_bar_line(meter, pickup, expected):
    notes = note_array([0, 1, 2, 3], [1, 1, 1, 1], [60, 60, 60, 60])
    melody = melodies.encode(notes, meter=meter, pickup_beats=pickup)
    base = melodies.place_of(np.array([round(pickup * TICKS)]), meter=meter, pickup_beats=pickup)
    assert ((melody.place[:5] - base) / melodies.STEPS).tolist() == expected
    assert melody.place.max() < melodies.N_PLACES


def test_meters_have_places_of_their_own():
    at = [int(melodies.place_of(np.array([0]), meter=m)[0]) for m in METERS]
    assert len(set(at)) == len(METERS)
    for meter in METERS:
        bar = melodies.bar_ticks(meter)
        places = melodies.place_of(np.arange(0, 2 * bar, TICKS // 12), meter=meter)
        assert len(set(places.tolist())) == bar * 12 // TICKS


@given(st.integers(-3, 3))
def test_transposition_moves_sounding_pitches_alone(semitones):
    melody = melodies.encode(note_array([0, 2], [1, 1], [60, 64]))
    moved = melody.transpose(semitones)
    assert (melodies.decode(moved)["pitch"] - semitones).tolist() == [60, 64]
    assert (moved.pitch == REST).tolist() == (melody.pitch == REST).tolist()


def test_transposition_stays_in_range():
    melody = melodies.encode(note_array([0, 2], [1, 1], [60, 64]))
    down, up = melody.room()
    assert (down, up) == (LOWEST - 60, HIGHEST - 64)
    assert melody.transpose(up).room()[1] == 0
    for semitones in (down - 1, up + 1):
        with pytest.raises(ValueError, match=f"moved by {semitones}"):
            melody.transpose(semitones)


def test_what_cannot_be_held_is_refused():
    with pytest.raises(ValueError, match="lasts 1/5 of a quarter"):
        melodies.encode(note_array([0], [0.2], [60]))
    with pytest.raises(ValueError, match="48 to 100, got 30 to 30"):
        melodies.encode(note_array([0], [1], [30]))
    with pytest.raises(ValueError, match=r"meter must be one of .* got '7/8'"):
        melodies.encode(note_array([0], [1], [60]), meter="7/8")
    with pytest.raises(TypeError, match="note array"):
        melodies.encode([60, 62])


def test_wrong_symbols_are_refused():
    good = melodies.encode(note_array([0, 1], [1, 1], [60, 62]))
    good.duration[0] = END
    with pytest.raises(ValueError, match="goes on after its end"):
        melodies.decode(good)
    good.duration[0] = END + 1
    with pytest.raises(ValueError, match="symbols of duration"):
        melodies.decode(good)


def test_first_events_leave_out_the_end():
    melody = melodies.encode(note_array([0, 1, 2], [1, 1, 1], [60, 62, 64]))
    assert len(melody.first(2)) == 2 and not melody.first(2).ended
    assert len(melody.first(99)) == 3


def test_a_blank_melody_has_a_first_place_only():
    melody = melodies.blank("6/8", pickup_beats=0.5)
    assert len(melody) == 0 and not melody.ended
    assert len(melody.place) == 1
    assert len(melodies.decode(melody)) == 0


@pytest.mark.parametrize("sharps", range(-5, 6))
def test_a_scale_has_its_key_signature(sharps):
    scale = (np.array([0, 2, 4, 5, 7, 9, 11, 12]) + 7 * sharps) % 12 + 60
    notes = note_array(np.arange(8.0), np.ones(8), scale)
    assert melodies.likely_sharps(notes) == sharps


def test_splits_share_no_family():
    families = {s: {m.family for m in melodies.tunes(s)} for s in ("train", "valid", "test")}
    assert not families["train"] & families["test"]
    assert not families["train"] & families["valid"]
    assert not families["valid"] & families["test"]
