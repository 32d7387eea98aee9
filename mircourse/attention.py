r"""Attention: each position looks at the others and takes a weighted mean of what it finds.

`scaled_dot_product_attention` is the equation as it is written. `MultiHeadAttention` projects its
input to queries, keys and values of several heads and leaves the sums to PyTorch's fused kernel or,
where distances count, to `mircourse.relativeattention`. `PositionalEncoding` tells positions apart.
`KeyValues` holds what a layer has computed of the positions before, so that the next one costs no
more than itself.

*Conventions.* In a mask of bools True is where a query may look, as in PyTorch's function of this
name. A query that may look nowhere gets zeros. With fewer queries than keys the queries are the
last of the positions.

Lesson: book/transformer/attention
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mircourse.relative import RelativePositionalEncoding
from mircourse.relativeattention import relative_attention

__all__ = [
    "KeyValues",
    "MultiHeadAttention",
    "PositionalEncoding",
    "RelativePositionalEncoding",
    "causal_mask",
    "scaled_dot_product_attention",
]


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Return a weighted mean of the values for each query, :eq:`eq:tf-attention`.

    .. math::
        \operatorname{Attention}(Q, K, V)
        = \operatorname{softmax}\left(\frac{Q K^T}{\sqrt{d_k}}\right) V

    Vaswani et al. (2017), equation 1.

    Lesson: book/transformer/attention

    Parameters
    ----------
    query : Tensor, (..., Tq, d)
        Floating point.
    key : Tensor, (..., Tk, d)
        As many numbers as a query.
    value : Tensor, (..., Tk, dv)
        One for each key.
    mask : Tensor of bool, optional
        Broadcast to (..., Tq, Tk): True where a query may look.
    bias : Tensor, optional
        Broadcast to (..., Tq, Tk): added to the logits after the division.

    Returns
    -------
    out : Tensor, (..., Tq, dv)
        Zeros for a query that may look nowhere.
    weights : Tensor, (..., Tq, Tk)
        At least 0; each row sums to 1, or to 0 if the query may look nowhere.

    Raises
    ------
    TypeError
        If the mask is not of bools.
    ValueError
        If shapes do not fit, or there is no key.

    Examples
    --------
    >>> q = k = v = torch.eye(3)
    >>> out, weights = scaled_dot_product_attention(q, k, v)
    >>> out.shape, weights.argmax(dim=-1)
    (torch.Size([3, 3]), tensor([0, 1, 2]))
    """
    _check_attention(query, key, value, mask)
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])  # -> (..., Tq, Tk)
    if bias is not None:
        logits = logits + bias
    if mask is None:
        weights = logits.softmax(dim=-1)
        return weights @ value, weights
    nowhere = ~mask.any(dim=-1, keepdim=True)  # (..., Tq, 1)
    # The softmax of a row of minus infinities is not a number, and neither is its gradient.
    logits = logits.masked_fill(~(mask | nowhere), -math.inf)
    weights = logits.softmax(dim=-1).masked_fill(nowhere, 0)
    return weights @ value, weights  # (..., Tq, Tk) @ (..., Tk, dv) -> (..., Tq, dv)


def causal_mask(queries: int, keys: int, *, device: torch.device | None = None) -> Tensor:
    """Return a mask (queries, keys), True for keys at or before each of the last positions."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


class PositionalEncoding(nn.Module):
    r"""Add to each vector waves that tell its position, :eq:`eq:tf-sin` and :eq:`eq:tf-cos`.

    .. math::
        PE_{(pos, 2i)} &= \sin(pos / 10000^{2i / d_{model}}) \\
        PE_{(pos, 2i + 1)} &= \cos(pos / 10000^{2i / d_{model}})

    Vaswani et al. (2017), section 3.5.

    Lesson: book/transformer/attention

    Parameters
    ----------
    d_model : int
        Numbers in a vector; if odd, the last wave is a sine without its cosine.
    max_len : int
        Positions, from 0.

    Raises
    ------
    ValueError
        If a size is below 1.

    Examples
    --------
    >>> PositionalEncoding(4, 10)(torch.zeros(1, 2, 4))[0, 0]
    tensor([0., 1., 0., 1.])
    """

    pe: Tensor

    def __init__(self, d_model: int, max_len: int = 5000) -> None:
        super().__init__()
        if min(d_model, max_len) < 1:
            raise ValueError(f"d_model and max_len must be at least 1, got {d_model}, {max_len}")
        # In double precision: at position 5000 single precision is off by 3e-4.
        position = torch.arange(max_len, dtype=torch.float64)[:, None]  # (max_len, 1)
        even = torch.arange(0, d_model, 2, dtype=torch.float64)  # 2i
        angle = position / 10000 ** (even / d_model)  # (max_len, ceil(d_model / 2))
        pe = torch.empty(max_len, d_model, dtype=torch.float64)
        pe[:, 0::2] = angle.sin()
        pe[:, 1::2] = angle[:, : d_model // 2].cos()
        # Not persistent: it can be computed, so no file need hold it.
        self.register_buffer("pe", pe.float(), persistent=False)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Return `x` plus the encoding of its positions.

        Parameters
        ----------
        x : Tensor, (..., T, d_model)
            Floating point.
        positions : Tensor of int, (..., T), optional
            From 0 to ``max_len - 1``; 0, 1, 2, ... unless given.

        Returns
        -------
        Tensor, (..., T, d_model)

        Raises
        ------
        ValueError
            If the shape does not fit, or there are more than `max_len` positions.
        """
        max_len, d_model = self.pe.shape
        if x.ndim < 2 or x.shape[-1] != d_model or x.shape[-2] > max_len:
            raise ValueError(
                f"expected x (..., T, {d_model}) with T of at most {max_len}, got {tuple(x.shape)}"
            )
        if positions is None:
            return x + self.pe[: x.shape[-2]].to(x.dtype)
        return x + self.pe[positions].to(x.dtype)  # (..., T) -> (..., T, d_model)


class KeyValues:
    """Keys and values of the positions that an attention layer has read.

    Attributes
    ----------
    length : int
        Positions held.
    """

    def __init__(self) -> None:
        self.length = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add positions (B, H, t, d) and return all of them, (B, H, length, d).

        Raises
        ------
        ValueError
            If the batch or the heads are others than before.
        """
        end = self.length + keys.shape[2]
        if self._keys is None or self._values is None or end > self._keys.shape[2]:
            self._make_room(keys, end)
        assert self._keys is not None and self._values is not None
        if self._keys.shape[:2] != keys.shape[:2]:
            raise ValueError(
                f"the cache is of {self._keys.shape[0]} sequences and {self._keys.shape[1]} "
                f"heads, got keys {tuple(keys.shape)}"
            )
        self._keys[:, :, self.length : end] = keys
        self._values[:, :, self.length : end] = values
        self.length = end
        return self._keys[:, :, :end], self._values[:, :, :end]

    def select(self, rows: Tensor) -> None:
        """Keep the sequences with these indices, in this order; one may come twice."""
        if self._keys is not None and self._values is not None:
            self._keys, self._values = self._keys[rows], self._values[rows]

    def _make_room(self, like: Tensor, end: int) -> None:
        # Doubled, so that so many appended positions cost so many copies and no more.
        room = max(64, 2 * end)
        B, H, _, d = like.shape
        for name in ("_keys", "_values"):
            old = getattr(self, name)
            new = like.new_empty(B if old is None else old.shape[0], H, room, d)
            if old is not None:
                new[:, :, : self.length] = old[:, :, : self.length]
            setattr(self, name, new)


class MultiHeadAttention(nn.Module):
    r"""Attention in several heads at once, :eq:`eq:tf-multihead`.

    .. math::
        \operatorname{MultiHead}(x) &= [\mathrm{head}_1, \ldots, \mathrm{head}_H] W^O \\
        \mathrm{head}_i &= \operatorname{Attention}(x W^Q_i, x W^K_i, x W^V_i)

    Vaswani et al. (2017), section 3.2.2; every head sees ``d_model / n_heads`` numbers.

    Lesson: book/transformer/attention

    Parameters
    ----------
    d_model : int
        Numbers in a vector that comes in or goes out.
    n_heads : int
        Divides `d_model`.
    causal : bool
        Each position sees only itself and those before.
    relative : bool
        Distances count: each head has a vector for each (Huang et al., 2019).
    max_len : int
        Longest sequence; needed if `relative`.
    max_distance : int, optional
        As in `mircourse.relative.RelativePositionalEncoding`.

    Raises
    ------
    ValueError
        If a size is below 1 or `n_heads` does not divide `d_model`.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        *,
        causal: bool = False,
        relative: bool = False,
        max_len: int = 2048,
        max_distance: int | None = None,
    ) -> None:
        super().__init__()
        if min(d_model, n_heads) < 1 or d_model % n_heads:
            raise ValueError(
                f"n_heads must divide d_model, got d_model={d_model} and n_heads={n_heads}"
            )
        self.n_heads = n_heads
        self.causal = causal
        self.to_qkv = nn.Linear(d_model, 3 * d_model)
        self.to_out = nn.Linear(d_model, d_model)
        self.relative: RelativePositionalEncoding | None = None
        if relative:
            self.relative = RelativePositionalEncoding(
                d_model // n_heads,
                max_len,
                n_heads=n_heads,
                causal=causal,
                max_distance=max_distance,
            )

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, cache: KeyValues | None = None
    ) -> Tensor:
        """Let positions look at each other.

        Parameters
        ----------
        x : Tensor, (B, T, d_model)
            Floating point.
        mask : Tensor of bool, optional
            Broadcast to (B, n_heads, Tq, Tk): True where a query may look. A causal layer lets it
            see nothing later whatever the mask says.
        cache : KeyValues, optional
            Of the positions before, which are seen as well; it takes those of `x`.

        Returns
        -------
        Tensor, (B, T, d_model)
        """
        q, k, v = self._project(x, cache)
        if self.relative is not None:
            vectors = self.relative.window(q.shape[2], k.shape[2])
            out = relative_attention(q, k, v, vectors, causal=self.causal, mask=mask)
        else:
            out = _plain(q, k, v, mask=mask, causal=self.causal)
        return self.to_out(out.transpose(1, 2).flatten(2))  # (B, H, T, d) -> (B, T, H * d)

    def weights(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Return where each head looks, (B, n_heads, T, T): the weights that `forward` uses."""
        q, k, v = self._project(x, None)
        T = x.shape[1]
        if self.causal:
            seen = causal_mask(T, T, device=x.device)
            mask = seen if mask is None else seen & mask
        bias = None
        if self.relative is not None:
            bias = self.relative(q, k) / math.sqrt(q.shape[-1])
        return scaled_dot_product_attention(q, k, v, mask=mask, bias=bias)[1]

    def _project(self, x: Tensor, cache: KeyValues | None) -> tuple[Tensor, Tensor, Tensor]:
        B, T, D = x.shape
        qkv = self.to_qkv(x).view(B, T, 3, self.n_heads, D // self.n_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, T, 3, H, d) -> 3 x (B, H, T, d)
        if cache is not None:
            k, v = cache.append(k, v)
        return q, k, v


def _plain(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None, causal: bool) -> Tensor:
    Tq, Tk = q.shape[2], k.shape[2]
    if mask is None and (not causal or Tq == 1):
        return functional.scaled_dot_product_attention(q, k, v)
    if mask is None and Tq == Tk:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    if causal and Tq > 1:
        seen = causal_mask(Tq, Tk, device=q.device)
        mask = seen if mask is None else seen & mask
    assert mask is not None
    nowhere = ~mask.any(dim=-1, keepdim=True)
    out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask | nowhere)
    return out.masked_fill(nowhere, 0)


def _check_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ValueError(f"expected (..., T, d), got {shapes}")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError(
            f"a key must have as many numbers as a query, and a value belong to each: {shapes}"
        )
    if not key.shape[-2]:
        raise ValueError("there is no key to look at")
    if mask is not None and mask.dtype != torch.bool:
        raise TypeError(f"mask must be bool, True where a query may look, got {mask.dtype}")
