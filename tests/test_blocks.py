"""Convolutions and poolings against PyTorch, NumPy and their equations."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse.blocks import MultiScaleConv2d, SameConv2d, conv_block, scaled
from mircourse.pooling import AttentionPooling, AveragePooling, ClassifierHead

KERNELS = st.tuples(st.integers(1, 13), st.integers(1, 8))
SIZES = st.tuples(st.integers(1, 20), st.integers(1, 12))


def reference(x, weight, bias=None):
    """Correlate with zeros around: margin (k - 1) // 2 before and k // 2 after, one by one."""
    f, t = weight.shape[2:]
    x = np.pad(x, [(0, 0), (0, 0), ((f - 1) // 2, f // 2), ((t - 1) // 2, t // 2)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (f, t), axis=(2, 3))
    out = np.einsum("bcFTft,ocft->boFT", windows, weight)
    return out if bias is None else out + bias[:, None, None]


def test_a_filter_is_the_tensor_of_equation_cnn_filter():
    """eq:cnn-filter, W in R^(f x t x c_in x c_out): one number for every f, t, c_in and c_out."""
    f, t, c_in, c_out = 12, 1, 64, 128
    conv = SameConv2d(c_in, c_out, (f, t), bias=False)
    assert conv.weight.permute(2, 3, 1, 0).shape == (f, t, c_in, c_out)
    assert sum(p.numel() for p in conv.parameters()) == f * t * c_in * c_out


@given(kernel=KERNELS, size=SIZES)
@settings(max_examples=60, deadline=None)
def test_same_conv_keeps_the_size_and_equals_a_correlation(kernel, size):
    torch.manual_seed(0)
    conv = SameConv2d(2, 3, kernel)
    x = torch.randn(2, 2, *size)
    y = conv(x)
    assert y.shape == (2, 3, *size)
    expected = reference(x.numpy(), conv.weight.detach().numpy(), conv.bias.detach().numpy())
    np.testing.assert_allclose(y.detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [0, (3, 0), (1, 2, 3), (2.0, 1), -3])
def test_a_kernel_that_is_none_is_refused(kernel):
    with pytest.raises(ValueError, match="expected one positive integer or two"):
        SameConv2d(1, 1, kernel)


@given(kernels=st.lists(KERNELS, min_size=1, max_size=4), size=SIZES)
@settings(max_examples=40, deadline=None)
def test_multi_scale_is_the_sum_of_equation_cnn_multiscale(kernels, size):
    """eq:cnn-multiscale, y = sum over s of Conv_s(x), each by torch.nn.functional.conv2d."""
    torch.manual_seed(0)
    block = MultiScaleConv2d(2, 3, kernel_sizes=kernels)
    x = torch.randn(2, 2, *size)
    expected = torch.zeros(2, 3, *size)
    for conv, (f, t) in zip(block.scales, kernels, strict=True):
        padded = F.pad(x, ((t - 1) // 2, t // 2, (f - 1) // 2, f // 2))
        expected += F.conv2d(padded, conv.weight, conv.bias)
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(block.fuse()(x), expected, atol=1e-5, rtol=1e-5)


def test_multi_scale_has_one_bias_and_needs_a_scale():
    block = MultiScaleConv2d(1, 8, kernel_sizes=(3, (12, 1), (1, 7)))
    assert sum(p.numel() for p in block.parameters()) == 8 * (9 + 12 + 7) + 8
    with pytest.raises(ValueError, match="at least one kernel"):
        MultiScaleConv2d(1, 8, kernel_sizes=())


def test_pooling_keeps_the_remainder():
    block = conv_block(SameConv2d(1, 2, 3, bias=False), 2, pool=(2, 2)).eval()
    for size, pooled in {(1, 1): (1, 1), (5, 7): (3, 4), (8, 8): (4, 4)}.items():
        assert block(torch.randn(1, 1, *size)).shape[2:] == pooled


def test_width_scales_channels():
    assert [scaled(128, w) for w in (1.0, 0.25, 0.001)] == [128, 32, 4]
    for width in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="positive factor"):
            scaled(64, width)


def attention_by_numpy(pool, x, mask=None):
    W, b = pool.hidden.weight.detach().numpy(), pool.hidden.bias.detach().numpy()
    scores = np.tanh(x @ W.T + b) @ pool.score.weight.detach().numpy()[0]
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights[..., None] * x).sum(axis=1), weights


@given(frames=st.integers(1, 9), seed=st.integers(0, 99), masked=st.booleans())
@settings(max_examples=40, deadline=None)
def test_attention_is_equation_cnn_attention(frames, seed, masked):
    """eq:cnn-attention in NumPy, with and without frames that do not count."""
    torch.manual_seed(seed)
    pool = AttentionPooling(6, hidden=5)
    x = 3 * torch.randn(4, frames, 6)
    mask = None
    if masked:
        mask = torch.rand(4, frames) < 0.5
        mask[:, seed % frames] = True
    pooled, weights = pool(x, mask)
    expected, expected_weights = attention_by_numpy(
        pool, x.numpy(), None if mask is None else mask.numpy()
    )
    np.testing.assert_allclose(pooled.detach(), expected, atol=1e-5)
    np.testing.assert_allclose(weights.detach(), expected_weights, atol=1e-6)


def test_a_row_without_any_valid_frame_is_averaged_plainly():
    pool, x = AttentionPooling(6), torch.randn(2, 5, 6)
    pooled, weights = pool(x, torch.zeros(2, 5, dtype=torch.bool))
    torch.testing.assert_close(pooled, x.mean(1))
    torch.testing.assert_close(weights, torch.full((2, 5), 0.2))


def test_average_pooling_is_attention_to_all_frames_alike():
    x = torch.randn(3, 7, 4)
    pooled, weights = AveragePooling()(x)
    torch.testing.assert_close(pooled, torch.einsum("bt,btd->bd", weights, x))
    torch.testing.assert_close(weights.sum(1), torch.ones(3))


def test_attention_says_what_shape_it_wants():
    pool = AttentionPooling(6)
    with pytest.raises(ValueError, match=r"expected \(B, T, features\)"):
        pool(torch.randn(5, 6))
    with pytest.raises(ValueError, match=r"expected \(2, 5\), one flag per frame"):
        pool(torch.randn(2, 5, 6), torch.ones(2, 6, dtype=torch.bool))


@pytest.mark.parametrize("keep", [True, False])
def test_the_head_knows_where_in_the_spectrum_only_if_frequency_is_kept(keep):
    torch.manual_seed(0)
    head = ClassifierHead(
        8, 10, 3, keep_frequency=keep, pooling="attention", reduced=4, hidden=8, dropout=0.0
    ).eval()
    x = torch.randn(2, 8, 10, 6)
    moved = head(x.roll(3, dims=2))["logits"]
    assert torch.allclose(moved, head(x)["logits"], atol=1e-5) is not keep
