"""Prepare docstrings for the page of the package.

The line ``Lesson: book/cnn/musiccnn`` becomes a link to that page, and the fields that a named
tuple documents as "Alias for field number 0" are left out.
"""

import re

from sphinx.application import Sphinx

LINE = re.compile(r"Lessons?: (?P<docs>book/[\w/-]+(, book/[\w/-]+)*)")


def link(app: Sphinx, what, name, obj, options, lines: list[str]) -> None:
    """Rewrite the docstring's lines in place; a page that is not in the book stays text."""
    for i, line in enumerate(lines):
        found = LINE.match(line.strip().replace("`", ""))
        if found:
            links = [
                f":doc:`/{doc}`" if doc in app.env.found_docs else doc
                for doc in found["docs"].split(", ")
            ]
            lines[i] = f"Lesson: {', '.join(links)}"


def skip(app: Sphinx, what, name, obj, skipped, options) -> bool | None:
    """Leave out what Python itself documents of a named tuple."""
    return True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field") else None


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", link)
    app.connect("autodoc-skip-member", skip)
    return {"version": "1", "parallel_read_safe": True}
