"""Scores of transcriptions against cases counted by hand, brute force and mir_eval."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse.notescores import (
    NoteScores,
    frame_scores,
    match_notes,
    note_scores,
    velocity_error,
)
from mircourse.performed import performed_notes

NONE = performed_notes([], [], [])
REFERENCE = performed_notes(
    [0.0, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 0.5], [60, 64, 55, 62], velocity=[60, 70, 80, 90]
)
# Right; right but 60 ms late; right but too short; an octave off.
ESTIMATE = performed_notes(
    [0.03, 0.56, 0.5, 1.0], [0.47, 0.44, 0.3, 0.5], [60, 64, 55, 74], velocity=[66, 70, 70, 90]
)

few_notes = st.lists(
    st.tuples(
        st.integers(0, 12).map(lambda n: n * 0.02),
        st.integers(1, 10).map(lambda n: n * 0.03),
        st.integers(60, 62),
    ),
    max_size=5,
).map(lambda rows: performed_notes(*(list(c) for c in zip(*rows, strict=True))) if rows else NONE)


def largest_pairing(reference, estimated, fits):
    """The most pairs that fit, by trying every assignment."""
    few, many = sorted((reference, estimated), key=len)
    swapped = len(reference) > len(estimated)
    best = 0
    for chosen in itertools.permutations(range(len(many)), len(few)):
        pairs = zip(few, many[list(chosen)], strict=True)
        best = max(best, sum(fits(b, a) if swapped else fits(a, b) for a, b in pairs))
    return best


def fits_onset(true, guess):
    near = round(abs(float(true["onset_sec"] - guess["onset_sec"])), 4) <= 0.05
    return bool(near and true["pitch"] == guess["pitch"])


def fits_end(true, guess):
    ends = [n["onset_sec"] + n["duration_sec"] for n in (true, guess)]
    # As long as the ends are apart, which in floats is not quite the duration.
    allowed = max(0.2 * float(ends[0] - true["onset_sec"]), 0.05)
    return fits_onset(true, guess) and round(abs(float(ends[0] - ends[1])), 4) <= allowed


def expected_scores(pairs, reference, estimated):
    if not len(reference) or not len(estimated) or not pairs:
        return NoteScores(0.0, 0.0, 0.0)
    precision, recall = pairs / len(estimated), pairs / len(reference)
    return NoteScores(precision, recall, 2 * precision * recall / (precision + recall))


def test_onsets_counted_by_hand():
    """Eq. rnn-f: 2 of 4 estimates are right, 2 of 4 notes are found."""
    assert note_scores(REFERENCE, ESTIMATE) == NoteScores(0.5, 0.5, 0.5)
    assert match_notes(REFERENCE, ESTIMATE).tolist() == [[0, 0], [1, 1]]


def test_ends_counted_by_hand():
    """Of those 2 one ends at 0.8 s instead of 1.5 s, which is off by more than 0.2 s."""
    assert note_scores(REFERENCE, ESTIMATE, offset_ratio=0.2) == NoteScores(0.25, 0.25, 0.25)


def test_a_wider_window_lets_the_late_note_in():
    assert note_scores(REFERENCE, ESTIMATE, onset_tolerance=0.07).f == 0.75


@given(few_notes, few_notes)
@settings(deadline=None, max_examples=80)
def test_notes_equal_trying_every_pairing(reference, estimated):
    """Eq. rnn-f with the largest pairing there is."""
    for ratio, fits in ((None, fits_onset), (0.2, fits_end)):
        pairs = largest_pairing(reference, estimated, fits)
        found = note_scores(reference, estimated, offset_ratio=ratio)
        expected = expected_scores(pairs, reference, estimated)
        np.testing.assert_allclose(
            (found.precision, found.recall, found.f),
            (expected.precision, expected.recall, expected.f),
        )
        assert len(match_notes(reference, estimated, offset_ratio=ratio)) == pairs


@given(few_notes, few_notes, st.sampled_from([0.01, 0.02, 0.05]))
@settings(deadline=None, max_examples=60)
def test_frames_equal_looking_at_every_moment(reference, estimated, hop):
    def sounds(notes, pitch, moment):
        return any(
            n["pitch"] == pitch
            and n["onset_sec"] - 1e-9 <= moment < n["onset_sec"] + n["duration_sec"] - 1e-9
            for n in notes
        )

    moments = [k * hop for k in range(round(0.6 / hop) + 1)]
    cells = [
        (sounds(reference, pitch, t), sounds(estimated, pitch, t))
        for pitch in (60, 61, 62)
        for t in moments
    ]
    both, true, guess = (sum(f(c) for c in cells) for f in (all, lambda c: c[0], lambda c: c[1]))
    expected = (both / guess, both / true, 2 * both / (true + guess)) if both else (0, 0, 0)
    found = frame_scores(reference, estimated, hop_seconds=hop)
    np.testing.assert_allclose((found.precision, found.recall, found.f), expected)


def test_frames_counted_by_hand():
    """The note is there for 100 frames; the estimate has 50 of them and 25 too many."""
    found = frame_scores(performed_notes([0.5], [1], [60]), performed_notes([0.25], [0.75], [60]))
    assert found == NoteScores(50 / 75, 50 / 100, 100 / 175)


def test_a_perfect_transcription_scores_one():
    for scores in (
        note_scores(REFERENCE, REFERENCE),
        note_scores(REFERENCE, REFERENCE, offset_ratio=0.2, velocity=True),
        frame_scores(REFERENCE, REFERENCE),
    ):
        assert scores == NoteScores(1.0, 1.0, 1.0)
    assert velocity_error(REFERENCE, REFERENCE) == 0.0


@pytest.mark.parametrize(("a", "b"), [(NONE, REFERENCE), (REFERENCE, NONE), (NONE, NONE)])
def test_without_notes_scores_are_zero_and_nothing_is_to_be_compared(a, b):
    assert note_scores(a, b) == note_scores(a, b, velocity=True) == NoteScores(0.0, 0.0, 0.0)
    assert frame_scores(a, b) == NoteScores(0.0, 0.0, 0.0)
    assert math.isnan(velocity_error(a, b))
    assert match_notes(a, b).shape == (0, 2)


def test_velocity_error_counts_the_notes_found():
    assert velocity_error(REFERENCE, ESTIMATE) == pytest.approx((6 + 10) / 2)


def test_velocities_may_be_off_by_a_line_but_not_by_more():
    softer, flat = REFERENCE.copy(), REFERENCE.copy()
    softer["velocity"] = REFERENCE["velocity"] // 2
    assert note_scores(REFERENCE, softer, velocity=True).f == 1.0
    flat["velocity"] = 64
    assert note_scores(REFERENCE, flat, velocity=True).f < 1.0


def test_mir_eval_says_the_same_of_many_notes():
    from mir_eval.transcription import precision_recall_f1_overlap
    from mir_eval.util import midi_to_hz

    rng = np.random.default_rng(0)

    def draw(n):
        return performed_notes(
            rng.uniform(0, 5, n), rng.uniform(0.05, 1, n), rng.integers(60, 65, n)
        )

    reference, estimated = draw(80), draw(90)

    def columns(notes):
        ends = notes["onset_sec"] + notes["duration_sec"]
        return np.stack([notes["onset_sec"], ends], axis=1), midi_to_hz(notes["pitch"])

    for ratio in (None, 0.2):
        expected = precision_recall_f1_overlap(
            *columns(reference), *columns(estimated), offset_ratio=ratio
        )
        found = note_scores(reference, estimated, offset_ratio=ratio)
        np.testing.assert_allclose((found.precision, found.recall, found.f), expected[:3])


@pytest.mark.parametrize("bad", [{"onset_tolerance": 0}, {"offset_ratio": -0.2}])
def test_tolerances_are_positive(bad):
    with pytest.raises(ValueError, match="expected positive numbers"):
        note_scores(REFERENCE, ESTIMATE, **bad)


@pytest.mark.parametrize("hop", [0, -1, np.inf, np.nan])
def test_the_hop_is_positive_and_finite(hop):
    with pytest.raises(ValueError, match="a positive time is expected"):
        frame_scores(REFERENCE, ESTIMATE, hop_seconds=hop)


def test_what_is_not_a_performed_array_is_refused():
    with pytest.raises(TypeError, match="expected a performed array"):
        note_scores(REFERENCE, np.zeros(3))
