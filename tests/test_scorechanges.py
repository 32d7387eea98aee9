"""Transposition of scores and of their harmony: what moves, what stays, and within which range."""

import numpy as np
import pytest

from mircourse import chords, scores
from mircourse.augment import Transpose, transpose_chords


def test_every_key_is_reached_and_times_stay():
    tune = scores.load("ryan")[0]
    rng = np.random.default_rng(0)
    moved = [Transpose()(tune, rng=rng) for _ in range(120)]
    shifts = {int(m.notes["pitch"][0]) - int(tune.notes["pitch"][0]) for m in moved}
    assert shifts == set(range(-6, 6))
    for m in moved[:5]:
        assert len(np.unique(m.notes["pitch"] - tune.notes["pitch"])) == 1
        for field in ("onset_beat", "duration_beat", "voice"):
            np.testing.assert_array_equal(m.notes[field], tune.notes[field])
    assert {m.key for m in moved} >= {"C", "D", "E", "G"}


def test_no_note_leaves_the_range_and_a_score_without_room_stays():
    notes = scores.note_array([0, 1], [1, 1], [60, 67])
    rng = np.random.default_rng(0)
    change = Transpose(semitones=(-12, 12), lowest=58, highest=70)
    shifts = {int(change(notes, rng=rng)["pitch"][0]) - 60 for _ in range(100)}
    assert shifts == set(range(-2, 4))
    assert Transpose(lowest=61, highest=66)(notes, rng=rng) is notes
    assert Transpose(p=0.0)(notes, rng=rng) is notes
    assert len(Transpose()(notes[:0], rng=rng)) == 0


def test_notes_of_a_transposed_array_are_its_own():
    notes = scores.note_array([0], [1], [60])
    moved = Transpose(semitones=(3, 3))(notes, rng=np.random.default_rng(0))
    assert (int(notes["pitch"][0]), int(moved["pitch"][0])) == (60, 63)


@pytest.mark.parametrize("up", [-14, 1, 5, 12])
def test_chords_turn_with_the_key_and_keep_their_degrees(up):
    analysis = chords.load()[0]
    moved = transpose_chords(analysis, semitones=up)
    for name in ("root", "bass", "key_tonic"):
        turned = (analysis.chords[name].astype(int) + up) % 12
        np.testing.assert_array_equal(moved.chords[name], turned)
    for name in ("degree", "figure", "quality", "inversion", "key_mode", "onset_beat"):
        np.testing.assert_array_equal(moved.chords[name], analysis.chords[name])
    for before, after in zip(analysis.chords[:20], moved.chords[:20], strict=True):
        wanted = {(pc + up) % 12 for pc in np.flatnonzero(before["pitch_classes"])}
        assert set(np.flatnonzero(after["pitch_classes"])) == wanted
    back = transpose_chords(moved, semitones=-up)
    np.testing.assert_array_equal(back.chords, analysis.chords)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="two numbers in order"):
        Transpose(semitones=(3, -3))
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\]"):
        Transpose(p=2)
    with pytest.raises(TypeError, match="a Piece or a note array, got list"):
        Transpose()([60], rng=np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"whole number, got 0\.5"):
        transpose_chords(chords.load()[0], semitones=0.5)
