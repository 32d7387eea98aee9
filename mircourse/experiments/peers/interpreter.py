"""Run a peer in a Python of its own, so that what it needs does not enter the course's.

A peer is a script of this folder that imports nothing of the course. It is given a folder with
``clips.npz`` (one float32 array a clip, ``rate``) and leaves ``notes.npz`` there: for each clip an
array of rows ``onset, duration, pitch, velocity``, and ``seconds``, the processor time of each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mircourse.audio import check_audio
from mircourse.performed import performed_notes


@dataclass(frozen=True)
class Peer:
    """A transcriber that runs elsewhere.

    Attributes
    ----------
    name, module : str
        What to call it, and what its interpreter must be able to import.
    script : str
        File name of the script in this folder, or a path.
    variable : str
        Environment variable that holds the path of its interpreter; this one unless set.
    install : str
        What to type to have it.
    sample_rate : int or None
        The rate that it takes; None if any.
    """

    name: str
    module: str
    script: str
    variable: str
    install: str
    sample_rate: int | None = None

    @property
    def python(self) -> str:
        """Path of the interpreter."""
        return os.environ.get(self.variable) or sys.executable

    def check(self) -> None:
        """Raise `PeerMissing` unless the interpreter is there and has the module."""
        look = f"import importlib.util as u, sys; sys.exit(u.find_spec({self.module!r}) is None)"
        try:
            found = subprocess.run([self.python, "-c", look], capture_output=True).returncode == 0
        except OSError:
            found = False
        if not found:
            raise PeerMissing(
                f"{self.python} has no {self.name}. The peers are no part of the course: make an "
                f"environment for this one, install it there ({self.install}), and give the path "
                f"of its Python in the environment variable {self.variable}"
            )

    def transcribe_all(
        self, clips: Sequence[ArrayLike], *, sample_rate: int
    ) -> tuple[list[NDArray], list[float]]:
        """Return the notes of each clip and the processor time in seconds that each took.

        Raises
        ------
        PeerMissing
            If it is not installed.
        RuntimeError
            If it fails; the message ends with what it said.
        TypeError, ValueError
            If a clip is not audio.
        """
        samples = [check_audio(clip, sample_rate=sample_rate) for clip in clips]
        self.check()
        if self.sample_rate not in (None, sample_rate):
            import soxr

            samples = [soxr.resample(clip, sample_rate, self.sample_rate) for clip in samples]
            sample_rate = int(self.sample_rate or sample_rate)
        with tempfile.TemporaryDirectory(prefix="mircourse-peer-") as folder:
            named: dict[str, Any] = {f"clip{i}": clip for i, clip in enumerate(samples)}
            np.savez(Path(folder, "clips.npz"), rate=sample_rate, **named)
            script = Path(__file__).parent / self.script
            # Isolated (-I): the folder of the script has modules named as the peers are.
            run = subprocess.run(
                [self.python, "-I", str(script), folder], capture_output=True, text=True
            )
            if run.returncode:
                raise RuntimeError(f"{self.name} failed: {run.stderr.strip()[-2000:]}")
            with np.load(Path(folder, "notes.npz")) as found:
                tables = [found[f"notes{i}"].reshape(-1, 4) for i in range(len(samples))]
                seconds = [float(s) for s in found["seconds"]]
        return [_performed(table) for table in tables], seconds


class PeerMissing(ImportError):
    """A peer is asked for that is not installed."""


def _performed(table: NDArray) -> NDArray:
    table = table[table[:, 1] > 0]
    return performed_notes(
        table[:, 0], table[:, 1], table[:, 2], velocity=np.clip(table[:, 3], 1, 127)
    )
