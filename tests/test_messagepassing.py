"""Message passing from scratch and typed convolutions: PyG gives the same numbers."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv, GraphConv, RGCNConv

from mircourse.messagepassing import (
    MessagePassing,
    dirichlet_energy,
    graph_convolution,
    sum_messages,
)
from mircourse.relationalconv import RelationalConv

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def graph(n=9, e=30, types=5, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=rng)
    pairs = torch.randperm(n * n, generator=rng)
    pairs = pairs[pairs // n != pairs % n][:e]  # no edge twice, none to itself
    return x, torch.stack([pairs // n, pairs % n]), torch.randint(types, (e,), generator=rng)


def test_the_articles_equation_by_hand():
    """eq:gnn-message."""
    layer = MessagePassing(2, 2)
    with torch.no_grad():
        layer.W_self.weight.copy_(torch.eye(2))
        layer.W_self.bias.zero_()
        layer.W_msg.weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    x = torch.tensor([[1.0, -3.0], [2.0, 0.0], [5.0, 1.0]])
    # 1 and 2 send to 0, 0 to 1; what they send is swapped, and below zero is cut.
    out = layer(x, torch.tensor([[1, 2, 0], [0, 0, 1]]))
    assert out.tolist() == [[2.0, 4.0], [0.0, 1.0], [5.0, 1.0]]


def test_message_passing_equals_pyg_value_and_gradient():
    x, edges, _ = graph()
    ours, theirs = MessagePassing(6, 4), GraphConv(6, 4)
    with torch.no_grad():
        theirs.lin_root.weight.copy_(ours.W_self.weight)
        theirs.lin_rel.bias.copy_(ours.W_self.bias)
        theirs.lin_rel.weight.copy_(ours.W_msg.weight)
    mine, other = ours(x, edges), torch.relu(theirs(x, edges))
    torch.testing.assert_close(mine, other, **CLOSE)
    mine.square().sum().backward()
    other.square().sum().backward()
    torch.testing.assert_close(ours.W_msg.weight.grad, theirs.lin_rel.weight.grad, **CLOSE)
    torch.testing.assert_close(ours.W_self.weight.grad, theirs.lin_root.weight.grad, **CLOSE)


def test_graph_convolution_equals_pyg():
    """eq:gnn-gcn."""
    x, edges, _ = graph()
    theirs = GCNConv(6, 4, bias=False)
    found = graph_convolution(x, edges, theirs.lin.weight.T)
    torch.testing.assert_close(found, theirs(x, edges), **CLOSE)


def test_typed_convolution_equals_pyg():
    """eq:gnn-rgcn, without the types' embedding."""
    x, edges, kinds = graph()
    ours, theirs = RelationalConv(6, 4, 5), RGCNConv(6, 4, 5)
    with torch.no_grad():
        theirs.weight.copy_(ours.weight)
        theirs.root.copy_(ours.own.weight.T)
        theirs.bias.copy_(ours.own.bias)
    torch.testing.assert_close(ours(x, edges, kinds), theirs(x, edges, kinds), **CLOSE)


def test_the_embedding_of_a_type_comes_once_where_there_are_edges():
    x, edges, kinds = graph(n=12, e=8)
    conv = RelationalConv(6, 4, 5)
    embedding = torch.randn(5, 4)
    more = conv(x, edges, kinds, embedding) - conv(x, edges, kinds)
    for node in range(12):
        expected = sum(
            (embedding[k] for k in range(5) if ((edges[1] == node) & (kinds == k)).any()),
            torch.zeros(4),
        )
        torch.testing.assert_close(more[node], expected, **CLOSE)


@pytest.mark.parametrize("layer", ["ours", "typed"])
def test_layers_without_edges_and_with_other_numbering(layer):
    x, edges, kinds = graph()
    torch.manual_seed(0)
    conv = MessagePassing(6, 4) if layer == "ours" else RelationalConv(6, 4, 5)
    run = (lambda x, e, k: conv(x, e)) if layer == "ours" else conv
    none = torch.zeros(2, 0, dtype=torch.int64)
    assert run(x, none, none[0]).shape == (9, 4)
    new = torch.randperm(9)
    where = torch.argsort(new)  # old node -> its new number
    torch.testing.assert_close(run(x[new], where[edges], kinds), run(x, edges, kinds)[new], **CLOSE)


def test_sums_are_weighted():
    message = torch.tensor([[1.0], [10.0]])
    edges = torch.tensor([[0, 1, 1], [1, 1, 0]])
    assert sum_messages(message, edges, torch.tensor([2.0, 1.0, 0.5])).tolist() == [[5.0], [12.0]]


def test_dirichlet_energy():
    """eq:gnn-dirichlet."""
    x, edges, _ = graph()
    near = torch.stack([(x[j] - x[i]).square().sum() for j, i in edges.T]).mean()
    pairs = torch.cdist(x, x).square().mean()
    assert dirichlet_energy(x, edges) == pytest.approx(float(near / pairs), rel=1e-4)
    two = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    assert dirichlet_energy(two, torch.tensor([[0, 2], [1, 3]])) == 0
    with pytest.raises(ValueError, match="without edges"):
        dirichlet_energy(x, torch.zeros(2, 0, dtype=torch.int64))
    with pytest.raises(ValueError, match="all nodes are the same"):
        dirichlet_energy(torch.ones(3, 2), torch.tensor([[0], [1]]))


@pytest.mark.parametrize(
    ("x", "edges", "message"),
    [
        (torch.zeros(0, 6), torch.zeros(2, 0, dtype=torch.int64), "N of 1 or more"),
        (torch.full((2, 6), float("nan")), torch.zeros(2, 0, dtype=torch.int64), "not finite"),
        (torch.zeros(2, 6), torch.zeros(3, 0, dtype=torch.int64), r"edges \(2, E\)"),
        (torch.zeros(2, 6), torch.zeros(2, 1), r"edges \(2, E\) of int64"),
        (torch.zeros(2, 6), torch.tensor([[0], [2]]), "there are 2"),
    ],
)
def test_bad_graphs(x, edges, message):
    with pytest.raises(ValueError, match=message):
        MessagePassing(6, 4)(x, edges)


def test_bad_sizes():
    with pytest.raises(ValueError, match="1 or more"):
        MessagePassing(0, 4)
    with pytest.raises(ValueError, match="1 or more"):
        RelationalConv(4, 4, 0)


def test_layers_learn():
    x, edges, kinds = graph()
    conv = RelationalConv(6, 4, 5)
    embedding = nn.Embedding(5, 4)
    conv(x, edges, kinds, embedding.weight).square().sum().backward()
    for parameter in [*conv.parameters(), embedding.weight]:
        assert parameter.grad.abs().sum() > 0
