"""The experiments of the introduction: where learning begins, what layers know, what data give.

Lesson: book/intro/why
"""

from __future__ import annotations

import itertools
from typing import Any

from mircourse.experiments import cnn, frontends, layers, scaling
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, both, experiment
from mircourse.experiments.layers import INSTRUMENT, PITCH_CLASS
from mircourse.experiments.melodies import per_unit
from mircourse.powerlaw import bootstrapped

# The network that ships, `cnn-instruments`.
FROM_MEL = cnn.RECIPE | cnn.BEST
FROM_SAMPLES: dict[str, Any] = {
    "model": "SampleCNN",
    "arguments": {"width": 0.125, "blocks": 6, "dropout": 0.1},
    "seconds": 1.25,
    "crop": 0.5,
    "epochs": 20,
    "lr": 0.005,
}
WAVEFORM, MEL, MFCC = "waveform, SampleCNN", "log-mel, MusicCNN", "MFCC + logistic regression"


def end_to_end(found: Comparison) -> Verdict:
    """Judge what begins at the waveform against MFCC, and against what begins at the log-mel."""
    return both(found.verdict(WAVEFORM, MFCC), found.verdict(WAVEFORM, MEL))


@experiment(
    name="intro-waveform",
    claim="Learnt from the waveform up, features are better than MFCC, and than those that begin "
    "at a log-mel.",
    metric=cnn.ACCURACY,
    groups="pitch",
    tasks=(cnn.INSTRUMENTS, cnn.SCARCE),
    seeds=3,
    rows=[
        Row(MFCC, "baseline", {"features": "mfcc"}, note="features designed"),
        Row("log-mel + logistic regression", "baseline", {"features": "log-mel"}),
        Row(MEL, "ours", FROM_MEL, note="the first layer designed"),
        Row(WAVEFORM, "ours", FROM_SAMPLES, note="all layers learnt"),
    ],
    rule=end_to_end,
)
def waveform(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Recognise instruments on pitches that no training note has, all else alike."""
    settings = dict(row.settings) | ({"fraction": 0.3} if task == cnn.SCARCE else {})
    return frontends.recognised(settings, task=cnn.INSTRUMENTS, seed=seed, fast=fast)


def layer(name: str, *, trained: bool = True) -> dict[str, Any]:
    """Return the settings of a probe of a layer."""
    return {"layer": name, "network": FROM_MEL, "trained": trained}


def deeper(found: Comparison) -> Verdict:
    """Judge the last layer against the first: better for the instrument, worse for pitch."""
    better = found.verdict("embedding", "block 1", tasks=[INSTRUMENT])
    mean, low, high = found.difference("embedding", "block 1", PITCH_CLASS)
    note = f"embedding minus block 1: {PITCH_CLASS}: {mean:+.3f} [{low:+.3f}, {high:+.3f}]"
    for asked in layers.ASKED:  # not judged, but printed with the result
        found.difference("embedding", "untrained, embedding", asked)
    return both(better, Verdict("holds" if high < 0 else "fails", note))


@experiment(
    name="intro-layers",
    claim="From layer to layer the instrument becomes easier to read, and the pitch harder.",
    metric=cnn.ACCURACY,
    split="test",
    groups="pitch (instrument), instrument (pitch class, register)",
    tasks=layers.ASKED,
    seeds=3,
    rows=[
        Row("log-mel", "baseline", layer("log-mel", trained=False), deterministic=True),
        *(Row(name, "ours", layer(name)) for name in layers.LAYERS if name != "log-mel"),
        *(
            Row(f"untrained, {name}", "baseline", layer(name, trained=False))
            for name in ("block 3", "embedding")
        ),
    ],
    rule=deeper,
)
def probed(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Read one thing off one layer of a network that names instruments."""
    return layers.read(row.settings, asked=task, seed=seed, fast=fast)


SHARES = {"1 %": 0.01, "3 %": 0.03, "10 %": 0.1, "30 %": 0.3, "100 %": 1.0}
NETWORK: dict[str, Any] = {
    "model": "LSTM",
    "arguments": {"hidden_size": 128, "dropout": 0.3, "embedding": 48},
    "epochs": 5,
    "lr": 0.005,
    "batch_size": 16,
    "patience": 4,
}


def learning_curve(found: Comparison) -> Verdict:
    """Judge every step to about three times the tunes; say which power law the steps follow."""
    names = [f"LSTM, {share}" for share in SHARES]
    steps = [found.verdict(more, less) for less, more in itertools.pairwise(names)]
    for share in SHARES:  # not judged, but printed with the result
        found.difference(f"LSTM, {share}", f"n-gram, {share}")
    judged = both(*steps)
    outcomes = [found.outcomes[name, ""] for name in names]
    tunes = [len(scaling.part(share, seed=0)) for share in SHARES.values()]
    exponent, floor = bootstrapped(tunes, scaling.means(outcomes), scaling.redrawn(outcomes))
    law = f"power law of the tunes: exponent {exponent:.2f}, above a floor of {floor:.2f} bits"
    return Verdict(judged.value, f"{judged.note}; {law}")


@experiment(
    name="intro-scaling",
    claim="With each threefold of the tunes to learn from, the network foretells new ones better.",
    metric=Metric("bits per note", higher_is_better=False),
    groups="tune family",
    seeds=3,
    rows=[
        *(
            Row(f"n-gram, {name}", "baseline", {"model": "n-gram", "share": share})
            for name, share in SHARES.items()
        ),
        *(Row(f"LSTM, {name}", "ours", NETWORK | {"share": s}) for name, s in SHARES.items()),
    ],
    rule=learning_curve,
    statistic=per_unit,
)
def more_music(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Learn from a share of the tunes; score what a note of the held-out tunes costs."""
    return scaling.bits(row.settings, seed=seed, fast=fast)
