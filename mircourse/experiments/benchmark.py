"""Measure one function against another in the same run, and write ``data/results/bench-*.json``.

A time in seconds says as much about the machine, and what else it was doing, as about the code.
A ratio to a peer, measured in turns (A B A B ...), leaves most of that out.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mircourse.experiments import results
from mircourse.experiments.definition import Metric
from mircourse.experiments.report import describe_metric, provenance
from mircourse.experiments.runner import describe_device, write_atomically


@dataclass(frozen=True)
class Ratio:
    """How many times as fast `a` is as `b`; prints as ``2.1 [1.9, 2.3]``.

    Attributes
    ----------
    value : float
        Median time of `b` divided by median time of `a`: above 1 where `a` is faster.
    low, high : float
        95 % bootstrap interval over the rounds.
    seconds_a, seconds_b : float
        Median times.
    rounds : int
        How many times each ran.
    """

    value: float
    low: float
    high: float
    seconds_a: float
    seconds_b: float
    rounds: int

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


@dataclass(frozen=True)
class Timing:
    """One row of a benchmark.

    Attributes
    ----------
    name : str
        What was measured against what: ``"LogMel against librosa"``.
    ratio : Ratio
        The outcome.
    task : str
        On what: ``"10 s of audio"``.
    parameters : int
        Of the model, if it is one.
    note : str
        Stands beside the row.
    """

    name: str
    ratio: Ratio
    task: str = ""
    parameters: int = 0
    note: str = ""


def ratio(
    a: Callable[[], Any], b: Callable[[], Any], *, repeats: int = 9, warmup: int = 1
) -> Ratio:
    """Time two functions in turns and return how many times as fast the first is.

    Parameters
    ----------
    a, b : callable
        Called without arguments. Work on a GPU must be waited for inside.
    repeats : int
        Rounds that count.
    warmup : int
        Rounds before, which do not.

    Raises
    ------
    ValueError
        If `repeats` is below 1 or `warmup` below 0.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(f"repeats must be 1 or more and warmup 0 or more: {repeats}, {warmup}")
    for _ in range(warmup):
        a()
        b()
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        times = np.array([[_seconds(a), _seconds(b)] for _ in range(repeats)])  # (repeats, 2)
    finally:
        if collects:
            gc.enable()
    return _ratio_of(times)


def write_benchmark(
    name: str,
    *,
    claim: str,
    rows: Sequence[Timing],
    command: str,
    at_least: float = 1.0,
    folder: Path | None = None,
) -> Path:
    """Write the result file of a benchmark.

    The claim holds if the whole interval of every row lies at or above `at_least`, holds-when if
    that is so for some rows, and else fails.

    Parameters
    ----------
    name : str
        Names the file ``bench-<name>.json``.
    claim : str
        The sentence that was tested.
    rows : sequence of Timing
        What was measured.
    command : str
        What to type to measure it again.
    at_least : float
        The ratio that the claim promises.
    folder : Path, optional
        Where to write; ``data/results`` unless given.

    Raises
    ------
    mircourse.experiments.results.ResultError
        If there are no rows, or two with the same name and task.
    """
    reached = [row for row in rows if row.ratio.low >= at_least]
    verdict = "holds" if len(reached) == len(rows) else "holds-when" if reached else "fails"
    listed = "; ".join(f"{row.name}{', ' + row.task if row.task else ''}" for row in reached)
    content = {
        "experiment": f"bench-{name}",
        "claim": claim,
        "verdict": verdict,
        "verdict_note": f"at least {at_least:g} times as fast: {listed or 'none'}",
        "command": command,
        "device": describe_device(),
        "wall_seconds": round(
            sum((r.ratio.seconds_a + r.ratio.seconds_b) * r.ratio.rounds for r in rows), 1
        ),
        **provenance(),
        "metric": describe_metric(Metric("speed ratio", "×")),
        "split": "",
        "groups": "rounds",
        "rows": [_row(row) for row in rows],
    }
    results.validate(content)
    file = (folder or results.results_dir()) / f"bench-{name}.json"
    write_atomically(file, content)
    return file


def _row(row: Timing) -> dict[str, Any]:
    return {
        "name": row.name,
        "kind": "ours",
        "task": row.task,
        "parameters": row.parameters,
        "seeds": [0],
        "scores": [row.ratio.value],
        "mean": row.ratio.value,
        "interval": [row.ratio.low, row.ratio.high],
        "note": row.note,
        "seconds": row.ratio.seconds_a,
    }


def _seconds(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _ratio_of(times: np.ndarray, *, draws: int = 2000) -> Ratio:
    a, b = np.median(times, axis=0)
    # Rounds are drawn whole: what slowed both in a round stays together.
    index = np.random.default_rng(0).integers(len(times), size=(draws, len(times)))
    medians = np.median(times[index], axis=1)  # (draws, 2)
    low, high = np.quantile(medians[:, 1] / medians[:, 0], [0.025, 0.975])
    return Ratio(float(b / a), float(low), float(high), float(a), float(b), len(times))
