"""The experiments on MusicBERT: what they count by hand, what is held out, what is recalled."""

from collections import Counter

import numpy as np
import pytest
import torch

from mircourse.events import CLS, MASK, NOTE_OFF, PAD, SEP, TIME_SHIFT, VELOCITY
from mircourse.experiments import bert, grams, pretexts, probes
from mircourse.phrases import Pair, join
from mircourse.pretraining import units_of

METHODS = [
    {"method": "majority"},
    {"method": "n-grams", "kinds": ["rhythm"]},
    {"method": "from scratch"},
    {"method": "frozen"},
    {"method": "pretrained"},
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRCOURSE_CACHE", str(tmp_path))
    tiny = bert.NETWORK | {"d_model": 8, "n_heads": 2, "n_layers": 1}
    monkeypatch.setattr(bert, "NETWORK", tiny)


def played(*notes):
    """Tokens of notes that follow each other: pitch and steps."""
    return [t for p, n in notes for t in (p, TIME_SHIFT + n - 1, NOTE_OFF + p)]


# ---------------------------------------------------------------------------------------- grams


def test_a_line_by_hand():
    tokens = [60, 64, TIME_SHIFT + 23, NOTE_OFF + 60, NOTE_OFF + 64, 67, TIME_SHIFT + 99]
    found = grams.line([*tokens, TIME_SHIFT + 9, NOTE_OFF + 67, 62])
    assert found.onset.tolist() == [0, 24, 134]
    assert found.top.tolist() == [64, 67, 62]
    assert found.chord == [(0, 4), (0,), (0,)]
    assert grams.symbols(found) == {"pitch": [3, -5], "rhythm": [24, 110], "chord": [(0, 4)]}
    assert grams.line([]).top.tolist() == []


def test_runs_by_hand():
    expected = {("a",): 2, ("b",): 1, ("a", "b"): 1, ("b", "a"): 1}
    assert grams.runs("aba", longest=2) == Counter(expected)


def test_no_run_crosses_from_one_phrase_into_the_next():
    one, two = played((60, 24), (62, 24)), played((70, 12), (65, 12))
    apart = grams.counts([CLS, *one, SEP, *two, SEP, PAD])
    assert apart == grams.counts([CLS, *one, SEP]) + grams.counts([CLS, *two, SEP])
    assert apart["pitch", 2] == 1 and apart["rhythm", 12] == 1
    assert ("pitch", 8) not in apart and ("pitch", 2, -5) not in apart
    with pytest.raises(ValueError, match="got meter"):
        grams.counts([CLS], kinds=["meter"])


def test_counts_know_no_key():
    some = bert.items("tunes", ("valid",)).take(range(5))
    x = some.rows.numpy()
    moved = np.where(x < TIME_SHIFT, x + 3, x)
    assert grams.counts(moved) == grams.counts(x)


def test_features_of_a_pair_know_no_key():
    source = bert.continuations("tunes", "valid", True)
    model = grams.Continues().fit(source.pairs(seed=0))
    pairs = source.pairs(seed=1)[:30]
    moved = [Pair(p.first.moved(4), p.second.moved(4), p.follows) for p in pairs]
    np.testing.assert_allclose(model.features(moved), model.features(pairs), atol=1e-8)
    truth = [pair.follows for pair in source.pairs(seed=0)]
    assert np.mean(model.predict(source.pairs(seed=0)) == truth) > 0.7  # what it learnt from


def test_shared_runs_by_hand():
    a, b = (grams.runs(row, longest=5) for row in ([1, 2, 1], [2, 1, 1]))
    shares = grams._shared({"pitch": a}, {"pitch": b})
    # Of 2, 1, 1 all stand in 1, 2, 1; of its pairs one of two; of its triples none.
    np.testing.assert_allclose(shares, [1, 0.5, 0, 0, 0])


def test_between_finds_the_missing_note():
    # Each step is wider than the one before, so that no two notes have the same neighbours.
    scale = played(*((p, 24) for p in (60, 61, 63, 66, 70, 75, 81, 88)))
    model = grams.Between().fit([[CLS, *scale, SEP]])
    row = np.array([CLS, *scale, SEP])
    for at in np.flatnonzero(row < NOTE_OFF)[1:]:
        riddle = np.where(units_of(row) == at, MASK, row)
        assert model.guess(riddle, int(at)) == row[at]
    assert model.guess(np.array([CLS, MASK, 65, SEP]), 1) == 65


# ------------------------------------------------------------------------------------- pretexts


def test_the_partner_gives_a_single_event_away():
    row = np.array([CLS, *played((60, 24), (62, 24), (60, 24)), SEP])
    for at in np.flatnonzero(row < NOTE_OFF):
        hidden = row.copy()
        hidden[at] = MASK
        assert pretexts.partner(hidden, int(at)) == row[at]
        both = np.where(units_of(row) == at, MASK, row)
        before = row[:at][row[:at] < NOTE_OFF]
        assert pretexts.partner(both, int(at)) == (before[-1] if len(before) else 60)


@pytest.mark.parametrize("units", ["notes", "tokens"])
def test_gaps_are_hidden_note_ons(units):
    asked = pretexts.gaps(units, "valid", True)
    at = asked.x[asked.row, 0, asked.column]
    assert (at == MASK).all() and len(at) > 100
    source = bert.continuations("tunes", "valid", True)
    rows = [join(*source.followed[i]) for i in range(0, len(source), 3)]
    for i, j, pitch in zip(asked.row, asked.column, asked.pitch, strict=True):
        assert rows[i][j] == pitch
    copied = pretexts.guesses("partner", units=units, seed=0, fast=True, held_out="valid")
    share = np.mean(copied["scores"])
    assert share > 0.7 if units == "tokens" else share < 0.4


def test_guesses_and_answers_have_a_score_for_each_question():
    for method in ("n-grams", "notes"):
        made = pretexts.guesses(method, units="notes", seed=0, fast=True, held_out="valid")
        assert (
            len(made["scores"])
            == len(made["groups"])
            == len(pretexts.gaps("notes", "valid", True).pitch)
        )
    made = pretexts.follows("pretrained", seed=0, fast=True, held_out="valid")
    assert len(made["scores"]) == 2 * len(bert.continuations("tunes", "valid", True))


# ---------------------------------------------------------------------------------------- items


@pytest.mark.parametrize("corpus", list(bert.CORPORA))
def test_no_family_is_learnt_from_and_scored(corpus):
    learn, held = bert.divided(corpus, "10 %", seed=0, held_out="valid", fast=True)
    assert not set(learn.groups) & set(held.groups)
    assert set(learn.labels) == set(range(bert.n_classes(corpus)))
    for some in (learn, held):
        assert some.owner.tolist() == sorted(some.owner)
        assert set(some.owner) == set(range(len(some)))


def test_taking_items_keeps_their_rows():
    some = bert.items("tunes", ("valid",))
    part = some.take([7, 3])
    for k, i in enumerate((7, 3)):
        torch.testing.assert_close(part.rows[part.owner == k], some.rows[some.owner == i])
        assert part.labels[k] == some.labels[i] and part.groups[k] == some.groups[i]


def test_a_network_is_pretrained_once_and_kept(monkeypatch):
    one = bert.pretrained("tunes", seed=1, fast=True)
    monkeypatch.setattr(bert.training, "fit", None)  # would raise
    again = bert.pretrained("tunes", seed=1, fast=True)
    for a, b in zip(one.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    start = bert.new(seed=1)
    assert not torch.equal(one.nsp_head.weight, start.nsp_head.weight)
    with pytest.raises(TypeError):
        bert.pretrained("tunes", seed=2, fast=True)


def test_masking_alone_is_another_network_kept_apart(monkeypatch):
    both, alone = (bert.pretrained("tunes", seed=1, fast=True, next_weight=w) for w in (1.0, 0.0))
    start = bert.new(seed=1)
    # The answer to the second question starts with no bias, and without that question keeps none.
    assert torch.equal(alone.nsp_head.bias, start.nsp_head.bias)
    assert not torch.equal(both.nsp_head.bias, start.nsp_head.bias)
    assert not torch.equal(alone.mlm_head[0].weight, start.mlm_head[0].weight)
    seen = []
    monkeypatch.setattr(bert, "kept", lambda kind, recipe, train: (seen.append(recipe), 0.0))
    bert.pretrained("tunes", seed=1, fast=True)
    tunes = bert.CORPORA["tunes"]  # the key under which networks are kept, which must not change
    assert seen == [[bert.VERSION, bert.NETWORK, bert.PRETRAINING, tunes, "notes", 1, True]]


@pytest.mark.parametrize("settings", METHODS, ids=lambda s: s["method"])
def test_every_way_of_learning_scores_the_same_items(settings):
    made = bert.score(settings, corpus="tunes", share="1 %", seed=0, fast=True, held_out="valid")
    held = bert.divided("tunes", "1 %", seed=0, held_out="valid", fast=True)[1]
    assert made["groups"] == held.groups and made["truth"] == held.labels.tolist()
    right = np.array(made["truth"]) == made["prediction"]
    assert made["scores"] == right.astype(float).tolist()


def test_quartets_are_the_windows_of_three_composers():
    settings = {"method": "majority"}
    whole, part = (
        bert.composers(settings, share="1 %", quartets=q, seed=0, fast=True) for q in (False, True)
    )
    assert set(part["truth"]) == set(bert.QUARTETS)
    keep = [t in bert.QUARTETS for t in whole["truth"]]
    assert part["groups"] == [g for g, k in zip(whole["groups"], keep, strict=True) if k]


# --------------------------------------------------------------------------------------- probes


def test_answers_fit_what_is_read():
    for question in probes.QUESTIONS:
        asked = probes.asked(question, "valid", True)
        again = probes.asked(question, "valid", True)
        assert asked is again
        for i, j, answer, group in zip(
            asked.row, asked.column, asked.answer, asked.groups, strict=True
        ):
            token = int(asked.rows[i, j])
            assert group
            if question == "hidden pitch":
                assert token == MASK and 0 <= answer < 12
            else:
                assert token < NOTE_OFF
        if question == "hidden pitch":  # nothing that is left gives a note away
            plain = asked.rows.clone()
            assert (asked.rows == MASK).sum() >= 2 * len(asked.answer) - len(asked.rows)
            assert plain.shape[1] == probes.MAX_TOKENS + 2


def test_places_advance_as_time_does():
    asked = probes.asked("place in the bar", "valid", True)
    tokens = asked.rows.numpy()
    waits = np.where((tokens >= TIME_SHIFT) & (tokens < VELOCITY), tokens - TIME_SHIFT + 1, 0)
    time = waits.cumsum(axis=1)[asked.row, asked.column]
    eighths = time * probes.PLACES / probes.STEPS_A_BAR
    # One excerpt begins at one place: what is left of each answer is the same, but for rounding.
    for i in np.unique(asked.row):
        of = asked.row == i
        start = (asked.answer[of] - eighths[of]) % probes.PLACES
        spread = (start - start[0] + 4) % 8 - 4
        assert np.abs(spread).max() < 1


def test_keys_are_those_of_the_moved_tunes():
    """The commonest pitch class above the tonic is the tonic or the fifth, as in such tunes."""
    asked = probes.asked("key", "train")
    pitch = asked.rows.numpy()[asked.row, asked.column] % 12
    off = np.bincount((pitch - asked.answer) % 12, minlength=12)
    assert set(off.argsort()[::-1][:3]) <= {0, 2, 4, 7, 9, 11}
    assert off[[0, 2, 4, 5, 7, 9, 11]].sum() > 0.85 * off.sum()
    assert len(np.unique(asked.answer)) == 12


def of(row, *columns):
    """One excerpt and the positions that are asked about."""
    where = np.array(columns)
    nothing = np.zeros(len(where), np.int64)
    return probes.Asked(torch.tensor([row]), nothing, where, nothing, ["a"] * len(where))


def test_counts_of_an_excerpt_by_hand():
    row = [CLS, *played((60, 24), (62, 12), (72, 48), (67, 24)), SEP, PAD]
    share = probes.counts("key", of(row, 1, 4))
    expected = np.zeros(12)
    expected[[0, 2, 7]] = 0.5, 0.25, 0.25
    np.testing.assert_allclose(share, [expected, expected])

    waits = probes.counts("place in the bar", of(row, 1, 4, 10)).reshape(3, 8, -1)
    assert (waits.sum(axis=2) == 1).all()
    found = waits.argmax(axis=2) * 6  # steps from onset to onset, before and after
    assert found.tolist() == [
        [0, 0, 0, 0, 24, 12, 48, 0],
        [0, 0, 0, 24, 12, 48, 0, 0],
        [0, 24, 12, 48, 0, 0, 0, 0],
    ]
    with pytest.raises(ValueError, match="got 'hidden pitch'"):
        probes.counts("hidden pitch", of(row, 1))


def test_counting_fills_what_it_has_seen():
    scale = played(*((p, 24) for p in (60, 61, 63, 66, 70, 75, 81, 88)))
    row = np.array([CLS, *scale, SEP])
    riddle = np.where(units_of(row) == 10, MASK, row)
    assert probes.between(of(row.tolist()), of(riddle.tolist(), 10)).tolist() == [row[10] % 12]


def test_probes_score_every_question():
    for question in probes.QUESTIONS:
        settings = {"network": "none", "embeddings": False}
        made = probes.probe(settings, question=question, seed=0, fast=True, held_out="valid")
        assert len(made["scores"]) == len(probes.asked(question, "valid", True).answer)
    networks = ((None, True), ("pretrained", True), ("masking alone", False), ("untrained", False))
    for network, embeddings in networks:
        settings = {"network": network, "embeddings": embeddings}
        made = probes.probe(settings, question="key", seed=0, fast=True, held_out="valid")
        assert len(made["scores"]) == len(probes.asked("key", "valid", True).answer)
    with pytest.raises(ValueError, match="question must be one of"):
        probes.asked("tempo", "valid")
