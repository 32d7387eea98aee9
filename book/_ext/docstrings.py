"""Prepare docstrings for the page of the package.

The line ``Lesson: book/cnn/musiccnn`` becomes a link to that page, and the fields that a named
tuple documents as "Alias for field number 0" are left out. The comment ``<!-- parts -->`` becomes
the documentation of every module that the page of the package does not name, without what is
documented there already.
"""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx

API, PARTS, MARK = "book/reference/api", "book/reference/parts", "<!-- parts -->"

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


def public(module: ModuleType) -> dict[str, object]:
    """Return a module's public functions and classes by name, with those that it passes on."""
    if hasattr(module, "__all__"):
        return {name: getattr(module, name) for name in module.__all__}
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }


def write_parts(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the mark by a directive for each module that has something left to document."""
    if MARK not in source[0]:
        return
    import mircourse

    named = re.findall(r"automodule:: (\S+)", Path(app.env.doc2path(API)).read_text("utf-8"))
    done = {id(value) for name in named for value in public(importlib.import_module(name)).values()}
    lines = []
    for info in pkgutil.walk_packages(mircourse.__path__, "mircourse."):
        if info.name in named or any(part.startswith("_") for part in info.name.split(".")):
            continue
        names = public(importlib.import_module(info.name))
        known = [name for name, value in names.items() if id(value) in done]
        if len(known) == len(names):
            continue
        done |= {id(value) for value in names.values()}
        lines += [f"## {info.name.removeprefix('mircourse.')}", "", "```{eval-rst}"]
        lines += [f".. automodule:: {info.name}", "   :members:"]
        lines += [f"   :exclude-members: {', '.join(known)}"] if known else []
        lines += ["```", ""]
    source[0] = source[0].replace(MARK, "\n".join(lines))


def always_read(app: Sphinx, env, added, changed, removed) -> list[str]:
    """Name the page of parts, since Sphinx does not see a new module."""
    return [PARTS] if PARTS in env.found_docs else []


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", link)
    app.connect("autodoc-skip-member", skip)
    app.connect("source-read", write_parts)
    app.connect("env-get-outdated", always_read)
    return {"version": "1", "parallel_read_safe": True}
