"""Temperature and nucleus against brute force; generation is seeded and independent of batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import melodies
from mircourse.melodies import END, REST
from mircourse.melodyngram import MelodyNGram
from mircourse.sampling import continue_melodies, draw, nucleus

# Multiples of 1/64 in sums of 1: every comparison with a threshold is exact.
parts = st.lists(st.integers(0, 20), min_size=1, max_size=8).filter(any)


def brute_force(p, top_p):
    """The fewest most likely symbols that together have top_p, by trying every number of them."""
    ranked = sorted(range(len(p)), key=lambda i: (-p[i], i))
    for n in range(1, len(p) + 1):
        chosen = ranked[:n]
        if sum(p[i] for i in chosen) >= top_p or n == len(p):
            break
    kept = [p[i] if i in chosen else 0 for i in range(len(p))]
    return np.array(kept) / sum(kept)


@given(parts, st.integers(1, 64))
@settings(max_examples=200, deadline=None)
def test_nucleus_is_the_smallest_set(counts, sixty_fourths):
    counts = [*counts, 64 * -(-sum(counts) // 64) - sum(counts)]  # to a multiple of 64
    p = np.array(counts) / sum(counts)
    top_p = sixty_fourths / 64
    np.testing.assert_allclose(nucleus(p, top_p=top_p), brute_force(p, top_p), atol=1e-12)


@given(parts, st.floats(0.1, 5))
@settings(max_examples=100, deadline=None)
def test_temperature_is_softmax_of_scaled_logarithms(counts, temperature):
    p = np.array(counts, float) / sum(counts)
    powers = p ** (1 / temperature)
    np.testing.assert_allclose(nucleus(p, temperature=temperature), powers / powers.sum())


@given(parts, st.integers(1, 9), st.integers(1, 64))
@settings(max_examples=200, deadline=None)
def test_top_k_then_nucleus_of_what_is_left(counts, k, sixty_fourths):
    p = np.array(counts) / sum(counts)
    ranked = sorted(range(len(p)), key=lambda i: (-p[i], i))
    kept = np.array([p[i] if i in ranked[:k] else 0 for i in range(len(p))])
    kept /= kept.sum()
    np.testing.assert_allclose(nucleus(p, top_k=k), kept, atol=1e-12)
    # Away from the thresholds, where rounding decides.
    top_p = sixty_fourths / 64
    sums = np.cumsum(sorted(kept, reverse=True))
    if np.abs(sums - top_p).min() > 1e-9 or top_p == 1:
        both = nucleus(p, top_k=k, top_p=top_p)
        np.testing.assert_allclose(both, brute_force(kept, top_p), atol=1e-12)


def test_temperature_changes_before_the_nucleus_is_taken():
    p = np.array([0.5, 0.3, 0.2])
    flat = np.sqrt(p) / np.sqrt(p).sum()  # 0.415, 0.322, 0.263
    found = nucleus(p, temperature=2, top_p=0.42)
    np.testing.assert_allclose(found, [flat[0] / flat[:2].sum(), flat[1] / flat[:2].sum(), 0])


def test_top_k_keeps_the_first_of_equals():
    assert nucleus([0.25] * 4, top_k=2).tolist() == [0.5, 0.5, 0, 0]
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        nucleus([1.0], top_k=0)


def test_temperature_zero_takes_the_first_of_the_most_likely():
    p = nucleus([[0.2, 0.4, 0.4], [0.5, 0.3, 0.2]], temperature=0, top_p=0.1)
    assert p.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_low_temperatures_do_not_underflow():
    p = nucleus([1e-300, 2e-300], temperature=0.01)
    np.testing.assert_allclose(p, [0, 1], atol=1e-12)


def test_rows_are_changed_alone():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(6), size=(3, 4))
    whole = nucleus(p, temperature=0.7, top_p=0.6)
    for index in np.ndindex(3, 4):
        np.testing.assert_array_equal(whole[index], nucleus(p[index], temperature=0.7, top_p=0.6))


def test_draws_have_the_frequencies_of_the_distribution():
    p = np.array([0.1, 0.0, 0.6, 0.3])
    rng = np.random.default_rng(0)
    drawn = [int(draw(p[None], [rng])[0]) for _ in range(20000)]
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 20000, p, atol=0.015)


def test_a_draw_never_falls_out_of_the_distribution():
    class Last:
        def random(self):
            return np.nextafter(1, 0)

    assert draw(np.full((1, 3), 1 / 3), [Last()])[0] == 2
    assert draw(np.array([[0.4, 0.6, 0.0]]), [Last()])[0] == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"temperature": -1}, "temperature must be"),
        ({"temperature": np.nan}, "temperature must be"),
        ({"top_p": 0}, "top_p must be"),
        ({"top_p": 1.1}, "top_p must be"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        nucleus([0.5, 0.5], **wrong)


@pytest.mark.parametrize("p", [[0, 0], [-0.5, 1.5], [np.nan, 1], 1.0])
def test_what_is_no_distribution_is_refused(p):
    with pytest.raises(ValueError, match="probabilities must be"):
        nucleus(p)


@pytest.fixture(scope="module")
def tunes():
    return melodies.tunes("valid", collections=["ryan"])[:40]


@pytest.fixture(scope="module")
def model(tunes):
    return MelodyNGram().fit(tunes)


def same(a, b):
    return np.array_equal(a.duration, b.duration) and np.array_equal(a.pitch, b.pitch)


def test_the_same_seed_gives_the_same_tunes_and_another_others(model, tunes):
    prompts = [t.first(8) for t in tunes[:6]]
    first, again, other = (continue_melodies(model, prompts, 20, seed=s) for s in (1, 1, 2))
    assert all(map(same, first, again))
    assert not all(map(same, first, other))


def test_a_tune_does_not_depend_on_its_neighbours(model, tunes):
    prompts = [t.first(8) for t in tunes[:6]]
    whole = continue_melodies(model, prompts, 20, seed=[5, 6, 7, 8, 9, 10])
    alone = continue_melodies(model, prompts[3:4], 20, seed=[8])
    assert same(whole[3], alone[0])


def test_prompts_are_kept_and_ends_come_last(model, tunes):
    prompts = [t.first(k) for k, t in enumerate(tunes)]
    for prompt, made in zip(prompts, continue_melodies(model, prompts, 60), strict=True):
        n = len(prompt)
        assert np.array_equal(made.duration[:n], prompt.duration)
        assert np.array_equal(made.pitch[:n], prompt.pitch)
        assert len(made) == n + 60 or made.ended
        assert not (made.duration[:-1] == END).any()
        assert made.pitch[-1] == REST or not made.ended
        melodies.decode(made)


def test_an_end_in_the_prompt_is_taken_off(model, tunes):
    whole, cut = continue_melodies(model, [tunes[0], tunes[0].first(999)], 5, seed=[0, 0])
    assert same(whole, cut)


def test_temperature_zero_needs_no_seed(model, tunes):
    prompts = [tunes[0].first(8)]
    made = [continue_melodies(model, prompts, 20, temperature=0, seed=s)[0] for s in (1, 2)]
    assert same(*made)


def test_wrong_calls_are_refused(model, tunes):
    with pytest.raises(ValueError, match="expected prompts"):
        continue_melodies(model, [], 5)
    with pytest.raises(ValueError, match="expected prompts"):
        continue_melodies(model, tunes[:1], -1)
    with pytest.raises(ValueError, match="2 seeds for 1 prompts"):
        continue_melodies(model, tunes[:1], 5, seed=[1, 2])
    with pytest.raises(ValueError, match="top_p"):
        continue_melodies(model, tunes[:1], 5, top_p=2)
