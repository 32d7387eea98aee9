"""The experiments of the SimCLR chapter: what each of its results tables ran."""

from __future__ import annotations

from typing import Any

import numpy as np

from mircourse.experiments import fewlabels, fromscratch, geometry, readouts
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, both, experiment

ACCURACY = Metric("accuracy")
SHARES = {"1 %": 0.01, "5 %": 0.05, "10 %": 0.1, "100 %": 1.0}
# By task: the domain and the share of its labels.
TASKS = {
    f"{domain}, {share}": (domain, value)
    for domain in fewlabels.DOMAINS
    for share, value in SHARES.items()
}
FEW = [task for task, (_, share) in TASKS.items() if share <= 0.1]
SCARCE = "instruments, 10 %"
FAMILIES = "pitch (instruments), tune family (dances)"


def probed(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Probe the row's features with the share of labels that the task names."""
    domain, fraction = TASKS[task]
    options = {k: v for k, v in row.settings.items() if k not in ("features", "reader")}
    return readouts.probe(
        row.settings["features"],
        domain=domain,
        held_out="test",
        fraction=fraction,
        seed=seed,
        fast=fast,
        settings=options,
        reader=row.settings.get("reader", "linear"),
    )


def simclr(**options: Any) -> dict[str, Any]:
    """Return the settings of a row that probes a network trained with other options."""
    return {"features": "simclr", **options}


# As many steps as with rendered timbres, of which there are fewer than of recorded notes.
RECORDED = simclr(source="recorded", epochs=30, batch_size=32)


@experiment(
    name="contrastive-labels",
    claim="With a tenth of the labels or fewer, a linear probe of what SimCLR learned without "
    "labels beats the same network trained from scratch.",
    metric=ACCURACY,
    groups=FAMILIES,
    tasks=tuple(TASKS),
    rows=[
        Row("random features", "baseline", {"features": "random"}, note="linear probe, untrained"),
        Row("MFCC", "baseline", {"features": "mfcc"}, note="linear probe"),
        Row("musicnn, frozen", "peer", {"features": "musicnn"}, note="linear probe"),
        Row("from scratch", "baseline", {"supervised": True}, note="the same network, labels only"),
        Row("SimCLR, k-NN", "ours", simclr(reader="k-NN"), note="5 neighbours"),
        Row(
            "SimCLR on recordings",
            "ours",
            RECORDED,
            tasks=[task for task in TASKS if task.startswith("instruments")],
            note="linear probe; two views are of one recorded note, none of them held out",
        ),
        Row(
            "SimCLR",
            "ours",
            simclr(),
            note="linear probe; views of rendered timbres, of tunes; no held-out one was heard",
        ),
    ],
    rule=lambda found: found.verdict("SimCLR", "from scratch", tasks=FEW),
    seeds=3,
    fast_seeds=1,
)
def labels(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Read instruments and dances with 1, 5, 10 or 100 % of the labels, one a class at least."""
    if row.settings.get("supervised"):
        domain, fraction = TASKS[task]
        return fromscratch.train(domain, fraction=fraction, seed=seed, fast=fast)
    return probed(row, task, seed, fast)


AUGMENTATIONS = {
    "other notes": "Pitch",
    "crops": "Crop",
    "speeds": "Speed",
    "noise": "Noise",
    "rooms": "Room",
    "masks": "SpecAugment",
}
# Each note is an item of its own then: as many steps, not as many epochs.
FEWER = {"Pitch": {"epochs": 12}}


@experiment(
    name="contrastive-augmentations",
    claim="Each augmentation helps what SimCLR learns, and far stronger ones harm.",
    metric=ACCURACY,
    groups="pitch",
    tasks=(SCARCE,),
    rows=[
        Row("all", "ours", simclr()),
        *(
            Row(f"without {name}", "ours", simclr(without=kind, **FEWER.get(kind, {})))
            for name, kind in AUGMENTATIONS.items()
        ),
        Row(
            "far stronger",
            "ours",
            simclr(strong=True),
            note="seven semitones, noise as loud as the note, wet rooms, wide masks",
        ),
    ],
    rule=lambda found: augmentations_rule(found),
    seeds=3,
    fast_seeds=1,
)
def augmentations(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Pretrain on timbres with one augmentation left out, and probe with a tenth of the labels."""
    return probed(row, task, seed, fast)


def augmentations_rule(found: Comparison) -> Verdict:
    """Judge all of them against all but one, each in turn, and against stronger ones."""
    others = [f"without {name}" for name in AUGMENTATIONS] + ["far stronger"]
    return both(*(found.verdict("all", other) for other in others))


@experiment(
    name="contrastive-batch",
    claim="Larger batches, with more negatives, teach more.",
    metric=ACCURACY,
    groups="pitch",
    tasks=(SCARCE,),
    rows=[
        Row("8 timbres", "ours", simclr(batch_size=8)),
        Row("56 timbres", "ours", simclr()),
        Row("112 timbres", "ours", simclr(batch_size=112)),
        Row(
            "112 timbres, twice the rate",
            "ours",
            simclr(batch_size=112, lr=0.004),
            note="as many epochs: half the steps of 56",
        ),
    ],
    rule=lambda found: found.verdict("112 timbres, twice the rate", "8 timbres"),
    seeds=3,
    fast_seeds=1,
)
def batch(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Pretrain for as many epochs with other batches."""
    return probed(row, task, seed, fast)


@experiment(
    name="contrastive-temperature",
    claim="A low temperature, which looks at the nearest negatives, teaches more than a high one.",
    metric=ACCURACY,
    groups="pitch",
    tasks=(SCARCE,),
    rows=[
        Row("0.05", "ours", simclr(temperature=0.05)),
        Row("0.2", "ours", simclr()),
        Row("1", "ours", simclr(temperature=1.0)),
    ],
    rule=lambda found: both(found.verdict("0.05", "1"), found.verdict("0.2", "1")),
    seeds=3,
    fast_seeds=1,
)
def temperature(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Pretrain at other temperatures."""
    return probed(row, task, seed, fast)


COLLAPSE = [
    Row("untrained", "baseline", {"features": "random"}),
    Row("without negatives", "baseline", simclr(negatives=False)),
    Row("with negatives", "ours", simclr()),
]


@experiment(
    name="contrastive-collapse",
    claim="Without negatives the network learns less than with them.",
    metric=ACCURACY,
    groups="pitch",
    tasks=(SCARCE,),
    rows=COLLAPSE,
    rule=lambda found: both(
        found.verdict("with negatives", "without negatives"),
        found.verdict("untrained", "without negatives"),
    ),
    seeds=3,
    fast_seeds=1,
)
def collapse(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Pretrain with agreement alone, and probe."""
    return probed(row, task, seed, fast)


@experiment(
    name="contrastive-alignment",
    claim="Views of one note come to lie nearer to each other than before training.",
    metric=Metric("squared distance of two views", higher_is_better=False),
    groups="pitch",
    tasks=geometry.SPACES,
    rows=COLLAPSE,
    rule=lambda found: found.verdict("with negatives", "untrained"),
    seeds=3,
    fast_seeds=1,
)
def alignment(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Measure how far apart two views of each held-out note lie."""
    return geometry.measure("alignment", row.settings, space=task, seed=seed, fast=fast)


def log_mean(truth: Any, prediction: Any) -> float:
    """Return the logarithm of the mean: uniformity, of the mean potential of each vector."""
    return float(np.log(np.mean(prediction)))


@experiment(
    name="contrastive-uniformity",
    claim="Negatives spread the notes over the sphere; without them all fall into one point.",
    metric=Metric("uniformity", "nats", higher_is_better=False),
    groups="pitch",
    tasks=geometry.SPACES,
    rows=COLLAPSE,
    rule=lambda found: both(
        found.verdict("with negatives", "without negatives"),
        found.verdict("with negatives", "untrained"),
    ),
    statistic=log_mean,
    seeds=3,
    fast_seeds=1,
)
def uniformity(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Measure how evenly the held-out notes fill the sphere."""
    return geometry.measure("uniformity", row.settings, space=task, seed=seed, fast=fast)
