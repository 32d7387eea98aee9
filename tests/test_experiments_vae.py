"""The experiments of the VAE chapter: what they count, by hand, and each in its fast form."""

import numpy as np
import pytest
import torch

from mircourse import melodybars
from mircourse.choralerolls import FRAMES, KEYS
from mircourse.experiments import definition, interpolations, melodyvaes, rollvaes, transfers
from mircourse.experiments import vae as chapter
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.runner import run_units, stored, units
from mircourse.hierarchicalvae import MelodyVAE
from mircourse.melodybars import FIRST_NOTE, HOLD, REST

N = FIRST_NOTE


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIRCOURSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


MINE = [found for found in definition.defined() if found.run_unit.__module__ == chapter.__name__]


@pytest.mark.parametrize("experiment", MINE, ids=lambda e: e.name)
def test_every_experiment_runs_and_comes_to_a_verdict(experiment):
    wanted = units(experiment, seeds=[0])
    run_units(experiment, wanted, fast=True, progress=False)
    outcomes = {
        (unit.row.name, unit.task): [stored(experiment, unit, fast=True)] for unit in wanted
    }
    found = Comparison(experiment, outcomes)
    if experiment.statistic is None:
        assert experiment.rule(found).value in definition.VERDICTS
    else:  # its intervals take many seconds
        assert all(0 <= found.mean(*key) <= 1 for key in outcomes)


def test_there_are_as_many_experiments_as_the_chapter_has_claims():
    assert [e.name for e in MINE] == [
        "vae-beta",
        "vae-disentanglement",
        "vae-hierarchy",
        "vae-interpolation",
        "vae-interpolation-steps",
        "vae-transfer",
    ]
    assert all(e.seeds == 3 for e in MINE)


@pytest.mark.parametrize("bars", [2, 16])
def test_both_decoders_have_about_as_many_weights_and_equal_training(bars):
    settings = [melodyvaes.settings_of(bars, decoder) for decoder in ("hierarchical", "flat")]
    counts = [
        sum(p.numel() for p in MelodyVAE(**one["arguments"]).decoder.parameters())
        for one in settings
    ]
    assert abs(counts[0] - counts[1]) < 0.02 * counts[0]
    for one in settings:
        one.pop("arguments")
    assert settings[0] == settings[1]


def test_what_is_learnt_from_is_not_scored():
    families = [{p.family for p in melodybars.tunes(split)} for split in ("train", "test")]
    assert not families[0] & families[1]


def test_f_measures_by_hand():
    x = torch.tensor([[N, HOLD, N + 4, REST], [N, N, N, N], [HOLD] * 4])
    found = torch.tensor([[N, N, N + 5, HOLD], [N, N, N, N], [HOLD] * 4])
    assert melodyvaes.f_measures(found, x).tolist() == [2 * 1 / (3 + 2), 1, 0]


def test_teacher_forcing_and_free_writing_are_the_models_own():
    torch.manual_seed(0)
    model = MelodyVAE(2, 4, 8, conductor_dim=8, bar_dim=8, encoder_dim=8, embedding=4).eval()
    x = melodyvaes.symbols(melodyvaes.scored(2, fast=True))
    mu, _ = model.encode(x)
    free = melodyvaes.reconstructed(model, x, how=melodyvaes.FREE)
    assert torch.equal(free, model.write(mu))
    forced = melodyvaes.reconstructed(model, x, how=melodyvaes.FORCED)
    assert torch.equal(forced, model.logits(mu, x).argmax(-1))
    with pytest.raises(ValueError, match="how must be"):
        melodyvaes.reconstructed(model, x, how="aloud")


# ------------------------------------------------------------------------------- interpolation


def test_ways_end_at_their_ends_and_mixing_never_turns_back():
    first, second = interpolations.pairs(True)[0][:2]
    for way in ("mixing", "splicing"):
        found = interpolations.ways({"way": way}, seed=0, fast=True)
        assert found.shape[1] == interpolations.STEPS
        heard = melodybars.sounding(found[0])
        np.testing.assert_array_equal(heard[0], melodybars.sounding(first))
        np.testing.assert_array_equal(heard[-1], melodybars.sounding(second))
    half = interpolations.ways({"way": "splicing"}, seed=0, fast=True)[0][4]
    np.testing.assert_array_equal(half[:16], second[:16])


def test_pairs_are_in_near_keys_and_of_different_families():
    assert len(interpolations.pairs(False)) == interpolations.MOST
    assert len({family for *_, family in interpolations.pairs(False)}) > 100


def test_what_cannot_be_said_is_said_shorter():
    symbols = np.full(32, HOLD)
    symbols[[0, 14]] = N + 12, N + 14  # 3.5 quarters are no duration of melodies
    melody = interpolations.spoken(symbols)
    assert melody.n_notes == 2 and not melody.ended
    assert melody.onset_ticks[-1] == 8 * 10080 - 10080 // 2  # 4.5 quarters neither
    silence = interpolations.bits_per_note(np.full((1, 32), HOLD))
    assert np.isfinite(silence).all()


def test_the_judge_prefers_a_tune_to_noise():
    x = melodyvaes.symbols(melodyvaes.scored(2, fast=True)).numpy()
    noise = np.where(x >= N, np.random.default_rng(0).integers(N, N + 40, x.shape), x)
    tunes, others = (interpolations.bits_per_note(rows).mean() for rows in (x, noise))
    assert tunes + 1 < others < 15


# -------------------------------------------------------------------------------- style transfer


def test_items_ask_for_each_other_style():
    asked = transfers.items(True)
    assert len(asked) == transfers.FAST * 6
    assert all(item.style != item.target for item in asked)


def test_words_by_hand():
    bar = np.full(16, HOLD)
    bar[[0, 4, 8]] = N, N + 2, N + 1
    assert transfers.words(bar) == [
        "rhythm x...x...x.......",
        "run [2]",
        "run [-1]",
        "run [2, -1]",
    ]


def test_a_copy_is_all_that_it_was():
    for task in (transfers.CONTOUR, transfers.CLASSES):
        found = transfers.score({"way": "copy"}, task=task, seed=0, fast=True)
        np.testing.assert_allclose(found["scores"], 1)


def test_the_judge_knows_what_it_has_read():
    read = [(w.symbols, s) for s in transfers.STYLES for w in transfers.tunes(s, "train", 8)]
    said = transfers.judge(True).predict([row for row, _ in read])
    assert np.mean([a == s for a, (_, s) in zip(said, read, strict=True)]) > 0.9


# ------------------------------------------------------------------------------- chorale bars


def test_frequencies_cost_what_each_key_costs():
    p = rollvaes.data("train", True)[1].mean(axis=0)
    cost = rollvaes.cost({"model": "frequencies"}, task=rollvaes.ELBO, seed=0, fast=True)
    assert (np.array(cost["scores"]) > 10).all() and p.shape == (FRAMES * KEYS,)


def test_the_parts_of_a_bound_add_up_and_the_weighted_one_is_lower():
    costs = rollvaes._costs(1.0, 0, True)
    np.testing.assert_allclose(
        costs[rollvaes.ELBO], costs[rollvaes.RATE] + costs[rollvaes.DISTORTION]
    )
    assert costs[rollvaes.WEIGHTED].mean() < costs[rollvaes.ELBO].mean()


def test_moving_a_batch_is_transposing_it():
    x = torch.from_numpy(rollvaes.data("test", True)[1])
    torch.manual_seed(0)
    moved, target = rollvaes.Moving()(x, x)
    assert torch.equal(moved, target) and moved.shape == x.shape
    first = [torch.nonzero(r.view(FRAMES, KEYS).sum(0))[0].item() for r in (x[0], moved[0])]
    by = first[1] - first[0]
    assert torch.equal(moved[0].view(FRAMES, KEYS), x[0].view(FRAMES, KEYS).roll(by, dims=1))


def test_factors_by_hand():
    bar = rollvaes.data("test", True)[0][0]
    grid = np.tile([72, 67, 64, 48], (8, 1)).astype(np.int16)
    grid[4:, 0] = 74
    made = bar._replace(grid=grid, mode="minor")
    mean = np.mean([73, 67, 64, 48])
    assert rollvaes.factors(made) == [1, mean, 25, 2, 1]
    assert rollvaes.factors(made, key=3)[1] == mean + 3


def test_the_gap_is_that_of_the_metric():
    from mircourse.disentanglement import mig

    found = rollvaes.codes({"model": "untrained"}, factor="register", seed=0, fast=True)
    codes, truth = np.array(found["prediction"]), np.array(found["truth"])
    expected = mig(codes, truth[:, None], bins=1000)
    assert rollvaes.gap(truth, codes) == pytest.approx(expected[0])
