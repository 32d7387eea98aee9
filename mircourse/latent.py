r"""Gaussian latent vectors: what every variational autoencoder here does with them.

An encoder gives each input x a normal distribution over latent vectors z of D numbers,
:math:`q(z \mid x) = \mathcal{N}(\mu, \operatorname{diag} \sigma^2)`, as ``mu`` and ``logvar``
:math:`= \log \sigma^2`; the prior :math:`p(z)` is :math:`\mathcal{N}(0, I)` (Kingma & Welling,
2014). From these come the rate, the bounds of the likelihood, and paths from one vector to
another.

Lesson: book/vae/musicvae
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

import torch
from torch import Tensor

Path = Literal["linear", "spherical"]
PATHS = ("linear", "spherical")
ACTIVE = 0.01


class VAE(Protocol):
    """What the functions below ask of a variational autoencoder."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``mu`` and ``logvar``, (B, D) each."""

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x | z) in nats, (B,)."""


def reparameterize(mu: Tensor, logvar: Tensor) -> Tensor:
    r"""Draw :math:`z = \mu + \sigma \epsilon`, :eq:`eq:vae-reparameterize`.

    The chance is in :math:`\epsilon` alone, so gradients reach mean and variance (Kingma &
    Welling, 2014).

    Lesson: book/vae/musicvae

    Parameters
    ----------
    mu, logvar : Tensor, (..., D)

    Returns
    -------
    Tensor, (..., D)

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    _same(mu, logvar)
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    r"""Return the divergence of each latent number from the prior, in nats, :eq:`eq:vae-kl`.

    .. math::
        \mathrm{KL} = \tfrac12 (\mu^2 + \sigma^2 - 1 - \log \sigma^2)

    Lesson: book/vae/musicvae

    Parameters
    ----------
    mu, logvar : Tensor, (..., D)

    Returns
    -------
    Tensor, (..., D)
        0 or more; summed over D it is the rate of an input.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    _same(mu, logvar)
    # expm1: near the prior the difference of two numbers near 1 would lose its digits.
    return 0.5 * (mu.square() + torch.expm1(logvar) - logvar)


def log_normal(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Return the log density of a diagonal normal distribution: (..., D) -> (...)."""
    each = (z - mu).square() / logvar.exp() + logvar + math.log(2 * math.pi)
    return -0.5 * each.sum(dim=-1)


@torch.no_grad()
def bounds(
    model: VAE, x: Tensor, *, samples: int = 64, at_once: int = 2048, seed: int = 0
) -> dict[str, Tensor]:
    r"""Return two lower bounds of the log-likelihood of each input, and the parts of the first.

    With K draws from :math:`q(z \mid x)`, the importance-weighted bound (Burda et al., 2016) is

    .. math::
        \mathcal{L}_K = \mathbb{E} \Big[ \log \frac1K \sum_{k=1}^K
            \frac{p(x \mid z_k)\, p(z_k)}{q(z_k \mid x)} \Big]

    This is :eq:`eq:vae-iwae`. For K = 1 it is the ELBO, :eq:`eq:vae-elbo`, and it
    grows with K towards :math:`\log p(x)`.

    Lesson: book/vae/musicvae

    Parameters
    ----------
    model : VAE
        Runs as it is: call ``model.eval()`` first.
    x : Tensor, (B, ...)
        Inputs, where the model is.
    samples : int
        K.
    at_once : int
        Most inputs times draws in a batch.
    seed : int
        Of the draws.

    Returns
    -------
    dict of Tensor, each (B,)
        ``elbo`` (with the rate in closed form and the distortion a mean over the draws),
        ``iwae``, ``rate`` (KL) and ``distortion`` (minus log p(x | z)), in nats.

    Raises
    ------
    ValueError
        If there is no input, or a number is below 1.
    """
    if samples < 1 or at_once < 1 or not len(x):
        raise ValueError(
            f"expected inputs and samples of 1 or more, got {len(x)} inputs, {samples} samples"
        )
    mu, logvar = model.encode(x)
    generator = torch.Generator().manual_seed(seed)
    rows = max(1, at_once // samples)
    fit, ratio = [], []
    for first in range(0, len(x), rows):
        part, m, v = (t[first : first + rows] for t in (x, mu, logvar))
        noise = torch.randn(len(part), samples, m.shape[-1], generator=generator)
        z = m[:, None] + (0.5 * v[:, None]).exp() * noise.to(m)  # (b, D) -> (b, K, D)
        many = part[:, None].expand(-1, samples, *part.shape[1:]).flatten(0, 1)
        likely = model.log_likelihood(many, z.flatten(0, 1)).double().view(-1, samples)  # (b, K)
        prior = log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).double()
        fit.append(likely)
        ratio.append(likely + prior - log_normal(z, m[:, None], v[:, None]).double())
    likely, weight = torch.cat(fit), torch.cat(ratio)
    rate = kl_divergence(mu, logvar).double().sum(dim=-1)
    distortion = -likely.mean(dim=1)
    return {
        "elbo": -distortion - rate,
        "iwae": weight.logsumexp(dim=1) - math.log(samples),
        "rate": rate,
        "distortion": distortion,
    }


def active_units(mu: Tensor, *, threshold: float = ACTIVE) -> Tensor:
    """Say which latent numbers depend on the input (Burda et al., 2016): (N, D) -> bool (D,).

    A number is active if the variance of its mean over the inputs is above the threshold. Where
    none is, the posterior has collapsed: the decoder has learnt to do without.

    Lesson: book/vae/musicvae

    Raises
    ------
    ValueError
        If there are fewer than two inputs.
    """
    if mu.ndim != 2 or len(mu) < 2:
        raise ValueError(f"expected the means of two inputs or more, (N, D), got {tuple(mu.shape)}")
    return mu.var(dim=0) > threshold


def slerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    r"""Go along the arc of :eq:`eq:vae-slerp` (Shoemake, 1985; White, 2016).

    .. math::
        \frac{\sin((1 - t)\Omega)}{\sin \Omega} a + \frac{\sin(t \Omega)}{\sin \Omega} b,
        \qquad \cos \Omega = \frac{a \cdot b}{|a| |b|}

    Draws from the prior have lengths near :math:`\sqrt D`; the straight line between two of them
    passes nearer to 0, where no draw is.

    Lesson: book/vae/musicvae

    Parameters
    ----------
    a, b : Tensor, (..., D)
        Where vectors are parallel, or one is 0, the line takes the arc's place.
    t : float or Tensor that broadcasts to (..., 1)
        From 0, a itself, to 1, b itself.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    _same(a, b)
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
    lengths = a.norm(dim=-1, keepdim=True) * b.norm(dim=-1, keepdim=True)
    tiny = torch.finfo(a.dtype).eps
    cosine = (a * b).sum(dim=-1, keepdim=True) / lengths.clamp(min=tiny)
    omega = torch.acos(cosine.clamp(-1, 1))
    sine = torch.sin(omega)
    straight = (lengths <= tiny) | (sine.abs() < 1e-4)
    safe = torch.where(straight, torch.ones_like(sine), sine)
    arc = torch.sin((1 - t) * omega) / safe * a + torch.sin(t * omega) / safe * b
    return torch.where(straight, torch.lerp(a, b, t), arc)


def between(a: Tensor, b: Tensor, *, steps: int, path: Path = "linear") -> Tensor:
    """Return points on the way from one vector to another, both ends included.

    Lesson: book/vae/musicvae

    Parameters
    ----------
    a, b : Tensor, (..., D)
    steps : int
        How many points, 2 or more.
    path : {"linear", "spherical"}
        A line, or the arc of `slerp`.

    Returns
    -------
    Tensor, (steps, ..., D)

    Raises
    ------
    ValueError
        If there are fewer than two steps, the path is unknown, or the shapes differ.
    """
    _same(a, b)
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}: both ends are among them")
    if path not in PATHS:
        raise ValueError(f"path must be one of {PATHS}, got {path!r}")
    points = []
    for k in range(steps):
        t = k / (steps - 1)
        points.append(torch.lerp(a, b, t) if path == "linear" else slerp(a, b, t))
    # The ends themselves, whatever rounding makes of them.
    points[0], points[-1] = a, b
    return torch.stack(points)


def _same(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(
            f"expected two tensors of one shape, got {tuple(a.shape)}, {tuple(b.shape)}"
        )
