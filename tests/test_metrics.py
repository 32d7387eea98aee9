import doctest

import mir_eval
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import intervals, metrics
from mircourse.metrics import (
    Interval,
    accuracy,
    balanced_accuracy,
    bootstrap,
    bootstrap_statistic,
    confusion,
    macro_f1,
    onset_f_measure,
    onset_scores,
    paired_difference,
)

CLASSIFICATION = [accuracy, balanced_accuracy, macro_f1, confusion]
pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


@settings(deadline=None, max_examples=30)
@given(pairs)
def test_classification_by_counting(items):
    true, guess = np.array(items).T
    table = confusion(true, guess, labels=range(5))
    assert table.tolist() == [[items.count((r, c)) for c in range(5)] for r in range(5)]
    right = np.diag(table)
    assert accuracy(true, guess) == pytest.approx(right.sum() / len(items))
    present = table.sum(axis=1) > 0
    recall = right[present] / table.sum(axis=1)[present]
    assert balanced_accuracy(true, guess) == pytest.approx(recall.mean())
    occurs = table.sum(axis=1) + table.sum(axis=0)
    f1 = 2 * right[occurs > 0] / occurs[occurs > 0]
    assert macro_f1(true, guess) == pytest.approx(f1.mean())
    assert macro_f1(true, guess, labels=range(5)) == pytest.approx(f1.sum() / 5)


def test_classification_agrees_with_scikit_learn_on_names():
    rng = np.random.default_rng(1)
    true, guess = rng.choice(["reel", "jig", "waltz"], size=(2, 90))
    assert accuracy(true, guess) == sk.accuracy_score(true, guess)
    assert balanced_accuracy(true, guess) == sk.balanced_accuracy_score(true, guess)
    assert macro_f1(true, guess) == sk.f1_score(true, guess, average="macro")
    np.testing.assert_array_equal(confusion(true, guess), sk.confusion_matrix(true, guess))


@pytest.mark.parametrize("metric", CLASSIFICATION)
@pytest.mark.parametrize(
    ("true", "guess", "message"),
    [
        ([], [], r"at least one item"),
        ([1, 2], [1], r"shape \(2,\) and estimated \(1,\)"),
        ([[1]], [[1]], r"\(1, 1\)"),
        ([0.0, np.nan], [0, 1], "reference labels hold NaN"),
        ([0, 1], [0.2, 0.8], "estimated labels are float64"),
    ],
)
def test_bad_labels_are_refused(metric, true, guess, message):
    with pytest.raises(ValueError, match=message):
        metric(true, guess)


def test_confusion_refuses_unknown_labels():
    with pytest.raises(ValueError, match=r"labels \[3\] occur but are not in \[0, 1\]"):
        confusion([0, 3], [0, 1], labels=[0, 1])


def test_a_constant_predictor():
    true, guess = [0] * 90 + [1] * 10, [0] * 100
    assert accuracy(true, guess) == 0.9
    assert balanced_accuracy(true, guess) == 0.5


def test_onsets_agree_with_mir_eval():
    rng = np.random.default_rng(0)
    true = np.sort(rng.uniform(0, 10, 40))
    guess = np.sort(np.concatenate([true[::2] + rng.normal(0, 0.03, 20), rng.uniform(0, 10, 9)]))
    guess = guess[guess >= 0]
    for window in (0.02, 0.05, 0.1):
        wanted = mir_eval.onset.f_measure(true, guess, window=window)
        got = onset_scores(rng.permutation(true), rng.permutation(guess), window=window)
        assert (got.f_measure, got.precision, got.recall) == wanted
        assert 0 < onset_f_measure(true, guess, window=window) < 1
    assert onset_f_measure(true, true) == 1


def test_an_onset_is_paired_once():
    got = onset_scores([1.0], [0.98, 1.0, 1.02])
    assert (got.precision, got.recall) == (pytest.approx(1 / 3), 1.0)


@pytest.mark.parametrize(("true", "guess"), [([], []), ([1.0], []), ([], [1.0])])
def test_no_onsets_score_zero(true, guess):
    assert onset_scores(true, guess) == onset_scores([], [])
    assert onset_f_measure(true, guess) == 0


@pytest.mark.parametrize(
    ("true", "guess", "window", "message"),
    [
        ([np.nan], [1.0], 0.05, "reference onsets hold"),
        ([1.0], [-1.0], 0.05, "estimated onsets hold negative"),
        ([[1.0]], [1.0], 0.05, r"shape \(1, 1\)"),
        ([40000.0], [1.0], 0.05, "30000"),
        ([1.0], [1.0], 0.0, "window=0.0"),
    ],
)
def test_bad_onsets_are_refused(true, guess, window, message):
    with pytest.raises(ValueError, match=message):
        onset_scores(true, guess, window=window)


def test_bootstrap_agrees_with_scipy():
    scores = np.random.default_rng(0).beta(2, 1, 80)
    wanted = scipy.stats.bootstrap(
        (scores,), np.mean, n_resamples=20000, method="percentile", rng=1
    ).confidence_interval
    got = bootstrap(scores, n=20000)
    assert got.mean == pytest.approx(scores.mean())
    spread = wanted.high - wanted.low
    assert (got.low, got.high) == pytest.approx(tuple(wanted), abs=0.03 * spread)


def brute_force(scores, groups, n, rng):
    """Draw groups one by one and seeds one by one, gather their items, average."""
    names = np.unique(groups)
    means = []
    for _ in range(n):
        index = np.concatenate([np.flatnonzero(groups == g) for g in rng.choice(names, names.size)])
        means.append(scores[rng.integers(len(scores), size=len(scores))][:, index].mean())
    return np.quantile(means, [0.025, 0.975])


@pytest.mark.parametrize("n_seeds", [1, 4])
def test_bootstrap_over_groups_agrees_with_brute_force(n_seeds):
    rng = np.random.default_rng(3)
    groups = rng.choice(12, size=60, p=np.arange(1, 13) / 78)  # unequal sizes
    level = rng.normal(size=12)[groups] + 0.5 * rng.normal(size=(n_seeds, 1))
    scores = level + 0.1 * rng.normal(size=(n_seeds, 60))
    low, high = brute_force(scores, groups, 3000, rng)
    got = bootstrap(scores, groups=groups, n=8000)
    assert got.mean == pytest.approx(scores.mean())
    assert (got.low, got.high) == pytest.approx((low, high), abs=0.06 * (high - low))
    runs = [lambda i, run=run: run[i].mean() for run in scores]
    statistic = bootstrap_statistic(runs, 60, groups=groups, n=3000)
    assert statistic.mean == pytest.approx(got.mean)
    assert (statistic.low, statistic.high) == pytest.approx((low, high), abs=0.06 * (high - low))


def test_blocks_do_not_change_the_answer(monkeypatch):
    scores = np.random.default_rng(0).normal(size=50)
    whole = bootstrap(scores, n=4000)
    monkeypatch.setattr("mircourse.intervals._BLOCK", 700)
    parts = bootstrap(scores, n=4000)
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), abs=0.02)


def test_intervals_cover_the_truth_only_if_groups_are_drawn():
    """Items of a group share most of their score; the truth is 0."""
    covered = {"groups": 0, "items": 0}
    trials = 150
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        groups = np.repeat(np.arange(25), 8)
        scores = rng.normal(size=25)[groups] + 0.3 * rng.normal(size=200)
        for name, given_groups in (("groups", groups), ("items", None)):
            interval = bootstrap(scores, groups=given_groups, n=400, seed=trial)
            covered[name] += interval.low <= 0 <= interval.high
    assert 0.87 <= covered["groups"] / trials <= 0.99
    assert covered["items"] / trials < 0.7


def test_seeds_widen_the_interval():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(5, 1)) + rng.normal(size=(5, 300))
    several, pooled = bootstrap(scores), bootstrap(scores.mean(axis=0))
    assert several.high - several.low > 3 * (pooled.high - pooled.low)


def test_bootstrap_is_reproducible_and_level_matters():
    scores = np.random.default_rng(0).normal(size=30)
    assert bootstrap(scores, seed=4) == bootstrap(scores, seed=4) != bootstrap(scores, seed=5)
    narrow, wide = bootstrap(scores, level=0.5), bootstrap(scores, level=0.99)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_one_group_cannot_vary():
    assert bootstrap([0.2, 0.4], groups=["a", "a"]) == Interval(
        pytest.approx(0.3), pytest.approx(0.3), pytest.approx(0.3)
    )
    assert bootstrap([1.0]) == Interval(1.0, 1.0, 1.0)
    one = bootstrap_statistic(lambda i: float(len(i)), 3, groups=[0, 0, 0], n=10)
    assert one == Interval(3.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ([], {}, r"shape \(0,\)"),
        (np.zeros((2, 0)), {}, r"shape \(2, 0\)"),
        (np.zeros((1, 1, 1)), {}, r"shape \(1, 1, 1\)"),
        ([1.0, np.nan], {}, "1 scores are NaN"),
        ([1.0, 2.0], {"groups": [1]}, r"groups have shape \(1,\).*2 items"),
        ([1.0], {"n": 0}, "n=0"),
        ([1.0], {"level": 1.0}, "level=1.0"),
    ],
)
def test_bootstrap_refuses(scores, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(scores, **options)


def test_bootstrap_statistic_refuses():
    with pytest.raises(ValueError, match="n_items=0"):
        bootstrap_statistic(lambda i: 0.0, 0)
    with pytest.raises(ValueError, match="NaN or infinite on a resample"):
        bootstrap_statistic(lambda i: float("nan"), 3, n=5)


def test_paired_difference_sees_what_intervals_hide():
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=200)
    a, b = difficulty + 0.1 + 0.2 * rng.normal(size=200), difficulty
    difference = paired_difference(a, b)
    assert difference == bootstrap(a - b)
    assert difference.low > 0
    assert bootstrap(a).low < bootstrap(b).high
    same = paired_difference(a, a)
    assert same == Interval(0.0, 0.0, 0.0)


def test_paired_difference_of_runs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 40)), rng.normal(size=40)
    assert paired_difference(a, b) == bootstrap(a - b) == paired_difference(a, b[None])
    for bad in (rng.normal(size=39), rng.normal(size=(3, 40))):
        with pytest.raises(ValueError, match=r"a has shape \(5, 40\)"):
            paired_difference(a, bad)


def test_an_interval_prints():
    interval = Interval(0.8666, 0.831, 0.909)
    assert str(interval) == "0.87 [0.83, 0.91]"
    assert f"{interval:.1%}" == "86.7% [83.1%, 90.9%]"


@pytest.mark.parametrize("module", [intervals, metrics])
def test_examples(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted and not outcome.failed
