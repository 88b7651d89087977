"""The signatures of a .tflite file, the ways to call it."""

import copy

from keras_combiner.export.tflite_editors.flatbuffer import read_model, write_model


def set_default_signature(content, signature, alias):
    """Puts a signature first, where runtimes without signatures look, and adds a second name to it.

    Args:
        content: bytes of a .tflite file whose subgraphs are one a signature.
        signature: str, the signature's name.
        alias: str, the name to add.

    Returns:
        bytes of the file.
    """
    model = read_model(content)
    by_name = {x.signatureKey: x for x in model.signatureDefs}
    wanted = by_name[signature.encode()]
    order = sorted(by_name.values(), key=lambda x: (x is not wanted, x.subgraphIndex))
    model.subgraphs = [model.subgraphs[x.subgraphIndex] for x in order]
    for index, definition in enumerate(order):
        definition.subgraphIndex = index
    added = copy.copy(wanted)
    added.signatureKey = alias.encode()
    model.signatureDefs = [wanted, added, *order[1:]]
    return write_model(model)
