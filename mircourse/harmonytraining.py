"""Training of networks that read harmony: graphs with targets, batches, the loss of many tasks.

Lesson: book/index
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mircourse.chordgraph import EDGE_TYPES, FEATURES, build_chord_graph, transpose
from mircourse.chords import Analysis
from mircourse.keychain import Beliefs
from mircourse.tasks import Task

TARGETS = ("degree", "key", "quality", "inversion")
QUALITIES = ("major", "minor", "dim", "aug", "other")
SAID = (*TARGETS, "degree_in_key")
WEIGHTS = {"key": 0.5, "degree_in_key": 0.5, "quality": 0.1, "inversion": 0.1}


def harmony_graph(
    analysis: Analysis,
    *,
    features: Sequence[str] = FEATURES,
    edge_types: Sequence[str] = EDGE_TYPES,
    reach: int | None = 8,
    typed: bool = True,
) -> Any:
    """Return the graph of an analysed piece, with targets.

    Lesson: book/index

    Parameters
    ----------
    analysis : Analysis
        One or more chords.
    features, edge_types, reach
        As in `mircourse.chordgraph.build_chord_graph`.
    typed : bool
        Whether edges keep their types. Otherwise two chords are joined by one edge of type 0 in
        each direction, however many relations they have.

    Returns
    -------
    torch_geometric.data.Data
        With ``y``, int64 (n, 4): degree from 0, key (2 * tonic, plus 1 in minor), quality (an
        index of `QUALITIES`) and inversion, as `TARGETS` names them.
    """
    chords = analysis.chords
    graph = build_chord_graph(chords, features=features, edge_types=edge_types, reach=reach)
    if not typed:
        graph.edge_index = torch.unique(graph.edge_index, dim=1)
        graph.edge_type = torch.zeros_like(graph.edge_index[0])
    key = 2 * chords["key_tonic"].astype(int) + (chords["key_mode"] == "minor")
    quality = [QUALITIES.index(name) for name in chords["quality"].tolist()]
    columns = (chords["degree"].astype(int) - 1, key, quality, chords["inversion"].astype(int))
    graph.y = torch.stack([torch.as_tensor(column) for column in columns], dim=1)
    return graph


def transposed(graph: Any, semitones: int, *, features: Sequence[str] = FEATURES) -> Any:
    """Return the graph of the same piece, so many semitones higher; its key moves along.

    Parameters
    ----------
    graph : torch_geometric.data.Data
        As `harmony_graph` makes them.
    semitones : int
        Up if positive.
    features : sequence of str
        What its nodes hold.
    """
    moved = graph.clone()
    moved.x = transpose(graph.x, semitones, features=features)
    moved.y[:, 1] = (graph.y[:, 1] + 2 * semitones) % 24
    return moved


def loader(
    graphs: Sequence[Any],
    *,
    batch_size: int = 6,
    augment: bool = False,
    features: Sequence[str] = FEATURES,
    shuffle: bool = True,
) -> torch.utils.data.DataLoader:
    """Return batches of graphs for `mircourse.training.fit`.

    Parameters
    ----------
    graphs : sequence of torch_geometric.data.Data
        As `harmony_graph` makes them.
    batch_size : int
        Pieces a batch.
    augment : bool
        Move each piece by 0 to 11 semitones, anew each time. For training alone.
    features : sequence of str
        What the nodes hold.
    shuffle : bool
        Whether the order is drawn anew each time.

    Raises
    ------
    ValueError
        If there are no graphs or `batch_size` is below 1.
    """
    from torch_geometric.data import Batch

    if not graphs or batch_size < 1:
        raise ValueError(f"expected graphs and batch_size of 1 or more, got {len(graphs)} graphs")

    def collate(some: list[Any]) -> tuple[Any, Tensor]:
        if augment:
            by = torch.randint(12, (len(some),)).tolist()
            some = [transposed(g, n, features=features) for g, n in zip(some, by, strict=True)]
        batch = Batch.from_data_list(some)
        return batch, batch.y

    return torch.utils.data.DataLoader(
        list(graphs),  # type: ignore[arg-type]
        batch_size=batch_size,
        shuffle=shuffle,
        collate_fn=collate,
    )


class HarmonyTask(Task):
    r"""Learn degree, key, quality and inversion of each chord at once.

    .. math::
        \mathcal{L} = \frac{1}{N} \sum_i \Big( -\log p(d_i) - \sum_t w_t \log p_t(y_{t,i}) \Big)

    Where the model believes something of neighbours' keys together, the cost of the keys is that
    of all of them, minus the logarithm of `mircourse.keychain.Beliefs.path`: the costs of the
    chords one by one all pull at the same few scores, and drown the degrees.
    Key, quality and inversion are targets, never inputs (multi-task learning: Nápoles López et
    al., 2021; Karystinaios & Widmer, 2023).

    Lesson: book/index

    Parameters
    ----------
    model : nn.Module
        `mircourse.harmony.HarmonyGNN` or `mircourse.harmony.HarmonyHeads`.
    weights : mapping, optional
        What each further task counts, `WEIGHTS` unless given: ``"key"``, ``"quality"``,
        ``"inversion"``, and ``"degree_in_key"``, the degree were the key known, where the model
        says that.
    lr, weight_decay, schedule, warmup
        As in `mircourse.tasks.Task`.

    Raises
    ------
    ValueError
        If a weight is negative or of an unknown task.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        weights: Mapping[str, float] | None = None,
        lr: float = 3e-3,
        weight_decay: float = 2e-2,
        schedule: str = "cosine",
        warmup: float = 0.1,
    ) -> None:
        super().__init__(model, lr=lr, weight_decay=weight_decay, schedule=schedule, warmup=warmup)
        self.weights = dict(WEIGHTS if weights is None else weights)
        if set(self.weights) - set(WEIGHTS) or min(self.weights.values(), default=0) < 0:
            raise ValueError(
                f"weights must be 0 or more, for some of {tuple(WEIGHTS)}; got {self.weights}"
            )

    def settings(self) -> dict[str, Any]:
        """Return what a checkpoint must agree on to be resumed."""
        return super().settings() | {"weights": self.weights}

    def forward(self, x: Any) -> Any:
        """Return what the model says of a batch of graphs, a dictionary."""
        return self.model(x.x, x.edge_index, x.batch, edge_type=x.edge_type)

    def terms(self, logits: Any, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed loss of a batch and its number of chords."""
        degree, key = target[:, 0], target[:, 1]
        total = _cost(logits["degree"], degree)
        for name, weight in self.weights.items():
            if name == "degree_in_key":
                if name in logits:
                    known = logits[name][torch.arange(len(key), device=key.device), key]
                    total = total + weight * _cost(known, degree)
            elif name == "key" and "key_pair" in logits:
                believed = Beliefs(logits["key"], logits["key_pair"], logits["key_edges"])
                total = total - weight * believed.path(key)
            else:
                total = total + weight * _cost(logits[name], target[:, TARGETS.index(name)])
        return total, total.new_tensor(float(len(target)))

    def counts(self, logits: Any, target: Tensor) -> Tensor:
        """Return right degrees, right keys and chords, shape (3,)."""
        right = [
            (logits[name].argmax(dim=-1) == target[:, TARGETS.index(name)]).sum()
            for name in ("degree", "key")
        ]
        return torch.stack([*right, right[0].new_tensor(len(target))])

    def summary(self, counts: Tensor) -> dict[str, float]:
        """Return the accuracy of degree and key."""
        degree, key, chords = counts.tolist()
        return {"accuracy": degree / chords, "key_accuracy": key / chords}


@torch.no_grad()
def read(model: nn.Module, graphs: Sequence[Any], *, batch_size: int = 6) -> dict[str, Tensor]:
    """Return what a model says of all chords of some pieces.

    Parameters
    ----------
    model : nn.Module
        As in `HarmonyTask`. Runs in evaluation mode; the mode it had is restored.
    graphs : sequence of torch_geometric.data.Data
        One or more.
    batch_size : int
        Pieces at a time.

    Returns
    -------
    dict of Tensor
        As the model gives them, one piece after another; without pairs of keys.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        parts = []
        for batch, _ in loader(graphs, batch_size=batch_size, shuffle=False):
            on = batch.to(device)
            parts.append(model(on.x, on.edge_index, on.batch, edge_type=on.edge_type))
    finally:
        model.train(training)
    return {
        name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0] if name in SAID
    }


def _cost(logits: Tensor, target: Tensor) -> Tensor:
    # Logarithms of probabilities stay what they are under a softmax.
    return functional.cross_entropy(logits.float(), target, reduction="sum")
