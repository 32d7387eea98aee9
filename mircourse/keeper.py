"""What `fit` remembers: the history, the best weights and the checkpoint to resume from.

Lesson: book/cnn/musiccnn
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from mircourse.batches import Batches
from mircourse.tasks import Task, TrainingError


def seed_everything(seed: int) -> None:
    """Seed the global random generators of Python, NumPy and PyTorch.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        If the seed is out of range.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be from 0 to 2**32 - 1, got {seed}")
    pl.seed_everything(seed, verbose=False)


class Keeper(pl.Callback):
    """Keeps the history, the best weights and the checkpoints, and stops when patience ends.

    Parameters
    ----------
    settings : dict
        What a checkpoint must agree on to be resumed; with ``seed``, ``patience``, ``monitor``.
    has_valid : bool
        Whether there is validation data; without, each epoch counts as better than the last.
    folder : Path, optional
        Where ``last.ckpt`` and ``best.pt`` go.
    progress : bool, optional
        Show a bar; by default only in a terminal.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        *,
        has_valid: bool,
        folder: Path | None,
        progress: bool | None,
    ) -> None:
        self.settings = settings
        self.has_valid = has_valid
        self.last_file = None if folder is None else folder / "last.ckpt"
        self.progress = progress
        self.history: list[dict[str, float]] = []
        self.best_epoch = -1
        self.best_score = float("nan")
        self.best_weights: dict[str, Tensor] = {}
        self.seconds = 0.0
        self.finished = False
        self._bar: Any = None
        self._since = 0.0

    def find(self) -> str | None:
        """Take over the state of a checkpoint, if there is one, and return its path.

        Raises
        ------
        ValueError
            If the file is damaged, or its settings or data are not those of this run.
        """
        if self.last_file is None or not self.last_file.exists():
            return None
        try:
            checkpoint = torch.load(self.last_file, map_location="cpu", weights_only=True)
            state = checkpoint["callbacks"][self.state_key]
        except Exception as error:
            raise ValueError(
                f"{self.last_file} is not a checkpoint of fit(); delete it or set resume=False"
            ) from error
        theirs = state["settings"]
        differing = [
            f"{name}: {theirs.get(name)!r} then, {self.settings.get(name)!r} now"
            for name in dict.fromkeys([*self.settings, *theirs])
            if theirs.get(name) != self.settings.get(name)
        ]
        if differing:
            raise ValueError(
                f"{self.last_file} belongs to another run ({'; '.join(differing)}); "
                "set resume=False to overwrite it, or choose another checkpoint_dir"
            )
        self.load_state_dict(state)
        return str(self.last_file)

    def state_dict(self) -> dict[str, Any]:
        """Return what goes into a checkpoint; Lightning calls it."""
        names = ("settings", "history", "best_epoch", "best_score", "best_weights")
        return {name: getattr(self, name) for name in (*names, "seconds", "finished")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what a checkpoint held; Lightning calls it."""
        for name, value in state_dict.items():
            setattr(self, name, value)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar; Lightning calls it."""
        from tqdm.auto import tqdm

        shown = None if self.progress is None else not self.progress
        self._bar = tqdm(
            total=trainer.max_epochs,
            initial=len(self.history),
            unit="epoch",
            disable=True if trainer.global_rank else shown,
        )
        self._since = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed the epoch's random stream; Lightning calls it."""
        epoch = trainer.current_epoch
        loader = trainer.train_dataloader
        if isinstance(loader, Batches):
            loader.epoch = epoch
        entropy = (self.settings["seed"], epoch, trainer.global_rank)
        seed_everything(int(np.random.SeedSequence(entropy).generate_state(1)[0]))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the epoch, keep its weights if they are the best, save; Lightning calls it."""
        task = cast(Task, pl_module)
        scores = task.take_epoch()
        epoch = trainer.current_epoch
        self._check_finite(task, scores, trainer)
        self.history.append({"epoch": epoch, **scores})
        monitor = self.settings["monitor"]
        if monitor not in scores:
            raise ValueError(f"monitor must be one of {sorted(scores)}, got {monitor!r}")
        if not self.has_valid or self._improves(scores):
            self.best_epoch, self.best_score = epoch, scores[monitor]
            self.best_weights = {
                name: value.detach().to("cpu", copy=True)
                for name, value in task.model.state_dict().items()
            }
        patience = self.settings["patience"]
        stop = patience is not None and epoch - self.best_epoch >= patience
        self.finished = stop or epoch + 1 == trainer.max_epochs
        now = time.perf_counter()
        self.seconds, self._since = self.seconds + now - self._since, now
        self._save(trainer)
        if stop:
            trainer.should_stop = True
        self._bar.set_postfix({k: f"{v:.3g}" for k, v in scores.items() if k != "lr"})
        self._bar.update()

    def close(self) -> None:
        """Put the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _improves(self, scores: dict[str, float]) -> bool:
        if self.best_epoch < 0:
            return True
        best = self.history[self.best_epoch]
        monitor = self.settings["monitor"]
        if scores[monitor] == best[monitor]:
            return scores["valid_loss"] < best["valid_loss"]
        return (scores[monitor] < best[monitor]) == monitor.endswith("loss")

    def _check_finite(self, task: Task, scores: dict[str, float], trainer: pl.Trainer) -> None:
        bad = [name for name, value in scores.items() if not np.isfinite(value)]
        bad += [name for name, value in task.model.named_parameters() if not value.isfinite().all()]
        if bad:
            raise TrainingError(
                f"after step {trainer.global_step - 1} (end of epoch {trainer.current_epoch}) not "
                f"finite: {', '.join(bad[:3])}; lower the learning rate or set gradient_clip"
            )

    def _save(self, trainer: pl.Trainer) -> None:
        if self.last_file is None:
            return
        # Written beside and then renamed: a kill at any moment leaves a whole checkpoint.
        beside = self.last_file.with_suffix(".part")
        trainer.save_checkpoint(beside)
        if trainer.is_global_zero:
            os.replace(beside, self.last_file)
            if self.best_epoch == trainer.current_epoch:
                torch.save(self.best_weights, beside)
                os.replace(beside, self.last_file.with_name("best.pt"))
