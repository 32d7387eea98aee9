"""Chromagrams say what they show, and the line begins and ends where the axes do."""

import re

import numpy as np
import pytest
from bs4 import BeautifulSoup

from mircourse import listen, plots
from mircourse.chromaplots import chromagrams, play_along

CHROMA = np.eye(12)[[0, 4, 7, 7, 0, 0]].astype(bool)


def test_the_text_names_what_sounds_most():
    fig = chromagrams({"Score": CHROMA, "Heard": 0.5 * CHROMA}, hop_seconds=0.5, title="a chord")
    text = plots.alt(fig)
    assert text.startswith("Chromagrams of a chord, 3.0 s long. Score: most of the time C, G and E")
    assert "Heard: most of the time C, G and E, 0.5 at once" in text
    assert len(fig.axes) == 2
    np.testing.assert_array_equal(fig.axes[0].images[0].get_array(), CHROMA.T)
    assert fig.axes[1].get_xlim() == (0, 3)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "one chromagram or more"),
        ({"x": np.zeros((5, 11))}, r"'x' has shape \(5, 11\)"),
        ({"x": np.full((5, 12), 2.0)}, "values from 2.00 to 2.00"),
        ({"x": np.full((5, 12), np.nan)}, "NaN"),
    ],
)
def test_what_is_no_chroma_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        chromagrams(rows, hop_seconds=0.1)


def test_a_line_follows_the_player():
    fig = chromagrams({"Score": CHROMA}, hop_seconds=0.5)
    audio = 0.1 * np.random.default_rng(0).standard_normal(22050)
    sound = listen.player(audio, sample_rate=22050, caption='A "chord" & more')
    shown = BeautifulSoup(play_along(fig, sound, seconds=3.0)._repr_html_(), "html.parser")
    assert shown.img["alt"] == plots.alt(fig)
    assert shown.audio["aria-label"] == shown.figcaption.get_text() == 'A "chord" & more'
    script = shown.script.string
    left, width = map(float, re.search(r"\(([\d.]+) \+ share \* ([\d.]+)\)", script).groups())
    box = fig.axes[0].get_position()
    assert (left, left + width) == pytest.approx((100 * box.x0, 100 * box.x1), abs=0.01)
    assert f"left:{left:.3f}%" in shown.find(attrs={"data-line": True})["style"]
    assert "/ 3.000" in script
    assert "A &quot;chord" in repr(play_along(fig, sound, seconds=3.0)._repr_html_())


def test_a_length_is_positive():
    fig = chromagrams({"Score": CHROMA}, hop_seconds=0.5)
    sound = listen.player(np.zeros(100), sample_rate=22050, caption="nothing")
    with pytest.raises(ValueError, match="expected a positive length"):
        play_along(fig, sound, seconds=0)
