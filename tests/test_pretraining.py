"""Masking: its rates, what belongs together, and that nothing else costs anything."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import events, scores
from mircourse.events import (
    CLS,
    MASK,
    N_EVENTS,
    N_TOKENS,
    NOTE_OFF,
    NOTE_ON,
    PAD,
    SEP,
    TIME_SHIFT,
)
from mircourse.musicbert import MusicBERT
from mircourse.phrases import Continuations, join
from mircourse.pretraining import (
    FIXED,
    Masking,
    PretrainingTask,
    batch,
    fixed,
    loader,
    units_of,
)


@pytest.fixture(scope="module")
def source():
    return Continuations(list(scores.load("ryan", split="valid"))[:60])


def on(pitch):
    return NOTE_ON + pitch


def off(pitch):
    return NOTE_OFF + pitch


WAIT = TIME_SHIFT + 23


def test_units_by_hand():
    row = [CLS, on(60), WAIT, off(60), on(60), on(64), WAIT, off(64), off(60), SEP, off(60), SEP]
    assert units_of(row).tolist() == [-1, 1, 2, 1, 4, 5, 6, 5, 4, -1, 10, -1]
    assert units_of(row, units="tokens").tolist() == [-1, 1, 2, 3, 4, 5, 6, 7, 8, -1, 10, -1]


def test_a_note_does_not_reach_over_a_special_token():
    assert units_of([on(60), SEP, off(60)]).tolist() == [0, -1, 2]
    assert units_of([on(60), on(60), off(60)]).tolist() == [0, 1, 1]
    assert units_of([]).tolist() == []


def brute_units(tokens):
    found, sounding = [], {}
    for i, token in enumerate(tokens):
        if token >= N_EVENTS:
            sounding.clear()
            found.append(FIXED)
        elif token < NOTE_OFF:
            sounding[token] = i
            found.append(i)
        elif token < TIME_SHIFT and token - NOTE_OFF in sounding:
            found.append(sounding.pop(token - NOTE_OFF))
        else:
            found.append(i)
    return found


few = st.sampled_from([on(1), on(2), off(1), off(2), WAIT, SEP, CLS, PAD])


@given(st.lists(few | st.integers(0, N_TOKENS - 1), max_size=40))
def test_units_are_those_of_a_loop(tokens):
    assert units_of(tokens).tolist() == brute_units(tokens)


@pytest.mark.parametrize("units", ["notes", "tokens"])
def test_the_rates_are_80_10_10(units, source):
    """Over 40,000 units; the tolerance is four standard deviations of a share of so many."""
    pairs = source.pairs(seed=0)
    masking = Masking(units=units)
    counts = np.zeros(4)
    per_kind = {"note": np.zeros(2), "other": np.zeros(2)}
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        x, y = batch(pairs, masking, generator=generator)
        plain = batch(pairs, Masking(units=units, rate=1e-9))[0][:, 0]
        hidden, chosen = x[:, 0], x[:, 1].bool()
        np.testing.assert_array_equal(y[:, 1:][chosen], plain[chosen])
        rows = torch.stack([torch.from_numpy(_units(row, units)) for row in plain])
        begins = rows == torch.arange(rows.shape[1])  # a unit counts once, where it begins
        counts += [
            begins.sum(),
            (begins & chosen).sum(),
            (begins & chosen & (hidden == MASK)).sum(),
            (begins & chosen & (hidden != MASK) & (hidden != plain)).sum(),
        ]
        for name, which in (("note", plain < NOTE_OFF), ("other", plain >= TIME_SHIFT)):
            per_kind[name] += [(begins & which).sum(), (begins & which & chosen).sum()]
    n, chosen, masked, random = counts
    assert n > 40_000
    assert chosen / n == pytest.approx(0.15, abs=4 * np.sqrt(0.15 * 0.85 / n))
    assert masked / chosen == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / chosen))
    # One in some hundred random events is the one that stood there.
    assert random / chosen == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / chosen) + 0.001)
    for n, chosen in per_kind.values():
        assert chosen / n == pytest.approx(0.15, abs=4 * np.sqrt(0.15 * 0.85 / n))


def _units(row, units):
    return units_of(row.numpy(), units=units)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(few, min_size=6, max_size=6), min_size=1, max_size=4),
    st.floats(0.05, 0.95),
    st.integers(0, 2**31),
)
def test_a_unit_meets_one_fate_and_nothing_else_changes(rows, rate, seed):
    tokens = torch.tensor(rows)
    units = torch.stack([torch.from_numpy(units_of(row)) for row in rows])
    hide = Masking(rate=rate)
    hidden, targets = hide(tokens, units, generator=torch.Generator().manual_seed(seed))
    chosen = targets != -100
    assert torch.equal(targets[chosen], tokens[chosen])
    assert torch.equal(hidden[~chosen], tokens[~chosen])
    assert not chosen[tokens >= N_EVENTS].any()
    assert (hidden[chosen] < N_EVENTS).logical_or(hidden[chosen] == MASK).all()
    for b in range(len(rows)):
        for unit in set(units[b].tolist()) - {FIXED}:
            where = units[b] == unit
            assert chosen[b, where].all() or not chosen[b, where].any()
            if where.sum() == 2 and chosen[b, where].all():
                first, last = hidden[b, where].tolist()
                assert (first == last == MASK) or last - first == NOTE_OFF


def test_masked_notes_leave_no_trace_of_their_pitch():
    row = [CLS, on(60), WAIT, off(60), on(62), WAIT, off(62), SEP]
    units = torch.from_numpy(units_of(row))[None]
    hide = Masking(rate=0.999999, masked=1.0, random=0.0)
    hidden, _ = hide(torch.tensor([row]), units)
    assert set(hidden[0].tolist()) == {CLS, MASK, SEP}


def test_a_lonely_token_is_given_away_by_its_partner():
    """What `units="tokens"` leaves: the note-off of a masked note-on, four times in five or so."""
    pair = Continuations(list(scores.load("ryan", split="valid"))[:60]).right(0)
    known = {"notes": [], "tokens": []}
    for units, found in known.items():
        for seed in range(60):
            x, y = fixed([pair], Masking(units=units), seed=seed)
            hidden, target = x[0, 0], y[0, 1:]
            plain = torch.where(target == -100, hidden, target).numpy()
            partner = {}
            for i, begin in enumerate(units_of(plain)):
                partner.setdefault(begin, []).append(i)
            for places in partner.values():
                if len(places) == 2 and hidden[places[0]] == MASK:
                    found.append(hidden[places[1]].item() == plain[places[1]])
    assert np.mean(known["notes"]) == 0
    assert np.mean(known["tokens"]) == pytest.approx(0.87, abs=0.06)


def test_batches_are_padded_and_padding_is_never_scored(source):
    pairs = source.pairs(seed=0)[:9]
    x, y = batch(pairs, Masking())
    widths = [len(join(p.first, p.second)) for p in pairs]
    assert x.shape == (9, 2, max(widths)) and y.shape == (9, 1 + max(widths))
    assert y[:, 0].tolist() == [int(p.follows) for p in pairs]
    for row, width in enumerate(widths):
        assert (x[row, 0, width:] == PAD).all()
        assert (x[row, 0, :width] != PAD).all()
        assert (y[row, 1 + width :] == -100).all()
    assert torch.equal(x[:, 1].bool(), y[:, 1:] != -100)


def test_fixed_batches_are_fixed_and_leave_the_global_generator_alone(source):
    pairs = source.pairs(seed=0)[:5]
    before = torch.random.get_rng_state()
    one, again, other = (fixed(pairs, Masking(), seed=s)[0] for s in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_an_epoch_has_every_phrase_once_half_of_them_with_the_next(source):
    torch.manual_seed(0)
    batches = loader(source, Masking(rate=1e-9), batch_size=16, transpose=4)
    labels, keys, rows = [], set(), 0
    for x, y in batches:
        labels += y[:, 0].tolist()
        rows += len(x)
        tokens = x[:, 0][x[:, 0] < TIME_SHIFT] % NOTE_OFF
        keys |= set(tokens.tolist())
        assert len(x) <= 16
    assert rows == len(source) and len(batches) == -(-len(source) // 16)
    assert np.mean(labels) == pytest.approx(0.5, abs=0.15)
    # Moved: pitches of every class, though few tunes have five sharps or flats.
    assert {k % 12 for k in keys} == set(range(12))


def test_an_epoch_depends_on_the_global_seed_alone(source):
    def epoch(seed):
        torch.manual_seed(seed)
        return torch.cat([x.flatten() for x, _ in loader(source, Masking())])

    assert torch.equal(epoch(3), epoch(3))
    assert not torch.equal(epoch(3)[:1000], epoch(4)[:1000])


def test_wrong_arguments_are_refused(source):
    with pytest.raises(ValueError, match="units must be one of"):
        units_of([1], units="bars")
    with pytest.raises(ValueError, match="units must be one of"):
        Masking(units="bars")
    with pytest.raises(ValueError, match="rate must lie between 0 and 1"):
        Masking(rate=0)
    with pytest.raises(ValueError, match="shares of one whole"):
        Masking(masked=0.9, random=0.2)
    with pytest.raises(ValueError, match="of one shape"):
        Masking()(torch.zeros(1, 3).long(), torch.zeros(1, 4).long())
    with pytest.raises(ValueError, match="one pair or more"):
        batch([], Masking())
    with pytest.raises(ValueError, match="batch_size of 1 or more"):
        loader(source, Masking(), batch_size=0)
    with pytest.raises(ValueError, match="a token is 0 to 393"):
        units_of([events.N_TOKENS])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MusicBERT(16, 2, 1, max_seq_len=200, dropout=0.0).eval()


def test_the_loss_is_eq_tf_mlm_and_the_question(source, model):
    """eq:tf-mlm, position by position, from the logits of all of them, and eq:tf-bert."""
    x, y = batch(source.pairs(seed=0)[:4], Masking(), generator=torch.Generator().manual_seed(0))
    task = PretrainingTask(model, next_weight=0.5)
    with torch.no_grad():
        total, n = task.terms(task(x), y)
        out = model(x[:, 0])
    said = out["mlm_logits"].log_softmax(dim=-1)
    costs = [-said[b, t, y[b, 1 + t]].item() for b, t in (y[:, 1:] != -100).nonzero().tolist()]
    answers = out["nsp_logits"].log_softmax(dim=-1)[torch.arange(4), y[:, 0]]
    assert n == len(costs)
    expected = np.mean(costs) - 0.5 * answers.mean().item()
    assert (total / n).item() == pytest.approx(expected, rel=1e-5)


def test_what_was_not_chosen_costs_nothing(source, model):
    x, y = batch(source.pairs(seed=0)[:4], Masking())
    everything = model(x[:, 0])["mlm_logits"].detach().requires_grad_()
    chosen = x[:, 1].bool()
    out = {"mlm_logits": everything[chosen], "nsp_logits": torch.zeros(4, 2)}
    total, _ = PretrainingTask(model).terms(out, y)
    (gradient,) = torch.autograd.grad(total, everything)
    assert not gradient[~chosen].any()
    assert gradient[chosen].any(dim=-1).all()
    spoilt = torch.where(chosen[..., None], everything, 1e6).detach()
    again, _ = PretrainingTask(model).terms(out | {"mlm_logits": spoilt[chosen]}, y)
    assert again == total


def test_scores_are_shares_by_hand(model):
    y = torch.tensor([[1, 60, -100, 256], [0, -100, 61, -100]])
    logits = torch.zeros(3, N_EVENTS)
    logits[0, 60] = logits[1, 257] = logits[2, 61] = 1.0  # right, wrong, right
    out = {"mlm_logits": logits, "nsp_logits": torch.tensor([[0.0, 1.0], [0.0, 1.0]])}
    task = PretrainingTask(model)
    found = task.summary(task.counts(out, y))
    expected = {"masked_accuracy": 2 / 3, "note_accuracy": 1.0, "next_accuracy": 0.5}
    assert found == pytest.approx(expected)
    with pytest.raises(ValueError, match="next_weight must be 0 or more"):
        PretrainingTask(model, next_weight=-1)
