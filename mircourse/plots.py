"""Figures of sound, notes, models and results; each one says in words what it shows.

Every function returns a ``matplotlib.figure.Figure`` in the course's style (`mircourse.figures`).
In a notebook it displays itself as the last expression of a cell; ``plots.show(fig)`` displays it
anywhere in a cell. ``plots.alt(fig)`` is the alternative text, written from the data plotted.
"""

from mircourse.figures import alt, describe, figure, show, style
from mircourse.modelplots import attention, bars_with_intervals, confusion, filters, history
from mircourse.soundplots import piano_roll, spectrogram, transcription, waveform

__all__ = [
    "alt",
    "attention",
    "bars_with_intervals",
    "confusion",
    "describe",
    "figure",
    "filters",
    "history",
    "piano_roll",
    "show",
    "spectrogram",
    "style",
    "transcription",
    "waveform",
]
