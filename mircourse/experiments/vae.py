"""The experiments of the VAE chapter: what each table ran, and the verdict on each claim."""

from __future__ import annotations

import itertools
from typing import Any

from mircourse.experiments import interpolations, melodyvaes, rollvaes, transfers
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, both, experiment
from mircourse.experiments.melodyvaes import FORCED, FREE, settings_of

FAMILIES = "melody family"

# --------------------------------------------------------------------------------- beta, bounds

BETAS = (0.1, 0.3, 1.0, 3.0, 10.0)


def beta(value: float) -> str:
    """Return the name of the row with this beta."""
    return f"beta {value:g}"


def best_at_one(found: Comparison) -> Verdict:
    """Judge the bound at 1 against the others, and what is known of a bar below 1 and above."""
    bound = [
        found.verdict(beta(1.0), beta(other), tasks=[rollvaes.WEIGHTED])
        for other in BETAS
        if other != 1.0
    ]
    kept = [
        found.verdict(beta(a), beta(b), tasks=[rollvaes.DISTORTION])
        for a, b in itertools.pairwise(BETAS)
    ]
    return both(*bound, *kept)


@experiment(
    name="vae-beta",
    claim="What is known of a bar falls with beta; the bound of its likelihood is best at 1.",
    metric=Metric("nats per bar", higher_is_better=False),
    groups=FAMILIES,
    seeds=3,
    tasks=rollvaes.COSTS,
    rows=[
        Row(
            "how often each key is down",
            "baseline",
            {"model": "frequencies"},
            tasks=(rollvaes.ELBO, rollvaes.WEIGHTED),
            deterministic=True,
            note="each key by itself: both bounds are its likelihood",
        ),
        *(Row(beta(value), "ours", {"beta": value}) for value in BETAS),
    ],
    rule=best_at_one,
)
def bar_costs(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score bars of held-out chorales, 8 frames of 88 keys, by what they cost."""
    return rollvaes.cost(row.settings, task=task, seed=seed, fast=fast)


@experiment(
    name="vae-disentanglement",
    claim="With a greater beta, single latent numbers stand for single properties of a bar.",
    metric=Metric("mutual information gap"),
    groups=FAMILIES,
    seeds=3,
    tasks=rollvaes.FACTORS,
    rows=[
        Row("untrained network", "baseline", {"model": "untrained"}),
        *(Row(beta(value), "ours", {"beta": value}) for value in BETAS),
    ],
    rule=lambda found: found.verdict(beta(3.0), beta(0.3)),
    statistic=rollvaes.gap,
)
def factors(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Ask how much more the best latent number tells of a property than the next one."""
    return rollvaes.codes(row.settings, factor=task, seed=seed, fast=fast)


# --------------------------------------------------------------------------------------- melodies

LENGTHS = {
    "2 bars": (2, FREE),
    "16 bars": (16, FREE),
    "2 bars, teacher forcing": (2, FORCED),
    "16 bars, teacher forcing": (16, FORCED),
}


def more_of_many_bars(found: Comparison) -> Verdict:
    """Judge what is written of 16 bars; the other differences are printed with the result."""
    for task in LENGTHS:
        found.difference("hierarchical", "flat", task)
    return found.verdict("hierarchical", "flat", tasks=["16 bars"])


@experiment(
    name="vae-hierarchy",
    claim="Of 16 bars a decoder with a conductor writes more notes again than a flat one of its "
    "size.",
    metric=Metric("note F-measure"),
    groups=FAMILIES,
    seeds=3,
    tasks=tuple(LENGTHS),
    rows=[
        Row(
            "another tune",
            "baseline",
            {"another": True},
            deterministic=True,
            note="what one tune has of another by chance",
        ),
        Row("flat", "baseline", {bars: settings_of(int(bars), "flat") for bars in ("2", "16")}),
        Row(
            "hierarchical",
            "ours",
            {bars: settings_of(int(bars), "hierarchical") for bars in ("2", "16")},
        ),
    ],
    rule=lambda found: more_of_many_bars(found),
)
def reconstructions(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Code held-out tunes, decode them again, and count the notes that come back."""
    bars, how = LENGTHS[task]
    settings = {"another tune": bars} if "another" in row.settings else row.settings[str(bars)]
    return melodyvaes.reconstruction(settings, how=how, seed=seed, fast=fast)


SHORT = settings_of(interpolations.BARS, "hierarchical")
ARC, LINE, MIXED, SPLICED = "latent arc", "latent line", "symbols mixed", "spliced"
WAYS = [
    Row(MIXED, "baseline", {"way": "mixing"}, note="each step from the one or from the other"),
    Row(SPLICED, "baseline", {"way": "splicing"}, deterministic=True),
    Row(LINE, "ours", {"way": "linear", "network": SHORT}),
    Row(ARC, "ours", {"way": "spherical", "network": SHORT}),
]


def better_than_mixing(found: Comparison) -> Verdict:
    """Judge the arc against the mixture; the line and the splices are printed with the result."""
    for other in (SPLICED, LINE):
        found.difference(ARC, other)
    return found.verdict(ARC, MIXED)


@experiment(
    name="vae-interpolation",
    claim="Between two tunes the latent space has tunes; a mixture of their notes is none.",
    metric=Metric("bits per note above the ends", higher_is_better=False),
    groups=FAMILIES,
    seeds=3,
    weights=[interpolations.JUDGE],
    rows=WAYS,
    rule=lambda found: better_than_mixing(found),
)
def between(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Ask an independent model of melody what the tunes between two tunes cost."""
    return interpolations.score(row.settings, task=interpolations.COST, seed=seed, fast=fast)


@experiment(
    name="vae-interpolation-steps",
    claim="On the way through the latent space no step is much larger than the others.",
    metric=Metric("largest step over the mean", higher_is_better=False),
    groups=FAMILIES,
    seeds=3,
    weights=[interpolations.JUDGE],
    rows=WAYS,
    rule=lambda found: better_than_mixing(found),
)
def steps(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Compare the largest change from one melody of the way to the next with the mean one."""
    return interpolations.score(row.settings, task=interpolations.LARGEST, seed=seed, fast=fast)


# ---------------------------------------------------------------------------------- style transfer

STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0)
RANDOM, SAME = "a random tune of the target style", "the tune itself"


def strength(value: float) -> str:
    """Return the name of the row with this strength."""
    return f"strength {value:g}"


def of_the_style_and_of_the_tune(found: Comparison) -> Verdict:
    """Judge strength 1: more of the style than strength 0, more of the tune than a random one."""
    style = found.verdict(strength(1.0), strength(0.0), tasks=[transfers.TAKEN])
    tune = found.verdict(strength(1.0), RANDOM, tasks=[transfers.CONTOUR, transfers.CLASSES])
    return both(style, tune)


@experiment(
    name="vae-transfer",
    claim="Moved along a style vector, a tune is taken for the other style and is still itself.",
    metric=Metric("share, correlation or overlap"),
    groups=FAMILIES,
    seeds=3,
    tasks=transfers.TASKS,
    rows=[
        Row(SAME, "baseline", {"way": "copy"}, deterministic=True),
        Row(RANDOM, "baseline", {"way": "random"}, note="of the train split"),
        *(
            Row(
                strength(value),
                "ours",
                {"network": melodyvaes.SHIPPED, "strength": value},
                note="reconstructed" if value == 0 else "",
            )
            for value in STRENGTHS
        ),
    ],
    rule=of_the_style_and_of_the_tune,
)
def transferred(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Move test tunes towards another style; ask a judge, and measure what is left."""
    return transfers.score(row.settings, task=task, seed=seed, fast=fast)
