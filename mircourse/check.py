"""Feedback on exercises: the property of a right answer that yours lacks, and for what input.

For readers::

    from mircourse import check

    check.cnn_1(my_function)

In a notebook this prints the outcome; anywhere else (a script, pytest) it prints success and raises
`CheckFailed`, an ``AssertionError`` with the same text, on failure.

For authors: an exercise's properties live in ``mircourse/checks/<chapter>.py``, and exercise ``n``
of a chapter is called ``<chapter>_<n>``, so that ``check.cnn_1`` finds it::

    from mircourse.check import exercise, expect, expect_raises

    frames = exercise("cnn_1", title="How many frames?")

    @frames.property("n samples give 1 + n // hop frames")
    def _(n_frames):
        for samples in (0, 511, 512, 22050):
            expect(n_frames(samples, hop=512), 1 + samples // 512)

    @frames.property("refuses a negative number of samples")
    def _(n_frames):
        expect_raises(ValueError, n_frames, -1, hop=512)

A property receives the reader's function in a wrapper that remembers the last call, which is the
input shown when an expectation fails. What the function raises counts as a failed property.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mircourse.expectations import (
    Mismatch,
    NotAttempted,
    Raised,
    describe,
    error_line,
    expect,
    expect_raises,
)
from mircourse.figures import in_notebook

__all__ = [
    "CheckFailed",
    "Exercise",
    "Outcome",
    "Report",
    "exercise",
    "exercises",
    "expect",
    "expect_raises",
]

_EXERCISES: dict[str, Exercise] = {}


class CheckFailed(AssertionError):
    """An answer lacks a property, or has not been attempted."""


@dataclass(frozen=True)
class Outcome:
    """What became of one property.

    Attributes
    ----------
    name : str
        The property, as a sentence.
    holds : bool
        Whether it holds.
    details : tuple of str
        Lines that say what failed: input, expected and got, or the error.
    """

    name: str
    holds: bool
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What became of an answer; ``str(report)`` is what readers see.

    Attributes
    ----------
    exercise, title : str
        Which exercise.
    outcomes : tuple of Outcome
        One a property; empty if the answer was not attempted.
    """

    exercise: str
    title: str
    outcomes: tuple[Outcome, ...]

    @property
    def attempted(self) -> bool:
        """Whether the function does anything but raise NotImplementedError."""
        return bool(self.outcomes)

    @property
    def passed(self) -> bool:
        """Whether every property holds."""
        return self.attempted and all(outcome.holds for outcome in self.outcomes)

    def __str__(self) -> str:
        name = f"{self.exercise} ({self.title})"
        if not self.attempted:
            return (
                f"○ {name}: not attempted yet; replace the NotImplementedError and run this again"
            )
        total = len(self.outcomes)
        failed = sum(not outcome.holds for outcome in self.outcomes)
        if not failed:
            return f"✓ {name}: {_all(total)}"
        lines = [f"✗ {name}: {failed} of {total} properties {'fail' if failed > 1 else 'fails'}"]
        for outcome in self.outcomes:
            lines.append(f"  {'✓' if outcome.holds else '✗'} {outcome.name}")
            lines += [f"      {line}" for line in outcome.details]
        return "\n".join(lines)


class Exercise:
    """An exercise: a name and the properties that every right answer has.

    Made by `exercise`; call it with an answer to check it.
    """

    def __init__(self, name: str, title: str) -> None:
        self.name, self.title = name, title
        self._properties: dict[str, Callable[[Any], None]] = {}

    def __repr__(self) -> str:
        return f"<Exercise {self.name}, {self.title!r}: {len(self._properties)} properties>"

    def property(self, sentence: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
        """Add a property by decorating a function that takes the answer.

        Parameters
        ----------
        sentence : str
            What holds of a right answer, for the reader.

        Raises
        ------
        ValueError
            If the exercise has this property already.
        """
        if sentence in self._properties:
            raise ValueError(f"{self.name} has the property {sentence!r} already")

        def add(test: Callable[[Any], None]) -> Callable[[Any], None]:
            self._properties[sentence] = test
            return test

        return add

    def run(self, answer: Callable[..., Any]) -> Report:
        """Try every property on an answer and return what came of it; print nothing.

        Raises
        ------
        TypeError
            If the answer cannot be called.
        ValueError
            If the exercise has no properties.
        """
        if not callable(answer):
            raise TypeError(
                f"check.{self.name} takes your function itself, as in "
                f"check.{self.name}(my_function), but got {describe(answer)}"
            )
        if not self._properties:
            raise ValueError(f"{self.name} has no properties to check")
        try:
            outcomes = [_try(name, test, answer) for name, test in self._properties.items()]
        except NotAttempted:
            outcomes = []
        return Report(self.name, self.title, tuple(outcomes))

    def __call__(self, answer: Callable[..., Any], *, raise_on_fail: bool | None = None) -> None:
        """Check an answer and say what came of it.

        Parameters
        ----------
        answer : callable
            The reader's function or class.
        raise_on_fail : bool, optional
            Whether to raise instead of printing when a property fails; by default, everywhere but
            in a notebook.

        Raises
        ------
        CheckFailed
            If a property fails or the answer is not attempted, where asked to raise.
        TypeError
            If the answer cannot be called.
        """
        report = self.run(answer)
        raises = not in_notebook() if raise_on_fail is None else raise_on_fail
        if raises and not report.passed:
            raise CheckFailed(str(report))
        print(report)


def exercise(name: str, *, title: str) -> Exercise:
    """Register an exercise.

    Parameters
    ----------
    name : str
        ``<chapter>_<number>``; readers check it with ``check.<name>(answer)``.
    title : str
        What it asks for, in a few words.

    Raises
    ------
    ValueError
        If the name is taken or is not of that form.
    """
    chapter, _, number = name.rpartition("_")
    if not chapter.isidentifier() or not number.isdecimal():
        raise ValueError(f"exercise name {name!r} but <chapter>_<number> is expected")
    if name in _EXERCISES:
        raise ValueError(f"there is an exercise {name!r} already")
    _EXERCISES[name] = Exercise(name, title)
    return _EXERCISES[name]


def exercises() -> list[Exercise]:
    """Return all exercises of all chapters, by name."""
    checks = importlib.import_module("mircourse.checks")
    for module in pkgutil.iter_modules(checks.__path__):
        importlib.import_module(f"mircourse.checks.{module.name}")
    return [_EXERCISES[name] for name in sorted(_EXERCISES, key=_by_number)]


class _Watched:
    """The reader's function, remembering its last call for the report."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function, updated=())
        self._function = function
        self.last_call = ""

    def __call__(self, *args: Any, **kw: Any) -> Any:
        given = [describe(arg) for arg in args]
        given += [f"{name}={describe(arg)}" for name, arg in kw.items()]
        self.last_call = f"{getattr(self._function, '__name__', 'answer')}({', '.join(given)})"
        try:
            return self._function(*args, **kw)
        except NotImplementedError as error:
            raise NotAttempted from error
        except Exception as error:
            raise Raised from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def _try(name: str, test: Callable[[Any], None], answer: Callable[..., Any]) -> Outcome:
    watched = _Watched(answer)
    details: tuple[str, ...]
    try:
        test(watched)
    except NotAttempted:
        raise
    except Mismatch as mismatch:
        details = mismatch.args
    except Raised as raised:
        details = (f"error:    {error_line(raised.__cause__, answer)}",)
    except AssertionError as error:
        details = (f"because:  {error}",) if str(error) else ()
    except NotImplementedError as error:
        raise NotAttempted from error
    except Exception as error:
        # A method of the answer, or what was done with the value it returned, raised.
        details = (f"error:    {error_line(error, answer)}",)
    else:
        return Outcome(name, True)
    given = (f"input:    {watched.last_call}",) if watched.last_call else ()
    return Outcome(name, False, given + details)


def _all(total: int) -> str:
    return "its property holds" if total == 1 else f"all {total} properties hold"


def _by_number(name: str) -> tuple[str, int]:
    chapter, _, number = name.rpartition("_")
    return chapter, int(number)


def __getattr__(name: str) -> Exercise:
    chapter, _, number = name.rpartition("_")
    if chapter.isidentifier() and not chapter.startswith("_") and number.isdecimal():
        module = f"mircourse.checks.{chapter}"
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name not in (module, "mircourse.checks"):
                raise
        if name in _EXERCISES:
            return _EXERCISES[name]
        there = ", ".join(n for n in sorted(_EXERCISES, key=_by_number)) or "none"
        raise AttributeError(f"no exercise {name!r}; there are {there}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *(found.name for found in exercises())]
