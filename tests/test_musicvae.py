"""MusicVAE against closed forms and Monte Carlo, and what its sentences promise."""

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from mircourse.musicvae import MusicVAE


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MusicVAE(latent_dim=6, hidden_dim=32)


@pytest.fixture
def frames():
    """Chords of four notes."""
    generator = torch.Generator().manual_seed(1)
    x = torch.zeros(12, 88)
    for row in x:
        row[torch.randperm(88, generator=generator)[:4]] = 1
    return x


def test_the_signature_is_the_articles():
    model = MusicVAE()
    assert (model.input_dim, model.latent_dim) == (88, 256)
    assert model.encoder[0].out_features == 512
    mu, logvar = model.encode(torch.zeros(2, 88))
    assert mu.shape == logvar.shape == (2, 256)
    assert model.decode(mu).shape == (2, 88)


def test_the_loss_is_that_of_torch_distributions(model, frames):
    """eq:vae-beta; for a beta of 1 minus eq:vae-elbo."""
    recon, mu, logvar = model(frames)
    fit = Bernoulli(logits=recon).log_prob(frames).sum(-1)
    rate = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(-1)
    for beta in (0.0, 1.0, 4.0):
        loss = model.loss_function(recon, frames, mu, logvar, beta)
        torch.testing.assert_close(loss, (beta * rate - fit).mean())
        total = model.loss_function(recon, frames, mu, logvar, beta, reduction="sum")
        torch.testing.assert_close(total, 12 * loss)


def test_minus_the_loss_is_a_mean_over_draws(model, frames):
    """E log p(x|z) - log q(z|x) + log p(z), by 20,000 draws."""
    x = frames[:1]
    mu, logvar = model.encode(x)
    many = 20_000
    z = model.reparameterize(mu.expand(many, -1), logvar.expand(many, -1))
    q = Normal(mu, (0.5 * logvar).exp()).log_prob(z).sum(-1)
    p = Normal(0.0, 1.0).log_prob(z).sum(-1)
    fit = Bernoulli(probs=model.decode(z)).log_prob(x).sum(-1)
    draws = fit + p - q
    losses = model.loss_function(
        model.logits(z), x.expand(many, -1), mu.expand(many, -1), logvar.expand(many, -1)
    )
    assert -losses.item() == pytest.approx(draws.mean().item(), abs=0.02)


def test_a_sure_and_wrong_key_costs_its_logit_and_no_infinity(model):
    recon = torch.zeros(1, 88)
    recon[0, 40] = 300.0  # its probability is 1, rounded
    zero = torch.zeros(1, 6)
    loss = model.loss_function(recon, torch.zeros(1, 88), zero, zero)
    assert loss.item() == pytest.approx(300 + 87 * 0.693147, rel=1e-4)
    assert recon.sigmoid()[0, 40] == 1


def test_probabilities_come_out_and_logits_stay_inside(model, frames):
    mu, _ = model.encode(frames)
    p = model.decode(mu)
    assert ((p > 0) & (p < 1)).all()
    torch.testing.assert_close(torch.logit(p), model.logits(mu), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        model.log_likelihood(frames, mu), Bernoulli(probs=p).log_prob(frames).sum(-1)
    )


def test_gradients_reach_every_parameter(model, frames):
    model.loss_function(*_loss_arguments(model, frames)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def _loss_arguments(model, x, beta=1.0):
    recon, mu, logvar = model(x)
    return recon, x, mu, logvar, beta


def test_one_batch_is_learnt_by_heart_and_a_great_beta_collapses(frames):
    def learn(beta):
        torch.manual_seed(0)
        model = MusicVAE(latent_dim=8, hidden_dim=64)
        optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(200):
            optimiser.zero_grad()
            model.loss_function(*_loss_arguments(model, frames, beta)).backward()
            optimiser.step()
        mu, _ = model.encode(frames)
        return mu.detach(), -model.log_likelihood(frames, mu).mean().item()

    from mircourse.latent import active_units

    mu, distortion = learn(0.01)
    assert distortion < 0.5 and active_units(mu).sum() >= 3
    mu, distortion = learn(200.0)
    assert distortion > 10 and not active_units(mu).any()


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_interpolation_ends_at_the_reconstructions(model, frames, path):
    a, b = frames[:3], frames[3:6]
    found = model.interpolate(a, b, 5, path=path)
    assert found.shape == (5, 3, 88)
    torch.testing.assert_close(found[0], model.decode(model.encode(a)[0]))
    torch.testing.assert_close(found[-1], model.decode(model.encode(b)[0]))
    middle = 0.5 * (model.encode(a)[0] + model.encode(b)[0])
    if path == "linear":
        torch.testing.assert_close(found[2], model.decode(middle))
    assert model.interpolate(a, b).shape == (10, 3, 88)


def test_an_input_does_not_depend_on_its_batch(model, frames):
    whole = model.encode(frames)[0]
    torch.testing.assert_close(model.encode(frames[4:5])[0], whole[4:5])
    assert model.encode(frames[:0])[0].shape == (0, 6)
    silence = model.encode(torch.zeros(1, 88))[0]
    assert silence.isfinite().all()


def test_matches_count_keys(model):
    x = torch.zeros(2, 88)
    x[0, [1, 2, 3]] = 1
    recon = torch.full((2, 88), -1.0)
    recon[0, [2, 3, 4, 5]] = 1.0
    assert model.matches(recon, x).tolist() == [2, 4, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.encode(torch.zeros(2, 87)), r"floats \(B, 88\)"),
        (lambda m: m.encode(torch.zeros(88)), r"floats \(B, 88\)"),
        (lambda m: m.encode(torch.zeros(2, 88, dtype=torch.long)), "int64"),
        (lambda m: m.encode(torch.full((1, 88), 2.0)), r"in \[0, 1\]"),
        (lambda m: m.encode(torch.full((1, 88), float("nan"))), "NaN"),
        (lambda m: m.loss_function(*4 * [torch.zeros(1, 6)], beta=-1), "beta"),
        (
            lambda m: m.loss_function(
                torch.zeros(1, 88), torch.zeros(2, 88), torch.zeros(1, 6), torch.zeros(1, 6)
            ),
            "do not fit",
        ),
        (
            lambda m: m.loss_function(
                *2 * [torch.zeros(1, 88)], *2 * [torch.zeros(1, 6)], reduction="none"
            ),
            "mean or sum",
        ),
        (lambda m: m.interpolate(torch.zeros(1, 88), torch.zeros(1, 88), 1), "at least 2"),
        (lambda m: MusicVAE(0), "at least 1"),
    ],
)
def test_bad_input_is_refused(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)
