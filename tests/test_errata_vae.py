"""What is wrong in the published equation and listing of the VAE section, rebuilt small.

The page `book/reference/errata_vae.md` names these tests; the last test keeps the two together.
"""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mircourse import latent, styletransfer
from mircourse.hierarchicalvae import MelodyVAE
from mircourse.melodybars import FIRST_NOTE
from mircourse.musicvae import MusicVAE

PAGE = Path(__file__).parents[1] / "book" / "reference" / "errata_vae.md"
KEYS = 88


class Listing(nn.Module):
    """The network as printed: its parts, its loss, and the line between two inputs."""

    def __init__(self, size=KEYS, codes=8, width=24):
        super().__init__()

        def layers(*sizes):
            pairs = itertools.pairwise(sizes)
            return [layer for pair in pairs for layer in (nn.Linear(*pair), nn.ReLU())]

        self.encoder = nn.Sequential(*layers(size, width, width))
        self.fc_mu, self.fc_logvar = nn.Linear(width, codes), nn.Linear(width, codes)
        self.decoder = nn.Sequential(*layers(codes, width, width, size)[:-1])
        self.conductor = nn.LSTM(codes, codes // 2, 2)

    def encode(self, x):
        h = self.encoder(x)
        return self.fc_mu(h), self.fc_logvar(h)

    def decode(self, z):
        return torch.sigmoid(self.decoder(z))

    def forward(self, x):
        mu, logvar = self.encode(x)
        z = mu + torch.randn_like(mu) * torch.exp(logvar / 2)
        return self.decode(z), mu, logvar

    def loss(self, recon, x, mu, logvar, beta=1.0):
        fit = F.binary_cross_entropy(recon, x, reduction="sum")
        return fit - beta * 0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())

    def between(self, x1, x2, steps):
        a, b = self.encode(x1)[0], self.encode(x2)[0]
        return torch.stack([self.decode((1 - t) * a + t * b) for t in np.linspace(0, 1, steps)])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def chords():
    x = torch.zeros(6, KEYS)
    for row in x:
        row[torch.randperm(KEYS)[:4]] = 1
    return x


def small(**options):
    return MusicVAE(**{"latent_dim": 8, "hidden_dim": 24} | options)


def nothing(n=1):
    """Mean and log variance of the prior itself: a rate of 0."""
    return torch.zeros(n, 8), torch.zeros(n, 8)


def test_as_a_loss_the_equation_asks_for_the_opposite(chords):
    """What is printed under "loss function" is a bound to be raised; going down it unlearns."""

    def learn(sign):
        torch.manual_seed(0)
        model = small()
        optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(30):
            optimiser.zero_grad()
            recon, mu, logvar = model(chords)
            printed = -model.loss_function(recon, chords, mu, logvar)
            (sign * printed).backward()
            optimiser.step()
        return model.nats(model.logits(model.encode(chords)[0]), chords).mean().item()

    guessing = KEYS * math.log(2)
    assert learn(-1) < guessing / 2 and learn(1) > 2 * guessing


def test_numpy_is_used_and_not_imported(chords):
    names = {"torch": torch, "model": small(), "x": chords}
    with pytest.raises(NameError, match="np"):
        exec("for alpha in np.linspace(0, 1, 3): pass", names)
    assert small().interpolate(chords, chords, 3).shape == (3, 6, KEYS)


def test_the_conductor_is_built_and_never_used(chords):
    listing = Listing()
    listing.loss(*_given(listing, chords)).backward()
    idle = {name.split(".")[0] for name, p in listing.named_parameters() if p.grad is None}
    assert idle == {"conductor"}
    whole = nn.LSTM(256, 128, 2)  # at the article's sizes
    assert sum(p.numel() for p in whole.parameters()) == 329_728

    model = MelodyVAE(
        2, 4, 8, conductor_dim=8, bar_dim=8, encoder_dim=8, embedding=4, decoder="hierarchical"
    )
    x = torch.full((2, 32), FIRST_NOTE)
    model.nats(model(x)[0], x).sum().backward()
    assert all(p.grad is not None for p in model.decoder.conductor.parameters())


def _given(model, x):
    recon, mu, logvar = model(x)
    return recon, x, mu, logvar


def test_what_the_conductor_says_does_not_fit_the_decoder():
    """It halves the vector, and the decoder asks for a whole one."""
    listing = Listing()
    said, _ = listing.conductor(torch.randn(16, 1, 8))  # 16 bars
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        listing.decode(said)
    model = MelodyVAE(2, 5, 8, conductor_dim=9, bar_dim=7, encoder_dim=8, embedding=4)
    assert model.decoder.conduct(torch.randn(1, 5)).shape == (1, 2, 7)


def test_a_sure_and_wrong_key_is_cheap_and_teaches_nothing():
    """The probability is rounded to 1: a cost of 100 in place of 300, and no slope."""
    said = torch.tensor([[300.0] + 87 * [-300.0]], requires_grad=True)
    x = torch.zeros(1, KEYS)
    cost = F.binary_cross_entropy(said.sigmoid(), x, reduction="sum")
    (slope,) = torch.autograd.grad(cost, said)
    assert cost.item() == 100 and slope[0, 0] == 0
    assert (torch.tensor(17.0).sigmoid() == 1).item()  # from here on, in single precision

    ours = small().loss_function(said, x, *nothing())
    (slope,) = torch.autograd.grad(ours, said)
    assert ours.item() == pytest.approx(300) and slope[0, 0] == 1


def test_the_sum_over_the_batch_makes_steps_as_large_as_the_batch(chords):
    listing, model = Listing(), small()

    def slope(loss, network):
        gradients = torch.autograd.grad(loss, list(network.encoder.parameters()))
        return torch.cat([g.flatten() for g in gradients]).norm().item()

    def of(x, network, loss):
        torch.manual_seed(1)
        mu, logvar = network.encode(x)
        return slope(loss(network, x, mu, logvar), network)

    def theirs(network, x, mu, logvar):
        return network.loss(network.decode(mu), x, mu, logvar)

    def ours(network, x, mu, logvar):
        return network.loss_function(network.logits(mu), x, mu, logvar)

    eight = chords.repeat(8, 1)
    assert of(eight, listing, theirs) == pytest.approx(8 * of(chords, listing, theirs), rel=1e-4)
    assert of(eight, model, ours) == pytest.approx(of(chords, model, ours), rel=1e-4)


def test_beta_of_one_is_no_beta_vae(chords):
    """The comment names disentanglement; at the default the loss is the plain bound."""
    listing = Listing()
    recon, mu, logvar = listing(chords)
    plain = F.binary_cross_entropy(recon, chords, reduction="sum")
    plain = plain + latent.kl_divergence(mu, logvar).sum()
    torch.testing.assert_close(listing.loss(recon, chords, mu, logvar), plain)
    assert listing.loss(recon, chords, mu, logvar, beta=4.0) > plain


def test_a_small_rate_loses_its_digits():
    """Near the prior the sum of four numbers keeps hardly a digit of what is left."""
    logvar = torch.linspace(1e-4, 1e-3, 200)
    exact = torch.expm1(logvar.double()) - logvar.double()
    printed = -(1 + logvar - logvar.exp())
    ours = 2 * latent.kl_divergence(torch.zeros_like(logvar), logvar)
    off = [((found - exact) / exact).abs().max() for found in (printed, ours)]
    assert off[0] > 0.9 and off[1] < 0.01


def test_more_numbers_in_the_code_than_keys_in_a_frame():
    """With 256 numbers for 88 keys the network can hand every frame through, music or noise."""
    codes, width = 256, 512
    listing = Listing(KEYS, codes, width)
    ends = [listing.encoder[0], listing.encoder[2], listing.fc_mu, *listing.decoder[::2]]
    with torch.no_grad():
        for layer in ends:
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)
        listing.decoder[-1].weight.mul_(20)
        listing.decoder[-1].bias.fill_(-10)
        noise = (torch.rand(500, KEYS) < 0.5).float()
        copied = (listing.decode(listing.encode(noise)[0]) > 0.5).float()
    assert torch.equal(copied, noise)


def test_a_piece_is_a_bag_of_frames(chords):
    """Nothing knows which frame came first: neither the listing nor our network of frames."""
    order = torch.tensor([5, 3, 0, 1, 4, 2])
    for model in (Listing(), small()):
        torch.testing.assert_close(model.encode(chords[order])[0], model.encode(chords)[0][order])
    model = MelodyVAE(2, 4, 8, conductor_dim=8, bar_dim=8, encoder_dim=8, embedding=4).eval()
    x = FIRST_NOTE + torch.arange(32)[None]
    assert not torch.allclose(model.encode(x)[0], model.encode(x.flip(1))[0])


def test_there_is_no_style_to_transfer():
    public = {name for name in vars(Listing) if not name.startswith("_")}
    assert public == {"encode", "decode", "forward", "loss", "between"}
    assert styletransfer.STYLES and callable(styletransfer.transfer)


def test_the_way_keeps_the_graph_of_all_its_steps(chords):
    found = Listing().between(chords, chords.flip(0), 4)
    assert found.requires_grad
    assert not small().interpolate(chords, chords.flip(0), 4).requires_grad


def test_the_straight_line_passes_where_no_code_is():
    """Half-way between two draws of 256 numbers the length is 0.7 of theirs; the arc keeps it."""
    a, b = torch.randn(2, 100, 256)
    middle = latent.between(a, b, steps=3)[1].norm(dim=-1)
    arc = latent.between(a, b, steps=3, path="spherical")[1].norm(dim=-1)
    draws = torch.randn(2000, 256).norm(dim=-1)
    assert middle.max() < draws.min() < arc.mean() < draws.max()


def test_a_way_of_one_step_never_arrives(chords):
    a, b = chords[:1], chords[1:2]
    listing = Listing()
    torch.testing.assert_close(listing.between(a, b, 1)[0], listing.decode(listing.encode(a)[0]))
    with pytest.raises(RuntimeError, match="non-empty"):
        listing.between(a, b, 0)
    for steps in (0, 1):
        with pytest.raises(ValueError, match="steps must be at least 2"):
            small().interpolate(a, b, steps)


def test_the_ends_of_the_way_are_the_reconstructions(chords):
    """Sound: the listing takes means, not draws."""
    listing = Listing()
    found = listing.between(chords, chords.flip(0), 3)
    recon = listing.decode(listing.encode(chords)[0])
    torch.testing.assert_close(found[0], recon)
    torch.testing.assert_close(found[-1], recon.flip(0))


def test_both_terms_are_sums_so_beta_counts_nats(chords):
    """Sound: a mean over the keys would make the divergence count 88 times as much."""
    listing, model = Listing(), small()
    weights = {k: v for k, v in listing.state_dict().items() if not k.startswith("conductor")}
    model.load_state_dict(weights)
    mu, logvar = listing.encode(chords)
    ours = model.loss_function(model.logits(mu), chords, mu, logvar, 2.0, reduction="sum")
    torch.testing.assert_close(listing.loss(listing.decode(mu), chords, mu, logvar, 2.0), ours)


def test_the_page_and_these_tests_name_each_other():
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    here = {name for name in globals() if name.startswith("test_")}
    assert named == here - {"test_the_page_and_these_tests_name_each_other"}
