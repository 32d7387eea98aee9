"""What a transcription network learns by: keys, onsets and velocities in one loss."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from mircourse.semitones import KEYS

__all__ = ["Logits", "TranscriptionLoss"]


class Logits(NamedTuple):
    """What the network says before a sigmoid, (B, T, 88) or, with one output for all, (B, T, 1)."""

    pitches: Tensor
    onsets: Tensor
    velocities: Tensor


class TranscriptionLoss(nn.Module):
    r"""Multi-task loss of a transcription: pitches, onsets, and velocities where a note sounds.

    .. math:: \mathcal{L} = \lambda_p \mathrm{BCE}_{w_p}(\hat p, p)
              + \lambda_o \mathrm{BCE}_{w_o}(\hat o, o)
              + \lambda_v \frac{\sum p\,(\hat v - v/127)^2}{\sum p}

    :eq:`eq:rnn-loss`. A binary cross-entropy is the mean over frames and keys; a cell whose target
    is 1 counts :math:`w` times. A key is up most of the time, and struck in far fewer frames still,
    so without :math:`w` silence is a good answer to begin with. Velocity is known only where a key
    is down; elsewhere it costs nothing.

    With one onset for all keys the target is the largest of the 88; with one velocity, the mean
    over the keys that are down.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    pitch, onset, velocity : float
        The :math:`\lambda`; 0 leaves a part out.
    pitch_weight, onset_weight : float
        The :math:`w`.
    """

    def __init__(
        self,
        *,
        pitch: float = 1.0,
        onset: float = 1.0,
        velocity: float = 0.2,
        pitch_weight: float = 1.0,
        onset_weight: float = 2.0,
    ) -> None:
        super().__init__()
        if min(pitch, onset, velocity) < 0 or pitch + onset + velocity == 0:
            raise ValueError(
                f"got pitch={pitch}, onset={onset}, velocity={velocity}; expected weights of 0 or "
                "more, one of them positive"
            )
        if not (pitch_weight > 0 and onset_weight > 0):
            raise ValueError("pitch_weight and onset_weight must be positive")
        self.pitch, self.onset, self.velocity = pitch, onset, velocity
        self.pitch_weight, self.onset_weight = pitch_weight, onset_weight

    def forward(
        self, logits: Logits, target: Tensor, *, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the three parts and their weighted ``total``, scalars.

        Parameters
        ----------
        logits : Logits
            Of the network.
        target : Tensor, shape (B, T, 3, 88)
            Rolls of pitches, onsets and velocities (0 to 127), in this order.
        mask : Tensor of bool, shape (B, T), optional
            False for padding, which counts nothing.

        Raises
        ------
        ValueError
            If shapes do not fit.
        """
        expected = (*logits.pitches.shape[:2], 3, KEYS)
        if target.shape != expected:
            raise ValueError(f"got a target of shape {tuple(target.shape)}; expected {expected}")
        p, o, v = (t.to(logits.pitches.dtype) for t in target.unbind(2))  # (B, T, 88) each
        down = p
        if logits.onsets.shape[2] == 1:
            o = o.amax(2, keepdim=True)  # (B, T, 88) -> (B, T, 1)
        if logits.velocities.shape[2] == 1:
            keys = p.sum(2, keepdim=True)
            v = (p * v).sum(2, keepdim=True) / keys.clamp(min=1)  # -> (B, T, 1)
            down = (keys > 0).to(p.dtype)
        real = 1.0 if mask is None else mask[..., None].to(p.dtype)  # (B, T, 1)
        parts = {
            "pitches": _bce(logits.pitches, p, self.pitch_weight, real),
            "onsets": _bce(logits.onsets, o, self.onset_weight, real),
            "velocities": ((logits.velocities.sigmoid() - v / 127).square() * down * real).sum()
            / (down * real).sum().clamp(min=1),
        }
        total = (
            self.pitch * parts["pitches"]
            + self.onset * parts["onsets"]
            + self.velocity * parts["velocities"]
        )
        return parts | {"total": total}


def _bce(logits: Tensor, target: Tensor, weight: float, real: Tensor | float) -> Tensor:
    each = F.binary_cross_entropy_with_logits(
        logits, target, pos_weight=logits.new_tensor(weight), reduction="none"
    )
    cells = each.numel() if isinstance(real, float) else real.sum() * each.shape[2]
    return (each * real).sum() / cells
