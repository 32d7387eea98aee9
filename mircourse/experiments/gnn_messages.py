"""The experiments of the lesson on message passing: what each table ran, and each verdict."""

from __future__ import annotations

from typing import Any

from mircourse.experiments import messages
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, both, experiment

PIECE = "piece"
RECIPE: dict[str, Any] = {"hidden_dim": 64, "lr": 0.01, "batch_size": 6, "epochs": 60}
GCN, OWN, TYPED = "GCN", "a term of its own", "a matrix for each type"
FORWARD = "a term of its own, edges from before alone"


def stack(kind: str, *, depth: int = 2, **changes: Any) -> dict[str, Any]:
    """Return the settings of a stack of layers."""
    return {"kind": kind, "depth": depth, **RECIPE, **changes}


@experiment(
    name="gnn-before",
    claim="Told before from after, a network knows whether a falling fifth led to a chord; not "
    "told, it has to guess.",
    metric=Metric("accuracy"),
    groups=PIECE,
    seeds=3,
    rows=[
        Row("always no", "baseline", {"kind": "no"}, deterministic=True),
        Row("each chord alone", "baseline", stack("alone"), note="layers without messages"),
        Row(GCN, "baseline", stack("gcn"), note="one matrix for a chord and its neighbours"),
        Row(OWN, "ours", stack("own term"), note="the article's equation"),
        Row(FORWARD, "ours", stack("own term", forward=True), note="deaf to what comes after"),
        Row(TYPED, "ours", stack("typed")),
    ],
    rule=lambda found: both(*(found.verdict(TYPED, name) for name in (GCN, OWN))),
)
def before(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Tell of each chord of the test pieces whether it was reached by a falling fifth."""
    return messages.score(row.settings, seed=seed, fast=fast)


DEPTHS = {f"{depth} layers": depth for depth in (2, 8, 32)}
SMOOTH: dict[str, dict[str, Any]] = {
    "no messages": {"kind": "alone"},
    GCN: {"kind": "gcn"},
    "GCN with residuals": {"kind": "gcn", "residual": True},
    OWN: {"kind": "own term"},
    f"{OWN}, with residuals": {"kind": "own term", "residual": True},
}


def unlike(found: Comparison) -> Verdict:
    """Judge what keeps neighbours unlike against the plain convolution."""
    return both(*(found.verdict(name, GCN) for name in (OWN, "GCN with residuals")))


@experiment(
    name="gnn-smoothing",
    claim="With a term of its own, or residuals, a chord becomes like its neighbours more slowly "
    "than by a plain convolution.",
    metric=Metric("Dirichlet energy"),
    groups=PIECE,
    split="",
    seeds=3,
    tasks=tuple(DEPTHS),
    rows=[
        Row(name, "baseline" if name == "no messages" else "ours", {**kind, "hidden_dim": 64})
        for name, kind in SMOOTH.items()
    ],
    rule=unlike,
)
def smoothing(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Measure how unlike neighbours are after layers that have learnt nothing, in all pieces."""
    return messages.smoothed({**row.settings, "depth": DEPTHS[task]}, seed=seed, fast=fast)
