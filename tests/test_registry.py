"""The registry: every data file is listed, whole, licensed and described."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from mircourse import registry

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "data"))

from builders import registry as builder  # noqa: E402


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a data folder of our own, registered by the real builder."""
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "a.npz").write_bytes(b"notes")
    (tmp_path / "scores" / "README.md").write_text("card")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "x.json").write_text("{}")
    (tmp_path / "builders").mkdir()
    (tmp_path / "builders" / "y.py").write_text("")
    builder.build(tmp_path)
    monkeypatch.setenv("MIRCOURSE_DATA", str(tmp_path))
    return tmp_path


def test_everything_shipped_verifies():
    assert registry.verify() == {}


def test_the_registry_is_what_the_builder_would_write():
    folder = registry.data_dir()
    listed = json.loads((folder / "registry.json").read_text())
    assert listed == {"version": 1, "files": builder.describe(folder)}


def test_every_card_exists_and_every_licence_is_named():
    for entry in registry.entries().values():
        assert (registry.data_dir() / entry.card).is_file(), entry
        assert entry.licence


def test_an_entry_is_the_hash_and_size_of_the_file(folder):
    entry = registry.entries()["scores/a.npz"]
    assert entry.sha256 == hashlib.sha256(b"notes").hexdigest()
    assert (entry.bytes, entry.card) == (5, "scores/README.md")
    assert registry.path("scores/a.npz").read_bytes() == b"notes"


def test_cards_scripts_and_results_are_not_data(folder):
    assert list(registry.entries()) == ["scores/a.npz"]


def test_the_registry_is_the_same_bytes_each_time(folder):
    first = (folder / "registry.json").read_bytes()
    builder.build(folder)
    assert (folder / "registry.json").read_bytes() == first


def test_a_folder_without_a_licence_is_refused(folder):
    (folder / "videos").mkdir()
    (folder / "videos" / "b.bin").write_bytes(b"?")
    with pytest.raises(ValueError, match=r"videos/b.bin: no licence is known for 'videos'"):
        builder.build(folder)


def test_an_altered_file_is_refused_and_a_restored_one_accepted(folder):
    file = folder / "scores" / "a.npz"
    file.write_bytes(b"nOtes")
    with pytest.raises(registry.DataError, match=r"has SHA-256 .*expected 5 bytes with SHA-256"):
        registry.path("scores/a.npz")
    assert list(registry.verify()) == ["scores/a.npz"]
    file.write_bytes(b"notes")
    assert registry.path("scores/a.npz") == file


def test_a_truncated_and_a_missing_file_are_refused(folder):
    file = folder / "scores" / "a.npz"
    file.write_bytes(b"not")
    with pytest.raises(registry.DataError, match=r"has 3 bytes .*expected 5 bytes.*reinstall"):
        registry.path("scores/a.npz")
    file.unlink()
    with pytest.raises(registry.DataError, match=r"is missing .*expected 5 bytes.*reinstall"):
        registry.path("scores/a.npz")


def test_an_unknown_name_lists_the_known_ones(folder):
    with pytest.raises(
        registry.DataError, match=r"'scores/b.npz' is not in the registry; it lists"
    ):
        registry.path("scores/b.npz")


def test_arrays_are_those_of_the_archive(folder):
    np.savez(folder / "scores" / "b.npz", a=np.arange(3), b=np.ones((2, 2)))
    builder.build(folder)
    members = registry.arrays("scores/b.npz")
    assert sorted(members) == ["a", "b"] and members["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("content", [b"notes", b"PK\x03\x04 no archive", b""])
def test_what_is_no_archive_is_a_data_error_though_its_hash_is_right(folder, content):
    (folder / "scores" / "a.npz").write_bytes(content)
    builder.build(folder)
    with pytest.raises(registry.DataError, match=r"a.npz cannot be read as an npz archive .*rein"):
        registry.arrays("scores/a.npz")


@pytest.mark.parametrize("text", ["{", "[]", '{"files": {"a": {"sha": 1}}}', "{}"])
def test_a_broken_registry_is_a_data_error(folder, text):
    (folder / "registry.json").write_text(text)
    with pytest.raises(registry.DataError, match=r"not a valid registry"):
        registry.entries()


def test_a_folder_without_registry_is_a_data_error(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRCOURSE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(registry.DataError, match=r"no registry.json found in .*nowhere"):
        registry.path("scores/a.npz")
