"""An n-gram model of chorales: what a network has to beat.

The cells of a grid (`mircourse.choralegrid`) are counted row by row, from the soprano down, each
after what is musically near rather than what stands last: which voice it is, where in the bar, how
far the voices that already sing in this sixteenth are from the voice's own last pitch, and what
came before. Counted twice: as *steps* from the voice's last pitch, which know no key, and as
*pitches*. The model is a mean of the two. Columns, orders and the mean were chosen on the
validation chorales of the standard split.

Lesson: book/transformer/musictransformer
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from mircourse.choralegrid import N_SYMBOLS, REST, VOICES
from mircourse.ngrams import BEFORE, NGram

# What a cell is counted after, the most telling first. "above 1" is the voice above in this
# sixteenth, "below 1" the voice below in the last; with "-step" the distance from the voice's own
# last pitch.
STEP_COLUMNS = (
    "voice", "moved", "place 4", "above-step 1", "below-step 1", "above-step 2", "below-step 2",
    "above-step 3", "below-step 3", "before-step", "held",
)  # fmt: skip
PITCH_COLUMNS = (
    "voice", "last", "moved", "place 4", "above 1", "below 1", "above 2", "below 2", "before",
)  # fmt: skip
_UNISON = REST  # the symbol of no step, so that none is negative
_STEP_REST = 2 * REST
_N_STEPS = _STEP_REST + 1
_UNKNOWN = _N_STEPS  # between pitches of which one rests
_LONGEST = 16  # sixteenths; what is held longer counts as this
_ROWS = 4096  # at a time


class ChoraleNGram:
    """Back-off n-gram model of grids of four voices.

    Lesson: book/transformer/musictransformer

    Parameters
    ----------
    step_order, pitch_order : int
        Columns of `STEP_COLUMNS` and `PITCH_COLUMNS` that are used, plus one.
    steps : float
        Share of the steps in the mean, in [0, 1].
    """

    def __init__(
        self,
        *,
        step_order: int | None = None,
        pitch_order: int | None = None,
        steps: float = 0.75,
    ) -> None:
        if not 0 <= steps <= 1:
            raise ValueError(f"steps must be in [0, 1], got {steps}")
        self.steps = steps
        self.step = NGram(_N_STEPS, order=step_order or len(STEP_COLUMNS) + 1)
        self.pitch = NGram(N_SYMBOLS, order=pitch_order or len(PITCH_COLUMNS) + 1)

    @property
    def n_counts(self) -> int:
        """Number of counts that the model holds."""
        return self.step.n_counts + self.pitch.n_counts

    def fit(self, grids: Sequence[npt.ArrayLike]) -> Self:
        """Count the cells of grids (T, 4).

        Raises
        ------
        ValueError
            If there are none.
        """
        if not grids:
            raise ValueError("there are no chorales to count")
        cells = [_Cells(grid) for grid in grids]
        symbols, last = (
            np.concatenate([getattr(c, name) for c in cells]) for name in ("symbols", "last")
        )
        of_step, of_pitch = (
            np.concatenate([c.columns(names) for c in cells])
            for names in (STEP_COLUMNS, PITCH_COLUMNS)
        )
        known = _sings(last)
        moved = np.where(symbols == REST, _STEP_REST, symbols - last + _UNISON)
        self.step.fit(of_step[known], moved[known])
        self.pitch.fit(of_pitch, symbols)
        return self

    def probabilities(self, grid: npt.ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each symbol in each cell, row by row, ``(4 T, 129)``."""
        cells = _Cells(grid)
        p = self.pitch.probabilities(cells.columns(PITCH_COLUMNS))
        known = np.flatnonzero(_sings(cells.last))
        of_step = cells.columns(STEP_COLUMNS)
        for rows in np.array_split(known, len(known) // _ROWS + 1):
            step = self.step.probabilities(of_step[rows])  # (M, _N_STEPS)
            reach = np.arange(REST) - cells.last[rows, None] + _UNISON  # (M, 128)
            moved = np.take_along_axis(step, reach, axis=1)
            moved = np.concatenate([moved, step[:, [_STEP_REST]]], axis=1)  # (M, 129)
            # What leads out of the range of pitches is shared out.
            moved /= moved.sum(axis=1, keepdims=True)
            p[rows] = (1 - self.steps) * p[rows] + self.steps * moved
        return p

    def nats(self, grid: npt.ArrayLike) -> float:
        """Return what a chorale costs: minus the natural logarithm of its probability."""
        symbols = _Cells(grid).symbols
        p = self.probabilities(grid)
        return float(-np.log(p[np.arange(len(symbols)), symbols]).sum())


class _Cells:
    """What is known before each cell of a grid, row by row: arrays of shape (4 T,)."""

    def __init__(self, grid: npt.ArrayLike) -> None:
        self.grid = np.asarray(grid).astype(np.int64)
        if self.grid.ndim != 2 or self.grid.shape[1] != len(VOICES):
            raise ValueError(f"a grid has shape (T, {len(VOICES)}), got {self.grid.shape}")
        self.symbols = self.grid.ravel()
        self.last = self._rows_before(1).ravel()

    def columns(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the named columns, ``(4 T, n)``."""
        return np.stack([self._column(name) for name in names], axis=1)

    def _column(self, name: str) -> NDArray[np.int64]:
        T = len(self.grid)
        kind, _, number = name.partition(" ")
        k = int(number or 0)
        if kind == "voice":
            return np.tile(np.arange(len(VOICES)), T)
        if kind == "place":
            return np.repeat(np.arange(T) % k, len(VOICES))
        if kind == "moved":
            return self._moved()
        if kind == "held":
            return np.minimum(np.arange(T)[:, None] - self._began(), _LONGEST).ravel()
        if kind == "last":
            return self.last
        found = {
            "above": lambda: _shifted(self.grid, k),
            "below": lambda: _shifted(self._rows_before(1), -k),
            "before": self._before,
        }[kind.removesuffix("-step")]().ravel()
        return _steps(found, self.last) if kind.endswith("-step") else found

    def _rows_before(self, k: int) -> NDArray[np.int64]:
        nothing = np.full((k, len(VOICES)), BEFORE)
        return np.concatenate([nothing, self.grid])[: len(self.grid)]

    def _moved(self) -> NDArray[np.int64]:
        """Return which of the voices above have moved in this sixteenth, as bits."""
        moved = self.grid != self._rows_before(1)
        bits = np.cumsum(moved * 2 ** np.arange(len(VOICES)), axis=1)
        return _shifted(bits, 1, fill=0).ravel()

    def _began(self) -> NDArray[np.int64]:
        """Return when what the voice sang last began."""
        T = len(self.grid)
        changed = self.grid != self._rows_before(1)
        now = np.maximum.accumulate(np.where(changed, np.arange(T)[:, None], 0), axis=0)
        return np.concatenate([np.zeros((1, len(VOICES)), int), now])[:T]

    def _before(self) -> NDArray[np.int64]:
        """Return the pitch that the voice sang before its last one."""
        began = self._began()
        there = np.take_along_axis(self.grid, np.maximum(began - 1, 0), axis=0)
        return np.where(began > 0, there, BEFORE)


def _shifted(rows: NDArray[np.int64], voices: int, *, fill: int = BEFORE) -> NDArray[np.int64]:
    """Return for each voice what the one so many above it has, or below if negative."""
    found = np.full_like(rows, fill)
    if voices > 0:
        found[:, voices:] = rows[:, :-voices]
    else:
        found[:, :voices] = rows[:, -voices:]
    return found


def _sings(symbols: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (symbols >= 0) & (symbols != REST)


def _steps(pitch: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    known = _sings(pitch) & _sings(last)
    return np.where(known, pitch - last + _UNISON, _UNKNOWN)
