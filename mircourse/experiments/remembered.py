"""Train once in a process what several rows and tasks score."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

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
