"""Write what ``data`` says of itself into the pages, so that no number is copied by hand.

The comment ``<!-- results: experiments -->`` in a Markdown page becomes one section for each
experiment, ``<!-- results: benchmarks -->`` one for each benchmark, ``<!-- cards -->`` the cards of
all data, and ``<!-- verdicts: cnn -->`` a table of a chapter's claims. The role
``{result}`cnn-filters/tall/instruments``` becomes that row's mean and interval.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

MARK = re.compile(r"<!-- (?:results: (experiments|benchmarks)|verdicts: (\w+)|cards) -->")
KINDS = {"ours": "ours", "baseline": "baseline", "peer": "peer", "published": "published*"}
VERDICTS = {"holds": "holds", "holds-when": "holds, under a condition", "fails": "fails"}


def load(root: Path) -> dict[str, dict]:
    """Return every result by the name of its file."""
    files = sorted((root / "data" / "results").glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def number(value: float | None, unit: str = "") -> str:
    """Format to three significant digits, with a real minus sign."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        text = f"{value:.0f}"
    else:
        text = f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"
    return text.replace("-", "−") + (f" {unit}" if unit else "")


def interval(row: dict, unit: str = "") -> str:
    """Format a row as mean and interval, or the mean alone where no interval is known."""
    mean = number(row["mean"], unit)
    low, high = row.get("interval") or (None, None)
    if low is None or high is None:
        return mean
    return f"{mean} [{number(low)}, {number(high)}]"


def duration(seconds: float) -> str:
    """Format a time as minutes, or as seconds where that says more."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} second{'s' * (round(seconds) > 1)}"
    return f"{seconds / 60:.0f} minutes"


def cell(text: object) -> str:
    """Make text safe inside a cell of a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def section(name: str, result: dict) -> Iterator[str]:
    """Yield the lines of one result's section."""
    metric, benchmark = result["metric"], name.startswith("bench-")
    yield f"(result-{name})="
    yield f"## {name}"
    yield ""
    if result.get("claim"):
        yield f"**Claim**: {result['claim'].rstrip('.')}."
        yield ""
    if result.get("verdict"):
        yield f"**Verdict**: {VERDICTS.get(result['verdict'], result['verdict'])}."
        yield ""
    if result.get("verdict_note"):
        yield f"**Decided by**: {result['verdict_note'].rstrip('.').replace('[-', '[−')}."
        yield ""
    better = "higher" if metric.get("higher_is_better", True) else "lower"
    tasks = list(dict.fromkeys(row.get("task", "") for row in result["rows"]))
    for task in tasks:
        rows = [row for row in result["rows"] if row.get("task", "") == task]
        title = f"{task}: {metric['name']}" if task else metric["name"]
        unit = f" in {metric['unit']}" if metric.get("unit") else ""
        split = f", {result['split']} split" if result.get("split") else ""
        notes = any(row.get("note") for row in rows)
        yield f":::{{table}} {title}{unit}{split}; {better} is better"
        yield ":align: left"
        yield ""
        # A benchmark repeats rounds, not seeds.
        head = ["row", "kind", "parameters"] + ([] if benchmark else ["seeds"])
        yield f"| {' | '.join(head)} | mean [95 % interval] |" + notes * " note |"
        yield "| --- | --- |" + " ---: |" * (len(head) - 1) + notes * " --- |"
        for row in rows:
            parameters = f"{row['parameters']:,}" if row.get("parameters") else "–"
            kind = KINDS.get(row.get("kind", ""), row.get("kind", ""))
            line = [row["name"], kind, parameters]
            line += [] if benchmark else [len(row.get("scores") or []) or "–"]
            line += [interval(row)]
            line += [row.get("note", "")] if notes else []
            yield "| " + " | ".join(cell(part) for part in line) + " |"
        yield ":::"
        yield ""
    if any(row.get("kind") == "published" for row in result["rows"]):
        yield "\\* As published; the protocol may differ from ours."
        yield ""
    facts = [f"`{result['command']}`"] if result.get("command") else []
    facts += [f"revision `{result['revision'][:10]}`"] if result.get("revision") else []
    facts += [str(result[key]) for key in ("date", "device") if result.get(key)]
    if result.get("wall_seconds"):
        facts.append(duration(result["wall_seconds"]))
    if result.get("groups"):
        over = result["groups"] if benchmark else f"{result['groups']} and seeds"
        facts.append(f"intervals by bootstrap over {over}")
    yield "Made by " + ", ".join(facts) + "." if facts else ""
    yield ""


def verdicts(chapter: str, results: dict[str, dict]) -> Iterator[str]:
    """Yield the lines of a table: what was claimed, what came of it, where its figures are."""
    yield "| claim | verdict | figures |"
    yield "| --- | --- | --- |"
    for name, result in results.items():
        if name.startswith(f"{chapter}-"):
            verdict = VERDICTS.get(result["verdict"], result["verdict"])
            yield f"| {cell(result['claim'])} | {verdict} | {{ref}}`{name} <result-{name}>` |"


def card(file: Path) -> str:
    """Return a card as a section: headings one level down, links to other cards within the page."""
    lines, fenced = [f"(card-{file.parent.name})="], False
    for line in file.read_text(encoding="utf-8").splitlines():
        fenced ^= line.startswith("```")
        lines.append(f"#{line}" if line.startswith("#") and not fenced else line)
    return re.sub(r"\]\(\.\./(\w+)/README\.md\)", r"](#card-\1)", "\n".join(lines)) + "\n"


def write_tables(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the marks of a page before it is parsed."""

    def tables(found: re.Match) -> str:
        if found[2] is not None:
            return "\n".join(verdicts(found[2], load(Path(app.srcdir))))
        if found[1] is None:
            return "\n".join(
                card(c) for c in sorted((Path(app.srcdir) / "data").glob("*/README.md"))
            )
        benchmarks = found[1] == "benchmarks"
        chosen = {
            name: result
            for name, result in load(Path(app.srcdir)).items()
            if name.startswith("bench-") == benchmarks
        }
        lines = [line for name, result in chosen.items() for line in section(name, result)]
        return "\n".join(lines)

    source[0] = MARK.sub(tables, source[0])


def result_role(name, rawtext, text, lineno, inliner, options=None, content=None):
    """Return the mean and interval of ``experiment/row`` or ``experiment/row/task``."""
    env = inliner.document.settings.env
    experiment, row_name, task = (*text.split("/"), None)[:3]
    env.note_dependency(str(Path(env.srcdir) / "data" / "results" / f"{experiment}.json"))
    rows = load(Path(env.srcdir)).get(experiment, {"rows": []})["rows"]
    rows = [r for r in rows if r["name"] == row_name and task in (None, r.get("task"))]
    if len(rows) != 1:
        message = inliner.reporter.error(f"{text!r} names {len(rows)} rows of data/results, not 1")
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    return [nodes.inline(rawtext, interval(rows[0]), classes=["result"])], []


def always_read(app: Sphinx, env, added, changed, removed) -> list[str]:
    """Name the pages with tables, since Sphinx does not see a new file of results."""
    pages = [doc for doc in env.found_docs if doc.startswith("book/reference/")]
    return [
        doc for doc in pages if MARK.search(Path(env.doc2path(doc)).read_text(encoding="utf-8"))
    ]


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.connect("source-read", write_tables)
    app.connect("env-get-outdated", always_read)
    app.add_role("result", result_role)
    return {"version": "1", "parallel_read_safe": True}
