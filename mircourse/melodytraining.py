"""Training of a `mircourse.melodylstm.MelodyLSTM`: its loss, and batches of melodies.

Apart from the model, so that the model alone loads nothing but PyTorch.

Lesson: book/rnn/lstm
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mircourse.melodies import Melody
from mircourse.melodylstm import batch
from mircourse.tasks import Task


class MelodyTask(Task):
    """Train a `MelodyLSTM` with `mircourse.training.fit`: the mean cost of a note, in nats.

    The targets of a batch are the numbers of notes (sounding events), ``(B,)``; the score of an
    epoch is minus the bits per note.

    Lesson: book/rnn/lstm
    """

    def terms(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed cost of a batch and its number of notes."""
        return logits.sum(), target.sum().to(logits.dtype)

    def counts(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the summed cost in bits and the number of notes, shape (2,)."""
        return torch.stack([logits.sum() / np.log(2), target.sum().to(logits.dtype)])

    def summary(self, counts: Tensor) -> dict[str, float]:
        """Return minus the bits per note, for higher scores are better."""
        bits, notes = counts.tolist()
        return {"negative_bits": -bits / notes}


class MelodyBatches(torch.utils.data.Sampler[list[tuple[int, int]]]):
    """Batches of melodies of like length, each moved to another key; for `loader`.

    Iterating gives, for each batch, the melodies' numbers and by how many semitones to move them.
    It draws anew in each epoch.

    Parameters
    ----------
    melodies : sequence of Melody
        To learn from.
    batch_size : int
        Melodies a batch, at most.
    transpose : int
        Each melody is moved by -transpose to +transpose semitones; 0 leaves it where it is.
    seed : int
        Decides the order and the keys, with the number of the epoch.

    Raises
    ------
    ValueError
        If there are no melodies, or a number is out of range.
    """

    def __init__(
        self, melodies: Sequence[Melody], *, batch_size: int, transpose: int, seed: int
    ) -> None:
        if not melodies or batch_size < 1 or transpose < 0:
            raise ValueError(
                f"expected melodies, batch_size of 1 or more and transpose of 0 or more, got "
                f"{len(melodies)}, {batch_size} and {transpose}"
            )
        self.lengths = np.array([len(melody) for melody in melodies])
        rooms = np.array([melody.room() for melody in melodies])
        self.low, self.high = (
            np.maximum(rooms[:, 0], -transpose),
            np.minimum(rooms[:, 1], transpose),
        )
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        # Nearly sorted: of like length, but not the same melodies together in each epoch.
        order = np.argsort(self.lengths * rng.uniform(0.9, 1.1, len(self.lengths)))
        shift = rng.integers(self.low, self.high + 1)
        parts = np.array_split(order, len(self))
        for k in rng.permutation(len(parts)):
            yield [(int(i), int(shift[i])) for i in parts[k]]


def loader(
    melodies: Sequence[Melody], *, batch_size: int = 32, transpose: int = 0, seed: int = 0
) -> torch.utils.data.DataLoader:
    """Return batches for `mircourse.training.fit`; the parameters are those of `MelodyBatches`.

    A batch is what `batch` makes, and the number of notes of each melody.
    """
    order = MelodyBatches(melodies, batch_size=batch_size, transpose=transpose, seed=seed)

    def collate(chosen: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        moved = [melodies[i].transpose(semitones) for i, semitones in chosen]
        return batch(moved), torch.tensor([melody.n_notes for melody in moved])

    return torch.utils.data.DataLoader(
        _Pairs(),
        batch_sampler=order,
        collate_fn=collate,  # type: ignore[arg-type]
    )


class _Pairs(torch.utils.data.Dataset):
    """Hands what the sampler drew on to the collation."""

    def __getitem__(self, pair: tuple[int, int]) -> tuple[int, int]:
        return pair
