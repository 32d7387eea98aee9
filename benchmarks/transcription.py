"""Transcription beside basic-pitch in the same run, and an hour of audio, on one thread.

Run ``python benchmarks/transcription.py``; it writes ``data/results/bench-transcription.json``.
basic-pitch is no part of the course: `mircourse.experiments.peers.basic_pitch` tells how to have
it. ``--fast`` runs everything once on a few seconds, which shows that it works and says nothing of
speed: its file goes to a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

# One thread for every library: with more, what else a machine does decides how many take part.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="once, on a few seconds of audio")
    parser.add_argument("--out", type=Path, help="folder for the result file")
    arguments = parser.parse_args()
    # Read when the libraries are first imported, so set before. A GPU is hidden, since nothing
    # here runs on it and the result would name it.
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"), CUDA_VISIBLE_DEVICES="")
    if hasattr(os, "sched_setaffinity"):
        # onnxruntime heeds none of these: one core, which a process that is begun inherits.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    folder = arguments.out
    if folder is None and arguments.fast:
        folder = Path(tempfile.mkdtemp(prefix="mircourse-bench-"))

    from parts import writing_down

    from mircourse.experiments import benchmark, results

    file = benchmark.write_benchmark(
        "transcription",
        claim=writing_down.CLAIM,
        rows=writing_down.rows(fast=arguments.fast),
        command=f"python benchmarks/transcription.py{' --fast' if arguments.fast else ''}",
        folder=folder,
    )
    print(f"{results.read(file)!r}\n{file}")


if __name__ == "__main__":
    main()
