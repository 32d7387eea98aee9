r"""A variational autoencoder of piano rolls: frames of 88 keys, or bars of such frames.

The article's network. An encoder gives each roll x a normal distribution :math:`q(z \mid x)`, a
decoder each z the probability of every key. It is trained on the evidence lower bound,

.. math::
    \mathcal{L} = \mathbb{E}_{q(z \mid x)} [\log p(x \mid z)]
        - \mathrm{KL}(q(z \mid x) \,\|\, p(z))

The networks for melodies of 2 and 16 bars are in `mircourse.hierarchicalvae`.

Lesson: book/vae/musicvae
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mircourse import latent
from mircourse.latent import Path

Reduction = Literal["mean", "sum"]


class MusicVAE(nn.Module):
    r"""Variational autoencoder of binary vectors (Kingma & Welling, 2014; Higgins et al., 2017).

    Lesson: book/vae/musicvae

    Parameters
    ----------
    input_dim : int
        Numbers in an input: 88 keys, or 88 times the frames of a bar.
    latent_dim : int
        Numbers in a latent vector.
    hidden_dim : int
        Width of the two hidden layers of encoder and decoder.

    Raises
    ------
    ValueError
        If a size is below 1.

    Examples
    --------
    >>> model = MusicVAE(latent_dim=8, hidden_dim=32)
    >>> x = torch.zeros(3, 88)
    >>> x[:, [39, 43, 46]] = 1  # C major, three times
    >>> recon, mu, logvar = model(x)
    >>> model.loss_function(recon, x, mu, logvar).shape, model.decode(mu).shape
    (torch.Size([]), torch.Size([3, 88]))
    """

    def __init__(self, input_dim: int = 88, latent_dim: int = 256, hidden_dim: int = 512) -> None:
        super().__init__()
        if min(input_dim, latent_dim, hidden_dim) < 1:
            raise ValueError(
                f"sizes must be at least 1, got {input_dim}, {latent_dim} and {hidden_dim}"
            )
        self.input_dim = input_dim
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(
            nn.Linear(input_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.ReLU(),
        )
        self.fc_mu = nn.Linear(hidden_dim, latent_dim)
        self.fc_logvar = nn.Linear(hidden_dim, latent_dim)
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, input_dim),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of q(z | x).

        Parameters
        ----------
        x : Tensor, (B, input_dim)
            From 0 (up) to 1 (down).

        Returns
        -------
        mu, logvar : Tensor, (B, latent_dim)

        Raises
        ------
        ValueError
            If the shape does not fit, or a number is not in [0, 1].
        """
        h = self.encoder(self._checked(x))  # (B, input_dim) -> (B, H)
        return self.fc_mu(h), self.fc_logvar(h)

    def reparameterize(self, mu: Tensor, logvar: Tensor) -> Tensor:
        """Draw z from q(z | x) so that gradients pass; see `mircourse.latent.reparameterize`."""
        return latent.reparameterize(mu, logvar)

    def logits(self, z: Tensor) -> Tensor:
        """Return the logit of every key: (..., latent_dim) -> (..., input_dim)."""
        return self.decoder(z)

    def decode(self, z: Tensor) -> Tensor:
        """Return the probability of every key: (..., latent_dim) -> (..., input_dim)."""
        return self.logits(z).sigmoid()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``recon``, ``mu`` and ``logvar``; z is drawn.

        ``recon`` are logits, (B, input_dim), which is what `loss_function` takes: the logarithm
        of a probability that was rounded to 0 or 1 would be infinite. ``recon.sigmoid()`` are
        the probabilities.
        """
        mu, logvar = self.encode(x)
        return self.logits(self.reparameterize(mu, logvar)), mu, logvar

    def nats(self, recon: Tensor, x: Tensor) -> Tensor:
        """Return minus log p(x | z) of each input from logits (B, input_dim): (B,)."""
        if recon.shape != x.shape:
            raise ValueError(f"logits {tuple(recon.shape)} do not fit inputs {tuple(x.shape)}")
        cost = functional.binary_cross_entropy_with_logits(recon, x, reduction="none")
        return cost.sum(dim=-1)  # (B, input_dim) -> (B,)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x | z) in nats: (B, input_dim), (B, latent_dim) -> (B,)."""
        return -self.nats(self.logits(z), self._checked(x))

    def loss_function(
        self,
        recon: Tensor,
        x: Tensor,
        mu: Tensor,
        logvar: Tensor,
        beta: float = 1.0,
        *,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Return minus the ELBO, the KL divergence counted `beta` times, in nats.

        Both terms are sums over keys and over latent numbers.

        Parameters
        ----------
        recon : Tensor, (B, input_dim)
            Logits, as `forward` gives them.
        x : Tensor, (B, input_dim)
        mu, logvar : Tensor, (B, latent_dim)
        beta : float
            1 is the ELBO; more asks for a simpler code (Higgins et al., 2017).
        reduction : {"mean", "sum"}
            Over the batch. With the sum the gradient grows with the batch.

        Raises
        ------
        ValueError
            If `beta` is below 0, the reduction unknown, or a shape does not fit.
        """
        if not beta >= 0:
            raise ValueError(f"beta must be 0 or more, got {beta}")
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction must be mean or sum, got {reduction!r}")
        rate = latent.kl_divergence(mu, logvar).sum(dim=-1)  # (B, D) -> (B,)
        loss = self.nats(recon, x) + beta * rate
        return loss.mean() if reduction == "mean" else loss.sum()

    def matches(self, recon: Tensor, x: Tensor) -> Tensor:
        """Return how many keys are right, said and there, summed over the batch: (3,)."""
        said, there = recon > 0, x >= 0.5
        return torch.stack([(said & there).sum(), said.sum(), there.sum()])

    @torch.no_grad()
    def interpolate(
        self, x1: Tensor, x2: Tensor, steps: int = 10, *, path: Path = "linear"
    ) -> Tensor:
        """Go from one piece of music to another through the latent space.

        Parameters
        ----------
        x1, x2 : Tensor, (B, input_dim)
        steps : int
            2 or more; the first is the reconstruction of `x1`, the last that of `x2`.
        path : {"linear", "spherical"}
            See `mircourse.latent.between`.

        Returns
        -------
        Tensor, (steps, B, input_dim)
            Probabilities.

        Raises
        ------
        ValueError
            If there are fewer than two steps, the path is unknown, or a shape does not fit.
        """
        ends = (self.encode(x)[0] for x in (x1, x2))
        return self.decode(latent.between(*ends, steps=steps, path=path))

    def _checked(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[-1] != self.input_dim or not x.is_floating_point():
            raise ValueError(
                f"expected floats (B, {self.input_dim}), got {x.dtype} {tuple(x.shape)}"
            )
        # A NaN is neither.
        if x.numel() and not ((x >= 0) & (x <= 1)).all():
            raise ValueError("inputs must lie in [0, 1]; there is something else or NaN")
        return x
