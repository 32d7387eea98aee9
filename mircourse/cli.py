"""The command ``mircourse``: installation, data, experiments, transcription and generation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import mircourse
from mircourse import registry


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; those of the process where none are given.

    Returns
    -------
    int
        The exit status: 0 if all is well, 1 if something is broken, 2 for a wrong argument
        (argparse leaves with that one by itself).
    """
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
    except registry.DataError as error:
        print(f"mircourse: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output, such as ``head``, has gone: there is no one left to tell.
        sys.stderr.close()
        return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every sub-command mounted; the parsed ``args.run`` carries it out."""
    parser = argparse.ArgumentParser(prog="mircourse", description=mircourse.__doc__.split("\n")[0])
    parser.add_argument("--version", action="version", version=f"mircourse {mircourse.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _mount_doctor(commands)
    _mount_data(commands)
    _mount_experiment(commands)
    _mount_train(commands)
    _mount_transcribe(commands)
    _mount_generate(commands)
    return parser


def _mount_doctor(commands: argparse._SubParsersAction) -> None:
    text = "say what is installed, on what device models run, and whether the data is intact"
    doctor = commands.add_parser("doctor", help=text, description=text)
    doctor.add_argument("--fix", action="store_true", help="mend what can be mended")
    doctor.set_defaults(run=_doctor)


def _mount_data(commands: argparse._SubParsersAction) -> None:
    text = "list the data files that ship with the course, or verify them"
    data = commands.add_parser("data", help=text, description=text)
    actions = data.add_subparsers(title="actions", metavar="ACTION", required=True)
    actions.add_parser("list", help="name, size and licence of each file").set_defaults(
        run=_data_list
    )
    actions.add_parser("verify", help="compare each file with its SHA-256").set_defaults(
        run=_data_verify
    )


def _mount_experiment(commands: argparse._SubParsersAction) -> None:
    from mircourse.experiments import command

    text = "list, run or show the experiments behind the book's tables"
    command.add_arguments(commands.add_parser("experiment", help=text, description=text))


def _mount_train(commands: argparse._SubParsersAction) -> None:
    from mircourse.experiments import train_command

    text = "train a model of the course on recordings, on one device or many"
    train_command.add_arguments(commands.add_parser("train", help=text, description=text))


def _mount_transcribe(commands: argparse._SubParsersAction) -> None:
    from mircourse import transcribe_command

    text = "write down the notes of piano recordings as MIDI files"
    transcribe_command.add_arguments(commands.add_parser("transcribe", help=text, description=text))


def _mount_generate(commands: argparse._SubParsersAction) -> None:
    from mircourse import generate_command

    text = "write music in a style, as MIDI, ABC, audio or a drawn score"
    generate_command.add_arguments(commands.add_parser("generate", help=text, description=text))


def _doctor(args: argparse.Namespace) -> int:
    from mircourse import doctor

    findings = doctor.examine(fix=args.fix)
    print(*findings, sep="\n")
    broken = [finding.name for finding in findings if finding.state == "broken"]
    print(f"broken: {', '.join(broken)}" if broken else "all is well")
    return 1 if broken else 0


def _data_list(args: argparse.Namespace) -> int:
    known = sorted(registry.entries().values(), key=lambda entry: entry.name)
    width = max((len(entry.name) for entry in known), default=0)
    for entry in known:
        print(f"{entry.name:<{width}}  {entry.bytes / 1e6:8.2f} MB  {entry.licence}")
    print(f"{len(known)} files, {sum(e.bytes for e in known) / 1e6:.1f} MB, {registry.data_dir()}")
    return 0


def _data_verify(args: argparse.Namespace) -> int:
    from mircourse import doctor

    finding = doctor.check_data()
    print(finding)
    return 1 if finding.state == "broken" else 0


if __name__ == "__main__":
    sys.exit(main())
