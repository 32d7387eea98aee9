"""What the chords around a chord say about its key: sum-product messages along a progression.

Lesson: book/index
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mircourse.chordgraph import EDGE_TYPES

N_KEYS = 24  # key = 2 * tonic + (1 in minor)
_PREVIOUS, _NEXT = EDGE_TYPES.index("previous"), EDGE_TYPES.index("next")


class Beliefs(NamedTuple):
    """What is believed of the keys of a progression; logarithms of probabilities.

    Attributes
    ----------
    key : Tensor, (N, 24)
        Of each chord.
    pair : Tensor, (M, 24, 24)
        Of each chord that has one before it: the earlier's key by its own.
    edges : Tensor of int, (2, M)
        The earlier and the later chord of each pair.
    """

    key: Tensor
    pair: Tensor
    edges: Tensor

    def path(self, key: Tensor) -> Tensor:
        r"""Return the logarithm of the probability of all chords' keys together, a scalar.

        .. math:: \log p(k) = \sum_{i > 1} \log p(k_{i-1}, k_i) - \sum_{1 < i < n} \log p(k_i)

        Parameters
        ----------
        key : Tensor of int, (N,)
            A key for each chord.
        """
        earlier, later = self.edges
        pairs = self.pair[torch.arange(len(earlier)), key[earlier], key[later]].sum()
        of_chord = self.key[torch.arange(len(key)), key]  # (N,)
        # A chord in two pairs has been counted twice, one without neighbours not at all.
        count = torch.bincount(self.edges.flatten(), minlength=len(key))
        return pairs - ((count - 1) * of_chord).sum()


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
        How many chords a message travels, 0 or more; with 0 each chord stands alone, and nothing
        is believed of pairs.
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

    def forward(self, score: Tensor, edge_index: Tensor, edge_type: Tensor) -> Beliefs:
        """Return what is believed of each chord's key, and of neighbours' keys together.

        Parameters
        ----------
        score : Tensor, (N, 24)
            Each chord's own evidence.
        edge_index, edge_type : Tensor of int, (2, E) and (E,)
            As `mircourse.chordgraph.chord_edges` makes them; those of type previous and next
            count.
        """
        table = self.transition()
        before = self._messages(score, edge_index[:, edge_type == _PREVIOUS], table)
        after = self._messages(score, edge_index[:, edge_type == _NEXT], table.T)
        # Chords that stand alone are believed in one by one, not in pairs.
        edges = edge_index[:, edge_type == _PREVIOUS][:, : None if self.rounds else 0]
        earlier, later = (score + before)[edges[0]], (score + after)[edges[1]]  # (M, 24)
        joint = earlier[:, :, None] + table + later[:, None, :]  # (M, 24, 24)
        return Beliefs(
            key=(score + before + after).log_softmax(dim=-1),
            pair=joint.flatten(1).log_softmax(dim=-1).view_as(joint),
            edges=edges,
        )

    def _messages(self, score: Tensor, edges: Tensor, table: Tensor) -> Tensor:
        """Return what reaches each chord along some edges, ``(N, 24)``."""
        source, target = edges
        message = torch.zeros_like(score)
        for _ in range(min(self.rounds, len(score) - 1)):
            sent = _send(score[source] + message[source], table)  # (M, 24)
            message = torch.zeros_like(score).index_add(0, target, sent)
        return message


def _send(belief: Tensor, change: Tensor) -> Tensor:
    """Return log of exp(belief) @ exp(change), normalised over the keys: (E, 24)."""
    share = belief.softmax(dim=-1) @ (change - change.max()).exp()
    # No key is impossible: a share of 0 has no logarithm.
    return (share + 1e-20).log().log_softmax(dim=-1)
