"""Mutual information against scikit-learn, and gaps of codes that are known to be good or bad."""

import numpy as np
import pytest

from mircourse import disentanglement
from mircourse.disentanglement import binned, information, mig, mutual_information, sap


@pytest.fixture
def factors():
    return np.random.default_rng(0).normal(size=(2000, 2))


def test_mutual_information_is_that_of_sklearn():
    """eq:vae-mig: the information in it."""
    from sklearn.metrics import mutual_info_score

    rng = np.random.default_rng(1)
    a = rng.integers(0, 7, 500)
    b = (a + rng.integers(0, 3, 500)) % 5
    c = rng.integers(0, 9, 500)
    found = mutual_information(np.stack([a, c], axis=1), b)
    np.testing.assert_allclose(found, [mutual_info_score(a, b), mutual_info_score(c, b)])
    _, counts = np.unique(a, return_counts=True)
    share = counts / counts.sum()
    assert disentanglement.entropy(a) == pytest.approx(-(share * np.log(share)).sum())


def test_bins_hold_about_equal_counts_and_equal_numbers_stay_together():
    counts = np.bincount(binned(np.random.default_rng(0).normal(size=1000), bins=10))
    assert len(counts) == 10 and counts.min() > 90 and counts.max() < 110
    high, low, again, last = binned([3, 1, 1, 3])
    assert low == again < high == last
    assert len(set(binned(np.array([0.0, 1.0] * 50)).tolist())) == 2


def test_a_code_of_the_factors_themselves_has_gaps_of_one(factors):
    """eq:vae-mig."""
    code = np.concatenate([np.exp(factors), np.zeros((2000, 1))], axis=1)
    np.testing.assert_allclose(information(code, factors)[:2].diagonal(), 1)
    assert (mig(code, factors) > 0.9).all()
    assert (sap(factors, factors) > 0.95).all()


def test_a_code_that_says_all_twice_has_no_gap(factors):
    twice = np.concatenate([factors, factors], axis=1)
    np.testing.assert_allclose(mig(twice, factors), 0, atol=1e-9)
    np.testing.assert_allclose(sap(twice, factors), 0, atol=1e-9)


def test_a_turned_code_has_a_smaller_gap(factors):
    turn = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    assert (mig(factors @ turn, factors) < 0.1).all()
    assert (sap(factors @ turn, factors) < 0.1).all()


def test_noise_tells_next_to_nothing(factors):
    noise = np.random.default_rng(3).normal(size=(2000, 4))
    assert information(noise, factors).max() < 0.06
    assert mig(noise, factors).max() < 0.02


@pytest.mark.parametrize(
    ("z", "v", "message"),
    [
        (np.zeros((3, 2)), np.zeros((4, 1)), r"\(3, 2\) and \(4, 1\)"),
        (np.zeros((0, 2)), np.zeros((0, 1)), "expected"),
        (np.zeros((3, 2)), np.ones((3, 1)), "same throughout"),
        (np.full((3, 2), np.nan), np.arange(3.0)[:, None], "finite"),
        (np.arange(3.0)[:, None], np.arange(3.0)[:, None], "two latent numbers|between two"),
    ],
)
def test_bad_input_is_refused(z, v, message):
    for measure in (mig, sap):
        with pytest.raises(ValueError, match=message):
            measure(z, v)
