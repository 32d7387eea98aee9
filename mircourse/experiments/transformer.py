"""The experiments of the Transformer chapter on costs: what each table ran, and each verdict.

Chorales on a grid of 16th notes, and what the three heads are worth. What the generator writes is
judged in `mircourse.experiments.transformer_generation`, what the bidirectional model has learnt in
`mircourse.experiments.transformer_bert`.
"""

from __future__ import annotations

from typing import Any

from mircourse.experiments import chorales, heads, writers
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, both, experiment
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
