"""Piano music whose notes are known exactly: passages of scores, performed and rendered.

What is varied from passage to passage (`VARIED`) is what a network can learn to ignore: tempo and
articulation, key, loudness, timbre, room, noise. Held-out passages are of families of melodies
that no training passage is of.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mircourse import scores, soundfonts, synth
from mircourse.experiments.runner import cache_dir
from mircourse.performed import perform

SAMPLE_RATE = 16000
FAMILIES = "tune or chorale family, or movement"  # what passages are grouped by
VARIED = ("tempo", "articulation", "transposition", "velocity", "timbre", "room", "noise")
QUARTETS = ("haydn", "mozart", "beethoven", "schumann")
TUNES = ("ryan", "oneill", "aird")
KINDS = {"chorales": ("bach",), "quartets": QUARTETS, "tunes": TUNES}
EARLY = ("trecento", "monteverdi")  # for training only
PIANO = 0
# Struck or plucked, as a piano is, and damped when the key is let go (celesta and harp ring on):
# vibraphone, nylon and electric guitar.
OTHERS = (11, 24, 27)
UNHEARD = {"harpsichord": 6, "reed organ": 20}
RELEASES = (1.0, 0.7, 1.5, 2.0, 2.8)  # how slowly the dampers work, beside the soundfont's
# Share of its written length that a detached note is held.
DETACHED = (0.6, 0.95)
COUNTS = {"valid": (8, 8, 6), "test": (20, 16, 12)}  # chorales, quartets, tunes


@dataclass(frozen=True)
class Passage:
    """A rendered passage and its notes.

    Attributes
    ----------
    name, family, kind : str
        Of the piece it is from; kind is ``"chorales"``, ``"quartets"`` or ``"tunes"``.
    audio : ndarray of float32, shape (n,)
        Mono, at `SAMPLE_RATE`.
    notes : performed note array
        In seconds.
    """

    name: str
    family: str
    kind: str
    audio: NDArray[np.float32]
    notes: NDArray


@functools.lru_cache(maxsize=8)
def held_out(
    split: str,
    *,
    program: int = PIANO,
    font: str = "fluid",
    detached: bool = False,
    sound: tuple[str, ...] = (),
    fast: bool = False,
) -> tuple[Passage, ...]:
    """Return passages of 15 s from the validation or the test split.

    Tempo and loudness vary; notes are as long as they are written. Every font and every program
    that has the pitches plays the same performances.

    Parameters
    ----------
    split : {"valid", "test"}
        Of the scores.
    program : int
        General MIDI program. Passages that go beyond its pitches are left out.
    font : str
        As `mircourse.synth.render` takes it.
    detached : bool
        Hold notes for 60 to 95 % of their length.
    sound : tuple of str
        What of the sound varies, as in training: some of timbre, room and noise.
    fast : bool
        One passage of each kind.
    """
    varied = ("tempo", "velocity", "articulation") if detached else ("tempo", "velocity")
    rng = np.random.default_rng(len(split))
    plans = []
    for kind, count in zip(KINDS, COUNTS[split], strict=True):
        pool = [p for name in KINDS[kind] for p in scores.load(name, split=split)]
        for i in rng.permutation(len(pool))[: 1 if fast else count]:
            plans.append(_plan(pool[i], kind, rng, seconds=15.0, varied=varied, detached=detached))
    sounding = synth.pitches(font)[program]
    plans = [p for p in plans if {int(n) for n in p.notes["pitch"]} <= set(sounding)]
    for plan in plans:
        plan.program = program
    return tuple(_rendered(plans, font=font, rng=rng, varied=sound))


def training(
    minutes: float, *, varied: Sequence[str] = VARIED, seed: int = 0, font: str = "fluid"
) -> tuple[Passage, ...]:
    """Return passages of 20 s from the training split.

    Parameters
    ----------
    minutes : float
        Length of all passages together.
    varied : sequence of str
        Which of `VARIED` vary.
    seed : int
        Decides pieces and performances.
    font : str
        As `mircourse.synth.render` takes it.
    """
    unknown = set(varied) - set(VARIED)
    if unknown:
        raise ValueError(f"got varied={sorted(unknown)}; expected some of {VARIED}")
    rng = np.random.default_rng(seed)
    pools = {
        kind: [p for name in names for p in scores.load(name, split="train")]
        for kind, names in {**KINDS, "early": EARLY}.items()
    }
    kinds = rng.choice(list(pools), p=(0.35, 0.35, 0.2, 0.1), size=max(1, round(minutes * 3)))
    plans = []
    for kind in kinds:
        pool = pools[str(kind)]
        piece = pool[int(rng.integers(len(pool)))]
        plans.append(_plan(piece, str(kind), rng, seconds=20.0, varied=varied))
    return tuple(_rendered(plans, font=font, rng=rng, varied=varied))


@dataclass
class _Plan:
    name: str
    family: str
    kind: str
    notes: Any  # a score's, in beats
    tempo: float
    program: int
    seconds: float
    shift: int = 0  # semitones by which the sound is moved after rendering
    release: float = 1.0


def _plan(
    piece: Any,
    kind: str,
    rng: np.random.Generator,
    *,
    seconds: float,
    varied: Sequence[str],
    detached: bool = False,
) -> _Plan:
    tempo = 90.0
    if "tempo" in varied:
        tempo = float(
            rng.uniform(60, 110) if kind in ("chorales", "early") else rng.uniform(75, 125)
        )
    beats = seconds * tempo / 60
    start = rng.uniform(0, max(0.0, piece.duration_beat - beats))
    begun = piece.notes["onset_beat"] >= start
    notes = piece.notes[begun & (piece.notes["onset_beat"] < start + beats - 0.1)].copy()
    notes["onset_beat"] -= notes["onset_beat"].min() - 0.25 if len(notes) else 0
    if "tempo" in varied:
        # Voices that meet in one key strike it once.
        _, key = np.unique(notes[["onset_beat", "pitch"]], return_inverse=True)
        notes["onset_beat"] += rng.uniform(0, 0.012, len(notes))[key] * tempo / 60
    # Most passages are legato, as long as they are written.
    if "articulation" in varied and (detached or rng.random() < 0.4):
        notes["duration_beat"] *= rng.uniform(*DETACHED, len(notes))
    if "transposition" in varied:
        low, high = notes["pitch"].min(initial=60), notes["pitch"].max(initial=60)
        notes["pitch"] += rng.integers(max(-12, 21 - low), min(12, 108 - high) + 1)
    notes["velocity"] = 80
    if "velocity" in varied:
        base = rng.integers(40, 106)
        voice = rng.integers(-10, 11, size=int(notes["voice"].max(initial=0)) + 1)
        loudness = base + voice[notes["voice"]] + rng.integers(-6, 7, len(notes))
        notes["velocity"] = np.clip(loudness, 10, 127)
    return _Plan(piece.id, piece.family, kind, notes, tempo, PIANO, seconds)


def _rendered(
    plans: list[_Plan], *, font: str, rng: np.random.Generator, varied: Sequence[str]
) -> list[Passage]:
    ranges = synth.pitches(font)
    seconds = [p.seconds for p in plans]
    if "timbre" in varied:
        for plan in plans:
            plan.shift = int(rng.integers(-4, 5))
            plan.release = float(rng.choice(RELEASES))
            if rng.random() < 0.35:
                plan.program = int(rng.choice(OTHERS))
            low, high = _span(plan)
            span = ranges[plan.program]
            if low - plan.shift not in span or high - plan.shift not in span:
                plan.program, plan.shift = PIANO, 0
    played = _play(plans, font=font)
    if "timbre" in varied:
        layers = list(_layers(plans, ranges, rng))
        sounds = _play([layer for _, layer, _ in layers], font=font)
        for (i, _, level), sound in zip(layers, sounds, strict=True):
            played[i] = played[i] + np.float32(level) * sound
    found = []
    for plan, audio, length in zip(plans, played, seconds, strict=True):
        if "room" in varied and rng.random() < 0.4:
            audio = _in_room(audio, rng)
        if "noise" in varied:
            level = np.abs(audio).max(initial=0) * 10 ** rng.uniform(-4, -2.2)
            audio = audio + (level * _noise(len(audio), rng)).astype(np.float32)
            gain = 10 ** (rng.uniform(-5, 17) / 20)
            audio = audio * np.float32(min(gain, 0.99 / max(np.abs(audio).max(initial=0), 1e-6)))
        notes = perform(plan.notes, tempo=plan.tempo)
        notes = notes[notes["onset_sec"] < length - 0.1]
        found.append(Passage(plan.name, plan.family, plan.kind, audio, notes))
    return found


def _layers(
    plans: list[_Plan], ranges: Any, rng: np.random.Generator
) -> Iterator[tuple[int, _Plan, float]]:
    """Yield what sounds beside some passages: which one, what, and how loud."""
    for i, plan in enumerate(plans):
        if rng.random() < 0.33:
            # A second instrument, softer.
            program = int(rng.choice((PIANO, *OTHERS)))
            low, high = _span(plan)
            inside = low in ranges[program] and high in ranges[program]
            second = replace(plan, program=program if inside else PIANO, shift=0)
            yield i, second, rng.uniform(0.1, 0.7)


def _span(plan: _Plan) -> tuple[int, int]:
    pitch = plan.notes["pitch"]
    return int(pitch.min(initial=60)), int(pitch.max(initial=60))


def _play(plans: list[_Plan], *, font: str) -> list[NDArray[np.float32]]:
    # A passage is rendered `shift` semitones away and played back at another speed, which moves
    # it into place: another sample of the font sounds for each key, with its spectrum moved.
    alike: dict[tuple[float, int], list[int]] = {}
    for i, plan in enumerate(plans):
        alike.setdefault((plan.release, plan.shift), []).append(i)
    audio: list[Any] = [None] * len(plans)
    for (release, shift), members in sorted(alike.items()):
        speed = 2.0 ** (shift / 12)
        music = []
        for i in members:
            notes = plans[i].notes.copy()
            notes["pitch"] -= shift
            music.append(notes)
        rate = round(SAMPLE_RATE / speed)
        for i, sound in zip(
            members,
            synth.render(
                music,
                tempo=[plans[i].tempo / speed for i in members],
                program=[plans[i].program for i in members],
                font=_with_release(font, release),
                sample_rate=rate,
                # A little more, since the rate is rounded.
                seconds=max(p.seconds for p in plans) * speed + 0.01,
            )
            if music
            else [],
            strict=True,
        ):
            audio[i] = sound[: round(plans[i].seconds * SAMPLE_RATE)]
    return audio


@functools.lru_cache(maxsize=len(RELEASES))
def _with_release(font: str, factor: float) -> str:
    """Return a font whose notes die away otherwise, written once for this process."""
    if factor == 1:
        return font
    folder = cache_dir() / "soundfonts"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{font}-{factor}.sf2"
    part = file.with_suffix(f".{os.getpid()}")
    part.write_bytes(soundfonts.with_release(font, factor=factor))
    part.replace(file)
    return str(file)


def _in_room(audio: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Add reverberation: noise that decays exponentially, behind the direct sound."""
    from scipy.signal import oaconvolve

    seconds = rng.uniform(0.15, 0.6)
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / seconds)
    tail[: round(0.002 * SAMPLE_RATE)] = 0
    tail *= 10 ** (rng.uniform(-26, -10) / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return oaconvolve(audio, tail.astype(np.float32))[: len(audio)].astype(np.float32)


def _noise(samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return noise of unit power whose spectrum falls by 0 to 6 dB an octave."""
    spectrum = rng.standard_normal(samples // 2 + 1) + 1j * rng.standard_normal(samples // 2 + 1)
    slope = rng.uniform(0, 1)
    noise = np.fft.irfft(spectrum / np.maximum(1, np.arange(len(spectrum))) ** slope, samples)
    return noise / max(noise.std(), 1e-12)
