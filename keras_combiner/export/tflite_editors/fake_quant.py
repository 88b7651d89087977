"""Fake quantization in a .tflite file: pairs of QUANTIZE and DEQUANTIZE with learned ranges."""

import collections
from typing import Any, NamedTuple

import numpy as np

from keras_combiner.export.tflite_editors.flatbuffer import (
    OpCode,
    TensorType,
    constant_of,
    op_code,
    read_model,
    write_model,
)

# Operations that only move numbers: their input has the range of their output.
_INTEGER_MOVES = {OpCode.RESHAPE, OpCode.TRANSPOSE, OpCode.SELECT_V2}
_MOVES = {*_INTEGER_MOVES, OpCode.PAD, OpCode.PADV2, OpCode.BROADCAST_TO}
_COMPUTES = {OpCode.FULLY_CONNECTED, OpCode.BATCH_MATMUL, OpCode.GELU}


class LearnedRanges(NamedTuple):
    """A file without fake quantization, and what it said about its activations.

    Attributes:
        content: bytes of the file without the pairs.
        ranges: dictionary, name of a tensor (str) -> its "min" and "max", float32 arrays with one
            number and the rank of the tensor, as ai-edge-quantizer calibrates them.
        integer: list of str, the outputs of the operations that can compute with integers:
            those whose activations all have a range.
    """

    content: bytes
    ranges: Any
    integer: Any


def strip_fake_quant(content):
    """Removes pairs of QUANTIZE and DEQUANTIZE from a file, and returns their ranges.

    The converter writes such a pair for every fake quantization. Between a pair and the product
    that made its input there may be operations that only move numbers: they get the same range, so
    that integers need not be rescaled on their way.

    Args:
        content: bytes of a .tflite file that computes in float32, every tensor of which has a name
            of its own.

    Returns:
        `LearnedRanges`.
    """
    model = read_model(content)
    ranges, integer = {}, []
    for subgraph in model.subgraphs:
        found = _remove_pairs(model, subgraph)
        found = _spread(model, subgraph, found)
        for index, bounds in found.items():
            tensor = subgraph.tensors[index]
            bounds = [np.full([1] * len(tensor.shape), x, "float32") for x in bounds]
            ranges[tensor.name.decode()] = dict(zip(("min", "max"), bounds, strict=True))
        for operator in subgraph.operators:
            activations = set(_activations(model, subgraph, operator))
            may_be_integer = op_code(model, operator) in _INTEGER_MOVES | _COMPUTES
            if may_be_integer and activations and activations <= set(found):
                integer.append(subgraph.tensors[operator.outputs[0]].name.decode())
    for index in range(len(model.subgraphs)):
        _drop_unused_tensors(model, index)
    content = write_model(model)
    return LearnedRanges(content, ranges, integer)


def _remove_pairs(model, subgraph):
    """Lets the readers of a pair read its input; returns index of that -> range."""
    maker = {x.outputs[0]: x for x in subgraph.operators if len(x.outputs) == 1}
    source, found = {}, {}
    for operator in subgraph.operators:
        if op_code(model, operator) != OpCode.DEQUANTIZE:
            continue
        quantize = maker.get(operator.inputs[0])
        if quantize is None or op_code(model, quantize) != OpCode.QUANTIZE:
            continue
        # Pairs may follow each other.
        index = source.get(quantize.inputs[0], quantize.inputs[0])
        source[operator.outputs[0]] = index
        found[index] = _union(found.get(index), _range(subgraph.tensors[operator.inputs[0]]))
    for operator in subgraph.operators:
        operator.inputs = [source.get(i, i) for i in operator.inputs]
    subgraph.outputs = [source.get(i, i) for i in subgraph.outputs]
    subgraph.operators = [
        x
        for x in subgraph.operators
        if op_code(model, x) not in (OpCode.QUANTIZE, OpCode.DEQUANTIZE)
    ]
    return found


def _drop_unused_tensors(model, subgraph_index):
    """Removes the tensors of the removed pairs: their names are a tenth of a small file."""
    subgraph = model.subgraphs[subgraph_index]
    arguments = [subgraph.inputs, subgraph.outputs]
    arguments += [x for operator in subgraph.operators for x in (operator.inputs, operator.outputs)]
    used = sorted({int(i) for indices in arguments for i in indices if i >= 0})
    moved = {old: new for new, old in enumerate(used)} | {-1: -1}

    def renumbered(indices):
        return [moved[int(i)] for i in indices]

    subgraph.tensors = [subgraph.tensors[i] for i in used]
    subgraph.inputs, subgraph.outputs = map(renumbered, (subgraph.inputs, subgraph.outputs))
    for operator in subgraph.operators:
        operator.inputs, operator.outputs = map(renumbered, (operator.inputs, operator.outputs))
    for signature in model.signatureDefs:
        if signature.subgraphIndex == subgraph_index:
            for x in (*signature.inputs, *signature.outputs):
                x.tensorIndex = moved[x.tensorIndex]


def _range(tensor):
    """The numbers that the 8 bits of a tensor stand for, `(smallest, largest)`."""
    scale = float(tensor.quantization.scale[0])
    zero_point = int(tensor.quantization.zeroPoint[0])
    smallest = 0 if tensor.type == TensorType.UINT8 else -128
    return scale * (smallest - zero_point), scale * (smallest + 255 - zero_point)


def _union(*ranges):
    ranges = [x for x in ranges if x is not None]
    return min(x for x, _ in ranges), max(x for _, x in ranges)


def _spread(model, subgraph, found):
    """Gives ranges to tensors that are only moved; connected ones get the same range.

    Args:
        model: the file.
        subgraph: one of its subgraphs.
        found: dictionary, index of a tensor -> range.

    Returns:
        dictionary like `found`, of more tensors.
    """
    root = {}

    def root_of(index):
        while root.get(index, index) != index:
            index = root[index]
        return index

    ranged = set(found)

    def connect(operator):
        activations = _activations(model, subgraph, operator)
        ranged.update(activations)
        for index in activations:
            root[root_of(index)] = root_of(operator.outputs[0])

    maker = {index: x for x in subgraph.operators for index in x.outputs}
    for operator in subgraph.operators:  # from a range down to a product
        if op_code(model, operator) not in _COMPUTES:
            continue
        for index in operator.inputs:
            way = []
            while index not in ranged and op_code(model, maker.get(index)) in _INTEGER_MOVES:
                way.append(maker[index])
                index = maker[index].inputs[0]
            if index in ranged:
                for move in way:
                    connect(move)
    for operator in reversed(subgraph.operators):  # and up to the product that it comes from
        if op_code(model, operator) in _MOVES and operator.outputs[0] in ranged:
            connect(operator)
    connected = collections.defaultdict(list)
    for index, x in found.items():
        connected[root_of(index)].append(x)
    return {index: _union(*connected[root_of(index)]) for index in ranged}


def _activations(model, subgraph, operator):
    """Indices of the float tensors of an operator that are computed, inputs and outputs."""
    return [
        i
        for i in (*operator.inputs, *operator.outputs)
        if i >= 0
        and subgraph.tensors[i].type == TensorType.FLOAT32
        and constant_of(model, subgraph.tensors[i]) is None
    ]
