"""The first code cell of every lesson: install the course where it is missing, as in Colab.

Its text follows from the repository that ``_config.yml`` names, so that a fork changes one line.

    python book/_tools/install_cell.py            print the cell
    python book/_tools/install_cell.py --write    put it at its place in every lesson
"""

import argparse
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = """\
# Where the course is missing, as in Colab, this installs it.
import importlib.util

if importlib.util.find_spec("mircourse") is None:
    %pip install -q "mircourse @ git+{url}@{branch}"

import mircourse"""


def text() -> str:
    """Return the cell's source for the repository and branch of ``_config.yml``."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    return TEXT.format(**config["repository"])


def lessons() -> list[Path]:
    """Return every notebook of the book."""
    return sorted((ROOT / "book").glob("[!_]*/*.ipynb"))


def place(notebook: nbformat.NotebookNode) -> bool:
    """Make the first code cell the canonical one; return whether that changed anything.

    A cell that speaks of ``%pip`` is replaced; where there is none, the cell goes before the first
    code cell.
    """
    cells = notebook.cells
    at = next((i for i, cell in enumerate(cells) if cell.cell_type == "code"), len(cells))
    if at < len(cells) and "%pip" in cells[at].source:
        changed = cells[at].source != text()
        cells[at].source = text()
        return changed
    cell = nbformat.v4.new_code_cell(text(), id="install")
    # Where the course is installed the cell prints nothing, so it counts as run.
    cell.execution_count = 1
    cells.insert(at, cell)
    return True


def main() -> None:
    """Print the cell or write it into the lessons."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="rewrite every lesson's first cell")
    if not parser.parse_args().write:
        print(text())
        return
    for path in lessons():
        notebook = nbformat.read(path, as_version=4)
        if place(notebook):
            nbformat.write(notebook, path)
            print(f"rewrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
