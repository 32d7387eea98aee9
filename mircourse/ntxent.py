r"""The contrastive loss of SimCLR, NT-Xent (Chen et al., 2020, eq. 1).

Each of N clips is seen in two views, which makes 2N vectors. The loss of view i whose other view
is j asks for j among all vectors but i itself:

.. math::
    \ell_{i,j} = -\log \frac{\exp(\mathrm{sim}(z_i, z_j) / \tau)}
    {\sum_{k=1}^{2N} [k \neq i] \exp(\mathrm{sim}(z_i, z_k) / \tau)}

where sim is the cosine and τ the temperature. (Equation eq:simclr-ntxent of the lesson.)

The matrix of all similarities is never held: a block of its rows is computed, reduced to one
number a row, and computed again for the gradient. Memory grows with N, not with its square.

Lesson: book/index
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Similarities held at a time: on a CPU what fits its cache, on a GPU what keeps it busy.
BLOCK = 1 << 19
BLOCK_ON_GPU = 1 << 24
EPS = 1e-8  # a vector shorter than this is not brought to length 1


def nt_xent(z1: Tensor, z2: Tensor, temperature: float = 0.1) -> Tensor:
    r"""Return the mean of :math:`\ell` over the views of a batch of clips.

    Computed in single precision whatever the input's (in double for doubles): stable at a
    temperature of 0.01. Exchanging the views changes nothing.

    Where processes train together (``torch.distributed``), every view is compared with those of
    all processes. Each process returns the mean over its own views, and the gradient is that of
    the sum of what all return: averaged over the processes, as DDP does, loss and gradient are
    those of one process with the whole batch, if all have equally many clips. (Sums may be of
    unequal ones, as in `mircourse.contrastivetraining.ContrastiveTask`.)

    Lesson: book/index

    Parameters
    ----------
    z1, z2 : Tensor, shape (N, D)
        A vector of each clip's first view and of its second; of any length, only their directions
        count. A vector of zeros is as unlike itself as anything else.
    temperature : float
        τ, above 0.

    Returns
    -------
    Tensor, scalar
        In nats; :math:`\log(2N - 1)` for vectors that are all alike.

    Raises
    ------
    TypeError
        If the vectors are not floating point.
    ValueError
        If the shapes differ or are not (N, D), the vectors hold NaN or infinity (not asked inside
        a compiled graph), the temperature is not a positive number, or there is only one clip in
        all, which has no negatives.

    Examples
    --------
    >>> z = torch.eye(4)
    >>> round(float(nt_xent(z, z, temperature=1.0)), 4)  # log(e + 6) - 1
    1.1655
    """
    check_views(z1, z2)
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature must be a number above 0, got {temperature}")
    with torch.autocast(device_type=z1.device.type, enabled=False):
        z = torch.cat([z1, z2])  # 2 x (N, D) -> (2N, D)
        z = z.float() if z.dtype in (torch.float16, torch.bfloat16) else z
        # Divided once here: products are then similarities over the temperature.
        z = functional.normalize(z, dim=1, eps=EPS) / math.sqrt(temperature)
        total = _SummedLosses.apply(z)
    return total / len(z)


def check_views(z1: Tensor, z2: Tensor) -> None:
    """Raise if two tensors are not the vectors ``(N, D)`` of two views.

    Raises
    ------
    TypeError
        If they are not floating point.
    ValueError
        If the shapes differ or are others, or the vectors hold NaN or infinity.
    """
    for name, z in (("z1", z1), ("z2", z2)):
        if not isinstance(z, Tensor) or not z.is_floating_point():
            kind = z.dtype if isinstance(z, Tensor) else type(z).__name__
            raise TypeError(f"{name} must be a tensor of floating-point numbers, got {kind}")
    if z1.ndim != 2 or z1.shape != z2.shape or not z1.numel():
        raise ValueError(
            "z1 and z2 must be of one shape (clips, dimensions), neither 0, got "
            f"{tuple(z1.shape)} and {tuple(z2.shape)}"
        )
    if torch.compiler.is_compiling():
        return
    for name, z in (("z1", z1), ("z2", z2)):
        if not z.isfinite().all():
            first = int((~z.isfinite()).any(dim=1).nonzero()[0])
            raise ValueError(f"{name} holds NaN or infinity, first in row {first}")


class _SummedLosses(Function):
    """The losses of this process's rows (2n, D) against those of all processes, (M, D)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:  # type: ignore[override]
        everyone, own = _gathered(z)  # (M, D), where the own rows begin
        if len(everyone) < 4:
            raise ValueError(
                "one clip has no negatives: the loss compares it with other clips of the batch; "
                "use batches of two clips or more"
            )
        n = len(z) // 2
        lse = z.new_empty(len(z))
        for rows, logits in _blocks(z, everyone, own):
            top = logits.amax(dim=1)  # so that no exponential overflows, nor all underflow
            lse[rows] = logits.sub_(top[:, None]).exp_().sum(dim=1).log_() + top
        ctx.save_for_backward(z, everyone, lse)
        ctx.own = own
        # The two views of a clip ask for each other: each product counts twice.
        return lse.sum() - 2 * (z[:n] * z[n:]).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:  # type: ignore[override]
        z, everyone, lse = ctx.saved_tensors
        # A row is an anchor of its own loss and a candidate in those of all others; what the
        # other processes know of theirs, two numbers a row, is exchanged.
        theirs, _ = _gathered(torch.stack([lse, upstream.expand_as(lse)], dim=1))
        normaliser, weight = theirs.unbind(dim=1)  # each (M,)
        n = len(z) // 2
        found, chosen = torch.empty_like(z), None
        for rows, logits in _blocks(z, everyone, ctx.own):
            chosen = torch.empty_like(logits) if chosen is None else chosen[: len(logits)]
            # What these rows choose of all, and what all choose of these rows.
            torch.sub(logits, lse[rows, None], out=chosen).exp_().mul_(upstream)
            chosen.add_(logits.sub_(normaliser).exp_().mul_(weight))
            torch.mm(chosen, everyone, out=found[rows])  # (b, M) @ (M, D)
        return found - 2 * upstream * z.roll(n, dims=0)


def _blocks(z: Tensor, everyone: Tensor, own: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows of `z` a few at a time, and their products with everyone but themselves.

    All products are written to the same memory: new memory for each would cost as much again.
    """
    area = BLOCK if z.device.type == "cpu" else BLOCK_ON_GPU
    step = min(len(z), max(16, area // len(everyone)))
    memory = z.new_empty(step, len(everyone))
    for first in range(0, len(z), step):
        rows = slice(first, min(first + step, len(z)))
        logits = memory[: rows.stop - first]
        torch.mm(z[rows], everyone.T, out=logits)  # (b, D) @ (D, M)
        logits.diagonal(own + first).fill_(-math.inf)
        yield rows, logits


def _gathered(x: Tensor) -> tuple[Tensor, int]:
    """Return the rows of all processes, in their order, and the number of rows before the own."""
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return x, 0
    processes, rank = distributed.get_world_size(), distributed.get_rank()
    if processes == 1:
        return x, 0
    sizes = [torch.zeros(1, dtype=torch.int64, device=x.device) for _ in range(processes)]
    distributed.all_gather(sizes, torch.tensor([len(x)], device=x.device))
    lengths = [int(size) for size in sizes]
    padded = functional.pad(x.detach(), (0, 0, 0, max(lengths) - len(x))).contiguous()
    parts = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(parts, padded)
    everyone = torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)])
    return everyone, sum(lengths[:rank])
