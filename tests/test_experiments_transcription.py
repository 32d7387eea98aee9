"""The data and the scores of the transcription experiments."""

import numpy as np
import pytest
import torch

from mircourse.experiments import pianos, transcribers, transcriptions
from mircourse.notescores import match_notes, note_scores
from mircourse.performed import performed_notes


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRCOURSE_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def learnt():
    return pianos.training(1.0, seed=3)


def test_no_family_is_learnt_from_and_scored(learnt):
    heard = {p.family for p in learnt}
    for split in ("valid", "test"):
        assert not heard & {p.family for p in pianos.held_out(split, fast=True)}


def test_the_notes_begin_where_the_sound_says(learnt):
    """Energy rises at the onsets, and less so a tenth of a second before them."""
    rises = []
    for passage in (*learnt, *pianos.held_out("test", font="timgm6mb", fast=True)):
        power = np.square(passage.audio.astype(float))
        total = np.concatenate([[0], np.cumsum(power)])

        def rise(times, total=total):
            at = np.clip((times * pianos.SAMPLE_RATE).astype(int), 400, len(total) - 1200)
            return np.log(total[at + 800] - total[at] + 1e-9) - np.log(
                total[at] - total[at - 400] + 1e-9
            )

        onsets = np.unique(passage.notes["onset_sec"].round(2))
        onsets = onsets[(onsets > 0.2) & (onsets < 14)]
        rises.append(np.median(rise(onsets)) - np.median(rise(onsets - 0.1)))
    assert np.mean(rises) > 0.3


def test_every_passage_of_training_differs_from_the_next(learnt):
    assert len(learnt) == 3
    assert all(len(p.audio) == 20 * pianos.SAMPLE_RATE for p in learnt)
    assert all(len(p.notes) and np.isfinite(p.audio).all() for p in learnt)
    assert len({float(np.abs(p.audio).max()) for p in learnt}) == 3
    again = pianos.training(1.0, seed=3)
    for one, other in zip(learnt, again, strict=True):
        np.testing.assert_array_equal(one.audio, other.audio)
        np.testing.assert_array_equal(one.notes, other.notes)


def test_with_nothing_varied_key_and_loudness_are_the_scores():
    for passage in pianos.training(1.0, varied=(), seed=1):
        assert set(passage.notes["velocity"]) == {80}
    with pytest.raises(ValueError, match="wind"):
        pianos.training(1.0, varied=("wind",))


def test_both_fonts_play_the_same_performances():
    one, other = (pianos.held_out("test", font=f, fast=True) for f in ("fluid", "timgm6mb"))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.notes, b.notes)
        assert not np.array_equal(a.audio, b.audio)
    varied = pianos.held_out("test", sound=("timbre", "room", "noise"), fast=True)
    for a, b in zip(one, varied, strict=True):
        np.testing.assert_array_equal(a.notes, b.notes)
        assert not np.array_equal(a.audio, b.audio)
    detached = pianos.held_out("test", detached=True, fast=True)
    for a, b in zip(one, detached, strict=True):
        assert b.notes["duration_sec"].sum() < 0.95 * a.notes["duration_sec"].sum()


def test_a_network_is_trained_once_and_kept():
    settings = transcribers.SMALL | {
        "arguments": transcribers.SMALL["arguments"]
        | {"hidden_dim": 8, "channels": 4, "size": 8, "n_heads": 4}
    }
    model, seconds = transcribers.trained(settings, seed=0, fast=True)
    again, same = transcribers.trained(settings, seed=0, fast=True)
    assert seconds == same
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert model.onset_threshold in transcribers.THRESHOLDS
    row = {"system": "network", **settings}
    found = transcriptions.score(row, task=transcriptions.UNHEARD, seed=0, fast=True)
    assert len(found["scores"]) == len(found["groups"]) == 3
    assert found["parameters"] == sum(p.numel() for p in model.parameters())


def test_a_note_on_every_half_second_is_scored_like_any_other():
    row = {"system": "every beat"}
    found = transcriptions.score(row, task=transcriptions.HEARD, seed=0, fast=True)
    (notes,) = (
        [performed_notes(np.arange(0, 15, 0.5), np.full(30, 0.5), np.full(30, 60))] for _ in [0]
    )
    test = transcriptions.passages(transcriptions.HEARD, fast=True)
    assert found["scores"] == [note_scores(p.notes, notes[0]).f for p in test]
    with pytest.raises(ValueError, match="unknown system"):
        transcriptions.score({"system": "ear"}, task=transcriptions.HEARD, seed=0, fast=True)


def test_polyphony_is_counted_at_each_onset(monkeypatch):
    reference = performed_notes([0, 0.5, 0.5, 2], [1, 1, 1, 1], [60, 64, 67, 72])
    found = performed_notes([0, 0.5, 2, 2.5], [1, 1, 1, 1], [60, 64, 72, 80])
    passage = pianos.Passage("a", "f", "tunes", np.zeros(1, np.float32), reference)
    monkeypatch.setattr(transcriptions, "passages", lambda task, fast: (passage,))
    monkeypatch.setattr(transcriptions, "written", lambda *a, **k: ([found], {}))
    assert len(match_notes(reference, found)) == 3

    def f(voices):
        return transcriptions.by_polyphony({}, task="", voices=voices, seed=0, fast=True)["scores"]

    # Alone: two, both found, and one invented while one key is down. Three at once: one of two.
    np.testing.assert_allclose(f(1), [2 * 2 / (2 + 3)])
    np.testing.assert_allclose(f(3), [2 * 1 / (2 + 1)])
    assert f(2) == []
    # A note that is let go 20 ms after the next one is struck does not make two.
    reference["duration_sec"][0] = 0.52
    assert f(3) == []
    np.testing.assert_allclose(f(2), [2 * 1 / (2 + 1)])


def test_colour_changes_level_and_envelope_of_every_window_alike():
    torch.manual_seed(0)
    x = [torch.zeros(300, 20)]
    y = [torch.zeros(300, 3, 88)]
    data = transcribers.Excerpts(x, y, excerpts=4, colour=True, windows=2)
    one, target = data[0]
    assert one.shape == (transcribers.FRAMES, 20) and target.shape == (transcribers.FRAMES, 3, 88)
    torch.testing.assert_close(one, one[:1].expand_as(one))
    torch.testing.assert_close(one[:, :10], one[:, 10:])
    assert one.std(1).min() > 0 and not torch.equal(one, data[1][0])
    plain = transcribers.Excerpts(x, y, excerpts=4, colour=False, windows=2)
    assert plain[0][0].abs().sum() == 0
