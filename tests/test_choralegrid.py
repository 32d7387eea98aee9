"""Chorales as grids: against a look at every sixteenth, and back; the two splits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import choralegrid, scores
from mircourse.choralegrid import BOS, EOS, PAD, REST, VOICES, grid, grid_of, jsb, notes_of, tokens
from mircourse.scores import note_array

grids = st.integers(0, 12).flatmap(
    lambda T: st.lists(st.sampled_from([REST, 60, 62]), min_size=4 * T, max_size=4 * T).map(
        lambda cells: np.array(cells, np.int16).reshape(-1, 4)
    )
)


def looked_up(piece):
    """Which pitch of each voice sounds at the beginning of each sixteenth."""
    numbers = [piece.parts.index(name) for name in VOICES]
    ends = piece.notes["onset_beat"] + piece.notes["duration_beat"]
    ends = ends[np.isin(piece.notes["voice"], numbers)]
    out = np.full((int(np.ceil(ends.max() / 0.25)), 4), REST)
    for t in range(len(out)):
        for v, number in enumerate(numbers):
            for note in piece.notes:
                begins, length = note["onset_beat"], note["duration_beat"]
                if note["voice"] == number and begins <= 0.25 * t < begins + length:
                    out[t, v] = note["pitch"]
    return out


@pytest.mark.parametrize("name", ["bwv66.6", "bwv1.6", "bwv248.33-3"])
def test_a_cell_holds_what_sounds_when_it_begins(name):
    piece = scores.load("bach")[name]
    np.testing.assert_array_equal(grid(piece), looked_up(piece))


@given(grids)
@settings(deadline=None, max_examples=80)
def test_a_grid_becomes_notes_and_symbols_and_comes_back(cells):
    np.testing.assert_array_equal(grid_of(tokens(cells)), cells)
    again = grid(notes_of(cells))
    # Silence at the end is no music.
    np.testing.assert_array_equal(again, cells[: len(again)])
    assert (cells[len(again) :] == REST).all()


def test_symbols_go_down_the_voices_of_each_sixteenth():
    cells = np.array([[72, 67, 64, 48], [71, 67, 62, REST]])
    assert tokens(cells).tolist() == [72, 67, 64, 48, 71, 67, 62, 128]
    assert grid_of([BOS, 72, 67, 64, 48, 71, EOS, PAD]).tolist() == [
        [72, 67, 64, 48],
        [71, REST, REST, REST],
    ]


def test_held_cells_are_one_note():
    cells = [[60, 55, REST, 48], [60, 57, REST, 48], [62, 57, 50, 48]]
    found = notes_of(cells)[["onset_beat", "duration_beat", "pitch", "voice"]].tolist()
    assert found == [
        (0.0, 0.75, 48, 3), (0.0, 0.25, 55, 1), (0.0, 0.5, 60, 0),
        (0.25, 0.5, 57, 1), (0.5, 0.25, 50, 2), (0.5, 0.25, 62, 0),
    ]  # fmt: skip


def test_notes_between_two_sixteenths_are_not_seen():
    notes = note_array([0, 0.26, 0.3, 0.5], [0.25, 0.03, 0.1, 0.5], [60, 70, 71, 64])
    assert grid(notes)[:, 0].tolist() == [60, REST, 64, 64]


@pytest.mark.parametrize(("protocol", "sizes"), [("standard", (213, 68, 72)), ("families", None)])
def test_the_protocol_has_the_same_chorales_in_either_split(protocol, sizes):
    parts = {split: jsb(split, protocol=protocol) for split in ("train", "valid", "test")}
    if sizes:
        assert tuple(len(part) for part in parts.values()) == sizes
    everything = [chorale.id for part in parts.values() for chorale in part]
    known = [entry.piece_id for entry in scores.jsb_split() if entry.piece_id]
    assert sorted(everything) == sorted(known)
    families = [{chorale.family for chorale in part} for part in parts.values()]
    shared = any(a & b for i, a in enumerate(families) for b in families[:i])
    assert shared == (protocol == "standard")


def test_the_standard_protocol_is_in_the_published_key():
    moved = {e.piece_id: e.semitones for e in scores.jsb_split() if e.semitones}
    bach = scores.load("bach")
    for part in ("train", "valid", "test"):
        for chorale in jsb(part):
            if chorale.id in moved:
                own = grid(bach[chorale.id])
                sung = own != REST
                np.testing.assert_array_equal(
                    chorale.grid[sung] - own[sung], moved[chorale.id], strict=False
                )
    assert len(moved) >= 3


def test_what_is_no_grid_is_refused():
    with pytest.raises(ValueError, match=r"shape \(T, 4\)"):
        tokens(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="a cell is 0 to 128"):
        notes_of([[129, 0, 0, 0]])
    with pytest.raises(ValueError, match="expected symbols 0 to 131"):
        grid_of([132])
    with pytest.raises(ValueError, match="no part is named Soprano"):
        grid(scores.load("haydn")[0])
    with pytest.raises(ValueError, match="no split 'dev'"):
        jsb("dev")
    with pytest.raises(ValueError, match="protocol"):
        jsb("train", protocol="mine")
    assert choralegrid.N_SYMBOLS == REST + 1
