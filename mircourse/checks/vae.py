"""What a right answer to the exercises on codes and bounds of the VAE chapter has.

`mircourse.checks.vae_music` has the other exercises of the chapter.

Lesson: book/vae/exercises
"""

from __future__ import annotations

import numpy as np

from mircourse.check import exercise, expect
from mircourse.checks import vae_music as vae_music  # of this chapter, too

rate = exercise("vae_1", title="What a code costs")


def _codes(seed, *shape):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape), rng.normal(-1, 1, shape)


def _rate_oracle(mu, logvar):
    import torch
    from torch.distributions import Normal, kl_divergence

    q = Normal(torch.from_numpy(mu), torch.from_numpy(np.exp(0.5 * logvar)))
    return kl_divergence(q, Normal(0.0, 1.0)).sum(-1).numpy()


@rate.property("a code that is the prior itself costs nothing")
def _rate_prior(kl):
    expect(kl(np.zeros((2, 5)), np.zeros((2, 5))), np.zeros(2))


@rate.property("agrees with the divergence of normal distributions, a number for each row")
def _rate_torch(kl):
    mu, logvar = _codes(0, 6, 4)
    expect(kl(mu, logvar), _rate_oracle(mu, logvar))


@rate.property("rows may stand in any shape")
def _rate_shape(kl):
    mu, logvar = _codes(1, 2, 3, 4)
    expect(kl(mu, logvar), _rate_oracle(mu, logvar))


@rate.property("near the prior no digit is lost: never below 0")
def _rate_digits(kl):
    small = np.array([[1e-9], [-1e-9], [1e-6]])
    expect(kl(np.zeros((3, 1)), small), small[:, 0] ** 2 / 4, atol=1e-20)


distortion = exercise("vae_2", title="Nats from logits")


def _roll(seed, *shape):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, shape), (rng.random(shape) < 0.3).astype(float)


def _nats_oracle(logits, x):
    import torch

    return (
        torch.nn.functional.binary_cross_entropy_with_logits(
            torch.from_numpy(np.asarray(logits)), torch.from_numpy(np.asarray(x)), reduction="none"
        )
        .sum(-1)
        .numpy()
    )


@distortion.property("a key that nothing is known of costs log 2, up or down")
def _nats_half(nats):
    expect(nats(np.zeros((2, 3)), np.array([[0.0, 1, 1], [0, 0, 0]])), np.full(2, 3 * np.log(2)))


@distortion.property("agrees with the cross-entropy of each key, summed over the keys of a row")
def _nats_torch(nats):
    case = _roll(0, 5, 88)
    expect(nats(*case), _nats_oracle(*case))


@distortion.property("a sure and wrong key costs its logit, however sure: no infinity, no 100")
def _nats_sure(nats):
    logits = np.array([[300.0, -900.0, 40.0], [2000.0, 0.0, -2000.0]])
    x = np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    expect(nats(logits, x), [1200.0, 4000 + np.log(2)], atol=1e-9)


@distortion.property("what is small is kept: a sure and right key costs exp(-logit)")
def _nats_small(nats):
    expect(nats(np.array([[60.0]]), np.ones((1, 1))), [np.exp(-60.0)], atol=1e-30)


path = exercise("vae_3", title="A slope through a draw")


def _even(seed, n):
    """Return draws whose mean is 0 and whose variance is 1, exactly."""
    draws = np.random.default_rng(seed).standard_normal(n)
    draws = np.concatenate([draws, -draws])
    return draws / draws.std()


@path.property("of the mean square: twice mu, and twice sigma")
def _path_square(slopes):
    for mu, sigma in ((0.0, 1.0), (3.0, 0.5), (-1.0, 2.0)):
        expect(slopes(lambda z: 2 * z, mu, sigma, _even(0, 500)), [2 * mu, 2 * sigma])


@path.property("of a mean sine, known in closed form")
def _path_sine(slopes):
    mu, sigma = 0.7, 0.8
    # Draws at even shares of the distribution: the mean over them is nearly an integral.
    from statistics import NormalDist

    draws = np.array([NormalDist().inv_cdf((k + 0.5) / 20_000) for k in range(20_000)])
    fade = np.exp(-(sigma**2) / 2)
    wanted = [fade * np.cos(mu), -sigma * fade * np.sin(mu)]
    expect(slopes(np.cos, mu, sigma, draws), wanted, atol=1e-3)


@path.property("the slope is asked for where the draw fell")
def _path_where(slopes):
    expect(slopes(lambda z: z**2, 1.0, 2.0, np.array([1.0, -3.0])), [17.0, -33.0])


weighted = exercise("vae_4", title="A bound from many draws")


def _linear(seed, draws, *, width):
    """Return log p(x, z) and log q(z | x) of draws (4, K), and log p(x): x = z + noise."""
    rng = np.random.default_rng(seed)
    x = np.array([[-2.0], [0.0], [0.5], [3.0]])
    z = x / 2 + width * np.sqrt(0.5) * rng.standard_normal((4, draws))

    def normal(v, mean, var):
        return -0.5 * ((v - mean) ** 2 / var + np.log(2 * np.pi * var))

    joint = normal(z, 0, 1) + normal(x, z, 1)
    return joint, normal(z, x / 2, 0.5 * width**2), normal(x[:, 0], 0, 2)


@weighted.property("one draw gives log p(x, z) - log q(z | x)")
def _weighted_one(bound):
    joint, q, _ = _linear(0, 1, width=1.5)
    expect(bound(joint, q), (joint - q)[:, 0])


@weighted.property("with the true posterior for q every draw gives log p(x)")
def _weighted_exact(bound):
    joint, q, evidence = _linear(1, 7, width=1.0)
    expect(bound(joint, q), evidence)


@weighted.property("with another q many draws come near log p(x); their mean stays below")
def _weighted_many(bound):
    joint, q, evidence = _linear(2, 40_000, width=1.6)
    expect(bound(joint, q), evidence, atol=0.03)


@weighted.property("weights of exp(-2000) do not vanish")
def _weighted_small(bound):
    joint = np.array([[-2000.0, -2001.0, -2003.0]])
    q = np.zeros((1, 3))
    expect(bound(joint, q), [-2000 + np.log((1 + np.exp(-1) + np.exp(-3)) / 3)])


active = exercise("vae_5", title="Is the code in use?")


@active.property("a number that moves with the input is in use, one that stands still is not")
def _active_still(in_use):
    mu = np.zeros((50, 3))
    mu[:, 0] = np.linspace(-1, 1, 50)
    mu[:, 2] = np.linspace(-0.01, 0.01, 50)
    expect(list(in_use(mu)), [True, False, False])


@active.property("where it stands does not matter")
def _active_offset(in_use):
    mu = np.random.default_rng(0).normal([40.0, -7.0], [0.01, 1.0], (200, 2))
    expect(list(in_use(mu)), [False, True])


@active.property("the border is a variance of 0.01, not a width of 0.01")
def _active_border(in_use):
    wave = np.tile([-1.0, 1.0], 50)
    mu = np.stack([0.05 * wave, 0.15 * wave], axis=1)
    expect(list(in_use(mu)), [False, True])


arc = exercise("vae_6", title="Along the arc")


def _directions(seed, *shape):
    return np.random.default_rng(seed).standard_normal((2, *shape))


@arc.property("it begins at a and ends at b")
def _arc_ends(slerp):
    a, b = _directions(0, 9)
    expect(slerp(a, b, 0.0), a)
    expect(slerp(a, b, 1.0), b)


@arc.property("a quarter turn, a third of the way: 30 degrees")
def _arc_third(slerp):
    expect(slerp(np.array([2.0, 0.0]), np.array([0.0, 2.0]), 1 / 3), [3**0.5, 1.0])


@arc.property("between vectors of one length the length stays")
def _arc_length(slerp):
    a, b = _directions(1, 64)
    b = b * np.linalg.norm(a) / np.linalg.norm(b)
    lengths = [float(np.linalg.norm(slerp(a, b, t))) for t in np.linspace(0, 1, 7)]
    expect(lengths, np.full(7, np.linalg.norm(a)))


@arc.property("where the directions are the same or opposite, or a vector is 0, it is the line")
def _arc_line(slerp):
    a = np.array([1.0, -2.0, 0.5])
    for b in (a, 3 * a, np.zeros(3), -2 * a):
        expect(slerp(a, b, 0.25), 0.75 * a + 0.25 * b)


annealed = exercise("vae_7", title="Free bits, and a price that rises")


@annealed.property("with no free bits and the whole price: distortion and beta times the rate")
def _annealed_plain(loss):
    nats, cost = np.array([3.0, 5.0]), np.array([1.0, 4.0])
    expect(loss(nats, cost, 7, 10, beta=2.0, annealing=0.0, free_bits=0.0), 9.0)


@annealed.property("the price rises in a straight line, from 0, and then stays")
def _annealed_line(loss):
    nats, cost = np.zeros(1), np.ones(1)
    found = [
        loss(nats, cost, step, 100, beta=0.8, annealing=0.5, free_bits=0.0)
        for step in (0, 25, 50, 99)
    ]
    expect(found, [0.0, 0.4, 0.8, 0.8])


@annealed.property("free bits are bits: of 2 of them, 2 log 2 nats cost nothing")
def _annealed_bits(loss):
    free = 2 * np.log(2)
    case = np.zeros(1), np.array([free + 1.5]), 9, 10
    expect(loss(*case, beta=1.0, annealing=0.0, free_bits=2.0), 1.5)


@annealed.property("each input has its own: what one leaves over, another cannot use")
def _annealed_each(loss):
    free = 4 * np.log(2)
    case = np.zeros(2), np.array([0.0, 2 * free]), 9, 10
    expect(loss(*case, beta=1.0, annealing=0.0, free_bits=4.0), free / 2)
