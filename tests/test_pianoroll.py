"""Notes to rolls and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mircourse.performed import performed_notes
from mircourse.pianoroll import notes_of, piano_roll

HOP = 0.02


@st.composite
def music(draw):
    """Notes that two frames can tell apart: each pitch rests for five frames between two notes."""
    rows = []
    for pitch in draw(st.lists(st.integers(21, 108), max_size=5, unique=True)):
        time = draw(st.floats(0.1, 1.0))
        for _ in range(draw(st.integers(1, 4))):
            length = draw(st.floats(0.1, 0.6))
            rows.append((time, length, pitch, draw(st.integers(1, 127))))
            time += length + draw(st.floats(0.1, 0.5))
    table = np.array(rows).reshape(-1, 4)
    return performed_notes(
        table[:, 0], table[:, 1], table[:, 2].astype(int), velocity=table[:, 3].astype(int)
    )


def decoded(roll, **settings):
    return notes_of(roll.pitches, roll.onsets, roll.velocities, hop_seconds=HOP, **settings)


@given(music())
def test_notes_come_back_from_their_rolls(notes):
    found = decoded(piano_roll(notes, frames=400, hop_seconds=HOP))
    assert len(found) == len(notes)
    order = [np.lexsort((n["onset_sec"], n["pitch"])) for n in (notes, found)]
    notes, found = notes[order[0]], found[order[1]]
    np.testing.assert_array_equal(found["pitch"], notes["pitch"])
    np.testing.assert_array_equal(found["velocity"], notes["velocity"])
    # Onsets are read between the frames; ends are known to the frame.
    np.testing.assert_allclose(found["onset_sec"], notes["onset_sec"], atol=1e-5)
    ends = [n["onset_sec"] + n["duration_sec"] for n in (notes, found)]
    assert np.abs(ends[0] - ends[1]).max(initial=0) <= HOP


@given(
    st.integers(0, 60),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 88]),
    st.sampled_from([1, 88]),
)
def test_any_answer_can_be_read(frames, seed, onsets, velocities):
    rng = np.random.default_rng(seed)
    notes = notes_of(
        rng.random((frames, 88)),
        rng.random((frames, onsets)),
        rng.random((frames, velocities)) * 127,
        hop_seconds=HOP,
    )
    ends = notes["onset_sec"] + notes["duration_sec"]
    assert (notes["duration_sec"] > 0).all() and (notes["onset_sec"] >= 0).all()
    assert set(notes["pitch"]) <= set(range(21, 109))
    for pitch in np.unique(notes["pitch"]):
        own = notes["pitch"] == pitch
        assert (
            ends[own][:-1] <= notes["onset_sec"][own][1:] + 1e-9
        ).all()  # no key overlaps itself


def test_rolls_by_hand():
    roll = piano_roll(performed_notes([0.05], [0.06], [60], velocity=80), frames=8, hop_seconds=HOP)
    assert roll.pitches.shape == (8, 88)
    np.testing.assert_array_equal(roll.pitches[:, 39], [0, 0, 1, 1, 1, 1, 0, 0])  # 2.5 rounds to 2
    np.testing.assert_array_equal(roll.velocities[:, 39], [0, 0, 80, 80, 80, 80, 0, 0])
    np.testing.assert_allclose(roll.onsets[:, 39], [0, 0.25, 0.75, 0.75, 0.25, 0, 0, 0], atol=1e-6)
    assert roll.pitches.sum() == 4


def test_a_key_struck_again_without_a_rest_is_two_notes():
    notes = performed_notes([0.2, 0.6], [0.4, 0.4], [60, 60])
    found = decoded(piano_roll(notes, frames=60, hop_seconds=HOP))
    np.testing.assert_allclose(found["onset_sec"], [0.2, 0.6], atol=1e-6)
    np.testing.assert_allclose(found["duration_sec"], [0.4, 0.4], atol=1e-6)


def test_with_one_onset_for_all_keys_a_key_struck_again_is_missed():
    notes = performed_notes([0.2, 0.6, 0.6], [0.4, 0.4, 0.4], [60, 60, 64])
    roll = piano_roll(notes, frames=60, hop_seconds=HOP)
    once = roll.onsets.max(1, keepdims=True)  # (T, 88) -> (T, 1)
    found = notes_of(roll.pitches, once, roll.velocities, hop_seconds=HOP)
    np.testing.assert_array_equal(found["pitch"], [60, 64])
    np.testing.assert_allclose(found["onset_sec"], [0.2, 0.6])
    np.testing.assert_allclose(found["duration_sec"], [0.8, 0.4])


def test_a_key_without_an_onset_near_its_beginning_is_no_note():
    roll = piano_roll(performed_notes([0.4], [0.4], [60]), frames=60, hop_seconds=HOP)
    nothing = np.zeros((60, 1))
    assert len(notes_of(roll.pitches, nothing, roll.velocities, hop_seconds=HOP)) == 0
    late = nothing.copy()
    late[35] = 1
    assert len(notes_of(roll.pitches, late, roll.velocities, hop_seconds=HOP)) == 0


def test_notes_outside_the_keys_or_the_roll_are_left_out():
    notes = performed_notes([0.1, 0.1, 5.0], [0.2, 0.2, 0.2], [20, 109, 60])
    roll = piano_roll(notes, frames=10, hop_seconds=HOP)
    assert roll.pitches.sum() == roll.onsets.sum() == 0


def test_no_notes_and_no_frames():
    empty = performed_notes([], [], [])
    assert piano_roll(empty, frames=3, hop_seconds=HOP).pitches.sum() == 0
    assert len(notes_of(*np.zeros((3, 0, 88)), hop_seconds=HOP)) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pitches": np.zeros((5, 87))}, r"pitches of shape \(5, 87\)"),
        ({"onsets": np.zeros((5, 2))}, r"onsets of shape \(5, 2\)"),
        ({"pitches": np.full((5, 88), 3.0)}, "apply a sigmoid"),
        ({"onsets": np.full((5, 88), np.nan)}, "onsets must be probabilities"),
        ({"onset_threshold": 0.0}, "thresholds in"),
    ],
)
def test_bad_answers_are_refused(change, message):
    good = {name: np.zeros((5, 88)) for name in ("pitches", "onsets", "velocities")}
    with pytest.raises(ValueError, match=message):
        notes_of(**{**good, "hop_seconds": HOP, **change})


def test_a_roll_needs_frames():
    with pytest.raises(ValueError, match="frames=0"):
        piano_roll(performed_notes([], [], []), frames=0, hop_seconds=HOP)
