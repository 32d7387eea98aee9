"""Every lesson is committed run, readable without running, and built in the same way."""

import itertools
import json
import re
import sys

import nbformat
import pytest
from conftest import BOOK, ROOT, docname, lesson_files

sys.path.insert(0, str(BOOK / "_tools"))
import install_cell

# The parts of a lesson, in order, each with what its heading of level 2 says. A lesson may leave
# out those in OPTIONAL, where they make no sense.
ANATOMY = {
    "hear": r"hear|listen to the problem|look",
    "task": r"task",
    "baseline": r"baseline|without learning",
    "idea": r"idea",
    "sanity": r"sanity",
    "train": r"train",
    "results": r"results",
    "errors": r"errors",
    "ablation": r"ablation|claim",
    "pitfalls": r"pitfalls",
    "recap": r"recap",
}
OPTIONAL = {"baseline", "idea", "sanity", "train", "errors", "ablation"}
PROSE_NUMBER = re.compile(r"(?<![\w.])(?:0?\.\d{2,3}|\d{1,3}(?:\.\d+)? ?%)(?![\w.])")
METRIC_WORD = re.compile(r"accura|f-measure|f1|precision|recall|score", re.IGNORECASE)


def code_cells(notebook):
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def is_exercises(lesson):
    return lesson.stem in {"exercises", "selfcheck"}


def results_numbers():
    """Return every number of data/results as it may be printed, with two or three digits."""
    numbers = set()

    def collect(value):
        if isinstance(value, dict):
            for inner in value.values():
                collect(inner)
        elif isinstance(value, list):
            for inner in value:
                collect(inner)
        elif isinstance(value, int | float):
            numbers.update({f"{value:.2f}", f"{value:.3f}", f"{100 * value:.0f}"})

    for file in (ROOT / "data" / "results").glob("*.json"):
        collect(json.loads(file.read_text(encoding="utf-8")))
    return numbers


def test_there_are_lessons():
    assert lesson_files()


def test_is_valid(notebook):
    nbformat.validate(notebook)


def test_every_cell_was_run_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_output_is_an_error_or_a_warning(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            text = output.get("text", "") if output.output_type == "stream" else ""
            assert output.get("name") != "stderr", f"{cell.source}\nprinted {text}"


def test_what_a_cell_printed_is_one_output(notebook):
    """In two, the page shows a blank line between them; `make normal` joins them."""
    for cell in code_cells(notebook):
        streams = [output.get("name") for output in cell["outputs"]]
        assert all(a is None or a != b for a, b in itertools.pairwise(streams)), cell["source"]


def test_every_image_has_a_text_alternative(notebook):
    for cell in code_cells(notebook):
        kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
        if any(kind.startswith("image/") for kind in kinds):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) >= 20, f"no alt text for the figure of:\n{cell.source}"


def test_the_first_code_cell_is_visible_and_installs_the_course(notebook):
    first = code_cells(notebook)[0]
    assert first.source == install_cell.text()
    hiding = {"remove-cell", "remove-input", "remove-output", "hide-cell", "hide-input"}
    assert not hiding & set(first.metadata.get("tags", []))


def test_installing_is_left_to_the_first_code_cell(notebook):
    for cell in code_cells(notebook)[1:]:
        assert "%pip" not in cell.source
        assert not re.search(r"^\s*!", cell.source, re.MULTILINE), cell.source


def test_a_lesson_has_one_title_and_a_card(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")


def test_a_lesson_has_its_parts_in_order(lesson, notebook):
    if is_exercises(lesson):
        pytest.skip("exercises have a form of their own")
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    places = {}
    for part, pattern in ANATOMY.items():
        at = [i for i, h in enumerate(headings) if re.search(rf"\b({pattern})", h, re.IGNORECASE)]
        if at:
            places[part] = at
    missing = set(ANATOMY) - set(places) - OPTIONAL
    assert not missing, f"no heading for {sorted(missing)} among {headings}"
    after = -1
    for part, at in places.items():
        later = [i for i in at if i >= after]
        assert later, f"{part!r} comes too early in {headings}"
        after = later[0]


def test_tables_of_results_come_from_the_result_files(lesson, notebook):
    if is_exercises(lesson):
        pytest.skip("exercises report no results")
    assert any("results.load(" in cell.source for cell in code_cells(notebook))


def test_numbers_in_prose_come_from_the_result_files(notebook):
    known = results_numbers()
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        text = re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$", "", cell.source, flags=re.DOTALL)
        for paragraph in re.split(r"\n\s*\n", text):
            if not METRIC_WORD.search(paragraph):
                continue
            for number in PROSE_NUMBER.findall(paragraph):
                plain = number.rstrip("% ").strip()
                plain = f"0{plain}" if plain.startswith(".") else plain
                # 95 % is the level of every interval.
                assert plain in known | {"95"}, f"{number} is in no file of results: {paragraph}"


def test_is_in_the_table_of_contents(lesson, toc):
    assert docname(lesson) in toc


def test_is_small_enough_to_commit(lesson):
    assert lesson.stat().st_size < 3e6
