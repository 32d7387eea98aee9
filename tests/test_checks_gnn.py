"""Solutions of the GNN exercises pass; typical mistakes fail at the property they break."""

import numpy as np
from answers import Answers, ExerciseTests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mircourse import chordgraph, notegraph
from mircourse.checks.gnn_graphs import in_order

ANSWERS = Answers("gnn", 12, chord_edges=chordgraph.chord_edges)
solution = ANSWERS.solution


def neighbours_wrong(*, back=True, swapped=False, rows=False, empty=False):
    """Return edges in time with one mistake."""

    def neighbours(n):
        edges, types = solution(1)(n)
        if not back:
            edges, types = edges[:, types == 0], types[types == 0]
        if empty and n == 1:
            return np.array([]), np.array([])
        return edges.T if rows else edges, 1 - types if swapped else types

    return neighbours


def passing(*, turned=False, once=False, cut=True, matrices=True, mean=False):
    """Return a layer with one mistake."""

    def message_passing(x, edges, w_self, w_msg):
        if not matrices:
            w_self, w_msg = w_msg, w_self
        source, target = edges[::-1] if turned else edges
        heard = np.zeros((len(x), w_msg.shape[1]))
        sent = (x @ w_msg)[source]
        if once:
            heard[target] += sent
        else:
            np.add.at(heard, target, sent)
        if mean:
            with np.errstate(all="ignore"):
                heard = heard / np.bincount(target, minlength=len(x))[:, None]
        out = x @ w_self + heard
        return np.maximum(out, 0) if cut else out

    return message_passing


def convolving(*, itself=True, arriving=True, root=True, counted=True):
    """Return a graph convolution with one mistake."""

    def convolve(x, edges, w):
        n = len(x)
        loops = np.tile(np.arange(n), (2, 1))
        every = np.concatenate([edges, loops], axis=1) if itself else edges
        ends = (every if counted else edges)[1 if arriving else 0]
        degree = np.bincount(ends, minlength=n).astype(float)
        source, target = every
        with np.errstate(all="ignore"):
            both = degree[source] * degree[target]
            share = 1 / np.sqrt(both) if root else 1 / degree[target]
        out = np.zeros((n, w.shape[1]))
        np.add.at(out, target, share[:, None] * (x @ w)[source])
        return out

    return convolve


def averaging(*, divided=True, guarded=True, every=True):
    """Return means by type with one mistake."""

    def means(h, edges, types, n_types):
        n_types = n_types if every else types.max(initial=0) + 1
        total, count = np.zeros((len(h), n_types, h.shape[1])), np.zeros((len(h), n_types, 1))
        np.add.at(total, (edges[1], types), h[edges[0]])
        np.add.at(count, (edges[1], types), 1)
        if not divided:
            return total
        with np.errstate(all="ignore"):
            return total / (np.maximum(count, 1) if guarded else count)

    return means


def renumber_back(x, edges, order):
    return x[order], order[edges]


def renumber_other(x, edges, order):
    return x[np.argsort(order)], order[edges]


def renumber_sorted(x, edges, order):
    new, moved = solution(5)(x, edges, order)
    return new, moved[:, np.lexsort(moved)]


def hearing(*, turned=False, both=False, forgets=False, more=0):
    """Return who is heard with one mistake."""

    def hears(edges, n, node, layers):
        source, target = edges[::-1] if turned else edges
        heard = np.arange(n) == node
        for _ in range(layers + more):
            further = np.zeros(n, bool) if forgets else heard.copy()
            further[source[heard[target]]] = True
            if both:
                further[target[heard[source]]] = True
            heard = further
        return heard

    return hears


def joining(*, offset="nodes", first=0):
    """Return a batch with one mistake."""

    def join(graphs):
        sizes = [len(x) for x, _ in graphs]
        if offset == "none":
            steps = [0] * len(graphs)
        elif offset == "edges":
            steps = [e.max(initial=-1) + 1 for _, e in graphs]
        else:
            steps = sizes
        begin = np.cumsum([0, *steps[:-1]])
        edges = [e + b for (_, e), b in zip(graphs, begin, strict=True)]
        batch = np.repeat(np.arange(len(graphs)), sizes) + first
        return np.concatenate([x for x, _ in graphs]), np.concatenate(edges, axis=1), batch

    return join


def weighing(*, by="graph", shift="graph", averaged=False):
    """Return a softmax by graph with one mistake."""

    def graph_softmax(score, batch):
        if by == "batch":
            batch = np.zeros_like(batch)
        largest = np.full(batch.max() + 1, -np.inf)
        np.maximum.at(largest, batch, score)
        taken = {"graph": largest[batch], "batch": score.max(), "none": 0}[shift]
        with np.errstate(all="ignore"):
            weight = np.exp(score - taken)
            weight = weight / np.bincount(batch, weights=weight)[batch]
        return weight / np.bincount(batch)[batch] if averaged else weight

    return graph_softmax


def fifths(*, how="sorted", turned=False, empty=True):
    """Return edges by fifth with one mistake."""

    def edges_by_fifth(roots):
        if how == "pairs":
            n = range(len(roots))
            rows = [(j, i) for i in n for j in n if (roots[j] - roots[i]) % 12 == 7]
            found = np.array(rows, int).reshape(-1, 2).T
        elif how == "table":
            given = np.array(roots, int)
            found = np.stack(np.nonzero((given[:, None] - given) % 12 == 7))
        elif how == "next":
            given = np.array(roots, int)
            early = np.flatnonzero((given[:-1] - given[1:]) % 12 == 7)
            late = np.flatnonzero((given[1:] - given[:-1]) % 12 == 7)
            found = np.concatenate([[early, early + 1], [late + 1, late]], axis=1)
        else:
            found = solution(9)(roots)
        if not empty and found.shape[1] == 0:
            return np.array([])
        return found[::-1] if turned else found

    return edges_by_fifth


def noting(*, ticks=True, itself=False, until=False, rest="first", ordered=False):
    """Return edges between notes with one mistake."""

    def note_edges(onset, duration):
        start, end = onset, onset + duration
        if ticks:
            start, end = np.rint(480 * start), np.rint(480 * start) + np.rint(480 * duration)
        rows = []
        for u in range(len(start)):
            later = start[start > end[u]]
            silent = rest == "always" or not (start == end[u]).any()
            for v in range(u if ordered else 0, len(start)):
                if start[u] == start[v] and (u != v or itself):
                    rows.append((u, v, 0))
                if start[v] == end[u]:
                    rows.append((u, v, 1))
                if start[u] < start[v] < end[u] or (until and start[v] == end[u]):
                    rows.append((u, v, 2))
                first = rest == "all" or start[v] == later.min(initial=np.inf)
                if silent and start[v] > end[u] and first:
                    rows.append((u, v, 3))
        found = np.array(rows, int).reshape(-1, 3)
        return found[:, :2].T, found[:, 2]

    return note_edges


def in_keys(*, keys=range(12), weights="chord", shift=True):
    """Return degrees in any key with one mistake."""

    def degrees(read, x):
        found = [read(np.roll(x, -k, axis=1)) for k in keys]
        score, in_key = (np.stack(part) for part in zip(*found, strict=True))
        if weights == "piece":
            score = np.tile(score.mean(axis=1, keepdims=True), len(x))
        if weights == "even":
            score = 0 * score
        with np.errstate(all="ignore"):
            p = np.exp(score - (score.max(axis=0) if shift else 0))
            p = p / p.sum(axis=0)
        return (p[:, :, None] * in_key).sum(axis=0)

    return degrees


def chained(*, directions=2, turned=False, twice=False, best=False, stable=True):
    """Return key probabilities with one mistake."""

    def key_probabilities(score, change):
        change = change.T if turned else change

        def summed(z, axis):
            if best:
                return z.max(axis=axis)
            top = z.max(axis=axis, keepdims=True) if stable else 0
            with np.errstate(all="ignore"):
                total = np.log(np.exp(z - top).sum(axis=axis))
            return total + (np.squeeze(top, axis) if stable else 0)

        n = len(score)
        left, right = np.zeros(score.shape), np.zeros(score.shape)
        for i in range(1, n):
            left[i] = summed((score[i - 1] + left[i - 1])[:, None] + change, 0)
        for i in range(n - 2, -1, -1):
            right[i] = summed((score[i + 1] + right[i + 1])[None, :] + change, 1)
        total = score + left + (right if directions == 2 else 0) + (score if twice else 0)
        with np.errstate(all="ignore"):
            p = np.exp(total - (total.max(axis=1, keepdims=True) if stable else 0))
            return p / p.sum(axis=1, keepdims=True)

    return key_probabilities


WRONG = {
    "forwards alone": (1, neighbours_wrong(back=False), "four chords"),
    "types swapped": (1, neighbours_wrong(swapped=True), "four chords"),
    "rows of two": (1, neighbours_wrong(rows=True), "in the first row"),
    "an empty list": (1, neighbours_wrong(empty=True), "one chord"),
    "targets for sources": (2, passing(turned=True), "from sources to targets"),
    "the last one wins": (2, passing(once=True), "there twice"),
    "nothing cut": (2, passing(cut=False), "nothing below zero"),
    "matrices swapped": (2, passing(matrices=False), "two matrices"),
    "a mean of nothing": (2, passing(mean=True), "without edges"),
    "no loops": (3, convolving(itself=False), "come out the same"),
    "loops not counted": (3, convolving(counted=False), "a chord without edges"),
    "edges that leave": (3, convolving(arriving=False), "what arrives"),
    "a mean": (3, convolving(root=False), "what arrives"),
    "sums": (4, averaging(divided=False), "the mean of what"),
    "nothing by nothing": (4, averaging(guarded=False), "0, not NaN"),
    "types that are there": (4, averaging(every=False), "no edge at all"),
    "edges the wrong way": (5, renumber_back, "joins the same two chords"),
    "nodes the wrong way": (5, renumber_other, "node order[k]"),
    "edges sorted": (5, renumber_sorted, "in their order"),
    "those that hear it": (6, hearing(turned=True), "against the direction"),
    "both ways": (6, hearing(both=True), "against the direction"),
    "the last layer alone": (6, hearing(forgets=True), "goes on hearing"),
    "a layer too many": (6, hearing(more=1), "itself alone"),
    "all from 0": (7, joining(offset="none"), "find their nodes"),
    "offsets by edges": (7, joining(offset="edges"), "numbers go by nodes"),
    "graphs from 1": (7, joining(first=1), "number of their graph"),
    "the whole batch": (8, weighing(by="batch"), "what it gets alone"),
    "nothing taken off": (8, weighing(shift="none"), "do not overflow"),
    "the largest of all": (8, weighing(shift="batch"), "nor vanish"),
    "divided again": (8, weighing(averaged=True), "one graph"),
    "all pairs": (9, fifths(how="pairs"), "not each is compared"),
    "a table of pairs": (9, fifths(how="table"), "not each is compared"),
    "neighbours alone": (9, fifths(how="next"), "however far away"),
    "G hears C": (9, fifths(turned=True), "G does not hear C"),
    "no table": (9, fifths(empty=False), "no edges"),
    "floats": (10, noting(ticks=False), "thirds of a beat"),
    "a note at once with itself": (10, noting(itself=True), "one note has no edges"),
    "itself among others": (10, noting(itself=True), "two notes at once"),
    "until the end": (10, noting(until=True), "two notes at once"),
    "every later note": (10, noting(rest="all"), "no later ones"),
    "a rest everywhere": (10, noting(rest="always"), "leaves no rest"),
    "sorted notes": (10, noting(ordered=True), "in any order"),
    "earlier numbers unheard": (10, noting(ordered=True), "still sound"),
    "white keys": (11, in_keys(keys=(0, 2, 4, 5, 7, 9, 11)), "a third higher"),
    "one key a piece": (11, in_keys(weights="piece"), "fits that chord"),
    "all keys alike": (11, in_keys(weights="even"), "fits that chord"),
    "scores that overflow": (11, in_keys(shift=False), "do not overflow"),
    "the past alone": (12, chained(directions=1), "what comes after"),
    "after and before": (12, chained(turned=True), "key a before"),
    "its own score twice": (12, chained(twice=True), "one chord"),
    "twice and free": (12, chained(twice=True), "costs nothing"),
    "the best way": (12, chained(best=True), "added up"),
    "a chain that overflows": (12, chained(stable=False), "five hundred"),
}


class TestExercises(ExerciseTests):
    answers, wrong = ANSWERS, WRONG


@settings(deadline=None, max_examples=40)
@given(roots=st.lists(st.integers(0, 11), min_size=1, max_size=30))
def test_fifths_are_those_of_the_package(roots):
    theirs, _ = chordgraph.chord_edges(roots, edge_types=("fifth",))
    np.testing.assert_array_equal(in_order(solution(9)(roots)), in_order(theirs))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    times=st.lists(
        st.tuples(st.integers(0, 12), st.integers(1, 6)).map(lambda t: (t[0] / 3, t[1] / 3)),
        min_size=1,
        max_size=12,
    )
)
def test_notes_are_joined_as_in_the_package(times):
    onset, duration = np.array(times).T
    theirs = notegraph.note_edges(onset, duration, reverse=False)
    np.testing.assert_array_equal(in_order(*solution(10)(onset, duration)), in_order(*theirs))
