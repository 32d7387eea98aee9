"""Contrastive training that the tests share out to two processes.

``python contrastive_script.py FILE`` trains in two processes, then compares 5 clips, 3 in one
process and 2 in the other, and saves what came out.
"""

import sys

import torch
from torch import nn

from mircourse.contrastivetraining import ContrastiveTask
from mircourse.ntxent import nt_xent
from mircourse.simclr import SimCLR
from mircourse.training import fit, seed_everything


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
        self.output = nn.Linear(8, 2)

    def forward(self, x):
        return self.output(self.body(x))


class Turned:
    """Two views that no generator decides: the items, and the items turned by one place."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return x if self.calls % 2 else x.roll(1, dims=1)

    def __repr__(self):
        return "Turned()"


def train(**devices):
    seed_everything(1)
    model = SimCLR(Encoder(), 4, batch_norm=False).double()
    x = torch.randn(18, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # 13 items in batches of at most 5 cannot be halved evenly.
    result = fit(
        ContrastiveTask(model, views=Turned(), lr=1e-2, temperature=0.2),
        (x[:13], torch.zeros(13)),
        valid=(x[13:], torch.zeros(5)),
        epochs=2,
        batch_size=5,
        precision="64-true",
        accelerator="cpu",
        **devices,
    )
    return model, result


def clips():
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(5, 4, generator=generator, dtype=torch.float64) for _ in range(2)]


def share(rank):
    """Return the loss of a process's own clips, 3 or 2 of 5, and the gradient of its sum."""
    own = slice(0, 3) if rank == 0 else slice(3, 5)
    z1, z2 = (z[own].clone().requires_grad_() for z in clips())
    loss = nt_xent(z1, z2, 0.1)
    (loss * 2 * len(z1)).backward()
    return {"loss": loss.item(), "grads": [z1.grad, z2.grad]}


if __name__ == "__main__":
    model, result = train(devices=2, strategy="ddp")
    rank = torch.distributed.get_rank()
    found = [None, None]
    torch.distributed.all_gather_object(found, share(rank))
    if rank == 0:
        torch.save(
            {
                "weights": model.state_dict(),
                "history": result.history,
                "shares": found,
                "processes": torch.distributed.get_world_size(),
            },
            sys.argv[1],
        )
