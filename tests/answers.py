"""The exercises of a notebook as its readers see them: stubs and solutions, run for tests."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from mircourse import check
from mircourse.check import CheckFailed, Report

BOOK = Path(__file__).parents[1] / "book"


class Answers:
    """Stubs and solutions of a chapter's exercises, and what its checks say of any answer."""

    def __init__(self, chapter: str, count: int, page: str = "exercises", **names: Any) -> None:
        self.chapter, self.numbers = chapter, range(1, count + 1)
        self._file = BOOK / chapter / f"{page}.ipynb"
        self._names = {"np": np} | names

    @functools.cache  # noqa: B019
    def cells(self, number: int) -> list[str]:
        """Return the code cells of an exercise, stub first, without their check."""
        call = f"check.{self.chapter}_{number}("
        notebook = nbformat.read(self._file, as_version=4)
        found = [c.source for c in notebook.cells if c.cell_type == "code" and call in c.source]
        return ["\n".join(x for x in source.split("\n") if call not in x) for source in found]

    def defined(self, sources: list[str]) -> Callable[..., Any]:
        """Run cells one after another and return the function that the last one defines."""
        names = dict(self._names)
        for source in sources:
            exec(source, names)
        return names[sources[-1].split("\ndef ")[-1].removeprefix("def ").split("(")[0]]

    def stub(self, number: int) -> Callable[..., Any]:
        """Return what the reader starts from."""
        return self.defined([self.cells(number)[0]])

    @functools.cache  # noqa: B019
    def solution(self, number: int) -> Callable[..., Any]:
        """Return the notebook's answer; it may use what earlier ones define."""
        return self.defined([self.cells(n)[1] for n in self.numbers if n <= number])

    def check(self, number: int, answer: Callable[..., Any]) -> None:
        """Check an answer as a reader does; raises CheckFailed where it is wrong."""
        getattr(check, f"{self.chapter}_{number}")(answer)

    def report(self, number: int, answer: Callable[..., Any]) -> Report:
        """Return what the check says of an answer."""
        return getattr(check, f"{self.chapter}_{number}").run(answer)

    def expect_failure(self, number: int, answer: Callable[..., Any], sentence: str) -> None:
        """Fail unless an answer lacks the property whose name has this sentence in it."""
        report = self.report(number, answer)
        assert any(sentence in o.name for o in report.outcomes if not o.holds), report

    def unbroken(self, wrong: dict[str, tuple[int, Callable[..., Any], str]]) -> set:
        """Return the properties that none of the wrong answers lacks: they would say nothing."""
        held = {
            (n, outcome.name)
            for n in self.numbers
            for outcome in self.report(n, self.solution(n)).outcomes
        }
        lacked = {
            (n, outcome.name)
            for n, answer, _ in wrong.values()
            for outcome in self.report(n, answer).outcomes
            if not outcome.holds
        }
        return held - lacked


class ExerciseTests:
    """What holds of every chapter's exercises; a chapter's class names its answers and mistakes.

    A mistake is the number of an exercise, a wrong answer, and a part of the name of a property
    that it lacks.
    """

    answers: Answers
    wrong: dict[str, tuple[int, Callable[..., Any], str]]

    def pytest_generate_tests(self, metafunc):
        if "number" in metafunc.fixturenames:
            metafunc.parametrize("number", self.answers.numbers)
        if "mistake" in metafunc.fixturenames:
            metafunc.parametrize("mistake", self.wrong)

    def test_the_solution_passes(self, number):
        self.answers.check(number, self.answers.solution(number))

    def test_the_stub_counts_as_not_attempted(self, number):
        with pytest.raises(CheckFailed, match="not attempted yet"):
            self.answers.check(number, self.answers.stub(number))

    def test_a_typical_mistake_fails_at_the_property_it_breaks(self, mistake):
        self.answers.expect_failure(*self.wrong[mistake])

    def test_every_property_is_broken_by_some_mistake(self):
        """A property that no wrong answer breaks would say nothing."""
        assert self.answers.unbroken(self.wrong) == set()
