"""Train once what several rows and tasks score: in a process, or kept in the cache folder."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from mircourse.experiments.runner import cache_dir

Result = TypeVar("Result", covariant=True)


class Trainer(Protocol[Result]):
    """A function that trains from settings, a seed, and whether it is only a trial."""

    def __call__(self, settings: Mapping[str, Any], *, seed: int, fast: bool) -> Result:
        """Return what was trained."""


def remembered(train: Trainer[Result]) -> Trainer[Result]:
    """Return a function that trains once for equal settings, whatever their order.

    Parameters
    ----------
    train : callable
        Of ``settings``, a mapping of values whose `repr` tells them apart, ``seed`` and ``fast``.
    """
    known: dict[tuple[str, int, bool], Result] = {}

    @functools.wraps(train)
    def recalled(settings: Mapping[str, Any], *, seed: int, fast: bool) -> Result:
        key = (repr(sorted(settings.items())), seed, fast)
        if key not in known:
            known[key] = train(settings, seed=seed, fast=fast)
        return known[key]

    return recalled


class Trained(NamedTuple):
    """A network, what its constructor takes, and the seconds that its training took."""

    model: Any
    arguments: Mapping[str, Any]
    seconds: float


def kept(kind: str, recipe: Any, train: Callable[[Path], Trained]) -> tuple[Any, float]:
    """Return the network of a recipe and its seconds; trained once, then read from the cache.

    Parameters
    ----------
    kind : str
        Folder in the cache.
    recipe : JSON value
        All that the network depends on.
    train : callable
        Is given a folder for checkpoints, so that a training that was stopped goes on.
    """
    from mircourse import weights

    key = json.dumps(recipe, sort_keys=True)
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    file = cache_dir() / kind / f"{name}.safetensors"
    if not file.exists():
        made = train(file.with_suffix(""))
        about = json.dumps({"seconds": made.seconds, "recipe": recipe})
        weights.save(made.model, file, arguments=made.arguments, about=about)
    found = weights.read(file)
    return found.model, json.loads(found.about)["seconds"]
