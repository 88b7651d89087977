"""One version of a model in memory, ready to answer."""

import functools
from pathlib import Path

import numpy as np

from keras_combiner.version_folders import SAVED_MODEL_FILE

DEFAULT_SIGNATURE = "serving_default"
INPUT = "text"
# Outputs `[batch, length]` beside it are padding where the ids are.
TOKEN_IDS = "token_ids"


class ServedVersion:
    """A SavedModel that `keras_combiner.export.export_saved_model` wrote, loaded and warmed up.

    Offered are its signatures whose only input is `text`: `serving_default`, and `serving_scores`
    if it has one.

    Args:
        path: str or path of the SavedModel's directory.
        number: int, the version.

    Attributes:
        path: as given.
        number: int.
        signature_defs: dict of str to dict, the signatures that are offered, as TF Serving's
            metadata has them in JSON.

    Raises:
        ImportError: if tensorflow-text is missing (extra "server").
        ValueError: if it has no `serving_default` that takes `text` and returns a row for each
            text.
        Exception: whatever TensorFlow raises for a directory that is not a SavedModel, or for a
            damaged one.
    """

    def __init__(self, path, number):
        tf = _import_tensorflow()
        self.path = path
        self.number = number
        # Signatures do not keep the variables alive; the object that was loaded does.
        self._loaded = tf.saved_model.load(str(path))
        self._signatures = {
            name: signature
            for name, signature in self._loaded.signatures.items()
            if _takes_text(signature, tf)
        }
        if DEFAULT_SIGNATURE not in self._signatures:
            raise ValueError(
                f"Expected a SavedModel whose signature {DEFAULT_SIGNATURE!r} takes `{INPUT}`, "
                f"strings of shape [batch]. Received: {path} with the signatures "
                f"{sorted(self._loaded.signatures) or 'none'}."
            )
        self.signature_defs = _signature_defs(Path(path) / SAVED_MODEL_FILE, self._signatures)
        self._constant = tf.constant
        self._outputs = {name: _outputs(x) for name, x in self._signatures.items()}
        self._runners = {name: functools.partial(self._rows, name) for name in self._signatures}
        for run in self._runners.values():
            run([b""])  # the first run is slower, once, and shows what does not run

    @property
    def signatures(self):
        """list of str: the signatures that are offered."""
        return sorted(self._signatures)

    def outputs(self, signature):
        """Returns what a signature answers for each text.

        Args:
            signature: str, one of `signatures`.

        Returns:
            dict of str to (numpy dtype, tuple of int or None): the shape of a row, None for as many
            as the text has tokens.
        """
        return self._outputs[signature]

    def runner(self, signature):
        """Returns the function that answers a batch.

        Args:
            signature: str, one of `signatures`.

        Returns:
            Function, the same one at each call, of a list of bytes, at least one text, that returns
            a list of dict of str to numpy array or bytes, one a text, without the batch's padding.
        """
        return self._runners[signature]

    def _rows(self, signature, texts):
        outputs = self._signatures[signature](**{INPUT: self._constant(texts)})
        outputs = {name: value.numpy() for name, value in outputs.items()}
        rows = [{name: value[i] for name, value in outputs.items()} for i in range(len(texts))]
        by_token = [name for name, (_, shape) in self.outputs(signature).items() if None in shape]
        if by_token:
            for row in rows:
                length = np.count_nonzero(row[TOKEN_IDS])
                row.update({name: row[name][:length] for name in by_token})
        return rows


def _signature_defs(file, names):
    from google.protobuf.json_format import MessageToDict
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    (graph,) = SavedModel.FromString(file.read_bytes()).meta_graphs
    return {
        name: MessageToDict(
            graph.signature_def[name],
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        for name in sorted(names)
    }


def _outputs(signature):
    specs = signature.structured_outputs
    # All that is told of tokens ends with the text, also where the model's length is fixed.
    by_token = {name for name in specs if name.startswith("token_") and TOKEN_IDS in specs}
    return {
        name: (
            np.dtype(spec.dtype.as_numpy_dtype),
            (None,) if name in by_token else tuple(spec.shape[1:]),
        )
        for name, spec in sorted(specs.items())
    }


def _takes_text(signature, tf):
    _, inputs = signature.structured_input_signature
    spec = inputs.get(INPUT)
    return (
        len(inputs) == 1
        and spec is not None
        and spec.dtype == tf.string
        and spec.shape.rank == 1
        and all(x.shape.rank for x in signature.structured_outputs.values())
    )


def _import_tensorflow():
    import tensorflow

    try:
        import tensorflow_text  # noqa: F401  registers the tokenizer's operations
    except (ImportError, tensorflow.errors.NotFoundError) as error:
        raise ImportError(
            "A SavedModel that takes text needs tensorflow-text in the version of the installed "
            f"TensorFlow ({tensorflow.__version__}): pip install 'keras_combiner[server]'. The "
            f"import said: {error}"
        ) from error
    return tensorflow
