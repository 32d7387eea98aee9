"""What the CNN chapter is built on, measured beside peers in the same run, on one thread.

Run ``python benchmarks/cnn.py`` for all parts, ``python benchmarks/cnn.py rendering`` for one.
Each part writes ``data/results/bench-<part>.json``. ``--fast`` runs everything once on next to
nothing, which shows that it works and says nothing of speed: its files go to a temporary folder.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
from pathlib import Path

PARTS = {"front-end": "front_end", "cnn-training": "training", "rendering": "rendering"}
# One thread for every library: with more, what else a machine does decides how many take part.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; all unless given")
    parser.add_argument("--fast", action="store_true", help="once, on next to nothing")
    parser.add_argument("--out", type=Path, help="folder for the result files")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    # Read when the libraries are first imported, so set before. A GPU is hidden, since nothing
    # here runs on it and the result would name it.
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"), CUDA_VISIBLE_DEVICES="")
    folder = arguments.out
    if folder is None and arguments.fast:
        folder = Path(tempfile.mkdtemp(prefix="mircourse-bench-"))
    for name in arguments.parts or PARTS:
        print(run(name, fast=arguments.fast, folder=folder), flush=True)


def run(name: str, *, fast: bool, folder: Path | None) -> str:
    from mircourse.experiments import benchmark, results

    part = importlib.import_module(f"parts.{PARTS[name]}")
    file = benchmark.write_benchmark(
        name,
        claim=part.CLAIM,
        rows=part.rows(fast=fast),
        command=f"python benchmarks/cnn.py {name}{' --fast' if fast else ''}",
        folder=folder,
    )
    return f"{results.read(file)!r}\n{file}\n"


if __name__ == "__main__":
    main()
