"""The experiments of the chapter on good practice: augmentation, several tasks, transfer."""

from __future__ import annotations

from typing import Any

from mircourse.experiments import (
    augmenting,
    conflicts,
    fewlabels,
    pianos,
    starts,
    together,
    transcribers,
    transcriptions,
)
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, both, experiment

ACCURACY = Metric("accuracy")
GROUPS = "pitch (instruments), tune family (dances)"
# By task: the domain and the share of its labels.
AMOUNTS = {
    f"{domain}, {name}": (domain, share)
    for domain in fewlabels.DOMAINS
    for name, share in {"10 %": 0.1, "100 %": 1.0}.items()
}
TUNES = [task for task, (domain, _) in AMOUNTS.items() if domain == "dances"]
NOTES = {
    "gain": "−12 to 6 dB",
    "noise": "10 to 40 dB below the clip",
    "room": "0.1 to 0.6 s",
    "pitch shift": "two semitones, by a phase vocoder",
    "time stretch": "0.8 to 1.25 times as fast, by a phase vocoder",
    "speed": "two semitones, as a tape",
    "mixing": "mixup: a weighted mean of two clips and of their labels",
    "sums": "two clips at once, half of the time",
    "masks": "SpecAugment",
    "keys": "the score in three keys",
    "far too much": "an octave up or down, as a tape, and noise as loud as the music",
}


@experiment(
    name="practice-augmentation",
    claim="Pitch shifting, time stretching and mixing help, and so does transposing the score.",
    metric=ACCURACY,
    groups=GROUPS,
    tasks=tuple(AMOUNTS),
    rows=[
        Row("nothing", "baseline", {"change": "nothing"}),
        *(
            Row(
                name,
                "ours",
                {"change": name},
                tasks=TUNES if name == "keys" else None,
                note=note,
            )
            for name, note in NOTES.items()
        ),
    ],
    rule=lambda found: augmentation_rule(found),
    seeds=3,
    fast_seeds=1,
)
def augmentation(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train with one augmentation, on a tenth of the labels or on all."""
    domain, fraction = AMOUNTS[task]
    change = row.settings["change"]
    return augmenting.train(change, domain=domain, fraction=fraction, seed=seed, fast=fast)


CLAIMED = ("pitch shift", "time stretch", "mixing", "keys")


def augmentation_rule(found: Comparison) -> Verdict:
    """Judge those that the article names; ask the others for their differences, too."""
    verdict = both(*(found.verdict(name, "nothing") for name in CLAIMED))
    for name in NOTES:
        for task in found.tasks(name, "nothing"):
            found.difference(name, "nothing", task)
    return verdict


# ----------------------------------------------------------------------------- several tasks

SHARES = {"": {}, ", 10 %": {"fraction": 0.1}}
QUESTIONS = {
    f"{task}{name}": (task, some) for name, some in SHARES.items() for task in together.TASKS
}
SHARED, EQUAL, TWICE = "together", "apart, equal compute", "apart, each as long"


@experiment(
    name="practice-together",
    claim="One network that learns instrument and pitch beats two of the same compute.",
    metric=ACCURACY,
    groups="pitch",
    tasks=tuple(QUESTIONS),
    rows=[
        Row(TWICE, "baseline", {"together": False}, note="twice the compute"),
        Row(EQUAL, "baseline", {"together": False, "share": 0.5}, note="half of the epochs each"),
        Row(SHARED, "ours", {"together": True}, note="one network, two last layers"),
    ],
    rule=lambda found: both(found.verdict(SHARED, EQUAL), found.verdict(SHARED, TWICE)),
    seeds=3,
    fast_seeds=1,
)
def sharing(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Learn instrument and pitch of recorded notes in one network or in two."""
    question, some = QUESTIONS[task]
    return together.answered(
        {**row.settings, **some}, task=question, split="instruments", seed=seed, fast=fast
    )


ALONE: dict[str, dict[str, float]] = {
    "pitches": {"onset": 0.0, "velocity": 0.0},
    "onsets": {"pitch": 0.0, "velocity": 0.0},
    "velocities": {"pitch": 0.0, "onset": 0.0},
}
THIRD = transcribers.SMALL | {"steps": transcribers.SMALL["steps"] // len(ALONE)}


@experiment(
    name="practice-transcription",
    claim="One network that learns pitches, onsets and velocities beats three of the same compute.",
    metric=Metric("score"),
    groups=pianos.FAMILIES,
    tasks=transcriptions.PARTS,
    rows=[
        Row(TWICE, "baseline", dict(transcribers.SMALL), note="three times the compute"),
        Row(EQUAL, "baseline", THIRD, note="a third of the steps each"),
        Row(
            SHARED,
            "ours",
            {**transcribers.SMALL, "together": True},
            note="average precision of pitches and onsets; velocities: 1 − error / 127",
        ),
    ],
    rule=lambda found: both(found.verdict(SHARED, EQUAL), found.verdict(SHARED, TWICE)),
    seeds=3,
    fast_seeds=1,
)
def transcribing(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Learn all parts of a transcription in one network, or each in its own."""
    settings = {name: value for name, value in row.settings.items() if name != "together"}
    if not row.settings.get("together"):
        settings["loss"] = ALONE[task]
    return transcriptions.part(settings, name=task, seed=seed, fast=fast)


PLACES = {
    f"{source}, {when}": (source, when)
    for source in conflicts.SOURCES
    for when in conflicts.MOMENTS
}
PAIRS = {
    "instrument and pitch": ("notes", "instruments", "pitches"),
    "pitches and onsets": ("passages", "pitches", "onsets"),
    "pitches and velocities": ("passages", "pitches", "velocities"),
    "onsets and velocities": ("passages", "onsets", "velocities"),
}
UNRELATED = "unrelated"


@experiment(
    name="practice-conflict",
    claim="Tasks that are learned together pull the weights that they share the same way.",
    metric=Metric("cosine"),
    groups=conflicts.FAMILIES,
    tasks=tuple(PLACES),
    rows=[
        Row(UNRELATED, "baseline", deterministic=True, note="two directions at random: 0"),
        *(
            Row(
                name,
                "ours",
                {"pair": pair},
                tasks=[task for task, (where, _) in PLACES.items() if where == source],
                note="of the gradients, on held-out music",
            )
            for name, (source, *pair) in PAIRS.items()
        ),
    ],
    rule=lambda found: both(*(found.verdict(name, UNRELATED) for name in PAIRS)),
    seeds=3,
    fast_seeds=1,
)
def conflict(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Measure the angle between the gradients of two tasks."""
    source, moment = PLACES[task]
    return conflicts.measure(row.settings, source=source, moment=moment, seed=seed, fast=fast)


# ---------------------------------------------------------------------------------- transfer

LABELS = {
    f"{domain}, {name}": (domain, share)
    for domain in fewlabels.DOMAINS
    for name, share in {"1 %": 0.01, "10 %": 0.1, "100 %": 1.0}.items()
}
RECORDED = [task for task, (domain, _) in LABELS.items() if domain == "instruments"]
KINDS = {"speech": "peer", "tagging": "peer", "rendered": "ours"}
MFCC = "MFCC"


def start_rows() -> list[Row]:
    """Return a row for each origin: frozen or fine-tuned, having learned or not."""
    rows = [Row(MFCC, "baseline", {"origin": "mfcc"}, note="linear probe")]
    for origin in starts.ORIGINS:
        for frozen in (True, False):
            for known in (False, True):
                rows.append(
                    Row(
                        start_name(origin, frozen=frozen, known=known),
                        KINDS[origin] if known else "baseline",
                        {"origin": origin, "known": known, "frozen": frozen},
                        tasks=None if frozen and origin != "rendered" else RECORDED,
                        note="linear probe" if frozen else "all of it is trained",
                    )
                )
    return rows


def start_name(origin: str, *, frozen: bool, known: bool) -> str:
    """Return the name of a row, such as ``"speech, fine-tuned"``."""
    if known:
        return f"{origin}, {'frozen' if frozen else 'fine-tuned'}"
    return f"{origin}'s network, {'frozen at random' if frozen else 'from scratch'}"


@experiment(
    name="practice-transfer",
    claim="Networks that learned from speech or from other audio are excellent to start from.",
    metric=ACCURACY,
    groups=GROUPS,
    tasks=tuple(LABELS),
    rows=start_rows(),
    rule=lambda found: transfer_rule(found),
    seeds=3,
    fast_seeds=1,
)
def transfer(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Name instruments or dances from 1, 10 or 100 % of the labels, from several starts."""
    domain, fraction = LABELS[task]
    settings = dict(row.settings)
    if settings.pop("frozen", True):
        return starts.probe(settings, domain=domain, fraction=fraction, seed=seed, fast=fast)
    return starts.tuned(settings, fraction=fraction, seed=seed, fast=fast)


def transfer_rule(found: Comparison) -> Verdict:
    """Judge each origin against what it would be from scratch, and against MFCC."""
    parts = []
    for origin in starts.ORIGINS:
        tuned = start_name(origin, frozen=False, known=True)
        parts.append(found.verdict(tuned, start_name(origin, frozen=False, known=False)))
        parts.append(found.verdict(tuned, MFCC))
        parts.append(found.verdict(start_name(origin, frozen=True, known=True), MFCC))
    return both(*parts)
