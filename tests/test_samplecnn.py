"""A network on waveforms: shapes, lengths, what it must withstand, and that it can learn."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mircourse import recordings
from mircourse.samplecnn import SampleCNN


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SampleCNN(4, width=0.04, blocks=4, dropout=0.0)


def by_hand(model, x):
    """One waveform (S,), sample by sample: every convolution as a sum, every pooling as a loop."""
    x = (x - x.mean()) / np.sqrt(x.var() + 1e-6)
    x = np.pad(x, (0, -len(x) % 3)).reshape(-1, 3)  # (T, 3)

    def normalised(h, norm):
        mean, var, weight, bias = (
            p.detach().double().numpy()[:, None]
            for p in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        return np.maximum((h - mean) / np.sqrt(var + norm.eps) * weight + bias, 0)

    w = model.samples.weight.detach().double().numpy()[:, 0]  # (C, 3)
    h = normalised(w @ x.T, model.normalize)  # (C, T)
    for conv, norm, *_ in model.blocks:
        w = conv.weight.detach().double().numpy()  # (C', C, 3)
        padded = np.pad(h, ((0, 0), (1, 1)))
        frames = [np.einsum("dck,ck->d", w, padded[:, t : t + 3]) for t in range(h.shape[1])]
        h = normalised(np.stack(frames, axis=1), norm)
        h = np.stack([h[:, t : t + 3].max(axis=1) for t in range(0, h.shape[1], 3)], axis=1)
    pooled = h.mean(axis=1)
    linear = model.classify
    return linear.weight.detach().double().numpy() @ pooled + linear.bias.detach().double().numpy()


@pytest.mark.parametrize("samples", [1, 2, 3, 80, 100, 400])
def test_it_computes_what_sums_and_loops_compute(model, samples):
    x = 0.1 * torch.randn(3, samples)
    with torch.no_grad():
        model.train()(torch.randn(8, 300))  # statistics that are not 0 and 1
        found = model.eval()(x)
    wanted = [by_hand(model, row) for row in x.double().numpy()]
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_blocks_pool_by_three(model):
    seen = []
    for block in model.blocks:
        block.register_forward_hook(lambda _, __, out: seen.append(out.shape[2]))
    assert model.eval()(torch.randn(2, 3**6)).shape == (2, 4)
    assert seen == [81, 27, 9, 3]


@pytest.mark.parametrize("blocks", [1, 2, 3, 4, 9])
def test_there_are_as_many_blocks_as_asked_for(blocks):
    model = SampleCNN(2, width=0.04, blocks=blocks).eval()
    assert len(model.blocks) == blocks
    assert model(torch.randn(1, 50)).shape == (1, 2)


def test_at_full_width_the_channels_are_those_that_are_stated():
    model = SampleCNN()
    channels = [model.samples.out_channels] + [b[0].out_channels for b in model.blocks]
    assert channels == [128] * 3 + [256] * 6 + [512]


def test_a_batch_gives_what_its_items_give_alone(model):
    x = 0.3 * torch.randn(5, 500)
    model.eval()
    alone = torch.cat([model(row[None]) for row in x])
    torch.testing.assert_close(model(x), alone)


def test_loudness_and_offset_do_not_matter(model):
    x = 0.3 * torch.randn(2, 900)
    model.eval()
    torch.testing.assert_close(model(0.25 * x + 0.1), model(x), atol=1e-3, rtol=1e-3)


def test_silence_is_valid_and_stays_silent(model):
    out = model.train()(torch.zeros(2, 400))
    out.square().sum().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    model.eval()
    faint = 1e-6 * torch.randn(1, 400)
    torch.testing.assert_close(model(faint), model(torch.zeros(1, 400)), atol=1e-2, rtol=1e-2)


def test_gradients_reach_every_parameter(model):
    model.train()(torch.randn(4, 500)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_it_learns_a_batch_by_heart(model):
    names = ["flute", "harp", "trumpet", "tuba"]
    notes = recordings.load(split="train").filter(lambda r: r.instrument in names)
    y = np.array([names.index(r.instrument) for r in notes])
    few = np.concatenate([np.flatnonzero(y == k)[:2] for k in range(4)])
    x, y = torch.from_numpy(notes.audio(0.15)[few]), torch.from_numpy(y[few])
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=0.03)
    for _ in range(40):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    assert (model(x).argmax(dim=1) == y).all()


def test_its_weights_can_be_copied(model):
    x = torch.randn(2, 700)
    other = SampleCNN(4, width=0.04, blocks=4)
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    torch.testing.assert_close(other.eval()(x), model.eval()(x))


@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        (torch.zeros(100), ValueError, r"got shape \(100,\)"),
        (torch.zeros(1, 1, 100), ValueError, r"got shape \(1, 1, 100\)"),
        (torch.zeros(2, 0), ValueError, r"shape \(2, 0\)"),
        (torch.full((1, 9), torch.nan), ValueError, "NaN"),
        (torch.zeros(1, 9, dtype=torch.int64), TypeError, "floating"),
        (np.zeros((1, 9)), TypeError, "ndarray"),
    ],
)
def test_what_is_no_batch_of_waveforms_is_refused(model, x, error, match):
    with pytest.raises(error, match=match):
        model(x)


@pytest.mark.parametrize("arguments", [{"n_classes": 0}, {"blocks": 0}, {"width": 0.0}])
def test_what_cannot_be_built_is_refused(arguments):
    with pytest.raises(ValueError, match="expected"):
        SampleCNN(**arguments)
