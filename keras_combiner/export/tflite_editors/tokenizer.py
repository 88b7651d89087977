"""A tokenizer inside a .tflite file, which then takes text instead of token ids."""

import tempfile

import numpy as np
import tensorflow as tf

from keras_combiner.export import runners
from keras_combiner.export.tflite_editors.flatbuffer import read_model, write_model


def prepend_tokenizer(content, tokenizer, texts, token_ids):
    """Puts a tokenizer in front of a .tflite file that takes token ids.

    The tokenizer is converted alone and the two files are joined as they are, so that the weights
    and operations of a quantized file stay what they were.

    Args:
        content: bytes of a .tflite file with one signature, from `token_ids`, int32
            `[1, sequence_length]`.
        tokenizer: `keras_combiner.text.Tokenizer`.
        texts: list of bytes to try it on.
        token_ids: int32 array `[texts, sequence_length]`, what the tokenizer makes of them.

    Returns:
        bytes of a .tflite file that takes `text`, string `[1]`, and has two more outputs:
        `token_ids`, and `num_tokens`, int32 `[1]`.

    Raises:
        NotImplementedError: if the tokenizer has no form that runs inside a .tflite file.
        ValueError: if its vocabulary would return other ids there, or the file has several
            signatures.
        RuntimeError: if it returns other ids there for one of `texts`.
    """
    front = convert_tokenizer(tokenizer, token_ids.shape[1])
    _check(front, texts, token_ids)
    return _join(front, content)


def convert_tokenizer(tokenizer, sequence_length):
    """Returns the bytes of a .tflite file that holds a tokenizer alone.

    Args:
        tokenizer: `keras_combiner.text.Tokenizer`.
        sequence_length: int, the length of `token_ids`.
    """
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([1], tf.string, name="text")], autograph=False)
    def tokenize(text):
        token_ids, num_tokens = tokenizer.encode_in_litert(text, sequence_length)
        return {"token_ids": token_ids, "num_tokens": num_tokens}

    module.tokenize = tokenize
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(module, directory, signatures={"serving_default": tokenize})
        converter = tf.lite.TFLiteConverter.from_saved_model(
            directory, signature_keys=["serving_default"]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.allow_custom_ops = True  # those of tensorflow-text
        return converter.convert()


def _check(front, texts, token_ids):
    interpreter = runners.import_litert("text")(model_content=front)
    runner = interpreter.get_signature_runner("serving_default")
    for i, (text, expected) in enumerate(zip(texts, token_ids, strict=True)):
        received = runner(text=np.array([text], dtype=object))["token_ids"][0]
        if not np.array_equal(received, expected):
            raise RuntimeError(
                f"The tokenizer returns other ids inside the .tflite file for document {i}, "
                f"{text[:40]!r}. Nothing was written. Export with input_type='token_ids'."
            )


def _join(front, model):
    """Makes one .tflite file of two: `token_ids` of the first is `token_ids` of the second."""
    front, model = read_model(front), read_model(model)
    if len(model.signatureDefs) != 1:
        raise ValueError("A file that takes text has one length. Leave the other lengths out.")
    (front_signature,), (signature,) = front.signatureDefs, model.signatureDefs
    (tokenize,), graph = front.subgraphs, model.subgraphs[signature.subgraphIndex]

    # Everything in the file is referred to by its index; what is appended gets higher ones.
    indices = {i: i + len(graph.tensors) for i in range(len(tokenize.tensors))}
    indices[-1] = -1  # an optional input that is absent
    (token_ids,) = signature.inputs
    indices[_named(front_signature.outputs, "token_ids")] = token_ids.tensorIndex
    for operator in tokenize.operators:
        operator.opcodeIndex += len(model.operatorCodes)
        operator.inputs = [indices[i] for i in operator.inputs]
        operator.outputs = [indices[i] for i in operator.outputs]
    for tensor in tokenize.tensors:
        tensor.buffer += len(model.buffers)
    for outer in (*front_signature.inputs, *front_signature.outputs):
        outer.tensorIndex = indices[outer.tensorIndex]

    model.operatorCodes = [*model.operatorCodes, *front.operatorCodes]
    model.buffers = [*model.buffers, *front.buffers]
    graph.tensors = [*graph.tensors, *tokenize.tensors]
    graph.operators = [*tokenize.operators, *graph.operators]
    signature.inputs = front_signature.inputs
    signature.outputs = [*signature.outputs, *front_signature.outputs]
    graph.inputs = [x.tensorIndex for x in signature.inputs]
    graph.outputs = [x.tensorIndex for x in signature.outputs]
    return write_model(model)


def _named(tensor_maps, name):
    # Names are bytes in some versions of the schema.
    return next(x.tensorIndex for x in tensor_maps if x.name in (name, name.encode()))
