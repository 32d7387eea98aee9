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

from mircourse.melodies import END, N_DURATIONS, N_PITCHES, REST, Melody
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
        step = np.where(melody.pitch == REST, _STEP_REST, melody.pitch - last + _UNISON)
        step = np.where((melody.pitch != REST) & (last == BEFORE), _FIRST, step)
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
        self.melodies = [prompt.first(len(prompt)) for prompt in prompts]
        self._ready()

    def _ready(self) -> None:
        # An event to come, of which only the contexts are used.
        rows = [self.model._events(_with_event(m, 0, REST)) for m in self.melodies]
        self._contexts = [np.stack([row[k][-1] for row in rows]) for k in (0, 1, 2, 4)]

    def durations(self) -> NDArray[np.float64]:
        """Return the probability of each duration symbol, ``(B, N_DURATIONS)``."""
        return self.model.duration.probabilities(self._contexts[0])

    def pitches(self, duration: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability of each pitch, ``(B, N_PITCHES)``, whatever the duration."""
        return self.model._pitches(*self._contexts[1:])

    def append(self, duration: NDArray[np.int64], pitch: NDArray[np.int64]) -> None:
        """Take one more event in each melody, ``(B,)``."""
        rows = zip(self.melodies, duration.tolist(), pitch.tolist(), strict=True)
        self.melodies = [_with_event(melody, d, p) for melody, d, p in rows]
        self._ready()


def _with_event(melody: Melody, duration: int, pitch: int) -> Melody:
    return Melody(
        np.append(melody.duration, duration),
        np.append(melody.pitch, pitch),
        melody.meter,
        melody.pickup_beats,
        melody.id,
        melody.family,
    )


def _last_sounding(pitch: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each event the pitch that sounded last before it, or `BEFORE`."""
    at = np.where(pitch != REST, np.arange(len(pitch)), -1)
    latest = np.concatenate([[-1], np.maximum.accumulate(at)])[: len(pitch)]
    return np.where(latest >= 0, pitch[latest], BEFORE)
