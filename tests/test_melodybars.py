"""Melodies as symbols on a grid of bars: exact where they can be, clear where they cannot."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import melodybars, scores
from mircourse.melodies import HIGHEST, LOWEST, melody_line
from mircourse.melodybars import FIRST_NOTE, HOLD, N_SYMBOLS, REST, STEPS
from mircourse.notearray import note_array
from mircourse.scores import Piece


def tune(onset, duration, pitch, *, meter="4/4", pickup=0.0):
    return Piece(
        id="t",
        title="",
        collection="",
        composer="",
        notes=note_array(onset, duration, pitch),
        meter=meter,
        pickup_beats=pickup,
    )


def beats(meter):
    return 4 * Fraction(meter)


# Rests (None) and notes, each some steps long.
parts = st.lists(
    st.tuples(st.integers(1, 20), st.one_of(st.none(), st.integers(LOWEST, HIGHEST))), max_size=24
)


def notes_of(row, meter):
    step = float(beats(meter) / STEPS[meter])
    at, columns = 0, []
    for length, pitch in row:
        if pitch is not None:
            columns.append((at * step, length * step, pitch))
        at += length
    return note_array(*(zip(*columns, strict=True) if columns else ([], [], [])))


@given(parts, st.sampled_from(list(STEPS)))
@settings(max_examples=60, deadline=None)
def test_notes_on_the_grid_come_back_exactly(row, meter):
    notes = notes_of(row, meter)
    symbols = melodybars.encode(notes, meter=meter)
    assert len(symbols) % STEPS[meter] == 0
    np.testing.assert_array_equal(melodybars.decode(symbols, meter=meter), notes)


@given(
    st.lists(st.integers(0, N_SYMBOLS - 1), min_size=16, max_size=16 * 3).map(
        lambda row: row[: len(row) // 16 * 16]
    )
)
@settings(max_examples=60, deadline=None)
def test_any_symbols_come_back_as_what_they_sound_like(row):
    meaning = melodybars.canonical(row)
    notes = melodybars.decode(row)
    np.testing.assert_array_equal(melodybars.decode(meaning), notes)
    back = melodybars.encode(notes)
    # Bars of silence at the end are not written.
    np.testing.assert_array_equal(melodybars.sounding(back), melodybars.sounding(row)[: len(back)])
    np.testing.assert_array_equal(back, meaning[: len(back)])
    assert not melodybars.sounding(row)[len(back) :].any()


@given(parts.filter(lambda row: any(p is not None for _, p in row)), st.integers(-30, 30))
@settings(max_examples=40, deadline=None)
def test_transposing_symbols_is_transposing_notes(row, by):
    notes = notes_of(row, "4/4")
    symbols = melodybars.encode(notes)
    low, high = melodybars.room(symbols)
    assert low == LOWEST - notes["pitch"].min() and high == HIGHEST - notes["pitch"].max()
    if not low <= by <= high:
        with pytest.raises(ValueError, match="a pitch leaves 48 to 100"):
            melodybars.transpose(symbols, by)
        return
    moved = melodybars.decode(melodybars.transpose(symbols, by))
    np.testing.assert_array_equal(moved["pitch"], notes["pitch"] + by)


def test_a_bar_by_hand():
    notes = note_array([0, 1, 2.5, 3], [1, 1, 0.5, 1], [60, 62, 64, 65])
    n = FIRST_NOTE - LOWEST
    expected = [60 + n, *3 * [HOLD], 62 + n, *3 * [HOLD], REST, HOLD, 64 + n, HOLD, 65 + n]
    np.testing.assert_array_equal(melodybars.encode(notes), [*expected, *3 * [HOLD]])
    sounds = melodybars.sounding(melodybars.encode(notes))
    np.testing.assert_array_equal(sounds, np.repeat([60, 62, 0, 64, 65], [4, 4, 2, 2, 4]))


@pytest.mark.parametrize(("meter", "beat"), [("2/4", 0.5), ("2/2", 1.0), ("4/4", 1.0)])
def test_the_same_reel_in_any_duple_meter_has_the_same_symbols(meter, beat):
    reel = [62, 66, 69, 66, 62, 66, 69, 74]
    notes = note_array(np.arange(8) * beat / 2, np.full(8, beat / 2), reel)
    usual = melodybars.encode(note_array(np.arange(8) / 2, np.full(8, 0.5), reel))
    np.testing.assert_array_equal(melodybars.encode(notes, meter=meter), usual)


def test_triplets_move_to_the_nearest_step_and_of_two_the_longer_stays():
    triplet = note_array([0, 1 / 3, 2 / 3], [1 / 3] * 3, [60, 62, 64])
    found = melodybars.decode(melodybars.encode(triplet))
    np.testing.assert_array_equal(found["onset_beat"], [0, 0.25, 0.75])
    np.testing.assert_array_equal(found["duration_beat"], [0.25, 0.5, 0.25])
    fast = note_array([0, 0.05, 0.25], [0.05, 0.2, 0.75], [60, 62, 64])
    assert melodybars.decode(melodybars.encode(fast))["pitch"].tolist() == [62, 64]
    assert not melodybars.on_grid(tune([0, 1 / 3, 2 / 3], [1 / 3] * 3, [60, 62, 64]))
    assert melodybars.on_grid(tune([0, 0.25], [0.25, 1], [60, 62]))


def test_a_pickup_ends_a_bar_of_its_own():
    piece = tune([0, 0.5, 1, 2], [0.5, 0.5, 1, 3], [60, 62, 64, 65], pickup=1.0)
    symbols = melodybars.encode(piece)
    assert len(symbols) == 32 and symbols[0] == REST and symbols[12] == 60 - LOWEST + FIRST_NOTE
    np.testing.assert_array_equal(melodybars.decode(symbols, pickup_beats=1.0), piece.notes)
    with pytest.raises(ValueError, match="sounds before a pickup"):
        melodybars.decode(symbols, pickup_beats=0.5)


def test_a_tune_played_round_and_round_fills_its_last_bar_with_its_pickup():
    # One quarter, then a bar, then a bar short by that quarter.
    pitch = [60, 62, 64, 65, 67, 69, 71, 72]
    piece = tune(np.arange(8.0), np.ones(8), pitch, pickup=1.0)
    first, second = melodybars.windows(piece, bars=2, hop=1)
    heard = melodybars.decode(first.symbols)["pitch"].tolist()
    assert heard == [*pitch[1:], pitch[0]]
    assert melodybars.decode(second.symbols)["pitch"].tolist() == heard[4:] + heard[:4]
    long = melodybars.windows(piece, bars=5)[0].symbols
    np.testing.assert_array_equal(long, np.tile(first.symbols, 3)[: 5 * 16])


def test_a_full_last_bar_leaves_the_pickup_a_bar_of_its_own():
    piece = tune([0, 1, 5], [1, 4, 4], [60, 62, 64], pickup=1.0)
    (window,) = melodybars.windows(piece, bars=3)
    found = melodybars.decode(window.symbols)
    assert found["pitch"].tolist() == [62, 64, 60]
    assert found["onset_beat"].tolist() == [0, 4, 11]


def test_a_note_held_into_a_window_is_silent_there():
    piece = tune([0, 2], [2, 6], [60, 62])
    second = melodybars.windows(piece, bars=1, hop=1)[1]
    np.testing.assert_array_equal(second.symbols, [REST] + 15 * [HOLD])


@pytest.mark.parametrize("split", ["valid"])
def test_real_tunes_on_the_grid_come_back(split):
    compound = melodybars.tunes(split, meters=("6/8",))
    exact = [p for p in (*melodybars.tunes(split), *compound) if melodybars.on_grid(p)]
    assert len(exact) > 300
    for piece in exact[::5]:
        symbols = melodybars.encode(piece)
        back = melodybars.decode(symbols, meter=piece.meter, pickup_beats=piece.pickup_beats)
        for field in ("onset_beat", "duration_beat", "pitch"):
            np.testing.assert_allclose(back[field], melody_line(piece.notes)[field], atol=1e-9)


def test_windows_of_real_tunes_hold_their_notes():
    for piece in melodybars.tunes("valid")[::40]:
        found = melodybars.windows(piece, bars=1, hop=1)
        whole = melodybars.windows(piece, bars=len(found))[0].symbols
        n = STEPS[piece.meter]
        for window in found[1:]:
            part = whole[window.bar * n : (window.bar + 1) * n]
            np.testing.assert_array_equal(window.symbols[1:], part[1:])


def test_families_do_not_cross_splits():
    families = [{p.family for p in melodybars.tunes(s)} for s in ("train", "valid", "test")]
    assert not families[0] & families[1] and not families[0] & families[2]
    assert not families[1] & families[2]


def test_no_notes_make_no_bars():
    nothing = note_array([], [], [])
    assert len(melodybars.encode(nothing)) == 0
    assert len(melodybars.decode([])) == 0
    assert melodybars.canonical([]).shape == (0,)
    assert melodybars.windows(tune([], [], []), bars=2) == []


def test_a_piece_of_symbols_can_be_drawn():
    made = melodybars.piece(melodybars.encode(note_array([0, 1], [1, 1], [62, 66])), title="D")
    assert made.meter == "4/4" and made.title == "D" and len(made.notes) == 2
    assert len(melodybars.piece(np.zeros(16, int)).notes) == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: melodybars.encode(note_array([0], [1], [60]), meter="9/8"), ValueError, "6/8"),
        (lambda: melodybars.encode(tune([0], [1], [60], meter="3/4")), ValueError, "'3/4'"),
        (lambda: melodybars.encode(tune([0], [1], [60], meter=None)), ValueError, "None"),
        (lambda: melodybars.encode(note_array([0], [1], [20])), ValueError, "48 to 100, got 20"),
        (lambda: melodybars.encode([1, 2]), TypeError, "note array"),
        (
            lambda: melodybars.encode(note_array([0], [1], [60]), pickup_beats=np.nan),
            ValueError,
            "pickup_beats",
        ),
        (lambda: melodybars.decode(np.zeros(17, int)), ValueError, "bars of 16 steps"),
        (lambda: melodybars.decode(np.zeros((2, 16), int)), ValueError, "one melody"),
        (lambda: melodybars.decode(np.full(16, N_SYMBOLS)), ValueError, "go from 0 to"),
        (lambda: melodybars.decode(np.zeros(16)), TypeError, "whole numbers"),
        (lambda: melodybars.windows(tune([0], [1], [60]), bars=0), ValueError, "at least 1"),
        (lambda: scores.load("nobody"), ValueError, "no collection"),
    ],
)
def test_what_cannot_be_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
