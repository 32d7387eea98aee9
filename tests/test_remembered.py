"""What is trained once is trained again for other settings, seeds and sizes, and only then."""

from mircourse.experiments.remembered import remembered


def test_equal_settings_are_trained_once():
    calls = []

    @remembered
    def train(settings, *, seed, fast):
        """Return what was asked."""
        calls.append((dict(settings), seed, fast))
        return len(calls)

    assert train({"lr": 0.1, "width": 4}, seed=0, fast=False) == 1
    assert train({"width": 4, "lr": 0.1}, seed=0, fast=False) == 1
    assert train({"width": 8, "lr": 0.1}, seed=0, fast=False) == 2
    assert train({"width": 4, "lr": 0.1}, seed=1, fast=False) == 3
    assert train({"width": 4, "lr": 0.1}, seed=0, fast=True) == 4
    assert train({"width": 4, "lr": 0.1}, seed=1, fast=False) == 3
    assert len(calls) == 4
    assert train.__doc__ == "Return what was asked."
