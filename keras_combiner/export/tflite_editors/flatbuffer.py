"""A .tflite file as Python objects, and the codes that they name things by."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

OpCode = schema.BuiltinOperator
TensorType = schema.TensorType


def read_model(content):
    """Returns the bytes of a .tflite file as a `ModelT`, the schema's tree of objects.

    Buffers that a file keeps outside its flatbuffer, as the quantizer's do, are read as well.
    """
    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def write_model(model):
    """Returns a `ModelT` as the bytes of a .tflite file."""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def op_code(model, operator):
    """Returns the `OpCode` of an operator, or None for None."""
    if operator is None:
        return None
    return flatbuffer_utils.get_builtin_code_from_operator_code(
        model.operatorCodes[operator.opcodeIndex]
    )


def constant_of(model, tensor):
    """Returns the data of a constant, or None for a tensor that is computed."""
    return model.buffers[tensor.buffer].data


def add_operator(model, code, inputs, outputs):
    """Returns an operator, which is not in any subgraph yet.

    Args:
        model: `ModelT`, to whose operator codes `code` is added if it is new there.
        code: an `OpCode`.
        inputs: list of int, indices of tensors.
        outputs: list of int, indices of tensors.
    """
    codes = [x.builtinCode for x in model.operatorCodes]
    if code not in codes:
        model.operatorCodes.append(
            schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code)
        )
        codes.append(code)
    return schema.OperatorT(opcodeIndex=codes.index(code), inputs=inputs, outputs=outputs)


def add_constant(model, subgraph, array):
    """Adds a constant to a subgraph and returns its index."""
    tensor_type = getattr(TensorType, array.dtype.name.upper())
    buffer = add_buffer(model, array.tobytes())
    return add_tensor(subgraph, list(array.shape), tensor_type, buffer)


def add_tensor(subgraph, shape, tensor_type, buffer=0):
    """Adds a tensor without a name to a subgraph and returns its index.

    Args:
        subgraph: `SubGraphT`.
        shape: list of int.
        tensor_type: a `TensorType`.
        buffer: int, index of a constant's data; 0 for a tensor that is computed.
    """
    subgraph.tensors.append(
        schema.TensorT(shape=shape, type=tensor_type, buffer=buffer, name=b"", hasRank=True)
    )
    return len(subgraph.tensors) - 1


def add_buffer(model, data):
    """Adds bytes to a model and returns the index of their buffer."""
    model.buffers.append(schema.BufferT(data=np.frombuffer(data, "uint8")))
    return len(model.buffers) - 1
