"""The experiments of the Transformer chapter on what is generated: what each table ran.

Those on costs are in `mircourse.experiments.transformer`.
"""

from __future__ import annotations

from typing import Any

from mircourse.experiments import generated, judged
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, both, experiment

FAMILIES = "melody family"
TRANSFORMER, NUCLEUS, FREE = "Transformer", "Transformer, nucleus 0.95", "Transformer, no grammar"
NGRAM, NGRAM_FREE = "n-gram", "n-gram, no grammar"
DRAWN = {"model": "Transformer", "grammar": True}
COUNTED = {"model": "n-gram", "grammar": True}
ROWS = [
    Row(generated.REAL, "baseline", {"model": generated.REAL}, deterministic=True),
    Row(
        NGRAM,
        "baseline",
        COUNTED,
        note=f"Kneser-Ney, after the style and {generated.ORDER - 2} events",
    ),
    Row(TRANSFORMER, "ours", DRAWN, note="the network that ships; a seed decides what is drawn"),
    Row(NUCLEUS, "ours", DRAWN | {"top_p": 0.95}),
]
HISTOGRAMS = (judged.PITCH_CLASSES, judged.DURATIONS)
NOTES_MORE, SHARE_LESS = 2.0, 0.1  # what still counts as no more copied, and as well obeyed


def in_place_and_alike(found: Comparison) -> Verdict:
    """Judge the grammar against none, and the Transformer against the n-gram."""
    return both(
        found.verdict(TRANSFORMER, FREE, tasks=[judged.OUT_OF_PLACE]),
        found.verdict(TRANSFORMER, NGRAM, tasks=HISTOGRAMS),
    )


@experiment(
    name="tf-generation",
    claim="The grammar mends what the Transformer writes, and that is more like real music than "
    "what n-grams write.",
    metric=Metric("share", higher_is_better=False),
    groups=FAMILIES,
    seeds=3,
    weights=[generated.SHIPPED],
    tasks=judged.KINDS,
    rows=[
        *ROWS,
        Row(NGRAM_FREE, "baseline", COUNTED | {"grammar": False}),
        Row(FREE, "ours", DRAWN | {"grammar": False}),
    ],
    rule=in_place_and_alike,
    statistic=judged.share,
)
def likeness(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Write 32 beats in each style, and count events out of place, pitch classes and durations."""
    return judged.likeness(row.settings, kind=task, seed=seed, fast=fast)


def as_real(found: Comparison, *, most: float) -> Verdict:
    """Hold where not even the interval's far end is so much worse than real music."""
    worse = -1 if found.experiment.metric.higher_is_better else 1
    notes, held = [], []
    for name in (TRANSFORMER, NUCLEUS):
        mean, low, high = found.difference(name, generated.REAL)
        held.append(max(worse * low, worse * high) < most)
        found.difference(name, NGRAM)
        notes.append(f"{name} minus {generated.REAL}: {mean:+.3f} [{low:+.3f}, {high:+.3f}]")
    value = "holds" if all(held) else "holds-when" if any(held) else "fails"
    return Verdict(value, "; ".join(notes))


@experiment(
    name="tf-copying",
    claim="What the Transformer writes has no longer runs of notes from training pieces than new "
    "real pieces have.",
    metric=Metric("longest shared run", "notes", higher_is_better=False),
    groups=FAMILIES,
    seeds=3,
    weights=[generated.SHIPPED],
    rows=ROWS,
    rule=lambda found: as_real(found, most=NOTES_MORE),
)
def copying(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Write 32 beats in each style, and look for their longest run in the train pieces."""
    return judged.copied(row.settings, seed=seed, fast=fast)


@experiment(
    name="tf-styles",
    claim="Pieces are taken for the style that was asked for as often as real ones for theirs.",
    metric=Metric("accuracy"),
    groups=FAMILIES,
    seeds=3,
    weights=[generated.SHIPPED],
    rows=[
        *ROWS,
        Row("Transformer, told no style", "baseline", DRAWN | {"styled": False}),
    ],
    rule=lambda found: as_real(found, most=SHARE_LESS),
)
def obedience(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Write 32 beats in each style; a judge that has heard real pieces alone says which it is."""
    return judged.obeyed(row.settings, seed=seed, fast=fast)
