"""Arguments that the commands which train have in common."""

import argparse
from pathlib import Path

from keras_combiner.cli import arguments as shared

# Spelled out, since the modules that define them import Keras; the tests compare.
SIZES = {"tiny": 2, "small": 4, "base": 12}  # with their numbers of layers
PLANS = (
    *("fixed", "hierarchical", "logsparse", "axial_vertical", "axial_horizontal"),
    *("axial_rowmajor", "routing", "window"),
)
MOST_LOCAL = 16.0
SUMMARIES = ("max", "mean", "deepset", "variational", "gaussian")
LONG_TEXTS = ("truncate", "windows")


# What a model is built from, if it starts neither from an earlier one nor is told otherwise.
DEFAULTS = {
    "size": "tiny",
    "tokenizer": "wordpiece",
    "vocabulary_size": 8000,
    "block_size": 64,
    "summary": "variational",
    "first_blocks": 0,
    "locality": 0.0,
}
# A pretrained model brings these with it.
_GIVEN_BY_PRETRAINED = ("size", "tokenizer", "vocabulary_size", "first_blocks")


def settle(arguments):
    """Fills in what was left out, which depends on --pretrained.

    Args:
        arguments: `argparse.Namespace`, changed in place. With --pretrained, what was left out
            stays None: it is the model's own.

    Raises:
        ValueError: for an option that does not go with --pretrained, plans that are neither one
            nor as many as the layers, or --first-blocks without the plan that has them.
        FileNotFoundError: if there is nothing at --pretrained.
    """
    if arguments.pretrained is None:
        for name, value in DEFAULTS.items():
            if getattr(arguments, name) is None:
                setattr(arguments, name, value)
        _check_plans(arguments)
        return
    given = [x for x in _GIVEN_BY_PRETRAINED if getattr(arguments, x) is not None]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(
            f"{options}: not with --pretrained, whose size, vocabulary and first blocks stay as "
            "they are. Leave out the one or the other."
        )
    path = Path(arguments.pretrained)
    # Checkpoints of TensorFlow are named without the ending that their files have.
    found = (path.suffix == ".keras" and path.is_file()) or Path(f"{path}.index").is_file()
    if arguments.pretrained and path.is_dir():
        names = (shared.MODEL_FILE, "config.json", "*.index")
        found = any(any(path.glob(name)) for name in names)
    if not found:
        raise FileNotFoundError(
            f"There are no weights at {arguments.pretrained!r}. --pretrained is a directory of "
            "Hugging Face's or of keras-combiner pretrain, or a checkpoint of Model Garden's."
        )


def _check_plans(arguments):
    """Raises a ValueError for plans that the model of --size cannot have."""
    plans, num_layers = arguments.factorization or ["fixed"], SIZES[arguments.size]
    if len(plans) not in (1, num_layers):
        raise ValueError(
            f"--factorization takes one plan, or one for each layer, of which --size "
            f"{arguments.size} has {num_layers}. Received: {len(plans)}, {' '.join(plans)}."
        )
    if arguments.first_blocks and "fixed" not in plans:
        raise ValueError(
            "--first-blocks is for the plan fixed. Leave it out, or let --factorization have that "
            f"plan in a layer at least. Received: {' '.join(plans)}."
        )


def _plan_options(arguments):
    """The options that --factorization and --first-blocks come to, a dict."""
    from keras_combiner import factorizations

    names = arguments.factorization or (["fixed"] if arguments.first_blocks else [])
    if not names:
        return {}
    plans = [
        factorizations.Fixed(arguments.block_size, first_blocks=arguments.first_blocks)
        if arguments.first_blocks and name == "fixed"
        else name
        for name in names
    ]
    return {
        "factorization": plans[0] if len(plans) == 1 else plans,
        "static_length": not all(factorizations.get(x).any_length for x in plans),
    }


def untrained_options(arguments):
    """Returns the options that `from_texts` takes, a dict of keyword arguments."""
    names = ("sequence_length", "remat", *DEFAULTS)
    options = {name: getattr(arguments, name) for name in names if name != "first_blocks"}
    options |= _plan_options(arguments)
    if arguments.mixed_precision:
        options["dtype"] = f"mixed_{arguments.mixed_precision}"
    return options


def pretrained_options(arguments):
    """Returns the options that `from_pretrained` takes, a dict of keyword arguments."""
    precision = arguments.mixed_precision
    options = {
        "sequence_length": arguments.sequence_length,
        "block_size": arguments.block_size,
        "summary": arguments.summary,
        "locality": arguments.locality,
        # Said in any case: the earlier training may have had another.
        "dtype": f"mixed_{precision}" if precision else "float32",
        "learning_rate": arguments.learning_rate,
        "remat": arguments.remat,
        **_plan_options(arguments),
    }
    return {name: value for name, value in options.items() if value is not None}


def positive(string):
    """An argparse type: a finite float above 0."""
    try:
        value = float(string)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, not {string!r}")
    return value


def locality(string):
    """An argparse type: a float from 0 to `MOST_LOCAL`."""
    try:
        value = float(string)
    except ValueError:
        value = -1.0
    if not 0 <= value <= MOST_LOCAL:
        raise argparse.ArgumentTypeError(
            f"expected a number from 0 to {MOST_LOCAL:g}, not {string!r}"
        )
    return value


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


def add_model(parser, long_texts, long_texts_help, sequence_length=4096):
    """Adds what a model is built from.

    Args:
        parser: `argparse.ArgumentParser`, or a group of one.
        long_texts: str, the default of --long-texts.
        long_texts_help: str, what its help says before the default.
        sequence_length: int, the default of --sequence-length.
    """
    parser.add_argument(
        "--pretrained",
        metavar="PATH",
        help="weights and vocabulary to start from: a Hugging Face directory, what pretrain wrote, "
        "or a checkpoint of Model Garden's; longer documents than it knows get more positions "
        "(default: start from random weights)",
    )
    parser.add_argument(
        "--size",
        choices=SIZES,
        help="tiny: 2 layers of width 96; small: 4 of 256; base: 12 of 768 (default: tiny)",
    )
    parser.add_argument(
        "--sequence-length",
        type=shared.integer(3),
        default=sequence_length,
        metavar="TOKENS",
        help="longest document, in tokens; see --long-texts (default: %(default)s)",
    )
    parser.add_argument(
        "--long-texts",
        choices=LONG_TEXTS,
        default=long_texts,
        help=f"{long_texts_help} (default: %(default)s)",
    )
    parser.add_argument(
        "--tokenizer",
        choices=("wordpiece", "bytes"),
        help="word pieces learned from the documents, or bytes (default: wordpiece)",
    )
    parser.add_argument(
        "--vocabulary-size",
        type=shared.integer(1),
        metavar="N",
        help="most word pieces to learn; not used for bytes (default: 8000)",
    )
    parser.add_argument(
        "--factorization",
        nargs="+",
        choices=PLANS,
        metavar="PLAN",
        help="the plan of attention, which says what a token reads directly and what in summaries "
        f"(docs/plans.md): {', '.join(PLANS)}; one for all layers, or one for each, from the first "
        "to the last, such as: window fixed. With any but fixed and window, every document is "
        "padded to --sequence-length (default: fixed; with --pretrained, what a model of pretrain "
        "has, and for others fixed with opened parts; layers of a model such as ModernBERT that "
        "read near tokens only keep their windows, unless there is a plan for each layer)",
    )
    parser.add_argument(
        "--block-size",
        type=shared.integer(1),
        metavar="TOKENS",
        help="tokens that attend to each other directly (default: 64; with --pretrained, what a "
        "model of pretrain has)",
    )
    parser.add_argument(
        "--summary",
        choices=SUMMARIES,
        help="how a block is summed up for tokens far from it (default: variational; with "
        "--pretrained, as a model of pretrain does)",
    )
    parser.add_argument(
        "--first-blocks",
        type=shared.integer(0),
        metavar="N",
        help="blocks at the beginning of a document that all of it attends to directly, in layers "
        "of the plan fixed (default: 0; not with --pretrained)",
    )
    parser.add_argument(
        "--locality",
        type=locality,
        metavar="NATS",
        help="how much more weight the last head gives to what it attends to directly, in nats, up "
        "to 16; from the first head, which gives none, it grows in equal steps (default: 0; with "
        "--pretrained, what a model of pretrain has, and 0.5 for any other)",
    )


def add_epochs(parser):
    """Adds --epochs, --batch-size, --learning-rate and --seed."""
    parser.add_argument(
        "--epochs",
        type=shared.integer(1),
        default=8,
        metavar="N",
        help="passes over the documents (default: %(default)s)",
    )
    shared.add_batch_size(parser)
    parser.add_argument(
        "--learning-rate",
        type=positive,
        metavar="RATE",
        help="the highest one: it warms up to it and decays (default: 0.002 or less, by the width "
        "of the model; with --pretrained 0.0001)",
    )
    parser.add_argument(
        "--seed",
        type=shared.integer(0),
        default=0,
        metavar="N",
        help="of the weights, the dropout, the order of documents and what pretrain hides "
        "(default: %(default)s)",
    )


def add_course(parser):
    """Adds options of how a training runs: patience, gradients, memory, checkpoints."""
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
        "--remat",
        action="store_true",
        help="compute the inside of every block once more for its gradient, in place of keeping it "
        "in memory: for longer documents or larger batches, at about a quarter more time",
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
