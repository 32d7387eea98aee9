"""Solutions of the Transformer exercises pass; typical mistakes fail at the property they break."""

import numpy as np
from answers import Answers, ExerciseTests
from hypothesis import given
from hypothesis import strategies as st

from mircourse import events

ANSWERS = Answers("transformer", 15, events=events)
solution = ANSWERS.solution


BAR = [375, 60, 64, 305, 188, 192, 380, 67, 355, 305, 195]


def a_bar(**changes):
    """Return the bar with some of its tokens (t4=...) changed, None for left out."""
    tokens = [changes.get(f"t{i}", token) for i, token in enumerate(BAR)]
    return lambda: [token for token in tokens if token is not None]


def cost(nll, tokens, counted):
    return nll[counted].sum() / np.log(2) / np.count_nonzero(tokens < 128)


def cost_of_rows(nll, tokens):
    rows = zip(nll, tokens, strict=True)
    return np.mean([solution(2)(a[None], b[None]) for a, b in rows])


def softmax(z):
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def slope_overflowing(z):
    with np.errstate(all="ignore"):
        p = np.exp(z) / np.exp(z).sum()
        return np.diag(p) - np.outer(p, p)


def attending(*, scale=True, mask="before", large=True, transposed=True, empty=0.0):
    """Return attention with one mistake."""

    def attend(q, k, v, may):
        score = q @ (k.swapaxes(-1, -2) if transposed else k.T)
        score = score / np.sqrt(q.shape[-1]) if scale else score
        if mask == "before":
            score = np.where(may, score, -np.inf)
        if mask == "multiplied":
            score = score * may
        with np.errstate(all="ignore"):
            peak = score.max(axis=-1, keepdims=True) if large else 0
            weight = np.exp(score - np.where(np.isfinite(peak), peak, empty))
            weight = weight / weight.sum(axis=-1, keepdims=True)
            if mask == "after":
                weight = weight * may
            if mask == "before" and not np.isnan(empty):
                weight = np.nan_to_num(weight) if large else weight
            return weight @ v

    return attend


def reading(*, pieces=True, padding=True, later=0, itself=True):
    """Return a mask with one mistake."""

    def may_read(piece):
        n = piece.shape[1]
        may = np.tril(np.ones((n, n), bool), 0 if itself else -1)
        may = may.T if later else may
        may = np.broadcast_to(may, (len(piece), n, n)).copy()
        if pieces:
            may &= piece[:, :, None] == piece[:, None]
        if padding:
            may &= (piece >= 0)[:, None] & (piece >= 0)[:, :, None]
        return may

    return may_read


def tried(order, *, exactly=False, invariant=False):
    """Return a test of order that tries a single one."""

    def ignores_order(layer, x):
        here = layer(x)
        rows = order(np.arange(len(x)))
        there = here if invariant else here[rows]
        return (
            np.array_equal(layer(x[rows]), there) if exactly else np.allclose(layer(x[rows]), there)
        )

    return ignores_order


def shuffled(rows):
    return np.random.default_rng(5).permutation(rows)


def places(*, halves=False, twice=True, article=False):
    """Return positions with one mistake."""

    def encode_positions(n, d):
        if article:
            table = np.zeros((n, d))
            angle = np.arange(n)[:, None] / 10000 ** (np.arange(0, d, 2) / d)
            table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)
            return table
        pair = np.arange(d) // 2
        angle = np.arange(n)[:, None] / 10000 ** ((2 * pair if twice else pair) / d)
        if halves:
            angle = angle[:, ::2]
            return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)[:, :d]
        return np.where(np.arange(d) % 2, np.cos(angle), np.sin(angle))

    return encode_positions


def cosines_first(n, d):
    return np.stack(
        [places()(n, d + 1)[:, 1::2], places()(n, d + 1)[:, ::2][:, : d // 2]], 2
    ).reshape(n, -1)[:, :d]


def fitted(k, d):
    """Solve for the shift from a few positions: not all that is asked for is in them."""
    table = places()(abs(k) + 6, d)
    early, late = (table[:6], table[abs(k) :]) if k >= 0 else (table[-6:], table[:6])
    return (np.linalg.pinv(early) @ late).T


def decoded(*, start=15, again="ends", open_="kept", empty=False, twice=False):
    """Return a decoder with one mistake."""

    def decode(tokens):
        now, level, down, found = 0, start, {}, []
        for token in tokens:
            if token < 128:
                if token in down and again == "ends":
                    found.append((down[token][0], now, token, down[token][1]))
                if token not in down or again != "ignored":
                    down[token] = now, level
            elif token < 256:
                if token - 128 in down or twice:
                    began, struck = down.pop(token - 128)
                    found.append((began, now, token - 128, struck))
            elif token < 356:
                now += token - (256 if empty == "shift" else 255)
            else:
                level = token - 356
        if open_ == "kept":
            found += [(began, now, pitch, struck) for pitch, (began, struck) in down.items()]
        return [note for note in found if note[1] > note[0] or empty is True]

    return decode


def stacked(tokens):
    """Take keys for what can be down several times."""
    now, level, down, found = 0, 15, {}, []
    for token in tokens:
        if token < 128:
            down.setdefault(token, []).append((now, level))
        elif token < 256 and down.get(token - 128):
            began, struck = down[token - 128].pop(0)
            found.append((began, now, token - 128, struck))
        elif 256 <= token < 356:
            now += token - 255
        elif token >= 356:
            level = token - 356
    for pitch, notes in down.items():
        found += [(began, now, pitch, struck) for began, struck in notes]
    return [note for note in found if note[1] > note[0]]


def ruled(change):
    """Return the grammar, changed in place by ``change(may, down)``."""

    def may_follow(tokens):
        may = solution(10)(tokens)
        change(may, ~may[:128], tokens)
        return may

    return may_follow


def any_key_up(may, down, tokens):
    may[128:256] = True


def any_key_down(may, down, tokens):
    may[:128] = True


def never_again(may, down, tokens):
    may[[token for token in tokens if token < 128]] = False


def end_any_time(may, down, tokens):
    may[events.EOS] = True


def padding_too(may, down, tokens):
    may[events.PAD] = True


def no_waiting(may, down, tokens):
    may[256:356] = down.any()


def chosen(*, mask="first", heat="before", ties="first", best=True, nucleus="last", shift=True):
    """Return a choice with one mistake."""

    def choices(logits, allowed, temperature, k, p):
        z = np.where(allowed, logits, -np.inf) if mask == "first" else np.array(logits)
        z = z / temperature if heat == "before" else z
        with np.errstate(all="ignore"):
            w = softmax(z) if shift else np.exp(z) / np.exp(z).sum()
        ranked = np.argsort(-w, kind="stable")
        kept = (
            w >= w[ranked[min(k, len(w)) - 1]]
            if ties == "all"
            else np.isin(np.arange(len(w)), ranked[:k])
        )
        if nucleus == "last":
            w = np.where(kept, w, 0)
            w = w / w.sum()
        before = np.cumsum(w[ranked]) - w[ranked]
        inside = np.zeros(len(w), bool)
        inside[ranked] = (before < p) if best else (before + w[ranked] <= p)
        inside[ranked[0]] = True
        w = np.where(inside & kept, w, 0)
        if mask == "last":
            w = np.where(allowed, w, 0)
        if heat == "after":
            w = w ** (1 / temperature)
        return w / w.sum() if mask != "not scaled" else w

    return choices


def forgets(x, cache, *weights):
    return solution(12)(x, None, *weights)


def last_cache_only(x, cache, wq, wk, wv):
    out, _ = solution(12)(x, cache, wq, wk, wv)
    return out, (x @ wk, x @ wv)


def reads_ahead(x, cache, wq, wk, wv):
    """Let all new rows read one another."""
    k, v = x @ wk, x @ wv
    if cache is not None:
        k, v = np.concatenate([cache[0], k]), np.concatenate([cache[1], v])
    return solution(4)(x @ wq, k, v, np.ones((len(x), len(k)), bool)), (k, v)


def mask_of_new_rows_alone(x, cache, wq, wk, wv):
    """Count places from the first new row, as if nothing stood before."""
    k, v = x @ wk, x @ wv
    if cache is not None:
        k, v = np.concatenate([cache[0], k]), np.concatenate([cache[1], v])
    may = np.tril(np.ones((len(x), len(k)), bool))
    return solution(4)(x @ wq, k, v, may), (k, v)


def grown_in_place(x, cache, wq, wk, wv):
    cache = [] if cache is None else cache
    cache.extend(zip(x @ wk, x @ wv, strict=True))
    k, v = (np.stack(part) for part in zip(*cache, strict=True))
    may = np.tri(len(x), len(k), len(k) - len(x), dtype=bool)
    return solution(4)(x @ wq, k, v, may), cache


def keeps_the_tokens(x, cache, wq, wk, wv):
    """Keep the inputs, and multiply all of them again each time."""
    seen = x if cache is None else np.concatenate([cache, x])
    out, _ = solution(12)(seen, None, wq, wk, wv)
    return out[len(seen) - len(x) :], seen


def corrupted(
    *, rate=0.15, masked=0.8, kept=0.5, special=False, word="event", row=False, target="right"
):
    """Return masking with one mistake."""

    def corrupt(tokens, rng):
        real = np.ones(tokens.shape, bool) if special else tokens < 388
        draw = rng.random(tokens.shape)
        hit = (draw < rate) & real
        if row == "exactly":
            places = np.argsort(np.where(real, draw, 2), axis=1)[:, : round(0.15 * real[0].sum())]
            hit = np.zeros(tokens.shape, bool)
            np.put_along_axis(hit, places, True, axis=1)
        if row == "always":
            hit = (np.random.default_rng(1).random(tokens.shape) < rate) & real
        fate = rng.random(tokens.shape)
        other = rng.integers(0, 128 if word == "notes" else 388, tokens.shape)
        put = np.where(
            fate < masked,
            events.MASK,
            np.where(fate < masked + (1 - masked) * (1 - kept), other, tokens),
        )
        targets = np.where(hit, tokens, -100)
        if target == "changed":
            targets = np.where(hit & (put != tokens), tokens, -100)
        if target == "all":
            targets = np.where(tokens < 388, tokens, -100)
        if target == "shown":
            targets = np.where(hit, put, -100)
        inputs = np.where(hit, put, tokens)
        if target == "noise":
            inputs = np.where((fate > 0.99) & real, other, inputs)
        return inputs, targets

    return corrupt


def in_place(tokens, rng):
    inputs, targets = solution(13)(tokens, rng)
    tokens[:] = inputs
    return tokens, targets


def relative(*, table="last", turned=False, tril=True):
    """Return relative scores, gathered pair by pair, with one mistake."""

    def relative_scores(q, e):
        n = q.shape[-2]
        away = np.arange(n)[:, None] - np.arange(n)
        away = -away if turned else away
        start = {"last": len(e), "first": n}[table]
        pairs = e[(start - 1 - away) % len(e)]  # (T, T, d)
        out = np.einsum("...id,ijd->...ij", q, pairs)
        return np.tril(out) if tril else out

    return relative_scores


def skewed(q, e, column="before"):
    """Skew, with the column put after, or without batch and heads."""
    n = q.shape[0]
    product = q @ e[len(e) - n :].T
    sides = (1, 0) if column == "before" else (0, 1)
    return np.tril(np.pad(product, ((0, 0), sides)).reshape(n + 1, n)[1:])


def drawn(*, key=True, meter=True, family=True, first=False, nothing=-1):
    """Return a choice of partners with one mistake."""

    def partner(keys, meters, families, rng):
        chosen = np.full(len(keys), nothing)
        for i in range(len(keys)):
            fits = np.ones(len(keys), bool)
            if key:
                fits &= keys == keys[i]
            if meter:
                fits &= meters == meters[i]
            fits &= families != families[i] if family else np.arange(len(keys)) != i
            if fits.any():
                places = np.flatnonzero(fits)
                chosen[i] = places[0] if first else rng.choice(places)
        return chosen

    return partner


WRONG = {
    "another key": (1, a_bar(t7=66, t10=194), "right keys"),
    "a step too many": (1, a_bar(t3=306, t9=306), "right times"),
    "no second wait": (1, a_bar(t8=None), "right times"),
    "velocity 80 as level 20": (1, a_bar(t0=376, t6=381), "as hard as"),
    "one touch for all": (1, a_bar(t6=None), "as hard as"),
    "a key left down": (1, a_bar(t10=None), "comes up again"),
    "the touch said twice": (1, lambda: [375, 60, *BAR[:1], *BAR[2:]], "eleven events"),
    "nats": (2, lambda n, t: solution(2)(n, t) * np.log(2), "388 bits"),
    "a mean of tokens": (2, lambda n, t: n[t != 388].mean() / np.log(2), "388 bits"),
    "padding paid for": (2, lambda n, t: cost(n, t, t >= 0), "padding costs nothing"),
    "note-ons alone": (2, lambda n, t: cost(n, t, t < 128), "388 bits"),
    "events alone": (2, lambda n, t: cost(n, t, t < 388), "padding costs nothing"),
    "a mean of rows": (2, cost_of_rows, "every note counts alike"),
    "the slope of a sigmoid": (
        3,
        lambda z: np.diag(softmax(z) * (1 - softmax(z))),
        "from the others",
    ),
    "the other sign": (3, lambda z: -solution(3)(z), "automatic"),
    "scores that overflow": (3, slope_overflowing, "do not overflow"),
    "no scale": (4, attending(scale=False), "agrees with PyTorch"),
    "a mask after the softmax": (4, attending(mask="after"), "does not matter"),
    "scores multiplied by the mask": (4, attending(mask="multiplied"), "does not matter"),
    "transposed over all axes": (4, attending(transposed=False), "may stand before"),
    "exponentials of large scores": (4, attending(large=False), "do not overflow"),
    "not a number": (4, attending(empty=np.nan), "not NaN"),
    "the future": (5, reading(later=1), "itself and what came before"),
    "not itself": (5, reading(itself=False), "itself and what came before"),
    "across pieces": (5, reading(pieces=False), "a piece before it"),
    "padding a piece of its own": (5, reading(padding=False), "padding reads nothing"),
    "backwards only": (6, tried(lambda rows: rows[::-1]), "one reordering"),
    "turned only": (6, tried(lambda rows: np.roll(rows, 3)), "one reordering"),
    "neighbours only": (
        6,
        tried(lambda rows: np.r_[rows[:-2], rows[-1], rows[-2]]),
        "one reordering",
    ),
    "to the last bit": (6, tried(shuffled, exactly=True), "without positions"),
    "the same whatever the order": (6, tried(shuffled, invariant=True), "move along"),
    "nothing tried": (6, lambda layer, x: True, "reading only the past"),
    "sines, then cosines": (7, places(halves=True), "side by side"),
    "an angle for each column": (7, places(twice=False), "side by side"),
    "cosine first": (7, cosines_first, "first position"),
    "the article's slices": (7, places(article=True), "an odd d"),
    "turned the other way": (8, lambda k, d: solution(8)(-k, d), "k further on"),
    "rows moved": (8, lambda k, d: np.roll(np.eye(d), k, axis=0), "k further on"),
    "sine and cosine exchanged": (8, lambda k, d: solution(8)(k, d)[:, ::-1], "no rotation"),
    "solved for a few positions": (8, fitted, "transposed"),
    "level 0 before any": (9, decoded(start=0), "before a velocity"),
    "the second key ignored": (9, decoded(again="ignored"), "begins anew"),
    "the first note lost": (9, decoded(again="lost"), "begins anew"),
    "keys down several times": (9, stacked, "begins anew"),
    "open notes lost": (9, decoded(open_="lost"), "still open"),
    "notes of no length": (9, decoded(empty=True), "without length"),
    "a key that is not down": (9, decoded(twice=True), "letting go of nothing"),
    "steps from 0": (9, decoded(empty="shift"), "a bar comes back"),
    "level for velocity": (
        9,
        lambda tokens: [(*n[:3], 4 * n[3] + 2) for n in solution(9)(tokens)],
        "on a chorale",
    ),
    "any key comes up": (10, ruled(any_key_up), "none can come up"),
    "any key goes down": (10, ruled(any_key_down), "not go down again"),
    "every key once": (10, ruled(never_again), "may go down again"),
    "an end at any time": (10, ruled(end_any_time), "may end only"),
    "padding": (10, ruled(padding_too), "no other special"),
    "waiting for nothing": (10, ruled(no_waiting), "time and velocity always"),
    "no temperature": (11, chosen(heat="never"), "divided by the temperature"),
    "temperature at the end": (11, chosen(heat="after"), "then the nucleus"),
    "a mask at the end": (11, chosen(mask="last"), "k best of those"),
    "no mask": (11, chosen(mask="none"), "gets 0, however good"),
    "all that tie": (11, chosen(ties="all"), "no more than k"),
    "crossing left out": (11, chosen(best=False), "then the nucleus"),
    "a nucleus of all": (11, chosen(nucleus="first"), "then the nucleus"),
    "logits that overflow": (11, chosen(shift=False), "do not overflow"),
    "no cache": (12, forgets, "token by token"),
    "the last block alone": (12, last_cache_only, "token by token"),
    "new rows read one another": (12, reads_ahead, "to the past"),
    "a mask from the corner": (12, mask_of_new_rows_alone, "a few tokens at a time"),
    "a cache that grows": (12, grown_in_place, "used twice"),
    "inputs for a cache": (12, keeps_the_tokens, "keys and values"),
    "a tenth": (13, corrupted(rate=0.1), "15 of 100"),
    "targets shown": (13, corrupted(target="shown"), "what stood there"),
    "targets everywhere": (13, corrupted(target="all"), "15 of 100"),
    "padding masked": (13, corrupted(special=True), "never chosen"),
    "noise on the rest": (13, corrupted(target="noise"), "stays as it is"),
    "always masked": (13, corrupted(masked=1.0), "80 of 100"),
    "none kept": (13, corrupted(kept=0.0), "it cannot be known which"),
    "targets where it changed": (13, corrupted(target="changed"), "it cannot be known which"),
    "random notes alone": (13, corrupted(word="notes"), "any event"),
    "the same places each time": (13, corrupted(row="always"), "no rhythm"),
    "exactly as many in each row": (13, corrupted(row="exactly"), "no rhythm"),
    "in place": (13, in_place, "15 of 100"),
    "the article's index": (14, relative(table="first"), "shorter than the table"),
    "distances turned": (14, relative(turned=True), "of its distance"),
    "all pairs": (14, relative(), "never stored"),
    "the future scored": (14, relative(tril=False), "scores 0"),
    "the column after": (14, lambda q, e: skewed(q, e, "after"), "of its distance"),
    "no batch": (14, skewed, "batch and heads"),
    "any key": (15, drawn(key=False), "same key and meter"),
    "any meter": (15, drawn(meter=False), "same key and meter"),
    "a variant": (15, drawn(family=False), "of another family"),
    "itself where there is none": (15, drawn(nothing=0), "only there"),
    "the first": (15, drawn(first=True), "as likely as another"),
}


class TestExercises(ExerciseTests):
    answers, wrong = ANSWERS, WRONG


@given(tokens=st.lists(st.integers(0, 387), max_size=60))
def test_the_decoder_agrees_with_the_package_on_anything(tokens):
    notes = events.decode(tokens)
    start = np.round(100 * notes["onset_sec"])
    end = np.round(100 * (notes["onset_sec"] + notes["duration_sec"]))
    ours = zip(start, end, notes["pitch"], (notes["velocity"] - 1) // 4, strict=True)
    assert sorted(solution(9)(tokens)) == sorted(tuple(int(x) for x in note) for note in ours)


@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_the_cache_does_not_know_how_it_is_fed(sizes, seed):
    rng = np.random.default_rng(seed)
    x, weights = rng.standard_normal((sum(sizes), 5)), rng.standard_normal((3, 5, 4))
    whole, _ = solution(12)(x, None, *weights)
    parts, cache = [], None
    for block in np.split(x, np.cumsum(sizes)[:-1]):
        out, cache = solution(12)(block, cache, *weights)
        parts.append(out)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-12)
