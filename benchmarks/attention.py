"""Time and memory of attention with distances, skewed and naive, beside PyTorch's own attention.

Run ``python benchmarks/attention.py``; it writes ``data/results/bench-attention.json`` (time) and,
on Linux, ``bench-attention-memory.json``. The naive form stops at 1,024 tokens: at 2,048 its
vectors of pairs and their gradient take 17 GB. One thread; the time is the processor's. ``--fast``
runs everything on a few tokens, which shows that it works and says nothing of cost: its files go to
a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

# One thread for every library: with more, what else a machine does decides how many take part.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="on a few tokens")
    parser.add_argument("--out", type=Path, help="folder for the result files")
    arguments = parser.parse_args()
    # Read when the libraries are first imported, so set before. A GPU is hidden, since nothing
    # here runs on it and the result would name it.
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"), CUDA_VISIBLE_DEVICES="")
    folder = arguments.out
    if folder is None and arguments.fast:
        folder = Path(tempfile.mkdtemp(prefix="mircourse-bench-"))

    from parts import attending

    from mircourse.experiments import report, results
    from mircourse.experiments.runner import write_atomically

    report.revision()
    command = f"python benchmarks/attention.py{' --fast' if arguments.fast else ''}"
    measured = attending.measure(fast=arguments.fast)
    made = [attending.times(measured, command)]
    if sys.platform.startswith("linux"):
        made.append(attending.memory(measured, command))
    for content in made:
        results.validate(content)
        file = (folder or results.results_dir()) / f"{content['experiment']}.json"
        write_atomically(file, content)
        print(f"{results.read(file)!r}\n{content['verdict_note']}\n{file}")


if __name__ == "__main__":
    main()
