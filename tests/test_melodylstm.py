"""The melody network: what it costs is what it generates from, and it learns."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from mircourse import abcnotation, melodies, notation, scores, training, weights
from mircourse.lstm import LSTM
from mircourse.melodies import END, N_DURATIONS, N_PITCHES, REST
from mircourse.melodylstm import MelodyLSTM, batch
from mircourse.melodytraining import MelodyBatches, MelodyTask, loader
from mircourse.notearray import note_array


@pytest.fixture(scope="module")
def tunes():
    return melodies.tunes("valid", collections=["ryan"])[:40]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MelodyLSTM(24, embedding=8).eval()


def chain(model, melody):
    """Bits of a melody, event by event, from the reader that generation uses."""
    reader = model.reader([melody.first(0)])
    bits = 0.0
    for d, p in zip(melody.duration.tolist(), melody.pitch.tolist(), strict=True):
        bits -= np.log2(reader.durations()[0, d])
        if d == END:
            return bits
        bits -= np.log2(reader.pitches(np.array([d]))[0, p])
        reader.append(np.array([d]), np.array([p]))
    return bits


@pytest.mark.parametrize(
    "settings", [{}, {"place": False}, {"cell": "rnn"}, {"num_layers": 2}], ids=str
)
def test_bits_are_those_of_the_reader(tunes, settings):
    """What is scored and what is generated from are one model."""
    torch.manual_seed(0)
    model = MelodyLSTM(**({"hidden_size": 24, "embedding": 8} | settings))
    found = model.bits(tunes[:3])
    expected = [chain(model, melody) for melody in tunes[:3]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_padding_changes_nothing(model, tunes):
    alone = [model.bits([melody])[0] for melody in tunes[:6]]
    np.testing.assert_allclose(model.bits(tunes[:6]), alone, rtol=1e-5)
    np.testing.assert_allclose(model.bits(tunes[:6], batch_size=2), alone, rtol=1e-5)


def test_our_lstm_gives_the_same_costs(model, tunes):
    rows = batch(tunes[:4])
    with torch.no_grad():
        expected = model(rows)
        model.recurrent = LSTM.from_torch(model.recurrent)
        torch.testing.assert_close(model(rows), expected, rtol=1e-4, atol=1e-5)


def test_a_later_event_does_not_change_the_cost_of_an_earlier_one(model, tunes):
    rows = batch(tunes[:1])
    changed = rows.clone()
    changed[0, 20, 3:] = 1  # what is to be predicted at 20, and is read at 21
    changed[0, 21, :2] = 1
    with torch.no_grad():
        a, b = model(rows)[0], model(changed)[0]
    torch.testing.assert_close(a[:20], b[:20])
    assert not torch.allclose(a[20], b[20])
    assert not torch.allclose(a[21:], b[21:])


def test_places_are_read_only_if_asked_for(tunes):
    rows = batch(tunes[:1])
    moved = rows.clone()
    moved[..., 2] = 0
    for place in (True, False):
        torch.manual_seed(0)
        model = MelodyLSTM(24, embedding=8, place=place).eval()
        with torch.no_grad():
            assert torch.equal(model(rows), model(moved)) != place


def test_a_new_model_costs_about_as_much_as_guessing(tunes):
    torch.manual_seed(0)
    rows = batch(tunes)
    with torch.no_grad():
        cost = MelodyLSTM().eval()(rows)
    expected = [np.log(N_DURATIONS), np.log(N_PITCHES)]
    for column, target, wanted in zip((0, 1), (3, 4), expected, strict=True):
        mean = cost[..., column][rows[..., target] >= 0].mean().item()
        assert mean == pytest.approx(wanted, abs=0.1)


def test_nothing_is_scored_where_nothing_is(model):
    notes = note_array([0, 1], [1, 1], [60, 62])
    rows = batch([melodies.encode(notes), melodies.encode(notes[:1])])
    assert rows.shape == (2, 3, 5)
    with torch.no_grad():
        scored = model(rows) > 0
    assert scored.tolist() == [
        [[True, True], [True, True], [True, False]],  # two notes and the end
        [[True, True], [True, False], [False, False]],
    ]


def test_every_parameter_gets_a_gradient(model, tunes):
    model(batch(tunes[:4])).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_forget_gate_begins_open():
    torch.manual_seed(0)
    lstm = MelodyLSTM(400, 2, embedding=8).recurrent
    for layer in range(2):
        bias = getattr(lstm, f"bias_ih_l{layer}").view(4, 400).mean(dim=1)
        np.testing.assert_allclose(bias.detach(), [0, 1, 0, 0], atol=0.02)


def test_it_learns_a_tune_by_heart_and_plays_it(tunes):
    training.seed_everything(0)
    tune = melodies.encode(melodies.decode(tunes[0])[:24], meter=tunes[0].meter)
    model = MelodyLSTM(64, embedding=16, dropout=0.0)
    training.fit(
        MelodyTask(model, lr=0.02),
        loader([tune] * 100, batch_size=4),
        epochs=8,
        gradient_clip=1.0,
        progress=False,
    )
    assert model.bits([tune])[0] < 0.2 * tune.n_notes
    played = model.generate(tune.first(4), 500, temperature=0)
    assert played.ended
    np.testing.assert_array_equal(played.pitch, tune.pitch)
    np.testing.assert_array_equal(played.duration, tune.duration)


def test_training_reports_bits_per_note(tunes):
    training.seed_everything(0)
    model = MelodyLSTM(16, embedding=8, dropout=0.0)
    fitted = training.fit(
        MelodyTask(model), loader(tunes[:8]), valid=loader(tunes[8:16]), epochs=1, progress=False
    )
    per_note = model.bits(tunes[8:16]).sum() / sum(m.n_notes for m in tunes[8:16])
    assert fitted.history[0]["valid_negative_bits"] == pytest.approx(-per_note, rel=1e-4)


def test_batches_hold_every_melody_once_an_epoch_in_another_key(tunes):
    order = MelodyBatches(tunes, batch_size=6, transpose=3, seed=0)
    epochs = [list(order) for _ in range(2)]
    for epoch in epochs:
        assert len(epoch) == len(order) == 7
        chosen = [i for part in epoch for i, _ in part]
        assert sorted(chosen) == list(range(40))
        assert {s for part in epoch for _, s in part} <= set(range(-3, 4))
    assert epochs[0] != epochs[1]
    assert epochs[0] == list(MelodyBatches(tunes, batch_size=6, transpose=3, seed=0))
    widths = [len(batch([tunes[i] for i, _ in part])[0]) * len(part) for part in epochs[0]]
    events, padded = sum(map(len, tunes)), max(map(len, tunes)) * len(tunes)
    assert 0 <= sum(widths) - events < 0.8 * (padded - events)


def test_transposition_stays_in_range():
    high = melodies.encode(note_array([0], [1], [99]))
    order = MelodyBatches([high], batch_size=1, transpose=2, seed=0)
    drawn = {s for _ in range(30) for part in order for _, s in part}
    assert drawn == {-2, -1, 0, 1}


def test_generation_is_seeded_and_leaves_the_global_generators_alone(model, tunes):
    before = torch.random.get_rng_state()
    made = [model.generate(tunes[0].first(5), 20, seed=s) for s in (3, 3, 4)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.array_equal(made[0].pitch, made[1].pitch)
    assert not np.array_equal(made[0].pitch, made[2].pitch)
    assert len(made[0]) <= 25


def test_greedy_takes_the_most_likely(model, tunes):
    made = model.generate(tunes[0].first(5), 10, temperature=0)
    reader = model.reader([tunes[0].first(5)])
    for d, p in itertools.islice(zip(made.duration, made.pitch, strict=True), 5, None):
        assert d == reader.durations()[0].argmax()
        if d == END:
            break
        assert p == reader.pitches(np.array([d]))[0].argmax()
        reader.append(np.array([d]), np.array([p]))


def test_generated_tunes_become_midi_abc_and_a_score(tmp_path, tunes):
    model = weights.load("melodylstm-tunes").model
    made = model.generate(melodies.blank("6/8", pickup_beats=0.5), 60, top_p=0.95, seed=1)
    piece = made.piece(title="A new jig")
    notes = melodies.decode(made)
    data = scores.to_midi(piece, tmp_path / "jig.mid")
    back = scores.from_midi(data)
    np.testing.assert_array_equal(back["pitch"], notes["pitch"])
    np.testing.assert_allclose(back["onset_beat"], notes["onset_beat"], atol=1e-3)
    text = abcnotation.to_abc(piece)
    assert text.startswith("X:1\nT:A new jig\nM:6/8\n")
    assert "<svg" in notation.engrave(piece).svg
    again = melodies.encode(notes, meter="6/8", pickup_beats=0.5)
    sounding = made.pitch != REST
    np.testing.assert_array_equal(again.pitch[again.pitch != REST], made.pitch[sounding])


def test_the_shipped_model_is_small_and_knows_its_tunes(tunes):
    model = weights.load("melodylstm-tunes").model
    assert sum(p.numel() for p in model.parameters()) < 500_000
    per_note = model.bits(tunes).sum() / sum(m.n_notes for m in tunes)
    guessing = np.log2(N_DURATIONS) + np.log2(N_PITCHES)
    assert per_note < guessing / 2


def test_wrong_arguments_are_refused(model, tunes):
    with pytest.raises(ValueError, match="cell must be lstm or rnn"):
        MelodyLSTM(cell="gru")
    with pytest.raises(ValueError, match="hidden_size and num_layers"):
        MelodyLSTM(0)
    with pytest.raises(ValueError, match=r"whole numbers \(B, T, 5\)"):
        model(torch.zeros(1, 3, 5))
    with pytest.raises(ValueError, match="one melody or more"):
        batch([])
    with pytest.raises(ValueError, match="each of one event"):
        batch([melodies.blank("6/8")])
    with pytest.raises(ValueError, match="batch_size of 1 or more"):
        loader(tunes, batch_size=0)
    with pytest.raises(ValueError, match="temperature"):
        model.generate(tunes[0], 3, temperature=-1)


def test_plain_recurrence_is_pytorchs(tunes):
    assert isinstance(MelodyLSTM(8, cell="rnn").recurrent, nn.RNN)
    assert not isinstance(MelodyLSTM(8).recurrent, nn.RNN)
