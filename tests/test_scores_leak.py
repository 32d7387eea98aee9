"""No near-duplicate of a training piece stands in validation or test.

The families were found by aligning interval sequences and comparing the first bars on a grid of
the bar (``data/builders/families.py``). Here two other measures look at every pair of pieces from
different splits, by brute force and from the shipped data alone:

- the longest run of notes that two melodies share exactly, in any key;
- the agreement of two melodies read every half beat from the first downbeat to the end.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from mircourse import scores

GROUPS = {"tunes": ("ryan", "oneill", "aird"), "chorales": ("bach",)}
LONGEST_RUN = {"tunes": 28, "chorales": 20}  # steps from note to note, repeated notes included
AGREEMENT = {"tunes": 0.7, "chorales": 0.6}
CELLS = 128  # half beats: sixteen bars of four beats


def melody(piece):
    names = [name.startswith("Soprano") for name in piece.parts]
    voice = names.index(True) if any(names) else piece.notes["voice"].min()
    notes = piece.notes[piece.notes["voice"] == voice]
    _, first_of_chord = np.unique(notes["onset_beat"], return_index=True)
    return notes[first_of_chord]


@pytest.fixture(scope="module", params=GROUPS)
def group(request):
    pieces = [p for name in GROUPS[request.param] for p in scores.load(name)]
    return request.param, pieces, [melody(piece) for piece in pieces]


def shared_runs(pieces, melodies, length):
    """Return the pairs of ids from different splits that share a run of ``length`` steps."""
    holders = {}
    for piece, notes in zip(pieces, melodies, strict=True):
        steps = np.diff(notes["pitch"]).astype(np.int8)
        for start in range(len(steps) - length + 1):
            holders.setdefault(steps[start : start + length].tobytes(), set()).add(piece)
    return {
        tuple(sorted((a.id, b.id)))
        for found in holders.values()
        for a, b in combinations(found, 2)
        if a.split != b.split
    }


def agreements(pieces, melodies):
    """Return (pieces, pieces): the share of half beats on which two melodies agree in some key."""
    grid = np.full((len(pieces), CELLS), -1)
    for row, piece, notes in zip(grid, pieces, melodies, strict=True):
        beats = piece.pickup_beats + np.arange(CELLS) / 2
        at = np.searchsorted(notes["onset_beat"], beats + 1e-6, side="right") - 1
        row[:] = np.where(beats < piece.duration_beat, notes["pitch"][np.maximum(at, 0)] % 12, -1)
    length = (grid >= 0).sum(axis=1)
    here = (grid[:, :, None] == np.arange(12)).astype(np.float32)  # (pieces, cells, 12)
    equal = np.zeros((len(pieces), len(pieces)), np.float32)
    flat = here.reshape(len(pieces), -1)
    for semitones in range(12):
        moved = np.roll(here, semitones, axis=2).reshape(len(pieces), -1)
        np.maximum(equal, flat @ moved.T, out=equal)
    return equal / np.minimum.outer(length, length)


def test_no_long_run_of_notes_crosses_a_split(group):
    name, pieces, melodies = group
    assert not shared_runs(pieces, melodies, LONGEST_RUN[name])


def test_no_pair_agrees_beat_by_beat_across_a_split(group):
    name, pieces, melodies = group
    agreement = agreements(pieces, melodies)
    split = np.array([piece.split for piece in pieces])
    crossing = split[:, None] != split[None, :]
    leaks = np.argwhere(np.triu(crossing & (agreement >= AGREEMENT[name])))
    assert not len(leaks), [(pieces[a].id, pieces[b].id) for a, b in leaks[:10]]


def test_the_measures_see_a_transposed_and_altered_twin(group):
    # A measure that found nothing anywhere would pass the tests above: each must see a twin.
    name, pieces, _ = group
    original = next(piece for piece in pieces if piece.split == "train")
    twin = replace(original.transpose(3), id="twin", split="test")
    pair = [original, twin]
    assert shared_runs(pair, [melody(piece) for piece in pair], LONGEST_RUN[name])
    notes = twin.notes.copy()
    notes["pitch"][::9] += 1
    pair = [original, replace(twin, notes=notes)]
    assert agreements(pair, [melody(piece) for piece in pair])[0, 1] >= AGREEMENT[name]


def test_most_pairs_within_a_family_are_seen_by_a_measure(group):
    # The measures are not blind on this data: they confirm a good part of the families.
    name, pieces, melodies = group
    agreement = agreements(pieces, melodies)
    family = np.array([piece.family for piece in pieces])
    same = np.triu(family[:, None] == family[None, :], 1)
    assert (agreement[same] >= AGREEMENT[name]).mean() > 0.15


def test_the_standard_split_of_the_chorales_leaks_and_ours_does_not():
    chorales = scores.load("bach")
    rows = [row for row in scores.jsb_split() if row.piece_id]
    family = {row.piece_id: chorales[row.piece_id].family for row in rows}
    train = {family[row.piece_id] for row in rows if row.split == "train"}
    test = [family[row.piece_id] in train for row in rows if row.split == "test"]
    assert np.mean(test) > 0.3
    ours = {piece.family for piece in chorales.split("train")}
    assert not any(piece.family in ours for piece in chorales.split("test"))
