"""What a right answer to the exercises on graphs of the GNN chapter has.

`mircourse.checks.gnn` has the other exercises of the chapter.

Lesson: book/gnn/exercises
"""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mircourse.check import exercise, expect

NO_EDGES = np.zeros((2, 0), np.int64)


@functools.cache
def roots(number: int) -> tuple[int, ...]:
    """Return the roots of an analysed piece's chords."""
    from mircourse import chords

    return tuple(chords.load(split="train")[number].chords["root"].tolist())


def in_order(edge_index: ArrayLike, *more: ArrayLike) -> NDArray[np.float64]:
    """Return edges, with what belongs to each, as rows in one order: (E, 2 or more)."""
    columns = [*np.asarray(edge_index).reshape(2, -1), *map(np.asarray, more)]
    rows = np.stack([np.asarray(column, float) for column in columns], axis=1)
    return rows[np.lexsort(rows.T[::-1])]


along = exercise("gnn_1", title="Before and after")


@along.property("four chords: each hears the one before it and the one after it")
def _along_four(neighbours):
    edge_index, edge_type = neighbours(4)
    wanted = [[0, 1, 0], [1, 0, 1], [1, 2, 0], [2, 1, 1], [2, 3, 0], [3, 2, 1]]
    expect(in_order(edge_index, edge_type), wanted)


@along.property("sources stand in the first row, targets in the second: (2, E)")
def _along_shape(neighbours):
    edge_index, edge_type = neighbours(9)
    expect([np.shape(edge_index), np.shape(edge_type)], [(2, 16), (16,)])


@along.property("one chord has no edges: (2, 0), and still whole numbers")
def _along_one(neighbours):
    edge_index, edge_type = neighbours(1)
    expect([np.shape(edge_index), np.shape(edge_type)], [(2, 0), (0,)])
    expect(np.asarray(edge_index).dtype.kind, "i")


renumbering = exercise("gnn_5", title="Other numbers, the same graph")


def _graph(seed: int, n: int = 7) -> tuple[NDArray, NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    edges = np.array([(j, i) for j in range(n) for i in range(n) if i != j]).T
    some = edges[:, np.sort(rng.permutation(edges.shape[1])[: 2 * n])]
    # Turning all round twice gives them back: the mistake would not show.
    order = np.roll(np.arange(n), 2)
    return rng.standard_normal((n, 3)), some, order


def _joined(x: NDArray, edge_index: ArrayLike) -> NDArray[np.float64]:
    """Return what stands at both ends of each edge, in one order."""
    source, target = np.asarray(edge_index)
    rows = np.concatenate([x[source], x[target]], axis=1)
    return rows[np.lexsort(rows.T[::-1])]


@renumbering.property("node k of the new graph is node order[k] of the old")
def _renumbering_nodes(renumber):
    x, edges, order = _graph(0)
    expect(renumber(x, edges, order)[0], x[order])


@renumbering.property("an edge joins the same two chords as before, in the same direction")
def _renumbering_edges(renumber):
    x, edges, order = _graph(1)
    expect(_joined(*renumber(x, edges, order)), _joined(x, edges))


@renumbering.property("edges stay in their order: their types need not move")
def _renumbering_order(renumber):
    x, edges, order = _graph(2)
    new_x, new_edges = renumber(x, edges, order)
    expect(np.asarray(new_x)[np.asarray(new_edges)[0]], x[edges[0]])


hearing = exercise("gnn_6", title="How far does a chord hear?")


@hearing.property("without layers a chord hears itself alone")
def _hearing_none(hears):
    expect(hears(np.array([[0, 1], [1, 2]]), 3, 1, 0), [False, True, False])


@hearing.property("a layer takes it one edge further, against the direction of the edges")
def _hearing_line(hears):
    line = np.array([[0, 1, 2, 3], [1, 2, 3, 4]])
    expect(hears(line, 5, 3, 1), [False, False, True, True, False])
    expect(hears(line, 5, 3, 2), [False, True, True, True, False])


@hearing.property("it goes on hearing what is near, and never what is joined by no way")
def _hearing_ring(hears):
    ring_and_pair = np.array([[0, 1, 2, 3, 4], [1, 2, 0, 4, 3]])
    expect(hears(ring_and_pair, 5, 0, 3), [True, True, True, False, False])
    expect(hears(NO_EDGES, 2, 0, 9), [True, False])


@hearing.property("agrees with a gradient, on a chorale and its edges by root")
def _hearing_chorale(hears):
    from mircourse.chordgraph import chord_edges

    n = len(roots(0))
    edges, _ = chord_edges(roots(0), edge_types=("previous", "fifth"), reach=3)
    table = np.eye(n)
    table[edges[1], edges[0]] = 1
    expect(hears(edges, n, 20, 4), np.linalg.matrix_power(table, 4)[20] > 0)


joining = exercise("gnn_7", title="Graphs in a batch")


def _graphs() -> list[tuple[NDArray, NDArray]]:
    return [_graph(seed, n)[:2] for seed, n in ((3, 5), (4, 3), (5, 6))]


@joining.property("nodes stand one graph after another, with the number of their graph")
def _joining_nodes(join):
    graphs = _graphs()
    x, _, batch = join(graphs)
    expect(x, np.concatenate([one for one, _ in graphs]))
    expect(batch, [0] * 5 + [1] * 3 + [2] * 6)


@joining.property("edges find their nodes again")
def _joining_edges(join):
    graphs = _graphs()
    x, edges, _ = join(graphs)
    parts = [_joined(*graph) for graph in graphs]
    wanted = np.concatenate(parts)
    expect(_joined(np.asarray(x), edges), wanted[np.lexsort(wanted.T[::-1])])


@joining.property("a graph without edges counts, too: numbers go by nodes")
def _joining_none(join):
    (x, edges), alone = _graphs()[0], np.ones((2, 3))
    _, found, batch = join([(alone, NO_EDGES), (x, edges), (alone, NO_EDGES)])
    expect(found, edges + 2)
    expect(batch, [0] * 2 + [1] * 5 + [2] * 2)


fifths = exercise("gnn_9", title="Fifths, without looking at each pair")


class _Root(int):
    """A root that counts what is computed with it."""

    count = 0

    def __sub__(self, other: Any) -> Any:
        _Root.count += 1
        return int(self) - int(other)

    def __rsub__(self, other: Any) -> Any:
        _Root.count += 1
        return int(other) - int(self)

    def __add__(self, other: Any) -> Any:
        _Root.count += 1
        return int(self) + int(other)

    __radd__ = __add__

    def __eq__(self, other: Any) -> bool:
        _Root.count += 1
        return int(self) == other

    def __hash__(self) -> int:
        return int.__hash__(self)


def _pairs(given: tuple[int, ...]) -> NDArray[np.int64]:
    n = range(len(given))
    found = [(j, i) for j in n for i in n if i != j and (given[j] - given[i]) % 12 == 7]
    return np.array(found, np.int64).reshape(-1, 2).T


@fifths.property("C hears G, and G does not hear C")
def _fifths_two(edges_by_fifth):
    expect(in_order(edges_by_fifth([0, 7])), [[1, 0]])


@fifths.property("a piece: every chord hears every chord a fifth above it, however far away")
def _fifths_piece(edges_by_fifth):
    for number in (0, 3):
        expect(in_order(edges_by_fifth(list(roots(number)))), in_order(_pairs(roots(number))))


@fifths.property("no chord a fifth away, no edges: (2, 0)")
def _fifths_none(edges_by_fifth):
    expect(np.shape(edges_by_fifth([0, 4, 8, 0])), (2, 0))


@fifths.property("of a thousand chords, not each is compared with each")
def _fifths_linear(edges_by_fifth):
    n = 1000
    thirds = [_Root(4 * (i % 3)) for i in range(n)]
    _Root.count = 0
    tracemalloc.start()
    try:
        edges_by_fifth(thirds)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    few = _Root.count < 100 * n and peak < n**2 / 2  # bytes: a table of all pairs has n² at least
    expect("a few steps a chord" if few else "each pair of chords", "a few steps a chord")


notes = exercise("gnn_10", title="Notes as a graph")


def _note_pairs(onset: ArrayLike, duration: ArrayLike) -> NDArray[np.float64]:
    """Return the edges of `mircourse.notegraph`, found by a look at each pair, in ticks."""
    start = np.rint(np.asarray(onset) * 480).astype(int)
    end = start + np.rint(np.asarray(duration) * 480).astype(int)
    rows = []
    for u, v in np.ndindex(len(start), len(start)):
        if start[u] == start[v] and u != v:
            rows.append((u, v, 0))
        if start[v] == end[u]:
            rows.append((u, v, 1))
        if start[u] < start[v] < end[u]:
            rows.append((u, v, 2))
        later = start[start >= end[u]]
        if len(later) and later.min() > end[u] and start[v] == later.min():
            rows.append((u, v, 3))
    found = np.array(rows, int).reshape(-1, 3)
    return in_order(found[:, :2].T, found[:, 2])


def _note_case(note_edges: Callable[..., Any], onset: list[float], duration: list[float]) -> None:
    given = np.array(onset, float), np.array(duration, float)
    expect(in_order(*note_edges(*given)), _note_pairs(*given))


@notes.property(
    "two notes at once hear each other (0); one that begins as another ends hears it (1)"
)
def _notes_plain(note_edges):
    _note_case(note_edges, [0, 0, 1, 2], [1, 1, 1, 1])


@notes.property("a note hears those that still sound when it begins (2)")
def _notes_during(note_edges):
    _note_case(note_edges, [0, 1, 2, 0], [4, 1, 1, 2])


@notes.property(
    "after a rest the first notes hear what ended last before it (3), and no later ones"
)
def _notes_rest(note_edges):
    _note_case(note_edges, [0, 2, 2, 3, 6], [1, 1, 1, 1, 1])


@notes.property("what begins as a note ends leaves no rest after it")
def _notes_no_rest(note_edges):
    _note_case(note_edges, [0, 0, 2, 3], [2, 1, 1, 1])


@notes.property("thirds of a beat add up to a beat")
def _notes_thirds(note_edges):
    third = 1 / 3
    _note_case(note_edges, [1, 4 / 3, 5 / 3, 2, 2.1], [third, third, third, 0.1, 0.2])


@notes.property("agrees with a look at each pair on a chorale, notes in any order")
def _notes_chorale(note_edges):
    from mircourse import scores

    music = scores.load("bach", split="train")[0].excerpt(0, 24).notes
    music = music[np.random.default_rng(0).permutation(len(music))]
    _note_case(note_edges, music["onset_beat"].tolist(), music["duration_beat"].tolist())


@notes.property("one note has no edges")
def _notes_one(note_edges):
    _note_case(note_edges, [3], [1])
