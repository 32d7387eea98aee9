import argparse
import copy
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mircourse import experiments, intervals, registry
from mircourse.experiments import (
    Metric,
    Row,
    Verdict,
    benchmark,
    command,
    definition,
    experiment,
    report,
    results,
    runner,
    train_command,
)

N_ITEMS = 60
ROWS = [
    Row("tall", settings={"share": 0.9}),
    Row("square", settings={"share": 0.6}),
    Row("majority", kind="baseline", settings={"share": 0.3}, deterministic=True, note="no audio"),
    Row("elsewhere", kind="published", published={"a": 0.75}, note="other protocol"),
]


def unit(row, task, seed, fast):
    """Score items at random around the row's share; say that it ran, or die, if so asked."""
    log = os.environ.get("TEST_LOG")
    if log:
        with open(log, "a", encoding="utf-8") as stream:
            stream.write(f"{row.name} {task} {seed} {fast}\n")
    if os.environ.get("TEST_DIE") == f"{row.name} {task} {seed}":
        os.kill(os.getpid(), signal.SIGKILL)
    rng = np.random.default_rng([seed, len(row.name), len(task)])
    scores = (rng.random(N_ITEMS) < row.settings["share"]).astype(float)
    return {"scores": scores, "groups": np.arange(N_ITEMS) // 3, "parameters": 7, "seconds": 2.0}


def define(run_unit=unit, **changes):
    options = {
        "name": "test-filters",
        "claim": "tall filters are better",
        "metric": Metric("accuracy"),
        "groups": "pitch",
        "rows": ROWS,
        "tasks": ("a", "bb"),
        "rule": lambda c: c.verdict("tall", "square"),
        "seeds": 3,
        "fast_seeds": 1,
    }
    return experiment(**options | changes)(run_unit)


TINY = define()


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Keep work, results and the log of units in a folder of the test's own."""
    data = tmp_path / "data"
    (data / "results").mkdir(parents=True)
    (data / "registry.json").write_text('{"files": {}}')
    monkeypatch.setenv("MIRCOURSE_DATA", str(data))
    monkeypatch.setenv("MIRCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TEST_LOG", str(tmp_path / "log"))
    monkeypatch.setattr(definition, "_EXPERIMENTS", dict(definition._EXPERIMENTS))
    return tmp_path


def ran(folder):
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


def fixed(outcomes, **changes):
    """Return an experiment whose rows have the given scores, in one task, one array a seed."""
    rows = [Row(name) for name in outcomes]

    def give(row, task, seed, fast):
        return {"scores": outcomes[row.name][seed], "groups": np.arange(len(outcomes[row.name][0]))}

    seeds = len(next(iter(outcomes.values())))
    return define(give, name="test-fixed", rows=rows, tasks=("",), seeds=seeds, **changes)


# --- running --------------------------------------------------------------------------------


def test_a_run_writes_a_valid_result(folders):
    file = report.run(TINY)
    assert file == folders / "data" / "results" / "test-filters.json"
    content = json.loads(file.read_text())
    results.validate(content)
    assert content["command"] == "mircourse experiment run test-filters --seeds 3"
    assert content["device"].startswith(("CPU, ", "GPU, "))
    assert content["wall_seconds"] == 2.0 * len(ran(folders))
    assert content["versions"]["numpy"] == np.__version__
    assert [(r["name"], r["task"]) for r in content["rows"]] == [
        ("tall", "a"),
        ("tall", "bb"),
        ("square", "a"),
        ("square", "bb"),
        ("majority", "a"),
        ("majority", "bb"),
        ("elsewhere", "a"),
    ]


def test_a_result_names_the_code_that_ran_not_what_was_committed_meanwhile(folders, monkeypatch):
    head = ["before"]

    def git(folder, command, *rest):
        return head[0] if command == "rev-parse" else ""

    def commit_meanwhile(row, task, seed, fast):
        head[0] = "after"
        return unit(row, task, seed, fast)

    monkeypatch.setattr(report, "_git", git)
    report.revision.cache_clear()
    try:
        file = report.run(define(commit_meanwhile, name="test-meanwhile"))
    finally:
        report.revision.cache_clear()
    assert json.loads(file.read_text())["revision"] == "before"


def test_scores_and_intervals_are_the_bootstraps():
    result = results.read(report.run(TINY))
    row = result.row("tall", task="bb")
    scores = np.stack([unit(ROWS[0], "bb", seed, False)["scores"] for seed in range(3)])
    assert row["seeds"] == [0, 1, 2]
    assert row["scores"] == pytest.approx(scores.mean(axis=1))
    assert row["mean"] == pytest.approx(scores.mean())
    expected = intervals.bootstrap(scores, groups=np.arange(N_ITEMS) // 3)
    # Groups are stored as text, whose order is not that of numbers: other resamples are drawn.
    assert row["interval"] == pytest.approx([expected.low, expected.high], abs=0.02)
    assert (row["parameters"], row["seconds"]) == (7, 2.0)


def test_units_run_once_and_seed_by_seed(folders):
    report.run(TINY, seeds=2)
    first = ran(folders)
    assert first[:3] == ["tall a 0 False", "tall bb 0 False", "square a 0 False"]
    # The row that no seed changes ran with the first one only.
    assert [line for line in first if line.startswith("majority")] == [
        "majority a 0 False",
        "majority bb 0 False",
    ]
    assert len(first) == 2 * 4 + 2
    report.run(TINY, seeds=2)
    assert ran(folders) == first
    report.run(TINY, seeds=3)
    assert sorted(ran(folders)[len(first) :]) == sorted(
        f"{row} {task} 2 False" for row in ("tall", "square") for task in ("a", "bb")
    )


@pytest.mark.parametrize("change", ["settings", "version"])
def test_a_change_makes_units_run_again(folders, change):
    report.run(TINY, seeds=1)
    before = len(ran(folders))
    rows = [Row("tall", settings={"share": 0.8}), *ROWS[1:]]
    changed = define(**({"rows": rows} if change == "settings" else {"version": 2}))
    report.run(changed, seeds=1)
    assert len(ran(folders)) - before == (2 if change == "settings" else before)


def test_other_weights_make_units_run_again(folders, monkeypatch):
    def ship(sha256):
        known = {"weights/tall-notes.safetensors": SimpleNamespace(sha256=sha256)}
        monkeypatch.setattr(registry, "entries", lambda: known)

    loads = define(weights=["tall-notes"])
    ship("ab" * 32)
    report.run(loads, seeds=1)
    before = len(ran(folders))
    report.run(loads, seeds=1)
    assert len(ran(folders)) == before
    ship("cd" * 32)
    report.run(loads, seeds=1)
    assert len(ran(folders)) == 2 * before


def test_only_one_row_then_the_rest(folders):
    assert report.run(TINY, only="square", seeds=1) is None
    assert ran(folders) == ["square a 0 False", "square bb 0 False"]
    assert not list((folders / "data" / "results").iterdir())
    assert report.run(TINY, seeds=1) is not None
    assert report.run(TINY, only="square", seeds=1) is not None
    with pytest.raises(ValueError, match="no row 'wide'; it has tall, square"):
        report.run(TINY, only="wide")


def test_the_fast_version_stays_out_of_the_results(folders):
    file = report.run(TINY, fast=True)
    assert file == folders / "cache" / "experiments" / "test-filters" / "fast" / "test-filters.json"
    assert all(line.endswith("0 True") for line in ran(folders))
    assert not list((folders / "data" / "results").iterdir())
    assert json.loads(file.read_text())["command"].endswith("--seeds 1 --fast")
    report.run(TINY, seeds=1)
    assert any(line.endswith("False") for line in ran(folders))


def test_two_processes_give_what_one_gives(folders, monkeypatch):
    one = json.loads(report.run(TINY, seeds=2).read_text())
    monkeypatch.setenv("MIRCOURSE_CACHE", str(folders / "another"))
    two = json.loads(report.run(TINY, seeds=2, jobs=2).read_text())
    assert two["rows"] == one["rows"]
    assert two["differences"] == one["differences"]
    assert sorted(ran(folders)) == sorted(2 * sorted(set(ran(folders))))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_killed_experiment_goes_on_where_it_stopped(folders):
    code = "import test_experiments as t; t.report.run(t.TINY, seeds=2)"
    here = Path(__file__).resolve()
    path = os.pathsep.join([str(here.parent), str(here.parents[1])])
    died = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TEST_DIE": "majority a 0", "PYTHONPATH": path},
        timeout=900,
    )
    assert died.returncode == -signal.SIGKILL
    before = ran(folders)
    assert before[-1] == "majority a 0 False"
    assert not list(folders.glob("cache/**/*.part"))
    report.run(TINY, seeds=2)
    again = ran(folders)[len(before) :]
    assert set(before) & set(again) == {"majority a 0 False"}
    assert len(before) + len(again) == 10 + 1


def test_an_error_keeps_the_units_before_it(folders):
    def fails(row, task, seed, fast):
        if row.name == "square":
            raise RuntimeError("no such data")
        return unit(row, task, seed, fast)

    with pytest.raises(RuntimeError, match="no such data"):
        report.run(define(fails), seeds=1)
    report.run(define(), seeds=1)
    assert ran(folders).count("tall a 0 False") == 1


def test_a_damaged_unit_is_named(folders):
    report.run(TINY, seeds=1)
    file = runner.unit_file(TINY, runner.Unit(ROWS[0], "a", 0), fast=False)
    file.write_text(file.read_text()[:40])
    with pytest.raises(ValueError, match=rf"{file.name} is damaged .*delete it"):
        report.run(TINY, seeds=1)


GOOD = {"scores": [1.0, 0.0], "groups": ["x", "y"]}


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (GOOD | {"scores": [1.0]}, "of one length"),
        (GOOD | {"scores": [1.0, float("nan")]}, "not finite"),
        ({"groups": ["x"]}, "needs scores"),
        (GOOD | {"accuracy": 1}, r"unknown \['accuracy'\]"),
        (GOOD | {"scores": [[1.0], [0.0]]}, "of one length"),
    ],
)
def test_malformed_outcomes_are_refused(outcome, message):
    made = define(lambda row, task, seed, fast: outcome)
    with pytest.raises(ValueError, match=f"test-filters, tall a seed 0: .*{message}"):
        report.run(made)


def test_rows_must_be_scored_on_the_same_items():
    def shuffled(row, task, seed, fast):
        return {"scores": [1.0, 0.0], "groups": ["x", "y"] if row.name == "tall" else ["y", "x"]}

    with pytest.raises(ValueError, match="row 'square' was scored on other items"):
        report.run(define(shuffled))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Filters!"}, "lower-case words"),
        ({"rows": []}, "rows with names of their own"),
        ({"rows": [Row("a"), Row("a")]}, "rows with names of their own"),
        ({"rows": [Row("a", kind="theirs")]}, "kind must be one of"),
        ({"rows": [Row("a", kind="published")]}, "go together"),
        ({"rows": [Row("a", tasks=["c"])]}, r"unknown tasks \['c'\]"),
        ({"rows": [Row("a", settings={"x": object()})]}, "must be JSON values"),
        ({"seeds": 0}, "at least one seed"),
    ],
)
def test_malformed_experiments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        define(**changes)


@pytest.mark.parametrize("options", [{"seeds": 0}, {"jobs": 0}])
def test_bad_arguments_are_refused(options):
    with pytest.raises(ValueError, match="must be at least 1"):
        report.run(TINY, **options)


# --- verdicts -------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
BASE = RNG.normal(size=(3, 80))
CLEAR = BASE + 0.2 + 0.1 * RNG.normal(size=(3, 80))
SAME = BASE + 0.1 * RNG.normal(size=(3, 80))
SAME -= (SAME - BASE).mean()


@pytest.mark.parametrize(
    ("tall", "higher", "verdict"),
    [
        (CLEAR, True, "holds"),
        (CLEAR, False, "fails"),
        (SAME, True, "fails"),
        (SAME, False, "fails"),
        (2 * BASE - CLEAR, True, "fails"),
        (2 * BASE - CLEAR, False, "holds"),
    ],
)
def test_a_claim_holds_only_if_the_interval_leaves_zero_out(tall, higher, verdict):
    made = fixed({"tall": tall, "square": BASE}, metric=Metric("score", "", higher))
    content = json.loads(report.run(made).read_text())
    assert content["verdict"] == verdict
    (difference,) = content["differences"]
    assert difference["mean"] == pytest.approx((tall - BASE).mean())
    low, high = difference["interval"]
    assert (low > 0 if higher else high < 0) == (verdict == "holds")
    assert f"tall minus square: {difference['mean']:+.3f} [{low:+.3f}" in content["verdict_note"]
    # The rows' own intervals overlap throughout: it is the pairing that tells rows apart.
    (low_a, high_a), (low_b, high_b) = (row["interval"] for row in content["rows"])
    assert max(low_a, low_b) < min(high_a, high_b)


def test_a_claim_that_holds_in_one_task_holds_when():
    def give(row, task, seed, fast):
        better = CLEAR if (row.name == "tall" and task == "a") else BASE
        return {"scores": better[seed], "groups": np.arange(80)}

    result = results.read(report.run(define(give, rows=ROWS[:2])))
    assert result.verdict == "holds-when"
    assert result.difference("tall", "square", task="bb").startswith("+0.000 ")
    with pytest.raises(results.ResultError, match="no difference 'square' minus 'tall'; it has"):
        result.difference("square", "tall")


@pytest.mark.parametrize(
    ("values", "together"),
    [
        (("holds", "holds"), "holds"),
        (("holds", "fails"), "holds-when"),
        (("holds-when", "holds-when"), "holds-when"),
        (("holds-when", "fails"), "holds-when"),
        (("fails", "fails"), "fails"),
    ],
)
def test_verdicts_together(values, together):
    parts = [definition.Verdict(value, f"note {k}") for k, value in enumerate(values)]
    assert definition.both(*parts) == definition.Verdict(together, "note 0; note 1")


def test_a_row_that_ran_once_is_compared_with_every_seed():
    outcomes = {"tall": CLEAR, "once": BASE[:1]}
    made = fixed(outcomes, rule=lambda c: c.verdict("tall", "once"))
    rows = [Row("tall"), Row("once", deterministic=True)]
    content = json.loads(report.run(dataclasses.replace(made, rows=rows)).read_text())
    assert content["rows"][1]["seeds"] == [0]
    assert content["differences"][0]["mean"] == pytest.approx((CLEAR - BASE[:1]).mean())


def spread(truth, prediction):
    return float(np.mean(truth == prediction) - 0.5 * np.std(truth == prediction))


def test_a_metric_that_is_no_mean_over_items():
    truth = RNG.integers(3, size=90)
    predictions = {
        name: [np.where(RNG.random(90) < share, truth, (truth + 1) % 3) for _ in range(2)]
        for name, share in {"tall": 0.9, "square": 0.5}.items()
    }

    def give(row, task, seed, fast):
        prediction = predictions[row.name][seed]
        return {"truth": truth, "prediction": prediction, "groups": np.arange(90) // 2}

    made = define(give, rows=ROWS[:2], tasks=("",), seeds=2, statistic=spread)
    result = results.read(report.run(made))
    expected = {k: [spread(truth, p) for p in several] for k, several in predictions.items()}
    for name, scores in expected.items():
        row = result.row(name)
        assert row["scores"] == pytest.approx(scores)
        assert row["interval"][0] < np.mean(scores) < row["interval"][1]
    assert result.verdict == "holds"
    assert result.content["differences"][0]["mean"] == pytest.approx(
        np.mean(expected["tall"]) - np.mean(expected["square"])
    )
    with pytest.raises(ValueError, match="needs truth and prediction"):
        report.run(define(statistic=spread, version=9))


def test_a_rule_can_only_ask_for_what_was_run():
    with pytest.raises(ValueError, match="no outcome of 'wide' in task 'a'; there are 'tall'"):
        report.run(define(rule=lambda c: c.better("tall", "wide", "a")), seeds=1)
    with pytest.raises(ValueError, match="share no task"):
        report.run(define(rule=lambda c: c.verdict("tall", "elsewhere")), seeds=1)
    with pytest.raises(ValueError, match="a verdict is one of"):
        Verdict("maybe", "")


# --- result files ---------------------------------------------------------------------------


@pytest.fixture
def content():
    return json.loads(report.run(TINY, seeds=2).read_text())


def test_a_result_survives_the_file(content):
    assert results.load("test-filters").content == content
    assert results.names() == ["test-filters"]


def change(content, path, value):
    changed = copy.deepcopy(content)
    *parents, last = path
    target = changed
    for key in parents:
        target = target[key]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["claim"], None, r"lacks \['claim'\]"),
        (["extra"], 1, r"unknown \['extra'\]"),
        (["verdict"], "perhaps", "verdict must be one of"),
        (["wall_seconds"], "long", "wall_seconds is 'long'"),
        (["wall_seconds"], True, "wall_seconds is True"),
        (["metric", "higher_is_better"], 1, "higher_is_better is 1"),
        (["rows"], [], "rows is empty"),
        (["rows", 0, "kind"], "theirs", "row 'tall': kind must be"),
        (["rows", 0, "scores"], [], "scores must be finite numbers"),
        (["rows", 0, "scores", 0], float("nan"), "scores must be finite numbers"),
        (["rows", 0, "seeds"], [0], "one score a seed"),
        (["rows", 0, "mean"], 0.1, "is not the mean of its scores"),
        (["rows", 0, "interval"], [0.9, 0.8], "runs backwards"),
        (["rows", 0, "interval"], [0.9], "two finite numbers"),
        (["rows", 0, "task"], "bb", "there twice"),
        (["rows", 0, "speed"], 1, r"unknown \['speed'\]"),
        (["differences", 0, "a"], "wide", "names the row 'wide'"),
    ],
)
def test_a_broken_result_is_refused(content, path, value, message):
    with pytest.raises(results.ResultError, match=message):
        results.validate(change(content, path, value))


def test_a_damaged_file_is_named(content):
    file = results.results_dir() / "test-filters.json"
    file.write_text(file.read_text()[:100])
    with pytest.raises(results.ResultError, match=r"test-filters\.json: "):
        results.load("test-filters")


def test_unknown_names_are_answered_with_what_there_is(content):
    with pytest.raises(results.ResultError, match="no result 'x'; there are test-filters"):
        results.load("x")
    result = results.load("test-filters")
    with pytest.raises(results.ResultError, match=r"no row 'wide'; there are 'tall' \(task 'a'\)"):
        result.row("wide")
    with pytest.raises(results.ResultError, match=r"row 'tall' has the tasks \['a', 'bb'\]"):
        result.value("tall")
    with pytest.raises(results.ResultError, match=r"no task 'c'; it has \['a', 'bb'\]"):
        result.table(task="c")


def test_a_value_for_a_sentence(content):
    row = content["rows"][1] | {"mean": 0.875, "interval": [0.8333, 0.9]}
    content["metric"]["unit"] = "ms"
    result = results.Result(content | {"rows": [row, content["rows"][-1]]})
    assert result.value("tall") == "0.88 [0.83, 0.90] ms"
    assert result.value("tall", digits=1) == "0.9 [0.8, 0.9] ms"
    assert result.value("elsewhere", task="a") == "0.75 ms"
    assert result.names() == ["tall", "elsewhere"]
    assert result.names(task="a") == ["elsewhere"]


def test_a_table_reads_as_text_and_as_html(content):
    content["rows"][0]["note"] = "f > t & more"
    result = results.Result(content)
    table = result.table(task="a")
    assert table.header == ["row", "kind", "accuracy", "parameters", "seeds", "note"]
    text = repr(table).splitlines()
    assert text[2].split()[:3] == ["tall", "ours", *result.value("tall", task="a").split()[:1]]
    assert "95 % bootstrap interval over pitch and seeds" in text[-1]
    page = table._repr_html_()
    assert page.count('<th scope="col">') == 6
    assert page.count('<th scope="row">') == 4
    assert "<caption>a: accuracy on the test split, higher is better" in page
    assert "f &gt; t &amp; more" in page
    assert result.table().header[2] == "task"
    assert len(result.table().cells) == len(content["rows"])


def test_every_shipped_result_is_valid(monkeypatch):
    monkeypatch.delenv("MIRCOURSE_DATA")
    for name in results.names():
        result = results.load(name)
        assert result.experiment == name
        assert "/" not in result.content["device"]


# --- the command ----------------------------------------------------------------------------


def run_command(*arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args([str(argument) for argument in arguments])
    return args.run(args)


def test_list_run_and_show(monkeypatch, capsys, folders):
    monkeypatch.setattr(experiments, "every", lambda: [TINY])
    assert run_command("list") == 0
    assert "not run" in capsys.readouterr().out
    assert run_command("run", "test-filters", "--seeds", 1, "--only", "tall") == 0
    assert "units of other rows are missing" in capsys.readouterr().out
    assert run_command("run", "test-filters", "--seeds", 1) == 0
    assert "test-filters: tall filters are better → holds" in capsys.readouterr().out
    assert run_command("show", "test-filters") == 0
    shown = capsys.readouterr().out
    assert "tall minus square: a: +" in shown
    assert "mircourse experiment run test-filters --seeds 1" in shown
    assert run_command("list") == 0
    assert "holds" in capsys.readouterr().out
    assert run_command("run", "nothing") == 1
    assert "no experiment 'nothing'; there are test-filters" in capsys.readouterr().err
    assert run_command("show", "nothing") == 1
    assert "no result 'nothing'" in capsys.readouterr().err


def test_an_interrupted_run_says_how_to_go_on(monkeypatch, capsys):
    def interrupt(row, task, seed, fast):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments, "every", lambda: [define(interrupt)])
    assert run_command("run", "test-filters") == 130
    assert "run the same command to go on" in capsys.readouterr().err


def test_names_are_taken_once_and_found():
    assert definition.find("test-filters") is TINY
    with pytest.raises(KeyError, match="no experiment 'x'; there are"):
        definition.find("x")

    def theirs(row, task, seed, fast):
        raise NotImplementedError

    theirs.__module__ = "elsewhere"
    with pytest.raises(ValueError, match="already in test_experiments"):
        define(theirs)


def test_the_chapters_experiments_are_found():
    found = [made.name for made in experiments.every()]
    assert found
    assert len(set(found)) == len(found)
    assert "test-filters" not in found
    assert experiments.get(found[0]).name == found[0]
    with pytest.raises(ValueError, match=f"no experiment 'x'; there are {found[0]}"):
        experiments.get("x")


# Defined and tested in their fast form, but not yet run in full.
NOT_RUN: set[str] = set()
MADE = {made.name: made for made in experiments.every()}
SHIPPED = [
    file.stem
    for file in sorted((Path(__file__).parents[1] / "data" / "results").glob("*.json"))
    if not file.stem.startswith("bench-")
]


def test_every_experiment_was_run_but_those_that_are_named():
    assert set(MADE) - NOT_RUN == set(SHIPPED)
    assert set(MADE) >= NOT_RUN


@pytest.mark.parametrize("name", SHIPPED)
def test_the_committed_result_is_of_the_experiment_as_it_is_defined(name, monkeypatch):
    monkeypatch.delenv("MIRCOURSE_DATA")
    made, found = MADE[name], results.load(name)
    assert found.claim == made.claim
    wanted = [
        (row.name, task)
        for row in made.rows
        for task in made.tasks_of(row)
        if row.published is None or task in row.published
    ]
    assert [(row["name"], row["task"]) for row in found.rows] == wanted
    for row, (row_name, task) in zip(found.rows, wanted, strict=True):
        one = next(r for r in made.rows if r.name == row_name)
        if one.published is not None:
            assert (row["mean"], row["interval"]) == (one.published[task], None)
            continue
        assert len(row["seeds"]) == (1 if one.deterministic else made.seeds)
        low, high = row["interval"]
        assert low <= row["mean"] <= high


# --- benchmarks -----------------------------------------------------------------------------


def test_a_ratio_is_that_of_medians_measured_in_turns(monkeypatch):
    calls = []
    clock = iter([1.0, 3.0, 9.0, 30.0, 2.0, 6.0])
    monkeypatch.setattr(benchmark, "_seconds", lambda function: (function(), next(clock))[1])
    found = benchmark.ratio(lambda: calls.append("A"), lambda: calls.append("B"), repeats=3)
    assert "".join(calls) == "AB" + "ABABAB"
    assert (found.seconds_a, found.seconds_b, found.rounds) == (2.0, 6.0, 3)
    assert found.value == 3.0
    assert 3.0 <= found.low <= found.high <= 30 / 9
    assert str(found) == f"3.0 [{found.low:.1f}, {found.high:.1f}]"
    with pytest.raises(ValueError, match="repeats must be 1 or more"):
        benchmark.ratio(print, print, repeats=0)


@pytest.mark.parametrize(
    ("lows", "verdict"), [([2.0, 1.0], "holds"), ([2.0, 0.5], "holds-when"), ([0.9, 0.5], "fails")]
)
def test_a_benchmark_is_a_result(lows, verdict):
    rows = [
        benchmark.Timing(f"row {i}", benchmark.Ratio(low + 0.5, low, low + 1, 0.1, 0.2, 4), "10 s")
        for i, low in enumerate(lows)
    ]
    options = {"claim": "ours is as fast", "command": "python benchmarks/cnn.py"}
    file = benchmark.write_benchmark("x", rows=rows, **options)
    result = results.load("bench-x")
    assert file.name == "bench-x.json"
    assert result.verdict == verdict
    assert result.value("row 0") == f"{lows[0] + 0.5:.2f} [{lows[0]:.2f}, {lows[0] + 1:.2f}] ×"
    assert "interval over rounds." in result.table().caption
    with pytest.raises(results.ResultError, match="rows is empty"):
        benchmark.write_benchmark("x", rows=[], **options)


# --- training from the command line ---------------------------------------------------------


def test_train_writes_weights_that_load(monkeypatch, tmp_path, capsys):
    from mircourse import recordings, weights

    monkeypatch.delenv("MIRCOURSE_DATA")
    few = recordings.load().filter(lambda note: note.instrument in ("tuba", "flute"))
    monkeypatch.setattr(recordings, "load", lambda source, full: few)
    parser = argparse.ArgumentParser()
    train_command.add_arguments(parser)
    file = tmp_path / "model.safetensors"
    common = ["musiccnn", "--epochs", "1", "--seconds", "0.5", "--width", "0.05"]
    args = parser.parse_args([*common, "--accelerator", "cpu", "--output", str(file)])
    assert args.run(args) == 0
    said = capsys.readouterr().out
    assert "musiccnn on notes: valid accuracy " in said
    trained = weights.read(file)
    assert list(trained.classes) == list(few.instruments)
    assert trained.about in said
    args = parser.parse_args([*common, "--patience", "0"])
    assert args.run(args) == 1
    assert "patience must be at least 1" in capsys.readouterr().err
