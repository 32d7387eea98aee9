"""What models write in ten styles, for `mircourse.experiments.judged` to judge.

Each item is an excerpt of a held-out piece, `BEATS` long, from its beginning or, where a style has
few pieces, from later. A model is asked for as much music in that style, from nothing. A model is
named by settings: ``{"model": "Transformer", "grammar": True, "top_p": 1.0, "styled": True}``. The
Transformer is the network that ships; seeds differ in what is drawn, for it as for the n-gram.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray

from mircourse import registry, styles, weights
from mircourse.events import BOS, N_EVENTS, N_TOKENS, steps_after
from mircourse.experiments.runner import cache_dir
from mircourse.grammar import Grammar
from mircourse.musictransformer import NO_STYLE, MusicTransformer
from mircourse.ngrams import NGram, windows
from mircourse.sampling import draw, nucleus
from mircourse.styles import STYLES

BEATS = 32
EACH = 8  # items a style
MOST_TOKENS, FAST_TOKENS = 900, 80
FEWEST_NOTES = 12
ORDER = 13  # of the n-gram: the style and eleven events; longer ones gain little on the valid split
REAL = "real pieces"
SHIPPED = "musictransformer-styles"


class Item(NamedTuple):
    """An excerpt of a real piece.

    Attributes
    ----------
    style : int
        Its place in `mircourse.styles.STYLES`.
    family : str
        Of the piece.
    tokens : ndarray of int64, (n,)
        From ``BOS`` to ``EOS``.
    """

    style: int
    family: str
    tokens: NDArray[np.int64]


def excerpts(style: str, *, split: str, most: int) -> list[Item]:
    """Return excerpts of a style, the beginnings of all pieces before what comes later in any."""
    found: list[Item] = []
    pieces = styles.pieces(style, split=split)
    longest = max(piece.duration_beat for piece in pieces)
    for start in range(0, int(longest), BEATS):
        for piece in pieces:
            if len(found) == most:
                return found
            part = piece.excerpt(start, start + BEATS)
            if len(part.notes) >= FEWEST_NOTES:
                found.append(Item(styles.number(style), piece.family, styles.tokens(part)))
    return found


@functools.cache
def items(fast: bool) -> tuple[Item, ...]:
    """Return what is scored: `EACH` excerpts of each style, of the test split."""
    each = 1 if fast else EACH
    return tuple(item for style in STYLES for item in excerpts(style, split="test", most=each))


# -------------------------------------------------------------------------------------- models


class TokenNGram:
    """Counts which event follows the style and the events before; writes music by drawing.

    Parameters
    ----------
    order : int
        One more than the symbols of a context, of which the nearest is the style.
    """

    def __init__(self, *, order: int = ORDER) -> None:
        self.gram = NGram(N_TOKENS, order=order)

    def fit(self, pieces: Sequence[tuple[int, NDArray[np.int64]]]) -> TokenNGram:
        """Count in pieces, each a style and its tokens from ``BOS`` on."""
        self.gram.fit(*self._cut(pieces))
        return self

    def nats(self, pieces: Sequence[tuple[int, NDArray[np.int64]]]) -> float:
        """Return the mean cost of a token but the first."""
        return -float(self.gram.log2_probability(*self._cut(pieces)).mean() * np.log(2))

    def _cut(
        self, pieces: Sequence[tuple[int, NDArray[np.int64]]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        contexts, targets = windows([tokens for _, tokens in pieces], order=self.gram.order - 1)
        style = np.repeat([s for s, _ in pieces], [len(tokens) for _, tokens in pieces])
        drawn = targets != BOS  # with which every piece begins
        return np.column_stack([style, contexts])[drawn], targets[drawn]

    def write(
        self,
        asked: Sequence[int],
        *,
        grammar: bool,
        top_p: float,
        seed: int,
        most: int = MOST_TOKENS,
    ) -> list[NDArray[np.int64]]:
        """Write a piece of at most so many tokens in each of the styles asked for."""
        rngs = [np.random.default_rng([seed, i]) for i in range(len(asked))]
        rules = Grammar(len(asked))
        tokens = np.full((len(asked), 1), BOS)
        rules.append(tokens[:, 0])
        short = np.full((len(asked), self.gram.order - 2), -1)  # before the beginning
        for _ in range(most):
            lately = np.concatenate([short, tokens], axis=1)[:, : -self.gram.order + 1 : -1]
            p = self.gram.probabilities(np.column_stack([asked, lately]))  # (B, N_TOKENS)
            p[:, N_EVENTS:] = 0
            if grammar:
                p[~rules.allowed()] = 0
            drawn = draw(nucleus(p, top_p=top_p), rngs)
            rules.append(drawn)
            tokens = np.column_stack([tokens, drawn])
            if (steps_after(tokens)[:, -1] >= BEATS * styles.STEPS).all():
                break
        return [_enough(row) for row in tokens]


def _enough(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut tokens after so many beats."""
    return tokens[: np.searchsorted(steps_after(tokens), BEATS * styles.STEPS) + 1]


@functools.cache
def ngram(fast: bool) -> TokenNGram:
    """Return the n-gram, counted on the train split."""
    learn = [(one.style, one.tokens) for one in styles.styled("train")]
    return TokenNGram().fit(learn[:: 40 if fast else 1])


def written(settings: Mapping[str, Any], *, seed: int, fast: bool) -> list[NDArray[np.int64]]:
    """Return what a model wrote for each of `items`; kept in the cache folder.

    Parameters
    ----------
    settings : mapping
        ``model`` ("real pieces", "n-gram" or "Transformer"), ``grammar``, ``top_p`` (1 unless
        given) and ``styled`` (whether the model is told the style; True unless given).
    seed : int
        Of what is drawn.
    fast : bool
        One short item a style.
    """
    if settings["model"] == REAL:
        return [item.tokens for item in items(fast)]
    memory = joblib.Memory(cache_dir() / "generated", verbose=0)
    recipe: dict[str, Any] = {"order": ORDER}
    if settings["model"] == "Transformer":
        recipe = {"sha256": registry.entries()[f"weights/{SHIPPED}.safetensors"].sha256}
    known = {"recipe": recipe, "beats": BEATS, "each": EACH}
    return memory.cache(_write)(dict(settings), known, seed=seed, fast=fast)


def _write(
    settings: dict[str, Any], known: dict[str, Any], *, seed: int, fast: bool
) -> list[NDArray[np.int64]]:
    asked = [item.style for item in items(fast)]
    grammar, top_p = settings["grammar"], settings.get("top_p", 1.0)
    most = FAST_TOKENS if fast else MOST_TOKENS
    if settings["model"] == "n-gram":
        return ngram(fast).write(asked, grammar=grammar, top_p=top_p, seed=seed, most=most)
    from mircourse.generating import generate_batch

    model = weights.load(SHIPPED).model
    assert isinstance(model, MusicTransformer)
    made = generate_batch(
        model,
        [[]] * len(asked),
        styles=asked if settings.get("styled", True) else [NO_STYLE] * len(asked),
        max_tokens=most,
        top_p=top_p,
        grammar=grammar,
        seed=seed,
        until=lambda tokens: bool(steps_after(tokens)[-1] >= BEATS * styles.STEPS),
    )
    return [_enough(tokens) for tokens in made]
