"""What is trained: the loss, the scores and the optimiser, as Lightning modules.

A loss is summed over the items and divided by their summed weights over *all* processes, so that
training on several devices follows the same gradient as one device with the whole batch.

Lesson: book/cnn/musiccnn
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

BatchTransform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
SCHEDULES = ("cosine", "constant")


class TrainingError(RuntimeError):
    """Training cannot go on: the loss or a weight is no longer a finite number."""


class Task(pl.LightningModule):
    """A model with its loss, scores and optimiser; the base of the tasks below.

    A subclass says how a batch is scored: `terms` and `counts` give sums over items, `summary`
    turns the sums of an epoch into named scores. Sums make the scores of an epoch exact however
    the items are dealt out to batches and processes.

    Parameters
    ----------
    model : nn.Module
        Maps a batch of inputs to logits.
    lr : float
        Highest learning rate of AdamW (Loshchilov & Hutter, 2019).
    weight_decay : float
        Decoupled weight decay; weights of one dimension (biases, norms) are not decayed.
    schedule : {"cosine", "constant"}
        What follows the warm-up: half a cosine down to zero (Loshchilov & Hutter, 2017, eq. 5
        without restarts), or no change.
    warmup : float
        Share of all steps over which the rate rises linearly from zero, in [0, 1).

    Raises
    ------
    ValueError
        If a number is out of range or the schedule is unknown.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: str = "cosine",
        warmup: float = 0.05,
    ) -> None:
        super().__init__()
        if not lr > 0 or not math.isfinite(lr):
            raise ValueError(f"lr must be a positive number, got {lr}")
        if weight_decay < 0:
            raise ValueError(f"weight_decay must be 0 or more, got {weight_decay}")
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {SCHEDULES}, got {schedule!r}")
        if not 0 <= warmup < 1:
            raise ValueError(f"warmup must be in [0, 1), got {warmup}")
        self.model = model
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.warmup = warmup
        self.batch_transform: BatchTransform | None = None
        self._sums: dict[str, Tensor] = {}
        self._last_lr = lr
        self._window: list[Tensor] = []  # weights of the batches whose gradients are being added

    def terms(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed loss of a batch and the summed weight of its items, both scalars."""
        raise NotImplementedError

    def counts(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return sums over a batch, shape (k,), from which `summary` computes scores."""
        raise NotImplementedError

    def summary(self, counts: Tensor) -> dict[str, float]:
        """Return named scores, higher is better, from the summed `counts` of an epoch."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Return what a checkpoint must agree on to be resumed."""
        return {
            "task": type(self).__name__,
            "lr": self.lr,
            "weight_decay": self.weight_decay,
            "schedule": self.schedule,
            "warmup": self.warmup,
        }

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's logits."""
        return self.model(x)

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch; Lightning calls it."""
        x, target = batch
        if self.batch_transform is not None:
            x, target = self.batch_transform(x, target)
        total, weight = self.terms(self(x), target)
        # One exchange per step: every process sees the same mean and stops at the same step.
        both = self._over_processes(torch.stack([total.detach(), weight.detach()]))
        if not torch.isfinite(both[0]):
            raise TrainingError(
                f"the loss is {both[0].item()} at step {self.global_step} "
                f"(epoch {self.current_epoch}, batch {batch_idx}); lower the learning rate "
                f"(now {self._current_lr():.3g}), set gradient_clip, or look for extreme inputs"
            )
        self._add("train", both)
        self._last_lr = self._current_lr()
        self._window.append(both[1])
        # Lightning divides by the number of batches whose gradients it adds. What they are worth
        # is known at the last of them only; until then the first stands for all.
        batches = self.trainer.accumulate_grad_batches
        return total * self.trainer.world_size * batches / self._window[0]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide added gradients by the weight of all their batches; Lightning calls it."""
        weights = self._window
        self._window = []
        if len(weights) > 1:
            share = weights[0] / torch.stack(weights).sum()
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(share)

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        """Add one batch to the epoch's sums; Lightning calls it."""
        x, target = batch
        logits = self(x)
        total, weight = self.terms(logits, target)
        self._add("valid", torch.stack([total, weight]))
        self._add("counts", self.counts(logits, target))

    def take_epoch(self) -> dict[str, float]:
        """Return the losses and scores summed since the last call, and forget the sums."""
        scores = {"lr": self._last_lr}
        total, weight = self._sums["train"].tolist()
        scores["train_loss"] = total / weight
        if "valid" in self._sums:
            total, weight = self._over_processes(self._sums["valid"]).tolist()
            scores["valid_loss"] = total / weight
            counts = self._over_processes(self._sums["counts"])
            scores |= {f"valid_{name}": value for name, value in self.summary(counts).items()}
        self._sums = {}
        return scores

    def configure_optimizers(self) -> Any:
        """Return AdamW and its schedule; Lightning calls it."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=self.lr)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.rate(step, steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def rate(self, step: int, steps: int) -> float:
        """Return the share of `lr` in force at `step` (from 0) of `steps`."""
        rising = round(self.warmup * steps)
        if step < rising:
            return (step + 1) / (rising + 1)
        if self.schedule == "constant":
            return 1.0
        progress = (step - rising) / max(1, steps - rising)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def _add(self, name: str, values: Tensor) -> None:
        # Double precision: a sum over an epoch must not lose the last digits of a loss.
        values = values.detach().to(torch.float64) if values.device.type != "mps" else values
        known = self._sums.get(name)
        self._sums[name] = values if known is None else known + values

    def _over_processes(self, values: Tensor) -> Tensor:
        if self.trainer.world_size > 1:
            values = values.clone()
            torch.distributed.all_reduce(values)  # adds
        return values

    def _current_lr(self) -> float:
        return float(self.trainer.optimizers[0].param_groups[0]["lr"])


class ClassificationTask(Task):
    """One class for each item: cross-entropy, scored by accuracy.

    Parameters
    ----------
    model : nn.Module
        Maps inputs to logits, shape (B, n_classes).
    class_weights : sequence of float, optional
        One weight a class, for classes of unequal size; the loss is then a weighted mean.
    label_smoothing : float
        Share of the target spread evenly over all classes (Szegedy et al., 2016), in [0, 1).
    lr, weight_decay, schedule, warmup
        As in `Task`.

    Notes
    -----
    Targets are class indices, shape (B,), or probabilities, shape (B, n_classes), as mixed
    examples have. An index outside 0 .. n_classes - 1 raises ``ValueError``.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        class_weights: Sequence[float] | Tensor | None = None,
        schedule: str = "cosine",
        label_smoothing: float = 0.0,
        warmup: float = 0.05,
    ) -> None:
        super().__init__(model, lr=lr, weight_decay=weight_decay, schedule=schedule, warmup=warmup)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        self.label_smoothing = label_smoothing
        self.class_weights: Tensor | None
        weights = None if class_weights is None else torch.as_tensor(class_weights).float()
        if weights is not None and (weights.ndim != 1 or not (weights > 0).all()):
            raise ValueError(
                f"class_weights must be one positive number a class, got {weights.tolist()}"
            )
        # Not persistent: the weights belong to the training, not to the trained model.
        self.register_buffer("class_weights", weights, persistent=False)

    def settings(self) -> dict[str, Any]:
        """Return what a checkpoint must agree on to be resumed."""
        weights = None if self.class_weights is None else self.class_weights.tolist()
        own = {"label_smoothing": self.label_smoothing, "class_weights": weights}
        return super().settings() | own

    def terms(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed cross-entropy and the summed class weights of a batch."""
        self._check(logits, target)
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        weights = self.class_weights
        weights = weights if weights is None else weights.to(logits.dtype)
        if target.ndim == 2:
            target = target.to(logits.dtype)
        total = functional.cross_entropy(
            logits, target, weight=weights, label_smoothing=self.label_smoothing, reduction="sum"
        )
        if weights is None:
            return total, total.new_tensor(float(len(target)))
        shares = target @ weights if target.ndim == 2 else weights[target]  # (B,)
        return total, shares.sum()

    def counts(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the number of right answers and of items, shape (2,)."""
        truth = target.argmax(dim=1) if target.ndim == 2 else target  # (B,)
        right = (logits.argmax(dim=1) == truth).sum()
        return torch.stack([right, right.new_tensor(len(truth))])

    def summary(self, counts: Tensor) -> dict[str, float]:
        """Return the accuracy."""
        right, items = counts.tolist()
        return {"accuracy": right / items}

    def _check(self, logits: Tensor, target: Tensor) -> None:
        if logits.ndim != 2:
            raise ValueError(
                f"the model must give logits of shape (B, n_classes), got {tuple(logits.shape)}"
            )
        n_classes = logits.shape[1]
        if self.class_weights is not None and len(self.class_weights) != n_classes:
            raise ValueError(
                f"{len(self.class_weights)} class_weights for a model of {n_classes} classes"
            )
        if target.ndim == 2:
            if target.shape != logits.shape or not target.is_floating_point():
                raise ValueError(
                    f"targets of two axes must be probabilities of shape {tuple(logits.shape)}, "
                    f"got {target.dtype} of shape {tuple(target.shape)}"
                )
            return
        if target.shape != logits.shape[:1] or target.dtype != torch.int64:
            raise ValueError(
                f"targets must be class indices of shape ({len(logits)},), "
                f"got {target.dtype} of shape {tuple(target.shape)}"
            )
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= n_classes:
            raise ValueError(
                f"targets run from {low} to {high}, but a model of {n_classes} classes expects "
                f"0 to {n_classes - 1}"
            )


class FrameTask(Task):
    """Yes or no for each frame, as in onset detection: binary cross-entropy, scored by F-measure.

    Parameters
    ----------
    model : nn.Module
        Maps inputs to logits, shape (B, frames), or any other shape that the targets share.
    pos_weight : float
        How many times a positive frame counts in the loss; above 1 where positives are rare.
    threshold : float
        Probability above which a frame counts as positive in the F-measure, in (0, 1).
    lr, weight_decay, schedule, warmup
        As in `Task`.

    Notes
    -----
    Targets lie in [0, 1] and have the shape of the logits. A target of 0.5 or more counts as
    positive in the F-measure, which is 0 if nothing is positive.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        pos_weight: float = 1.0,
        threshold: float = 0.5,
        schedule: str = "cosine",
        warmup: float = 0.05,
    ) -> None:
        super().__init__(model, lr=lr, weight_decay=weight_decay, schedule=schedule, warmup=warmup)
        if not pos_weight > 0:
            raise ValueError(f"pos_weight must be positive, got {pos_weight}")
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must be in (0, 1), got {threshold}")
        self.pos_weight = pos_weight
        self.threshold = threshold

    def settings(self) -> dict[str, Any]:
        """Return what a checkpoint must agree on to be resumed."""
        return super().settings() | {"pos_weight": self.pos_weight, "threshold": self.threshold}

    def terms(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed binary cross-entropy and the number of frames of a batch."""
        if logits.shape != target.shape:
            raise ValueError(
                f"targets must have the shape of the logits, {tuple(logits.shape)}, "
                f"got {tuple(target.shape)}"
            )
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        target = target.to(logits.dtype)
        if target.min() < 0 or target.max() > 1:
            raise ValueError(
                f"targets must lie in [0, 1], got {target.min().item()} to {target.max().item()}"
            )
        total = functional.binary_cross_entropy_with_logits(
            logits, target, pos_weight=logits.new_tensor(self.pos_weight), reduction="sum"
        )
        return total, total.new_tensor(float(target.numel()))

    def counts(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return true positives, positives found and positives there, shape (3,)."""
        found = logits.sigmoid() > self.threshold
        there = target >= 0.5
        return torch.stack([(found & there).sum(), found.sum(), there.sum()])

    def summary(self, counts: Tensor) -> dict[str, float]:
        """Return the F-measure over all frames."""
        both, found, there = counts.tolist()
        return {"f_measure": 2 * both / (found + there) if found + there else 0.0}
