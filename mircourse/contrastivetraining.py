"""Training of a `mircourse.simclr.SimCLR` with `mircourse.training.fit`: views, loss, optimiser.

Lesson: book/index
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mircourse.lars import LARS
from mircourse.ntxent import check_views, nt_xent
from mircourse.tasks import Task

Optimizer = Literal["adamw", "lars"]
OPTIMIZERS = ("adamw", "lars")


class ContrastiveTask(Task):
    """Learn what two views of one item share, by the loss of `mircourse.ntxent.nt_xent`.

    Items come without labels: `mircourse.training.fit` asks for targets, and any will do, such as
    ``np.zeros(n)``. Views are made of the batch, twice, wherever it is. Processes that train
    together share their negatives and follow the gradient of the whole batch.

    The score of an epoch is the share of views whose other view is the nearest of the batch (of a
    process), as ``valid_accuracy``.

    Lesson: book/index

    Parameters
    ----------
    model : nn.Module
        Maps views to vectors (B, D), as `mircourse.simclr.SimCLR` does.
    views : callable
        Gives a random view of each item of a batch, as `mircourse.views.Views`.
    temperature : float
        τ of the loss, above 0.
    negatives : bool
        Without, only the agreement of the views counts, -sim(z1, z2) / τ, and all vectors fall
        into one: to be seen once.
    optimizer : {"adamw", "lars"}
        `mircourse.lars.LARS` for batches of a thousand and more, with a learning rate of 0.3 for
        each 256 clips.
    lr, weight_decay, schedule, warmup
        As in `mircourse.tasks.Task`.

    Raises
    ------
    ValueError
        If a number is out of range or the optimiser is unknown.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        views: Callable[[Tensor], Tensor],
        temperature: float = 0.1,
        negatives: bool = True,
        optimizer: Optimizer = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 1e-4,
        schedule: str = "cosine",
        warmup: float = 0.1,
    ) -> None:
        super().__init__(model, lr=lr, weight_decay=weight_decay, schedule=schedule, warmup=warmup)
        if not (temperature > 0 and math.isfinite(temperature)):
            raise ValueError(f"temperature must be a number above 0, got {temperature}")
        if optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {OPTIMIZERS}, got {optimizer!r}")
        self.views = views
        self.temperature = temperature
        self.negatives = negatives
        self.optimizer_name = optimizer

    def settings(self) -> dict[str, Any]:
        """Return what a checkpoint must agree on to be resumed."""
        return super().settings() | {
            "views": repr(self.views),
            "temperature": self.temperature,
            "negatives": self.negatives,
            "optimizer": self.optimizer_name,
        }

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors of two views of each item, (2B, D): the first ones come first."""
        with torch.no_grad():
            both = torch.cat([self.views(x), self.views(x)])
        return self.model(both)

    def terms(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed loss of the views of a batch, (2B, D), and their number."""
        z1, z2 = logits.chunk(2)
        if self.negatives:
            loss = nt_xent(z1, z2, self.temperature)
        else:
            check_views(z1, z2)
            loss = -functional.cosine_similarity(z1, z2).mean() / self.temperature
        number = loss.new_tensor(float(len(logits)))
        return loss * number, number

    def counts(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return how many views have their other view nearest, and how many there are: (2,)."""
        z = functional.normalize(logits.float(), dim=1)
        alike = (z @ z.T).fill_diagonal_(-math.inf)  # (2B, 2B)
        other = torch.arange(len(z), device=z.device).roll(len(z) // 2)
        right = (alike.argmax(dim=1) == other).sum()
        return torch.stack([right, right.new_tensor(len(z))])

    def summary(self, counts: Tensor) -> dict[str, float]:
        """Return the share of views whose other view is the nearest."""
        right, views = counts.tolist()
        return {"accuracy": right / views}

    def configure_optimizers(self) -> Any:
        """Return the optimiser and its schedule; Lightning calls it."""
        made = super().configure_optimizers()
        if self.optimizer_name == "adamw":
            return made
        steps = int(self.trainer.estimated_stepping_batches)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = LARS(trained, lr=self.lr, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.rate(step, steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
