"""One step of `nt_xent`, forward and backward, beside lightly and pytorch-metric-learning."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightly.loss import NTXentLoss
from numpy.typing import NDArray
from pytorch_metric_learning import losses
from torch import Tensor

from mircourse.contrastive import nt_xent
from mircourse.experiments import results
from mircourse.experiments.benchmark import Timing, write_benchmark
from mircourse.experiments.definition import Metric
from mircourse.experiments.report import describe_metric, provenance
from mircourse.experiments.runner import describe_device, write_atomically
from parts.beside import Function, peak_megabytes, ratio_of, seconds

Loss = Callable[[Tensor, Tensor], Tensor]

DIMENSIONS, TEMPERATURE = 128, 0.1
ROUNDS = {256: 15, 512: 9, 1024: 7, 2048: 5, 4096: 3, 8192: 3}  # by clips
OURS, LIGHTLY, PML = "nt_xent", "lightly", "pytorch-metric-learning"
PML_UP_TO = 256
TIME_CLAIM = "nt_xent takes no longer than the loss of lightly and of pytorch-metric-learning"
MEMORY_CLAIM = "nt_xent takes no more memory than the loss of lightly and pytorch-metric-learning"
# Of the vectors, the gradients and what the allocator rounds up to, which all have alike.
MARGIN_MB = 0.5


@dataclass(frozen=True)
class Measured:
    """One batch size: times (rounds, methods) in seconds, and peaks in MB, by method."""

    clips: int
    methods: tuple[str, ...]
    times: NDArray[np.float64]
    megabytes: tuple[float | None, ...]


def write(*, fast: bool, command: str, folder: Path | None) -> list[Path]:
    """Measure, and write the files of time and, where it can be told, of memory."""
    measured = measure(fast=fast)
    files = [
        write_benchmark(
            "contrastive", claim=TIME_CLAIM, rows=times(measured), command=command, folder=folder
        )
    ]
    if all(peak is not None for m in measured for peak in m.megabytes):
        content = memory(measured, command)
        results.validate(content)
        file = (folder or results.results_dir()) / f"{content['experiment']}.json"
        write_atomically(file, content)
        files.append(file)
    return files


def describe(file: Path) -> str:
    found = results.read(file)
    return f"{found!r}\n{found.verdict_note}"


def measure(*, fast: bool) -> list[Measured]:
    """Time all methods in turns at every batch size, once they have agreed."""
    found = []
    for clips, rounds in ({4: 2, 8: 2} if fast else ROUNDS).items():
        methods = methods_for(clips)
        steps = [step(loss, clips) for loss in methods.values()]
        check_alike(list(methods), steps)
        gc.collect()
        taken = np.array([[seconds(one) for one in steps] for _ in range(rounds)])
        peaks = tuple(peak_megabytes(one) for one in steps)
        found.append(Measured(clips, tuple(methods), taken, peaks))
    return found


def methods_for(clips: int) -> dict[str, Loss]:
    """Return the losses that can stand so many clips."""
    lightly = NTXentLoss(temperature=TEMPERATURE)
    methods: dict[str, Loss] = {OURS: lambda a, b: nt_xent(a, b, TEMPERATURE), LIGHTLY: lightly}
    if clips <= PML_UP_TO:
        methods[PML] = losses.SelfSupervisedLoss(losses.NTXentLoss(temperature=TEMPERATURE))
    return methods


def step(loss: Loss, clips: int) -> Function:
    """Return a function that computes a loss and its gradient, and returns both."""
    generator = torch.Generator().manual_seed(0)
    leaves = [
        torch.randn(clips, DIMENSIONS, generator=generator, requires_grad=True) for _ in range(2)
    ]

    def take() -> tuple[float, Tensor]:
        for leaf in leaves:
            leaf.grad = None
        value = loss(*leaves)
        value.backward()
        gradient = leaves[0].grad
        assert gradient is not None
        return value.item(), gradient

    return take


def check_alike(names: list[str], steps: list[Function]) -> None:
    """Raise if two losses differ in value or gradient: then their times mean nothing."""
    value, gradient = steps[0]()
    for name, one in zip(names[1:], steps[1:], strict=True):
        other, theirs = one()
        apart = (gradient - theirs).abs().max().item() / gradient.abs().max().item()
        if abs(value - other) > 1e-4 * abs(value) or apart > 1e-3:
            raise ValueError(
                f"{names[0]} is {value} and {name} {other}; their gradients are {apart:.1e} of the "
                "largest number apart; expected the same loss"
            )


def times(measured: list[Measured]) -> list[Timing]:
    """Return a row for each peer and batch size."""
    rows = []
    for m in measured:
        for k, name in enumerate(m.methods[1:], start=1):
            ratio = ratio_of(m.times[:, [0, k]])
            note = f"{1e3 * ratio.seconds_a:.1f} ms against {1e3 * ratio.seconds_b:.1f} ms"
            rows.append(Timing(f"{OURS} against {name}", ratio, f"{m.clips:,} clips", note=note))
    return rows


def memory(measured: list[Measured], command: str) -> dict[str, Any]:
    """Return the content of the result file of memory."""
    rows, more = [], []
    for m in measured:
        for name, peak in zip(m.methods, m.megabytes, strict=True):
            rows.append(_row(name, m.clips, float(peak or 0.0)))
            if name != OURS and (m.megabytes[0] or 0.0) > (peak or 0.0) + MARGIN_MB:
                more.append(f"{name}, {m.clips:,} clips")
    last = measured[-1]
    told = ", ".join(f"{n} {p:.0f} MB" for n, p in zip(last.methods, last.megabytes, strict=True))
    compared = sum(len(m.methods) - 1 for m in measured)
    verdict = "holds" if not more else "holds-when" if len(more) < compared else "fails"
    exceeded = f"; more than {'; '.join(more)}" if more else ""
    return {
        "experiment": "bench-contrastive-memory",
        "claim": MEMORY_CLAIM,
        "verdict": verdict,
        "verdict_note": f"at {last.clips:,} clips {told}{exceeded}",
        "command": command,
        "device": describe_device(),
        "wall_seconds": round(float(sum(m.times.sum() for m in measured)), 1),
        **provenance(),
        "metric": describe_metric(Metric("peak memory", "MB", higher_is_better=False)),
        "split": "",
        "groups": "rounds",
        "rows": rows,
    }


def _row(name: str, clips: int, peak: float) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "ours" if name == OURS else "peer",
        "task": f"{clips:,} clips",
        "parameters": 0,
        "seeds": [0],
        "scores": [peak],
        "mean": peak,
        "interval": [peak, peak],
        "note": "" if name == OURS else f"{name} {version(name)}",
    }
