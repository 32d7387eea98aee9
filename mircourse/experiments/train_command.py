"""The command ``mircourse train``: a model of the course on recordings, on one device or many."""

from __future__ import annotations

import argparse
import sys

MODELS = ("musiccnn", "harmoniccnn")
SOURCES = ("notes", "gtzan_genre", "medley_solos_db", "tinysol")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser of ``mircourse train``; ``args.run`` carries it out."""
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--data", choices=SOURCES, default=SOURCES[0], help="what to learn from")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each recording (2)")
    parser.add_argument("--width", type=float, default=0.25, help="factor on all channels (0.25)")
    parser.add_argument("--epochs", type=int, default=40, metavar="N", help="(40)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="(32)")
    parser.add_argument("--lr", type=float, default=2e-3, help="highest learning rate (0.002)")
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    parser.add_argument("--patience", type=int, metavar="N", help="stop after N vain epochs")
    parser.add_argument("--checkpoint-dir", metavar="DIR", help="keep checkpoints; resume from it")
    parser.add_argument("--no-resume", action="store_true", help="overwrite what DIR holds")
    parser.add_argument("--output", metavar="FILE", help="write the weights (.safetensors)")
    parser.add_argument("--precision", help="32-true, bf16-mixed, ...; bf16 where a GPU has it")
    parser.add_argument("--accelerator", default="auto", help="cpu, gpu, mps, ... (auto)")
    parser.add_argument("--devices", default="1", help="how many, or auto (1)")
    parser.add_argument("--num-nodes", type=int, default=1, metavar="N", help="machines (1)")
    parser.add_argument("--strategy", default="auto", help="ddp, fsdp, ... (auto)")
    parser.set_defaults(run=_train)


def _train(args: argparse.Namespace) -> int:
    from mircourse.registry import DataError
    from mircourse.training import TrainingError

    try:
        return _fit(args)
    except (DataError, TrainingError, ValueError) as error:
        print(f"mircourse: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        again = "; run the same command to go on" if args.checkpoint_dir else ""
        print(f"mircourse: stopped{again}", file=sys.stderr)
        return 130


def _fit(args: argparse.Namespace) -> int:
    from lightning.pytorch.utilities import rank_zero_only

    from mircourse import recordings, weights
    from mircourse.cnn import HarmonicCNN, MusicCNN
    from mircourse.training import ClassificationTask, fit, seed_everything

    found = recordings.load(args.data, full=args.data != SOURCES[0])
    train, valid = found.split("train"), found.split("valid")
    seed_everything(args.seed)
    arguments = {
        "n_classes": len(found.instruments),
        "sample_rate": found[0].sample_rate,
        "width": args.width,
    }
    model = {"musiccnn": MusicCNN, "harmoniccnn": HarmonicCNN}[args.model](**arguments)
    result = fit(
        ClassificationTask(model, lr=args.lr),
        (train.audio(args.seconds), train.labels),
        valid=(valid.audio(args.seconds), valid.labels),
        epochs=args.epochs,
        batch_size=args.batch_size,
        seed=args.seed,
        patience=args.patience,
        monitor="valid_accuracy",
        checkpoint_dir=args.checkpoint_dir,
        resume=not args.no_resume,
        precision=args.precision,
        accelerator=args.accelerator,
        devices=args.devices if args.devices == "auto" else int(args.devices),
        num_nodes=args.num_nodes,
        strategy=args.strategy,
    )
    about = (
        f"{args.model} on {args.data}: valid accuracy {result.best_score:.3f} in epoch "
        f"{result.best_epoch} of {len(result.history)}, {result.seconds:.0f} s"
    )

    # With several processes only the first speaks and writes.
    @rank_zero_only
    def finish() -> None:
        print(about)
        if args.output:
            weights.save(
                model, args.output, arguments=arguments, classes=found.instruments, about=about
            )
            print(f"written to {args.output}")

    finish()
    return 0
