"""Time and memory of attention with distances, skewed and naive, beside PyTorch's own attention.

Run ``python benchmarks/attention.py``; it writes ``data/results/bench-attention.json`` (time) and,
on Linux, ``bench-attention-memory.json``. The naive form stops at 1,024 tokens: at 2,048 its
vectors of pairs and their gradient take 17 GB. One thread; the time is the processor's. ``--fast``
runs everything on a few tokens, which shows that it works and says nothing of cost: its files go to
a temporary folder.
"""

from __future__ import annotations

import argparse
import sys

from parts import command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments = command.begin(parser, fast="on a few tokens")

    from parts import attending

    from mircourse.experiments import results
    from mircourse.experiments.runner import write_atomically

    measured = attending.measure(fast=arguments.fast)
    made = [attending.times(measured, command.command(arguments))]
    if sys.platform.startswith("linux"):
        made.append(attending.memory(measured, command.command(arguments)))
    for content in made:
        results.validate(content)
        file = (arguments.out or results.results_dir()) / f"{content['experiment']}.json"
        write_atomically(file, content)
        print(f"{results.read(file)!r}\n{content['verdict_note']}\n{file}")


if __name__ == "__main__":
    main()
