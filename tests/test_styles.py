"""Ten styles as events: what they hold, and bars, meters and notes found again in the events."""

import numpy as np
import pytest

from mircourse import events, scores, styles
from mircourse.abcnotation import to_abc
from mircourse.notation import engrave
from mircourse.scores import to_midi
from mircourse.styles import ACCENT, PLAIN, STYLES, TEMPO, bars, music, number, pieces, styled


@pytest.fixture(scope="module")
def test_pieces():
    return styled("test")


def test_each_style_has_pieces_in_each_split():
    for style in STYLES:
        for split in ("train", "valid", "test"):
            assert pieces(style, split=split), (style, split)


def test_a_family_is_in_one_split_whatever_the_style():
    splits = {
        split: {
            (piece.collection in ("ryan", "oneill", "aird"), piece.family)
            for style in STYLES
            for piece in pieces(style, split=split)
        }
        for split in ("train", "valid", "test")
    }
    assert not splits["train"] & splits["test"]
    assert not splits["train"] & splits["valid"]
    assert not splits["valid"] & splits["test"]


def test_styles_are_what_their_names_say(test_pieces):
    found = {STYLES[entry.style]: set() for entry in test_pieces}
    for entry in test_pieces:
        label = entry.piece.tune_type if STYLES[entry.style] in styles.TUNES else None
        found[STYLES[entry.style]].add(
            entry.piece.collection
            if STYLES[entry.style] == "air"
            else label or entry.piece.collection
        )
    assert found["haydn and mozart"] == {"haydn", "mozart"}
    assert found["chorale"] == {"bach"} and found["air"] == {"aird"}
    for dance in ("reel", "hornpipe", "jig", "slip jig"):
        assert found[dance] == {dance}


def test_a_quarter_is_48_steps():
    assert 60 / TEMPO * events.STEPS_PER_SECOND == styles.STEPS == 48


def test_bars_begin_with_an_accent_and_nothing_else_does():
    piece = styles.accented(scores.load("oneill").filter(lambda p: p.pickup_beats > 0)[0])
    lines = piece.pickup_beats + piece.bar_beats * np.arange(99)
    for note in piece.notes:
        on_line = np.isclose(note["onset_beat"], lines).any()
        assert note["velocity"] == (ACCENT if on_line else PLAIN)


def test_bars_are_found_again_in_the_events(test_pieces):
    for entry in test_pieces:
        found = bars(entry.tokens)
        assert found.beats == entry.piece.bar_beats
        assert found.pickup_beats == pytest.approx(entry.piece.pickup_beats, abs=0.02)
        onset = entry.piece.notes["onset_beat"].max() - entry.piece.pickup_beats
        assert found.n_bars == int(onset // found.beats + 1e-6) + 1


def test_meters_that_bars_can_tell_are_found_again(test_pieces):
    # 2/2 and 4/4 have bars of one length.
    same = {"2/2": "4/4"}
    right = [
        music(entry.tokens).meter == same.get(entry.piece.meter, entry.piece.meter)
        for entry in test_pieces
        if len(entry.tokens) < 5000
    ]
    assert np.mean(right) > 0.98


def test_notes_come_back_in_beats(test_pieces):
    for entry in test_pieces[::40]:
        again = music(entry.tokens)
        heard = events.decode(entry.tokens)
        assert len(again.notes) == len(heard)
        np.testing.assert_allclose(
            np.sort(again.notes["onset_beat"]), np.sort(heard["onset_sec"]) * TEMPO / 60, atol=1e-9
        )
        steps = again.notes["onset_beat"] * styles.STEPS
        np.testing.assert_array_equal(steps, np.rint(steps))


def test_tunes_have_one_voice_and_chorales_two_staves():
    reel, chorale = pieces("reel", split="test")[0], pieces("chorale", split="test")[0]
    assert music(styles.tokens(reel)).n_voices == 1
    written = music(styles.tokens(chorale))
    assert written.n_voices == 2
    assert written.notes["pitch"][written.notes["voice"] == 0].min() >= 60
    assert written.notes["pitch"][written.notes["voice"] == 1].max() < 60


def test_what_comes_of_events_can_be_written_everywhere():
    piece = music(styles.tokens(pieces("slip jig", split="test")[0]), title="A slip jig")
    assert "M:9/8" in to_abc(piece)
    assert "in 9/8" in engrave(piece).description
    assert to_midi(piece, tempo=TEMPO)[:4] == b"MThd"


def test_events_without_bars_are_music_as_well():
    assert bars([]) is None
    assert bars([events.VELOCITY + 20, 60, 303, 188]) is None
    nothing = music([])
    assert len(nothing.notes) == 0 and nothing.meter is None
    odd = [events.VELOCITY + 20, 60, 262, 188, 62, 262, 190]  # bars of seven steps
    assert music(odd).meter is None and len(music(odd).notes) == 2


def test_an_unknown_style_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"no style 'rell'; choose from chorale, .*, slip jig"):
        number("rell")
    with pytest.raises(ValueError, match="no style"):
        pieces("waltz", split="train")
    with pytest.raises(ValueError, match="no split"):
        styled("dev")
    assert [number(name) for name in STYLES] == list(range(10))
