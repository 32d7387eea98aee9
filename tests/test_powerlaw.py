"""A power law with a floor: found again where it holds, and as good as a general optimiser."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from mircourse import powerlaw
from mircourse.powerlaw import PowerLaw

N = np.array([20, 60, 200, 600, 2000])


@settings(max_examples=20, deadline=None)
@given(
    floor=st.floats(0.0, 5.0),
    scale=st.floats(0.5, 20.0),
    exponent=st.floats(0.1, 1.5),
)
def test_a_law_is_found_again(floor, scale, exponent):
    law = PowerLaw(floor, scale, exponent)
    found = powerlaw.fit(N, law(N))
    np.testing.assert_allclose(found(N), law(N), atol=1e-2 * scale * 20**-exponent)
    assert found.exponent == pytest.approx(exponent, rel=0.1)


def test_ten_times_the_data_leave_what_the_exponent_says():
    law = PowerLaw(2.0, 8.0, 0.5)
    assert law(1) == 10.0
    assert (law(1000) - 2) / (law(100) - 2) == pytest.approx(10**-0.5)


def test_with_noise_it_is_as_good_as_a_general_optimiser():
    rng = np.random.default_rng(0)
    losses = PowerLaw(3.0, 9.0, 0.4)(N) + 0.02 * rng.standard_normal((5, len(N)))
    for loss in losses:
        theirs, _ = curve_fit(
            lambda n, a, b, c: a + b * n**-c, N, loss, p0=(2.5, 8, 0.5), maxfev=20000
        )
        ours = powerlaw.fit(N, loss)
        error = np.square(ours(N) - loss).sum()
        assert error <= 1.001 * np.square(PowerLaw(*theirs)(N) - loss).sum() + 1e-9
        assert ours.exponent == pytest.approx(theirs[2], abs=0.02)


def test_without_a_floor_it_is_a_line_of_logarithms():
    found = powerlaw.fit(N, 7 * N**-0.3, floor=False)
    assert found.floor == 0.0
    assert (found.scale, found.exponent) == pytest.approx((7, 0.3), rel=0.01)


def test_a_floor_is_never_negative():
    assert powerlaw.fit(N, 5 - 0.5 * np.log(N)).floor >= 0


def test_losses_that_do_not_fall_have_no_slope():
    law = powerlaw.fit(N, np.full(5, 3.0))
    np.testing.assert_allclose(law(N), 3.0)


def test_intervals_hold_the_truth_and_shrink_to_it():
    law = PowerLaw(3.0, 9.0, 0.5)
    noisy = powerlaw.bootstrapped(
        N, law(N), lambda rng: law(N) + 0.05 * rng.standard_normal(5), draws=60
    )
    for found, truth in zip(noisy, (law.exponent, law.floor), strict=True):
        assert found.low < truth < found.high
        assert found.mean == pytest.approx(truth, rel=0.05)
    still = powerlaw.bootstrapped(N, law(N), lambda rng: law(N), draws=3)
    assert all(found.high - found.low < 1e-9 for found in still)


@pytest.mark.parametrize(
    ("n", "loss", "match"),
    [
        ([1, 2, 3], [1, 2], "of one shape"),
        ([0, 2, 3], [1, 2, 3], "above 0"),
        ([1, 2, 3], [1, np.nan, 3], "finite"),
        ([1, 2, 2], [1, 2, 3], "3 different amounts"),
    ],
)
def test_what_is_no_learning_curve_is_refused(n, loss, match):
    with pytest.raises(ValueError, match=match):
        powerlaw.fit(n, loss)
