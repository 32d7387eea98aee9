"""The cosine of two losses' gradients, against gradients worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from mircourse.gradients import gradient_cosines


def test_the_cosine_is_that_of_gradients_worked_out_by_hand():
    """eq:practice-cosine."""
    rng = np.random.default_rng(0)
    w = nn.Parameter(torch.from_numpy(rng.standard_normal(5)))
    v = nn.Parameter(torch.from_numpy(rng.standard_normal((2, 3))))
    a, b = rng.standard_normal(5), rng.standard_normal((2, 3))
    # Of |w - a|² + |v|², and of <b, v>: 2 (w - a), 2 v; and 0, b.
    losses = {
        "near": (w - torch.from_numpy(a)).square().sum() + v.square().sum(),
        "along": (torch.from_numpy(b) * v).sum(),
    }
    g = np.concatenate([2 * (w.detach().numpy() - a), 2 * v.detach().numpy().ravel()])
    h = np.concatenate([np.zeros(5), b.ravel()])
    wanted = g @ h / np.sqrt((g @ g) * (h @ h))
    found = gradient_cosines(losses, [w, v])
    assert found == {("near", "along"): pytest.approx(wanted)}


def test_pairs_come_in_the_order_of_the_losses():
    w = nn.Parameter(torch.tensor([1.0, 2.0]))
    losses = {"up": w.sum(), "down": -3 * w.sum(), "aside": w[0] - w[1], "nothing": 0 * w.sum()}
    found = gradient_cosines(losses, [w])
    assert list(found) == [
        ("up", "down"),
        ("up", "aside"),
        ("up", "nothing"),
        ("down", "aside"),
        ("down", "nothing"),
        ("aside", "nothing"),
    ]
    assert found["up", "down"] == pytest.approx(-1)
    assert found["up", "aside"] == pytest.approx(0) and found["up", "nothing"] == 0
    assert w.grad is None


def test_a_step_down_one_loss_goes_up_the_other_where_the_cosine_is_negative():
    torch.manual_seed(0)
    for _ in range(20):
        w = nn.Parameter(torch.randn(6))
        a, b = torch.randn(2, 6)

        def losses(w, a=a, b=b):
            return {"a": (w - a).square().sum(), "b": (w - b).square().sum()}

        before = losses(w)
        cosine = gradient_cosines(before, [w])["a", "b"]
        (slope,) = torch.autograd.grad(before["a"], w)
        after = losses(w.detach() - 1e-4 * slope)
        assert after["a"] < before["a"]
        assert (after["b"] > before["b"]) == (cosine < 0)


def test_what_is_no_loss_is_refused():
    w = nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="got 1 losses"):
        gradient_cosines({"a": w.sum()}, [w])
    with pytest.raises(ValueError, match="0 parameters"):
        gradient_cosines({"a": w.sum(), "b": w.sum()}, [])
    with pytest.raises(ValueError, match="'b' must be a finite scalar"):
        gradient_cosines({"a": w.sum(), "b": w}, [w])
    with pytest.raises(ValueError, match="'b' must be a finite scalar"):
        gradient_cosines({"a": w.sum(), "b": w.sum() * float("nan")}, [w])
