"""The onset network's view in time, and peak picking."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse.cnn import OnsetCNN, peak_pick


@pytest.mark.parametrize("context", [9, 15, 21])
def test_a_frame_depends_on_its_context_and_on_nothing_else(context):
    torch.manual_seed(0)
    model = OnsetCNN(context=context, width=0.4).eval()
    x = torch.randn(1, 80, 40, requires_grad=True)
    model(x)[0, 20].backward()
    seen = x.grad[0].abs().sum(0).nonzero().squeeze(1)
    assert seen.min() == 20 - context // 2
    assert seen.max() == 20 + context // 2


def test_the_parameters_are_counted_from_the_paper():
    """Ten 3 x 7 and twenty 3 x 3 filters, 256 hidden units on 20 x 8 bands x 7 frames, one out."""
    model = OnsetCNN()
    expected = (10 * 21 + 10) + (20 * 90 + 20) + (256 * 20 * 8 * 7 + 256) + (256 + 1)
    assert sum(p.numel() for p in model.parameters()) == expected + 2 * 80  # normalisation


@pytest.mark.parametrize("frames", [1, 2, 14, 15, 100])
def test_one_logit_per_frame_whatever_the_length(frames):
    assert OnsetCNN(width=0.4)(torch.randn(3, 80, frames)).shape == (3, frames)


def test_frames_are_those_of_the_clock():
    model = OnsetCNN(width=0.4)
    assert model.hop_seconds == pytest.approx(220 / 22050)
    logits = model(torch.randn(1, 22050))
    assert logits.shape[1] == 1 + 22050 // 220


def test_an_excerpt_gives_the_logits_of_the_whole():
    torch.manual_seed(0)
    model = OnsetCNN(width=0.4).eval()
    x = torch.randn(1, 80, 60)
    torch.testing.assert_close(model(x[..., 10:50])[:, 7:-7], model(x)[:, 17:43])


def test_too_little_context_or_too_few_bands_are_refused():
    for context in (7, 14):
        with pytest.raises(ValueError, match="odd number of frames, 9 or more"):
            OnsetCNN(context=context)
    with pytest.raises(ValueError, match="expected 17 or more"):
        OnsetCNN(n_mels=16)
    OnsetCNN(n_mels=17)


@given(
    gaps=st.lists(st.integers(3, 20), max_size=8),
    first=st.integers(0, 5),
    tail=st.integers(0, 5),
    smooth=st.sampled_from([1, 3]),
)
@settings(max_examples=80, deadline=None)
def test_onsets_three_frames_apart_are_found_again(gaps, first, tail, smooth):
    frames = first + np.concatenate([[0], np.cumsum(gaps)]).astype(int)
    target = np.zeros(frames[-1] + 1 + tail)
    target[frames] = 1.0
    times = peak_pick(target, hop_seconds=0.01, smooth=smooth)
    np.testing.assert_allclose(times, frames * 0.01)


def test_of_two_onsets_too_close_the_higher_stays():
    curve = np.zeros(20)
    curve[[5, 7, 15]] = [0.7, 0.9, 0.8]
    found = peak_pick(curve, hop_seconds=0.01, smooth=1)
    np.testing.assert_allclose(found, [0.07, 0.15])
    every = peak_pick(curve, hop_seconds=0.01, smooth=1, min_gap=0.02)
    np.testing.assert_allclose(every, [0.05, 0.07, 0.15])


def test_the_threshold_is_reached_or_not():
    curve = [0, 0.3, 0, 0, 0, 0.6, 0]
    for threshold, frames in {0.2: [1, 5], 0.3: [1, 5], 0.5: [5], 0.7: []}.items():
        times = peak_pick(curve, hop_seconds=1.0, smooth=1, min_gap=0, threshold=threshold)
        np.testing.assert_allclose(times, frames)


def test_a_plateau_counts_once_and_a_shoulder_not_at_all():
    curve = [0, 0.8, 0.8, 0.8, 0, 0, 0.6, 0.6, 0.9, 0]
    np.testing.assert_allclose(peak_pick(curve, hop_seconds=1.0, smooth=1, min_gap=0), [2, 8])


def test_smoothing_is_a_hamming_window():
    curve = np.zeros(11)
    curve[5] = 1.0
    height = 1 / np.hamming(5).sum()  # of a lone frame after smoothing
    for threshold, count in ((height - 1e-6, 1), (height + 1e-6, 0)):
        assert len(peak_pick(curve, hop_seconds=0.01, smooth=5, threshold=threshold)) == count


@pytest.mark.parametrize("silence", [[], np.zeros(50), [0.0]])
def test_no_onset_in_nothing(silence):
    assert peak_pick(silence, hop_seconds=0.01).shape == (0,)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([[0.1, 0.2]], {}, "one recording"),
        ([0.1, -2.0, 3.0], {}, "apply a sigmoid"),
        ([0.1, float("nan")], {}, "expected probabilities"),
        ([0.1], {"hop_seconds": 0.0}, "a positive hop"),
        ([0.1], {"threshold": 2.0}, "a threshold between 0 and 1"),
        ([0.1], {"min_gap": -1.0}, "a gap of at least 0"),
        ([0.1], {"smooth": 4}, "odd number of frames"),
    ],
)
def test_bad_input_is_named(values, options, message):
    with pytest.raises(ValueError, match=message):
        peak_pick(values, **{"hop_seconds": 0.01, **options})
