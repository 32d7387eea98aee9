"""Read, check and show the result files in ``data/results``: every number in the book is there.

>>> from mircourse.experiments import results
>>> results.load("cnn-filters").value("tall", task="instruments")  # doctest: +SKIP
'0.87 [0.83, 0.91]'
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mircourse import registry
from mircourse.experiments.definition import Metric
from mircourse.experiments.schema import ResultError, validate

__all__ = ["Result", "ResultError", "Table", "load", "names", "read", "results_dir", "validate"]


def names() -> list[str]:
    """Return the names of all results, sorted."""
    return sorted(file.stem for file in results_dir().glob("*.json"))


def results_dir() -> Path:
    """Return the folder of result files, ``data/results``."""
    return registry.data_dir() / "results"


def load(name: str) -> Result:
    """Return a result by the name of its experiment.

    Parameters
    ----------
    name : str
        For example ``"cnn-filters"``.

    Raises
    ------
    ResultError
        If there is no such result (the message lists those that exist), or the file is damaged.
    """
    file = results_dir() / f"{name}.json"
    if not file.is_file():
        there = ", ".join(names()) or "none yet"
        raise ResultError(
            f"no result {name!r}; there are {there}. `mircourse experiment run {name}` makes it, "
            "if there is such an experiment"
        )
    return read(file)


def read(file: Path) -> Result:
    """Return the result in a file.

    Raises
    ------
    ResultError
        If the file is damaged or breaks the schema.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        validate(content)
    except (ValueError, UnicodeDecodeError) as error:
        raise ResultError(f"{file}: {error}") from error
    return Result(content)


@dataclass(frozen=True)
class Result:
    """One result file.

    Attributes
    ----------
    content : dict
        The file, as it is.
    """

    content: dict[str, Any]

    @property
    def experiment(self) -> str:
        """The name."""
        return self.content["experiment"]

    @property
    def claim(self) -> str:
        """The sentence that was tested."""
        return self.content["claim"]

    @property
    def verdict(self) -> str:
        """What became of it: ``"holds"``, ``"holds-when"`` or ``"fails"``."""
        return self.content["verdict"]

    @property
    def verdict_note(self) -> str:
        """The figures that decided."""
        return self.content["verdict_note"]

    @property
    def metric(self) -> Metric:
        """What the scores are."""
        return Metric(**self.content["metric"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows, as dictionaries."""
        return self.content["rows"]

    @property
    def tasks(self) -> list[str]:
        """The tasks, in the order of the rows."""
        return list(dict.fromkeys(row["task"] for row in self.rows))

    def names(self, *, task: str | None = None) -> list[str]:
        """Return the names of the rows, of one task or of all."""
        found = [row["name"] for row in self.rows if task is None or row["task"] == task]
        return list(dict.fromkeys(found))

    def row(self, name: str, *, task: str | None = None) -> dict[str, Any]:
        """Return one row; `task` may be left out where the row has only one.

        Raises
        ------
        ResultError
            If there is no such row, or more than one.
        """
        found = [r for r in self.rows if r["name"] == name and task in (None, r["task"])]
        if len(found) == 1:
            return found[0]
        if found:
            tasks = [row["task"] for row in found]
            raise ResultError(f"{self.experiment}: row {name!r} has the tasks {tasks}; name one")
        there = "; ".join(f"{r['name']!r} (task {r['task']!r})" for r in self.rows)
        wanted = f"{name!r}" if task is None else f"{name!r} (task {task!r})"
        raise ResultError(f"{self.experiment} has no row {wanted}; there are {there}")

    def value(self, name: str, *, task: str | None = None, digits: int = 2) -> str:
        """Return a row's mean and 95 % interval for a sentence: ``"0.87 [0.83, 0.91]"``."""
        return _value(self.row(name, task=task), self.metric, digits)

    def difference(self, a: str, b: str, *, task: str | None = None, digits: int = 3) -> str:
        """Return a paired difference that the verdict used: ``"+0.031 [+0.012, +0.050]"``.

        Raises
        ------
        ResultError
            If it was not used.
        """
        used = self.content.get("differences", [])
        for entry in used:
            if (entry["a"], entry["b"]) == (a, b) and task in (None, entry["task"]):
                low, high = entry["interval"]
                return f"{entry['mean']:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
        there = "; ".join(f"{e['a']!r} minus {e['b']!r} ({e['task']!r})" for e in used) or "none"
        raise ResultError(
            f"{self.experiment} holds no difference {a!r} minus {b!r}; it has {there}"
        )

    def table(self, *, task: str | None = None, digits: int = 2) -> Table:
        """Return the rows as a table, of one task or of all.

        Raises
        ------
        ResultError
            If there is no such task.
        """
        if task is not None and task not in self.tasks:
            raise ResultError(f"{self.experiment} has no task {task!r}; it has {self.tasks}")
        shown = [row for row in self.rows if task in (None, row["task"])]
        return _make_table(self, shown, digits)

    def __repr__(self) -> str:
        return f"{self.experiment}: {self.claim} → {self.verdict}\n{self.table()!r}"


@dataclass(frozen=True)
class Table:
    """A table that shows as text or as HTML.

    Attributes
    ----------
    caption : str
        What it shows.
    header : list of str
        Column names; the first column names the rows.
    cells : list of list of str
        One list a row.
    """

    caption: str
    header: list[str]
    cells: list[list[str]]

    def __repr__(self) -> str:
        lines = [self.header, *self.cells]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
        rule = "  ".join("-" * width for width in widths)
        return "\n".join(line.rstrip() for line in [text[0], rule, *text[1:], self.caption])

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in self.header)
        body = ""
        for first, *others in self.cells:
            rest = "".join(f"<td>{html.escape(cell)}</td>" for cell in others)
            body += f'<tr><th scope="row">{html.escape(first)}</th>{rest}</tr>\n'
        return (
            f'<table class="results"><caption>{html.escape(self.caption)}</caption>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>"
        )


def _make_table(result: Result, rows: list[dict[str, Any]], digits: int) -> Table:
    metric = result.metric
    score = metric.name + (f" ({metric.unit})" if metric.unit else "")
    columns: list[tuple[str, list[str]]] = [
        ("row", [row["name"] for row in rows]),
        ("kind", [row["kind"] for row in rows]),
        ("task", [row["task"] for row in rows]),
        (score, [_value(row, Metric(metric.name), digits) for row in rows]),
        ("parameters", [f"{row['parameters']:,}" if row["parameters"] else "" for row in rows]),
        ("seeds", [str(len(row["seeds"]) or "") for row in rows]),
        ("note", [row["note"] for row in rows]),
    ]
    # A column that says the same everywhere, or nothing, only takes room.
    alike = {name: len(set(cells)) == 1 for name, cells in columns}
    blank = {name: not any(cells) for name, cells in columns}
    kept = [
        (name, cells)
        for name, cells in columns
        if not (blank[name] or (name == "task" and alike[name]))
    ]
    direction = "higher" if metric.higher_is_better else "lower"
    split = f" on the {result.content['split']} split" if result.content["split"] else ""
    seeds = " and seeds" if any(len(row["seeds"]) > 1 for row in rows) else ""
    caption = (
        f"{score}{split}, {direction} is better; in brackets the 95 % bootstrap interval over "
        f"{result.content['groups']}{seeds}."
    )
    if alike["task"] and rows[0]["task"]:
        caption = f"{rows[0]['task']}: {caption}"
    cells = [list(line) for line in zip(*(column for _, column in kept), strict=True)]
    return Table(caption, [name for name, _ in kept], cells)


def _value(row: dict[str, Any], metric: Metric, digits: int) -> str:
    unit = f" {metric.unit}" if metric.unit else ""
    mean = f"{row['mean']:.{digits}f}"
    if row["interval"] is None:
        return mean + unit
    low, high = row["interval"]
    return f"{mean} [{low:.{digits}f}, {high:.{digits}f}]{unit}"
