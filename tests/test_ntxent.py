"""NT-Xent against the article's sum, written as two loops, and against finite differences."""

import math
import os
import subprocess
import sys
from pathlib import Path

import contrastive_script as script
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mircourse import ntxent
from mircourse.contrastive import nt_xent

SCRIPT = Path(script.__file__)


def by_loops(z1, z2, temperature):
    """Return the mean of -log exp(s_ij / t) / sum over k != i of exp(s_ik / t), in longdouble."""
    z = np.concatenate([z1, z2]).astype(np.longdouble)
    total, n = np.longdouble(0), len(z1)
    for i in range(2 * n):
        similar = []
        for k in range(2 * n):
            lengths = np.sqrt((z[i] ** 2).sum()) * np.sqrt((z[k] ** 2).sum())
            similar.append((z[i] * z[k]).sum() / lengths / temperature)
        others = [np.exp(s) for k, s in enumerate(similar) if k != i]
        total += -np.log(np.exp(similar[(i + n) % (2 * n)]) / np.sum(others))
    return float(total / (2 * n))


def views(n, d=5, *, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=generator, dtype=dtype) for _ in range(2)]


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(2, 9),
    d=st.integers(1, 6),
    temperature=st.sampled_from([0.01, 0.07, 0.5, 1.0, 10.0]),
    seed=st.integers(0, 99),
)
def test_the_loss_is_the_double_loop_of_the_equation(n, d, temperature, seed):
    """eq:simclr-ntxent."""
    z1, z2 = views(n, d, seed=seed)
    found = nt_xent(z1, z2, temperature).item()
    assert found == pytest.approx(by_loops(z1.numpy(), z2.numpy(), temperature), rel=1e-9, abs=1e-9)


def test_the_gradient_is_that_of_finite_differences():
    z1, z2 = (z.requires_grad_() for z in views(4, 3))
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.3), (z1, z2))
    assert torch.autograd.gradcheck(lambda a, b: -2.5 * nt_xent(a, b, 0.05), (z1, z2))


def plainly(z1, z2, temperature):
    z = functional.normalize(torch.cat([z1, z2]), dim=1)
    logits = (z @ z.T / temperature).fill_diagonal_(-math.inf)
    return functional.cross_entropy(logits, torch.arange(len(z)).roll(len(z1)))


@pytest.mark.parametrize("block", [1, 700, 1 << 19])
@pytest.mark.parametrize("temperature", [0.01, 0.1])
def test_loss_and_gradient_are_those_of_the_whole_matrix(monkeypatch, block, temperature):
    monkeypatch.setattr(ntxent, "BLOCK", block)  # 16 rows at a time, not a divisor of 50; 7; all
    found = []
    for function in (nt_xent, plainly):
        z1, z2 = (z.requires_grad_() for z in views(25, 8, dtype=torch.float32))
        loss = function(z1, z2, temperature)
        loss.backward()
        found.append((loss, z1.grad, z2.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_matrix_is_never_held(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parents[1] / "benchmarks")
    from parts.beside import peak_megabytes

    z1, z2 = (z.requires_grad_() for z in views(3000, 8, dtype=torch.float32))

    def step():
        nt_xent(z1, z2, 0.1).backward()

    step()
    assert peak_megabytes(step) < 36000000 * 4 / 2**20 / 4  # a quarter of one 6000 x 6000 matrix


def test_exchanging_views_or_shuffling_clips_changes_nothing():
    z1, z2 = views(7)
    loss = nt_xent(z1, z2, 0.2)
    torch.testing.assert_close(nt_xent(z2, z1, 0.2), loss)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(nt_xent(z1[order], z2[order], 0.2), loss)
    torch.testing.assert_close(nt_xent(3 * z1, 0.1 * z2, 0.2), loss)  # only directions count


@pytest.mark.parametrize("n", [2, 5, 64])
def test_vectors_that_are_all_alike_cost_the_logarithm_of_the_others(n):
    z = torch.ones(n, 3)
    assert nt_xent(z, z, 0.07).item() == pytest.approx(math.log(2 * n - 1), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_at_a_low_temperature_is_the_loss_of_the_rounded_vectors(dtype):
    z1, z2 = (z.to(dtype).requires_grad_() for z in views(16, 32))
    loss = nt_xent(z1, z2, 0.01)
    wanted = by_loops(z1.detach().double().numpy(), z2.detach().double().numpy(), 0.01)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(wanted, rel=1e-5)
    loss.backward()
    exact = [z.detach().double().requires_grad_() for z in (z1, z2)]
    plainly(*exact, 0.01).backward()
    for z, other in zip((z1, z2), exact, strict=True):
        assert z.grad.dtype == dtype
        scale = other.grad.abs().max().item()
        torch.testing.assert_close(z.grad.double(), other.grad, atol=0.01 * scale, rtol=0.01)


def test_autocast_does_not_round_it():
    z1, z2 = views(16, 32, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = nt_xent(z1, z2, 0.01)
    torch.testing.assert_close(found, nt_xent(z1, z2, 0.01), rtol=0, atol=0)


def test_opposite_views_at_a_low_temperature_stay_finite():
    z = torch.eye(4)
    z1, z2 = z.clone().requires_grad_(), (-z).requires_grad_()
    loss = nt_xent(z1, z2, 0.01)  # the others are at 0 and the positive at -100
    assert loss.item() == pytest.approx(100 + math.log(6), rel=1e-5)
    loss.backward()
    assert z1.grad.isfinite().all()


def test_a_vector_of_zeros_is_like_nothing_and_harms_nobody():
    z1, z2 = (z.requires_grad_() for z in views(4))
    silent = torch.cat([torch.zeros(1, 5, dtype=z1.dtype), z1[1:]])
    loss = nt_xent(silent, z2, 0.5)
    loss.backward()
    assert loss.isfinite() and z1.grad.isfinite().all()


@pytest.mark.parametrize(
    ("z1", "z2", "temperature", "error", "message"),
    [
        (torch.ones(1, 3), torch.ones(1, 3), 0.1, ValueError, "one clip has no negatives"),
        (torch.ones(2, 3), torch.ones(3, 3), 0.1, ValueError, r"\(2, 3\) and \(3, 3\)"),
        (torch.ones(3), torch.ones(3), 0.1, ValueError, "one shape"),
        (torch.ones(0, 3), torch.ones(0, 3), 0.1, ValueError, "neither 0"),
        (torch.ones(2, 3), torch.tensor([[0.0], [math.nan]]).expand(2, 3), 0.1, ValueError, "z2 "),
        (torch.full((2, 3), math.inf), torch.ones(2, 3), 0.1, ValueError, "first in row 0"),
        (torch.ones(2, 3), torch.ones(2, 3), 0.0, ValueError, r"above 0, got 0\.0"),
        (torch.ones(2, 3), torch.ones(2, 3), math.nan, ValueError, "above 0, got nan"),
        (torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3), 0.1, TypeError, "got torch.int64"),
        ([[1.0]], torch.ones(2, 3), 0.1, TypeError, "z1 must be a tensor.*got list"),
    ],
)
def test_bad_input_is_named(z1, z2, temperature, error, message):
    with pytest.raises(error, match=message):
        nt_xent(z1, z2, temperature)


def test_two_processes_follow_the_gradient_of_one(tmp_path):
    command = [sys.executable, "-W", "error", str(SCRIPT), str(tmp_path / "two.pt")]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])},
    )
    assert done.returncode == 0, done.stderr
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    assert two["processes"] == 2
    # The loss itself: sums over 3 and 2 clips, with the negatives of all 5.
    z1, z2 = (z.requires_grad_() for z in script.clips())
    whole = nt_xent(z1, z2, 0.1)
    (whole * 10).backward()
    first, second = two["shares"]
    assert (6 * first["loss"] + 4 * second["loss"]) / 10 == pytest.approx(whole.item(), rel=1e-12)
    for k, z in enumerate((z1, z2)):
        found = torch.cat([first["grads"][k], second["grads"][k]])
        torch.testing.assert_close(found, z.grad, rtol=1e-9, atol=1e-12)
    # And a whole training; AdamW divides by the gradient's size, so only equal gradients do.
    model, result = script.train()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(two["weights"][name], value, rtol=1e-9, atol=1e-12)
    for one, other in zip(result.history, two["history"], strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-9)
