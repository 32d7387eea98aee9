"""The reference pages cover the package, the data, the results and the errata."""

import importlib
import inspect
import json
import pkgutil
import re

import pytest
from conftest import BOOK, ROOT, docname, lesson_files, soup
from sphinx.util.inventory import InventoryFile

import mircourse

LESSON = re.compile(r"Lessons?: (book/[\w/-]+(?:, book/[\w/-]+)*)")


def modules():
    """Return every module that a reader may import."""
    found = [mircourse]
    for info in pkgutil.walk_packages(mircourse.__path__, "mircourse."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            found.append(importlib.import_module(info.name))
    return found


def public(module):
    """Return the public functions and classes of a module by name."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and (inspect.isclass(value) or inspect.isfunction(value))
            and value.__module__ == module.__name__
        ]
    return {name: getattr(module, name) for name in names}


@pytest.fixture(scope="module")
def documented(html):
    """The objects that the page of the package documents."""
    with (html / "objects.inv").open("rb") as stream:
        inventory = InventoryFile.load(stream, "", lambda base, uri: uri)
    names = {name for kind, items in inventory.items() if kind.startswith("py:") for name in items}
    found = []
    for name in names:
        module, _, attribute = name.rpartition(".")
        try:
            found.append(getattr(importlib.import_module(module), attribute))
        except (ImportError, AttributeError):
            continue  # a method, which its class stands for
    return [id(value) for value in found]


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_every_public_name_is_documented(module, documented):
    missing = [
        name
        for name, value in public(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and id(value) not in documented
    ]
    assert missing == []


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_every_public_name_has_a_docstring(module):
    assert module.__doc__
    missing = [
        name
        for name, value in public(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and not inspect.getdoc(value)
    ]
    assert missing == []


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_every_link_to_a_lesson_leads_to_a_page(module, toc):
    texts = [module.__doc__ or ""]
    for value in public(module).values():
        texts.append(inspect.getdoc(value) or "")
        if inspect.isclass(value):
            texts += [inspect.getdoc(member) or "" for member in vars(value).values()]
    for text in texts:
        for found in LESSON.findall(text.replace("`", "")):
            assert set(found.split(", ")) <= set(toc)


def test_every_lesson_is_named_by_a_docstring():
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "mircourse").rglob("*.py")]
    named = {doc for text in texts for found in LESSON.findall(text) for doc in found.split(", ")}
    lessons = {docname(file) for file in lesson_files() if file.stem != "exercises"}
    assert lessons <= named


def test_every_result_has_its_table(html):
    text = {
        "results": soup(html / "book/reference/results.html"),
        "performance": soup(html / "book/reference/performance.html"),
    }
    for file in (ROOT / "data" / "results").glob("*.json"):
        result = json.loads(file.read_text(encoding="utf-8"))
        page = text["performance" if file.stem.startswith("bench-") else "results"]
        section = page.find(id=re.compile(rf"result-{re.escape(file.stem)}$"))
        assert section, f"no section for {file.name}"
        tables = section.find_parent("section") if section.name == "span" else section
        shown = tables.get_text().replace("’", "'")  # as the page sets it
        assert all(row["name"] in shown for row in result["rows"])


def test_what_a_benchmark_did_not_do_is_not_stated(html):
    """It has rounds, not seeds, and takes seconds."""
    text = soup(html / "book/reference/performance.html").get_text(" ")
    assert "over rounds" in text
    assert not re.search(r"\bseeds\b|\b0 (minutes|seconds)", text)


def test_every_card_is_on_the_data_page(html):
    text = soup(html / "book/reference/data.html").get_text()
    for card in (ROOT / "data").glob("*/README.md"):
        title = re.search(r"^# (.+)$", card.read_text(encoding="utf-8"), re.MULTILINE)[1]
        assert title.replace("`", "") in text


def test_every_page_of_errata_is_included():
    index = (BOOK / "reference" / "errata.md").read_text(encoding="utf-8")
    for file in BOOK.glob("reference/errata_*.md"):
        assert file.name in index


def test_every_citation_has_an_entry_and_every_entry_a_year():
    text = (BOOK / "references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{(\w+),", text, re.MULTILINE)
    assert len(keys) == len(set(keys)) == len(re.findall(r"^\s*year\s*=", text, re.MULTILINE))


def test_every_term_of_the_glossary_is_defined_once():
    text = (BOOK / "start" / "glossary.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```\{glossary\}\n(.*?)```", text, re.DOTALL)
    terms = re.findall(r"^(\S.*)$", "\n".join(blocks), re.MULTILINE)
    assert len(terms) == len({term.lower() for term in terms}) >= 40
    for block in blocks:
        # An entry's terms stand on lines of their own, then comes its text, indented.
        entries = re.findall(r"(?:^|\n\n)(\S.*)\n", block)
        assert entries == sorted(entries, key=str.lower)
