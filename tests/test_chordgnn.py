"""The GNN on chords: types, batches, numbering, one graph, and that it learns."""

import pytest
import torch
from torch.nn import functional
from torch_geometric.data import Batch

from mircourse.chordgnn import CONVS, ChordProgressionGNN
from mircourse.chordgraph import build_chord_graph

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
TEXTS = ["I V7 vi IV in C", "i iv V7 i bII6 V7 i in d", "F", "Dm7 G7 C C C Am"]


def small(**settings):
    torch.manual_seed(0)
    return ChordProgressionGNN(12, 16, **{"dropout": 0.1, **settings}).eval()


def graphs():
    return [build_chord_graph(text) for text in TEXTS]


def run(model, graph, batch=None):
    return model(graph.x, graph.edge_index, batch, edge_type=graph.edge_type)


def test_it_runs_as_it_is_signed():
    model = ChordProgressionGNN(node_features=12, hidden_dim=128, n_classes=7)
    graph = model.build_chord_graph("I V7 vi IV in C")
    assert run(model, graph).shape == (1, 7)
    assert len(model.convs) == 3
    plain = ChordProgressionGNN(conv="plain")
    # As the article calls it, without types.
    assert plain(graph.x, graph.edge_index).shape == (1, 7)
    assert plain(graph.x, graph.edge_index, torch.tensor([0, 0, 1, 1])).shape == (2, 7)


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("level", ["graph", "node"])
def test_what_a_graph_gets_does_not_depend_on_its_batch(conv, level):
    model, alone = small(conv=conv, level=level), graphs()
    together = Batch.from_data_list(alone)
    out = run(model, together, together.batch)
    expected = torch.cat([run(model, graph) for graph in alone])
    torch.testing.assert_close(out, expected, **CLOSE)
    one = Batch.from_data_list(alone[:1])
    torch.testing.assert_close(run(model, one, one.batch), run(model, alone[0]), **CLOSE)


@pytest.mark.parametrize("conv", CONVS)
def test_numbering_of_the_nodes_does_not_matter(conv):
    graph = graphs()[1]
    new = torch.randperm(len(graph.x))
    edges = torch.argsort(new)[graph.edge_index]
    for level, expected in (("graph", lambda out: out), ("node", lambda out: out[new])):
        model = small(conv=conv, level=level)
        out = model(graph.x[new], edges, edge_type=graph.edge_type)
        torch.testing.assert_close(out, expected(run(model, graph)), **CLOSE)


@pytest.mark.parametrize("conv", ["relational", "attention"])
def test_types_matter_unless_convolutions_are_plain(conv):
    graph = graphs()[0]
    other = (graph.edge_type + 1) % 5
    model, plain = small(conv=conv), small(conv="plain")
    assert not torch.allclose(
        run(model, graph), model(graph.x, graph.edge_index, edge_type=other), atol=1e-4
    )
    torch.testing.assert_close(
        run(plain, graph), plain(graph.x, graph.edge_index, edge_type=other), **CLOSE
    )


def test_attention_adds_up_to_one_in_each_graph():
    """eq:gnn-attention-pool."""
    model, together = small(), Batch.from_data_list(graphs())
    h = model.encode(together.x, together.edge_index, edge_type=together.edge_type)
    weights = model.attention_weights(h, together.batch)
    assert weights.shape == (len(together.x),) and weights.min() > 0
    sums = torch.zeros(len(TEXTS)).index_add(0, together.batch, weights)
    torch.testing.assert_close(sums, torch.ones(len(TEXTS)), **CLOSE)
    # By hand: a softmax over the nodes of the first graph.
    score = model.attention(h)[:4, 0]
    torch.testing.assert_close(weights[:4], score.softmax(0), **CLOSE)
    torch.testing.assert_close(model.pool(h, together.batch)[0], score.softmax(0) @ h[:4], **CLOSE)


@pytest.mark.parametrize("conv", CONVS)
def test_one_batch_overfits_and_gradients_reach_every_parameter(conv):
    together = Batch.from_data_list(graphs())
    target = torch.tensor([0, 1, 2, 3])
    model = small(conv=conv, dropout=0.0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(60):
        loss = functional.cross_entropy(run(model, together, together.batch), target)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            assert loss.item() == pytest.approx(torch.log(torch.tensor(7.0)).item(), abs=1.0)
            for name, parameter in model.named_parameters():
                assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        optimizer.step()
    assert loss.item() < 0.05


@pytest.mark.parametrize("conv", CONVS)
def test_a_graph_without_edges(conv):
    graph = build_chord_graph("C G Am", edge_types=())
    assert run(small(conv=conv), graph).shape == (1, 7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_classes": 0}, "1 or more"),
        ({"conv": "gcn"}, "conv must be one of"),
        ({"level": "edge"}, "level one of"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        small(**settings)


def test_bad_input():
    model, graph = small(), graphs()[0]
    with pytest.raises(ValueError, match="expected 12 numbers a node, got 11"):
        model(graph.x[:, 1:], graph.edge_index, edge_type=graph.edge_type)
    with pytest.raises(ValueError, match="relational convolutions need edge_type"):
        model(graph.x, graph.edge_index)
    with pytest.raises(ValueError, match="run from 0 to 5, expected 0 to 4"):
        kinds = graph.edge_type.clone()
        kinds[-1] = 5
        model(graph.x, graph.edge_index, edge_type=kinds)
    with pytest.raises(ValueError, match="in the order of their graphs"):
        run(model, graph, torch.tensor([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="graph of each of 4 nodes"):
        run(model, graph, torch.tensor([0, 0, 0]))
    with pytest.raises(ValueError, match="node 0 has a feature that is not finite"):
        model(graph.x.log() - graph.x.log(), graph.edge_index, edge_type=graph.edge_type)
