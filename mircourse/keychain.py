"""What the chords around a chord say about its key: sum-product messages along a progression.

Lesson: book/index
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mircourse.chordgraph import EDGE_TYPES

N_KEYS = 24  # key = 2 * tonic + (1 in minor)
_PREVIOUS, _NEXT = EDGE_TYPES.index("previous"), EDGE_TYPES.index("next")


class KeyChain(nn.Module):
    r"""Belief propagation of keys along the edges from the previous and the next chord.

    A chord's own evidence is a score for each key. What comes from the chord before is

    .. math::
        m_i(k) = \log \sum_{k'} \exp\big(s_{i-1}(k') + m_{i-1}(k') + T(k', k)\big),

    and likewise from the chord after; the key's probability is the softmax of :math:`s_i` plus
    both. After n - 1 rounds these are the marginals of a linear-chain conditional random field
    (Lafferty et al., 2001). :math:`T` depends on the interval between the tonics and on the two
    modes alone, so that moving all chords moves the keys.

    Lesson: book/index

    Parameters
    ----------
    rounds : int
        How many chords a message travels, 0 or more; with 0 each chord stands alone.
    stay : float
        What :math:`T` begins with where the key stays; 0 elsewhere.

    Raises
    ------
    ValueError
        If `rounds` is negative.
    """

    def __init__(self, rounds: int = 24, *, stay: float = 4.0) -> None:
        super().__init__()
        if rounds < 0:
            raise ValueError(f"rounds must be 0 or more, got {rounds}")
        self.rounds = rounds
        change = torch.zeros(12, 2, 2)  # interval up, mode before, mode after
        change[0] = stay * torch.eye(2)
        self.change = nn.Parameter(change, requires_grad=rounds > 0)

    def transition(self) -> Tensor:
        """Return T, the key before by the key after, ``(24, 24)``."""
        tonic = torch.arange(12, device=self.change.device)
        up = (tonic[None, :] - tonic[:, None]) % 12
        # (12, 12, 2, 2) -> (tonic, mode, tonic, mode) -> (24, 24)
        return self.change[up].permute(0, 2, 1, 3).reshape(N_KEYS, N_KEYS)

    def forward(self, score: Tensor, edge_index: Tensor, edge_type: Tensor) -> Tensor:
        """Return the logarithm of each chord's key probabilities.

        Parameters
        ----------
        score : Tensor, (N, 24)
            Each chord's own evidence.
        edge_index, edge_type : Tensor of int, (2, E) and (E,)
            As `mircourse.chordgraph.chord_edges` makes them; those of type previous and next
            count.

        Returns
        -------
        Tensor, (N, 24)
        """
        found = score
        table = self.transition()
        for code, change in ((_PREVIOUS, table), (_NEXT, table.T)):
            source, target = edge_index[:, edge_type == code]
            message = torch.zeros_like(score)
            for _ in range(min(self.rounds, len(score) - 1)):
                sent = _send(score[source] + message[source], change)  # (E, 24)
                message = torch.zeros_like(score).index_add(0, target, sent)
            found = found + message
        return found.log_softmax(dim=-1)


def _send(belief: Tensor, change: Tensor) -> Tensor:
    """Return log of exp(belief) @ exp(change), normalised over the keys: (E, 24)."""
    share = belief.softmax(dim=-1) @ (change - change.max()).exp()
    # No key is impossible: a share of 0 has no logarithm.
    return (share + 1e-20).log().log_softmax(dim=-1)
