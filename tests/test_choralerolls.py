"""Chorales as piano rolls: there and back, by hand and on real bars."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import choralerolls
from mircourse.choralegrid import REST
from mircourse.choralerolls import BEATS, FRAMES, KEYS, LOWEST


def test_a_frame_by_hand():
    grid = np.array([[72, 67, 64, 48], [72, 67, REST, 48], [REST] * 4])
    found = choralerolls.roll(grid)
    assert found.shape == (3, KEYS)
    assert np.flatnonzero(found[0]).tolist() == [48 - 21, 64 - 21, 67 - 21, 72 - 21]
    assert found[1].sum() == 3 and found[2].sum() == 0
    notes = choralerolls.notes_of(found)
    assert notes["pitch"].tolist() == [48, 64, 67, 72]
    assert notes["duration_beat"].tolist() == [1, 0.5, 1, 1]


@given(
    st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=10),
    st.integers(0, KEYS - 6),
)
@settings(max_examples=80, deadline=None)
def test_notes_of_a_roll_make_the_roll_again(rows, first):
    roll = np.zeros((len(rows), KEYS))
    roll[:, first : first + 6] = rows
    again = np.zeros_like(roll)
    for note in choralerolls.notes_of(roll):
        a = round(note["onset_beat"] / BEATS)
        b = a + round(note["duration_beat"] / BEATS)
        assert not again[a:b, note["pitch"] - LOWEST].any()
        again[a:b, note["pitch"] - LOWEST] = 1
    np.testing.assert_array_equal(again, roll)


def test_bars_of_real_chorales_are_those_of_their_voices():
    bars = choralerolls.bars("valid")
    assert len(bars) > 300 and {bar.mode for bar in bars} == {"major", "minor"}
    for bar in bars[::60]:
        assert bar.roll.shape == (FRAMES, KEYS) and bar.grid.shape == (FRAMES, 4)
        for frame, pitches in zip(bar.roll, bar.grid, strict=True):
            down = set((np.flatnonzero(frame) + LOWEST).tolist())
            assert down == set(pitches[pitches != REST].tolist())


def test_chords_are_those_of_the_white_keys_most_of_the_time():
    """They are all in C major or A minor."""
    found = choralerolls.chords("valid")
    assert found.shape[1] == KEYS and set(np.unique(found)) == {0, 1}
    assert found.any(axis=1).all() and found.sum(axis=1).max() <= 4
    classes = np.zeros(12)
    np.add.at(classes, (np.arange(KEYS) + LOWEST) % 12, found.sum(axis=0))
    white = classes[[0, 2, 4, 5, 7, 9, 11]].sum() / classes.sum()
    assert white > 0.9


def test_moving_is_transposing():
    bar = choralerolls.bars("valid")[0]
    rolls = np.stack([bar.roll] * 3)
    found = choralerolls.moved(rolls, np.array([0, 5, -5]))
    np.testing.assert_array_equal(found[0], bar.roll)
    for k, by in ((1, 5), (2, -5)):
        moved = np.where(bar.grid == REST, REST, bar.grid + by)
        np.testing.assert_array_equal(found[k], choralerolls.roll(moved))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: choralerolls.roll(np.full((1, 4), 20)), "21 to 108"),
        (lambda: choralerolls.roll(np.zeros(4, int)), r"\(T, voices\)"),
        (lambda: choralerolls.roll(np.zeros((1, 4))), "float64"),
        (lambda: choralerolls.notes_of(np.zeros((2, 87))), r"\(T, 88\)"),
        (lambda: choralerolls.notes_of(np.full((2, 88), np.nan)), "finite"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_silence_has_no_notes():
    assert len(choralerolls.notes_of(np.zeros((3, KEYS)))) == 0
    assert choralerolls.roll(np.zeros((0, 4), int)).shape == (0, KEYS)
