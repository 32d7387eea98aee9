"""Run lessons as a reader elsewhere does: from an empty folder, with only the wheel installed.

Each lesson given is copied into an empty folder of its own, run there by nbval, which compares
what it prints with what is committed, and imports the course from a wheel that was just built.

    python book/_tools/outside.py book/cnn/musiccnn.ipynb ...
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def wheel_only(lessons: list[Path]) -> Iterator[tuple[list[Path], dict[str, str]]]:
    """Yield copies of the lessons, each alone in its folder, and an environment for running them.

    The environment's ``PYTHONPATH`` holds the unpacked wheel, which comes before the checkout.
    """
    with tempfile.TemporaryDirectory(prefix="mircourse-") as folder:
        base = Path(folder)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
        subprocess.run([*wheel, str(ROOT)], check=True)
        (built,) = base.glob("mircourse-*.whl")
        site = base / "site"
        install = [*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(built)]
        subprocess.run(install, check=True)

        copies = []
        for lesson in lessons:
            home = base / "lessons" / lesson.parent.name / lesson.stem
            home.mkdir(parents=True)
            copies.append(Path(shutil.copy(lesson, home)))
        env = os.environ | {"PYTHONPATH": str(site), "MPLBACKEND": "agg"}
        env.pop("MIRCOURSE_DATA", None)
        where = [sys.executable, "-c", "import mircourse; print(mircourse.__file__)"]
        found = subprocess.run(
            where, env=env, cwd=base / "lessons", check=True, capture_output=True, text=True
        )
        if not Path(found.stdout.strip()).is_relative_to(site):
            raise RuntimeError(f"the course came from {found.stdout.strip()}, not from {site}")
        yield copies, env


def main(arguments: list[str]) -> int:
    """Run the lessons under nbval, two at a time, and return pytest's exit status."""
    if not arguments:
        print("no lessons given, so none is run")
        return 0
    with wheel_only([Path(a) for a in arguments]) as (copies, env):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=10"]
        command += ["--rootdir", str(copies[0].parents[2]), "-n", "2", "--dist", "loadfile"]
        command += ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "120"]
        command += ["--nbval-sanitize-with", str(ROOT / "tests" / "nbval_sanitize.cfg")]
        here = copies[0].parents[2]
        return subprocess.run([*command, *map(str, copies)], env=env, cwd=here).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
