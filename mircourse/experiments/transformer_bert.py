"""The experiments of the Transformer chapter on MusicBERT: what each ran, and each verdict."""

from __future__ import annotations

from typing import Any

import numpy as np

from mircourse.experiments import bert, pretexts, probes
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, both, experiment
from mircourse.metrics import macro_f1
from mircourse.pretraining import Units

FAMILIES = "melody family"
# What the course ships: what a network learnt from the tunes of the train split.
LEARNT = {"method": "pretrained"}
ANY_GRAMS = {"method": "n-grams", "kinds": ["pitch", "rhythm", "chord"]}
LEARNERS = [
    Row("commonest class", "baseline", {"method": "majority"}, deterministic=True),
    Row("n-grams", "baseline", ANY_GRAMS, note="counts of runs of up to five, in no key"),
    Row("from scratch", "ours", {"method": "from scratch"}),
    Row("pretrained, frozen", "ours", {"method": "frozen"}, note="a logistic regression on top"),
    Row("pretrained, fine-tuned", "ours", LEARNT),
]


def few_labels(found: Comparison) -> Verdict:
    """Judge fine-tuning against training from scratch, and against counting."""
    tuned = "pretrained, fine-tuned"
    return both(found.verdict(tuned, "from scratch"), found.verdict(tuned, "n-grams"))


@experiment(
    name="tf-bert-tunes",
    claim="Pretrained without labels, a network tells the types of tunes from fewer of them.",
    metric=Metric("accuracy"),
    groups=FAMILIES,
    seeds=3,
    tasks=tuple(bert.SHARES),
    rows=[
        *LEARNERS[:1],
        Row(
            "rhythm n-grams",
            "baseline",
            {"method": "n-grams", "kinds": ["rhythm"]},
            note="counts of runs of up to five",
        ),
        *LEARNERS[1:],
    ],
    rule=few_labels,
)
def tune_types(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Tell reels, hornpipes, strathspeys and clogs apart, all in duple time."""
    return bert.score(row.settings, corpus="tunes", share=task, seed=seed, fast=fast)


QUARTETS = "quartets, 100 %"


def composer_f1(truth: Any, prediction: Any) -> float:
    """Return macro-F1 over the composers that are there."""
    return macro_f1(truth, prediction, labels=np.unique(truth))


@experiment(
    name="tf-bert-composers",
    claim="Pretrained without labels, a network tells composers from fewer labelled windows.",
    metric=Metric("macro-F1"),
    groups="movement",
    seeds=3,
    tasks=(*bert.SHARES, QUARTETS),
    rows=LEARNERS,
    rule=few_labels,
    statistic=composer_f1,
)
def composers(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Tell six composers apart by four bars; among quartets, the three who wrote them."""
    share = "100 %" if task == QUARTETS else task
    return bert.composers(
        row.settings, share=share, quartets=task == QUARTETS, seed=seed, fast=fast
    )


@experiment(
    name="tf-bert-phrases",
    claim="A pretrained network hears better than n-grams whether one phrase follows another.",
    metric=Metric("accuracy"),
    groups=FAMILIES,
    seeds=3,
    rows=[
        Row(
            "n-grams",
            "baseline",
            {"method": "n-grams"},
            deterministic=True,
            note="what the phrases share, in no key; half of the second phrases are wrong",
        ),
        Row("MusicBERT", "ours", LEARNT),
    ],
    rule=lambda found: found.verdict("MusicBERT", "n-grams"),
)
def next_phrases(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Tell the next four bars of a tune from four of another in the same key and metre."""
    return pretexts.follows(row.settings["method"], seed=seed, fast=fast)


HIDDEN: dict[str, Units] = {"whole notes hidden": "notes", "single events hidden": "tokens"}
WHOLE = "pretrained on whole notes"


@experiment(
    name="tf-bert-masking",
    claim="To find hidden notes a network has to learn it on whole notes, not on single events.",
    metric=Metric("accuracy"),
    groups=FAMILIES,
    seeds=3,
    tasks=tuple(HIDDEN),
    rows=[
        Row(
            "copy",
            "baseline",
            {"method": "partner"},
            deterministic=True,
            note="the next note-off without a note-on, else the note before",
        ),
        Row(
            "n-grams",
            "baseline",
            {"method": "n-grams"},
            deterministic=True,
            note="two notes on either side; counts, no parameters",
        ),
        Row("pretrained on single events", "ours", {"method": "tokens"}),
        Row(WHOLE, "ours", {"method": "notes"}),
    ],
    rule=lambda found: both(
        found.verdict(WHOLE, "pretrained on single events", tasks=[next(iter(HIDDEN))]),
        found.verdict(WHOLE, "n-grams", tasks=[next(iter(HIDDEN))]),
    ),
)
def hidden_notes(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Guess the pitch of each hidden note-on in eight bars of a tune."""
    return pretexts.guesses(row.settings["method"], units=HIDDEN[task], seed=seed, fast=fast)


def more_than_tokens(found: Comparison) -> Verdict:
    """Judge what the trained layers know against the token, and against untrained layers."""
    learnt = "hidden states"
    return both(
        found.verdict(learnt, "token embedding"), found.verdict(learnt, "untrained network")
    )


@experiment(
    name="tf-bert-probes",
    claim="What a pretrained network makes of a note tells key, place in the bar and pitch.",
    metric=Metric("accuracy"),
    groups=FAMILIES,
    seeds=3,
    tasks=probes.QUESTIONS,
    rows=[
        Row(
            "commonest answer",
            "baseline",
            {"network": None, "embeddings": True},
            deterministic=True,
        ),
        Row(
            "counting",
            "baseline",
            {"network": "none", "embeddings": False},
            deterministic=True,
            note="of pitch classes, of times between notes, of intervals around; no network",
        ),
        Row("token embedding", "baseline", {"network": "pretrained", "embeddings": True}),
        Row("untrained network", "baseline", {"network": "untrained", "embeddings": False}),
        Row("hidden states", "ours", {"network": "pretrained", "embeddings": False}),
    ],
    rule=more_than_tokens,
)
def known(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Read answers off the state of one note with a logistic regression."""
    return probes.probe(row.settings, question=task, seed=seed, fast=fast)
