"""The command ``mircourse transcribe``: piano recordings to MIDI files, one or a folder of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mircourse.files import write_whole

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff")
MIDI_SUFFIXES = (".mid", ".midi")
TEMPO = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser of ``mircourse transcribe``; ``args.run`` carries it out."""
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help=f"an audio file, or a folder of them ({', '.join(SUFFIXES)}), searched in depth",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="the MIDI file, for one recording, or else a folder; beside each recording by default",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace MIDI files that exist")
    parser.add_argument(
        "--onset-threshold",
        type=float,
        metavar="P",
        help="probability from which a note begins: lower finds more and invents more",
    )
    parser.add_argument(
        "--pitch-threshold", type=float, metavar="P", help="probability down to which it goes on"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Transcribe what was asked for.

    Returns
    -------
    int
        0 if every recording has its MIDI file, 1 if one could not be done, 130 if interrupted.
    """
    for name in ("onset_threshold", "pitch_threshold"):
        value = getattr(args, name)
        if value is not None and not 0 < value < 1:
            print(
                f"mircourse: {name} is {value}; expected more than 0, less than 1", file=sys.stderr
            )
            return 1
    plan, faults = _plan(args.inputs, args.output)
    for fault in faults:
        print(f"mircourse: {fault}", file=sys.stderr)
    try:
        done = list(_transcribed(plan, args))
    except KeyboardInterrupt:
        print("mircourse: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    failed = done.count(False) + len(faults)
    if len(done) + len(faults) > 1:
        print(f"{done.count(True)} of {len(done) + len(faults)} done")
    return 1 if failed else 0


def _plan(inputs: Sequence[Path], output: Path | None) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Return which recording goes into which file, and what is wrong with the rest."""
    # A recording, and where its file lies in the output folder.
    found: list[tuple[Path, Path]] = []
    faults: list[str] = []
    for given in inputs:
        if given.is_dir():
            inside = sorted(p for p in given.rglob("*") if p.suffix.lower() in SUFFIXES)
            found += [(file, file.relative_to(given)) for file in inside if file.is_file()]
            if not inside:
                faults.append(f"{given} holds no audio files ({', '.join(SUFFIXES)})")
        elif given.exists():
            found.append((given, Path(given.name)))
        else:
            faults.append(f"there is no file {given}")
    names_file = output is not None and output.suffix.lower() in MIDI_SUFFIXES
    if output is not None and names_file and not output.is_dir():
        if len(found) > 1 or any(given.is_dir() for given in inputs):
            return [], [*faults, f"{output} is one file; give a folder for the others"]
        return [(file, output) for file, _ in found], faults
    if output is not None and output.exists() and not output.is_dir():
        return [], [*faults, f"{output} is neither a folder nor a MIDI file (.mid)"]
    plan: dict[Path, Path] = {}  # MIDI file: recording
    for file, place in found:
        target = (file if output is None else output / place).with_suffix(".mid")
        other = plan.setdefault(target, file)
        if other != file:
            faults.append(f"{file} would go into {target}, as {other} does; rename one")
    return [(file, target) for target, file in plan.items()], faults


def _transcribed(plan: Sequence[tuple[Path, Path]], args: argparse.Namespace) -> Iterator[bool]:
    # One truth value a recording: whether its MIDI file is there.
    from tqdm import tqdm

    # disable=None: no bar where nobody watches, such as a log.
    bar = tqdm(plan, unit="file", disable=None if len(plan) > 1 else True)
    for file, target in bar:
        bar.set_postfix_str(file.name)
        if target.exists() and not args.overwrite:
            tqdm.write(f"{target} is there already, kept (--overwrite replaces it)")
            yield True
            continue
        try:
            count, seconds = _transcribe(
                file,
                target,
                onset_threshold=args.onset_threshold,
                pitch_threshold=args.pitch_threshold,
            )
        except (ValueError, OSError) as error:
            tqdm.write(f"mircourse: {error}", file=sys.stderr)
            yield False
        else:
            tqdm.write(f"{target}: {count} notes in {seconds:.1f} s")
            yield True


def _transcribe(file: Path, target: Path, **thresholds: Any) -> tuple[int, float]:
    from mircourse import transcribing
    from mircourse.audio import read_audio
    from mircourse.performed import to_beats
    from mircourse.scores import to_midi

    # The rate that the network takes is not known before it is loaded; 16 kHz holds all 88 keys.
    audio, rate = read_audio(file, sample_rate=16000)
    notes = transcribing.transcribe(audio, sample_rate=rate, **thresholds)
    midi = to_midi(to_beats(notes, tempo=TEMPO), tempo=TEMPO)
    write_whole(target, midi)
    return len(notes), len(audio) / rate
