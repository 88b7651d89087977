"""`keras-combiner`: the command line's entry point, its errors and its exit codes."""

import argparse
import contextlib
import os
import sys
import traceback
import warnings

from keras_combiner.cli import (
    check_data,
    demo,
    embed,
    evaluate,
    export,
    predict,
    pretrain,
    score,
    serve,
    train,
)
from keras_combiner.cli.errors import one_line, show_warnings
from keras_combiner.version import __version__

COMMANDS = {
    "check-data": check_data,
    "pretrain": pretrain,
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "embed": embed,
    "export": export,
    "score": score,
    "serve": serve,
    "demo": demo,
}

# What a shell reports for a program that died of the signal: 128 and its number.
INTERRUPTED = 130
_INTERRUPTED = "\nkeras-combiner: interrupted"
BROKEN_PIPE = 141


def build_parser():
    """Makes the parser of the whole command line.

    Returns:
        `argparse.ArgumentParser`.
    """
    parser = _Parser(
        prog="keras-combiner",
        description=(
            "Classify and embed whole long documents: check the data, pretrain, train, evaluate, "
            "predict, embed, export, score, serve."
        ),
        epilog="keras-combiner COMMAND --help explains a command and shows an example.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.set_defaults(debug=False)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS.values():
        module.add_parser(subparsers)
    for subparser in subparsers.choices.values():
        subparser.add_argument(
            "--debug", action="store_true", help="show the whole traceback of an error"
        )
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser that shows the usage of a command for an option that the command does not have."""

    def parse_args(self, args=None, namespace=None):
        """As `argparse.ArgumentParser.parse_args`."""
        arguments, unknown = self.parse_known_args(args, namespace)
        if unknown:
            command = arguments.command
            commands = next(x.choices for x in self._actions if x.dest == "command")
            commands[command].error(f"unrecognized arguments: {' '.join(unknown)}")
        return arguments


def main(argv=None):
    """Runs the command line.

    Args:
        argv: list of str, the arguments; None for those of the process.

    Returns:
        int, the exit code: 0; 1 after an error, which is one line on standard error (2 of
        check-data, whose 1 says that it found something); 130 after an interrupt; 141 if the reader
        of the output has closed the pipe.

    Raises:
        SystemExit: with 2, by argparse, for arguments that do not exist or are out of range.
    """
    try:
        return _main(argv)
    except KeyboardInterrupt:
        print(_INTERRUPTED, file=sys.stderr)
        return INTERRUPTED


def run():
    """Runs the command line as a process, and ends it."""
    try:
        code = _main(None)
    except KeyboardInterrupt:
        print(_INTERRUPTED, file=sys.stderr, flush=True)
        with contextlib.suppress(ValueError, OSError):
            sys.stdout.flush()
        # At once: TensorFlow's threads that read ahead wait for this one, and an iterator that is
        # destroyed here waits for them.
        os._exit(INTERRUPTED)
    sys.exit(code)


def _main(argv):
    arguments = build_parser().parse_args(argv)
    # Before TensorFlow is imported: its notes on the processor are nothing to act on.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with warnings.catch_warnings():
            show_warnings()
            code = COMMANDS[arguments.command].run(arguments)
        # Here and not at the interpreter's end, where a closed pipe can no longer be handled.
        sys.stdout.flush()
        return code or 0
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE
    except Exception as error:
        message = one_line(error)
        if message is None:  # a bug, for which the traceback is the report
            raise
        if arguments.debug:
            traceback.print_exc()
        print(f"keras-combiner: error: {message}", file=sys.stderr)
        return getattr(COMMANDS[arguments.command], "ERROR", 1)


def _discard_output():
    """Discards what is still buffered for a closed pipe, so that exiting does not raise."""
    # ValueError and OSError: a standard output that is not a file, as under a test.
    with contextlib.suppress(ValueError, OSError), open(os.devnull, "w") as devnull:
        os.dup2(devnull.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    run()
