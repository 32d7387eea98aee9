r"""LARS: steps in proportion to each layer's weights (You, Gitman & Ginsburg, 2017).

Large batches want large steps, and a step that one layer stands makes another diverge. LARS makes
the step of each layer a fixed share of the size of its weights:

.. math::
    v \leftarrow \mu v + \gamma\,\eta \frac{\lVert w \rVert}{\lVert \nabla + \beta w \rVert}
    (\nabla + \beta w), \qquad w \leftarrow w - v

with the learning rate γ, the trust η, the momentum μ and the weight decay β. SimCLR trains with
it, leaving biases and norms alone.

Lesson: book/index
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """Stochastic gradient descent with momentum and a rate of its own for each tensor.

    Tensors of one axis (biases, norms) take plain steps and do not decay, as in SimCLR.

    Lesson: book/index

    Parameters
    ----------
    params : iterable of Tensor or of dict
        As any PyTorch optimiser takes them.
    lr : float
        γ, above 0; SimCLR has 0.3 × batch size / 256.
    momentum : float
        μ, in [0, 1).
    weight_decay : float
        β, 0 or more.
    trust : float
        η, above 0.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 1e-6,
        trust: float = 1e-3,
    ) -> None:
        for name, value in (("lr", lr), ("trust", trust)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be a number above 0, got {value}")
        if not 0 <= momentum < 1 or not weight_decay >= 0:
            raise ValueError(
                "momentum must be in [0, 1) and weight_decay 0 or more, got "
                f"{momentum} and {weight_decay}"
            )
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; weights without a gradient stay."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                change = w.grad
                if w.ndim > 1:
                    change = change + group["weight_decay"] * w
                    sizes = w.norm(), change.norm()
                    # A tensor of zeros has no size to go by.
                    share = torch.where(
                        (sizes[0] > 0) & (sizes[1] > 0),
                        group["trust"] * sizes[0] / sizes[1],
                        torch.ones_like(sizes[0]),
                    )
                    change = change * share
                state = self.state[w]
                if "velocity" not in state:
                    state["velocity"] = torch.zeros_like(w)
                velocity = state["velocity"]
                velocity.mul_(group["momentum"]).add_(change * group["lr"])
                w.sub_(velocity)
        return loss
