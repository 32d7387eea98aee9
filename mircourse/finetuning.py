"""Fine-tuning: a pretrained `MusicBERT` learns to classify from few labels.

`windows` cuts a piece into what the model reads, pairs of phrases as in pretraining.
`SequenceClassifier` puts a linear layer on the mean of the hidden states and that of `CLS`;
`FineTuningTask` lets what is pretrained learn more slowly than what is new; `classify` adds up what
is said of the windows of a piece. `few` draws a share of the labels.

Lesson: book/transformer/musicbert
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mircourse.events import N_EVENTS, PAD, TIME_SHIFT
from mircourse.phrases import MAX_TOKENS, join, phrases
from mircourse.scores import Piece
from mircourse.tasks import ClassificationTask

if TYPE_CHECKING:
    from mircourse.musicbert import MusicBERT

WIDTH = 2 * MAX_TOKENS + 3  # of a window


def windows(piece: Piece, *, bars: int = 4) -> NDArray[np.int64]:
    """Return a piece as a `MusicBERT` reads it: two phrases a row, none of them twice.

    Lesson: book/transformer/musicbert

    Parameters
    ----------
    piece : Piece
        See `mircourse.phrases.phrases`.
    bars : int
        Length of a phrase.

    Returns
    -------
    ndarray of int64, (W, WIDTH)
        Padded at the end with `PAD`. A phrase that is left over is alone in its row.
    """
    found = phrases(piece, bars=bars)
    rows = np.full(((len(found) + 1) // 2, WIDTH), PAD, np.int64)
    for k, row in enumerate(rows):
        tokens = join(*found[2 * k : 2 * k + 2])
        row[: len(tokens)] = tokens
    return rows


def few(
    labels: npt.ArrayLike, *, share: float, groups: Sequence[str], seed: int
) -> NDArray[np.int64]:
    """Draw a share of the items, some of every class, and of a group all or none.

    Parameters
    ----------
    labels : array_like of int, (N,)
        Class of each item.
    share : float
        In (0, 1]. At least one group of each class is drawn, so that a small share of many
        classes can come out larger.
    groups : sequence of str, length N
        What each item belongs to, for example its melody family.
    seed : int
        Decides the draw.

    Returns
    -------
    ndarray of int64
        Indices, ascending.

    Raises
    ------
    ValueError
        If `share` is out of range or the lengths differ.
    """
    label = np.asarray(labels)
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    if label.ndim != 1 or len(label) != len(groups):
        raise ValueError(f"expected a label and a group each, got {label.shape}, {len(groups)}")
    if share == 1:
        return np.arange(len(label))
    rng = np.random.default_rng(seed)
    names = np.asarray(groups)
    taken = np.zeros(len(label), bool)
    for one in np.unique(label):
        of_class = label == one
        wanted = max(1, round(share * of_class.sum()))
        for group in rng.permutation(np.unique(names[of_class])):
            if taken[of_class].sum() >= wanted:
                break
            taken |= of_class & (names == group)
    return np.flatnonzero(taken)


class SequenceClassifier(nn.Module):
    """A `MusicBERT` with a layer on top that tells classes apart.

    Lesson: book/transformer/musicbert

    Parameters
    ----------
    bert : MusicBERT
        Pretrained or new; it is trained further, not copied.
    n_classes : int
    dropout : float
        Share of what the new layer reads that training drops.

    Raises
    ------
    ValueError
        If `n_classes` is below 2.
    """

    def __init__(self, bert: MusicBERT, n_classes: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        if n_classes < 2:
            raise ValueError(f"n_classes must be 2 or more, got {n_classes}")
        self.bert = bert
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * bert.transformer.d_model, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(B, n_classes)`` of tokens ``(B, T)``, each row with `CLS` first."""
        h = self.bert(x)["hidden_states"]  # (B, T) -> (B, T, D)
        return self.output(self.dropout(pooled(h, x)))  # (B, 2 D) -> (B, n_classes)


def pooled(hidden_states: Tensor, tokens: Tensor) -> Tensor:
    """Return the state of the first position beside the mean over all events.

    Parameters
    ----------
    hidden_states : Tensor, (B, T, D)
    tokens : Tensor of int64, (B, T)
        Special tokens do not count in the mean.

    Returns
    -------
    Tensor, (B, 2 D)
    """
    event = (tokens < N_EVENTS).unsqueeze(-1)  # (B, T) -> (B, T, 1)
    total = hidden_states.masked_fill(~event, 0).sum(dim=1)  # (B, T, D) -> (B, D)
    mean = total / event.sum(dim=1).clamp(min=1)
    return torch.cat([hidden_states[:, 0], mean], dim=-1)  # 2 x (B, D) -> (B, 2 D)


class FineTuningTask(ClassificationTask):
    """A `ClassificationTask` whose pretrained part learns more slowly than the new layer.

    Lesson: book/transformer/musicbert

    Parameters
    ----------
    model : SequenceClassifier
    body : float
        The rate of ``model.bert`` as a share of `lr`; 0 leaves it as it is, 1 makes no difference.
    lr, weight_decay, class_weights, schedule, label_smoothing, warmup
        As in `ClassificationTask`.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    model: SequenceClassifier

    def __init__(
        self, model: SequenceClassifier, *, body: float = 1.0, lr: float = 1e-3, **settings: Any
    ) -> None:
        super().__init__(model, lr=lr, **settings)
        if not body >= 0:
            raise ValueError(f"body must be 0 or more, got {body}")
        self.body = body
        self.model.bert.requires_grad_(body > 0)

    def settings(self) -> dict[str, Any]:
        """Return what a checkpoint must agree on to be resumed."""
        return super().settings() | {"body": self.body}

    def configure_optimizers(self) -> Any:
        """Return AdamW with two rates, and its schedule; Lightning calls it."""
        slow = {id(p) for p in self.model.bert.parameters()}
        steps = int(self.trainer.estimated_stepping_batches)
        groups = []
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                groups.append(
                    {
                        "params": [parameter],
                        "lr": self.lr * (self.body if id(parameter) in slow else 1.0),
                        "weight_decay": self.weight_decay if parameter.ndim > 1 else 0.0,
                    }
                )
        optimizer = torch.optim.AdamW(groups)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.rate(step, steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def other_key(x: Tensor, y: Tensor, *, semitones: int = 5) -> tuple[Tensor, Tensor]:
    """Move each row of tokens to another key, as a ``batch_transform`` of `mircourse.training.fit`.

    A row moves by -semitones to +semitones, drawn from the global generator, and less where a
    pitch would leave 0 to 127.
    """
    key = x < TIME_SHIFT
    pitch = x % 128
    low = torch.where(key, pitch, 127).amin(dim=1)
    high = torch.where(key, pitch, 0).amax(dim=1)
    up = torch.randint(-semitones, semitones + 1, (len(x),), device=x.device)
    up = torch.minimum(torch.maximum(up, -low), 127 - high)
    return torch.where(key, x + up[:, None], x), y


@torch.no_grad()
def classify(
    model: SequenceClassifier, rows: Tensor, owner: npt.ArrayLike, *, batch_size: int = 64
) -> NDArray[np.float64]:
    """Return the mean log-probability of each class over the windows of each piece.

    Parameters
    ----------
    model : SequenceClassifier
        Runs in evaluation mode, where its weights are; the mode it had is restored.
    rows : Tensor of int64, (N, T)
        Windows of all pieces.
    owner : array_like of int, (N,)
        Number of the piece of each, 0 to P - 1, each with a window.

    Returns
    -------
    ndarray of float, (P, n_classes)

    Raises
    ------
    ValueError
        If a piece has no window or the lengths differ.
    """
    from mircourse.training import predict

    number = np.asarray(owner)
    counts = np.bincount(number)
    if len(number) != len(rows) or (counts == 0).any():
        raise ValueError(f"expected an owner for each of {len(rows)} rows, none left out")
    logits = torch.from_numpy(predict(model, rows, batch_size=batch_size)).double()
    spoken = logits.log_softmax(dim=-1).numpy()  # (N, n_classes)
    total = np.zeros((len(counts), spoken.shape[1]))
    np.add.at(total, number, spoken)
    return total / counts[:, None]
