"""Scale degrees without being told the key: one network in twelve transpositions.

Given the key, a chord's degree is nearly arithmetic; the task is to find the key, chord by chord.
`HarmonyGNN` asks the same question twelve times: if this pitch class were the tonic, how well
would it fit here, and which degree would this chord be? The answers are weighted by how well each
tonic fits. Moving all chords by some semitones only renames the twelve.

Lesson: book/index
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mircourse.chordgnn import ChordProgressionGNN, Conv
from mircourse.chordgraph import EDGE_TYPES, FEATURES, transpose, width
from mircourse.keychain import N_KEYS, KeyChain

N_DEGREES = 7
N_QUALITIES = 5  # major, minor, dim, aug, other
N_INVERSIONS = 4
_MODES = 2


class HarmonyGNN(nn.Module):
    r"""Key, scale degree, quality and inversion of each chord, equivariant to transposition.

    A `ChordProgressionGNN` reads the progression in each of twelve transpositions, which is a
    batch of twelve graphs. In the one where pitch class k has become C, a chord's vector, with
    that of its graph (attention pooling), gives scores for k major and k minor and, for both,
    the probabilities of the degrees. `KeyChain` turns the scores of all chords into
    probabilities of keys, and

    .. math:: p(d_i) = \sum_k p(k_i = k) \, p(d_i \mid k_i = k).

    Lesson: book/index

    Parameters
    ----------
    hidden_dim : int
        Numbers in a node's vector.
    features : sequence of str
        What a node holds, as in `mircourse.chordgraph.build_chord_graph`.
    n_edge_types, conv, dropout
        As in `mircourse.chordgnn.ChordProgressionGNN`.
    rounds : int
        As in `mircourse.keychain.KeyChain`; 0 does without.

    Raises
    ------
    ValueError
        If a number is out of range or a choice unknown.
    """

    def __init__(
        self,
        hidden_dim: int = 48,
        *,
        features: Sequence[str] = FEATURES,
        n_edge_types: int = len(EDGE_TYPES),
        conv: Conv = "relational",
        dropout: float = 0.3,
        rounds: int = 24,
    ) -> None:
        super().__init__()
        self.features = tuple(features)
        self.gnn = ChordProgressionGNN(
            width(features),
            hidden_dim,
            _MODES * N_DEGREES,
            n_edge_types=n_edge_types,
            conv=conv,
            level="node",
            dropout=dropout,
        )
        self.whole = nn.Linear(hidden_dim, hidden_dim, bias=False)
        self.key = nn.Sequential(
            nn.Linear(hidden_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, _MODES)
        )
        # The classifier of the GNN is the last layer of this one.
        self.degree = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(hidden_dim, hidden_dim), nn.ReLU()
        )
        self.chain = KeyChain(rounds)
        self.others = nn.Linear(hidden_dim, N_QUALITIES + N_INVERSIONS)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        batch: Tensor | None = None,
        *,
        edge_type: Tensor,
    ) -> dict[str, Tensor]:
        """Return what is found for each chord.

        Parameters
        ----------
        x : Tensor, (N, width)
            Features of the chords of all graphs of a batch.
        edge_index, edge_type : Tensor of int, (2, E) and (E,)
            As `mircourse.chordgraph.build_chord_graph` makes them.
        batch : Tensor of int, (N,), optional
            Which graph a chord belongs to; one graph if left out.

        Returns
        -------
        dict of Tensor
            Logarithms of probabilities: ``degree`` (N, 7); ``key`` (N, 24), at 2 * tonic, plus 1
            in minor; ``degree_in_key`` (N, 24, 7), were the key known; ``key_pair`` and
            ``key_edges``, see `mircourse.keychain.Beliefs`. And logits: ``quality`` (N, 5) of
            "major", "minor", "dim", "aug", "other", and ``inversion`` (N, 4).

        Raises
        ------
        ValueError
            If shapes or codes do not fit.
        """
        N = len(x)
        if x.ndim != 2 or x.shape[1] != self.gnn.node_features:
            raise ValueError(
                f"expected {self.gnn.node_features} numbers a node ({', '.join(self.features)}), "
                f"got {tuple(x.shape)}"
            )
        batch = x.new_zeros(N, dtype=torch.int64) if batch is None else batch
        graphs = int(batch.max()) + 1 if N else 0
        frames = [transpose(x, -tonic, features=self.features) for tonic in range(12)]
        of_graph = copies(batch, n=12, step=graphs)  # (N,) -> (12 N,)
        h = self.encode(
            torch.cat(frames),  # 12 x (N, D) -> (12 N, D)
            copies(edge_index, n=12, step=N),
            of_graph,
            edge_type=edge_type.repeat(12),
        )  # (12 N, H)
        g = self.whole(self.gnn.pool(h, of_graph))  # (12 G, H)
        h = torch.relu(h + g[of_graph])
        score = self.key(h).view(12, N, _MODES).transpose(0, 1).flatten(1)  # (N, 24)
        degree = self.gnn.classifier(self.degree(h)).view(12, N, _MODES, N_DEGREES)
        in_key = degree.transpose(0, 1).flatten(1, 2).log_softmax(dim=-1)  # (N, 24, 7)
        believed = self.chain(score, edge_index, edge_type)
        # The mean over the twelve does not move when the chords do.
        others = self.others(h.view(12, N, -1).mean(dim=0))  # (N, 9)
        return {
            "degree": torch.logsumexp(believed.key[..., None] + in_key, dim=1),
            "key": believed.key,
            "degree_in_key": in_key,
            "key_pair": believed.pair,
            "key_edges": believed.edges,
            "quality": others[:, :N_QUALITIES],
            "inversion": others[:, N_QUALITIES:],
        }

    def encode(self, x: Tensor, edge_index: Tensor, batch: Tensor, *, edge_type: Tensor) -> Tensor:
        """Return vectors of the chords of all graphs and transpositions, ``(12 N, hidden_dim)``."""
        return self.gnn.encode(x, edge_index, edge_type=edge_type)


class HarmonyHeads(nn.Module):
    """Key, scale degree, quality and inversion of each chord from any network's vectors.

    Nothing makes it hear that a transposed piece is the same piece; training has to transpose.

    Lesson: book/index

    Parameters
    ----------
    encoder : nn.Module
        Called as ``encoder(x, edge_index, batch, edge_type=...)``; gives ``(N, hidden_dim)``.
    hidden_dim : int
    dropout : float
        Share of the vectors that training drops.
    """

    def __init__(self, encoder: nn.Module, hidden_dim: int, *, dropout: float = 0.3) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.sizes = {
            "degree": N_DEGREES,
            "key": N_KEYS,
            "quality": N_QUALITIES,
            "inversion": N_INVERSIONS,
        }
        self.heads = nn.Linear(hidden_dim, sum(self.sizes.values()))

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        batch: Tensor | None = None,
        *,
        edge_type: Tensor,
    ) -> dict[str, Tensor]:
        """Return logits: ``degree`` (N, 7), ``key`` (N, 24), ``quality`` and ``inversion``."""
        h = self.encoder(x, edge_index, batch, edge_type=edge_type)
        parts = self.heads(self.dropout(h)).split(list(self.sizes.values()), dim=-1)
        return dict(zip(self.sizes, parts, strict=True))


def copies(index: Tensor, *, n: int, step: int) -> Tensor:
    """Return an index of nodes or graphs n times over, each time `step` higher: (..., n E)."""
    offset = torch.arange(n, device=index.device) * step
    return (index[..., None, :] + offset[:, None]).flatten(-2)
