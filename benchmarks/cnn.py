"""What the CNN chapter is built on, measured beside peers in the same run, on one thread.

Run ``python benchmarks/cnn.py`` for all parts, ``python benchmarks/cnn.py rendering`` for one.
Each part writes ``data/results/bench-<part>.json``. ``--fast`` runs everything once on next to
nothing, which shows that it works and says nothing of speed: its files go to a temporary folder.
"""

from parts import command

if __name__ == "__main__":
    command.main(
        __doc__,
        {"front-end": "front_end", "cnn-training": "training", "rendering": "rendering"},
    )
