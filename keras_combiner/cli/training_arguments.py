"""Arguments that the commands which train have in common."""

from keras_combiner.cli import arguments as shared

# Spelled out, since the modules that define them import Keras; the tests compare.
SIZES = ("tiny", "small", "base")
SUMMARIES = ("max", "mean", "deepset", "variational")
LONG = ("cut", "windows")


def checkpoint_every(string):
    """An argparse type: an int of at least 1, or "epoch"."""
    return string if string == "epoch" else shared.integer(1)(string)


def add_output(parser):
    """Adds --output."""
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="directory to write to; refused if it holds a model.keras, unless --overwrite",
    )


def add_validation(parser):
    """Adds --validation-data and --validation-split."""
    validation = parser.add_mutually_exclusive_group()
    validation.add_argument(
        "--validation-data",
        metavar="PATH",
        help="documents to validate on after each epoch, in the form of --data",
    )
    validation.add_argument(
        "--validation-split",
        type=shared.fraction,
        default=0.1,
        metavar="SHARE",
        help="share of --data to hold out for validation, from 0 (none) to below 1; always the "
        "same documents, whatever the --seed (default: %(default)s)",
    )


def add_model(parser, long, long_help):
    """Adds what a model is built from.

    Args:
        parser: `argparse.ArgumentParser`, or a group of one.
        long: str, the default of --long.
        long_help: str, what its help says before the default.
    """
    parser.add_argument(
        "--size",
        choices=SIZES,
        default="tiny",
        help="tiny: 2 layers of width 96; small: 4 of 256; base: 12 of 768 (default: %(default)s)",
    )
    parser.add_argument(
        "--sequence-length",
        type=shared.integer(3),
        default=4096,
        metavar="TOKENS",
        help="longest document, in tokens; see --long (default: %(default)s)",
    )
    parser.add_argument(
        "--long", choices=LONG, default=long, help=f"{long_help} (default: %(default)s)"
    )
    parser.add_argument(
        "--tokenizer",
        choices=("wordpiece", "bytes"),
        default="wordpiece",
        help="word pieces learned from the documents, or bytes (default: %(default)s)",
    )
    parser.add_argument(
        "--vocabulary-size",
        type=shared.integer(1),
        default=8000,
        metavar="N",
        help="most word pieces to learn; not used for bytes (default: %(default)s)",
    )
    parser.add_argument(
        "--block-size",
        type=shared.integer(1),
        default=64,
        metavar="TOKENS",
        help="tokens that attend to each other directly (default: %(default)s)",
    )
    parser.add_argument(
        "--summary",
        choices=SUMMARIES,
        default="variational",
        help="how a block is summed up for tokens far from it (default: %(default)s)",
    )


def add_epochs(parser):
    """Adds --epochs, --batch-size and --seed."""
    parser.add_argument(
        "--epochs",
        type=shared.integer(1),
        default=8,
        metavar="N",
        help="passes over the documents (default: %(default)s)",
    )
    shared.add_batch_size(parser)
    parser.add_argument(
        "--seed",
        type=shared.integer(0),
        default=0,
        metavar="N",
        help="of the weights, the dropout and the order of documents (default: %(default)s)",
    )


def add_course(parser):
    """Adds what the course of a training has: patience, gradients, precision, checkpoints."""
    parser.add_argument(
        "--patience",
        type=shared.integer(1),
        metavar="EPOCHS",
        help="stop when the loss on the validation documents (without them, the training loss) "
        "has not become smaller for so many epochs, and keep the model of the best epoch "
        "(default: train all --epochs, and keep the last)",
    )
    parser.add_argument(
        "--accumulate",
        type=shared.integer(1),
        default=1,
        metavar="STEPS",
        help="average the gradients of so many steps for each change of the weights: the effect "
        "of a batch so many times larger, in the memory of one (default: %(default)s)",
    )
    parser.add_argument(
        "--mixed-precision",
        choices=("bfloat16",),
        help="compute in bfloat16 and keep the weights in float32, for hardware that is faster so "
        "(default: float32 throughout)",
    )
    parser.add_argument(
        "--checkpoint-every",
        type=checkpoint_every,
        default="epoch",
        metavar="STEPS",
        help="steps between two checkpoints, besides the one after each epoch; or epoch for those "
        "alone (default: %(default)s)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the training in --output that was stopped, with the same options; from "
        "the beginning if there is none",
    )
