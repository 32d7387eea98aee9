"""Between notes and piano rolls: what a transcription network learns, and how its answer is read.

A roll has a row for each frame and a column for each of the 88 keys. Frame ``t`` stands for the
time ``t * hop_seconds``. `piano_roll` makes three rolls of notes, `notes_of` makes notes of three
rolls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mircourse.performed import PERFORMED_DTYPE, check_performed, performed_notes
from mircourse.semitones import KEYS, LOWEST_PITCH

__all__ = ["ONSET_FRAMES", "PianoRoll", "notes_of", "piano_roll"]

VELOCITY_FRAMES = 5
STRONGEST = 4.0  # log odds: what one frame can say at most
ONSET_FRAMES = 2.0  # how far from its onset a note's onset target reaches, in frames


@dataclass(frozen=True)
class PianoRoll:
    """Three rolls of the same notes, each of shape (T, 88).

    Attributes
    ----------
    pitches : ndarray of float32
        1 while a key is down, 0 otherwise.
    onsets : ndarray of float32
        1 at a note's onset, falling in a straight line to 0 two frames before and after it, so
        that its exact time can be read from the frames beside it.
    velocities : ndarray of float32
        MIDI velocity, 1 to 127, while a key is down; 0 otherwise.
    """

    pitches: NDArray[np.float32]
    onsets: NDArray[np.float32]
    velocities: NDArray[np.float32]


def piano_roll(notes: NDArray, *, frames: int, hop_seconds: float) -> PianoRoll:
    """Return the rolls of performed notes.

    Every note is down for at least one frame, the one nearest to its onset. Notes outside the 88
    keys, or that begin after the last frame, are left out; what is longer is cut off.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    notes : performed note array
        Onsets and durations in seconds; see `mircourse.performed`.
    frames : int
        T, 1 or more.
    hop_seconds : float
        Seconds from one frame to the next.

    Raises
    ------
    TypeError, ValueError
        If the notes are not a performed note array, or a number is not positive.
    """
    notes = check_performed(notes)
    if frames < 1 or not hop_seconds > 0:
        raise ValueError(
            f"got frames={frames}, hop_seconds={hop_seconds}; expected positive numbers"
        )
    pitches, onsets, velocities = (np.zeros((frames, KEYS), np.float32) for _ in range(3))
    for note in notes:
        key = int(note["pitch"]) - LOWEST_PITCH
        at = note["onset_sec"] / hop_seconds
        first = round(at)
        if not 0 <= key < KEYS or first >= frames:
            continue
        last = max(first + 1, round(at + note["duration_sec"] / hop_seconds))
        pitches[first:last, key] = 1
        velocities[first:last, key] = note["velocity"]
        near = np.arange(
            max(0, int(at - ONSET_FRAMES) + 1), min(frames, int(at + ONSET_FRAMES) + 1)
        )
        rising = 1 - np.abs(near - at) / ONSET_FRAMES
        onsets[near, key] = np.maximum(onsets[near, key], rising)
    return PianoRoll(pitches, onsets, velocities)


def notes_of(
    pitches: ArrayLike,
    onsets: ArrayLike,
    velocities: ArrayLike,
    *,
    hop_seconds: float,
    onset_threshold: float = 0.5,
    pitch_threshold: float = 0.5,
) -> NDArray:
    """Read notes from the probabilities of keys and of onsets.

    With a column of onsets for each key, a note begins at each local maximum of its key's onsets
    that reaches the threshold; its time is interpolated between frames by the shape of the
    maximum. It lasts as long as the frames say, taken together, that the key is down (a frame
    speaks for it if its probability is above the threshold), and at most until the key's next
    note begins. With one column for all keys, as the article has it, a key's note begins where its
    probability rises above the threshold within three frames of an onset; a key struck again
    while it is down cannot be seen.

    Lesson: book/rnn/transcription

    Parameters
    ----------
    pitches : array_like, shape (T, 88)
        Probability that a key is down.
    onsets : array_like, shape (T, 88) or (T, 1)
        Probability of an onset.
    velocities : array_like, shape (T, 88) or (T, 1)
        MIDI velocity, 0 to 127; a note gets the mean over its first five frames, weighted by
        its key's probability.
    hop_seconds : float
        Seconds from one frame to the next.
    onset_threshold, pitch_threshold : float
        In (0, 1).

    Returns
    -------
    performed note array
        Sorted by onset and pitch; empty if there is none.

    Raises
    ------
    ValueError
        If a shape is not as above, a probability is outside 0 to 1 or not a number, or a
        threshold is out of range.
    """
    p, o, v = (np.asarray(roll, dtype=np.float64) for roll in (pitches, onsets, velocities))
    frames = len(p)
    if p.shape != (frames, KEYS):
        raise ValueError(f"got pitches of shape {p.shape}; expected (T, {KEYS})")
    for name, roll in (("onsets", o), ("velocities", v)):
        if roll.shape not in ((frames, KEYS), (frames, 1)):
            raise ValueError(
                f"got {name} of shape {roll.shape}; expected ({frames}, {KEYS}) or ({frames}, 1)"
            )
    for name, roll in (("pitches", p), ("onsets", o)):
        if not ((roll >= 0) & (roll <= 1)).all():
            raise ValueError(f"{name} must be probabilities, between 0 and 1; apply a sigmoid")
    if not (0 < onset_threshold < 1 and 0 < pitch_threshold < 1 and hop_seconds > 0):
        raise ValueError(
            f"got onset_threshold={onset_threshold}, pitch_threshold={pitch_threshold}, "
            f"hop_seconds={hop_seconds}; expected thresholds in (0, 1) and a positive hop"
        )
    if frames == 0:
        return np.empty(0, dtype=PERFORMED_DTYPE)
    peak, column = _peaks(o, onset_threshold)
    if o.shape[1] == KEYS:
        frame, key, time = peak, column, peak + _offset(o, peak, column)
    else:
        frame, key = _rises(p >= pitch_threshold, peak)
        time = frame.astype(np.float64)
    order = np.lexsort((frame, key))
    frame, key, time = frame[order], key[order], np.maximum(time[order], 0) * hop_seconds
    ends = _ends(p, pitch_threshold, frame, key)
    near = np.minimum(frame[:, None] + np.arange(VELOCITY_FRAMES), frames - 1)  # (notes, 5)
    weight = p[near, key[:, None]] * (near < ends[:, None]) + 1e-9
    loudness = v[near, key[:, None] if v.shape[1] == KEYS else 0]  # (notes, 5)
    velocity = np.clip(np.rint((weight * loudness).sum(1) / weight.sum(1)), 1, 127)
    stop = np.maximum(ends * hop_seconds, time + hop_seconds / 2)
    again = np.flatnonzero(key[1:] == key[:-1])  # notes whose key has a next one
    stop[again] = np.minimum(stop[again], time[again + 1])
    return performed_notes(time, stop - time, key + LOWEST_PITCH, velocity=velocity.astype(int))


def _peaks(onsets: NDArray, threshold: float) -> tuple[NDArray, NDArray]:
    """Return frame and column of the local maxima; of a plateau, its first frame."""
    edged = np.pad(onsets, ((1, 1), (0, 0)), constant_values=-1)
    here = edged[1:-1]
    peak = (here >= threshold) & (here > edged[:-2]) & (here >= edged[2:])
    frame, column = np.nonzero(peak)
    return frame, column


def _offset(onsets: NDArray, frame: NDArray, key: NDArray) -> NDArray:
    """Return where between the frames a triangle with these three values has its tip."""
    edged = np.pad(onsets, ((1, 1), (0, 0)))
    before, here, after = (edged[frame + i, key] for i in range(3))
    height = np.maximum(here - np.minimum(before, after), 1e-9)
    return 0.5 * (after - before) / height


def _rises(down: NDArray, onset_frames: NDArray) -> tuple[NDArray, NDArray]:
    """Return frame and key of the onsets at which a key goes down, within three frames."""
    up = np.pad(down, ((1, 0), (0, 0)))[:-1]
    frame, key = np.nonzero(down & ~up)
    if len(onset_frames) == 0 or len(frame) == 0:
        return frame[:0], key[:0]
    nearest = onset_frames[np.abs(frame[:, None] - onset_frames).argmin(1)]
    close = np.abs(frame - nearest) <= 3
    frame, key = np.maximum(frame, nearest)[close], key[close]
    frame, key = np.unique(np.stack([frame, key]), axis=1)
    return frame, key


def _ends(p: NDArray, threshold: float, frame: NDArray, key: NDArray) -> NDArray:
    """Return the first frame at which each note is over; notes are sorted by key and frame.

    The evidence that a key is still down is the sum of its log odds from the note's first frame
    on; the note ends where that sum is largest, so a few doubtful frames do not cut it short.
    """
    safe = np.clip(p, 1e-4, 1 - 1e-4)
    odds = np.log(safe / (1 - safe)) - np.log(threshold / (1 - threshold))  # (T, 88)
    odds = np.clip(odds, -STRONGEST, STRONGEST)
    ends = frame + 1
    for i, (first, column) in enumerate(zip(frame, key, strict=True)):
        again = i + 1 < len(key) and key[i + 1] == column
        evidence = odds[first + 1 : frame[i + 1] if again else len(p), column].cumsum()
        if len(evidence) and evidence.max() > 0:
            ends[i] = first + 2 + evidence.argmax()
    return ends
