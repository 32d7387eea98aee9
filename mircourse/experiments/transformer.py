"""The experiments of the Transformer chapter: what each table ran, and the verdict on each claim.

Chorales on a grid of 16th notes, what the three heads are worth, what the generator writes, and
what the bidirectional model has learnt.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mircourse.experiments import bert, chorales, heads, pretexts, probes, writers
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, both, experiment
from mircourse.metrics import macro_f1
from mircourse.pretraining import Units
from mircourse.transformertraining import HEADS

FAMILIES = "melody family"

# ------------------------------------------------------------------------------------- chorales

NATS = Metric("nats per sixteenth of a voice", higher_is_better=False)
SMALL: dict[str, Any] = {
    "network": "transformer",
    "arguments": {
        "d_model": 96,
        "n_heads": 4,
        "n_layers": 3,
        "max_seq_len": 256,
        "dropout": 0.05,
        "outputs": ["logits"],
    },
    "length": 256,
    "transpose": 3,
    "epochs": 16,
    "batch_size": 2,
    "lr": 0.003,
}
LSTM: dict[str, Any] = {
    "network": "lstm",
    "arguments": {"hidden_size": 256, "num_layers": 1, "embedding": 64, "dropout": 0.05},
    "length": 256,
    "transpose": 3,
    "epochs": 32,  # about as long as a Transformer takes for 16
    "batch_size": 4,
    "lr": 0.003,
}


def positions(*, relative: bool) -> dict[str, Any]:
    """Return the settings of a network that knows distances alone, or places alone."""
    known = {"relative": relative, "absolute": not relative}
    return SMALL | {"arguments": SMALL["arguments"] | known}


CHORALE_ROWS = [
    Row("uniform", "baseline", {"model": "uniform"}, deterministic=True),
    Row("unigram", "baseline", {"model": "unigram"}, deterministic=True),
    Row(
        "n-gram",
        "baseline",
        {"model": "n-gram"},
        deterministic=True,
        note="told the voice, the place in the quarter and the chord so far; counts, no parameters",
    ),
    Row("LSTM", "ours", LSTM, note="moved by up to 3 semitones in training"),
    Row(
        "absolute positions",
        "ours",
        positions(relative=False),
        note="moved by up to 3 semitones in training; reads 256 cells at once",
    ),
    Row(
        "relative positions",
        "ours",
        positions(relative=True),
        note="the same, but told nothing but distances: a vector for each, in each head",
    ),
]
# Figures that could be looked up. Both were measured on the valid part of the published data, where
# repeats are written out.
PUBLISHED = [
    Row(
        "COCONET, in order",
        "published",
        tasks=(chorales.ALL,),
        published={chorales.ALL: 0.436},
        note="Huang et al., Counterpoint by Convolution: their valid part, not our test part",
    ),
    Row(
        "TonicNet",
        "published",
        tasks=(chorales.ALL,),
        published={chorales.ALL: 0.220},
        note="Peracha (2019): a GRU that foretells chords as well; their valid part",
    ),
]


def cheaper_chorales(found: Comparison) -> Verdict:
    """Judge relative against absolute positions, and against the LSTM and the n-gram."""
    others = ("absolute positions", "LSTM", "n-gram")
    return both(*(found.verdict("relative positions", other) for other in others))


@experiment(
    name="tf-chorales",
    claim="With relative positions a Transformer foretells chorales better than with absolute "
    "ones, than an LSTM and than n-grams.",
    metric=NATS,
    groups=FAMILIES,
    seeds=3,
    tasks=(chorales.ALL, chorales.SHARED, chorales.NEW),
    rows=[*CHORALE_ROWS, *PUBLISHED],
    rule=cheaper_chorales,
    statistic=writers.per_token,
)
def chorale_costs(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score the test part of the standard split: all, and by whether train has the melody."""
    return chorales.cost(row.settings, data="standard", part=task, seed=seed, fast=fast)


@experiment(
    name="tf-chorales-families",
    claim="It does so too where no melody of the test part is in train.",
    metric=NATS,
    groups=FAMILIES,
    seeds=3,
    rows=CHORALE_ROWS,
    rule=cheaper_chorales,
    statistic=writers.per_token,
)
def family_costs(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score the test part of the split by melody family."""
    return chorales.cost(row.settings, data="families", seed=seed, fast=fast)


# ---------------------------------------------------------------------------------------- heads

DANCES: dict[str, Any] = {
    "data": writers.STYLED,
    "styles": ["reel", "hornpipe", "jig"],
    "network": "transformer",
    "arguments": {
        "d_model": 64,
        "n_heads": 4,
        "n_layers": 2,
        "max_seq_len": 256,
        "absolute": False,
        "dropout": 0.1,
    },
    "length": 256,
    "packed": True,
    "transpose": 3,
    "epochs": 8,
    "batch_size": 8,
    "lr": 0.004,
}
WITH_HEADS = "next token and three heads"


@experiment(
    name="tf-heads",
    claim="To learn pitch, duration and dynamics of the next note as well helps to foretell the "
    "next token.",
    metric=Metric("nats", higher_is_better=False),
    groups=FAMILIES,
    seeds=3,
    tasks=(heads.NEXT, *HEADS),
    rows=[
        Row(
            "how often each occurs",
            "baseline",
            {"model": "frequencies", "styles": DANCES["styles"]},
            deterministic=True,
        ),
        Row("next token alone", "baseline", DANCES, tasks=(heads.NEXT,)),
        Row(WITH_HEADS, "ours", DANCES | {"heads": 0.3}, note="each head counts 0.3 in the loss"),
    ],
    rule=lambda found: found.verdict(WITH_HEADS, "next token alone", tasks=[heads.NEXT]),
    statistic=writers.per_token,
)
def head_costs(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score reels, hornpipes and jigs: the next token, or what a head is to say."""
    return heads.cost(row.settings, task=task, seed=seed, fast=fast)


# ------------------------------------------------------------------------------------ MusicBERT

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
            note="what the phrases share, in no key; a wrong one is right half the time",
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
        Row("token embedding", "baseline", {"network": "pretrained", "embeddings": True}),
        Row("untrained network", "baseline", {"network": "untrained", "embeddings": False}),
        Row("hidden states", "ours", {"network": "pretrained", "embeddings": False}),
    ],
    rule=more_than_tokens,
)
def known(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Read answers off the state of one note with a logistic regression."""
    return probes.probe(row.settings, question=task, seed=seed, fast=fast)
