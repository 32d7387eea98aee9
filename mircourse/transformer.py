"""Transformers: the models of the Transformer chapter.

`scaled_dot_product_attention` is written from its equation; `RelativePositionalEncoding` gives it
distances, `PositionalEncoding` positions. `MusicTransformer` writes music event by event;
`MusicBERT` reads it in both directions.

Lessons: book/transformer/attention, book/transformer/musictransformer, book/transformer/musicbert
"""

from __future__ import annotations

from mircourse.attention import (
    KeyValues,
    MultiHeadAttention,
    PositionalEncoding,
    RelativePositionalEncoding,
    scaled_dot_product_attention,
)
from mircourse.musicbert import MusicBERT
from mircourse.musictransformer import NO_STYLE, MusicTransformer
from mircourse.relative import skew
from mircourse.relativeattention import relative_attention
from mircourse.transformerlayers import Cache

__all__ = [
    "NO_STYLE",
    "Cache",
    "KeyValues",
    "MultiHeadAttention",
    "MusicBERT",
    "MusicTransformer",
    "PositionalEncoding",
    "RelativePositionalEncoding",
    "relative_attention",
    "scaled_dot_product_attention",
    "skew",
]
