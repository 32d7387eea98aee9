"""Graphs of chords: equal to a search over all pairs, whatever the chords."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mircourse import chords
from mircourse.chordgraph import (
    EDGE_TYPES,
    FEATURES,
    build_chord_graph,
    chord_edges,
    chord_features,
    transpose,
    width,
)
from mircourse.chordsymbols import parse

ROOTS = st.lists(st.integers(0, 11), min_size=1, max_size=30)


def over_all_pairs(roots, reach):
    """Look at each pair of chords, as the article's listing does."""
    found = set()
    for i, target in enumerate(roots):
        for j, source in enumerate(roots):
            if i == j:
                continue
            if j == i - 1:
                found.add((j, i, "previous"))
            if j == i + 1:
                found.add((j, i, "next"))
            if reach is None or abs(i - j) <= reach:
                name = {7: "fifth", 5: "fourth", 0: "same root"}.get((source - target) % 12)
                if name:
                    found.add((j, i, name))
    return found


@given(ROOTS, st.none() | st.integers(0, 6), st.sets(st.sampled_from(EDGE_TYPES)))
def test_edges_equal_a_search_over_all_pairs(roots, reach, kept):
    (source, target), kind = chord_edges(roots, edge_types=sorted(kept), reach=reach)
    found = [
        (j, i, EDGE_TYPES[t])
        for j, i, t in zip(source.tolist(), target.tolist(), kind.tolist(), strict=True)
    ]
    assert len(found) == len(set(found))
    assert set(found) == {edge for edge in over_all_pairs(roots, reach) if edge[2] in kept}
    assert sorted(zip(kind.tolist(), target.tolist(), strict=True)) == list(
        zip(kind.tolist(), target.tolist(), strict=True)
    )


@given(ROOTS, st.integers(1, 11))
def test_edges_do_not_move_when_all_chords_do(roots, by):
    moved = [(root + by) % 12 for root in roots]
    for one, other in zip(chord_edges(roots), chord_edges(moved), strict=True):
        np.testing.assert_array_equal(one, other)


def test_four_chords_by_hand():
    graph = build_chord_graph("I V7 vi IV in C")
    assert graph.x.dtype == torch.float32 and graph.x.shape == (4, 12)
    assert graph.x[1].nonzero().flatten().tolist() == [2, 5, 7, 11]
    edges = {
        (EDGE_TYPES[t], j, i)
        for (j, i), t in zip(graph.edge_index.T.tolist(), graph.edge_type.tolist(), strict=True)
    }
    steps = {("previous", i, i + 1) for i in range(3)} | {("next", i + 1, i) for i in range(3)}
    # C hears from G, a fifth above it, and from F, a fourth above; G and F hear from C.
    fifths = {("fifth", 1, 0), ("fourth", 0, 1), ("fourth", 3, 0), ("fifth", 0, 3)}
    assert edges == steps | fifths


def test_one_way_in_whatever_form():
    symbols = build_chord_graph("C G7 Am F")
    numerals = build_chord_graph("I V7 vi IV in C")
    objects = build_chord_graph(parse("C G7 Am F"))
    listing = [
        SimpleNamespace(root=c.root, pitch_classes=list(map(int, c.pitch_classes)))
        for c in parse("C G7 Am F")
    ]
    for other in (numerals, objects, build_chord_graph(listing)):
        for name in ("x", "edge_index", "edge_type"):
            assert torch.equal(symbols[name], other[name])


def test_one_chord_and_no_edges():
    graph = build_chord_graph("C")
    assert graph.edge_index.shape == (2, 0) and graph.edge_type.shape == (0,)
    assert graph.edge_index.dtype == graph.edge_type.dtype == torch.int64
    assert build_chord_graph("C G", edge_types=()).edge_index.shape == (2, 0)


def test_repeated_chords_are_joined_but_not_to_themselves():
    graph = build_chord_graph("C C C", edge_types=["same root"])
    assert sorted(graph.edge_index.T.tolist()) == [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]


def test_features_of_an_analysis():
    rows = chords.load()[0].chords
    x = chord_features(rows)
    assert x.shape == (len(rows), width(FEATURES)) == (len(rows), 28)
    np.testing.assert_array_equal(x[:, :12], rows["pitch_classes"])
    np.testing.assert_array_equal(x[:, 12:24].argmax(axis=1), rows["bass"])
    np.testing.assert_allclose(8 ** x[:, 24], rows["duration_beat"], rtol=1e-5)
    np.testing.assert_array_equal(x[:, 26], rows["onset_beat"] % 2 == 0)


@pytest.mark.parametrize("semitones", [0, 1, -3, 12])
def test_transposition_is_that_of_the_chords(semitones):
    rows = chords.load()[3].chords.copy()
    x = torch.from_numpy(chord_features(rows))
    for name in ("root", "bass"):
        rows[name] = (rows[name] + semitones) % 12
    rows["pitch_classes"] = np.roll(rows["pitch_classes"], semitones, axis=1)
    assert torch.equal(transpose(x, semitones), torch.from_numpy(chord_features(rows)))


def test_edges_grow_with_the_chords_where_reach_is_limited():
    roots = np.random.default_rng(0).integers(0, 12, 4000)
    whole = chord_edges(roots, reach=8)[0].shape[1]
    half = chord_edges(roots[:2000], reach=8)[0].shape[1]
    assert 1.9 < whole / half < 2.1


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ("C Xm", {}, "unknown chord symbol 'Xm'"),
        ([], {}, "at least one chord"),
        ("C", {"edge_types": ["sixth"]}, "unknown edge types"),
        ("C", {"features": ["loudness"]}, "features must be some of"),
        ("C", {"features": ["time"]}, "each chord needs 'onset_beat'"),
        ("C", {"reach": -1}, "reach must be 0 or more"),
        ([SimpleNamespace(root=12, pitch_classes=[0] * 12)], {}, "root must be a pitch class"),
        ([SimpleNamespace(root=0, pitch_classes=[0] * 11)], {}, "expected 12 pitch classes"),
        ([SimpleNamespace(root=0, pitch_classes=[2] * 12)], {}, "flags"),
        ([SimpleNamespace(pitch_classes=[0] * 12)], {}, "each chord needs 'root'"),
        (np.zeros(2, [("root", "i1")]), {}, "no field 'pitch_classes'"),
    ],
)
def test_bad_input(given, settings, message):
    with pytest.raises(ValueError, match=message):
        build_chord_graph(given, **settings)


def test_times_must_be_finite():
    rows = chords.load()[0].chords.copy()
    rows["duration_beat"][2] = np.nan
    with pytest.raises(ValueError, match="durations positive and finite"):
        build_chord_graph(rows, features=FEATURES)
