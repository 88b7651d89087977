"""Signatures of SavedModels, traced once."""

import tensorflow as tf


def add_endpoint(archive, name, serve, spec):
    """Adds a signature to an archive.

    Keras's archive traces a function once to find its variables and once more to write it. It gets
    a function that has been traced already, in which both find a single call.

    Args:
        archive: `keras.export.ExportArchive`.
        name: str, of the signature.
        serve: function of one tensor that returns a dictionary of tensors.
        spec: `tf.TensorSpec` of that tensor, with the name of the input.
    """
    traced = tf.function(serve, input_signature=[spec], autograph=False).get_concrete_function()
    archive.add_endpoint(name, lambda inputs: traced(inputs), input_signature=[spec])
