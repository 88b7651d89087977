"""A predictor behind the server's own endpoints, in this process: no start to wait for."""

import asyncio
import contextlib
import json
import threading

import grpc
import httpx
from kserve import ModelRepository
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from keras_combiner.serving.checked_data_plane import CheckedDataPlane
from keras_combiner.serving.grpc_endpoint import GrpcEndpoint
from keras_combiner.serving.rest_endpoint import RestEndpoint


class Service:
    """Answers what clients send over REST, without a socket, and over gRPC, at loopback.

    Args:
        predictor: `SavedModelPredictor` that has loaded.
        most: int, the largest body or message.
    """

    def __init__(self, predictor, most=100_000):
        models = ModelRepository()
        models.update(predictor)
        self.name = predictor.name
        dataplane = CheckedDataPlane(models)
        extension = ModelRepositoryExtension(models)
        rest = RestEndpoint(dataplane, extension, None, most, 16 * most, 1)
        rest.create_application()
        self._grpc = GrpcEndpoint(dataplane, extension, "127.0.0.1", 0, most, 0)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._run(self._grpc.listen())
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(rest.config.app, raise_app_exceptions=False),
            base_url="http://a",
        )
        self._channel = grpc.insecure_channel(f"127.0.0.1:{self._grpc.port}")
        self.stub = GRPCInferenceServiceStub(self._channel)

    def close(self):
        self._channel.close()
        self._run(self._grpc.stop())
        self._run(self._client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def ask(self, path, body=None, method=None, **headers):
        """Sends bytes or what JSON can hold; returns the status and what the answer's JSON says."""
        response = self.send(path, body, method, **headers)
        return response.status_code, json.loads(response.content)

    def send(self, path, body=None, method=None, **headers):
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        method = method or ("GET" if body is None else "POST")
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._run(self._client.request(method, path, content=body, headers=headers))

    def predict(self, body, where="", **headers):
        return self.ask(f"/v1/models/{self.name}{where}:predict", body, **headers)

    def infer(self, body, where="", **headers):
        return self.ask(f"/v2/models/{self.name}{where}/infer", body, **headers)

    def infer_grpc(self, texts, **fields):
        request = messages.ModelInferRequest(model_name=self.name, **fields)
        tensor = request.inputs.add(name="text", datatype="BYTES", shape=[len(texts)])
        tensor.contents.bytes_contents.extend(texts)
        return self.stub.ModelInfer(request, timeout=60)

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(120)


@contextlib.contextmanager
def running_service(predictor, most=100_000):
    """Loads a predictor, serves it and ends it with the block.

    Args:
        predictor: `SavedModelPredictor`.
        most: int, the largest body or message.

    Yields:
        `Service`.
    """
    predictor.load()
    service = Service(predictor, most)
    yield service
    service.close()
    predictor.stop()
