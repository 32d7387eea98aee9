"""The experiments on message passing: what is asked, what layers do, and that each row runs."""

import numpy as np
import pytest
import torch
from torch_geometric.nn import GCNConv

from mircourse import chords
from mircourse.chordsymbols import parse
from mircourse.experiments import gnn_messages, messages
from mircourse.messagepassing import dirichlet_energy


def test_what_is_asked_by_hand():
    roots = [c.root for c in parse("C G C C F Bb Db Gb")]
    found = messages.reached_by_fifth(np.array(roots))
    assert found.tolist() == [False, False, True, False, True, True, False, True]
    piece = chords.load(split="test")[0]
    assert (
        messages.graph(piece).y.tolist() == messages.reached_by_fifth(piece.chords["root"]).tolist()
    )
    assert messages.reached_by_fifth(np.array([3])).tolist() == [False]


@pytest.mark.parametrize("kind", messages.KINDS)
@pytest.mark.parametrize("residual", [False, True])
def test_a_stack_gives_two_logits_a_chord(kind, residual):
    torch.manual_seed(0)
    graph = messages.graph(messages.pieces("test", True)[0])
    network = messages.Stack(kind, 3, 8, residual=residual)
    states = network.states(graph)
    assert [tuple(h.shape) for h in states] == [(len(graph.x), 8)] * 4
    assert torch.equal(network(graph), network.last(states[-1]))
    assert residual == bool((states[-1] >= states[1]).all() and (states[1] < 0).any())
    network(graph).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


def test_a_plain_layer_is_pygs():
    graph = messages.graph(messages.pieces("test", True)[0])
    network, theirs = messages.Stack("gcn", 1, 8), GCNConv(8, 8)
    with torch.no_grad():
        theirs.lin.weight.copy_(network.layers[0].weight)
        theirs.bias.copy_(network.layers[0].bias)
        first, last = network.states(graph)
        torch.testing.assert_close(last, theirs(first, graph.edge_index).relu())


def test_only_types_tell_backwards_from_forwards():
    torch.manual_seed(0)
    forwards = messages.graph(messages.pieces("test", True)[0])
    backwards = forwards.clone()
    backwards.edge_type = 1 - forwards.edge_type
    for kind in messages.KINDS:
        network = messages.Stack(kind, 2, 8)
        same = torch.allclose(network(forwards), network(backwards))
        assert same == (kind != "typed")


def test_energy_without_messages_stays_and_with_a_plain_convolution_falls():
    energy = {
        kind: [
            messages.smoothed({"kind": kind, "depth": depth, "hidden_dim": 16}, seed=0, fast=True)[
                "scores"
            ].mean()
            for depth in (1, 16)
        ]
        for kind in ("alone", "gcn")
    }
    assert min(energy["alone"]) > 0.7
    assert energy["gcn"][1] < 0.5 * energy["gcn"][0] < 0.5 * energy["alone"][0]
    piece = messages.graph(messages.pieces("train", True)[0])
    assert dirichlet_energy(piece.x, piece.edge_index) > 0.7


@pytest.mark.parametrize("made", [gnn_messages.before, gnn_messages.smoothing])
def test_rows_run_on_the_same_chords(made):
    groups = []
    for row in made.rows:
        found = made.run_unit(row, made.tasks[0], 0, True)
        assert len(found["scores"]) == len(found["groups"])
        assert np.isfinite(found["scores"]).all() and found["scores"].min() >= 0
        groups.append(found["groups"])
    assert all(other == groups[0] for other in groups)


@pytest.mark.parametrize(
    ("settings", "message"), [(("dense", 2), "kind must be one of"), (("gcn", 0), "1 or more")]
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        messages.Stack(*settings)
