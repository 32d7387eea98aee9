"""Which pitch classes sound, in rendered music whose score is known: streams and librosa.

The networks learn from one soundfont; a *task* is the soundfont that is tested: the one that was
learned from, or one that was never heard. Every method, ours and others', gets its threshold from
the validation passages.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mircourse import scores, synth
from mircourse.chroma import pitch_class_f, score_chroma
from mircourse.experiments.remembered import remembered
from mircourse.performed import perform

FONTS = {"same soundfont": "fluid", "unheard soundfont": "timgm6mb"}
CHUNKS = {"chunks of 1 frame": 1, "chunks of 8 frames": 8, "chunks of 64 frames": 64}
QUARTETS = ("beethoven", "haydn", "mozart")
# Passages of each kind; together with the second soundfont, 60 minutes.
COUNTS = {
    "train": {"bach": 30, "quartets": 24, "ryan": 18, "trecento": 16},
    "valid": {"bach": 6, "quartets": 6, "ryan": 4, "trecento": 4},
    "test": {"bach": 12, "quartets": 8, "ryan": 8, "trecento": 8},
}
# Piano, harpsichord, organ, reed organ, guitar, violin, harp, trumpet, oboe, clarinet, flute.
PROGRAMS = (0, 6, 16, 20, 24, 40, 46, 56, 68, 71, 73)
SAMPLE_RATE, HOP, SECONDS = 22050, 512, 20.0
HOP_SECONDS = HOP / SAMPLE_RATE
SEGMENT, WARM_UP = 215, 16  # frames: of a training item, and those at its start that do not count
THRESHOLDS = tuple(np.round(np.arange(0.05, 1.0, 0.05), 2))
# Of librosa's chroma, tried on the validation passages.
WINDOWS = (2048, 4096, 8192)
COMPRESSIONS = (0.0, 1.0, 100.0, 10000.0)


@dataclass(frozen=True)
class Passage:
    """Rendered music.

    Attributes
    ----------
    name, family : str
        Of the piece it is from.
    audio : ndarray of float32, shape (n,)
        Mono, with a little noise.
    chroma : ndarray of bool, shape (frames, 12)
        What sounds, as `mircourse.chroma` defines it, up to the end of the last note.
    """

    name: str
    family: str
    audio: NDArray[np.float32]
    chroma: NDArray[np.bool_]


@functools.lru_cache(maxsize=4)
def passages(split: str, *, font: str = "fluid", fast: bool = False) -> tuple[Passage, ...]:
    """Render passages of up to 20 s from a split; tempo, instruments and loudness vary.

    Parameters
    ----------
    split : {"train", "valid", "test"}
        Of the scores.
    font : str
        As `mircourse.synth.render` takes it.
    fast : bool
        One passage of each kind, 6 s of it.
    """
    seconds = 6.0 if fast else SECONDS
    rng = np.random.default_rng(len(split))
    chosen = []
    for kind, count in COUNTS[split].items():
        names = QUARTETS if kind == "quartets" else (kind,)
        pieces = [piece for name in names for piece in scores.load(name, split=split)]
        order = np.concatenate([rng.permutation(len(pieces)) for _ in range(count)])
        for i in order[: 1 if fast else count]:
            chosen.append((pieces[int(i)], *_played(pieces[int(i)], rng, split)))
    audio = synth.render(
        [notes for _, notes, _, _ in chosen],
        tempo=[tempo for *_, tempo, _ in chosen],
        program=[programs for *_, programs in chosen],
        font=font,
        sample_rate=SAMPLE_RATE,
        seconds=seconds,
    )
    found = []
    for (piece, notes, tempo, _), sound in zip(chosen, audio, strict=True):
        performed = perform(notes, tempo=tempo)
        end = min(seconds, float((performed["onset_sec"] + performed["duration_sec"]).max()))
        chroma = score_chroma(performed, hop_seconds=HOP_SECONDS, frames=int(end / HOP_SECONDS))
        level = np.abs(sound).max() * 10 ** rng.uniform(-3, -1.5)
        noisy = 10 ** rng.uniform(-0.6, 0.3) * (sound + level * rng.standard_normal(len(sound)))
        found.append(Passage(piece.id, piece.family, noisy.astype(np.float32), chroma))
    return tuple(found)


def _played(piece: Any, rng: np.random.Generator, split: str) -> tuple[Any, float, dict[int, int]]:
    """Return the notes of a stretch of a piece, its tempo, and a program for each voice."""
    tempo = float(rng.uniform(60, 120))
    beats = SECONDS * tempo / 60
    start = float(np.floor(rng.uniform(0, max(0.0, piece.duration_beat - beats) + 1e-9)))
    notes = piece.excerpt(start, start + beats).notes.copy()
    if not len(notes):
        notes = piece.excerpt(0, beats).notes.copy()
    if split == "train":
        notes["pitch"] += rng.integers(-4, 5)
    notes["velocity"] = rng.integers(40, 110) + rng.integers(-10, 11, len(notes))
    ranges = [synth.pitches(font) for font in FONTS.values()]
    voices = np.unique(notes["voice"])
    together = rng.random() < 0.5
    groups = [voices] if together else [np.array([v]) for v in voices]
    programs: dict[int, int] = {}
    for group in groups:
        own = notes["pitch"][np.isin(notes["voice"], group)]
        able = [
            p
            for p in PROGRAMS
            if all(r[p][0] <= own.min() <= own.max() <= r[p][-1] for r in ranges)
        ]
        program = int(rng.choice(able or [0]))
        programs |= {int(v): program for v in group}
    return notes, tempo, programs


@functools.lru_cache(maxsize=8)
def features(
    split: str, *, font: str = "fluid", fast: bool = False
) -> tuple[NDArray[np.float16], ...]:
    """Return the causal spectrogram of each passage, ``(frames, 128)``, silence at its end."""
    import torch

    from mircourse.causal import CausalSpectrogram

    front_end = CausalSpectrogram(SAMPLE_RATE, hop_length=HOP)
    with torch.inference_mode():
        return tuple(
            front_end(torch.from_numpy(p.audio)).numpy().astype(np.float16)
            for p in passages(split, font=font, fast=fast)
        )


def train(settings: Mapping[str, Any], *, task: str, seed: int, fast: bool) -> dict[str, Any]:
    """Train a `RealTimeMusicRNN` on the first soundfont and score it on the task's.

    Parameters
    ----------
    settings : mapping
        ``arguments`` of the constructor, ``epochs``, ``lr``.
    task : str
        A key of `FONTS`.
    seed : int
        Decides the initial weights and the order.
    fast : bool
        One epoch on a few passages.
    """
    model, threshold, seconds = trained(settings, seed=seed, fast=fast)
    values = listen(model, "test", font=FONTS[task], fast=fast)
    parameters = sum(p.numel() for p in model.parameters())
    found = _outcome(values, threshold, font=FONTS[task], fast=fast)
    return found | {"parameters": parameters, "seconds": seconds}


def chunked(
    settings: Mapping[str, Any], *, forget: tuple[str, ...], task: str, seed: int, fast: bool
) -> dict[str, Any]:
    """Score a network that reads in chunks and forgets parts of its state between them.

    Parameters
    ----------
    settings, seed, fast
        As for `train`.
    forget : tuple of str
        Fields of `mircourse.streaming.StreamState` that begin every chunk with zeros.
    task : str
        A key of `CHUNKS`.
    """
    model, threshold, seconds = trained(settings, seed=seed, fast=fast)
    values = listen(model, "test", font="fluid", fast=fast, chunk=CHUNKS[task], forget=forget)
    return _outcome(values, threshold, font="fluid", fast=fast) | {"seconds": seconds}


def without_learning(name: str, *, task: str, fast: bool) -> dict[str, Any]:
    """Score a method that learns nothing but a threshold and its own settings.

    Parameters
    ----------
    name : {"all", "stft, past only", "stft", "cqt"}
        Every pitch class always; librosa's ``chroma_stft`` of windows that end with the hop, or
        that are centred on it; ``chroma_cqt``. The window, a logarithmic compression and the
        threshold are chosen on the validation split.
    task : str
        A key of `FONTS`.
    fast : bool
        A few passages.
    """
    font = FONTS[task]
    if name == "all":
        ones = [np.ones(p.chroma.shape) for p in passages("test", font=font, fast=fast)]
        return _outcome(ones, 0.5, font=font, fast=fast)
    window, compression, threshold = tuned(name, fast=fast)
    test = passages("test", font=font, fast=fast)
    values = [_librosa(p.audio, name, window, compression) for p in test]
    return _outcome(values, threshold, font=font, fast=fast)


@functools.cache
def tuned(name: str, *, fast: bool) -> tuple[int, float, float]:
    """Return the window, compression and threshold of a method that do best on validation."""
    check = passages("valid", fast=fast)
    windows = (0,) if name == "cqt" else WINDOWS
    found = {}
    for window in windows:
        raw = [_librosa(p.audio, name, window, None) for p in check]
        for compression in COMPRESSIONS:
            values = [_compressed(r, compression) for r in raw]
            threshold, score = _best_threshold(values, check)
            found[window, compression, threshold] = score
    return max(found, key=lambda key: found[key])


@remembered
def trained(settings: Mapping[str, Any], *, seed: int, fast: bool) -> tuple[Any, float, float]:
    """Return a trained network, its threshold from the validation split, and the seconds."""
    import torch

    from mircourse import training
    from mircourse.streaming import RealTimeMusicRNN

    began = time.perf_counter()
    training.seed_everything(seed)
    model = RealTimeMusicRNN(**settings["arguments"])
    x, y = segments("train", fast=fast, look_ahead=model.look_ahead)
    model.standardize(x.float())
    task = training.FrameTask(_judged(model), lr=settings["lr"], weight_decay=1e-4)
    training.fit(
        task,
        (x.float(), y[:, WARM_UP:]),
        epochs=1 if fast else settings["epochs"],
        batch_size=settings["batch_size"],
        seed=seed,
        gradient_clip=1.0,
        batch_transform=transposed,
        progress=False,
    )
    with torch.inference_mode():
        values = listen(model, "valid", font="fluid", fast=fast)
    threshold, _ = _best_threshold(values, passages("valid", fast=fast))
    return model, threshold, time.perf_counter() - began


def segments(split: str, *, fast: bool, look_ahead: int) -> tuple[Any, Any]:
    """Return training items: frames ``(N, SEGMENT, F)`` and what sounds ``(N, SEGMENT, 12)``.

    The answer to a frame stands ``look_ahead`` rows later; before the music there is silence.
    """
    import torch

    xs, ys = [], []
    frames_of = features(split, fast=fast)
    for passage, frames in zip(passages(split, fast=fast), frames_of, strict=True):
        answer = np.zeros((len(frames), 12), dtype=np.float32)
        late = passage.chroma[: len(frames) - look_ahead]
        answer[look_ahead : look_ahead + len(late)] = late
        for first in range(0, len(frames) - SEGMENT + 1, SEGMENT):
            xs.append(frames[first : first + SEGMENT])
            ys.append(answer[first : first + SEGMENT])
    return torch.from_numpy(np.stack(xs)), torch.from_numpy(np.stack(ys))


def transposed(x: Any, y: Any) -> tuple[Any, Any]:
    """Move a batch up or down by a few semitones and change its level.

    Two bands are a semitone, so the image moves along and the answer turns with it.
    """
    import torch

    shift = int(torch.randint(-4, 5, ()))
    floor = float(np.log(1e-8))
    gain = torch.empty(len(x), 1, 1, device=x.device).uniform_(-1.5, 1.5)  # ln power, 6.5 dB
    moved = torch.roll(x, 2 * shift, dims=2)
    if shift > 0:
        moved[:, :, : 2 * shift] = floor
    elif shift < 0:
        moved[:, :, 2 * shift :] = floor
    louder = torch.logaddexp(moved + gain, torch.tensor(floor))
    return louder, torch.roll(y, shift, dims=2)


def listen(
    model: Any,
    split: str,
    *,
    font: str,
    fast: bool,
    chunk: int | None = None,
    forget: tuple[str, ...] = (),
) -> list[NDArray[np.float32]]:
    """Return a network's chroma of each passage, ``(frames, 12)``, put back in time."""
    import torch

    ahead = model.look_ahead
    found = []
    for frames in features(split, font=font, fast=fast):
        padded = np.concatenate([frames, np.full((ahead, frames.shape[1]), frames.min())])
        x, state, parts = torch.from_numpy(padded).float()[None], None, []
        with torch.inference_mode():
            for piece in x.split(chunk or x.shape[1], dim=1):
                chroma, state = model(piece, state)
                parts.append(chroma[0])
                zeros = {name: torch.zeros_like(getattr(state, name)) for name in forget}
                state = state._replace(**zeros)
        found.append(torch.cat(parts)[ahead:].numpy())
    return found


def _judged(model: Any) -> Any:
    """Return a network's logits as a module, without the rows that had too little past."""
    from torch import Tensor, nn

    class Judged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = model

        def forward(self, x: Tensor) -> Tensor:
            return self.network.logits(x)[0][:, WARM_UP:]  # (B, T, F) -> (B, T - WARM_UP, 12)

    return Judged()


def _librosa(
    audio: NDArray[np.float32], name: str, window: int, compression: float | None
) -> NDArray[np.float32]:
    """Return librosa's chroma of the middle of each hop, ``(frames, 12)``."""
    import librosa

    # A frame is centred on a multiple of the hop. The audio is moved so that the centre is the
    # middle of the hop; or so that the window ends with the hop.
    middle = audio[HOP // 2 :]
    if name == "cqt":
        chroma = librosa.feature.chroma_cqt(
            y=middle, sr=SAMPLE_RATE, hop_length=HOP, norm=None, tuning=0.0, threshold=0.0
        )
    elif name in ("stft", "stft, past only"):
        late = np.concatenate([np.zeros(window // 2 - HOP, dtype=np.float32), audio])
        chroma = librosa.feature.chroma_stft(
            y=middle if name == "stft" else late,
            sr=SAMPLE_RATE,
            n_fft=window,
            hop_length=HOP,
            norm=None,
            tuning=0.0,
        )
    else:
        raise ValueError(f"name must be all, stft, 'stft, past only' or cqt, got {name!r}")
    return chroma.T if compression is None else _compressed(chroma.T, compression)


def _compressed(chroma: NDArray[np.floating], compression: float) -> NDArray[np.float32]:
    """Return chroma, perhaps on a logarithmic scale, with the largest of each frame at 1."""
    top = np.maximum(chroma.max(axis=1, keepdims=True), 1e-10)
    share = chroma / top  # (frames, 12), up to 1
    if compression:
        share = np.log1p(compression * share) / np.log1p(compression)
    return share.astype(np.float32)


def _best_threshold(
    values: list[NDArray[np.float32]], check: tuple[Passage, ...]
) -> tuple[float, float]:
    found = {float(t): float(np.mean(_f(values, check, float(t)))) for t in THRESHOLDS}
    best = max(found, key=lambda t: found[t])
    return best, found[best]


def _f(
    values: list[NDArray[np.float32]], check: tuple[Passage, ...], threshold: float
) -> list[float]:
    return [
        pitch_class_f(p.chroma, v[: len(p.chroma)] >= threshold)
        for p, v in zip(check, values, strict=True)
    ]


def _outcome(values: Any, threshold: float, *, font: str, fast: bool) -> dict[str, Any]:
    test = passages("test", font=font, fast=fast)
    return {"scores": _f(values, test, threshold), "groups": [p.family for p in test]}
