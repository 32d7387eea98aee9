"""Solutions of the RNN exercises pass; typical mistakes fail at the property they break."""

import numpy as np
from answers import Answers, ExerciseTests
from hypothesis import given
from hypothesis import strategies as st

ANSWERS = Answers("rnn", 13)
solution = ANSWERS.solution


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def product_first(probabilities):
    with np.errstate(divide="ignore"):
        p = np.concatenate(probabilities)
        return -np.log2(np.prod(p)) / len(p)


def of_probabilities(z, y, weight, least=0.0):
    with np.errstate(all="ignore"):
        p = np.clip(1 / (1 + np.exp(-z)), least, 1 - least)
        return np.mean(-weight * y * np.log(p) - (1 - y) * np.log(1 - p))


def weight_on_everything(z, y, weight):
    return weight * np.mean(y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z))


def gates(x, h, weight, bias):
    return weight @ np.concatenate([h, x]) + bias


def four_equations(x, h, c, weight, bias):
    f, i, g, _ = gates(x, h, weight, bias)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return c, c


def no_tanh_of_the_cell(x, h, c, weight, bias):
    f, i, g, o = gates(x, h, weight, bias)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * c, c


def candidate_through_a_sigmoid(x, h, c, weight, bias):
    f, i, g, o = gates(x, h, weight, bias)
    c = sigmoid(f) * c + sigmoid(i) * sigmoid(g)
    return sigmoid(o) * np.tanh(c), c


def cell_forgotten(x, h, c, weight, bias):
    f, i, g, o = gates(x, h, weight, bias)
    c = sigmoid(f) * h + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def reset_before_the_product(x, h, w, u, b, d):
    reset, update = sigmoid((w @ x + b + u @ h + d)[:2])
    new = np.tanh(w[2] @ x + b[2] + u[2] @ (reset * h) + d[2])
    return (1 - update) * new + update * h


def update_the_other_way(x, h, w, u, b, d):
    reset, update = sigmoid((w @ x + b + u @ h + d)[:2])
    new = np.tanh(w[2] @ x + b[2] + reset * (u[2] @ h + d[2]))
    return update * new + (1 - update) * h


def pairs_of(tunes, n):
    pairs = np.zeros((n, n))
    for tune in tunes:
        np.add.at(pairs, (tune[:-1], tune[1:]), 1)
    return pairs


def add_one(tunes, n):
    pairs = pairs_of(tunes, n) + 1
    return pairs / pairs.sum(axis=1, keepdims=True)


def not_smoothed(tunes, n):
    pairs = pairs_of(tunes, n)
    return pairs / np.maximum(pairs.sum(axis=1, keepdims=True), 1)


def across_tunes(tunes, n):
    return solution(6)([np.concatenate(tunes)], n)


def crossing_left_out(p, mass):
    order = np.argsort(-p)
    kept = order[np.cumsum(p[order]) <= mass]
    kept = kept if len(kept) else order[:1]
    out = np.zeros(len(p))
    out[kept] = p[kept]
    return out / out.sum()


def nucleus_in_order_of_size(p, mass):
    size = np.sort(p)[::-1]
    size = np.where(np.cumsum(size) - size < mass, size, 0)
    return size / size.sum()


def nucleus_not_scaled(p, mass):
    return solution(7)(p, mass) * np.sort(p)[::-1][: np.count_nonzero(solution(7)(p, mass))].sum()


def one_too_many(p, mass):
    order = np.argsort(-p, kind="stable")
    kept = order[: np.searchsorted(np.cumsum(p[order]), mass, side="right") + 1]
    out = np.zeros(len(p))
    out[kept] = p[kept]
    return out / out.sum()


def rolled(*, low=21, last_voice=False, wraps=False, no_repeats=False, floor=False):
    """Return a piano roll with one mistake."""

    def piano_roll(onset, duration, pitch, velocity, hop, n_frames):
        frames, onsets, velocities = np.zeros((3, n_frames, 88))
        for t, d, p, v in zip(onset, duration, pitch, velocity, strict=True):
            key, start, end = p - low, round(t / hop), round((t + d) / hop)
            end = end if floor else max(end, start + 1)
            if (key >= 88 or start >= n_frames) or (key < 0 and not wraps):
                continue
            if not (no_repeats and frames[start, key] and frames[start - 1, key]):
                onsets[start, key] = 1
            frames[start:end, key] = 1
            velocities[start, key] = v if last_voice else max(velocities[start, key], v)
        return frames, onsets, velocities

    return piano_roll


def decoded(*, rising=False, by_high=False, runs_on=False, not_below=False):
    """Return a decoder with one mistake."""

    def decode_notes(onset, frame, high=0.5, low=0.3):
        begins = onset >= high
        if not rising:
            before = np.pad(onset, ((1, 0), (0, 0)))[:-1]
            after = np.pad(onset, ((0, 1), (0, 0)))[1:]
            begins &= (onset > before) & (onset >= after)
        found = []
        for start, key in np.argwhere(begins):
            end = start + (0 if not_below else 1)
            limit = high if by_high else low
            while end < len(frame) and frame[end, key] >= limit:
                if end > start and begins[end, key] and not runs_on:
                    break
                end += 1
            found.append((start, end, key))
        return found

    return decode_notes


def from_frames(onset, frame):
    """Begin a note wherever a key begins to sound."""
    return decoded()(np.diff(frame >= 0.5, axis=0, prepend=0).clip(0), frame)


def attending(*, mask="before", over="time", scale=True):
    """Return attention with one mistake."""

    def attend(q, k, v, lengths):
        if over == "batch":
            return attending(mask="none")(*(a.swapaxes(0, 1) for a in (q, k, v)), None).swapaxes(
                0, 1
            )
        energy = q @ k.swapaxes(1, 2) / (np.sqrt(q.shape[2]) if scale else 1)
        real = None if mask == "none" else np.arange(q.shape[1]) < lengths[:, None]
        if mask == "before":
            energy = np.where(real[:, None], energy, -np.inf)
        weight = np.exp(energy - energy.max(axis=2, keepdims=True))
        weight /= weight.sum(axis=2, keepdims=True)
        if mask == "after":
            weight = weight * real[:, None]
        out = weight @ v
        return out if real is None else np.where(real[..., None], out, 0)

    return attend


def forgets(block, state, kernel):
    """Convolve each block as if nothing had come before, as the article does."""
    return solution(11)(block, None, kernel)


def state_from_the_block(block, state, kernel):
    past = len(kernel) - 1
    out, _ = solution(11)(block, state, kernel)
    return out, np.pad(block[-past:], ((max(past - len(block), 0), 0), (0, 0)))


def same_padding(block, state, kernel):
    """Pad on both sides, so that the next frame is heard before it comes."""
    ahead = len(kernel) // 2
    out, state = solution(11)(np.pad(block, ((0, ahead), (0, 0))), state, kernel)
    return out[ahead:], state


def state_in_place(block, state, kernel):
    state = np.zeros((len(kernel) - 1, block.shape[1])) if state is None else state
    out, after = solution(11)(block, state, kernel)
    state[:] = after
    return out, state


def no_slope(w, states):
    return np.stack([np.linalg.matrix_power(w, n) for n in range(len(states))][::-1])


def slope_of_the_earlier(w, states):
    shifted = np.concatenate([states[:1], states[:-1]])
    return solution(12)(w, shifted)


def one_step_back(w, states):
    return solution(12)(w, states) @ w


def factors_the_other_way(w, states):
    result = [np.eye(len(w))]
    for state in states[:0:-1]:
        result.append(((1 - state**2)[:, None] * w) @ result[-1])
    return np.stack(result[::-1])


def noted(*, octave=False, tolerance="reference", greedy=False, reuse=False):
    """Return a note F-measure with one mistake."""

    def note_f(reference, estimated):
        away = np.abs(reference[:, None] - estimated[None])
        side = estimated[None] if tolerance == "estimate" else reference[:, None]
        allowed = np.maximum(0.2 * (side[..., 1] - side[..., 0]), 0.05)
        allowed = 0.05 if tolerance == "fixed" else allowed
        keys = away[..., 2] % 12 if octave else away[..., 2]
        fits = (away[..., 0] <= 0.05) & (away[..., 1] <= allowed) & (keys == 0)
        if reuse:
            return 2 * fits.any(axis=1).sum() / (len(reference) + len(estimated))
        hits = 0
        for row in fits if greedy else ():
            if row.any():
                fits[:, row.argmax()] = False
                hits += 1
        if not greedy:
            from scipy.sparse import csr_matrix
            from scipy.sparse.csgraph import maximum_bipartite_matching

            hits = (maximum_bipartite_matching(csr_matrix(fits)) >= 0).sum()
        return 2 * hits / (len(reference) + len(estimated))

    return note_f


WRONG = {
    "nats": (1, lambda p: -np.mean(np.log(np.concatenate(p))), "costs 4 bits"),
    "a mean of tunes": (
        1,
        lambda p: np.mean([-np.log2(t).mean() for t in p]),
        "every note counts alike",
    ),
    "a product": (1, product_first, "do not underflow"),
    "log of a rounded sigmoid": (2, of_probabilities, "costs its logit"),
    "a clipped sigmoid": (2, lambda *a: of_probabilities(*a, 1e-7), "costs its logit"),
    "a weight on everything": (2, weight_on_everything, "agrees with PyTorch"),
    "a sum": (2, lambda *a: solution(2)(*a) * a[0].size, "costs log 2"),
    "the whole window": (
        3,
        lambda frame, **k: solution(3)(frame, **{**k, "window": 2 * k["window"]}),
        "sample by sample",
    ),
    "samples for frames": (
        3,
        lambda frame, **k: solution(3)(frame, **{**k, "look_ahead": 0}) + k["look_ahead"],
        "sample by sample",
    ),
    "a block too many": (
        3,
        lambda t, hop, window, look_ahead, block: (
            (((t + look_ahead) * hop + window // 2) // block + 1) * block - t * hop
        ),
        "ends exactly",
    ),
    "the worst case always": (
        3,
        lambda t, hop, window, look_ahead, block: (
            look_ahead * hop + window // 2 + block - 1 if block > 1 else look_ahead * hop + 1024
        ),
        "one block after another",
    ),
    "the article's four equations": (4, four_equations, "output gate lets out"),
    "no tanh of the cell": (4, no_tanh_of_the_cell, "output gate lets out"),
    "a candidate through a sigmoid": (4, candidate_through_a_sigmoid, "agrees with PyTorch"),
    "the hidden state kept for the cell": (4, cell_forgotten, "keep the cell state"),
    "input before hidden state": (
        4,
        lambda x, h, c, w, b: solution(4)(h[:3], np.concatenate([x, h[3:]]), c, w, b),
        "agrees with PyTorch",
    ),
    "the paper's reset gate": (5, reset_before_the_product, "agrees with PyTorch"),
    "update the other way": (5, update_the_other_way, "keeps the hidden state"),
    "add one": (6, add_one, "frequencies of single pitches"),
    "zeros": (6, not_smoothed, "add up to 1"),
    "tunes run together": (6, across_tunes, "next tune's first"),
    "crossing left out": (7, crossing_left_out, "crosses p"),
    "order of size": (7, nucleus_in_order_of_size, "crosses p"),
    "not scaled": (7, nucleus_not_scaled, "crosses p"),
    "one too many": (7, one_too_many, "reaches p exactly"),
    "columns from pitch 0": (8, rolled(low=0), "first of 88 columns"),
    "no frame": (8, rolled(floor=True), "shorter than a frame"),
    "wrapping round": (8, rolled(wraps=True), "left out"),
    "the last voice": (8, rolled(last_voice=True), "the louder counts"),
    "repeats swallowed": (8, rolled(no_repeats=True), "struck again"),
    "every frame above the threshold": (9, decoded(rising=True), "peak over several frames"),
    "ends at the higher threshold": (9, decoded(by_high=True), "stay at 0.3"),
    "runs through the next onset": (9, decoded(runs_on=True), "ends the note before"),
    "notes of no length": (9, decoded(not_below=True), "one frame at the least"),
    "onsets ignored": (9, from_frames, "no note where no onset"),
    "no mask": (10, attending(mask="none"), "what it gives alone"),
    "a mask after the softmax": (10, attending(mask="after"), "what it gives alone"),
    "attention over the batch": (10, attending(over="batch"), "agrees with PyTorch"),
    "no scale": (10, attending(scale=False), "agrees with PyTorch"),
    "the article's chunks": (11, forgets, "blocks of 7"),
    "a state from the block alone": (11, state_from_the_block, "shorter than what"),
    "padding on both sides": (11, same_padding, "zeros before the beginning"),
    "a state changed in place": (11, state_in_place, "not changed in place"),
    "a step too many": (12, one_step_back, "the last state is itself"),
    "no slope": (12, no_slope, "one step back"),
    "the earlier slope": (12, slope_of_the_earlier, "one step back"),
    "factors the other way": (12, factors_the_other_way, "automatic differentiation"),
    "octaves": (13, noted(octave=True), "to the octave"),
    "the estimate's length": (13, noted(tolerance="estimate"), "fifth of the reference's"),
    "50 ms for every end": (13, noted(tolerance="fixed"), "fifth of the reference's"),
    "greedy pairs": (13, noted(greedy=True), "as many as possible"),
    "pairs used twice": (13, noted(reuse=True), "paired once"),
    "0 / 0 for nothing": (
        13,
        lambda r, e: 2 / (1 / np.float64(len(r)) + 1 / len(e)),
        "nothing found",
    ),
}


class TestExercises(ExerciseTests):
    answers, wrong = ANSWERS, WRONG


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_the_remembering_convolution_does_not_know_how_it_is_fed(sizes, seed):
    rng = np.random.default_rng(seed)
    x, kernel = rng.standard_normal((sum(sizes), 3)), rng.standard_normal((4, 3, 2))
    convolve = solution(11)
    whole, _ = convolve(x, None, kernel)
    parts, state = [], None
    for block in np.split(x, np.cumsum(sizes)[:-1]):
        out, state = convolve(block, state, kernel)
        parts.append(out)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-12)
