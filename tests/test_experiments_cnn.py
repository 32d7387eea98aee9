"""The experiments of the CNN chapter: their data, their baselines, and the results committed."""

import numpy as np
import pytest

from mircourse import recordings
from mircourse.experiments import cnn, instruments, onsets, results
from mircourse.metrics import onset_f_measure


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRCOURSE_CACHE", str(tmp_path))


@pytest.mark.parametrize("task", ["valid", "instruments", "low to high"])
def test_no_recording_is_learned_from_and_scored(task):
    learn, score = instruments.split(task)
    assert len(learn) and len(score)
    assert not {n.id for n in learn} & {n.id for n in score}
    assert set(learn.labels) == set(range(19))


def test_held_out_pitches_are_unheard():
    learn, score = instruments.split("instruments")
    assert not set(learn.pitches) & set(score.pitches)
    assert {n.split for n in score} == {"test"}


def test_low_to_high_is_unheard_for_each_instrument():
    learn, score = instruments.split("low to high")
    for label in range(19):
        high = score.pitches[score.labels == label]
        assert learn.pitches[learn.labels == label].max() < high.min()


def test_a_fraction_keeps_every_instrument_and_depends_on_the_seed():
    whole, _ = instruments.split("instruments")
    parts = [instruments.split("instruments", fraction=0.1, seed=seed)[0] for seed in (0, 0, 1)]
    for part in parts:
        assert {n.id for n in part} < {n.id for n in whole}
        for label in range(19):
            wanted = max(1, round(0.1 * (whole.labels == label).sum()))
            assert (part.labels == label).sum() == wanted
    ids = [[n.id for n in part] for part in parts]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("fraction", [0.0, 1.5])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction must be in"):
        instruments.split("instruments", fraction=fraction)


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="got 'tomorrow'"):
        instruments.split("tomorrow")


def test_majority_scores_the_share_of_the_commonest_instrument():
    found = instruments.linear("majority", task="instruments")
    test = recordings.load(split="test")
    piano = test.instruments.index("piano")
    assert np.mean(found["scores"]) == np.mean(test.labels == piano)


def test_a_fast_training_is_scored_on_every_test_note_and_recalled():
    settings = cnn.RECIPE | cnn.music()
    first = instruments.train(settings, task="instruments", seed=0, fast=True)
    again = instruments.train(settings, task="instruments", seed=0, fast=True)
    assert first == again
    assert len(first["scores"]) == 110
    right = np.equal(first["truth"], first["prediction"]).astype(float)
    np.testing.assert_array_equal(first["scores"], right)


def test_onset_targets_mark_the_nearest_frame_and_its_neighbours():
    e = onsets.Excerpt("a", "f", np.zeros(2205, np.float32), np.array([0.0, 0.052]))
    y = onsets.targets((e,), frames=10, hop_seconds=0.01)
    np.testing.assert_allclose(y, [[1, 0.25, 0, 0, 0.25, 1, 0.25, 0, 0, 0]])


def test_the_rendered_onsets_are_where_energy_rises():
    passages = onsets.excerpts("valid", fast=True)
    grid = np.arange(0, onsets.SECONDS, 0.25)
    late = [e.onsets + 0.12 for e in passages]
    found = onsets._librosa(passages, None)

    def score(times):
        return np.mean([onset_f_measure(e.onsets, t) for e, t in zip(passages, times, strict=True)])

    assert all(len(e.onsets) > 5 for e in passages)
    # If audio and notes were out of step, a detector would find no more than by chance.
    assert score(found) > score([grid] * len(passages)) + 0.1
    assert score(found) > np.mean([onset_f_measure(t, f) for t, f in zip(late, found, strict=True)])


def test_splits_of_onset_passages_share_no_family():
    families = [{e.family for e in onsets.excerpts(s, fast=True)} for s in ("train", "test")]
    assert not families[0] & families[1]


def test_an_unknown_detector_is_refused():
    with pytest.raises(ValueError, match="got 'ear'"):
        onsets.without_learning("ear", task="same soundfont", fast=True)


def test_the_instrument_network_is_small():
    row = results.load("cnn-instruments").row("MusicCNN")
    assert row["parameters"] <= 1_000_000
