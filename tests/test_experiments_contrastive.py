"""The experiments of the SimCLR chapter: their views, their data, and that every one runs."""

import numpy as np
import pytest
import torch

from mircourse import recordings, synth
from mircourse.experiments import (
    contrastive,
    dances,
    fewlabels,
    geometry,
    readouts,
    selfsupervised,
    timbres,
)
from mircourse.experiments import definition as defined
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.runner import Outcome, run_units, stored, units

MODULE = contrastive.__name__
EXPERIMENTS = [e for e in defined.defined() if e.run_unit.__module__ == MODULE]


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    """What is trained or rendered here is so once, for all tests, and small."""
    few = [p for p in dances.tunes("train")[::90]], [p for p in dances.tunes("valid")[::12]]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MIRCOURSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patched.setattr(dances, "divided", lambda task: few)
        patched.setattr(fewlabels, "tunes", lambda held_out, fast: few)
        yield


def test_every_experiment_of_the_chapter_has_three_seeds():
    names = {e.name for e in EXPERIMENTS}
    assert names == {f"contrastive-{name}" for name in NAMES} and len(names) == len(NAMES)
    assert all(e.seeds == 3 and e.split == "test" for e in EXPERIMENTS)


NAMES = (
    "labels",
    "augmentations",
    "batch",
    "temperature",
    "collapse",
    "alignment",
    "uniformity",
)


@pytest.mark.parametrize(
    ("name", "row", "task"),
    [
        ("labels", "SimCLR", "instruments, 1 %"),
        ("labels", "SimCLR on recordings", "instruments, 1 %"),
        ("labels", "SimCLR, k-NN", "dances, 10 %"),
        ("labels", "from scratch", "dances, 10 %"),
        ("augmentations", "without other notes", "instruments, 10 %"),
        ("collapse", "without negatives", "instruments, 10 %"),
        ("alignment", "with negatives", "projection"),
        ("uniformity", "untrained", "representation"),
    ],
)
def test_a_unit_runs_and_scores_every_held_out_item(name, row, task):
    experiment = next(e for e in EXPERIMENTS if e.name == f"contrastive-{name}")
    unit = next(u for u in units(experiment, seeds=[0]) if u.row.name == row and u.task == task)
    run_units(experiment, [unit], fast=True, progress=False)
    found = stored(experiment, unit, fast=True)
    wanted = 110 if "dances" not in task else len(fewlabels.tunes("test", fast=True)[1])
    assert len(found.groups) == wanted
    if experiment.statistic is None:
        assert len(found.scores) == wanted


def test_equal_settings_train_once(monkeypatch):
    settings = {"temperature": 0.5}
    where = {"domain": "instruments", "held_out": "valid", "seed": 0, "fast": True}
    first, seconds = selfsupervised.pretrained(settings, **where)
    monkeypatch.setattr(selfsupervised, "note_views", None)  # what a training needs
    again, kept_seconds = selfsupervised.pretrained(settings, **where)
    assert kept_seconds == seconds
    x = torch.from_numpy(selfsupervised.heard("instruments", fast=True)[:2])
    torch.testing.assert_close(again.embed(x), first.embed(x))
    torch.testing.assert_close(again(x), first(x))


@pytest.mark.parametrize("domain", fewlabels.DOMAINS)
@pytest.mark.parametrize("fraction", [0.01, 0.1, 1.0])
def test_labels_are_a_share_of_each_class_and_none_is_scored(domain, fraction):
    some = {"fraction": fraction, "seed": 0, "fast": False}
    learn, score = fewlabels.labelled(domain, "test", **some)
    whole, _ = fewlabels.labelled(domain, "test", **some | {"fraction": 1.0})
    assert not {item.id for item in learn} & {item.id for item in score}
    told, all_told = (fewlabels.labels(domain, items) for items in (learn, whole))
    for label in np.unique(all_told):
        wanted = max(1, round(fraction * (all_told == label).sum()))
        assert (told == label).sum() == wanted


def test_views_of_notes_have_the_length_that_is_heard():
    audio = torch.from_numpy(recordings.load()[:6].audio(2.5))
    encoder = selfsupervised.untrained(domain="instruments", seed=0).encoder
    frames = selfsupervised.heard("instruments", fast=True).shape[2]
    for options in ({}, {"without": "Speed"}, {"without": "SpecAugment"}, {"strong": True}):
        views = selfsupervised.note_views(encoder, **options)
        assert views(audio).shape == (6, 128, frames)
        names = [type(step).__name__ for step in views.pipeline.steps]
        assert options.get("without") not in names
        assert (views.masks is None) == (options.get("without") == "SpecAugment")
    early = selfsupervised.note_views(encoder, without="Crop").pipeline.steps
    assert [step.latest for step in early if type(step).__name__ == "Crop"] == [0.0, 0.0]


def test_views_of_tunes_are_excerpts_of_one_key():
    torch.manual_seed(0)
    ramp = torch.arange(321.0) + 1000 * torch.arange(3)[:, None]  # (K, T)
    x = ramp[None, :, None].expand(40, 3, 8, 321)
    views = selfsupervised.TuneViews()
    views.masks = lambda spectrograms: spectrograms
    cut = views(x)
    assert cut.shape == (40, 8, dances.EXCERPT)
    keys = (cut // 1000).flatten(1)
    assert (keys == keys[:, :1]).all() and set(keys[:, 0].tolist()) == {0, 1, 2}
    assert (cut.diff(dim=2) == 1).all()


def test_every_program_is_played_at_pitches_that_it_has():
    for program in timbres.PROGRAMS:
        found = timbres.pitches(program)
        assert len(set(found)) == timbres.NOTES
        assert set(found) <= set(synth.pitches(timbres.FONT)[program])
        assert timbres.LOWEST <= min(found) < max(found) <= timbres.HIGHEST


def test_views_of_a_timbre_are_its_notes():
    torch.manual_seed(0)
    x = torch.arange(5.0)[:, None].expand(60, 5, 8).half()
    note = timbres.TimbreViews(lambda audio: audio)(x)
    assert note.shape == (60, 8) and note.dtype == torch.float32
    assert (note == note[:, :1]).all() and set(note[:, 0].tolist()) == {0, 1, 2, 3, 4}


def test_timbres_are_as_loud_as_each_other_and_long_enough_for_any_view():
    audio = timbres.audio(seconds=selfsupervised.LONGEST, sample_rate=8000, fast=True)
    assert audio.shape == (4, 2, round(selfsupervised.LONGEST * 8000))
    np.testing.assert_allclose(np.abs(audio).max(axis=2), 1, atol=0.01)
    encoder = selfsupervised.untrained(domain="instruments", seed=0).encoder
    for strong in (False, True):
        crop = selfsupervised.note_views(encoder, strong=strong).pipeline.steps[0]
        assert crop.seconds + crop.latest < selfsupervised.LONGEST


def test_uniformity_is_that_of_the_package():
    from mircourse.contrastive import uniformity

    found = geometry.measure(
        "uniformity", {"features": "random"}, space="projection", seed=0, fast=True
    )
    notes = recordings.load()
    rows = [k for k, note in enumerate(notes) if note.split == "test"]
    heard = torch.from_numpy(selfsupervised.heard("instruments", fast=True)[rows])
    with torch.inference_mode():
        z = selfsupervised.untrained(domain="instruments", seed=0)(heard)
    wanted = uniformity(z).item()
    assert contrastive.log_mean(None, found["prediction"]) == pytest.approx(wanted, rel=1e-4)


def test_the_rule_looks_at_few_labels_only():
    experiment = next(e for e in EXPERIMENTS if e.name == "contrastive-labels")

    def outcome(share):
        scores = np.array([1.0] * round(20 * share) + [0.0] * round(20 * (1 - share)))
        return [Outcome(scores, [str(k) for k in range(20)], [], [], 0, 0.0, "CPU")]

    for few, verdict in ((0.9, "holds"), (0.5, "fails")):
        outcomes = {
            (row.name, task): outcome(few if row.name == "SimCLR" and task in FEW else 0.5)
            for row in experiment.rows
            for task in experiment.tasks_of(row)
        }
        assert experiment.rule(Comparison(experiment, outcomes)).value == verdict


FEW = [f"{domain}, {share} %" for domain in ("instruments", "dances") for share in (1, 5, 10)]


def test_what_is_unknown_is_refused():
    some = {"held_out": "test", "seed": 0, "fast": True}
    with pytest.raises(ValueError, match=r"features must be one of .*got 'ears'"):
        readouts.features("ears", domain="instruments", **some)
    with pytest.raises(ValueError, match="got 'birds'"):
        fewlabels.labelled("birds", "test", fraction=1.0, seed=0, fast=True)
    with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\]"):
        fewlabels.labelled("dances", "test", fraction=0.0, seed=0, fast=True)
    with pytest.raises(ValueError, match="expected alignment or uniformity"):
        geometry.measure("beauty", {}, space="projection", seed=0, fast=True)
