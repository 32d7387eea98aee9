"""Figures of sound and notes; `mircourse.plots` offers them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mircourse.drawing import draw_image, finite, of, pitch_name
from mircourse.figures import COLOURS, DASHES, describe, figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mircourse.scores import Piece


@style()
def waveform(
    audio: ArrayLike, *, sample_rate: float, title: str = "", onsets: ArrayLike = ()
) -> Figure:
    """Draw a waveform over seconds.

    Parameters
    ----------
    audio : array_like, shape (samples,)
        Mono audio; see `mircourse.audio.check_audio`.
    sample_rate : float
        Samples per second.
    title : str
        Names what is drawn; it opens the alternative text too.
    onsets : array_like, shape (n,)
        Times in seconds to mark.

    Raises
    ------
    TypeError, ValueError
        If the audio is not fit; see `check_audio`.
    """
    from mircourse.audio import check_audio

    samples = check_audio(audio, sample_rate=sample_rate)
    fig, ax = figure(height=2.2)
    seconds = samples.size / sample_rate
    # No screen shows more than the extremes of a few thousand stretches.
    step = max(1, samples.size // 4000)
    whole = samples[: samples.size // step * step].reshape(-1, step)
    times = np.arange(len(whole)) * step / sample_rate
    ax.fill_between(times, whole.min(axis=1), whole.max(axis=1), color=COLOURS[0], linewidth=0.8)
    marked = _mark_onsets(ax, onsets, COLOURS[1])
    ax.set(xlabel="Time (s)", ylabel="Amplitude", xlim=(0, seconds), title=title)
    peak = int(np.abs(samples).argmax())
    loudest = (
        f"the largest amplitude, {abs(samples[peak]):.2f}, is at {peak / sample_rate:.2f} s"
        if samples[peak]
        else "it is silent"
    )
    describe(fig, f"Waveform{of(title)}, {seconds:.2f} s long; {loudest}{marked}.")
    return fig


@style()
def spectrogram(
    values: ArrayLike,
    *,
    sample_rate: float,
    hop_length: int,
    frequencies: ArrayLike,
    title: str = "",
    unit: str = "log power",
    onsets: ArrayLike = (),
) -> Figure:
    """Draw a spectrogram with its bands labelled in hertz and its frames in seconds.

    Lesson: book/cnn/spectrograms

    Parameters
    ----------
    values : array_like, shape (bands, frames)
        What `mircourse.features.LogMel` or `LogCQT` returns, or any other.
    sample_rate, hop_length
        Of the analysis: frame ``t`` is centred at ``t * hop_length / sample_rate`` seconds.
    frequencies : array_like, shape (bands,)
        Centre of each band in Hz, rising: the modules' ``frequencies``.
    title : str
        Names what is drawn; it opens the alternative text too.
    unit : str
        What the colour means.
    onsets : array_like, shape (n,)
        Times in seconds to mark.

    Raises
    ------
    ValueError
        If shapes do not fit, or a value is NaN or infinite.
    """
    image, hertz = finite("values", values, 2), np.asarray(frequencies, dtype=np.float64)
    if hertz.shape != image.shape[:1] or (np.diff(hertz) <= 0).any():
        raise ValueError(
            f"frequencies have shape {hertz.shape} but one for each of {image.shape[0]} bands, "
            "rising, is expected"
        )
    fig, ax = figure(height=3.2)
    drawn = draw_image(ax, image, hertz, hop_length / sample_rate)
    fig.colorbar(drawn, ax=ax, label=unit)
    marked = _mark_onsets(ax, onsets, COLOURS[4])
    ax.set(xlabel="Time (s)", title=title)
    describe(
        fig,
        f"Spectrogram{of(title)}: {image.shape[1] * hop_length / sample_rate:.2f} s, "
        f"{len(hertz)} bands from {hertz[0]:,.0f} to {hertz[-1]:,.0f} Hz; "
        f"{_loudest(image, hertz, hop_length / sample_rate)}{marked}.",
    )
    return fig


@style()
def piano_roll(music: Piece | np.ndarray, *, title: str | None = None) -> Figure:
    """Draw notes as bars, pitch over beats, a colour for each voice.

    Parameters
    ----------
    music : Piece or note array
        At least one note; see `mircourse.scores`.
    title : str, optional
        The piece's title by default.

    Raises
    ------
    TypeError, ValueError
        If it is not a sound note array, or has no notes.
    """
    from mircourse.notearray import check_notes

    notes = check_notes(music if isinstance(music, np.ndarray) else music.notes)
    if not len(notes):
        raise ValueError("there are no notes to draw")
    title = getattr(music, "title", "") if title is None else title
    fig, ax = figure(height=3.2)
    voices = np.unique(notes["voice"])
    for i, voice in enumerate(voices):
        own = notes[notes["voice"] == voice]
        ax.barh(
            own["pitch"],
            0.96 * own["duration_beat"],
            left=own["onset_beat"],
            height=0.8,
            color=COLOURS[i % len(COLOURS)],
            label=f"voice {voice}",
        )
    low, high = int(notes["pitch"].min()), int(notes["pitch"].max())
    ticks = [p for p in range(low - 2, high + 3) if p % 12 in ((0,) if high - low > 30 else (0, 7))]
    ax.set_yticks(ticks, [pitch_name(p) for p in ticks])
    end = float((notes["onset_beat"] + notes["duration_beat"]).max())
    ax.set(xlabel="Beat (quarter notes)", ylabel="Pitch", title=title)
    ax.set(xlim=(0, end), ylim=(low - 2, high + 2))
    if len(voices) > 1:
        fig.legend(loc="outside lower center", ncols=min(len(voices), 3))
    count = f"{len(notes)} note{'s' * (len(notes) > 1)}"
    voiced = f" in {len(voices)} voices" if len(voices) > 1 else ""
    describe(
        fig,
        f"Piano roll{of(title)}: {count}{voiced} over {end:g} beats, "
        f"from {pitch_name(low)} to {pitch_name(high)}.",
    )
    return fig


@style()
def transcription(
    reference: np.ndarray, estimated: np.ndarray | None = None, *, title: str = ""
) -> Figure:
    """Draw performed notes as bars, pitch over seconds, and what a transcriber made of them.

    Notes are paired by pitch and onset, as `mircourse.notescores.note_scores` does: found, missed
    and invented ones have colours of their own. A found note is drawn twice, as it was played and,
    thinner, as it was written down, so that their ends can be compared.

    Parameters
    ----------
    reference : performed array, shape (n,)
        What was played, at least one note; see `mircourse.performed`.
    estimated : performed array, shape (m,), optional
        What was written down. Without it the reference is drawn alone.
    title : str
        Above the figure.

    Raises
    ------
    TypeError, ValueError
        If one is not a sound performed array, or the reference has no notes.
    """
    from matplotlib.patches import Patch

    from mircourse.notescores import match_notes
    from mircourse.performed import check_performed

    if not len(check_performed(reference)):
        raise ValueError("there are no notes to draw")
    if estimated is None:
        groups = {"": (reference, COLOURS[0], 0.8)}
        told = f"{len(reference)} note{'s' * (len(reference) > 1)}"
    else:
        pairs = match_notes(reference, estimated)
        missed = np.delete(reference, pairs[:, 0])
        invented = np.delete(estimated, pairs[:, 1])
        groups = {
            "played, found": (reference[pairs[:, 0]], COLOURS[4], 0.8),
            "as written": (estimated[pairs[:, 1]], COLOURS[0], 0.3),
            "missed": (missed, COLOURS[1], 0.8),
            "invented": (invented, COLOURS[3], 0.8),
        }
        told = (
            f"of {len(reference)} notes {len(pairs)} are found and {len(missed)} missed, "
            f"{len(invented)} invented"
        )
    fig, ax = figure(height=3.2)
    for notes, colour, height in groups.values():
        ax.barh(
            notes["pitch"],
            0.98 * notes["duration_sec"],
            left=notes["onset_sec"],
            height=height,
            color=colour,
        )
    drawn = np.concatenate([notes for notes, _, _ in groups.values()])
    low, high = int(drawn["pitch"].min()), int(drawn["pitch"].max())
    ticks = [p for p in range(low - 2, high + 3) if p % 12 in ((0,) if high - low > 30 else (0, 7))]
    ax.set_yticks(ticks, [pitch_name(p) for p in ticks])
    end = float((drawn["onset_sec"] + drawn["duration_sec"]).max())
    ax.set(xlabel="Time (s)", ylabel="Pitch", title=title)
    ax.set(xlim=(0, end), ylim=(low - 2, high + 2))
    if estimated is not None:
        # Patches, for a group without bars would get no colour.
        keys = [Patch(color=colour, label=label) for label, (_, colour, _) in groups.items()]
        fig.legend(handles=keys, loc="outside lower center", ncols=2)
    describe(
        fig,
        f"Piano roll{of(title)}: {told}, over {end:.1f} s, "
        f"from {pitch_name(low)} to {pitch_name(high)}.",
    )
    return fig


def _mark_onsets(ax: Axes, onsets: ArrayLike, colour: str) -> str:
    times = np.asarray(onsets, dtype=np.float64)
    for time in times:
        ax.axvline(time, color=colour, linewidth=1.5, linestyle=DASHES[1])
    if not times.size:
        return ""
    marked = "onset is" if times.size == 1 else "onsets are"
    return f"; {times.size} {marked} marked"


def _loudest(image: NDArray[np.float64], hertz: NDArray[np.float64], step: float) -> str:
    if np.ptp(image) == 0:
        return "the same everywhere"
    band, frame = np.unravel_index(int(image.argmax()), image.shape)
    on_average = hertz[int(image.mean(axis=1).argmax())]
    return (
        f"loudest at {frame * step:.2f} s near {hertz[band]:,.0f} Hz, "
        f"on average near {on_average:,.0f} Hz"
    )
