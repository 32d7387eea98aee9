r"""Do two losses want the same of the weights they share? The cosine of their gradients.

Lesson: book/index
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def gradient_cosines(
    losses: Mapping[str, Tensor], parameters: Iterable[nn.Parameter]
) -> dict[tuple[str, str], float]:
    r"""Return the cosine of the angle between the gradients of each two losses.

    .. math:: \cos\varphi_{ij} = \frac{g_i \cdot g_j}{\lVert g_i \rVert \lVert g_j \rVert},
              \qquad g_i = \nabla_\theta \mathcal{L}_i

    1: a step for the one is as good for the other; 0: it does not matter to it; below 0 they are
    in *conflict* (Yu et al., 2020): a small step down the one goes up the other. (Equation
    eq:practice-cosine of the lesson.)

    Lesson: book/index

    Parameters
    ----------
    losses : mapping of str to Tensor
        Scalars that depend on the parameters. Their graph is kept.
    parameters : iterable of nn.Parameter
        Those that the losses share. Where a loss does not depend on one its gradient is 0.

    Returns
    -------
    dict
        The cosine by pair of names, in their order; 0 where a gradient is 0.

    Raises
    ------
    ValueError
        If there are fewer than two losses or no parameters, or a loss is not a finite scalar.

    Examples
    --------
    >>> w = nn.Parameter(torch.tensor([1.0, 0.0]))
    >>> both = {"a": w.sum(), "b": -w[0]}
    >>> round(gradient_cosines(both, [w])["a", "b"], 2)
    -0.71
    """
    shared = list(parameters)
    if len(losses) < 2 or not shared:
        raise ValueError(f"got {len(losses)} losses and {len(shared)} parameters; expected 2 and 1")
    gradients = {}
    for name, loss in losses.items():
        if loss.ndim or not torch.isfinite(loss):
            raise ValueError(f"loss {name!r} must be a finite scalar, got {loss!r}")
        found = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
        parts = [
            torch.zeros_like(p) if g is None else g for p, g in zip(shared, found, strict=True)
        ]
        gradients[name] = torch.cat([part.flatten().double() for part in parts])  # (P,)
    return {
        (a, b): float(torch.nn.functional.cosine_similarity(gradients[a], gradients[b], dim=0))
        for a, b in itertools.combinations(gradients, 2)
    }
