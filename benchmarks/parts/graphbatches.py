"""Training on batches of graphs, beside one graph after another with the same network."""

from __future__ import annotations

import torch
from torch.nn import functional

from mircourse import chords
from mircourse.chordgnn import ChordProgressionGNN
from mircourse.experiments.benchmark import Timing
from mircourse.harmonytraining import harmony_graph, loader
from parts.beside import beside

CLAIM = "A batch of graphs trains faster than its graphs one after another"
BATCH = 16
HIDDEN = 64


def rows(*, fast: bool) -> list[Timing]:
    """Measure a training step on a batch of pieces, and on the pieces one by one."""
    size = 2 if fast else BATCH
    pieces = sorted(chords.load(), key=lambda piece: len(piece.chords))[:size]
    graphs = [harmony_graph(piece) for piece in pieces]
    together = [batch for batch, _ in loader(graphs, batch_size=size, shuffle=False)]
    one_by_one = [batch for batch, _ in loader(graphs, batch_size=1, shuffle=False)]
    n_chords = sum(len(piece.chords) for piece in pieces)
    made = []
    for conv in ("relational", "attention", "plain"):
        torch.manual_seed(0)
        model = ChordProgressionGNN(28, HIDDEN, conv=conv, level="node", dropout=0.0)
        # Nothing is pooled: a chord has its own loss.
        del model.attention

        def step(batches: list, model: ChordProgressionGNN = model) -> None:
            model.zero_grad()
            for batch in batches:
                out = model(batch.x, batch.edge_index, batch.batch, edge_type=batch.edge_type)
                functional.cross_entropy(out, batch.y[:, 0], reduction="sum").backward()

        found, memory = beside(
            lambda step=step: step(together),
            lambda step=step: step(one_by_one),
            repeats=1 if fast else 9,
        )
        rate = n_chords / found.seconds_a
        made.append(
            Timing(
                f"batches against single graphs, {conv}",
                found,
                f"{size} pieces, {n_chords:,} chords",
                parameters=sum(p.numel() for p in model.parameters()),
                note=f"forward and backward, {rate:,.0f} chords a second{memory}",
            )
        )
    return made
