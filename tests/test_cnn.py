"""What every model of the chapter has to withstand, and what is MusicCNN's own."""

import copy
import doctest
import importlib
import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mircourse import recordings
from mircourse.cnn import HarmonicCNN, MusicCNN, OnsetCNN

N_CLASSES = 5
MAKERS = {
    "music": lambda **kw: MusicCNN(N_CLASSES, width=0.07, **kw),
    "music-plain": lambda **kw: MusicCNN(
        N_CLASSES,
        width=0.1,
        scales=(3, (12, 1), (1, 7)),
        pooling="average",
        keep_frequency=False,
        normalize="input",
        **kw,
    ),
    "harmonic": lambda **kw: HarmonicCNN(
        4, N_CLASSES, width=0.1, bins_per_octave=12, n_bins=36, f_min=130.8, **kw
    ),
    "onset": lambda **kw: OnsetCNN(width=0.4, **kw),
}
CLASSIFIERS = ["music", "music-plain", "harmonic"]


@pytest.fixture(params=MAKERS)
def model(request):
    torch.manual_seed(0)
    return MAKERS[request.param]().eval()


@pytest.fixture(params=CLASSIFIERS)
def classifier(request):
    torch.manual_seed(0)
    return MAKERS[request.param](dropout=0.0)


@pytest.fixture(scope="module")
def notes():
    """Half a second of each of fifteen recorded notes of five instruments, and their labels."""
    names = ["flute", "harp", "trumpet", "tuba", "violin"]
    found = recordings.load(split="train").filter(lambda r: r.instrument in names)
    chosen = [r.id for name in names for r in found if r.instrument == name]
    picked = found.filter(lambda r: r.id in set(chosen[::2]))
    labels = np.array([names.index(r.instrument) for r in picked])
    keep = np.concatenate([np.flatnonzero(labels == k)[:3] for k in range(len(names))])
    return torch.from_numpy(picked.audio(0.5)[keep]), torch.from_numpy(labels[keep])


# --- every model ---------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 100, 2047, 2048, 2049, 11025])
def test_any_length_above_zero_will_do(model, samples):
    out = model(0.1 * torch.randn(1, samples))
    assert out.shape[0] == 1
    assert torch.isfinite(out).all()


def test_spectrograms_of_one_frame_will_do(model):
    for frames in (1, 2, 3):
        out = model(torch.randn(2, model.spectrogram.rows, frames))
        assert torch.isfinite(out).all()


def test_a_waveform_and_its_cached_spectrogram_give_the_same_logits(model, notes):
    spectrogram = model.spectrogram(notes[0])
    torch.testing.assert_close(model(spectrogram), model(notes[0]))


def test_silence_is_valid_in_training_and_evaluation(model):
    silence = torch.zeros(2, 4000)
    assert torch.isfinite(model(silence)).all()
    out = model.train()(silence)
    out.square().sum().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_a_batch_is_a_set(model, notes):
    x = notes[0][:6]
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    out = model(x)
    torch.testing.assert_close(model(x[order]), out[order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model(x[:1]), out[:1], atol=1e-5, rtol=1e-4)


def test_evaluation_is_deterministic_and_training_drops(model, notes):
    x = notes[0][:4]
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


def test_gradients_reach_every_parameter(model, notes):
    model.train()(notes[0][:6]).square().sum().backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


def test_a_checkpoint_restores_the_model(model, notes):
    other = copy.deepcopy(model)
    for p in other.parameters():
        torch.nn.init.normal_(p)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(notes[0][:2]), model(notes[0][:2]))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(4000), ValueError, r"add the batch axis with x\[None\]"),
        (torch.zeros(2, 2, 4000), ValueError, r"mix stereo to mono with x.mean\(dim=1\)"),
        (torch.zeros(4000, 2), ValueError, "channels"),
        (torch.zeros(2, 33, 40), ValueError, r"or spectrograms \(B, "),
        (torch.zeros(1, 1, 2, 4000), ValueError, "expected mono waveforms"),
        (torch.zeros(0, 4000), ValueError, "empty"),
        (torch.zeros(2, 0), ValueError, "empty"),
        (torch.zeros(2, 4000, dtype=torch.int16), TypeError, "floating point"),
        (np.zeros((2, 4000), dtype=np.float32), TypeError, "ndarray"),
        (torch.full((2, 4000), torch.nan), ValueError, "NaN"),
        (torch.full((2, 4000), torch.inf), ValueError, "infinit"),
    ],
)
def test_bad_input_is_named(model, x, error, message):
    with pytest.raises(error, match=message):
        model(x)


def test_nan_in_a_cached_spectrogram_is_named(model):
    x = torch.zeros(2, model.spectrogram.rows, 9)
    x[1, 3, 4] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinity in spectrograms"):
        model(x)


def test_bfloat16_by_autocast_and_throughout(model, notes):
    x = notes[0][:4]
    exact = model(x)
    scale = 0.05 * (1 + exact.abs().max().item())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model(x)
    torch.testing.assert_close(mixed.float(), exact, atol=scale, rtol=0)
    half = model.to(torch.bfloat16)(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, atol=3 * scale, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu(model, notes):
    expected = model(notes[0])
    found = model.cuda()(notes[0].cuda())
    torch.testing.assert_close(found.cpu(), expected, atol=2e-2, rtol=1e-2)


def test_it_compiles_to_one_graph_forward_and_backward(model, notes):
    """AOTAutograd traces both passes without the minutes that generating kernels takes."""
    x = notes[0][:3]
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x), atol=1e-5, rtol=1e-4)
    model.zero_grad()
    compiled(x).square().sum().backward()
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model(x).square().sum().backward()
    for p, grad in zip(model.parameters(), found, strict=True):
        torch.testing.assert_close(grad, p.grad, atol=1e-4, rtol=1e-3)
    torch.compiler.reset()


# ONNX Runtime adds up a filter of 24,000 samples with an error near -100 dB, which the logarithm
# shows in quiet bands: from the waveform the harmonic network is as exact as that allows.
@pytest.mark.parametrize(
    ("name", "start", "tolerance"),
    [
        ("music", "waveform", 1e-4),
        ("onset", "waveform", 1e-4),
        ("harmonic", "spectrogram", 1e-4),
        ("harmonic", "waveform", 2e-2),
    ],
)
def test_onnx_gives_equal_outputs(name, start, tolerance, notes, tmp_path):
    """For a batch of another size than the one exported, too."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    model = MAKERS[name]().eval()
    # Noise at -60 dB: in a band without any power, log shows the rounding of the transform.
    clips = notes[0][:8] + 1e-3 * torch.randn_like(notes[0][:8])
    if start == "spectrogram":
        clips = model.spectrogram(clips)
    x = clips[:3]
    file = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        sizes = ({0: torch.export.Dim.AUTO},)
        torch.onnx.export(model, (x,), str(file), dynamo=True, dynamic_shapes=sizes, verbose=False)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for batch in (x, clips[3:]):
        (found,) = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
        np.testing.assert_allclose(found, model(batch).detach().numpy(), atol=tolerance)


# --- both classifiers ----------------------------------------------------------------------------


def test_the_loss_at_the_start_is_that_of_guessing(classifier, notes):
    x, y = notes
    loss = F.cross_entropy(classifier(x), y).item()
    assert abs(loss - math.log(N_CLASSES)) < 0.25


def test_one_batch_of_recordings_can_be_learned_by_heart(classifier, notes):
    x, y = notes
    cached = classifier.spectrogram(x)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=1e-2)
    for _ in range(60):
        loss = F.cross_entropy(classifier(cached), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    assert (classifier(cached).argmax(1) == y).all()


def test_classify_takes_spectrograms_only(classifier, notes):
    cached = classifier.eval().spectrogram(notes[0])
    assert torch.equal(classifier.classify(cached), classifier(cached))
    with pytest.raises(ValueError, match="expected spectrograms"):
        classifier.classify(notes[0])


def test_features_come_from_the_forward_pass_itself(classifier, notes):
    """The named maps lead to the same logits, and each block has run once."""
    x = notes[0][:4]
    classifier.eval()
    calls = []
    hook = classifier.conv3.register_forward_hook(lambda *args: calls.append(args[2]))
    features = classifier.extract_features(x)
    hook.remove()
    assert len(calls) == 1
    assert features["conv3"] is calls[0]
    torch.testing.assert_close(classifier.head.fc(features["embedding"]), classifier(x))
    assert "logits" not in features
    torch.testing.assert_close(features["attention"].sum(1), torch.ones(4))


def test_onset_loss_at_the_start_is_that_of_guessing(notes):
    torch.manual_seed(0)
    logits = OnsetCNN()(notes[0])
    loss = F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))
    assert abs(loss.item() - math.log(2)) < 0.1


# --- MusicCNN ------------------------------------------------------------------------------------


def test_default_sizes_are_the_published_ones():
    model = MusicCNN()
    assert (model.head.fc.out_features, model.sample_rate) == (10, 22050)
    assert model.conv1[0].weight.shape == (64, 1, 3, 3)
    assert model.branches["harmonic"][0].weight.shape == (128, 64, 12, 1)
    assert model.branches["temporal"][0].weight.shape == (128, 64, 1, 7)
    assert model.conv3[0].weight.shape == (256, 256, 3, 3)
    assert model.head.pool.hidden.out_features == 128
    assert sum(p.numel() for p in model.parameters()) < 1_000_000


def test_tall_filters_are_tall_and_wide_filters_wide():
    """eq:cnn-filter: W in R^(f x t x c_in x c_out), f > t for harmonic structure."""
    branches = MAKERS["music"]().branches
    f, t = branches["harmonic"][0].weight.shape[2:]
    assert f > t
    f, t = branches["temporal"][0].weight.shape[2:]
    assert f < t


@pytest.mark.parametrize("branches", ["both", "tall", "wide", "square"])
@pytest.mark.parametrize("frames", [1, 2, 7, 22, 87])
def test_branches_agree_in_size_for_any_length(branches, frames):
    model = MusicCNN(width=0.07, branches=branches)
    features = model.extract_features(torch.randn(2, 128, frames))
    sizes = {features[name].shape[2:] for name in ["conv1", *model.branches]}
    assert sizes == {(64, -(-frames // 2))}


def test_named_maps_have_the_documented_shapes():
    features = MusicCNN(width=0.25).extract_features(torch.randn(2, 44100))
    assert {name: tuple(value.shape) for name, value in features.items()} == {
        "spectrogram": (2, 128, 87),
        "conv1": (2, 16, 64, 44),
        "harmonic": (2, 32, 64, 44),
        "temporal": (2, 32, 64, 44),
        "conv3": (2, 64, 32, 22),
        "attention": (2, 22),
        "embedding": (2, 16 * 32),
    }


@pytest.mark.parametrize("width", [0.15, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("keep_frequency", [True, False])
def test_variants_have_equal_parameter_counts(width, keep_frequency):
    def count(**kw):
        model = MusicCNN(19, width=width, keep_frequency=keep_frequency, **kw)
        return sum(p.numel() for p in model.parameters())

    reference = count()
    variants = [{"branches": b} for b in ("tall", "wide", "square")]
    variants += [{"scales": s} for s in ((5,), (3, 5), (3, 5, 7), (3, (12, 1), (1, 7)))]
    for variant in variants:
        assert abs(count(**variant) / reference - 1) < 0.02, variant


def test_attention_weights_change_what_is_pooled():
    torch.manual_seed(0)
    model = MAKERS["music"]().eval()
    x = torch.randn(2, 128, 40)
    before = model.extract_features(x)
    with torch.no_grad():
        model.head.pool.score.weight.mul_(50)
    after = model.extract_features(x)
    assert not torch.allclose(before["embedding"], after["embedding"], atol=1e-3)
    torch.testing.assert_close(before["conv3"], after["conv3"])


def test_average_pooling_weighs_all_frames_alike():
    features = MAKERS["music-plain"]().extract_features(torch.randn(2, 128, 40))
    torch.testing.assert_close(features["attention"], torch.full((2, 10), 0.1))


def test_normalising_each_input_cancels_loudness(notes):
    model = MusicCNN(width=0.07, normalize="input").eval()
    x = model.spectrogram(notes[0][:3])
    torch.testing.assert_close(model(x - 4.0), model(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"branches": "diagonal"}, "one of both, tall, wide, square"),
        ({"pooling": "max"}, '"attention" or "average"'),
        ({"normalize": "none"}, '"bands" or "input"'),
        ({"scales": ()}, "at least one kernel"),
        ({"scales": (3, 0)}, "positive integer"),
        ({"scales": (255, 257)}, "fewer or smaller kernels"),
        ({"width": 0.0}, "positive factor"),
    ],
)
def test_arguments_that_cannot_be_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MusicCNN(**{"width": 0.07, **options})


@pytest.mark.parametrize("name", ["blocks", "pooling", "classifier", "cnn", "harmonic", "onsets"])
def test_examples_in_the_docstrings_hold(name):
    module = importlib.import_module(f"mircourse.{name}")
    assert doctest.testmod(module, extraglobs={"torch": torch}).failed == 0
