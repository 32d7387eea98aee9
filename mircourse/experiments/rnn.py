"""The experiments of the RNN chapter: what each of its results tables ran."""

from __future__ import annotations

from typing import Any

from mircourse.experiments import transcribers, transcriptions
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, experiment
from mircourse.experiments.transcriptions import HEARD, TASKS, UNHEARD

ONSET_F, NOTE_F = Metric("onset F"), Metric("onset and offset F")
FAMILIES = "tune or chorale family, or movement"
FULL = {"system": "network", **transcribers.FULL}

SYSTEMS = [
    Row(
        "every half second",
        "baseline",
        {"system": "every beat"},
        deterministic=True,
        note="middle C, whatever is played",
    ),
    Row(
        "NMF",
        "baseline",
        {"system": "nmf"},
        deterministic=True,
        note="templates of the piano of the same soundfont",
    ),
    Row("basic-pitch", "peer", {"system": "basic-pitch"}, deterministic=True, note="as it comes"),
    Row("madmom", "peer", {"system": "madmom"}, deterministic=True, note="as it comes; a piano's"),
    Row("MusicTranscriptionRNN", "ours", FULL, note="harmonic layers, 88 onsets, 88 velocities"),
]


def ahead_of_peers(found: Comparison) -> Verdict:
    """Judge the network against both peers on the piano that it never heard."""
    return both(
        found.verdict("MusicTranscriptionRNN", "basic-pitch", tasks=[UNHEARD]),
        found.verdict("MusicTranscriptionRNN", "madmom", tasks=[UNHEARD]),
    )


def both(*verdicts: Verdict) -> Verdict:
    """Return one verdict of several: it holds if all do, holds-when if some do."""
    held = [verdict.value == "holds" for verdict in verdicts]
    value = "holds" if all(held) else "holds-when" if any(held) else "fails"
    return Verdict(value, "; ".join(verdict.note for verdict in verdicts))


@experiment(
    name="rnn-transcription",
    claim="A bidirectional LSTM transcribes a piano that it never heard better than the peers do.",
    metric=ONSET_F,
    groups=FAMILIES,
    seeds=3,
    tasks=tuple(TASKS),
    rows=SYSTEMS,
    rule=ahead_of_peers,
)
def transcription(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score notes by pitch and onset."""
    return transcriptions.score(row.settings, task=task, seed=seed, fast=fast)


@experiment(
    name="rnn-transcription-notes",
    claim="It also says better than the peers when each note ends.",
    metric=NOTE_F,
    groups=FAMILIES,
    seeds=3,
    tasks=(HEARD, UNHEARD),
    rows=SYSTEMS,
    rule=ahead_of_peers,
)
def transcription_notes(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score notes by pitch, onset and offset."""
    return transcriptions.score(
        row.settings, task=task, seed=seed, fast=fast, measure=transcriptions.note_f
    )


POLYPHONY = {f"{n} at once": n for n in range(1, 7)}


@experiment(
    name="rnn-polyphony",
    claim="The more notes sound at once, the harder they are to tell apart.",
    metric=ONSET_F,
    groups=FAMILIES,
    seeds=3,
    tasks=tuple(POLYPHONY),
    rows=[row for row in SYSTEMS if row.name != "every half second"],
    rule=lambda found: fewer_are_easier(found),
)
def polyphony(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score by onset the notes that begin while so many sound, on the unheard piano."""
    return transcriptions.by_polyphony(
        row.settings, task=UNHEARD, voices=POLYPHONY[task], seed=seed, fast=fast
    )


def fewer_are_easier(found: Comparison) -> Verdict:
    """Compare notes alone with notes among four, by their intervals."""
    name = "MusicTranscriptionRNN"
    (low, _), (_, high) = (found.interval(name, task) for task in ("1 at once", "4 at once"))
    one, four = (found.mean(name, task) for task in ("1 at once", "4 at once"))
    value = "holds" if low > high else "fails"
    return Verdict(value, f"{one:.3f} for a note alone, {four:.3f} for one of four")


@experiment(
    name="rnn-velocity",
    claim="How hard a key was struck can be heard.",
    metric=Metric("velocity error", "MIDI steps", higher_is_better=False),
    groups=FAMILIES,
    seeds=3,
    tasks=(HEARD, UNHEARD),
    rows=[
        Row("always the mean", "baseline", FULL | {"system": "mean"}),
        Row("MusicTranscriptionRNN", "ours", FULL),
    ],
    rule=lambda found: found.verdict("MusicTranscriptionRNN", "always the mean"),
)
def velocity(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Measure the velocity error over the notes found."""
    return transcriptions.velocities(row.settings, task=task, seed=seed, fast=fast)
