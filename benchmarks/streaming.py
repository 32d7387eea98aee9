"""A stream of chroma beside librosa called for each block, in the same run, on one thread.

Run ``python benchmarks/streaming.py``; it writes ``data/results/bench-streaming.json``. ``--fast``
runs everything once on one second, which shows that it works and says nothing of speed: its
file goes to a temporary folder.
"""

from parts import command

if __name__ == "__main__":
    command.main(__doc__, {"streaming": "live"})
