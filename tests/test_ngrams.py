"""n-gram models against counts by hand and the formulas, and the melody model built of them."""

import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import melodies
from mircourse.melodies import END, N_DURATIONS, N_PITCHES, REST
from mircourse.melodyngram import MelodyNGram
from mircourse.ngrams import BEFORE, NGram, lagged, windows
from mircourse.notearray import note_array

corpora = st.lists(st.lists(st.integers(0, 4), max_size=12), min_size=1, max_size=4).filter(any)
smoothings = st.sampled_from(["kneser-ney", "witten-bell"])


def brute_force(contexts, targets, *, n_symbols, smoothing):
    """The formulas of the module word by word, with dictionaries and recursion."""
    order = contexts.shape[1] + 1
    seen = [defaultdict(Counter) for _ in range(order)]
    rows = list(zip(map(tuple, contexts.tolist()), targets.tolist(), strict=True))
    for k in range(order):
        if smoothing == "witten-bell" or k == order - 1:
            for context, target in rows:
                seen[k][context[:k]][target] += 1
        else:
            for context, target in {(context[: k + 1], target) for context, target in rows}:
                seen[k][context[:k]][target] += 1

    def discount(k):
        counts = [c for after in seen[k].values() for c in after.values()]
        once, twice = counts.count(1), counts.count(2)
        return once / (once + 2 * twice) if once and twice else 0.5

    def p(target, context, k):
        lower = p(target, context, k - 1) if k else 1 / n_symbols
        after = seen[k].get(context[:k])
        if after is None:
            return lower
        total, kinds = sum(after.values()), len(after)
        if smoothing == "witten-bell":
            return (after[target] + kinds * lower) / (total + kinds)
        d = discount(k)
        return max(after[target] - d, 0) / total + d * kinds / total * lower

    return lambda target, context: p(target, tuple(context), order - 1)


@given(corpora, st.integers(1, 4), smoothings)
@settings(max_examples=60, deadline=None)
def test_equals_a_brute_force_count(corpus, order, smoothing):
    contexts, targets = windows(corpus, order=order)
    model = NGram(5, order=order, smoothing=smoothing).fit(contexts, targets)
    expected = brute_force(contexts, targets, n_symbols=5, smoothing=smoothing)
    asked = np.array(list(itertools.product([BEFORE, 0, 3, 7], repeat=order - 1)), int)
    asked = np.concatenate([asked.reshape(4 ** (order - 1), order - 1), contexts])
    found = model.probabilities(asked)
    for row, context in zip(found, asked, strict=True):
        np.testing.assert_allclose(row, [expected(t, context) for t in range(5)], atol=1e-12)


@given(corpora, st.integers(1, 4), smoothings, st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_probabilities_sum_to_one_after_any_context(corpus, order, smoothing, seed):
    model = NGram(5, order=order, smoothing=smoothing).fit(*windows(corpus, order=order))
    asked = np.random.default_rng(seed).integers(-1, 9, (20, order - 1))
    p = model.probabilities(asked)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (p > 0).all()
    logs = model.log2_probability(asked, np.arange(20) % 5)
    np.testing.assert_allclose(logs, np.log2(p[np.arange(20), np.arange(20) % 5]))


def test_a_bigram_by_hand():
    """a b a b a c, Witten-Bell: after a came b twice and c once."""
    model = NGram(3, order=2, smoothing="witten-bell")
    model.fit(*windows([[0, 1, 0, 1, 0, 2]], order=2))
    unigram = (np.array([3, 2, 1]) + 3 * (1 / 3)) / (6 + 3)
    expected = (np.array([0, 2, 1]) + 2 * unigram) / (3 + 2)
    np.testing.assert_allclose(model.probabilities([[0]])[0], expected)


def test_windows_are_nearest_first():
    contexts, targets = windows([[5, 6, 7], [8]], order=3)
    assert contexts.tolist() == [[-1, -1], [5, -1], [6, 5], [-1, -1]]
    assert targets.tolist() == [5, 6, 7, 8]
    assert lagged(np.array([1, 2]), 0).shape == (2, 0)


def test_a_longer_context_cannot_be_mistaken_for_another():
    """Symbols beyond those counted are unseen, not some other context's key."""
    model = NGram(2, order=3).fit([[0, 0], [1, 0], [0, 1]], [0, 1, 0])
    np.testing.assert_allclose(model.probabilities([[99, 0]]), model.probabilities([[98, 1]]))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="n_symbols and order"):
        NGram(5, order=0)
    with pytest.raises(ValueError, match="smoothing must be one of"):
        NGram(5, order=2, smoothing="laplace")
    model = NGram(5, order=3)
    with pytest.raises(ValueError, match="call fit first"):
        model.probabilities([[1, 2]])
    with pytest.raises(ValueError, match=r"\(N, 2 or more\) for order 3, got \(1, 1\)"):
        model.fit([[1]], [1])
    with pytest.raises(ValueError, match="not empty"):
        model.fit(np.zeros((0, 2)), [])
    with pytest.raises(ValueError, match="targets must be 0 to 4"):
        model.fit([[1, 2]], [5])
    with pytest.raises(ValueError, match="-1 or more"):
        model.fit([[1, -2]], [1])


@pytest.fixture(scope="module")
def valid():
    return melodies.tunes("valid", collections=["ryan"])


@pytest.fixture(scope="module")
def model(valid):
    return MelodyNGram().fit(valid[:100])


def chain(model, melody):
    """Bits of a melody, event by event, from the reader that generation uses."""
    reader = model.reader([melody.first(0)])
    bits = 0.0
    for d, p in zip(melody.duration.tolist(), melody.pitch.tolist(), strict=True):
        bits -= np.log2(reader.durations()[0, d])
        if d == END:
            return bits
        bits -= np.log2(reader.pitches(np.array([d]))[0, p])
        reader.append(np.array([d]), np.array([p]))
    return bits


@pytest.mark.parametrize(
    "settings_",
    [{}, {"place": False}, {"interval_order": 0}, {"duration_order": 1, "pitch_order": 1}],
)
def test_bits_are_those_of_the_reader(valid, settings_):
    """What is scored and what is generated from are one model."""
    model = MelodyNGram(**settings_).fit(valid[:20])
    for melody in (valid[0], valid[50]):
        assert model.bits(melody) == pytest.approx(chain(model, melody))


def test_distributions_of_the_melody_model_sum_to_one(model, valid):
    reader = model.reader([m.first(k) for k, m in enumerate(valid[100:140])])
    p, q = reader.durations(), reader.pitches(np.zeros(40, int))
    assert p.shape == (40, N_DURATIONS) and q.shape == (40, N_PITCHES)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(q.sum(axis=1), 1)
    assert (p > 0).all() and (q > 0).all()


def test_what_was_counted_costs_less_than_what_was_not(model, valid):
    def per_note(some):
        return sum(map(model.bits, some)) / sum(m.n_notes for m in some)

    assert per_note(valid[:60]) < per_note(valid[100:160]) - 0.5


def test_intervals_carry_a_tune_to_another_key():
    """Counted in one key, a scale two semitones higher is known by its intervals alone."""
    scale = np.array([60, 62, 64, 65, 67, 69, 71, 72])
    tune = melodies.encode(note_array(np.arange(8.0), np.ones(8), scale))
    with_steps = MelodyNGram().fit([tune])
    without = MelodyNGram(interval_order=0).fit([tune])
    moved = tune.transpose(2)
    assert with_steps.bits(moved) < without.bits(moved) - 5


def test_rests_and_first_notes_have_intervals():
    notes = note_array([1, 3], [1, 1], [60, 64])
    melody = melodies.encode(notes)
    assert melody.pitch.tolist() == [REST, 12, REST, 16, REST]
    assert np.isfinite(MelodyNGram().fit([melody]).bits(melody))


def test_nothing_to_count_is_refused():
    with pytest.raises(ValueError, match="no melodies"):
        MelodyNGram().fit([])
