"""Attention against PyTorch's in value and gradient, positions against their formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from mircourse.attention import (
    KeyValues,
    MultiHeadAttention,
    PositionalEncoding,
    causal_mask,
    scaled_dot_product_attention,
)

EXACT = {"rtol": 0, "atol": 1e-10}


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def assert_same_gradients(a, b, inputs):
    """Values, and gradients under a weight of its own for each value."""
    torch.testing.assert_close(a, b, **EXACT)
    weight = torch.arange(1.0, a.numel() + 1, dtype=a.dtype).view_as(a).sin()
    for x, y in zip(
        torch.autograd.grad((a * weight).sum(), inputs),
        torch.autograd.grad((b * weight).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(x, y, **EXACT)


def test_the_equation():
    """eq:tf-attention, in NumPy."""
    torch.manual_seed(0)
    q, k, v = (normal(*shape).detach() for shape in ((3, 4), (5, 4), (5, 2)))
    out, weights = scaled_dot_product_attention(q, k, v)
    logits = q.numpy() @ k.numpy().T / np.sqrt(4)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weights.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(out.numpy(), expected @ v.numpy(), atol=1e-12)


@given(
    batch=st.lists(st.integers(1, 3), max_size=2),
    Tq=st.integers(1, 6),
    Tk=st.integers(1, 6),
    with_bias=st.booleans(),
    masked=st.sampled_from(["not", "some", "causal"]),
)
@settings(max_examples=60, deadline=None)
def test_it_is_pytorchs_in_value_and_gradient(batch, Tq, Tk, with_bias, masked):
    torch.manual_seed(Tq * 7 + Tk)
    q, k, v = normal(*batch, Tq, 5), normal(*batch, Tk, 5), normal(*batch, Tk, 3)
    bias = normal(*batch, Tq, Tk) if with_bias else None
    mask = None
    if masked == "some":
        mask = torch.rand(*batch, Tq, Tk) < 0.7
        mask[..., 0] = True
    elif masked == "causal":
        mask = torch.ones(Tq, Tk, dtype=torch.bool).tril()
    ours, _ = scaled_dot_product_attention(q, k, v, mask=mask, bias=bias)
    theirs_mask = mask
    if bias is not None:
        theirs_mask = bias if mask is None else bias.masked_fill(~mask, -math.inf)
    theirs = functional.scaled_dot_product_attention(q, k, v, attn_mask=theirs_mask)
    assert_same_gradients(ours, theirs, [q, k, v] + ([] if bias is None else [bias]))


def test_a_query_that_may_look_nowhere_gets_zeros_and_no_gradient():
    torch.manual_seed(0)
    q, k, v = normal(2, 3, 4), normal(2, 3, 4), normal(2, 3, 4)
    mask = torch.ones(2, 3, 3, dtype=torch.bool)
    mask[1, 2] = False
    out, weights = scaled_dot_product_attention(q, k, v, mask=mask)
    assert not out[1, 2].any() and not weights[1, 2].any()
    torch.testing.assert_close(weights.sum(-1)[0], torch.ones(3).double())
    grads = torch.autograd.grad(out.square().sum(), [q, k, v])
    assert all(torch.isfinite(g).all() for g in grads)
    assert not grads[0][1, 2].any() and grads[0][1, 1].any()


def test_order_does_not_matter_to_attention_and_does_with_positions():
    torch.manual_seed(0)
    x = normal(6, 8).detach()
    order = torch.randperm(6)
    out, _ = scaled_dot_product_attention(x, x, x)
    turned, _ = scaled_dot_product_attention(x[order], x[order], x[order])
    torch.testing.assert_close(turned, out[order], **EXACT)
    add = PositionalEncoding(8).double()
    out, _ = scaled_dot_product_attention(add(x), add(x), add(x))
    y = add(x[order])
    turned, _ = scaled_dot_product_attention(y, y, y)
    assert not torch.allclose(turned, out[order], atol=1e-3)


def test_attention_errors_say_what_came():
    x = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"query \(3, 4\), key \(3, 5\)"):
        scaled_dot_product_attention(x, torch.zeros(3, 5), x)
    with pytest.raises(ValueError, match=r"value \(2, 4\)"):
        scaled_dot_product_attention(x, x, torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"expected \(..., T, d\)"):
        scaled_dot_product_attention(torch.zeros(4), x, x)
    with pytest.raises(ValueError, match="no key"):
        scaled_dot_product_attention(x, torch.zeros(0, 4), torch.zeros(0, 4))
    with pytest.raises(TypeError, match=r"mask must be bool.*torch\.float32"):
        scaled_dot_product_attention(x, x, x, mask=torch.zeros(3, 3))


@pytest.mark.parametrize("d_model", [1, 2, 7, 16])
def test_even_columns_are_sines(d_model):
    """eq:tf-sin."""
    pe = PositionalEncoding(d_model, 5000).pe.double().numpy()
    for i in range((d_model + 1) // 2):
        expected = np.sin(np.arange(5000) / 10000 ** (2 * i / d_model))
        np.testing.assert_allclose(pe[:, 2 * i], expected, atol=1e-7)


@pytest.mark.parametrize("d_model", [1, 2, 7, 16])
def test_odd_columns_are_cosines(d_model):
    """eq:tf-cos."""
    pe = PositionalEncoding(d_model, 5000).pe.double().numpy()
    for i in range(d_model // 2):
        expected = np.cos(np.arange(5000) / 10000 ** (2 * i / d_model))
        np.testing.assert_allclose(pe[:, 2 * i + 1], expected, atol=1e-7)


def test_positions_are_added_and_can_be_named():
    torch.manual_seed(0)
    x, encoding = torch.randn(2, 4, 7), PositionalEncoding(7, 9)
    torch.testing.assert_close(encoding(x), x + encoding.pe[:4])
    positions = torch.tensor([[3, 4, 5, 8], [0, 0, 1, 2]])
    torch.testing.assert_close(encoding(x, positions), x + encoding.pe[positions])
    assert not list(encoding.parameters()) and not encoding.state_dict()


def test_positional_errors():
    with pytest.raises(ValueError, match="at least 1, got 0, 5000"):
        PositionalEncoding(0)
    for shape in ((2, 11, 4), (2, 3, 5), (4,)):
        with pytest.raises(ValueError, match=r"expected x \(..., T, 4\) with T of at most 10"):
            PositionalEncoding(4, 10)(torch.zeros(shape))


def from_torch(theirs):
    ours = MultiHeadAttention(theirs.embed_dim, theirs.num_heads).double()
    with torch.no_grad():
        ours.to_qkv.weight.copy_(theirs.in_proj_weight)
        ours.to_qkv.bias.copy_(theirs.in_proj_bias)
        ours.to_out.load_state_dict(theirs.out_proj.state_dict())
    return ours


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n_heads", [1, 2, 6])
def test_heads_are_pytorchs(causal, n_heads):
    """eq:tf-multihead."""
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(12, n_heads, batch_first=True).double()
    ours = from_torch(theirs)
    ours.causal = causal
    x = normal(2, 5, 12)
    later = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None  # theirs: True is hidden
    expected, weights = theirs(x, x, x, attn_mask=later, average_attn_weights=False)
    assert_same_gradients(ours(x), expected, [x])
    torch.testing.assert_close(ours.weights(x), weights, **EXACT)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_weights_are_those_that_forward_uses(relative, causal, masked):
    torch.manual_seed(0)
    attention = MultiHeadAttention(
        12, 3, causal=causal, relative=relative, max_len=9, max_distance=4 if relative else None
    ).double()
    x = normal(2, 7, 12)
    mask = None
    if masked:
        mask = torch.rand(2, 1, 7, 7) < 0.6
        mask[1, :, 3] = False
    weights = attention.weights(x, mask=mask)
    values = attention.to_qkv(x)[..., 24:].view(2, 7, 3, 4).transpose(1, 2)
    expected = attention.to_out((weights @ values).transpose(1, 2).flatten(2))
    assert_same_gradients(attention(x, mask=mask), expected, [x, *attention.to_qkv.parameters()])
    if causal:
        assert not weights.triu(1).any()


@pytest.mark.parametrize("relative", [False, True])
def test_reading_on_is_reading_at_once(relative):
    torch.manual_seed(0)
    attention = MultiHeadAttention(12, 3, causal=True, relative=relative, max_len=200).double()
    x = normal(2, 150, 12).detach()
    expected, cache = attention(x), KeyValues()
    with torch.no_grad():
        parts = [attention(part, cache=cache) for part in x.split([70, 1, 1, 77, 1], dim=1)]
    assert cache.length == 150
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, **EXACT)


def test_a_cache_keeps_chosen_sequences():
    torch.manual_seed(0)
    attention = MultiHeadAttention(8, 2, causal=True, relative=True, max_len=9).double()
    x, cache = normal(3, 6, 8).detach(), KeyValues()
    rows = torch.tensor([2, 0, 2])
    with torch.no_grad():
        cache.select(rows)  # nothing is held yet
        attention(x[:, :5], cache=cache)
        cache.select(rows)
        last = attention(x[rows, 5:], cache=cache)
        torch.testing.assert_close(last, attention(x[rows])[:, 5:], **EXACT)
        with pytest.raises(ValueError, match=r"of 3 sequences and 2 heads, got keys \(1, 2, 1, 4"):
            attention(x[:1, :1], cache=cache)


def test_causal_mask_ends_at_the_last_key():
    assert causal_mask(2, 4).tolist() == [[True, True, True, False], [True] * 4]


def test_heads_must_divide_the_model():
    with pytest.raises(ValueError, match="d_model=10 and n_heads=3"):
        MultiHeadAttention(10, 3)
