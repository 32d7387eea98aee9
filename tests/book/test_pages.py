"""The built pages: whole, light, accessible, and complete without a network."""

import functools
import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from conftest import HTML, docname, lesson_files, page_files, soup

# What a browser fetches by itself when it opens a page; a link waits for a click.
LOADING = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "audio": ("src",),
    "video": ("src", "poster"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "use": ("href", "xlink:href"),
    "image": ("href", "xlink:href"),
}
LOADING_LINKS = {"stylesheet", "preload", "modulepreload", "prefetch", "icon", "preconnect"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]


def is_offsite(url: str) -> bool:
    return url.startswith("//") or urlsplit(url.strip()).scheme in {"http", "https", "ws", "wss"}


@functools.cache
def anchors(page: Path) -> set[str]:
    return {tag["id"] for tag in soup(page).find_all(id=True)} | {
        tag["name"] for tag in soup(page).find_all("a", attrs={"name": True})
    }


def loaded(page: Path):
    """Yield what the page loads by itself."""
    for name, attributes in LOADING.items():
        for tag in soup(page).find_all(name):
            for attribute in attributes:
                if tag.get(attribute):
                    yield tag[attribute]
    for tag in soup(page).find_all("link"):
        if LOADING_LINKS & set(tag.get("rel") or []):
            yield tag["href"]
    for tag in soup(page).find_all("style"):
        yield from re.findall(r"url\(['\"]?([^'\")]+)", tag.string or "")


def test_the_book_is_built(html):
    assert page_files()


def test_every_page_of_the_contents_is_built(html, toc):
    built = {page.relative_to(HTML).with_suffix("").as_posix() for page in page_files()}
    assert set(toc) <= built


def test_weighs_less_than_three_megabytes(page):
    assert page.stat().st_size < 3e6


def test_loads_nothing_from_elsewhere(page):
    assert [url for url in loaded(page) if is_offsite(url)] == []


def test_what_it_loads_is_there(page):
    for url in loaded(page):
        if url.startswith("data:") or is_offsite(url):
            continue
        target = page.parent / unquote(urlsplit(url).path)
        assert target.exists(), url


def test_style_sheets_load_nothing_from_elsewhere(html):
    for sheet in (html / "_static").rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        imports = re.findall(r"@import\s+(?:url\()?['\"]?([^'\")]+)", text)
        found = [u for u in imports + re.findall(r"url\(['\"]?([^'\")]+)", text) if is_offsite(u)]
        assert found == [], sheet


def test_internal_links_and_anchors_resolve(page):
    article = soup(page).find("article") or soup(page)
    for tag in article.find_all("a", href=True):
        url, anchor = urldefrag(tag["href"])
        if is_offsite(url) or urlsplit(url).scheme:
            continue
        target = (page.parent / unquote(url)).resolve() if url else page
        assert target.exists(), f"{tag['href']} from {page.name}"
        if anchor and target.suffix == ".html":
            assert unquote(anchor) in anchors(target), f"{tag['href']} from {page.name}"


def test_images_have_text_alternatives(page):
    article = soup(page).find("article") or soup(page)
    for image in article.find_all("img"):
        alt = image.get("alt", "")
        assert alt.strip() and not alt.endswith((".png", ".svg", ".jpg")), str(image)[:200]


def test_players_and_drawings_have_names(page):
    article = soup(page).find("article") or soup(page)
    for player in article.find_all("audio"):
        assert player.get("aria-label"), str(player)[:200]
        assert player.find_parent("figure").find("figcaption").get_text(strip=True)
    for drawing in article.find_all("svg"):
        if drawing.find_parent("svg") or drawing.find_parent("a") or drawing.find_parent("button"):
            continue
        around = drawing.find_parent(attrs={"role": "img", "aria-label": True})
        named = drawing.get("aria-label") or drawing.get("aria-labelledby") or around
        assert named or drawing.find("title") or drawing.get("aria-hidden") == "true", str(drawing)[
            :200
        ]


def test_has_one_title_and_no_error(page):
    article = soup(page).find("article") or soup(page)
    assert len(article.find_all("h1")) == 1
    assert not article.select(".problematic, .system-message, .output.traceback")
    for output in article.select(".cell_output"):
        assert "Traceback (most recent call last)" not in output.get_text()


def test_lessons_have_a_launch_button_for_the_configured_repository(html, config):
    repository = config["repository"]
    start = config["launch_buttons"]["colab_url"] + repository["url"].removeprefix(
        "https:/"
    ).replace("/github.com", "/github")
    for lesson in lesson_files():
        page = HTML / f"{docname(lesson)}.html"
        expected = f"{start}/blob/{repository['branch']}/{docname(lesson)}.ipynb"
        assert expected in {tag["href"] for tag in soup(page).find_all("a", href=True)}


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_asks_for_nothing_elsewhere_and_sets_the_equations(html, tmp_path):
    pages = [HTML / "book/start/notation.html"]
    pages += [HTML / f"{docname(lesson)}.html" for lesson in lesson_files()]
    for page in pages:
        log = tmp_path / f"{page.stem}.json"
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]
        command += [f"--log-net-log={log}", "--virtual-time-budget=10000", "--dump-dom"]
        done = subprocess.run(
            [*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
        )
        assert "<mjx-container" in done.stdout, f"no equation was set on {page}"
        assert "<mjx-merror" not in done.stdout, f"an equation is wrong on {page}"
        asked = re.findall(r'"initiator":"([^"]*)"[^{}]*"url":"(https?:[^"]*)"', log.read_text())
        # What the browser asks for itself has no origin.
        assert [url for origin, url in asked if origin != "not an origin"] == [], page


def test_the_search_index_knows_the_pages(html):
    text = (html / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    assert "book/index" in index["docnames"]
