"""`--strategy`: one training on several devices or machines."""

# Spelled out, since the module that defines them imports Keras; the tests compare.
STRATEGIES = ("mirrored", "multi_worker")

# Options that may differ from machine to machine.
_PATHS = ("data", "validation_data", "output", "run", "command", "debug")


def add_strategy(parser):
    """Adds the option to a parser (or group) of argparse."""
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        help="split every batch: mirrored, between the GPUs of this machine; multi_worker, between "
        "the machines that TF_CONFIG names, each of which runs this command and sees the same "
        "--data and --output (default: one device)",
    )


def distributed_of(arguments):
    """Makes what splits the batches, or None; TensorFlow requires that it is made first.

    Args:
        arguments: `argparse.Namespace`.

    Returns:
        `keras_combiner.training.Distributed`, or None.
    """
    if not arguments.strategy:
        return None
    from keras_combiner.training import Distributed

    distributed = Distributed(arguments.strategy)
    replicas, workers = distributed.strategy.num_replicas_in_sync, distributed.num_workers
    if replicas > 1:
        print(f"Every batch is split {replicas} ways, over {workers} machines.", flush=True)
    else:
        print("There is one device: nothing to split a batch between.", flush=True)
    return distributed


def agree(distributed, arguments, resumes):
    """Waits until all workers have looked at --output, which the chief will write to.

    Args:
        distributed: what `distributed_of` returned; not None.
        arguments: `argparse.Namespace`.
        resumes: bool, whether there is a training to go on with.

    Raises:
        ValueError: if the workers' options differ, or they see different directories as --output.
    """
    options = {name: x for name, x in vars(arguments).items() if name not in _PATHS}
    distributed.agree(**options, **{"whether there is a training to resume": resumes})
