"""The experiments of the CNN chapter: what each of its results tables ran."""

from __future__ import annotations

from typing import Any

from mircourse.experiments import dances, instruments, onsets
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, experiment

ACCURACY = Metric("accuracy")
# On all notes the better networks are near the ceiling, where nothing can tell them apart.
INSTRUMENTS, SCARCE, DANCES = "instruments", "instruments, 30 % of the notes", "dances"
# Small enough to be trained many times: an eighth of the channels, 1.25 s of each note.
RECIPE = {"model": "MusicCNN", "epochs": 6, "lr": 0.005, "seconds": 1.25}
HARMONIC = RECIPE | {"model": "HarmonicCNN"}
WIDTH = 0.125
# What the course ships: the same network, trained for twice as long.
BEST = {"arguments": {"width": WIDTH}, "epochs": 12}


def music(**arguments: Any) -> dict[str, Any]:
    """Return the settings of a `MusicCNN` narrow enough to be trained many times."""
    return {"arguments": {"width": WIDTH, **arguments}}


def on_instruments(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train a `MusicCNN` with the row's settings on the recorded notes, or on 30 % of them."""
    settings = RECIPE | dict(row.settings) | ({"fraction": 0.3} if task == SCARCE else {})
    return instruments.train(settings, task=INSTRUMENTS, seed=seed, fast=fast)


def filters_rule(found: Comparison) -> Verdict:
    """Judge tall filters against square ones; say what wide ones and both do."""
    return found.verdict("tall", "square")


@experiment(
    name="cnn-filters",
    claim="Tall filters (f > t) capture harmonic structure.",
    metric=ACCURACY,
    groups="pitch (instruments), tune family (dances)",
    tasks=(INSTRUMENTS, SCARCE, DANCES),
    rows=[
        Row("square", "baseline", music(branches="square"), note="3 × 3"),
        Row("tall", "ours", music(branches="tall"), note="12 × 1"),
        Row("wide", "ours", music(branches="wide"), note="1 × 7"),
        Row("both", "ours", music(), note="12 × 1 beside 1 × 7"),
    ],
    rule=filters_rule,
)
def filters(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train with one shape of filter in the second block, at equal parameter counts."""
    if task == DANCES:
        return dances.train(row.settings["arguments"], seed=seed, fast=fast)
    return on_instruments(row, task, seed, fast)


@experiment(
    name="cnn-scales",
    claim="Multi-scale processing, a sum of convolutions of several sizes, helps.",
    metric=ACCURACY,
    groups="pitch",
    tasks=(INSTRUMENTS, SCARCE),
    rows=[
        Row("one scale", "baseline", music(), note="3 × 3"),
        Row("three scales", "ours", music(scales=[3, 5, 7]), note="3 × 3 + 5 × 5 + 7 × 7"),
    ],
    rule=lambda found: found.verdict("three scales", "one scale"),
)
def scales(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train with one or three scales in the first block, at equal parameter counts."""
    return on_instruments(row, task, seed, fast)


@experiment(
    name="cnn-pooling",
    claim="Attention over time finds the moments that matter.",
    metric=ACCURACY,
    groups="pitch",
    tasks=(INSTRUMENTS, SCARCE),
    rows=[
        Row("attention, frequency kept", "ours", music()),
        Row("average, frequency kept", "ours", music(pooling="average")),
        Row("attention, frequency pooled", "ours", music(keep_frequency=False)),
        Row(
            "average, frequency pooled",
            "baseline",
            music(pooling="average", keep_frequency=False),
            note="what the article's forward pass does",
        ),
    ],
    rule=lambda found: attention_rule(found),
)
def pooling(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train with attention or average pooling over time, frequency kept or averaged."""
    return on_instruments(row, task, seed, fast)


def attention_rule(found: Comparison) -> Verdict:
    """Judge attention twice: with the frequency axis kept, and without it."""
    kept = found.verdict("attention, frequency kept", "average, frequency kept")
    pooled = found.verdict("attention, frequency pooled", "average, frequency pooled")
    held = [verdict.value == "holds" for verdict in (kept, pooled)]
    value = "holds" if all(held) else "holds-when" if any(held) else "fails"
    return Verdict(value, f"{kept.note}; {pooled.note}")


def frequency_rule(found: Comparison) -> Verdict:
    """Judge keeping the frequency axis, with attention over time in both rows."""
    return found.verdict("attention, frequency kept", "attention, frequency pooled")


@experiment(
    name="cnn-frequency",
    claim="Frequency is not like time: keep its axis up to the classifier.",
    metric=ACCURACY,
    groups="pitch",
    tasks=(INSTRUMENTS, SCARCE),
    rows=[
        Row("attention, frequency kept", "ours", music()),
        Row("attention, frequency pooled", "baseline", music(keep_frequency=False)),
    ],
    rule=frequency_rule,
)
def frequency(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train with the frequency axis kept or averaged before the classifier."""
    return on_instruments(row, task, seed, fast)


SCARCITY = {"10 %": 0.1, "30 %": 0.3, "100 %": 1.0, "low to high": 1.0}


@experiment(
    name="cnn-harmonic",
    claim="Harmonic filters help when data are scarce, and on unheard pitches.",
    metric=ACCURACY,
    groups="pitch",
    tasks=tuple(SCARCITY),
    rows=[
        Row("MusicCNN", "baseline", RECIPE | music()),
        Row("HarmonicCNN", "ours", HARMONIC | music(keep_frequency=True)),
        Row(
            "HarmonicCNN, one harmonic",
            "ours",
            HARMONIC | music(keep_frequency=True, n_harmonics=1),
            tasks=("10 %", "low to high"),
            note="the same network without the stack",
        ),
    ],
    rule=lambda found: harmonic_rule(found),
)
def harmonic(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train on a share of the recordings, or on the lower half of each range."""
    settings = dict(row.settings)
    if SCARCITY[task] < 1:
        settings["fraction"] = SCARCITY[task]
    where = task if task == "low to high" else INSTRUMENTS
    return instruments.train(settings, task=where, seed=seed, fast=fast)


def harmonic_rule(found: Comparison) -> Verdict:
    """Judge the network as a whole; say what its stack of harmonics alone does."""
    whole = found.verdict("HarmonicCNN", "MusicCNN")
    stack = found.verdict("HarmonicCNN", "HarmonicCNN, one harmonic")
    return Verdict(whole.value, f"{whole.note}; {stack.note}")


@experiment(
    name="cnn-data",
    claim="Performance improves with more data, synthetic data included.",
    metric=ACCURACY,
    groups="pitch",
    tasks=(INSTRUMENTS,),
    rows=[
        Row("rendered", "baseline", music() | {"learn_from": "rendered"}),
        Row("recorded, 30 %", "ours", music() | {"fraction": 0.3}),
        Row("recorded", "ours", music()),
        Row("rendered, then recorded", "ours", music() | {"learn_from": "both"}),
    ],
    rule=lambda found: data_rule(found),
)
def data(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train on rendered notes, on recorded ones, or on one after the other."""
    return on_instruments(row, task, seed, fast)


def data_rule(found: Comparison) -> Verdict:
    """Judge two steps: more recordings, and rendered notes before all of them."""
    more = found.verdict("recorded", "recorded, 30 %")
    synthetic = found.verdict("rendered, then recorded", "recorded")
    held = [verdict.value == "holds" for verdict in (more, synthetic)]
    value = "holds" if all(held) else "holds-when" if any(held) else "fails"
    return Verdict(value, f"{more.note}; {synthetic.note}")


@experiment(
    name="cnn-instruments",
    claim="A network learns better features from the data than were designed by hand.",
    metric=ACCURACY,
    groups="pitch",
    tasks=(INSTRUMENTS,),
    rows=[
        Row("majority", "baseline", {"features": "majority"}, deterministic=True),
        Row("MFCC + logistic regression", "baseline", {"features": "mfcc"}, deterministic=True),
        Row("musicnn, frozen", "peer", {"features": "musicnn"}, deterministic=True),
        Row("musicnn, frozen + MFCC", "peer", {"features": "mfcc + musicnn"}, deterministic=True),
        Row(
            "HarmonicCNN, short run",
            "ours",
            HARMONIC | music(keep_frequency=True),
            note="half the epochs",
        ),
        Row("MusicCNN", "ours", RECIPE | BEST),
    ],
    rule=lambda found: learned_rule(found),
)
def recognition(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Recognise 19 instruments on pitches that no training note has."""
    if "features" in row.settings:
        return instruments.linear(row.settings["features"], task=task)
    return instruments.train(row.settings, task=task, seed=seed, fast=fast)


def learned_rule(found: Comparison) -> Verdict:
    """Judge the network against designed features, and against those learned elsewhere."""
    designed = found.verdict("MusicCNN", "MFCC + logistic regression")
    elsewhere = found.verdict("MusicCNN", "musicnn, frozen + MFCC")
    return Verdict(designed.value, f"{designed.note}; {elsewhere.note}")


ONSETS = {"arguments": {"width": 0.5}, "epochs": 12, "lr": 0.002}


@experiment(
    name="cnn-onsets",
    claim="A small network that learned from exact onsets finds onsets better than spectral flux.",
    metric=Metric("F-measure"),
    groups="tune or chorale family",
    tasks=tuple(onsets.FONTS),
    rows=[
        Row("every quarter second", "baseline", {"detector": "grid"}, deterministic=True),
        Row("librosa", "peer", {"detector": "librosa"}, deterministic=True),
        Row("librosa, tuned", "peer", {"detector": "librosa, tuned"}, deterministic=True),
        Row("OnsetCNN", "ours", ONSETS),
    ],
    rule=lambda found: found.verdict("OnsetCNN", "librosa, tuned"),
)
def detection(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Find note onsets within 50 ms in rendered music."""
    if "detector" in row.settings:
        return onsets.without_learning(row.settings["detector"], task=task, fast=fast)
    return onsets.train(row.settings, task=task, seed=seed, fast=fast)


DANCE = music()


@experiment(
    name="cnn-dances",
    claim="A network that hears a tune names its dance better than n-grams that read its score.",
    metric=ACCURACY,
    groups="tune family",
    tasks=(DANCES,),
    rows=[
        *(Row(n, "baseline", {"features": n}, deterministic=True) for n in dances.BASELINES),
        Row("MusicCNN", "ours", DANCE, note="from rendered audio"),
    ],
    rule=lambda found: found.verdict("MusicCNN", "rhythm n-grams"),
)
def dance_types(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Tell reels, hornpipes, strathspeys and clogs apart, all in duple time."""
    if "features" in row.settings:
        return dances.baseline(row.settings["features"])
    return dances.train(row.settings["arguments"], seed=seed, fast=fast)
