"""The score's own chroma against brute force, and the measure against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from mircourse import scores
from mircourse.chroma import PITCH_CLASSES, pitch_class_f, score_chroma
from mircourse.performed import perform, performed_notes

NOTES = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0.01, 2), st.integers(0, 127)), min_size=0, max_size=10
)


@given(notes=NOTES, hop=st.sampled_from([0.01, 0.1, 512 / 22050]), frames=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_a_class_sounds_where_a_note_of_it_is_on_at_the_middle(notes, hop, frames):
    columns = zip(*notes, strict=True) if notes else ([], [], [])
    onset, duration, pitch = (np.array(list(c)) for c in columns)
    performed = performed_notes(onset, duration, pitch.astype(int))
    found = score_chroma(performed, hop_seconds=hop, frames=frames)
    expected = np.zeros((frames, 12), dtype=bool)
    for k in range(frames):
        for start, length, p in performed[["onset_sec", "duration_sec", "pitch"]]:
            if start <= (k + 0.5) * hop < start + length:
                expected[k, p % 12] = True
    # A note may begin or end at a middle to the last digit of a double.
    assert (found != expected).sum() <= 1


def test_a_chorale_sounds_its_first_chord():
    piece = scores.load("bach")["bwv66.6"]
    chroma = score_chroma(perform(piece, tempo=60), hop_seconds=0.1, frames=100)
    first = piece.notes["pitch"][piece.notes["onset_beat"] == 0] % 12
    assert set(np.flatnonzero(chroma[1])) == set(first.tolist())


def test_no_notes_no_chroma():
    assert not score_chroma(performed_notes([], [], []), hop_seconds=0.1, frames=4).any()


def test_bad_input_is_named():
    with pytest.raises(TypeError, match="lack onset_sec, duration_sec"):
        score_chroma(scores.load("bach")[0].notes, hop_seconds=0.1, frames=4)
    notes = performed_notes([0.0], [1.0], [60])
    for bad in ({"hop_seconds": 0.0, "frames": 4}, {"hop_seconds": 0.1, "frames": -1}):
        with pytest.raises(ValueError, match="a positive hop"):
            score_chroma(notes, **bad)


def test_the_measure_is_scikit_learn_s():
    rng = np.random.default_rng(0)
    for share in (0.1, 0.5, 0.9):
        true, guess = rng.random((2, 50, 12)) < share
        assert pitch_class_f(true, guess) == pytest.approx(f1_score(true, guess, average="micro"))


def test_the_ends_of_the_measure():
    some, none = np.eye(12, dtype=bool), np.zeros((12, 12), dtype=bool)
    assert pitch_class_f(some, some) == 1.0
    assert pitch_class_f(some, none) == pitch_class_f(none, some) == pitch_class_f(none, none) == 0
    with pytest.raises(TypeError, match="use a threshold"):
        pitch_class_f(some, some.astype(float))
    with pytest.raises(ValueError, match="expected the same"):
        pitch_class_f(some, some[:3])


def test_pitch_classes_are_named_from_c():
    assert len(PITCH_CLASSES) == 12
    assert (PITCH_CLASSES[0], PITCH_CLASSES[9]) == ("C", "A")
