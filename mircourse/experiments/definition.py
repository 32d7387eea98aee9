"""What an experiment is: a claim, the rows that test it, and the rule for the verdict."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mircourse.experiments.comparison import Comparison

KINDS = ("ours", "baseline", "peer", "published")
VERDICTS = ("holds", "holds-when", "fails")

RunUnit = Callable[["Row", str, int, bool], dict[str, Any]]
Rule = Callable[["Comparison"], "Verdict"]
Statistic = Callable[[Any, Any], float]

_EXPERIMENTS: dict[str, Experiment] = {}


@dataclass(frozen=True)
class Metric:
    """What the scores are.

    Attributes
    ----------
    name : str
        For example ``"accuracy"``.
    unit : str
        Empty for a share.
    higher_is_better : bool
        Whether a larger score is the better one.
    """

    name: str
    unit: str = ""
    higher_is_better: bool = True


@dataclass(frozen=True)
class Row:
    """One condition of an experiment.

    Attributes
    ----------
    name : str
        As it stands in the table.
    kind : {"ours", "baseline", "peer", "published"}
        What it is; "published" is a figure from the literature, given in `published`.
    settings : mapping
        What the unit function needs to know; JSON values. Units run again when it changes.
    tasks : sequence of str, optional
        The tasks that this row takes part in; all of them unless given.
    deterministic : bool
        The seed changes nothing: run once.
    published : mapping, optional
        The published score by task.
    note : str
        Stands beside the row, for example where a protocol differs.
    """

    name: str
    kind: str = "ours"
    settings: Mapping[str, Any] = field(default_factory=dict)
    tasks: Sequence[str] | None = None
    deterministic: bool = False
    published: Mapping[str, float] | None = None
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of the claim.

    Attributes
    ----------
    value : {"holds", "holds-when", "fails"}
        "holds-when": in some tasks or under a condition that `note` names.
    note : str
        A sentence with the figures that decided.
    """

    value: str
    note: str

    def __post_init__(self) -> None:
        if self.value not in VERDICTS:
            raise ValueError(f"a verdict is one of {VERDICTS}, got {self.value!r}")


def both(*verdicts: Verdict) -> Verdict:
    """Return one verdict of several: it holds if all do, fails if all do, else holds-when."""
    values = {verdict.value for verdict in verdicts}
    value = values.pop() if len(values) == 1 else "holds-when"
    return Verdict(value, "; ".join(verdict.note for verdict in verdicts))


@dataclass(frozen=True)
class Experiment:
    """A claim and what tests it; made by `experiment`, whose parameters these are."""

    name: str
    claim: str
    metric: Metric
    split: str
    groups: str
    rows: Sequence[Row]
    tasks: Sequence[str]
    rule: Rule
    run_unit: RunUnit
    statistic: Statistic | None
    seeds: int
    fast_seeds: int
    version: int
    weights: Sequence[str]

    def tasks_of(self, row: Row) -> Sequence[str]:
        """Return the tasks that a row takes part in."""
        return self.tasks if row.tasks is None else row.tasks


def experiment(
    *,
    name: str,
    claim: str,
    metric: Metric,
    groups: str,
    rows: Sequence[Row],
    rule: Rule,
    tasks: Sequence[str] = ("",),
    split: str = "test",
    statistic: Statistic | None = None,
    seeds: int = 5,
    fast_seeds: int = 2,
    version: int = 1,
    weights: Sequence[str] = (),
) -> Callable[[RunUnit], Experiment]:
    """Make an experiment of a function that runs one unit.

    The function takes ``(row, task, seed, fast)`` and returns a dictionary: ``scores``, one a
    test item, and ``groups``, what each item belongs to; ``truth`` and ``prediction`` if there is
    a `statistic`; ``parameters`` and ``seconds`` if they mean something. The test items of a task
    are the same, and in the same order, for all rows and seeds.

    Parameters
    ----------
    name : str
        Names the result file: lower-case words joined by hyphens.
    claim : str
        The sentence that is tested.
    metric : Metric
        What the scores are.
    groups : str
        What the bootstrap resamples, in a word: ``"pitch"``, ``"piece"``.
    rows : sequence of Row
        The conditions.
    rule : callable
        Gives the `Verdict` from a `mircourse.experiments.comparison.Comparison`.
    tasks : sequence of str
        What each row is tried on.
    split : str
        The split that is scored.
    statistic : callable, optional
        ``(truth, prediction) -> float`` where the metric is not a mean over items.
    seeds, fast_seeds : int
        Seeds run unless the command says otherwise, and in the fast version.
    version : int
        Raise it when the code of the units changes, so that stored outcomes are not used.
    weights : sequence of str
        Names of the shipped weights that units load: with others, stored outcomes are not used.

    Raises
    ------
    ValueError
        If a name is taken or malformed, a kind or a task unknown, or two rows share a name.
    """

    def make(run_unit: RunUnit) -> Experiment:
        made = Experiment(
            name=name,
            claim=claim,
            metric=metric,
            split=split,
            groups=groups,
            rows=tuple(rows),
            tasks=tuple(tasks),
            rule=rule,
            run_unit=run_unit,
            statistic=statistic,
            seeds=seeds,
            fast_seeds=fast_seeds,
            version=version,
            weights=tuple(weights),
        )
        _check(made)
        taken = _EXPERIMENTS.get(name)
        if taken is not None and taken.run_unit.__module__ != run_unit.__module__:
            raise ValueError(f"the experiment {name!r} is already in {taken.run_unit.__module__}")
        _EXPERIMENTS[name] = made
        return made

    return make


def find(name: str) -> Experiment:
    """Return an experiment whose module has been imported.

    Raises
    ------
    KeyError
        If there is none of that name; the message lists those that exist.
    """
    if name not in _EXPERIMENTS:
        raise KeyError(f"no experiment {name!r}; there are {', '.join(sorted(_EXPERIMENTS))}")
    return _EXPERIMENTS[name]


def defined() -> list[Experiment]:
    """Return all experiments whose modules have been imported, in the order of definition."""
    return list(_EXPERIMENTS.values())


def _check(made: Experiment) -> None:
    if not made.name or set(made.name) - set("abcdefghijklmnopqrstuvwxyz0123456789-"):
        raise ValueError(f"a name is lower-case words joined by hyphens, got {made.name!r}")
    names = [row.name for row in made.rows]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{made.name} needs rows with names of their own, got {names}")
    if made.seeds < 1 or made.fast_seeds < 1:
        raise ValueError(f"{made.name} needs at least one seed")
    for row in made.rows:
        where = f"{made.name}, row {row.name!r}"
        if row.kind not in KINDS:
            raise ValueError(f"{where}: kind must be one of {KINDS}, got {row.kind!r}")
        if (row.kind == "published") != (row.published is not None):
            raise ValueError(f"{where}: published scores and the kind 'published' go together")
        used = set(made.tasks_of(row)) | set(row.published or ())
        if unknown := used - set(made.tasks):
            raise ValueError(f"{where}: unknown tasks {sorted(unknown)}; known: {made.tasks}")
        try:
            json.dumps(dict(row.settings), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: settings must be JSON values ({error})") from error
