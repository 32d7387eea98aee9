"""What is wrong in the published listings of the CNN section, each fault rebuilt small.

The page `book/reference/errata_cnn.md` names these tests; the last test keeps the two together.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mircourse.cnn import HarmonicCNN, HarmonicStack, MultiScaleConv2d, MusicCNN

PAGE = Path(__file__).parents[1] / "book" / "reference" / "errata_cnn.md"


def test_tall_branch_has_one_row_too_many():
    x = torch.randn(1, 4, 64, 40)
    tall = nn.Conv2d(4, 8, (12, 1), padding=(6, 0))(x)
    wide = nn.Conv2d(4, 8, (1, 7), padding=(0, 3))(x)
    assert (tall.shape[2], wide.shape[2]) == (65, 64)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        torch.cat([tall, wide], dim=1)
    features = MusicCNN(width=0.1).extract_features(torch.randn(1, 128, 80))
    assert features["harmonic"].shape == features["temporal"].shape


def test_attention_is_built_and_never_used():
    x = torch.randn(2, 16, 8, 10)
    attention = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1), nn.Softmax(dim=1))
    classifier = nn.Linear(16, 3)
    classifier(x.mean(dim=(2, 3))).sum().backward()  # the forward pass as printed: it is not called
    assert all(p.grad is None for p in attention.parameters())

    model = MusicCNN(width=0.1)
    model(torch.randn(2, 128, 80)).square().sum().backward()
    assert all(p.grad.any() for p in model.head.pool.parameters())


def test_attention_after_global_pooling_would_weigh_one_thing():
    """By the time of the classifier no time axis is left: softmax over one score is 1."""
    attention = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1), nn.Softmax(dim=1))
    pooled = nn.AdaptiveAvgPool2d((1, 1))(torch.randn(5, 16, 8, 10)).flatten(1)
    torch.testing.assert_close(attention(pooled), torch.ones(5, 1))

    weights = MusicCNN(width=0.1).extract_features(torch.randn(5, 128, 80))["attention"]
    assert weights.shape == (5, 20)
    assert weights.std(dim=1).min() > 0


def test_last_bias_of_the_attention_cannot_learn():
    frames = torch.randn(2, 10, 16)
    score = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))
    weights = score(frames).softmax(dim=1)
    (weights * frames).sum(1).square().sum().backward()
    assert score[0].weight.grad.abs().max() > 1e-3
    assert score[2].bias.grad.abs().max() < 1e-5 * score[2].weight.grad.abs().max()
    assert MusicCNN(width=0.1).head.pool.score.bias is None


def test_biases_before_batch_normalisation_cannot_learn():
    conv, norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
    norm(conv(torch.randn(3, 1, 16, 16))).pow(3).sum().backward()
    assert conv.bias.grad.abs().max() < 1e-4 * conv.weight.grad.abs().max()
    assert all(
        m.bias is None
        for model in (MusicCNN(width=0.1), HarmonicCNN(width=0.1, n_bins=24, f_min=261.6))
        for m in model.modules()
        if isinstance(m, nn.Conv2d)
    )


def test_the_sum_over_scales_is_not_a_concatenation():
    """The equation adds; the listing concatenates two branches with one kernel each."""
    x = torch.randn(1, 4, 16, 20)
    scales = [nn.Conv2d(4, 8, k, padding=k // 2, bias=False) for k in (3, 7)]
    outputs = [conv(x) for conv in scales]
    assert torch.cat(outputs, dim=1).shape[1] == 2 * sum(outputs).shape[1]

    block = MultiScaleConv2d(4, 8, kernel_sizes=(3, 7), bias=False)
    for ours, conv in zip(block.scales, scales, strict=True):
        ours.weight.data = conv.weight.data
    torch.testing.assert_close(block(x), sum(outputs))


def test_the_sum_over_scales_is_one_convolution():
    """Without anything nonlinear between, a 3 x 3 and a 7 x 7 filter make one 7 x 7 filter."""
    x = torch.randn(1, 4, 16, 20)
    small, large = torch.randn(8, 4, 3, 3), torch.randn(8, 4, 7, 7)
    both = F.conv2d(x, small, padding=1) + F.conv2d(x, large, padding=3)
    one = F.conv2d(x, large + F.pad(small, (2, 2, 2, 2)), padding=3)
    torch.testing.assert_close(both, one, atol=1e-4, rtol=1e-4)


def test_short_recordings_stop_the_listing():
    n_fft = 2048
    with pytest.raises(RuntimeError, match="Padding size should be less than"):
        torch.stft(torch.randn(1, 1000), n_fft, window=torch.ones(n_fft), return_complex=True)
    pool = nn.MaxPool2d(2)
    with pytest.raises(RuntimeError, match="Output size is too small"):
        pool(pool(torch.randn(1, 1, 128, 3)))  # three frames, pooled twice
    model = MusicCNN(width=0.1).eval()
    assert torch.isfinite(model(torch.randn(1, 1000))).all()
    assert torch.isfinite(model(torch.randn(1, 128, 3))).all()


def test_harmonic_filters_of_full_height_leave_one_row():
    n_harmonics, x = 6, torch.randn(2, 1, 128, 40)
    filters = torch.randn(n_harmonics, 1, 128, 1)
    after = F.conv2d(x, filters[0].unsqueeze(0))
    assert after.shape == (2, 1, 1, 40)
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        nn.Conv2d(1, 32, kernel_size=(3, 3))(after)

    model = HarmonicCNN(width=0.1, n_bins=24, f_min=261.6).eval()
    features = model.extract_features(torch.randn(2, model.harmonics.rows, 40))
    assert features["harmonics"].shape == (2, 6, 24, 40)


def test_harmonic_filters_at_random_shift_nothing():
    """A line at row k: the random filter answers with one number of its own, not with a line."""
    k, filters = 90, torch.randn(6, 1, 128, 1)
    line = torch.zeros(1, 1, 128, 1)
    line[0, 0, k] = 1.0
    answers = [F.conv2d(line, f.unsqueeze(0)).item() for f in filters]
    np.testing.assert_allclose(answers, filters[:, 0, k, 0])

    octave = 12
    stack = HarmonicStack(6, n_bins=96, bins_per_octave=octave)
    x = torch.full((1, stack.rows, 1), -20.0)
    x[0, k] = 0.0
    found = stack(x)[0, :, :, 0].argmax(dim=1).tolist()
    assert found == [round(k - octave * np.log2(h)) for h in range(1, 7)]


def test_a_mel_axis_has_no_shift_for_a_harmonic():
    """An octave is a different number of mel bands at every pitch, so no fixed shift exists."""

    def band(hz):
        mel = 2595 * np.log10(1 + np.asarray(hz) / 700)
        return 128 * mel / (2595 * np.log10(1 + 11025 / 700))

    octaves = band([220, 880, 3520]) - band([110, 440, 1760])
    assert octaves.max() > 3 * octaves.min()


def test_the_page_and_these_tests_name_each_other():
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    here = {name for name in globals() if name.startswith("test_")}
    assert named == here - {"test_the_page_and_these_tests_name_each_other"}
