"""Chunks of any size give what one pass gives; the future never alters the past."""

import sys
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mircourse import streaming
from mircourse.causal import A1_HZ, CausalSpectrogram
from mircourse.streaming import (
    MicrophoneError,
    RealTimeMusicRNN,
    StreamingChroma,
    export_onnx,
    stream_file,
    stream_microphone,
)

FRAMES, SAMPLES = 120, 9000


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = RealTimeMusicRNN(16, 8, n_fft=256, hop_length=64, sample_rate=8000)
    made.standardize(made.spectrogram(noise(8000)[None]))
    return made


@pytest.fixture(scope="module")
def late():
    torch.manual_seed(1)
    return RealTimeMusicRNN(16, 8, n_fft=256, hop_length=64, sample_rate=8000, look_ahead=3)


def noise(samples, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(samples, generator=generator)


def cut(whole, sizes):
    """Cut an array along its first axis into pieces of these sizes, the rest last."""
    edges = np.minimum(np.cumsum(sizes), len(whole)).astype(int)
    return np.split(whole, edges)


def chroma_of(stream, blocks):
    found = [stream.push(block) for block in blocks] + [stream.flush()]
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


# --- the network


def test_the_article_s_names_and_defaults():
    article = RealTimeMusicRNN(input_dim=128, hidden_dim=128)
    assert article.gru.num_layers == 2
    assert article.causal_conv.kernel_size == (3,)
    assert article.output.out_features == 12
    chroma, state = article(torch.randn(2, 9, 128))
    assert chroma.shape == (2, 9, 12)
    assert ((chroma > 0) & (chroma < 1)).all()
    assert state.hidden.shape == (2, 2, 128)
    assert state.past.shape == (2, 128, 2)


def test_one_pass_is_what_the_article_s_listing_gives():
    """With zeros for the past, padding on both sides and a cut at the end is the same."""
    torch.manual_seed(0)
    net = RealTimeMusicRNN(16, 8)
    padded = nn.Conv1d(8, 8, 3, padding=2)
    padded.load_state_dict(net.causal_conv.state_dict())
    x = torch.randn(3, 20, 16)
    out, _ = net.gru(x)
    conv = padded(out.transpose(1, 2))[:, :, :-2].transpose(1, 2)
    torch.testing.assert_close(net(x)[0], torch.sigmoid(net.output(out + conv)))


def test_gru_equations():
    """eq:rnn-gru: update, reset, candidate and state, step by step, as nn.GRU has them."""
    torch.manual_seed(0)
    net = RealTimeMusicRNN(16, 8, n_layers=1).double()
    x = torch.randn(1, 12, 16, dtype=torch.float64)
    w_r, w_z, w_n = net.gru.weight_ih_l0.chunk(3)
    u_r, u_z, u_n = net.gru.weight_hh_l0.chunk(3)
    b_r, b_z, b_n = net.gru.bias_ih_l0.chunk(3)
    c_r, c_z, c_n = net.gru.bias_hh_l0.chunk(3)
    h = torch.zeros(8, dtype=torch.float64)
    for t, (x_t, expected) in enumerate(zip(x[0], net.gru(x)[0][0], strict=True)):
        r = torch.sigmoid(w_r @ x_t + b_r + u_r @ h + c_r)
        z = torch.sigmoid(w_z @ x_t + b_z + u_z @ h + c_z)
        n = torch.tanh(w_n @ x_t + b_n + r * (u_n @ h + c_n))
        h = (1 - z) * n + z * h
        torch.testing.assert_close(h, expected, msg=f"step {t}")


def test_causal_convolution_equation():
    """eq:rnn-causal: an output is a weighted sum of the K newest outputs of the GRU."""
    torch.manual_seed(0)
    net = RealTimeMusicRNN(16, 8, kernel_size=4).double()
    x = torch.randn(1, 10, 16, dtype=torch.float64)
    g = net.gru(x)[0][0]  # (T, H)
    weight = net.causal_conv.weight  # (H, H, K), the newest last
    for t in range(10):
        y = g[t] + net.causal_conv.bias
        for k in range(min(4, t + 1)):
            y = y + weight[:, :, 3 - k] @ g[t - k]
        torch.testing.assert_close(net.logits(x)[0][0, t], net.output(y))


@given(sizes=st.lists(st.sampled_from([0, 1, 2, 7, 30, 1000]), max_size=12))
@settings(max_examples=40, deadline=None)
def test_any_chunking_is_one_pass(sizes):
    torch.manual_seed(0)
    net = RealTimeMusicRNN(16, 8)
    x = torch.randn(2, FRAMES, 16)
    whole, end = net(x)
    state, parts = None, []
    for piece in cut(np.arange(FRAMES), sizes):
        chroma, state = net(x[:, piece], state)
        parts.append(chroma)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-5)
    for got, expected in zip(state, end, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_any_kernel_in_equal_chunks_is_one_pass(kernel, size):
    torch.manual_seed(kernel)
    net = RealTimeMusicRNN(16, 8, kernel_size=kernel, n_layers=1)
    x = torch.randn(1, 1500, 16)
    state, parts = None, []
    for chunk in x.split(size, dim=1):
        chroma, state = net(chunk, state)
        parts.append(chroma)
    torch.testing.assert_close(torch.cat(parts, dim=1), net(x)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("forgotten", ["hidden", "past"])
def test_either_part_of_the_state_is_needed(forgotten):
    torch.manual_seed(0)
    net = RealTimeMusicRNN(16, 8)
    x = torch.randn(1, 40, 16)
    _, state = net(x[:, :20])
    state = state._replace(**{forgotten: torch.zeros_like(getattr(state, forgotten))})
    assert (net(x[:, 20:], state)[0] - net(x)[0][:, 20:]).abs().max() > 1e-3


@pytest.mark.parametrize("t", [0, 5, 19])
def test_no_gradient_reaches_an_output_from_the_future(model, t):
    x = torch.randn(1, 20, 16, requires_grad=True)
    model(x)[0][0, t].sum().backward()
    reached = x.grad[0].abs().sum(dim=1) > 0
    assert reached.tolist() == [s <= t for s in range(20)]


def test_another_future_leaves_the_past_as_it_was(model):
    x = torch.randn(1, 40, 16)
    y = torch.cat([x[:, :25], 100 * torch.randn(1, 15, 16)], dim=1)
    before, after = model(x)[0], model(y)[0]
    torch.testing.assert_close(before[:, :25], after[:, :25], rtol=0, atol=0)
    assert (before[:, 25:] != after[:, 25:]).any()


def test_a_band_is_standardised_by_what_it_was_told(model):
    x = torch.randn(2, 30, 16) * torch.arange(1, 17) + 5
    net = RealTimeMusicRNN(16, 8)
    net.standardize(x)
    plain = RealTimeMusicRNN(16, 8)
    plain.load_state_dict(net.state_dict() | {"mean": torch.zeros(16), "deviation": torch.ones(16)})
    flat = x.reshape(-1, 16)
    scaled = (x - flat.mean(dim=0)) / flat.std(dim=0, correction=0)
    torch.testing.assert_close(net(x)[0], plain(scaled)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(1, 5, 9), ValueError, r"shape \(1, 5, 9\); expected \(B, T, 16\)"),
        (torch.zeros(5, 16), ValueError, r"expected \(B, T, 16\)"),
        (torch.zeros(1, 5, 16, dtype=torch.long), TypeError, "expected a floating-point tensor"),
        (np.zeros((1, 5, 16)), TypeError, "got ndarray"),
        (torch.full((1, 5, 16), float("nan")), ValueError, "80 values are NaN"),
    ],
)
def test_frames_that_are_none_are_refused(model, x, error, message):
    with pytest.raises(error, match=message):
        model(x)


def test_a_state_of_another_batch_is_refused(model):
    with pytest.raises(ValueError, match=r"state of shape \(2, 3, 8\); expected \(2, 1, 8\)"):
        model(torch.zeros(1, 5, 16), model.initial_state(3))


@pytest.mark.parametrize("bad", [{"look_ahead": -1}, {"kernel_size": 0}, {"n_layers": 0}])
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match="expected 1 or more"):
        RealTimeMusicRNN(**bad)


def test_onnx_with_its_state_as_inputs_and_outputs_streams_the_same(model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    export_onnx(model, tmp_path / "chroma.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "chroma.onnx")
    assert [i.name for i in session.get_inputs()] == ["x", "hidden", "past"]
    assert [o.name for o in session.get_outputs()] == ["chroma", "next_hidden", "next_past"]
    for batch, size in ((1, 1), (1, 7), (2, 1000)):
        x = torch.randn(batch, 60, 16)
        state = [part.numpy() for part in model.initial_state(batch)]
        parts = []
        for chunk in x.split(size, dim=1):
            inputs = dict(zip(("x", "hidden", "past"), [chunk.numpy(), *state], strict=True))
            chroma, *state = session.run(None, inputs)
            parts.append(chroma)
        whole, end = model(x)
        np.testing.assert_allclose(np.concatenate(parts, axis=1), whole.detach(), atol=1e-5)
        for got, expected in zip(state, end, strict=True):
            np.testing.assert_allclose(got, expected.detach(), atol=1e-5)


# --- the front end


def test_frames_are_windows_that_end_with_their_hop():
    front_end = CausalSpectrogram(8000, n_fft=256, hop_length=64, n_bands=16)
    audio = noise(1000)
    padded = np.concatenate([np.zeros(192), audio.numpy()])
    window = np.hanning(257)[:-1]
    power = [
        np.abs(np.fft.rfft(padded[k * 64 : k * 64 + 256] * window * 2 / window.sum())) ** 2
        for k in range(1000 // 64)
    ]
    expected = np.log(np.stack(power) @ front_end.filterbank.numpy().T + front_end.eps)
    np.testing.assert_allclose(front_end(audio), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("band", [20, 48, 72, 127])
def test_a_sinusoid_reads_its_level_in_its_own_band(band):
    front_end = CausalSpectrogram()
    assert front_end.frequencies[24] == pytest.approx(2 * A1_HZ)
    time = np.arange(22050) / 22050
    audio = 0.5 * np.sin(2 * np.pi * front_end.frequencies[band] * time)
    frame = front_end(torch.from_numpy(audio).float())[-1]
    assert abs(int(frame.argmax()) - band) <= (0 if band >= 48 else 2)
    assert float(frame[band]) == pytest.approx(np.log(0.25), abs=1.0)


def test_the_front_end_hears_no_future():
    front_end = CausalSpectrogram(8000, n_fft=256, hop_length=64, n_bands=16)
    audio, other = noise(1024), noise(1024)
    other[640:] = 1.0
    torch.testing.assert_close(front_end(audio)[:10], front_end(other)[:10], rtol=0, atol=0)
    assert (front_end(audio)[10] != front_end(other)[10]).any()


def test_less_than_a_hop_is_no_frame_and_silence_is_the_floor():
    front_end = CausalSpectrogram()
    assert front_end(torch.zeros(3, 511)).shape == (3, 0, 128)
    torch.testing.assert_close(
        front_end(torch.zeros(600)), torch.full((1, 128), float(np.log(1e-8)))
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hop_length": 5000}, "a hop of at most n_fft"),
        ({"n_bands": 200}, "expected less than 11025 Hz"),
    ],
)
def test_front_ends_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CausalSpectrogram(**options)


# --- the stream


def offline(network, audio):
    """Chroma from one pass over the whole, without any of the stream's code."""
    hop, ahead = network.spectrogram.hop_length, network.look_ahead
    hops = -(-len(audio) // hop)
    padded = torch.zeros((hops + ahead) * hop)
    padded[: len(audio)] = torch.as_tensor(audio)
    with torch.no_grad():
        return network(network.spectrogram(padded)[None])[0][0, ahead:].numpy()


@given(sizes=st.lists(st.sampled_from([0, 1, 63, 64, 65, 500, 5000]), max_size=15))
@settings(max_examples=30, deadline=None)
def test_blocks_of_any_size_are_one_pass(model, late, sizes):
    audio = noise(SAMPLES).numpy()
    for network in (model, late):
        times, values = chroma_of(StreamingChroma(network), cut(audio, sizes))
        np.testing.assert_allclose(values, offline(network, audio), atol=1e-5)
        np.testing.assert_allclose(times, (np.arange(len(values)) + 0.5) * 64 / 8000)


@pytest.mark.parametrize("block", [1, 64, SAMPLES])
def test_equal_blocks_down_to_single_samples(late, block):
    audio = noise(1500).numpy()
    _, values = chroma_of(StreamingChroma(late), cut(audio, [block] * (1500 // block)))
    np.testing.assert_allclose(values, offline(late, audio), atol=1e-5)


def test_a_long_block_is_read_in_parts(model):
    audio = noise(64 * 1100).numpy()
    _, values = chroma_of(StreamingChroma(model), [audio])
    np.testing.assert_allclose(values, offline(model, audio), atol=1e-5)


def test_an_answer_comes_when_its_latency_is_over(model, late):
    for network, hops in ((model, 1), (late, 4)):
        stream = StreamingChroma(network)
        assert stream.latency_seconds == pytest.approx(hops * 64 / 8000)
        audio = noise(2000).numpy()
        rows = [len(stream.push(audio[i : i + 1]).times) for i in range(2000)]
        assert int(np.argmax(rows)) == hops * 64 - 1  # the first row, with the last sample of it
        assert sum(rows) == 2000 // 64 - (hops - 1)


def test_silence_has_no_chroma(model):
    audio = noise(6400).numpy()
    audio[1280:3840] = 0
    _, values = chroma_of(StreamingChroma(model), [audio])
    silent = np.arange(100)
    silent = (silent >= 20) & (silent < 60)
    assert (values[silent] == 0).all()
    assert (values[~silent] > 0).all()
    _, quiet = chroma_of(StreamingChroma(model, silence_db=0.0), [audio])
    assert (quiet == 0).all()


def test_silence_is_kept_in_step_with_the_look_ahead(late):
    audio = noise(6400).numpy()
    audio[1280:3840] = 0
    _, values = chroma_of(StreamingChroma(late), cut(audio, [100] * 60))
    assert (values == 0).all(axis=1).nonzero()[0].tolist() == list(range(20, 60))


def test_reset_begins_again(late):
    audio = noise(3000).numpy()
    stream = StreamingChroma(late)
    first = chroma_of(stream, [audio])
    with pytest.raises(ValueError, match="has ended"):
        stream.push(audio)
    with pytest.raises(ValueError, match="has ended"):
        stream.flush()
    stream.reset()
    for a, b in zip(first, chroma_of(stream, [audio]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_at_all_and_one_sample(late):
    times, values = chroma_of(StreamingChroma(late), [[], np.empty(0, dtype=np.float32)])
    assert times.shape == (0,)
    assert values.shape == (0, 12)
    times, values = chroma_of(StreamingChroma(late), [np.array([0.5])])
    assert values.shape == (1, 12)
    np.testing.assert_allclose(values, offline(late, np.array([0.5])), atol=1e-5)


@pytest.mark.parametrize(
    ("block", "options", "error", "message"),
    [
        (np.array([0.1, np.nan]), {}, ValueError, "1 NaN or infinite samples"),
        (np.zeros((100, 2)), {}, ValueError, "average stereo"),
        (np.zeros((0, 2)), {}, ValueError, "average stereo"),
        (np.zeros(100, dtype=np.int16), {}, TypeError, "divide 16-bit PCM"),
        (np.zeros(100), {"sample_rate": 44100}, ValueError, "8000 Hz is expected"),
        (np.zeros(0), {"sample_rate": 44100}, ValueError, "8000 Hz is expected"),
    ],
)
def test_a_bad_block_is_refused_and_the_stream_goes_on(model, block, options, error, message):
    audio = noise(1000).numpy()
    stream = StreamingChroma(model)
    first = stream.push(audio[:500])
    with pytest.raises(error, match=message):
        stream.push(block, **options)
    rest = chroma_of(stream, [audio[500:]])
    np.testing.assert_allclose(
        np.concatenate([first.values, rest[1]]), offline(model, audio), atol=1e-5
    )


def test_a_stream_needs_a_network_and_a_rate(model):
    with pytest.raises(TypeError, match="expected a RealTimeMusicRNN"):
        StreamingChroma(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="a positive number of Hz"):
        StreamingChroma(model, sample_rate=0)


@pytest.mark.parametrize("rate", [11025, 44100, 96000])
def test_another_rate_is_resampled_whatever_the_blocks(late, rate):
    import soxr

    audio = noise(rate // 4).numpy()
    whole = chroma_of(StreamingChroma(late, sample_rate=rate), [audio])
    blocks = cut(audio, [1, 10, 100, 1000, 777])
    for a, b in zip(whole, chroma_of(StreamingChroma(late, sample_rate=rate), blocks), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(whole[1], offline(late, soxr.resample(audio, rate, 8000)), atol=1e-3)


# --- files and microphones


@pytest.fixture
def file(tmp_path):
    import soundfile

    left, right = noise(20000).numpy(), noise(20000, seed=1).numpy()
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 16000, subtype="FLOAT")
    return tmp_path / "a.wav", (left + right) / 2


@pytest.mark.parametrize("block", [100, 1024, 100000])
def test_a_file_is_its_audio(late, file, block):
    path, audio = file
    found = list(stream_file(path, model=late, block=block))
    assert len(found) == -(-20000 // block) + 1
    expected = chroma_of(StreamingChroma(late, sample_rate=16000), [audio])
    for a, b in zip(zip(*found, strict=True), expected, strict=True):
        np.testing.assert_allclose(np.concatenate(a), b, atol=1e-5)


def test_files_that_are_none_are_named(model, tmp_path):
    import soundfile

    (tmp_path / "broken.wav").write_bytes(b"RIFFnothing")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    for name, what in (("broken.wav", "cannot be read"), ("empty.wav", "no samples")):
        with pytest.raises(ValueError, match=f"{name}' .*{what}|{name}' has {what}"):
            list(stream_file(tmp_path / name, model=model))
    with pytest.raises(ValueError, match=r"gone.wav' cannot be read"):
        list(stream_file(tmp_path / "gone.wav", model=model))
    with pytest.raises(ValueError, match="got block=0"):
        list(stream_file(tmp_path / "empty.wav", model=model, block=0))


class PortAudioError(Exception):
    pass


class Device:
    """A microphone at 16 kHz that hears noise, in the place of sounddevice's."""

    def __init__(self, *, samplerate, device, channels, dtype):
        assert (samplerate, channels, dtype) == (16000, 1, "float32")
        self.audio, self.at, self.open = noise(40000).numpy(), 0, False

    def __enter__(self):
        self.open = True

    def __exit__(self, *_):
        self.open = False

    def read(self, count):
        assert self.open
        self.at += count
        return self.audio[self.at - count : self.at, None], self.at > 30000


@pytest.fixture
def microphone(monkeypatch):
    fake = types.ModuleType("sounddevice")
    fake.PortAudioError = PortAudioError
    fake.InputStream = Device
    fake.query_devices = lambda device, kind: {"default_samplerate": 16000.0}
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def test_a_microphone_is_its_audio(late, microphone):
    found = list(stream_microphone(seconds=1.03, model=late, block_seconds=0.1))
    assert len(found) == 11 + 1
    audio = noise(40000).numpy()[:16480]
    expected = chroma_of(StreamingChroma(late, sample_rate=16000), [audio])
    for a, b in zip(zip(*found, strict=True), expected, strict=True):
        np.testing.assert_allclose(np.concatenate(a), b, atol=1e-5)


def test_a_microphone_goes_on_until_it_is_stopped(late, microphone):
    blocks = stream_microphone(model=late, block_seconds=0.1)
    assert sum(len(next(blocks).times) for _ in range(10)) > 100
    blocks.close()


def test_lost_samples_are_told(late, microphone):
    with pytest.warns(RuntimeWarning, match="lost samples"):
        list(stream_microphone(seconds=2, model=late, block_seconds=0.5))


def test_without_a_microphone_the_reason_and_the_way_out_are_told(model, microphone, monkeypatch):
    def nothing(device, kind):
        raise PortAudioError("Error querying device -1")

    monkeypatch.setattr(microphone, "query_devices", nothing)
    with pytest.raises(MicrophoneError, match=r"no microphone opens .*-1.*stream_file reads"):
        next(stream_microphone(model=model))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MicrophoneError, match=r"pip install sounddevice.*stream_file reads"):
        next(stream_microphone(model=model))
    with pytest.raises(ValueError, match="expected positive lengths"):
        next(stream_microphone(seconds=0, model=model))


def test_everything_offered_exists():
    assert all(hasattr(streaming, name) for name in streaming.__all__)


def test_the_shipped_network_hears_a_chorale_it_did_not_learn():
    from mircourse import scores, synth
    from mircourse.chroma import pitch_class_f, score_chroma
    from mircourse.performed import perform

    opening = scores.load("bach", split="test")[0].excerpt(0, 8)
    stream = StreamingChroma()
    audio = synth.render(opening, tempo=80, seconds=6.0)
    _, values = chroma_of(stream, cut(audio, [1000] * 200))
    truth = score_chroma(
        perform(opening, tempo=80), hop_seconds=stream.hop_seconds, frames=len(values)
    )
    assert stream.latency_seconds == pytest.approx(5 * 512 / 22050)
    assert pitch_class_f(truth, values > 0.4) > 0.8
