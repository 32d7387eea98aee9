"""The experiments of the GNN chapter: what they count, who sees what, and that each row runs."""

import numpy as np
import pytest
import torch

from mircourse import metrics
from mircourse.experiments import gnn, harmonies, windows
from mircourse.experiments.chordreaders import SequenceHarmony, SignedHarmony, TwelveSequences
from mircourse.harmonytraining import harmony_graph, loader, transposed


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRCOURSE_CACHE", str(tmp_path))


def test_no_piece_is_on_both_sides():
    for fast in (False, True):
        tested = np.concatenate(harmonies.folds(fast))
        assert sorted(tested.tolist()) == list(range(len(harmonies.pieces(fast))))
    sizes = [sum(len(harmonies.pieces()[i].chords) for i in f) for f in harmonies.folds()]
    assert max(sizes) - min(sizes) < 100
    inner = np.concatenate(harmonies.inner_folds())
    assert not set(inner) & set(harmonies.folds()[0])


def test_no_work_is_on_both_sides():
    work = [window.work for window in windows.windows()]
    label = np.array([window.label for window in windows.windows()])
    for test in windows.folds():
        inside = {work[i] for i in test}
        assert not inside & {work[i] for i in set(range(len(work))) - set(test.tolist())}
    assert 1900 <= len(work) <= 1930 and np.bincount(label).max() == windows.MOST
    assert "haydn-opus1no1" in work and not any("movement" in name for name in work)


def test_macro_f1_equals_that_of_the_metrics():
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(1, 8, (2, 60))
    expected = metrics.macro_f1(truth, guess, labels=np.arange(1, 8))
    assert harmonies.macro_f1(truth, guess) == pytest.approx(expected)
    assert harmonies.macro_f1([1, 1], [1, 1]) == pytest.approx(1 / 7)


def test_what_the_trees_know_does_not_move_with_the_key():
    piece = harmonies.pieces(True)[0]
    rows = piece.chords.copy()
    for name in ("root", "bass"):
        rows[name] = (rows[name] + 5) % 12
    rows["pitch_classes"] = np.roll(rows["pitch_classes"], 5, axis=1)
    moved = type(piece)(piece.id, piece.title, piece.composer, piece.split, rows)
    before, after = harmonies.tabulated(piece), harmonies.tabulated(moved)
    np.testing.assert_allclose(after, before, atol=1e-6)
    # By hand: its own chord above the bass, then the root, then the next chord.
    assert before[1, :12].nonzero()[0].tolist() == sorted(
        (np.flatnonzero(piece.chords["pitch_classes"][1]) - piece.chords["bass"][1]) % 12
    )
    assert np.isnan(before[-1, 13:26]).all() and np.isfinite(before[0, 13:26]).all()


@pytest.mark.parametrize(
    "model",
    [
        SequenceHarmony("lstm", 8),
        SequenceHarmony("transformer", 8, num_layers=1),
        SignedHarmony(8),
        TwelveSequences("lstm", 8, rounds=2),
    ],
    ids=["lstm", "transformer", "signed", "twelve"],
)
def test_readers_do_not_look_into_other_pieces(model):
    graphs = [harmony_graph(piece) for piece in harmonies.pieces(True)[:2]]
    model.eval()

    def degrees(some):
        batch, _ = next(iter(loader(some, shuffle=False)))
        return model(batch.x, batch.edge_index, batch.batch, edge_type=batch.edge_type)["degree"]

    together = degrees(graphs)
    alone = torch.cat([degrees([graph]) for graph in graphs])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    moved = degrees([transposed(graphs[0], 3)])
    same = torch.allclose(moved, alone[: len(moved)], atol=1e-4)
    assert same == isinstance(model, TwelveSequences)


SMALL = {"hidden_dim": 8}
ROWS = {
    "majority": {"model": "majority"},
    "trees": {"model": "trees"},
    "sequence": gnn.reader("sequence", {"kind": "transformer", "num_layers": 1, **SMALL}),
    "twelve": gnn.twelve(arguments={**SMALL, "rounds": 2}),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_degrees(name):
    found = harmonies.degrees(ROWS[name], seed=0, fast=True)
    truth = np.concatenate([piece.chords["degree"] for piece in harmonies.pieces(True)])
    np.testing.assert_array_equal(found["truth"], truth)
    np.testing.assert_array_equal(found["scores"], found["truth"] == found["prediction"])
    assert set(found["prediction"]) <= set(range(1, 8))
    assert len(found["groups"]) == len(truth) and len(set(found["groups"])) == 10
    if name == "trees":
        assert found["scores"].mean() > np.bincount(truth).max() / len(truth)


def test_keys_of_the_networks_of_degrees():
    found = harmonies.keys(ROWS["twelve"], seed=0, fast=True)
    assert len(found["scores"]) == len(found["groups"])
    assert set(found["scores"]) <= {0.0, 1.0}


@pytest.mark.parametrize("name", ["majority", "counts", "gnn"])
def test_a_row_of_styles(name):
    rows = {row.settings["model"]: row.settings for row in gnn.STYLE_ROWS}
    settings = dict(rows[name])
    if name == "gnn":
        settings["arguments"] = {"hidden_dim": 4}
    found = windows.styles(settings, seed=0, fast=True)
    assert len(found["truth"]) == len(windows.windows(True)) == 42
    assert found["prediction"].shape == found["truth"].shape
    if name == "counts":
        assert found["scores"].mean() > 0.4


def test_a_style_without_edges_has_none():
    settings = gnn.by_style(edges=False)
    for batch, label in windows.batches([0, 40], settings, fast=True, train=True):
        assert batch.edge_index.shape == (2, 0) and len(label) == 2


def test_every_row_has_settings_of_its_own_and_a_network_that_is_known():
    made = [gnn.degrees, gnn.degrees_f1, gnn.edges, gnn.convolutions, gnn.local_keys]
    for experiment in made:
        kinds = [row.settings["model"] for row in experiment.rows]
        assert set(kinds) <= {"majority", "trees", *harmonies.NETWORKS}
        assert len({repr(row.settings) for row in experiment.rows}) == len(experiment.rows)
        assert experiment.seeds == 3
    judged = {row.name for row in gnn.DEGREE_ROWS}
    assert set(gnn.JUDGED) < judged and gnn.OURS in judged
