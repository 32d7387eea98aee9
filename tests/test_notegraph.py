"""Graphs of notes: equal to a search over all pairs, and to the definitions by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mircourse import scores
from mircourse.notearray import note_array
from mircourse.notegraph import NOTE_EDGE_TYPES, build_note_graph, note_edges, note_features

TIMES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5)), min_size=1, max_size=14)


def over_all_pairs(onset, end):
    found = set()
    for u in range(len(onset)):
        later = [onset[v] for v in range(len(onset)) if onset[v] > end[u]]
        heard = any(onset[v] == end[u] for v in range(len(onset)))
        for v in range(len(onset)):
            if u != v and onset[u] == onset[v]:
                found.add((u, v, "onset"))
            if end[u] == onset[v] and onset[v] > onset[u]:
                found.add((u, v, "consecutive"))
            if onset[u] < onset[v] < end[u]:
                found.add((u, v, "during"))
            if not heard and later and onset[v] == min(later):
                found.add((u, v, "rest"))
    return found | {(v, u, f"{kind}, back") for u, v, kind in found if kind != "onset"}


@given(TIMES, st.sampled_from([1.0, 0.25, 1 / 3]), st.booleans())
def test_edges_equal_a_search_over_all_pairs(times, unit, reverse):
    onset, duration = np.array(times, float).T
    (source, target), kind = note_edges(onset * unit, duration * unit, reverse=reverse)
    found = [
        (u, v, NOTE_EDGE_TYPES[k])
        for u, v, k in zip(source.tolist(), target.tolist(), kind.tolist(), strict=True)
    ]
    expected = over_all_pairs(onset, onset + duration)
    if not reverse:
        expected = {edge for edge in expected if "back" not in edge[2]}
    assert len(found) == len(set(found)) and set(found) == expected


def test_by_hand():
    # A held C under D and E, then a rest, then F.
    notes = note_array([0, 1, 2, 4], [3, 1, 1, 1], [48, 62, 64, 65])
    graph = build_note_graph(notes, reverse=False)
    edges = {
        (NOTE_EDGE_TYPES[k], u, v)
        for (u, v), k in zip(graph.edge_index.T.tolist(), graph.edge_type.tolist(), strict=True)
    }
    assert edges == {
        ("during", 0, 1),
        ("during", 0, 2),
        ("consecutive", 1, 2),
        ("rest", 0, 3),
        ("rest", 2, 3),
    }
    assert graph.x.shape == (4, 17)
    assert graph.x[1, :12].nonzero().flatten().tolist() == [2]
    assert graph.x[:, 12].tolist() == [-0.25, 62 / 64 - 1, 0, 65 / 64 - 1]
    assert graph.x[3].tolist()[-3:] == [1, 1, 1] and graph.x[2].tolist()[-3:] == [1, 1, 0]


def test_one_note():
    graph = build_note_graph(note_array([0.5], [1], [60]))
    assert graph.x.shape == (1, 17) and graph.edge_index.shape == (2, 0)


def test_real_music_in_any_order():
    notes = scores.load("bach")[0].notes
    new = np.random.default_rng(0).permutation(len(notes))
    a, b = build_note_graph(notes), build_note_graph(notes[new])
    sort = lambda e, k: sorted(zip(*e.tolist(), k.tolist(), strict=True))  # noqa: E731
    place = np.asarray(new)[b.edge_index.numpy()]
    assert sort(a.edge_index, a.edge_type) == sort(place, b.edge_type)
    np.testing.assert_array_equal(a.x.numpy()[new], b.x.numpy())


def test_moving_all_notes_by_an_octave_changes_no_more_than_the_octave():
    notes = scores.load("ryan")[0].notes.copy()
    before = note_features(notes)
    notes["pitch"] += 12
    after = note_features(notes)
    np.testing.assert_allclose(after[:, 12] - before[:, 12], 12 / 64, rtol=1e-5)
    np.testing.assert_array_equal(np.delete(after, 12, 1), np.delete(before, 12, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n: n[:0], "at least one note"),
        (lambda n: n[["onset_beat", "pitch"]], "expected notes with the fields"),
        (lambda n: np.zeros(3), "expected notes with the fields"),
        (lambda n: _set(n, "onset_beat", np.nan), "note 1 has a time that is not finite"),
        (lambda n: _set(n, "duration_beat", -1), "note 1 has a negative length"),
    ],
)
def test_bad_input(change, message):
    notes = note_array([0, 1], [1, 1], [60, 62])
    with pytest.raises(ValueError, match=message):
        build_note_graph(change(notes))


def _set(notes, name, value):
    notes = notes.copy()
    notes[name][1] = value
    return notes
