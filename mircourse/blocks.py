"""Convolutions on spectrograms: kernels of any shape, sums over scales.

*Conventions.* A spectrogram is ``(B, F, T)``: batch, frequency, time. A feature map is
``(B, C, F, T)``. A kernel is ``(f, t)``: rows of frequency first, frames of time second, so a
*tall* filter has ``f > t`` and a *wide* one ``t > f``. Convolutions keep ``F`` and ``T``, whatever
the kernel.

Lesson: book/cnn/musiccnn
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SameConv2d(nn.Conv2d):
    r"""Convolution whose output has the size of its input, for odd and even kernels.

    The kernel is the tensor of :eq:`eq:cnn-filter`,
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
    r"""Sum of convolutions at several scales, :eq:`eq:cnn-multiscale`.

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
