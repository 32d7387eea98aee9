"""Run an experiment: one unit (row, task, seed) after another, each stored as it ends.

A unit that is stored is not run again, so an experiment that was stopped goes on where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mircourse import registry
from mircourse.experiments.definition import Experiment, Row, find


@dataclass(frozen=True)
class Unit:
    """One training or evaluation: a row in a task with a seed."""

    row: Row
    task: str
    seed: int

    def label(self) -> str:
        """Return a short description for a progress bar."""
        return f"{self.row.name} {self.task} seed {self.seed}".replace("  ", " ")


@dataclass(frozen=True)
class Outcome:
    """What a unit gave, for each test item.

    Attributes
    ----------
    scores : np.ndarray, shape (n_items,)
        One score an item; empty where the experiment has a statistic of its own.
    groups : list of str, length n_items
        What each item belongs to; the bootstrap resamples these.
    truth, prediction : list
        Needed where the metric is not a mean over items, as macro-F1; else may be empty.
    parameters : int
        Trained parameters, 0 where that means nothing.
    seconds : float
        Time the unit took.
    device : str
        What it ran on.
    """

    scores: np.ndarray
    groups: list[str]
    truth: list[Any]
    prediction: list[Any]
    parameters: int
    seconds: float
    device: str


def cache_dir() -> Path:
    """Return the folder for work in progress: ``MIRCOURSE_CACHE`` or ``~/.cache/mircourse``."""
    return Path(os.environ.get("MIRCOURSE_CACHE") or Path.home() / ".cache" / "mircourse")


def work_dir(experiment: Experiment) -> Path:
    """Return the folder where an experiment's units are stored."""
    return cache_dir() / "experiments" / experiment.name


def units(experiment: Experiment, *, seeds: Sequence[int], only: str | None = None) -> list[Unit]:
    """Return the units of an experiment in the order in which they run: seed by seed.

    Raises
    ------
    ValueError
        If `only` names no row.
    """
    names = [row.name for row in experiment.rows]
    if only is not None and only not in names:
        raise ValueError(f"{experiment.name} has no row {only!r}; it has {', '.join(names)}")
    return [
        Unit(row, task, seed)
        for position, seed in enumerate(seeds)
        for row in experiment.rows
        for task in experiment.tasks_of(row)
        if (only is None or row.name == only)
        and row.published is None
        and not (row.deterministic and position)
    ]


def run_units(
    experiment: Experiment,
    wanted: Iterable[Unit],
    *,
    fast: bool = False,
    jobs: int = 1,
    progress: bool | None = None,
) -> None:
    """Run the units that are not stored yet and store each as it ends.

    Parameters
    ----------
    experiment : Experiment
        What to run.
    wanted : iterable of Unit
        Some or all of `units`.
    fast : bool
        Run the tiny version; its outcomes are stored apart.
    jobs : int
        Processes at a time. With more than one, each computes in one thread.
    progress : bool, optional
        Show a bar; by default only in a terminal.

    Raises
    ------
    ValueError
        If a unit's outcome is malformed or `jobs` is below 1.
    """
    from tqdm.auto import tqdm

    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    wanted = list(wanted)
    missing = [unit for unit in wanted if not unit_file(experiment, unit, fast=fast).exists()]
    bar = tqdm(
        total=len(wanted),
        initial=len(wanted) - len(missing),
        unit="unit",
        desc=experiment.name,
        disable=None if progress is None else not progress,
    )
    with bar:
        if jobs == 1 or len(missing) < 2:
            for unit in missing:
                bar.set_postfix_str(unit.label())
                _run_unit(experiment, unit, fast)
                bar.update()
        else:
            for unit in _in_processes(experiment, missing, fast, jobs):
                bar.set_postfix_str(unit.label())
                bar.update()


def unit_file(experiment: Experiment, unit: Unit, *, fast: bool) -> Path:
    """Return where a unit's outcome is stored.

    The name holds a hash of everything that decides the outcome: the row's settings, the version
    of the experiment and the weights that it loads, the task, the seed and whether it is the fast
    version.
    """
    key = json.dumps(_key(experiment, unit, fast), sort_keys=True)
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    words = "--".join(filter(None, [_slug(unit.row.name), _slug(unit.task), str(unit.seed)]))
    return work_dir(experiment) / ("fast" if fast else "full") / f"{words}--{digest}.json"


def stored(experiment: Experiment, unit: Unit, *, fast: bool = False) -> Outcome | None:
    """Return the outcome of a unit, or None if it has not been run.

    Raises
    ------
    ValueError
        If the stored file is damaged.
    """
    file = unit_file(experiment, unit, fast=fast)
    if not file.exists():
        return None
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))["outcome"]
        fields["scores"] = np.asarray(fields["scores"], dtype=float)
        return Outcome(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is damaged ({error}); delete it and run again") from error


def write_atomically(file: Path, content: dict[str, Any]) -> None:
    """Write JSON beside the file, then rename: a reader never sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{os.getpid()}.part")
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    beside.write_text(text + "\n", encoding="utf-8")
    os.replace(beside, file)


def describe_device() -> str:
    """Return what computes here, in general terms: ``"CPU, 2 threads"`` or the GPU's name."""
    import torch

    if torch.cuda.is_available():
        return f"GPU, {torch.cuda.get_device_name()}"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def _run_unit(experiment: Experiment, unit: Unit, fast: bool) -> None:
    began = time.perf_counter()
    raw = experiment.run_unit(unit.row, unit.task, unit.seed, fast)
    outcome = _checked(experiment, unit, raw, time.perf_counter() - began)
    content = {"unit": _key(experiment, unit, fast), "outcome": outcome}
    write_atomically(unit_file(experiment, unit, fast=fast), content)


def _run_unit_by_name(module: str, name: str, unit: Unit, fast: bool) -> None:
    importlib.import_module(module)
    _run_unit(find(name), unit, fast)


def _in_processes(
    experiment: Experiment, missing: list[Unit], fast: bool, jobs: int
) -> Iterator[Unit]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    module = experiment.run_unit.__module__
    if module == "__main__":
        raise ValueError(f"{experiment.name} must be in a module to run with jobs > 1")
    # Spawned, not forked: a fork of a process that has used torch's threads can deadlock.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_one_thread)
    with contextlib.ExitStack() as stack:
        stack.callback(pool.shutdown, cancel_futures=True)
        pending = {
            pool.submit(_run_unit_by_name, module, experiment.name, unit, fast): unit
            for unit in missing
        }
        for future in as_completed(pending):
            future.result()
            yield pending[future]


def _one_thread() -> None:
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)


def _checked(
    experiment: Experiment, unit: Unit, raw: dict[str, Any], seconds: float
) -> dict[str, Any]:
    where = f"{experiment.name}, {unit.label()}"
    known = {"scores", "groups", "truth", "prediction", "parameters", "seconds"}
    if unknown := set(raw) - known:
        raise ValueError(f"{where}: unknown {sorted(unknown)}; known are {sorted(known)}")
    scores = np.asarray(raw.get("scores", []), dtype=float)
    groups = [str(group) for group in raw["groups"]]
    truth, prediction = (np.asarray(raw.get(k, [])).tolist() for k in ("truth", "prediction"))
    if experiment.statistic is None and scores.size == 0:
        raise ValueError(f"{where}: an outcome needs scores, one a test item")
    if experiment.statistic is not None and not truth:
        raise ValueError(f"{where}: an outcome needs truth and prediction for its statistic")
    lengths = {len(part) for part in (scores, truth, prediction) if len(part)} | {len(groups)}
    if scores.ndim != 1 or len(lengths) != 1:
        raise ValueError(
            f"{where}: scores, groups, truth and prediction must be of one length, got "
            f"{scores.shape}, {len(groups)}, {len(truth)}, {len(prediction)}"
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"{where}: a score is not finite")
    return {
        "scores": scores.tolist(),
        "groups": groups,
        "truth": truth,
        "prediction": prediction,
        "parameters": int(raw.get("parameters", 0)),
        "seconds": float(raw.get("seconds", seconds)),
        "device": describe_device(),
    }


def _key(experiment: Experiment, unit: Unit, fast: bool) -> dict[str, Any]:
    key = {
        "experiment": experiment.name,
        "version": experiment.version,
        "row": unit.row.name,
        "settings": dict(unit.row.settings),
        "task": unit.task,
        "seed": unit.seed,
        "fast": fast,
    }
    if experiment.weights:
        known = registry.entries()
        files = {name: f"weights/{name}.safetensors" for name in experiment.weights}
        key["weights"] = {name: known[file].sha256 for name, file in files.items()}
    return key


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
