"""The experiments on what is generated: what they cut, count and judge, by hand or brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import events, styles
from mircourse.events import BOS, EOS
from mircourse.experiments import generated, judged
from mircourse.experiments import transformer_generation as chapter
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Row
from mircourse.experiments.generated import BEATS, TokenNGram, excerpts, items, written
from mircourse.experiments.runner import Outcome
from mircourse.grammar import faults
from mircourse.performed import performed_notes
from mircourse.styles import STEPS, STYLES


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRCOURSE_CACHE", str(tmp_path))


def played(pitches, steps=12):
    onset = np.arange(len(pitches)) * steps / 100
    notes = performed_notes(onset, np.full(len(pitches), steps / 100), pitches)
    return events.encode(notes, ends=True)


def test_excerpts_are_32_beats_of_test_pieces_beginnings_first():
    found = excerpts("haydn and mozart", split="test", most=8)
    pieces = styles.pieces("haydn and mozart", split="test")
    assert len(found) == 8
    assert [item.family for item in found[: len(pieces)]] == [p.family for p in pieces]
    for item in found:
        assert STYLES[item.style] == "haydn and mozart"
        assert item.tokens[0] == BOS and item.tokens[-1] == EOS
        assert events.decode(item.tokens)["onset_sec"].max() < BEATS * STEPS / 100
    later = pieces[0].excerpt(BEATS, 2 * BEATS)
    np.testing.assert_array_equal(found[len(pieces)].tokens, styles.tokens(later))


def test_every_style_has_as_many_items():
    for fast, each in ((True, 1), (False, generated.EACH)):
        counts = np.bincount([item.style for item in items(fast)])
        assert counts.tolist() == [each] * len(STYLES)


def test_the_n_gram_learns_and_writes_what_it_was_taught():
    song, other = played([60, 62, 64] * 40, steps=24), played([72] * 60, steps=48)
    model = TokenNGram(order=5).fit([(0, song), (5, other)])
    assert model.nats([(0, song)]) < 0.1 < model.nats([(5, song)])
    first, second = model.write([0, 5], grammar=True, top_p=0.9, seed=1)
    assert set(events.decode(first)["pitch"]) == {60, 62, 64}
    assert set(events.decode(second)["pitch"]) == {72}
    assert not len(faults(first)) and not len(faults(second))
    for tokens in (first, second):
        assert BEATS * STEPS <= events.steps_after(tokens)[-1] < BEATS * STEPS + 100
    again = model.write([0, 5], grammar=True, top_p=0.9, seed=1)
    np.testing.assert_array_equal(first, again[0])


def test_the_n_gram_costs_what_its_probabilities_say():
    rng = np.random.default_rng(0)
    pieces = [(k, np.array([BOS, *rng.integers(0, 6, 30)])) for k in range(3)]
    model = TokenNGram(order=4).fit(pieces)
    cost = []
    for style, tokens in pieces:
        for t in range(1, len(tokens)):
            before = [*tokens[max(0, t - 2) : t][::-1], -1, -1][:2]
            cost.append(-np.log(model.gram.probabilities([[style, *before]])[0, tokens[t]]))
    assert model.nats(pieces) == pytest.approx(np.mean(cost))


# ---------------------------------------------------------------------------------- likeness


def test_histograms_do_not_depend_on_the_key_and_count_notes():
    tune = [60, 62, 62, 64, 62, 67]
    found = judged.histogram(played(tune), judged.PITCH_CLASSES)
    assert found.tolist() == [3, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0]  # D, E, G, C
    for by in (1, 5, 12):
        higher = judged.histogram(played([p + by for p in tune]), judged.PITCH_CLASSES)
        np.testing.assert_array_equal(found, higher)
    lengths = judged.histogram(played(tune, steps=48), judged.DURATIONS)
    assert np.flatnonzero(lengths).tolist() == [16] and lengths[16] == 6


def test_the_share_is_the_mean_distance_of_the_pieces_histograms():
    real = np.array([[2, 2, 0], [1, 0, 3], [2, 2, 0]], float)
    made = np.array([[1, 0, 0], [0, 1, 3], [0, 0, 0]])
    first = np.abs(np.array([1, 0, 0]) - np.array([0.5, 0.5, 0])).sum() / 2
    second = np.abs(np.array([0, 1, 3]) / 4 - np.array([1, 0, 3]) / 4).sum() / 2
    nothing = 1
    assert judged.share(real, made) == pytest.approx((first + second + nothing) / 3)
    assert judged.share(real, real) == 0
    assert judged.share(np.array([[1, 0.0]]), np.array([[0, 5]])) == 1
    assert judged.share(np.array([10, 30]), np.array([1, 3])) == 0.1


def test_events_out_of_place_are_those_that_the_grammar_finds():
    rng = np.random.default_rng(0)
    rows = [np.concatenate([[BOS], rng.integers(0, 388, n)]) for n in (5, 40, 17)]
    wanted = [int((faults(row) > 0).sum()) for row in rows]
    assert judged._out_of_place(rows) == wanted
    assert judged._out_of_place([item.tokens for item in items(True)]) == [0] * len(STYLES)


# ----------------------------------------------------------------------------------- copying


def brute_force(own, known):
    longest = 0
    for row in known:
        for i in range(len(own)):
            for j in range(len(row)):
                n = 0
                while i + n < len(own) and j + n < len(row) and own[i + n] == row[j + n]:
                    n += 1
                longest = max(longest, n)
    return longest + 1


rows_of_moves = st.lists(st.integers(0, 2), max_size=14)


@given(rows_of_moves, st.lists(rows_of_moves, min_size=1, max_size=3))
@settings(deadline=None, max_examples=120)
def test_the_longest_shared_run_is_that_of_brute_force(own, known):
    saved = judged._known
    try:
        judged._known = lambda: tuple(np.array(row, np.uint64) for row in known)
        judged._known_runs.cache_clear()
        assert judged.longest_shared(np.array(own, np.uint64)) == brute_force(own, known)
    finally:
        judged._known = saved
        judged._known_runs.cache_clear()


def test_moves_know_no_key_but_rhythm():
    tune = [60, 62, 64, 65, 60]
    np.testing.assert_array_equal(
        judged.moves(played(tune)), judged.moves(played([p + 3 for p in tune]))
    )
    assert len(judged.moves(played(tune))) == 4
    slower = judged.moves(played(tune, steps=24))
    assert not set(judged.moves(played(tune))) & set(slower)


# ------------------------------------------------------------------------------------ verdict


def comparison(experiment, scores):
    outcomes = {
        (row, ""): [Outcome(np.array(s, float), [str(i) for i in range(len(s))], [], [], 0, 0, "")]
        for row, s in scores.items()
    }
    return Comparison(experiment, outcomes)


def test_no_worse_than_real_is_judged_at_the_far_end_of_the_interval():
    rng = np.random.default_rng(0)
    real = rng.normal(8, 1, 60)
    for worse, value in (((0, 0), "holds"), ((0, 5), "holds-when"), ((5, 5), "fails")):
        scores = {
            generated.REAL: real,
            chapter.NGRAM: real,
            chapter.TRANSFORMER: real + worse[0] + rng.normal(0, 0.5, 60),
            chapter.NUCLEUS: real + worse[1] + rng.normal(0, 0.5, 60),
        }
        assert chapter.copying.rule(comparison(chapter.copying, scores)).value == value
    right = np.ones(60)
    scores = {
        generated.REAL: right,
        chapter.NGRAM: right,
        chapter.TRANSFORMER: right,
        chapter.NUCLEUS: (np.arange(60) % 5 > 0).astype(float),
    }
    assert chapter.obedience.rule(comparison(chapter.obedience, scores)).value == "holds-when"


# ------------------------------------------------------------------------------- from end to end


@pytest.mark.parametrize("model", ["n-gram", "Transformer"])
def test_each_item_is_written_and_judged(model):
    row = Row("a", "ours", {"model": model, "grammar": True})
    made = written(row.settings, seed=0, fast=True)
    assert len(made) == len(items(True))
    assert all(tokens[0] == BOS and not len(faults(tokens)) for tokens in made)
    for kind in judged.KINDS:
        found = chapter.likeness.run_unit(row, kind, 0, True)
        assert len(found["truth"]) == len(found["prediction"]) == len(found["groups"]) == 10
        value = judged.share(np.asarray(found["truth"]), np.asarray(found["prediction"]))
        assert 0 <= value <= 1 and (kind != judged.OUT_OF_PLACE or value == 0)
