"""From stored outcomes to figures: means, intervals, paired differences, the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mircourse.experiments.definition import Experiment, Row, Verdict
from mircourse.experiments.runner import Outcome
from mircourse.intervals import bootstrap, bootstrap_statistic, paired_difference

OnIndex = Callable[[NDArray[np.int64]], float]


class Comparison:
    """The outcomes of an experiment, as the rule for its verdict sees them.

    Every paired difference that is asked for is kept in `differences`, which goes into the
    result file beside the verdict.

    Parameters
    ----------
    experiment : Experiment
        What was run.
    outcomes : dict
        The outcomes by row name and task: a list, one a seed.

    Raises
    ------
    ValueError
        If the outcomes of a task are not about the same items.
    """

    def __init__(
        self, experiment: Experiment, outcomes: dict[tuple[str, str], list[Outcome]]
    ) -> None:
        self.experiment = experiment
        self.outcomes = outcomes
        self.differences: list[dict[str, Any]] = []
        self._groups: dict[str, list[str]] = {}
        for (row, task), several in outcomes.items():
            for outcome in several:
                if self._groups.setdefault(task, outcome.groups) != outcome.groups:
                    raise ValueError(
                        f"{experiment.name}, task {task!r}: row {row!r} was scored on other "
                        "items, or in another order, than the rows before it"
                    )

    def tasks(self, *rows: str) -> list[str]:
        """Return the tasks in which all the named rows have outcomes."""
        return [
            task
            for task in self.experiment.tasks
            if all((row, task) in self.outcomes for row in rows)
        ]

    def scores(self, row: str, task: str = "") -> list[float]:
        """Return one score a seed."""
        statistic = self.experiment.statistic
        several = self._several(row, task)
        if statistic is None:
            return [float(outcome.scores.mean()) for outcome in several]
        return [
            float(statistic(np.asarray(outcome.truth), np.asarray(outcome.prediction)))
            for outcome in several
        ]

    def mean(self, row: str, task: str = "") -> float:
        """Return the mean score over seeds."""
        return float(np.mean(self.scores(row, task)))

    def interval(self, row: str, task: str = "") -> tuple[float, float]:
        """Return the 95 % bootstrap interval of the mean score, over groups and seeds."""
        several = self._several(row, task)
        groups = self._groups[task]
        if self.experiment.statistic is None:
            items = np.stack([outcome.scores for outcome in several])  # (n_seeds, n_items)
            found = bootstrap(items, groups=groups)
        else:
            runs = [self._run(outcome) for outcome in several]
            found = bootstrap_statistic(runs, len(groups), groups=groups)
        return found.low, found.high

    def difference(self, a: str, b: str, task: str = "") -> tuple[float, float, float]:
        """Return the mean of `a` minus `b` and its 95 % interval, paired by item and seed.

        A row that ran once is compared with every seed of the other.

        Raises
        ------
        ValueError
            If both rows have several seeds, but not equally many.
        """
        first, second = self._several(a, task), self._several(b, task)
        n_seeds = max(len(first), len(second))
        if min(len(first), len(second)) not in (1, n_seeds):
            raise ValueError(
                f"{a!r} has {len(first)} seeds and {b!r} {len(second)}: they cannot be paired"
            )
        first, second = (s * n_seeds if len(s) == 1 else s for s in (first, second))
        groups = self._groups[task]
        if self.experiment.statistic is None:
            items = [np.stack([outcome.scores for outcome in s]) for s in (first, second)]
            found = paired_difference(items[0], items[1], groups=groups)
        else:
            runs = [
                _minus(self._run(one), self._run(other))
                for one, other in zip(first, second, strict=True)
            ]
            found = bootstrap_statistic(runs, len(groups), groups=groups)
        triple = (found.mean, found.low, found.high)
        entry = {"a": a, "b": b, "task": task, "mean": triple[0], "interval": list(triple[1:])}
        if entry not in self.differences:
            self.differences.append(entry)
        return triple

    def better(self, a: str, b: str, task: str = "") -> bool:
        """Return whether `a` is better than `b`: the interval of the difference excludes zero."""
        _, low, high = self.difference(a, b, task)
        return low > 0 if self.experiment.metric.higher_is_better else high < 0

    def verdict(self, a: str, b: str, *, tasks: Sequence[str] | None = None) -> Verdict:
        """Return the verdict on "`a` is better than `b`".

        It holds if `a` is better in every task, holds-when if in some, else fails. The note
        states each difference with its interval.

        Parameters
        ----------
        a, b : str
            Names of rows.
        tasks : sequence of str, optional
            Where to compare; every task that both rows take part in unless given.
        """
        used = self.tasks(a, b) if tasks is None else list(tasks)
        if not used:
            raise ValueError(f"{a!r} and {b!r} share no task")
        won = [task for task in used if self.better(a, b, task)]
        value = "holds" if len(won) == len(used) else "holds-when" if won else "fails"
        parts = []
        for task in used:
            mean, low, high = self.difference(a, b, task)
            parts.append(f"{task + ': ' if task else ''}{mean:+.3f} [{low:+.3f}, {high:+.3f}]")
        return Verdict(value, f"{a} minus {b}: {'; '.join(parts)}")

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the result file, in the order of the experiment."""
        return [
            self._row(row, task)
            for row in self.experiment.rows
            for task in self.experiment.tasks_of(row)
            if (row.published is None or task in row.published)
        ]

    def _row(self, row: Row, task: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": row.name, "kind": row.kind, "task": task}
        if row.published is not None:
            # A figure from the literature comes without items to resample.
            score = float(row.published[task])
            return entry | {
                "parameters": 0,
                "seeds": [],
                "scores": [score],
                "mean": score,
                "interval": None,
                "note": row.note,
                "seconds": 0.0,
            }
        several = self._several(row.name, task)
        return entry | {
            "parameters": several[0].parameters,
            "seeds": list(range(len(several))),
            "scores": self.scores(row.name, task),
            "mean": self.mean(row.name, task),
            "interval": list(self.interval(row.name, task)),
            "note": row.note,
            "seconds": float(np.mean([outcome.seconds for outcome in several])),
        }

    def _several(self, row: str, task: str) -> list[Outcome]:
        try:
            return self.outcomes[row, task]
        except KeyError:
            known = ", ".join(f"{name!r} in {where!r}" for name, where in self.outcomes)
            raise ValueError(f"no outcome of {row!r} in task {task!r}; there are {known}") from None

    def _run(self, outcome: Outcome) -> OnIndex:
        statistic = self.experiment.statistic
        assert statistic is not None
        truth, prediction = np.asarray(outcome.truth), np.asarray(outcome.prediction)
        return lambda index: float(statistic(truth[index], prediction[index]))


def _minus(one: OnIndex, other: OnIndex) -> OnIndex:
    return lambda index: one(index) - other(index)
