r"""Attribute vectors: move a melody towards another style, another mode, more or fewer notes.

In the latent space of a `mircourse.hierarchicalvae.MelodyVAE` an attribute has a direction: the
mean code of the tunes that have it minus the mean code of those that have not (Roberts et al.,
2018, after Larsen et al., 2016 and White, 2016). A code moved along it is decoded again:

.. math::
    z' = \mu(x) + s\, (\bar z_{\text{to}} - \bar z_{\text{from}})

Nobody told the network of styles. What it writes differs from the melody for two reasons, then:
the direction, and what was lost when the melody was coded. With strength 0 only the second is left.

Lesson: book/index
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mircourse import melodybars, weights
from mircourse.hierarchicalvae import MelodyVAE
from mircourse.melodybars import DUPLE, FIRST_NOTE

if TYPE_CHECKING:
    from mircourse.scores import Piece

STYLES = ("reel", "hornpipe", "air")
ATTRIBUTES = ("mode", "density")
WEIGHTS = "melodyvae-16"
MINOR = ("minor", "dorian", "phrygian")


@dataclass(frozen=True)
class AttributeVectors:
    """Where styles lie in a latent space, and in which directions attributes change.

    Attributes
    ----------
    styles : dict of str to Tensor, (D,)
        The mean code of each style, in keys that all of them have: see `mean_codes`.
    attributes : dict of str to Tensor, (D,)
        ``"mode"``: from major to minor. ``"density"``: from the quarter of the tunes that have
        fewest notes a bar to the quarter that have most.
    """

    styles: Mapping[str, Tensor]
    attributes: Mapping[str, Tensor]

    def between(self, from_style: str, to_style: str) -> Tensor:
        """Return the direction from one style to another, (D,).

        Raises
        ------
        ValueError
            If a style is unknown; the message lists those that there are.
        """
        for name in (from_style, to_style):
            if name not in self.styles:
                raise ValueError(f"no style {name!r}; choose from {', '.join(self.styles)}")
        return self.styles[to_style] - self.styles[from_style]

    def direction(self, attribute: str) -> Tensor:
        """Return the direction of an attribute, (D,).

        Raises
        ------
        ValueError
            If it is unknown; the message lists those that there are.
        """
        if attribute not in self.attributes:
            known = ", ".join(self.attributes)
            raise ValueError(f"no attribute {attribute!r}; choose from {known}")
        return self.attributes[attribute]


def attribute_vector(z: Tensor, has: Any, *, within: Any = None) -> Tensor:
    """Return the mean code of what has an attribute minus that of what has it not.

    Lesson: book/index

    Parameters
    ----------
    z : Tensor, (N, D)
    has : array_like of bool, (N,)
    within : sequence, (N,), optional
        What is to make no difference, such as the key of each melody: see `mean_codes`.

    Returns
    -------
    Tensor, (D,)

    Raises
    ------
    ValueError
        If all have it or none.
    """
    chosen = np.asarray(has, dtype=bool)
    if chosen.shape != z.shape[:1] or chosen.all() or not chosen.any():
        raise ValueError(
            f"{int(chosen.sum())} of {len(z)} codes have the attribute: some have to, and some not"
        )
    means = mean_codes(z, chosen.tolist(), within=within)
    return means[True] - means[False]


def mean_codes(z: Tensor, kinds: Any, *, within: Any = None) -> dict[Any, Tensor]:
    """Return the mean code of each kind, of melodies that are otherwise alike.

    If hornpipes stand in B flat more often than reels, the plain means differ by the key as well.
    So each kind is averaged in each key, and its mean is that of the keys which all kinds have,
    weighted alike for all: by the kind that has fewest melodies in the key.

    Parameters
    ----------
    z : Tensor, (N, D)
    kinds : sequence, (N,)
        What each melody is.
    within : sequence, (N,), optional
        The key of each, or whatever else; without it, or where no key is common to all, the means
        are plain.

    Returns
    -------
    dict
        For each kind, (D,).
    """
    kind = list(kinds)
    cell = list(zip(kind, within if within is not None else [None] * len(kind), strict=True))
    count = Counter(cell)
    least = {
        key: min(count[one, key] for one in set(kind)) for key in dict.fromkeys(k for _, k in cell)
    }
    total = sum(least.values())
    # What one melody weighs in the mean of its kind.
    share = [
        least[key] / (total * count[one, key]) if total else 1 / kind.count(one)
        for one, key in cell
    ]
    weighted = z * torch.tensor(share, dtype=z.dtype, device=z.device)[:, None]  # (N, D)
    return {
        one: weighted[torch.tensor([k == one for k in kind], device=z.device)].sum(dim=0)
        for one in dict.fromkeys(kind)
    }


@torch.no_grad()
def codes(model: MelodyVAE, symbols: NDArray[np.int64], *, batch_size: int = 128) -> Tensor:
    """Return the mean code of each melody: (N, bars * steps) -> (N, D)."""
    x = torch.from_numpy(np.asarray(symbols, np.int64)).to(_device(model))
    return torch.cat([model.encode(part)[0] for part in x.split(batch_size)])


@functools.cache
def tunes_of(style: str, *, split: str) -> tuple[Piece, ...]:
    """Return the tunes of one of `STYLES` in duple time: 4/4, 2/2 or 2/4.

    The metre would give much of the style away. An "air" is a tune of Aird's, whatever its type.
    """
    from mircourse import styles

    found = styles.pieces(style, split=split)
    return tuple(piece for piece in found if piece.meter in DUPLE and len(piece.notes))


def learn(model: MelodyVAE, *, most: int | None = None) -> AttributeVectors:
    """Find the attribute vectors of a model in the tunes of the train split.

    Tunes in the same keys are compared, lest a style be told by the keys of its book.

    Lesson: book/index

    Parameters
    ----------
    model : MelodyVAE
        Of bars of 16 steps.
    most : int, optional
        Tunes of a style, all of them unless given. Of few, all may be in major: then there is no
        vector of the mode.
    """
    found = [(piece, name) for name in STYLES for piece in tunes_of(name, split="train")[:most]]
    rows = np.stack([melodybars.windows(piece, bars=model.bars)[0].symbols for piece, _ in found])
    z = codes(model, rows)
    minor = [piece.mode in MINOR for piece, _ in found]
    tonic = [piece.key for piece, _ in found]
    key = list(zip(tonic, minor, strict=True))
    density = (rows >= FIRST_NOTE).sum(axis=1)
    few, many = np.quantile(density, [0.25, 0.75])
    ends = np.flatnonzero((density <= few) | (density >= many))
    asked = {
        "mode": (z, np.array(minor), tonic),
        "density": (z[torch.from_numpy(ends)], density[ends] >= many, [key[i] for i in ends]),
    }
    return AttributeVectors(
        mean_codes(z, [name for _, name in found], within=key),
        {
            name: attribute_vector(some, has, within=within)
            for name, (some, has, within) in asked.items()
            if has.any() and not has.all()
        },
    )


def moved(
    model: MelodyVAE, symbols: NDArray[np.int64], direction: Tensor, *, strength: float
) -> NDArray[np.int64]:
    """Move melodies along a direction of the latent space.

    Lesson: book/index

    Parameters
    ----------
    model : MelodyVAE
        Runs as it is: call ``model.eval()`` first.
    symbols : ndarray of int, (N, bars * steps)
    direction : Tensor, (D,)
    strength : float
        How far. 0 gives the reconstructions.

    Returns
    -------
    ndarray of int64, (N, bars * steps)

    Raises
    ------
    ValueError
        If the strength is not finite.
    """
    if not np.isfinite(strength):
        raise ValueError(f"strength must be a finite number, got {strength}")
    z = codes(model, symbols) + strength * direction
    return melodybars.canonical(model.write(z).cpu().numpy())


def transfer(
    notes: Piece | np.ndarray,
    from_style: str,
    to_style: str,
    strength: float = 1.0,
    *,
    model: MelodyVAE | None = None,
    vectors: AttributeVectors | None = None,
    meter: str | None = None,
    pickup_beats: float | None = None,
) -> np.ndarray:
    """Turn a melody towards another style.

    Lesson: book/index

    Parameters
    ----------
    notes : Piece or note array
        A melody in 4/4, 2/2 or 2/4. It is coded in parts of as many bars as the model reads; the
        last part is filled up with the beginning, as if the tune were played again.
    from_style, to_style : str
        Of `STYLES`.
    strength : float
        1 goes from the middle of one style to the middle of the other, 0 nowhere.
    model : MelodyVAE, optional
        The one that ships unless given.
    vectors : AttributeVectors, optional
        Of this model; found by `learn` unless given.
    meter, pickup_beats
        As in `mircourse.melodybars.encode`.

    Returns
    -------
    numpy.ndarray of `mircourse.scores.NOTE_DTYPE`, (n,)
        From the same bar line on; a pickup has become the end of a bar of its own.

    Raises
    ------
    ValueError
        If a style is unknown, the melody has no notes, or the metre or a pitch does not fit.
    """
    used = _shipped() if model is None else model
    known = _learned(used) if vectors is None else vectors
    direction = known.between(from_style, to_style)
    return _changed(notes, direction, strength, model=used, meter=meter, pickup_beats=pickup_beats)


def change(
    notes: Piece | np.ndarray,
    attribute: str,
    strength: float = 1.0,
    *,
    model: MelodyVAE | None = None,
    vectors: AttributeVectors | None = None,
    meter: str | None = None,
    pickup_beats: float | None = None,
) -> np.ndarray:
    """Turn a melody towards minor, or towards more notes; a negative strength turns it back.

    Lesson: book/index

    Parameters
    ----------
    notes : Piece or note array
        As in `transfer`.
    attribute : {"mode", "density"}
        See `AttributeVectors`.
    strength, model, vectors, meter, pickup_beats
        As in `transfer`.

    Returns
    -------
    numpy.ndarray of `mircourse.scores.NOTE_DTYPE`, (n,)

    Raises
    ------
    ValueError
        As `transfer`.
    """
    used = _shipped() if model is None else model
    known = _learned(used) if vectors is None else vectors
    direction = known.direction(attribute)
    return _changed(notes, direction, strength, model=used, meter=meter, pickup_beats=pickup_beats)


def parts_of(symbols: NDArray[np.int64], *, length: int) -> NDArray[np.int64]:
    """Cut a melody that is played again and again into rows: (n,) -> (ceil(n / length), length).

    Raises
    ------
    ValueError
        If there are no symbols.
    """
    if not len(symbols):
        raise ValueError("a melody without notes cannot be coded")
    rows = -(-len(symbols) // length)
    return melodybars.canonical(np.resize(symbols, (rows, length)))


def _changed(
    notes: Any,
    direction: Tensor,
    strength: float,
    *,
    model: MelodyVAE,
    meter: str | None,
    pickup_beats: float | None,
) -> np.ndarray:
    meter = meter or getattr(notes, "meter", None) or "4/4"
    if melodybars.steps_of(meter) != model.steps:
        raise ValueError(
            f"the model reads bars of {model.steps} steps, but {meter} has "
            f"{melodybars.steps_of(meter)}"
        )
    symbols = melodybars.encode(notes, meter=meter, pickup_beats=pickup_beats)
    rows = parts_of(symbols, length=model.bars * model.steps)
    found = moved(model, rows, direction, strength=strength).ravel()[: len(symbols)]
    return melodybars.decode(found, meter=meter)


@functools.cache
def _shipped() -> MelodyVAE:
    model = weights.load(WEIGHTS).model
    assert isinstance(model, MelodyVAE)
    return model


@functools.lru_cache(maxsize=2)
def _learned(model: MelodyVAE) -> AttributeVectors:
    return learn(model)


def _device(model: MelodyVAE) -> torch.device:
    return next(model.parameters()).device
