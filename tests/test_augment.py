"""Repitching against the spectrum it must give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import recordings
from mircourse.augment import repitch

RATE = 22050


def test_no_shift_changes_nothing():
    note = recordings.load()[0].audio
    np.testing.assert_array_equal(repitch(note, semitones=0, sample_rate=RATE), note)


@settings(deadline=None, max_examples=20)
@given(shift=st.floats(-12, 12), pitch=st.integers(48, 84))
def test_a_tone_moves_by_the_semitones_asked_for(shift, pitch):
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    tone = np.sin(2 * np.pi * hertz * np.arange(2 * RATE) / RATE)
    heard = repitch(tone, semitones=shift, sample_rate=RATE)[: RATE // 2]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard)), n=16 * len(heard)))
    found = spectrum.argmax() * RATE / (16 * len(heard))
    assert abs(12 * np.log2(found / hertz) - shift) < 0.05


def test_length_is_kept_and_up_and_down_are_inverse():
    note = recordings.load()[100].audio
    up = repitch(note, semitones=2, sample_rate=RATE)
    assert up.shape == note.shape and up.dtype == np.float32
    back = repitch(up, semitones=-2, sample_rate=RATE)
    start = slice(0, int(0.8 * len(note)))  # what was played before the cut
    error = np.square(back[start] - note[start]).sum() / np.square(note[start]).sum()
    assert error < 1e-3


@pytest.mark.parametrize(
    ("audio", "semitones", "message"),
    [
        (np.zeros(0), 1, "no samples"),
        (np.zeros((2, 100)), 1, r"shape \(2, 100\)"),
        (np.full(100, np.nan), 1, "100 NaN"),
        (np.zeros(100), 25, "expected from -24 to 24"),
        (np.zeros(100), np.nan, "expected from -24 to 24"),
    ],
)
def test_bad_input_is_named(audio, semitones, message):
    with pytest.raises(ValueError, match=message):
        repitch(audio, semitones=semitones, sample_rate=RATE)


def test_silence_stays_silent():
    assert not repitch(np.zeros(1000), semitones=3, sample_rate=RATE).any()
