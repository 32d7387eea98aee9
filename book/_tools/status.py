"""Measure how long each lesson runs and how much memory it takes.

Each lesson runs alone, from an empty folder with only the wheel installed, and the outcome goes to
``data/results/bench-lessons.json``, a row for each lesson and each of time and memory.

    python book/_tools/status.py book/cnn/musiccnn.ipynb ...
"""

import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from outside import ROOT, wheel_only

SECONDS, GIGABYTES = 90.0, 3.0


def run(lesson: Path, env: dict[str, str]) -> tuple[float, float]:
    """Run one lesson in this process's only kernel; return its seconds and its peak gigabytes."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(lesson, as_version=4)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": lesson.parent}})
    start = time.perf_counter()
    client.execute(env=env)
    seconds = time.perf_counter() - start
    # ru_maxrss counts kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return seconds, peak / 1e9


def row(lesson: str, task: str, value: float) -> dict:
    """Return one row of the result."""
    return {
        "name": lesson,
        "kind": "ours",
        "task": task,
        "parameters": 0,
        "seeds": [0],
        "scores": [round(value, 2)],
        "mean": round(value, 2),
        "interval": None,
        "note": "",
    }


def main(arguments: list[str]) -> int:
    """Measure the lessons, write the result, and return 1 if one needs too much."""
    from mircourse.experiments.definition import Metric
    from mircourse.experiments.report import describe_metric, provenance
    from mircourse.experiments.results import validate
    from mircourse.experiments.runner import describe_device, write_atomically

    lessons = [Path(argument).resolve() for argument in arguments]
    began = time.perf_counter()
    measured = {}
    with wheel_only(lessons) as (copies, env):
        for lesson, copy in zip(lessons, copies, strict=True):
            # A process for each, since the peak of a process's children is never reset.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                measured[lesson.relative_to(ROOT).with_suffix("").as_posix()] = pool.submit(
                    run, copy, env
                ).result()
            print(f"{lesson.stem:<16} {measured[list(measured)[-1]][0]:6.1f} s")
    slow = [name for name, (seconds, _) in measured.items() if seconds > SECONDS]
    large = [name for name, (_, peak) in measured.items() if peak > GIGABYTES]
    result = {
        "experiment": "bench-lessons",
        "claim": "every lesson runs in at most 90 s and 3 GB on two processor cores",
        "verdict": "fails" if slow or large else "holds",
        "verdict_note": "; ".join(
            [f"{name} takes longer" for name in slow] + [f"{name} takes more" for name in large]
        ),
        "command": "make status",
        "device": describe_device(),
        "wall_seconds": round(time.perf_counter() - began, 1),
        "metric": describe_metric(Metric("needed to run", higher_is_better=False)),
        "split": "",
        "groups": "",
        "rows": [row(name, "seconds", found[0]) for name, found in measured.items()]
        + [row(name, "gigabytes", found[1]) for name, found in measured.items()],
    } | provenance()
    validate(result)
    file = ROOT / "data" / "results" / "bench-lessons.json"
    write_atomically(file, result)
    print(f"{result['verdict']}: written to {file.relative_to(ROOT)}")
    return 1 if slow or large else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
