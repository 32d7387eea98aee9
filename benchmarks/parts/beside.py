"""Time and peak memory of two functions side by side.

The time is the processor's, not the clock's: on one thread both are the same on a quiet machine,
and on a busy one only the first leaves out what other programs took.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mircourse.experiments.benchmark import Ratio
from mircourse.intervals import bootstrap_statistic

Function = Callable[[], Any]


def beside(ours: Function, peer: Function, *, repeats: int) -> tuple[Ratio, str]:
    """Return how many times as fast ours is, and what to say about the memory of both."""
    for function in (ours, peer):
        function()
    gc.collect()
    times = np.array([[seconds(ours), seconds(peer)] for _ in range(repeats)])  # (repeats, 2)
    return ratio_of(times), describe_memory(ours, peer)


def beside_real_time(function: Function, length: float, *, repeats: int) -> Ratio:
    """Return how many seconds of audio a function makes in one, if it makes `length` in all."""
    found = ratio_of(np.array([[seconds(function), length] for _ in range(repeats)]))
    return replace(found, seconds_b=0.0)  # nobody waited for it: it is not part of the run


def ratio_of(times: NDArray[np.float64]) -> Ratio:
    """Return the ratio of medians of rounds ``(rounds, 2)``, ours and the peer's."""

    def value(index: NDArray[np.int64]) -> float:
        ours, peer = np.median(times[index], axis=0)
        return float(peer / ours)

    # Rounds are drawn whole: what slowed both in a round stays together.
    found = bootstrap_statistic(value, len(times))
    ours, peer = np.median(times, axis=0)
    return Ratio(found.mean, found.low, found.high, float(ours), float(peer), len(times))


def seconds(function: Function) -> float:
    """Return the processor time of one call, of all threads."""
    began = time.process_time()
    function()
    return time.process_time() - began


def describe_memory(ours: Function, peer: Function) -> str:
    mine, other = peak_megabytes(ours), peak_megabytes(peer)
    if mine is None or other is None:
        return ""
    return f"; peak memory {mine:.0f} MB against {other:.0f} MB"


def peak_megabytes(function: Function) -> float | None:
    """Return how far the memory of this process rises while a function runs; only on Linux.

    The function has to have run before, so that what it keeps for good is not counted.
    """
    if not sys.platform.startswith("linux"):
        return None
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)  # or the function would fill what others freed, and rise less
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to the present
    before = _status("VmRSS")
    function()
    return max(0.0, _status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
