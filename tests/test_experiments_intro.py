"""The experiments of the introduction: what is cropped, read, drawn and judged."""

import numpy as np
import pytest
import torch

from mircourse import recordings
from mircourse.experiments import definition, frontends, instruments, intro, layers, scaling
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.runner import Outcome
from mircourse.powerlaw import PowerLaw

TINY_MEL = intro.FROM_MEL | {"arguments": {"width": 0.05}}
TINY_SAMPLES = intro.FROM_SAMPLES | {"arguments": {"width": 0.04, "blocks": 3}, "crop": 0.1}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRCOURSE_CACHE", str(tmp_path))


# ------------------------------------------------------------------------------------- waveforms


def test_crops_are_runs_of_samples_from_places_of_their_own():
    torch.manual_seed(0)
    x = torch.arange(100.0).repeat(32, 1) + 1000 * torch.arange(32.0)[:, None]
    y = torch.arange(32)
    short, kept = frontends.cropped(x, y, samples=10)
    assert short.shape == (32, 10) and kept is y
    assert (short.diff(dim=1) == 1).all()
    assert (short[:, 0] // 1000 == torch.arange(32)).all()
    starts = set((short[:, 0] % 1000).int().tolist())
    assert len(starts) > 10 and min(starts) >= 0 and max(starts) <= 90
    assert frontends.cropped(x, y, samples=100)[0] is x


@pytest.mark.parametrize("settings", [TINY_SAMPLES, TINY_SAMPLES | {"fraction": 0.3}])
def test_a_network_on_waveforms_is_scored_on_every_held_out_note(settings):
    found = frontends.recognised(settings, task="instruments", seed=0, fast=True)
    again = frontends.recognised(settings, task="instruments", seed=0, fast=True)
    assert found == again
    assert len(found["scores"]) == 110
    right = np.equal(found["truth"], found["prediction"]).astype(float)
    np.testing.assert_array_equal(found["scores"], right)


def test_fewer_notes_make_another_network(monkeypatch):
    sizes = []

    def noting(settings, **options):
        learn, _ = instruments.split("instruments", fraction=settings.get("fraction", 1.0))
        sizes.append(len(learn))
        raise KeyboardInterrupt

    monkeypatch.setattr(frontends, "_from_waveforms", noting)
    row = next(r for r in intro.waveform.rows if r.name == intro.WAVEFORM)
    for task in intro.waveform.tasks:
        with pytest.raises(KeyboardInterrupt):
            intro.waveform.run_unit(row, task, 0, True)
    assert sizes[1] < 0.4 * sizes[0]


def test_bands_are_read_by_a_regression_on_the_part_that_was_drawn():
    whole = instruments.linear("log-mel", task="instruments")
    part = [instruments.linear("log-mel", task="instruments", fraction=0.3, seed=s) for s in (0, 1)]
    assert np.mean(whole["scores"]) > 0.5
    assert all(np.mean(p["scores"]) < np.mean(whole["scores"]) for p in part)
    assert part[0]["prediction"] != part[1]["prediction"]


def outcome(scores):
    groups = [str(i // 4) for i in range(len(scores))]
    return Outcome(np.asarray(scores, float), groups, [], [], 0, 1.0, "CPU")


@pytest.mark.parametrize(
    ("shares", "value"),
    [((0.4, 0.6, 0.9), "holds"), ((0.4, 0.9, 0.6), "holds-when"), ((0.6, 0.9, 0.4), "fails")],
)
def test_end_to_end_is_judged_against_designed_features_and_a_designed_first_layer(shares, value):
    rng = np.random.default_rng(0)
    names = (intro.MFCC, intro.MEL, intro.WAVEFORM)
    outcomes = {
        (name, task): [outcome(rng.random(200) < share) for _ in range(2)]
        for name, share in zip(names, shares, strict=True)
        for task in intro.waveform.tasks
    }
    found = Comparison(intro.waveform, outcomes)
    assert intro.end_to_end(found).value == value


# ---------------------------------------------------------------------------------------- layers


def test_pitch_classes_and_registers_by_hand():
    pitches = [47, 48, 59, 60, 61, 72, 84]
    assert layers.targets(pitches, "pitch class").tolist() == [11, 0, 11, 0, 1, 0, 0]
    assert layers.targets(pitches, "register").tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_a_probe_reads_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=300)
    groups = np.arange(300) // 10
    clear = np.eye(4)[y] + 0.1 * rng.standard_normal((300, 4))
    noise = rng.standard_normal((300, 80))
    learn, test = slice(200), slice(200, None)
    read = layers.probe(clear[learn], y[learn], groups[learn])
    assert read.score(clear[test], y[test]) == 1.0
    guessed = layers.probe(noise[learn], y[learn], groups[learn]).score(noise[test], y[test])
    assert guessed < 0.45


@pytest.fixture(scope="module")
def untrained():
    return layers.untrained(TINY_MEL, seed=0)


def test_vectors_are_the_layers_averaged_over_time(untrained):
    x = layers.spectrograms(TINY_MEL["seconds"])[:70]
    found = layers.vectors(untrained, x)
    assert list(found) == list(layers.LAYERS)
    assert all(v.shape[0] == 70 and v.ndim == 2 for v in found.values())
    np.testing.assert_allclose(found["log-mel"], x.mean(dim=2), rtol=1e-5)
    with torch.inference_mode():
        maps = untrained.extract_features(x[:3])
    wanted = maps["conv3"].mean(dim=3).reshape(3, -1)  # (B, C, F, T) -> (B, C F)
    np.testing.assert_allclose(found["block 3"][:3], wanted, rtol=1e-4, atol=1e-5)


def test_an_untrained_network_is_normalised_to_the_recordings(untrained):
    norm = untrained.conv1[1]
    seen = []
    handle = untrained.conv1[0].register_forward_hook(lambda _, __, out: seen.append(out))
    with torch.inference_mode():
        untrained(layers.spectrograms(TINY_MEL["seconds"]))
    handle.remove()
    np.testing.assert_allclose(norm.running_mean, seen[0].mean(dim=(0, 2, 3)), atol=0.02)
    assert norm.running_var.sum() != pytest.approx(len(norm.running_var))
    assert not untrained.training


def test_what_is_read_is_scored_on_notes_that_the_probe_did_not_learn(monkeypatch, untrained):
    monkeypatch.setattr(layers.frontends, "network", lambda *a, **k: (untrained, 0.0))
    learnt = []

    def noting(x, y, groups):
        learnt.append(len(x))
        return layers._pipeline(0.1, x, y)

    monkeypatch.setattr(layers, "probe", noting)
    settings = {"layer": "block 3", "network": TINY_MEL, "trained": True}
    notes = recordings.load()
    found = layers.read(settings, asked="instrument", seed=7, fast=True)
    assert len(found["scores"]) == sum(n.split == "test" for n in notes)
    assert learnt == [len(notes) - len(found["scores"])]
    found = layers.read(settings, asked="register", seed=7, fast=False)
    assert found["groups"] == [n.instrument for n in notes]
    assert len(found["scores"]) == len(notes) == sum(len(notes) - n for n in learnt[1:])
    assert np.mean(found["scores"]) > 0.5


@pytest.mark.parametrize(
    ("instrument", "pitch", "value"),
    [(0.9, 0.3, "holds"), (0.9, 0.8, "holds-when"), (0.3, 0.8, "fails")],
)
def test_depth_is_judged_by_the_instrument_and_by_the_pitch(instrument, pitch, value):
    rng = np.random.default_rng(0)
    shares = {
        "instrument": {"embedding": instrument, "block 1": 0.6},
        "pitch class": {"embedding": pitch, "block 1": 0.6},
        "register": {"embedding": 0.5, "block 1": 0.5},
    }
    outcomes = {
        (name, task): [outcome(rng.random(200) < shares[task].get(name, 0.2)) for _ in range(2)]
        for task in shares
        for name in ("embedding", "block 1", "untrained, embedding")
    }
    assert intro.deeper(Comparison(intro.probed, outcomes)).value == value


# --------------------------------------------------------------------------------------- scaling


def test_a_smaller_part_is_in_the_larger_and_the_seed_decides():
    small, large = (scaling.part(share, seed=1) for share in (0.03, 0.1))
    assert [m.id for m in small] == [m.id for m in large[: len(small)]]
    assert len(scaling.part(1.0, seed=1)) == len(scaling.tunes("train"))
    assert {m.id for m in small} != {m.id for m in scaling.part(0.03, seed=2)}
    assert len(scaling.part(1e-6, seed=0)) == 1
    with pytest.raises(ValueError, match=r"in \(0, 1\], got 0"):
        scaling.part(0, seed=0)


@pytest.mark.parametrize("model", ["n-gram", "LSTM"])
def test_a_share_of_the_tunes_is_learned_and_all_that_are_held_out_are_scored(model):
    settings = intro.NETWORK | {"model": model, "share": 0.5}
    settings["arguments"] = {"hidden_size": 8, "embedding": 4}
    found = scaling.bits(settings, seed=0, fast=True)
    assert len(found["prediction"]) == len(scaling.scored(True))
    assert 2 < np.sum(found["prediction"]) / np.sum(found["truth"]) < 20
    again = scaling.bits(settings, seed=0, fast=True)
    assert again["prediction"] == found["prediction"]


def curve(law, noise, seeds=3):
    """Outcomes of the learning curve that follow a law, tunes differing in how hard they are."""
    tunes = [len(scaling.part(share, seed=0)) for share in intro.SHARES.values()]
    notes = np.full(60, 50)
    hard = np.random.default_rng(0).normal(1, 0.1, 60)
    outcomes = {}
    for kind in ("LSTM", "n-gram"):
        for name, n in zip(intro.SHARES, tunes, strict=True):
            outcomes[f"{kind}, {name}", ""] = [
                Outcome(
                    np.array([]),
                    [str(i) for i in range(60)],
                    notes.tolist(),
                    (
                        notes * hard * law(n) + noise * np.random.default_rng(seed).random(60)
                    ).tolist(),
                    0,
                    1.0,
                    "CPU",
                )
                for seed in range(seeds)
            ]
    return Comparison(intro.more_music, outcomes)


def test_a_curve_that_falls_holds_and_its_law_is_stated():
    verdict = intro.learning_curve(curve(PowerLaw(3.0, 9.0, 0.4), 1.0))
    assert verdict.value == "holds"
    assert "exponent 0.40 [0.4" in verdict.note or "exponent 0.40 [0.39" in verdict.note
    assert "above a floor of 3.0" in verdict.note


def test_a_curve_that_is_flat_fails():
    assert intro.learning_curve(curve(PowerLaw(3.0, 0.0, 0.4), 1.0)).value == "fails"


def test_losses_are_drawn_for_all_amounts_together():
    found = curve(PowerLaw(3.0, 9.0, 0.4), 0.0)
    outcomes = [found.outcomes[f"LSTM, {name}", ""] for name in intro.SHARES]
    draw = scaling.redrawn(outcomes)
    rng = np.random.default_rng(0)
    drawn = np.array([draw(rng) for _ in range(20)])  # (20, K)
    ratio = drawn / np.asarray(scaling.means(outcomes))
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones(len(intro.SHARES)))
    assert ratio.std() > 0.005


def test_the_experiments_are_defined_with_three_seeds():
    mine = [e for e in definition.defined() if e.run_unit.__module__ == intro.__name__]
    assert {e.name for e in mine} == {"intro-waveform", "intro-layers", "intro-scaling"}
    assert all(e.seeds == 3 for e in mine)
