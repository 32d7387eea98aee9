"""What every spectrogram model has at its entrance, and the interface of the classifiers.

A model takes mono waveforms ``(B, samples)`` or the spectrograms ``(B, F, T)`` that its own front
end makes of them, so that an experiment may compute those once and cache them.

Lesson: book/cnn/spectrograms
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpectrogramInput(nn.Module):
    """Turn what a model is given, waveforms or their cached spectrograms, into spectrograms.

    Lesson: book/cnn/spectrograms

    Parameters
    ----------
    transform : nn.Module
        `mircourse.features.LogMel` or `mircourse.features.LogCQT`.
    rows : int
        Frequency rows of its output.
    """

    def __init__(self, transform: nn.Module, *, rows: int) -> None:
        super().__init__()
        self.transform = transform
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        """Return the spectrogram ``(B, rows, T)`` of waveforms, or ``x`` if it is one already.

        Parameters
        ----------
        x : Tensor, shape (B, samples) or (B, rows, T)
            Mono waveforms, of any length above 0, or spectrograms.

        Raises
        ------
        TypeError
            If ``x`` is not a tensor of floating-point numbers.
        ValueError
            If its shape is neither, it is empty, or it holds NaN or infinity. (Values are not
            checked inside a compiled or exported graph.)
        """
        expected = f"expected mono waveforms (B, samples) or spectrograms (B, {self.rows}, T)"
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = f"{x.dtype}" if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"got {kind}; {expected} in floating point")
        shape = tuple(x.shape)
        if x.ndim == 1:
            raise ValueError(f"got shape {shape}; {expected}: add the batch axis with x[None]")
        if x.ndim not in (2, 3):
            raise ValueError(f"got shape {shape}; {expected}")
        if x.ndim == 3 and x.shape[1] != self.rows:
            hint = ": mix stereo to mono with x.mean(dim=1)" if x.shape[1] <= 2 else ""
            raise ValueError(f"got shape {shape}; {expected}{hint}")
        if x.numel() == 0:
            raise ValueError(f"got an empty tensor of shape {shape}; {expected}")
        if x.ndim == 2:
            return self.transform(x)  # (B, samples) -> (B, F, T)
        if not torch.compiler.is_compiling() and not torch.isfinite(x).all():
            raise ValueError(f"got NaN or infinity in spectrograms of shape {shape}")
        return x


class Standardize(nn.Module):
    """Bring each spectrogram to mean 0 and standard deviation 1 over all of its values.

    Lesson: book/cnn/spectrograms
    """

    def forward(self, x: Tensor) -> Tensor:
        """Standardise ``(B, F, T)``; a constant one becomes 0."""
        centred = x - x.mean(dim=(1, 2), keepdim=True)
        # A deviation below 0.01 is silence, which must not be blown up to 1.
        return centred / (centred.square().mean(dim=(1, 2), keepdim=True) + 1e-4).sqrt()


def normalizer(kind: str, rows: int) -> nn.Module:
    """Return what normalises spectrograms ``(B, rows, T)``: ``"bands"`` or ``"input"``.

    Lesson: book/cnn/spectrograms

    Raises
    ------
    ValueError
        If ``kind`` is another.
    """
    if kind == "bands":
        return nn.BatchNorm1d(rows)
    if kind == "input":
        return Standardize()
    raise ValueError(f'got normalize={kind!r}; expected "bands" or "input"')


class SpectrogramClassifier(nn.Module):
    """What `MusicCNN` and `HarmonicCNN` share: one forward pass, read in three ways.

    A subclass sets ``spectrogram``, its `SpectrogramInput`, and writes the forward pass as `maps`.

    Lesson: book/cnn/musiccnn
    """

    spectrogram: SpectrogramInput

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of waveforms, or of the spectrograms that the front end makes of them.

        Parameters
        ----------
        x : Tensor, shape (B, samples) or (B, rows, T)
            Mono waveforms, of any length above 0, or spectrograms.

        Returns
        -------
        Tensor, shape (B, n_classes)

        Raises
        ------
        TypeError, ValueError
            If ``x`` is neither, is empty, or holds NaN or infinity.
        """
        return self.maps(x)["logits"]

    def classify(self, spectrogram: Tensor) -> Tensor:
        """Return the logits ``(B, n_classes)`` of spectrograms ``(B, rows, T)`` only.

        Raises
        ------
        ValueError
            If the shape is another.
        """
        if spectrogram.ndim != 3:
            shape, rows = tuple(spectrogram.shape), self.spectrogram.rows
            raise ValueError(f"got shape {shape}; expected spectrograms (B, {rows}, T)")
        return self(spectrogram)

    def extract_features(self, x: Tensor) -> dict[str, Tensor]:
        """Return the maps on the way from ``x`` to the logits, by name."""
        maps = self.maps(x)
        del maps["logits"]
        return maps

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Return every map of the forward pass by name, ``logits`` among them."""
        raise NotImplementedError
