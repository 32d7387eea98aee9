"""Right answers to contrastive exercises pass; typical mistakes fail at the property they break."""

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


ANSWERS = Written("contrastive", 10)
solution = ANSWERS.solution


def partner(n):
    return np.roll(np.arange(2 * n), n)


def similar(*, scaled=True, guarded=True, itself=True):
    """Return cosines, with one mistake."""

    def similarities(z):
        length = np.linalg.norm(z, axis=1, keepdims=True)
        with np.errstate(all="ignore"):
            unit = z / (np.where(length > 0, length, 1) if guarded else length)
        found = unit @ unit.T if scaled else z @ z.T
        if not itself:
            np.fill_diagonal(found, 0)
        return found

    return similarities


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def priced(*, itself=False, anchors="both", cut=True, tau_of="all", cosine=True, mean=True):
    """Return a loss with one mistake."""

    def contrastive_loss(z1, z2, tau):
        z, n = np.concatenate([z1, z2]), len(z1)
        with np.errstate(all="ignore"):
            sim = (similar()(z) if cosine else z @ z.T) / (1 if tau_of == "none" else tau)
            positive = sim[np.arange(2 * n), partner(n)]
            if not itself:
                np.fill_diagonal(sim, -np.inf)
            top = sim.max(axis=1) if cut else 0 * positive
            each = top + np.log(np.exp(sim - top[:, None]).sum(axis=1)) - positive
        each = each[:n] if anchors == "first" else each
        return each.mean() if mean else each.sum()

    return contrastive_loss


def negatives_alone(z1, z2, tau):
    """The sum leaves the partner out."""
    sim, n = similar()(np.concatenate([z1, z2])) / tau, len(z1)
    positive = sim[np.arange(2 * n), partner(n)].copy()
    sim[np.arange(2 * n), partner(n)] = -np.inf
    np.fill_diagonal(sim, -np.inf)
    top = sim.max(axis=1)
    return (top + np.log(np.exp(sim - top[:, None]).sum(axis=1)) - positive).mean()


def across_views(z1, z2, tau):
    """Candidates of a first view are the second views alone."""
    sim = unit(z1) @ unit(z2).T / tau
    top = sim.max(axis=1)
    return (top + np.log(np.exp(sim - top[:, None]).sum(axis=1)) - np.diag(sim)).mean()


def pushing(*, cut=True, divided=True, whole=1.0):
    """Return shares, with one mistake."""

    def push(cosines, tau):
        with np.errstate(all="ignore"):
            top = np.max(cosines) if cut else 0
            each = np.exp((cosines - top) / tau if divided else cosines - top)
            return whole * each / each.sum()

    return push


def farthest(cosines, tau):
    return pushing()(-cosines, tau)


def in_proportion(cosines, tau):
    return np.abs(cosines) / np.abs(cosines).sum()


def beginning(*, negatives=-2, itself=0, cut=True, divided=True):
    """Return the loss where all but the partner's cosine are 0, with one mistake."""

    def start_loss(n, tau, agreement=0.0):
        others = 2 * n + negatives
        a = agreement / tau if divided else agreement
        if cut:
            return np.log(1 + (others + itself) * np.exp(-a))
        with np.errstate(all="ignore"):
            return np.log(np.exp(np.float64(a)) + others) - a

    return start_loss


def spread(*, root=False, scaled=True, every=False, t=2.0, mean=True, logarithm=True):
    """Return alignment and uniformity, with one mistake."""

    def alignment_and_uniformity(z1, z2):
        a, b = (unit(z) if scaled else z for z in (z1, z2))
        near = ((a - b) ** 2).sum(axis=1)
        near = np.sqrt(near) if root else near
        apart = ((a[:, None] - a) ** 2).sum(axis=2)
        potential = np.exp(-t * apart)
        pairs = potential if every else potential[np.triu_indices(len(a), k=1)]
        even = np.log(pairs.mean()) if logarithm else np.log(pairs).mean()
        return (near.mean() if mean else near.sum()), even

    return alignment_and_uniformity


def of_numbers(z1, z2):
    """The mean runs over numbers, not over clips."""
    a, b = unit(z1), unit(z2)
    return ((a - b) ** 2).mean(), spread()(z1, z2)[1]


def voting(*, cosine=True, farthest=False, tie="nearest", one=False):
    """Return a vote, with one mistake."""

    def vote(z, labels, query, k):
        length = np.linalg.norm(z, axis=1)
        alike = z @ query / (length if cosine else 1)
        order = np.argsort(alike if farthest else -alike, kind="stable")[: 1 if one else k]
        voices = np.bincount(labels[order])
        if tie == "smallest":
            return int(voices.argmax())
        return next(int(m) for m in labels[order] if voices[m] == voices.max())

    return vote


def by_distance(z, labels, query, k):
    order = np.argsort(np.linalg.norm(z - query, axis=1))[:k]
    voices = np.bincount(labels[order])
    return next(int(m) for m in labels[order] if voices[m] == voices.max())


def cropping(*, last=True, together=False, zeros="after", own=None, turned=False, scaled=False):
    """Return two excerpts, with one mistake."""

    def views(x, n, rng):
        rng = rng if own is None else np.random.default_rng(own)
        missing = max(0, n - len(x))
        if zeros == "again":
            x = np.resize(x, len(x) + missing)
        else:
            x = np.pad(x, (missing, 0) if zeros == "before" else (0, missing))
        if turned:
            return np.stack([np.roll(x, -rng.integers(len(x)))[:n] for _ in range(2)])
        places = max(1, len(x) - n + last)
        starts = rng.integers(places, size=2)
        starts = starts[[0, 0]] if together else starts
        found = np.stack([x[start : start + n] for start in starts])
        return found / np.abs(found).max() if scaled else found

    return views


def halves(x, n, rng):
    """The first view from the first half, the second from the second."""
    x = np.pad(x, (0, max(0, n - len(x))))
    room = len(x) - n
    first, second = rng.integers(room // 2 + 1), rng.integers(room // 2, room + 1)
    return np.stack([x[first : first + n], x[second : second + n]])


def whenever(x, n, rng):
    return cropping()(x, n, np.random.default_rng())


def sloping(*, candidate=True, divided=True, mean=True, cut=True, pulls=2):
    """Return a gradient, with one mistake."""

    def gradient(z1, z2, tau):
        z, n = np.concatenate([z1, z2]), len(z1)
        with np.errstate(all="ignore"):
            sim = z @ z.T / tau
            np.fill_diagonal(sim, -np.inf)
            p = np.exp(sim - (sim.max(axis=1, keepdims=True) if cut else 0))
            p = p / p.sum(axis=1, keepdims=True)
            asked = p + p.T if candidate else p
            found = asked @ z - (pulls if candidate else 1) * z[partner(n)]
        return found / (tau if divided else 1) / (2 * n if mean else 1)

    return gradient


def labelling(*, inside=False, alone="left out", candidates="all", total=False):
    """Return a loss of labels, with one mistake."""

    def labelled_loss(z, labels, tau):
        if alone == "removed":
            counts = np.bincount(labels)
            z, labels = z[counts[labels] > 1], labels[counts[labels] > 1]
        sim, found = similar()(z) / tau, []
        for i in range(len(z)):
            own = [j for j in range(len(z)) if j != i and labels[j] == labels[i]]
            others = [k for k in range(len(z)) if k != i]
            if candidates == "negatives":
                others = [k for k in others if labels[k] != labels[i]]
            below = np.log(np.exp(sim[i, others]).sum())
            if not own:
                found += [0.0] if alone == "costs nothing" else []
            elif inside:
                found.append(below - np.log(np.exp(sim[i, own]).mean()))
            else:
                price = [below - sim[i, j] for j in own]
                found.append(sum(price) if total else np.mean(price))
        return np.mean(found)

    return labelled_loss


def neighbours_in_turn(n):
    """Views of one clip side by side, as some write them."""
    return np.arange(2 * n) ^ 1


RIGHT = {
    1: partner,
    2: similar(),
    3: priced(),
    4: pushing(),
    5: beginning(),
    6: spread(),
    7: voting(),
    8: cropping(),
    9: sloping(),
    10: labelling(),
}

WRONG = {
    "side by side": (1, neighbours_in_turn, "the other view"),
    "oneself": (1, lambda n: np.arange(2 * n), "the other view"),
    "one further": (1, lambda n: np.roll(np.arange(2 * n), 1), "the partner of the partner"),
    "products": (2, similar(scaled=False), "length of a vector"),
    "half a cosine": (2, lambda z: z @ unit(z).T, "length of a vector"),
    "a division by zero": (2, similar(guarded=False), "zeros is like nothing"),
    "without itself": (2, similar(itself=False), "itself among them"),
    "itself among the others": (3, priced(itself=True), "term by term"),
    "first views alone ask": (3, priced(anchors="first"), "exchanging"),
    "overflow": (3, priced(cut=False), "does not overflow"),
    "no temperature": (3, priced(tau_of="none"), "term by term"),
    "a sum": (3, priced(mean=False), "log(2N - 1)"),
    "dot products": (3, priced(cosine=False), "term by term"),
    "the partner left out": (3, negatives_alone, "log(2N - 1)"),
    "other views alone": (3, across_views, "log(2N - 1)"),
    "shares that overflow": (4, pushing(cut=False), "does not overflow"),
    "shares at one temperature": (4, pushing(divided=False), "cold"),
    "a share of the sum with the partner": (4, pushing(whole=0.5), "add up to 1"),
    "the farthest": (4, farthest, "cold"),
    "in proportion": (4, in_proportion, "add up to 1"),
    "2N candidates": (5, beginning(negatives=-1), "untrained"),
    "N candidates": (5, lambda n, tau, agreement=0.0: np.log(n), "untrained"),
    "no temperature at the start": (5, beginning(divided=False), "the best there is"),
    "a start that overflows": (5, beginning(cut=False), "does not overflow"),
    "distances": (6, spread(root=True), "alignment"),
    "any length": (6, spread(scaled=False), "both are 0"),
    "a sum of distances": (6, spread(mean=False), "alignment"),
    "each with itself": (6, spread(every=True), "each pair once"),
    "a mean of logarithms": (6, spread(logarithm=False), "uniformity"),
    "t of 1": (6, spread(t=1.0), "uniformity"),
    "over numbers": (6, of_numbers, "alignment"),
    "the longest vector": (7, voting(cosine=False), "however long"),
    "distance": (7, by_distance, "however long"),
    "the farthest vote": (7, voting(farthest=True), "one neighbour"),
    "the smallest label": (7, voting(tie="smallest"), "equally common"),
    "one voter": (7, voting(one=True), "several"),
    "the last place never": (8, cropping(last=False), "every place"),
    "one place for both": (8, cropping(together=True), "does not tell"),
    "two halves": (8, halves, "does not tell"),
    "zeros first": (8, cropping(zeros="before"), "too short"),
    "again from the start": (8, cropping(zeros="again"), "too short"),
    "over the end": (8, cropping(turned=True), "a stretch"),
    "made louder": (8, cropping(scaled=True), "as it is"),
    "always the same": (8, cropping(own=0), "every place"),
    "a generator of its own": (8, whenever, "the same seed"),
    "only its own question": (9, sloping(candidate=False), "small change"),
    "no temperature in the gradient": (9, sloping(divided=False), "small change"),
    "of the sum": (9, sloping(mean=False), "small change"),
    "one pull": (9, sloping(pulls=1), "nothing moves"),
    "no pull": (9, sloping(pulls=0), "nothing moves"),
    "a gradient that overflows": (9, sloping(cut=False), "does not overflow"),
    "the logarithm of the mean": (10, labelling(inside=True), "with several"),
    "a sum over its own": (10, labelling(total=True), "with several"),
    "alone costs nothing": (10, labelling(alone="costs nothing"), "alone with its label"),
    "alone is gone": (10, labelling(alone="removed"), "alone with its label"),
    "own left out below": (10, labelling(candidates="negatives"), "exercise 3"),
}


class TestExercises(ExerciseTests):
    answers, wrong = ANSWERS, WRONG


def test_loss_gradient_and_measures_are_the_packages():
    import torch

    from mircourse.contrastive import alignment, nt_xent, uniformity

    z1, z2 = (unit(z) for z in np.random.default_rng(0).standard_normal((2, 5, 4)))
    a, b = (torch.from_numpy(z).requires_grad_() for z in (z1, z2))
    loss = nt_xent(a, b, 0.3)
    loss.backward()
    np.testing.assert_allclose(solution(3)(z1, 2 * z2, 0.3), loss.item())
    # The package brings vectors to length 1, so what points outwards does not count.
    found = np.split(solution(9)(z1, z2, 0.3), 2)
    for z, g, wanted in zip((z1, z2), found, (a.grad, b.grad), strict=True):
        across = g - (g * z).sum(axis=1, keepdims=True) * z
        np.testing.assert_allclose(across, wanted.numpy(), atol=1e-9)
    near, even = solution(6)(z1, z2)
    np.testing.assert_allclose(near, alignment(a, b).item(), rtol=1e-6)
    np.testing.assert_allclose(even, uniformity(a).item(), rtol=1e-6)
