"""The course's figure: one style, its own near-white ground, and a text that says what it shows.

Type is 12 pt in a figure 5 inches wide, so that on a phone, 3.75 inches, it is still 9 pt. Colours
are those of Okabe and Ito (2008), told apart by colour-blind readers; lines differ in their dashes
too. A figure has a ground of its own, so it reads the same on a light page and on a dark one.

Figures here are not pyplot's: nothing is shown, or kept in memory, unless you ask for it.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BACKGROUND = "#fcfcfc"
INK = "#222222"
# Okabe and Ito's order changed so that the colours with most contrast come first; no yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
WIDTH = 5.0
DPI = 130


@contextmanager
def style() -> Iterator[None]:
    """Draw in the course's style: ``with figures.style(): ...``, or decorate with ``@style()``."""
    import matplotlib
    from cycler import cycler

    colours = [colour for _ in DASHES for colour in COLOURS]
    dashes = [dash for dash in DASHES for _ in COLOURS]
    settings: dict[Any, Any] = {
        "font.size": 12,
        "axes.titlesize": 12,
        "axes.labelsize": 12,
        "xtick.labelsize": 12,
        "ytick.labelsize": 12,
        "legend.fontsize": 12,
        "legend.frameon": False,
        "figure.dpi": DPI,
        "figure.constrained_layout.w_pad": 0.08,
        "figure.constrained_layout.h_pad": 0.08,
        "savefig.dpi": DPI,
        "figure.facecolor": BACKGROUND,
        "savefig.facecolor": BACKGROUND,
        "axes.facecolor": BACKGROUND,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "lines.linewidth": 2,
        "axes.prop_cycle": cycler(color=colours, linestyle=dashes),
        "image.cmap": "magma",
    }
    with matplotlib.rc_context(settings):
        yield


def figure(
    rows: int = 1, columns: int = 1, *, height: float = 2.8, alt: str = "", **grid: Any
) -> tuple[Figure, Any]:
    """Make an empty figure in the course's style.

    Parameters
    ----------
    rows, columns : int
        How many axes.
    height : float
        In inches; the width is always 5 inches.
    alt : str
        What the figure shows; you may say so later, with `describe`.
    **grid
        For ``matplotlib.figure.Figure.subplots``: ``sharex``, ``height_ratios`` and so on.

    Returns
    -------
    matplotlib.figure.Figure, matplotlib.axes.Axes or array of them
        The figure displays itself as the last expression of a notebook's cell.
    """
    from matplotlib.figure import Figure

    with style():
        fig = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = fig.subplots(rows, columns, **grid)
    if alt:
        describe(fig, alt)
    # Notebooks ask an object for this before they fall back on matplotlib's own display, which
    # would drop the alternative text.
    fig._ipython_display_ = functools.partial(show, fig)  # type: ignore[attr-defined]
    return fig, axes


def describe(fig: Figure, text: str) -> None:
    """Say what a figure shows, in a sentence or two that replace it for those who cannot see it.

    Raises
    ------
    ValueError
        If the text has fewer than 20 characters.
    """
    text = " ".join(text.split())
    if len(text) < 20:
        raise ValueError(f"alternative text {text!r} is too short to say what the figure shows")
    fig.set_label(text)


def alt(fig: Figure) -> str:
    """Return the text that says what a figure shows.

    Raises
    ------
    ValueError
        If nobody has said it: see `describe`.
    """
    text = str(fig.get_label())
    if not text:
        raise ValueError("the figure has no alternative text; call describe(fig, text)")
    return text


def png(fig: Figure) -> bytes:
    """Return the figure as a PNG file, 650 pixels wide."""
    stream = io.BytesIO()
    with style():
        fig.savefig(stream, format="png", dpi=DPI, facecolor=BACKGROUND)
    return stream.getvalue()


def show(fig: Figure) -> None:
    """Display a figure in a notebook with its alternative text; elsewhere, print that text.

    The text travels in the output's metadata, ``{"image/png": {"alt": ...}}``, from where
    ``book/_tools/alt_text.py`` copies it to where the book's builder looks for it.

    Raises
    ------
    ValueError
        If the figure has no alternative text.
    """
    text = alt(fig)
    if not in_notebook():
        print(text)
        return
    from IPython.display import display

    # The plain form names the size alone, for it is compared whenever the notebook is tested.
    plain = f"<Figure {WIDTH:g} x {fig.get_figheight():g} in>"
    data = {"image/png": base64.b64encode(png(fig)).decode("ascii"), "text/plain": plain}
    display(data, raw=True, metadata={"image/png": {"alt": text}})


def listed(words: Sequence[str]) -> str:
    """Join words for a sentence: ``"a, b and c"``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def in_notebook() -> bool:
    """Return whether this runs in a notebook's kernel, where output can be more than text."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")
