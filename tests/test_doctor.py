import subprocess
import sys

import pytest

from mircourse import doctor, registry


def test_a_healthy_installation_has_no_fault():
    findings = doctor.examine()
    assert {finding.state for finding in findings} == {"ok"}, [str(f) for f in findings]
    assert [f.name for f in findings] == ["python", "packages", "device", "torchaudio", "data"]


@pytest.mark.parametrize(
    ("version", "state"),
    [((3, 10), "broken"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "broken")],
)
def test_python_outside_the_tested_range_is_a_fault(monkeypatch, version, state):
    monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))
    assert doctor.check_python().state == state


def test_a_missing_and_an_old_package_are_named(monkeypatch):
    wanted = ["numpy>=9999", "no-such-package-here>=1", 'other; extra == "book"']
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: wanted)
    old, missing = doctor.check_packages()
    assert old.state == missing.state == "broken"
    assert ">=9999 expected" in old.text
    assert missing.text == 'missing: pip install "no-such-package-here>=1"'


def test_altered_data_is_a_fault_that_names_the_file(monkeypatch):
    monkeypatch.setattr(registry, "verify", lambda: {"scores/x.npz": "scores/x.npz is missing"})
    finding = doctor.check_data()
    assert finding.state == "broken" and "scores/x.npz is missing" in finding.text


def test_absent_data_is_a_fault_with_a_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("MIRCOURSE_DATA", str(tmp_path))
    finding = doctor.check_data()
    assert finding.state == "broken" and str(tmp_path) in finding.text


@pytest.fixture
def broken_torchaudio(tmp_path, monkeypatch):
    """A torchaudio that fails to load while its extension is there, and loads without it."""
    package = tmp_path / "torchaudio"
    (package / "lib").mkdir(parents=True)
    extension = package / "lib" / "_torchaudio.abi3.so"
    extension.write_bytes(b"not a library")
    (package / "lib" / "libtorchaudio.abi3.so").write_bytes(b"another")
    (package / "__init__.py").write_text(
        "from pathlib import Path\n"
        "if (Path(__file__).parent / 'lib' / '_torchaudio.abi3.so').exists():\n"
        "    raise OSError('Could not load this library')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        monkeypatch.delitem(sys.modules, name)
    return extension


def test_without_fix_nothing_is_removed(broken_torchaudio, monkeypatch):
    monkeypatch.setattr(doctor, "_torch_has_gpu_build", lambda: False)
    finding = doctor.check_torchaudio()
    assert finding.state == "broken"
    assert "Could not load this library" in finding.text and "doctor --fix" in finding.text
    assert broken_torchaudio.exists()


def test_fix_removes_the_extension_and_only_it(broken_torchaudio, monkeypatch):
    monkeypatch.setattr(doctor, "_torch_has_gpu_build", lambda: False)
    finding = doctor.check_torchaudio(fix=True)
    assert finding.state == "mended" and str(broken_torchaudio) in finding.text
    assert not broken_torchaudio.exists()
    assert (broken_torchaudio.parent / "libtorchaudio.abi3.so").exists()
    assert doctor.check_torchaudio(fix=True).state == "ok"


def test_beside_a_torch_with_cuda_nothing_is_removed(broken_torchaudio, monkeypatch):
    monkeypatch.setattr(doctor, "_torch_has_gpu_build", lambda: True)
    assert doctor.check_torchaudio(fix=True).state == "broken"
    assert broken_torchaudio.exists()


def test_a_torchaudio_that_stays_broken_is_said_so(broken_torchaudio, monkeypatch):
    monkeypatch.setattr(doctor, "_torch_has_gpu_build", lambda: False)
    init = broken_torchaudio.parent.parent / "__init__.py"
    init.write_text("raise ImportError('something else')\n")
    finding = doctor.check_torchaudio(fix=True)
    assert finding.state == "broken" and "still fails (ImportError: something else)" in finding.text


def test_torchaudio_of_this_environment_loads_and_computes():
    code = (
        "import torch, torchaudio; "
        "print(tuple(torchaudio.transforms.MelSpectrogram(22050)(torch.ones(1, 4000)).shape))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1, 128, 21)"
