"""The command ``mircourse experiment``: list, run or show what is behind the book's tables."""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions to the parser of ``mircourse experiment``; ``args.run`` carries one out."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="name, claim and verdict of each experiment")
    listing.set_defaults(run=_list)
    running = actions.add_parser("run", help="run what is missing and write the result")
    running.add_argument("name", metavar="NAME")
    running.add_argument("--seeds", type=int, metavar="N", help="how many seeds")
    running.add_argument(
        "--fast", action="store_true", help="a tiny version, kept out of data/results"
    )
    running.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at a time")
    running.add_argument("--only", metavar="ROW", help="run the units of one row")
    running.set_defaults(run=_run)
    showing = actions.add_parser("show", help="print the result, its verdict and where it is from")
    showing.add_argument("name", metavar="NAME")
    showing.set_defaults(run=_show)


def _list(args: argparse.Namespace) -> int:
    from mircourse import experiments
    from mircourse.experiments import results

    there = set(results.names())
    for found in experiments.every():
        verdict = results.load(found.name).verdict if found.name in there else "not run"
        print(f"{found.name:<24}  {verdict:<10}  {found.claim}")
    return 0


def _run(args: argparse.Namespace) -> int:
    from mircourse import experiments
    from mircourse.experiments import report, results

    try:
        file = report.run(
            experiments.get(args.name),
            seeds=args.seeds,
            fast=args.fast,
            jobs=args.jobs,
            only=args.only,
        )
    except ValueError as error:
        print(f"mircourse: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mircourse: stopped; run the same command to go on", file=sys.stderr)
        return 130
    if file is None:
        print(f"{args.name}: units of other rows are missing; run it without --only")
        return 0
    print(results.read(file))
    print(f"written to {file}")
    return 0


def _show(args: argparse.Namespace) -> int:
    from mircourse.experiments import results

    try:
        result = results.load(args.name)
    except results.ResultError as error:
        print(f"mircourse: {error}", file=sys.stderr)
        return 1
    print(result)
    print(result.verdict_note)
    content = result.content
    print(f"{content['command']}  ({content['date']}, {content['revision'] or 'no revision'})")
    print(f"{content['device']}, {content['wall_seconds']:.0f} s")
    return 0
