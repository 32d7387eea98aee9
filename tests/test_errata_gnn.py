"""What is wrong in the published listing of the section on graph networks, rebuilt small.

The page `book/reference/errata_gnn.md` names these tests; the last test keeps the two together.
"""

import itertools
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.nn import GCNConv, GraphConv, global_mean_pool

from mircourse.chordgnn import ChordProgressionGNN
from mircourse.chordgraph import EDGE_TYPES, build_chord_graph
from mircourse.chordsymbols import parse
from mircourse.messagepassing import MessagePassing

PAGE = Path(__file__).parents[1] / "book" / "reference" / "errata_gnn.md"
FOUR = "C G7 Am F"


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class Listing(nn.Module):
    """The network as printed: its parts, and what its forward pass does with them."""

    def __init__(self, hidden=32):
        super().__init__()
        widths = (12, hidden, hidden, hidden)
        self.convs = nn.ModuleList(GCNConv(*pair) for pair in itertools.pairwise(widths))
        self.edge_embedding = nn.Embedding(5, hidden)
        self.attention = nn.Sequential(nn.Linear(hidden, 64), nn.Tanh(), nn.Linear(64, 1))
        self.classifier = nn.Linear(hidden, 7)

    def nodes(self, x, edge_index):
        for conv in self.convs[:2]:
            x = F.dropout(F.relu(conv(x, edge_index)), 0.5, self.training)
        return self.convs[2](x, edge_index)

    def pooled(self, x, edge_index, batch=None):
        h = self.nodes(x, edge_index)
        h = h * F.softmax(self.attention(h), dim=0)
        return h.mean(0, keepdim=True) if batch is None else global_mean_pool(h, batch)

    def forward(self, x, edge_index, batch=None):
        return self.classifier(self.pooled(x, edge_index, batch))


def listed_edges(chords):
    """Return the rows (source, target, type) that the printed builder makes."""
    rows = []
    for i, chord in enumerate(chords):
        rows += [[i - 1, i, 0]] if i else []
        for j, other in enumerate(chords):
            kind = {7: 1, 5: 2}.get((chord.root - other.root) % 12)
            rows += [[i, j, kind]] if i != j and kind else []
    return rows


def as_pyg(text):
    """Return features and edges of the listing, turned into what its layers read, and types."""
    chords = parse(text)
    x = torch.tensor([c.pitch_classes for c in chords], dtype=torch.float32)
    rows = torch.tensor(listed_edges(chords), dtype=torch.int64).reshape(-1, 3)
    return x, rows[:, :2].T.contiguous(), rows[:, 2]


def small(**options):
    return ChordProgressionGNN(12, 16, dropout=0.0, **options).eval()


def ours(model, graph):
    return model(graph.x, graph.edge_index, edge_type=graph.edge_type)


def test_the_convolutions_are_not_the_equation():
    """One matrix, and a mean: two chords that hear one another become the same."""
    x, _, _ = as_pyg("G C")
    both = torch.tensor([[0, 1], [1, 0]])
    g, c = GCNConv(12, 8)(x, both)
    torch.testing.assert_close(g, c)
    assert {name for name, _ in GCNConv(12, 8).named_parameters()} == {"bias", "lin.weight"}
    g, c = MessagePassing(12, 8, activation=nn.Identity())(x, both)
    assert (g - c).abs().max() > 1e-2
    states = small().encode(x, both, edge_type=torch.tensor([0, 1]))
    assert (states[0] - states[1]).abs().max() > 1e-2


def test_the_equation_is_that_of_graphconv():
    """Sound: W_self h_i plus the sum of W_msg h_j."""
    x, edges, _ = as_pyg(FOUR)
    theirs, layer = GraphConv(12, 8), MessagePassing(12, 8)
    with torch.no_grad():
        layer.W_self.weight.copy_(theirs.lin_root.weight)
        layer.W_self.bias.copy_(theirs.lin_rel.bias)
        layer.W_msg.weight.copy_(theirs.lin_rel.weight)
    torch.testing.assert_close(layer(x, edges), theirs(x, edges).relu())


def test_the_edge_embedding_is_made_and_never_used():
    listing = Listing()
    listing(*as_pyg(FOUR)[:2]).square().sum().backward()
    assert [n for n, p in listing.named_parameters() if p.grad is None] == ["edge_embedding.weight"]
    assert nn.Embedding(5, 128).weight.numel() == 640  # at the article's sizes

    model = small()
    ours(model, build_chord_graph(FOUR)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model.edge_embedding.weight.grad.any()


def test_types_of_edges_are_found_and_dropped():
    """G before C, or G a fifth above C: without types the same edge."""
    x, _, _ = as_pyg("C G")
    edge = torch.tensor([[1], [0]])
    with pytest.raises(TypeError, match="edge_type"):
        Listing()(x, edge, edge_type=torch.tensor([0]))
    model = small()
    said = [model(x, edge, edge_type=torch.tensor([kind])) for kind in range(5)]
    assert all((a - b).abs().max() > 1e-4 for i, a in enumerate(said) for b in said[:i])


def test_a_neighbour_by_two_relations_counts_twice():
    x, edges, types = as_pyg("C G")
    arriving = edges[0][edges[1] == 1]
    assert arriving.tolist() == [0, 0] and types[edges[1] == 1].tolist() == [2, 0]
    conv = GCNConv(12, 8, bias=False)
    once = torch.tensor([[0, 1], [1, 0]])
    assert (conv(x, edges) - conv(x, once))[1].abs().max() > 1e-2

    graph, conv = build_chord_graph("C G"), small().convs[0]
    torch.testing.assert_close(
        conv(graph.x, graph.edge_index.repeat(1, 2), graph.edge_type.repeat(2)),
        conv(graph.x, graph.edge_index, graph.edge_type),
    )


def test_five_types_are_declared_and_three_are_made():
    _, _, types = as_pyg("C G C F Dm G7 C")
    assert Listing().edge_embedding.num_embeddings == 5
    assert set(types.tolist()) == {0, 1, 2}
    graph = build_chord_graph("C G C F Dm G7 C")
    assert set(graph.edge_type.tolist()) == set(range(5)) and len(EDGE_TYPES) == 5


def test_no_chord_hears_what_comes_after():
    """C, E and A flat are thirds apart: whatever the last chord is, the first stays as it was."""
    one, other = "C E Ab", "C E Abm"
    listing, model = Listing().eval(), small()
    early = [listing.nodes(*as_pyg(text)[:2])[:2] for text in (one, other)]
    torch.testing.assert_close(*early)
    graphs = [build_chord_graph(text) for text in (one, other)]
    early = [model.encode(g.x, g.edge_index, edge_type=g.edge_type)[:2] for g in graphs]
    assert (early[0] - early[1]).abs().max() > 1e-3


def test_edges_come_in_a_shape_that_is_not_read():
    """Rows of three: with two edges they are read as three, and the types as chords."""
    x, _, _ = as_pyg(FOUR)
    with pytest.raises((ValueError, IndexError, RuntimeError)):
        Listing()(x, torch.tensor(listed_edges(parse(FOUR))))
    x, right, _ = as_pyg("C E Ab")
    rows = torch.tensor(listed_edges(parse("C E Ab")))
    assert rows.tolist() == [[0, 1, 0], [1, 2, 0]]  # as columns: 0 to 1, 1 to 2, and 0 to 0
    assert Listing()(x, rows).isfinite().all()
    conv = GraphConv(12, 8)
    assert (conv(x, rows) - conv(x, right))[0].abs().max() > 1e-2

    graph = build_chord_graph("C E Ab")
    assert graph.edge_index.shape == (2, len(graph.edge_type))
    with pytest.raises(ValueError, match=r"expected edges \(2, E\)"):
        small()(x, torch.tensor(listed_edges(parse(FOUR))), edge_type=torch.zeros(3).long())


def test_one_chord_raises():
    x = torch.ones(1, 12)
    none = torch.tensor(listed_edges(parse("C")))
    assert none.shape == (0,) and none.dtype == torch.float32
    with pytest.raises((ValueError, IndexError, RuntimeError)):
        Listing()(x, none)
    graph = build_chord_graph("C")
    assert graph.edge_index.shape == (2, 0) and graph.edge_index.dtype == torch.int64
    assert ours(small(), graph).isfinite().all()


def test_pitch_classes_come_as_integers():
    numbers = torch.tensor([[int(p) for p in c.pitch_classes] for c in parse(FOUR)])
    assert numbers.dtype == torch.int64
    with pytest.raises(RuntimeError, match="Long"):
        Listing()(numbers, as_pyg(FOUR)[1])
    assert build_chord_graph(FOUR).x.dtype == torch.float32


class Counted:
    """A chord that counts how often it is asked for its root."""

    asked = 0

    def __init__(self, root):
        self.chord = SimpleNamespace(root=root)
        self.pitch_classes = np.eye(12, dtype=bool)[root]

    @property
    def root(self):
        Counted.asked += 1
        return self.chord.root


def test_each_pair_of_chords_is_looked_at():
    chords = [Counted(3 * i % 12) for i in range(100)]  # thirds: no fifth, no fourth anywhere
    Counted.asked = 0
    rows = listed_edges(chords)
    assert len(rows) == 99 and Counted.asked >= 100 * 99
    Counted.asked = 0
    build_chord_graph(chords)
    assert Counted.asked == 100


def test_a_graph_depends_on_its_batch():
    texts = (FOUR, "Dm G7 C Am Dm G7 C")
    listing, model = Listing().eval(), small()
    (x, edges, _), (more, others, _) = (as_pyg(text) for text in texts)
    together = listing(
        torch.cat([x, more]),
        torch.cat([edges, others + 4], dim=1),
        torch.tensor([0] * 4 + [1] * 7),
    )
    assert (together[:1] - listing(x, edges)).abs().max() > 1e-3

    graphs = [build_chord_graph(text) for text in texts]
    batch = Batch.from_data_list(graphs)
    said = model(batch.x, batch.edge_index, batch.batch, edge_type=batch.edge_type)
    torch.testing.assert_close(said[:1], ours(model, graphs[0]))


def test_weights_that_sum_to_one_are_averaged_again():
    """The same progression twice, side by side in one graph: half the vector."""
    listing, model = Listing().eval(), small()
    x, edges, types = as_pyg(FOUR)
    twice = torch.cat([x, x]), torch.cat([edges, edges + 4], dim=1)
    torch.testing.assert_close(listing.pooled(*twice), listing.pooled(x, edges) / 2)
    h = model.encode(x, edges, edge_type=types)
    torch.testing.assert_close(model.pool(torch.cat([h, h])), model.pool(h))


def test_there_is_one_answer_for_all_chords():
    assert Listing()(*as_pyg(FOUR)[:2]).shape == (1, 7)
    graph = build_chord_graph(FOUR)
    assert ours(small(level="node"), graph).shape == (4, 7)
    assert ours(small(), graph).shape == (1, 7)


def test_fifths_and_fourths_are_ours():
    """Sound: a chord gets a message from those a fifth and those a fourth above it."""
    text = "C G7 Am F Dm G C"
    _, edges, types = as_pyg(text)
    graph = build_chord_graph(text, edge_types=("fifth", "fourth"))
    for listed, name in ((1, "fifth"), (2, "fourth")):
        theirs = set(map(tuple, edges[:, types == listed].T.tolist()))
        mine = graph.edge_index[:, graph.edge_type == EDGE_TYPES.index(name)]
        assert theirs == set(map(tuple, mine.T.tolist())) != set()


def test_the_page_and_these_tests_name_each_other():
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    here = {name for name in globals() if name.startswith("test_")}
    assert named == here - {"test_the_page_and_these_tests_name_each_other"}
