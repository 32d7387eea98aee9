"""Look at an installation, say what is there, and mend what can be mended.

One fault is common enough to have a cure: the Linux wheel of torchaudio is built for CUDA, and
beside a torch without CUDA its compiled extension cannot be loaded. torchaudio runs as pure Python
where the extension is absent, with everything the course uses, so the cure removes that one file.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mircourse import registry

SUPPORTED = ((3, 11), (3, 13))
State = Literal["ok", "mended", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
        What was looked at, for example ``"torchaudio"``.
    state : {"ok", "mended", "broken"}
        ``"mended"`` means that it was broken and now works.
    text : str
        What was found, and where it is broken, what to do.
    """

    name: str
    state: State
    text: str

    def __str__(self) -> str:
        return f"{self.state:<7} {self.name:<12} {self.text}"


def examine(*, fix: bool = False) -> list[Finding]:
    """Look at everything the course needs.

    Parameters
    ----------
    fix : bool
        Mend what can be mended. Without it nothing on the disk changes.

    Returns
    -------
    list of Finding
        In the order Python, packages, device, torchaudio, data.
    """
    return [
        check_python(),
        *check_packages(),
        check_device(),
        check_torchaudio(fix=fix),
        check_data(),
    ]


def check_python() -> Finding:
    """Compare the running Python with the versions the course is tested on."""
    low, high = SUPPORTED
    here = f"{platform.python_version()} at {sys.executable}"
    if low <= sys.version_info[:2] <= high:
        return Finding("python", "ok", here)
    wanted = f"Python {low[0]}.{low[1]} to {high[0]}.{high[1]}"
    return Finding(
        "python", "broken", f"{here}; the course is tested on {wanted}: use one of these"
    )


def check_packages() -> list[Finding]:
    """Compare the installed packages with what ``mircourse`` declares.

    Returns
    -------
    list of Finding
        One line with all versions if every one is right, otherwise one line for each fault.
    """
    from packaging.requirements import Requirement

    versions, faults = [], []
    for line in importlib.metadata.requires("mircourse") or []:
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            faults.append(Finding(wanted.name, "broken", f'missing: pip install "{wanted}"'))
            continue
        versions.append(f"{wanted.name} {found}")
        if not wanted.specifier.contains(found, prereleases=True):
            text = f'{found} found, {wanted.specifier} expected: pip install "{wanted}"'
            faults.append(Finding(wanted.name, "broken", text))
    return faults or [Finding("packages", "ok", ", ".join(versions))]


def check_device() -> Finding:
    """Say which device models will run on."""
    if importlib.util.find_spec("torch") is None:
        return Finding("device", "broken", "torch is missing: pip install torch")
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        text = f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB"
    elif torch.backends.mps.is_available():
        text = "Apple GPU (MPS)"
    else:
        text = f"CPU, {torch.get_num_threads()} threads; every lesson is written to run on this"
    return Finding("device", "ok", text)


def check_torchaudio(*, fix: bool = False) -> Finding:
    """Load torchaudio in a fresh interpreter; with ``fix``, remove an extension that cannot load.

    The file is removed only where torch was built without CUDA (and without ROCm) and torchaudio
    fails to load: on any other machine nothing is touched.
    """
    error = _import_error("torchaudio")
    if not error:
        return Finding("torchaudio", "ok", "loads")
    culprits = _extensions()
    if not culprits or _torch_has_gpu_build():
        return Finding("torchaudio", "broken", f"does not load ({error}); install it again")
    names = ", ".join(str(file) for file in culprits)
    if not fix:
        text = f"does not load beside a torch without CUDA ({error}): run mircourse doctor --fix"
        return Finding("torchaudio", "broken", text)
    for file in culprits:
        file.unlink()
    error = _import_error("torchaudio")
    if error:
        return Finding("torchaudio", "broken", f"removed {names}, but it still fails ({error})")
    return Finding("torchaudio", "mended", f"removed {names}, built for a CUDA that is not here")


def check_data() -> Finding:
    """Verify every file that ships with the course against its hash."""
    try:
        faults = registry.verify()
        known = registry.entries()
    except registry.DataError as error:
        return Finding("data", "broken", str(error))
    if faults:
        return Finding("data", "broken", "; ".join(faults.values()))
    size = sum(entry.bytes for entry in known.values()) / 1e6
    return Finding("data", "ok", f"{len(known)} files, {size:.1f} MB, at {registry.data_dir()}")


def _import_error(module: str) -> str:
    # A failed import leaves half a module behind, so it is tried in another interpreter.
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if re.match(r"\w*(Error|Exception)\b", line)]
    return (lines or done.stderr.splitlines() or [f"exit status {done.returncode}"])[-1].strip()


def _extensions() -> list[Path]:
    spec = importlib.util.find_spec("torchaudio")
    if spec is None or spec.origin is None:
        return []
    return sorted((Path(spec.origin).parent / "lib").glob("_torchaudio*.so"))


def _torch_has_gpu_build() -> bool:
    import torch

    return torch.version.cuda is not None or torch.version.hip is not None
