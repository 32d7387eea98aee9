"""Train networks that foretell tokens, on chorales or on music in ten styles, and keep them.

What a network is, and how it learns, is a mapping of settings:

============== =============================================================================
``data``       ``"standard"`` or ``"families"``: chorales, see `mircourse.choralegrid.jsb`;
               ``"styles"``: see `mircourse.styles.styled`
``styles``     of these ten, which; all unless given
``network``    ``"transformer"`` or ``"lstm"``
``arguments``  of its constructor
``length``     tokens in a row of a batch, and at most in what is read at once
``transpose``  pieces are moved by up to so many semitones, each time anew
``packed``     whether rows hold several pieces
``heads``      what the three heads count in the loss
``epochs``     and ``batch_size``, ``lr``, ``weight_decay``
============== =============================================================================
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mircourse import choralegrid, events
from mircourse.experiments.remembered import Trained, kept, remembered
from mircourse.musictransformer import MusicTransformer
from mircourse.sequences import NO_STYLE, Example, PackedRows
from mircourse.styles import STYLES, styled
from mircourse.training import fit, seed_everything
from mircourse.transformertraining import LanguageTask

VERSION = 1  # raised when data or training change: nothing kept is used again
STYLED = "styles"
FAST_PIECES = 6
# What the course ships. Distances alone, far ones alike: it goes on beyond what it was taught with.
SHIPPED: dict[str, Any] = {
    "data": STYLED,
    "network": "transformer",
    "arguments": {
        "d_model": 128,
        "n_heads": 4,
        "n_layers": 3,
        "max_seq_len": 2048,
        "max_distance": 384,
        "absolute": False,
        "dropout": 0.05,
    },
    "length": 512,
    "packed": True,
    "transpose": 3,
    "heads": 0.1,
    "epochs": 8,
    "batch_size": 2,
    "lr": 0.002,
}
# What each alphabet has: symbols of music, the token that fills, tokens that belong together.
_CHORALES = {"vocab_size": choralegrid.N_SYMBOLS, "n_special": 3, "n_styles": 0}
_EVENTS = {"vocab_size": events.N_EVENTS, "n_special": 6, "n_styles": len(STYLES)}


class TokenLSTM(nn.Module):
    """An LSTM that foretells tokens, for comparison with a Transformer.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    hidden_size, num_layers : int
        Of the LSTM.
    embedding : int
        Numbers in the vector of a token.
    dropout : float
        Share of the embeddings and of the outputs of each layer that training drops.
    vocab_size, n_special, n_styles : int
        As in `mircourse.musictransformer.MusicTransformer`.
    """

    def __init__(
        self,
        hidden_size: int = 256,
        num_layers: int = 1,
        *,
        embedding: int = 64,
        dropout: float = 0.2,
        vocab_size: int = events.N_EVENTS,
        n_special: int = 6,
        n_styles: int = 0,
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size + n_special, embedding)
        self.style_embedding = nn.Embedding(n_styles + 1, embedding)  # the last is no style
        self.recurrent = nn.LSTM(
            embedding,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Linear(hidden_size, vocab_size + n_special)
        with torch.no_grad():
            for layer in range(num_layers):
                # PyTorch's second quarter is the forget gate (Jozefowicz et al., 2015).
                bias = getattr(self.recurrent, f"bias_ih_l{layer}")
                bias[hidden_size : 2 * hidden_size] += 1

    def forward(
        self, x: Tensor, style: Tensor | None = None, *, segments: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return ``logits`` (B, T, vocab_size + n_special) of the next token.

        Parameters
        ----------
        x : Tensor of int, (B, T)
            One piece a row.
        style : Tensor of int, (B,), optional
            `NO_STYLE` or None for none.
        segments : None
            An LSTM would carry its state from one piece of a row to the next.
        """
        if segments is not None:
            raise ValueError("an LSTM reads one piece a row: set packed to False")
        if style is None:
            style = x.new_full((len(x),), NO_STYLE)
        styles = self.style_embedding(style % len(self.style_embedding.weight))  # (B,) -> (B, E)
        h = self.token_embedding(x) + styles[:, None]  # (B, T) -> (B, T, E)
        h, _ = self.recurrent(self.dropout(h))  # -> (B, T, H)
        return {"logits": self.logits(self.dropout(h))}


NETWORKS: dict[str, type[nn.Module]] = {"transformer": MusicTransformer, "lstm": TokenLSTM}


def pad(data: str) -> int:
    """Return the token that fills up."""
    return events.PAD if data == STYLED else choralegrid.PAD


@functools.cache
def examples(
    data: str, split: str, *, heads: bool = False, styles: tuple[str, ...] = STYLES
) -> tuple[Example, ...]:
    """Return the pieces of a split; chorales without an end, for the protocol scores none.

    Parameters
    ----------
    data : str
        "standard", "families" or "styles".
    split : str
        Which part.
    heads : bool
        Whether the three heads have targets; events only.
    styles : tuple of str
        Those of `mircourse.styles.STYLES` that count.
    """
    if data == STYLED:
        return tuple(
            Example(
                tokens,
                style=style,
                notes=np.stack(events.note_targets(tokens), axis=1) if heads else None,
                id=piece.id,
                family=piece.family,
            )
            for piece, style, tokens in styled(split)
            if STYLES[style] in styles
        )
    return tuple(
        Example(
            np.concatenate([[choralegrid.BOS], chorale.tokens]),
            id=chorale.id,
            family=chorale.family,
        )
        for chorale in choralegrid.jsb(split, protocol=data)  # type: ignore[arg-type]
    )


def transposed(example: Example, semitones: int, *, data: str) -> Example:
    """Return a piece so many semitones higher, as far as its pitches stay in 0 to 127."""
    tokens, notes = example.tokens, example.notes
    keys = tokens < (events.TIME_SHIFT if data == STYLED else choralegrid.REST)
    pitch = tokens[keys] % 128
    if len(pitch):
        semitones = int(np.clip(semitones, -pitch.min(), 127 - pitch.max()))
    moved = np.where(keys, tokens + semitones, tokens)
    if notes is not None:
        notes = notes.copy()
        notes[notes[:, 0] >= 0, 0] += semitones
    return Example(moved, example.style, notes, example.id, example.family)


def untrained(settings: Mapping[str, Any], *, seed: int) -> nn.Module:
    """Return a new network."""
    seed_everything(seed)
    return NETWORKS[settings["network"]](**arguments(settings))


@remembered
def trained(settings: Mapping[str, Any], *, seed: int, fast: bool) -> tuple[nn.Module, float]:
    """Return a trained network and the seconds that its training took; kept in the cache folder.

    Parameters
    ----------
    settings : mapping
        See the module.
    seed : int
        Decides the initial weights, the order, what is cut where and the keys.
    fast : bool
        One epoch on a few pieces.
    """
    settings = dict(settings) | ({"epochs": 1} if fast else {})

    def train(folder: Path) -> Trained:
        model, seconds = _train(settings, seed=seed, fast=fast, folder=folder)
        return Trained(model, arguments(settings), seconds)

    return kept("writers", [VERSION, settings, seed, fast], train)


def _train(
    settings: Mapping[str, Any], *, seed: int, fast: bool, folder: Any
) -> tuple[nn.Module, float]:
    data, heads = settings["data"], settings.get("heads", 0.0)
    styles = tuple(settings.get("styles", STYLES))
    learn = examples(data, "train", heads=heads > 0, styles=styles)
    model = untrained(settings, seed=seed)
    packed = settings.get("packed", False)
    rows = PackedRows(
        _some(learn) if fast else learn,
        length=settings["length"],
        pad=pad(data),
        packed=packed,
        # A part of a chorale begins with the voice that one begins with.
        jitter=1 if data == STYLED else 16,
        augment=_moving(settings.get("transpose", 0), data),
    )
    result = fit(
        LanguageTask(
            model,
            heads=heads,
            packed=packed,
            lr=settings["lr"],
            weight_decay=settings.get("weight_decay", 0.01),
            # Of some thousand steps; the first are needed for learning.
            warmup=settings.get("warmup", 0.01),
        ),
        rows,
        epochs=settings["epochs"],
        batch_size=settings["batch_size"],
        seed=seed,
        gradient_clip=1.0,
        checkpoint_dir=folder,
    )
    return model, result.seconds


def _some(learn: Sequence[Example]) -> Sequence[Example]:
    return sorted(learn, key=len)[:FAST_PIECES]


def _moving(semitones: int, data: str) -> Any:
    if not semitones:
        return None

    def move(example: Example) -> Example:
        by = int(torch.randint(-semitones, semitones + 1, ()))
        return transposed(example, by, data=data)

    return move


def arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the constructor of the settings' network takes."""
    alphabet = _EVENTS if settings["data"] == STYLED else _CHORALES
    return {**alphabet, **settings["arguments"]}


def parameters(model: nn.Module) -> int:
    """Return the number of weights."""
    return sum(p.numel() for p in model.parameters())


def per_token(truth: NDArray, prediction: NDArray) -> float:
    """Return the nats of all pieces over their tokens."""
    return float(prediction.sum() / max(1, truth.sum()))
