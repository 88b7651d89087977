"""A model's directory for TF Serving: numbered versions, and the server's configuration."""

import re
from pathlib import Path

from keras_combiner.atomic_files import atomic_write
from keras_combiner.export.saved_model import export_saved_model
from keras_combiner.export.warmup import require_tensorflow_serving_api
from keras_combiner.version_folders import version_folders

MODELS_FILE = "models.config"
BATCHING_FILE = "batching.config"
COMPOSE_FILE = "compose.yaml"

# Its ops of TensorFlow Text are those of the version that the exports are tested with.
IMAGE = "tensorflow/serving:2.20.0"
# Where the directory of the models lies in the container.
MOUNT = "/models"

BATCHING = """\
# How many texts of waiting requests go through the model together. Batches are filled up to one of
# the allowed sizes; a single request may have as many texts as the largest.
max_batch_size { value: 8 }
allowed_batch_sizes: 1
allowed_batch_sizes: 2
allowed_batch_sizes: 4
allowed_batch_sizes: 8
# How long a request waits for others to fill its batch.
batch_timeout_micros { value: 1000 }
# Requests beyond this queue are refused as UNAVAILABLE, and may be sent again.
max_enqueued_batches { value: 100 }
# Lets token ids of different lengths share a batch; the model knows what the server fills up with.
pad_variable_length_inputs: true
"""

COMPOSE = f"""\
# docker compose up
# Ports are open to this machine only; what else may reach them is for a proxy to decide.
services:
  tensorflow-serving:
    image: {IMAGE}
    command:
      - --model_config_file={MOUNT}/{MODELS_FILE}
      - --model_config_file_poll_wait_seconds=60
      - --enable_batching
      - --batching_parameters_file={MOUNT}/{BATCHING_FILE}
    ports:
      - 127.0.0.1:8500:8500  # gRPC
      - 127.0.0.1:8501:8501  # REST
    volumes:
      - .:{MOUNT}:ro
    restart: unless-stopped
"""


def export_for_tf_serving(classifier, directory, version=None, **options):
    """Writes a version of a model for TF Serving, and the configuration that serves it.

    For "serving/my_model" it makes

        serving/models.config      the models to serve
        serving/batching.config    how requests are put into batches
        serving/compose.yaml       `docker compose -f serving/compose.yaml up` serves them
        serving/my_model/1/        the version: a SavedModel with warm-up requests

    A running server loads a new version by itself. Existing configuration stays as it is, except
    that the model is added to models.config if it is missing there.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier` or `LongDocumentEmbedder`.
        directory: str or path of the model's directory; its last part names the model in requests.
        version: int, at least 1; the number after the newest version there if None.
        **options: `documents`, `labels`, `max_accuracy_drop`, `measure`, `overwrite` and `verbose`,
            as in `export_saved_model`.

    Returns:
        `ExportReport`.

    Raises:
        FileExistsError: if `version` exists and `overwrite` is false.
        ImportError: if tensorflow-serving-api is missing (extra "serving").
        ValueError: for a name that a request's address cannot hold, a `version` that is not a
            positive int, or a models.config that TF Serving would not read.
        RuntimeError: if Keras runs on another backend than TensorFlow.

    Example:

    >>> import tempfile
    >>> from keras_combiner import LongDocumentClassifier
    >>> classifier = LongDocumentClassifier.from_texts(
    ...     ["a b", "c d"], ["x", "y"], sequence_length=64, tokenizer="bytes", num_layers=1
    ... )
    >>> serving = Path(tempfile.mkdtemp())
    >>> report = export_for_tf_serving(classifier, serving / "my_model", verbose=False)
    >>> sorted(path.name for path in serving.iterdir())
    ['batching.config', 'compose.yaml', 'models.config', 'my_model']
    >>> [path.name for path in (serving / "my_model").iterdir()]
    ['1']
    """
    directory = Path(directory)
    check_model_name(directory)
    if version is None:
        version = next_version(directory)
    elif isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(f"`version` must be an int of at least 1. Received: {version!r}.")
    require_tensorflow_serving_api()
    serving = directory.parent
    texts = {
        MODELS_FILE: _models_config(serving / MODELS_FILE, directory.name),
        BATCHING_FILE: BATCHING,
        COMPOSE_FILE: COMPOSE,
    }
    report = export_saved_model(classifier, directory / str(version), warmup=True, **options)
    for name, text in texts.items():
        file = serving / name
        if name == MODELS_FILE or not file.exists():
            with atomic_write(file, overwrite=True) as unfinished:
                unfinished.write_text(text, encoding="utf-8")
    return report


def next_version(directory):
    """Returns the number after the newest version in a model's directory.

    TF Serving serves the version with the greatest number, and loads a new one as it appears.

    Args:
        directory: str or path, as in "serving/my_model"; it may not exist yet.

    Returns:
        int, 1 for a model's first version.

    Example:

    >>> import tempfile
    >>> directory = Path(tempfile.mkdtemp())
    >>> next_version(directory)
    1
    >>> for name in ("1", "9", "10", "notes"):
    ...     (directory / name).mkdir()
    >>> next_version(directory)
    11
    """
    return max((number for number, _ in version_folders(directory)), default=0) + 1


def check_model_name(directory):
    """Raises a ValueError unless the last part of a path can name a model in requests.

    Args:
        directory: str or path of the model's directory.
    """
    name = Path(directory).name
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ValueError(
            "A model's directory names it in the addresses of requests, and needs a name of "
            f"letters, digits, '_', '-' and '.'. Received: {name!r}, of {str(directory)!r}."
        )


def _models_config(file, name):
    """Returns the text of models.config with the model of this name in it."""
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    text = file.read_text(encoding="utf-8") if file.exists() else ""
    try:
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError as error:
        raise ValueError(
            f"{file} is not a configuration of models for TF Serving: {error} Fix or remove it."
        ) from error
    models = config.model_config_list.config
    if any(model.name == name for model in models):
        return text
    models.add(name=name, base_path=f"{MOUNT}/{name}", model_platform="tensorflow")
    return text_format.MessageToString(config)
