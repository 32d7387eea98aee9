"""A Transformer that reads music in both directions, to be pretrained and then put to a task.

Some events are hidden, and it says what they were; two phrases stand side by side, and it says
whether the second follows the first. Both can be learned from music without labels (Devlin et al.,
2019). What it has to know for that then serves tasks with few labels.

Lesson: book/transformer/musicbert
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mircourse.events import N_EVENTS, N_TOKENS, PAD
from mircourse.musictransformer import MusicTransformer


class MusicBERT(nn.Module):
    """Bidirectional Transformer over events with heads for masked events and next phrases.

    Lesson: book/transformer/musicbert

    Parameters
    ----------
    d_model, n_heads, n_layers
        As in `mircourse.musictransformer.MusicTransformer`.
    max_seq_len : int
        Most tokens.
    relative, absolute, dropout, max_distance
        As in `mircourse.musictransformer.MusicTransformer`.

    Attributes
    ----------
    transformer : MusicTransformer
        The body, whose hidden states serve other tasks.

    Raises
    ------
    ValueError
        If a size is out of range or `n_heads` does not divide `d_model`.

    Examples
    --------
    >>> from mircourse.events import CLS, MASK, SEP
    >>> model = MusicBERT(32, 4, 2, max_seq_len=64)
    >>> x = torch.tensor([[CLS, 60, MASK, 188, SEP]])
    >>> out = model(x, mask_positions=x == MASK)
    >>> out["mlm_logits"].shape, out["nsp_logits"].shape
    (torch.Size([1, 388]), torch.Size([1, 2]))
    """

    def __init__(
        self,
        d_model: int = 768,
        n_heads: int = 12,
        n_layers: int = 12,
        *,
        max_seq_len: int = 2048,
        relative: bool = True,
        absolute: bool = True,
        dropout: float = 0.1,
        max_distance: int | None = None,
    ) -> None:
        super().__init__()
        self.transformer = MusicTransformer(
            d_model,
            n_heads,
            n_layers,
            max_seq_len,
            N_EVENTS,
            n_special=N_TOKENS - N_EVENTS,
            n_styles=0,
            causal=False,
            relative=relative,
            absolute=absolute,
            dropout=dropout,
            max_distance=max_distance,
            outputs=(),
        )
        self.mlm_head = nn.Sequential(
            nn.Linear(d_model, d_model),
            nn.GELU(),
            nn.LayerNorm(d_model),
            nn.Linear(d_model, N_EVENTS),
        )
        self.nsp_head = nn.Linear(d_model, 2)
        self._initialise()

    def forward(
        self,
        x: Tensor,
        mask_positions: Tensor | None = None,
        *,
        padding: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return what the network makes of each token.

        Parameters
        ----------
        x : Tensor of int, (B, T)
            Tokens of `mircourse.events`; the first of a row is `mircourse.events.CLS` where the
            next phrase is asked for.
        mask_positions : Tensor of bool, (B, T), optional
            True where the event is to be said. All positions unless given.
        padding : Tensor of bool, (B, T), optional
            True where there is no token; where `x` is `mircourse.events.PAD` unless given. A row
            gives what it gives alone.

        Returns
        -------
        dict of Tensor
            ``hidden_states`` (B, T, d_model), 0 in the padding; ``mlm_logits`` (N, 388) of the
            N positions that `mask_positions` names, row by row, or (B, T, 388); ``nsp_logits``
            (B, 2): 1 is that the second phrase follows the first.

        Raises
        ------
        TypeError
            If tokens are not whole numbers, or a mask is not of bools.
        ValueError
            If there is no token or an unknown one, a sequence is too long, or a shape does not
            fit.
        """
        if padding is None:
            padding = x == PAD
        hidden = self.transformer(x, padding=padding)["hidden_states"]  # (B, T, d_model)
        chosen = hidden
        if mask_positions is not None:
            if mask_positions.dtype != torch.bool:
                raise TypeError(f"mask_positions must be bool, got {mask_positions.dtype}")
            if mask_positions.shape != x.shape:
                raise ValueError(
                    f"expected mask_positions {tuple(x.shape)}, got {tuple(mask_positions.shape)}"
                )
            chosen = hidden[mask_positions]  # (B, T, d_model) -> (N, d_model)
        return {
            "hidden_states": hidden,
            "mlm_logits": self.mlm_head(chosen),
            "nsp_logits": self.nsp_head(hidden[:, 0]),  # (B, d_model) -> (B, 2)
        }

    @torch.no_grad()
    def _initialise(self) -> None:
        # As the body: outputs of size 1, and a tenth of that where all answers shall be alike.
        for module in (self.mlm_head[0], self.mlm_head[-1], self.nsp_head):
            assert isinstance(module, nn.Linear)
            module.weight.normal_(std=module.in_features**-0.5)
            module.bias.zero_()
        for last in (self.mlm_head[-1], self.nsp_head):
            assert isinstance(last, nn.Linear)
            last.weight.div_(10)
