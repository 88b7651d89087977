"""`keras-combiner serve`: answers requests with an exported SavedModel."""

import argparse
import logging.config
import shlex
import warnings

from keras_combiner.cli import arguments as shared
from keras_combiner.version_folders import is_version, no_saved_model, saved_models


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "serve",
        help="answer requests with an exported SavedModel, over REST and gRPC",
        description=(
            "Serves the newest version of an exported model by KServe's protocols, V1 REST, V2 "
            "REST and V2 gRPC, and takes up newer versions as they appear. SIGTERM or Ctrl + C "
            "ends it when the requests under way have their answers."
        ),
        example="""
            keras-combiner export --model runs/a/model.keras --saved-model serving/a/1
            keras-combiner serve --model serving/a
        """,
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="DIR",
        help="a SavedModel, or a directory of numbered ones, as export writes them",
    )
    parser.add_argument(
        "--name", help="what requests call the model (default: the name of the directory)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen at; 0.0.0.0 for all of this machine (default: %(default)s)",
    )
    numbers = (
        ("http-port", 0, 8080, "port of REST; 0 for any"),
        ("grpc-port", 0, 8081, "port of gRPC; 0 for any"),
        ("max-body-mb", 1, 4, "largest body of a request, in MiB"),
        ("max-batch-size", 1, 8, "texts that go through the model together; memory grows with it"),
        ("max-waiting", 1, 256, "texts that may wait before requests are refused with 503"),
        ("threads", 1, 2, "batches at work at a time"),
        ("poll-seconds", 1, 2, "how often to look for a new version"),
        ("grace-seconds", 1, 30, "how long requests under way may take at the end"),
    )
    for name, minimum, default, help in numbers:
        parser.add_argument(
            f"--{name}",
            type=shared.integer(minimum),
            default=default,
            metavar="N",
            help=f"{help} (default: %(default)s)",
        )
    parser.add_argument(
        "--version-label",
        action="append",
        default=[],
        type=_version_label,
        metavar="LABEL=N",
        help=(
            "keep version N in memory beside the newest, at /v1/models/NAME/labels/LABEL:predict; "
            "may be given several times"
        ),
    )
    parser.add_argument("--access-log", action="store_true", help="print a line a request")
    parser.set_defaults(run=run)


def run(arguments):
    """Serves until a signal ends it, and returns the exit code."""
    if not saved_models(arguments.model):
        raise FileNotFoundError(no_saved_model(arguments.model))
    if arguments.http_port and arguments.http_port == arguments.grpc_port:
        raise ValueError(
            f"--http-port and --grpc-port must differ. Received: {arguments.http_port} for both."
        )
    # What KServe uses, and FastAPI calls deprecated, is nothing for a user to act on.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    from keras_combiner.serving import PredictionServer, SavedModelPredictor
    from keras_combiner.serving.prediction_server import listening_socket

    logging.config.dictConfig(_logging(arguments.access_log))
    predictor = SavedModelPredictor(
        arguments.model,
        arguments.name,
        max_batch_size=arguments.max_batch_size,
        max_waiting=arguments.max_waiting,
        threads=arguments.threads,
        poll_seconds=arguments.poll_seconds,
        version_labels=_version_labels(arguments.version_label),
    )
    # Before the model, which takes a while to load.
    for port, option in (
        (arguments.http_port, "--http-port"),
        (arguments.grpc_port, "--grpc-port"),
    ):
        listening_socket(arguments.host, port, option).close()
    predictor.load()

    def announce(http_port, grpc_port):
        host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
        url = f"http://{host}:{http_port}"
        body = shlex.quote('{"instances": ["a very long document ..."]}')
        print(
            f"Serving {predictor.name}, version {predictor.versions.served.number}, at {url} "
            f"(gRPC: {host}:{grpc_port}). Ctrl + C ends it.\n"
            f"curl {url}/v1/models/{predictor.name}:predict -d {body}",
            flush=True,
        )

    PredictionServer(
        arguments.host,
        arguments.http_port,
        arguments.grpc_port,
        max_body_bytes=arguments.max_body_mb * 1024**2,
        grace_seconds=arguments.grace_seconds,
        on_start=announce,
    ).start([predictor])
    return 0


def _version_label(text):
    """Reads LABEL=N, for argparse."""
    label, _, number = text.rpartition("=")
    if not label or not is_version(number):
        raise argparse.ArgumentTypeError(
            f"expected LABEL=N, a name and the number of a version, as in stable=3; received {text}"
        )
    return label, int(number)


def _version_labels(pairs):
    labels = dict(pairs)
    if len(labels) < len(pairs):
        raise ValueError(
            "Expected every label of --version-label once. Received: "
            f"{', '.join(label for label, _ in pairs)}."
        )
    return labels


def _logging(access_log):
    """What is logged, for `logging.config`: events and trouble, and not every request."""
    errors = {"class": "logging.StreamHandler", "formatter": "line"}
    accesses = {**errors, "stream": "ext://sys.stdout"}
    quiet = {"handlers": ["errors"], "level": "WARNING", "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
        "handlers": {"errors": errors, "accesses": accesses},
        "loggers": {
            "keras_combiner": {**quiet, "level": "INFO"},
            "kserve": quiet,
            "uvicorn": quiet,
            "uvicorn.access": {
                "handlers": ["accesses"] if access_log else [],
                "level": "INFO",
                "propagate": False,
            },
        },
    }
