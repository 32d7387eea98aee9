"""Graphs of chords and notes: ours beside loops over pairs and beside a published builder."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mircourse import chords, scores
from mircourse.chordgraph import EDGE_TYPES, chord_edges
from mircourse.experiments.benchmark import Timing
from mircourse.experiments.definition import Metric
from mircourse.experiments.report import describe_metric, provenance
from mircourse.experiments.runner import describe_device
from mircourse.intervals import Interval, bootstrap_statistic
from mircourse.notegraph import TICKS, note_edges
from parts.beside import beside, seconds

CLAIM = "Graphs are built faster than by a look at every pair, and than by a published builder"
GROWTH_CLAIM = "The time to build a graph of notes grows as their number to the power 1.15 at most"
AT_MOST = 1.15
NOTES = (100, 1_000, 10_000, 100_000)
ROUNDS = 7
PAIR_NOTES = 2_000  # a builder that looks at every note for each note takes seconds from here on


def rows(*, fast: bool) -> list[Timing]:
    """Measure builders side by side, on the same music; first they have to agree."""
    repeats = 1 if fast else 9
    made = []
    analysis = max(chords.load(), key=lambda piece: len(piece.chords)).chords
    for n in (20,) if fast else (50, len(analysis)):
        root = analysis["root"][:n].astype(np.int64)
        ours, theirs = chord_edges(root), over_pairs(root)
        _agree(ours, theirs)
        found, memory = beside(
            lambda root=root: chord_edges(root), lambda root=root: over_pairs(root), repeats=repeats
        )
        note = f"the loops of the article, with the edges that ours have{memory}"
        made.append(Timing("chords against a double loop", found, f"{n} chords", note=note))
    for n in (50,) if fast else (PAIR_NOTES,):
        onset, duration = music(n)
        _agree(note_edges(onset, duration, reverse=False), note_by_note(onset, duration))
        found, memory = beside(
            lambda o=onset, d=duration: note_edges(o, d, reverse=False),
            lambda o=onset, d=duration: note_by_note(o, d),
            repeats=1 if fast else 5,
        )
        note = f"a search in all notes for each note, as published builders in Python do{memory}"
        made.append(Timing("notes against note by note", found, f"{n:,} notes", note=note))
    return made + _graphmuse(200 if fast else 10_000, repeats)


def over_pairs(root: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find edges between chords by two loops, one in the other."""
    codes = {7: EDGE_TYPES.index("fifth"), 5: EDGE_TYPES.index("fourth"), 0: 4}
    edges, kinds = [], []
    roots = root.tolist()
    for i in range(len(roots)):
        if i > 0:
            edges += [(i - 1, i), (i, i - 1)]
            kinds += [0, 1]
        for j in range(len(roots)):
            interval = (roots[j] - roots[i]) % 12
            if i != j and interval in codes:
                edges.append((j, i))
                kinds.append(codes[interval])
    return np.array(edges).T.reshape(2, -1), np.array(kinds)


def note_by_note(
    onset: NDArray[np.float64], duration: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find edges between notes by a search in all notes for each note."""
    start = np.rint(onset * TICKS).astype(np.int64)
    end = np.rint((onset + duration) * TICKS).astype(np.int64)
    edges, kinds = [], []
    for u in range(len(start)):
        later = start > end[u]
        found = [
            np.flatnonzero((start == start[u]) & (np.arange(len(start)) != u)),
            np.flatnonzero((start == end[u]) & (end[u] > start[u])),
            np.flatnonzero((start > start[u]) & (start < end[u])),
            np.flatnonzero(start == start[later].min())
            if later.any() and not (start == end[u]).any()
            else np.zeros(0, np.int64),
        ]
        for kind, targets in enumerate(found):
            edges += [(u, int(v)) for v in targets]
            kinds += [kind] * len(targets)
    return np.array(edges).T.reshape(2, -1), np.array(kinds)


def music(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return onsets and durations of n notes: chorales, one after the other, again if need be."""
    onset, duration = [], []
    end, total = 0.0, 0
    pieces = scores.load("bach")
    while total < n:
        for piece in pieces:
            onset.append(piece.notes["onset_beat"] + end)
            duration.append(piece.notes["duration_beat"])
            end += piece.duration_beat
            total += len(piece.notes)
            if total >= n:
                break
    return np.concatenate(onset)[:n], np.concatenate(duration)[:n]


def growth(command: str, *, fast: bool) -> dict[str, Any]:
    """Return the result of how time grows: the slope of log time over log notes."""
    sizes = (100, 200, 400) if fast else NOTES
    cases = {n: music(n) for n in sizes}
    often = {n: max(1, 20_000 // n) for n in sizes}
    steps: dict[int, Callable[[], Any]] = {
        n: (lambda o=o, d=d, k=often[n]: [note_edges(o, d) for _ in range(k)])
        for n, (o, d) in cases.items()
    }
    for step in steps.values():
        step()
    rounds = 2 if fast else ROUNDS
    times = np.array([[seconds(steps[n]) / often[n] for n in sizes] for _ in range(rounds)])
    edges = [note_edges(*cases[n])[0].shape[1] for n in sizes]

    median = np.median(times, axis=0)
    each = ", ".join(f"{n:,} notes {1e3 * t:.3g} ms" for n, t in zip(sizes, median, strict=True))
    # A call takes its time with few notes already: over all sizes the slope is too kind.
    rows = []
    for part in (slice(None), slice(-2, None)):
        found = _slope(np.array(sizes[part]), times[:, part])
        low, high = found.low, found.high
        rows.append(
            {
                "name": "build_note_graph",
                "kind": "ours",
                "task": f"{sizes[part][0]:,} to {sizes[part][-1]:,} notes",
                "parameters": 0,
                "seeds": [0],
                "scores": [found.mean],
                "mean": found.mean,
                "interval": [low, high],
                "note": f"{each}; {edges[-1]:,} edges at most",
                "seconds": float(median[-1]),
            }
        )
    held = [row["interval"][1] <= AT_MOST for row in rows]
    return {
        "experiment": "bench-graph-growth",
        "claim": GROWTH_CLAIM,
        "verdict": "holds" if all(held) else "holds-when" if any(held) else "fails",
        "verdict_note": "; ".join(
            f"{row['task']}: {row['mean']:.2f} [{row['interval'][0]:.2f}, {row['interval'][1]:.2f}]"
            for row in rows
        ),
        "command": command,
        "device": describe_device(),
        "wall_seconds": round(float(times.sum()), 1),
        **provenance(),
        "metric": describe_metric(Metric("exponent", higher_is_better=False)),
        "split": "",
        "groups": "rounds",
        "rows": rows,
    }


def _slope(sizes: NDArray[np.int64], times: NDArray[np.float64]) -> Interval:
    """Return the slope of log time over log size, from times (rounds, sizes)."""

    def slope(index: NDArray[np.int64]) -> float:
        return float(np.polyfit(np.log(sizes), np.log(np.median(times[index], axis=0)), 1)[0])

    return bootstrap_statistic(slope, len(times))


def _graphmuse(n: int, repeats: int) -> list[Timing]:
    """Return the row of graphmuse's builder, in C, or none where it is not installed."""
    package = importlib.util.find_spec("graphmuse")
    if package is None:
        return []
    samplers = _compiled(Path(package.origin or "").parent / "samplers")
    onset, duration = music(n)
    start = np.rint(onset * TICKS).astype(np.int32)
    length = np.rint(duration * TICKS).astype(np.int32)
    order = np.argsort(start, kind="stable")
    start, length = start[order], length[order]
    onset, duration = onset[order], duration[order]
    version = importlib.metadata.version("graphmuse")
    theirs, _ = samplers.compute_edge_list(start, length)
    ours, _ = note_edges(onset, duration, reverse=False)
    note = f"graphmuse {version}, in C: {theirs.shape[1]:,} edges, ours {ours.shape[1]:,}"
    found, memory = beside(
        lambda: note_edges(onset, duration, reverse=False),
        lambda: samplers.compute_edge_list(start, length),
        repeats=repeats,
    )
    return [Timing("notes against graphmuse", found, f"{n:,} notes", note=note + memory)]


def _compiled(folder: Path) -> Any:
    """Load graphmuse's compiled samplers alone: its package asks for PyG's compiled extensions."""
    (file,) = (f for s in EXTENSION_SUFFIXES for f in folder.glob(f"csamplers{s}"))
    spec = importlib.util.spec_from_file_location("csamplers", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _agree(
    ours: tuple[NDArray[np.int64], NDArray[np.int64]],
    theirs: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    one, other = (
        set(zip(*edges.tolist(), kinds.tolist(), strict=True)) for edges, kinds in (ours, theirs)
    )
    if one != other:
        raise SystemExit(f"the builders differ in {len(one ^ other)} of {len(one)} edges")
