"""The experiments on melodies: what they count, by hand."""

import numpy as np
import pytest
import torch

from mircourse import melodies
from mircourse.experiments import melodies as experiment
from mircourse.melodies import HIGHEST, LOWEST
from mircourse.melodylstm import MelodyLSTM
from mircourse.notearray import note_array


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRCOURSE_CACHE", str(tmp_path))


def melody(durations, *, meter="2/4", pickup=0.0, ended=True):
    durations = np.asarray(durations, float)
    onset = np.concatenate([[0], np.cumsum(durations)[:-1]])
    made = melodies.encode(
        note_array(onset, durations, np.full(len(onset), 60)), meter=meter, pickup_beats=pickup
    )
    return made if ended else made.first(len(durations))


@pytest.mark.parametrize(
    ("durations", "pickup", "ended", "expected"),
    [
        ([1, 1, 0.5, 1.5, 2], 0, True, (3, 3)),
        ([1, 2, 1], 0, True, (0, 2)),  # a note crosses the bar line
        ([1, 1, 1, 2, 1, 1, 1], 0, True, (2, 4)),
        ([1, 1, 1], 0, True, (1, 2)),  # the last bar lacks a beat
        ([1, 1, 1], 0, False, (1, 1)),  # and is not judged before the tune ends
        ([0.5, 2, 1.5], 0.5, True, (2, 2)),  # the last bar and the pickup make one
        ([0.5, 2, 1], 0.5, True, (1, 2)),
        ([0.5], 0.5, True, (0, 0)),
    ],
)
def test_right_bars_by_hand(durations, pickup, ended, expected):
    tune = melody(durations, pickup=pickup, ended=ended)
    assert experiment.right_bars(tune, after=0) == expected


def test_bars_before_the_prompt_ends_do_not_count():
    tune = melody([1, 2, 1, 1, 1, 2])
    assert experiment.right_bars(tune, after=0) == (2, 4)
    assert experiment.right_bars(tune, after=3) == (2, 2)
    # In the middle of a bar the next bar line begins the count.
    assert experiment.right_bars(tune, after=4) == (1, 1)


@pytest.mark.parametrize("share", [0.9])
def test_most_real_bars_are_right(share):
    counts = [experiment.right_bars(m, after=0) for m in experiment.tunes("valid")]
    right, bars = np.sum(counts, axis=0)
    assert right / bars > share


def test_the_prompt_is_the_pickup_and_two_bars():
    tune = melody([0.5, 1, 1, 0.5, 1.5, 2, 2], pickup=0.5)
    assert experiment.prompt_events(tune) == 5
    assert experiment.prompt_events(melody([2])) == 1


def test_grams_know_no_key_but_rhythm():
    pitches = np.array([60, 62, 64, 65, 67, 69, 71, 72, 60])
    ones = np.ones(9)
    plain = melodies.encode(note_array(np.arange(9.0), ones, pitches))
    assert len(experiment.grams(plain)) == 2
    assert experiment.grams(plain) == experiment.grams(plain.transpose(5))
    slower = melodies.encode(note_array(2 * np.arange(9.0), 2 * ones, pitches))
    assert not set(experiment.grams(plain)) & set(experiment.grams(slower))
    assert len(experiment.grams(plain, after=1)) == 1
    assert len(experiment.grams(plain, after=2)) == 0


def test_a_training_tune_is_a_copy_of_itself():
    known = experiment._known()
    tune = experiment.tunes("train")[5]
    assert all(gram in known for gram in experiment.grams(tune))
    moved = tune.transpose(1)
    assert all(gram in known for gram in experiment.grams(moved))


def test_uniform_bits_are_counted_by_hand():
    tune = melody([1, 1, 2])
    durations, pitches = 4, 3  # the end is a duration without a pitch
    expected = durations * np.log2(melodies.N_DURATIONS) + pitches * np.log2(HIGHEST - LOWEST + 2)
    assert experiment.uniform_bits(tune) == pytest.approx(expected)


def test_bits_of_a_unigram_are_its_counts():
    model = experiment.ngram("unigram", False)
    tune = experiment.tunes("test")[0]
    durations = np.concatenate([m.duration for m in experiment.tunes("train")])
    share = np.bincount(durations, minlength=melodies.N_DURATIONS) / len(durations)
    found = model.reader([tune.first(3)]).durations()[0]
    np.testing.assert_allclose(found, share, atol=2e-4)


@pytest.mark.parametrize("settings", [{"cell": "lstm"}, {"cell": "rnn"}], ids=str)
def test_gradient_norms_are_those_of_finite_differences(settings):
    """Every number of the state three events back is moved a little, both ways."""
    torch.manual_seed(0)
    model = MelodyLSTM(6, embedding=4, place=False, **settings).double().eval()
    tune = next(m for m in experiment.tunes("valid") if len(m) > experiment.LAST + 1)
    norms = experiment.gradient_norms(model, [tune])[0]
    assert norms.shape == (experiment.BACK,)

    from mircourse.melodylstm import batch

    rows = batch([tune])[:, : experiment.LAST + 1]
    x = model.embed(rows[..., :2], rows[..., 2]).detach()
    start = experiment.LAST - 2  # the state before the third step from the end: 3 back

    def cost(state):
        h, _ = model.recurrent(x[:, start:], state)
        target = rows[:, experiment.LAST]
        parts = [model.duration_logits(h[:, -1]), model.pitch_logits(h[:, -1], target[:, 3])]
        return sum(
            torch.nn.functional.cross_entropy(one, target[:, k]).item()
            for one, k in zip(parts, (3, 4), strict=True)
        )

    with torch.no_grad():
        _, state = model.recurrent(x[:, :start])
        parts = state if isinstance(state, tuple) else (state,)
        squares, step = 0.0, 1e-5
        for which in range(len(parts)):
            for i in range(parts[which].numel()):
                moved = [[p.clone() for p in parts] for _ in range(2)]
                for side, sign in zip(moved, (1, -1), strict=True):
                    side[which].view(-1)[i] += sign * step
                sides = [tuple(s) if isinstance(state, tuple) else s[0] for s in moved]
                squares += ((cost(sides[0]) - cost(sides[1])) / (2 * step)) ** 2
    assert norms[2] == pytest.approx(np.sqrt(squares), rel=1e-5)


def test_real_tunes_go_on_as_they_do():
    heard = experiment.scored(True, step=2)
    for (given, tune), real in zip(
        experiment.continued({"model": "real tunes"}, seed=0, fast=True), heard, strict=True
    ):
        assert tune is real and given == experiment.prompt_events(real)


def test_continuations_begin_as_the_tunes_do_and_are_no_longer():
    settings = {"model": "n-gram", "place": True}
    heard = experiment.scored(True, step=2)
    for (given, made), real in zip(
        experiment.continued(settings, seed=0, fast=True), heard, strict=True
    ):
        np.testing.assert_array_equal(made.pitch[:given], real.pitch[:given])
        assert len(made) <= len(real)
        assert made.ended or len(made) == len(real)


def test_a_fast_network_is_scored_and_recalled():
    settings = {"model": "LSTM", "place": True}
    first = experiment.bits(settings, seed=0, fast=True)
    again = experiment.bits(settings, seed=0, fast=True)
    assert first == again
    assert len(first["truth"]) == experiment.FAST_TUNES
    per_note = experiment.per_unit(np.array(first["truth"]), np.array(first["prediction"]))
    assert 2 < per_note < 11


def test_networks_that_are_compared_have_about_as_many_parameters():
    counts = [
        sum(p.numel() for p in experiment.untrained(s, seed=0).parameters())
        for s in ({"model": "LSTM", "place": False}, {"model": "plain RNN", "place": False})
    ]
    assert abs(counts[0] - counts[1]) < 0.05 * counts[0]
    assert max(counts) < 500_000


def test_what_is_learned_from_is_not_scored():
    families = [{m.family for m in experiment.tunes(split)} for split in ("train", "test")]
    assert not families[0] & families[1]
