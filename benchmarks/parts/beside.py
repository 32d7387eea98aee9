"""Time and peak memory of two functions side by side."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mircourse.experiments.benchmark import Ratio, ratio

Function = Callable[[], Any]


def beside(ours: Function, peer: Function, *, repeats: int, fast: bool) -> tuple[Ratio, str]:
    """Return how many times as fast ours is, and what to say about the memory of both."""
    if fast:
        return ratio(ours, peer, repeats=1, warmup=0), describe_memory(ours, peer)
    return ratio(ours, peer, repeats=repeats), describe_memory(ours, peer)


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
