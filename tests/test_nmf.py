"""The transcription baseline without a network, against scikit-learn's NMF and real scores."""

import numpy as np
import pytest

from mircourse import nmf
from mircourse.nmf import nmf_activations, nmf_transcribe
from mircourse.notescores import note_scores
from mircourse.performed import perform, to_beats
from mircourse.scores import load
from mircourse.synth import render


def test_activations_are_those_of_scikit_learn():
    from sklearn.decomposition import non_negative_factorization

    rng = np.random.default_rng(0)
    templates = rng.random((5, 40)).astype(np.float32)
    templates /= templates.sum(axis=1, keepdims=True)
    spectrum = (rng.random((12, 5)) @ templates).astype(np.float32)
    expected, *_ = non_negative_factorization(
        spectrum,
        H=templates,
        n_components=5,
        update_H=False,
        solver="mu",
        beta_loss="kullback-leibler",
        max_iter=2000,
        tol=0,
    )
    # They start elsewhere, but the problem is convex, and both have arrived.
    found = nmf._solve(spectrum, templates, steps=2000)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("gain", [1.0, 0.05])
def test_a_chorale_in_the_font_of_the_templates_is_found_however_loud(gain):
    notes = perform(load("bach")["bwv66.6"].excerpt(0, 12), tempo=80)
    audio = np.float32(gain) * render(to_beats(notes), sample_rate=22050)
    scores = note_scores(notes, nmf_transcribe(audio, sample_rate=22050))
    assert scores.f > 0.9


def test_activations_have_a_row_for_each_20_ms():
    audio = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    assert nmf_activations(audio, sample_rate=16000).shape == (51, 88)


@pytest.mark.parametrize("samples", [1, 100, 16000])
def test_silence_has_no_notes(samples):
    assert len(nmf_transcribe(np.zeros(samples, np.float32), sample_rate=16000)) == 0


@pytest.mark.parametrize("bad", [{"onset_threshold": 0.0}, {"release": 1.0}])
def test_thresholds_are_checked(bad):
    with pytest.raises(ValueError, match="expected numbers in"):
        nmf_transcribe(np.ones(100, np.float32), sample_rate=16000, **bad)
