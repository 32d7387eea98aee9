"""How good a transcription is: by notes, by frames, and in loudness.

*Conventions.* Every function takes the reference first and the estimate second, both performed
arrays (`mircourse.performed`). Times are in seconds. Scores are between 0 and 1 and higher is
better. Where either side has no notes all scores are 0, as in mir_eval, even if neither has any.

`note_scores`
    A note is right if pitch and onset are, and, on request, its end and its velocity
    (Bay, Ehmann and Downie, 2009; Hawthorne et al., 2018, for velocity), by mir_eval.
`frame_scores`
    Every 10 ms of every pitch is judged by itself.
`velocity_error`
    How far off the velocities of the notes found are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mircourse.performed import check_performed

__all__ = ["NoteScores", "frame_scores", "match_notes", "note_scores", "velocity_error"]


@dataclass(frozen=True)
class NoteScores:
    """Precision, recall and their harmonic mean ``f``, each from 0 to 1."""

    precision: float
    recall: float
    f: float


def note_scores(
    reference: np.ndarray,
    estimated: np.ndarray,
    *,
    onset_tolerance: float = 0.05,
    offset_ratio: float | None = None,
    velocity: bool = False,
) -> NoteScores:
    """Score a transcription note by note, by `mir_eval.transcription`.

    An estimated note is right if it can be paired with a reference note of its pitch whose onset
    is at most ``onset_tolerance`` away, no note being paired twice (the largest such pairing
    counts); :eq:`eq:rnn-f` makes one number of precision and recall.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    reference, estimated : numpy.ndarray of PERFORMED_DTYPE, shape (n,) and (m,)
        What was played and what was transcribed; either may be empty, and all scores are then 0.
    onset_tolerance : float
        Seconds.
    offset_ratio : float, optional
        Ask for the end as well: it may be off by this share of the reference note's length, or by
        50 ms where that is more. The customary ratio is 0.2.
    velocity : bool
        Ask for the velocity as well: within 0.1 of the reference's range, after the line that maps
        the estimated velocities of the paired notes best onto the reference's.

    Raises
    ------
    ValueError, TypeError
        If an array is not a performed array, or a tolerance is not positive.

    Examples
    --------
    >>> from mircourse.performed import performed_notes
    >>> reference = performed_notes([0, 1, 2], [1, 1, 1], [60, 62, 64])
    >>> estimated = performed_notes([0.02, 1.2], [1, 0.8], [60, 62])
    >>> note_scores(reference, estimated)
    NoteScores(precision=0.5, recall=0.3333333333333333, f=0.4)
    """
    _check_tolerances(onset_tolerance, offset_ratio)
    true, guess = _columns(reference), _columns(estimated)
    if not len(reference) or not len(estimated):
        return NoteScores(0.0, 0.0, 0.0)
    from mir_eval import transcription, transcription_velocity

    options = {"onset_tolerance": onset_tolerance, "offset_ratio": offset_ratio}
    if velocity:
        scores = transcription_velocity.precision_recall_f1_overlap(
            *true, reference["velocity"], *guess, estimated["velocity"], **options
        )
    else:
        scores = transcription.precision_recall_f1_overlap(*true, *guess, **options)
    return NoteScores(*(float(score) for score in scores[:3]))


def match_notes(
    reference: np.ndarray,
    estimated: np.ndarray,
    *,
    onset_tolerance: float = 0.05,
    offset_ratio: float | None = None,
) -> NDArray[np.int64]:
    """Return which notes `note_scores` pairs: one row ``(reference, estimated)`` of indices a pair.

    Parameters and errors are those of `note_scores`; the rows are sorted, shape (n_pairs, 2).

    Lesson: book/rnn/transcription
    """
    _check_tolerances(onset_tolerance, offset_ratio)
    true, guess = _columns(reference), _columns(estimated)
    if not len(reference) or not len(estimated):
        return np.empty((0, 2), dtype=np.int64)
    from mir_eval import transcription

    pairs = transcription.match_notes(
        *true, *guess, onset_tolerance=onset_tolerance, offset_ratio=offset_ratio
    )
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def frame_scores(
    reference: np.ndarray, estimated: np.ndarray, *, hop_seconds: float = 0.01
) -> NoteScores:
    """Score a transcription by what sounds at each moment.

    Both are looked at every ``hop_seconds``; a pitch sounds at time ``t`` if a note of it has
    ``onset <= t < onset + duration``. Each pitch at each moment counts once, the whole piece
    together.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    reference, estimated : numpy.ndarray of PERFORMED_DTYPE, shape (n,) and (m,)
        What was played and what was transcribed.
    hop_seconds : float
        Seconds from one moment to the next. Times within a millionth of it count as equal.

    Raises
    ------
    ValueError, TypeError
        If an array is not a performed array, or the hop is not positive and finite.

    Examples
    --------
    >>> from mircourse.performed import performed_notes
    >>> reference = performed_notes([0], [1.0], [60])
    >>> frame_scores(reference, performed_notes([0], [0.5], [60]))
    NoteScores(precision=1.0, recall=0.5, f=0.6666666666666666)
    """
    if not 0 < hop_seconds < math.inf:
        raise ValueError(f"hop_seconds={hop_seconds!r} but a positive time is expected")
    limits = [_frames(check_performed(notes), hop_seconds) for notes in (reference, estimated)]
    length = max(int(stop.max(initial=0)) for _, stop in limits)
    true, guess = (
        _roll(notes["pitch"], *limit, length)
        for notes, limit in zip((reference, estimated), limits, strict=True)
    )  # (length, 128) each
    found, sounding, hits = int(guess.sum()), int(true.sum()), int((true & guess).sum())
    if not hits:
        return NoteScores(0.0, 0.0, 0.0)
    return NoteScores(hits / found, hits / sounding, 2 * hits / (found + sounding))


def velocity_error(
    reference: np.ndarray, estimated: np.ndarray, *, onset_tolerance: float = 0.05
) -> float:
    """Return the mean absolute difference of velocity over the notes found, in MIDI steps.

    Notes are paired as in `note_scores` by pitch and onset. Notes missed or invented do not count.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    reference, estimated : numpy.ndarray of PERFORMED_DTYPE, shape (n,) and (m,)
        What was played and what was transcribed.
    onset_tolerance : float
        Seconds.

    Returns
    -------
    float
        0 to 126; NaN if no note was found, for then there is nothing to compare.
    """
    pairs = match_notes(reference, estimated, onset_tolerance=onset_tolerance)
    if not len(pairs):
        return math.nan
    true = reference["velocity"][pairs[:, 0]].astype(float)
    return float(np.mean(np.abs(true - estimated["velocity"][pairs[:, 1]])))


def _columns(notes: np.ndarray) -> tuple[NDArray[Any], NDArray[Any]]:
    # What mir_eval takes: intervals in seconds (n, 2) and frequencies in Hz (n,).
    check_performed(notes)
    onset = notes["onset_sec"]
    intervals = np.stack([onset, onset + notes["duration_sec"]], axis=1)
    return intervals, 440.0 * 2.0 ** ((notes["pitch"] - 69) / 12)


def _frames(notes: np.ndarray, hop: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # The first frame at or after each onset and each end; 0.07 / 0.01 is 7, not 7.000000000000001.
    onset = notes["onset_sec"]
    start, stop = (
        np.ceil(time / hop - 1e-6).astype(np.int64)
        for time in (onset, onset + notes["duration_sec"])
    )
    return np.maximum(start, 0), np.maximum(stop, 0)


def _roll(
    pitch: NDArray[Any], start: NDArray[np.int64], stop: NDArray[np.int64], length: int
) -> NDArray[np.bool_]:
    # Whether each pitch sounds in each frame, (length, 128).
    roll = np.zeros((length, 128), dtype=bool)
    for key, first, last in zip(pitch.tolist(), start.tolist(), stop.tolist(), strict=True):
        roll[first:last, key] = True
    return roll


def _check_tolerances(onset_tolerance: float, offset_ratio: float | None) -> None:
    if not onset_tolerance > 0 or (offset_ratio is not None and not offset_ratio > 0):
        raise ValueError(
            f"got onset_tolerance={onset_tolerance}, offset_ratio={offset_ratio}; expected "
            "positive numbers, or None for the ratio"
        )
