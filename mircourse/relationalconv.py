"""Graph convolution with a matrix for each type of edge.

Apart from the models, for it loads PyG.

Lesson: book/gnn/messagepassing
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing


class RelationalConv(MessagePassing):
    r"""Relational graph convolution, :eq:`eq:gnn-rgcn` (Schlichtkrull et al., 2018, eq. 2).

    .. math::
        h_i' = W_0 h_i + b + \sum_r \frac{1}{|\mathcal{N}_r(i)|}
               \sum_{j \in \mathcal{N}_r(i)} (W_r h_j + e_r)

    A type has its own matrix :math:`W_r` and mean, so that ten chords a fifth away do not drown
    the one chord before. :math:`e_r`, an embedding of the type, is shared with other layers and
    may be left out; it tells a node of which types it has edges at all.

    `torch_geometric.nn.RGCNConv` gives the same numbers where PyG's optional library ``pyg_lib``
    is not installed; where it is, PyG 2.8 may divide by the number of edges of all types together.

    Lesson: book/gnn/messagepassing

    Parameters
    ----------
    in_channels, out_channels : int
        Numbers in the vector of a node, before and after.
    n_types : int
        Types of edges.

    Raises
    ------
    ValueError
        If a number is below 1.
    """

    def __init__(self, in_channels: int, out_channels: int, n_types: int) -> None:
        super().__init__(aggr="add", node_dim=0)
        if min(in_channels, out_channels, n_types) < 1:
            raise ValueError(
                f"expected in_channels, out_channels and n_types of 1 or more, got "
                f"{in_channels}, {out_channels} and {n_types}"
            )
        self.n_types = n_types
        self.own = nn.Linear(in_channels, out_channels)
        self.weight = nn.Parameter(torch.empty(n_types, in_channels, out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: uniform, as in Glorot & Bengio (2010)."""
        super().reset_parameters()
        for matrix in self.weight:
            nn.init.xavier_uniform_(matrix.data)
        nn.init.xavier_uniform_(self.own.weight)
        nn.init.zeros_(self.own.bias)

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_type: Tensor, embedding: Tensor | None = None
    ) -> Tensor:
        """Return the new vectors of the nodes.

        Parameters
        ----------
        x : Tensor, (N, in_channels)
        edge_index : Tensor of int, (2, E)
            Sources and targets.
        edge_type : Tensor of int, (E,)
            From 0 to n_types - 1.
        embedding : Tensor, (n_types, out_channels), optional
            The types' :math:`e_r`.

        Returns
        -------
        Tensor, (N, out_channels)
        """
        n, types = len(x), self.n_types
        source, target = edge_index
        # Each node as each type changes it: (N, D) -> (N, R, H) -> (N * R, H)
        changed = torch.einsum("nd,rdh->nrh", x, self.weight)
        if embedding is not None:
            changed = changed + embedding
        # What a target's mean over a type divides by.
        kind = target * types + edge_type  # (E,)
        count = torch.bincount(kind, minlength=n * types)
        share = 1 / count[kind].to(x.dtype)  # (E,)
        edges = torch.stack([source * types + edge_type, target])
        mean = self.propagate(
            edges, x=(changed.flatten(0, 1), None), share=share, size=(n * types, n)
        )
        return self.own(x) + mean

    def message(self, x_j: Any, share: Any) -> Tensor:
        """Return each edge's part of a mean; PyG calls it."""
        return x_j * share[:, None]
