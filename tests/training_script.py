"""A small training run that the tests of `mircourse.training` start, kill and share out.

``python training_script.py kill FOLDER STEP THREADS`` ends itself by SIGKILL at a step;
``python training_script.py ddp FILE`` trains in two processes and saves what came out.
"""

import os
import signal
import sys

import numpy as np
import torch

from mircourse.training import ClassificationTask, FitResult, fit, seed_everything

EPOCHS = 4


def problem(n=60):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64) + (x[:, 1] + x[:, 2] > 0.5)
    return x, y


def model(*, dropout=0.3):
    seed_everything(1)
    return torch.nn.Sequential(
        torch.nn.Linear(6, 8),
        torch.nn.BatchNorm1d(8) if dropout else torch.nn.Identity(),
        torch.nn.ReLU(),
        torch.nn.Dropout(dropout),
        torch.nn.Linear(8, 3),
    )


class Noise:
    """Augmentation from the global generator, ended by SIGKILL at a step if so asked."""

    def __init__(self, kill_at=None):
        self.kill_at = kill_at
        self.calls = 0

    def __call__(self, x, y):
        if self.calls == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.calls += 1
        return x + 0.1 * torch.randn_like(x), y


def train(folder=None, *, transform=None) -> tuple[torch.nn.Module, FitResult]:
    x, y = problem()
    trained = model()
    result = fit(
        ClassificationTask(trained, lr=1e-2, label_smoothing=0.1),
        (x[:45], y[:45]),
        valid=(x[45:], y[45:]),
        epochs=EPOCHS,
        batch_size=12,
        seed=5,
        checkpoint_dir=folder,
        batch_transform=transform or Noise(),
    )
    return trained, result


def train_shared(**devices) -> tuple[torch.nn.Module, FitResult]:
    # 21 items in batches of at most 8 cannot be halved evenly, and the classes weigh differently:
    # a mean of the processes' means would not be the mean.
    x, y = problem(36)
    trained = model(dropout=0).double()
    result = fit(
        ClassificationTask(trained, lr=1e-2, class_weights=[1.0, 2.0, 5.0]),
        (x[:21], y[:21]),
        valid=(x[21:], y[21:]),
        epochs=3,
        batch_size=8,
        precision="64-true",
        accelerator="cpu",
        **devices,
    )
    return trained, result


if __name__ == "__main__":
    if sys.argv[1] == "kill":
        torch.set_num_threads(int(sys.argv[4]))
        train(sys.argv[2], transform=Noise(kill_at=int(sys.argv[3])))
    else:
        trained, result = train_shared(devices=2, strategy="ddp")
        if os.environ.get("LOCAL_RANK", "0") == "0":
            content = {"weights": trained.state_dict(), "history": result.history}
            torch.save({**content, "processes": torch.distributed.get_world_size()}, sys.argv[2])
