"""Recorded notes and rendered tunes of which a share is labelled.

Two *domains*: ``"instruments"``, the recorded notes of `mircourse.experiments.instruments`, and
``"dances"``, the rendered tunes of `mircourse.experiments.dances`. *Held out* says what is scored:
``"valid"`` is what settings were chosen on, ``"test"`` is scored once.
"""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from mircourse import recordings
from mircourse.experiments import dances, instruments
from mircourse.experiments.runner import cache_dir

DOMAINS = ("instruments", "dances")
VERSION = 1  # of the rendered tunes; raised when they change


def labelled(
    domain: str, held_out: str, *, fraction: float, seed: int, fast: bool
) -> tuple[Any, Any]:
    """Return the items whose labels are told, and those that are scored.

    Raises
    ------
    ValueError
        If the domain or what is held out is unknown, or the fraction out of range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got {fraction}")
    task = task_of(domain, held_out)
    if domain == "instruments":
        return instruments.split(task, fraction=fraction, seed=seed)
    learn, score = tunes(held_out, fast=fast)
    if fraction == 1:
        return learn, score
    rng = np.random.default_rng(seed)
    y = dances.labels(learn)
    chosen = [
        rng.permutation(np.flatnonzero(y == k))[: max(1, round(fraction * (y == k).sum()))]
        for k in np.unique(y)
    ]
    return [learn[i] for i in sorted(np.concatenate(chosen).tolist())], score


def task_of(domain: str, held_out: str) -> str:
    """Return what the domain's own module calls what is held out.

    Raises
    ------
    ValueError
        If the domain or what is held out is unknown.
    """
    if domain not in DOMAINS or held_out not in ("valid", "test"):
        raise ValueError(
            f"expected a domain of {DOMAINS} and 'valid' or 'test' held out, got {domain!r} and "
            f"{held_out!r}"
        )
    return "valid" if held_out == "valid" else domain


def tunes(held_out: str, *, fast: bool) -> tuple[list[Any], list[Any]]:
    """Return the tunes to learn from and those that are scored, all of them labelled."""
    learn, score = dances.divided(task_of("dances", held_out))
    return (learn[::40], score[::10]) if fast else (learn, score)


def all_tunes(fast: bool) -> list[Any]:
    """Return every tune of the domain once."""
    found = {p.id: p for held in ("valid", "test") for some in tunes(held, fast=fast) for p in some}
    return list(found.values())


def tune_audio(*, fast: bool) -> NDArray[np.float16]:
    """Return all tunes as audio, (N, samples), rendered once and then read from the cache."""
    memory = joblib.Memory(cache_dir() / "fewlabels", mmap_mode="r", verbose=0)
    return memory.cache(_render)(fast=fast, version=VERSION)


def _render(*, fast: bool, version: int) -> NDArray[np.float16]:
    tunes = all_tunes(fast)
    parts = [dances.audio(tunes[k : k + 32]).astype(np.float16) for k in range(0, len(tunes), 32)]
    return np.concatenate(parts)


def ids(domain: str, *, fast: bool) -> list[str]:
    """Return the ids of all items of a domain, in a fixed order."""
    items = recordings.load() if domain == "instruments" else all_tunes(fast)
    return [item.id for item in items]


def labels(domain: str, items: Any) -> NDArray[np.int64]:
    """Return the class of each item, (N,)."""
    return items.labels if domain == "instruments" else dances.labels(items)


def groups(domain: str, items: Any) -> list[str]:
    """Return what each item belongs to: its pitch, or its tune's family."""
    if domain == "instruments":
        return [str(pitch) for pitch in items.pitches]
    return [piece.family for piece in items]
