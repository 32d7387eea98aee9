"""The experiments of the RNN chapter on transcription: who writes down what, and why."""

from __future__ import annotations

from typing import Any

from mircourse.experiments import pianos, transcribers, transcriptions
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, both, experiment
from mircourse.experiments.transcriptions import DETACHED, HEARD, TASKS, UNHEARD

FAMILIES = pianos.FAMILIES
ONSET_F, NOTE_F = Metric("onset F"), Metric("onset and offset F")
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
    tasks=(HEARD, UNHEARD, DETACHED),
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


# ---------------------------------------------------------------------------------- melodies


SMALL = {"system": "network", **transcribers.SMALL}
ONSETS, NOTES = "onsets", "onsets and offsets"
MEASURES = {ONSETS: transcriptions.onset_f, NOTES: transcriptions.note_f}
F_MEASURE = Metric("F-measure")


def small(**arguments: Any) -> dict[str, Any]:
    """Return the settings of a network small enough to be trained many times."""
    return SMALL | {"arguments": SMALL["arguments"] | arguments}


def on_unheard_piano(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train a small network and score its notes, with or without their ends."""
    return transcriptions.score(
        row.settings, task=UNHEARD, seed=seed, fast=fast, measure=MEASURES[task]
    )


BIDIRECTIONAL = small(attention=False)


@experiment(
    name="rnn-recurrence",
    claim="Recurrence models what happens over time.",
    metric=F_MEASURE,
    groups=FAMILIES,
    seeds=3,
    tasks=tuple(MEASURES),
    rows=[
        Row("no recurrence", "baseline", small(attention=False, recurrent=False)),
        Row("LSTM", "ours", BIDIRECTIONAL, note="bidirectional"),
    ],
    rule=lambda found: found.verdict("LSTM", "no recurrence"),
)
def recurrence(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train with the LSTM or with a dense layer of its width in its place."""
    return on_unheard_piano(row, task, seed, fast)


@experiment(
    name="rnn-direction",
    claim="Reading a recording from its end, too, helps to transcribe it.",
    metric=F_MEASURE,
    groups=FAMILIES,
    seeds=3,
    tasks=tuple(MEASURES),
    rows=[
        Row(
            "forward only",
            "baseline",
            small(attention=False, bidirectional=False, hidden_dim=80),
            note="as many weights in the LSTM",
        ),
        Row("bidirectional", "ours", BIDIRECTIONAL),
    ],
    rule=lambda found: found.verdict("bidirectional", "forward only"),
)
def direction(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train with an LSTM that reads in one direction or in both."""
    return on_unheard_piano(row, task, seed, fast)


@experiment(
    name="rnn-attention",
    claim="Self-attention over time on top of the LSTM helps.",
    metric=F_MEASURE,
    groups=FAMILIES,
    seeds=3,
    tasks=tuple(MEASURES),
    rows=[
        Row("LSTM", "baseline", BIDIRECTIONAL),
        Row("LSTM and attention", "ours", small(), note="eight heads, residual"),
    ],
    rule=lambda found: found.verdict("LSTM and attention", "LSTM"),
)
def attention(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train with or without attention behind the LSTM."""
    return on_unheard_piano(row, task, seed, fast)


@experiment(
    name="rnn-onsets",
    claim="One onset output for all keys is enough.",
    metric=F_MEASURE,
    groups=FAMILIES,
    seeds=3,
    tasks=tuple(MEASURES),
    rows=[
        Row("88 onsets", "baseline", small()),
        Row("one onset", "ours", small(onset_outputs=1), note="as the article has it"),
    ],
    rule=lambda found: found.verdict("one onset", "88 onsets"),
)
def onsets(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train with one onset output for all keys or one for each."""
    return on_unheard_piano(row, task, seed, fast)


PART_ALONE: dict[str, dict[str, float]] = {
    "pitches": {"onset": 0.0, "velocity": 0.0},
    "onsets": {"pitch": 0.0, "velocity": 0.0},
    "velocities": {"pitch": 0.0, "onset": 0.0},
}


@experiment(
    name="rnn-multitask",
    claim="Learning pitches, onsets and velocities together beats learning each alone.",
    metric=Metric("score"),
    groups=FAMILIES,
    seeds=3,
    tasks=transcriptions.PARTS,
    rows=[
        Row(
            "all three",
            "ours",
            small(),
            note="average precision of pitches and onsets; velocities: 1 − error / 127",
        ),
        *(
            Row(f"{name} alone", "baseline", small() | {"loss": loss}, tasks=[name])
            for name, loss in PART_ALONE.items()
        ),
    ],
    rule=lambda found: both(
        *(found.verdict("all three", f"{name} alone", tasks=[name]) for name in PART_ALONE)
    ),
)
def multitask(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train with all parts of the loss or with one, and score that part's output."""
    return transcriptions.part(row.settings, name=task, seed=seed, fast=fast)


def varying(*names: str) -> dict[str, Any]:
    """Return the settings of a small network that learns from what varies so."""
    return SMALL | {"varied": list(names)}


def without(*names: str) -> dict[str, Any]:
    """Return the same, with everything varied but these."""
    return varying(*(name for name in pianos.VARIED if name not in names))


@experiment(
    name="rnn-transcription-data",
    claim="Varying the training music lets a network transcribe a piano that it never heard.",
    metric=F_MEASURE,
    groups=FAMILIES,
    seeds=3,
    tasks=tuple(MEASURES),
    rows=[
        Row("nothing varied", "baseline", varying()),
        Row("everything varied", "ours", SMALL),
        Row("without tempo, articulation", "ours", without("tempo", "articulation")),
        Row("without transposition", "ours", without("transposition")),
        Row("without velocity", "ours", without("velocity")),
        Row("without timbre", "ours", without("timbre"), note="other instruments, moved samples"),
        Row("without room", "ours", without("room")),
        Row("without noise", "ours", without("noise"), note="nor level and equaliser"),
    ],
    rule=lambda found: found.verdict("everything varied", "nothing varied"),
)
def transcription_data(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train on the same minutes of music with less and more variety."""
    return on_unheard_piano(row, task, seed, fast)
