"""Time and memory of `nt_xent` beside the same loss of lightly and of pytorch-metric-learning.

Run ``python benchmarks/contrastive.py``; it writes ``data/results/bench-contrastive.json`` (time)
and, on Linux, ``bench-contrastive-memory.json``. The two libraries are no part of the course:
``pip install lightly pytorch-metric-learning`` into an environment that you can spare. The second
one holds every pair of positive and negative: at 512 clips that is over 10 GB, so it stops at 256.
One thread; the time is the processor's. ``--fast`` runs everything on a few clips, which shows that
it works and says nothing of cost: its files go to a temporary folder.
"""

from __future__ import annotations

import argparse
import importlib.util

from parts import command

PEERS = {"lightly": "lightly", "pytorch_metric_learning": "pytorch-metric-learning"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments = command.begin(parser, fast="on a few clips")
    missing = [name for module, name in PEERS.items() if not importlib.util.find_spec(module)]
    if missing:
        parser.error(f"this compares with {' and '.join(missing)}: pip install {' '.join(missing)}")

    from parts import contrasting

    for file in contrasting.write(
        fast=arguments.fast, command=command.command(arguments), folder=arguments.out
    ):
        print(f"{contrasting.describe(file)}\n{file}")


if __name__ == "__main__":
    main()
