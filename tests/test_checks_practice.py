"""Solutions of the exercises on good practice pass; typical mistakes fail at what they break."""

import numpy as np
from answers import Answers, ExerciseTests


class Written(Answers):
    """Right answers as they are written here: the page with the exercises is still to come."""

    def solution(self, number):
        """Return a right answer."""
        return RIGHT[number]

    def stub(self, number):
        """Return what a reader starts from."""

        def answer(*args, **kw):
            raise NotImplementedError

        return answer


ANSWERS = Written("practice", 10)
solution = ANSWERS.solution


def noise_by(*, powers=20, of_noise=True, silence=True):
    """Return how noise is added; each option but the default is a mistake."""

    def add_noise(x, noise, snr):
        if not silence and not x.any():
            return x + noise
        level = np.sqrt(np.mean(x**2)) * 10 ** (-snr / powers)
        return x + noise * level / (np.sqrt(np.mean(noise**2)) if of_noise else 1)

    return add_noise


def noise_of_its_own(x, noise, snr):
    """Another noise, as loud as asked for, drawn anew at each call."""
    return solution(1)(x, np.random.default_rng().standard_normal(len(x)), snr)


def moved(*, by="/", cut=True, gone="at", pitch=True):
    """Return notes moved, with one mistake."""

    def move_notes(notes, rate, semitones, seconds):
        rows = notes.copy()
        rows[:, :2] = rows[:, :2] / rate if by == "/" else rows[:, :2] * rate
        rows[:, 2] += semitones if pitch else 0
        if gone == "at":
            rows = rows[rows[:, 0] < seconds]
        elif gone == "after":
            rows = rows[rows[:, 0] <= seconds]
        if cut:
            rows[:, 1] = np.minimum(rows[:, 1], seconds)
        return rows

    return move_notes


def mixed(*, labels="shares", share_of="each", turned=False, clip=True):
    """Return mixed clips, with one mistake."""

    def mixup(x, y, share, other, n_classes):
        hot = np.eye(n_classes)[y]
        s = np.asarray(share)[:, None]
        if turned:
            s = 1 - s
        if share_of == "the batch":
            s = np.full_like(s, s.mean())
        sound = s * x + (1 - s) * x[other]
        if labels == "both":
            return sound, np.maximum(hot, hot[other])
        if labels == "own":
            return sound, hot
        if labels == "set":
            shares = np.zeros_like(hot)
            rows = np.arange(len(y))
            shares[rows, y] = s[:, 0]
            shares[rows, y[other]] = 1 - s[:, 0]
            return sound, shares
        return sound, s * hot + (1 - s) * hot[other]

    return mixup


def fits(*, most=5, anyway=False, by_lowest=False):
    """Return shifts that fit, with one mistake."""

    def shifts_that_fit(pitches, lowest, highest):
        top = pitches.min() if by_lowest else pitches.max()
        found = [
            s for s in range(-6, most + 1) if pitches.min() + s >= lowest and top + s <= highest
        ]
        return found or ([0] if anyway else [])

    return shifts_that_fit


def total(*, over="known", nan=True, weighted=True, none=True):
    """Return the loss of several tasks, with one mistake."""

    def total_loss(losses, known, weights):
        kept = np.where(known, losses, 0) if nan else losses * known
        count = known.sum(axis=0) if over == "known" else len(losses)
        if none:
            count = np.maximum(count, 1)
        with np.errstate(invalid="ignore"):
            means = kept.sum(axis=0) / count
        return means @ weights if weighted else means.sum()

    return total_loss


def products(g):
    return g @ g.T


def angles(*, eps=0.0, guarded=True, itself="as it comes"):
    """Return cosines, with one mistake."""

    def cosines(g):
        lengths = np.linalg.norm(g, axis=1)
        with np.errstate(invalid="ignore"):
            found = g @ g.T / (np.outer(lengths, lengths) + eps)
        found = np.nan_to_num(found) if guarded else found
        if itself == "always 1":
            np.fill_diagonal(found, 1)
        return found

    return cosines


def operated(*, originals=True, always=False, backwards=False, safe=True):
    """Return a step from several gradients, with one mistake."""

    def combine(gradients):
        left = gradients.astype(float).copy()
        others = gradients if originals else left
        n = len(gradients)
        for i in range(n):
            g = gradients[i].astype(float).copy()
            for j in reversed(range(n)) if backwards else range(n):
                if j == i:
                    continue
                other = others[j]
                if always or g @ other < 0 or (not safe and not other.any()):
                    with np.errstate(invalid="ignore"):
                        g = g - (g @ other) / (other @ other) * other
            left[i] = g
        return left.sum(axis=0)

    return combine


def scaled(*, by="train", centred=True, constant=True):
    """Return standardised vectors, with one mistake."""

    def standardise(train, test):
        if by == "both":
            whole = np.concatenate([train, test])
            mean, deviation = whole.mean(axis=0), whole.std(axis=0)
        else:
            mean, deviation = train.mean(axis=0), train.std(axis=0)
        if constant:
            deviation = np.where(deviation > 0, deviation, 1)
        own = (test.mean(axis=0), test.std(axis=0)) if by == "each" else (mean, deviation)
        with np.errstate(invalid="ignore", divide="ignore"):
            learned = (train - mean) / deviation
            return learned, (test - own[0]) / own[1]

    return standardise


def folded(*, divide=True, shift=True, sign=1, in_place=False):
    """Return a folded layer, with one mistake."""

    def fold(weight, bias, mean, deviation):
        if in_place:
            weight /= deviation
            new = weight
        else:
            new = weight / deviation if divide else weight * deviation
        return new, bias - sign * new @ mean if shift else bias

    return fold


def worth(*, log=True, end=True, first=True):
    """Return what a score is worth, with one mistake."""

    def labels_worth(shares, scratch, score):
        if score > scratch[-1] and end:
            return np.inf
        if score < scratch[0] and not first:
            return 0.0
        if log:
            return float(np.exp(np.interp(score, scratch, np.log(shares))))
        return float(np.interp(score, scratch, shares))

    return labels_worth


WRONG = {
    "decibels of an amplitude": (1, noise_by(powers=10), "as many decibels"),
    "noise at its own level": (1, noise_by(of_noise=False), "whatever its own"),
    "another noise": (1, noise_of_its_own, "the noise that was given"),
    "noise over silence": (1, noise_by(silence=False), "silence"),
    "times multiplied": (2, moved(by="*"), "twice as fast"),
    "pitches that stay": (2, moved(pitch=False), "pitches move"),
    "notes that outlast the clip": (2, moved(cut=False), "some notes are cut"),
    "a note of no length": (2, moved(gone="after"), "at the very end"),
    "no note ever goes": (2, moved(gone="never"), "at the very end"),
    "the other's share": (3, mixed(turned=True), "a share of 1"),
    "one share for all": (3, mixed(share_of="the batch"), "of its own"),
    "labels as of a sum": (3, mixed(labels="both"), "mixed alike"),
    "labels that stay": (3, mixed(labels="own"), "mixed alike"),
    "shares written over": (3, mixed(labels="set"), "one class"),
    "thirteen keys": (4, fits(most=6), "each once"),
    "as it is, at least": (4, fits(anyway=True), "where nothing fits"),
    "the highest note forgotten": (4, fits(by_lowest=True), "within the range"),
    "mean over all": (5, total(over="all"), "over the items"),
    "unknown times nothing": (5, total(nan=False), "NaN"),
    "nothing by nothing": (5, total(none=False), "nothing is known"),
    "weights forgotten": (5, total(weighted=False), "weighted sum"),
    "products": (6, products, "0 at a right angle"),
    "products, long": (6, products, "length"),
    "nothing by nothing, angles": (6, angles(guarded=False), "pulls nowhere"),
    "one with itself": (6, angles(itself="always 1"), "pulls nowhere"),
    "a small number added": (6, angles(eps=1e-8), "length"),
    "agreement taken away": (7, operated(always=True), "agree"),
    "what is left of the others": (7, operated(originals=False), "as they were"),
    "from the last": (7, operated(backwards=True), "in their order"),
    "divided by nothing": (7, operated(safe=False), "nothing is divided"),
    "the plain sum": (7, lambda g: g.sum(axis=0), "in conflict"),
    "all together": (8, scaled(by="both"), "mean 0"),
    "each by itself": (8, scaled(by="each"), "same mean"),
    "one by itself": (8, scaled(by="each"), "one test item"),
    "nothing varies": (8, scaled(constant=False), "never varies"),
    "multiplied": (9, folded(divide=False), "on raw vectors"),
    "mean forgotten": (9, folded(shift=False), "on raw vectors"),
    "standardised twice": (
        9,
        lambda w, b, m, s: (w / 2, b),
        "standardised already",
    ),
    "written over": (9, folded(in_place=True), "stay as they are"),
    "a line over shares": (10, worth(log=False), "shares are factors"),
    "all there are": (10, worth(end=False), "infinitely many"),
    "none at all": (10, worth(first=False), "no more than these"),
    "the largest": (10, lambda shares, scratch, score: 1.0, "was measured"),
}


RIGHT = {
    1: noise_by(),
    2: moved(),
    3: mixed(),
    4: fits(),
    5: total(),
    6: angles(),
    7: operated(),
    8: scaled(),
    9: folded(),
    10: worth(),
}


class TestExercises(ExerciseTests):
    answers, wrong = ANSWERS, WRONG


def test_surgery_takes_no_task_backwards_where_there_are_two():
    rng = np.random.default_rng(0)
    for _ in range(50):
        pair = rng.standard_normal((2, 4))
        assert (pair @ solution(7)(pair) >= -1e-9).all()


def test_the_noise_is_that_of_the_package():
    import torch

    from mircourse.augment import Clips, Noise

    x = np.sin(np.arange(8000) * 0.1)
    torch.manual_seed(0)
    changed = Noise(snr=(7.0, 7.0))(Clips(torch.from_numpy(x)[None], 8000)).audio[0].numpy()
    added = changed - x
    expected = solution(1)(x, added, 7.0)
    # The package takes the power that is drawn for 1, which it is but for chance.
    np.testing.assert_allclose(np.std(expected - x), np.std(added), rtol=0.03)
