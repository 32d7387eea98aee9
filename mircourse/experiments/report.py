"""Turn the stored outcomes of an experiment into its result file."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

from mircourse.experiments import results
from mircourse.experiments.comparison import Comparison
from mircourse.experiments.definition import Experiment, Metric
from mircourse.experiments.runner import (
    Outcome,
    run_units,
    stored,
    units,
    work_dir,
    write_atomically,
)

PACKAGES = ("numpy", "torch", "torchaudio", "lightning", "librosa", "scikit-learn")


def run(
    experiment: Experiment,
    *,
    seeds: int | None = None,
    fast: bool = False,
    jobs: int = 1,
    only: str | None = None,
    progress: bool | None = None,
) -> Path | None:
    """Run what is not stored yet of an experiment and write its result file.

    Parameters
    ----------
    experiment : Experiment
        What to run.
    seeds : int, optional
        How many; the experiment's own number unless given.
    fast : bool
        The tiny version. Its result goes to the work folder, never to ``data/results``.
    jobs : int
        Processes at a time.
    only : str, optional
        Run this row only. The result is written if the other rows are stored already.
    progress : bool, optional
        Show a bar; by default only in a terminal.

    Returns
    -------
    Path or None
        The result file; None if rows are still missing.

    Raises
    ------
    ValueError
        If `seeds` is below 1, `only` names no row, or an outcome is malformed.
    """
    n_seeds = seeds if seeds is not None else (experiment.fast_seeds if fast else experiment.seeds)
    if n_seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {n_seeds}")
    revision()
    wanted = units(experiment, seeds=range(n_seeds), only=only)
    run_units(experiment, wanted, fast=fast, jobs=jobs, progress=progress)
    outcomes = collect(experiment, n_seeds=n_seeds, fast=fast)
    if outcomes is None:
        return None
    content = assemble(experiment, outcomes, command=_command(experiment, n_seeds, fast))
    folder = work_dir(experiment) / "fast" if fast else results.results_dir()
    file = folder / f"{experiment.name}.json"
    write_atomically(file, content)
    return file


def collect(
    experiment: Experiment, *, n_seeds: int, fast: bool = False
) -> dict[tuple[str, str], list[Outcome]] | None:
    """Return the stored outcomes by row and task, or None if one is missing."""
    found: dict[tuple[str, str], list[Outcome]] = {}
    for unit in units(experiment, seeds=range(n_seeds)):
        outcome = stored(experiment, unit, fast=fast)
        if outcome is None:
            return None
        found.setdefault((unit.row.name, unit.task), []).append(outcome)
    return found


def assemble(
    experiment: Experiment,
    outcomes: dict[tuple[str, str], list[Outcome]],
    *,
    command: str,
) -> dict[str, Any]:
    """Return the content of a result file.

    Parameters
    ----------
    experiment : Experiment
        What was run.
    outcomes : dict
        As `collect` returns them.
    command : str
        What to type to run it again.
    """
    comparison = Comparison(experiment, outcomes)
    verdict = experiment.rule(comparison)
    every = [outcome for several in outcomes.values() for outcome in several]
    content = {
        "experiment": experiment.name,
        "claim": experiment.claim,
        "verdict": verdict.value,
        "verdict_note": verdict.note,
        "command": command,
        "device": "; ".join(sorted({outcome.device for outcome in every})),
        "wall_seconds": round(sum(outcome.seconds for outcome in every), 1),
        **provenance(),
        "metric": describe_metric(experiment.metric),
        "split": experiment.split,
        "groups": experiment.groups,
        "rows": comparison.rows(),
        "differences": comparison.differences,
    }
    results.validate(content)
    return content


def provenance() -> dict[str, Any]:
    """Return the revision, the date and the versions that a result file states."""
    return {
        "revision": revision(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES if _installed(name)},
    }


def describe_metric(metric: Metric) -> dict[str, Any]:
    """Return a metric as it stands in a result file."""
    return {
        "name": metric.name,
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
    }


def _command(experiment: Experiment, n_seeds: int, fast: bool) -> str:
    extra = " --fast" if fast else ""
    return f"mircourse experiment run {experiment.name} --seeds {n_seeds}{extra}"


@functools.cache
def revision() -> str:
    """Return the commit of the code, followed by ``+changes`` where it has been changed since.

    What is found first holds for the whole process, so ask before anything is computed: a long run
    goes on with the code that it has loaded, whatever is committed meanwhile. An installed package
    has none, which is an empty string.
    """
    here = Path(__file__).resolve().parent
    commit = _git(here, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return ""
    return commit + ("+changes" if _git(here.parent, "status", "--porcelain", "--", ".") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
