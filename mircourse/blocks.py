"""The parts that the course's convolutional networks are built from.

*Conventions.* A spectrogram is ``(B, F, T)``: batch, frequency, time. A feature map is
``(B, C, F, T)``. A kernel is ``(f, t)``: rows of frequency first, frames of time second, so a
*tall* filter has ``f > t`` and a *wide* one ``t > f``. Convolutions keep ``F`` and ``T``, whatever
the kernel.

Lesson: book/cnn/musiccnn
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pooling = Literal["attention", "average"]


class SameConv2d(nn.Conv2d):
    r"""Convolution whose output has the size of its input, for odd and even kernels.

    The kernel is the tensor of :eq:`cnn-filter`,
    :math:`W \in \mathbb{R}^{f \times t \times c_{in} \times c_{out}}`, stored in PyTorch's order
    ``(out_channels, in_channels, f, t)``. An even side is padded by one zero more at the end, so
    a 12 × 1 filter gives F rows, not F + 1.

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    in_channels, out_channels : int
        Channels in and out.
    kernel_size : int or (int, int)
        Rows of frequency and frames of time; one number for a square.
    groups : int
        Blocks of channels that do not see each other.
    bias : bool
        Add a number per output channel. Useless before batch normalisation, which subtracts it.

    Examples
    --------
    >>> SameConv2d(1, 4, (12, 1))(torch.zeros(2, 1, 128, 87)).shape
    torch.Size([2, 4, 128, 87])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        f, t = as_kernel(kernel_size)
        super().__init__(in_channels, out_channels, (f, t), groups=groups, bias=bias)
        self.margins = ((t - 1) // 2, t // 2, (f - 1) // 2, f // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(B, in_channels, F, T)`` into ``(B, out_channels, F, T)``."""
        return super().forward(F.pad(x, self.margins))


class MultiScaleConv2d(nn.Module):
    r"""Sum of convolutions at several scales, :eq:`cnn-multiscale`.

    .. math:: y = \sum_{s \in scales} Conv_s(x)

    Nothing but a sum stands between the scales, so the block computes what one convolution with
    the largest kernel could compute (`fuse` returns it): what differs is how many weights there
    are to learn and where training starts.

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    in_channels, out_channels : int
        Channels in and out, the same for every scale.
    kernel_sizes : sequence of int or (int, int)
        One kernel per scale, odd or even.
    bias : bool
        One bias per output channel (not one per scale: their sum is all that matters).

    Raises
    ------
    ValueError
        If there is no scale, or a kernel is not one or two positive integers.

    Examples
    --------
    >>> block = MultiScaleConv2d(1, 8, kernel_sizes=(3, (12, 1), (1, 7)))
    >>> block(torch.zeros(2, 1, 128, 87)).shape
    torch.Size([2, 8, 128, 87])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_sizes: Sequence[int | tuple[int, int]] = (3, 5, 7),
        bias: bool = True,
    ) -> None:
        super().__init__()
        if len(kernel_sizes) == 0:
            raise ValueError("kernel_sizes is empty; expected at least one kernel, such as (3, 7)")
        self.scales = nn.ModuleList(
            SameConv2d(in_channels, out_channels, kernel, bias=bias and i == 0)
            for i, kernel in enumerate(kernel_sizes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(B, in_channels, F, T)`` into ``(B, out_channels, F, T)``."""
        return torch.stack([scale(x) for scale in self.scales]).sum(0)  # (S, B, C, F, T) -> 4 axes

    @torch.no_grad()
    def fuse(self) -> SameConv2d:
        """Return the one convolution that gives the same output: kernels laid over each other."""
        convs = [scale for scale in self.scales if isinstance(scale, SameConv2d)]
        left, right, top, bottom = (
            max(sides) for sides in zip(*(c.margins for c in convs), strict=True)
        )
        first = convs[0]
        fused = SameConv2d(
            first.in_channels,
            first.out_channels,
            (top + bottom + 1, left + right + 1),
            bias=first.bias is not None,
        ).to(first.weight)
        fused.margins = (left, right, top, bottom)
        fused.weight.zero_()
        for conv in convs:
            a, b, c, d = conv.margins
            fused.weight += F.pad(conv.weight, (left - a, right - b, top - c, bottom - d))
        if fused.bias is not None and first.bias is not None:
            fused.bias.copy_(first.bias)
        return fused


class AttentionPooling(nn.Module):
    r"""Average over time in which the network decides how much each frame counts.

    .. math:: e_t = v^\top \tanh(W x_t + b), \quad \alpha = \mathrm{softmax}(e), \quad
              y = \sum_t \alpha_t x_t

    :eq:`cnn-attention` is the additive attention of Bahdanau, Cho and Bengio (2015) with one
    query that is learned. :math:`v` has no bias: softmax would cancel it.

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    features : int
        Length of each :math:`x_t`.
    hidden : int
        Rows of :math:`W`.
    """

    def __init__(self, features: int, *, hidden: int = 128) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pool ``(B, T, features)`` over time.

        Parameters
        ----------
        x : Tensor, shape (B, T, features)
            Frames.
        mask : Tensor of bool, shape (B, T), optional
            True where a frame counts. A row without any is averaged plainly.

        Returns
        -------
        pooled : Tensor, shape (B, features)
        weights : Tensor, shape (B, T)
            Non-negative; each row sums to 1.

        Raises
        ------
        ValueError
            If ``x`` has no time axis or ``mask`` does not match it.
        """
        if x.ndim != 3:
            raise ValueError(f"got frames of shape {tuple(x.shape)}; expected (B, T, features)")
        scores = self.score(torch.tanh(self.hidden(x))).squeeze(-1).float()  # (B, T, 1) -> (B, T)
        if mask is not None:
            if mask.shape != x.shape[:2]:
                raise ValueError(
                    f"got a mask of shape {tuple(mask.shape)}; expected {tuple(x.shape[:2])}, "
                    "one flag per frame"
                )
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=1).to(x.dtype)
        return torch.einsum("bt,btd->bd", weights, x), weights  # (B, T, D) -> (B, D)


class AveragePooling(nn.Module):
    """Plain average over time, with the interface of `AttentionPooling`.

    Lesson: book/cnn/musiccnn
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Average ``(B, T, features)`` over time; the weights ``(B, T)`` are all ``1 / T``."""
        weights = torch.full_like(x[..., 0], 1.0) / x.shape[1]
        return x.mean(dim=1), weights  # (B, T, D) -> (B, D)


class ClassifierHead(nn.Module):
    """From a feature map to logits: frequency first, then time, then one linear layer.

    Frequency is either kept (a 1 × 1 convolution reduces the channels, then channels and rows are
    flattened into one vector per frame) or averaged. Time is pooled with attention or averaged.

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    channels, rows : int
        Channels and frequency rows of the feature map.
    n_classes : int
        Logits out.
    keep_frequency : bool
        Keep the frequency axis. Averaging it throws away *where* in the spectrum something is.
    pooling : {"attention", "average"}
        How time is pooled.
    reduced : int
        Channels after the reduction; used only if frequency is kept.
    hidden : int
        Hidden units of the attention.
    dropout : float
        Share of the pooled vector that training drops.
    """

    def __init__(
        self,
        channels: int,
        rows: int,
        n_classes: int,
        *,
        keep_frequency: bool,
        pooling: Pooling,
        reduced: int,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.reduce = (
            conv_block(SameConv2d(channels, reduced, 1, bias=False), reduced)
            if keep_frequency
            else None
        )
        features = reduced * rows if keep_frequency else channels
        self.pool: nn.Module
        if pooling == "attention":
            self.pool = AttentionPooling(features, hidden=hidden)
        elif pooling == "average":
            self.pool = AveragePooling()
        else:
            raise ValueError(f'got pooling={pooling!r}; expected "attention" or "average"')
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(features, n_classes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map ``(B, channels, rows, T)`` to ``logits``, ``embedding`` and ``attention``."""
        # (B, C, F, T) -> (B, D, T), where D is C, or R * F if frequency is kept
        frames = x.mean(dim=2) if self.reduce is None else self.reduce(x).flatten(1, 2)
        embedding, attention = self.pool(frames.transpose(1, 2))  # (B, T, D) -> (B, D)
        logits = self.fc(self.dropout(embedding))  # (B, D) -> (B, n_classes)
        return {"logits": logits, "embedding": embedding, "attention": attention}


def conv_block(
    conv: SameConv2d | MultiScaleConv2d, channels: int, *, pool: tuple[int, int] | None = None
) -> nn.Sequential:
    """Follow a convolution by batch normalisation, ReLU and, if asked for, max-pooling.

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    conv : SameConv2d or MultiScaleConv2d
        The convolution; give it ``bias=False``, for the normalisation would cancel a bias.
    channels : int
        Its output channels.
    pool : (int, int), optional
        Rows and frames that become one. A remainder is kept, so one frame stays one frame.
    """
    block = nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())
    if pool is not None:
        block.append(nn.MaxPool2d(pool, ceil_mode=True))
    return block


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

    def require_spectrogram(self, x: Tensor) -> Tensor:
        """Return ``x`` if it has the three axes of a batch of spectrograms.

        Raises
        ------
        ValueError
            If it has not.
        """
        if x.ndim != 3:
            raise ValueError(f"got shape {tuple(x.shape)}; expected (B, {self.rows}, T)")
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


def as_kernel(kernel_size: int | tuple[int, int]) -> tuple[int, int]:
    """Return a kernel as ``(f, t)``: rows of frequency, frames of time.

    Lesson: book/cnn/musiccnn

    Raises
    ------
    ValueError
        If it is not one or two positive integers.
    """
    sides = (kernel_size,) * 2 if isinstance(kernel_size, int) else tuple(kernel_size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(
            f"got kernel size {kernel_size!r}; expected one positive integer or two, (f, t)"
        )
    return sides[0], sides[1]


def scaled(channels: int, width: float) -> int:
    """Return ``width`` times ``channels``, rounded, and at least 4.

    Lesson: book/cnn/musiccnn

    Raises
    ------
    ValueError
        If ``width`` is not positive.
    """
    if not width > 0:
        raise ValueError(f"got width={width!r}; expected a positive factor such as 0.25")
    return max(4, round(width * channels))
