"""From feature maps to logits: what happens to the frequency axis and to the time axis.

*Conventions.* A feature map is ``(B, C, F, T)``: batch, channels, frequency, time. Frames are
``(B, T, D)``. Every pooling returns its weights ``(B, T)`` beside the pooled vector.

Lesson: book/cnn/musiccnn
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from mircourse.blocks import SameConv2d, conv_block

Pooling = Literal["attention", "average"]


class AttentionPooling(nn.Module):
    r"""Average over time in which the network decides how much each frame counts.

    .. math:: e_t = v^\top \tanh(W x_t + b), \quad \alpha = \mathrm{softmax}(e), \quad
              y = \sum_t \alpha_t x_t

    :eq:`eq:cnn-attention` is the additive attention of Bahdanau, Cho and Bengio (2015) with one
    query that is learned. :math:`v` has no bias: softmax would cancel it.

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    features : int
        Length of each :math:`x_t`.
    hidden : int
        Rows of :math:`W`.
    """

    def __init__(self, features: int, *, hidden: int = 128) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pool ``(B, T, features)`` over time.

        Parameters
        ----------
        x : Tensor, shape (B, T, features)
            Frames.
        mask : Tensor of bool, shape (B, T), optional
            True where a frame counts. A row without any is averaged plainly.

        Returns
        -------
        pooled : Tensor, shape (B, features)
        weights : Tensor, shape (B, T)
            Non-negative; each row sums to 1.

        Raises
        ------
        ValueError
            If ``x`` has no time axis or ``mask`` does not match it.
        """
        if x.ndim != 3:
            raise ValueError(f"got frames of shape {tuple(x.shape)}; expected (B, T, features)")
        scores = self.score(torch.tanh(self.hidden(x))).squeeze(-1).float()  # (B, T, 1) -> (B, T)
        if mask is not None:
            if mask.shape != x.shape[:2]:
                raise ValueError(
                    f"got a mask of shape {tuple(mask.shape)}; expected {tuple(x.shape[:2])}, "
                    "one flag per frame"
                )
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=1).to(x.dtype)
        return torch.einsum("bt,btd->bd", weights, x), weights  # (B, T, D) -> (B, D)


class AveragePooling(nn.Module):
    """Plain average over time, with the interface of `AttentionPooling`.

    Lesson: book/cnn/musiccnn
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Average ``(B, T, features)`` over time; the weights ``(B, T)`` are all ``1 / T``."""
        weights = torch.full_like(x[..., 0], 1.0) / x.shape[1]
        return x.mean(dim=1), weights  # (B, T, D) -> (B, D)


class ClassifierHead(nn.Module):
    """From a feature map to logits: frequency first, then time, then one linear layer.

    Frequency is either kept (a 1 × 1 convolution reduces the channels, then channels and rows are
    flattened into one vector per frame) or averaged. Time is pooled with attention or averaged.

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    channels, rows : int
        Channels and frequency rows of the feature map.
    n_classes : int
        Logits out.
    keep_frequency : bool
        Keep the frequency axis. Averaging it throws away *where* in the spectrum something is.
    pooling : {"attention", "average"}
        How time is pooled.
    reduced : int
        Channels after the reduction; used only if frequency is kept.
    hidden : int
        Hidden units of the attention.
    dropout : float
        Share of the pooled vector that training drops.
    """

    def __init__(
        self,
        channels: int,
        rows: int,
        n_classes: int,
        *,
        keep_frequency: bool,
        pooling: Pooling,
        reduced: int,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.reduce = (
            conv_block(SameConv2d(channels, reduced, 1, bias=False), reduced)
            if keep_frequency
            else None
        )
        features = reduced * rows if keep_frequency else channels
        self.pool: nn.Module
        if pooling == "attention":
            self.pool = AttentionPooling(features, hidden=hidden)
        elif pooling == "average":
            self.pool = AveragePooling()
        else:
            raise ValueError(f'got pooling={pooling!r}; expected "attention" or "average"')
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(features, n_classes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map ``(B, channels, rows, T)`` to ``logits``, ``embedding`` and ``attention``."""
        # (B, C, F, T) -> (B, D, T), where D is C, or R * F if frequency is kept
        frames = x.mean(dim=2) if self.reduce is None else self.reduce(x).flatten(1, 2)
        embedding, attention = self.pool(frames.transpose(1, 2))  # (B, T, D) -> (B, D)
        logits = self.fc(self.dropout(embedding))  # (B, D) -> (B, n_classes)
        return {"logits": logits, "embedding": embedding, "attention": attention}
