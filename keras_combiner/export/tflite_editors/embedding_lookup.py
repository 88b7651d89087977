"""Embedding tables of a .tflite file: kept once, and read row by row."""

import collections

import numpy as np

from keras_combiner.export.tflite_editors.flatbuffer import (
    OpCode,
    TensorType,
    add_constant,
    add_operator,
    add_tensor,
    constant_of,
    op_code,
    read_model,
    write_model,
)

MIN_SHARED_BYTES = 1024  # sharing a smaller constant saves no more than its entry costs


def use_embedding_lookup(content, position_embeddings):
    """Rewrites a float32 .tflite file so that it reads its embedding tables by EMBEDDING_LOOKUP.

    The converter writes a GATHER for token embeddings, which quantizers leave in float, and a
    constant for the position embeddings, another one for every length. EMBEDDING_LOOKUP takes
    tables in 8 and 4 bits with a scale for every row, and files of several lengths then hold each
    table once.

    Args:
        content: bytes of the file.
        position_embeddings: float array `[rows, features]`, the table whose first rows are a
            constant; None if there is none.

    Returns:
        bytes of a file that computes the same. Equal constants are kept once, and every tensor has
        a name of its own, as quantizers require.
    """
    model = read_model(content)
    for subgraph in model.subgraphs:
        _look_up_gathered(model, subgraph)
        if position_embeddings is not None:
            _look_up_constant(model, subgraph, np.asarray(position_embeddings, "float32"))
    _share_buffers(model)
    _make_names_unique(model)
    return write_model(model)


def _look_up_gathered(model, subgraph):
    """A GATHER of rows of a constant becomes an EMBEDDING_LOOKUP."""
    operators = []
    for operator in subgraph.operators:
        if not _gathers_rows(model, subgraph, operator):
            operators.append(operator)
            continue
        table, token_ids = operator.inputs
        flat = add_tensor(subgraph, [_size(subgraph.tensors[token_ids])], TensorType.INT32)
        operators.append(_reshape(model, subgraph, token_ids, flat))
        operators += _lookup(model, subgraph, flat, table, operator.outputs[0])
    subgraph.operators = operators


def _gathers_rows(model, subgraph, operator):
    if op_code(model, operator) != OpCode.GATHER:
        return False
    table = subgraph.tensors[operator.inputs[0]]
    options = operator.builtinOptions
    is_of_rows = options is None or options.axis == options.batchDims == 0
    is_constant = constant_of(model, table) is not None
    return is_of_rows and is_constant and len(table.shape) == 2 and table.type == TensorType.FLOAT32


def _look_up_constant(model, subgraph, table):
    """A constant that holds the first rows of `table` is looked up in it."""
    for index, tensor in enumerate(list(subgraph.tensors)):
        rows = _size(tensor) // table.shape[1]
        data = constant_of(model, tensor)
        if data is None or rows < 1 or bytes(data) != table[:rows].tobytes():
            continue
        tensor.buffer = 0  # no longer a constant
        ids = add_constant(model, subgraph, np.arange(rows, dtype="int32"))
        whole = add_constant(model, subgraph, table)
        subgraph.operators = [
            *_lookup(model, subgraph, ids, whole, index),
            *subgraph.operators,
        ]


def _lookup(model, subgraph, ids, table, output):
    """Rows `ids`, int32 `[n]`, of `table`, in the shape of the tensor `output`."""
    features = subgraph.tensors[table].shape[1]
    rows = add_tensor(subgraph, [_size(subgraph.tensors[ids]), features], TensorType.FLOAT32)
    # Its layer's name stays in it: quantizers go by names.
    subgraph.tensors[rows].name = subgraph.tensors[output].name.split(b";")[0] + b"/lookup"
    lookup = add_operator(model, OpCode.EMBEDDING_LOOKUP, [ids, table], [rows])
    return [lookup, _reshape(model, subgraph, rows, output)]


def _reshape(model, subgraph, source, target):
    shape = np.array(subgraph.tensors[target].shape, "int32")
    shape = add_constant(model, subgraph, shape)
    return add_operator(model, OpCode.RESHAPE, [source, shape], [target])


def _size(tensor):
    return int(np.prod(tensor.shape))


def _share_buffers(model):
    """Lets equal constants of one type share a buffer, and empties buffers that are not read."""
    tensors = [tensor for subgraph in model.subgraphs for tensor in subgraph.tensors]
    first = {}
    for tensor in tensors:
        data = constant_of(model, tensor)
        if data is not None and len(data) >= MIN_SHARED_BYTES:
            tensor.buffer = first.setdefault((tensor.type, bytes(data)), tensor.buffer)
    used = {tensor.buffer for tensor in tensors} | {x.buffer for x in model.metadata or []}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None


def _make_names_unique(model):
    """Renames tensors whose names the converter, or another signature, uses twice.

    The name of a fused operation strings together those of all its parts. Only the first is kept:
    in small models, names would otherwise be as large as the weights.
    """
    taken = collections.Counter()
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            name = (tensor.name or b"lookup").split(b";")[0]
            taken[name] += 1
            tensor.name = name if taken[name] == 1 else name + b"/%d" % taken[name]
