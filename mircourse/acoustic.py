"""The first layers of a transcription network: from a spectrogram to one vector a frame.

Each class holds its spectrogram and its convolutions. Frames beyond a recording's end are set to
zero after every layer, so that a padded batch gives what each recording gives alone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mircourse.features import LogMel
from mircourse.semitones import KEYS, SemitoneSpectrogram

__all__ = ["HARMONICS", "AcousticLayers", "HarmonicLayers", "MelLayers", "SemitoneLayers"]

HARMONICS = (0.5, 1, 2, 3, 4, 5, 6)
ROWS_PER_SEMITONE = 3
WINDOWS = (4096, 1024)
MEL_WINDOW = 2048
ROWS = 288  # eight octaves from A0, three rows a semitone, up to 6.9 kHz


class AcousticLayers(nn.Module):
    """What the three kinds share: features (B, T, n_features) in, (B, T, size) out.

    Attributes
    ----------
    size : int
        Length of the vector of a frame.
    key_channels : int
        Channels that the layers keep for each key; 0 where they keep no keys apart.
    hop_seconds : float
        Seconds from one frame to the next.
    spectrogram : SemitoneSpectrogram or LogMel
        What `features` calls.
    n_windows : int
        Windows of the spectrogram, each with as many rows.
    """

    size: int
    n_features: int
    hop_seconds: float
    spectrogram: nn.Module
    key_channels: int = 0
    n_windows: int = 1

    def features(self, waveform: Tensor) -> Tensor:
        """Return the spectrogram, (B, T, n_features), of waveforms (B, samples)."""
        raise NotImplementedError

    def forward(self, features: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return a vector for each frame, and channels for each key.

        Parameters
        ----------
        features : Tensor, shape (B, T, n_features)
        mask : Tensor of bool, shape (B, T), optional
            False for frames beyond a recording's end.

        Returns
        -------
        hidden : Tensor, shape (B, T, size)
        keys : Tensor, shape (B, key_channels, T, 88), or None
        """
        raise NotImplementedError


class SemitoneLayers(AcousticLayers):
    """The article's: two 1-D convolutions over time on a spectrogram of semitones.

    Parameters
    ----------
    input_dim : int
        Rows of the spectrogram, one a semitone from A0.
    sample_rate, hop_length : int
        Of the spectrogram.
    """

    def __init__(self, input_dim: int, *, sample_rate: int, hop_length: int) -> None:
        super().__init__()
        self.spectrogram = SemitoneSpectrogram(sample_rate, hop_length=hop_length, n_rows=input_dim)
        self.n_features, self.size = input_dim, 256
        self.hop_seconds = self.spectrogram.hop_seconds
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv1d(a, b, 3, padding=1), nn.BatchNorm1d(b), nn.ReLU())
            for a, b in ((input_dim, 128), (128, 256))
        )

    def features(self, waveform: Tensor) -> Tensor:
        """Return the log power of each semitone, (B, T, input_dim)."""
        return self.spectrogram(waveform)

    def forward(self, features: Tensor, mask: Tensor | None) -> tuple[Tensor, None]:
        """Return 256 channels a frame, and no keys."""
        x = _silenced(features.transpose(1, 2), mask, time=-1)  # (B, T, F) -> (B, F, T)
        for block in self.blocks:
            x = _silenced(block(x), mask, time=-1)  # (B, C, T)
        return x.transpose(1, 2), None  # (B, C, T) -> (B, T, C)


class MelLayers(AcousticLayers):
    """Three 2-D convolutions on a log-mel spectrogram, after Hawthorne et al. (2018).

    Parameters
    ----------
    n_mels : int
        Bands of the spectrogram, from 30 Hz to half the sample rate.
    sample_rate, hop_length : int
        Of the spectrogram.
    channels : int
        Of the first two convolutions; the third has twice as many.
    size : int
        Of the dense layer at the end.
    """

    def __init__(
        self, n_mels: int, *, sample_rate: int, hop_length: int, channels: int, size: int
    ) -> None:
        super().__init__()
        self.spectrogram: LogMel = LogMel(
            sample_rate,
            n_fft=MEL_WINDOW,
            hop_length=hop_length,
            n_mels=n_mels,
            f_min=30.0,
            eps=1e-6,
        )
        self.edge_frames = math.ceil(MEL_WINDOW / 2 / hop_length)
        self.n_features, self.size = n_mels, size
        self.hop_seconds = hop_length / sample_rate
        self.normalize = nn.BatchNorm2d(1)
        self.blocks = nn.ModuleList(
            [
                _block(1, channels, (3, 3)),
                _block(channels, channels, (3, 3), pool=2),
                _block(channels, 2 * channels, (3, 3), pool=2),
            ]
        )
        self.dense = nn.Linear(2 * channels * (n_mels // 2 // 2), size)

    def features(self, waveform: Tensor) -> Tensor:
        """Return the log-mel spectrogram, (B, T, n_mels)."""
        # Silence around the recording, rather than its mirror image, which padding would change.
        around = self.edge_frames * self.spectrogram.hop_length
        x = self.spectrogram(F.pad(waveform, (around, around)))  # (B, F, T + 2 self.edge_frames)
        return x[..., self.edge_frames : -self.edge_frames].transpose(1, 2)  # -> (B, T, F)

    def forward(self, features: Tensor, mask: Tensor | None) -> tuple[Tensor, None]:
        """Return `size` channels a frame, and no keys."""
        x = _silenced(self.normalize(features.unsqueeze(1)), mask, time=2)  # (B, 1, T, F)
        for block in self.blocks:
            x = _silenced(block(x), mask, time=2)  # (B, C, T, F')
        x = x.transpose(1, 2).flatten(2)  # (B, C, T, F') -> (B, T, C F')
        return F.relu(self.dense(x)), None


class HarmonicLayers(AcousticLayers):
    r"""2-D convolutions on stacked harmonics, the same for every key.

    The spectrogram has three rows a semitone, so harmonic :math:`h` of any key lies
    :math:`36 \log_2 h` rows above it: shifted copies, stacked as channels, put all harmonics of a
    key into its row (Bittner et al., 2017), and small filters see them together. Two windows give
    channels that are sharp in frequency and in time. A stride of three rows then leaves one row a
    key. An octave above and below is seen by a dilated filter: octaves share most harmonics.

    Parameters
    ----------
    sample_rate, hop_length : int
        Of the spectrogram.
    channels : int
        Of every convolution.
    size : int
        Of the dense layer at the end.
    """

    def __init__(self, *, sample_rate: int, hop_length: int, channels: int, size: int) -> None:
        super().__init__()
        self.spectrogram = SemitoneSpectrogram(
            sample_rate,
            hop_length=hop_length,
            windows=WINDOWS,
            rows_per_semitone=ROWS_PER_SEMITONE,
            n_rows=ROWS,
        )
        self.n_features, self.size = self.spectrogram.n_features, size
        self.hop_seconds = self.spectrogram.hop_seconds
        self.key_channels, self.n_windows = channels, len(WINDOWS)
        self.shifts = [round(12 * ROWS_PER_SEMITONE * math.log2(h)) for h in HARMONICS]
        self.normalize = nn.BatchNorm2d(len(WINDOWS))
        stacked = len(WINDOWS) * len(HARMONICS)
        self.blocks = nn.ModuleList(
            [
                _block(stacked, channels, (3, 5), stride=ROWS_PER_SEMITONE),
                _block(channels, channels, (5, 3)),
                _block(channels, channels, (1, 3), dilation=12),
                _block(channels, channels, (5, 3)),
            ]
        )
        self.dense = nn.Linear(channels * KEYS, size)

    def features(self, waveform: Tensor) -> Tensor:
        """Return the rows of both windows, (B, T, 576)."""
        return self.spectrogram(waveform)

    def forward(self, features: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return `size` channels a frame, and `channels` for each key."""
        x = features.unflatten(2, (len(WINDOWS), ROWS)).transpose(1, 2)  # -> (B, 2, T, 288)
        x = _silenced(self.normalize(x), mask, time=2)
        rows = ROWS_PER_SEMITONE * KEYS
        below, above = -min(self.shifts), max(self.shifts) + rows - ROWS
        x = F.pad(x, (below, above))
        x = torch.cat([x[..., below + s : below + s + rows] for s in self.shifts], dim=1)
        for block in self.blocks:
            x = _silenced(block(x), mask, time=2)  # (B, C, T, 88)
        hidden = F.relu(self.dense(x.transpose(1, 2).flatten(2)))  # (B, T, C 88) -> (B, T, size)
        return hidden, x


def _block(
    channels_in: int,
    channels_out: int,
    kernel: tuple[int, int],
    *,
    stride: int = 1,
    dilation: int = 1,
    pool: int = 1,
) -> nn.Sequential:
    """Convolve over (time, frequency), keeping time as it is; stride, dilation, pool: frequency."""
    if stride > 1:
        # Centred on the middle of each group of rows, so that a row is a key.
        padding = (kernel[0] // 2, (kernel[1] - 1) // 2)
    else:
        padding = (kernel[0] // 2, dilation * (kernel[1] // 2))
    layers: list[nn.Module] = [
        nn.Conv2d(
            channels_in,
            channels_out,
            kernel,
            stride=(1, stride),
            padding=padding,
            dilation=(1, dilation),
            bias=False,
        ),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]
    if pool > 1:
        layers.append(nn.MaxPool2d((1, pool)))
    return nn.Sequential(*layers)


def _silenced(x: Tensor, mask: Tensor | None, *, time: int) -> Tensor:
    """Set the frames where the mask is False to zero; `time` is their axis."""
    if mask is None:
        return x
    shape = [1] * x.ndim
    shape[0], shape[time] = mask.shape
    return x.masked_fill(~mask.reshape(shape), 0.0)
