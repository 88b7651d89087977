"""A client of the server: its connections, and a question by each of the three protocols."""

import http.client
import json
import struct

import numpy as np


class Connection:
    """A client's connections to the server, which are opened again after they broke."""

    def __init__(self, server):
        self.server = server
        self._http = http.client.HTTPConnection(server.host, server.http_port, timeout=120)
        self._channel = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        if self._channel is not None:
            self._channel.close()

    def close(self):
        """Closes the HTTP connection; the next request opens it again."""
        self._http.close()

    def post(self, path, body, headers=(), encode_chunked=False):
        """Sends what JSON can hold, bytes or an iterator of bytes; returns status and answer."""
        if not isinstance(body, bytes) and not hasattr(body, "__next__"):
            body = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **dict(headers)}
        if encode_chunked:
            headers["Transfer-Encoding"] = "chunked"
        self._http.request("POST", path, body, headers, encode_chunked=encode_chunked)
        with self._http.getresponse() as response:
            return response.status, json.loads(response.read())

    def infer(self, texts):
        """Asks by gRPC; returns a list of label and probabilities."""
        import grpc
        from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
        from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

        if self._channel is None:
            self._channel = grpc.insecure_channel(f"{self.server.host}:{self.server.grpc_port}")
        request = messages.ModelInferRequest(model_name=self.server.name)
        tensor = request.inputs.add(name="text", datatype="BYTES", shape=[len(texts)])
        tensor.contents.bytes_contents.extend(x.encode() for x in texts)
        answer = GRPCInferenceServiceStub(self._channel).ModelInfer(request, timeout=120)
        raw = {x.name: y for x, y in zip(answer.outputs, answer.raw_output_contents, strict=True)}
        labels, rest = [], raw["label"]
        while rest:
            length = struct.unpack("<I", rest[:4])[0]
            labels.append(rest[4 : 4 + length].decode())
            rest = rest[4 + length :]
        probabilities = np.frombuffer(raw["probabilities"], np.float32).reshape(len(texts), -1)
        return list(zip(labels, probabilities, strict=True))


def by_v1(connection, texts):
    """Asks by version 1 of the protocol; returns answers, or None if the server is busy."""
    path = f"/v1/models/{connection.server.name}:predict"
    status, answer = connection.post(path, {"instances": texts})
    if status == 503:
        return None
    expect(status, answer, 200)
    return [(x["label"], x["probabilities"]) for x in answer["predictions"]]


def by_v2(connection, texts):
    """Asks by version 2 of the protocol; returns answers, or None if the server is busy."""
    path = f"/v2/models/{connection.server.name}/infer"
    tensor = {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts}
    status, answer = connection.post(path, {"inputs": [tensor]})
    if status == 503:
        return None
    expect(status, answer, 200)
    outputs = {x["name"]: x for x in answer["outputs"]}
    probabilities = outputs["probabilities"]
    rows = np.reshape(probabilities["data"], probabilities["shape"])
    return list(zip(outputs["label"]["data"], rows, strict=True))


def by_grpc(connection, texts):
    """Asks by gRPC; returns answers, or None if the server is busy."""
    import grpc

    try:
        return connection.infer(texts)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAVAILABLE and "waiting" in error.details():
            return None
        raise


def path_of(connection, end):
    """Returns the path of a request, by how it ends: ":predict" or "/infer"."""
    version = "v1" if end.startswith(":") else "v2"
    return f"/{version}/models/{connection.server.name}{end}"


def expect(status, answer, wanted):
    """Raises an AssertionError if the server answered with another status."""
    if status != wanted:
        raise AssertionError(f"expected status {wanted}, received {status}: {str(answer)[:300]}")
