"""Join what a cell printed in several goes.

A kernel sends what is printed within a moment as one output, so a slow cell has several, and the
page shows a blank line between them. Run after a notebook has been executed:

    python book/_tools/printed.py book/cnn/musiccnn.ipynb ...
"""

import argparse
import sys
from pathlib import Path

import nbformat


def join(notebook: nbformat.NotebookNode) -> int:
    """Join neighbouring outputs of one stream in every cell; return how many there were to join."""
    joined = 0
    for cell in notebook.cells:
        kept: list[nbformat.NotebookNode] = []
        for output in cell.get("outputs", []):
            last = kept[-1] if kept else None
            if last and output.get("name") and last.get("name") == output.name:
                last.text += output.text
                joined += 1
            else:
                kept.append(output)
        if "outputs" in cell:
            cell.outputs = kept
    return joined


def main() -> int:
    """Join in the notebooks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    for path in parser.parse_args().notebooks:
        notebook = nbformat.read(path, as_version=4)
        if joined := join(notebook):
            nbformat.write(notebook, path)
        print(f"{path}: {joined} outputs joined")
    return 0


if __name__ == "__main__":
    sys.exit(main())
