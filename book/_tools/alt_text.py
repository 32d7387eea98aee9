"""Copy each figure's alternative text to where the book's builder looks for it.

``mircourse.figures.show`` leaves the text in the metadata of the output; myst-nb reads it from the
metadata of the cell. Run after a notebook has been executed:

    python book/_tools/alt_text.py book/cnn/musiccnn.ipynb ...

It fails, changing nothing in that notebook, if an image has no text, or if a cell holds two.
"""

import argparse
import sys
from pathlib import Path

import nbformat

IMAGES = ("image/png", "image/jpeg", "image/svg+xml")


class MissingText(ValueError):
    """An image in a notebook has no alternative text, or a cell has more images than texts."""


def fill(notebook: nbformat.NotebookNode) -> int:
    """Set ``metadata.mystnb.image.alt`` of every code cell that shows an image.

    A text written by hand stays where the image brings none of its own.

    Returns
    -------
    int
        The number of cells that changed.

    Raises
    ------
    MissingText
        If an image has neither, or a cell shows two images, which would share one text.
    """
    texts = {}
    for number, cell in enumerate(notebook.cells):
        images = [
            output.get("metadata", {}).get(kind, {}).get("alt", "")
            for output in cell.get("outputs", [])
            for kind in IMAGES
            if kind in output.get("data", {})
        ]
        if not images:
            continue
        if len(images) > 1:
            raise MissingText(f"cell {number} shows {len(images)} images; show one a cell")
        by_hand = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        texts[number] = images[0] or by_hand
        if not texts[number].strip():
            raise MissingText(
                f"the image of cell {number} has no alternative text; draw it with "
                f"mircourse.plots, or call plots.describe(fig, text):\n{cell.source}"
            )
    changed = 0
    for number, text in texts.items():
        image = notebook.cells[number].metadata.setdefault("mystnb", {}).setdefault("image", {})
        changed += image.get("alt") != text
        image["alt"] = text
    return changed


def main() -> int:
    """Fill in the notebooks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    for path in parser.parse_args().notebooks:
        notebook = nbformat.read(path, as_version=4)
        try:
            changed = fill(notebook)
        except MissingText as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 1
        if changed:
            nbformat.write(notebook, path)
        print(f"{path}: {changed} alternative texts changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
