"""What the drawing modules share: checks, a time-frequency image, words for numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NOTE_NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")


def draw_image(
    ax: Axes, image: NDArray[np.float64], hertz: NDArray[Any], step: float, *, first: float = 0.0
) -> Any:
    """Draw ``(bands, frames)``, rows labelled in Hz, the first frame centred at ``first`` s."""
    start, frames = first - step / 2, image.shape[1]
    extent = (start, start + frames * step, -0.5, image.shape[0] - 0.5)
    drawn = ax.imshow(
        image, origin="lower", aspect="auto", extent=extent, interpolation="nearest", cmap="magma"
    )
    wanted = np.array([32, 65, 125, 250, 500, 1000, 2000, 4000, 8000, 16000])
    if np.allclose(np.diff(hertz, 2), 0, atol=1e-6 * hertz[-1]):
        wanted = np.arange(0, hertz[-1], 2000 if hertz[-1] > 5000 else 500)
    ticks = wanted[(wanted >= hertz[0]) & (wanted <= hertz[-1])]
    places = np.interp(ticks, hertz, np.arange(len(hertz)))
    # Bands are linear in frequency near the bottom of a mel scale: labels there would overlap.
    kept = [0] if len(ticks) else []
    for i in range(1, len(ticks)):
        if places[i] - places[kept[-1]] >= len(hertz) / 12:
            kept.append(i)
    ax.set_yticks(places[kept], [f"{ticks[i]:,.0f}" for i in kept])
    ax.set(ylabel="Frequency (Hz)", xlim=(max(start, 0), start + frames * step))
    return drawn


def finite(name: str, values: ArrayLike, ndim: int) -> NDArray[np.float64]:
    """Return an array of finite numbers, or raise ValueError saying what came."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim or not array.size:
        raise ValueError(f"{name} have shape {array.shape} but {ndim} axes, none empty, expected")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} hold NaN or infinity")
    return array


def of(title: str) -> str:
    """Return " of title", or nothing without a title."""
    return f" of {title}" if title else ""


def pitch_name(pitch: int) -> str:
    """Return a MIDI pitch's name; 60 is C4."""
    return f"{_NOTE_NAMES[pitch % 12]}{pitch // 12 - 1}"
