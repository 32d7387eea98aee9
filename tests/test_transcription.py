"""The transcription network and its loss."""

import numpy as np
import pytest
import torch
from torch import nn

from mircourse.transcription import MusicTranscriptionRNN
from mircourse.transcriptionloss import Logits, TranscriptionLoss

SMALL = {"hidden_dim": 8, "n_layers": 1, "channels": 4, "size": 16, "n_heads": 4}
KINDS = {
    "the article's": {"hidden_dim": 8, "n_layers": 2, "n_heads": 4},
    "log-mel": {**SMALL, "input_dim": 40, "front_end": "log-mel", "onset_outputs": 88},
    "harmonic": {**SMALL, "front_end": "harmonic", "onset_outputs": 88, "velocity_outputs": 88},
    "key by key": {
        **SMALL,
        "front_end": "harmonic",
        "onset_outputs": 88,
        "velocity_outputs": 88,
        "key_dim": 4,
    },
    "no recurrence": {**SMALL, "front_end": "harmonic", "recurrent": False},
    "forward": {**SMALL, "bidirectional": False, "attention": False},
}


def build(kind, seed=0):
    torch.manual_seed(seed)
    return MusicTranscriptionRNN(**KINDS[kind])


def target(frames, *, items=2, seed=0):
    rng = np.random.default_rng(seed)
    pitches = rng.random((items, frames, 88)) < 0.05
    onsets = pitches * rng.random((items, frames, 88))
    velocities = pitches * rng.integers(1, 128, (items, frames, 88))
    return torch.from_numpy(np.stack([pitches, onsets, velocities], 2).astype(np.float32))


def test_the_defaults_are_the_articles():
    model = MusicTranscriptionRNN().eval()
    lstm = model.lstm
    assert (lstm.input_size, lstm.hidden_size, lstm.num_layers) == (256, 256, 3)
    assert lstm.bidirectional and lstm.dropout == 0.3
    assert (model.attention.embed_dim, model.attention.num_heads) == (512, 8)
    found = model(torch.randn(2, 30, 88))
    shapes = {name: tuple(x.shape) for name, x in found.items()}
    assert shapes == {
        "pitches": (2, 30, 88),
        "onsets": (2, 30, 1),
        "velocities": (2, 30, 1),
        "attention": (2, 30, 30),
    }
    for name, top in (("pitches", 1), ("onsets", 1), ("velocities", 127)):
        assert found[name].min() >= 0 and found[name].max() <= top
    torch.testing.assert_close(found["attention"].sum(2), torch.ones(2, 30))


def test_it_equals_the_layers_written_out():
    model = build("the article's").eval()
    x = torch.randn(2, 20, 88)
    h = x.transpose(1, 2)
    for convolution, norm in ((b[0], b[1]) for b in model.acoustic.blocks):
        h = torch.relu(norm(convolution(h)))
    h, _ = model.lstm(h.transpose(1, 2))
    attended, _ = model.attention(h, h, h)
    h = h + attended
    found = model(x)
    torch.testing.assert_close(found["pitches"], model.outputs["pitches"](h).sigmoid())
    torch.testing.assert_close(found["velocities"], model.outputs["velocities"](h).sigmoid() * 127)


@pytest.mark.parametrize("kind", KINDS)
def test_a_padded_batch_gives_what_each_recording_gives_alone(kind):
    model = build(kind).eval()
    audio = 0.1 * torch.randn(3, 16000)
    lengths = torch.tensor([16000, 641, 9000])
    for item, length in zip(audio, lengths, strict=True):
        item[length:] = 0.5  # anything at all
    features = [model.features(a[None, :n]) for a, n in zip(audio, lengths, strict=True)]
    frames = torch.tensor([f.shape[1] for f in features])
    batch = torch.full((3, 51, features[0].shape[2]), 7.0)
    for row, f in zip(batch, features, strict=True):
        row[: f.shape[1]] = f[0]
    together = model(batch, lengths=frames)
    for i, f in enumerate(features):
        for name, alone in model(f).items():
            own = together[name][i, : f.shape[1]]
            own = own[:, : f.shape[1]] if name == "attention" else own
            torch.testing.assert_close(own, alone[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_waveforms_padded_with_silence_agree_with_the_recording_alone(kind):
    model = build(kind).eval()
    audio = 0.1 * torch.randn(2, 8000)
    audio[1, 5000:] = 0
    together = model(audio, lengths=torch.tensor([8000, 5000]))
    alone = model(audio[1:, :5000])
    frames = alone["pitches"].shape[1]
    torch.testing.assert_close(
        together["pitches"][1, :frames], alone["pitches"][0], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind):
    model = build(kind)
    x = torch.randn(2, 12, model.acoustic.n_features)
    TranscriptionLoss()(model.logits(x), target(12))["total"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_one_batch_overfits():
    model = build("harmonic")
    x, y = torch.randn(2, 24, model.acoustic.n_features), target(24)
    loss = TranscriptionLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(120):
        parts = loss(model.logits(x), y)
        optimizer.zero_grad()
        parts["total"].backward()
        optimizer.step()
        losses.append(parts["pitches"].item())
    assert losses[-1] < 0.05 * losses[0]


def test_without_the_backward_direction_and_attention_the_far_future_changes_nothing():
    model = build("forward").eval()
    x = torch.randn(1, 40, 88)
    changed = x.clone()
    changed[:, 30:] += 1
    before, after = model(x)["pitches"], model(changed)["pitches"]
    # Two convolutions of three frames look two frames ahead.
    torch.testing.assert_close(before[:, :28], after[:, :28])
    assert not torch.allclose(before[:, 28:30], after[:, 28:30])
    whole = build("the article's").eval()
    assert not torch.allclose(whole(x)["pitches"][:, 0], whole(changed)["pitches"][:, 0])


def test_every_key_is_seen_by_the_same_filters():
    model = build("harmonic").eval()
    rows = model.acoustic.n_features // 2
    x = torch.zeros(1, 9, 2, rows)
    x[:, 3:6, :, 60:66] = 1.0
    moved = torch.roll(x, 3 * 5, dims=3)  # five semitones
    _, here = model.acoustic(x.flatten(2), None)
    _, there = model.acoustic(moved.flatten(2), None)
    # Away from the edges, where the dilated filter sees zeros.
    torch.testing.assert_close(here[..., 20:50], there[..., 25:55], rtol=1e-4, atol=1e-5)


def test_loss_against_its_formula():
    """eq:rnn-loss in NumPy."""
    rng = np.random.default_rng(1)
    logits = [rng.standard_normal((2, 6, 88)).astype(np.float32) for _ in range(3)]
    y = target(6, seed=3)
    p, o, v = (y[:, :, i].numpy().astype(float) for i in range(3))
    sigmoid = [1 / (1 + np.exp(-x.astype(float))) for x in logits]

    def bce(q, t, w):
        return -(w * t * np.log(q) + (1 - t) * np.log(1 - q)).mean()

    expected = {
        "pitches": bce(sigmoid[0], p, 1.5),
        "onsets": bce(sigmoid[1], o, 4.0),
        "velocities": (p * (sigmoid[2] - v / 127) ** 2).sum() / p.sum(),
    }
    loss = TranscriptionLoss(pitch=0.5, onset=2.0, velocity=3.0, pitch_weight=1.5, onset_weight=4.0)
    found = loss(Logits(*map(torch.from_numpy, logits)), y)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)
    total = 0.5 * expected["pitches"] + 2 * expected["onsets"] + 3 * expected["velocities"]
    np.testing.assert_allclose(found["total"], total, rtol=1e-5)


def test_loss_with_one_onset_and_one_velocity_for_all_keys():
    y = torch.zeros(1, 3, 3, 88)
    y[0, 1, :, 40] = torch.tensor([1.0, 0.6, 100.0])
    y[0, 1, :, 44] = torch.tensor([1.0, 0.2, 50.0])
    logits = Logits(torch.zeros(1, 3, 88), torch.zeros(1, 3, 1), torch.zeros(1, 3, 1))
    found = TranscriptionLoss(onset_weight=1.0)(logits, y)
    np.testing.assert_allclose(found["onsets"], np.log(2), rtol=1e-6)
    np.testing.assert_allclose(found["velocities"], (0.5 - 75 / 127) ** 2, rtol=1e-5)


def test_padding_costs_nothing():
    y = target(6)
    logits = Logits(*(torch.randn(2, 6, 88) for _ in range(3)))
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4])
    masked = TranscriptionLoss()(logits, y, mask=mask)
    changed = Logits(*(torch.where(mask[..., None], x, torch.tensor(5.0)) for x in logits))
    for name, value in TranscriptionLoss()(changed, y, mask=mask).items():
        torch.testing.assert_close(value, masked[name])
    rows = [x[mask][None] for x in logits]  # the real frames in a row: the same mean
    alone = TranscriptionLoss()(Logits(*rows), y[mask][None])
    torch.testing.assert_close(alone["total"], masked["total"])


def test_silence_has_no_velocity_to_learn():
    logits = Logits(*(torch.zeros(1, 4, 88, requires_grad=True) for _ in range(3)))
    found = TranscriptionLoss()(logits, torch.zeros(1, 4, 3, 88))
    assert found["velocities"] == 0
    assert found["total"].isfinite()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"front_end": "wavelets"}, "expected one of"),
        ({"onset_outputs": 12}, "onset_outputs=12"),
        ({"hidden_dim": 10, "n_heads": 8}, "does not divide"),
        ({"key_dim": 8}, "needs front_end='harmonic'"),
        ({"n_layers": 0}, "1 or more"),
        ({"pitch_threshold": 1.0}, "must be in"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MusicTranscriptionRNN(**arguments)


def test_bad_input_is_refused():
    model = build("the article's").eval()
    with pytest.raises(ValueError, match=r"\(2, 5, 87\)"):
        model(torch.zeros(2, 5, 87))
    with pytest.raises(ValueError, match=r"\(2, 0, 88\)"):
        model(torch.zeros(2, 0, 88))
    with pytest.raises(ValueError, match="NaN"):
        model(torch.full((1, 5, 88), float("nan")))
    with pytest.raises(TypeError, match="floating"):
        model(torch.zeros(1, 5, 88, dtype=torch.int64))
    with pytest.raises(ValueError, match="lengths"):
        model(torch.zeros(2, 5, 88), lengths=torch.tensor([6, 1]))
    with pytest.raises(ValueError, match=r"target of shape"):
        TranscriptionLoss()(model.logits(torch.zeros(2, 5, 88)), torch.zeros(2, 5, 88))
    with pytest.raises(ValueError, match="one of them positive"):
        TranscriptionLoss(pitch=0, onset=0, velocity=0)


def test_the_outputs_begin_at_the_share_of_keys_that_are_down():
    model = MusicTranscriptionRNN(**KINDS["the article's"]).eval()
    found = model(torch.zeros(1, 20, 88))
    assert 0.02 < found["pitches"].mean() < 0.08
    assert 0.005 < found["onsets"].mean() < 0.02


def test_one_frame_will_do():
    for kind in KINDS:
        model = build(kind).eval()
        assert model(torch.zeros(1, 1))["pitches"].shape == (1, 1, 88)


def test_the_lstm_is_the_courses():
    from mircourse.lstm import LSTM

    model = build("the article's").eval()
    ours = LSTM.from_torch(model.lstm)
    x = torch.randn(2, 9, 256)
    torch.testing.assert_close(ours(x)[0], model.lstm(x)[0], rtol=1e-5, atol=1e-6)
    assert isinstance(model.lstm, nn.LSTM)
