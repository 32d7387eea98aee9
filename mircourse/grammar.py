"""Which token may come next, so that a sequence of events is one that a performance has.

`mircourse.events.encode` writes a performance in one way only. A sequence obeys the grammar if it
is the beginning of what `encode` can write:

- a key comes up only if it is down and was so an instant before; it goes down only if it is up;
- at one instant keys come up first, then others go down, each from the lowest;
- a velocity differs from the one before, and a key goes down after it; the first note has one;
- of several shifts in a row all but the last are whole seconds, and something follows;
- a piece begins with ``BOS``, and ends with ``EOS`` after the last key has come up.

So a finished sequence becomes itself again when it is decoded and encoded.

Lesson: book/transformer/musictransformer
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from mircourse.events import (
    BOS,
    EOS,
    MAX_SHIFT,
    N_EVENTS,
    N_TOKENS,
    N_VELOCITIES,
    NOTE_OFF,
    NOTE_ON,
    PAD,
    TIME_SHIFT,
    VELOCITY,
    check_tokens,
)

_PITCHES = np.arange(128)
_NONE = -1


class Grammar:
    """What may come next in several sequences, token by token.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    batch_size : int
        Sequences; each begins with nothing.

    Attributes
    ----------
    down : ndarray of bool, (B, 128)
        Which keys are down.

    Raises
    ------
    ValueError
        If `batch_size` is below 1.

    Examples
    --------
    >>> from mircourse.events import names
    >>> grammar = Grammar()
    >>> grammar.append([VELOCITY + 15])
    >>> grammar.append([NOTE_ON + 60])
    >>> grammar.append([TIME_SHIFT + 9])
    >>> allowed = np.flatnonzero(grammar.allowed()[0])
    >>> [name for name in names(allowed) if name.startswith("NOTE_OFF")]
    ['NOTE_OFF 60']
    """

    def __init__(self, batch_size: int = 1) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.down = np.zeros((batch_size, 128), bool)
        self._struck = np.zeros((batch_size, 128), bool)  # down since this instant
        self._level = np.full(batch_size, _NONE)
        self._last = np.full(batch_size, BOS)
        # The highest key that has come up, and gone down, at this instant.
        self._raised = np.full(batch_size, _NONE)
        self._lowered = np.full(batch_size, _NONE)

    def allowed(self) -> NDArray[np.bool_]:
        """Return which tokens may come next in each sequence, (B, N_TOKENS); always one or more.

        After what is against the grammar there may be none; then time may pass.
        """
        out = np.zeros((len(self.down), N_TOKENS), bool)
        last = self._last[:, None]
        touched = (last >= VELOCITY) & (last < N_EVENTS)
        shifted = (last >= TIME_SHIFT) & (last < VELOCITY)
        ended = last == EOS
        # Once a key has gone down, none comes up until time has passed.
        may_raise = ~touched & ~ended & (self._lowered[:, None] == _NONE)
        out[:, NOTE_OFF:TIME_SHIFT] = (
            self.down & ~self._struck & (self._raised[:, None] < _PITCHES) & may_raise
        )
        can_lower = ~self.down & (self._lowered[:, None] < _PITCHES) & ~ended
        out[:, NOTE_ON:NOTE_OFF] = can_lower & (self._level[:, None] != _NONE)
        out[:, VELOCITY:N_EVENTS] = (
            can_lower.any(axis=1, keepdims=True)
            & ~touched
            & (np.arange(N_VELOCITIES) != self._level[:, None])
        )
        whole = last == TIME_SHIFT + MAX_SHIFT - 1
        out[:, TIME_SHIFT:VELOCITY] = (~shifted | whole) & ~touched & ~ended
        out[:, EOS] = ~self.down.any(axis=1) & (last < TIME_SHIFT)[:, 0]
        out[:, EOS] |= self._last == BOS
        out[:, PAD] = ended[:, 0]
        out[~out.any(axis=1), TIME_SHIFT:VELOCITY] = True
        return out

    def append(self, tokens: npt.ArrayLike) -> None:
        """Take the next token of each sequence, (B,), allowed or not.

        A note-off of a key that is up changes nothing; ``BOS`` begins anew.

        Raises
        ------
        ValueError, TypeError
            If there is not one valid token for each sequence.
        """
        given = check_tokens(tokens)
        if given.shape != self._last.shape:
            raise ValueError(f"expected {len(self._last)} tokens, got {len(given)}")
        rows = np.arange(len(given))
        key = given % NOTE_OFF
        on, off = given < NOTE_OFF, (given >= NOTE_OFF) & (given < TIME_SHIFT)
        shift = (given >= TIME_SHIFT) & (given < VELOCITY)
        touch = (given >= VELOCITY) & (given < N_EVENTS)
        begins = given == BOS
        self.down[rows[on], key[on]] = True
        self._struck[rows[on], key[on]] = True
        self.down[rows[off], key[off]] = False
        self._level = np.where(touch, given - VELOCITY, self._level)
        self._level[begins] = _NONE
        self.down[begins] = False
        new = shift | begins
        self._struck[new] = False
        self._raised = np.where(new, _NONE, np.where(off, key, self._raised))
        self._lowered = np.where(new, _NONE, np.where(on, key, self._lowered))
        self._last = np.where(given == PAD, self._last, given)

    def read(self, sequences: Sequence[npt.ArrayLike]) -> None:
        """Begin anew with tokens of each sequence, of any lengths.

        Raises
        ------
        ValueError, TypeError
            If there is not one sequence of valid tokens for each.
        """
        rows = [check_tokens(sequence) for sequence in sequences]
        if len(rows) != len(self.down):
            raise ValueError(f"expected {len(self.down)} sequences, got {len(rows)}")
        longest = max((len(row) for row in rows), default=0)
        for at in range(-longest - 1, 0):
            self.append([row[at] if len(row) >= -at else BOS for row in rows])

    def select(self, rows: npt.ArrayLike) -> Grammar:
        """Return the grammar of some of the sequences, by index."""
        some = Grammar.__new__(Grammar)
        some.__dict__ = {name: values[np.asarray(rows)] for name, values in vars(self).items()}
        return some


def faults(tokens: npt.ArrayLike) -> NDArray[np.int64]:
    """Return the positions of the tokens that the grammar did not allow, (n,).

    After a fault the rest is judged from where it led: a note-off too many is one fault.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    tokens : array_like of int, (n,)
        One piece. A ``BOS`` at its beginning may be left out.

    Raises
    ------
    ValueError, TypeError
        As `mircourse.events.decode`.
    """
    given = check_tokens(tokens)
    grammar = Grammar()
    found = []
    for at, token in enumerate(given):
        if not grammar.allowed()[0, token] and not (at == 0 and token == BOS):
            found.append(at)
        grammar.append([token])
    return np.array(found, dtype=np.int64)
