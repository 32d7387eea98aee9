"""The experiment of the lesson on MusicVAE: what an autoencoder makes of a random code."""

from __future__ import annotations

from typing import Any

from mircourse.experiments import chordvaes
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, experiment

KEYS, HELD_OUT = "each key by itself", "held-out chords"
PLAIN, FITTED, VARIATIONAL = "autoencoder", "autoencoder, codes fitted", "variational autoencoder"
AUTOENCODER = {"noise": False, "beta": 0.0}


def chords_from_the_prior(found: Comparison) -> Verdict:
    """Judge what is a chord; how much is drawn twice is printed with the result."""
    for other in (PLAIN, FITTED):
        found.difference(VARIATIONAL, other, chordvaes.NEW)
    return found.verdict(VARIATIONAL, FITTED, tasks=[chordvaes.CHORD])


@experiment(
    name="vae-prior",
    claim="What a variational autoencoder makes of a random code is a chord more often than what "
    "an autoencoder makes of one.",
    metric=Metric("share of draws"),
    groups="draw",
    seeds=3,
    tasks=chordvaes.TASKS,
    rows=[
        Row(KEYS, "baseline", {"keys": "each by itself"}, note="four, as often as in the chorales"),
        Row(
            HELD_OUT, "baseline", {"keys": "held out"}, note="of four keys, drawn with replacement"
        ),
        Row(PLAIN, "baseline", AUTOENCODER | {"codes": "prior"}, note="codes from the prior"),
        Row(
            FITTED,
            "baseline",
            AUTOENCODER | {"codes": "fitted"},
            note="from a normal distribution with the mean and covariance of its codes",
        ),
        Row(
            VARIATIONAL,
            "ours",
            {"noise": True, "beta": 1.0, "codes": "prior"},
            note="codes from the prior",
        ),
    ],
    rule=chords_from_the_prior,
)
def draws(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Decode codes at random, and ask of each result whether it is a chord."""
    return chordvaes.score(row.settings, task=task, seed=seed, fast=fast)
