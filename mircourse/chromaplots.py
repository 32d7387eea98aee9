"""Figures of chroma, and a line that moves over a figure while it is heard.

Lesson: book/rnn/streaming
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mircourse.chroma import PITCH_CLASSES
from mircourse.drawing import finite, of
from mircourse.figures import alt, describe, figure, listed, png, style
from mircourse.listen import Player

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The line waits for the player, whatever moves it; where scripts do not run the figure stays.
_FOLLOW = """
(() => {
  const root = document.currentScript.closest("figure");
  const audio = root.querySelector("audio"), line = root.querySelector("[data-line]");
  const place = () => {
    const share = Math.min(1, audio.currentTime / %(seconds).3f);
    line.style.left = (%(left).3f + share * %(width).3f) + "%%";
    if (!audio.paused) requestAnimationFrame(place);
  };
  for (const event of ["play", "seeked", "timeupdate"]) audio.addEventListener(event, place);
})();
"""


@style()
def chromagrams(rows: Mapping[str, ArrayLike], *, hop_seconds: float, title: str = "") -> Figure:
    """Draw chroma under chroma, so that they can be compared at each instant.

    Lesson: book/rnn/streaming

    Parameters
    ----------
    rows : mapping of str to array_like, shape (frames, 12)
        Chroma between 0 and 1 (or booleans), by what it is.
    hop_seconds : float
        Seconds from one frame to the next.
    title : str
        Names what is drawn; it opens the alternative text too.

    Raises
    ------
    ValueError
        If there is no row, or one has another shape, NaN, or values outside 0 to 1.
    """
    if not rows or not hop_seconds > 0:
        raise ValueError("expected one chromagram or more, and a positive hop")
    fig, axes = figure(len(rows), height=0.6 + 1.9 * len(rows), squeeze=False, sharex=True)
    said = []
    for ax, (name, values) in zip(axes[:, 0], rows.items(), strict=True):
        image = finite(name, np.asarray(values, dtype=float), 2)
        if image.shape[1] != 12 or image.min() < 0 or image.max() > 1:
            raise ValueError(
                f"{name!r} has shape {image.shape} and values from {image.min():.2f} to "
                f"{image.max():.2f}; expected (frames, 12) between 0 and 1"
            )
        seconds = len(image) * hop_seconds
        ax.imshow(
            image.T,
            origin="lower",
            aspect="auto",
            extent=(0, seconds, -0.5, 11.5),
            interpolation="nearest",
            cmap="magma",
            vmin=0,
            vmax=1,
        )
        # Every other name: all twelve would touch.
        ax.set_yticks(range(0, 12, 2), PITCH_CLASSES[::2])
        ax.set_title(name)
        ax.set(xlim=(0, seconds))
        share = image.mean(axis=0)
        strongest = [PITCH_CLASSES[i] for i in np.argsort(-share, kind="stable")[:3]]
        said.append(f"{name}: most of the time {listed(strongest)}, {share.sum():.1f} at once")
    axes[-1, 0].set(xlabel="Time (s)")
    describe(fig, f"Chromagrams{of(title)}, {seconds:.1f} s long. {'; '.join(said)}.")
    return fig


@dataclass(frozen=True, eq=False)
class PlayAlong:
    """A figure over a player, with a line at the instant that is heard; made by `play_along`."""

    figure: Figure
    player: Player
    seconds: float

    def __repr__(self) -> str:
        return f"<PlayAlong {self.player.caption!r}, {self.player.seconds:.2f} s>"

    def _repr_html_(self) -> str:
        with style():
            self.figure.draw_without_rendering()
            box = self.figure.axes[0].get_position()
        image = base64.b64encode(png(self.figure)).decode("ascii")
        sound = base64.b64encode(self.player.mp3).decode("ascii")
        caption = html.escape(self.player.caption, quote=True)
        left, width = 100 * box.x0, 100 * box.width
        script = _FOLLOW % {"seconds": self.seconds, "left": left, "width": width}
        line = (
            f"position:absolute;top:0;bottom:0;left:{left:.3f}%;width:0;"
            "border-left:3px solid #0072B2"
        )
        return (
            f'<figure class="mircourse-player"><figcaption>{caption}</figcaption>'
            '<div style="position:relative;max-width:650px">'
            # A theme may pad images; the line would then no longer stand where the axes are.
            f'<img src="data:image/png;base64,{image}" '
            'style="width:100%;display:block;padding:0;border-radius:0" '
            f'alt="{html.escape(alt(self.figure), quote=True)}">'
            f'<div data-line aria-hidden="true" style="{line}"></div></div>'
            f'<audio controls preload="metadata" aria-label="{caption}" '
            f'src="data:audio/mpeg;base64,{sound}"></audio>'
            f"<script>{script}</script></figure>"
        )


def play_along(figure: Figure, player: Player, *, seconds: float) -> PlayAlong:
    """Put a figure over time above a player and let a line follow what is heard.

    Lesson: book/rnn/streaming

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Its axes lie under one another and begin at the first sample that the player plays.
    player : mircourse.listen.Player
        What is heard.
    seconds : float
        Where the axes end.

    Returns
    -------
    PlayAlong
        Displays in a notebook.

    Raises
    ------
    ValueError
        If the length is not positive, or the figure has no alternative text.
    """
    if not seconds > 0:
        raise ValueError(f"got seconds={seconds}; expected a positive length")
    alt(figure)
    return PlayAlong(figure, player, seconds)
