"""Phrases and pairs: cut at bar lines, and wrong continuations that give nothing away."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mircourse import events, scores
from mircourse.events import CLS, N_EVENTS, NOTE_OFF, SEP, TIME_SHIFT, VELOCITY
from mircourse.notearray import note_array
from mircourse.phrases import (
    MAX_TOKENS,
    Continuations,
    Pair,
    join,
    phrases,
    tokens_of,
    tonic_of,
    transposed,
)


@pytest.fixture(scope="module")
def tunes():
    return [*scores.load("ryan", split="valid"), *scores.load("oneill", split="valid")]


@pytest.fixture(scope="module")
def source(tunes):
    return Continuations(tunes)


def piece(onset, duration, *, meter="4/4", pickup=0.0, key="G", sharps=1):
    notes = note_array(onset, duration, np.full(len(onset), 67))
    return scores.Piece(
        id="t", title="T", collection="c", composer="", notes=notes, meter=meter, key=key,
        mode="major", family="f", pickup_beats=pickup, sharps=sharps,
    )  # fmt: skip


def steps(tokens):
    return sum(t - TIME_SHIFT + 1 for t in tokens.tolist() if TIME_SHIFT <= t < VELOCITY)


def test_phrases_are_cut_at_bar_lines_by_hand():
    tune = piece(np.arange(32.0), np.ones(32))
    found = phrases(tune, bars=4)
    assert [p.place for p in found] == [0, 1]
    assert [int((p.tokens < NOTE_OFF).sum()) for p in found] == [16, 16]
    assert [steps(p.tokens) for p in found] == [16 * 48] * 2
    assert [len(phrases(tune, bars=b)) for b in (1, 2, 8, 9)] == [8, 4, 1, 0]


def test_the_pickup_makes_up_for_a_short_last_bar():
    tune = piece(np.arange(32.0), np.ones(32), pickup=1.0)
    found = phrases(tune, bars=4)
    # A first phrase of four full bars, and a last one of four bars less the pickup.
    assert [int((p.tokens < NOTE_OFF).sum()) for p in found] == [16, 15]
    assert len(phrases(piece(np.arange(31.0), np.ones(31), pickup=1.0), bars=4)) == 1


def test_no_note_crosses_into_the_next_phrase():
    tune = piece([0.0, 15.0, 17.0], [1.0, 2.0, 15.0])
    first, second = phrases(tune, bars=4)
    assert steps(first.tokens) == 16 * 48
    for phrase in (first, second):
        played = events.decode(phrase.tokens)
        assert len(played) == (phrase.tokens < NOTE_OFF).sum()


def test_two_four_is_played_as_slowly_as_four_four():
    fast = piece([0.0, 0.5], [0.5, 0.5], meter="2/4")
    slow = piece([0.0, 1.0], [1.0, 1.0], meter="2/2")
    np.testing.assert_array_equal(tokens_of(fast), tokens_of(slow))


def test_nothing_without_metre_key_or_notes():
    notes = [np.arange(16.0), np.ones(16)]
    assert phrases(piece(*notes, meter=None)) == []
    assert phrases(piece(*notes, key=None, sharps=None)) == []
    assert phrases(piece([], [])) == []
    with pytest.raises(ValueError, match="bars must be 1 or more"):
        phrases(piece(*notes), bars=0)


@pytest.mark.parametrize(
    ("key", "sharps", "tonic"),
    [("C", 0, 0), ("F#", 3, 6), ("Bb", -2, 10), ("B", 2, 11), (None, 2, 2), (None, -3, 3)],
)
def test_tonics(key, sharps, tonic):
    assert tonic_of(piece([0.0], [1.0], key=key, sharps=sharps)) == tonic


def test_tunes_end_on_their_tonic_more_often_than_on_any_other_pitch_class(tunes):
    off = [(int(t.notes["pitch"][-1]) - tonic_of(t)) % 12 for t in tunes if tonic_of(t) is not None]
    counts = np.bincount(off, minlength=12)
    assert counts.argmax() == 0
    assert counts[0] > len(off) / 2


@given(
    st.lists(st.integers(0, N_EVENTS + 5), max_size=30),
    st.integers(-12, 12),
)
def test_transposition_moves_keys_alone_or_refuses(tokens, up):
    tokens = np.array(tokens, np.int64)
    keys = tokens < TIME_SHIFT
    pitch = tokens[keys] % NOTE_OFF + up
    if pitch.size and (pitch.min() < 0 or pitch.max() > 127):
        with pytest.raises(ValueError, match="expected 0 to 127"):
            transposed(tokens, up)
        return
    moved = transposed(tokens, up)
    np.testing.assert_array_equal(moved[~keys], tokens[~keys])
    np.testing.assert_array_equal(moved[keys] % NOTE_OFF, pitch)
    np.testing.assert_array_equal(moved[keys] // NOTE_OFF, tokens[keys] // NOTE_OFF)
    np.testing.assert_array_equal(transposed(moved, -up), tokens)


def test_a_wrong_continuation_shares_all_but_the_music(source, tunes):
    by_id = {tune.id: tune for tune in tunes}
    rng = np.random.default_rng(0)
    for i in range(0, len(source), 7):
        right, wrong = source.right(i), source.wrong(i, lambda n: int(rng.integers(n)))
        assert right.follows and not wrong.follows
        assert right.first is wrong.first
        a, b = (by_id[p.piece] for p in (wrong.first, wrong.second))
        assert a.family != b.family
        assert (a.meter, a.mode, a.collection) == (b.meter, b.mode, b.collection)
        assert wrong.second.place == right.second.place
        assert wrong.second.tonic == wrong.first.tonic
        assert abs(wrong.second.centre - wrong.first.centre) <= 6
        # It is that tune's own phrase, moved as a whole.
        own = phrases(b)[[p.place for p in phrases(b)].index(wrong.second.place)]
        keys = own.tokens < TIME_SHIFT
        up = np.unique((wrong.second.tokens - own.tokens)[keys])
        assert len(up) == 1 and (up[0] + tonic_of(b)) % 12 == tonic_of(a)


def test_right_continuations_are_the_next_bars(source, tunes):
    by_id = {tune.id: tune for tune in tunes}
    for first, second in source.followed[::25]:
        assert first.piece == second.piece
        tune = by_id[first.piece]
        start = tune.pickup_beats + 4 * tune.bar_beats * second.place
        expected = tune.excerpt(start - 1e-6, start + 4 * tune.bar_beats - 1e-6)
        np.testing.assert_array_equal(second.tokens, tokens_of(expected))


def test_register_and_length_do_not_tell_right_from_wrong(source):
    """A guess by how far the two centres lie apart, or by the number of notes, is near chance."""
    pairs = source.pairs(seed=1)
    follows = np.array([pair.follows for pair in pairs])
    assert follows.mean() == 0.5
    notes = np.array([(p.second.tokens < NOTE_OFF).sum() for p in pairs])
    best = max(
        np.mean((notes >= limit) == follows) for limit in range(notes.min(), notes.max() + 1)
    )
    assert best < 0.55


def test_pairs_are_the_same_for_a_seed(source):
    one, again, other = (source.pairs(seed=s) for s in (0, 0, 1))
    same = [
        np.array_equal(a.second.tokens, b.second.tokens) for a, b in zip(one, again, strict=True)
    ]
    assert all(same)
    changed = [
        not np.array_equal(a.second.tokens, b.second.tokens)
        for a, b in zip(one, other, strict=True)
    ]
    assert any(changed)


def test_joined_pairs_keep_where_the_phrases_meet(source):
    first, second = source.followed[0]
    row = join(first, second)
    assert row[0] == CLS and row[-1] == SEP and (row == SEP).sum() == 2
    np.testing.assert_array_equal(row[1:-1][row[1:-1] != SEP], np.r_[first.tokens, second.tokens])
    np.testing.assert_array_equal(join(first), np.r_[CLS, first.tokens, SEP])
    long = phrases(piece(np.arange(0, 32, 0.25), np.full(128, 0.25)))
    row = join(*long)
    assert len(row) == 2 * MAX_TOKENS + 3
    np.testing.assert_array_equal(row[1 : MAX_TOKENS + 1], long[0].tokens[-MAX_TOKENS:])
    np.testing.assert_array_equal(row[MAX_TOKENS + 2 : -1], long[1].tokens[:MAX_TOKENS])


def test_without_another_family_there_is_no_pair(tunes):
    lonely = [tunes[0]]
    with pytest.raises(ValueError, match="no phrase of 4 bars"):
        Continuations(lonely)
    assert isinstance(Continuations(tunes[:40]).right(0), Pair)
