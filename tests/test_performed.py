"""Notes in seconds: what a listener hears of voices, and the way back to beats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse.performed import (
    PERFORMED_DTYPE,
    check_performed,
    perform,
    performed_notes,
    to_beats,
)
from mircourse.scores import from_midi, load, note_array, to_midi

notes_in_beats = st.lists(
    st.tuples(
        st.integers(0, 24).map(lambda n: n / 4),
        st.integers(1, 12).map(lambda n: n / 4),
        st.integers(60, 63),
        st.integers(0, 2),
        st.integers(1, 127),
    ),
    max_size=20,
).map(
    lambda rows: note_array(
        [r[0] for r in rows],
        [r[1] for r in rows],
        [r[2] for r in rows],
        voice=[r[3] for r in rows],
        velocity=[r[4] for r in rows],
    )
)


def sounding(onset, duration, pitch, ticks=200, per_second=4):
    """Whether each pitch sounds in each quarter of a second, by painting."""
    roll = np.zeros((ticks, 128), bool)
    for a, d, p in zip(onset, duration, pitch, strict=True):
        roll[round(a * per_second) : round((a + d) * per_second), p] = True
    return roll


@given(notes_in_beats)
@settings(deadline=None, max_examples=60)
def test_what_sounds_and_what_is_struck_are_those_of_the_score(notes):
    heard = perform(notes, tempo=60)
    np.testing.assert_array_equal(
        sounding(heard["onset_sec"], heard["duration_sec"], heard["pitch"]),
        sounding(notes["onset_beat"], notes["duration_beat"], notes["pitch"]),
    )
    struck = {(n["onset_beat"], n["pitch"]) for n in notes}
    assert [(n["onset_sec"], n["pitch"]) for n in heard] == sorted(struck)
    for row in heard:
        together = (notes["onset_beat"] == row["onset_sec"]) & (notes["pitch"] == row["pitch"])
        assert row["velocity"] == notes["velocity"][together].max()


@given(notes_in_beats)
@settings(deadline=None, max_examples=60)
def test_no_pitch_overlaps_itself(notes):
    heard = perform(notes, tempo=97)
    for pitch in np.unique(heard["pitch"]):
        own = heard[heard["pitch"] == pitch]
        assert (own["onset_sec"][1:] >= (own["onset_sec"] + own["duration_sec"])[:-1] - 1e-9).all()


def test_a_unison_of_two_voices_is_one_note_as_long_as_the_longer_and_as_loud_as_the_louder():
    unison = note_array([0, 0], [1, 2], [60, 60], voice=[0, 1], velocity=[90, 40])
    assert perform(unison, tempo=120).tolist() == [(0.0, 1.0, 60, 90)]


def test_voices_that_are_a_hair_apart_strike_together():
    spread = note_array([1.0, 1.0004], [1, 1], [60, 60], voice=[0, 1])
    assert perform(spread, tempo=60)[["onset_sec", "duration_sec"]].tolist() == [(1.0, 1.0004)]


@pytest.mark.parametrize(("tempo", "expected"), [(60, 1.0), (120, 0.5), (90, 2 / 3)])
def test_tempo_turns_beats_into_seconds(tempo, expected):
    heard = perform(note_array([1], [1], [60]), tempo=tempo)
    assert heard["onset_sec"][0] == pytest.approx(expected)
    assert heard["duration_sec"][0] == pytest.approx(expected)


def test_a_chorale_comes_back_from_a_midi_file_of_its_performance():
    heard = perform(load("bach")["bwv66.6"], tempo=72)
    back = perform(from_midi(to_midi(to_beats(heard, tempo=120), tempo=120)), tempo=120)
    assert len(back) == len(heard)
    for name in ("onset_sec", "duration_sec"):
        np.testing.assert_allclose(back[name], heard[name], atol=1e-4)
    for name in ("pitch", "velocity"):
        np.testing.assert_array_equal(back[name], heard[name])


def test_no_notes_are_no_notes():
    empty = performed_notes([], [], [])
    assert empty.dtype == PERFORMED_DTYPE and len(empty) == 0
    assert len(to_beats(empty)) == 0
    assert len(perform(note_array([], [], []), tempo=60)) == 0


def test_rows_are_sorted_by_onset_then_pitch():
    notes = performed_notes([1, 0, 1], [1, 1, 1], [64, 72, 60])
    assert notes["pitch"].tolist() == [72, 60, 64]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (([-1], [1], [60]), "onset_sec must be at least 0 seconds"),
        (([0], [0], [60]), "duration_sec must be more than 0 seconds"),
        (([np.nan], [1], [60]), "onset_sec must be finite"),
        (([0], [1], [128]), "pitch must be 0 to 127"),
        (([0, 1], [1], [60, 62]), r"duration has shape|duration_sec has shape"),
    ],
)
def test_columns_out_of_range_are_refused(columns, words):
    with pytest.raises(ValueError, match=words):
        performed_notes(*columns)


def test_velocity_zero_is_no_velocity():
    with pytest.raises(ValueError, match="velocity must be 1 to 127"):
        performed_notes([0], [1], [60], velocity=0)


def test_a_note_array_in_beats_is_not_a_performed_array():
    with pytest.raises(TypeError, match="expected a performed array; ndarray lacks onset_sec"):
        check_performed(note_array([0], [1], [60]))


@pytest.mark.parametrize("tempo", [0, -60, np.inf, np.nan])
def test_a_tempo_is_positive_and_finite(tempo):
    with pytest.raises(ValueError, match="tempo must be above 0"):
        perform(note_array([0], [1], [60]), tempo=tempo)
    with pytest.raises(ValueError, match="tempo must be above 0"):
        to_beats(performed_notes([0], [1], [60]), tempo=tempo)
