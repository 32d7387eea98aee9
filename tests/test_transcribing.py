"""Whole recordings to notes: pieces, rates, degenerate input, and the network that ships."""

import numpy as np
import pytest
import torch

from mircourse import synth, transcribing
from mircourse.notescores import note_scores
from mircourse.performed import perform
from mircourse.scores import note_array
from mircourse.transcribing import hear, transcribe
from mircourse.transcription import MusicTranscriptionRNN


@pytest.fixture(scope="module")
def untrained():
    """A network that looks no further than its convolutions, so that pieces cannot differ."""
    torch.manual_seed(0)
    return MusicTranscriptionRNN(
        hidden_dim=8,
        n_layers=1,
        front_end="harmonic",
        channels=4,
        size=8,
        recurrent=False,
        attention=False,
        onset_outputs=88,
        velocity_outputs=88,
    ).eval()


@pytest.fixture(scope="module")
def phrase():
    """Two bars in three parts, as notes in seconds and as sound of the shipped piano."""
    onset = [0, 1, 2, 3, 4, 5, 6, 7, 0, 2, 4, 6, 0, 4]
    length = [1] * 8 + [2] * 4 + [4] * 2
    pitch = [72, 74, 76, 77, 79, 77, 76, 74, 64, 65, 67, 65, 48, 55]
    notes = note_array(onset, length, pitch, velocity=80)
    return perform(notes, tempo=100), synth.render(notes, tempo=100, sample_rate=16000)


@pytest.mark.parametrize("samples", [1, 319, 320, 16000, 16001, 50000])
def test_pieces_give_what_the_whole_gives(untrained, samples, monkeypatch):
    audio = 0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    whole = hear(untrained, audio)
    monkeypatch.setattr(transcribing, "SECONDS", 0.5)
    monkeypatch.setattr(transcribing, "OVERLAP", 0.3)
    for one, other in zip(hear(untrained, audio), whole, strict=True):
        assert one.shape == (1 + samples // 320, 88)
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_the_mode_of_the_network_is_left_as_it_was(untrained):
    untrained.train()
    try:
        hear(untrained, np.zeros(100, np.float32))
        assert untrained.training
    finally:
        untrained.eval()


def test_the_shipped_network_writes_down_a_phrase(phrase):
    notes, audio = phrase
    found = transcribe(audio, sample_rate=16000)
    assert note_scores(notes, found).f > 0.9
    assert (np.diff(found["onset_sec"]) >= 0).all()
    assert found["velocity"].min() >= 1 and found["velocity"].max() <= 127


def test_a_note_at_the_very_beginning_is_found():
    notes = note_array([0, 0, 1], [1, 1, 1], [60, 64, 67], velocity=80)
    audio = synth.render(notes, tempo=60, sample_rate=16000)
    found = transcribe(audio, sample_rate=16000)
    np.testing.assert_array_equal(found["pitch"], [60, 64, 67])
    np.testing.assert_allclose(found["onset_sec"], [0, 0, 1], atol=0.03)


def test_it_is_deterministic(phrase):
    _, audio = phrase
    np.testing.assert_array_equal(*(transcribe(audio, sample_rate=16000) for _ in range(2)))


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_other_rates_give_nearly_the_same_notes(phrase, rate):
    notes, audio = phrase
    import soxr

    found = transcribe(soxr.resample(audio, 16000, rate), sample_rate=rate)
    assert note_scores(notes, found).f > 0.85


@pytest.mark.parametrize("samples", [1, 100, 48000])
def test_silence_has_no_notes(samples):
    assert len(transcribe(np.zeros(samples), sample_rate=16000)) == 0


def test_one_sample_and_a_click_do_no_harm():
    assert len(transcribe([0.5], sample_rate=96000)) == 0
    click = np.zeros(16000, np.float32)
    click[8000] = 1
    transcribe(click, sample_rate=16000)


@pytest.mark.parametrize(
    ("audio", "error"),
    [
        (np.array([0.0, np.nan]), ValueError),
        (np.zeros((2, 100)), ValueError),
        (np.zeros(0), ValueError),
        (np.zeros(100, dtype=np.int16), TypeError),
    ],
)
def test_bad_audio_is_refused(audio, error):
    with pytest.raises(error):
        transcribe(audio, sample_rate=16000)


def test_lower_thresholds_find_more(phrase):
    _, audio = phrase
    few, many = (transcribe(audio, sample_rate=16000, onset_threshold=t) for t in (0.9, 0.05))
    assert len(few) <= len(many)
    with pytest.raises(ValueError, match="onset_threshold=2"):
        transcribe(audio, sample_rate=16000, onset_threshold=2)


def test_the_method_is_the_function(untrained, phrase):
    _, audio = phrase
    one = untrained.transcribe(audio, sample_rate=16000)
    np.testing.assert_array_equal(one, transcribe(audio, sample_rate=16000, model=untrained))
