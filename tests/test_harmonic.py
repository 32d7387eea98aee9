"""The harmonic stack against brute force, and what a transposed input does to the maps."""

import numpy as np
import pytest
import torch

from mircourse.cnn import HarmonicCNN, HarmonicStack

BINS, OCTAVE, HARMONICS = 40, 12, 6


@pytest.fixture
def small():
    """A HarmonicCNN whose lowest filters are short, in evaluation mode."""
    torch.manual_seed(0)
    return HarmonicCNN(
        HARMONICS, 5, width=0.1, bins_per_octave=OCTAVE, n_bins=BINS, f_min=130.8
    ).eval()


def brute_force(x, *, n_bins, bins_per_octave, widths):
    """eq:cnn-harmonic, one channel, row and frame at a time."""
    y = np.empty((len(widths), n_bins, x.shape[1]))
    for h, width in enumerate(widths):
        for k in range(n_bins):
            centre = k + bins_per_octave * np.log2(h + 1)
            weights = [max(0.0, 1 - abs(j - centre) / width) for j in range(len(x))]
            y[h, k] = np.log(np.average(np.exp(x), axis=0, weights=weights))
    return y


@pytest.mark.parametrize("widths", [[1.0] * HARMONICS, [1.5, 1.1, 2.0, 1.3, 4.2, 1.01]])
def test_the_stack_is_equation_cnn_harmonic(widths):
    stack = HarmonicStack(HARMONICS, n_bins=BINS, bins_per_octave=OCTAVE, bandwidth=2.0)
    with torch.no_grad():
        stack.raw_bandwidth.copy_((torch.tensor(widths) - 1).expm1().log())
    x = torch.randn(1, stack.rows, 3)
    expected = brute_force(
        x[0].double().numpy(), n_bins=BINS, bins_per_octave=OCTAVE, widths=widths
    )
    np.testing.assert_allclose(stack.bandwidth.detach(), widths, rtol=1e-5)
    np.testing.assert_allclose(stack(x)[0].detach(), expected, atol=1e-4)


def test_with_the_least_bandwidth_it_is_a_shift_interpolated_linearly():
    stack = HarmonicStack(
        HARMONICS, n_bins=BINS, bins_per_octave=OCTAVE, bandwidth=1.0, learnable=False
    )
    x = torch.randn(1, stack.rows, 3)
    y = stack(x)[0].exp()
    power = x[0].exp().numpy()
    for h in range(1, HARMONICS + 1):
        where = np.arange(BINS) + OCTAVE * np.log2(h)
        for frame in range(3):
            expected = np.interp(where, np.arange(stack.rows), power[:, frame])
            np.testing.assert_allclose(y[h - 1, :, frame], expected, rtol=1e-4)
    assert not list(stack.parameters())


def test_a_harmonic_series_lines_up_on_its_fundamental():
    stack = HarmonicStack(HARMONICS, n_bins=BINS, bins_per_octave=OCTAVE)
    fundamental = 17
    x = torch.full((1, stack.rows, 1), -20.0)
    for h in range(1, HARMONICS + 1):
        x[0, round(fundamental + OCTAVE * np.log2(h))] = 0.0
    loud = stack(x)[0, :, :, 0] > -1.0
    assert loud.all(dim=0).nonzero().squeeze(1).tolist() == [fundamental]


def test_a_transposed_spectrogram_gives_the_stack_moved_exactly():
    """Away from the top rows, where something new comes into view."""
    stack = HarmonicStack(HARMONICS, n_bins=BINS, bins_per_octave=OCTAVE)
    long = torch.randn(2, stack.rows + 7, 5)
    for k in range(1, 8):
        low, high = stack(long[:, k : stack.rows + k]), stack(long[:, : stack.rows])
        torch.testing.assert_close(low[:, :, 3:-10], high[:, :, 3 + k : BINS - 10 + k])


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_transposed_spectrogram_gives_the_convolutional_maps_moved(small, k):
    rows = small.harmonics.rows
    # Silence around one note, so that what leaves at the bottom equals what comes in at the top.
    x = torch.full((1, rows, 16), -20.0)
    for h in range(1, HARMONICS + 1):
        x[0, round(14 + OCTAVE * np.log2(h)), 4:12] = -h / 2
    before, after = small.extract_features(x), small.extract_features(x.roll(k, dims=1))
    for name in ("harmonics", "harmonic"):
        assert before[name].std() > 0.01
        moved = before[name].roll(k, dims=2)
        torch.testing.assert_close(after[name][:, :, 6:-6], moved[:, :, 6:-6])
    if k % 2 == 0:  # this map has half the rows
        moved = before["combined"].roll(k // 2, dims=2)
        torch.testing.assert_close(after["combined"][:, :, 3:-3], moved[:, :, 3:-3])


def test_a_higher_note_is_the_same_stack_moved_up(small):
    """From the waveform: a tone of ten harmonics, and the same a fourth higher."""
    t = torch.arange(22050) / 22050
    tones = [
        sum(torch.sin(2 * np.pi * f * h * t) / h for h in range(1, 11))
        for f in (130.8 * 2 ** (7 / 12), 130.8)
    ]
    high, low = small.extract_features(torch.stack(tones))["harmonics"][..., 20]
    assert low[:, 4:].mean(0)[:8].argmax() != high[:, 4:].mean(0)[:8].argmax()
    correlation = torch.corrcoef(torch.stack([high[:, 7:30].flatten(), low[:, :23].flatten()]))
    stay = torch.corrcoef(torch.stack([high[:, :23].flatten(), low[:, :23].flatten()]))
    assert correlation[0, 1] > 0.98
    assert stay[0, 1] < 0.7


def test_bandwidth_is_learned_or_kept(small):
    small.train()(torch.randn(2, 8000)).sum().backward()
    assert (small.harmonics.raw_bandwidth.grad != 0).all()
    fixed = HarmonicCNN(width=0.1, n_bins=24, f_min=261.6, learnable_bandwidth=False, bandwidth=2)
    assert "harmonics.raw_bandwidth" not in dict(fixed.named_parameters())
    torch.testing.assert_close(fixed.harmonics.bandwidth, torch.full((6,), 2.0))


def test_a_bandwidth_never_falls_below_one_bin():
    stack = HarmonicStack(3, n_bins=10, bins_per_octave=12)
    with torch.no_grad():
        stack.raw_bandwidth.fill_(-50.0)
    assert torch.isfinite(stack(torch.randn(1, stack.rows, 2))).all()


def test_one_harmonic_is_the_spectrogram_itself():
    stack = HarmonicStack(1, n_bins=30, bins_per_octave=12, bandwidth=1.0, learnable=False)
    x = torch.randn(2, 30, 4)
    torch.testing.assert_close(stack(x)[:, 0], x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bandwidth": 0.5}, "more than 1 bin"),
        ({"bandwidth": 1.0}, "more than 1 bin, to have room to learn"),
        ({"bandwidth": 0.9, "learnable": False}, "at least 1 bin"),
        ({"n_bins": 0}, "at least 1 of each"),
    ],
)
def test_a_stack_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        HarmonicStack(3, **{"n_bins": 10, "bins_per_octave": 12, **options})


@pytest.mark.parametrize(
    ("rate", "n_harmonics", "octave"), [(16000, 6, 24), (8000, 10, 12), (44100, 1, 36)]
)
def test_as_many_fundamentals_as_the_rate_allows(rate, n_harmonics, octave):
    def build(**options):
        return HarmonicCNN(
            n_harmonics, sample_rate=rate, bins_per_octave=octave, width=0.1, f_min=200.0, **options
        )

    bins = build().harmonics.distance.shape[1]
    assert 1 <= bins <= 128
    if bins < 128:
        with pytest.raises(ValueError, match="beyond half of"):
            build(n_bins=bins + 1)


def test_a_harmonic_beyond_half_the_rate_is_refused():
    with pytest.raises(ValueError, match="fewer harmonics or a lower f_min"):
        HarmonicCNN(20, f_min=1000.0)
