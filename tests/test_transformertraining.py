import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from mircourse.events import BOS, EOS, N_TOKENS, PAD, note_targets
from mircourse.musictransformer import MusicTransformer
from mircourse.sequences import IGNORED, Example, PackedRows, Rows, padded
from mircourse.training import fit, seed_everything
from mircourse.transformertraining import HEADS, LanguageTask, nats

LENGTHS = (5, 17, 3, 9, 24, 11, 6, 13, 30, 8)


def small(**options):
    seed_everything(1)
    options = {"max_seq_len": 48, "dropout": 0.0, **options}
    return MusicTransformer(16, 2, 2, **options)


def pieces(*, notes=True, seed=0, styles=3):
    """Pieces of random music: waits, keys that go down and up, velocities."""
    rng = np.random.default_rng(seed)
    found = []
    for k, n in enumerate(LENGTHS):
        tokens = np.concatenate([[BOS], rng.integers(0, 388, n), [EOS]])
        heads = np.stack(note_targets(tokens), axis=1) if notes else None
        found.append(Example(tokens, style=k % styles - 1, notes=heads, id=str(k)))
    return found


def batch_of(rows):
    items, targets = zip(*(rows[i] for i in range(len(rows))), strict=True)
    return Rows(*map(torch.stack, zip(*items, strict=True))), torch.stack(targets)


def alone(model, example):
    """What a model says of one piece by itself, and its targets."""
    tokens = torch.from_numpy(example.tokens[:-1])[None]
    style = torch.tensor([example.style])
    return model(tokens, style=style), torch.from_numpy(example.targets())[None]


# --- the loss -------------------------------------------------------------------------------


def test_the_loss_is_minus_the_mean_log_probability():
    """eq:tf-nll, one token at a time."""
    model = small().double()
    example = pieces()[3]
    logits, targets = alone(model, example)
    total, tokens = LanguageTask(model).terms(logits, targets)
    p = logits["logits"][0].detach().softmax(-1)
    by_hand = -sum(math.log(p[t, following]) for t, following in enumerate(example.tokens[1:]))
    assert tokens == len(example.tokens) - 1
    torch.testing.assert_close(total.item(), by_hand, rtol=1e-9, atol=0)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("heads", [0.0, 0.7])
def test_packed_pieces_cost_what_each_costs_alone(relative, heads):
    some = pieces()
    rows = PackedRows(some, length=40, pad=PAD)
    assert len(rows) < len(some)
    packed, single = (small(relative=relative).double() for _ in range(2))
    task = LanguageTask(packed, heads=heads)
    x, target = batch_of(rows)
    total, tokens = task.terms(task(x), target)
    total.backward()
    parts = [LanguageTask(single, heads=heads).terms(*alone(single, piece)) for piece in some]
    expected = sum(part for part, _ in parts)
    expected.backward()
    assert tokens == sum(part for _, part in parts) == sum(map(len, some))
    torch.testing.assert_close(total, expected)
    grads = {name: p.grad for name, p in single.named_parameters()}
    for name, p in packed.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(p.grad, grads[name], msg=name)


def test_rows_of_one_piece_need_no_segments():
    model = small().double()
    x, target = padded(pieces(), pad=PAD)
    told, untold = (LanguageTask(model, packed=packed) for packed in (True, False))
    torch.testing.assert_close(told.terms(told(x), target), untold.terms(untold(x), target))


def test_heads_add_their_own_cross_entropy():
    model = small()
    x, target = batch_of(PackedRows(pieces(), length=40, pad=PAD))
    task = LanguageTask(model, heads=0.5)
    outputs = task(x)
    expected = sum(
        weight
        * functional.cross_entropy(
            outputs[name].flatten(0, 1), target[..., k].flatten(), reduction="sum"
        )
        for k, (name, weight) in enumerate(
            [("logits", 1.0), ("pitches", 0.5), ("durations", 0.5), ("dynamics", 0.5)]
        )
    )
    total, tokens = task.terms(outputs, target)
    torch.testing.assert_close(total, expected)
    assert tokens == (target[..., 0] != IGNORED).sum()
    # Untrained, every token is about equally likely.
    first, _ = LanguageTask(model).terms(outputs, target)
    assert abs(first / tokens - math.log(N_TOKENS)) < 0.05


def test_scores_are_accuracy_and_minus_the_cost():
    model = small()
    task = LanguageTask(model)
    x, target = batch_of(PackedRows(pieces(), length=40, pad=PAD))
    outputs = task(x)
    scored = target[..., 0] != IGNORED
    right = outputs["logits"].argmax(-1)[scored] == target[..., 0][scored]
    total, tokens = task.terms(outputs, target)
    summary = task.summary(task.counts(outputs, target))
    assert summary["accuracy"] == pytest.approx(right.float().mean().item())
    assert summary["negative_nats"] == pytest.approx(-(total / tokens).item())


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="heads must be"):
        LanguageTask(small(), heads=-1)
    model = small()
    x, target = batch_of(PackedRows(pieces(notes=False), length=40, pad=PAD))
    task = LanguageTask(model, heads=1)
    with pytest.raises(ValueError, match="heads need targets"):
        task.terms(task(x), target)


# --- the cost of pieces ---------------------------------------------------------------------


@pytest.mark.parametrize("head", [None, *HEADS])
def test_nats_are_those_of_each_piece_alone(head):
    model = small(dropout=0.2).double().train()
    some = pieces()
    found = nats(model, some, pad=PAD, tokens=60, head=head)
    assert model.training
    model.eval()
    column = 0 if head is None else 1 + HEADS.index(head)
    for example, (cost, count) in zip(some, found, strict=True):
        outputs, targets = alone(model, example)
        logits, target = outputs[head or "logits"][0], targets[0, :, column]
        expected = functional.cross_entropy(logits, target, reduction="sum")
        assert count == (target != IGNORED).sum()
        assert cost == pytest.approx(expected.item(), rel=1e-5)


def test_nats_of_a_long_piece_come_from_windows():
    model = small().double().eval()
    example = pieces()[8]  # 31 predictions
    (cost, count), *_ = nats(model, [example], pad=PAD, length=12)
    expected = 0.0
    # Windows end after 12, 18, 24, 30 and 31 tokens, and score what the one before did not.
    for start, first, stop in ((0, 0, 12), (6, 12, 18), (12, 18, 24), (18, 24, 30), (19, 30, 31)):
        tokens = torch.from_numpy(example.tokens[start:stop])[None]
        logits = model(tokens, style=torch.tensor([example.style]))["logits"][0].log_softmax(-1)
        for t in range(first, stop):
            expected -= logits[t - start, example.tokens[t + 1]].item()
    assert (cost, count) == (pytest.approx(expected, rel=1e-5), 31)


def test_nats_need_pieces():
    with pytest.raises(ValueError, match="no examples"):
        nats(small(), [], pad=PAD)


# --- training -------------------------------------------------------------------------------


def assert_same_weights(a, b, **tolerance):
    for name, value in b.state_dict().items():
        torch.testing.assert_close(a.state_dict()[name], value, msg=name, **tolerance)


@pytest.mark.parametrize("clip", [None, 0.1])
def test_gradients_of_two_batches_make_the_step_of_one_twice_as_large(clip):
    some = pieces()  # of unequal length: the batches weigh unequally
    models = []
    for batch_size, accumulate in ((4, 1), (2, 2)):
        model = small()
        fit(
            LanguageTask(model, heads=0.5, lr=0.01, packed=False),
            PackedRows(some[:8], length=32, pad=PAD, packed=False),
            epochs=3,
            batch_size=batch_size,
            accumulate=accumulate,
            gradient_clip=clip,
            precision="64-true",
            accelerator="cpu",
            seed=5,
        )
        models.append(model)
    assert_same_weights(*models, rtol=1e-9, atol=1e-11)


def test_a_last_step_of_fewer_batches_weighs_what_it_has():
    some = [Example(np.arange(n)) for n in (9, 5, 7)]
    models = []
    # In order, batches of one: steps after two and after one; and the same steps from one batch.
    for sizes, accumulate in (((1, 1, 1), 2), ((2, 1), 1)):
        model = small()
        rows = PackedRows(some, length=10, pad=PAD, packed=False)
        ends = np.cumsum((0, *sizes))
        batches = [batch_of([rows[i] for i in range(a, b)]) for a, b in itertools.pairwise(ends)]
        loader = torch.utils.data.DataLoader(batches, batch_size=None)
        task = LanguageTask(model, lr=0.01, packed=False)
        options = {"precision": "64-true", "accelerator": "cpu"}
        fit(task, loader, epochs=2, accumulate=accumulate, **options)
        models.append(model)
    assert_same_weights(*models, rtol=1e-9, atol=1e-11)


def moved(example):
    """Draw a new version of a piece from the global generator."""
    return Example((example.tokens + int(torch.randint(5, ()))) % 388, example.style)


class Stop(Exception):
    pass


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path):
    def run(folder, *, steps=10**9):
        seen = []

        def count(x, y):
            seen.append(x)
            if len(seen) > steps:
                raise Stop
            return x, y

        model = small(dropout=0.2)
        rows = PackedRows(pieces(notes=False), length=20, pad=PAD, jitter=1, augment=moved)
        result = fit(
            LanguageTask(model, lr=0.01),
            rows,
            epochs=4,
            batch_size=3,
            accumulate=2,
            checkpoint_dir=folder,
            batch_transform=count,
            accelerator="cpu",
        )
        return model, result

    whole, expected = run(tmp_path / "whole")
    with pytest.raises(Stop):
        run(tmp_path / "stopped", steps=7)
    again, result = run(tmp_path / "stopped")
    assert_same_weights(again, whole, rtol=0, atol=0)
    assert result.history == expected.history


def test_a_checkpoint_of_other_steps_is_refused(tmp_path):
    rows = PackedRows(pieces(notes=False), length=20, pad=PAD)
    options = {"epochs": 1, "checkpoint_dir": tmp_path, "accelerator": "cpu"}
    fit(LanguageTask(small()), rows, accumulate=2, **options)
    with pytest.raises(ValueError, match="accumulate: 2 then, None now"):
        fit(LanguageTask(small()), rows, **options)
    with pytest.raises(ValueError, match="accumulate must be at least 1"):
        fit(LanguageTask(small()), rows, accumulate=0, epochs=1)


def test_a_compiled_model_learns_the_same_and_keeps_its_names():
    models = []
    for compiler in (False, "eager"):
        model = small()
        task = LanguageTask(model, lr=0.01)
        rows = PackedRows(pieces(notes=False), length=40, pad=PAD)
        options = {"batch_size": 2, "precision": "64-true", "accelerator": "cpu"}
        fit(task, rows, epochs=2, compile=compiler, **options)
        assert "forward" not in vars(task)
        models.append(model)
    assert_same_weights(*models, rtol=1e-9, atol=1e-11)


def test_half_precision_learns_too():
    model = small()
    rows = PackedRows(pieces(), length=40, pad=PAD)
    task = LanguageTask(model, heads=0.5, lr=0.02, schedule="constant")
    result = fit(task, rows, epochs=12, precision="bf16-mixed", accelerator="cpu")
    losses = [entry["train_loss"] for entry in result.history]
    assert losses[-1] < 0.8 * losses[0]


def test_validation_costs_are_those_of_the_pieces():
    some = pieces(notes=False)
    model = small()
    rows = PackedRows(some, length=40, pad=PAD)
    result = fit(LanguageTask(model), rows, valid=rows, epochs=1, accelerator="cpu")
    cost, tokens = nats(model, some, pad=PAD).sum(0)
    assert result.history[0]["valid_loss"] == pytest.approx(cost / tokens, rel=1e-5)
    assert result.history[0]["valid_negative_nats"] == pytest.approx(-cost / tokens, rel=1e-5)
