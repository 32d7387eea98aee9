"""What a right answer to the exercises on rolls, styles and factors of the VAE chapter has.

`mircourse.checks.vae` has the other exercises of the chapter.

Lesson: book/vae/exercises
"""

from __future__ import annotations

import numpy as np

from mircourse.check import exercise, expect

notes = exercise("vae_8", title="From a roll to notes")


def _roll_of(*found, frames=8):
    roll = np.zeros((frames, 88))
    for start, end, pitch in found:
        roll[start:end, pitch - 21] = 0.9
    return roll


@notes.property("a key that stays down is one note")
def _notes_held(notes_of):
    expect(sorted(notes_of(_roll_of((1, 5, 60)))), [(1, 5, 60)])


@notes.property("what is down at the end ends there")
def _notes_end(notes_of):
    expect(sorted(notes_of(_roll_of((0, 8, 21), (6, 8, 108)))), [(0, 8, 21), (6, 8, 108)])


@notes.property("a frame without it parts two notes of one key")
def _notes_gap(notes_of):
    expect(sorted(notes_of(_roll_of((0, 2, 64), (3, 4, 64)))), [(0, 2, 64), (3, 4, 64)])


@notes.property("a half is down, less is not; silence has no notes")
def _notes_threshold(notes_of):
    roll = np.full((4, 88), 0.499)
    expect(sorted(notes_of(roll)), [])
    roll[2, 39] = 0.5
    expect(sorted(notes_of(roll)), [(2, 3, 60)])


@notes.property("several voices at once, as the package finds them")
def _notes_package(notes_of):
    from mircourse import choralerolls

    roll = (np.random.default_rng(0).random((16, 88)) < 0.3).astype(float)
    found = choralerolls.notes_of(roll)
    begin = np.rint(found["onset_beat"] / choralerolls.BEATS).astype(int)
    end = begin + np.rint(found["duration_beat"] / choralerolls.BEATS).astype(int)
    wanted = sorted(zip(begin.tolist(), end.tolist(), found["pitch"].tolist(), strict=True))
    expect(sorted(notes_of(roll)), wanted)


style = exercise("vae_9", title="Towards another style")


def _styles():
    rng = np.random.default_rng(0)
    styles = np.array(["reel"] * 5 + ["air"] * 3 + ["hornpipe"] * 4)
    return rng.standard_normal((12, 6)), styles


@style.property("strength 1 goes by the difference of the two means")
def _style_means(towards):
    z, styles = _styles()
    step = z[styles == "air"].mean(axis=0) - z[styles == "reel"].mean(axis=0)
    expect(towards(z[0], z, styles, "reel", "air", 1.0), z[0] + step)


@style.property("strength 0 goes nowhere, 2 twice as far, and below 0 is the other way")
def _style_strength(towards):
    z, styles = _styles()
    one = np.asarray(towards(z[0], z, styles, "reel", "hornpipe", 1.0)) - z[0]
    for strength in (0.0, 2.0, -0.5):
        got = towards(z[0], z, styles, "reel", "hornpipe", strength)
        expect(got, z[0] + strength * one)


@style.property("a style with many tunes pulls no harder, and a third style not at all")
def _style_sizes(towards):
    z, styles = _styles()
    keep = styles != "hornpipe"
    again = np.concatenate([z, z[styles == "reel"]])
    names = np.concatenate([styles, styles[styles == "reel"]])
    wanted = towards(z[0], z[keep], styles[keep], "reel", "air", 1.0)
    expect(towards(z[0], again, names, "reel", "air", 1.0), wanted)


gap = exercise("vae_10", title="One number for one property")


def _labels(seed, n=400, kinds=4):
    return np.random.default_rng(seed).integers(0, kinds, n)


@gap.property("one number says it all and the other nothing: 1")
def _gap_one(mig):
    v = np.tile([0, 1, 2, 3], 100)
    other = np.repeat([0, 1, 2, 3], 100)
    expect(mig(np.stack([v, other], axis=1), v), 1.0, atol=1e-9)


@gap.property("two numbers that say the same: 0, however much it is")
def _gap_two(mig):
    v = _labels(1)
    expect(mig(np.stack([v, 3 - v, _labels(2)], axis=1), v), 0.0, atol=1e-9)


@gap.property("agrees with the package, whichever number is best and however it is named")
def _gap_package(mig):
    from mircourse.disentanglement import information_of

    v = _labels(3)
    rng = np.random.default_rng(4)
    noisy = [np.where(rng.random(len(v)) < p, v, _labels(5 + k)) for k, p in enumerate((0.3, 0.7))]
    codes = np.stack([_labels(9), *noisy, _labels(10)], axis=1)
    told = np.sort(information_of(codes, v))
    expect(mig(codes, v), told[-1] - told[-2])
    expect(mig(codes[:, ::-1], 3 - v), told[-1] - told[-2])


@gap.property("a share of what there is to know: a property of two kinds can reach 1, too")
def _gap_share(mig):
    v = np.tile([0, 1], 200)
    expect(mig(np.stack([np.repeat([0, 1], 200), v], axis=1), v), 1.0, atol=1e-9)
