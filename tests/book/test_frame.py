"""The project's own files agree with one another."""

import itertools
import json
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest
import yaml
from conftest import BOOK, ROOT, docname
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mircourse


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pins():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_pins_are_versions_and_nothing_else(pins):
    for name, version in pins.items():
        assert name == canonicalize_name(name)
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name}=={version}"


def test_pins_satisfy_the_ranges(project, pins):
    table = project["project"]
    lines = [*table["dependencies"], *itertools.chain(*table["optional-dependencies"].values())]
    for wanted in map(Requirement, lines + project["build-system"]["requires"]):
        pinned = pins[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(pinned, prereleases=True), f"{wanted}: {pinned} pinned"


def test_one_version_everywhere(project):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert project["project"]["version"] == mircourse.__version__ == citation["version"]
    assert f"## {mircourse.__version__}" in changes


def test_one_repository_everywhere(config):
    url = config["repository"]["url"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == url
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *BOOK.rglob("*.md")]
    files += [file for file in BOOK.rglob("*.ipynb") if not file.parent.name.startswith("_")]
    owner = re.escape(url.split("/")[-2])
    for file in files:
        text = file.read_text(encoding="utf-8")
        for found in re.findall(rf"github\.com/{owner}/[\w-]+", text):
            assert f"https://{found}" == url, file


def test_every_page_of_the_book_is_in_the_contents(toc):
    pages = {docname(p) for p in BOOK.rglob("*") if p.suffix in {".md", ".ipynb"}}
    included = {name for name in pages if "/errata_" in name}
    private = {name for name in pages if "/_" in name}
    assert pages - included - private == set(toc)


def test_the_two_commands_are_in_the_readme_and_the_makefile():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("book", "test"):
        assert f"make {target}" in readme
        assert re.search(rf"^{target}:.*##", makefile, re.MULTILINE)
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_workflow_is_valid_and_runs_what_the_readme_names():
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert content["jobs"], file
        assert content["permissions"] is not None, file
    assert "make test" in (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")


def test_the_wheel_holds_the_data_and_not_its_builders(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    registry = json.loads((ROOT / "data" / "registry.json").read_text(encoding="utf-8"))
    assert {f"mircourse/_data/{name}" for name in registry["files"]} <= names
    results = {f"mircourse/_data/results/{p.name}" for p in (ROOT / "data/results").glob("*.json")}
    assert results <= names
    assert not [n for n in names if n.startswith("mircourse/_data/") and n.endswith(".py")]
    assert all(name.startswith("mircourse") for name in names)


def test_the_wheel_is_small_enough_to_install_in_class(wheel):
    assert wheel.stat().st_size < 45e6


def test_nothing_large_is_committed_but_data():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        file = ROOT / name
        if file.is_file() and not name.startswith(("data/", "book/")):
            assert file.stat().st_size < 1e6, name
