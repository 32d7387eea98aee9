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
from collections.abc import Iterator
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
    """Some rows of the logits of some heads and sequences; N of them, R rows, n keys."""

    heads: slice
    batch: slice
    rows: slice
    keys: int
    vectors: slice

    def queries(self, x: Tensor) -> Tensor:
        """Return the rows of x (H, B, Tq, ...) as (N, R, ...)."""
        return x[self.heads, self.batch, self.rows].flatten(0, 1)


def _blocks(q: Tensor, k: Tensor, causal: bool) -> Iterator[list[_Block]]:
    """Yield the blocks, those of the same heads and sequences in one list."""
    H, B, Tq, _ = q.shape
    Tk = k.shape[2]
    rows, budget = (_ROWS_ON_GPU, _LOGITS_ON_GPU) if q.is_cuda else (_ROWS, _LOGITS)
    rows = min(rows, Tq)
    some = min(B, max(1, budget // (rows * Tk)))
    heads = min(H, max(1, budget // (rows * Tk * B))) if some == B else 1
    before = Tk - Tq
    for h in range(0, H, heads):
        for i in range(0, B, some):
            yield [
                _Block(
                    slice(h, min(h + heads, H)),
                    slice(i, min(i + some, B)),
                    slice(a, b),
                    keys=before + b if causal else Tk,
                    # Column c of the products is j - i of c + 1 - (before + b).
                    vectors=slice(Tk - before - b, Tk if causal else 2 * Tk - 1 - before - a),
                )
                for a in range(0, Tq, rows)
                for b in [min(a + rows, Tq)]
            ]


class _Space:
    """Memory for the products of a block, taken once."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.memory = like.new_empty(0)

    def get(self, block: _Block, n: int) -> tuple[Tensor, Tensor]:
        """Return (N, R, products) and its skewed view (N, R, keys); the same memory."""
        rows = block.rows.stop - block.rows.start
        columns = block.vectors.stop - block.vectors.start
        width = max(columns, block.keys + 1)
        if self.memory.numel() < n * rows * width:
            self.memory = self.like.new_empty(n * rows * width)
        products = self.memory[: n * rows * width].view(n, rows, width)
        skewed = products.as_strided((n, rows, block.keys), (rows * width, width - 1, 1), rows - 1)
        return products[..., :columns], skewed


class _RelativeAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, e, mask, causal) -> Tensor:  # type: ignore[override]
        H, B, Tq, d = q.shape
        q = q * d**-0.5
        # In the order in which the heads are put side by side afterwards.
        out = q.new_empty(B, Tq, H, d).permute(2, 0, 1, 3)
        lse = q.new_empty(H, B, Tq, dtype=_sums(q.dtype))
        space = _Space(q)
        for blocks in _blocks(q, k, causal):
            keys, values, vectors = _of(blocks[0], k, v, e)
            for block in blocks:
                qs = block.queries(q)
                logits = _logits(block, space, qs, keys, vectors, mask, causal)
                # Rows with nothing to see have -inf everywhere: exp(-inf - lowest) is 0.
                largest = logits.amax(-1, keepdim=True).clamp_(min=torch.finfo(logits.dtype).min)
                weights = logits.sub_(largest).exp_()  # (N, R, keys)
                total = weights.sum(-1, keepdim=True).clamp_(min=torch.finfo(logits.dtype).tiny)
                mixed = torch.bmm(weights.to(q.dtype), values[:, : block.keys])
                at = (block.heads, block.batch, block.rows)
                out[at] = mixed.div_(total).view_as(out[at])
                lse[at] = (largest + total.log()).view_as(lse[at])
        ctx.save_for_backward(q, k, v, e, mask, out, lse)
        ctx.causal = causal
        return out

    @staticmethod
    def backward(ctx, grad):  # type: ignore[override]
        q, k, v, e, mask, out, lse = ctx.saved_tensors
        kind = lse.dtype
        # sum_j dP_ij P_ij, which softmax takes off each dP_ij, is the product of out and its grad.
        shared = (grad * out).sum(-1, dtype=kind)  # (H, B, Tq)
        dq = torch.empty_like(q)
        dk, dv, de = (torch.zeros(t.shape, dtype=kind, device=t.device) for t in (k, v, e))
        space, other = _Space(q), _Space(q)
        for blocks in _blocks(q, k, ctx.causal):
            keys, values, vectors = _of(blocks[0], k, v, e)
            of_vectors = de[blocks[0].heads]
            of_keys, of_values = (torch.zeros_like(t, dtype=kind) for t in (keys, values))
            for block in blocks:
                n = block.keys
                qs, gs = block.queries(q), block.queries(grad)
                logits = _logits(block, space, qs, keys, vectors, mask, ctx.causal)
                weights = logits.sub_(block.queries(lse)[..., None]).exp_()  # (N, R, n)
                _add(of_values[:, :n], weights.to(q.dtype).transpose(1, 2), gs)
                products, skewed = other.get(block, len(qs))
                other.memory.zero_()  # what the skewed view leaves out has no part in the loss
                skewed.baddbmm_(gs, values[:, :n].transpose(1, 2))
                skewed.sub_(block.queries(shared)[..., None]).mul_(weights)  # d logits
                _add(of_keys[:, :n], skewed.transpose(1, 2), qs)
                # One product for all sequences of a head: they share its vectors.
                flat = products.unflatten(0, (len(vectors), -1)).flatten(1, 2)  # (h, b * R, cols)
                of_queries = torch.bmm(flat, vectors[:, block.vectors]).view_as(qs)
                of_queries.baddbmm_(skewed, keys[:, :n])
                _add(of_vectors[:, block.vectors], flat.transpose(1, 2), _by_head(qs, vectors))
                at = (block.heads, block.batch, block.rows)
                dq[at] = of_queries.view_as(dq[at])
            heads, batch = blocks[0].heads, blocks[0].batch
            dk[heads, batch] = of_keys.view_as(dk[heads, batch])
            dv[heads, batch] = of_values.view_as(dv[heads, batch])
        scale = q.shape[-1] ** -0.5
        return dq.mul_(scale), dk.to(k.dtype), dv.to(v.dtype), de.to(e.dtype), None, None


def _of(block: _Block, k: Tensor, v: Tensor, e: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return keys (N, Tk, d), values (N, Tk, d) and vectors (h, n, d) of a block."""
    keys, values = (t[block.heads, block.batch].flatten(0, 1) for t in (k, v))
    return keys, values, e[block.heads]


def _logits(
    block: _Block,
    space: _Space,
    queries: Tensor,
    keys: Tensor,
    vectors: Tensor,
    mask: Tensor | None,
    causal: bool,
) -> Tensor:
    """Return the logits of a block, ``(N, R, keys)``, -inf where a query may not look."""
    products, logits = space.get(block, len(queries))
    by_head = products.unflatten(0, (len(vectors), -1)).flatten(1, 2)  # (h, b * R, cols)
    by_head.baddbmm_(_by_head(queries, vectors), vectors[:, block.vectors].transpose(1, 2), beta=0)
    logits.baddbmm_(queries, keys[:, : block.keys].transpose(1, 2))
    if causal:
        R = queries.shape[1]
        later = torch.ones(R, R, dtype=torch.bool, device=queries.device).triu(1)
        logits[..., -R:].masked_fill_(later, -math.inf)
    if mask is not None:
        seen = block.queries(mask)[..., : block.keys]
        logits.masked_fill_(~seen, -math.inf)
    return logits.to(_sums(logits.dtype))


def _by_head(queries: Tensor, vectors: Tensor) -> Tensor:
    return queries.reshape(len(vectors), -1, queries.shape[-1])  # (N, R, d) -> (h, b * R, d)


def _add(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add the product of a and b to a total, which may be of higher precision."""
    if total.dtype == a.dtype:
        total.baddbmm_(a, b)
    else:
        total.add_(torch.bmm(a, b))


def _sums(kind: torch.dtype) -> torch.dtype:
    # Sums of many small numbers in half precision would stop growing.
    return kind if kind in (torch.float32, torch.float64) else torch.float32
