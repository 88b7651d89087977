"""Embedding tables of a .tflite file: kept once, and read row by row."""

import collections

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

MIN_SHARED_BYTES = 1024  # below, an entry for a constant of its own costs no more than it saves


def read_by_lookup(content, position_embeddings):
    """Rewrites a float32 .tflite file so that it reads its embedding tables by EMBEDDING_LOOKUP.

    The converter makes a GATHER of the table that token ids choose from, which quantizers leave in
    float, and a constant of the rows that every document gets, another one for every length.
    EMBEDDING_LOOKUP takes tables in 8 and 4 bits with a scale for every row, and files of several
    lengths then hold each table once.

    Args:
        content: bytes of the file.
        position_embeddings: float array `[rows, features]`, the table whose first rows are a
            constant.

    Returns:
        bytes of a file that computes the same. Equal constants are kept once, and every tensor has
        a name of its own, as quantizers want it.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    for subgraph in model.subgraphs:
        _look_up_gathered(model, subgraph)
        _look_up_constant(model, subgraph, np.asarray(position_embeddings, "float32"))
    _share_buffers(model)
    _name_apart(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _look_up_gathered(model, subgraph):
    """A GATHER of rows of a constant becomes an EMBEDDING_LOOKUP."""
    operators = []
    for operator in subgraph.operators:
        if not _gathers_rows(model, subgraph, operator):
            operators.append(operator)
            continue
        table, token_ids = operator.inputs
        flat = _add_tensor(subgraph, [_size(subgraph.tensors[token_ids])], schema.TensorType.INT32)
        operators.append(_reshape(model, subgraph, token_ids, flat))
        operators += _lookup(model, subgraph, flat, table, operator.outputs[0])
    subgraph.operators = operators


def _gathers_rows(model, subgraph, operator):
    if _code(model, operator) != schema.BuiltinOperator.GATHER:
        return False
    table = subgraph.tensors[operator.inputs[0]]
    options = operator.builtinOptions
    is_of_rows = options is None or options.axis == options.batchDims == 0
    is_constant = model.buffers[table.buffer].data is not None
    return (
        is_of_rows
        and is_constant
        and len(table.shape) == 2
        and table.type == schema.TensorType.FLOAT32
    )


def _look_up_constant(model, subgraph, table):
    """A constant that holds the first rows of `table` is looked up in it."""
    for index, tensor in enumerate(list(subgraph.tensors)):
        rows = _size(tensor) // table.shape[1]
        data = model.buffers[tensor.buffer].data
        if data is None or rows < 1 or bytes(data) != table[:rows].tobytes():
            continue
        tensor.buffer = 0  # no constant any more
        ids = _add_constant(model, subgraph, np.arange(rows, dtype="int32"))
        whole = _add_constant(model, subgraph, table)
        subgraph.operators = [
            *_lookup(model, subgraph, ids, whole, index),
            *subgraph.operators,
        ]


def _lookup(model, subgraph, ids, table, output):
    """Rows `ids`, int32 `[n]`, of `table`, in the shape of the tensor `output`."""
    features = subgraph.tensors[table].shape[1]
    rows = _add_tensor(
        subgraph, [_size(subgraph.tensors[ids]), features], schema.TensorType.FLOAT32
    )
    lookup = _operator(model, schema.BuiltinOperator.EMBEDDING_LOOKUP, [ids, table], [rows])
    return [lookup, _reshape(model, subgraph, rows, output)]


def _reshape(model, subgraph, source, target):
    shape = np.array(subgraph.tensors[target].shape, "int32")
    shape = _add_constant(model, subgraph, shape)
    return _operator(model, schema.BuiltinOperator.RESHAPE, [source, shape], [target])


def _operator(model, code, inputs, outputs):
    codes = [x.builtinCode for x in model.operatorCodes]
    if code not in codes:
        added = schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code)
        model.operatorCodes.append(added)
        codes.append(code)
    return schema.OperatorT(opcodeIndex=codes.index(code), inputs=inputs, outputs=outputs)


def _code(model, operator):
    return flatbuffer_utils.get_builtin_code_from_operator_code(
        model.operatorCodes[operator.opcodeIndex]
    )


def _add_constant(model, subgraph, array):
    model.buffers.append(schema.BufferT(data=np.frombuffer(array.tobytes(), "uint8")))
    kind = getattr(schema.TensorType, array.dtype.name.upper())
    return _add_tensor(subgraph, list(array.shape), kind, buffer=len(model.buffers) - 1)


def _add_tensor(subgraph, shape, kind, buffer=0):
    subgraph.tensors.append(
        schema.TensorT(shape=shape, type=kind, buffer=buffer, name=b"", hasRank=True)
    )
    return len(subgraph.tensors) - 1


def _size(tensor):
    return int(np.prod(tensor.shape))


def _share_buffers(model):
    """Lets equal constants of one type share a buffer; empties those that nobody reads."""
    tensors = [tensor for subgraph in model.subgraphs for tensor in subgraph.tensors]
    first = {}
    for tensor in tensors:
        data = model.buffers[tensor.buffer].data
        if data is not None and len(data) >= MIN_SHARED_BYTES:
            tensor.buffer = first.setdefault((tensor.type, bytes(data)), tensor.buffer)
    used = {tensor.buffer for tensor in tensors} | {x.buffer for x in model.metadata or []}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None


def _name_apart(model):
    """Names tensors apart where the converter, or another signature, named them alike.

    Of a fused operation's name, which strings together those of all its parts, the first remains:
    names of small models are else as large as their weights.
    """
    taken = collections.Counter()
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            name = (tensor.name or b"lookup").split(b";")[0]
            taken[name] += 1
            tensor.name = name if taken[name] == 1 else name + b"/%d" % taken[name]
