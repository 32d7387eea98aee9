"""Solutions of the VAE exercises pass; typical mistakes fail at the property they break."""

import numpy as np
from answers import Answers, ExerciseTests
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mircourse import choralerolls

ANSWERS = Answers("vae", 10)
solution = ANSWERS.solution
BIT = float(np.log(2))


def sigmoid(z):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-z))


def divergence(*, half=True, sign=1, logvar_is="log variance", axis=-1, digits=True):
    """Return the rate with one mistake."""

    def kl(mu, logvar):
        both = 2 * logvar if logvar_is == "log sigma" else logvar
        spread = np.expm1(both) if digits else np.exp(both) - 1
        total = (mu**2 + sign * (spread - both)).sum(axis=axis)
        return total / 2 if half else total

    return kl


def through_probabilities(logits, x, cut=None, mean=False):
    p = sigmoid(logits)
    with np.errstate(divide="ignore", invalid="ignore"):
        up, down = np.log(p), np.log(1 - p)
        if cut:
            up, down = np.maximum(up, cut), np.maximum(down, cut)
        cost = -np.where(x > 0, up, down)
    return cost.mean(-1) if mean else cost.sum(-1)


def rounded_once(logits, x):
    """Stable where a key is wrong; where it is right, 1 + exp(-60) is 1."""
    return (np.maximum(logits, 0) - logits * x + np.log(1 + np.exp(-np.abs(logits)))).sum(-1)


def slopes_at_mean(df, mu, sigma, draws):
    return df(mu), 0.0


def score_function(df, mu, sigma, draws):
    """The other estimator, which asks for values and is given slopes."""
    z = mu + sigma * draws
    return np.mean(df(z) * draws / sigma), np.mean(df(z) * (draws**2 - 1) / sigma)


def slopes_of_sigma_alone(df, mu, sigma, draws):
    z = mu + sigma * draws
    return np.mean(df(z)), np.mean(df(z))


def slopes_without_sigma(df, mu, sigma, draws):
    z = mu + draws
    return np.mean(df(z)), np.mean(df(z) * draws)


def bounded(*, mean="of weights", stable=True, q=1):
    """Return a bound with one mistake."""

    def bound(joint, log_q):
        ratio = joint - q * log_q
        if mean == "of logs":
            return ratio.mean(axis=1)
        peak = ratio.max(axis=1, keepdims=True) if stable else np.zeros((len(ratio), 1))
        with np.errstate(divide="ignore"):
            total = np.log(np.exp(ratio - peak).sum(axis=1)) + peak[:, 0]
        return total if mean == "sum" else total - np.log(ratio.shape[1])

    return bound


def lerp(a, b, t):
    return (1 - t) * a + t * b


def on_the_sphere(a, b, t):
    """The line, put back to the length of the first vector."""
    point = lerp(a, b, t)
    return point * np.linalg.norm(a) / max(np.linalg.norm(point), 1e-12)


def turned(a, b, t):
    return solution(6)(a, b, 1 - t)


def arc_alone(a, b, t):
    """No provision for vectors that are parallel, or 0."""
    with np.errstate(all="ignore"):
        cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
        angle = np.arccos(np.clip(cosine, -1, 1))
        return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def arc_that_meets_no_opposites(a, b, t):
    """A provision for vectors that point the same way, or are 0, and none for opposite ones."""
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    if lengths == 0 or a @ b > (1 - 1e-9) * lengths:
        return lerp(a, b, t)
    return arc_alone(a, b, t)


def priced(*, rises="to the end", bits=BIT, of="each", whole=False):
    """Return a loss with one mistake."""

    def loss(nats, rate, step, steps, *, beta, annealing, free_bits):
        rising = annealing * steps if rises == "to the end" else steps
        share = 1.0 if rising == 0 or step >= rising else step / rising
        if rises == "never":
            share = 1.0
        free = free_bits * bits
        if of == "the batch":
            paid = max(0.0, rate.mean() - free)
        elif of == "none":
            paid = (rate - free).mean()
        elif of == "all or nothing":
            paid = np.where(rate > free, rate, 0.0).mean()
        else:
            paid = np.maximum(rate - free, 0).mean()
        return nats.mean() + (paid if whole else beta * share * paid)

    return loss


def found_in(*, lowest=21, last=True, threshold=0.5, strict=False, each=False):
    """Return notes of a roll, with one mistake."""

    def notes_of(roll):
        down = roll > threshold if strict else roll >= threshold
        notes = []
        for key in range(roll.shape[1]):
            start = None
            for frame in range(len(roll)):
                if each:
                    if down[frame, key]:
                        notes.append((frame, frame + 1, lowest + key))
                    continue
                if down[frame, key] and start is None:
                    start = frame
                if not down[frame, key] and start is not None:
                    notes.append((start, frame, lowest + key))
                    start = None
            if start is not None and last:
                notes.append((start, len(roll), lowest + key))
        return notes

    return notes_of


def from_first_to_last(roll):
    """One note for each key, whatever lies between."""
    notes = []
    for key in range(roll.shape[1]):
        frames = np.flatnonzero(roll[:, key] >= 0.5)
        if len(frames):
            notes.append((int(frames[0]), int(frames[-1]) + 1, 21 + key))
    return notes


def moved(*, to="mean", start=True, turned=False, whole=False):
    """Return a step towards a style, with one mistake."""

    def towards(one, z, styles, from_style, to_style, strength):
        a, b = (z[styles == name] for name in (from_style, to_style))
        if to == "sum":
            step = b.sum(axis=0) - a.sum(axis=0)
        elif to == "others":
            step = b.mean(axis=0) - z[styles != to_style].mean(axis=0)
        else:
            step = b.mean(axis=0) - a.mean(axis=0)
        if whole:
            return one + step
        return (one if start else b.mean(axis=0)) + (-strength if turned else strength) * step

    return towards


def shared(codes, v, *, entropy="of the property"):
    """Return what each column tells of a property, as a share of something."""
    found = []
    for column in codes.T:
        joint = np.zeros((column.max() + 1, v.max() + 1))
        np.add.at(joint, (column, v), 1 / len(v))
        apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
        there = joint > 0
        found.append((joint[there] * np.log(joint[there] / apart[there])).sum())
    p = np.bincount(v) / len(v)
    whole = -(p[p > 0] * np.log(p[p > 0])).sum() if entropy == "of the property" else np.log(4)
    return np.array(found) / (1 if entropy == "none" else whole)


def gap_of_neighbours(codes, v):
    told = shared(codes, v)
    return told[0] - told[1]


def gap_of(entropy):
    def mig(codes, v):
        told = np.sort(shared(codes, v, entropy=entropy))
        return told[-1] - told[-2]

    return mig


def gap_of_correlations(codes, v):
    told = np.sort([abs(np.corrcoef(column, v)[0, 1]) for column in codes.T])
    return told[-1] - told[-2]


WRONG = {
    "no half": (1, divergence(half=False), "agrees"),
    "the other sign": (1, divergence(sign=-1), "agrees"),
    "log sigma": (1, divergence(logvar_is="log sigma"), "agrees"),
    "summed over the batch": (1, divergence(axis=None), "costs nothing"),
    "summed over rows": (1, divergence(axis=1), "any shape"),
    "digits lost": (1, divergence(digits=False), "no digit"),
    "a mean of keys": (2, lambda z, x: through_probabilities(z, x, mean=True), "log 2"),
    "probabilities": (2, through_probabilities, "however sure"),
    "cut off at 100": (2, lambda z, x: through_probabilities(z, x, cut=-100), "however sure"),
    "one plus next to nothing": (2, rounded_once, "what is small"),
    "keys that are down": (2, lambda z, x: np.logaddexp(0, -z * x).sum(-1), "agrees"),
    "at the mean": (3, slopes_at_mean, "mean square"),
    "the score function": (3, score_function, "mean sine"),
    "no draw in sigma's": (3, slopes_of_sigma_alone, "mean square"),
    "draws of width 1": (3, slopes_without_sigma, "where the draw fell"),
    "a mean of logarithms": (4, bounded(mean="of logs"), "come near"),
    "a sum": (4, bounded(mean="sum"), "the true posterior"),
    "no q": (4, bounded(q=0), "one draw"),
    "weights that vanish": (4, bounded(stable=False), "do not vanish"),
    "a width above 0.01": (5, lambda mu: mu.std(axis=0) > 0.01, "the border"),
    "far from 0": (5, lambda mu: (mu**2).mean(axis=0) > 0.01, "where it stands"),
    "over numbers": (5, lambda mu: mu.var(axis=1)[: mu.shape[1]] > 0.01, "moves with the input"),
    "the line": (6, lerp, "a third of the way"),
    "a line on the sphere": (6, on_the_sphere, "a third of the way"),
    "a line, not on the sphere": (6, lerp, "the length stays"),
    "from b to a": (6, turned, "begins at a"),
    "parallel vectors": (6, arc_alone, "is the line"),
    "opposite vectors": (6, arc_that_meets_no_opposites, "is the line"),
    "it never rises": (7, priced(rises="never"), "straight line"),
    "it rises to the end": (7, priced(rises="all along"), "straight line"),
    "no beta": (7, priced(whole=True), "beta times the rate"),
    "nats": (7, priced(bits=1.0), "free bits are bits"),
    "a mean of rates": (7, priced(of="the batch"), "each input has its own"),
    "less than nothing": (7, priced(of="none"), "each input has its own"),
    "all or nothing": (7, priced(of="all or nothing"), "free bits are bits"),
    "a note each frame": (8, found_in(each=True), "stays down"),
    "pitch from 0": (8, found_in(lowest=0), "stays down"),
    "open notes lost": (8, found_in(last=False), "at the end"),
    "gaps closed": (8, from_first_to_last, "parts two notes"),
    "more than a half": (8, found_in(strict=True), "a half is down"),
    "one for each key": (8, from_first_to_last, "as the package"),
    "sums of codes": (9, moved(to="sum"), "difference of the two means"),
    "against all others": (9, moved(to="others"), "a third style"),
    "to the middle of the style": (9, moved(start=False), "goes nowhere"),
    "backwards": (9, moved(turned=True), "difference of the two means"),
    "always the whole way": (9, moved(whole=True), "goes nowhere"),
    "the first two": (10, gap_of_neighbours, "whichever number is best"),
    "nats of information": (10, gap_of("none"), "a share"),
    "of four kinds": (10, gap_of("of four"), "a share"),
    "the best alone": (10, lambda c, v: shared(c, v).max(), "say the same"),
    "correlations": (10, gap_of_correlations, "agrees with the package"),
    "less than there is": (10, lambda c, v: 0.5 * gap_of("of the property")(c, v), "it all"),
}


class TestExercises(ExerciseTests):
    answers, wrong = ANSWERS, WRONG


@settings(deadline=None)
@given(
    a=arrays(float, 6, elements=st.floats(-5, 5)),
    b=arrays(float, 6, elements=st.floats(-5, 5)),
    t=st.floats(0, 1),
)
def test_the_arc_is_the_packages(a, b, t):
    import torch

    from mircourse.latent import slerp

    found = slerp(torch.from_numpy(a), torch.from_numpy(b), t).numpy()
    np.testing.assert_allclose(solution(6)(a, b, t), found, atol=2e-3)


@settings(deadline=None)
@given(roll=arrays(float, (5, 88), elements=st.floats(0, 1)))
def test_notes_of_any_roll_make_the_roll_again(roll):
    again = np.zeros(roll.shape)
    for start, end, pitch in solution(8)(roll):
        again[start:end, pitch - choralerolls.LOWEST] = 1
    np.testing.assert_array_equal(again, roll >= 0.5)
