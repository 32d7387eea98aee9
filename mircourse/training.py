"""Train a model: `fit` on arrays, data sets or loaders, and `predict`.

Everything random in an epoch (the order of the items, dropout, augmentation) comes from a stream
that depends only on the seed and the number of the epoch. A run that was killed and resumed
therefore ends with the weights of a run that was not.

Lesson: book/cnn/musiccnn
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mircourse.batches import Batches, as_items
from mircourse.keeper import Keeper, seed_everything
from mircourse.tasks import BatchTransform, ClassificationTask, FrameTask, Task, TrainingError

__all__ = [
    "ClassificationTask",
    "FitResult",
    "FrameTask",
    "Task",
    "TrainingError",
    "fit",
    "predict",
    "seed_everything",
]

Data = tuple[ArrayLike | Tensor, ArrayLike | Tensor] | Dataset | DataLoader


@dataclass(frozen=True)
class FitResult:
    """What `fit` did.

    Attributes
    ----------
    history : list of dict
        One entry an epoch: ``epoch`` (from 0), ``lr`` (of its last step), ``train_loss`` and, with
        validation data, ``valid_loss`` and the task's scores (``valid_accuracy`` or
        ``valid_f_measure``).
    best_epoch : int
        The epoch whose weights the model has now.
    best_score : float
        The value of ``monitor`` in that epoch.
    seconds : float
        Time spent in all epochs, those before a resumption included.
    """

    history: list[dict[str, float]]
    best_epoch: int
    best_score: float
    seconds: float


def fit(
    task: Task,
    train: Data,
    *,
    valid: Data | None = None,
    epochs: int,
    batch_size: int = 32,
    seed: int = 0,
    patience: int | None = None,
    monitor: str | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    resume: bool = True,
    batch_transform: BatchTransform | None = None,
    gradient_clip: float | None = None,
    accumulate: int = 1,
    compile: bool | str = False,
    precision: str | None = None,
    accelerator: str = "auto",
    devices: int | str = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    progress: bool | None = None,
) -> FitResult:
    """Train a task; its model ends in evaluation mode with the weights of the best epoch.

    Parameters
    ----------
    task : Task
        `ClassificationTask`, `FrameTask` or your own.
    train, valid : tuple of arrays, Dataset or DataLoader
        Inputs and targets. A tuple is indexed a batch at a time and costs least. Without `valid`
        the last epoch counts as the best.
    epochs : int
        Most epochs to train.
    batch_size : int
        Items a step over all devices together. Items are dealt out evenly: no batch is larger, and
        none is left with a remainder. A ``DataLoader`` keeps its own.
    seed : int
        Decides order, dropout and augmentation. The weights that the model begins with are
        yours: call `seed_everything` before you build it. The global generators are seeded anew
        in each epoch.
    patience : int, optional
        Stop after so many epochs without improvement on `monitor`; needs `valid`.
    monitor : str, optional
        Entry of the history that decides which epoch is best: the lowest loss or the highest
        score, the lower ``valid_loss`` where scores are equal. ``"valid_loss"`` unless given.
    checkpoint_dir : path, optional
        Folder for ``last.ckpt`` (everything, once an epoch) and ``best.pt`` (the model's weights).
    resume : bool
        Go on from ``last.ckpt`` if there is one. If its settings or data differ, that is an error.
    batch_transform : callable, optional
        ``(x, y) -> (x, y)`` on each training batch, on its device. To be the same after a
        resumption it has to draw from the global generators, not from one of its own.
    gradient_clip : float, optional
        Largest norm of the gradient, applied before the optimiser's step.
    accumulate : int
        Batches whose gradients are added up for one step: the step is that of one batch so many
        times as large, in the memory of one. The last step of an epoch may have fewer.
    compile : bool or str
        Compile the model while it trains (``torch.compile``): worth the minutes that it takes
        where training takes hours. A string names the compiler; ``"inductor"`` for True.
    precision : str, optional
        As Lightning's; by default ``"bf16-mixed"`` on a GPU that has it, else ``"32-true"``.
    accelerator, devices, num_nodes, strategy
        As Lightning's. More than one device needs a script and ``strategy="ddp"``.
    progress : bool, optional
        Show a progress bar; by default only in a terminal.

    Raises
    ------
    ValueError
        If data are empty, of unequal length, not finite or out of range, or an argument is
        invalid, or a checkpoint belongs to other settings.
    TrainingError
        If the loss or a weight becomes infinite or not a number. The message names the step; the
        last checkpoint is from before.
    """
    _check_arguments(epochs, batch_size, seed, patience, valid, strategy)
    if accumulate < 1:
        raise ValueError(f"accumulate must be at least 1, got {accumulate}")
    double = precision == "64-true"
    train_batches = _batches(train, "train", batch_size, seed=seed, double=double)
    valid_batches = None
    if valid is not None:
        valid_batches = _batches(valid, "valid", batch_size, seed=None, double=double)
    folder = None if checkpoint_dir is None else Path(checkpoint_dir)
    settings: dict[str, Any] = task.settings() | {
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": seed,
        "patience": patience,
        "monitor": monitor or ("train_loss" if valid is None else "valid_loss"),
        "gradient_clip": gradient_clip,
    }
    if accumulate > 1:
        settings["accumulate"] = accumulate
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        settings |= {
            "model": _model_signature(task.model),
            "train": _data_signature(train_batches),
            "valid": _data_signature(valid_batches),
        }
    keeper = Keeper(settings, has_valid=valid is not None, folder=folder, progress=progress)
    last = keeper.find() if resume else None
    if not keeper.finished:
        task.batch_transform = batch_transform
        task.model.train()
        with _quiet_lightning(), _interruptible(), _compiled(task, compile):
            trainer = pl.Trainer(
                max_epochs=epochs,
                accelerator=accelerator,
                devices=devices,
                num_nodes=num_nodes,
                strategy=strategy,
                precision=cast(Any, precision or _best_precision(accelerator)),
                gradient_clip_val=gradient_clip,
                accumulate_grad_batches=accumulate,
                callbacks=[keeper],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                # Lightning warns of a task that can validate but has no loader; with this limit
                # it leaves alone whichever loader it is given.
                limit_val_batches=0 if valid_batches is None else 1.0,
                use_distributed_sampler=isinstance(train, DataLoader),
                sync_batchnorm=torch.cuda.is_available() and accelerator != "cpu",
            )
            try:
                trainer.fit(
                    task,
                    cast(Any, train_batches),
                    cast(Any, train_batches if valid_batches is None else valid_batches),
                    ckpt_path=last,
                    weights_only=True,
                )
            except TrainingError as error:
                where = keeper.last_file
                kept = f"; the last good state is in {where}" if where and where.exists() else ""
                raise TrainingError(f"{error}{kept}") from error
            finally:
                task.batch_transform = None
                keeper.close()
    task.model.load_state_dict(keeper.best_weights)
    task.model.eval()
    return FitResult(keeper.history, keeper.best_epoch, keeper.best_score, keeper.seconds)


def predict(model: nn.Module, x: ArrayLike | Tensor, *, batch_size: int = 64) -> np.ndarray:
    """Return a model's output for many inputs, a batch at a time.

    Parameters
    ----------
    model : nn.Module
        Runs where its weights are, in evaluation mode; the mode it had is restored.
    x : array or tensor, shape (N, ...)
        Inputs.
    batch_size : int
        Items at a time.

    Returns
    -------
    np.ndarray, shape (N, ...)
        Logits, float32.

    Raises
    ------
    ValueError
        If there is no input, an input is not finite, or `batch_size` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    items = as_items(x, "x")
    first = next(model.parameters(), torch.empty(0))
    if items.is_floating_point() and first.dtype == torch.float64:
        items = items.double()
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            parts = [model(part.to(first.device)) for part in items.split(batch_size)]
    finally:
        model.train(training)
    return torch.cat(parts).float().cpu().numpy()


def _batches(
    data: Data, name: str, batch_size: int, *, seed: int | None, double: bool
) -> Batches | DataLoader:
    if isinstance(data, DataLoader):
        return data
    return Batches(data, batch_size=batch_size, seed=seed, name=name, double=double)


def _check_arguments(
    epochs: int, batch_size: int, seed: int, patience: int | None, valid: Data | None, strategy: str
) -> None:
    if epochs < 1 or batch_size < 1:
        raise ValueError(f"epochs and batch_size must be at least 1, got {epochs} and {batch_size}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be from 0 to 2**32 - 1, got {seed}")
    if patience is not None and (patience < 1 or valid is None):
        raise ValueError(f"patience must be at least 1 and needs valid data, got {patience}")
    if any(kind in strategy for kind in ("spawn", "fork", "notebook")):
        raise ValueError(
            f"strategy {strategy!r} leaves the history in processes that end; "
            'use "ddp" from a script, or one device'
        )


def _best_precision(accelerator: str) -> str:
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported() else "32-true"


def _model_signature(model: nn.Module) -> str:
    shapes = [(name, tuple(value.shape)) for name, value in model.state_dict().items()]
    return hashlib.sha256(repr(shapes).encode()).hexdigest()[:16]


def _data_signature(batches: Batches | DataLoader | None) -> str:
    if batches is None:
        return "none"
    return batches.signature() if isinstance(batches, Batches) else f"{len(batches)} batches"


@contextlib.contextmanager
def _compiled(task: Task, compiler: bool | str) -> Iterator[None]:
    # The method of this one task is replaced, not its model: the names of the weights stay.
    if not compiler:
        yield
        return
    backend = "inductor" if compiler is True else compiler
    vars(task)["forward"] = torch.compile(task.forward, backend=backend)
    try:
        with warnings.catch_warnings():
            # The compiler itself asks after a graph break; nothing that a caller could act on.
            warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor")
            yield
    finally:
        del vars(task)["forward"]


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    # Lightning announces devices and tips at level INFO; warnings still come through.
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Lightning 2.6 asks PyTorch 2.13 about tree leaves in a way that is going to change;
            # nothing that a caller of fit() could act on.
            warnings.filterwarnings(
                "ignore", message="`isinstance.treespec, LeafSpec.` is deprecated"
            )
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    # Lightning answers Ctrl-C by ignoring it from then on and ending the process, which would
    # take a notebook's kernel along.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        signal.signal(signal.SIGINT, handler)
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt("training was interrupted") from None
        raise
