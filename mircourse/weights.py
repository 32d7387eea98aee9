"""Trained models that ship with the course.

A file in ``data/weights`` is a safetensors archive: the weights, and in its metadata the model's
class, the arguments that build it, its class names and how it was trained.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mircourse import registry
from mircourse.registry import DataError

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Trained:
    """A trained model and what it is.

    Attributes
    ----------
    model : nn.Module
        In evaluation mode, on the CPU.
    classes : tuple of str
        Name of each logit; empty if the logits are not classes.
    about : str
        How it was trained.
    """

    model: nn.Module
    classes: tuple[str, ...]
    about: str


def names() -> list[str]:
    """Return the names of the weights that ship."""
    found = (Path(name) for name in registry.entries())
    return sorted(file.stem for file in found if file.suffix == SUFFIX)


def load(name: str) -> Trained:
    """Load a trained model that ships.

    Parameters
    ----------
    name : str
        One of `names`, for example ``"musiccnn-instruments"``.

    Raises
    ------
    ValueError
        If there are no weights of that name; the message lists those that ship.
    mircourse.registry.DataError
        If the file is missing, altered or damaged.
    """
    if name not in names():
        raise ValueError(f"no weights {name!r} ship; there are {', '.join(names()) or 'none'}")
    return read(registry.path(f"weights/{name}{SUFFIX}"))


def read(file: str | Path) -> Trained:
    """Read a trained model from a file that `save` wrote.

    Raises
    ------
    mircourse.registry.DataError
        If the file is not one, or the weights do not fit the model that it names.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="pt") as archive:
            metadata = archive.metadata() or {}
            state = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118
        module, _, kind = metadata["model"].rpartition(".")
        if not module.startswith("mircourse."):
            raise ValueError(f"the model {metadata['model']!r} is not one of the course's")
        model = getattr(importlib.import_module(module), kind)(**json.loads(metadata["arguments"]))
        model.load_state_dict(state)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{file} does not hold a trained model of the course ({error})") from error
    return Trained(model.eval(), tuple(json.loads(metadata["classes"])), metadata["about"])


def save(
    model: nn.Module,
    file: str | Path,
    *,
    arguments: Mapping[str, Any],
    classes: Sequence[str] = (),
    about: str,
) -> None:
    """Write a trained model so that `read` can build it again; the same model, the same bytes.

    Parameters
    ----------
    model : nn.Module
        A model of the course.
    file : path
        Where to; an existing file is replaced only when the new one is complete.
    arguments : mapping
        What its constructor takes, as JSON values.
    classes : sequence of str
        Name of each logit.
    about : str
        How it was trained, in a sentence.
    """
    from safetensors.torch import save_file

    kind = type(model)
    state = {
        key: value.detach().cpu().contiguous(memory_format=torch.contiguous_format)
        for key, value in model.state_dict().items()
    }
    metadata = {
        "model": f"{kind.__module__}.{kind.__qualname__}",
        "arguments": json.dumps(dict(arguments)),
        "classes": json.dumps(list(classes)),
        "about": about,
    }
    target = Path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(target.name + ".part")
    save_file(state, str(beside), metadata=metadata)
    beside.replace(target)
