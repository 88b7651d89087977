"""The signatures of a .tflite file."""

import copy

from ai_edge_litert.tools import flatbuffer_utils


def put_first(content, signature, alias):
    """Puts a signature where runtimes without signatures look, and gives it a second name.

    Args:
        content: bytes of a .tflite file whose subgraphs are one a signature.
        signature: str, the signature's name.
        alias: str, the name to add.

    Returns:
        bytes of the file.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    by_name = {x.signatureKey: x for x in model.signatureDefs}
    wanted = by_name[signature.encode()]
    order = sorted(by_name.values(), key=lambda x: (x is not wanted, x.subgraphIndex))
    model.subgraphs = [model.subgraphs[x.subgraphIndex] for x in order]
    for index, definition in enumerate(order):
        definition.subgraphIndex = index
    added = copy.copy(wanted)
    added.signatureKey = alias.encode()
    model.signatureDefs = [wanted, added, *order[1:]]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
