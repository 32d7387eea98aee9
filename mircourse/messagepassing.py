"""Message passing from scratch: what each layer of a graph neural network does.

The layer of the lesson, `MessagePassing`, adds the neighbours' messages up; `graph_convolution`
weights them by the degrees (GCN). `dirichlet_energy` measures how much neighbours differ, which
shows over-smoothing.

Lesson: book/gnn/messagepassing
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class MessagePassing(nn.Module):
    r"""A layer that mixes each node with its neighbours: the article's :eq:`eq:gnn-message`.

    .. math::
        h_i^{(l+1)} = \sigma\Big(W_{self} h_i^{(l)} + \sum_{j \in \mathcal{N}(i)} W_{msg}
        h_j^{(l)}\Big)

    The same as `torch_geometric.nn.GraphConv` (Morris et al., 2019, eq. 5) with a sum, before the
    activation.

    Lesson: book/gnn/messagepassing

    Parameters
    ----------
    in_features, out_features : int
        Numbers in the vector of a node, before and after.
    activation : callable, optional
        The :math:`\sigma`; ReLU unless given, `torch.nn.Identity()` for none.

    Raises
    ------
    ValueError
        If a number is below 1.

    Examples
    --------
    >>> layer = MessagePassing(12, 8)
    >>> edges = torch.tensor([[0, 1], [1, 0]])
    >>> layer(torch.zeros(3, 12), edges).shape
    torch.Size([3, 8])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if min(in_features, out_features) < 1:
            raise ValueError(
                f"expected in_features and out_features of 1 or more, got {in_features} and "
                f"{out_features}"
            )
        self.W_self = nn.Linear(in_features, out_features)
        self.W_msg = nn.Linear(in_features, out_features, bias=False)
        self.activation = torch.relu if activation is None else activation

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return the nodes' next vectors.

        Parameters
        ----------
        x : Tensor, (N, in_features)
            A vector a node.
        edge_index : Tensor of int, (2, E)
            Sources and targets; may be empty.

        Returns
        -------
        Tensor, (N, out_features)

        Raises
        ------
        ValueError
            If a shape is wrong or an edge ends at a node that is not there.
        """
        check_graph(x, edge_index)
        return self.activation(self.W_self(x) + sum_messages(self.W_msg(x), edge_index))


def sum_messages(message: Tensor, edge_index: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the sum of what each node is sent.

    Parameters
    ----------
    message : Tensor, (N, H)
        What each node sends along each of its edges.
    edge_index : Tensor of int, (2, E)
        Sources and targets.
    weight : Tensor, (E,), optional
        Factor of each edge.

    Returns
    -------
    Tensor, (N, H)
        Zeros where nothing arrives.
    """
    source, target = edge_index
    sent = message[source]  # (N, H) -> (E, H)
    if weight is not None:
        sent = sent * weight[:, None]
    return torch.zeros_like(message).index_add(0, target, sent)  # (E, H) -> (N, H)


def graph_convolution(x: Tensor, edge_index: Tensor, weight: Tensor) -> Tensor:
    r"""Return a plain graph convolution, :eq:`eq:gnn-gcn`, without an activation.

    .. math::
        h_i' = \sum_{j \in \mathcal{N}(i) \cup \{i\}} \frac{W h_j}{\sqrt{d_i d_j}}

    :math:`d_i` counts the edges into i and its edge to itself. Kipf & Welling (2017), equation 2.

    Lesson: book/gnn/messagepassing

    Parameters
    ----------
    x : Tensor, (N, D)
    edge_index : Tensor of int, (2, E)
        Sources and targets, without edges from a node to itself.
    weight : Tensor, (D, H)

    Returns
    -------
    Tensor, (N, H)
    """
    check_graph(x, edge_index)
    loops = torch.arange(len(x), device=edge_index.device).expand(2, -1)
    edges = torch.cat([edge_index, loops], dim=1)
    degree = torch.bincount(edges[1], minlength=len(x)).to(x.dtype)  # (N,)
    share = degree[edges].rsqrt().prod(dim=0)  # (2, E + N) -> (E + N,)
    return sum_messages(x @ weight, edges, share)


def dirichlet_energy(x: Tensor, edge_index: Tensor) -> float:
    r"""Return how much the ends of an edge differ, beside any two nodes: :eq:`eq:gnn-dirichlet`.

    .. math::
        E = \frac{\frac{1}{|\mathcal{E}|} \sum_{(j, i) \in \mathcal{E}} \lVert h_i - h_j \rVert^2}
        {\frac{1}{N^2} \sum_{i, j} \lVert h_i - h_j \rVert^2}

    1 where neighbours are no more alike than other nodes, towards 0 where they are.

    Lesson: book/gnn/messagepassing

    Parameters
    ----------
    x : Tensor, (N, D)
    edge_index : Tensor of int, (2, E)

    Raises
    ------
    ValueError
        If there is no edge, or all nodes are the same.
    """
    check_graph(x, edge_index)
    if edge_index.shape[1] == 0:
        raise ValueError("a graph without edges has no neighbours to compare")
    source, target = edge_index
    near = (x[source] - x[target]).square().sum(dim=1).mean()
    # The mean over all pairs is twice the variance.
    spread = 2 * (x - x.mean(dim=0)).square().sum(dim=1).mean()
    if spread == 0:
        raise ValueError("all nodes are the same")
    return float(near / spread)


def check_graph(x: Tensor, edge_index: Tensor, edge_type: Tensor | None = None) -> None:
    """Check that nodes, edges and the edges' types fit together.

    Raises
    ------
    ValueError
        If there is no node, a number is not finite, or shapes or codes do not fit.
    """
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"expected nodes (N, D) with N of 1 or more, got {tuple(x.shape)}")
    if not x.isfinite().all():
        row = int((~x.isfinite()).any(dim=1).nonzero()[0])
        raise ValueError(f"node {row} has a feature that is not finite")
    if edge_index.ndim != 2 or len(edge_index) != 2 or edge_index.dtype != torch.int64:
        raise ValueError(
            f"expected edges (2, E) of int64, got {tuple(edge_index.shape)} of {edge_index.dtype}"
        )
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < len(x):
        raise ValueError(
            f"edges name the nodes {int(edge_index.min())} to {int(edge_index.max())}, but there "
            f"are {len(x)}"
        )
    if edge_type is not None and edge_type.shape != edge_index.shape[1:]:
        raise ValueError(
            f"expected a type for each of {edge_index.shape[1]} edges, got {tuple(edge_type.shape)}"
        )
