"""Attention with distances whose memory grows as the length, not as its square.

`mircourse.relative` finds the logits of all pairs of positions. `relative_attention` goes on from
there. It takes some rows of the logits at a time and lets the products of queries and keys be added
to the skewed products of queries and distances in the same memory, so that neither shift nor sum is
a step of its own. On the way back it computes rows again rather than keep them, as Dao et al.
(2022) do for attention without distances. Nothing of the size :math:`L^2` is ever there.

Lesson: book/transformer/attention
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# Rows at a time, and most logits at a time, on a processor: what fits its cache.
_ROWS = 128
_LOGITS = 2**18
# A graphics processor wants more to do at a time.
_ROWS_ON_GPU = 512
_LOGITS_ON_GPU = 2**25


@torch.compiler.disable
def relative_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    vectors: Tensor,
    *,
    causal: bool,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Attend with distances in memory that grows as the length, not as its square.

    .. math::
        \operatorname{softmax}\left(\frac{Q K^T + S}{\sqrt{d}}\right) V

    Lesson: book/transformer/attention

    Parameters
    ----------
    query : Tensor, (B, H, Tq, d)
        The last Tq of Tk positions.
    key, value : Tensor, (B, H, Tk, d)
        Of one dtype with `query`.
    vectors : Tensor, (H or 1, n, d)
        `RelativePositionalEncoding.window` of Tq and Tk.
    causal : bool
        Whether a query sees only keys at or before it.
    mask : Tensor of bool, optional
        Broadcast to (B, H, Tq, Tk): True where a query may look. A query that may look nowhere
        gets zeros.

    Returns
    -------
    Tensor, (B, H, Tq, d)
    """
    B, H, Tq, _ = query.shape
    vectors = vectors.to(query.dtype).expand(H, -1, -1)
    if Tq == 1:
        return _of_one_query(query, key, value, vectors, mask)
    parts = [t.transpose(0, 1) for t in (query, key, value)]  # (B, H, T, d) -> (H, B, T, d)
    if mask is not None:
        mask = mask.expand(B, H, Tq, key.shape[2]).transpose(0, 1)
    out = _RelativeAttention.apply(*parts, vectors, mask, causal)
    return out.transpose(0, 1)  # (H, B, Tq, d) -> (B, H, Tq, d)


def _of_one_query(q: Tensor, k: Tensor, v: Tensor, e: Tensor, mask: Tensor | None) -> Tensor:
    # Nothing to shift. All sequences of a head at once: they share its vectors.
    products = torch.bmm(q[:, :, 0].transpose(0, 1), e.transpose(1, 2))  # (H, B, d) -> (H, B, Tk)
    bias = products.transpose(0, 1).unsqueeze(2) * q.shape[-1] ** -0.5  # (B, H, 1, Tk)
    if mask is None:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    nowhere = ~mask.any(dim=-1, keepdim=True)
    bias = bias.masked_fill(~(mask | nowhere), -math.inf)
    out = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return out.masked_fill(nowhere, 0)


class _Block(NamedTuple):
    """Some rows of the logits of a head: R queries, the keys they may see, the vectors between."""

    rows: slice
    keys: int
    vectors: slice


def _blocks(Tq: int, Tk: int, rows: int, causal: bool) -> list[_Block]:
    """Cut the rows into blocks."""
    before = Tk - Tq
    ends = [(a, min(a + rows, Tq)) for a in range(0, Tq, rows)]
    return [
        _Block(
            slice(a, b),
            keys=before + b if causal else Tk,
            # Column c of the products belongs to j - i = c + 1 - (before + b).
            vectors=slice(Tq - b, Tk if causal else Tk + Tq - 1 - a),
        )
        for a, b in ends
    ]


def _groups(q: Tensor, Tk: int) -> tuple[int, list[tuple[slice, slice]]]:
    """Return how many rows to take at a time, and of which heads and sequences at once."""
    H, B, Tq, _ = q.shape
    rows, budget = (_ROWS_ON_GPU, _LOGITS_ON_GPU) if q.is_cuda else (_ROWS, _LOGITS)
    rows = min(rows, Tq)
    some = min(B, max(1, budget // (rows * Tk)))
    heads = min(H, max(1, budget // (rows * Tk * B))) if some == B else 1
    return rows, [
        (slice(h, min(h + heads, H)), slice(b, min(b + some, B)))
        for h in range(0, H, heads)
        for b in range(0, B, some)
    ]


class _Space:
    """Memory for the products of a block, taken once."""

    def __init__(self, like: Tensor) -> None:
        self.memory = like.new_empty(0)

    def get(self, block: _Block, n: int, *, clear: bool = False) -> tuple[Tensor, Tensor]:
        """Return (N, R, products) and its skewed view (N, R, keys): the same memory, read anew.

        To clear it is to put zeros where the skewed view leaves something out.
        """
        rows = block.rows.stop - block.rows.start
        columns = block.vectors.stop - block.vectors.start
        width = max(columns, block.keys + 1)
        if self.memory.numel() < n * rows * width:
            self.memory = self.memory.new_empty(n * rows * width)
        flat = self.memory[: n * rows * width].view(n, rows * width)
        if clear and width == block.keys + 1:
            # The skewed rows lie side by side: only what is before the first and after the last.
            flat[:, : rows - 1] = 0
            flat[:, -1] = 0
        elif clear:
            flat.zero_()
        strides = (rows * width, width - 1, 1)
        skewed = flat.as_strided((n, rows, block.keys), strides, rows - 1)
        return flat.view(n, rows, width)[..., :columns], skewed


class _RelativeAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, e, mask, causal) -> Tensor:  # type: ignore[override]
        H, B, Tq, d = q.shape
        q = q * d**-0.5
        # In the order in which the heads are put side by side afterwards.
        out = q.new_empty(B, Tq, H, d).permute(2, 0, 1, 3)
        lse = q.new_empty(H, B, Tq, dtype=_sums(q.dtype))
        limits = torch.finfo(lse.dtype)
        space, later = _Space(q), None
        rows, groups = _groups(q, k.shape[2])
        blocks = _blocks(Tq, k.shape[2], rows, causal)
        if causal:
            later = _later(rows, q.device)
        for at in groups:
            # Copied where heads lie side by side: products of rows far apart are slow.
            qs, keys, values = (t[at].flatten(0, 1).contiguous() for t in (q, k, v))  # (N, T, d)
            seen = None if mask is None else mask[at].flatten(0, 1)
            vectors = e[at[0]]  # (h, n, d)
            for block in blocks:
                some = qs[:, block.rows]  # (N, R, d)
                logits = _logits(block, space, some, keys, vectors, seen, later)
                # Rows with nothing to see have -inf everywhere: exp(-inf - lowest) is 0.
                largest = logits.amax(-1, keepdim=True).clamp_(min=limits.min)
                weights = logits.sub_(largest).exp_()  # (N, R, keys)
                total = weights.sum(-1, keepdim=True).clamp_(min=limits.tiny)
                mixed = torch.bmm(weights.to(q.dtype), values[:, : block.keys]).div_(total)
                here = (*at, block.rows)
                out[here] = mixed.unflatten(0, (len(vectors), -1))  # (N, R, d) -> (h, b, R, d)
                lse[here] = (largest + total.log()).view(len(vectors), -1, some.shape[1])
        ctx.save_for_backward(q, k, v, e, mask, out, lse)
        ctx.causal = causal
        return out

    @staticmethod
    def backward(ctx, grad):  # type: ignore[override]
        q, k, v, e, mask, out, lse = ctx.saved_tensors
        # sum_j dP_ij P_ij, which softmax takes off each dP_ij, is the product of out and its grad.
        shared = (grad * out).sum(-1, dtype=lse.dtype)  # (H, B, Tq)
        dq = torch.empty_like(q)
        # Gradients of keys, values and vectors are summed over the rows, and as (.., d, n): so the
        # products that are added have few long rows, which goes faster than many short ones.
        dk, dv, de = (lse.new_zeros(t.mT.shape) for t in (k, v, e))
        space, other, later = _Space(q), _Space(q), None
        rows, groups = _groups(q, k.shape[2])
        blocks = _blocks(q.shape[2], k.shape[2], rows, ctx.causal)
        if ctx.causal:
            later = _later(rows, q.device)
        for at in groups:
            qs, gs, keys, values = (
                t[at].flatten(0, 1).contiguous() for t in (q, grad, k, v)
            )  # (N, T, d)
            sums, means = (t[at].flatten(0, 1).unsqueeze(-1) for t in (lse, shared))  # (N, Tq, 1)
            seen = None if mask is None else mask[at].flatten(0, 1)
            vectors, of_vectors = e[at[0]], de[at[0]]
            of_keys, of_values = (dk.new_zeros(t.mT.shape) for t in (keys, values))
            for block in blocks:
                n = block.keys
                some, grads = qs[:, block.rows], gs[:, block.rows]  # (N, R, d)
                logits = _logits(block, space, some, keys, vectors, seen, later)
                weights = logits.sub_(sums[:, block.rows]).exp_()  # (N, R, n)
                _add(of_values[..., :n], grads.mT, weights.to(q.dtype))  # (N, d, R) @ (N, R, n)
                products, skewed = other.get(block, len(some), clear=True)
                skewed.baddbmm_(grads, values[:, :n].mT, beta=0)
                skewed.sub_(means[:, block.rows]).mul_(weights)  # the gradient of the logits
                _add(of_keys[..., :n], some.mT, skewed)
                # One product for all sequences of a head: they share its vectors.
                flat = _by_head(products, vectors)  # (h, b * R, columns)
                _add(of_vectors[..., block.vectors], _by_head(some, vectors).mT, flat)
                of_queries = torch.bmm(flat, vectors[:, block.vectors]).view(some.shape)
                of_queries.baddbmm_(skewed, keys[:, :n])
                dq[(*at, block.rows)] = of_queries.unflatten(0, (len(vectors), -1))
            dk[at] = of_keys.unflatten(0, (len(vectors), -1))
            dv[at] = of_values.unflatten(0, (len(vectors), -1))
        dk, dv, de = (g.mT.to(t.dtype) for g, t in ((dk, k), (dv, v), (de, e)))
        return dq.mul_(q.shape[-1] ** -0.5), dk, dv, de, None, None


def _logits(
    block: _Block,
    space: _Space,
    queries: Tensor,
    keys: Tensor,
    vectors: Tensor,
    seen: Tensor | None,
    later: Tensor | None,
) -> Tensor:
    """Return the logits of a block, ``(N, R, keys)``, -inf where a query may not look."""
    products, logits = space.get(block, len(queries))
    by_head = _by_head(queries, vectors)  # (h, b * R, d)
    _by_head(products, vectors).baddbmm_(by_head, vectors[:, block.vectors].mT, beta=0)
    logits.baddbmm_(queries, keys[:, : block.keys].mT)
    if later is not None:
        R = queries.shape[1]
        logits[..., -R:].masked_fill_(later[:R, :R], -math.inf)
    if seen is not None:
        logits.masked_fill_(~seen[:, block.rows, : block.keys], -math.inf)
    return logits.to(_sums(logits.dtype))


def _by_head(x: Tensor, vectors: Tensor) -> Tensor:
    return x.unflatten(0, (len(vectors), -1)).flatten(1, 2)  # (N, R, ...) -> (h, b * R, ...)


def _later(rows: int, device: torch.device) -> Tensor:
    return torch.ones(rows, rows, dtype=torch.bool, device=device).triu(1)


def _add(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add the product of a and b to a total, which may be of higher precision."""
    if total.dtype == a.dtype:
        total.baddbmm_(a, b)
    else:
        total.add_(torch.bmm(a, b))


def _sums(kind: torch.dtype) -> torch.dtype:
    # Sums of many small numbers in half precision would stop growing.
    return kind if kind in (torch.float32, torch.float64) else torch.float32
