"""Rebuild what ships in this folder from its sources.

Run ``python data/build.py scores``, or ``families``, ``chords``, ``recordings``, ``soundfont``,
``weights``, ``registry``. Each sub-command lives in ``data/builders/<name>.py`` as a function
``build(out, source)`` and says on its own page what it reads. After any of them, run ``registry``,
which writes the hashes that loading checks. ``all-scores`` stands for scores, families, chords and
registry in that order.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = ("scores", "families", "chords", "recordings", "soundfont", "weights", "registry")
SEVERAL = {"all-scores": ("scores", "families", "chords", "registry")}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("part", choices=[*PARTS, *SEVERAL])
    parser.add_argument("--source", type=Path, help="folder of the source files, where one is used")
    parser.add_argument(
        "--out", type=Path, default=HERE, help="data folder to write (default: %(default)s)"
    )
    chosen = parser.parse_args(arguments)
    for part in SEVERAL.get(chosen.part, (chosen.part,)):
        importlib.import_module(f"builders.{part}").build(chosen.out, chosen.source)


if __name__ == "__main__":
    main()
