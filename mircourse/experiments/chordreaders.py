"""Networks that read chords otherwise than `HarmonyGNN` does: for comparison, by the same heads.

Each gives vectors of the chords; key, degree, quality and inversion are read off as in
`mircourse.harmony`. Chords are those of a batch of graphs; edges count for the GNN alone.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from mircourse.attention import PositionalEncoding
from mircourse.chordgnn import ChordProgressionGNN, Conv
from mircourse.chordgraph import FEATURES, width
from mircourse.harmony import HarmonyGNN, HarmonyHeads

_WIDTH = width(FEATURES)


class Sequence(nn.Module):
    """A bidirectional LSTM or a Transformer over the chords of each graph.

    Parameters
    ----------
    kind : {"lstm", "transformer"}
        Which.
    hidden_dim : int
        Numbers in a vector that it gives.
    num_layers : int
    dropout : float
    """

    def __init__(
        self, kind: Literal["lstm", "transformer"], hidden_dim: int, num_layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.kind = kind
        if kind == "lstm":
            self.layers: nn.Module = nn.LSTM(
                _WIDTH,
                hidden_dim // 2,
                num_layers,
                batch_first=True,
                bidirectional=True,
                dropout=dropout if num_layers > 1 else 0.0,
            )
            return
        self.embed = nn.Linear(_WIDTH, hidden_dim)
        self.position = PositionalEncoding(hidden_dim)
        layer = nn.TransformerEncoderLayer(
            hidden_dim, 4, 2 * hidden_dim, dropout, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)

    def forward(self, x: Tensor, batch: Tensor) -> Tensor:
        """Return the chords' vectors, (N, D) -> (N, hidden_dim)."""
        from torch_geometric.utils import to_dense_batch

        dense, there = to_dense_batch(x, batch)  # (G, T, D), (G, T)
        if self.kind == "lstm":
            packed = nn.utils.rnn.pack_padded_sequence(
                dense, there.sum(1).cpu(), batch_first=True, enforce_sorted=False
            )
            h, _ = nn.utils.rnn.pad_packed_sequence(self.layers(packed)[0], batch_first=True)
        else:
            h = self.layers(self.position(self.embed(dense)), src_key_padding_mask=~there)
        return h[there]  # (G, T, H) -> (N, H)


class _Reader(nn.Module):
    """Adapts `Sequence` or `ChordProgressionGNN` to what `HarmonyHeads` calls."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, *, edge_type: Tensor) -> Tensor:
        if isinstance(self.network, Sequence):
            return self.network(x, batch)
        h = self.network.encode(x, edge_index, edge_type=edge_type)
        return torch.cat([h, self.network.pool(h, batch)[batch]], dim=1)  # (N, 2 H)


class SequenceHarmony(HarmonyHeads):
    """A bidirectional LSTM or a Transformer with the heads of `HarmonyHeads`."""

    def __init__(
        self,
        kind: Literal["lstm", "transformer"],
        hidden_dim: int = 96,
        *,
        num_layers: int = 2,
        dropout: float = 0.3,
    ) -> None:
        reader = _Reader(Sequence(kind, hidden_dim, num_layers, dropout))
        super().__init__(reader, hidden_dim, dropout=dropout)


class SignedHarmony(HarmonyHeads):
    """`ChordProgressionGNN` as it is signed, told nothing of transposition, with the heads.

    A chord's vector is that of its node beside that of its graph.
    """

    def __init__(
        self, hidden_dim: int = 128, *, conv: Conv = "relational", dropout: float = 0.3
    ) -> None:
        network = ChordProgressionGNN(_WIDTH, hidden_dim, conv=conv, level="node", dropout=dropout)
        super().__init__(_Reader(network), 2 * hidden_dim, dropout=dropout)


class TwelveSequences(HarmonyGNN):
    """`HarmonyGNN` whose convolutions are a bidirectional LSTM or a Transformer: a control."""

    def __init__(
        self,
        kind: Literal["lstm", "transformer"],
        hidden_dim: int = 48,
        *,
        num_layers: int = 1,
        dropout: float = 0.3,
        rounds: int = 24,
    ) -> None:
        super().__init__(hidden_dim, dropout=dropout, rounds=rounds)
        self.sequence = Sequence(kind, hidden_dim, num_layers, dropout)
        del self.gnn.convs, self.gnn.norms, self.gnn.edge_embedding

    def encode(self, x: Tensor, edge_index: Tensor, batch: Tensor, *, edge_type: Tensor) -> Tensor:
        """Return vectors of the chords of all graphs and transpositions, ``(12 N, hidden_dim)``."""
        return self.sequence(x, batch)
