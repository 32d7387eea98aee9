"""Deal items out to batches: evenly, in an order that seed and epoch decide, over all processes.

Data that fit in memory are indexed a whole batch at a time, which for a few hundred items takes
less time than the worker processes and item-by-item collation of a ``DataLoader``.

Lesson: book/cnn/musiccnn
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import Dataset, default_collate


class Batches:
    """Iterate over batches of inputs and targets.

    Parameters
    ----------
    data : tuple of two arrays, or Dataset
        Inputs and targets of equal length; or a data set with ``__len__`` and ``__getitem__``.
    batch_size : int
        Most items a batch, over all processes together. ``ceil(N / batch_size)`` batches differ
        by at most one item, so that no batch of one item upsets a batch norm.
    seed : int, optional
        Shuffle by `seed` and by the attribute `epoch`; without it the order is kept.
    name : str
        What to call the data in an error.
    double : bool
        Make floating-point arrays double precision.

    Raises
    ------
    ValueError
        If there are no items, inputs and targets differ in number, or a number is not finite.
    """

    def __init__(
        self,
        data: Any,
        *,
        batch_size: int,
        seed: int | None = None,
        name: str = "data",
        double: bool = False,
    ) -> None:
        self.arrays: tuple[Tensor, Tensor] | None = None
        self.source: Any = None
        if isinstance(data, Dataset):
            self.source = data
            self.n_items = len(data)  # type: ignore[arg-type]
        else:
            if not isinstance(data, (tuple, list)) or len(data) != 2:
                raise ValueError(f"{name} must be (inputs, targets) or a Dataset, got {type(data)}")
            x, y = (
                as_items(part, f"{name}: {axis}") for part, axis in zip(data, "xy", strict=True)
            )
            if len(x) != len(y):
                raise ValueError(f"{name} has {len(x)} inputs but {len(y)} targets")
            if double:
                x, y = (part.double() if part.is_floating_point() else part for part in (x, y))
            self.arrays = (x, y)
            self.n_items = len(x)
        if self.n_items == 0:
            raise ValueError(f"{name} is empty")
        self.batch_size = batch_size
        self.seed = seed
        self.name = name
        self.epoch = 0

    def __len__(self) -> int:
        return self._share()[2]

    def __iter__(self) -> Iterator[Any]:
        rank, processes, batches = self._share()
        order = torch.arange(self.n_items)
        if self.seed is not None:
            entropy = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1)[0]
            generator = torch.Generator().manual_seed(int(entropy))
            order = torch.randperm(self.n_items, generator=generator)
        for batch in torch.tensor_split(order, batches):
            yield self._take(batch[rank::processes])

    def signature(self) -> str:
        """Return a hash that tells these data from others: of the numbers, or of the length."""
        digest = hashlib.sha256(str(self.n_items).encode())
        for part in self.arrays or ():
            digest.update(f"{part.dtype} {tuple(part.shape)}".encode())
            digest.update(part.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _take(self, index: Tensor) -> Any:
        if self.arrays is not None:
            x, y = self.arrays
            return x[index], y[index]
        return default_collate([self.source[i] for i in index.tolist()])

    def _share(self) -> tuple[int, int, int]:
        """Return this process's number, how many share each batch, and how many batches."""
        rank, processes = 0, 1
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, processes = torch.distributed.get_rank(), torch.distributed.get_world_size()
        if self.n_items < processes:
            if self.seed is not None:
                raise ValueError(f"{self.name}: {self.n_items} items for {processes} processes")
            rank, processes = 0, 1
        batches = math.ceil(self.n_items / self.batch_size)
        return rank, processes, max(1, min(batches, self.n_items // processes))


def as_items(values: ArrayLike | Tensor, name: str) -> Tensor:
    """Return an array as a tensor: integers as int64, other numbers as float32.

    Raises
    ------
    ValueError
        If there are no items or a number is not finite.
    """
    if isinstance(values, Tensor):
        items = values.detach().cpu()
    else:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{name} must be numbers, got an array of {array.dtype}")
        items = torch.from_numpy(array.copy() if not array.flags.writeable else array)
    if items.ndim == 0 or len(items) == 0:
        raise ValueError(f"{name} has no items: its shape is {tuple(items.shape)}")
    if items.is_floating_point():
        items = items.float()
        if not items.isfinite().all():
            where = (
                int((~items.isfinite()).flatten(1).any(1).nonzero()[0])
                if items.ndim > 1
                else (int((~items.isfinite()).nonzero()[0]))
            )
            raise ValueError(f"{name} has a number that is not finite, first in item {where}")
    elif items.dtype != torch.bool:
        items = items.long()
    return items
