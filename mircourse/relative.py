r"""Logits that depend on how far apart two positions are, without a vector for every pair.

Between the query at position i and the key at position j stands a learned vector :math:`e_{j-i}`.
Its product with the query is added to the logit (Shaw et al., 2018). Written down as it is read,
that needs a vector for every *pair* of positions, :math:`L^2 D` numbers. Huang et al. (2019)
multiply each query once with the vector of every *distance*. Of L rows of products, row i then has
to move L - 1 - i places to the left to stand where it belongs. The shift is no work at all: the
same numbers, read with rows that are one shorter.

Lesson: book/transformer/attention
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["RelativePositionalEncoding", "skew"]


class RelativePositionalEncoding(nn.Module):
    r"""Logits that depend on how far apart positions are, :eq:`eq:tf-relative`.

    .. math::
        S_{ij} = q_i \cdot e_{j-i}

    Lesson: book/transformer/attention

    Parameters
    ----------
    d_model : int
        Numbers in a query, and in the vector of a distance.
    max_len : int
        Longest sequence.
    n_heads : int
        Heads with vectors of their own; with 1 all heads share them.
    causal : bool
        Only keys at or before a query: `max_len` vectors rather than ``2 * max_len - 1``.
    max_distance : int, optional
        Distances beyond it share a vector (Shaw et al., 2018). By default each has its own.

    Attributes
    ----------
    rel_pos_emb : Parameter, (n_heads, distances, d_model)
        One vector for each :math:`j - i`, from the farthest key behind the query on.

    Raises
    ------
    ValueError
        If a size is below 1, or `max_distance` is not in ``0 .. max_len - 1``.

    Notes
    -----
    The vectors begin with a standard deviation of :math:`1/\sqrt{d}`: for a query of numbers of
    size 1 the products have size 1, and after attention's own division by :math:`\sqrt{d}` the
    distance hardly decides where a new network looks.

    Examples
    --------
    >>> encoding = RelativePositionalEncoding(16, 100)
    >>> q = k = torch.randn(2, 7, 16)
    >>> encoding(q, k).shape
    torch.Size([2, 7, 7])
    """

    def __init__(
        self,
        d_model: int,
        max_len: int,
        *,
        n_heads: int = 1,
        causal: bool = False,
        max_distance: int | None = None,
    ) -> None:
        super().__init__()
        if min(d_model, max_len, n_heads) < 1:
            raise ValueError(
                f"d_model, max_len and n_heads must be at least 1, "
                f"got {d_model}, {max_len} and {n_heads}"
            )
        farthest = max_len - 1 if max_distance is None else max_distance
        if not 0 <= farthest < max_len:
            raise ValueError(f"max_distance must be from 0 to {max_len - 1}, got {max_distance}")
        self.max_len = max_len
        self.causal = causal
        self.farthest = farthest
        n = farthest + 1 if causal else 2 * farthest + 1
        self.rel_pos_emb = nn.Parameter(torch.randn(n_heads, n, d_model) / math.sqrt(d_model))

    def window(self, queries: int, keys: int) -> Tensor:
        """Return the vectors of the distances that occur, without copying if all have their own.

        Parameters
        ----------
        queries, keys : int
            Positions; the queries are the last of them.

        Returns
        -------
        Tensor, (n_heads, n, d_model)
            For j - i from ``1 - keys`` to ``queries - 1``; causal, to 0.

        Raises
        ------
        ValueError
            If there are more positions than `max_len`, none, or more queries than keys.
        """
        if not 1 <= queries <= keys <= self.max_len:
            raise ValueError(
                f"expected 1 <= queries <= keys <= max_len = {self.max_len}, "
                f"got {queries} queries and {keys} keys"
            )
        end = 1 if self.causal else queries
        if keys - 1 <= self.farthest:
            first = self.farthest - (keys - 1)
            return self.rel_pos_emb[:, first : self.farthest + end]
        distance = torch.arange(1 - keys, end, device=self.rel_pos_emb.device)
        return self.rel_pos_emb[:, distance.clamp(-self.farthest, self.farthest) + self.farthest]

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        r"""Return the logits of the distances, not yet divided by :math:`\sqrt{d}`.

        Parameters
        ----------
        q : Tensor, (..., Tq, d_model)
            Queries: the last Tq of Tk positions. With heads of their own, (..., n_heads, Tq,
            d_model).
        k : Tensor, (..., Tk, d_model)
            Keys; only their number counts.

        Returns
        -------
        Tensor, (..., Tq, Tk)
            Causal, 0 where the key lies after the query.

        Raises
        ------
        ValueError
            If a shape does not fit, or there are more positions than `max_len`.
        """
        n_heads, _, d = self.rel_pos_emb.shape
        if q.ndim < 2 or k.ndim < 2 or q.shape[-1] != d:
            raise ValueError(
                f"expected q (..., Tq, {d}) and k (..., Tk, {d}), "
                f"got {tuple(q.shape)} and {tuple(k.shape)}"
            )
        if n_heads > 1 and (q.ndim < 3 or q.shape[-3] != n_heads):
            raise ValueError(f"expected q (..., {n_heads}, Tq, {d}), got {tuple(q.shape)}")
        Tq, Tk = q.shape[-2], k.shape[-2]
        e = self.window(Tq, Tk)
        e = e.squeeze(0) if n_heads == 1 else e
        products = q @ e.transpose(-1, -2)  # (..., Tq, d) -> (..., Tq, n)
        if not self.causal:
            return skew(products, Tk)
        # One more column, so that a row and the shift of one make up the row after.
        products = torch.cat([products, products.new_zeros(*products.shape[:-1], 1)], dim=-1)
        return skew(products, Tk).tril(Tk - Tq)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{tuple(self.rel_pos_emb.shape)}, causal={self.causal}"


def skew(products: Tensor, keys: int) -> Tensor:
    """Shift each row of products one place less to the left than the row before, :eq:`eq:tf-skew`.

    Parameters
    ----------
    products : Tensor, (..., Tq, n)
        Of each query with the vector of each distance, the farthest key first; ``n > keys``, or
        one query.
    keys : int
        Tk, the columns of the result.

    Returns
    -------
    Tensor, (..., Tq, Tk)
        Element (i, j) is element ``(i, Tq - 1 - i + j)`` of `products`, where it has one. A view if
        `products` is contiguous.

    Examples
    --------
    >>> skew(torch.arange(15).view(3, 5), 3)
    tensor([[ 2,  3,  4],
            [ 6,  7,  8],
            [10, 11, 12]])
    """
    rows, n = products.shape[-2:]
    if rows == 1:
        return products[..., :keys]
    flat = products.flatten(-2)  # (..., Tq, n) -> (..., Tq * n)
    # A row is read as n - 1 numbers: each begins one place further left than the one before.
    shifted = flat[..., rows - 1 : rows * n - 1]  # (..., Tq * n) -> (..., Tq * (n - 1))
    return shifted.unflatten(-1, (rows, n - 1))[..., :keys]  # -> (..., Tq, Tk)
