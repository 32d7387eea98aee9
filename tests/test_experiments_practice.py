"""The experiments of the chapter on good practice: what changes, what is shared, what is known."""

import numpy as np
import pytest
import torch

from mircourse import recordings
from mircourse.cnn import MusicCNN
from mircourse.experiments import (
    augmenting,
    conflicts,
    dances,
    definition,
    fewlabels,
    frontends,
    pianos,
    practice,
    selfsupervised,
    starts,
    together,
    transcribers,
    transcriptions,
)
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.peers import musicnn, resemblyzer
from mircourse.experiments.peers.musicnn_network import Musicnn
from mircourse.experiments.runner import Outcome, run_units, stored, units
from mircourse.transcription import MusicTranscriptionRNN

EXPERIMENTS = {
    e.name: e for e in definition.defined() if e.run_unit.__module__ == practice.__name__
}
PASSAGES = 2


def few_notes():
    """Two training notes of each instrument, and one of each other split where there is one."""
    every, kept = recordings.load(), []
    for name in every.instruments:
        for split, most in (("train", 2), ("valid", 1), ("test", 1)):
            some = [n.id for n in every if n.instrument == name and n.split == split]
            kept += some[:most]
    return every.filter(lambda note: note.id in kept)


def untrained(settings, *, seed, fast):
    """Stand in for a transcriber: what its training does is tested with the other chapter."""
    return MusicTranscriptionRNN(**settings["arguments"]), 0.0


def unrendered(settings, *, task, seed, fast):
    """Stand in for the network of rendered notes, which takes longer to hear than to train."""
    assert settings["learn_from"] == "rendered"
    return MusicCNN(n_classes=19, hop_length=1024, **settings["arguments"]).eval(), 0.0


@pytest.fixture(autouse=True, scope="module")
def small(tmp_path_factory):
    """Few notes, tunes and passages, peers that know nothing, and a cache for all tests."""
    notes = few_notes()
    tunes = dances.tunes("train")[::150], dances.tunes("valid")[::30]
    passages = pianos.held_out("valid", fast=True)[:PASSAGES]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MIRCOURSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        # Two of each will do: for the tape and the shift one of them is none.
        versions = {name: some[1:3] for name, some in augmenting.VERSIONS.items()}
        patched.setattr(augmenting, "VERSIONS", versions)
        patched.setattr(recordings, "load", lambda split=None: notes)
        patched.setattr(dances, "divided", lambda task: tunes)
        patched.setattr(fewlabels, "tunes", lambda held_out, fast: tunes)
        patched.setattr(musicnn, "load", lambda: Musicnn(musicnn.MTT_TAGS).eval())
        patched.setattr(resemblyzer, "load", lambda: resemblyzer.VoiceEncoder().eval())
        patched.setattr(transcriptions, "passages", lambda task, fast: passages)
        patched.setattr(transcribers, "trained", untrained)
        patched.setattr(frontends, "network", unrendered)
        selfsupervised.heard.cache_clear()
        yield notes
        selfsupervised.heard.cache_clear()


def test_every_experiment_has_three_seeds_and_is_scored_on_the_test_split():
    names = {"augmentation", "together", "transcription", "conflict", "transfer"}
    assert set(EXPERIMENTS) == {f"practice-{name}" for name in names}
    assert all(e.seeds == 3 and e.split == "test" for e in EXPERIMENTS.values())


@pytest.mark.parametrize(
    ("name", "row", "task"),
    [
        ("augmentation", "pitch shift", "instruments, 100 %"),
        ("augmentation", "mixing", "instruments, 10 %"),
        ("augmentation", "masks", "dances, 100 %"),
        ("augmentation", "keys", "dances, 10 %"),
        ("together", practice.SHARED, "instruments, 10 %"),
        ("together", practice.EQUAL, "pitches"),
        ("transcription", practice.EQUAL, "onsets"),
        ("conflict", practice.UNRELATED, "notes, before training"),
        ("conflict", "instrument and pitch", "notes, after training"),
        ("conflict", "pitches and onsets", "passages, after training"),
        ("transfer", practice.MFCC, "instruments, 10 %"),
        ("transfer", "speech, frozen", "dances, 100 %"),
        ("transfer", "speech, fine-tuned", "instruments, 1 %"),
        ("transfer", "rendered, fine-tuned", "instruments, 1 %"),
        ("transfer", "rendered, frozen", "instruments, 100 %"),
    ],
)
def test_a_unit_runs_and_scores_every_held_out_item(name, row, task, small):
    experiment = EXPERIMENTS[f"practice-{name}"]
    unit = next(u for u in units(experiment, seeds=[0]) if u.row.name == row and u.task == task)
    run_units(experiment, [unit], fast=True, progress=False)
    found = stored(experiment, unit, fast=True)
    wanted = len(small.filter(lambda note: note.split == "test"))
    if task.startswith("dances"):
        wanted = len(fewlabels.tunes("test", True)[1])
    elif name == "transcription" or task.startswith("passages"):
        wanted = PASSAGES
    elif name == "conflict":
        wanted = 2
    assert len(found.scores) == len(found.groups) == wanted
    assert np.isfinite(found.scores).all()


# ---------------------------------------------------------------------------- augmentation


def first_batch(change, domain, items):
    """Return what a change makes of items, and their labels, and the material itself."""
    model = MusicCNN(**selfsupervised.NETWORKS[domain])
    x = torch.from_numpy(np.asarray(augmenting.material(change, domain, items, fast=True))).float()
    y = torch.from_numpy(fewlabels.labels(domain, items))
    return (*augmenting.changed(change, domain, model)(x, y), x, y)


def test_without_a_change_a_note_is_heard_as_it_was_recorded(small):
    got, y, *_ = first_batch("nothing", "instruments", small)
    np.testing.assert_array_equal(got, selfsupervised.heard("instruments", fast=True))
    assert torch.equal(y, torch.from_numpy(small.labels))


@pytest.mark.parametrize("domain", fewlabels.DOMAINS)
def test_every_change_keeps_the_size_and_moves_the_labels_where_it_has_to(domain, small):
    torch.manual_seed(0)
    items = small[::8] if domain == "instruments" else 4 * fewlabels.tunes("test", True)[1]
    plain, y, *_ = first_batch("nothing", domain, items)
    for change in augmenting.CHANGES:
        if (change, domain) == ("keys", "instruments"):
            continue
        got, shares, *_ = first_batch(change, domain, items)
        assert got.shape == plain.shape and torch.isfinite(got).all()
        assert torch.equal(got, plain) == ((change, domain) == ("nothing", "instruments"))
        if change not in augmenting.DRAWN:
            assert torch.equal(shares, y)
            continue
        np.testing.assert_allclose(shares.sum(dim=1), 1, atol=1e-5)
        several = (shares > 0).sum(dim=1).max() > 1
        assert several == (change in ("mixing", "sums") and len(set(y.tolist())) > 1)


@pytest.mark.parametrize("change", augmenting.VERSIONS)
def test_versions_are_what_the_change_makes_of_the_sound(change, small):
    model = MusicCNN(**selfsupervised.NETWORKS["instruments"])
    made = augmenting.material(change, "instruments", small, fast=True)
    audio = torch.from_numpy(small.audio(augmenting.SLACK * selfsupervised.HEARD))
    n = round(selfsupervised.HEARD * selfsupervised.RATE)
    for (step, rate), got in zip(augmenting.VERSIONS[change], made.swapaxes(0, 1), strict=True):
        heard = step(augmenting.Clips(audio, selfsupervised.RATE)).audio[:, :n]
        wanted = model.spectrogram(heard)
        np.testing.assert_allclose(got, wanted, atol=0.02)  # rounded to half precision
        if rate == 1 and getattr(step, "semitones", (0, 0)) == (0, 0):
            np.testing.assert_allclose(
                got, selfsupervised.heard("instruments", fast=True), atol=0.02
            )
    drawn, _, x, _ = first_batch(change, "instruments", small)
    assert all(any(torch.equal(one, v) for v in some) for one, some in zip(drawn, x, strict=True))


def test_an_excerpt_begins_anywhere_but_not_so_late_that_silence_is_heard(monkeypatch):
    torch.manual_seed(0)
    assert set(augmenting.places(torch.full((200,), 12.9), 10).tolist()) == {0, 1, 2}
    rates = (0.8, 1.0, 1.25)
    monkeypatch.setitem(augmenting.VERSIONS, "time stretch", [(None, rate) for rate in rates])
    model = MusicCNN(**selfsupervised.NETWORKS["dances"])
    # Each version counts its frames; the number of the version stands above.
    x = torch.arange(321.0) + 1000 * torch.arange(3.0)[:, None, None]  # (3, 1, 321)
    got, _ = augmenting.changed("time stretch", "dances", model)(
        x.expand(300, 3, 1, 321), torch.zeros(300)
    )
    assert got.shape == (300, 1, dances.EXCERPT)
    for version, rate in enumerate(rates):
        last = got[(got[:, 0, 0] // 1000).long() == version, 0, -1] - 1000 * version
        assert 321 / max(rate, 1) - 12 < last.max() < 321 / max(rate, 1)


def test_a_tune_that_is_changed_as_sound_is_heard_from_anywhere_in_whole_frames():
    torch.manual_seed(0)
    model = MusicCNN(**selfsupervised.NETWORKS["dances"])
    hop = dances.FRONT_END["hop_length"]
    clicks = torch.zeros(24, 64000)
    clicks[:, hop * 160] = 1
    y = torch.zeros(24, dtype=torch.long)
    got, _ = augmenting.changed("gain", "dances", model)(clicks, y)
    where = got.sum(dim=1).argmax(dim=1)
    assert len(set(where.tolist())) > 12
    # A click in the middle of a frame is as loud in the frame before as in the one after.
    loud = got.exp().sum(dim=1)
    inside = [(loud[k, w - 1], loud[k, w + 1]) for k, w in enumerate(where) if 0 < w < 159]
    for before, after in inside:
        torch.testing.assert_close(before, after, rtol=0.05, atol=1e-6)


def test_tunes_are_heard_in_the_keys_that_were_asked_for():
    tunes = fewlabels.tunes("test", True)[1][:3]
    plain = augmenting.material("nothing", "dances", tunes, fast=True)
    moved = augmenting.material("keys", "dances", tunes, fast=True)
    assert plain.shape == (3, 1, 32, 321) and moved.shape == (3, 3, 32, 321)
    np.testing.assert_array_equal(moved[:, 0], plain[:, 0])
    model = MusicCNN(**selfsupervised.NETWORKS["dances"])
    wanted = dances.spectrograms(model, [tunes[1].transpose(selfsupervised.KEYS[2])])[0]
    np.testing.assert_array_equal(moved[1, 2], wanted)


def test_unknown_changes_and_keys_of_notes_are_refused(small):
    with pytest.raises(ValueError, match="no change 'echo' of 'dances'; there are nothing, masks"):
        augmenting.changed("echo", "dances", None)
    with pytest.raises(ValueError, match="no change 'echo' of 'dances'; there are nothing, masks"):
        augmenting.material("echo", "dances", [], fast=True)
    with pytest.raises(ValueError, match="have no key"):
        augmenting.material("keys", "instruments", small, fast=True)


# --------------------------------------------------------------------------- several tasks


def test_the_two_losses_are_cross_entropies_of_their_own_logits():
    """eq:practice-multitask, with several weights."""
    torch.manual_seed(0)
    logits, y = torch.randn(5, 107), torch.stack([torch.arange(5), 40 + torch.arange(5)], dim=1)
    parts = together.losses(logits, y)
    for name, one, target in zip(together.TASKS, logits.split((19, 88), 1), y.T, strict=True):
        p = one.log_softmax(dim=1)
        wanted = -(0.9 * p[torch.arange(5), target] + 0.1 * p.mean(dim=1)).mean()
        torch.testing.assert_close(parts[name], wanted)
    for weights in ((1.0, 1.0), (1.0, 0.0), (0.3, 2.0)):
        task = together.TwoAnswers(torch.nn.Linear(1, 1), weights=weights)
        total, items = task.terms(logits, y)
        wanted = 5 * (weights[0] * parts["instruments"] + weights[1] * parts["pitches"])
        torch.testing.assert_close(total, wanted)
        assert items == 5
    perfect = torch.full((5, 107), -9.0)
    perfect[torch.arange(5), y[:, 0]] = 9
    perfect[torch.arange(3), 19 + y[:3, 1]] = 9
    found = task.summary(task.counts(perfect, y))
    assert found == {"instruments": 1.0, "pitches": pytest.approx(0.6)}


def test_pitches_move_with_the_shift_and_stay_on_the_keyboard(small):
    plain, moved = (together.targets(small, shift=shift) for shift in (0, -2))
    np.testing.assert_array_equal(plain[:, 0], small.labels)
    np.testing.assert_array_equal(plain[:, 1] + 21, small.pitches)
    np.testing.assert_array_equal(moved, plain - [0, 2])
    with pytest.raises(ValueError, match="pitches from"):
        together.targets(small, shift=90)


def test_networks_at_equal_compute_have_half_of_the_epochs(monkeypatch):
    from mircourse import training

    seen = []

    def noted(task, data, *, epochs, **options):
        seen.append((task.weights, epochs))
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit", noted)
    experiment = EXPERIMENTS["practice-together"]
    for row in experiment.rows:
        with pytest.raises(KeyboardInterrupt):
            experiment.run_unit(row, "pitches", 0, False)
    assert seen == [((0.0, 1.0), 8), ((0.0, 1.0), 4), ((1.0, 1.0), 8)]


def test_rows_of_the_transcription_differ_in_steps_and_losses(monkeypatch):
    asked = []
    monkeypatch.setattr(transcriptions, "part", lambda settings, **options: asked.append(settings))
    experiment = EXPERIMENTS["practice-transcription"]
    for row in experiment.rows:
        experiment.run_unit(row, "velocities", 0, False)
    alone = {"pitch": 0.0, "onset": 0.0}
    assert [(s["steps"], s.get("loss")) for s in asked] == [(300, alone), (100, alone), (300, None)]
    assert asked[2] == transcribers.SMALL


def test_heads_are_not_shared():
    model = together.untrained(0)
    names = {id(p): name for name, p in model.named_parameters()}
    shared = {names[id(p)] for p in conflicts.shared(model, heads=("head.fc",))}
    assert set(names.values()) - shared == {"head.fc.weight", "head.fc.bias"}
    with pytest.raises(ValueError, match="no head 'tail' in MusicCNN"):
        conflicts.shared(model, heads=("tail",))
    with pytest.raises(ValueError, match="got 'birds'"):
        conflicts.measure({}, source="birds", moment="before training", seed=0, fast=True)


# ------------------------------------------------------------------------------- transfer


@pytest.mark.parametrize("origin", starts.ORIGINS)
def test_fine_tuning_begins_with_no_opinion_and_reaches_every_weight(origin):
    """eq:practice-transfer: body and last layer are both trained."""
    torch.manual_seed(0)
    body = starts.body_of(origin, known=False, held_out="test", seed=0, fast=True)
    x = starts.inputs(origin)[:6]
    before = starts._predicted(origin, body, x)
    scale = before.mean(dim=0), before.std(dim=0).clamp(min=1e-3)
    model = starts.Start(origin, body, scale=scale, known=False)
    logits = model(torch.from_numpy(x))
    assert logits.shape == (6, 19) and not logits.any()
    torch.nn.init.normal_(model.output.weight)
    torch.nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.arange(6)).backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    # What comes after the vectors that are read, and what scales the input of the first filters.
    assert all(
        name.startswith(
            ("body.head.fc", "body.dense", "body.pool_norm", "body.output", "body.input_norm")
        )
        for name in idle
    )


def test_a_network_that_has_learned_keeps_its_statistics():
    body = starts.body_of("tagging", known=True, held_out="test", seed=0, fast=True)
    scale = torch.zeros(1506), torch.ones(1506)
    x = torch.from_numpy(starts.inputs("tagging")[:4])
    for known in (True, False):
        model = starts.Start("tagging", body, scale=scale, known=known).train()
        before = body.input_norm.running_mean.clone()
        model(x)
        assert torch.equal(body.input_norm.running_mean, before) == known
        assert model.output.training
        fixed = {name for name, p in body.named_parameters() if not p.requires_grad}
        assert fixed == {"input_norm.weight", "input_norm.bias"}


def test_a_short_clip_is_heard_once():
    x = starts.inputs("tagging")
    assert x.shape[1:] == (starts.FRAMES, 96)
    clip = recordings.load()[0:1].audio(selfsupervised.HEARD)[0]
    longer = np.concatenate([clip, np.zeros(40000, np.float32)])
    wanted = musicnn.log_mel(longer, sample_rate=selfsupervised.RATE)[0, : starts.FRAMES]
    np.testing.assert_allclose(x[0, :-1], wanted[:-1], atol=0.02)
    assert starts.inputs("speech").shape[1:] == (160, 40)


def test_what_is_unknown_is_refused():
    with pytest.raises(ValueError, match=r"an origin is one of .*got 'whales'"):
        starts.body_of("whales", known=False, held_out="test", seed=0, fast=True)
    with pytest.raises(ValueError, match="hears notes, not tunes"):
        starts._read(
            "rendered", known=False, domain="dances", held_out="test", seed=0, fast=True, version=1
        )


# --------------------------------------------------------------------------------- verdicts


def compared(experiment, shares):
    rng = np.random.default_rng(0)

    def outcome(share):
        scores = (rng.random(200) < share).astype(float)
        return Outcome(scores, [str(k // 2) for k in range(200)], [], [], 0, 0.0, "CPU")

    outcomes = {
        (row.name, task): [outcome(shares(row.name)) for _ in range(3)]
        for row in experiment.rows
        for task in experiment.tasks_of(row)
    }
    return Comparison(experiment, outcomes)


def test_augmentation_is_judged_by_what_the_article_names_and_lists_the_rest():
    experiment = EXPERIMENTS["practice-augmentation"]
    good = {"pitch shift", "time stretch", "mixing", "keys"}
    for better, value in ((good, "holds"), ({"keys"}, "holds-when"), ({"gain"}, "fails")):
        found = compared(experiment, lambda name, better=better: 0.8 if name in better else 0.4)
        assert experiment.rule(found).value == value
        assert {d["a"] for d in found.differences} == set(practice.NOTES)


def test_transfer_is_judged_against_scratch_and_mfcc():
    experiment = EXPERIMENTS["practice-transfer"]
    for shares, value in (
        (lambda name: 0.8 if "'" not in name and name != "MFCC" else 0.3, "holds"),
        (lambda name: 0.8 if name == "MFCC" else 0.3, "fails"),
        (lambda name: 0.8 if "tuned" in name else 0.5, "holds-when"),
    ):
        assert experiment.rule(compared(experiment, shares)).value == value


def test_sharing_is_judged_at_equal_compute_and_beyond():
    for name in ("together", "transcription"):
        experiment = EXPERIMENTS[f"practice-{name}"]
        ranks = {practice.SHARED: 0.6, practice.EQUAL: 0.3, practice.TWICE: 0.8}
        assert experiment.rule(compared(experiment, ranks.get)).value == "holds-when"
        ranks[practice.TWICE] = 0.3
        assert experiment.rule(compared(experiment, ranks.get)).value == "holds"
    experiment = EXPERIMENTS["practice-conflict"]
    agree = compared(experiment, lambda name: 0.0 if name == practice.UNRELATED else 0.4)
    assert experiment.rule(agree).value == "holds"
