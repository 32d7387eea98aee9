"""Dance types: duple tunes only, families apart, baselines that learn, renderings that repeat."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mircourse import scores
from mircourse.experiments import dances
from mircourse.scores import Piece, note_array


def piece(onset, duration, pitch, *, meter="2/4", tune_type="reel", family="f", name="made"):
    return Piece(
        id=name,
        title=name,
        collection="made",
        composer="nobody",
        notes=note_array(onset, duration, pitch),
        meter=meter,
        tune_type=tune_type,
        family=family,
    )


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRCOURSE_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def every():
    return dances.tunes()


def test_only_duple_tunes_of_the_four_types(every):
    assert {p.meter for p in every} == {"2/4", "2/2", "4/4"}
    assert {p.tune_type for p in every} == set(dances.TYPES)
    assert {p.collection for p in every} == {"ryan", "oneill"}
    # Nothing that qualifies is left out.
    wanted = [
        p.id
        for name in ("ryan", "oneill")
        for p in scores.load(name)
        if p.meter and p.meter.split("/")[0] in "24" and p.tune_type in dances.TYPES
    ]
    assert sorted(wanted) == sorted(p.id for p in every)
    assert min(Counter(p.tune_type for p in every).values()) > 30


def test_families_do_not_cross_splits(every):
    parts = {name: dances.tunes(name) for name in ("train", "valid", "test")}
    assert sum(map(len, parts.values())) == len(every)
    splits: dict[str, set[str]] = {}
    for name, pieces in parts.items():
        assert {p.tune_type for p in pieces} == set(dances.TYPES)
        for p in pieces:
            splits.setdefault(p.family, set()).add(name)
    assert all(len(found) == 1 for found in splits.values())


def test_what_is_tuned_on_is_not_what_is_scored():
    learn, check = dances.divided("valid")
    more, score = dances.divided("dances")
    test = {p.id for p in score}
    assert not test & {p.id for p in learn + check}
    assert {p.id for p in more} == {p.id for p in learn + check}
    with pytest.raises(ValueError, match="task must be valid or dances, got 'test'"):
        dances.divided("test")


def test_labels():
    made = [piece([0], [1], [60], tune_type=kind) for kind in dances.TYPES]
    assert dances.labels(made).tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="none of clog, hornpipe, reel, strathspey"):
        dances.labels([piece([0], [1], [60], tune_type="jig")])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=2, max_size=20),
    st.sampled_from([-5, 0, 7]),
)
def test_notation_does_not_change_what_is_read(steps, shift):
    # A 2/4 in sixteenths and a 2/2 in eighths, in any key, read and sound the same.
    ticks = np.cumsum([0, *steps])
    pitch = 60 + np.arange(len(ticks)) % 5
    length = np.diff(ticks, append=ticks[-1] + 1)
    small = piece(ticks / 4, length / 4, pitch, meter="2/4")
    large = piece(ticks / 2, length / 2, pitch + shift, meter="2/2")
    assert dances.rhythm(small) == dances.rhythm(large)
    assert [Fraction(s) for s in dances.rhythm(small)] == [Fraction(s, 8) for s in steps]
    assert dances.intervals(small) == dances.intervals(large) == [str(d) for d in np.diff(pitch)]
    one, other = dances.performance(small), dances.performance(large)
    np.testing.assert_allclose(one["onset_beat"], other["onset_beat"])
    np.testing.assert_array_equal(one["pitch"] + shift, other["pitch"])


def test_chords_are_read_by_their_top_note():
    made = piece([0, 0, 1, 2, 2], [1, 1, 1, 1, 1], [60, 67, 69, 48, 72])
    assert dances.intervals(made) == ["2", "3"]
    assert dances.rhythm(made) == ["1/2", "1/2"]


def test_performance_fills_sixteen_bars_on_the_grid():
    made = piece([0, 1, 3], [1, 2, 5], [60, 62, 64])  # four bars of 2/4
    notes = dances.performance(made)
    assert len(notes) == 3 * 4
    np.testing.assert_allclose(notes["onset_beat"][:6], [0, 0.5, 1.5, 4, 4.5, 5.5])
    assert notes["onset_beat"].max() < dances.BARS <= (notes["onset_beat"] + 4).max()


def test_degenerate_tunes_are_errors():
    with pytest.raises(ValueError, match="no notes to play"):
        dances.performance(piece([], [], []))
    with pytest.raises(ValueError, match="has no meter"):
        dances.performance(piece([0], [1], [60], meter=None))
    with pytest.raises(ValueError, match="got no tunes"):
        dances.spectrograms(None, [])
    with pytest.raises(ValueError, match="no baseline 'guess'; choose from majority"):
        dances.baseline("guess")
    assert dances.rhythm(piece([0], [1], [60])) == []  # one note: nothing to read, no error


def test_baselines_beat_majority(monkeypatch):
    subset = {split: dances.tunes(split)[::3] for split in ("train", "valid")}
    monkeypatch.setattr(dances, "divided", lambda task: (subset["train"], subset["valid"]))
    majority = dances.baseline("majority", task="valid")
    rhythm = dances.baseline("rhythm n-grams", task="valid")
    assert majority["truth"] == rhythm["truth"] == dances.labels(subset["valid"]).tolist()
    assert len(set(majority["prediction"])) == 1
    assert np.mean(rhythm["scores"]) > np.mean(majority["scores"]) + 0.05
    assert rhythm["scores"] == [
        float(t == p) for t, p in zip(rhythm["truth"], rhythm["prediction"], strict=True)
    ]
    assert rhythm["groups"] == [p.family for p in subset["valid"]]


def network(**arguments):
    from mircourse.cnn import MusicCNN

    return MusicCNN(4, dances.SAMPLE_RATE, width=0.0625, **dances.FRONT_END, **arguments)


def test_a_rendering_is_the_models_own_spectrogram_and_is_cached(every, cache):
    import torch

    model, pieces = network(), every[:3]
    first = dances.spectrograms(model, pieces)
    assert first.dtype == np.float16
    assert first.shape[:2] == (3, dances.FRONT_END["n_mels"])
    heard = torch.from_numpy(dances.audio(pieces))
    assert heard.shape == (3, dances.BARS * dances.BAR_SECONDS * dances.SAMPLE_RATE)
    own = model.spectrogram(heard).numpy()
    np.testing.assert_allclose(first, own, atol=0.02)
    files = list((cache / "dances").rglob("*.npy"))
    assert len(files) == 3
    # Alone or in company, anew or from the cache: the same numbers.
    for file in files:
        np.save(file, np.load(file) + 1)
    np.testing.assert_array_equal(dances.spectrograms(model, pieces[:2]), first[:2] + 1)
    for file in files:
        file.unlink()
    np.testing.assert_allclose(dances.spectrograms(model, pieces[1:2])[0], first[1], atol=0.02)
    with pytest.raises(ValueError, match="22050 Hz; the tunes are rendered at 8000 Hz"):
        from mircourse.cnn import MusicCNN

        dances.spectrograms(MusicCNN(4), pieces)


def test_onsets_are_heard_where_the_score_has_them():
    # Four plucks a bar: the level rises at each eighth of a second and nowhere between.
    made = piece(np.arange(8) / 2, np.full(8, 0.5), np.full(8, 69))
    level = np.abs(dances.audio([made])[0, : dances.SAMPLE_RATE])
    envelope = level.reshape(-1, 100).max(axis=1)  # one value each 12.5 ms, 10 a note
    rise = np.diff(envelope, prepend=0).reshape(8, 10)
    assert (rise[:, :2].max(axis=1) > 3 * rise[:, 4:8].max()).all()


def test_excerpts_are_eight_bars_of_the_same_tune():
    import torch

    torch.manual_seed(0)
    x = torch.arange(3 * 2 * 321.0).reshape(3, 2, 321)
    y = torch.tensor([0, 1, 2])
    cut, same = dances.excerpts(x, y)
    assert cut.shape == (3, 2, dances.EXCERPT)
    assert torch.equal(same, y)
    for one, whole in zip(cut, x, strict=True):
        first = int(one[0, 0] - whole[0, 0])
        assert torch.equal(one, whole[:, first : first + dances.EXCERPT])
    short, _ = dances.excerpts(x[..., :10], y)
    assert torch.equal(short, x[..., :10])


def test_train_gives_an_outcome_and_recalls_it(monkeypatch):
    subset = dances.tunes("train")[::20], dances.tunes("valid")[::12]
    monkeypatch.setattr(dances, "divided", lambda task: subset)
    found = dances.train({"width": 0.0625, "branches": "wide"}, seed=1, fast=True, task="valid")
    assert len(found["scores"]) == len(found["groups"]) == len(subset[1])
    assert found["truth"] == dances.labels(subset[1]).tolist()
    assert set(found["prediction"]) <= {0, 1, 2, 3}
    assert found["parameters"] > 0
    with pytest.raises(ValueError, match="branches='round'"):
        dances.train({"branches": "round"}, seed=0, fast=True, task="valid")
    monkeypatch.delattr(dances, "trained")  # what is recalled is not trained again
    again = dances.train({"width": 0.0625, "branches": "wide"}, seed=1, fast=True, task="valid")
    assert again == found
