"""The command ``mircourse generate``: music in a style, or on the way from one melody to another.

What goes from melody to melody is in `mircourse.interpolate_command`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mircourse import interpolate_command
from mircourse.files import write_whole
from mircourse.musicfiles import SUFFIXES, check_targets, content

if TYPE_CHECKING:
    import numpy as np

    from mircourse.scores import Piece

WEIGHTS = "musictransformer-styles"
_TOKENS_A_BAR = 256  # more than the fullest bar has: a limit for a model that marks no bars


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser of ``mircourse generate``; ``args.run`` carries it out."""
    parser.add_argument(
        "--style",
        help="chorale, madrigal, trecento, beethoven, 'haydn and mozart', reel, hornpipe, jig, air "
        "or 'slip jig'; hyphens stand for spaces",
    )
    parser.add_argument("--bars", type=int, default=16, metavar="N", help="16 by default")
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        required=True,
        type=Path,
        metavar="PATH",
        help=f"a file that ends with {', '.join(SUFFIXES)}; may be given several times",
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed, the same piece")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="lower is more predictable; 1 by default"
    )
    parser.add_argument("--top-k", type=int, metavar="K", help="draw from the K likeliest events")
    parser.add_argument(
        "--top-p",
        type=float,
        default=0.95,
        metavar="P",
        help="draw from the fewest events that together have this probability; 0.95 by default",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="a model of your own, from weights.save"
    )
    interpolate_command.add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write what was asked for.

    Returns
    -------
    int
        0 if every file is there, 1 if something was wrong, 130 if interrupted.
    """
    if args.start is not None or args.end is not None:
        return interpolate_command.run(args)
    from mircourse import styles

    try:
        if args.style is None:
            raise ValueError("say which --style, or two melodies: --from a.mid --to b.mid")
        style = args.style.replace("-", " ")
        styles.number(style)
        _check(args, one_voice=style in styles.TUNES)
        piece, bars = _compose(args, style)
        for target in args.output:
            write_whole(target, content(piece, target.suffix.lower()))
            print(f"{target}: {bars} bars, {len(piece.notes)} notes")
    except (ValueError, OSError) as error:
        print(f"mircourse: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if bars < args.bars:
        print(f"mircourse: the model wrote {bars} of {args.bars} bars", file=sys.stderr)
    return 0


def _check(args: argparse.Namespace, *, one_voice: bool) -> None:
    if args.bars < 1 or args.seed < 0:
        raise ValueError(
            f"--bars must be 1 or more and --seed 0 or more, got {args.bars} and {args.seed}"
        )
    check_targets(args.output, one_voice=one_voice, overwrite=args.overwrite)


def _compose(args: argparse.Namespace, style: str) -> tuple[Piece, int]:
    """Return the piece, cut after the bars asked for, and how many bars it has."""
    from mircourse import styles
    from mircourse.generating import generate

    def enough(tokens: np.ndarray) -> bool:
        found = styles.bars(tokens)
        return found is not None and found.n_bars > args.bars

    tokens = generate(
        _model(args.weights),
        style=styles.number(style),
        max_tokens=_TOKENS_A_BAR * args.bars,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        seed=args.seed,
        until=enough,
    )
    piece = styles.music(tokens, title=f"{style.capitalize()} no. {args.seed}")
    if not len(piece.notes):
        raise ValueError("the model wrote no notes; try another --seed")
    found = styles.bars(tokens)
    if found is None:
        return piece, 0
    end = found.pickup_beats + args.bars * found.beats
    return piece.excerpt(0, end), min(found.n_bars, args.bars)


def _model(file: Path | None) -> Any:
    from mircourse import weights
    from mircourse.musictransformer import MusicTransformer

    model = (weights.load(WEIGHTS) if file is None else weights.read(file)).model
    if not isinstance(model, MusicTransformer):
        raise ValueError(f"{file} holds a {type(model).__name__}, expected a MusicTransformer")
    return model
