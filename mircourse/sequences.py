"""Pieces as rows of tokens: packed or padded, of one length, for a model to learn from.

A `PackedRows` fills rows of a fixed length with pieces, one behind the other, so that hardly a
place is wasted. A piece that is longer than a row is cut. What keeps the pieces of a row apart is
in `Rows.segments`: a `mircourse.musictransformer.MusicTransformer` that is told them lets each
token see its own piece alone.

Lesson: book/transformer/musictransformer
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

IGNORED = -100  # a target that is not scored, as PyTorch's losses have it
NO_STYLE = -1


@dataclass(frozen=True, eq=False)
class Example:
    """A piece as a model is to learn it: each token but the first is predicted from those before.

    Attributes
    ----------
    tokens : ndarray of int64, (n,)
        With what begins and ends it; two or more.
    style : int
        `NO_STYLE` where it has none.
    notes : ndarray of int64, (n, heads), optional
        What further heads are to say at each token, `IGNORED` where nothing:
        ``np.stack(mircourse.events.note_targets(tokens), axis=1)``.
    id, family : str
        Of the piece.
    """

    tokens: NDArray[np.int64]
    style: int = NO_STYLE
    notes: NDArray[np.int64] | None = None
    id: str = ""
    family: str = ""

    def __post_init__(self) -> None:
        if self.tokens.ndim != 1 or len(self.tokens) < 2 or self.tokens.dtype.kind not in "iu":
            raise ValueError(
                f"{self.id or 'a piece'} must be whole numbers (n,), n of 2 or more, "
                f"got {self.tokens.dtype} {self.tokens.shape}"
            )
        if self.notes is not None and self.notes.shape[:1] != self.tokens.shape:
            raise ValueError(
                f"{self.id or 'a piece'} has {len(self.tokens)} tokens, but notes of shape "
                f"{self.notes.shape}"
            )

    def __len__(self) -> int:
        """Return how many tokens are predicted."""
        return len(self.tokens) - 1

    @property
    def n_heads(self) -> int:
        """Number of further heads that have targets."""
        return 0 if self.notes is None else self.notes.shape[1]

    def targets(self) -> NDArray[np.int64]:
        """Return the next token, and what the heads are to say, of all but the last: (n - 1, k)."""
        following = self.tokens[1:, None]
        parts = [following] if self.notes is None else [following, self.notes[:-1]]
        return np.concatenate(parts, axis=1).astype(np.int64)


class Rows(NamedTuple):
    """A batch of rows; or one row, without the first axis.

    Attributes
    ----------
    tokens : Tensor of int64, (B, T)
        What the model reads.
    segments : Tensor of int64, (B, T)
        Number of the piece of its row that a token belongs to, from 0; -1 where nothing is.
    style : Tensor of int64, (B,)
        Of all pieces of a row; `NO_STYLE` where they have none.
    """

    tokens: Tensor
    segments: Tensor
    style: Tensor


Augment = Callable[[Example], Example]


class PackedRows(Dataset):
    """Rows of one length, filled with pieces; for `mircourse.training.fit`.

    An item is a `Rows` of one row and its targets ``(length, 1 + heads)``.

    Parameters
    ----------
    examples : sequence of Example
        All with targets for as many heads.
    length : int
        Tokens a row. A longer piece is cut into parts of this length and a shorter rest.
    pad : int
        The token that fills what is left.
    packed : bool
        Put several pieces of one style into a row. Without it each part has a row of its own, and
        a causal model need not be told the segments: padding comes after all that counts.
    jitter : int
        Cut long pieces elsewhere each time: a part begins up to half a row earlier or later, by a
        multiple of so many tokens. 0 cuts where it cuts.
    augment : callable, optional
        Makes a new version of a piece, as long as the old one, each time that it is asked for. It
        has to draw from PyTorch's global generator for a run to be resumed.

    Raises
    ------
    ValueError
        If there are no examples, they have unequal numbers of heads, `length` is below 1 or
        `jitter` negative.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        length: int,
        pad: int,
        packed: bool = True,
        jitter: int = 0,
        augment: Augment | None = None,
    ) -> None:
        if not examples or length < 1 or jitter < 0:
            raise ValueError(
                "expected examples, length of 1 or more and jitter of 0 or more, got "
                f"{len(examples)}, {length} and {jitter}"
            )
        heads = {example.n_heads for example in examples}
        if len(heads) > 1:
            raise ValueError(f"examples have unequal numbers of heads: {sorted(heads)}")
        self.examples = examples
        self.length, self.pad, self.jitter, self.augment = length, pad, jitter, augment
        self.n_heads = heads.pop()
        parts = [
            _Part(i, start, min(length, len(example) - start))
            for i, example in enumerate(examples)
            for start in range(0, len(example), length)
        ]
        if packed:
            styles = [examples[part.example].style for part in parts]
            self.rows = [
                row
                for style in sorted(set(styles))
                for row in _packed(
                    [p for p, s in zip(parts, styles, strict=True) if s == style], length
                )
            ]
        else:
            self.rows = [[part] for part in parts]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Rows, Tensor]:
        tokens = np.full(self.length, self.pad, np.int64)
        segments = np.full(self.length, -1, np.int64)
        targets = np.full((self.length, 1 + self.n_heads), IGNORED, np.int64)
        at = 0
        for k, part in enumerate(self.rows[index]):
            example = self.examples[part.example]
            if self.augment is not None:
                example = self.augment(example)
            start = self._moved(part, len(example))
            here, there = slice(at, at + part.size), slice(start, start + part.size)
            tokens[here] = example.tokens[there]
            segments[here] = k
            targets[here] = example.targets()[there]
            at += part.size
        style = self.examples[self.rows[index][0].example].style
        row = Rows(torch.from_numpy(tokens), torch.from_numpy(segments), torch.tensor(style))
        return row, torch.from_numpy(targets)

    @property
    def filled(self) -> float:
        """Share of all places that hold a token."""
        return sum(len(example) for example in self.examples) / (len(self) * self.length)

    def _moved(self, part: _Part, whole: int) -> int:
        if not self.jitter or part.size == whole:
            return part.start
        # Steps that stay inside the piece, so that a part begins where such a part may begin.
        reach = self.length // 2 // self.jitter
        down = min(reach, part.start // self.jitter)
        up = min(reach, (whole - part.size - part.start) // self.jitter)
        return part.start + self.jitter * int(torch.randint(-down, up + 1, ()))


class _Part(NamedTuple):
    """A part of a piece."""

    example: int
    start: int
    size: int


def _packed(parts: list[_Part], length: int) -> list[list[_Part]]:
    """Deal parts out to rows: the longest first, each to the first row that has room."""
    rows: list[list[_Part]] = []
    room: list[int] = []
    for part in sorted(parts, key=lambda part: -part.size):
        row = next((k for k, free in enumerate(room) if free >= part.size), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(length)
        rows[row].append(part)
        room[row] -= part.size
    return rows


def padded(examples: Sequence[Example], *, pad: int) -> tuple[Rows, Tensor]:
    """Return pieces as a batch, each in a row of its own, filled up to the longest.

    Parameters
    ----------
    examples : sequence of Example
    pad : int
        The token that fills.

    Returns
    -------
    rows : Rows
        Each (B, T), with T what the longest piece has to predict.
    targets : Tensor of int64, (B, T, 1 + heads)

    Raises
    ------
    ValueError
        As `PackedRows`.
    """
    longest = max((len(example) for example in examples), default=1)
    rows = PackedRows(examples, length=longest, pad=pad, packed=False)
    items, targets = zip(*(rows[i] for i in range(len(rows))), strict=True)
    return Rows(*map(torch.stack, zip(*items, strict=True))), torch.stack(targets)


def buckets(lengths: Sequence[int], *, tokens: int) -> list[NDArray[np.int64]]:
    """Group pieces of like length into batches of so many tokens, padding included.

    Parameters
    ----------
    lengths : sequence of int
        Of the pieces.
    tokens : int
        Most places in a batch; a piece that is longer is alone in its batch.

    Returns
    -------
    list of ndarray of int
        Numbers of the pieces of each batch; each once.
    """
    order = np.argsort(np.asarray(lengths), kind="stable")
    groups: list[NDArray[np.int64]] = []
    first = 0
    for k in range(1, len(order) + 1):
        if k == len(order) or (k + 1 - first) * lengths[order[k]] > tokens:
            groups.append(order[first:k])
            first = k
    return groups


def windows(example: Example, *, length: int) -> list[Example]:
    """Cut a piece into parts that overlap by half, in which each token is scored once.

    The first part is scored throughout, each later one only where the part before did not reach:
    everything but the beginning is predicted from at least half of `length` tokens.

    Parameters
    ----------
    example : Example
    length : int
        Most predictions a part, 2 or more.

    Returns
    -------
    list of Example
        Only the piece itself if it is short enough.
    """
    if length < 2:
        raise ValueError(f"length must be 2 or more, got {length}")
    if len(example) <= length:
        return [example]
    parts: list[Example] = []
    done = 0
    while done < len(example):
        stop = min(len(example), length if not done else done + (length + 1) // 2)
        start = max(0, stop - length)
        notes = None if example.notes is None else example.notes[start : stop + 1]
        tokens = example.tokens[start : stop + 1]
        parts.append(_Window(tokens, example.style, notes, example.id, skip=done - start))
        done = stop
    return parts


@dataclass(frozen=True, eq=False)
class _Window(Example):
    """A part of a piece whose first predictions belong to the part before."""

    skip: int = dataclasses.field(default=0, kw_only=True)

    def targets(self) -> NDArray[np.int64]:
        targets = super().targets()
        targets[: self.skip] = IGNORED
        return targets
