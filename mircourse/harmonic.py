"""HarmonicCNN: harmonics of every candidate fundamental, stacked as channels.

On a logarithmic frequency axis with B bins an octave, the h-th harmonic of a note lies
B log2(h) bins above its fundamental, whatever the note. Shifting the axis down by that many bins
brings the harmonic onto its fundamental; a stack of such shifts puts a whole harmonic series into
the channels of one pixel, where a 1 × 1 filter can see it.

Lesson: book/cnn/harmoniccnn
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mircourse.blocks import SameConv2d, conv_block, scaled
from mircourse.classifier import SpectrogramClassifier, SpectrogramInput
from mircourse.features import C1_HZ, LogCQT
from mircourse.pooling import ClassifierHead, Pooling

STEPS_PER_BIN = 2**20  # precision of the distances kept in a HarmonicStack


class HarmonicStack(nn.Module):
    r"""Read a log-frequency spectrogram at the harmonics of each of its lower rows.

    Channel :math:`h` of row :math:`k` is the input around :math:`k + B \log_2 h`, weighted by a
    triangle whose half-width :math:`b_h \ge 1` bins is learned, :eq:`eq:cnn-harmonic`:

    .. math:: y_{h,k} = \frac{\sum_j \Lambda_h(j - k)\, x_j}{\sum_j \Lambda_h(j - k)}, \quad
              \Lambda_h(d) = \max\left(0, 1 - \frac{|d - B \log_2 h|}{b_h}\right)

    With :math:`b_h = 1` it is the shift by the harmonic's ratio, linearly interpolated. Won, Chun,
    Nieto and Serra (2020) put triangles with bandwidth :math:`(\alpha f_c + \beta) / Q` on the
    bins of a Fourier transform and learn :math:`Q`. Here the axis is logarithmic already, one
    width is learned per harmonic, and :math:`\beta = 0`: every row has the same filters, so moving
    the input up by :math:`n` rows moves the output up by :math:`n` rows, exactly, except at the
    top, where new rows come in.

    Lesson: book/cnn/harmoniccnn

    Parameters
    ----------
    n_harmonics : int
        Channels out; the first is the fundamental.
    n_bins : int
        Rows out: the candidate fundamentals.
    bins_per_octave : int
        B.
    bandwidth : float
        Half-width of every triangle, in bins, to start from: at least 1, and more than 1 if
        it is learned.
    learnable : bool
        Learn the widths, or keep them.

    Attributes
    ----------
    rows : int
        Rows in: ``n_bins`` and as many more as the highest harmonic needs.

    Raises
    ------
    ValueError
        If there is no harmonic or no row, or the bandwidth is out of range.

    Examples
    --------
    >>> stack = HarmonicStack(6, n_bins=128, bins_per_octave=24)
    >>> stack(torch.zeros(2, stack.rows, 87)).shape
    torch.Size([2, 6, 128, 87])
    """

    distance: Tensor
    raw_bandwidth: Tensor

    def __init__(
        self,
        n_harmonics: int,
        *,
        n_bins: int,
        bins_per_octave: int,
        bandwidth: float = 1.5,
        learnable: bool = True,
    ) -> None:
        super().__init__()
        if n_harmonics < 1 or n_bins < 1 or bins_per_octave < 1:
            raise ValueError(
                f"got n_harmonics={n_harmonics}, n_bins={n_bins}, "
                f"bins_per_octave={bins_per_octave}; expected at least 1 of each"
            )
        if bandwidth < 1 or (learnable and bandwidth == 1):
            expected = "more than 1 bin, to have room to learn" if learnable else "at least 1 bin"
            raise ValueError(f"got bandwidth={bandwidth}; expected {expected}")
        shifts = bins_per_octave * torch.arange(1, n_harmonics + 1, dtype=torch.float64).log2()
        self.rows = n_bins + math.ceil(shifts[-1])
        # How far each row in lies from where a harmonic of each row out should be.
        distance = (
            torch.arange(self.rows) - torch.arange(n_bins)[:, None] - shifts[:, None, None]
        ).abs()  # (H, n_bins, rows)
        # In whole steps, which model.half() leaves alone: 190 has no neighbour 190.1 in bfloat16.
        steps = (distance * STEPS_PER_BIN).round().to(torch.int32)
        self.register_buffer("distance", steps, persistent=False)
        # Half-width = 1 + softplus(raw): narrower than a bin, a triangle could fall between rows.
        raw = torch.full((n_harmonics,), bandwidth - 1.0).expm1().log()
        if learnable:
            self.raw_bandwidth = nn.Parameter(raw)
        else:
            self.register_buffer("raw_bandwidth", raw)

    @property
    def bandwidth(self) -> Tensor:
        """Half-width of each harmonic's triangle in bins, shape (H,)."""
        return 1 + F.softplus(self.raw_bandwidth.float())

    def forward(self, x: Tensor) -> Tensor:
        """Stack the harmonics of a log-power spectrogram.

        The average is one of power, as a band-pass filter takes it; in and out are its natural
        logarithm.

        Parameters
        ----------
        x : Tensor, shape (B, rows, T)
            Natural logarithm of power.

        Returns
        -------
        Tensor, shape (B, H, n_bins, T)
        """
        with torch.autocast(device_type=x.device.type, enabled=False):
            width = self.bandwidth[:, None, None]  # (H, 1, 1)
            weights = F.relu(1 - self.distance / STEPS_PER_BIN / width)  # (H, n_bins, rows)
            weights = weights / weights.sum(dim=-1, keepdim=True)
            # (H, n_bins, rows) @ (B, 1, rows, T) -> (B, H, n_bins, T)
            power = weights @ x.float().exp().unsqueeze(1)
            return power.log().to(x.dtype)


class HarmonicCNN(SpectrogramClassifier):
    r"""Classify recordings from harmonics stacked as channels.

    A constant-Q spectrogram is read at the harmonics of each candidate fundamental
    (`HarmonicStack`, :eq:`eq:cnn-harmonic`); each harmonic gets its own 3 × 3 filters, a 1 × 1
    convolution combines them, a 3 × 3 block follows, time is pooled with attention. Up to that
    pooling a transposed note gives the same maps, moved: the model need not learn each pitch anew.
    After Won, Chun, Nieto and Serra (2020).

    Lesson: book/cnn/harmoniccnn

    Parameters
    ----------
    n_harmonics : int
        Harmonics in the stack.
    n_classes : int
        Number of classes.
    sample_rate : int
        Samples per second of the waveforms.
    width : float
        Factor on all channels: 32 a harmonic, 128 combined, 256 in the last block at 1.
    bins_per_octave : int
        Rows to an octave.
    f_min : float
        Lowest candidate fundamental in Hz; the default is C1.
    n_bins : int, optional
        Number of candidate fundamentals; the default is 128 or, if that is fewer, as many as leave
        the highest harmonic below half the sample rate.
    hop_length : int
        Samples from one frame to the next.
    bandwidth : float
        Half-width of the harmonic filters in bins, to start from.
    learnable_bandwidth : bool
        Learn the half-widths.
    pooling : {"attention", "average"}
        How time is pooled.
    keep_frequency : bool
        Keep the frequency axis up to the classifier. Averaging it makes the logits nearly
        indifferent to transposition.
    dropout : float
        Share of the pooled vector that training drops.

    Raises
    ------
    ValueError
        If an argument is out of range, or the highest harmonic is beyond half the sample rate.

    Examples
    --------
    >>> model = HarmonicCNN(n_classes=19, width=0.25)
    >>> model(torch.randn(4, 44100)).shape
    torch.Size([4, 19])
    """

    def __init__(
        self,
        n_harmonics: int = 6,
        n_classes: int = 10,
        *,
        sample_rate: int = 22050,
        width: float = 1.0,
        bins_per_octave: int = 24,
        f_min: float = C1_HZ,
        n_bins: int | None = None,
        hop_length: int = 512,
        bandwidth: float = 1.5,
        learnable_bandwidth: bool = True,
        pooling: Pooling = "attention",
        keep_frequency: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.n_classes = n_classes
        if n_bins is None:
            n_bins = min(128, _bins_below_nyquist(sample_rate, bins_per_octave, f_min, n_harmonics))
        self.harmonics = HarmonicStack(
            n_harmonics,
            n_bins=n_bins,
            bins_per_octave=bins_per_octave,
            bandwidth=bandwidth,
            learnable=learnable_bandwidth,
        )
        rows = self.harmonics.rows
        transform = LogCQT(
            sample_rate,
            hop_length=hop_length,
            bins_per_octave=bins_per_octave,
            n_bins=rows,
            f_min=f_min,
        )
        self.spectrogram = SpectrogramInput(transform, rows=rows)
        each, combined, last = (scaled(c, width) for c in (32, 128, 256))
        # One normalisation per harmonic, not per row: rows must stay interchangeable.
        self.normalize = nn.BatchNorm2d(n_harmonics)
        self.harmonic = conv_block(
            SameConv2d(n_harmonics, each * n_harmonics, 3, groups=n_harmonics, bias=False),
            each * n_harmonics,
            pool=(1, 2),
        )
        self.combine = conv_block(
            SameConv2d(each * n_harmonics, combined, 1, bias=False), combined, pool=(2, 1)
        )
        self.conv3 = conv_block(SameConv2d(combined, last, 3, bias=False), last, pool=(2, 2))
        self.head = ClassifierHead(
            last,
            -(-n_bins // 4),  # two poolings that keep the remainder
            n_classes,
            keep_frequency=keep_frequency,
            pooling=pooling,
            reduced=max(16, last // 8),
            hidden=max(8, last // 2),
            dropout=dropout,
        )

    def extract_features(self, x: Tensor) -> dict[str, Tensor]:
        """Return the maps on the way from ``x`` to the logits, by name.

        Parameters
        ----------
        x : Tensor, shape (B, samples) or (B, rows, T)
            Waveforms, or log-power constant-Q spectrograms.

        Returns
        -------
        dict of Tensor
            ``spectrogram`` (B, rows, T); ``harmonics``, the stack (B, H, F, T); ``harmonic``
            (B, 32 H, F, T/2); ``combined`` (B, C, F/2, T/2); ``conv3`` (B, C, F/4, T/4);
            ``attention`` (B, T/4), which sums to 1 over time; ``embedding`` (B, D).
        """
        return super().extract_features(x)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Return the maps of `extract_features` and the logits; the forward pass itself."""
        spectrogram = self.spectrogram(x)  # (B, samples) -> (B, rows, T)
        maps = {"spectrogram": spectrogram}
        maps["harmonics"] = h = self.harmonics(spectrogram)  # (B, rows, T) -> (B, H, F, T)
        maps["harmonic"] = h = self.harmonic(self.normalize(h))  # -> (B, 32 H, F, T/2)
        maps["combined"] = h = self.combine(h)  # (B, 32 H, F, T/2) -> (B, C, F/2, T/2)
        maps["conv3"] = h = self.conv3(h)  # (B, C, F/2, T/2) -> (B, C3, F/4, T/4)
        return maps | self.head(h)  # (B, C3, F/4, T/4) -> (B, n_classes)


def _bins_below_nyquist(
    sample_rate: int, bins_per_octave: int, f_min: float, n_harmonics: int
) -> int:
    """Return how many fundamentals have all harmonics, with their bandwidth, below Nyquist."""
    step = 2 ** (2 / bins_per_octave)
    highest = sample_rate / 2 / (1 + 2 * (step - 1) / (step + 1))  # Hz; a filter reaches 2 / Q up
    rows = 1 + math.floor(bins_per_octave * math.log2(highest / f_min))
    bins = rows - math.ceil(bins_per_octave * math.log2(n_harmonics))
    if bins < 1:
        raise ValueError(
            f"harmonic {n_harmonics} of f_min={f_min:g} Hz is beyond half of "
            f"sample_rate={sample_rate}; expected fewer harmonics or a lower f_min"
        )
    return bins
