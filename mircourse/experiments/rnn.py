"""The experiments of the RNN chapter on melodies and on streaming: what each table ran.

Those on transcription are in `mircourse.experiments.rnn_transcription`.
"""

from __future__ import annotations

from typing import Any

from mircourse.experiments import chroma, latency, melodies, pianos
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Metric, Row, Verdict, both, experiment

TOLD, ALONE = "told the place in the bar", "notes alone"
BITS = Metric("bits per note", "", higher_is_better=False)
SHARE = Metric("share of bars")
TUNES = "tune family"


# What the course ships.
WRITER = {"model": "LSTM", "place": True}


def melodic(row: Row, task: str) -> dict[str, Any]:
    """Return the settings of a row in a task, which says whether the model knows its place."""
    return {"place": task != ALONE, **row.settings}


def cheaper_melodies(found: Comparison) -> Verdict:
    """Judge the LSTM against the n-grams, and against the plain network where both took part."""
    return both(found.verdict("LSTM", "n-gram"), found.verdict("LSTM", "plain RNN"))


@experiment(
    name="rnn-melody",
    claim="An LSTM predicts tunes better than n-grams and than a plain recurrent network.",
    metric=BITS,
    groups=TUNES,
    seeds=3,
    tasks=(TOLD, ALONE),
    rows=[
        Row("uniform", "baseline", {"model": "uniform"}, deterministic=True),
        Row("unigram", "baseline", {"model": "unigram"}, deterministic=True),
        Row(
            "n-gram",
            "baseline",
            {"model": "n-gram"},
            deterministic=True,
            note="Kneser-Ney, pitches and intervals; counts, not parameters",
        ),
        Row("plain RNN", "ours", {"model": "plain RNN"}, tasks=(ALONE,)),
        Row("LSTM", "ours", {"model": "LSTM"}),
    ],
    rule=cheaper_melodies,
    statistic=melodies.per_unit,
)
def melody(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Score what a note of the held-out tunes costs: durations, pitches, rests and the end."""
    return melodies.bits(melodic(row, task), seed=seed, fast=fast)


@experiment(
    name="rnn-melody-bars",
    claim="Tunes that the LSTM writes have the right number of beats in as many bars as real ones.",
    metric=SHARE,
    groups=TUNES,
    seeds=3,
    tasks=(TOLD, ALONE),
    rows=[
        Row("real tunes", "baseline", {"model": "real tunes"}, deterministic=True),
        Row("n-gram", "baseline", {"model": "n-gram"}),
        Row("n-gram, nucleus 0.9", "baseline", {"model": "n-gram", "top_p": 0.9}),
        Row("plain RNN", "ours", {"model": "plain RNN"}, tasks=(ALONE,)),
        Row("LSTM", "ours", {"model": "LSTM"}),
        Row("LSTM, nucleus 0.9", "ours", {"model": "LSTM", "top_p": 0.9}),
    ],
    rule=lambda found: as_real(found),
    statistic=melodies.per_unit,
)
def melody_bars(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Continue held-out tunes after two bars, and count the bars that are filled exactly."""
    return melodies.bars(melodic(row, task), seed=seed, fast=fast)


MARGIN = 0.05


def as_real(found: Comparison) -> Verdict:
    """Hold where not even the interval's lower end is five points below the real tunes."""
    notes, held = [], []
    for task in (TOLD, ALONE):
        for name in ("LSTM", "LSTM, nucleus 0.9"):
            mean, low, high = found.difference(name, "real tunes", task)
            held.append(low > -MARGIN)
            notes.append(f"{name}, {task}: {mean:+.3f} [{low:+.3f}, {high:+.3f}]")
            # Not judged, but printed with the result.
            found.difference(name, name.replace("LSTM", "n-gram"), task)
    value = "holds" if all(held) else "holds-when" if any(held) else "fails"
    return Verdict(value, f"beside real tunes: {'; '.join(notes)}")


@experiment(
    name="rnn-melody-copying",
    claim="Tunes that the LSTM writes copy no more of the training tunes than new real tunes do.",
    metric=Metric("share of 8-grams", higher_is_better=False),
    groups=TUNES,
    seeds=3,
    tasks=(TOLD,),
    rows=[
        Row("real tunes", "baseline", {"model": "real tunes"}, deterministic=True),
        Row("n-gram", "baseline", {"model": "n-gram"}),
        Row("n-gram, nucleus 0.9", "baseline", {"model": "n-gram", "top_p": 0.9}),
        Row("LSTM", "ours", {"model": "LSTM"}),
        Row("LSTM, nucleus 0.9", "ours", {"model": "LSTM", "top_p": 0.9}),
    ],
    rule=lambda found: no_more_copied(found),
    statistic=melodies.per_unit,
)
def melody_copying(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Continue held-out tunes after two bars; look for eight notes in a row of a training tune."""
    return melodies.copying(melodic(row, task), seed=seed, fast=fast)


def no_more_copied(found: Comparison) -> Verdict:
    """Hold where not even the interval's upper end is five points above the real tunes."""
    notes, held = [], []
    for name in ("LSTM", "LSTM, nucleus 0.9"):
        mean, low, high = found.difference(name, "real tunes", TOLD)
        held.append(high < MARGIN)
        notes.append(f"{name} minus real tunes: {mean:+.3f} [{low:+.3f}, {high:+.3f}]")
    value = "holds" if all(held) else "holds-when" if any(held) else "fails"
    return Verdict(value, "; ".join(notes))


STEPS_BACK = {f"{n} events back": n for n in (4, 16, 64)}


@experiment(
    name="rnn-gradients",
    claim="The gradient of an LSTM reaches further back than that of a plain recurrent network.",
    metric=Metric("log10 of the relative norm"),
    groups=TUNES,
    seeds=3,
    tasks=tuple(STEPS_BACK),
    rows=[
        Row("plain RNN, untrained", "baseline", {"model": "plain RNN", "trained": False}),
        Row("LSTM, untrained", "ours", {"model": "LSTM", "trained": False}),
        Row("plain RNN, trained", "baseline", {"model": "plain RNN", "trained": True}),
        Row("LSTM, trained", "ours", {"model": "LSTM", "trained": True}),
    ],
    rule=lambda found: both(
        found.verdict("LSTM, untrained", "plain RNN, untrained"),
        found.verdict("LSTM, trained", "plain RNN, trained"),
    ),
)
def melody_gradients(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Follow the cost of one event of a held-out tune back through the states before it."""
    settings = {"place": False, **row.settings}
    return melodies.gradients(settings, back=STEPS_BACK[task], seed=seed, fast=fast)


def live(look_ahead: int = 0) -> dict[str, Any]:
    """Return the settings of a `RealTimeMusicRNN` that answers so many frames late."""
    arguments = {"hidden_dim": 64, "look_ahead": look_ahead}
    return {"arguments": arguments, "epochs": 12, "lr": 0.004, "batch_size": 16}


# What the course ships.
LIVE = live(4)


def ahead_of_librosa(found: Comparison) -> Verdict:
    """Judge the network, early and late, against librosa on the past and with all the future."""
    past = found.verdict("look-ahead 0", "chroma_stft, past only")
    at_once = found.verdict("look-ahead 0", "chroma_cqt")
    later = found.verdict("look-ahead 4", "look-ahead 0")
    late = found.verdict("look-ahead 4", "chroma_cqt")
    return both(past, at_once, later, late)


@experiment(
    name="rnn-streaming",
    claim="At once or a tenth of a second late, a small GRU hears chroma better than librosa.",
    metric=Metric("pitch-class F"),
    groups=pianos.FAMILIES,
    seeds=3,
    tasks=tuple(chroma.FONTS),
    rows=[
        Row("all pitch classes", "baseline", {"method": "all"}, deterministic=True),
        Row(
            "chroma_stft, past only",
            "peer",
            {"method": "stft, past only"},
            deterministic=True,
            note="its window ends where ours does",
        ),
        Row(
            "chroma_stft",
            "peer",
            {"method": "stft"},
            deterministic=True,
            note="hears 186 ms past each instant, half its window",
        ),
        Row(
            "chroma_cqt",
            "peer",
            {"method": "cqt"},
            deterministic=True,
            note="hears up to 0.8 s past each instant, half its longest filter",
        ),
        Row("look-ahead 0", "ours", live(0), note="hears 12 ms past each instant"),
        Row("look-ahead 4", "ours", live(4), note="hears 104 ms past each instant"),
        Row("look-ahead 16", "ours", live(16), note="hears 383 ms past each instant"),
    ],
    rule=ahead_of_librosa,
)
def streams(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Say which pitch classes sound, 43 times a second, in rendered music."""
    if "method" in row.settings:
        return chroma.without_learning(row.settings["method"], task=task, fast=fast)
    return chroma.train(row.settings, task=task, seed=seed, fast=fast)


@experiment(
    name="rnn-chunks",
    claim="A stream has to carry the convolution's past as well as the hidden state.",
    metric=Metric("pitch-class F"),
    groups=pianos.FAMILIES,
    seeds=3,
    tasks=tuple(chroma.CHUNKS),
    rows=[
        Row("all of the state carried", "ours", {"forget": [], **live(0)}),
        Row(
            "convolution's past dropped",
            "baseline",
            {"forget": ["past"], **live(0)},
            note="what the article's listing does",
        ),
        Row("hidden state dropped", "baseline", {"forget": ["hidden"], **live(0)}),
        Row("both dropped", "baseline", {"forget": ["hidden", "past"], **live(0)}),
    ],
    rule=lambda found: found.verdict("all of the state carried", "convolution's past dropped"),
)
def chunks(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Let one network read in chunks and forget parts of its state between them."""
    settings = dict(row.settings)
    forget = tuple(settings.pop("forget"))
    return chroma.chunked(settings, forget=forget, task=task, seed=seed, fast=fast)


@experiment(
    name="rnn-latency",
    claim="StreamingChroma takes less of a processor than librosa called for each block.",
    metric=Metric("real-time factor", "s/s", higher_is_better=False),
    groups="piece",
    seeds=3,
    tasks=tuple(latency.BLOCKS),
    rows=[
        Row("StreamingChroma", "ours", {"method": "ours"}),
        Row(
            "chroma_stft of each block",
            "peer",
            {"method": "stft"},
            note="with the 3,584 samples before it that its window needs",
        ),
        Row(
            "chroma_cqt of each block",
            "peer",
            {"method": "cqt"},
            note="with the 3 s before it that its longest filter needs",
        ),
    ],
    rule=lambda found: found.verdict("StreamingChroma", "chroma_stft of each block"),
)
def block_times(row: Row, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Measure the processor time that a second of audio takes, on one thread."""
    arguments = dict(LIVE["arguments"])
    return latency.measure(row.settings["method"], task=task, arguments=arguments, fast=fast)
