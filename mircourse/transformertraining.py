"""Training of a `mircourse.musictransformer.MusicTransformer` that writes: its loss and its costs.

Apart from the model, so that the model alone loads nothing but PyTorch.

Lesson: book/transformer/musictransformer
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mircourse.sequences import IGNORED, Example, Rows, buckets, padded, windows
from mircourse.tasks import Task

HEADS = ("pitches", "durations", "dynamics")


class LanguageTask(Task):
    r"""Learn to foretell the next token, :eq:`eq:tf-nll`, and perhaps the next note.

    .. math::
        \mathcal{L} = -\frac{1}{N} \sum_t \log p(x_{t+1} \mid x_1, \dots, x_t)

    Each further head adds its own cross-entropy, summed over the tokens that have a target for it
    and divided by the same N, times `heads`.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    model : nn.Module
        Called as ``model(tokens, style=..., segments=...)``; gives a dictionary with ``logits``
        (B, T, K) and, for the heads, those of `HEADS`.
    heads : float
        What the three heads count, 0 or more; 0 leaves them out.
    packed : bool
        Whether rows hold several pieces, so that the model has to be told the segments.
    lr, weight_decay, schedule, warmup
        As in `mircourse.tasks.Task`.

    Notes
    -----
    Batches are those of `mircourse.sequences.PackedRows`: a `mircourse.sequences.Rows` and targets
    (B, T, 1 or 4). The scores of an epoch are the accuracy of the next token and minus its cost
    in nats, as ``valid_accuracy`` and ``valid_negative_nats``.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        heads: float = 0.0,
        packed: bool = True,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: str = "cosine",
        warmup: float = 0.05,
    ) -> None:
        super().__init__(model, lr=lr, weight_decay=weight_decay, schedule=schedule, warmup=warmup)
        if not (heads >= 0 and math.isfinite(heads)):
            raise ValueError(f"heads must be a number of 0 or more, got {heads}")
        self.heads = heads
        self.packed = packed

    def settings(self) -> dict[str, Any]:
        """Return what a checkpoint must agree on to be resumed."""
        return super().settings() | {"heads": self.heads, "packed": self.packed}

    def forward(self, x: Rows) -> Any:  # type: ignore[override]
        """Return what the model says of a batch, a dictionary."""
        segments = x.segments if self.packed else None
        return self.model(x.tokens, style=x.style, segments=segments)

    def terms(self, logits: Any, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed cost of a batch, heads included, and its number of tokens."""
        following = target[..., 0]
        total = _cost(logits["logits"], following)
        if self.heads:
            if target.shape[-1] != 1 + len(HEADS):
                raise ValueError(
                    f"heads need targets (B, T, {1 + len(HEADS)}), got {tuple(target.shape)}"
                )
            for k, name in enumerate(HEADS):
                total = total + self.heads * _cost(logits[name], target[..., 1 + k])
        return total, (following != IGNORED).sum().to(total.dtype)

    def counts(self, logits: Any, target: Tensor) -> Tensor:
        """Return how many next tokens are right, what they cost, and how many there are: (3,)."""
        following = target[..., 0]
        scored = following != IGNORED
        right = (logits["logits"].argmax(dim=-1) == following) & scored
        cost = _cost(logits["logits"], following)
        return torch.stack([right.sum().to(cost.dtype), cost, scored.sum().to(cost.dtype)])

    def summary(self, counts: Tensor) -> dict[str, float]:
        """Return the accuracy and minus the nats a token."""
        right, cost, tokens = counts.tolist()
        return {"accuracy": right / tokens, "negative_nats": -cost / tokens}


@torch.no_grad()
def nats(
    model: nn.Module,
    examples: Sequence[Example],
    *,
    pad: int,
    length: int | None = None,
    tokens: int = 8192,
    head: str | None = None,
) -> NDArray[np.float64]:
    """Return what pieces cost: minus the natural logarithm of their probability.

    Parameters
    ----------
    model : nn.Module
        As in `LanguageTask`. Runs where its weights are, in evaluation mode; the mode it had is
        restored.
    examples : sequence of Example
        One or more.
    pad : int
        The token that fills up.
    length : int, optional
        Most tokens that the model reads at once. Longer pieces are read in windows that overlap
        by half (`mircourse.sequences.windows`); without it no piece is cut.
    tokens : int
        Most tokens in a batch.
    head : str, optional
        One of `HEADS`: the cost of what it is to say in place of the next token.

    Returns
    -------
    ndarray of float, (N, 2)
        The cost of each piece, and how many predictions it is the sum of.

    Raises
    ------
    ValueError
        If there are no examples.
    """
    if not examples:
        raise ValueError("there are no examples to score")
    parts = [
        (i, part)
        for i, example in enumerate(examples)
        for part in (windows(example, length=length) if length else [example])
    ]
    name, column = ("logits", 0) if head is None else (head, 1 + HEADS.index(head))
    device = next(model.parameters()).device
    found = np.zeros((len(examples), 2))
    training = model.training
    model.eval()
    try:
        for group in buckets([len(part) for _, part in parts], tokens=tokens):
            rows, targets = padded([parts[k][1] for k in group], pad=pad)
            style, target = rows.style.to(device), targets[..., column].to(device)
            logits = model(rows.tokens.to(device), style=style)[name]
            costs = functional.cross_entropy(
                _whole(logits).transpose(1, 2),  # (B, T, K) -> (B, K, T)
                target,
                ignore_index=IGNORED,
                reduction="none",
            )  # (B, T)
            sums = torch.stack([costs.double().sum(1), (target != IGNORED).sum(1)], dim=1)
            np.add.at(found, [parts[k][0] for k in group], sums.cpu().numpy())
    finally:
        model.train(training)
    return found


def _cost(logits: Tensor, target: Tensor) -> Tensor:
    """Return the summed cross-entropy of logits (B, T, K) and targets (B, T)."""
    return functional.cross_entropy(
        _whole(logits).flatten(0, -2), target.flatten(), ignore_index=IGNORED, reduction="sum"
    )


def _whole(logits: Tensor) -> Tensor:
    # A sum over thousands of tokens needs more digits than half precision has.
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
