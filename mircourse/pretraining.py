r"""Pretraining of a `MusicBERT`: masked events and next phrases (Devlin et al., 2019).

Of all events 15 % are chosen. Of these, 80 % are replaced by `MASK`, 10 % by a random event, and
10 % stay; the model shall say what stood there. Only what was chosen costs anything
(:eq:`eq:tf-mlm`):

.. math::
    \mathcal{L} = -\frac{1}{|M|} \sum_{t \in M} \log p(x_t \mid \tilde{x})

An event alone is easily guessed: a note-on is the next note-off of the same pitch. So a note is
hidden as a whole, on and off together, and meets one fate. With ``units="tokens"`` each event
is chosen for itself, as words are in BERT, and the difference can be measured.

Lesson: book/transformer/musicbert
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mircourse.events import (
    IGNORED,
    MASK,
    N_EVENTS,
    NOTE_OFF,
    PAD,
    TIME_SHIFT,
    check_tokens,
)
from mircourse.phrases import Continuations, Pair, join
from mircourse.tasks import Task

if TYPE_CHECKING:
    from mircourse.musicbert import MusicBERT

Units = Literal["notes", "tokens"]
UNITS = ("notes", "tokens")
FIXED = -1  # the unit of a position that is never chosen


def units_of(tokens: Any, *, units: Units = "notes") -> np.ndarray:
    """Say which positions are hidden together.

    Lesson: book/transformer/musicbert

    Parameters
    ----------
    tokens : array_like of int, shape (n,)
        As of `mircourse.events`.
    units : {"notes", "tokens"}
        ``"notes"``: a note-on and the note-off that ends it are one unit, any other event is one
        of its own. ``"tokens"``: every event is.

    Returns
    -------
    ndarray of int64, shape (n,)
        For each position the position where its unit begins; `FIXED` (-1) at special tokens,
        which are never chosen.

    Raises
    ------
    ValueError
        If `units` is neither, or a token is out of range.
    """
    if units not in UNITS:
        raise ValueError(f"units must be one of {UNITS}, got {units!r}")
    tokens = check_tokens(tokens)
    found = np.where(tokens < N_EVENTS, np.arange(len(tokens)), FIXED)
    if units == "tokens":
        return found
    # Special tokens part the sequence: nothing sounds over them.
    part = np.cumsum(tokens >= N_EVENTS)
    keys = np.flatnonzero(tokens < TIME_SHIFT)
    # Stable: in time within a pitch of a part.
    keys = keys[np.lexsort((part[keys], tokens[keys] % NOTE_OFF))]
    before, after = keys[:-1], keys[1:]
    same = (tokens[before] % NOTE_OFF == tokens[after] % NOTE_OFF) & (part[before] == part[after])
    ends = same & (tokens[before] < NOTE_OFF) & (tokens[after] >= NOTE_OFF)
    found[after[ends]] = before[ends]
    return found


class Masking:
    """Choose units and hide them: the 80/10/10 rule.

    Lesson: book/transformer/musicbert

    Parameters
    ----------
    units : {"notes", "tokens"}
        What is hidden together, see `units_of`.
    rate : float
        Share of the units that is chosen, in (0, 1).
    masked, random : float
        Shares of the chosen units that become `MASK`, or another event: a note becomes one of a
        random pitch, on and off; any other event any of the 388. The rest stays as it is.

    Raises
    ------
    ValueError
        If a share is out of range.

    Examples
    --------
    >>> from mircourse.events import CLS, NOTE_OFF, NOTE_ON, SEP, TIME_SHIFT
    >>> note = [CLS, NOTE_ON + 60, TIME_SHIFT + 23, NOTE_OFF + 60, SEP]
    >>> hide = Masking(rate=0.999, masked=1.0, random=0.0)
    >>> hidden, targets = hide(torch.tensor([note]), torch.from_numpy(units_of(note))[None])
    >>> hidden.tolist(), targets.tolist()
    ([[392, 391, 391, 391, 393]], [[-100, 60, 279, 188, -100]])
    """

    def __init__(
        self,
        *,
        units: Units = "notes",
        rate: float = 0.15,
        masked: float = 0.8,
        random: float = 0.1,
    ) -> None:
        if units not in UNITS:
            raise ValueError(f"units must be one of {UNITS}, got {units!r}")
        if not 0 < rate < 1:
            raise ValueError(f"rate must lie between 0 and 1, got {rate}")
        if masked < 0 or random < 0 or masked + random > 1:
            raise ValueError(
                f"masked and random must be shares of one whole, got {masked} and {random}"
            )
        self.units: Units = units
        self.rate, self.masked, self.random = rate, masked, random

    def __call__(
        self, tokens: Tensor, units: Tensor, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return what the model reads and what it shall say.

        Parameters
        ----------
        tokens, units : Tensor of int64, (B, T)
            A batch, and its `units_of`, row by row.
        generator : torch.Generator, optional
            The global one by default.

        Returns
        -------
        hidden : Tensor of int64, (B, T)
        targets : Tensor of int64, (B, T)
            The token that stood there where it was chosen, elsewhere -100, which costs nothing.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        if tokens.shape != units.shape or tokens.ndim != 2:
            raise ValueError(
                f"expected tokens and units of one shape (B, T), got {tuple(tokens.shape)} and "
                f"{tuple(units.shape)}"
            )
        at = units.clamp(min=0)

        def draws() -> Tensor:
            each = torch.rand(tokens.shape, generator=generator, device=tokens.device)
            return each.gather(1, at)  # a unit has the number of the position where it begins

        chosen = (draws() < self.rate) & (units != FIXED)
        fate, other = draws(), draws()
        masked = chosen & (fate < self.masked)
        changed = chosen & ~masked & (fate < self.masked + self.random)
        key = tokens < TIME_SHIFT
        if self.units == "notes":
            pitch = (other * NOTE_OFF).long()
            event = torch.where(tokens < NOTE_OFF, pitch, pitch + NOTE_OFF)
            event = torch.where(key, event, (other * N_EVENTS).long())
        else:
            event = (other * N_EVENTS).long()
        hidden = torch.where(masked, MASK, torch.where(changed, event, tokens))
        return hidden, torch.where(chosen, tokens, IGNORED)


# ------------------------------------------------------------------------------------ batches


def batch(
    pairs: Sequence[Pair], masking: Masking, *, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return pairs of phrases as a batch of `PretrainingTask`, padded at the end.

    Returns
    -------
    x : Tensor of int64, (B, 2, T)
        What is read, and 1 where an event was chosen.
    y : Tensor of int64, (B, 1 + T)
        1 if the second phrase follows, and the events to be guessed, -100 elsewhere.

    Raises
    ------
    ValueError
        If there are no pairs.
    """
    if not pairs:
        raise ValueError("expected one pair or more, got none")
    rows = [join(pair.first, pair.second) for pair in pairs]
    width = max(map(len, rows))
    tokens = np.full((len(rows), width), PAD)
    units = np.full((len(rows), width), FIXED)
    for k, row in enumerate(rows):
        tokens[k, : len(row)] = row
        units[k, : len(row)] = units_of(row, units=masking.units)
    hidden, targets = masking(
        torch.from_numpy(tokens), torch.from_numpy(units), generator=generator
    )
    follows = torch.tensor([[int(pair.follows)] for pair in pairs])
    x = torch.stack([hidden, (targets != IGNORED).long()], dim=1)  # 2 x (B, T) -> (B, 2, T)
    return x, torch.cat([follows, targets], dim=1)  # (B, 1), (B, T) -> (B, 1 + T)


def fixed(pairs: Sequence[Pair], masking: Masking, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return all pairs as one batch, hidden as `seed` says: what an epoch is validated on."""
    return batch(pairs, masking, generator=torch.Generator().manual_seed(seed))


class _Order(torch.utils.data.Sampler[list[int]]):
    """Batches of phrases of like length, in a new order in each epoch."""

    def __init__(self, lengths: np.ndarray, batch_size: int) -> None:
        self.lengths = torch.from_numpy(lengths)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        # From the global generator, which training.fit seeds for each epoch.
        nearly = self.lengths * (0.9 + 0.2 * torch.rand(len(self.lengths)))
        parts = nearly.argsort().tensor_split(len(self))
        for k in torch.randperm(len(parts)).tolist():
            yield parts[k].tolist()


class _Drawn(torch.utils.data.Dataset):
    """Pairs drawn anew each time: right or wrong, and in some key."""

    def __init__(self, source: Continuations, transpose: int) -> None:
        self.source, self.transpose = source, transpose

    def __getitem__(self, index: int) -> Pair:
        if torch.rand(()) < 0.5:
            pair = self.source.right(index)
        else:
            pair = self.source.wrong(index, lambda n: int(torch.randint(n, ())))
        low, high = max(-self.transpose, -_lowest(pair)), min(self.transpose, 127 - _highest(pair))
        up = int(torch.randint(low, high + 1, ()))
        return Pair(pair.first.moved(up), pair.second.moved(up), pair.follows)


def loader(
    source: Continuations, masking: Masking, *, batch_size: int = 32, transpose: int = 5
) -> torch.utils.data.DataLoader:
    """Return batches for `mircourse.training.fit`, drawn anew in each epoch.

    Every phrase that has a next one comes once an epoch: half the time with that one, else with
    an honest wrong one; moved, as a pair, by up to `transpose` semitones.

    Raises
    ------
    ValueError
        If `batch_size` is below 1 or `transpose` below 0.
    """
    if batch_size < 1 or transpose < 0:
        raise ValueError(
            f"expected batch_size of 1 or more and transpose of 0 or more, got {batch_size} and "
            f"{transpose}"
        )
    lengths = np.array([len(join(first, second)) for first, second in source.followed], float)
    return torch.utils.data.DataLoader(
        _Drawn(source, transpose),
        batch_sampler=_Order(lengths, batch_size),
        collate_fn=lambda pairs: batch(pairs, masking),
    )


def _keys(pair: Pair) -> np.ndarray:
    tokens = np.concatenate([pair.first.tokens, pair.second.tokens])
    return tokens[tokens < TIME_SHIFT] % NOTE_OFF


def _lowest(pair: Pair) -> int:
    return int(_keys(pair).min())


def _highest(pair: Pair) -> int:
    return int(_keys(pair).max())


# --------------------------------------------------------------------------------------- task


class PretrainingTask(Task):
    """Train a `MusicBERT` with `mircourse.training.fit` on what `loader` gives.

    The loss of a batch is the mean cost of a chosen event (:eq:`eq:tf-mlm`) plus `next_weight`
    times that of the question whether the second phrase follows (:eq:`eq:tf-bert`). Scores:
    ``masked_accuracy``, of all chosen events; ``note_accuracy``, of the note-ons among them;
    ``next_accuracy``.

    Lesson: book/transformer/musicbert

    Parameters
    ----------
    model : MusicBERT
        To be trained.
    next_weight : float
        What the second loss counts, 0 or more.
    lr, weight_decay, schedule, warmup
        As in `Task`.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    model: MusicBERT

    def __init__(
        self,
        model: MusicBERT,
        *,
        next_weight: float = 1.0,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: str = "cosine",
        warmup: float = 0.05,
    ) -> None:
        super().__init__(model, lr=lr, weight_decay=weight_decay, schedule=schedule, warmup=warmup)
        if not next_weight >= 0:
            raise ValueError(f"next_weight must be 0 or more, got {next_weight}")
        self.next_weight = next_weight

    def settings(self) -> dict[str, Any]:
        """Return what a checkpoint must agree on to be resumed."""
        return super().settings() | {"next_weight": self.next_weight}

    def forward(self, x: Tensor) -> Any:
        """Return the model's output on a batch ``(B, 2, T)``; of events, the chosen ones only."""
        return self.model(x[:, 0], mask_positions=x[:, 1].bool())

    def terms(self, logits: Any, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss times the number of chosen events, and that number."""
        follows, events = target[:, 0], _chosen(target)
        mlm, nsp = logits["mlm_logits"].float(), logits["nsp_logits"].float()
        n = events.new_tensor(max(1, len(events))).float()
        total = functional.cross_entropy(mlm, events, reduction="sum")
        return total + self.next_weight * n * functional.cross_entropy(nsp, follows), n

    def counts(self, logits: Any, target: Tensor) -> Tensor:
        """Return right and all of: chosen events, note-ons among them, pairs; shape (6,)."""
        follows, events = target[:, 0], _chosen(target)
        right = logits["mlm_logits"].argmax(dim=-1) == events
        note = events < NOTE_OFF
        found = logits["nsp_logits"].argmax(dim=-1) == follows
        parts = [right, torch.ones_like(right), right & note, note, found, torch.ones_like(found)]
        return torch.stack([part.sum() for part in parts])

    def summary(self, counts: Tensor) -> dict[str, float]:
        """Return the three accuracies."""
        right, n, right_notes, notes, found, pairs = counts.tolist()
        return {
            "masked_accuracy": right / max(1, n),
            "note_accuracy": right_notes / max(1, notes),
            "next_accuracy": found / pairs,
        }


def _chosen(target: Tensor) -> Tensor:
    events = target[:, 1:]
    return events[events != IGNORED]  # (B, T) -> (M,)
