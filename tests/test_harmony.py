"""Keys and degrees in twelve transpositions: what moves, what stays, and the chain of keys."""

import itertools

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from mircourse import chords
from mircourse.chordgnn import ChordProgressionGNN
from mircourse.chordgraph import FEATURES, chord_edges, transpose, width
from mircourse.harmony import HarmonyGNN, HarmonyHeads, copies
from mircourse.harmonytraining import (
    QUALITIES,
    SAID,
    TARGETS,
    HarmonyTask,
    harmony_graph,
    loader,
    read,
    transposed,
)
from mircourse.keychain import N_KEYS, Beliefs, KeyChain
from mircourse.training import fit, seed_everything

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
PIECES = sorted(chords.load(), key=lambda piece: len(piece.chords))[:3]


def small(**settings):
    torch.manual_seed(0)
    model = HarmonyGNN(8, **{"rounds": 6, **settings}).eval()
    with torch.no_grad():  # what begins with zeros would hide a mistake
        model.chain.change.add_(torch.randn(12, 2, 2))
    return model


def run(model, graph, batch=None):
    return model(graph.x, graph.edge_index, batch, edge_type=graph.edge_type)


def graphs(**settings):
    return [harmony_graph(piece, **settings) for piece in PIECES]


@pytest.mark.parametrize("conv", ["relational", "attention", "plain"])
@pytest.mark.parametrize("semitones", [1, 7])
def test_transposition_moves_the_keys_and_nothing_else(conv, semitones):
    model, graph = small(conv=conv), graphs()[0]
    here, there = run(model, graph), run(model, transposed(graph, semitones))
    for name in ("degree", "quality", "inversion"):
        torch.testing.assert_close(there[name], here[name], **CLOSE)
    for name in ("key", "degree_in_key"):
        torch.testing.assert_close(there[name].roll(-2 * semitones, dims=1), here[name], **CLOSE)
    # That it could be otherwise: the signed model does hear the difference.
    torch.manual_seed(0)
    plain = HarmonyHeads(ChordProgressionGNN(28, 8, 8, level="node").eval(), 8).eval()
    one, other = (run(plain, g)["degree"] for g in (graph, transposed(graph, semitones)))
    assert not torch.allclose(one, other, atol=1e-4)


def test_what_a_piece_gets_does_not_depend_on_its_batch():
    model, alone = small(), graphs()
    together = Batch.from_data_list(alone)
    out = run(model, together, together.batch)
    for name in (*SAID, "key_pair"):
        expected = torch.cat([run(model, graph)[name] for graph in alone])
        torch.testing.assert_close(out[name], expected, **CLOSE)


def test_numbering_of_the_chords_does_not_matter():
    model, graph = small(), graphs()[0]
    new = torch.randperm(len(graph.x))
    edges = torch.argsort(new)[graph.edge_index]
    moved = model(graph.x[new], edges, edge_type=graph.edge_type)
    found = run(model, graph)
    for name in SAID:
        torch.testing.assert_close(moved[name], found[name][new], **CLOSE)


def test_degrees_are_weighted_by_keys():
    found = run(small(), graphs()[0])
    by_hand = (found["key"].exp()[..., None] * found["degree_in_key"].exp()).sum(1)
    torch.testing.assert_close(found["degree"].exp(), by_hand, **CLOSE)
    torch.testing.assert_close(by_hand.sum(1), torch.ones(len(by_hand)), **CLOSE)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_chain_gives_the_marginals_of_all_paths(n):
    torch.manual_seed(n)
    chain = KeyChain(n)
    with torch.no_grad():
        chain.change.add_(torch.randn(12, 2, 2))
    # Only three keys are possible, so that all paths can be counted.
    keys, score = torch.tensor([0, 5, 14]), torch.full((n, N_KEYS), -60.0)
    score[:, keys] = torch.randn(n, 3)
    index, kind = map(torch.from_numpy, chord_edges(np.zeros(n, int)))
    found = chain(score, index, kind)
    table, expected, paths = chain.transition(), torch.zeros(n, N_KEYS), {}
    for path in itertools.product(keys.tolist(), repeat=n):
        total = sum(score[i, k] for i, k in enumerate(path))
        total = total + sum(table[a, b] for a, b in itertools.pairwise(path))
        paths[path] = total.exp()
        for i, k in enumerate(path):
            expected[i, k] += total.exp()
    weight = sum(paths.values())
    torch.testing.assert_close(found.key.exp(), expected / weight, **CLOSE)
    for path in list(paths)[::7]:
        torch.testing.assert_close(
            found.path(torch.tensor(path)).exp(), paths[path] / weight, **CLOSE
        )


def test_the_chain_without_rounds_or_edges_is_a_softmax():
    score = torch.randn(4, N_KEYS)
    index, kind = map(torch.from_numpy, chord_edges([0, 1, 2, 3]))
    softmax = score.log_softmax(1)
    torch.testing.assert_close(KeyChain(0)(score, index, kind).key, softmax, **CLOSE)
    none = torch.zeros(2, 0, dtype=torch.int64)
    found = KeyChain(5)(score, none, none[0])
    torch.testing.assert_close(found.key, softmax, **CLOSE)
    key = torch.tensor([3, 0, 23, 7])
    expected = softmax[torch.arange(4), key].sum()
    torch.testing.assert_close(found.path(key), expected, **CLOSE)
    with pytest.raises(ValueError, match="rounds must be 0 or more"):
        KeyChain(-1)


def test_the_keys_change_depends_on_the_interval():
    chain = KeyChain(1)
    with torch.no_grad():
        chain.change.normal_()
    table = chain.transition().reshape(12, 2, 12, 2)
    for tonic in range(12):
        moved = table.roll((tonic, tonic), dims=(0, 2))
        torch.testing.assert_close(moved, table)
    assert table[2, 0, 9, 1] == chain.change[7, 0, 1]  # from D major to A minor


def test_targets():
    graph, rows = harmony_graph(PIECES[0]), PIECES[0].chords
    assert graph.y.shape == (len(rows), len(TARGETS)) and graph.y.dtype == torch.int64
    np.testing.assert_array_equal(graph.y[:, 0] + 1, rows["degree"])
    np.testing.assert_array_equal(graph.y[:, 1] // 2, rows["key_tonic"])
    np.testing.assert_array_equal(graph.y[:, 1] % 2 == 1, rows["key_mode"] == "minor")
    assert [QUALITIES[i] for i in graph.y[:, 2]] == rows["quality"].tolist()
    assert graph.x.shape[1] == width(FEATURES)


def test_untyped_graphs_join_two_chords_once():
    typed, untyped = harmony_graph(PIECES[0]), harmony_graph(PIECES[0], typed=False)
    pairs = set(map(tuple, typed.edge_index.T.tolist()))
    assert set(map(tuple, untyped.edge_index.T.tolist())) == pairs
    assert untyped.edge_index.shape[1] == len(pairs) and not untyped.edge_type.any()


def test_augmentation_moves_features_and_keys_together():
    graph = graphs()[0]
    torch.manual_seed(0)
    shifts = set()
    for _ in range(4):
        ((batch, y),) = loader([graph], augment=True)
        by = int((y[0, 1] - graph.y[0, 1]) // 2) % 12
        shifts.add(by)
        assert torch.equal(batch.x, transpose(graph.x, by))
        assert torch.equal(y[:, [0, 2, 3]], graph.y[:, [0, 2, 3]])
    assert len(shifts) > 1
    ((_, y),) = loader([graph])
    assert torch.equal(y, graph.y)


@pytest.mark.parametrize("kind", ["twelve", "signed"])
def test_one_batch_overfits_and_gradients_reach_every_parameter(kind):
    seed_everything(0)
    some = graphs()[:1]
    if kind == "twelve":
        model = HarmonyGNN(16, dropout=0.0, rounds=4)
    else:
        model = HarmonyHeads(Trunk(), 16, dropout=0.0)
    task = HarmonyTask(model, lr=0.02)
    batch, y = next(iter(loader(some)))
    total, n = task.terms(task(batch), y)
    assert n == len(y)
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    result = fit(task, loader(some), epochs=60, progress=False)
    found = read(model, some)
    assert (found["degree"].argmax(1) == y[:, 0]).float().mean() > 0.95
    assert result.history[-1]["train_loss"] < 0.3 * result.history[0]["train_loss"]


class Trunk(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gnn = ChordProgressionGNN(28, 16, level="node", dropout=0.0)
        del self.gnn.attention, self.gnn.classifier

    def forward(self, x, edge_index, batch, *, edge_type):
        return self.gnn.encode(x, edge_index, edge_type=edge_type)


def test_the_loss_by_hand():
    graph = graphs()[0]
    model = small()
    task = HarmonyTask(model, weights={"key": 2.0, "degree_in_key": 0.5})
    batch, y = next(iter(loader([graph])))
    found = task(batch)
    at = torch.arange(len(y))
    expected = -(
        found["degree"][at, y[:, 0]] + 0.5 * found["degree_in_key"][at, y[:, 1], y[:, 0]]
    ).sum()
    believed = Beliefs(found["key"], found["key_pair"], found["key_edges"])
    expected = expected - 2 * believed.path(y[:, 1])
    torch.testing.assert_close(task.terms(found, y)[0], expected, **CLOSE)


def test_copies():
    index = torch.tensor([[0, 1], [2, 0]])
    assert copies(index, n=2, step=3).tolist() == [[0, 1, 3, 4], [2, 0, 5, 3]]
    assert copies(index[0], n=3, step=10).tolist() == [0, 1, 10, 11, 20, 21]


def test_bad_settings():
    with pytest.raises(ValueError, match="weights must be 0 or more"):
        HarmonyTask(small(), weights={"tempo": 1.0})
    with pytest.raises(ValueError, match="0 graphs"):
        loader([])
    with pytest.raises(ValueError, match="expected 28 numbers a node"):
        run(small(), harmony_graph(PIECES[0], features=["pitch_classes"]))
