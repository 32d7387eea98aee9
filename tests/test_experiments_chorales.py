"""The experiments on chorales and on heads: data, costs, and what is trained."""

import json
import math

import numpy as np
import pytest
import torch

from mircourse import choralegrid, events, scores
from mircourse.experiments import chorales, heads, writers
from mircourse.experiments.writers import TokenLSTM
from mircourse.sequences import IGNORED, NO_STYLE
from mircourse.styles import STYLES
from mircourse.transformertraining import HEADS, nats

TINY = {
    "network": "transformer",
    "arguments": {"d_model": 16, "n_heads": 2, "n_layers": 1, "max_seq_len": 64},
    "length": 64,
    "transpose": 2,
    "epochs": 3,
    "batch_size": 16,
    "lr": 0.01,
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRCOURSE_CACHE", str(tmp_path))


@pytest.mark.parametrize("data", ["standard", "families"])
def test_a_chorale_is_its_beginning_and_its_cells(data):
    some = writers.examples(data, "valid")
    expected = choralegrid.jsb("valid", protocol=data)
    assert len(some) == len(expected)
    for example, chorale in zip(some, expected, strict=True):
        assert example.tokens[0] == choralegrid.BOS and example.style == NO_STYLE
        np.testing.assert_array_equal(choralegrid.grid_of(example.tokens), chorale.grid)
        assert (example.id, example.family) == (chorale.id, chorale.family)


@pytest.mark.parametrize("semitones", [-4, 3])
def test_transposed_chorales_move_but_for_rests(semitones):
    bach = scores.load("bach")
    for example in writers.examples("families", "valid")[:5]:
        moved = writers.transposed(example, semitones, data="families")
        entry = next(e for e in scores.jsb_split() if e.piece_id == example.id)
        piece = bach[example.id].transpose(entry.semitones + semitones)
        np.testing.assert_array_equal(choralegrid.grid_of(moved.tokens), choralegrid.grid(piece))


def test_transposed_events_sound_so_much_higher_and_so_do_the_targets():
    example = writers.examples(writers.STYLED, "valid", heads=True, styles=("slip jig",))[0]
    assert STYLES[example.style] == "slip jig"
    for semitones in (-3, 2):
        moved = writers.transposed(example, semitones, data=writers.STYLED)
        expected = events.decode(example.tokens)
        expected["pitch"] += semitones
        np.testing.assert_array_equal(events.decode(moved.tokens), expected)
        np.testing.assert_array_equal(
            moved.notes, np.stack(events.note_targets(moved.tokens), axis=1)
        )
    far = writers.transposed(example, 100, data=writers.STYLED)
    assert events.decode(far.tokens)["pitch"].max() == 127


def test_no_family_of_the_leak_free_split_is_scored_that_was_learnt():
    assert chorales.scored("families", part=chorales.SHARED) == []
    parts = [chorales.scored("standard", part=p) for p in (chorales.SHARED, chorales.NEW)]
    learnt = {example.family for example in writers.examples("standard", "train")}
    assert {e.family for e in parts[0]} <= learnt and not {e.family for e in parts[1]} & learnt
    together = {e.id for part in parts for e in part}
    assert together == {e.id for e in chorales.scored("standard")} and min(map(len, parts)) > 10


def test_a_uniform_cell_costs_the_logarithm_of_the_symbols():
    found = chorales.cost({"model": "uniform"}, data="standard", seed=0, fast=True)
    heard = choralegrid.jsb("test")[:4]
    assert found["truth"] == [c.grid.size for c in heard]
    assert found["prediction"] == pytest.approx([c.grid.size * math.log(129) for c in heard])
    per_cell = writers.per_token(np.array(found["truth"]), np.array(found["prediction"]))
    assert per_cell == pytest.approx(math.log(129))


def test_unigrams_cost_their_shares():
    found = chorales.cost({"model": "unigram"}, data="families", seed=0, fast=True)
    learn = np.concatenate([c.grid.ravel() for c in choralegrid.jsb("train", protocol="families")])
    first = choralegrid.jsb("test", protocol="families")[0]
    expected = -sum(
        math.log(((learn == symbol).sum() + 1) / (len(learn) + 129)) for symbol in first.grid.flat
    )
    assert found["prediction"][0] == pytest.approx(expected)


def test_the_ngram_pays_less_than_unigrams_and_as_its_model_says():
    costs = [
        chorales.cost({"model": model}, data="standard", seed=0, fast=True)["prediction"]
        for model in ("unigram", "n-gram")
    ]
    assert all(n < 0.4 * u for u, n in zip(*costs, strict=True))
    model = chorales.ngram("standard")
    assert costs[1][0] == pytest.approx(model.nats(choralegrid.jsb("test")[0].grid))


def test_a_network_is_trained_once_and_scored_as_it_is(tmp_path):
    settings = {**TINY, "data": "standard"}
    found = chorales.cost(TINY, data="standard", seed=1, fast=True)
    (file,) = (tmp_path / "writers").glob("*.safetensors")
    written = file.stat().st_mtime_ns
    writers.trained.__wrapped__(settings, seed=1, fast=True)
    assert file.stat().st_mtime_ns == written
    model, _ = writers.trained(settings, seed=1, fast=True)
    heard = chorales.scored("standard", fast=True)
    expected = nats(model, heard, pad=choralegrid.PAD, length=64)[:, 0]
    assert found["prediction"] == pytest.approx(expected.tolist())
    assert found["parameters"] == sum(p.numel() for p in model.parameters())
    json.dumps(found)


def test_an_lstm_reads_one_piece_a_row():
    torch.manual_seed(0)
    model = TokenLSTM(12, vocab_size=20, n_special=2, n_styles=3).eval()
    x = torch.randint(22, (2, 9))
    logits = model(x)["logits"]
    assert logits.shape == (2, 9, 22)
    torch.testing.assert_close(model(x, torch.tensor([-1, -1]))["logits"], logits)
    assert not torch.allclose(model(x, torch.tensor([1, -1]))["logits"][0], logits[0])
    # What comes later changes nothing.
    torch.testing.assert_close(model(x[:, :5])["logits"], logits[:, :5])
    with pytest.raises(ValueError, match="one piece a row"):
        model(x, segments=torch.zeros_like(x))


def test_the_lstm_learns_too():
    settings = {**TINY, "network": "lstm", "arguments": {"hidden_size": 8}}
    found = chorales.cost(settings, data="families", seed=0, fast=True)
    assert len(found["prediction"]) == 4 and np.isfinite(found["prediction"]).all()


@pytest.mark.parametrize("task", [heads.NEXT, *HEADS])
def test_frequent_answers_are_cheap(task):
    settings = {"model": "frequencies", "styles": ["slip jig"]}
    found = heads.cost(settings, task=task, seed=0, fast=True)
    column = 0 if task == heads.NEXT else 1 + HEADS.index(task)
    learn, heard = (
        [
            e.targets()[:, column]
            for e in writers.examples(writers.STYLED, split, heads=True, styles=("slip jig",))
        ]
        for split in ("train", "test")
    )
    learn = np.concatenate(learn)
    learn = learn[learn != IGNORED]
    size = {"pitches": 128, "durations": 32, "dynamics": 8}.get(task, 394)
    first = [a for a in heard[0].tolist() if a != IGNORED]
    expected = -sum(math.log(((learn == a).sum() + 1) / (len(learn) + size)) for a in first)
    assert (found["truth"][0], found["prediction"][0]) == (len(first), pytest.approx(expected))


def test_heads_are_scored_by_what_they_say():
    settings = {**TINY, "data": writers.STYLED, "styles": ["slip jig"], "heads": 0.5}
    settings |= {"packed": True}
    costs = {t: heads.cost(settings, task=t, seed=0, fast=True) for t in (heads.NEXT, *HEADS)}
    model, _ = writers.trained(settings, seed=0, fast=True)
    heard = heads.scored(settings, fast=True)
    for task, found in costs.items():
        head = None if task == heads.NEXT else task
        expected = nats(model, heard, pad=events.PAD, length=64, head=head)
        assert found["truth"] == expected[:, 1].tolist()
        assert found["prediction"] == pytest.approx(expected[:, 0].tolist())
