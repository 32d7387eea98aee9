"""Write requirements.txt: every package the project's environment needs, at the version it has.

Run as ``.venv/bin/python .ci/pin.py`` after changing a range in pyproject.toml and installing it.
The list is the closure of the dependencies and of the extras below, followed through the metadata
of what is installed, so that a package someone tried by hand does not get in.
"""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("book", "full", "dev")
# What a GPU build of torch brings along differs by machine: torch itself pins those.
LEFT_TO_TORCH = ("nvidia-", "cuda-", "triton")


def closure(requirements: list[Requirement]) -> dict[str, str]:
    """Return the installed version of each requirement and of everything these require."""
    pins: dict[str, str] = {}
    seen = set()
    todo = [(r, ("",)) for r in requirements]
    while todo:
        wanted, extras = todo.pop()
        if wanted.marker and not any(wanted.marker.evaluate({"extra": e}) for e in extras):
            continue
        name = canonicalize_name(wanted.name)
        if name.startswith(LEFT_TO_TORCH) or (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        try:
            found = distribution(name)
        except PackageNotFoundError as error:
            raise SystemExit(f"{wanted} is not installed: install it, then pin again") from error
        pins[name] = found.version.split("+")[0]
        inner = tuple(wanted.extras) or ("",)
        todo += [(Requirement(line), inner) for line in found.requires or []]
    return pins


def main() -> None:
    """Read pyproject.toml, follow the closure, write the file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    table = project["project"]
    lines = table["dependencies"] + [
        line for extra in EXTRAS for line in table["optional-dependencies"][extra]
    ]
    lines += project["build-system"]["requires"]
    pins = closure([Requirement(line) for line in lines])
    head = "# Written by .ci/pin.py from pyproject.toml; change ranges there, versions here.\n"
    body = "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))
    (ROOT / "requirements.txt").write_text(head + body, encoding="utf-8")
    print(f"{len(pins)} packages pinned")


if __name__ == "__main__":
    main()
