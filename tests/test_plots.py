import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient

from mircourse import figures, plots
from mircourse.experiments.results import Result
from mircourse.features import LogCQT
from mircourse.metrics import confusion
from mircourse.notearray import note_array
from mircourse.performed import performed_notes

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("alt_text", ROOT / "book/_tools/alt_text.py")
alt_text = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(alt_text)

TUNE = note_array([0, 1, 1.5, 2], [1, 0.5, 0.5, 2], [60, 64, 67, 72], voice=[0, 0, 1, 1])


def row(name, kind, task, mean, low, high):
    interval = None if low is None else [low, high]
    return {
        "name": name, "kind": kind, "task": task, "mean": mean, "interval": interval,
        "parameters": 0, "seeds": [0], "scores": [mean], "note": "",
    }  # fmt: skip


RESULT = Result(
    {
        "experiment": "shapes",
        "metric": {"name": "accuracy", "unit": "", "higher_is_better": True},
        "rows": [
            row("tall", "ours", "instruments", 0.868, 0.831, 0.909),
            row("square", "baseline", "instruments", 0.8, 0.75, 0.85),
            row("Smith", "published", "instruments", 0.7, None, None),
            row("tall", "ours", "dances", 0.5, 0.4, 0.6),
        ],
    }
)
HISTORY = [
    {"epoch": 0, "lr": 0.1, "train_loss": 2.0, "valid_loss": 2.1, "valid_accuracy": 0.2},
    {"epoch": 1, "lr": 0.1, "train_loss": 1.0, "valid_loss": 1.4, "valid_accuracy": 0.7},
    {"epoch": 2, "lr": 0.1, "train_loss": 0.5, "valid_loss": 1.6, "valid_accuracy": 0.6},
]

PLAYED = performed_notes([0, 0, 0], [1, 1, 1.5], [60, 64, 67])
WRITTEN = performed_notes([0.02, 0, 0.2, 0.5], [1, 1, 1.3, 0.5], [60, 64, 67, 66])


def draw_everything():
    ramp = np.arange(60.0).reshape(6, 10)
    hertz = 100 * 2.0 ** np.arange(6)
    audio = np.zeros(22050)
    audio[11025] = -0.5
    return {
        "waveform": plots.waveform(audio, sample_rate=22050, title="a click", onsets=[0.5]),
        "spectrogram": plots.spectrogram(
            ramp, sample_rate=1000, hop_length=100, frequencies=hertz, onsets=[0.1, 0.2]
        ),
        "piano_roll": plots.piano_roll(TUNE, title="a tune"),
        "transcription": plots.transcription(PLAYED, WRITTEN, title="a chord"),
        "confusion": plots.confusion([[8, 2], [0, 5]], labels=["reel", "jig"]),
        "bars": plots.bars_with_intervals(RESULT, title="filter shapes"),
        "history": plots.history(HISTORY),
        "filters": plots.filters(np.linspace(-1, 2, 5 * 12).reshape(5, 12, 1)),
        "attention": plots.attention(
            [0.1, 0.6, 0.2, 0.1], seconds=2.0, spectrogram=ramp, frequencies=hertz
        ),
    }


@pytest.fixture(scope="module")
def drawn():
    return draw_everything()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "waveform",
            "Waveform of a click, 1.00 s long; the largest amplitude, 0.50, is at 0.50 s; "
            "1 onset is marked.",
        ),
        (
            "spectrogram",
            "Spectrogram: 1.00 s, 6 bands from 100 to 3,200 Hz; loudest at 0.90 s near 3,200 Hz, "
            "on average near 3,200 Hz; 2 onsets are marked.",
        ),
        ("piano_roll", "Piano roll of a tune: 4 notes in 2 voices over 4 beats, from C4 to C5."),
        (
            "transcription",
            "Piano roll of a chord: of 3 notes 2 are found and 1 missed, 2 invented, over 1.5 s, "
            "from C4 to G4.",
        ),
        (
            "confusion",
            "Confusion matrix: 2 classes, 15 items, 87% on the diagonal; most often reel taken "
            "for jig (20%).",
        ),
        (
            "bars",
            "Dot chart of accuracy with 95 % intervals of filter shapes. instruments: "
            "tall 0.87 [0.83, 0.91], square 0.80 [0.75, 0.85], Smith 0.70 (published); "
            "dances: tall 0.50 [0.40, 0.60].",
        ),
        (
            "history",
            "Training history, 3 epochs: training loss from 2 to 0.5, best 0.5 in epoch 3; "
            "validation loss from 2.1 to 1.6, best 1.4 in epoch 2; "
            "validation accuracy from 0.2 to 0.6, best 0.7 in epoch 2.",
        ),
        (
            "filters",
            "Grid of 5 filters, each 12 high (frequency) by 1 wide (time); weights from -1 to 2.",
        ),
        (
            "attention",
            "Attention over time, 2.00 s: largest from 0.50 to 1.00 s; half of all weight lies on "
            "1 of 4 frames. A dashed line marks equal weights.",
        ),
    ],
)
def test_alternative_text_says_what_is_plotted(drawn, name, text):
    assert plots.alt(drawn[name]) == text


def draw(fig):
    with plots.style():
        fig.draw_without_rendering()


def test_figures_are_legible(drawn):
    for name, fig in drawn.items():
        draw(fig)
        phone = 3.75 / fig.get_figwidth()
        texts = [t for t in fig.findobj(lambda a: hasattr(a, "get_fontsize")) if t.get_text()]
        assert texts, name
        assert min(t.get_fontsize() for t in texts) * phone >= 9, name
        image = np.asarray(PIL.Image.open(io.BytesIO(figures.png(fig))).convert("RGBA"))
        assert (image[0, 0] == (252, 252, 252, 255)).all(), name
        assert image.shape[1] == 650
        assert image[..., :3].std() > 5, name


def test_texts_stay_inside_the_figure(drawn):
    for name, fig in drawn.items():
        draw(fig)
        box = fig.get_tightbbox()
        assert box.x0 > -0.01 and box.x1 < fig.get_figwidth() + 0.01, name
        assert box.y0 > -0.01 and box.y1 < fig.get_figheight() + 0.01, name


def luminance(colour):
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


def test_ink_and_first_colours_contrast_with_the_ground():
    """WCAG 2.2 asks for 7:1 (AAA) of text and 3:1 of the parts of a figure."""
    ground = luminance(figures.BACKGROUND) + 0.05
    assert ground / (luminance(figures.INK) + 0.05) > 7
    for colour in figures.COLOURS[:3]:
        assert ground / (luminance(colour) + 0.05) > 3


def test_style_leaves_settings_as_they_were():
    import matplotlib

    matplotlib.rcParams["backend"]  # matplotlib chooses one when first asked
    before = matplotlib.rcParams.copy()
    with plots.style():
        assert matplotlib.rcParams["figure.facecolor"] == figures.BACKGROUND
    assert matplotlib.rcParams == before
    draw_everything()
    assert matplotlib.rcParams == before


def test_drawing_does_not_touch_pyplot():
    code = (
        "import sys; from mircourse import plots; assert 'matplotlib' not in sys.modules;"
        "plots.confusion([[1]], labels=['a']); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_spectrogram_labels_the_band_that_sounds():
    module = LogCQT(22050, n_bins=96)
    ticks = plots.spectrogram(
        np.zeros((96, 4)), sample_rate=22050, hop_length=512, frequencies=module.frequencies
    ).axes[0]
    draw(ticks.figure)
    for place, label in zip(ticks.get_yticks(), ticks.get_yticklabels(), strict=True):
        hertz = float(label.get_text().replace(",", ""))
        assert hertz == pytest.approx(np.interp(place, np.arange(96), module.frequencies))


def test_dots_stand_where_the_means_are(drawn):
    top = drawn["bars"].axes[0]
    assert [line.get_xdata()[0] for line in top.lines] == [0.868, 0.8, 0.7]
    assert [t.get_text() for t in top.get_yticklabels()] == ["tall", "square", "Smith"]
    (one,) = plots.bars_with_intervals(RESULT, task="dances").axes
    assert one.lines[0].get_xdata()[0] == 0.5


@settings(max_examples=5, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_the_share_on_the_diagonal_is_the_accuracy(pairs):
    true, guess = np.array(pairs).T
    table = confusion(true, guess, labels=range(4))
    text = plots.alt(plots.confusion(table, labels=list("abcd")))
    assert f"{np.mean(true == guess):.0%} on the diagonal" in text
    assert ("no confusions" in text) == (true == guess).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plots.waveform([[0.0]], sample_rate=1), "mono"),
        (lambda: plots.piano_roll(TUNE[:0]), "no notes"),
        (lambda: plots.transcription(PLAYED[:0], WRITTEN), "no notes"),
        (lambda: plots.confusion([[1]], labels=["a", "b"]), r"\(1, 1\).*\(2, 2\)"),
        (lambda: plots.confusion([[0]], labels=["a"]), "some above 0"),
        (lambda: plots.bars_with_intervals(RESULT, task="x"), "no task 'x'"),
        (lambda: plots.history([]), "a history with losses"),
        (lambda: plots.history([{"epoch": 0, "lr": 1.0}]), "a history with losses"),
        (lambda: plots.filters(np.zeros((2, 2))), "3 axes"),
        (lambda: plots.attention([0.5, np.nan], seconds=1), "NaN"),
        (lambda: plots.attention([0.5, -0.1], seconds=1), "at least 0"),
        (lambda: plots.attention([1.0], seconds=1, spectrogram=np.zeros((2, 2))), "each of 2"),
        (
            lambda: plots.spectrogram(
                np.zeros((2, 3)), sample_rate=1, hop_length=1, frequencies=[2, 1]
            ),
            "rising",
        ),
        (lambda: plots.describe(plots.figure()[0], "short"), "too short"),
        (lambda: plots.alt(plots.figure()[0]), "no alternative text"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_degenerate_input_draws():
    plots.waveform(np.zeros(1), sample_rate=8000)
    plots.spectrogram(np.zeros((1, 1)), sample_rate=1, hop_length=1, frequencies=[440.0])
    plots.piano_roll(TUNE[:1])
    plots.transcription(PLAYED[:1])
    plots.transcription(PLAYED[:1], PLAYED[:0])
    plots.filters(np.zeros((1, 3, 3)))
    plots.history(HISTORY[:1])
    assert "silent" in plots.alt(plots.waveform(np.zeros(99), sample_rate=8000))


def test_show_prints_the_text_where_nothing_can_be_displayed(drawn, capsys):
    plots.show(drawn["piano_roll"])
    assert capsys.readouterr().out == plots.alt(drawn["piano_roll"]) + "\n"


# The kernel's own event loop warns about what it does at shutdown.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_alternative_texts_reach_the_cell_metadata():
    confusion_call = "plots.confusion([[1, 0], [2, 3]], labels=['a', 'b'])"
    sources = [
        "%matplotlib inline\nimport matplotlib.pyplot as plt\nfrom mircourse import plots",
        confusion_call,
        f"plots.show({confusion_call})\nprint('after')",
        "plt.plot([1, 2])\nplt.show()",
        "print('no image')",
    ]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    assert notebook.cells[1].outputs[0].data["text/plain"] == "<Figure 5 x 3.2 in>"
    with pytest.raises(alt_text.MissingText, match=r"cell 3 has no alternative text"):
        alt_text.fill(notebook)
    assert "mystnb" not in notebook.cells[1].metadata

    notebook.cells[3].metadata["mystnb"] = {"image": {"alt": "A line written about by hand."}}
    notebook = nbformat.reads(nbformat.writes(notebook), as_version=4)
    assert alt_text.fill(notebook) == 2
    assert alt_text.fill(notebook) == 0
    wanted = plots.alt(plots.confusion([[1, 0], [2, 3]], labels=["a", "b"]))
    alts = [c.metadata.get("mystnb", {}).get("image", {}).get("alt") for c in notebook.cells]
    assert alts == [None, wanted, wanted, "A line written about by hand.", None]

    notebook.cells[1].outputs += notebook.cells[2].outputs
    with pytest.raises(alt_text.MissingText, match="shows 2 images"):
        alt_text.fill(notebook)
