"""The peer Resemblyzer: its network against one in NumPy, its front end against the formula."""

import importlib.util

import numpy as np
import pytest
import torch

from mircourse.experiments.peers import resemblyzer

RATE = resemblyzer.SAMPLE_RATE
HERE = importlib.util.find_spec("resemblyzer") is not None


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return resemblyzer.VoiceEncoder().eval()


def published(model):
    """Return the weights as the package names them, with what only its training used."""
    state = {"similarity_weight": torch.ones(1), "similarity_bias": torch.ones(1)}
    for name, value in model.state_dict().items():
        kind, _, rest = name.partition(".")
        number, _, weight = rest.partition(".")
        stored = f"lstm.{weight[:-1]}{number}" if kind == "layers" else name
        state[stored] = value.clone()
    return state


def lstm(x, w, u, b):
    """A layer of LSTM on x (T, C), in NumPy: input, forget, cell and output gates in this order."""
    h, c, out = np.zeros(len(u) // 4), np.zeros(len(u) // 4), []
    for row in x:
        i, f, g, o = np.split(w @ row + u @ h + b, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        out.append(h)
    return np.stack(out)


def test_states_and_embedding_are_those_of_the_equations(model):
    mel = np.random.default_rng(0).uniform(0, 2, (2, 9, 40)).astype(np.float32)
    with torch.inference_mode():
        got = model(torch.from_numpy(mel))
    for item in range(2):
        x = mel[item].astype(float)
        for number, layer in enumerate(model.layers, start=1):
            parts = {name: p.detach().double().numpy() for name, p in layer.named_parameters()}
            bias = parts["bias_ih_l0"] + parts["bias_hh_l0"]
            x = lstm(x, parts["weight_ih_l0"], parts["weight_hh_l0"], bias)
            np.testing.assert_allclose(got[f"layer {number}"][item], x, atol=1e-5)
        weight, offset = (p.detach().double().numpy() for p in model.linear.parameters())
        raw = np.maximum(weight @ x[-1] + offset, 0)
        np.testing.assert_allclose(got["embedding"][item], raw / np.linalg.norm(raw), atol=1e-5)


def test_weights_under_their_published_names_are_read(model, tmp_path):
    file = tmp_path / "pretrained.pt"
    torch.save({"step": 1, "model_state": published(model), "optimizer_state": {}}, file)
    read = resemblyzer.load(file)
    assert not read.training
    for name, value in model.state_dict().items():
        torch.testing.assert_close(read.state_dict()[name], value, rtol=0, atol=0)
    fewer = {k: v for k, v in published(model).items() if k != "lstm.bias_hh_l2"}
    torch.save({"model_state": fewer}, file)
    with pytest.raises(ValueError, match=r"(?s)pretrained.pt holds other weights.*bias_hh_l0"):
        resemblyzer.load(file)
    with pytest.raises(FileNotFoundError, match=r"no .*absent\.pt"):
        resemblyzer.load(tmp_path / "absent.pt")


def test_a_package_that_is_not_here_is_named(monkeypatch):
    monkeypatch.setattr(resemblyzer, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install --no-deps resemblyzer"):
        resemblyzer.load()


def clip(seconds, level=0.1):
    noise = np.random.default_rng(3).normal(size=int(seconds * RATE))
    return (level * noise).astype(np.float32)


def test_the_front_end_is_the_formula_on_librosa_filters():
    import librosa

    audio = clip(1.7, level=0.2)
    padded = np.pad(audio.astype(float), (200, 200 + RATE))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.stack([padded[160 * k : 160 * k + 400] for k in range(160)])
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    wanted = power @ librosa.filters.mel(sr=RATE, n_fft=400, n_mels=40).T
    got = resemblyzer.mel(audio, sample_rate=RATE)
    assert got.shape == (1, 160, 40) and got.dtype == np.float32
    np.testing.assert_allclose(got[0], wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("seconds", "sample_rate", "n_windows"),
    [(0.001, 16000, 1), (1.6, 22050, 1), (1.9, 16000, 1), (2.5, 22050, 2), (5.0, 44100, 5)],
)
def test_clips_are_cut_into_windows_of_which_three_quarters_are_heard(
    seconds, sample_rate, n_windows
):
    audio = np.random.default_rng(0).normal(0, 0.1, int(seconds * sample_rate))
    got = resemblyzer.mel(audio, sample_rate=sample_rate)
    assert got.shape == (n_windows, 160, 40) and np.isfinite(got).all()


def test_what_is_soft_is_raised_and_what_is_loud_is_left():
    soft = resemblyzer.mel(clip(1.6, 0.001), sample_rate=RATE)
    np.testing.assert_allclose(soft, resemblyzer.mel(clip(1.6, 0.01), sample_rate=RATE), rtol=1e-3)
    loud = resemblyzer.mel(clip(1.6, 0.2), sample_rate=RATE)
    np.testing.assert_allclose(
        loud, 4 * resemblyzer.mel(clip(1.6, 0.1), sample_rate=RATE), rtol=1e-3
    )


def test_silence_is_zero_and_bad_audio_is_refused(model):
    assert not resemblyzer.mel(np.zeros(900, np.float32), sample_rate=RATE).any()
    assert np.isfinite(resemblyzer.embed(np.zeros(900), sample_rate=RATE, model=model)).all()
    for bad in (np.zeros(0), np.zeros((2, 900)), np.array([0.0, np.nan])):
        with pytest.raises(ValueError):
            resemblyzer.mel(bad, sample_rate=RATE)


@pytest.mark.skipif(not HERE, reason="resemblyzer is not installed")
def test_the_published_weights_say_what_the_package_says():
    # Computed once with the package itself, version 0.1.4, of a tone that rises from 200 Hz.
    t = np.arange(32000) / RATE
    audio = (0.1 * np.sin(2 * np.pi * (200 + 150 * t) * t)).astype(np.float32)
    found = resemblyzer.embed(audio, sample_rate=RATE, model=resemblyzer.load())
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5) and (found > 0).sum() == 171
    largest = [0.20826, 0.19009, 0.18247, 0.16848, 0.16615, 0.16530]
    np.testing.assert_allclose(found[[13, 131, 133, 12, 9, 124]], largest, atol=2e-5)
