"""Relative attention against the formula that has a vector for every pair of positions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from mircourse import relativeattention
from mircourse.relative import RelativePositionalEncoding, skew
from mircourse.relativeattention import relative_attention

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def naive_logits(encoding, q, Tk):
    """Return q_i . e_(j - i) for (..., H, Tq, d), from L x L x D gathered vectors."""
    Tq = q.shape[-2]
    distance = torch.arange(Tk)[None] - (torch.arange(Tq) + Tk - Tq)[:, None]
    far = encoding.farthest
    index = distance.clamp(-far, 0 if encoding.causal else far) + far
    pairs = encoding.rel_pos_emb[:, index]  # (H, Tq, Tk, d)
    logits = torch.einsum("...hid,hijd->...hij", q, pairs.expand(q.shape[-3], -1, -1, -1))
    return logits.masked_fill(distance > 0, 0) if encoding.causal else logits


def naive_attention(encoding, q, k, v, mask):
    logits = (q @ k.transpose(-1, -2) + naive_logits(encoding, q, k.shape[-2])) / q.shape[-1] ** 0.5
    seen = torch.ones(logits.shape, dtype=torch.bool)
    if encoding.causal:
        seen = seen.tril(k.shape[-2] - q.shape[-2])
    if mask is not None:
        seen = seen & mask
    nowhere = ~seen.any(-1, keepdim=True)
    weights = logits.masked_fill(~(seen | nowhere), -math.inf).softmax(-1)
    return weights.masked_fill(nowhere, 0) @ v


def leaf(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def assert_same(ours, naive, inputs, **tolerance):
    torch.testing.assert_close(ours, naive, **tolerance)
    weight = torch.arange(1.0, ours.numel() + 1).view_as(ours).sin().to(ours.dtype)
    grads = [
        torch.autograd.grad((out * weight).sum(), inputs, allow_unused=True)
        for out in (ours, naive)
    ]
    for a, b in zip(*grads, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, **tolerance)


def test_skew_moves_each_row():
    """eq:tf-skew."""
    products = torch.randn(2, 4, 9)
    moved = skew(products, 6)
    for i in range(4):
        for j in range(6):
            assert torch.equal(moved[:, i, j], products[:, i, 3 - i + j])
    assert moved.untyped_storage().data_ptr() == products.untyped_storage().data_ptr()


@given(
    Tq=st.integers(1, 12),
    before=st.integers(0, 9),
    room=st.integers(0, 5),
    heads=st.sampled_from([(1, 1), (1, 3), (3, 3)]),
    causal=st.booleans(),
    clipped=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_logits_are_the_naive_ones(Tq, before, room, heads, causal, clipped):
    """eq:tf-relative: shorter than max_len, one position, fewer queries than keys."""
    torch.manual_seed(Tq * 31 + before)
    Tk = Tq + before
    encoding = RelativePositionalEncoding(
        8,
        Tk + room,
        n_heads=heads[0],
        causal=causal,
        max_distance=min(3, Tk + room - 1) if clipped else None,
    )
    q, k = leaf(2, heads[1], Tq, 8), leaf(2, heads[1], Tk, 8)
    ours = encoding(q, k)
    assert_same(ours, naive_logits(encoding, q, Tk), [q, encoding.rel_pos_emb], **CLOSE)


def test_one_sequence_and_extra_axes():
    encoding = RelativePositionalEncoding(8, 20)
    q = torch.randn(5, 8)
    expected = naive_logits(encoding, q[None], 5)[0]
    torch.testing.assert_close(encoding(q, q), expected)
    torch.testing.assert_close(encoding(q.expand(2, 3, 4, 5, 8), q)[1, 2, 3], expected)


@pytest.mark.parametrize("rows, logits", [(128, 2**18), (4, 64), (7, 1), (5, 600)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("Tq", [1, 2, 9, 17])
def test_attention_is_the_naive_one_however_it_is_cut(
    rows, logits, causal, masked, Tq, monkeypatch
):
    monkeypatch.setattr(relativeattention, "_ROWS", rows)
    monkeypatch.setattr(relativeattention, "_LOGITS", logits)
    torch.manual_seed(Tq)
    for n_heads, far in ((1, None), (3, 4)):
        encoding = RelativePositionalEncoding(
            8, 20, n_heads=n_heads, causal=causal, max_distance=far
        ).double()
        q = leaf(2, 3, Tq, 8, dtype=torch.float64)
        k, v = (leaf(2, 3, 17, 8, dtype=torch.float64) for _ in range(2))
        mask = None
        if masked:  # the first query and one of the keys are padding, among others
            mask = (torch.rand(2, 1, 1, 17) > 0.3) & (torch.rand(2, 1, Tq, 1) > 0.2)
            mask[0, :, 0] = False
        window = encoding.window(Tq, 17)
        ours = relative_attention(q, k, v, window, causal=causal, mask=mask)
        naive = naive_attention(encoding, q, k, v, mask)
        assert_same(ours, naive, [q, k, v, encoding.rel_pos_emb], rtol=0, atol=1e-10)


def test_single_precision_at_length():
    torch.manual_seed(0)
    encoding = RelativePositionalEncoding(16, 700, n_heads=2, causal=True)
    q, k, v = (leaf(1, 2, 600, 16) for _ in range(3))
    ours = relative_attention(q, k, v, encoding.window(600, 600), causal=True)
    naive = naive_attention(encoding, q, k, v, None)
    assert_same(ours, naive, [q, k, v, encoding.rel_pos_emb], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_is_close_and_finite(kind):
    torch.manual_seed(0)
    encoding = RelativePositionalEncoding(16, 200, n_heads=2, causal=True)
    exact = [leaf(2, 2, 150, 16) for _ in range(3)]
    half = [x.detach().to(kind).requires_grad_() for x in exact]
    mask = torch.ones(2, 1, 1, 150, dtype=torch.bool)
    mask[1, ..., :20] = False  # rows 0 to 19 see nothing
    window = encoding.window(150, 150)
    outs = [relative_attention(*x, window, causal=True, mask=mask) for x in (exact, half)]
    assert outs[1].dtype == kind and not outs[1][1, :, :20].any()
    torch.testing.assert_close(outs[1].float(), outs[0], rtol=0.05, atol=0.05)
    grads = [
        torch.autograd.grad(o.float().square().sum(), x)
        for o, x in zip(outs, (exact, half), strict=True)
    ]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(b.float(), a, rtol=0.1, atol=0.1)


class Allocated(TorchDispatchMode):
    """Note the most numbers that the result of one operation has memory for."""

    def __init__(self):
        super().__init__()
        self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for part in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(part, torch.Tensor):
                size = part.untyped_storage().nbytes() // part.element_size()
                self.most = max(self.most, size)
        return out


def numbers_held(L, d):
    """Return the most numbers in one piece of memory, and how many wait for the way back."""
    encoding = RelativePositionalEncoding(d, L, n_heads=2, causal=True)
    q, k, v = (leaf(1, 2, L, d) for _ in range(3))
    saved = {}

    def note(x):
        saved[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes() // x.element_size()
        return x

    with Allocated() as allocated, torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        out = relative_attention(q, k, v, encoding.window(L, L), causal=True)
        out.sum().backward()
    return allocated.most, sum(saved.values())


def test_memory_grows_as_the_length(monkeypatch):
    monkeypatch.setattr(relativeattention, "_ROWS", 16)
    monkeypatch.setattr(relativeattention, "_LOGITS", 1)
    d, held = 8, {}
    for L in (128, 256, 512):
        held[L] = numbers_held(L, d)
        most, saved = held[L]
        assert most <= max(16 * (L + 1), 2 * L * d)  # 16 rows of logits, or two heads of queries
        assert saved <= 2 * L * (5 * d + 1) + L  # q, k, v, e, out and one number a row
    assert held[512][1] <= 4.2 * held[128][1]


def test_the_vectors_are_never_gathered_for_pairs():
    L, d = 64, 32
    encoding = RelativePositionalEncoding(d, L + 5)
    q = leaf(L, d)
    with Allocated() as allocated:
        encoding(q, q).sum().backward()
    assert allocated.most == L * (2 * L - 1)  # the products; pairs would be L * L * d
    window = encoding.window(L, L)
    assert window.untyped_storage().data_ptr() == encoding.rel_pos_emb.data_ptr()


def test_errors():
    with pytest.raises(ValueError, match="at least 1, got 0, 5 and 1"):
        RelativePositionalEncoding(0, 5)
    with pytest.raises(ValueError, match="max_distance must be from 0 to 4, got 5"):
        RelativePositionalEncoding(8, 5, max_distance=5)
    encoding = RelativePositionalEncoding(8, 5, n_heads=2)
    q = torch.zeros(2, 6, 8)
    with pytest.raises(ValueError, match="max_len = 5, got 6 queries and 6 keys"):
        encoding(q, q)
    with pytest.raises(ValueError, match="got 4 queries and 3 keys"):
        encoding(q[:, :4], q[:, :3])
    with pytest.raises(ValueError, match="got 0 queries"):
        encoding(q[:, :0], q[:, :3])
    with pytest.raises(ValueError, match=r"expected q \(..., 2, Tq, 8\), got \(3, 4, 8\)"):
        encoding(torch.zeros(3, 4, 8), q)
    with pytest.raises(ValueError, match=r"got \(2, 3, 7\) and"):
        encoding(torch.zeros(2, 3, 7), q)
