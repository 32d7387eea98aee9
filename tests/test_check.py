import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from mircourse import check, checks
from mircourse.check import CheckFailed, exercise, exercises, expect, expect_raises
from mircourse.expectations import Mismatch, describe

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = """
from mircourse.check import exercise, expect, expect_raises

frames = exercise("toy_1", title="How many frames?")


@frames.property("n samples give 1 + n // hop frames")
def _(n_frames):
    for samples in (0, 511, 512, 22050):
        expect(n_frames(samples, hop=512), 1 + samples // 512)


@frames.property("refuses a negative number of samples")
def _(n_frames):
    expect_raises(ValueError, n_frames, -1, hop=512)
"""


def right(samples, hop):
    if samples < 0:
        raise ValueError("negative")
    return 1 + samples // hop


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    """A chapter of its own, found as the real ones are."""
    monkeypatch.setattr(check, "_EXERCISES", {})
    monkeypatch.setattr(checks, "__path__", [str(tmp_path)])
    (tmp_path / "toy.py").write_text(CHAPTER)
    before = set(sys.modules)
    yield
    # What was loaded here registered itself where no other test would find it.
    for name in set(sys.modules) - before:
        if name.startswith("mircourse.checks."):
            del sys.modules[name]
            vars(checks).pop(name.rpartition(".")[2], None)


def report(answer):
    return str(check.toy_1.run(answer))


def test_a_right_answer(capsys):
    check.toy_1(right)
    assert capsys.readouterr().out == "✓ toy_1 (How many frames?): all 2 properties hold\n"
    assert check.toy_1.run(right).passed


def test_a_wrong_answer_names_property_input_expected_and_got():
    def off_by_one(samples, hop):
        return 1 + (samples + 1) // hop if samples >= 0 else right(samples, hop)

    assert report(off_by_one).splitlines() == [
        "✗ toy_1 (How many frames?): 1 of 2 properties fails",
        "  ✗ n samples give 1 + n // hop frames",
        "      input:    off_by_one(511, hop=512)",
        "      expected: 1",
        "      got:      2",
        "  ✓ refuses a negative number of samples",
    ]
    with pytest.raises(CheckFailed, match=r"off_by_one\(511, hop=512\)") as failure:
        check.toy_1(off_by_one)
    assert isinstance(failure.value, AssertionError)
    assert str(failure.value) == report(off_by_one)


def test_a_notebook_gets_a_report_instead_of_a_traceback(capsys, monkeypatch):
    monkeypatch.setattr("mircourse.check.in_notebook", lambda: True)
    check.toy_1(lambda samples, hop: None)
    out = capsys.readouterr().out
    assert "got:      None (does your function return its result?)" in out
    assert "2 of 2 properties fail\n" in out
    with pytest.raises(CheckFailed):
        check.toy_1(lambda samples, hop: None, raise_on_fail=True)


def test_an_error_in_the_answer_is_shown_with_its_line():
    def broken(samples, hop):
        return samples / (hop - 512)

    lines = report(broken).splitlines()
    assert lines[2:4] == [
        "      input:    broken(0, hop=512)",
        "      error:    ZeroDivisionError: division by zero, at your line: "
        "return samples / (hop - 512)",
    ]
    assert lines[-2:] == [
        "      expected: ValueError",
        "      got:      ZeroDivisionError: division by zero",
    ]


def test_an_error_that_is_expected_but_does_not_come():
    lines = report(lambda samples, hop: 1 + samples // hop).splitlines()
    assert lines[-2:] == ["      expected: ValueError", "      got:      0"]
    assert "✓ n samples" in lines[1]


def test_a_stub_is_not_attempted_yet(capsys, monkeypatch):
    def stub(samples, hop):
        raise NotImplementedError

    with pytest.raises(CheckFailed, match="not attempted yet"):
        check.toy_1(stub)
    monkeypatch.setattr("mircourse.check.in_notebook", lambda: True)
    check.toy_1(stub)
    assert capsys.readouterr().out.startswith("○ toy_1 (How many frames?): not attempted yet")


def test_calling_it_with_a_result_is_explained():
    with pytest.raises(TypeError, match=r"check.toy_1\(my_function\), but got 44"):
        check.toy_1(44)


def test_classes_and_plain_assertions():
    ex = exercise("toy_2", title="A layer")

    @ex.property("keeps the shape")
    def _(layer):
        assert layer(3)(torch.zeros(2, 3)).shape == (2, 3), "the shape changed"

    @ex.property("is a module")
    def _(layer):
        assert isinstance(layer(1), torch.nn.Module)

    assert ex.run(lambda n: torch.nn.Linear(n, n)).passed
    lines = str(ex.run(lambda n: torch.nn.Linear(n, 1))).splitlines()
    assert lines[2:4] == ["      input:    <lambda>(3)", "      because:  the shape changed"]

    class Broken:
        def __init__(self, n):
            self.n = n

        def __call__(self, x):
            return x @ torch.zeros(self.n + 1)

    lines = str(ex.run(Broken)).splitlines()
    assert lines[3].startswith("      error:    RuntimeError: size mismatch")

    class Stub:
        def __init__(self, n):
            pass

        def __call__(self, x):
            raise NotImplementedError

    assert not ex.run(Stub).attempted


def test_missing_exercises_list_those_there_are():
    with pytest.raises(AttributeError, match="no exercise 'toy_9'; there are toy_1"):
        check.toy_9
    with pytest.raises(AttributeError, match="no exercise 'opera_1'"):
        check.opera_1
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        check.nonsense


def test_exercises_are_listed_by_number():
    for number in (10, 2):
        exercise(f"toy_{number}", title="more")
    assert [found.name for found in exercises()] == ["toy_1", "toy_2", "toy_10"]
    assert {"toy_1", "toy_2", "toy_10", "expect"} <= set(dir(check))
    assert repr(check.toy_1) == "<Exercise toy_1, 'How many frames?': 2 properties>"


def test_a_fault_in_a_chapter_is_not_hidden(tmp_path):
    (tmp_path / "faulty.py").write_text("import no_such_module_at_all")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        check.faulty_1


def test_authors_mistakes_are_refused():
    for name in ("cnn", "cnn_one", "_1", "9_1"):
        with pytest.raises(ValueError, match="<chapter>_<number>"):
            exercise(name, title="x")
    ex = exercise("toy_5", title="x")
    with pytest.raises(ValueError, match="already"):
        exercise("toy_5", title="x")
    with pytest.raises(ValueError, match="no properties"):
        ex.run(right)
    ex.property("holds")(lambda answer: None)
    with pytest.raises(ValueError, match="already"):
        ex.property("holds")


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1, 1.0),
        (1 + 1e-9, 1),
        (float("nan"), float("nan")),
        ([1, 2], np.array([1.0, 2.0])),
        (torch.ones(2, requires_grad=True), [1, 1]),
        (torch.ones(2, dtype=torch.bfloat16), [1, 1]),
        (np.zeros((2, 3)), torch.zeros(2, 3)),
        ("reel", "reel"),
        (["a", "b"], ["a", "b"]),
        (None, None),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_expect_accepts(got, expected):
    expect(got, expected)


@pytest.mark.parametrize(
    ("got", "expected", "lines"),
    [
        (2, 1, ("expected: 1", "got:      2")),
        ("jig", "reel", ("expected: 'reel'", "got:      'jig'")),
        (np.zeros(2), "reel", ("expected: 'reel'", "got:      array [0.0, 0.0]")),
        ([[1], [1, 2]], [1], ("expected: [1]", "got:      [[1], [1, 2]]")),
        (
            np.zeros((3, 1)),
            np.zeros(3),
            ("expected: array [0.0, 0.0, 0.0]", "got:      array [[0.0], [0.0], [0.0]]"),
        ),
        (
            torch.arange(20.0),
            np.arange(20.0) + (np.arange(20) == 7) / 2,
            (
                "expected: array of shape (20,), float64, from 0 to 19",
                "got:      tensor of shape (20,), torch.float32, from 0 to 19",
                "first difference at [7]: expected 7.5, got 7; 1 of 20 entries differ",
            ),
        ),
    ],
)
def test_expect_says_what_differs(got, expected, lines):
    with pytest.raises(Mismatch) as failure:
        expect(got, expected)
    assert failure.value.args == lines


def test_expect_has_a_tolerance():
    expect(1.01, 1.0, rtol=0.02)
    expect(0.01, 0.0, atol=0.02)
    with pytest.raises(Mismatch):
        expect(1.01, 1.0)


def test_long_values_are_cut():
    assert len(describe("x" * 999)) == 200
    assert describe(np.array([True, False])) == "array [True, False]"
    assert describe(np.float64(0.5)) == describe(torch.tensor(0.5)) == "0.5"
    assert describe(np.array(["a"])) == "array(['a'], dtype='<U1')"


def test_expect_raises_takes_a_subclass():
    ex = exercise("toy_7", title="x")
    ex.property("raises")(lambda f: expect_raises(LookupError, f))

    def answer():
        return {}["missing"]

    assert ex.run(answer).passed


def test_every_shipped_chapter_of_checks_loads(monkeypatch):
    folder = ROOT / "mircourse" / "checks"
    monkeypatch.setattr(checks, "__path__", [str(folder)])
    for module in pkgutil.iter_modules([str(folder)]):
        sys.modules.pop(f"mircourse.checks.{module.name}", None)
    for found in exercises():
        assert found.run(lambda *args, **kw: object()).outcomes, found.name


def test_the_engine_is_light():
    code = (
        "import sys; from mircourse import check; assert isinstance(check, type(sys));"
        "assert not {'torch', 'librosa', 'matplotlib', 'IPython'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert isinstance(check, types.ModuleType)
