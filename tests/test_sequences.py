import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mircourse.sequences import (
    IGNORED,
    Example,
    PackedRows,
    buckets,
    padded,
    windows,
)

PAD = 99
lengths = st.lists(st.integers(2, 40), min_size=1, max_size=12)


def examples_of(lengths, *, heads=0, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Example(
            rng.integers(0, 90, n),
            style=k % 3 - 1,
            notes=rng.integers(0, 8, (n, heads)) if heads else None,
            id=str(k),
        )
        for k, n in enumerate(lengths)
    ]


def pieces_of(item):
    """Take a row apart again: (tokens, style, targets) of each piece."""
    rows, targets = item
    for k in range(int(rows.segments.max()) + 1):
        here = rows.segments == k
        yield rows.tokens[here].tolist(), int(rows.style), targets[here].tolist()


@given(lengths, st.integers(1, 24), st.sampled_from([0, 3]), st.booleans())
def test_every_prediction_stands_in_one_row_with_its_target(lengths, length, heads, packed):
    some = examples_of(lengths, heads=heads)
    rows = PackedRows(some, length=length, pad=PAD, packed=packed)
    found = sorted(part for i in range(len(rows)) for part in map(repr, pieces_of(rows[i])))
    expected = []
    for example in some:
        n = len(example.tokens)
        for start in range(0, n - 1, length):
            stop = min(start + length, n - 1)
            targets = example.tokens[start + 1 : stop + 1, None]
            if heads:
                targets = np.hstack([targets, example.notes[start:stop]])
            part = example.tokens[start:stop].tolist()
            expected.append(repr((part, example.style, targets.tolist())))
    assert found == sorted(expected)


@given(lengths, st.integers(1, 24))
def test_what_is_left_of_a_row_is_padding(lengths, length):
    rows = PackedRows(examples_of(lengths), length=length, pad=PAD)
    for i in range(len(rows)):
        row, targets = rows[i]
        empty = row.segments < 0
        assert (row.tokens[empty] == PAD).all() and (targets[empty] == IGNORED).all()
        assert (row.tokens[~empty] != PAD).all()
        # Padding stands at the end alone.
        assert not (empty[:-1] & ~empty[1:]).any()


@given(lengths, st.integers(4, 24))
def test_packing_needs_at_most_twice_the_rows_that_could_do(lengths, length):
    # First fit leaves no two rows of a style that would both fit into one.
    some = [Example(example.tokens) for example in examples_of(lengths)]
    rows = PackedRows(some, length=length, pad=PAD)
    full = sum(lengths) - len(lengths)
    assert -(-full // length) <= len(rows) <= 2 * full / length + 1
    assert rows.filled == pytest.approx(full / (len(rows) * length))


@pytest.mark.parametrize("jitter", [1, 3])
def test_a_jittered_part_is_a_part_of_its_piece_and_moves_in_steps(jitter):
    example = Example(np.arange(50))
    rows = PackedRows([example], length=16, pad=PAD, jitter=jitter)
    torch.manual_seed(0)
    for k, part in enumerate(row[0] for row in rows.rows):
        starts = set()
        for _ in range(60):
            row, targets = rows[k]
            kept = row.segments >= 0
            first = int(row.tokens[0])
            starts.add(first)
            assert row.tokens[kept].tolist() == list(range(first, first + part.size))
            assert targets[kept, 0].tolist() == list(range(first + 1, first + 1 + part.size))
        reachable = range(part.start - 8 // jitter * jitter, part.start + 9, jitter)
        assert starts == {s for s in reachable if 0 <= s <= 49 - part.size}


def test_augmented_pieces_are_drawn_anew_each_time():
    def moved(example):
        by = int(torch.randint(5, ()))
        return Example(example.tokens + by, example.style)

    rows = PackedRows([Example(np.zeros(9, np.int64))], length=8, pad=PAD, augment=moved)
    torch.manual_seed(0)
    drawn = [rows[0] for _ in range(30)]
    assert {int(row.tokens[0]) for row, _ in drawn} == set(range(5))
    assert all((row.tokens == targets[:, 0]).all() for row, targets in drawn)


def test_padded_has_a_row_a_piece():
    rows, targets = padded(examples_of([5, 3, 9], heads=2), pad=PAD)
    assert rows.tokens.shape == (3, 8) and targets.shape == (3, 8, 3)
    assert (rows.segments >= 0).sum(1).tolist() == [4, 2, 8]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 200))
def test_buckets_hold_each_piece_once_and_no_more_than_fits(lengths, tokens):
    groups = buckets(lengths, tokens=tokens)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= tokens


@given(st.integers(2, 60), st.integers(2, 24))
def test_windows_score_each_prediction_once_after_enough_of_the_past(n, length):
    example = Example(np.arange(n), notes=np.arange(n)[:, None])
    scored = []
    for part in windows(example, length=length):
        assert len(part) <= length
        targets = part.targets()
        for place, (token, note) in enumerate(targets.tolist()):
            if token == IGNORED:
                assert note == IGNORED
                continue
            assert token == note + 1 == part.tokens[place] + 1
            scored.append(token)
            assert place + 1 >= min(token, length // 2)
    assert scored == list(range(1, n))


@pytest.mark.parametrize(
    ("tokens", "notes", "message"),
    [
        (np.zeros((2, 2), np.int64), None, r"\(n,\)"),
        (np.zeros(1, np.int64), None, "2 or more"),
        (np.zeros(3), None, "whole numbers"),
        (np.zeros(3, np.int64), np.zeros((2, 1), np.int64), "notes of shape"),
    ],
)
def test_examples_are_checked(tokens, notes, message):
    with pytest.raises(ValueError, match=message):
        Example(tokens, notes=notes)


def test_rows_are_checked():
    with pytest.raises(ValueError, match="expected examples"):
        PackedRows([], length=4, pad=PAD)
    with pytest.raises(ValueError, match="expected examples"):
        PackedRows(examples_of([4]), length=0, pad=PAD)
    with pytest.raises(ValueError, match="jitter of 0 or more"):
        PackedRows(examples_of([4]), length=4, pad=PAD, jitter=-1)
    with pytest.raises(ValueError, match="unequal numbers of heads"):
        PackedRows(examples_of([4]) + examples_of([4], heads=1), length=4, pad=PAD)
    with pytest.raises(ValueError, match="2 or more"):
        windows(examples_of([4])[0], length=1)
