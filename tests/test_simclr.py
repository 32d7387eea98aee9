"""SimCLR around the course's encoders, its training, and the probes of what it learned."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from mircourse import recordings
from mircourse.augment import Crop, Gain, Pipeline, SpecAugment
from mircourse.cnn import HarmonicCNN, MusicCNN
from mircourse.contrastive import (
    SimCLR,
    Views,
    alignment,
    best_strength,
    embeddings,
    knn_probe,
    linear_probe,
    nt_xent,
    uniformity,
)
from mircourse.contrastivetraining import ContrastiveTask
from mircourse.lars import LARS
from mircourse.musicbert import MusicBERT
from mircourse.rnn import MusicTranscriptionRNN
from mircourse.training import TrainingError, fit, seed_everything

RATE = 8000
FRONT_END = {"sample_rate": RATE, "n_mels": 16, "n_fft": 256, "hop_length": 200}


def small(**options):
    return MusicCNN(5, width=0.125, **FRONT_END, **options)


# ------------------------------------------------------------------------------------- the model


def test_the_representation_is_what_enters_the_last_layer():
    torch.manual_seed(0)
    for encoder in (small().eval(), HarmonicCNN(5, width=0.0625, sample_rate=RATE).eval()):
        x = torch.randn(2, 4000)
        model = SimCLR(encoder, 7)
        h = model.eval().embed(x)
        torch.testing.assert_close(h, encoder.extract_features(x)["embedding"])
        torch.testing.assert_close(encoder.head.fc(h), encoder(x))
        assert h.shape == (2, model.embedding_dim) and model(x).shape == (2, 7)


def test_frames_of_the_transcriber_are_averaged():
    torch.manual_seed(0)
    encoder = MusicTranscriptionRNN(88, 8, 1, n_heads=2, dropout=0.0).eval()
    model = SimCLR(encoder, 4).eval()
    x = torch.randn(3, 10, 88)
    logit = encoder.logits(x).pitches.mean(dim=1)  # the last layer is linear: mean in, mean out
    torch.testing.assert_close(encoder.outputs["pitches"](model.embed(x)), logit)


def test_an_encoder_without_a_last_layer_gives_its_output():
    bert = MusicBERT(16, 2, 1, dropout=0.0).eval()
    tokens = torch.randint(0, 388, (2, 12))
    model = SimCLR(bert, 4, layer="", embedding_dim=16).eval()
    wanted = bert(tokens)["hidden_states"].mean(dim=1)
    torch.testing.assert_close(model.embed(tokens), wanted)
    plain = SimCLR(nn.Flatten(), 4, layer="", embedding_dim=6)
    assert plain(torch.randn(3, 2, 3)).shape == (3, 4)
    with pytest.raises(TypeError, match=r"\(B, D\) or \(B, T, D\), got \(3, 2, 3, 1\)"):
        SimCLR(nn.Identity(), 4, layer="", embedding_dim=6).embed(torch.randn(3, 2, 3, 1))


def test_gradients_reach_every_parameter_but_the_last_layer():
    model = SimCLR(small(), 8)
    x = torch.randn(4, 4000)
    nt_xent(*model(torch.cat([x, x + 0.1 * torch.randn_like(x)])).chunk(2), 0.5).backward()
    without = {n for n, p in model.named_parameters() if p.grad is None}
    assert without == {"encoder.head.fc.weight", "encoder.head.fc.bias"}
    assert not any(model.get_parameter(name).requires_grad for name in without)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SimCLR(nn.Conv1d(1, 1, 1)), "name the last of its own: none"),
        (lambda: SimCLR(nn.Sequential(nn.Linear(2, 2))), "name the last of its own: 0"),
        (lambda: SimCLR(small(), layer="fc"), "no linear layer fc; .*head.fc"),
        (lambda: SimCLR(nn.Identity(), layer=""), "give embedding_dim"),
        (lambda: SimCLR(small(), 0), "1 or more, got .* and 0"),
    ],
)
def test_an_encoder_that_does_not_fit_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ----------------------------------------------------------------------------------------- views


def test_views_are_drawn_anew_and_pass_the_front_end():
    torch.manual_seed(0)
    encoder = small()
    views = Views(
        Pipeline(Crop(seconds=0.25), Gain(decibels=(-1, 1))),
        sample_rate=RATE,
        front_end=encoder.spectrogram,
        masks=SpecAugment(bands=3, frames=3),
    )
    x = torch.randn(3, 4000)
    one, other = views(x), views(x)
    assert one.shape == other.shape == (3, 16, 11)
    assert not torch.equal(one, other)
    assert repr(views).startswith("Views(Pipeline(Crop(p=1.0, seconds=0.25, latest=None), Gain(")
    # Silence and clips shorter than the crop are views like others.
    for odd in (torch.zeros(2, 4000), torch.randn(2, 100)):
        assert SimCLR(encoder, 4).eval()(views(odd)).isfinite().all()
    with pytest.raises(ValueError, match="needs the sample_rate"):
        Views(Pipeline())


# -------------------------------------------------------------------------------------- training


def notes(n=16):
    return recordings.load(split="train")[:n].audio(0.4)


def task(model, **options):
    front_end = model.encoder.spectrogram
    pipeline = Pipeline(Crop(seconds=0.3), Gain())
    views = Views(pipeline, sample_rate=22050, front_end=front_end)
    return ContrastiveTask(model, views=views, **options)


def model_of(seed=0):
    seed_everything(seed)
    front_end = FRONT_END | {"sample_rate": 22050, "n_fft": 1024, "hop_length": 800}
    return SimCLR(MusicCNN(5, width=0.0625, dropout=0.0, **front_end), 16)


def test_training_finds_the_other_view_and_needs_no_labels():
    histories = []
    for targets in (np.zeros(16), np.arange(16)):
        model = model_of()
        result = fit(
            task(model, lr=5e-3, temperature=0.2),
            (notes(), targets),
            valid=(notes(), targets),
            epochs=12,
            batch_size=16,
        )
        histories.append(result.history)
    assert histories[0] == histories[1]
    losses = [epoch["train_loss"] for epoch in histories[0]]
    assert losses[0] < math.log(31) + 0.5 and losses[-1] < 0.8 * losses[0]
    assert histories[0][-1]["valid_accuracy"] > 0.5


def test_without_negatives_all_vectors_fall_into_one():
    spread = {}
    for negatives in (True, False):
        model = model_of()
        fit(
            task(model, lr=1e-2, temperature=0.2, negatives=negatives),
            (notes(), np.zeros(16)),
            epochs=20,
            batch_size=16,
        )
        with torch.inference_mode():
            spread[negatives] = uniformity(model(torch.from_numpy(notes()))).item()
    assert spread[False] > -0.3 and spread[True] < -0.7


def test_lars_trains_and_a_task_says_what_it_depends_on():
    model = model_of()
    made = task(model, optimizer="lars", lr=0.5)
    result = fit(made, (notes(), np.zeros(16)), epochs=6, batch_size=16)
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    settings = made.settings()
    assert settings["optimizer"] == "lars" and settings["temperature"] == 0.1
    assert "Crop" in settings["views"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be"),
        ({"optimizer": "sgd"}, "'adamw', 'lars'.*got 'sgd'"),
        ({"lr": 0}, "lr must be"),
    ],
)
def test_a_task_refuses_what_is_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        task(model_of(), **options)


def test_a_batch_of_one_has_no_negatives_and_nan_stops():
    with pytest.raises(ValueError, match="one clip has no negatives"):
        fit(task(model_of()), (notes(1), np.zeros(1)), epochs=1)

    class Spoiled(nn.Module):
        def forward(self, x):
            return x * torch.nan

    spoiled = ContrastiveTask(nn.Sequential(nn.Linear(4, 4), Spoiled()), views=lambda x: x)
    with pytest.raises((ValueError, TrainingError), match="NaN"):
        fit(spoiled, (np.ones((4, 4)), np.zeros(4)), epochs=1)


# ------------------------------------------------------------------------------------------ LARS


def test_lars_is_its_equation():
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4))
    w, v = start.copy(), np.zeros((3, 4))
    b, u = np.ones(4), np.zeros(4)
    weight, bias = nn.Parameter(torch.tensor(start)), nn.Parameter(torch.ones(4).double())
    optimizer = LARS([weight, bias], lr=0.3, momentum=0.8, weight_decay=0.1, trust=0.02)
    for g in gradients:
        weight.grad, bias.grad = torch.tensor(g), torch.tensor(g[0])
        optimizer.step()
        change = g + 0.1 * w
        v = 0.8 * v + 0.3 * 0.02 * np.linalg.norm(w) / np.linalg.norm(change) * change
        w = w - v
        u = 0.8 * u + 0.3 * g[0]
        b = b - u
    np.testing.assert_allclose(weight.detach(), w, rtol=1e-12)
    np.testing.assert_allclose(bias.detach(), b, rtol=1e-12)


def test_the_size_of_a_step_does_not_depend_on_that_of_the_gradient():
    moved = []
    for scale in (1e-3, 1e3):
        w = nn.Parameter(torch.ones(2, 2))
        w.grad = scale * torch.tensor([[1.0, 0], [0, 0]])
        LARS([w], lr=1.0, weight_decay=0.0, trust=0.1).step()
        moved.append((1 - w).norm().item())
    assert moved == pytest.approx([0.2, 0.2], rel=1e-5)  # 0.1 of a length of 2
    zero = nn.Parameter(torch.zeros(2, 2))
    zero.grad = torch.ones(2, 2)
    LARS([zero], lr=0.5).step()
    torch.testing.assert_close(zero.detach(), torch.full((2, 2), -0.5))
    with pytest.raises(ValueError, match="trust must be"):
        LARS([zero], lr=1.0, trust=0.0)
    with pytest.raises(ValueError, match="momentum must be"):
        LARS([zero], lr=1.0, momentum=1.0)


# ----------------------------------------------------------------------------------------- probes


def clusters(n=60, d=6, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, d)) + 2 * np.eye(d)[y], y


def test_a_linear_probe_is_a_logistic_regression_of_standardised_vectors():
    x, y = clusters()
    probe = linear_probe(x, y, strength=0.3)
    z = (x - x.mean(0)) / x.std(0)
    wanted = LogisticRegression(C=0.3, max_iter=2000, tol=1e-3).fit(z, y)
    np.testing.assert_allclose(probe[-1].coef_, wanted.coef_, atol=1e-6)
    assert probe.score(*clusters(seed=1)) > 0.8
    more, _ = clusters(seed=2)
    probe = linear_probe(x, y, strength=0.3, unlabelled=more)
    z = (x - more.mean(0)) / more.std(0)
    wanted = LogisticRegression(C=0.3, max_iter=2000, tol=1e-3).fit(z, y)
    np.testing.assert_allclose(probe[-1].coef_, wanted.coef_, atol=1e-6)
    np.testing.assert_array_equal(probe.predict(x), wanted.predict(z))


def test_the_strength_is_that_which_reads_held_out_vectors_best():
    x, y = clusters(24, 40)
    held_out = clusters(200, 40, seed=1)
    best = best_strength(x, y, held_out=held_out)
    scores = {s: linear_probe(x, y, strength=s).score(*held_out) for s in (0.001, 0.1, 10.0)}
    assert linear_probe(x, y, strength=best).score(*held_out) >= max(scores.values())


def test_one_label_a_class_is_enough():
    x = np.eye(24)
    for fitted in (linear_probe(x, np.arange(24)), knn_probe(x, np.arange(24), neighbours=1)):
        assert fitted.predict(x).tolist() == list(range(24))


def test_neighbours_vote_by_cosine():
    x = np.array([[10.0, 0], [1, 0.1], [0, 1], [0.2, 9]])
    probe = knn_probe(x, [0, 0, 1, 1], neighbours=2)
    assert probe.predict([[0.1, 0.01], [0.01, 0.1]]).tolist() == [0, 1]
    assert knn_probe(x[:1], [3], neighbours=5).predict(x[1:2]).tolist() == [3]


def test_embeddings_are_those_of_evaluation_mode_in_batches():
    model = model_of()
    model.train()
    x = notes(5)
    found = embeddings(model, x, batch_size=2)
    assert model.training and model.encoder.head.training
    with torch.inference_mode():
        wanted = model.eval().embed(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_alignment_and_uniformity_are_their_sums():
    """eq:simclr-alignment and eq:simclr-uniformity."""
    generator = torch.Generator().manual_seed(0)
    z1, z2 = (torch.randn(6, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    a, b = ((z / z.norm(dim=1, keepdim=True)).numpy() for z in (z1, z2))
    wanted = np.mean([((p - q) ** 2).sum() for p, q in zip(a, b, strict=True)])
    assert alignment(z1, z2).item() == pytest.approx(wanted)
    pairs = [np.exp(-2 * ((a[i] - a[j]) ** 2).sum()) for i in range(6) for j in range(i)]
    assert uniformity(z1).item() == pytest.approx(np.log(np.mean(pairs)))
    assert alignment(z1, 5 * z1).item() == pytest.approx(0, abs=1e-12)
    assert uniformity(torch.ones(4, 3)).item() == pytest.approx(0, abs=1e-6)
    far = uniformity(torch.cat([torch.eye(200), -torch.eye(200)])).item()
    assert -4.01 < far < -3.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_probe(np.zeros((3, 2)), [1, 1, 1]), r"two classes or more, got \[1\]"),
        (lambda: linear_probe(np.zeros((3, 2)), [1, 2]), r"got \(3, 2\) and \(2,\)"),
        (lambda: linear_probe(np.full((2, 2), np.nan), [1, 2]), "NaN"),
        (lambda: knn_probe(np.zeros((3, 2)), [1, 2, 1], neighbours=0), "1 or more, got 0"),
        (lambda: uniformity(torch.ones(1, 2)), "two vectors or more"),
        (lambda: alignment(torch.ones(1, 2), torch.ones(2, 2)), "one shape"),
    ],
)
def test_probes_refuse_what_they_cannot_read(call, message):
    with pytest.raises(ValueError, match=message):
        call()
