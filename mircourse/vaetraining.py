r"""Training of variational autoencoders: the loss with :math:`\beta`, annealing and free bits.

For `mircourse.musicvae.MusicVAE` and `mircourse.hierarchicalvae.MelodyVAE` alike. Apart from the
models, so that a model alone loads nothing but PyTorch.

Lesson: book/vae/musicvae
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from mircourse.latent import kl_divergence
from mircourse.melodybars import FIRST_NOTE, N_SYMBOLS
from mircourse.tasks import Task


class VAETask(Task):
    r"""Train a variational autoencoder with `mircourse.training.fit`.

    The loss of an input, in nats, is

    .. math::
        -\log p(x \mid z) + \beta_t \max(0, \mathrm{KL} - \lambda \ln 2)

    with one draw of z. :math:`\beta_t` rises in a straight line to `beta` (Bowman et al., 2016),
    and the first :math:`\lambda` bits of the rate cost nothing (Kingma et al., 2016; for the whole
    vector, as Roberts et al., 2018). Both keep a strong decoder from learning to do without z.

    Lesson: book/vae/musicvae

    Parameters
    ----------
    model : nn.Module
        `MusicVAE` or `MelodyVAE`.
    beta : float
        What a nat of the rate costs, 0 or more; 1 trains on the ELBO.
    annealing : float
        Share of all steps over which it rises from 0, in [0, 1].
    free_bits : float
        Bits of the rate of an input that are free, 0 or more.
    lr, weight_decay, schedule, warmup
        As in `mircourse.tasks.Task`.

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    Inputs are their own targets: ``fit(task, (x, x), ...)``. Validation counts the whole `beta`
    from the first epoch on. The scores of an epoch are ``valid_accuracy``, the F-measure of notes
    (keys, of piano rolls) where those before are right; ``valid_elbo`` in nats; and
    ``valid_negative_rate``, minus the KL divergence.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        beta: float = 1.0,
        annealing: float = 0.0,
        free_bits: float = 0.0,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        warmup: float = 0.05,
    ) -> None:
        super().__init__(model, lr=lr, weight_decay=weight_decay, schedule=schedule, warmup=warmup)
        for name, value in (("beta", beta), ("free_bits", free_bits)):
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be a number of 0 or more, got {value}")
        if not 0 <= annealing <= 1:
            raise ValueError(f"annealing must be in [0, 1], got {annealing}")
        self.beta = beta
        self.annealing = annealing
        self.free_bits = free_bits

    def settings(self) -> dict[str, Any]:
        """Return what a checkpoint must agree on to be resumed."""
        own = {"beta": self.beta, "annealing": self.annealing, "free_bits": self.free_bits}
        return super().settings() | own

    def beta_at(self, step: int, steps: int) -> float:
        """Return what the rate costs at a step (from 0) of so many."""
        rising = self.annealing * steps
        return self.beta if step >= rising else self.beta * step / rising

    def terms(self, logits: Any, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed loss of a batch, and its number of inputs."""
        recon, mu, logvar = logits
        beta = self.beta
        if self.training:
            beta = self.beta_at(self.global_step, int(self.trainer.estimated_stepping_batches))
        rate = kl_divergence(mu, logvar).sum(dim=-1)  # (B, D) -> (B,)
        cost = (rate - self.free_bits * math.log(2)).clamp(min=0)
        total = (self.model.nats(recon, target) + beta * cost).sum()  # type: ignore[operator]
        return total, total.new_tensor(float(len(target)))

    def counts(self, logits: Any, target: Tensor) -> Tensor:
        """Return notes right, said and there, and the sums of distortion, rate and inputs: (6,)."""
        recon, mu, logvar = logits
        found = self.model.matches(recon, target).double()  # type: ignore[operator]
        distortion = self.model.nats(recon, target).sum()  # type: ignore[operator]
        sums = torch.stack(
            [distortion, kl_divergence(mu, logvar).sum(), distortion.new_tensor(len(target))]
        )
        return torch.cat([found, sums.double()])

    def summary(self, counts: Tensor) -> dict[str, float]:
        """Return the F-measure, the ELBO and minus the rate."""
        right, said, there, distortion, rate, n = counts.tolist()
        return {
            "accuracy": 2 * right / max(1.0, said + there),
            "elbo": -(distortion + rate) / n,
            "negative_rate": -rate / n,
        }


class Transposing:
    """Move each melody of a batch to another key; the ``batch_transform`` of `fit`.

    Parameters
    ----------
    semitones : int
        By up to so many, down or up, as far as its pitches have room.

    Raises
    ------
    ValueError
        If `semitones` is below 0.
    """

    def __init__(self, semitones: int) -> None:
        if semitones < 0:
            raise ValueError(f"semitones must be 0 or more, got {semitones}")
        self.semitones = semitones

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the symbols (B, T) in other keys, as inputs and as targets."""
        sounds = x >= FIRST_NOTE
        low = torch.where(sounds, x, N_SYMBOLS).amin(dim=1)
        high = torch.where(sounds, x, 0).amax(dim=1)
        # A melody of rests alone may be moved as it likes.
        down = (FIRST_NOTE - low).clamp(-self.semitones, 0)
        up = (N_SYMBOLS - 1 - high).clamp(0, self.semitones)
        # From the global generator, which `fit` seeds for each epoch.
        draw = torch.rand(len(x), device=x.device)
        by = down + (draw * (up - down + 1)).long().clamp(max=up - down)
        moved = torch.where(sounds, x + by[:, None], x)
        return moved, moved
