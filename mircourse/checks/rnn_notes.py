"""What a right answer to the exercises on melodies and notes of the RNN chapter has.

`mircourse.checks.rnn` has the other exercises of the chapter.

Lesson: book/rnn/exercises
"""

from __future__ import annotations

import numpy as np

from mircourse.check import exercise, expect
from mircourse.checks.oracles import chorale, tunes_as_symbols, witten_bell

bits = exercise("rnn_1", title="Bits per note")


@bits.property("an even guess among 16 pitches costs 4 bits")
def _bits_even(bits_per_note):
    expect(bits_per_note([np.full(5, 1 / 16), np.full(5, 1 / 16)]), 4.0)


@bits.property("every note counts alike, in long tunes and short ones")
def _bits_notes(bits_per_note):
    expect(bits_per_note([np.array([1 / 4]), np.array([1 / 2, 1 / 2, 1 / 2])]), 5 / 4)


@bits.property("a thousand notes do not underflow")
def _bits_long(bits_per_note):
    expect(bits_per_note([np.full(1000, 1 / 88)]), np.log2(88))


bigram = exercise("rnn_6", title="A bigram that backs off")


@bigram.property("the probabilities after each pitch add up to 1")
def _bigram_sums(bigram_model):
    expect(np.sum(bigram_model(tunes_as_symbols(20), 128), axis=1), np.ones(128))


@bigram.property("after a pitch never followed, the frequencies of single pitches decide")
def _bigram_unseen(bigram_model):
    got = bigram_model([np.array([0, 0, 0, 1])], 3)
    single = (np.array([3, 1, 0]) + 2 / 3) / (4 + 2)
    expect(got[1:], np.stack([single, single]))


@bigram.property("a tune's last note is not followed by the next tune's first")
def _bigram_borders(bigram_model):
    got = bigram_model([np.array([0, 1, 0, 1]), np.array([2, 1, 2, 1])], 4)
    expect(got[1], witten_bell([np.array([0, 1, 0, 1]), np.array([2, 1, 2, 1])], 4)[1])


@bigram.property("equals the formula on tunes of O'Neill's collection")
def _bigram_formula(bigram_model):
    tunes = tunes_as_symbols(20)
    expect(bigram_model(tunes, 128), witten_bell(tunes, 128))


nucleus = exercise("rnn_7", title="The nucleus")
FOUR = np.array([0.15, 0.5, 0.05, 0.3])


@nucleus.property("the symbol that crosses p belongs to it")
def _nucleus_crossing(nucleus_of):
    expect(nucleus_of(FOUR, 0.6), np.array([0, 0.5, 0, 0.3]) / 0.8)


@nucleus.property("what reaches p exactly is enough")
def _nucleus_exact(nucleus_of):
    expect(nucleus_of(np.array([0.25, 0.5, 0.125, 0.125]), 0.75), np.array([1, 2, 0, 0]) / 3)


@nucleus.property("however small p is, the most probable symbol stays")
def _nucleus_small(nucleus_of):
    expect(nucleus_of(FOUR, 1e-9), np.array([0, 1, 0, 0]))


@nucleus.property("at p = 1 nothing changes, rounding or not")
def _nucleus_whole(nucleus_of):
    for seed in range(20):
        p = np.random.default_rng(seed).dirichlet(np.ones(50))
        expect(nucleus_of(p, 1.0), p)


roll = exercise("rnn_8", title="A piano roll")


def _notes(*rows):
    onset, duration, pitch, velocity = (np.array(column) for column in zip(*rows, strict=True))
    return onset, duration, pitch.astype(int), velocity.astype(int)


@roll.property("MIDI pitch 21 is the first of 88 columns; a note fills the frames it sounds in")
def _roll_plain(piano_roll):
    frames, onsets, velocities = piano_roll(
        *_notes((0.1, 0.3, 21, 80), (0.2, 0.1, 108, 50)), 0.1, 6
    )
    expect([np.shape(frames), np.shape(onsets), np.shape(velocities)], [(6, 88)] * 3)
    expect(np.argwhere(frames), [[1, 0], [2, 0], [2, 87], [3, 0]])
    expect(np.argwhere(onsets), [[1, 0], [2, 87]])
    expect([velocities[1, 0], velocities[2, 87], np.count_nonzero(velocities)], [80, 50, 2])


@roll.property("a note shorter than a frame has one")
def _roll_short(piano_roll):
    frames, _, _ = piano_roll(*_notes((0.11, 0.01, 60, 64)), 0.1, 3)
    expect(np.argwhere(frames), [[1, 39]])


@roll.property("a key struck again while it sounds has two onsets")
def _roll_again(piano_roll):
    _, onsets, _ = piano_roll(*_notes((0.0, 0.5, 60, 64), (0.2, 0.3, 60, 64)), 0.1, 6)
    expect(np.argwhere(onsets), [[0, 39], [2, 39]])


@roll.property("of two voices on one key the louder counts, in either order")
def _roll_unison(piano_roll):
    rows = (0.1, 0.2, 60, 90), (0.1, 0.4, 60, 30)
    for notes in (_notes(*rows), _notes(*rows[::-1])):
        frames, _, velocities = piano_roll(*notes, 0.1, 8)
        expect(velocities[1, 39], 90)
        expect(np.argwhere(frames), [[t, 39] for t in range(1, 5)])


@roll.property("keys that no piano has and times after the end are left out")
def _roll_outside(piano_roll):
    notes = _notes((0.0, 0.2, 20, 64), (0.0, 0.2, 109, 64), (0.9, 0.2, 60, 64))
    frames, onsets, velocities = piano_roll(*notes, 0.1, 5)
    expect([np.sum(frames), np.sum(onsets), np.sum(velocities)], [0, 0, 0])


@roll.property("a chorale's onsets are as many as its notes without unisons")
def _roll_chorale(piano_roll):
    onset, duration, pitch, velocity = chorale()
    _, onsets, _ = piano_roll(onset, duration, pitch, velocity, 0.01, 4000)
    kept = onset < 39.9
    expect(np.count_nonzero(onsets[:3990]), len(set(zip(onset[kept], pitch[kept], strict=True))))


decode = exercise("rnn_9", title="From probabilities to notes")


def _rolls(frames, **columns):
    """Yield rolls (frames, 88), zero but for what is given of key 39."""
    for name in ("onset", "frame"):
        array = np.zeros((frames, 88))
        array[:, 39] = columns.get(name, 0.0)
        yield array


def _listed(answer):
    return np.array(sorted(tuple(note) for note in answer)).reshape(-1, 3)


@decode.property("no note where no onset reaches 0.5, however sure the frames are")
def _decode_none(decode_notes):
    expect(_listed(decode_notes(*_rolls(4, onset=[0.4, 0.2, 0.4, 0.1], frame=1.0))), _listed([]))


@decode.property("a peak over several frames is one note, from its highest frame on")
def _decode_peak(decode_notes):
    rolls = _rolls(6, onset=[0.1, 0.6, 0.9, 0.9, 0.7, 0.1], frame=1.0)
    expect(_listed(decode_notes(*rolls)), [(2, 6, 39)])


@decode.property("a note lasts while its frames stay at 0.3 or more, and one frame at the least")
def _decode_lasts(decode_notes):
    frame = [0.9, 0.4, 0.3, 0.2, 0.9, 0.1, 0.1]
    expect(_listed(decode_notes(*_rolls(7, onset=np.eye(7)[0], frame=frame))), [(0, 3, 39)])
    expect(_listed(decode_notes(*_rolls(7, onset=np.eye(7)[5], frame=frame))), [(5, 6, 39)])


@decode.property("a new onset of the key ends the note before")
def _decode_again(decode_notes):
    rolls = _rolls(6, onset=[0.8, 0.1, 0.1, 0.7, 0.1, 0.1], frame=1.0)
    expect(_listed(decode_notes(*rolls)), [(0, 3, 39), (3, 6, 39)])


@decode.property("undoes the piano roll of a chorale")
def _decode_chorale(decode_notes):
    struck = {
        (round(start * 50), pitch - 21) for start, _, pitch, _ in zip(*chorale(), strict=True)
    }
    onset, frame = np.zeros((2, max(struck)[0] + 30, 88))
    wanted = []
    for start, key in struck:
        later = [t - start for t, other in struck if other == key and t > start]
        end = start + min([20, *later])
        onset[start, key], frame[start:end, key] = 1.0, 1.0
        wanted.append((start, end, key))
    expect(_listed(decode_notes(onset, frame)), _listed(wanted))


notes = exercise("rnn_13", title="Note F-measure, ends included")


@notes.property("agrees with mir_eval on a chorale with its times disturbed")
def _notes_mir_eval(note_f):
    from mir_eval.transcription import precision_recall_f1_overlap

    rng = np.random.default_rng(0)
    onset, duration, pitch, _ = chorale()
    for spread in (0.01, 0.04, 0.1):
        keep = rng.random((2, len(onset))) < 0.8
        # Whole milliseconds and a bit, so that rounding decides about no tolerance.
        start = onset + rng.uniform(0, spread, len(onset)).round(3) + 3e-4
        end = onset + (duration * rng.uniform(0.7, 1.3, len(onset))).round(3) + 3e-4
        first = np.column_stack([onset, onset + duration, pitch])[keep[0]]
        second = np.column_stack([start, end, pitch])[keep[1]]
        hz = [440 * 2 ** ((side[:, 2] - 69) / 12) for side in (first, second)]
        wanted = precision_recall_f1_overlap(first[:, :2], hz[0], second[:, :2], hz[1])[2]
        expect(note_f(first, second), wanted)


@notes.property("a note is paired once, on either side")
def _notes_once(note_f):
    one, two = np.array([[1.0, 2.0, 60]]), np.array([[1.0, 2.0, 60], [1.01, 2.0, 60]])
    expect([note_f(one, two), note_f(two, one)], [2 / 3, 2 / 3])


@notes.property("the key has to be right, to the octave")
def _notes_octave(note_f):
    expect(note_f(np.array([[1.0, 2.0, 60]]), np.array([[1.0, 2.0, 72]])), 0.0)


@notes.property("the end may be off by a fifth of the reference's length, or by 50 ms if more")
def _notes_end(note_f):
    long, short = np.array([[0.0, 4.0, 60]]), np.array([[0.0, 0.1, 60]])
    expect([note_f(long, long - [[0, d, 0]]) for d in (0.75, 0.85)], [1.0, 0.0])
    expect([note_f(short, short - [[0, -d, 0]]) for d in (0.04, 0.06)], [1.0, 0.0])
    # 0.9 s are within a fifth of 5 s, but not within a fifth of 4 s.
    expect(note_f(long, np.array([[0.0, 4.9, 60]])), 0.0)


@notes.property("pairs as many as possible, not the first or the nearest")
def _notes_matching(note_f):
    # The first reference fits both estimates, the second only the first of them.
    reference = np.array([[1.0, 3.0, 60], [1.04, 2.4, 60]])
    estimated = np.array([[1.0, 2.65, 60], [1.02, 3.1, 60]])
    expect([note_f(reference, estimated), note_f(reference[::-1], estimated[::-1])], [1.0, 1.0])


@notes.property("nothing found scores 0")
def _notes_empty(note_f):
    expect(note_f(np.array([[1.0, 2.0, 60]]), np.zeros((0, 3))), 0.0)
