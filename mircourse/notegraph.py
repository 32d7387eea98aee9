"""Notes as graphs: a node a note, an edge a relation in time.

=========== ==== ================================================================================
type        code from the note u to the note v
=========== ==== ================================================================================
onset       0    both begin at once
consecutive 1    v begins when u ends
during      2    v begins while u sounds
rest        3    u ends in a silence, and v is the first to begin after it
=========== ==== ================================================================================

The relations are those of Jeong et al. (2019) and of Karystinaios & Widmer (2022, sec. 3.1): a
rest edge is there only where no note begins as u ends; with notes that still sound at that moment
it is there as well. Each type but the first points forward in time; `reverse` adds the way back
as types of their own.

All are found by binary search in the sorted onsets, in time that grows with n log n and with the
edges.

Lesson: book/gnn/messagepassing
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch_geometric.data import Data

NOTE_EDGE_TYPES = (
    "onset",
    "consecutive",
    "during",
    "rest",
    "consecutive, back",
    "during, back",
    "rest, back",
)
_FORWARD = 4
TICKS = 480  # a quarter note; times are compared as whole ticks
_BEATS = (1, 2, 4)
N_FEATURES = 12 + 1 + 1 + len(_BEATS)


def build_note_graph(notes: ArrayLike, *, reverse: bool = True) -> Data:
    """Build the graph of some notes.

    Parameters
    ----------
    notes : structured array, (n,)
        With ``onset_beat`` and ``duration_beat`` in quarter notes and ``pitch``, as
        `mircourse.scores` has them; one note or more, in any order.
    reverse : bool
        Whether there are edges back in time, codes 4 to 6 of `NOTE_EDGE_TYPES`.

    Returns
    -------
    torch_geometric.data.Data
        ``x`` float32 (n, 17): pitch class (12 flags, C first), octave (pitch over 64, less 1),
        the base-2 logarithm of the duration in quarters over 4, and whether the note begins on a
        whole quarter, half and whole note; ``edge_index`` int64 (2, E) and ``edge_type`` (E,).
        Nodes are in the order of the notes.

    Raises
    ------
    ValueError
        If there are no notes, a field is missing, a time is not finite or a duration negative.
    """
    from torch_geometric.data import Data

    array = _checked(notes)
    edge_index, edge_type = note_edges(array["onset_beat"], array["duration_beat"], reverse=reverse)
    return Data(
        x=torch.from_numpy(note_features(array)),
        edge_index=torch.from_numpy(edge_index),
        edge_type=torch.from_numpy(edge_type),
    )


def note_edges(
    onset: ArrayLike, duration: ArrayLike, *, reverse: bool = True
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the edges between notes, ``(2, E)`` with sources first, and their types, ``(E,)``.

    Parameters
    ----------
    onset, duration : array, (n,)
        In quarter notes; times less than a tick (1/480 quarter) apart are the same.
    reverse : bool
        As in `build_note_graph`.
    """
    start = np.rint(np.asarray(onset, float) * TICKS).astype(np.int64)
    end = np.rint((np.asarray(onset, float) + np.asarray(duration, float)) * TICKS).astype(np.int64)
    n = len(start)
    order = np.argsort(start, kind="stable")
    begins = start[order]
    here = np.arange(n)
    first, last = (np.searchsorted(begins, start, side) for side in ("left", "right"))
    at_end, past_end = (np.searchsorted(begins, end, side) for side in ("left", "right"))
    # A note of no length ends where it begins: its own onset is not after it.
    consecutive = np.maximum(at_end, last), np.maximum(past_end, last)
    # Where nothing begins as a note ends, the next onset follows a rest.
    silent = (at_end == past_end) & (past_end < n)
    following = np.where(silent, begins[np.minimum(past_end, n - 1)], 0)
    rest = (
        np.where(silent, past_end, 0),
        np.where(silent, np.searchsorted(begins, following, "right"), 0),
    )
    slices = [(first, last), consecutive, (last, np.maximum(at_end, last)), rest]
    found, kinds = [], []
    for code, (low, high) in enumerate(slices):
        source, target = _members(here, order, low, high)
        if code == 0:
            apart = source != target
            source, target = source[apart], target[apart]
        found.append(np.stack([source, target]))
        kinds.append(np.full(len(source), code))
    if reverse:
        for code in range(1, _FORWARD):
            found.append(found[code][::-1])
            kinds.append(np.full(found[code].shape[1], code + _FORWARD - 1))
    return np.concatenate(found, axis=1), np.concatenate(kinds)


def note_features(notes: Any) -> NDArray[np.float32]:
    """Return what the nodes of `build_note_graph` know, ``(n, 17)``."""
    array = _checked(notes)
    pitch = array["pitch"].astype(np.int64)
    x = np.zeros((len(array), N_FEATURES), np.float32)
    x[np.arange(len(array)), pitch % 12] = 1
    x[:, 12] = pitch / 64 - 1
    x[:, 13] = np.log2(np.maximum(array["duration_beat"], 1 / 64)) / 4
    for column, beat in enumerate(_BEATS, start=14):
        ticks = np.rint(array["onset_beat"] * TICKS)
        x[:, column] = ticks % (beat * TICKS) == 0
    return x


def _members(
    here: NDArray[np.int64],
    order: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each note beside each of a slice of the notes in order of onset."""
    count = high - low
    source = np.repeat(here, count)
    within = np.arange(len(source)) - np.repeat(np.cumsum(count) - count, count)
    return source, order[np.repeat(low, count) + within]


def _checked(notes: Any) -> NDArray[Any]:
    array = np.asarray(notes)
    needed = ("onset_beat", "duration_beat", "pitch")
    if array.ndim != 1 or not set(needed) <= set(array.dtype.names or ()):
        raise ValueError(f"expected notes with the fields {needed}, got {array.dtype}")
    if len(array) == 0:
        raise ValueError("expected at least one note, got none")
    times = np.stack([array["onset_beat"], array["duration_beat"]])
    if not np.isfinite(times).all():
        raise ValueError(
            f"note {int((~np.isfinite(times)).any(axis=0).argmax())} has a time that is not finite"
        )
    if (array["duration_beat"] < 0).any():
        raise ValueError(f"note {int((array['duration_beat'] < 0).argmax())} has a negative length")
    return array
