"""The layer that a Transformer repeats, and what its layers remember of tokens already read.

Lesson: book/transformer/musictransformer
"""

from __future__ import annotations

from torch import Tensor, nn

from mircourse.attention import KeyValues, MultiHeadAttention


class Layer(nn.Module):
    """Attention, then two linear layers at each position; each adds to what it reads.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    d_model, n_heads, causal, relative, max_len, max_distance
        As in `mircourse.attention.MultiHeadAttention`.
    dropout : float
        Share of what each half adds that training drops.

    Notes
    -----
    The norm comes before each half and not after the sum, where Vaswani et al. (2017) have it: so a
    sum runs from the embedding to the output that nothing rescales, and gradients reach the first
    layer as large as the last, without a long warm-up (Xiong et al., 2020).
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        *,
        causal: bool,
        relative: bool,
        max_len: int,
        max_distance: int | None,
        dropout: float,
    ) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(d_model)
        self.attention = MultiHeadAttention(
            d_model,
            n_heads,
            causal=causal,
            relative=relative,
            max_len=max_len,
            max_distance=max_distance,
        )
        self.norm_forward = nn.LayerNorm(d_model)
        self.widen = nn.Linear(d_model, 4 * d_model)
        self.narrow = nn.Linear(4 * d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, cache: KeyValues | None = None
    ) -> Tensor:
        """Return ``x`` (B, T, d_model) after the layer; as `MultiHeadAttention.forward`."""
        seen = self.attention(self.norm_attention(x), mask=mask, cache=cache)
        x = x + self.dropout(seen)
        wide = nn.functional.gelu(self.widen(self.norm_forward(x)))  # -> (B, T, 4 * d_model)
        return x + self.dropout(self.narrow(wide))


class Cache:
    """What a causal `MusicTransformer` has computed of the tokens that it has read.

    `MusicTransformer.new_cache` makes one; `MusicTransformer.step` reads on.

    Attributes
    ----------
    batch_size : int
        Sequences.
    style_rows : Tensor of int, (B,)
        Row of the model's style embedding that each has.
    """

    def __init__(self, n_layers: int, batch_size: int, style_rows: Tensor) -> None:
        self.layers = [KeyValues() for _ in range(n_layers)]
        self.batch_size = batch_size
        self.style_rows = style_rows
        self.padding: Tensor | None = None  # (B, length)
        self.read: Tensor | int = 0  # tokens that are no padding, (B, 1) if that differs

    @property
    def length(self) -> int:
        """Tokens read in each sequence, padding included."""
        return self.layers[0].length

    def select(self, rows: Tensor) -> None:
        """Keep the sequences with these indices, in this order; one may come twice."""
        for layer in self.layers:
            layer.select(rows)
        self.batch_size = len(rows)
        self.style_rows = self.style_rows[rows]
        self.padding = None if self.padding is None else self.padding[rows]
        self.read = self.read[rows] if isinstance(self.read, Tensor) else self.read
