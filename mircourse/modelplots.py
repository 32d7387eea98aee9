"""Figures of models and their results; `mircourse.plots` offers them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mircourse.drawing import draw_image, finite, of
from mircourse.figures import COLOURS, DASHES, INK, MARKERS, describe, figure, listed, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mircourse.experiments.results import Result

_KIND_COLOUR = {"ours": 0, "baseline": 6, "peer": 1, "published": 3}


@style()
def confusion(counts: ArrayLike, *, labels: Sequence[str], title: str = "") -> Figure:
    """Draw a confusion matrix, each true class's row as shares of that class.

    Parameters
    ----------
    counts : array_like, shape (n_classes, n_classes)
        Items by true class (rows) and predicted class (columns), as `mircourse.metrics.confusion`
        returns.
    labels : sequence of str
        Names of the classes.
    title : str
        Names what is drawn; it opens the alternative text too.

    Raises
    ------
    ValueError
        If shapes do not fit, a count is negative, or there are no items.
    """
    table = finite("counts", counts, 2)
    if table.shape != (len(labels), len(labels)) or (table < 0).any() or not table.sum():
        raise ValueError(
            f"counts have shape {table.shape} but non-negative counts, some above 0, of shape "
            f"{(len(labels), len(labels))} are expected for {len(labels)} labels"
        )
    sizes = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, sizes, out=np.zeros_like(table), where=sizes > 0)
    size = len(labels)
    fig, ax = figure(height=max(3.2, 1.4 + 0.2 * size))
    drawn = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    fig.colorbar(drawn, ax=ax, label="Share of the true class")
    # Many labels in the usual size would run into each other.
    font = {"fontsize": 8} if size > 12 else {}
    ax.set_xticks(range(size), labels, rotation=90, **font)
    ax.set_yticks(range(size), labels, **font)
    ax.set(xlabel="Predicted", ylabel="True", title=title)
    if size <= 6:
        for (i, j), share in np.ndenumerate(shares):
            ink = "white" if share > 0.5 else INK
            ax.text(j, i, f"{share:.0%}", ha="center", va="center", color=ink)
    describe(fig, _confusion_text(table, shares, labels, title))
    return fig


@style()
def bars_with_intervals(result: Result, *, task: str | None = None, title: str = "") -> Figure:
    """Draw the rows of a result as dots with their intervals, a panel for each task.

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    result : mircourse.experiments.results.Result
        What ``results.load(name)`` returns.
    task : str, optional
        Draw only this task.
    title : str
        What is compared; the experiment's name by default.

    Raises
    ------
    ValueError
        If the result has no such task.
    """
    tasks = [t for t in result.tasks if task in (None, t)]
    if not tasks:
        raise ValueError(f"{result.experiment} has no task {task!r}; it has {result.tasks}")
    panels = [[row for row in result.rows if row["task"] == t] for t in tasks]
    sizes = [len(rows) for rows in panels]
    fig, axes = figure(
        len(tasks),
        height=0.9 + 0.55 * len(tasks) + 0.36 * sum(sizes),
        squeeze=False,
        sharex=True,
        height_ratios=sizes,
    )
    metric = result.metric
    score = metric.name + (f" ({metric.unit})" if metric.unit else "")
    kinds: dict[str, Any] = {}
    for ax, name, rows in zip(axes[:, 0], tasks, panels, strict=True):
        for place, row in enumerate(rows):
            low, high = row["interval"] or (row["mean"], row["mean"])
            i = _KIND_COLOUR[row["kind"]]
            ax.hlines(place, low, high, color=COLOURS[i], linewidth=3)
            (kinds[row["kind"]],) = ax.plot(
                row["mean"], place, MARKERS[i], color=COLOURS[i], markersize=8, linestyle="none"
            )
        ax.set_yticks(range(len(rows)), [row["name"] for row in rows])
        ax.set(ylim=(len(rows) - 0.5, -0.5), title=name if len(tasks) > 1 or name else "")
        ax.grid(axis="x", color="#dddddd", linewidth=0.8)
        ax.set_axisbelow(True)
    axes[-1, 0].set_xlabel(score)
    if len(kinds) > 1:
        fig.legend(kinds.values(), kinds.keys(), loc="outside lower center", ncols=len(kinds))
    spoken = [
        (f"{name}: " if name else "")
        + ", ".join(f"{row['name']} {_figure_of(row)}" for row in rows)
        for name, rows in zip(tasks, panels, strict=True)
    ]
    describe(
        fig,
        f"Dot chart of {score} with 95 % intervals{of(title or result.experiment)}. "
        f"{'; '.join(spoken)}.",
    )
    return fig


@style()
def history(entries: Sequence[Mapping[str, float]], *, title: str = "") -> Figure:
    """Draw how losses and scores went, epoch by epoch.

    Parameters
    ----------
    entries : sequence of mapping
        One an epoch, as `mircourse.training.fit` returns in ``history``: ``epoch`` and any of
        ``train_loss``, ``valid_loss`` and scores such as ``valid_accuracy``.
    title : str
        Names what is drawn; it opens the alternative text too.

    Raises
    ------
    ValueError
        If there are no entries, or nothing in them but ``epoch`` and ``lr``.
    """
    names = [n for n in dict.fromkeys(k for e in entries for k in e) if n not in ("epoch", "lr")]
    losses = [name for name in names if name.endswith("loss")]
    panels = [panel for panel in (losses, [n for n in names if n not in losses]) if panel]
    if not panels:
        raise ValueError(f"a history with losses or scores is expected, got {list(entries)!r}")
    fig, axes = figure(len(panels), height=0.9 + 2.0 * len(panels), squeeze=False, sharex=True)
    spoken = []
    for ax, panel in zip(axes[:, 0], panels, strict=True):
        for i, name in enumerate(panel):
            kept = [e for e in entries if name in e]
            epochs = [int(e["epoch"]) + 1 for e in kept]
            values = np.array([e[name] for e in kept], dtype=np.float64)
            ax.plot(
                epochs, values, color=COLOURS[i], linestyle=DASHES[i % 4], marker=MARKERS[i],
                markersize=4, label=_words(name),
            )  # fmt: skip
            best = values.argmin() if panel is losses else values.argmax()
            spoken.append(
                f"{_words(name)} from {values[0]:.3g} to {values[-1]:.3g}, "
                f"best {values[best]:.3g} in epoch {epochs[best]}"
            )
        ax.set_ylabel("Loss" if panel is losses else "Score")
        ax.legend()
    axes[-1, 0].set_xlabel("Epoch")
    axes[-1, 0].xaxis.get_major_locator().set_params(integer=True)
    axes[0, 0].set_title(title)
    describe(fig, f"Training history{of(title)}, {len(entries)} epochs: {'; '.join(spoken)}.")
    return fig


@style()
def filters(weights: ArrayLike, *, columns: int = 8, title: str = "") -> Figure:
    """Draw filters as small images, one colour scale for all, white where a weight is zero.

    Parameters
    ----------
    weights : array_like, shape (n, height, width)
        Height is frequency (low at the bottom), width is time.
    columns : int
        Filters in a row.
    title : str
        Names what is drawn; it opens the alternative text too.

    Raises
    ------
    ValueError
        If the shape does not fit or a weight is NaN or infinite.
    """
    kernels = finite("weights", weights, 3)
    if columns < 1:
        raise ValueError(f"columns={columns} but at least 1 is expected")
    columns = min(columns, len(kernels))
    rows = -(-len(kernels) // columns)
    tall = kernels.shape[1] / kernels.shape[2]
    each = 4.2 / columns * float(np.clip(tall, 0.4, 2.5))
    fig, axes = figure(rows, columns, height=min(8.0, 0.9 + rows * each), squeeze=False)
    bound = float(np.abs(kernels).max()) or 1.0
    for ax, kernel in zip(axes.flat, kernels, strict=False):
        drawn = ax.imshow(
            kernel, cmap="PuOr", vmin=-bound, vmax=bound, origin="lower", aspect="auto"
        )
    for i, ax in enumerate(axes.flat):
        ax.set(xticks=[], yticks=[])
        ax.set_visible(i < len(kernels))
    fig.colorbar(drawn, ax=axes, label="Weight")
    fig.suptitle(title, fontsize=12)
    n, height, width = kernels.shape
    describe(
        fig,
        f"Grid of {n} filter{'s' * (n > 1)}{of(title)}, each {height} high (frequency) by {width} "
        f"wide (time); weights from {kernels.min():.2g} to {kernels.max():.2g}.",
    )
    return fig


@style()
def attention(
    weights: ArrayLike,
    *,
    seconds: float,
    spectrogram: ArrayLike | None = None,
    frequencies: ArrayLike | None = None,
    title: str = "",
) -> Figure:
    """Draw where in time a model looks, under the spectrogram it looks at if you give one.

    Lesson: book/cnn/musiccnn

    Parameters
    ----------
    weights : array_like, shape (frames,)
        Attention weights, evenly spread over the excerpt.
    seconds : float
        Duration of the excerpt.
    spectrogram : array_like, shape (bands, frames'), optional
        Its number of frames may differ from that of the weights.
    frequencies : array_like, shape (bands,), optional
        Centre of each band in Hz; needed with a spectrogram.
    title : str
        Names what is drawn; it opens the alternative text too.

    Raises
    ------
    ValueError
        If shapes do not fit, or a weight is negative, NaN or infinite.
    """
    share = finite("weights", weights, 1)
    if (share < 0).any() or not seconds > 0:
        raise ValueError("weights of at least 0 and seconds above 0 are expected")
    with_image = spectrogram is not None
    ratios = [2, 1] if with_image else [1]
    fig, axes = figure(
        len(ratios), height=1.6 + 2.2 * with_image, squeeze=False, sharex=True, height_ratios=ratios
    )
    if spectrogram is not None:
        image = finite("spectrogram", spectrogram, 2)
        hertz = np.asarray(() if frequencies is None else frequencies, dtype=np.float64)
        if hertz.shape != image.shape[:1]:
            raise ValueError(
                f"frequencies have shape {hertz.shape} but one for each of {image.shape[0]} "
                "bands is expected"
            )
        step = seconds / image.shape[1]
        draw_image(axes[0, 0], image, hertz, step, first=step / 2)
    ax = axes[-1, 0]
    edges = np.linspace(0, seconds, len(share) + 1)
    ax.stairs(share, edges, fill=True, color=COLOURS[0])
    ax.axhline(share.mean(), color=INK, linewidth=1, linestyle=DASHES[1])
    ax.set(xlabel="Time (s)", ylabel="Weight", xlim=(0, seconds), ylim=(0, None))
    axes[0, 0].set_title(title)
    peak = int(share.argmax())
    half = int(np.searchsorted(np.cumsum(np.sort(share)[::-1]), share.sum() / 2)) + 1
    describe(
        fig,
        f"Attention over time{of(title)}, {seconds:.2f} s: largest from {edges[peak]:.2f} to "
        f"{edges[peak + 1]:.2f} s; half of all weight lies on {half} of {len(share)} frames. "
        "A dashed line marks equal weights.",
    )
    return fig


def _confusion_text(
    table: NDArray[np.float64], shares: NDArray[np.float64], labels: Sequence[str], title: str
) -> str:
    text = (
        f"Confusion matrix{of(title)}: {len(labels)} classes, {table.sum():g} items, "
        f"{np.trace(table) / table.sum():.0%} on the diagonal"
    )
    wrong = shares * (1 - np.eye(len(labels)))
    order = np.argsort(-wrong, axis=None, kind="stable")[:3]
    pairs = [divmod(int(at), len(labels)) for at in order if wrong.flat[at] > 0]
    if not pairs:
        return f"{text}; no confusions."
    spoken = [f"{labels[i]} taken for {labels[j]} ({wrong[i, j]:.0%})" for i, j in pairs]
    return f"{text}; most often {listed(spoken)}."


def _figure_of(row: Mapping[str, Any]) -> str:
    if row["interval"] is None:
        return f"{row['mean']:.2f} ({row['kind']})"
    return f"{row['mean']:.2f} [{row['interval'][0]:.2f}, {row['interval'][1]:.2f}]"


def _words(name: str) -> str:
    return name.replace("valid", "validation").replace("train", "training").replace("_", " ")
