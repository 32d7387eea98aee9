"""Audio to chroma in blocks: `StreamingChroma` beside real time and librosa."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mircourse import scores, synth
from mircourse.experiments.benchmark import Timing
from mircourse.experiments.latency import BLOCKS, reader
from mircourse.experiments.rnn import LIVE
from parts.beside import beside, beside_real_time

CLAIM = "StreamingChroma is faster than real time and than librosa called for each block"
RATE, HOP = 22050, 512
PEERS = {"stft": "librosa.feature.chroma_stft", "cqt": "librosa.feature.chroma_cqt"}


def rows(*, fast: bool) -> list[Timing]:
    chorale = synth.render(scores.load("bach")["bwv66.6"], tempo=80)
    audio = chorale[: max(BLOCKS.values()) * (1 if fast else 3)]  # whole blocks of every size
    blocks = list(BLOCKS.items())[-1:] if fast else BLOCKS.items()
    repeats = 1 if fast else 5
    return [timing for task, size in blocks for timing in measure(audio, size, task, repeats)]


def measure(audio: NDArray[np.float32], size: int, task: str, repeats: int) -> list[Timing]:
    """Time a stream of blocks of ``size`` samples."""
    length = len(audio) / RATE

    def ours() -> None:
        through("ours")

    def through(method: str) -> None:
        read = reader(method, dict(LIVE["arguments"]))
        for first in range(0, len(audio), size):
            read(audio[first : first + size])

    ours()  # the first call sets things up
    alone = beside_real_time(ours, length, repeats=repeats)
    speed = len(audio) // HOP / alone.seconds_a
    timings = [
        Timing(
            "StreamingChroma against real time",
            alone,
            task,
            note=f"seconds of audio in one of the processor; {speed:,.0f} frames a second",
        )
    ]
    for method, name in PEERS.items():
        ratio, memory = beside(ours, lambda method=method: through(method), repeats=repeats)
        note = f"{name} of each block with the past that its window needs{memory}"
        short = name.rpartition(".")[2]
        timings.append(Timing(f"StreamingChroma against {short}", ratio, task, note=note))
    return timings
