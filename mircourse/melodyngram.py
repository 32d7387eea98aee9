"""An n-gram model of dance tunes: what a network has to beat.

Durations are counted after the place in the bar and the durations before. Pitches are counted
twice, after the pitches before and after the *intervals* before, which know no key; the model is
the mean of the two. Orders, smoothing and the mean were chosen on the validation tunes.

Lesson: book/rnn/lstm
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mircourse.melodies import (
    END,
    N_DURATIONS,
    N_PITCHES,
    REST,
    Melody,
    duration_ticks,
    place_of,
)
from mircourse.ngrams import BEFORE, NGram, Smoothing, lagged

# Steps are intervals from the last pitch that sounded, moved so that the lowest is 0.
_UNISON = REST - 1
_STEP_REST = 2 * REST - 1
_FIRST = _STEP_REST + 1  # the first pitch of all
_N_STEPS = _FIRST + 1


class MelodyNGram:
    """Back-off n-gram model of melodies, with the symbols of `mircourse.melodies`.

    Lesson: book/rnn/lstm

    Parameters
    ----------
    duration_order, pitch_order, interval_order : int
        Length of the n-grams, what is predicted included. A `duration_order` of 1, or a
        `pitch_order` of 1, counts without a context; with an `interval_order` of 0 pitches are
        predicted from pitches alone.
    place : bool
        Whether the durations know where in the bar they are.
    smoothing : {"kneser-ney", "witten-bell"}
        As in `mircourse.ngrams.NGram`.
    """

    def __init__(
        self,
        *,
        duration_order: int = 6,
        pitch_order: int = 4,
        interval_order: int = 5,
        place: bool = True,
        smoothing: Smoothing = "kneser-ney",
    ) -> None:
        self.place = place
        columns = duration_order - 1 + place if duration_order > 1 else 0
        self.duration = NGram(N_DURATIONS, order=columns + 1, smoothing=smoothing)
        self.pitch = NGram(N_PITCHES, order=pitch_order, smoothing=smoothing)
        self.interval = (
            NGram(_N_STEPS, order=interval_order, smoothing=smoothing) if interval_order else None
        )

    @property
    def n_counts(self) -> int:
        """Number of counts that the model holds."""
        parts = (self.duration, self.pitch, self.interval)
        return sum(part.n_counts for part in parts if part is not None)

    def fit(self, melodies: Sequence[Melody]) -> Self:
        """Count the events of melodies.

        Raises
        ------
        ValueError
            If there are none.
        """
        if not melodies:
            raise ValueError("there are no melodies to count")
        events = [self._events(melody) for melody in melodies]
        of_duration, of_pitch, of_step, step, _ = map(np.concatenate, zip(*events, strict=True))
        duration = np.concatenate([melody.duration for melody in melodies])
        pitch = np.concatenate([melody.pitch for melody in melodies])
        self.duration.fit(of_duration, duration)
        going = duration != END
        self.pitch.fit(of_pitch[going], pitch[going])
        if self.interval is not None:
            self.interval.fit(of_step[going], step[going])
        return self

    def bits(self, melody: Melody) -> float:
        """Return what a melody costs, in bits: minus the base-2 logarithm of its probability."""
        of_duration, of_pitch, of_step, _, last = self._events(melody)
        cost = -self.duration.log2_probability(of_duration, melody.duration).sum()
        going = melody.duration != END
        p = self._pitches(of_pitch[going], of_step[going], last[going])
        return float(cost - np.log2(p[np.arange(len(p)), melody.pitch[going]]).sum())

    def reader(self, prompts: Sequence[Melody]) -> NGramReader:
        """Return a reader that has read the prompts; see `mircourse.sampling`."""
        return NGramReader(self, prompts)

    def _pitches(self, of_pitch: NDArray, of_step: NDArray, last: NDArray) -> NDArray[np.float64]:
        """Return probabilities of pitches, ``(M, N_PITCHES)``; ``last`` sounded last."""
        p = self.pitch.probabilities(of_pitch)
        if self.interval is None:
            return p
        known = last != BEFORE
        steps = self.interval.probabilities(of_step[known])  # (M', steps)
        reach = np.arange(REST) - last[known, None] + _UNISON  # (M', pitches)
        moved = np.take_along_axis(steps, reach, axis=1)
        moved = np.concatenate([moved, steps[:, [_STEP_REST]]], axis=1)  # (M', N_PITCHES)
        # What leads out of the range of pitches is shared out.
        p[known] = (p[known] + moved / moved.sum(axis=1, keepdims=True)) / 2
        return p

    def _events(self, melody: Melody) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
        """Return contexts of durations, pitches and steps; the steps; the last pitch that sounded.

        One row an event.
        """
        last = _last_sounding(melody.pitch)
        step = _step(melody.pitch, last)
        return (
            self._duration_context(melody.duration, melody.place[:-1]),
            lagged(melody.pitch, self.pitch.order - 1),
            lagged(step, self.interval.order - 1 if self.interval else 0),
            step,
            last,
        )

    def _duration_context(self, duration: NDArray, place: NDArray) -> NDArray:
        if self.duration.order == 1:
            return np.zeros((len(duration), 0), np.int64)
        before = lagged(duration, self.duration.order - 1 - self.place)
        return np.concatenate([place[:, None], before], axis=1) if self.place else before


class NGramReader:
    """A `MelodyNGram` that reads several melodies at a time; see `mircourse.sampling.Reader`."""

    def __init__(self, model: MelodyNGram, prompts: Sequence[Melody]) -> None:
        self.model = model
        self.prompts = prompts
        self.ticks = np.array([melody.onset_ticks[-1] for melody in prompts])
        # What came before the event to come, nearest first: (B, order - 1) each.
        starts = [melody.first(len(melody)) for melody in prompts]
        steps = [_step(melody.pitch, _last_sounding(melody.pitch)) for melody in starts]
        sounding = [_last_sounding(np.append(melody.pitch, REST))[-1] for melody in starts]
        self.last = np.array(sounding)
        self._durations = _tails([m.duration for m in starts], model.duration.order - 1)
        self._pitches = _tails([m.pitch for m in starts], model.pitch.order - 1)
        self._steps = _tails(steps, model.interval.order - 1 if model.interval else 0)

    def durations(self) -> NDArray[np.float64]:
        """Return the probability of each duration symbol, ``(B, N_DURATIONS)``."""
        context = self._durations
        if self.model.place and self.model.duration.order > 1:
            place = [
                int(place_of(t, meter=melody.meter, pickup_beats=melody.pickup_beats))
                for t, melody in zip(self.ticks, self.prompts, strict=True)
            ]
            context = np.concatenate([np.array(place)[:, None], context[:, :-1]], axis=1)
        return self.model.duration.probabilities(context)

    def pitches(self, duration: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability of each pitch, ``(B, N_PITCHES)``, whatever the duration."""
        return self.model._pitches(self._pitches, self._steps, self.last)

    def append(self, duration: NDArray[np.int64], pitch: NDArray[np.int64]) -> None:
        """Take one more event in each melody, ``(B,)``."""
        step = _step(pitch, self.last)
        self.last = np.where(pitch != REST, pitch, self.last)
        self.ticks = self.ticks + duration_ticks(duration)
        self._durations = _shifted(self._durations, duration)
        self._pitches = _shifted(self._pitches, pitch)
        self._steps = _shifted(self._steps, step)


def _tails(rows: Sequence[NDArray[np.int64]], n: int) -> NDArray[np.int64]:
    """Return the last ``n`` symbols of each row, nearest first, ``(B, n)``."""
    return np.stack([lagged(np.append(row, 0), n)[-1] for row in rows])


def _shifted(tails: NDArray[np.int64], symbols: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([symbols[:, None], tails], axis=1)[:, : tails.shape[1]]


def _step(pitch: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the steps from the pitches that sounded last."""
    step = np.where(last == BEFORE, _FIRST, pitch - last + _UNISON)
    return np.where(pitch == REST, _STEP_REST, step)


def _last_sounding(pitch: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each event the pitch that sounded last before it, or `BEFORE`."""
    at = np.where(pitch != REST, np.arange(len(pitch)), -1)
    latest = np.concatenate([[-1], np.maximum.accumulate(at)])[: len(pitch)]
    return np.where(latest >= 0, pitch[latest], BEFORE)
