import copy
import doctest
import sys

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import audio, features, recordings
from mircourse.features import C1_HZ, LogCQT, LogMel, check_audio, cqt, mfcc_statistics

RATE = 22050
FRONT_ENDS = {"mel": LogMel(RATE), "cqt": LogCQT(RATE)}


@pytest.fixture(scope="module")
def tone():
    """A decaying harmonic tone in a little noise: every band has something to say."""
    rng = np.random.default_rng(0)
    t = np.arange(2 * RATE) / RATE
    harmonics = sum(np.sin(2 * np.pi * 220 * h * t) / h for h in range(1, 20))
    return (np.exp(-3 * t) * harmonics + 1e-3 * rng.standard_normal(t.size)).astype(np.float32)


@pytest.fixture(params=FRONT_ENDS)
def front_end(request):
    return copy.deepcopy(FRONT_ENDS[request.param])


@pytest.mark.parametrize(
    "settings_",
    [
        {},
        {"n_fft": 1024, "hop_length": 220, "n_mels": 80, "f_min": 30.0, "f_max": 8000.0},
    ],
)
def test_log_mel_agrees_with_librosa(tone, settings_):
    mel = LogMel(RATE, **settings_)
    power = librosa.feature.melspectrogram(
        y=tone,
        sr=RATE,
        n_fft=mel.n_fft,
        hop_length=mel.hop_length,
        n_mels=mel.n_mels,
        fmin=mel.f_min,
        fmax=mel.f_max,
        htk=True,
        norm=None,
        pad_mode="reflect",
    )
    ours = np.exp(mel(torch.from_numpy(tone)).numpy().astype(np.float64)) - mel.eps
    loud = power > 1e-6 * power.max()
    assert loud.mean() > 0.25
    np.testing.assert_allclose(ours[loud], power[loud], rtol=1e-3)
    np.testing.assert_allclose(ours, power, atol=1e-5 * power.max())
    centres = librosa.mel_frequencies(mel.n_mels + 2, fmin=mel.f_min, fmax=mel.f_max, htk=True)
    np.testing.assert_allclose(mel.frequencies, centres[1:-1])


def test_log_mel_agrees_with_torchaudio(tone):
    import torchaudio

    peer = torchaudio.transforms.MelSpectrogram(RATE, n_fft=2048, hop_length=512, n_mels=128)
    x = torch.from_numpy(tone)
    torch.testing.assert_close(LogMel(RATE)(x), torch.log(peer(x) + 1e-9), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("sound", ["tone", "contrabass-030-1", "bass-electric-028-1"])
@pytest.mark.parametrize(
    "settings_",
    [{}, {"bins_per_octave": 36, "n_bins": 180, "f_min": 65.4, "hop_length": 256}],
)
def test_log_cqt_agrees_with_librosa(tone, sound, settings_):
    """To 2 % of the loudest amplitude, on low notes, whose filters are long, as well."""
    tone = tone if sound == "tone" else recordings.load()[sound].audio[: 2 * RATE].copy()
    module = LogCQT(RATE, **settings_)
    transform = librosa.cqt(
        tone,
        sr=RATE,
        hop_length=module.hop_length,
        fmin=module.f_min,
        n_bins=module.n_bins,
        bins_per_octave=module.bins_per_octave,
        tuning=0.0,
    )
    amplitude = 2 * np.abs(transform) / np.sqrt(module.lengths)[:, None]
    ours = np.exp(module(torch.from_numpy(tone)).numpy() / 2)
    assert ours.shape == amplitude.shape
    np.testing.assert_allclose(ours, amplitude, atol=0.02 * amplitude.max(), rtol=0)
    np.testing.assert_allclose(
        module.frequencies,
        librosa.cqt_frequencies(
            module.n_bins, fmin=module.f_min, bins_per_octave=module.bins_per_octave
        ),
    )
    function = cqt(tone, sample_rate=RATE, **settings_)
    np.testing.assert_allclose(function, amplitude, atol=1e-6)


def test_log_cqt_reads_the_amplitude_of_a_sinusoid_in_every_octave():
    module = LogCQT(RATE, n_bins=168)
    t = torch.arange(2 * RATE, dtype=torch.float64) / RATE
    middle = int(RATE / module.hop_length)
    for k in range(0, 168, 24):
        sine = (0.3 * torch.sin(2 * np.pi * module.frequencies[k] * t)).float()
        frame = module(sine)[:, middle]
        assert int(frame.argmax()) == k
        assert float(frame[k].exp().sqrt()) == pytest.approx(0.3, rel=0.01)


def test_transposing_by_bins_shifts_the_log_cqt():
    module = LogCQT(RATE)
    t = torch.arange(2 * RATE, dtype=torch.float64) / RATE

    def notes(shift):
        ratio = 2 ** (shift / module.bins_per_octave)
        return sum(torch.sin(2 * np.pi * 110 * ratio * h * t) / h for h in (1, 2, 3, 4)).float()

    low, high = (module(notes(shift))[:, 20:60].exp() for shift in (0, 7))
    torch.testing.assert_close(high[7:], low[:-7], rtol=0, atol=0.01 * float(low.max()))
    assert not torch.allclose(high, low, rtol=0, atol=0.1 * float(low.max()))


def test_mfcc_statistics_are_librosas(tone):
    got = mfcc_statistics(tone, sample_rate=RATE, n_mfcc=13)
    mfcc = librosa.feature.mfcc(y=tone, sr=RATE, n_mfcc=13)
    delta = librosa.feature.delta(mfcc)
    wanted = [f(m, axis=1) for m in (mfcc, delta) for f in (np.mean, np.std)]
    np.testing.assert_allclose(got, np.concatenate(wanted), rtol=1e-5, atol=1e-4)
    assert np.isfinite(mfcc_statistics(np.zeros(10), sample_rate=RATE)).all()


def test_silence_is_the_log_of_eps(front_end):
    out = front_end(torch.zeros(2, RATE))
    torch.testing.assert_close(out, torch.full_like(out, np.log(front_end.eps)))


@pytest.mark.parametrize("samples", [1, 100, 511, 512, 2047, 2048, 5000])
def test_short_audio_is_zero_padded(front_end, samples):
    x = torch.linspace(-1, 1, samples)
    out = front_end(x)
    assert torch.isfinite(out).all()
    one_window = getattr(front_end, "n_fft", samples)
    assert out.shape[-1] == 1 + max(samples, one_window) // front_end.hop_length
    if samples < one_window:
        padded = torch.cat([x, torch.zeros(one_window - samples)])
        torch.testing.assert_close(out, front_end(padded))
    assert cqt(x.numpy(), sample_rate=RATE).shape == (192, 1 + samples // 512)


def test_cqt_of_short_audio_agrees_with_the_module(tone):
    short = tone[:3000]
    ours = np.exp(LogCQT(RATE)(torch.from_numpy(short)).numpy() / 2)
    np.testing.assert_allclose(cqt(short, sample_rate=RATE), ours, atol=0.02 * ours.max(), rtol=0)


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(sorted(FRONT_ENDS)),
    batch=st.lists(st.integers(1, 3), max_size=2),
    samples=st.integers(1, 6000),
    seed=st.integers(0, 9),
)
def test_a_batch_equals_its_members(name, batch, samples, seed):
    module = FRONT_ENDS[name]
    x = torch.randn(*batch, samples, generator=torch.Generator().manual_seed(seed))
    out = module(x)
    assert out.shape[:-2] == tuple(batch)
    singles = torch.stack([module(one) for one in x.reshape(-1, samples)])
    torch.testing.assert_close(out.reshape(singles.shape), singles, rtol=1e-4, atol=1e-3)


def test_gradient_reaches_the_waveform(front_end, tone):
    x = torch.from_numpy(tone[:8192]).requires_grad_()
    (gradient,) = torch.autograd.grad(front_end(x).exp().sum(), x)
    step = 1e-2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():  # power is quadratic, so a central difference is exact
        ahead, behind = front_end(x + step).exp(), front_end(x - step).exp()
    change = float((ahead - behind).sum(dtype=torch.float64)) / 2
    assert change == pytest.approx(float(gradient @ step), rel=0.01)


def test_half_precision_changes_nothing_inside(front_end, tone):
    x = torch.from_numpy(tone).unsqueeze(0)
    wanted = front_end(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(front_end(x), wanted, rtol=0, atol=0)
    rounded = copy.deepcopy(front_end).bfloat16()
    torch.testing.assert_close(rounded(x), wanted, rtol=0, atol=0)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        out = copy.deepcopy(front_end).to(dtype)(x.to(dtype))
        assert out.dtype == dtype
        torch.testing.assert_close(out.float(), front_end(x.to(dtype).float()), rtol=0.01, atol=0)


def test_checkpoints_do_not_carry_filters(front_end):
    assert front_end.state_dict() == {}
    assert sum(buffer.numel() for buffer in front_end.buffers()) > 0


def test_compiles_without_a_graph_break(front_end, tone):
    x = torch.from_numpy(tone).unsqueeze(0)
    compiled = torch.compile(front_end, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), front_end(x), rtol=1e-4, atol=1e-3)


# Raised inside torch's exporter and its dependencies, not by anything that the module does.
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("front_end", [LogMel(RATE), LogCQT(RATE, n_bins=48, f_min=220.0)])
def test_exports_to_onnx_with_equal_outputs(front_end, tone, tmp_path):
    import onnxruntime

    axes = ({0: torch.export.Dim("batch"), 1: torch.export.Dim("samples", min=2, max=10**7)},)
    x = torch.from_numpy(tone).repeat(2, 1)
    front_end.eval()
    file = tmp_path / "front_end.onnx"
    torch.onnx.export(front_end, (x,), dynamo=True, dynamic_shapes=axes, verbose=False).save(file)
    session = onnxruntime.InferenceSession(file)
    for wave in (x, torch.from_numpy(tone[: RATE + 77]).repeat(3, 1)):
        (out,) = session.run(None, {session.get_inputs()[0].name: wave.numpy()})
        np.testing.assert_allclose(
            np.exp(out), front_end(wave).exp().numpy(), rtol=1e-3, atol=1e-4 * np.exp(out.max())
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_equals_cpu(front_end, tone):
    x = torch.from_numpy(tone).unsqueeze(0)
    wanted = front_end(x).exp()
    out = front_end.cuda()(x.cuda()).exp().cpu()
    torch.testing.assert_close(out, wanted, rtol=0, atol=2e-3 * float(wanted.max()))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros(9), TypeError, "ndarray but a torch.Tensor"),
        (torch.zeros(9, dtype=torch.int16), TypeError, "int16.*divide 16-bit PCM by 32768"),
        (torch.zeros(2, 0), ValueError, r"shape \(2, 0\)"),
        (torch.tensor(0.0), ValueError, r"shape \(\) but \(..., samples\)"),
        (torch.zeros(4000, 2), ValueError, r"\(4000, 2\).*mono.*expected"),
        (torch.tensor([0.0, float("nan"), float("inf")]), ValueError, "2 NaN or infinite.*of 3"),
    ],
)
def test_bad_waveforms_are_refused(front_end, x, error, message):
    with pytest.raises(error, match=message):
        front_end(x)


def test_rates_are_compared(front_end):
    with pytest.raises(ValueError, match=r"at 44100 Hz but 22050 Hz"):
        front_end(torch.zeros(100), sample_rate=44100)
    assert front_end(torch.zeros(100), sample_rate=RATE).ndim == 2


@pytest.mark.parametrize("function", [check_audio, cqt, mfcc_statistics])
@pytest.mark.parametrize(
    ("audio", "rate", "error", "message"),
    [
        (np.zeros((2, 9)), RATE, ValueError, r"\(2, 9\).*mono.*expected"),
        (np.zeros((9, 2)), RATE, ValueError, r"\(9, 2\)"),
        (np.zeros(0), RATE, ValueError, "no samples"),
        (np.zeros(9, dtype=np.int16), RATE, TypeError, "int16"),
        (np.array([1.0, np.nan]), RATE, ValueError, "1 NaN or infinite samples of 2"),
        (np.zeros(9), 0, ValueError, "sample_rate=0"),
    ],
)
def test_bad_audio_is_refused(function, audio, rate, error, message):
    with pytest.raises(error, match=message):
        function(audio, sample_rate=rate)


def test_check_audio_compares_rates():
    with pytest.raises(ValueError, match="48000 Hz but 16000 Hz"):
        check_audio(np.zeros(9), sample_rate=48000, expected_rate=16000)
    out = check_audio(np.zeros(9), sample_rate=16000, expected_rate=16000)
    assert out.dtype == np.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogMel(0), "sample_rate=0"),
        (lambda: LogMel(RATE, hop_length=0), "hop_length=0"),
        (lambda: LogMel(RATE, eps=0.0), "eps=0.0"),
        (lambda: LogMel(16000, f_max=9000.0), r"f_max=9000.0.*half of sample_rate=16000"),
        (lambda: LogMel(RATE, f_min=500.0, f_max=400.0), "f_min=500.0"),
        (lambda: LogMel(RATE, n_mels=0), "n_mels=0"),
        (lambda: LogCQT(8000), "beyond half of sample_rate=8000"),
        (lambda: LogCQT(RATE, n_bins=0), "n_bins=0"),
        (lambda: cqt(np.zeros(9), sample_rate=8000), "librosa refuses"),
        (lambda: mfcc_statistics(np.zeros(9), sample_rate=RATE, n_mfcc=0), "n_mfcc=0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_times_and_frequencies(front_end):
    assert front_end.times(3) == pytest.approx([0, 512 / RATE, 1024 / RATE])
    assert (np.diff(front_end.frequencies) > 0).all()
    assert pytest.approx(librosa.note_to_hz("C1")) == C1_HZ


def test_a_torchaudio_that_does_not_load_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio.functional", None)
    with pytest.raises(ImportError, match="mircourse doctor --fix"):
        LogMel(RATE)


@pytest.mark.parametrize("module", [audio, features])
def test_examples(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted and not outcome.failed
