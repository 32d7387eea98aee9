"""Turn what the article says into verdicts, from the files in ``data/results``.

A block of a Markdown page names a claim and, a line each, what was measured of it:

    ```{evidence} Tall filters help
    a note is recognised | cnn-filters: tall > square @ instruments
    a gradient goes far back | rnn-gradients
    ```

Before the bar stands when the claim is put to the test; behind it an experiment, whose own verdict
counts, or two of its rows, of which the first should be the better one, in all tasks or in those
after ``@``. The block becomes a verdict and a table. ``<!-- evidence -->`` becomes a table of all
verdicts of the page. An experiment without a result is shown as not measured yet.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from result_tables import cell, load
from sphinx.application import Sphinx

BLOCK = re.compile(r"^```\{evidence\} (.+)\n((?:.+\n)+?)```$", re.MULTILINE)
SUMMARY = "<!-- evidence -->"
WORDS = {
    "holds": "{bdg-success}`holds`",
    "holds-when": "{bdg-warning}`holds when …`",
    "fails": "{bdg-danger}`did not hold here`",
    "": "{bdg-light}`not measured yet`",
}


@dataclass(frozen=True)
class Finding:
    """What one line of a block comes to.

    Attributes
    ----------
    when : str
        The condition, to stand behind "when".
    experiment : str
        The name of the result.
    outcome : str
        "holds", "holds-when", "fails", or "" where there is no result.
    figures : str
        What was found.
    won, lost : tuple of str
        The tasks in which two rows were compared, by how that ended.
    reversed : bool
        Whether in all of these tasks the second row was the better one.
    """

    when: str
    experiment: str
    outcome: str
    figures: str
    won: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    reversed: bool = False


def signed(value: float) -> str:
    """Format a difference, with a real minus sign."""
    return f"{value:+.3f}".replace("-", "−")


def findings(lines: Sequence[str], results: Mapping[str, dict]) -> list[Finding]:
    """Return what the lines of a block come to.

    Raises
    ------
    ValueError
        If a line is malformed, or asks for a difference that its result does not hold.
    """
    return [finding(line, results) for line in lines if line.strip()]


def finding(line: str, results: Mapping[str, dict]) -> Finding:
    """Return what one line comes to; raises as `findings` does."""
    when, bar, what = line.partition(" | ")
    name, _, pair = what.partition(": ")
    rows, _, tasks = pair.partition(" @ ")
    better, sign, worse = rows.partition(" > ")
    if not bar or not re.fullmatch(r"[a-z0-9-]+", name) or bool(pair) != bool(sign):
        raise ValueError(f"{line!r} is not: when | experiment, or when | experiment: row > row")
    result = results.get(name)
    if result is None:
        return Finding(when, name, "", "no result yet")
    if not pair:
        note = re.sub(r"(?<=[\s\[])-(?=\d)", "−", result["verdict_note"])
        return Finding(when, name, result["verdict"], note)
    wanted = tasks.split("; ") if tasks else None
    compared = [d for d in paired(result, better, worse) if wanted is None or d[0] in wanted]
    if not compared or (wanted and len(compared) != len(wanted)):
        raise ValueError(f"{line!r}: {name} holds no such difference")
    up = result["metric"]["higher_is_better"]
    won = tuple(task for task, _, low, high in compared if (low > 0 if up else high < 0))
    turned = all(high < 0 if up else low > 0 for *_, low, high in compared)
    lost = tuple(task for task, *_ in compared if task not in won)
    outcome = "holds" if not lost else "holds-when" if won else "fails"
    direction = "" if up else " (lower is better)"
    figures = "; ".join(
        f"{task + ' ' if task else ''}{signed(mean)} [{signed(low)}, {signed(high)}]"
        for task, mean, low, high in compared
    )
    measure = result["metric"]["name"]
    note = f"{measure}{direction}, {better} minus {worse}: {figures}"
    return Finding(when, name, outcome, note, won, lost, turned)


def paired(result: Mapping, better: str, worse: str) -> list[tuple[str, float, float, float]]:
    """Return task, mean and interval of every difference of two rows, turned if it has to be."""
    found = []
    for entry in result.get("differences", []):
        low, high = entry["interval"]
        if (entry["a"], entry["b"]) == (better, worse):
            found.append((entry["task"], entry["mean"], low, high))
        elif (entry["a"], entry["b"]) == (worse, better):
            found.append((entry["task"], -entry["mean"], -high, -low))
    return found


def together(several: Sequence[Finding]) -> str:
    """Return the verdict of a claim: that of its findings if they agree, else "holds-when".

    What has no result yet does not count; if nothing has one, the verdict is "".
    """
    outcomes = {found.outcome for found in several} - {""}
    return outcomes.pop() if len(outcomes) == 1 else "holds-when" if outcomes else ""


def sentence(several: Sequence[Finding]) -> str:
    """Return the conditions of a verdict in words."""
    decided = [found for found in several if found.outcome]
    waiting = len(several) - len(decided)
    if not decided:
        return "Nothing of this has a result yet."
    verb = "has" if waiting == 1 else "have"
    rest = f" {waiting} of {len(several)} comparisons {verb} no result yet." if waiting else ""
    said, n = together(several), len(decided)
    if said == "holds":
        where = {1: "the one comparison", 2: "both comparisons"}.get(n, f"all {n} comparisons")
        return f"Held in {where}.{rest}"
    if said == "fails":
        start = (
            "Did not hold in the one comparison" if n == 1 else f"Held in none of {n} comparisons"
        )
        return f"{start}{'; the opposite did' * all(f.reversed for f in decided)}.{rest}"
    held = [condition(f, f.won) for f in decided if f.outcome != "fails"]
    others = [f for f in decided if f.outcome == "fails" or f.lost]
    not_held = [condition(f, f.lost) for f in others if f.outcome != "holds"]
    text = f"Held when {'; when '.join(held)}."
    text += f" Did not when {'; when '.join(not_held)}." if not_held else ""
    return text + rest


def condition(found: Finding, tasks: Sequence[str]) -> str:
    """Return when something held or did not; of several tasks, in which of them."""
    if found.outcome != "holds-when":
        return found.when
    named = " and ".join(filter(None, tasks))
    return f"{found.when} ({named})" if named else f"{found.when} (in part)"


def label(title: str) -> str:
    """Return the target that a claim's verdict has."""
    return "said-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def block(title: str, several: Sequence[Finding]) -> Iterator[str]:
    """Yield the lines of Markdown that a block becomes."""
    yield f"({label(title)})="
    yield f"**{title}.** {WORDS[together(several)]}<br>"
    yield sentence(several)
    yield ""
    yield ":::{table}"
    yield ":class: evidence"
    yield ""
    yield "| when | measured | |"
    yield "| --- | --- | --- |"
    for found in several:
        name = found.experiment
        link = f"{{ref}}`{name} <result-{name}>`" if found.outcome else f"`{name}`"
        outcome = WORDS[found.outcome] + "; the opposite did" * found.reversed
        parts = [found.when, f"{link}: {found.figures}", outcome]
        yield "| " + " | ".join(cell(part) for part in parts) + " |"
    yield ":::"
    yield ""


def summary(claims: Mapping[str, Sequence[Finding]], heads: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of the table of all verdicts, under the headings of the claims."""
    verdicts = {title: together(several) for title, several in claims.items()}
    words = {"holds": "hold", "holds-when": "hold under a condition", "fails": "did not hold here"}
    counts = [f"{[*verdicts.values()].count(value)} {said}" for value, said in words.items()]
    waiting = [*verdicts.values()].count("")
    counts += [f"{waiting} {'is' if waiting == 1 else 'are'} not measured yet"] if waiting else []
    yield f"Of {len(claims)} statements, {', '.join(counts[:-1])} and {counts[-1]}."
    yield ""
    yield "| the article says, in our words | what we found |"
    yield "| --- | --- |"
    head = ""
    for title, several in claims.items():
        if heads[title] != head:
            head = heads[title]
            yield f"| **{head}** | |"
        missing = sum(not found.outcome for found in several)
        some = f" so far, {missing} of {len(several)} to come" if 0 < missing < len(several) else ""
        yield f"| {{ref}}`{title} <{label(title)}>` | {WORDS[verdicts[title]]}{some} |"


def written(text: str, results: Mapping[str, dict]) -> str:
    """Return a page with its blocks and its summary written out.

    Raises
    ------
    ValueError
        If two claims have one title, or a line is wrong as `findings` says.
    """
    claims: dict[str, list[Finding]] = {}
    heads: dict[str, str] = {}
    for found in BLOCK.finditer(text):
        title, lines = found.groups()
        if title in claims:
            raise ValueError(f"two claims are called {title!r}")
        claims[title] = findings(lines.splitlines(), results)
        before = re.findall(r"^## (.+)$", text[: found.start()], re.MULTILINE)
        heads[title] = before[-1] if before else ""
    text = BLOCK.sub(lambda found: "\n".join(block(found[1], claims[found[1]])), text)
    return text.replace(SUMMARY, "\n".join(summary(claims, heads))) if claims else text


def write(app: Sphinx, docname: str, source: list[str]) -> None:
    """Write a page's verdicts before it is parsed."""
    if BLOCK.search(source[0]):
        source[0] = written(source[0], load(Path(app.srcdir)))


def always_read(app: Sphinx, env, added, changed, removed) -> list[str]:
    """Name the pages with verdicts, since Sphinx does not see a new file of results."""
    pages = [doc for doc in env.found_docs if Path(env.doc2path(doc)).suffix == ".md"]
    return [doc for doc in pages if "```{evidence}" in Path(env.doc2path(doc)).read_text("utf-8")]


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.connect("source-read", write)
    app.connect("env-get-outdated", always_read)
    return {"version": "1", "parallel_read_safe": True}
