"""A graph neural network that reads chord progressions.

Lesson: book/gnn/messagepassing
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from mircourse.chordgraph import EDGE_TYPES, build_chord_graph
from mircourse.messagepassing import check_graph

if TYPE_CHECKING:
    from torch_geometric.data import Data

Conv = Literal["relational", "attention", "plain"]
Level = Literal["graph", "node"]
CONVS = ("relational", "attention", "plain")
LEVELS = ("graph", "node")
_ATTENTION = 64  # hidden units that judge a node, the article's
N_LAYERS = 3


class ChordProgressionGNN(nn.Module):
    r"""Three graph convolutions, attention over the nodes of each graph, a classifier.

    Each convolution is followed by layer normalisation, ReLU and dropout, and from the second on
    its input is added to its output. A graph's vector is the mean of its nodes' vectors, weighted
    by attention, :eq:`eq:gnn-attention-pool`,

    .. math::
        g = \sum_{i \in G} \alpha_i h_i, \quad
        \alpha_i = \frac{\exp a(h_i)}{\sum_{j \in G} \exp a(h_j)},

    where the sum goes over the nodes of that graph alone: what a graph gets does not depend on
    its batch.

    Lesson: book/gnn/messagepassing

    Parameters
    ----------
    node_features : int
        Numbers a node comes with.
    hidden_dim : int
        Numbers in a node's vector.
    n_classes : int
    n_edge_types : int
        Types of edges, as `mircourse.chordgraph.EDGE_TYPES`.
    conv : {"relational", "attention", "plain"}
        ``"relational"``, `mircourse.relationalconv.RelationalConv`: a matrix for each type (R-GCN).
        ``"attention"``, `torch_geometric.nn.GATv2Conv`: messages are weighted by attention to
        which the types' embedding belongs. ``"plain"``, `torch_geometric.nn.GCNConv`: the
        article's, deaf to types.
    level : {"graph", "node"}
        Whether a graph or each node gets logits.
    dropout : float
        Share of a layer's output that training drops.

    Attributes
    ----------
    edge_embedding : nn.Embedding or None
        A vector for each type of edge; None with plain convolutions.

    Raises
    ------
    ValueError
        If a number is out of range or a choice unknown.

    Examples
    --------
    >>> model = ChordProgressionGNN()
    >>> graph = model.build_chord_graph("I V7 vi IV in C")
    >>> model(graph.x, graph.edge_index, edge_type=graph.edge_type).shape
    torch.Size([1, 7])
    """

    def __init__(
        self,
        node_features: int = 12,
        hidden_dim: int = 128,
        n_classes: int = 7,
        *,
        n_edge_types: int = len(EDGE_TYPES),
        conv: Conv = "relational",
        level: Level = "graph",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if min(node_features, hidden_dim, n_classes, n_edge_types) < 1:
            raise ValueError(
                f"expected node_features, hidden_dim, n_classes and n_edge_types of 1 or more, "
                f"got {node_features}, {hidden_dim}, {n_classes} and {n_edge_types}"
            )
        if conv not in CONVS or level not in LEVELS:
            raise ValueError(
                f"conv must be one of {CONVS} and level one of {LEVELS}, got {conv!r} and {level!r}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.conv = conv
        self.level = level
        self.node_features = node_features
        self.n_edge_types = n_edge_types
        widths = [node_features] + [hidden_dim] * N_LAYERS
        self.convs = nn.ModuleList(
            _layer(conv, before, after, n_edge_types)
            for before, after in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_dim) for _ in range(N_LAYERS))
        self.edge_embedding = None if conv == "plain" else nn.Embedding(n_edge_types, hidden_dim)
        if self.edge_embedding is not None:
            # Large, they would drown what the nodes say before training has begun.
            nn.init.normal_(self.edge_embedding.weight, std=0.1)
        self.dropout = nn.Dropout(dropout)
        self.attention = nn.Sequential(
            nn.Linear(hidden_dim, _ATTENTION), nn.Tanh(), nn.Linear(_ATTENTION, 1)
        )
        self.classifier = nn.Linear(hidden_dim, n_classes)

    def build_chord_graph(self, chord_sequence: Any, **settings: Any) -> Data:
        """Return the graph of a progression: `mircourse.chordgraph.build_chord_graph`."""
        return build_chord_graph(chord_sequence, **settings)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        batch: Tensor | None = None,
        *,
        edge_type: Tensor | None = None,
    ) -> Tensor:
        """Return logits.

        Parameters
        ----------
        x : Tensor, (N, node_features)
            The nodes of all graphs of a batch.
        edge_index : Tensor of int, (2, E)
            Sources and targets.
        batch : Tensor of int, (N,), optional
            Which graph a node belongs to, in ascending order; one graph if left out.
        edge_type : Tensor of int, (E,), optional
            Needed unless the convolutions are plain.

        Returns
        -------
        Tensor, (n_graphs, n_classes) or (N, n_classes)
            By `level`.

        Raises
        ------
        ValueError
            If shapes or codes do not fit.
        """
        h = self.encode(x, edge_index, edge_type=edge_type)
        if self.level == "graph":
            h = self.pool(h, batch)  # (N, H) -> (G, H)
        return self.classifier(h)

    def encode(self, x: Tensor, edge_index: Tensor, *, edge_type: Tensor | None = None) -> Tensor:
        """Return the nodes' vectors after the convolutions, ``(N, hidden_dim)``."""
        return self.layers(x, edge_index, edge_type=edge_type)[-1]

    def layers(
        self, x: Tensor, edge_index: Tensor, *, edge_type: Tensor | None = None
    ) -> list[Tensor]:
        """Return the nodes' vectors after each convolution: a list of ``(N, hidden_dim)``."""
        self._check(x, edge_index, edge_type)
        found: list[Tensor] = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = found[-1] if found else x
            if self.conv == "plain":
                new = conv(h, edge_index)
            elif self.conv == "attention":
                assert self.edge_embedding is not None
                new = conv(h, edge_index, self.edge_embedding(edge_type))
            else:
                assert self.edge_embedding is not None
                new = conv(h, edge_index, edge_type, self.edge_embedding.weight)
            new = self.dropout(torch.relu(norm(new)))
            found.append(found[-1] + new if found else new)
        return found

    def attention_weights(self, h: Tensor, batch: Tensor | None = None) -> Tensor:
        """Return what each node counts in its graph, ``(N,)``; they add up to 1 a graph."""
        from torch_geometric.utils import softmax

        score = self.attention(h).squeeze(-1)  # (N, H) -> (N,)
        return softmax(score, _batch(h, batch))

    def pool(self, h: Tensor, batch: Tensor | None = None) -> Tensor:
        """Return the vectors of the graphs, ``(n_graphs, hidden_dim)``."""
        batch = _batch(h, batch)
        weighted = self.attention_weights(h, batch)[:, None] * h
        pooled = h.new_zeros(int(batch.max()) + 1, h.shape[1])
        return pooled.index_add(0, batch, weighted)  # (N, H) -> (G, H)

    def _check(self, x: Tensor, edge_index: Tensor, edge_type: Tensor | None) -> None:
        check_graph(x, edge_index, edge_type)
        if x.shape[1] != self.node_features:
            raise ValueError(f"expected {self.node_features} numbers a node, got {x.shape[1]}")
        if self.conv == "plain":
            return
        if edge_type is None:
            raise ValueError(f"{self.conv} convolutions need edge_type")
        if edge_type.numel() and not 0 <= edge_type.min() <= edge_type.max() < self.n_edge_types:
            raise ValueError(
                f"edge types run from {int(edge_type.min())} to {int(edge_type.max())}, expected "
                f"0 to {self.n_edge_types - 1}"
            )


def _batch(h: Tensor, batch: Tensor | None) -> Tensor:
    if batch is None:
        return torch.zeros(len(h), dtype=torch.int64, device=h.device)
    if batch.shape != h.shape[:1] or batch.dtype != torch.int64:
        raise ValueError(
            f"expected the graph of each of {len(h)} nodes as int64, got {tuple(batch.shape)} of "
            f"{batch.dtype}"
        )
    if int(batch.min()) < 0 or bool((batch.diff() < 0).any()):
        raise ValueError("the nodes of a batch must be in the order of their graphs, from 0")
    return batch


def _layer(conv: Conv, before: int, after: int, n_types: int) -> nn.Module:
    # PyG takes seconds to load, and a page may want no more than the names of this module.
    from torch_geometric.nn import GATv2Conv, GCNConv

    from mircourse.relationalconv import RelationalConv

    if conv == "plain":
        return GCNConv(before, after)
    if conv == "attention":
        return GATv2Conv(before, after, edge_dim=after, add_self_loops=False, residual=True)
    return RelationalConv(before, after, n_types)
