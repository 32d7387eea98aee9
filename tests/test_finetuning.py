"""Fine-tuning: windows hold a piece, labels are drawn fairly, and the body learns as told."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mircourse import scores, training
from mircourse.events import CLS, MASK, N_EVENTS, NOTE_OFF, PAD, SEP, TIME_SHIFT
from mircourse.finetuning import (
    WIDTH,
    FineTuningTask,
    SequenceClassifier,
    classify,
    few,
    other_key,
    pooled,
    windows,
)
from mircourse.musicbert import MusicBERT
from mircourse.phrases import phrases


@pytest.fixture
def model():
    training.seed_everything(0)
    bert = MusicBERT(16, 2, 1, max_seq_len=WIDTH, dropout=0.0)
    return SequenceClassifier(bert, 3, dropout=0.0).eval()


@pytest.fixture(scope="module")
def tunes():
    return list(scores.load("ryan", split="valid"))[:30]


def test_windows_hold_every_phrase_once(tunes):
    for tune in tunes:
        found, rows = phrases(tune), windows(tune)
        assert rows.shape == (-(-len(found) // 2), WIDTH)
        events = rows[(rows < N_EVENTS)]
        # Of long phrases, the end of the first in a row and the beginning of the second.
        kept = [p.tokens[:98] if k % 2 else p.tokens[-98:] for k, p in enumerate(found)]
        np.testing.assert_array_equal(events, np.concatenate(kept))
        assert (rows[:, 0] == CLS).all()
        assert ((rows == SEP).sum(axis=1) == [min(2, len(found) - 2 * k) for k in range(len(rows))]
        ).all()  # fmt: skip
        for row in rows:  # padding is at the end only
            assert not np.diff((row == PAD).astype(int)).min() < 0


def test_a_piece_without_phrases_has_no_windows(tunes):
    assert windows(tunes[0].excerpt(0, 1)).shape == (0, WIDTH)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=60),
    st.floats(0.01, 1.0),
    st.integers(0, 100),
)
def test_a_share_has_every_class_and_whole_families(pairs, share, seed):
    labels = np.array([label for label, _ in pairs])
    # A family has one label, as that of a tune's variants.
    groups = [f"{label}-{family}" for label, family in pairs]
    taken = few(labels, share=share, groups=groups, seed=seed)
    np.testing.assert_array_equal(taken, few(labels, share=share, groups=groups, seed=seed))
    assert (np.diff(taken) > 0).all()
    assert set(labels[taken]) == set(labels)
    inside = {groups[i] for i in taken}
    assert sorted(taken) == [i for i, g in enumerate(groups) if g in inside]
    for label in set(labels):
        n = (labels == label).sum()
        largest = max(
            groups.count(g) for g, one in zip(groups, labels, strict=True) if one == label
        )
        wanted = max(1, round(share * n))
        assert wanted <= (labels[taken] == label).sum() < wanted + largest


def test_all_labels_are_all_and_seeds_differ():
    labels, groups = np.arange(40) % 2, [str(i) for i in range(40)]
    np.testing.assert_array_equal(few(labels, share=1, groups=groups, seed=0), np.arange(40))
    drawn = {tuple(few(labels, share=0.2, groups=groups, seed=s)) for s in range(5)}
    assert len(drawn) == 5 and {len(d) for d in drawn} == {8}


def test_pooling_by_hand():
    h = torch.tensor([[[1.0, 2], [3, 4], [5, 8], [7, 7], [9, 9]]])
    x = torch.tensor([[CLS, 60, 188, SEP, PAD]])
    assert pooled(h, x).tolist() == [[1, 2, 4, 6]]
    nothing = torch.tensor([[CLS, SEP, PAD, PAD, PAD]])
    assert pooled(h, nothing).tolist() == [[1, 2, 0, 0]]


def test_padding_and_neighbours_change_nothing(model, tunes):
    rows = torch.from_numpy(np.concatenate([windows(t) for t in tunes[:4]]))
    with torch.no_grad():
        together = model(rows)
        for row, expected in zip(rows, together, strict=True):
            alone = row[: int((row != PAD).sum())]
            torch.testing.assert_close(model(alone[None])[0], expected, atol=1e-5, rtol=1e-5)


def test_the_classes_of_a_piece_are_the_mean_over_its_windows(model, tunes):
    parts = [windows(t) for t in tunes[:5]]
    rows = torch.from_numpy(np.concatenate(parts))
    owner = np.repeat(np.arange(5), [len(part) for part in parts])
    found = classify(model, rows, owner, batch_size=3)
    for k, part in enumerate(parts):
        with torch.no_grad():
            said = model(torch.from_numpy(part)).double().log_softmax(dim=1)
        np.testing.assert_allclose(found[k], said.mean(dim=0), atol=1e-5)
    with pytest.raises(ValueError, match="an owner for each"):
        classify(model, rows, owner[1:])
    with pytest.raises(ValueError, match="none left out"):
        classify(model, rows, owner + 1)


def test_another_key_moves_all_notes_of_a_row_alike(tunes):
    x = torch.from_numpy(np.concatenate([windows(t) for t in tunes]))
    torch.manual_seed(0)
    moved, y = other_key(x, torch.arange(len(x)), semitones=3)
    assert torch.equal(y, torch.arange(len(x)))
    key = x < TIME_SHIFT
    assert torch.equal(moved[~key], x[~key])
    up = [set((moved - x)[k][key[k]].tolist()) for k in range(len(x))]
    assert all(len(one) == 1 for one in up)
    assert set().union(*up) == set(range(-3, 4))


def test_another_key_stays_in_range():
    x = torch.tensor([[CLS, 126, NOTE_OFF + 126, 1, MASK, SEP]] * 200)
    moved, _ = other_key(x, torch.zeros(200), semitones=5)
    assert set(moved[:, 1].tolist()) == {125, 126, 127}
    assert set(moved[:, 3].tolist()) == {0, 1, 2}


def one_epoch(model, **settings):
    x = torch.tensor([[CLS, 60 + k, 256 + k, 188 + k, SEP] for k in range(24)])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    training.fit(
        FineTuningTask(model, **settings),
        (x, torch.arange(24) % 3),
        epochs=1,
        batch_size=24,
        progress=False,
    )
    return {name: (p - before[name]).abs().max().item() for name, p in model.named_parameters()}


def test_a_body_at_rest_stays_as_it_is(model):
    moved = one_epoch(model, body=0, lr=1e-2)
    assert all(change == 0 for name, change in moved.items() if name.startswith("bert."))
    assert moved["output.weight"] > 1e-3


def test_the_body_learns_at_its_own_rate(model):
    """One step of AdamW moves a weight that has a gradient by its learning rate."""
    moved = one_epoch(model, body=0.1, lr=1e-2, weight_decay=0.0, warmup=0.0)
    assert moved["output.weight"] == pytest.approx(1e-2, rel=1e-2)
    layers = [c for name, c in moved.items() if "layers.0" in name and c]
    assert layers
    np.testing.assert_allclose(layers, 1e-3, rtol=1e-2)
    assert moved["bert.nsp_head.weight"] == 0  # it has no part in this


def test_it_learns_by_heart(tunes):
    training.seed_everything(0)
    model = SequenceClassifier(MusicBERT(32, 2, 1, max_seq_len=WIDTH), 3, dropout=0.0)
    x = torch.from_numpy(np.concatenate([windows(t)[:1] for t in tunes[:12]]))[:, :100]
    y = torch.arange(12) % 3
    training.fit(FineTuningTask(model, lr=5e-3), (x, y), epochs=25, batch_size=12, progress=False)
    assert (training.predict(model, x).argmax(axis=1) == y.numpy()).all()


def test_wrong_arguments_are_refused(model):
    with pytest.raises(ValueError, match="n_classes must be 2 or more"):
        SequenceClassifier(model.bert, 1)
    with pytest.raises(ValueError, match="body must be 0 or more"):
        FineTuningTask(model, body=-1)
    with pytest.raises(ValueError, match="share must be above 0"):
        few([0, 1], share=0, groups=["a", "b"], seed=0)
    with pytest.raises(ValueError, match="a label and a group each"):
        few([0, 1], share=0.5, groups=["a"], seed=0)
