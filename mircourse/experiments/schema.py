"""What a result file must hold, and the check that it does."""

from __future__ import annotations

import math
from typing import Any

from mircourse.experiments.definition import KINDS, VERDICTS

Fields = dict[str, type | tuple[type, ...]]

FIELDS: Fields = {
    "experiment": str,
    "claim": str,
    "verdict": str,
    "verdict_note": str,
    "command": str,
    "revision": str,
    "date": str,
    "device": str,
    "wall_seconds": (int, float),
    "versions": dict,
    "metric": dict,
    "split": str,
    "groups": str,
    "rows": list,
}
ROW_FIELDS: Fields = {
    "name": str,
    "kind": str,
    "task": str,
    "parameters": int,
    "seeds": list,
    "scores": list,
    "mean": (int, float),
    "interval": (list, type(None)),
    "note": str,
}
DIFFERENCE_FIELDS: Fields = {
    "a": str,
    "b": str,
    "task": str,
    "mean": (int, float),
    "interval": list,
}


class ResultError(ValueError):
    """There is no such result, row or task, or a result file breaks the schema."""


def validate(content: Any) -> None:
    """Check that a dictionary is a result.

    Beside the fields of the schema, a result may hold ``differences``, the paired differences
    that decided the verdict, and a row ``seconds``, the mean time of a unit.

    Raises
    ------
    ResultError
        If a field is missing, unknown, of the wrong type, or contradicts another.
    """
    _check_fields(content, FIELDS, "the result", optional={"differences": list})
    if content["verdict"] not in VERDICTS:
        raise ResultError(f"verdict must be one of {VERDICTS}, got {content['verdict']!r}")
    metric: Fields = {
        "name": str,
        "unit": str,
        "higher_is_better": bool,
    }
    _check_fields(content["metric"], metric, "metric")
    if not content["rows"]:
        raise ResultError("rows is empty")
    seen = set()
    for row in content["rows"]:
        _check_row(row)
        if (row["name"], row["task"]) in seen:
            raise ResultError(f"row {row['name']!r} is there twice for task {row['task']!r}")
        seen.add((row["name"], row["task"]))
    for difference in content.get("differences", []):
        where = "a difference"
        _check_fields(difference, DIFFERENCE_FIELDS, where)
        _check_interval(difference["interval"], difference["mean"], where)
        for side in ("a", "b"):
            if (difference[side], difference["task"]) not in seen:
                raise ResultError(f"{where} names the row {difference[side]!r}, which is not there")


def _check_row(row: Any) -> None:
    where = f"row {row.get('name')!r}" if isinstance(row, dict) else "a row"
    _check_fields(row, ROW_FIELDS, where, optional={"seconds": (int, float)})
    if row["kind"] not in KINDS:
        raise ResultError(f"{where}: kind must be one of {KINDS}, got {row['kind']!r}")
    scores = row["scores"]
    if not scores or not all(_is_finite(score) for score in scores):
        raise ResultError(f"{where}: scores must be finite numbers, got {scores}")
    if row["kind"] == "published":
        return
    if len(scores) != len(row["seeds"]) or row["interval"] is None:
        raise ResultError(f"{where}: needs one score a seed and an interval")
    if not math.isclose(sum(scores) / len(scores), row["mean"], rel_tol=1e-6, abs_tol=1e-9):
        raise ResultError(f"{where}: mean {row['mean']} is not the mean of its scores {scores}")
    _check_interval(row["interval"], row["mean"], where)


def _check_interval(interval: Any, mean: float, where: str) -> None:
    if len(interval) != 2 or not all(_is_finite(end) for end in interval):
        raise ResultError(f"{where}: interval must be two finite numbers, got {interval}")
    if interval[0] > interval[1]:
        raise ResultError(f"{where}: interval {interval} runs backwards")


def _check_fields(
    content: Any,
    fields: Fields,
    where: str,
    optional: Fields | None = None,
) -> None:
    if not isinstance(content, dict):
        raise ResultError(f"{where} must be a dictionary, got {type(content).__name__}")
    if missing := set(fields) - set(content):
        raise ResultError(f"{where} lacks {sorted(missing)}")
    known = fields | (optional or {})
    if unknown := set(content) - set(known):
        raise ResultError(f"{where} has the unknown {sorted(unknown)}")
    for name, value in content.items():
        kind = known[name]
        # JSON's true and false are no numbers, though Python's bool is an int.
        wrong_bool = isinstance(value, bool) and kind is not bool
        if wrong_bool or not isinstance(value, kind):
            raise ResultError(f"{where}: {name} is {value!r}, which is no {kind}")


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
