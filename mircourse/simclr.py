"""SimCLR (Chen et al., 2020): an encoder that learns without labels what two views share.

An encoder makes a vector h of a recording; a projector of two layers makes z of h, and the loss
compares z. What is kept is the encoder: h has what z may forget.

Lesson: book/index
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

# The last layer of the course's encoders, before which their representation lies.
LAST_LAYERS = ("head.fc", "outputs.pitches", "output")


class SimCLR(nn.Module):
    """An encoder and, for training, a projector behind its representation.

    The representation is what enters the encoder's last layer, which is not used. So any network
    of the course is an encoder as it is: `mircourse.cnn.MusicCNN` and `HarmonicCNN`,
    `mircourse.rnn.MusicTranscriptionRNN`, and others whose last layer you name.

    Lesson: book/index

    Parameters
    ----------
    encoder : nn.Module
        Its own dropout, if it has any before its last layer, is one more difference of the views.
    projection_dim : int
        Numbers that the loss compares.
    hidden_dim : int, optional
        Width of the projector's hidden layer; that of the representation by default.
    layer : str, optional
        The encoder's last layer, a linear one, as ``named_modules`` calls it; by default the first
        of `LAST_LAYERS` that there is. Empty: the representation is the encoder's output, a tensor
        or ``hidden_states`` of a dictionary.
    embedding_dim : int, optional
        Width of the representation, which has to be told if `layer` is empty.
    batch_norm : bool
        Normalise the hidden layer over the batch, as the published projector does.

    Raises
    ------
    ValueError
        If a size is below 1, or the layer is not there or not linear; the message lists those that
        are.

    Examples
    --------
    >>> import torch
    >>> from mircourse.cnn import MusicCNN
    >>> model = SimCLR(MusicCNN(width=0.125, n_mels=32), 64).eval()
    >>> x = torch.randn(3, 22050)
    >>> model(x).shape, model.embed(x).shape
    (torch.Size([3, 64]), torch.Size([3, 128]))
    """

    def __init__(
        self,
        encoder: nn.Module,
        projection_dim: int = 128,
        *,
        hidden_dim: int | None = None,
        layer: str | None = None,
        embedding_dim: int | None = None,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        linear = {n: m for n, m in encoder.named_modules() if isinstance(m, nn.Linear)}
        if layer is None:
            layer = next((name for name in LAST_LAYERS if name in linear), None)
        if layer is None or (layer and layer not in linear):
            raise ValueError(
                f"{type(encoder).__name__} has no linear layer {layer or ' or '.join(LAST_LAYERS)}"
                f"; name the last of its own: {', '.join(linear) or 'none'}"
            )
        width = linear[layer].in_features if layer else embedding_dim
        if width is None:
            raise ValueError("with layer='' give embedding_dim, the width of the encoder's output")
        hidden = width if hidden_dim is None else hidden_dim
        if min(width, hidden, projection_dim) < 1:
            raise ValueError(
                "embedding_dim, hidden_dim and projection_dim must be 1 or more, got "
                f"{width}, {hidden} and {projection_dim}"
            )
        self.encoder = encoder
        self.layer = layer
        self.embedding_dim, self.projection_dim = width, projection_dim
        if layer:
            # It gets no gradient, and processes that train together wait for every one.
            linear[layer].requires_grad_(False)
        self.projector = nn.Sequential(
            nn.Linear(width, hidden, bias=not batch_norm),
            nn.BatchNorm1d(hidden) if batch_norm else nn.Identity(),
            nn.ReLU(),
            nn.Linear(hidden, projection_dim),
        )

    def forward(self, x: Any) -> Tensor:
        """Return z, shape (B, projection_dim), of whatever the encoder takes."""
        return self.projector(self.embed(x))

    def embed(self, x: Any) -> Tensor:
        """Return the representation h, shape (B, embedding_dim).

        Of an encoder that has one vector for each frame, ``(B, T, D)``, it is their mean.

        Raises
        ------
        TypeError
            If the encoder gives something else.
        """
        h = self._before_last(x) if self.layer else self.encoder(x)
        if isinstance(h, dict):
            h = h.get("hidden_states")
        if not isinstance(h, Tensor) or h.ndim not in (2, 3):
            kind = tuple(h.shape) if isinstance(h, Tensor) else type(h).__name__
            raise TypeError(f"expected a representation (B, D) or (B, T, D), got {kind}")
        return h.mean(dim=1) if h.ndim == 3 else h  # (B, T, D) -> (B, D)

    def _before_last(self, x: Any) -> Tensor:
        entered: list[Tensor] = []

        def keep(module: nn.Module, inputs: Sequence[Tensor]) -> None:
            entered.append(inputs[0])

        hook = self.encoder.get_submodule(self.layer).register_forward_pre_hook(keep)
        try:
            self.encoder(x)
        finally:
            hook.remove()
        if not entered:
            raise TypeError(f"the encoder did not use its layer {self.layer!r}")
        return entered[-1]
