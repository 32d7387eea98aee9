"""How much of a processor a stream of chroma takes, by the size of its blocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mircourse.experiments.chroma import HOP, SAMPLE_RATE, passages

BLOCKS = {"blocks of 23 ms": 512, "blocks of 93 ms": 2048, "blocks of 1 s": 22528}
WINDOW = 4096
# In whole hops. The longest filter of chroma_cqt, that of C1, reaches over 1.6 s; at the rate to
# which librosa brings that octave down it warns of anything shorter than 3 s.
CQT_PAST = 128 * HOP

Reader = Callable[[NDArray[np.float32]], object]


def measure(method: str, *, task: str, arguments: dict[str, Any], fast: bool) -> dict[str, Any]:
    """Return the processor seconds that a second of audio takes, for each test passage.

    Parameters
    ----------
    method : {"ours", "stft", "cqt"}
        `StreamingChroma`, or librosa called for each block with the past that its window needs.
    task : str
        A key of `BLOCKS`.
    arguments : dict
        Of the network. Its weights do not matter here.
    fast : bool
        A quarter of a second of each passage in place of two.
    """
    block = BLOCKS[task]
    heard = passages("test", fast=True)
    length = (11 if fast else 88) * HOP
    scores = []
    reader(method, arguments)(heard[0].audio[:block])  # what a first call sets up does not count
    for passage in heard:
        read = reader(method, arguments)
        blocks = [passage.audio[i : i + block] for i in range(0, length, block)]
        began = time.process_time()
        for samples in blocks:
            read(samples)
        scores.append((time.process_time() - began) * SAMPLE_RATE / sum(map(len, blocks)))
    return {"scores": scores, "groups": [p.family for p in heard]}


def reader(method: str, arguments: dict[str, Any]) -> Reader:
    """Return a function that takes one block after another of a stream and returns its chroma.

    Raises
    ------
    ValueError
        If there is no such method.
    """
    if method == "ours":
        from mircourse.streaming import RealTimeMusicRNN, StreamingChroma

        return StreamingChroma(RealTimeMusicRNN(**arguments)).push
    import librosa

    kept = {"stft": WINDOW - HOP, "cqt": CQT_PAST}
    if method not in kept:
        raise ValueError(f"method must be ours, stft or cqt, got {method!r}")
    past = np.zeros(kept[method], dtype=np.float32)

    def read(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal past
        heard = np.concatenate([past, samples])
        past = heard[-kept[method] :]
        if method == "stft":
            return librosa.feature.chroma_stft(
                y=heard, sr=SAMPLE_RATE, n_fft=WINDOW, hop_length=HOP, center=False, tuning=0.0
            )
        chroma = librosa.feature.chroma_cqt(y=heard, sr=SAMPLE_RATE, hop_length=HOP, tuning=0.0)
        return chroma[:, -(len(samples) // HOP) :]

    return read
