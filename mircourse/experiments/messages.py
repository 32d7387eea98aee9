"""Layers of messages on chords: what they can tell, and how alike they make neighbours.

Progressions are graphs with an edge from the chord before and one from the chord after. Asked is
whether a chord was reached by a falling fifth, as C is from G: arithmetic on two roots, of which a
network is given neither. What a stack of layers is, and how it learns, is a mapping of settings:

============= ===================================================================================
``kind``      one of `KINDS`, or ``"no"``: no chord was
``residual``  whether what goes into a layer is added to what comes out
``forward``   whether there are edges from the chord before alone
``epochs``    and ``hidden_dim``, ``lr``, ``batch_size``
============= ===================================================================================

Lesson: book/gnn/messagepassing
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mircourse import chords
from mircourse.chordgraph import EDGE_TYPES, build_chord_graph
from mircourse.experiments.remembered import remembered
from mircourse.messagepassing import MessagePassing, dirichlet_energy, graph_convolution
from mircourse.relationalconv import RelationalConv

KINDS = ("alone", "gcn", "own term", "typed")
ALONG = EDGE_TYPES[:2]  # previous, next
FIFTH = 7  # semitones
FAST_PIECES = 4


class Stack(nn.Module):
    """Layers of messages, one on the other, and a logit for each node.

    Parameters
    ----------
    kind : {"alone", "gcn", "own term", "typed"}
        A layer without messages; `mircourse.messagepassing.graph_convolution`;
        `mircourse.messagepassing.MessagePassing`; `mircourse.relationalconv.RelationalConv`.
    depth : int
        Layers, 1 or more.
    hidden_dim : int
        Numbers in a node's vector.
    residual : bool
        Whether what goes into a layer is added to what comes out of it.

    Raises
    ------
    ValueError
        If the kind is unknown or a number below 1.
    """

    def __init__(
        self, kind: str, depth: int, hidden_dim: int = 32, *, residual: bool = False
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
        if min(depth, hidden_dim) < 1:
            raise ValueError(
                f"expected depth and hidden_dim of 1 or more, got {depth}, {hidden_dim}"
            )
        self.kind = kind
        self.residual = residual
        self.first = nn.Linear(12, hidden_dim)
        self.layers = nn.ModuleList(_layer(kind, hidden_dim) for _ in range(depth))
        self.last = nn.Linear(hidden_dim, 2)

    def forward(self, graph: Any) -> Tensor:
        """Return logits of no and yes, (N, 2)."""
        return self.last(self.states(graph)[-1])

    def states(self, graph: Any) -> list[Tensor]:
        """Return the nodes' vectors before the first layer and after each, (N, hidden_dim)."""
        found = [self.first(graph.x)]
        for layer in self.layers:
            h = found[-1]
            new: Tensor
            if self.kind == "alone":
                new = layer(h)
            elif isinstance(layer, nn.Linear):
                new = graph_convolution(h, graph.edge_index, layer.weight.T) + layer.bias
            elif self.kind == "typed":
                new = layer(h, graph.edge_index, graph.edge_type)
            else:
                new = layer(h, graph.edge_index)
            new = torch.relu(new)
            found.append(h + new if self.residual else new)
        return found


def _layer(kind: str, hidden_dim: int) -> nn.Module:
    if kind == "own term":
        return MessagePassing(hidden_dim, hidden_dim, activation=nn.Identity())
    if kind == "typed":
        return RelationalConv(hidden_dim, hidden_dim, len(ALONG))
    return nn.Linear(hidden_dim, hidden_dim)


def reached_by_fifth(root: NDArray[Any]) -> NDArray[np.bool_]:
    """Return for each chord whether the root before it lies a fifth above, (n,)."""
    roots = np.asarray(root, dtype=int)
    before = roots[:-1] - roots[1:]
    return np.concatenate([[False], before % 12 == FIFTH])


def graph(piece: chords.Analysis, *, forward: bool = False) -> Any:
    """Return the graph of a piece along its time, with the answers as ``y``, int64 (n,)."""
    made = build_chord_graph(piece.chords, edge_types=ALONG[:1] if forward else ALONG)
    made.y = torch.from_numpy(reached_by_fifth(piece.chords["root"])).long()
    return made


@functools.cache
def pieces(split: str, fast: bool = False) -> tuple[chords.Analysis, ...]:
    """Return the analyses of a split, in the fast version a few."""
    return tuple(chords.load(split=split)[: FAST_PIECES if fast else None])


def learn(
    network: nn.Module,
    graphs: Sequence[Any],
    *,
    epochs: int,
    lr: float = 5e-3,
    batch_size: int = 6,
    move: bool = True,
) -> nn.Module:
    """Train on some graphs and return the network; if asked to `move`, each time in some key."""
    from torch_geometric.data import Batch

    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    steps = epochs * -(-len(graphs) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    network.train()
    for _ in range(epochs):
        for some in torch.randperm(len(graphs)).split(batch_size):
            drawn = [graphs[i] for i in some.tolist()]
            batch = Batch.from_data_list([_moved(one) for one in drawn] if move else drawn)
            optimizer.zero_grad()
            cross_entropy(network(batch), batch.y).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return network.eval()


def _moved(made: Any) -> Any:
    moved = made.clone()
    moved.x = made.x.roll(int(torch.randint(12, ())), dims=1)
    return moved


@remembered
def trained(settings: Mapping[str, Any], *, seed: int, fast: bool) -> tuple[nn.Module, float]:
    """Return a stack that has learnt from the train split, and the seconds of its training."""
    began = time.perf_counter()
    torch.manual_seed(seed)
    network = Stack(
        settings["kind"],
        settings["depth"],
        settings["hidden_dim"],
        residual=settings.get("residual", False),
    )
    made = [graph(p, forward=settings.get("forward", False)) for p in pieces("train", fast)]
    learn(
        network,
        made,
        epochs=1 if fast else settings["epochs"],
        lr=settings["lr"],
        batch_size=settings["batch_size"],
    )
    return network, time.perf_counter() - began


def score(
    settings: Mapping[str, Any], *, split: str = "test", seed: int, fast: bool
) -> dict[str, Any]:
    """Tell of each chord whether it was reached by a falling fifth.

    Parameters
    ----------
    settings : mapping
        See the module; with ``depth``, how many layers.
    split : str
        What is scored.
    seed : int
        Of initial weights, order and keys.
    fast : bool
        One epoch on a few pieces.

    Returns
    -------
    dict
        ``scores`` (1 where it is right), ``groups`` (pieces), ``parameters``, ``seconds``.
    """
    asked = pieces(split, fast)
    truth = np.concatenate([reached_by_fifth(piece.chords["root"]) for piece in asked])
    groups = [piece.id for piece in asked for _ in piece.chords]
    if settings["kind"] == "no":
        return {"scores": (~truth).astype(float), "groups": groups, "parameters": 0, "seconds": 0.0}
    network, seconds = trained(settings, seed=seed, fast=fast)
    made = [graph(piece, forward=settings.get("forward", False)) for piece in asked]
    with torch.no_grad():
        guess = torch.cat([network(one).argmax(dim=1) for one in made]).numpy()
    return {
        "scores": (guess == truth).astype(float),
        "groups": groups,
        "parameters": sum(p.numel() for p in network.parameters()),
        "seconds": seconds,
    }


def smoothed(settings: Mapping[str, Any], *, seed: int, fast: bool) -> dict[str, Any]:
    """Measure how alike neighbours are after the last of some layers that have learnt nothing.

    Parameters
    ----------
    settings : mapping
        ``kind``, ``residual``, ``depth``, ``hidden_dim``.
    seed : int
        Of the weights.
    fast : bool
        A few pieces.

    Returns
    -------
    dict
        ``scores``, `mircourse.messagepassing.dirichlet_energy` of each analysed piece, and
        ``groups``.
    """
    asked = [piece for split in chords.SPLITS for piece in pieces(split, fast)]
    torch.manual_seed(seed)
    network = untrained(
        settings["kind"],
        settings["depth"],
        settings["hidden_dim"],
        residual=settings.get("residual", False),
    )
    with torch.no_grad():
        made = [graph(piece) for piece in asked]
        last = [network.states(one)[-1] for one in made]
    energy = [dirichlet_energy(h, one.edge_index) for h, one in zip(last, made, strict=True)]
    return {"scores": np.array(energy), "groups": [piece.id for piece in asked]}


def untrained(kind: str, depth: int, hidden_dim: int, *, residual: bool = False) -> Stack:
    """Return a stack under whose weights vectors neither grow nor fade much (He et al., 2015)."""
    network = Stack(kind, depth, hidden_dim, residual=residual)
    for layer in network.layers:
        for name, weight in layer.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(weight)
            else:
                nn.init.normal_(weight, std=(2 / weight.shape[-1]) ** 0.5)
    return network
