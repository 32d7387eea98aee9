"""Chord progressions as graphs: a node a chord, an edge a relation, each of a type.

=========== ==== ================================================================================
type        code the node that the message comes from, as seen from the one that gets it
=========== ==== ================================================================================
previous    0    the chord before it
next        1    the chord after it
fifth       2    a chord whose root is a perfect fifth higher: C gets one from G
fourth      3    a chord whose root is a perfect fourth higher: C gets one from F
same root   4    another chord on the same root
=========== ==== ================================================================================

`chord_edges` finds the edges in time that grows with the chords and the edges, without a look at
each pair; `build_chord_graph` adds the features.

Lesson: book/gnn/messagepassing
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from mircourse import chordsymbols

if TYPE_CHECKING:
    from torch_geometric.data import Data

EDGE_TYPES = ("previous", "next", "fifth", "fourth", "same root")
_INTERVALS = {"fifth": 7, "fourth": 5, "same root": 0}
FEATURES = ("pitch_classes", "bass", "time")
_WIDTHS = {"pitch_classes": 12, "bass": 12, "time": 4}
_BEATS = (1, 2, 4)  # in quarters: does the chord begin on a multiple?


def build_chord_graph(
    chords: Any,
    *,
    features: Sequence[str] = ("pitch_classes",),
    edge_types: Sequence[str] = EDGE_TYPES,
    reach: int | None = None,
) -> Data:
    """Build the graph of a chord progression.

    Parameters
    ----------
    chords : str, structured array, or sequence of objects
        Text as `mircourse.chordsymbols.parse` reads it, ``"I V7 vi IV in C"`` or ``"C G7 Am F"``;
        rows of `mircourse.chords.CHORD_DTYPE`; or objects with ``pitch_classes`` (12 flags, C
        first) and ``root`` (0 to 11), for ``"bass"`` also ``bass``, for ``"time"`` also
        ``onset_beat`` and ``duration_beat`` in quarter notes.
    features : sequence of str
        What a node knows, in this order: ``"pitch_classes"`` (12 flags), ``"bass"`` (12 flags)
        and ``"time"`` (4 numbers: the base-2 logarithm of the duration in quarters, over 3 and
        within ±2; whether the chord begins on a whole quarter, half and whole note). Root, quality,
        inversion, key and degree are none of them.
    edge_types : sequence of str
        Which of `EDGE_TYPES` there are. The codes do not depend on the choice.
    reach : int, optional
        Join chords by their roots only if they are at most so many chords apart. Without it all
        pairs are joined, and the number of edges may grow with the square of the chords.

    Returns
    -------
    torch_geometric.data.Data
        ``x`` float32 (n, 12) or wider, ``edge_index`` int64 (2, E), sources first, and
        ``edge_type`` int64 (E,), sorted by type, then by target.

    Raises
    ------
    ValueError
        If there are no chords, a symbol is unknown (the message names it), a feature or an edge
        type is unknown, or a number is out of range.

    Examples
    --------
    >>> graph = build_chord_graph("I V7 vi IV in C")
    >>> graph.x.shape, graph.edge_index.shape
    (torch.Size([4, 12]), torch.Size([2, 10]))
    """
    from torch_geometric.data import Data

    given: Any = chordsymbols.parse(chords) if isinstance(chords, str) else chords
    root = _column(given, "root")
    _check_pitch("root", root)
    edge_index, edge_type = chord_edges(root, edge_types=edge_types, reach=reach)
    x = chord_features(given, features=features)
    return Data(
        x=torch.from_numpy(x),
        edge_index=torch.from_numpy(edge_index),
        edge_type=torch.from_numpy(edge_type),
    )


def chord_edges(
    root: ArrayLike, *, edge_types: Sequence[str] = EDGE_TYPES, reach: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the edges between chords, ``(2, E)`` with sources first, and their types, ``(E,)``.

    Parameters
    ----------
    root : array of int, (n,)
        Pitch classes of the roots, in order of time.
    edge_types, reach
        As in `build_chord_graph`.

    Raises
    ------
    ValueError
        If an edge type is unknown or `reach` is negative.
    """
    if unknown := set(edge_types) - set(EDGE_TYPES):
        raise ValueError(f"unknown edge types {sorted(unknown)}; there are {EDGE_TYPES}")
    if reach is not None and reach < 0:
        raise ValueError(f"reach must be 0 or more, got {reach}")
    roots = np.asarray(root, dtype=np.int64)
    n = len(roots)
    # Places grouped by root, in order of time: those on one root are a slice.
    order = np.argsort(roots, kind="stable")
    keys = roots[order] * n + order
    found = []
    for code, name in enumerate(EDGE_TYPES):
        if name not in edge_types:
            continue
        if name in _INTERVALS:
            edges = _by_root(roots, order, keys, _INTERVALS[name], n if reach is None else reach)
        else:
            first, second = np.arange(n - 1), np.arange(1, n)
            edges = np.stack([first, second] if name == "previous" else [second, first])
        found.append((edges, np.full(edges.shape[1], code, dtype=np.int64)))
    if not found:
        return np.zeros((2, 0), np.int64), np.zeros(0, np.int64)
    return np.concatenate([e for e, _ in found], axis=1), np.concatenate([t for _, t in found])


def chord_features(chords: Any, *, features: Sequence[str] = FEATURES) -> NDArray[np.float32]:
    """Return what the nodes know, ``(n, width)``; the parameters are those of `build_chord_graph`.

    Raises
    ------
    ValueError
        If a feature is unknown, or a number out of range.
    """
    if not features or set(features) - set(FEATURES):
        raise ValueError(f"features must be some of {FEATURES}, got {tuple(features)}")
    parts = []
    for name in features:
        if name == "pitch_classes":
            sounding = _column(chords, "pitch_classes")
            if sounding.ndim != 2 or sounding.shape[1] != 12:
                raise ValueError(f"expected 12 pitch classes a chord, got {sounding.shape}")
            if not np.isin(sounding, (0, 1)).all():
                raise ValueError("pitch classes must be flags, 0 or 1")
            parts.append(sounding.astype(np.float32))
        elif name == "bass":
            bass = _column(chords, "bass")
            _check_pitch("bass", bass)
            parts.append(np.eye(12, dtype=np.float32)[bass.astype(np.int64)])  # (n,) -> (n, 12)
        else:
            parts.append(_time(_column(chords, "onset_beat"), _column(chords, "duration_beat")))
    return np.concatenate(parts, axis=1)


def width(features: Sequence[str]) -> int:
    """Return how many numbers a node has with these features."""
    return sum(_WIDTHS[name] for name in features)


def transpose(x: Tensor, semitones: int, *, features: Sequence[str] = FEATURES) -> Tensor:
    """Return the features of the same chords, so many semitones higher.

    Edges stay as they are: intervals between roots do not change.

    Parameters
    ----------
    x : Tensor, (..., width)
        As `chord_features` makes them.
    semitones : int
        Up if positive.
    features : sequence of str
        What `x` holds.
    """
    parts = []
    for name, part in zip(features, x.split([_WIDTHS[f] for f in features], dim=-1), strict=True):
        parts.append(part if name == "time" else part.roll(semitones, dims=-1))
    return torch.cat(parts, dim=-1)


def _by_root(
    roots: NDArray[np.int64],
    order: NDArray[np.int64],
    keys: NDArray[np.int64],
    interval: int,
    reach: int,
) -> NDArray[np.int64]:
    """Return the edges to each chord from those whose root is `interval` semitones above."""
    n = len(roots)
    here = np.arange(n)
    wanted = (roots + interval) % 12 * n
    low = np.searchsorted(keys, wanted + np.maximum(here - reach, 0))
    high = np.searchsorted(keys, wanted + np.minimum(here + reach, n - 1), side="right")
    count = high - low
    target = np.repeat(here, count)
    # Each target's sources are a slice of `order` that begins at its `low`.
    within = np.arange(len(target)) - np.repeat(np.cumsum(count) - count, count)
    source = order[np.repeat(low, count) + within]
    apart = source != target
    return np.stack([source[apart], target[apart]])


def _column(chords: Any, name: str) -> NDArray[Any]:
    """Return one field of all chords as an array."""
    if isinstance(chords, np.ndarray) and chords.dtype.names:
        if name not in chords.dtype.names:
            raise ValueError(f"the chords have no field {name!r}; they have {chords.dtype.names}")
        values = chords[name]
    else:
        try:
            values = np.array([getattr(chord, name) for chord in chords])
        except AttributeError:
            raise ValueError(f"each chord needs {name!r}") from None
    if len(values) == 0:
        raise ValueError("expected at least one chord, got none")
    return values


def _check_pitch(name: str, values: NDArray[Any]) -> None:
    wrong = ~np.isin(values, np.arange(12))
    if wrong.any():
        raise ValueError(f"{name} must be a pitch class, 0 to 11, got {values[wrong][0]}")


def _time(onset: NDArray[Any], duration: NDArray[Any]) -> NDArray[np.float32]:
    if not (np.isfinite(onset).all() and np.isfinite(duration).all() and (duration > 0).all()):
        raise ValueError("onsets must be finite and durations positive and finite")
    length = np.clip(np.log2(duration) / 3, -2, 2)
    on = [np.abs(onset - np.round(onset / beat) * beat) < 1e-6 for beat in _BEATS]
    return np.stack([length, *on], axis=1).astype(np.float32)  # (n,) -> (n, 4)
