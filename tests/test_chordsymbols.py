"""Chords as text: every numeral of the shipped analyses, by hand, and the errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mircourse import chords
from mircourse.chordsymbols import Key, chord_symbol, numeral, parse, parse_key

# What music21 makes of these differs from what they say, or they say nothing.
UNREAD = {"var": 5, "I4": 1, "III6+": 1, "VIII": 1}
OTHERWISE = {"bVII7[maj7]", "I[#3]", "iv6/5", "V/V[no3]"}


def members(chord):
    return set(np.flatnonzero(chord.pitch_classes).tolist())


def test_numerals_are_read_as_music21_read_the_analyses():
    unread, differing = {}, []
    for analysis in chords.load():
        for row in analysis.chords:
            key, figure = Key(int(row["key_tonic"]), str(row["key_mode"])), str(row["figure"])
            try:
                found = numeral(figure, key)
            except ValueError:
                unread[figure] = unread.get(figure, 0) + 1
                continue
            ours = (found.root, found.bass, found.degree, *found.pitch_classes)
            theirs = (row["root"], row["bass"], row["degree"], *row["pitch_classes"])
            if ours != tuple(int(value) for value in theirs):
                differing.append(figure)
    assert unread == UNREAD
    assert set(differing) == OTHERWISE and len(differing) == len(OTHERWISE)


@pytest.mark.parametrize(
    ("symbol", "key", "root", "bass", "expected"),
    [
        ("V7", "C", 7, 7, {7, 11, 2, 5}),
        ("viio7/V", "C", 6, 6, {6, 9, 0, 3}),
        ("V65/ii", "Bb", 7, 11, {7, 11, 2, 5}),
        ("VI", "a", 5, 5, {5, 9, 0}),
        ("#vi", "a", 6, 6, {6, 9, 1}),
        ("bVI", "A", 5, 5, {5, 9, 0}),
        ("N6", "c", 1, 5, {1, 5, 8}),
        ("Cad64", "c", 0, 7, {0, 3, 7}),
        ("Ger65", "C", 6, 8, {8, 0, 3, 6}),
        ("It6", "c", 6, 8, {8, 0, 6}),
        ("Fr43", "C", 2, 8, {8, 0, 2, 6}),
        ("V9", "F", 0, 0, {0, 4, 7, 10, 2}),
        ("V6[no1]", "a", 4, 8, {8, 11}),
        ("V/V/V", "C", 9, 9, {9, 1, 4}),
        ("♭VII", "C", 10, 10, {10, 2, 5}),
    ],
)
def test_numerals_by_hand(symbol, key, root, bass, expected):
    found = numeral(symbol, parse_key(key))
    assert (found.root, found.bass, members(found)) == (root, bass, expected)


@pytest.mark.parametrize(
    ("symbol", "root", "bass", "expected"),
    [
        ("C", 0, 0, {0, 4, 7}),
        ("Am7", 9, 9, {9, 0, 4, 7}),
        ("F#m7b5/C", 6, 0, {6, 9, 0, 4}),
        ("B°", 11, 11, {11, 2, 5}),
        ("Bø7", 11, 11, {11, 2, 5, 9}),
        ("E♭+", 3, 3, {3, 7, 11}),
        ("G/A", 7, 9, {7, 9, 11, 2}),
        ("Dsus4", 2, 2, {2, 7, 9}),
    ],
)
def test_symbols_by_hand(symbol, root, bass, expected):
    found = chord_symbol(symbol)
    assert (found.root, found.bass, found.degree) == (root, bass, None)
    assert members(found) == expected


@given(st.sampled_from(["I", "ii6", "V7", "viio6", "V/ii", "bII6", "iv"]), st.integers(0, 11))
def test_a_numeral_moves_with_its_key(symbol, tonic):
    for mode in ("major", "minor"):
        home, away = numeral(symbol, Key(0, mode)), numeral(symbol, Key(tonic, mode))
        assert members(away) == {(member + tonic) % 12 for member in members(home)}
        assert (away.root - home.root) % 12 == (away.bass - home.bass) % 12 == tonic
        assert away.degree == home.degree


def test_text():
    assert [chord.degree for chord in parse("I V7 vi IV in C")] == [1, 5, 6, 4]
    assert [chord.root for chord in parse("C G7 | Am, F")] == [0, 7, 9, 5]
    assert [chord.root for chord in parse("i iv V7 i in f# minor")] == [6, 11, 1, 6]
    assert parse("Dm7")[0].symbol == "Dm7"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("C", (0, "major")), ("a", (9, "minor")), ("B- minor", (10, "minor")), ("f# major", None)],
)
def test_keys(text, expected):
    assert parse_key(text) == (expected or (6, "major"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("C Hm F", "chord 2 of 3: unknown chord symbol 'Hm'"),
        ("C Gfoo", "chord 2 of 2: unknown chord symbol 'Gfoo'"),
        ("I V7 foo in C", "chord 3 of 3: unknown Roman numeral 'foo'"),
        ("I V8 in C", "chord 2 of 2: unknown Roman numeral 'V8'"),
        ("I V/x in C", "unknown Roman numeral 'V/x'"),
        ("I V[bar] in C", r"unknown alteration \[bar\] of 'V\[bar\]'"),
        ("I V vi", "Roman numerals need a key, as in 'I V vi in C'"),
        ("I V in H", "expected a key such as 'C', 'f#' or 'Bb minor', got 'H'"),
        ("C/2", "unknown chord symbol 'C/2'"),
        ("  ", "expected chords such as"),
        ("V[no1no3no5] in C", "nothing is left"),
    ],
)
def test_errors_name_what_is_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_text_must_be_text():
    with pytest.raises(TypeError, match="got list"):
        parse(["C"])
