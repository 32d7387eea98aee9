"""Gaussian latent vectors against torch.distributions, closed forms and exact integrals."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from mircourse import latent


@pytest.fixture(autouse=True)
def double():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Linear:
    """x = w z + noise in one dimension: everything about it is known exactly."""

    w, noise = 1.5, 0.4

    def __init__(self, shift=0.0, scale=1.0):
        self.shift, self.scale = shift, scale  # of the approximate posterior, off the true one

    def encode(self, x):
        precision = 1 + self.w**2 / self.noise**2
        mean = self.w / self.noise**2 * x / precision
        log_variance = torch.full_like(x, -math.log(precision))
        return mean + self.shift, log_variance + 2 * math.log(self.scale)

    def log_likelihood(self, x, z):
        return Normal(self.w * z[:, 0], self.noise).log_prob(x[:, 0])

    def evidence(self, x):
        return Normal(0.0, math.sqrt(self.w**2 + self.noise**2)).log_prob(x[:, 0])


def test_kl_is_that_of_torch():
    """eq:vae-kl."""
    mu, logvar = torch.randn(2, 5, 7)
    theirs = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(latent.kl_divergence(mu, logvar), theirs)


def test_kl_is_a_mean_over_draws():
    mu, logvar = torch.tensor([[0.7, -0.2]]), torch.tensor([[-1.0, 0.3]])
    many = latent.reparameterize(mu.expand(200_000, -1), logvar.expand(200_000, -1))
    q = latent.log_normal(many, mu, logvar)
    p = latent.log_normal(many, torch.zeros(2), torch.zeros(2))
    assert (q - p).mean().item() == pytest.approx(
        latent.kl_divergence(mu, logvar).sum().item(), rel=0.02
    )


def test_kl_keeps_its_digits_beside_the_prior():
    torch.set_default_dtype(torch.float32)
    logvar = torch.tensor([1e-3])
    assert latent.kl_divergence(torch.zeros(1), logvar).item() == pytest.approx(2.5e-7, rel=1e-2)
    assert latent.kl_divergence(torch.zeros(3), torch.zeros(3)).tolist() == [0, 0, 0]


def test_log_normal_is_that_of_torch():
    z, mu, logvar = torch.randn(3, 4, 6)
    theirs = Normal(mu, (0.5 * logvar).exp()).log_prob(z).sum(-1)
    torch.testing.assert_close(latent.log_normal(z, mu, logvar), theirs)


def test_draws_have_their_mean_and_variance_and_pass_gradients():
    """eq:vae-reparameterize."""
    mu = torch.tensor([1.0, -2.0], requires_grad=True)
    logvar = torch.tensor([0.5, -1.5], requires_grad=True)
    z = latent.reparameterize(mu.expand(100_000, -1), logvar.expand(100_000, -1))
    torch.testing.assert_close(z.mean(0), mu, atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(0), logvar.exp(), rtol=0.03, atol=0)
    # d E[z^2] / d mu = 2 mu and / d logvar = sigma^2
    z.square().mean(0).sum().backward()
    torch.testing.assert_close(mu.grad, 2 * mu.detach(), atol=0.05, rtol=0)
    torch.testing.assert_close(logvar.grad, logvar.detach().exp(), atol=0.05, rtol=0)


def test_bounds_of_a_linear_model_reach_its_evidence():
    """eq:vae-elbo and eq:vae-iwae, where the posterior is right."""
    x = torch.randn(40, 1)
    exact = Linear()
    found = latent.bounds(exact, x, samples=5)
    # With the true posterior every weight is the evidence, whatever is drawn.
    torch.testing.assert_close(found["iwae"], exact.evidence(x))
    more = latent.bounds(exact, x, samples=4000)
    torch.testing.assert_close(more["elbo"], exact.evidence(x), atol=0.1, rtol=0)


def test_bounds_of_a_wrong_posterior_are_in_order_and_tighten():
    """eq:vae-elbo and eq:vae-iwae, where it is not."""
    x = torch.randn(300, 1)
    wrong = Linear(shift=0.2, scale=1.5)
    truth = wrong.evidence(x).mean()
    means = [latent.bounds(wrong, x, samples=k, seed=k)["iwae"].mean() for k in (1, 8, 400)]
    elbo = latent.bounds(wrong, x, samples=400)["elbo"].mean()
    assert elbo < means[1] < means[2] < truth + 0.01
    assert means[0].item() == pytest.approx(elbo.item(), abs=0.25)
    assert means[2].item() == pytest.approx(truth.item(), abs=0.02)
    # The gap of the ELBO is the divergence of the two posteriors.
    mu, logvar = wrong.encode(x)
    true_mu, true_logvar = Linear().encode(x)
    gap = kl_divergence(
        Normal(mu, (0.5 * logvar).exp()), Normal(true_mu, (0.5 * true_logvar).exp())
    ).mean()
    assert (truth - elbo).item() == pytest.approx(gap.item(), rel=0.1)


def test_bounds_do_not_depend_on_batches():
    x = torch.randn(11, 1)
    model = Linear(shift=0.1)
    one = latent.bounds(model, x, samples=6, at_once=1000)
    for name, values in latent.bounds(model, x, samples=6, at_once=18).items():
        assert values.shape == (11,)
        # Draws differ from batch to batch: only what has no chance in it is equal.
        if name == "rate":
            torch.testing.assert_close(values, one[name])
    assert latent.bounds(model, x, samples=6, seed=1)["iwae"].tolist() != one["iwae"].tolist()


def test_active_units_are_those_that_vary():
    mu = torch.randn(500, 4) * torch.tensor([1.0, 0.0, 0.05, 0.3])
    assert latent.active_units(mu).tolist() == [True, False, False, True]
    assert not latent.active_units(torch.ones(9, 3)).any()
    with pytest.raises(ValueError, match="two inputs"):
        latent.active_units(mu[:1])


def test_the_arc_keeps_its_length_and_its_pace():
    a = torch.randn(6, 16)
    b = torch.randn(6, 16)
    a, b = a / a.norm(dim=-1, keepdim=True), b / b.norm(dim=-1, keepdim=True)
    points = latent.between(a, b, steps=9, path="spherical")
    torch.testing.assert_close(points.norm(dim=-1), torch.ones(9, 6))
    angles = torch.acos((points[1:] * points[:-1]).sum(-1))  # (8, 6)
    torch.testing.assert_close(angles, angles[:1].expand_as(angles))
    torch.testing.assert_close(angles.sum(0), torch.acos((a * b).sum(-1)))


def test_a_quarter_circle_by_hand():
    """eq:vae-slerp."""
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    half = math.sqrt(0.5)
    torch.testing.assert_close(latent.slerp(a, b, 0.5), torch.tensor([half, half]))
    torch.testing.assert_close(latent.between(a, b, steps=3)[1], torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("scale", [1.0, -2.0, 0.0])
def test_where_there_is_no_arc_the_line_is_taken(scale):
    a = torch.randn(5)
    found = latent.slerp(a, scale * a, 0.25)
    torch.testing.assert_close(found, torch.lerp(a, scale * a, 0.25))


@pytest.mark.parametrize("path", latent.PATHS)
def test_paths_end_at_their_ends(path):
    a, b = torch.randn(2, 3, 8)
    points = latent.between(a, b, steps=4, path=path)
    assert points.shape == (4, 3, 8)
    assert torch.equal(points[0], a) and torch.equal(points[-1], b)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: latent.between(a, a, steps=1), "at least 2"),
        (lambda a: latent.between(a, a, steps=3, path="curved"), "one of"),
        (lambda a: latent.slerp(a, a[:1], 0.5), "one shape"),
        (lambda a: latent.kl_divergence(a, a[:1]), "one shape"),
        (lambda a: latent.bounds(Linear(), a[:0, :1]), "0 inputs"),
        (lambda a: latent.bounds(Linear(), a[:, :1], samples=0), "0 samples"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.randn(3, 4))
