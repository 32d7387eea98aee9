"""What the tests of the book share: the notebooks as committed and the pages as built."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
HTML = ROOT / "_build" / "html"


def lesson_files() -> list[Path]:
    """Return every notebook of the book."""
    return sorted(BOOK.glob("[!_]*/*.ipynb"))


def page_files() -> list[Path]:
    """Return every built page of the book's own text."""
    return sorted((HTML / "book").rglob("*.html"))


def docname(path: Path) -> str:
    """Return a source file's name as Sphinx has it, such as ``book/cnn/musiccnn``."""
    return path.relative_to(ROOT).with_suffix("").as_posix()


@functools.cache
def soup(page: Path) -> BeautifulSoup:
    """Return a built page, parsed."""
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "lesson" in metafunc.fixturenames:
        files = lesson_files()
        metafunc.parametrize("lesson", files, ids=[docname(file) for file in files])
    if "page" in metafunc.fixturenames:
        pages = page_files()
        names = [page.relative_to(HTML).as_posix() for page in pages]
        metafunc.parametrize("page", pages, ids=names)


@pytest.fixture
def notebook(lesson: Path) -> nbformat.NotebookNode:
    """The lesson, read."""
    return nbformat.read(lesson, as_version=4)


@pytest.fixture(scope="session")
def config() -> dict[str, Any]:
    """The book's configuration."""
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def toc() -> list[str]:
    """The names of all pages in the table of contents, in order."""
    content = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    names = [content["root"]]

    def collect(entry: dict[str, Any]) -> None:
        if "file" in entry:
            names.append(entry["file"])
        for key in ("parts", "chapters", "sections"):
            for inner in entry.get(key, []):
                collect(inner)

    collect(content)
    return names


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of built pages."""
    if not (HTML / "index.html").is_file():
        pytest.fail("the book is not built: run make book")
    return HTML
