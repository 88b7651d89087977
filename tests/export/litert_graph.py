"""What a .tflite file holds, for tests that look at it."""

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils


class Graph:
    """A .tflite file, read.

    Attributes:
        operators: list of list of str, the operators of every subgraph, in their order.
        ranks: set of int, the ranks of all tensors.
        constants: int, bytes of all constants.
        partitions: int, into how many pieces XNNPACK takes its part of the first subgraph.
        outside: list of str, the operators of the first subgraph that XNNPACK does not take.
    """

    def __init__(self, path):
        model = flatbuffer_utils.read_model(str(path))
        self.operators = [
            [flatbuffer_utils.opcode_to_name(model, x.opcodeIndex) for x in subgraph.operators]
            for subgraph in model.subgraphs
        ]
        tensors = [tensor for subgraph in model.subgraphs for tensor in subgraph.tensors]
        self.ranks = {len(tensor.shape) for tensor in tensors}
        self.constants = sum(len(x.data) for x in model.buffers if x.data is not None)
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        nodes = interpreter._get_ops_details()
        delegates = [x for x in nodes if x["op_name"] == "DELEGATE"]
        own = [x for x in nodes if x["op_name"] != "DELEGATE"]
        self.partitions = len(delegates)
        taken = _taken(own, delegates)
        self.outside = [x["op_name"] for i, x in enumerate(own) if i not in taken]


def _taken(own, delegates):
    """Indices of the nodes that lie between the inputs and the outputs of a delegate."""
    maker = {tensor: i for i, node in enumerate(own) for tensor in node["outputs"]}
    taken = set()
    for delegate in delegates:
        inputs = set(delegate["inputs"])
        to_visit = list(delegate["outputs"])
        while to_visit:
            tensor = to_visit.pop()
            node = maker.get(tensor)
            if node is None or node in taken or tensor in inputs:
                continue
            taken.add(node)
            to_visit += own[node]["inputs"].tolist()
    return taken


def empty_model():
    """bytes of a .tflite file that computes nothing, for what only handles files."""
    model = schema.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [], [schema.BufferT()]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
