"""Where tokens stand and what they may see: padding, pieces in a row and masks made one.

Lesson: book/transformer/musictransformer
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mircourse.transformerlayers import Cache


class Places(NamedTuple):
    """Where tokens stand and what they may see.

    Attributes
    ----------
    positions : Tensor of int, (B, T), or None
        From 0 in each piece; None if that is 0, 1, 2, ...
    mask : Tensor of bool, (B, 1, T or 1, Tk), or None
        True where a token may look; None if everywhere.
    """

    positions: Tensor | None
    mask: Tensor | None


def check_masks(
    B: int,
    T: int,
    before: int,
    *,
    mask: Tensor | None,
    padding: Tensor | None,
    segments: Tensor | None,
) -> None:
    """Check what is said of (B, T) tokens that follow so many others.

    Raises
    ------
    TypeError
        If a mask is not of bools.
    ValueError
        If a shape does not fit.
    """
    for name, given, bools, shapes in (
        ("mask", mask, True, [(T, before + T), (B, T, before + T)]),
        ("padding", padding, True, [(B, T)]),
        ("segments", segments, False, [(B, T)]),
    ):
        if given is None:
            continue
        if bools and given.dtype != torch.bool:
            raise TypeError(f"{name} must be bool, got {given.dtype}")
        if tuple(given.shape) not in shapes:
            expected = " or ".join(str(shape) for shape in shapes)
            raise ValueError(f"expected {name} {expected}, got {tuple(given.shape)}")


def places_of(
    x: Tensor,
    mask: Tensor | None,
    padding: Tensor | None,
    segments: Tensor | None,
    cache: Cache | None,
) -> Places:
    """Return positions and one mask from all that says what may be seen; a cache takes note.

    Parameters
    ----------
    x : Tensor, (B, T)
        Tokens.
    mask, padding, segments, cache
        As in `mircourse.musictransformer.MusicTransformer.forward`.

    Returns
    -------
    Places
    """
    B, T = x.shape
    positions: Tensor | None = None
    seen = None if mask is None else mask.expand(B, -1, -1)[:, None]  # (B, 1, T, Tk)
    hidden = padding
    if cache is not None:
        before = cache.length
        count = torch.arange(1, T + 1, device=x.device).expand(B, T)
        if padding is not None:
            count = (~padding).cumsum(dim=1)
        positions = (cache.read + count - 1).clamp(min=0)
        cache.read = cache.read + (T if padding is None else count[:, -1:])
        if padding is not None or cache.padding is not None:
            now = x.new_zeros(B, T, dtype=torch.bool) if padding is None else padding
            earlier = cache.padding
            if earlier is None:
                earlier = x.new_zeros(B, before, dtype=torch.bool)
            hidden = cache.padding = torch.cat([earlier, now], dim=1)  # (B, before + T)
    elif segments is not None:
        positions = _within(segments)
        same = (segments[:, :, None] == segments[:, None])[:, None]  # (B, 1, T, T)
        seen = same if seen is None else seen & same
    elif padding is not None:
        positions = ((~padding).cumsum(dim=1) - 1).clamp(min=0)
    if hidden is not None:
        keys = ~hidden[:, None, None]  # (B, Tk) -> (B, 1, 1, Tk)
        seen = keys if seen is None else seen & keys
    return Places(positions, seen)


def _within(segments: Tensor) -> Tensor:
    """Return the position of each token in its piece, (B, T)."""
    T = segments.shape[1]
    index = torch.arange(T, device=segments.device).expand_as(segments)
    new = torch.ones_like(segments, dtype=torch.bool)
    new[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return index - torch.where(new, index, 0).cummax(dim=1).values
