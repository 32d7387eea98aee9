"""Turn the line ``Lesson: book/cnn/musiccnn`` of a docstring into a link to that page."""

import re

from sphinx.application import Sphinx

LINE = re.compile(r"^(\s*)Lesson:\s*``?(?P<doc>book/[\w/-]+)``?|^(\s*)Lesson:\s*(?P<bare>book/[\w/-]+)")


def link(app: Sphinx, what, name, obj, options, lines: list[str]) -> None:
    """Rewrite the docstring's lines in place; a page that is not in the book stays text."""
    for i, line in enumerate(lines):
        found = LINE.match(line)
        if found:
            doc = found["doc"] or found["bare"]
            if doc in app.env.found_docs:
                lines[i] = line.replace(found[0].strip(), f"Lesson: :doc:`/{doc}`")


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", link)
    return {"version": "1", "parallel_read_safe": True}
