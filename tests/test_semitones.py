"""The spectrogram of semitones, against formulas and against itself."""

import numpy as np
import pytest
import torch

from mircourse.semitones import KEYS, SemitoneSpectrogram


def tone(pitch, *, rate=16000, seconds=1.0, amplitude=0.5):
    t = np.arange(round(rate * seconds)) / rate
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    return torch.from_numpy((amplitude * np.sin(2 * np.pi * hertz * t)).astype(np.float32))


@pytest.mark.parametrize("pitch", [48, 60, 69, 96])
def test_a_tone_is_loudest_in_its_own_row(pitch):
    for windows, rows in (((4096,), 1), ((4096, 1024), 3)):
        front_end = SemitoneSpectrogram(windows=windows, rows_per_semitone=rows, n_rows=80 * rows)
        middle = front_end(tone(pitch))[25, : 80 * rows]  # of the long window
        assert middle.argmax() == (pitch - 21) * rows


def test_the_log_power_is_that_of_a_fourier_transform_summed_with_triangles():
    x = np.random.default_rng(0).standard_normal(8000).astype(np.float32) * 0.1
    front_end = SemitoneSpectrogram(hop_length=320, windows=(2048,), eps=1e-8)
    padded = np.pad(x, (1024, 2048))
    window = np.hanning(2049)[:-1]  # periodic
    bins = np.arange(1025) * 16000 / 2048
    t, row = 7, 50  # B4
    spectrum = np.fft.rfft(padded[t * 320 : t * 320 + 2048] * window)
    power = np.abs(spectrum) ** 2 * (2 / window.sum()) ** 2
    low, centre, high = (440 * 2 ** ((21 + row + d - 69) / 12) for d in (-1, 0, 1))
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    weight = np.maximum(0, np.minimum(rising, falling))
    expected = np.log((weight * power).sum() / weight.sum() + 1e-8)
    np.testing.assert_allclose(front_end(torch.from_numpy(x))[t, row], expected, rtol=1e-4)


def test_padding_with_zeros_leaves_the_frames_of_the_recording():
    front_end = SemitoneSpectrogram(windows=(4096, 1024), rows_per_semitone=3)
    x = torch.randn(1, 5000, generator=torch.manual_seed(0))
    alone = front_end(x)
    padded = front_end(torch.nn.functional.pad(x, (0, 9000)))
    torch.testing.assert_close(padded[:, : alone.shape[1]], alone)


@pytest.mark.parametrize("samples", [1, 319, 320, 321, 16000])
def test_the_number_of_frames(samples):
    front_end = SemitoneSpectrogram()
    found = front_end(torch.zeros(2, samples))
    assert found.shape == (2, 1 + samples // 320, KEYS)
    assert front_end.frames(samples) == found.shape[1]
    torch.testing.assert_close(found, torch.full_like(found, np.log(1e-8)))


def test_every_low_row_has_weight_although_rows_are_closer_than_bins():
    front_end = SemitoneSpectrogram(windows=(1024,), rows_per_semitone=3)
    torch.testing.assert_close(front_end.bank0.sum(1), torch.ones(264))


def test_bad_settings_and_input_are_refused():
    with pytest.raises(ValueError, match="highest of 120 rows is at"):
        SemitoneSpectrogram(16000, n_rows=120)
    with pytest.raises(ValueError, match="have to be positive"):
        SemitoneSpectrogram(hop_length=0)
    front_end = SemitoneSpectrogram()
    with pytest.raises(ValueError, match="44100"):
        front_end(torch.zeros(1, 100), sample_rate=44100)
    with pytest.raises(ValueError, match="NaN or infinite"):
        front_end(torch.tensor([[0.0, float("nan")]]))
    with pytest.raises(TypeError):
        front_end(torch.zeros(1, 100, dtype=torch.int16))
