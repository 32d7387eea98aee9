"""What every file of this folder does from the command line.

Imported before NumPy: how many threads a library takes is read when it is first imported.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

# One thread for every library: with more, what else a machine does decides how many take part.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def main(doc: str, parts: Mapping[str, str], *, one_core: bool = False) -> None:
    """Measure, and write ``data/results/bench-<name>.json`` for each part.

    Parameters
    ----------
    doc : str
        Of the file that is run.
    parts : mapping of str to str
        Names of results to modules of this package, each with ``CLAIM`` and ``rows(fast=...)``.
    one_core : bool
        For libraries that heed no variable: stay on one core, as every process begun here will.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    if len(parts) > 1:
        parser.add_argument("parts", nargs="*", help=f"{', '.join(parts)}; all unless given")
    arguments = begin(parser, one_core=one_core)
    asked = getattr(arguments, "parts", None) or list(parts)
    if unknown := set(asked) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    for name in asked:
        which = f" {name}" if len(parts) > 1 else ""
        print(
            _measure(
                name,
                module=parts[name],
                command=command(arguments, which),
                fast=arguments.fast,
                folder=arguments.out,
            ),
            flush=True,
        )


def begin(
    parser: argparse.ArgumentParser,
    *,
    fast: str = "once, on next to nothing",
    one_core: bool = False,
) -> argparse.Namespace:
    """Add what every benchmark can be told, read it, and make the process ready to measure.

    Parameters
    ----------
    parser : ArgumentParser
        With what is asked besides.
    fast : str
        Help on ``--fast``.
    one_core : bool
        As in `main`.

    Returns
    -------
    Namespace
        With ``fast`` and ``out``, a temporary folder if nothing else was said in the tiny mode.
    """
    parser.add_argument("--fast", action="store_true", help=fast)
    parser.add_argument("--out", type=Path, help="folder for the result files")
    arguments = parser.parse_args()
    # A GPU is hidden, since nothing here runs on it and the result would name it.
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"), CUDA_VISIBLE_DEVICES="")
    if one_core and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if arguments.out is None and arguments.fast:
        arguments.out = Path(tempfile.mkdtemp(prefix="mircourse-bench-"))
    from mircourse.experiments import report

    report.revision()
    return arguments


def command(arguments: argparse.Namespace, which: str = "") -> str:
    """Return what to type to measure again."""
    return f"python benchmarks/{Path(sys.argv[0]).name}{which}{' --fast' if arguments.fast else ''}"


def _measure(name: str, *, module: str, command: str, fast: bool, folder: Path | None) -> str:
    from mircourse.experiments import benchmark, results

    part = importlib.import_module(f"{__package__}.{module}")
    file = benchmark.write_benchmark(
        name, claim=part.CLAIM, rows=part.rows(fast=fast), command=command, folder=folder
    )
    return f"{results.read(file)!r}\n{file}\n"
