"""What a right answer to the exercises on events of the Transformer chapter has.

`mircourse.checks.transformer` has the other exercises of the chapter.

Lesson: book/transformer/exercises
"""

from __future__ import annotations

import numpy as np

from mircourse import events
from mircourse.check import exercise, expect
from mircourse.checks.oracles import chorale

bar = exercise("transformer_1", title="A bar by hand")
# Start and end in steps of 10 ms, pitch, velocity level.
BAR = [(0, 50, 60, 19), (0, 50, 64, 19), (50, 200, 67, 24)]


def _played(tokens):
    """Return what tokens sound like: rows of start, end (steps), pitch, velocity level."""
    notes = events.decode(tokens)
    start = np.round(100 * notes["onset_sec"])
    end = np.round(100 * (notes["onset_sec"] + notes["duration_sec"]))
    return np.column_stack([start, end, notes["pitch"], (notes["velocity"] - 1) // 4])


def _written(your_bar):
    return events.check_tokens(your_bar())


@bar.property("the right keys go down")
def _bar_keys(your_bar):
    expect(_played(_written(your_bar))[:, 2], [60, 64, 67])


@bar.property("they go down and come up at the right times")
def _bar_times(your_bar):
    expect(_played(_written(your_bar))[:, :2], np.array(BAR)[:, :2])


@bar.property("each is struck as hard as it should be")
def _bar_touch(your_bar):
    expect(_played(_written(your_bar))[:, 3], [19, 19, 24])


@bar.property("every key that went down comes up again")
def _bar_closed(your_bar):
    tokens = _written(your_bar)
    expect(np.sort(tokens[(tokens >= 128) & (tokens < 256)]), [188, 192, 195])


@bar.property("eleven events are enough")
def _bar_short(your_bar):
    expect(len(_written(your_bar)), 11)


cost = exercise("transformer_2", title="Nats a token, bits a note")


@cost.property("a note of four events, each guessed among 388: 4 log₂ 388 bits")
def _cost_even(bits_per_note):
    tokens = np.array([[375, 60, 305, 188, 375, 62, 305, 190]])
    expect(bits_per_note(np.full((1, 8), np.log(388)), tokens), 4 * np.log2(388))


@cost.property("what was said of padding costs nothing")
def _cost_padding(bits_per_note):
    tokens = np.array([[60, 305, 188, 390], [62, 190, 390, 388]])
    nll = np.log(2) * np.array([[1.0, 2, 3, 4], [5, 6, 7, 1000]])
    expect(bits_per_note(nll, tokens), 28 / 2)


@cost.property("every note counts alike, in rows of many notes and of few")
def _cost_notes(bits_per_note):
    tokens = np.array([[60, 62, 64, 388, 388], [60, 305, 188, 305, 390]])
    expect(bits_per_note(np.full((2, 5), np.log(2)), tokens), 8 / 4)


decoding = exercise("transformer_9", title="From events to notes")


def _rows(notes):
    """Return (start, end, pitch, level) rows in one order."""
    return np.array(sorted(map(tuple, np.asarray(notes).reshape(-1, 4)))).reshape(-1, 4)


@decoding.property("a bar comes back")
def _decoding_plain(decode):
    tokens = [375, 60, 64, 305, 188, 192, 380, 67, 355, 305, 195]
    expect(_rows(decode(tokens)), BAR)


@decoding.property("before a velocity is given, keys are struck at level 15")
def _decoding_touch(decode):
    expect(_rows(decode([60, 265, 188])), [(0, 10, 60, 15)])


@decoding.property("a key struck again while it sounds ends there and begins anew")
def _decoding_again(decode):
    expect(_rows(decode([60, 265, 375, 60, 275, 188])), [(0, 10, 60, 15), (10, 30, 60, 19)])


@decoding.property("what is still open at the end lasts until then")
def _decoding_open(decode):
    expect(_rows(decode([60, 265, 64, 275])), [(0, 30, 60, 15), (10, 30, 64, 15)])


@decoding.property("a note without length is none; letting go of nothing changes nothing")
def _decoding_empty(decode):
    expect(_rows(decode([60, 188, 192, 265, 64])), np.zeros((0, 4)))
    expect(_rows(decode([])), np.zeros((0, 4)))


@decoding.property("agrees with the course's decoder on any events, and on a chorale")
def _decoding_any(decode):
    from mircourse.performed import performed_notes

    rng = np.random.default_rng(0)
    onset, duration, pitch, velocity = chorale()
    notes = performed_notes(onset, duration, pitch, velocity=velocity)
    odd = rng.choice([60, 62, 64, 188, 190, 192, 256, 261, 360, 387], 300)
    for tokens in (odd.tolist(), events.encode(notes)[:300].tolist()):
        expect(_rows(decode(tokens)), _rows(_played(tokens)))


grammar = exercise("transformer_10", title="What may come next")


def _next_oracle(tokens):
    may = np.zeros(events.N_TOKENS, bool)
    may[: events.N_EVENTS] = True
    for pitch in range(128):
        last = [token for token in tokens if token in (pitch, 128 + pitch)]
        sounds = bool(last) and last[-1] < 128
        may[pitch], may[128 + pitch] = not sounds, sounds
    may[events.EOS] = not may[128:256].any()
    return may


@grammar.property("in the beginning no key is down: none can come up")
def _grammar_start(may_follow):
    expect(may_follow([]), _next_oracle([]))


@grammar.property("a key that is down may come up, and not go down again")
def _grammar_open(may_follow):
    for tokens in ([60], [60, 64, 305]):
        got = np.asarray(may_follow(tokens))
        expect(got[:256], _next_oracle(tokens)[:256])


@grammar.property("a key that came up may go down again")
def _grammar_closed(may_follow):
    expect(np.asarray(may_follow([60, 305, 188]))[:256], _next_oracle([])[:256])


@grammar.property("the piece may end only when no key is down")
def _grammar_end(may_follow):
    ends = [np.asarray(may_follow(t))[events.EOS] for t in ([60, 305], [60, 305, 188, 305])]
    expect(ends, [False, True])


@grammar.property("no other special token may come, time and velocity always")
def _grammar_special(may_follow):
    specials = [388, 389, 391, 392, 393]
    for tokens in ([], [60], [60, 188]):
        got = np.asarray(may_follow(tokens))
        expect(got[specials], np.zeros(5, bool))
        expect(got[256:388], np.ones(132, bool))


choosing = exercise("transformer_11", title="Choosing")


def _choices_oracle(logits, allowed, temperature, k, p):
    best = sorted(np.flatnonzero(allowed), key=lambda i: (-logits[i], i))[:k]
    weight = np.array([np.exp((logits[i] - logits[best[0]]) / temperature) for i in best])
    weight /= weight.sum()
    before = np.concatenate([[0], np.cumsum(weight)[:-1]])
    out = np.zeros(len(logits))
    out[best] = np.where(before < p, weight, 0)
    return out / out.sum()


def _choices_case(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 2, 30), rng.random(30) < 0.7


def _same_choice(choices, *case):
    expect(choices(*case), _choices_oracle(*case), atol=1e-12)


@choosing.property("with no limits: softmax of the logits divided by the temperature")
def _choosing_plain(choices):
    logits, everything = _choices_case(0)[0], np.ones(30, bool)
    for temperature in (0.5, 1.0, 3.0):
        _same_choice(choices, logits, everything, temperature, 30, 1.0)


@choosing.property("what is not allowed gets 0, however good, and the rest adds up to 1")
def _choosing_allowed(choices):
    logits, allowed = _choices_case(1)
    logits[~allowed] += 50
    _same_choice(choices, logits, allowed, 1.0, 30, 1.0)


@choosing.property("the k best of those that are allowed")
def _choosing_k(choices):
    logits, allowed = _choices_case(2)
    logits[~allowed] += 5
    for k in (1, 4):
        _same_choice(choices, logits, allowed, 1.0, k, 1.0)


@choosing.property("of equals the first are kept, and no more than k")
def _choosing_ties(choices):
    _same_choice(choices, np.array([1.0, 2, 2, 2, 0]), np.ones(5, bool), 1.0, 2, 1.0)


@choosing.property("then the nucleus: of what k left, at the temperature that was asked for")
def _choosing_nucleus(choices):
    for seed in range(3, 8):
        logits, allowed = _choices_case(seed)
        _same_choice(choices, logits, allowed, 0.7, 30, 0.8)
        _same_choice(choices, logits, allowed, 2.0, 5, 0.6)


@choosing.property("logits of a thousand do not overflow")
def _choosing_large(choices):
    logits, allowed = _choices_case(9)
    _same_choice(choices, 1000 * logits, allowed, 1.0, 30, 0.9)


masking = exercise("transformer_13", title="Eighty, ten, ten")


def _masked(corrupt, seed=0):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 388, (100, 1000))
    tokens[:, 0], tokens[:, 500], tokens[:, -20:] = events.CLS, events.SEP, events.PAD
    given = tokens.copy()
    inputs, targets = corrupt(given, np.random.default_rng(seed + 1))
    expect(given, tokens)  # not changed in place
    return tokens, np.asarray(inputs), np.asarray(targets)


@masking.property("15 of 100 events are to be guessed; their targets are what stood there")
def _masking_share(corrupt):
    tokens, _, targets = _masked(corrupt)
    chosen = targets != -100
    expect(targets[chosen], tokens[chosen])
    expect(chosen[tokens < 388].mean(), 0.15, atol=0.01, rtol=0)


@masking.property("padding and other special tokens are never chosen or changed")
def _masking_special(corrupt):
    tokens, inputs, targets = _masked(corrupt)
    special = tokens >= 388
    expect(inputs[special], tokens[special])
    expect(np.unique(targets[special]), [-100])


@masking.property("what is not to be guessed stays as it is")
def _masking_rest(corrupt):
    tokens, inputs, targets = _masked(corrupt)
    rest = targets == -100
    expect(inputs[rest], tokens[rest])


@masking.property("of the chosen, 80 of 100 become MASK")
def _masking_masked(corrupt):
    _, inputs, targets = _masked(corrupt)
    expect((inputs == events.MASK)[targets != -100].mean(), 0.8, atol=0.03, rtol=0)


@masking.property("10 become any event, 10 stay, and it cannot be known which")
def _masking_random(corrupt):
    tokens, inputs, targets = _masked(corrupt)
    open_ = (targets != -100) & (inputs != events.MASK)
    expect((inputs == tokens)[open_].mean(), 0.5, atol=0.05, rtol=0)
    put = inputs[open_ & (inputs != tokens)]
    expect([put.min() < 20, put.max() > 367, put.max() < 388], [True, True, True])


@masking.property("no rhythm in it: each event is chosen for itself, and the next time others are")
def _masking_fresh(corrupt):
    chosen = [_masked(corrupt, seed)[2] != -100 for seed in (0, 0, 7)]
    expect(chosen[0], chosen[1])  # the same generator, the same choice
    expect((chosen[0] & chosen[2])[:, 1:500].mean(), 0.15**2, atol=0.01, rtol=0)
    counts = chosen[0].sum(axis=1)
    expect(7 < counts.std() < 16, True)  # 11 if each is drawn for itself


pairs = exercise("transformer_15", title="Honest negatives")


def _partners(partner, seed=0, n=400):
    rng = np.random.default_rng(seed)
    keys, meters = rng.integers(0, 4, n), rng.integers(0, 3, n)
    families = rng.integers(0, 60, n)
    keys[:3], meters[3:6] = [90, 90, 91], [90, 90, 91]  # few or none like these
    families[:2], families[3:5] = [900, 900], [901, 902]
    chosen = np.asarray(partner(keys, meters, families, np.random.default_rng(seed)))
    expect(chosen.shape, (n,))
    found = chosen >= 0
    return (keys, meters, families), chosen, found


@pairs.property("the other phrase is in the same key and meter: neither gives the answer away")
def _pairs_alike(partner):
    (keys, meters, _), chosen, found = _partners(partner)
    expect(keys[chosen[found]], keys[found])
    expect(meters[chosen[found]], meters[found])


@pairs.property("it is of another family, not of the tune itself or a variant of it")
def _pairs_other(partner):
    (_, _, families), chosen, found = _partners(partner)
    expect(np.count_nonzero(families[chosen[found]] == families[found]), 0)


@pairs.property("where there is none, -1, and only there")
def _pairs_none(partner):
    columns, _, found = _partners(partner)
    keys, meters, families = (column[:, None] == column[None] for column in columns)
    expect(found, (keys & meters & ~families).any(axis=1))


@pairs.property("each that fits is as likely as another")
def _pairs_even(partner):
    families = np.array([0, 1, 2, 3, 4, 0])
    same = np.zeros(6, int)
    rng = np.random.default_rng(0)
    drawn = np.stack([partner(same, same, families, rng) for _ in range(2000)])
    share = np.bincount(np.maximum(drawn[:, 0], 0), minlength=6) / 2000
    expect(share, [0, 0.25, 0.25, 0.25, 0.25, 0], atol=0.05)
