"""The networks for melodies: step by step as all at once, bar by bar, and what is refused."""

import pytest
import torch
from torch.distributions import Categorical

from mircourse import melodybars
from mircourse.hierarchicalvae import DECODERS, MelodyVAE, note_matches
from mircourse.melodybars import FIRST_NOTE, N_SYMBOLS
from mircourse.melodydecoders import START, drawing, likeliest

SMALL = {"conductor_dim": 12, "bar_dim": 8, "encoder_dim": 10, "embedding": 6}


def small(decoder, *, bars=2, steps=16, **options):
    torch.manual_seed(0)
    return MelodyVAE(bars, 5, 14, decoder=decoder, steps=steps, **SMALL, **options).eval()


@pytest.fixture(scope="module")
def tunes():
    found = [melodybars.windows(p, bars=2)[0].symbols for p in melodybars.tunes("valid")[:6]]
    return torch.stack([torch.from_numpy(row) for row in found])


@pytest.mark.parametrize("decoder", DECODERS)
def test_written_step_by_step_is_what_teacher_forcing_says_of_it(decoder, tunes):
    model = small(decoder)
    mu, _ = model.encode(tunes)
    written = model.write(mu)
    logits = model.logits(mu, written)
    assert torch.equal(logits.argmax(-1), written)
    drawn = model.write(mu, temperature=1.0, seed=3)
    assert torch.equal(drawn, model.write(mu, temperature=1.0, seed=3))
    assert not torch.equal(drawn, model.write(mu, temperature=1.0, seed=4))
    assert drawn.shape == tunes.shape and drawn.min() >= 0 and drawn.max() < N_SYMBOLS


@pytest.mark.parametrize("decoder", DECODERS)
def test_stepwise_logits_are_the_teacher_forced_ones(decoder, tunes):
    """The decoder is fed the right symbols one at a time; each set of logits is kept."""
    model = small(decoder)
    z = model.encode(tunes)[0]
    seen = []

    def teach(logits):
        seen.append(logits)
        rows = tunes.view(len(logits), -1)  # by bars, if there are so many rows
        return rows[:, len(seen) - 1]

    model.decoder.write(z, teach)
    stepwise = torch.stack(seen, dim=1).view(*tunes.shape, -1)
    torch.testing.assert_close(stepwise, model.logits(z, tunes), atol=1e-5, rtol=1e-4)


def test_the_likelihood_is_that_of_categories(tunes):
    model = small("hierarchical")
    z = torch.randn(len(tunes), 5)
    theirs = Categorical(logits=model.logits(z, tunes)).log_prob(tunes).sum(-1)
    torch.testing.assert_close(model.log_likelihood(tunes, z), theirs)


@pytest.mark.parametrize("decoder", DECODERS)
def test_no_symbol_is_said_after_it_was_read(decoder, tunes):
    model = small(decoder)
    z = torch.randn(len(tunes), 5)
    changed = tunes.clone()
    changed[:, 9] = (changed[:, 9] + 1) % N_SYMBOLS
    a, b = model.logits(z, tunes), model.logits(z, changed)
    assert torch.equal(a[:, :10], b[:, :10])
    assert not torch.allclose(a[:, 10], b[:, 10])


def test_a_bar_begins_anew_under_the_conductor_and_goes_on_in_the_flat_decoder(tunes):
    """eq:vae-conductor: given that, bars are independent of one another."""
    z = torch.randn(len(tunes), 5)
    changed = tunes.clone()
    changed[:, :16] = (changed[:, :16] + 1) % N_SYMBOLS
    for decoder, same in (("hierarchical", True), ("flat", False)):
        model = small(decoder)
        second = [model.logits(z, x)[:, 16:] for x in (tunes, changed)]
        assert torch.allclose(*second) == same


def test_the_conductor_makes_an_embedding_of_each_bar(tunes):
    """eq:vae-conductor: what the conductor says."""
    model = small("hierarchical")
    z = torch.randn(3, 5)
    bars = model.decoder.conduct(z)
    assert bars.shape == (3, 2, 8)
    assert not torch.allclose(bars[:, 0], bars[:, 1])
    # By hand: nn.LSTM's own cell, the state from z, and at every bar its share of z.
    decoder = model.decoder
    cell = torch.nn.LSTMCell(8, 12)
    cell.load_state_dict(
        {k.removesuffix("_l0"): v for k, v in decoder.conductor.state_dict().items()}
    )
    state = torch.tanh(decoder.initial(z)).chunk(2, dim=-1)
    shares = decoder.share(z).chunk(2, dim=-1)
    for k in range(2):
        state = cell(shares[k], state)
        expected = torch.tanh(decoder.to_bar(decoder.norm(state[0])))
        torch.testing.assert_close(bars[:, k], expected)


def test_the_encoder_keeps_each_direction_where_it_has_read_the_bar(tunes):
    encoder = small("flat").encoder
    kept = {}
    encoder.norm.register_forward_pre_hook(lambda _, given: kept.update(lines=given[0]))
    encoder(tunes)
    lines = kept["lines"]  # (B, bars, 2 H)
    changed = tunes.clone()
    changed[:, 16:] = (changed[:, 16:] + 1) % N_SYMBOLS
    encoder(changed)
    # The forward direction has not yet read the second bar, the backward one has.
    assert torch.allclose(kept["lines"][:, 0, :10], lines[:, 0, :10])
    assert not torch.allclose(kept["lines"][:, 0, 10:], lines[:, 0, 10:])


@pytest.mark.parametrize("decoder", DECODERS)
def test_gradients_reach_every_parameter(decoder, tunes):
    model = small(decoder).train()
    recon, mu, logvar = model(tunes)
    (model.nats(recon, tunes) + mu.square().sum(-1) + logvar.exp().sum(-1)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("decoder", DECODERS)
def test_one_batch_is_learnt_by_heart(decoder, tunes):
    torch.manual_seed(1)
    tunes = tunes[:3]
    options = {"conductor_dim": 48, "bar_dim": 32, "encoder_dim": 32, "embedding": 16}
    model = MelodyVAE(2, 16, 64, decoder=decoder, **options)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.008)
    for _ in range(260):
        optimiser.zero_grad()
        mu, _ = model.encode(tunes)
        loss = model.nats(model.logits(mu, tunes), tunes).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.eval()
    mu, _ = model.encode(tunes)
    right, said, there = note_matches(model.write(mu), tunes).sum(0).tolist()
    assert 2 * right / (said + there) > 0.97


def test_interpolation_ends_at_the_reconstructions(tunes):
    model = small("hierarchical")
    a, b = tunes[:2], tunes[2:4]
    found = model.interpolate(a, b, 4)
    assert found.shape == (4, 2, 32)
    assert torch.equal(found[0], model.write(model.encode(a)[0]))
    assert torch.equal(found[-1], model.write(model.encode(b)[0]))


def test_a_melody_does_not_depend_on_its_batch(tunes):
    model = small("hierarchical")
    whole, _ = model.encode(tunes)
    torch.testing.assert_close(model.encode(tunes[2:3])[0], whole[2:3])
    assert torch.equal(model.write(whole)[2:3], model.write(whole[2:3]))


def test_bars_of_twelve_steps():
    model = small("hierarchical", steps=12, bars=3)
    x = torch.zeros(2, 36, dtype=torch.long)
    assert model.write(model.encode(x)[0]).shape == (2, 36)


def test_forgetting_hides_symbols_in_training_alone(tunes):
    model = small("flat", forget=0.5)
    z = torch.randn(len(tunes), 5)
    assert torch.equal(model.logits(z, tunes), model.logits(z, tunes))
    model.train()
    seen = []
    model.decoder.writer.symbol.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.logits(z, tunes)
    hidden = (seen[0][:, 1:] == START).float().mean().item()
    assert 0.3 < hidden < 0.7


def test_matches_by_hand():
    n = FIRST_NOTE
    truth = torch.tensor([[n, 0, n + 5, 1], [n, n, n, n]])
    found = torch.tensor([[n, n, n + 6, 1], [0, 0, 0, 0]])
    assert note_matches(found, truth).tolist() == [[1, 3, 2], [0, 0, 4]]


def test_choices():
    logits = torch.tensor([[0.0, 3.0, 1.0]]).repeat(4000, 1)
    assert likeliest(logits)[0] == 1
    draws = drawing(temperature=1.0, seed=0)(logits)
    share = torch.bincount(draws, minlength=3) / 4000
    torch.testing.assert_close(share, logits[0].softmax(-1), atol=0.03, rtol=0)
    with pytest.raises(ValueError, match="temperature"):
        drawing(temperature=0.0, seed=0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, x: m.encode(x[:, :31]), ValueError, "2 bars of 16 steps"),
        (lambda m, x: m.encode(x[0]), ValueError, "2 bars of 16 steps"),
        (lambda m, x: m.encode(x.float()), TypeError, "whole numbers"),
        (lambda m, x: m.encode(torch.full_like(x, N_SYMBOLS)), ValueError, "go from 0 to 54"),
        (lambda m, x: m.write(torch.zeros(2, 4)), ValueError, r"\(B, 5\)"),
        (lambda m, x: m.write(torch.zeros(2, 5), temperature=-1), ValueError, "temperature"),
        (lambda m, x: MelodyVAE(0), ValueError, "at least 1"),
        (lambda m, x: MelodyVAE(2, steps=10), ValueError, "multiple of 4"),
        (lambda m, x: MelodyVAE(2, decoder="deep"), ValueError, "one of"),
        (lambda m, x: MelodyVAE(2, forget=1.0), ValueError, "forget"),
    ],
)
def test_bad_input_is_refused(tunes, call, error, message):
    with pytest.raises(error, match=message):
        call(small("flat"), tunes)
