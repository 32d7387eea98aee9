import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import training_script as script
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from mircourse import training
from mircourse.batches import Batches
from mircourse.training import (
    ClassificationTask,
    FrameTask,
    Task,
    TrainingError,
    fit,
    predict,
    seed_everything,
)

SCRIPT = Path(script.__file__)


def run_script(*arguments):
    # Warnings are errors in the started process, too.
    return subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])},
    )


def linear(n_in=6, n_out=3):
    seed_everything(0)
    return torch.nn.Linear(n_in, n_out)


def assert_same_weights(a, b):
    for name, value in b.state_dict().items():
        torch.testing.assert_close(a.state_dict()[name], value, rtol=0, atol=0, msg=name)


# --- the loss -------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5]])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_classification_loss_is_pytorchs(weights, smoothing):
    logits, target = torch.randn(10, 3), torch.randint(3, (10,))
    task = ClassificationTask(linear(), class_weights=weights, label_smoothing=smoothing)
    total, weight = task.terms(logits, target)
    expected = functional.cross_entropy(
        logits,
        target,
        weight=None if weights is None else torch.tensor(weights),
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(total / weight, expected)


def test_mixed_targets_that_are_not_mixed_give_the_same_loss():
    logits, target = torch.randn(10, 3), torch.randint(3, (10,))
    task = ClassificationTask(linear(), class_weights=[1.0, 2.0, 0.5])
    mixed = functional.one_hot(target, 3).float()
    for hard, soft in zip(task.terms(logits, target), task.terms(logits, mixed), strict=True):
        torch.testing.assert_close(hard, soft)
    torch.testing.assert_close(task.counts(logits, target), task.counts(logits, mixed))


def test_frame_loss_is_pytorchs():
    logits, target = torch.randn(4, 9), torch.randint(2, (4, 9)).bool()
    total, weight = FrameTask(linear(), pos_weight=3.0).terms(logits, target)
    expected = functional.binary_cross_entropy_with_logits(
        logits, target.float(), pos_weight=torch.tensor(3.0)
    )
    torch.testing.assert_close(total / weight, expected)


def test_frame_score_is_the_f_measure():
    logits, target = torch.randn(5, 40), torch.randint(2, (5, 40))
    task = FrameTask(linear())
    found = task.summary(task.counts(logits, target))["f_measure"]
    pairs = list(zip((logits > 0).flatten().tolist(), target.flatten().tolist(), strict=True))
    precision = sum(f and t for f, t in pairs) / sum(f for f, _ in pairs)
    recall = sum(f and t for f, t in pairs) / sum(t for _, t in pairs)
    assert found == pytest.approx(2 * precision * recall / (precision + recall))
    nothing = torch.full((1, 4), -9.0)
    assert task.summary(task.counts(nothing, torch.zeros(1, 4))) == {"f_measure": 0.0}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.tensor([0, 3]), "run from 0 to 3, but a model of 3 classes expects 0 to 2"),
        (torch.tensor([-1, 0]), "run from -1 to 0"),
        (torch.tensor([0, 1, 2]), r"class indices of shape \(2,\)"),
        (torch.tensor([0.0, 1.0]), "class indices"),
        (torch.ones(2, 4), r"probabilities of shape \(2, 3\)"),
    ],
)
def test_classification_targets_are_checked(target, message):
    with pytest.raises(ValueError, match=message):
        ClassificationTask(linear()).terms(torch.zeros(2, 3), target)


def test_class_weights_must_fit_the_model():
    with pytest.raises(ValueError, match="2 class_weights for a model of 3 classes"):
        ClassificationTask(linear(), class_weights=[1.0, 2.0]).terms(
            torch.zeros(2, 3), torch.tensor([0, 1])
        )


@pytest.mark.parametrize(
    ("target", "message"),
    [(torch.zeros(2, 4), r"\(2, 3\), got \(2, 4\)"), (torch.full((2, 3), 2.0), r"in \[0, 1\]")],
)
def test_frame_targets_are_checked(target, message):
    with pytest.raises(ValueError, match=message):
        FrameTask(linear()).terms(torch.zeros(2, 3), target)


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.0},
        {"lr": float("nan")},
        {"weight_decay": -1.0},
        {"schedule": "step"},
        {"warmup": 1.0},
        {"label_smoothing": 1.0},
        {"class_weights": [1.0, 0.0]},
    ],
)
def test_task_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ClassificationTask(linear(), **options)


# --- the schedule ---------------------------------------------------------------------------


def test_cosine_is_pytorchs():
    task = Task(linear(), lr=0.5, warmup=0.0)
    optimizer = torch.optim.SGD(task.parameters(), lr=0.5)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for step in range(21):
        assert 0.5 * task.rate(step, 20) == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        reference.step()


def test_warmup_rises_evenly_to_the_highest_rate():
    task = Task(linear(), warmup=0.1)
    rates = [task.rate(step, 100) for step in range(11)]
    np.testing.assert_allclose(np.diff(rates), 1 / 11)
    assert rates[0] > 0
    assert rates[10] == 1.0
    assert task.rate(100, 100) == pytest.approx(0.0, abs=1e-12)
    assert Task(linear(), schedule="constant", warmup=0.1).rate(99, 100) == 1.0


# --- batches --------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 90),
    size=st.integers(1, 100),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 9),
)
def test_each_item_comes_once_in_even_batches(n, size, seed, epoch):
    batches = Batches((np.arange(n), np.arange(n) * 2), batch_size=size, seed=seed)
    batches.epoch = epoch
    parts = list(batches)
    assert len(parts) == len(batches) == math.ceil(n / size)
    assert torch.equal(torch.cat([x for x, _ in parts]).sort().values, torch.arange(n))
    assert all(torch.equal(2 * x, y) for x, y in parts)
    sizes = {len(x) for x, _ in parts}
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        batches = Batches((np.arange(50), np.arange(50)), batch_size=50, seed=seed)
        batches.epoch = epoch
        return next(iter(batches))[0].tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(*key)) for key in [(1, 2), (1, 3), (2, 2), (3, 1)]}) == 4
    assert order(None, 4) == list(range(50))


def test_a_dataset_gives_the_batches_of_its_arrays():
    x, y = torch.randn(11, 3), torch.arange(11)
    from_set = Batches(TensorDataset(x, y), batch_size=4, seed=2)
    for ours, theirs in zip(Batches((x, y), batch_size=4, seed=2), from_set, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


# --- fit ------------------------------------------------------------------------------------


def test_fit_keeps_the_best_epoch_and_stops_when_patience_ends(tmp_path):
    x, y = script.problem()
    y_valid = np.random.default_rng(0).permutation(y[45:])  # nothing to learn for these
    model = linear()
    result = fit(
        ClassificationTask(model, lr=0.3, schedule="constant"),
        (x[:45], y[:45]),
        valid=(x[45:], y_valid),
        epochs=40,
        patience=3,
        checkpoint_dir=tmp_path,
    )
    losses = [entry["valid_loss"] for entry in result.history]
    assert result.best_epoch == int(np.argmin(losses))
    assert result.best_score == min(losses)
    assert len(losses) == result.best_epoch + 1 + 3 < 40
    assert not model.training
    logits = torch.from_numpy(predict(model, x[45:]))
    loss = functional.cross_entropy(logits, torch.from_numpy(y_valid))
    assert loss.item() == pytest.approx(min(losses), rel=1e-5)
    saved = torch.load(tmp_path / "best.pt", weights_only=True)
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())


def test_fit_learns_and_monitors_what_is_asked():
    x, y = script.problem(200)
    model = script.model(dropout=0)
    result = fit(
        ClassificationTask(model, lr=3e-2),
        (x[:150], y[:150]),
        valid=(x[150:], y[150:]),
        epochs=15,
        monitor="valid_accuracy",
    )
    assert [entry["epoch"] for entry in result.history] == list(range(15))
    accuracies = [entry["valid_accuracy"] for entry in result.history]
    assert result.best_score == max(accuracies) > 0.7
    tied = [e for e in result.history if e["valid_accuracy"] == result.best_score]
    assert result.best_epoch == min(tied, key=lambda e: e["valid_loss"])["epoch"]
    found = predict(model, x[150:]).argmax(axis=1)
    assert (found == y[150:]).mean() == pytest.approx(result.best_score)


def test_the_seed_decides_everything():
    first, again = script.train()[0], script.train()[0]
    assert_same_weights(first, again)
    x, y = script.problem()
    others = []
    for seed in (5, 6):
        model = linear()
        fit(ClassificationTask(model), (x, y), epochs=1, seed=seed)
        others.append(model.weight)
    assert not torch.equal(*others)


def test_without_validation_the_last_epoch_counts():
    model = linear()
    result = fit(ClassificationTask(model, lr=1.0), script.problem(), epochs=3)
    assert result.best_epoch == 2
    assert result.best_score == result.history[-1]["train_loss"]
    assert set(result.history[0]) == {"epoch", "lr", "train_loss"}


@pytest.mark.parametrize("clip", [None, 0.5])
def test_steps_are_those_of_adamw(clip):
    # One batch an epoch, no decay, no warm-up: each epoch is one step of plain AdamW.
    x, y = script.problem(20)
    x = 10 * x
    model, reference = linear(), linear()
    result = fit(
        ClassificationTask(model, lr=0.1, weight_decay=0.0, schedule="constant", warmup=0.0),
        (x, y),
        epochs=3,
        batch_size=20,
        gradient_clip=clip,
    )
    optimizer = torch.optim.AdamW(reference.parameters(), lr=0.1, weight_decay=0.0)
    norms = []
    for entry in result.history:
        loss = functional.cross_entropy(reference(torch.from_numpy(x)), torch.from_numpy(y))
        assert entry["train_loss"] == pytest.approx(loss.item(), rel=1e-4)
        assert entry["lr"] == 0.1
        optimizer.zero_grad()
        loss.backward()
        # An infinite limit changes nothing.
        limit = clip or float("inf")
        norms.append(torch.nn.utils.clip_grad_norm_(reference.parameters(), limit).item())
        optimizer.step()
    assert max(norms) > 0.5
    torch.testing.assert_close(model.weight, reference.weight)


def test_frames_train_too_in_half_precision():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 12)).astype(np.float32)
    y = x > 0.3
    result = fit(
        FrameTask(linear(12, 12), lr=5e-2, pos_weight=2.0),
        (x[:150], y[:150]),
        valid=(x[150:], y[150:]),
        epochs=6,
        precision="bf16-mixed",
        accelerator="cpu",
    )
    first, *_, last = (entry["valid_f_measure"] for entry in result.history)
    assert last > 0.7 > first


def test_half_precision_is_chosen_on_a_gpu_that_has_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert training._best_precision("auto") == "bf16-mixed"
    assert training._best_precision("cpu") == "32-true"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert training._best_precision("auto") == "32-true"


# On a machine with many cores Lightning advises a loader to use more processes.
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_a_loader_is_used_as_it_is():
    x, y = (torch.as_tensor(part) for part in script.problem(24))
    model, same = linear(), linear()
    options = {"epochs": 2, "batch_size": 24}
    fit(ClassificationTask(model), (x, y), **options)
    loader = DataLoader(TensorDataset(x, y), batch_size=24)
    result = fit(ClassificationTask(same), loader, valid=loader, epochs=2)
    torch.testing.assert_close(model.weight, same.weight)
    assert "valid_accuracy" in result.history[0]


def test_fit_is_silent_but_for_the_bar(capfd):
    fit(ClassificationTask(linear()), script.problem(), epochs=1)
    assert capfd.readouterr() == ("", "")
    fit(ClassificationTask(linear()), script.problem(), epochs=2, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "2/2" in err
    assert "train_loss" in err


def test_an_interruption_comes_through_and_ctrl_c_still_works():
    def interrupt(x, y):
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(
            ClassificationTask(linear()),
            script.problem(),
            epochs=1,
            batch_transform=interrupt,
        )
    assert signal.getsignal(signal.SIGINT) is before


# --- bad input ------------------------------------------------------------------------------

X, Y = script.problem(8)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ((X[:0], Y[:0]), "train: x has no items"),
        ((X, Y[:5]), "train has 8 inputs but 5 targets"),
        ((X, Y + 7), "expects 0 to 2"),
        ((X, Y - 1), "run from -1"),
        ((np.where(np.arange(8)[:, None] == 3, np.nan, X), Y), "not finite, first in item 3"),
        ((X, np.array(["a"] * 8)), "train: y must be numbers"),
        (X, "must be .inputs, targets. or a Dataset"),
        (TensorDataset(torch.zeros(0, 6), torch.zeros(0)), "train is empty"),
    ],
)
def test_bad_data_is_refused(train, message):
    with pytest.raises(ValueError, match=message):
        fit(ClassificationTask(linear()), train, epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs and batch_size"),
        ({"epochs": 1, "batch_size": 0}, "epochs and batch_size"),
        ({"epochs": 1, "patience": 2}, "patience must be at least 1 and needs valid"),
        ({"epochs": 1, "seed": -1}, "seed must be"),
        ({"epochs": 1, "strategy": "ddp_spawn"}, 'use "ddp" from a script'),
        ({"epochs": 1, "monitor": "f1"}, "monitor must be one of .*train_loss.*, got 'f1'"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fit(ClassificationTask(linear()), (X, Y), **options)


def test_predict_is_the_model_in_evaluation_mode():
    model = script.model()
    x, _ = script.problem(30)
    model.train()
    found = predict(model, x, batch_size=7)
    assert model.training
    expected = model.eval()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="x has no items"):
        predict(model, x[:0])
    with pytest.raises(ValueError, match="batch_size"):
        predict(model, x, batch_size=0)


# --- what can go wrong ----------------------------------------------------------------------


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_good_state(tmp_path):
    calls = []

    def spoil(x, y):
        calls.append(1)
        return (x * float("nan") if len(calls) == 6 else x), y

    with pytest.raises(TrainingError, match=r"nan at step 5 \(epoch 1, batch 1\).*last\.ckpt"):
        fit(
            ClassificationTask(linear()),
            script.problem(),
            epochs=3,
            batch_size=15,
            checkpoint_dir=tmp_path,
            batch_transform=spoil,
        )
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert state["epoch"] == 0
    assert all(value.isfinite().all() for value in state["state_dict"].values())


def test_weights_that_are_not_numbers_are_not_saved(tmp_path):
    class Spoiled(ClassificationTask):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            if self.global_step == 2:
                torch.nn.init.constant_(self.model.weight, float("inf"))

    with pytest.raises(TrainingError, match=r"after step 1 \(end of epoch 1\).*weight"):
        fit(
            Spoiled(linear()),
            script.problem(),
            epochs=3,
            batch_size=60,
            checkpoint_dir=tmp_path,
        )
    weight = torch.load(tmp_path / "best.pt", weights_only=True)["weight"]
    assert weight.isfinite().all()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path):
    # 45 items in batches of 12 make 4 steps an epoch: step 9 lies inside the third.
    died = run_script("kill", tmp_path, 9, torch.get_num_threads())
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 1
    resumed_steps = script.Noise()
    resumed, result = script.train(tmp_path, transform=resumed_steps)
    assert resumed_steps.calls == 2 * 4
    whole, expected = script.train()
    assert_same_weights(resumed, whole)
    assert result.history == expected.history
    assert (result.best_epoch, result.best_score) == (expected.best_epoch, expected.best_score)

    # A run that has ended is not run again, and gives the same once more.
    steps = script.Noise()
    once_more, same = script.train(tmp_path, transform=steps)
    assert steps.calls == 0
    assert_same_weights(once_more, whole)
    assert same.history == expected.history


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    def go(data=(X, Y), lr=1e-3, **options):
        return fit(
            ClassificationTask(linear(), lr=lr),
            data,
            **{"epochs": 1, "checkpoint_dir": tmp_path} | options,
        )

    go()
    for options, message in [
        ({"lr": 1e-2}, "lr: 0.001 then, 0.01 now"),
        ({"epochs": 2}, "epochs: 1 then, 2 now"),
        ({"data": (X + 1, Y)}, "train: .* then"),
        ({"valid": (X, Y)}, "valid: 'none' then"),
    ]:
        with pytest.raises(ValueError, match=message):
            go(**options)
    assert go(lr=1e-2, resume=False).history[0]["lr"] == 1e-2
    (tmp_path / "last.ckpt").write_bytes(b"PK not a checkpoint")
    with pytest.raises(ValueError, match=r"last\.ckpt is not a checkpoint"):
        go()


def test_two_processes_train_as_one(tmp_path):
    done = run_script("ddp", tmp_path / "two.pt")
    assert done.returncode == 0, done.stderr
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    assert two["processes"] == 2
    one, result = script.train_shared()
    # AdamW divides by the gradient's size: only equal gradients give equal weights.
    for name, value in one.state_dict().items():
        torch.testing.assert_close(two["weights"][name], value, rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(result.history, two["history"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)
