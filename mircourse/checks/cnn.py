"""What a right answer to each exercise of the CNN chapter has.

Lesson: book/cnn/exercises
"""

from __future__ import annotations

import numpy as np

from mircourse.check import exercise, expect, expect_raises

frames = exercise("cnn_1", title="How many frames?")


@frames.property("n samples give 1 + n // hop centred frames")
def _frames_formula(n_frames):
    for samples in (1, 511, 512, 513, 22050):
        expect(n_frames(samples, 512), 1 + samples // 512)


@frames.property("agrees with the course's front end")
def _frames_front_end(n_frames):
    import torch

    from mircourse.features import LogMel

    front_end = LogMel(22050, hop_length=256, n_mels=20)
    for samples in (3000, 4096, 22050):
        expect(n_frames(samples, 256), front_end(torch.zeros(samples)).shape[-1])


@frames.property("refuses a hop that is not positive")
def _frames_hop(n_frames):
    expect_raises(ValueError, n_frames, 100, 0)


padding = exercise("cnn_2", title="Padding that keeps the size")


@padding.property("before and after add up to the kernel minus 1")
def _padding_total(same_padding):
    for kernel in range(1, 14):
        expect(sum(same_padding(kernel)), kernel - 1)


@padding.property("odd kernels are padded evenly, even ones by one zero more after")
def _padding_sides(same_padding):
    for kernel in range(1, 14):
        expect(tuple(same_padding(kernel)), ((kernel - 1) // 2, kernel // 2))


weights = exercise("cnn_3", title="How many weights?")


@weights.property("a square, a tall and a wide filter, without bias")
def _weights_plain(n_parameters):
    for f, t, c_in, c_out in ((3, 3, 1, 64), (12, 1, 64, 128), (1, 7, 64, 128)):
        expect(n_parameters(f, t, c_in, c_out, bias=False), f * t * c_in * c_out)


@weights.property("agrees with PyTorch, bias included")
def _weights_torch(n_parameters):
    from torch import nn

    for f, t, c_in, c_out in ((3, 3, 2, 5), (12, 1, 4, 4), (1, 7, 3, 8)):
        layer = nn.Conv2d(c_in, c_out, (f, t))
        expect(
            n_parameters(f, t, c_in, c_out, bias=True), sum(p.numel() for p in layer.parameters())
        )


field = exercise("cnn_4", title="Receptive field")


@field.property("no layer sees one frame")
def _field_empty(receptive_field):
    expect(receptive_field([]), 1)


@field.property("agrees with which inputs change the output, found by trying")
def _field_brute_force(receptive_field):
    for layers in ([(3, 1)], [(3, 1), (2, 2)], [(3, 1), (2, 2), (7, 1), (2, 2), (3, 1)]):
        expect(receptive_field(layers), _seen(layers))


def _seen(layers):
    """Count the inputs on which one output of a stack of sums depends."""
    wanted = {0}
    for kernel, stride in reversed(layers):
        wanted = {stride * at + k for at in wanted for k in range(kernel)}
    return max(wanted) - min(wanted) + 1


multiscale = exercise("cnn_5", title="A sum over scales")


@multiscale.property("one scale is one correlation, padded with zeros")
def _multiscale_one(multi_scale):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((9, 8)), rng.standard_normal((3, 3))
    expect(multi_scale(x, [kernel]), _correlate(x, kernel))


@multiscale.property("odd and even kernels of several shapes add up")
def _multiscale_many(multi_scale):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((14, 10))
    kernels = [rng.standard_normal(shape) for shape in ((3, 3), (12, 1), (1, 7), (4, 2))]
    expect(multi_scale(x, kernels), sum(_correlate(x, kernel) for kernel in kernels))


def _correlate(x, kernel):
    (f, t), out = kernel.shape, np.zeros_like(x)
    padded = np.pad(x, (((f - 1) // 2, f // 2), ((t - 1) // 2, t // 2)))
    for i, j in np.ndindex(*x.shape):
        out[i, j] = (padded[i : i + f, j : j + t] * kernel).sum()
    return out


attention = exercise("cnn_6", title="Attention over time")


def _attention_case(seed, frames=6):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((frames, 4)), rng.standard_normal((3, 4)), rng.standard_normal(3)


@attention.property("equals the formula")
def _attention_formula(attend):
    x, w, v = _attention_case(0)
    energy = np.tanh(x @ w.T) @ v
    alpha = np.exp(energy) / np.exp(energy).sum()
    expect(attend(x, w, v), alpha @ x)


@attention.property("equal frames are left as they are")
def _attention_constant(attend):
    x, w, v = _attention_case(1)
    expect(attend(np.tile(x[0], (5, 1)), w, v), x[0])


@attention.property("the order of the frames does not matter")
def _attention_permuted(attend):
    x, w, v = _attention_case(2)
    expect(attend(x[::-1], w, v), attend(x, w, v))


@attention.property("large energies do not overflow")
def _attention_large(attend):
    x, w, v = _attention_case(3)
    got = attend(x, w, 1e4 * v)
    best = (np.tanh(x @ w.T) @ v).argmax()
    expect(got, x[best], rtol=1e-4)


onsets = exercise("cnn_7", title="Onset F-measure")


@onsets.property("agrees with mir_eval on random onsets")
def _onsets_mir_eval(f_measure):
    from mircourse.metrics import onset_f_measure

    rng = np.random.default_rng(0)
    for _ in range(30):
        reference = np.sort(rng.uniform(0, 2, rng.integers(1, 20)))
        estimated = np.sort(reference[: rng.integers(1, 20)] + rng.normal(0, 0.05))
        estimated = estimated[estimated >= 0]
        expect(f_measure(reference, estimated), onset_f_measure(reference, estimated))


@onsets.property("an onset is paired once, on either side")
def _onsets_once(f_measure):
    expect(f_measure(np.array([1.0]), np.array([0.98, 1.02])), 2 / 3)
    expect(f_measure(np.array([0.98, 1.02]), np.array([1.0])), 2 / 3)


@onsets.property("pairs as many as possible, not greedily the nearest")
def _onsets_matching(f_measure):
    expect(f_measure(np.array([1.0, 1.06]), np.array([0.96, 1.03])), 1.0)


@onsets.property("nothing found scores 0")
def _onsets_empty(f_measure):
    expect(f_measure(np.array([1.0]), np.array([])), 0.0)


harmonics = exercise("cnn_8", title="Harmonics onto the fundamental")


@harmonics.property("whole shifts copy rows")
def _harmonics_whole(harmonic_stack):
    x = np.arange(40.0) ** 2
    expect(harmonic_stack(x, [1, 2, 4], 12, 10), np.stack([x[:10], x[12:22], x[24:34]]))


@harmonics.property("shifts between two rows are interpolated linearly")
def _harmonics_between(harmonic_stack):
    x = np.random.default_rng(0).standard_normal(60)
    rows = np.arange(20)
    wanted = [np.interp(rows + 12 * np.log2(h), np.arange(60), x) for h in (1, 3, 5)]
    expect(harmonic_stack(x, [1, 3, 5], 12, 20), np.stack(wanted))


@harmonics.property("transposing the input moves the output by as many rows")
def _harmonics_equivariant(harmonic_stack):
    x = np.random.default_rng(1).standard_normal(80)
    before = harmonic_stack(x, [1, 2, 3], 12, 30)
    after = harmonic_stack(np.roll(x, 5), [1, 2, 3], 12, 30)
    expect(after[:, 5:], before[:, :-5])


interval = exercise("cnn_9", title="A bootstrap over groups")


@interval.property("every resample keeps groups whole")
def _interval_whole(group_means):
    # With one value a group, a mean of resampled groups is a mean of these values.
    scores, groups = np.array([0.0, 0.0, 0.0, 1.0]), np.array([0, 0, 0, 1])
    got = np.asarray(group_means(scores, groups, 500, np.random.default_rng(0)))
    expect(set(np.round(got, 6).tolist()) <= {0.0, 0.25, 1.0}, True)


@interval.property("there are as many means as were asked for")
def _interval_count(group_means):
    got = group_means(np.arange(6.0), np.array([0, 0, 1, 1, 2, 2]), 37, np.random.default_rng(0))
    expect(np.shape(got), (37,))


@interval.property("the interval is wider than one that treats dependent items as independent")
def _interval_wider(group_means):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 10)
    scores = np.repeat(rng.integers(0, 2, 20), 10).astype(float)
    whole = np.std(group_means(scores, groups, 2000, np.random.default_rng(1)))
    alone = np.std(group_means(scores, np.arange(200), 2000, np.random.default_rng(1)))
    expect(bool(whole > 2 * alone), True)


@interval.property("its spread is that of the formula for groups of one size")
def _interval_spread(group_means):
    groups = np.repeat(np.arange(25), 4)
    scores = np.random.default_rng(0).standard_normal(100)
    means = scores.reshape(25, 4).mean(axis=1)
    got = np.std(group_means(scores, groups, 4000, np.random.default_rng(1)))
    expect(got, means.std() / 5, rtol=0.1)


splits = exercise("cnn_10", title="A split that does not leak")


def _families():
    rng = np.random.default_rng(0)
    return rng.choice([f"family {i}" for i in range(120)], size=600, p=rng.dirichlet(np.ones(120)))


@splits.property("every item is in one of the three splits")
def _splits_all(split_by_family):
    got = np.asarray(split_by_family(_families(), 0))
    expect(sorted(set(got.tolist())), ["test", "train", "valid"])
    expect(got.shape, (600,))


@splits.property("no family is in two")
def _splits_whole(split_by_family):
    families = _families()
    for seed in range(5):
        got = np.asarray(split_by_family(families, seed))
        crossing = [name for name in set(families) if len(set(got[families == name])) > 1]
        expect(crossing, [])


@splits.property("train has 60 to 80 % of the items")
def _splits_share(split_by_family):
    for seed in range(5):
        got = np.asarray(split_by_family(_families(), seed))
        share = float(np.mean(got == "train"))
        expect(0.6 <= share <= 0.8, True)


@splits.property("the seed decides: same seed, same split; another, another")
def _splits_seed(split_by_family):
    families = _families()
    one, same, other = (np.asarray(split_by_family(families, s)).tolist() for s in (0, 0, 1))
    expect(one == same, True)
    expect(one == other, False)
