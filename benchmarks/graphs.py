"""Graphs of chords and notes beside builders that look at every pair, and training on batches.

Run ``python benchmarks/graphs.py``; it writes ``data/results/bench-graphs.json`` (how many times
as fast as the peer), ``bench-graph-growth.json`` (how time grows with the notes) and
``bench-graph-batches.json`` (training on batches of graphs beside one graph after another). One
thread; the time is the processor's. graphmuse is no part of the course: have it where you run
this, ``pip install --no-deps graphmuse==0.0.5``, and it is one of the peers; without it that row
is left out. ``--fast`` runs everything on next to nothing, which shows that it works and says
nothing of speed: its files go to a temporary folder.
"""

from __future__ import annotations

import argparse

from parts import command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments = command.begin(parser, fast="on next to nothing")

    from parts import graphbatches, graphbuilding

    from mircourse.experiments import benchmark, results
    from mircourse.experiments.runner import write_atomically

    files = [
        benchmark.write_benchmark(
            name,
            claim=part.CLAIM,
            rows=part.rows(fast=arguments.fast),
            command=command.command(arguments),
            folder=arguments.out,
        )
        for name, part in (("graphs", graphbuilding), ("graph-batches", graphbatches))
    ]
    growth = graphbuilding.growth(command.command(arguments), fast=arguments.fast)
    results.validate(growth)
    files.append((arguments.out or results.results_dir()) / f"{growth['experiment']}.json")
    write_atomically(files[-1], growth)
    for file in files:
        print(f"{results.read(file)!r}\n{file}", flush=True)


if __name__ == "__main__":
    main()
