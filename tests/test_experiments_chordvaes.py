"""Autoencoders of chords: what counts as a chord, how codes are drawn, and each row in small."""

import numpy as np
import pytest
import torch

from mircourse.choralerolls import KEYS
from mircourse.experiments import chordvaes, definition, vae_chords
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.runner import run_units, stored, units
from mircourse.musicvae import MusicVAE


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIRCOURSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_each_row_runs_and_the_rule_comes_to_a_verdict():
    [mine] = [e for e in definition.defined() if e.run_unit.__module__ == vae_chords.__name__]
    wanted = units(mine, seeds=[0])
    run_units(mine, wanted, fast=True, progress=False)
    outcomes = {(unit.row.name, unit.task): [stored(mine, unit, fast=True)] for unit in wanted}
    found = Comparison(mine, outcomes)
    assert mine.rule(found).value in definition.VERDICTS
    held, apart = (
        found.mean(name, chordvaes.CHORD) for name in (vae_chords.HELD_OUT, vae_chords.KEYS)
    )
    assert apart + 0.2 < held


def test_a_chord_of_the_chorales_is_known_and_one_more_key_makes_it_strange():
    known = chordvaes.data("train").numpy()[:50] > 0.5
    assert chordvaes.is_known(known).all()
    known[:, 0] = True  # the lowest key of the piano
    assert not chordvaes.is_known(known).any()


def test_what_was_there_before_is_not_new():
    chords = np.zeros((4, KEYS), bool)
    chords[[0, 2], 5] = True
    assert chordvaes.is_new(chords).tolist() == [True, True, False, False]


def test_four_keys_are_the_likeliest():
    logits = torch.randn(3, KEYS, generator=torch.Generator().manual_seed(0))
    found = chordvaes.likeliest(logits)
    assert (found.sum(1) == 4).all()
    assert (logits.masked_fill(~found, 99).amin(1) > logits.masked_fill(found, -99).amax(1)).all()


def test_fitted_codes_have_the_mean_and_the_covariance_of_codes():
    torch.manual_seed(0)
    model = MusicVAE(KEYS, 3, 8)
    torch.nn.init.constant_(model.fc_mu.bias, 5.0)
    found = chordvaes.codes(model, 20_000, kind="fitted", seed=0).double()
    mu = model.encode(chordvaes.data("train"))[0].detach().double()
    torch.testing.assert_close(found.mean(0), mu.mean(0), atol=0.01, rtol=0)
    torch.testing.assert_close(found.T.cov(), mu.T.cov(), atol=1e-3, rtol=0.1)
    prior = chordvaes.codes(model, 20_000, kind="prior", seed=0)
    assert prior.mean(0).abs().max() < 0.05 and (prior.std(0) - 1).abs().max() < 0.05


def test_an_autoencoder_has_no_noise_and_pays_for_nothing():
    x = chordvaes.data("valid")[:64]
    steps = {}
    for noise in (True, False):
        torch.manual_seed(0)
        model = MusicVAE(KEYS, 4, 8)
        chordvaes.learn(model, x, beta=0.0, noise=noise, steps=2)
        steps[noise] = model.fc_logvar.weight.grad.abs().max()
    assert steps[True] > 0 == steps[False]
