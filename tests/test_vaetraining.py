"""The loss of training against its formula, annealing, free bits, and training itself."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mircourse import latent, melodybars, training
from mircourse.hierarchicalvae import MelodyVAE
from mircourse.melodybars import FIRST_NOTE, N_SYMBOLS, REST
from mircourse.musicvae import MusicVAE
from mircourse.vaetraining import Transposing, VAETask


@pytest.fixture
def frames():
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(24, 88, generator=generator) < 0.05).float()


def test_the_loss_is_the_models_own(frames):
    torch.manual_seed(0)
    model = MusicVAE(latent_dim=4, hidden_dim=16)
    task = VAETask(model, beta=2.0).eval()
    output = model(frames)
    total, n = task.terms(output, frames)
    recon, mu, logvar = output
    expected = model.loss_function(recon, frames, mu, logvar, beta=2.0, reduction="sum")
    torch.testing.assert_close(total, expected)
    assert n == 24


def test_free_bits_cost_nothing_and_no_gradient(frames):
    """eq:vae-free-bits."""
    torch.manual_seed(0)
    model = MusicVAE(latent_dim=4, hidden_dim=16)
    recon, mu, logvar = model(frames)
    rate = latent.kl_divergence(mu, logvar).sum(-1)
    bits = (rate / math.log(2)).detach()
    middle = bits.median().item()
    free = VAETask(model, free_bits=middle).eval().terms((recon, mu, logvar), frames)[0]
    paid = ((bits - middle).clamp(min=0) * math.log(2)).sum()
    torch.testing.assert_close(free, model.nats(recon, frames).sum() + paid)
    all_free = VAETask(model, free_bits=1e6).eval().terms((recon, mu, logvar), frames)[0]
    torch.testing.assert_close(all_free, model.nats(recon, frames).sum())


def test_beta_rises_in_a_straight_line():
    task = VAETask(MusicVAE(latent_dim=2, hidden_dim=4), beta=0.8, annealing=0.5)
    betas = [task.beta_at(step, 100) for step in (0, 25, 50, 99)]
    np.testing.assert_allclose(betas, [0, 0.4, 0.8, 0.8])
    assert VAETask(task.model, beta=0.8).beta_at(0, 100) == 0.8
    assert task.settings()["annealing"] == 0.5


def test_training_counts_the_beta_of_its_step_and_validation_the_whole(frames, monkeypatch):
    torch.manual_seed(0)
    model = MusicVAE(latent_dim=4, hidden_dim=16)
    task = VAETask(model, beta=1.0, annealing=1.0).train()
    monkeypatch.setattr(task, "_trainer", SimpleNamespace(estimated_stepping_batches=10))
    monkeypatch.setattr(VAETask, "global_step", 3)
    output = model(frames)
    expected = model.loss_function(output[0], frames, *output[1:], beta=0.3, reduction="sum")
    torch.testing.assert_close(task.terms(output, frames)[0], expected)
    whole = model.loss_function(output[0], frames, *output[1:], beta=1.0, reduction="sum")
    torch.testing.assert_close(task.eval().terms(output, frames)[0], whole)


def test_the_scores_of_an_epoch_are_those_of_bounds(frames):
    torch.manual_seed(0)
    model = MusicVAE(latent_dim=4, hidden_dim=16)
    task = VAETask(model).eval()
    output = model(frames)
    found = task.summary(task.counts(output, frames))
    rate = latent.kl_divergence(*output[1:]).sum(-1).mean().item()
    assert found["negative_rate"] == pytest.approx(-rate, rel=1e-5)
    distortion = model.nats(output[0], frames).mean().item()
    assert found["elbo"] == pytest.approx(-rate - distortion, rel=1e-5)
    right, said, there = model.matches(output[0], frames).tolist()
    assert found["accuracy"] == pytest.approx(2 * right / (said + there))


def test_a_model_of_frames_is_trained(frames):
    training.seed_everything(0)
    model = MusicVAE(latent_dim=8, hidden_dim=64)
    x = frames.repeat(8, 1)
    result = training.fit(
        VAETask(model, beta=0.1, annealing=0.3, lr=0.01),
        (x, x),
        valid=(frames, frames),
        epochs=8,
        batch_size=16,
    )
    first, last = result.history[0], result.history[-1]
    assert last["valid_loss"] < first["valid_loss"]


def test_melodies_are_trained_in_all_keys():
    rows = [melodybars.windows(p, bars=2)[0].symbols for p in melodybars.tunes("valid")[:8]]
    x = torch.from_numpy(np.stack(rows))
    training.seed_everything(0)
    model = MelodyVAE(2, 4, 12, conductor_dim=8, bar_dim=8, encoder_dim=8, embedding=4)
    result = training.fit(
        VAETask(model, lr=0.02),
        (x, x),
        epochs=6,
        batch_size=4,
        batch_transform=Transposing(5),
        gradient_clip=1.0,
    )
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]


def test_transposing_moves_each_melody_as_far_as_it_has_room():
    x = torch.tensor(
        [[FIRST_NOTE, REST, FIRST_NOTE + 3, 0], [N_SYMBOLS - 1, 0, 0, FIRST_NOTE + 9], [REST] * 4]
    )
    seen = [set(), set()]
    torch.manual_seed(0)
    for _ in range(300):
        moved, target = Transposing(2)(x, x)
        assert torch.equal(moved, target)
        by = moved - x
        assert (by[x < FIRST_NOTE] == 0).all()
        assert by[0, 0] == by[0, 2] and by[1, 0] == by[1, 3]
        for k in range(2):
            seen[k].add(by[k, 0].item())
    assert seen == [{0, 1, 2}, {-2, -1, 0}]
    assert torch.equal(Transposing(0)(x, x)[0], x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": -1.0}, "beta"),
        ({"beta": math.nan}, "beta"),
        ({"free_bits": -1.0}, "free_bits"),
        ({"annealing": 1.5}, "annealing"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        VAETask(MusicVAE(latent_dim=2, hidden_dim=4), **options)
    with pytest.raises(ValueError, match="semitones"):
        Transposing(-1)
