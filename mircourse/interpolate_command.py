"""``mircourse generate --from a.mid --to b.mid``: the way from one melody to another, in steps.

Both melodies are coded by a `mircourse.hierarchicalvae.MelodyVAE`, and points of the arc from code
to code are decoded. All steps, the two reconstructions included, are written one after another.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mircourse.files import write_whole
from mircourse.musicfiles import check_targets, content

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mircourse.scores import Piece


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser of ``mircourse generate``."""
    group = parser.add_argument_group(
        "from one melody to another",
        "in place of --style; melodies of one voice, in 4/4, 2/2 or 2/4, as MIDI files that begin "
        "with a bar; a short one is played again",
    )
    group.add_argument("--from", dest="start", type=Path, metavar="MIDI", help="the first melody")
    group.add_argument("--to", dest="end", type=Path, metavar="MIDI", help="the last melody")
    group.add_argument(
        "--steps", type=int, default=8, metavar="N", help="melodies, both ends included; 8"
    )


def run(args: argparse.Namespace) -> int:
    """Write the way from melody to melody.

    Returns
    -------
    int
        0 if every file is there, 1 if something was wrong, 130 if interrupted.
    """
    try:
        if args.start is None or args.end is None:
            raise ValueError("--from and --to go together")
        if args.style is not None:
            raise ValueError("a --style does not go with --from and --to")
        if args.steps < 2:
            raise ValueError(f"--steps must be 2 or more, got {args.steps}")
        check_targets(args.output, one_voice=True, overwrite=args.overwrite)
        model = _model(args.weights)
        piece = way(model, args.start, args.end, steps=args.steps)
        for target in args.output:
            write_whole(target, content(piece, target.suffix.lower()))
            print(f"{target}: {args.steps} melodies of {model.bars} bars, {len(piece.notes)} notes")
    except (ValueError, OSError) as error:
        print(f"mircourse: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def way(model: Any, start: Path, end: Path, *, steps: int) -> Piece:
    """Return the melodies from one MIDI file to another, one after another, as a piece.

    Parameters
    ----------
    model : MelodyVAE
    start, end : Path
        MIDI files.
    steps : int
        Melodies, 2 or more.

    Raises
    ------
    ValueError
        If a file is no MIDI, has no notes, or is not in a metre that the model reads.
    FileNotFoundError
        If there is no such file.
    """
    import torch

    from mircourse import melodybars

    ends = [
        torch.from_numpy(read(file, bars=model.bars, steps=model.steps)) for file in (start, end)
    ]
    found = model.interpolate(ends[0][None], ends[1][None], steps)  # (steps, 1, bars * steps)
    meter = meter_of(start)
    title = f"From {start.stem} to {end.stem}"
    # Each melody by itself: none holds the last note of the one before.
    rows = melodybars.canonical(found[:, 0].numpy())
    return melodybars.piece(rows.ravel(), meter=meter, title=title)


def read(file: Path, *, bars: int, steps: int) -> NDArray[np.int64]:
    """Return the first bars of a MIDI file as symbols, played again where it is too short.

    Raises
    ------
    ValueError
        If it is no MIDI, has no notes, or its bars have other steps.
    """
    import numpy as np

    from mircourse import melodybars
    from mircourse.midi import from_midi

    meter = meter_of(file)
    if melodybars.steps_of(meter) != steps:
        raise ValueError(f"{file} is in {meter}; this model reads bars of {steps} steps")
    try:
        symbols = melodybars.encode(from_midi(file), meter=meter)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if not len(symbols):
        raise ValueError(f"{file} has no notes")
    return melodybars.canonical(np.resize(symbols, bars * steps))


def meter_of(file: Path) -> str:
    """Return the first time signature of a MIDI file, 4/4 where there is none.

    Raises
    ------
    ValueError
        If it is not a MIDI file.
    FileNotFoundError
        If there is no such file.
    """
    import mido

    from mircourse.midi import from_midi

    from_midi(file)  # says what is wrong with the file, if anything is
    for track in mido.MidiFile(file, clip=True).tracks:
        for message in track:
            if message.type == "time_signature":
                return f"{message.numerator}/{message.denominator}"
    return "4/4"


def _model(file: Path | None) -> Any:
    from mircourse import styletransfer, weights
    from mircourse.hierarchicalvae import MelodyVAE

    model = (weights.load(styletransfer.WEIGHTS) if file is None else weights.read(file)).model
    if not isinstance(model, MelodyVAE):
        raise ValueError(f"{file} holds a {type(model).__name__}, expected a MelodyVAE")
    return model
