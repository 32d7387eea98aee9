"""Experiments: what each results table of the book ran, and the verdict on each claim.

A chapter's module defines its experiments with `experiment`; `CHAPTERS` lists the modules.
``mircourse experiment run NAME`` runs one and writes ``data/results/NAME.json``, and
`mircourse.experiments.results` reads it.
"""

from __future__ import annotations

import importlib

from mircourse.experiments.definition import (
    Experiment,
    Metric,
    Row,
    Verdict,
    defined,
    experiment,
)

__all__ = ["CHAPTERS", "Experiment", "Metric", "Row", "Verdict", "every", "experiment", "get"]

CHAPTERS = [
    "cnn",
    "gnn_messages",
    "rnn",
    "rnn_transcription",
    "transformer",
    "transformer_bert",
    "transformer_generation",
    "vae_chords",
]


def every() -> list[Experiment]:
    """Return the experiments of all chapters."""
    modules = {f"{__name__}.{chapter}" for chapter in CHAPTERS}
    for module in sorted(modules):
        importlib.import_module(module)
    return [found for found in defined() if found.run_unit.__module__ in modules]


def get(name: str) -> Experiment:
    """Return an experiment of a chapter by name.

    Raises
    ------
    ValueError
        If there is none; the message lists those that exist.
    """
    known = {found.name: found for found in every()}
    if name not in known:
        raise ValueError(f"no experiment {name!r}; there are {', '.join(known) or 'none'}")
    return known[name]
