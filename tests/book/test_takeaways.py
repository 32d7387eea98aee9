"""Statements become verdicts by the rule, and name experiments that exist."""

import importlib
import pkgutil
import re
import sys

import pytest
from conftest import BOOK, ROOT, soup

import mircourse.experiments
from mircourse.experiments import definition

sys.path.insert(0, str(BOOK / "_ext"))
import evidence
import result_tables

PAGE = BOOK / "takeaways.md"
RESULTS = result_tables.load(ROOT)


def result(*differences, up=True, verdict="holds", name="score"):
    """Return what the verdicts read of a result; a difference is (a, b, task, mean, low, high)."""
    entries = [
        {"a": a, "b": b, "task": task, "mean": mean, "interval": [low, high]}
        for a, b, task, mean, low, high in differences
    ]
    metric = {"name": name, "unit": "", "higher_is_better": up}
    note = "new minus old: -0.500 [-1.000, +0.100]"
    return {"metric": metric, "differences": entries, "verdict": verdict, "verdict_note": note}


BETTER = ("new", "old", "reels", 0.2, 0.1, 0.3)
LEVEL = ("new", "old", "jigs", 0.1, -0.1, 0.3)
WORSE = ("new", "old", "airs", -0.2, -0.3, -0.1)


def only(line, **results):
    return evidence.finding(line, {name.replace("_", "-"): r for name, r in results.items()})


@pytest.mark.parametrize(
    ("differences", "outcome", "turned"),
    [
        ([BETTER], "holds", False),
        ([LEVEL], "fails", False),
        ([WORSE], "fails", True),
        ([BETTER, LEVEL], "holds-when", False),
        ([BETTER, WORSE], "holds-when", False),
        ([LEVEL, WORSE], "fails", False),
    ],
)
def test_one_row_is_better_than_another_if_the_interval_says_so(differences, outcome, turned):
    found = only("it is played | x-y: new > old", x_y=result(*differences))
    assert (found.outcome, found.reversed) == (outcome, turned)
    # The same differences, written the other way round, in a metric that should be small.
    mirrored = [(b, a, task, -mean, -high, -low) for a, b, task, mean, low, high in differences]
    assert only("it is played | x-y: new > old", x_y=result(*mirrored)) == found
    costs = [(a, b, task, -mean, -high, -low) for a, b, task, mean, low, high in differences]
    less = only("it is played | x-y: new > old", x_y=result(*costs, up=False))
    assert (less.outcome, less.reversed, less.won) == (outcome, turned, found.won)
    assert "lower is better" in less.figures and "lower" not in found.figures


def test_some_tasks_can_be_asked_for():
    results = {"x_y": result(BETTER, LEVEL, WORSE)}
    assert only("it is played | x-y: new > old @ reels", **results).outcome == "holds"
    two = only("it is played | x-y: new > old @ reels; airs", **results)
    assert (two.outcome, two.won, two.lost) == ("holds-when", ("reels",), ("airs",))
    assert two.figures == "score, new minus old: reels +0.200 [+0.100, +0.300]; " + (
        "airs −0.200 [−0.300, −0.100]"
    )


def test_an_experiment_without_rows_brings_its_own_verdict():
    found = only("it is played | x-y", x_y=result(verdict="holds-when"))
    assert found.outcome == "holds-when"
    assert found.figures == "new minus old: −0.500 [−1.000, +0.100]"


@pytest.mark.parametrize("line", ["it is played | x-y", "it is played | x-y: new > old @ reels"])
def test_what_has_no_result_is_not_measured(line):
    found = only(line, z=result(BETTER))
    assert (found.outcome, found.figures) == ("", "no result yet")
    text = "\n".join(evidence.block("It helps", [found]))
    assert "{ref}" not in text and "`x-y`" in text and "not measured yet" in text


@pytest.mark.parametrize(
    "line",
    ["x-y", "it is played | X Y", "it is played | x-y: new", "it is played | x-y: new < old"],
)
def test_a_line_of_another_form_is_refused(line):
    with pytest.raises(ValueError, match="is not: when"):
        only(line, x_y=result(BETTER))


@pytest.mark.parametrize("pair", ["old > older", "new > old @ polkas", "new > old @ reels; polkas"])
def test_a_difference_that_is_not_there_is_refused(pair):
    with pytest.raises(ValueError, match="no such difference"):
        only(f"it is played | x-y: {pair}", x_y=result(BETTER))


def made(**outcomes):
    """Return findings from outcomes by their conditions; "worse" is a failure turned round."""
    return [
        evidence.Finding(
            when.replace("_", " "),
            "x",
            "fails" if outcome == "worse" else outcome,
            "",
            reversed=outcome == "worse",
        )
        for when, outcome in outcomes.items()
    ]


@pytest.mark.parametrize(
    ("outcomes", "verdict", "said"),
    [
        ({"a": "holds"}, "holds", "Held in the one comparison."),
        ({"a": "holds", "b": "holds"}, "holds", "Held in both comparisons."),
        (dict.fromkeys("abc", "holds"), "holds", "Held in all 3 comparisons."),
        ({"a": "fails"}, "fails", "Did not hold in the one comparison."),
        ({"a": "fails", "b": "worse"}, "fails", "Held in none of 2 comparisons."),
        ({"a": "worse"}, "fails", "Did not hold in the one comparison; the opposite did."),
        (
            {"it_rains": "holds", "it_snows": "fails"},
            "holds-when",
            "Held when it rains. Did not when it snows.",
        ),
        ({"it_rains": "holds-when"}, "holds-when", "Held when it rains (in part)."),
        ({"a": ""}, "", "Nothing of this has a result yet."),
        (
            {"a": "holds", "b": ""},
            "holds",
            "Held in the one comparison. 1 of 2 comparisons has no result yet.",
        ),
    ],
)
def test_findings_make_one_verdict(outcomes, verdict, said):
    several = made(**outcomes)
    assert evidence.together(several) == verdict
    assert evidence.sentence(several) == said


def test_of_several_tasks_it_is_said_in_which_of_them():
    found = only("they dance | x-y: new > old", x_y=result(BETTER, LEVEL, WORSE))
    said = "Held when they dance (reels). Did not when they dance (jigs and airs)."
    assert evidence.sentence([found]) == said


SOURCE = """# Page

<!-- evidence -->

## One

```{evidence} It helps
they dance | x-y: new > old
they sing | z
```

## Two

```{evidence} It is there
they sing | z
```
"""


def test_a_page_gets_its_tables_and_its_summary():
    text = evidence.written(SOURCE, {"x-y": result(BETTER)})
    assert "```{evidence}" not in text and "<!--" not in text
    assert (
        "Of 2 statements, 1 hold, 0 hold under a condition, 0 did not hold here and 1 is " in text
    )
    assert text.count("| **One** |") == text.count("| **Two** |") == 1
    assert "so far, 1 of 2 to come" in text
    targets = re.findall(r"^\((\S+)\)=$", text, re.MULTILINE)
    assert targets == re.findall(r"^\| \{ref\}`[^<]+<(\S+)>`", text, re.MULTILINE)
    later = evidence.written(SOURCE, {"x-y": result(BETTER), "z": result(verdict="fails")})
    assert "not measured" not in later and "so far" not in later


def test_two_statements_need_two_titles():
    with pytest.raises(ValueError, match="two claims"):
        evidence.written(SOURCE.replace("It is there", "It helps"), {})


def test_a_page_without_statements_is_left_alone():
    assert evidence.written("# Page\n\n<!-- evidence -->\n", {}) == "# Page\n\n<!-- evidence -->\n"


# ---------------------------------------------------------------------------------- the page itself


def lines():
    """Return every line of evidence of the page."""
    return [
        line
        for _, body in evidence.BLOCK.findall(PAGE.read_text(encoding="utf-8"))
        for line in body.splitlines()
    ]


@pytest.fixture(scope="module")
def defined():
    """All experiments, those too that have not been run yet."""
    package = mircourse.experiments
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return {found.name: found for found in definition.defined()}


def test_every_block_of_the_page_is_read():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```{evidence}") == len(evidence.BLOCK.findall(text)) > 30


@pytest.mark.parametrize("line", lines())
def test_what_the_page_names_exists(line, defined):
    found = evidence.finding(line, RESULTS)
    assert found.experiment in defined
    made = defined[found.experiment]
    pair, _, tasks = line.partition(f"| {found.experiment}: ")[2].partition(" @ ")
    assert set(filter(None, pair.split(" > "))) <= {row.name for row in made.rows}
    assert set(filter(None, tasks.split("; "))) <= set(made.tasks)


def test_every_statement_is_on_the_built_page_with_its_verdict(html):
    page = soup(html / "book/takeaways.html")
    for title, body in evidence.BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        said = evidence.sentence(evidence.findings(body.splitlines(), RESULTS))
        place = page.find(id=evidence.label(title))
        assert place, title
        paragraph = place if place.name == "p" else place.find_next("p")
        shown = " ".join(paragraph.get_text().replace("’", "'").split())  # as the page sets it
        assert said in shown, title
