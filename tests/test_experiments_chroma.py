"""The experiments of streaming: their music, their truth, their baselines."""

import numpy as np
import pytest
import torch

from mircourse.causal import A1_HZ, BANDS_PER_OCTAVE
from mircourse.chroma import pitch_class_f
from mircourse.experiments import chroma, rnn
from mircourse.streaming import RealTimeMusicRNN

FONTS = list(chroma.FONTS)


@pytest.fixture(scope="module")
def valid():
    return chroma.passages("valid", fast=True)


@pytest.fixture(scope="module")
def tiny():
    """Settings of a network that trains in a second, and is trained for every test once."""
    arguments = {"hidden_dim": 8, "look_ahead": 2}
    return {"arguments": arguments, "epochs": 1, "lr": 0.01, "batch_size": 4}


def test_audio_and_truth_are_in_step(valid):
    """If they were not, librosa would agree as well with the truth of half a second later."""
    settings = (0, 0.0)
    right, late = [], []
    for p in valid:
        values = chroma._librosa(p.audio, "cqt", *settings)[: len(p.chroma)] >= 0.6
        right.append(pitch_class_f(p.chroma, values))
        late.append(pitch_class_f(np.roll(p.chroma, 22, axis=0), values))
    assert np.mean(right) > np.mean(late) + 0.1


def test_both_fonts_play_the_same_music(valid):
    other = chroma.passages("valid", font="timgm6mb", fast=True)
    for a, b in zip(valid, other, strict=True):
        assert (a.name, a.family) == (b.name, b.family)
        np.testing.assert_array_equal(a.chroma, b.chroma)
        assert not np.array_equal(a.audio, b.audio)


def test_splits_share_no_family(valid):
    assert not {p.family for p in valid} & {p.family for p in chroma.passages("test", fast=True)}


def test_passages_end_with_their_last_note(valid):
    for p in valid:
        assert len(p.chroma) <= len(p.audio) // chroma.HOP + 1
        assert p.chroma[-20:].any()


@pytest.mark.parametrize("look_ahead", [0, 5])
def test_the_answer_comes_late_by_the_look_ahead(valid, look_ahead):
    x, y = chroma.segments("valid", fast=True, look_ahead=look_ahead)
    assert x.shape[1:] == (chroma.SEGMENT, 128)
    assert y.shape == (*x.shape[:2], 12)
    first = valid[0].chroma[: chroma.SEGMENT - look_ahead]
    np.testing.assert_array_equal(y[0, look_ahead:].numpy(), first)
    assert not y[0, :look_ahead].any()
    np.testing.assert_array_equal(x[0].numpy(), chroma.features("valid", fast=True)[0][:215])


def test_a_transposed_image_keeps_its_answer():
    centre = A1_HZ * 2 ** (np.arange(128) / BANDS_PER_OCTAVE)
    band = 60
    x, y = torch.full((1, 3, 128), float(np.log(1e-8))), torch.zeros(1, 3, 12)
    x[:, :, band] = 0.0
    y[:, :, round(12 * np.log2(centre[band] / 440) + 9) % 12] = 1
    moves = set()
    for seed in range(30):
        torch.manual_seed(seed)
        image, answer = chroma.transposed(x, y)
        found = int(image[0, 0].argmax())
        moves.add((found - band) // 2)
        pitch_class = round(12 * np.log2(centre[found] / 440) + 9) % 12
        assert answer[0, 0].argmax() == pitch_class
        assert (image >= np.log(1e-8) - 1e-3).all()
    assert len(moves) > 5


def test_past_only_hears_no_future(valid):
    audio = valid[0].audio[:40000]
    other = audio.copy()
    other[20480:] = 0
    for name, same in (("stft, past only", True), ("stft", False)):
        a, b = (chroma._librosa(x, name, 4096, 0.0)[:40] for x in (audio, other))
        assert np.array_equal(a, b) == same


def test_compression_keeps_order_and_ends():
    raw = np.random.default_rng(0).random((5, 12)) + 0.01
    for amount in chroma.COMPRESSIONS:
        values = chroma._compressed(raw, amount)
        np.testing.assert_array_equal(values.argsort(axis=1), raw.argsort(axis=1))
        np.testing.assert_allclose(values.max(axis=1), 1)
        assert (values >= 0).all()
    assert not chroma._compressed(np.zeros((2, 12)), 1.0).any()


def test_all_pitch_classes_score_what_they_must():
    found = chroma.without_learning("all", task=FONTS[0], fast=True)
    for score, p in zip(found["scores"], chroma.passages("test", fast=True), strict=True):
        share = p.chroma.mean()
        assert score == pytest.approx(2 * share / (1 + share))


@pytest.mark.parametrize("name", ["stft, past only", "stft", "cqt"])
def test_librosa_is_tuned_and_scored(name):
    window, compression, threshold = chroma.tuned(name, fast=True)
    assert window in (0, *chroma.WINDOWS)
    assert compression in chroma.COMPRESSIONS
    assert threshold in chroma.THRESHOLDS
    found = chroma.without_learning(name, task=FONTS[1], fast=True)
    everything = chroma.without_learning("all", task=FONTS[1], fast=True)
    assert np.mean(found["scores"]) > np.mean(everything["scores"])
    assert len(found["groups"]) == len(found["scores"]) == 4


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="got 'ear'"):
        chroma._librosa(np.zeros(4096, dtype=np.float32), "ear", 2048, 0.0)


def test_reading_in_chunks_changes_nothing_but_what_is_forgotten(tiny):
    whole = chroma.train(tiny, task=FONTS[0], seed=0, fast=True)
    assert whole["parameters"] > 0
    for task in chroma.CHUNKS:
        kept = chroma.chunked(tiny, forget=(), task=task, seed=0, fast=True)
        np.testing.assert_allclose(kept["scores"], whole["scores"], atol=1e-3)
        assert kept["groups"] == whole["groups"]
    model, _, _ = chroma.trained(tiny, seed=0, fast=True)
    for forget in (("past",), ("hidden",)):
        options = {"font": "fluid", "fast": True}
        lost = chroma.listen(model, "test", **options, chunk=1, forget=forget)
        kept = chroma.listen(model, "test", **options)
        assert np.abs(lost[0] - kept[0]).max() > 1e-3


def test_look_ahead_is_taken_out_of_the_answer():
    """A network that repeats the newest frame late by its look-ahead answers in step."""
    torch.manual_seed(0)
    early, late = (RealTimeMusicRNN(hidden_dim=4, look_ahead=n) for n in (0, 3))
    late.load_state_dict(early.state_dict())
    a, b = (chroma.listen(m, "valid", font="fluid", fast=True)[0] for m in (early, late))
    assert a.shape == b.shape
    np.testing.assert_allclose(b[:-3], a[3:], atol=1e-5)


def test_what_ships_is_a_row_of_the_table():
    assert rnn.LIVE in [row.settings for row in rnn.streams.rows]
