"""KServe's gRPC server at a chosen address, within bounds."""

from grpc import StatusCode, aio
from kserve.constants.constants import GRPC_CONTENT_DATATYPE_MAPPINGS
from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ModelNotReady
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.grpc.servicer import InferenceServicer

from keras_combiner.serving.errors import shown
from keras_combiner.serving.v2_body import MOST_PARTS

# Calls beyond these are refused as RESOURCE_EXHAUSTED; each holds a message.
MAX_CALLS = 64
_CONTENTS = GRPC_CONTENT_DATATYPE_MAPPINGS["BYTES"]
_DATATYPES = (*GRPC_CONTENT_DATATYPE_MAPPINGS, "FP16")


class GrpcEndpoint(GRPCServer):
    """V2 over gRPC.

    Args:
        dataplane: `kserve.protocol.dataplane.DataPlane`.
        repository: KServe's extension that loads and unloads models.
        host: str, the address to listen at.
        port: int, 0 for any that is free.
        max_message_bytes: int, the largest message of a client.
        grace_seconds: int, how long calls under way may take at the end.

    Attributes:
        port: int, the port after `listen`.
    """

    def __init__(self, dataplane, repository, host, port, max_message_bytes, grace_seconds):
        super().__init__(port, dataplane, repository, kwargs={}, grace_period=grace_seconds)
        self.port = port
        self._host = f"[{host}]" if ":" in host else host
        self._max_message_bytes = max_message_bytes

    async def listen(self):
        """Opens the port and serves in the background, until `stop`.

        Raises:
            OSError: if the port is taken.
        """
        self._server = aio.server(
            interceptors=(_StatusInterceptor(),),
            options=[
                ("grpc.max_receive_message_length", self._max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # a second server at the port is a mistake
            ],
            maximum_concurrent_rpcs=MAX_CALLS,
        )
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
            _BoundedServicer(self._data_plane, self._model_repository_extension), self._server
        )
        try:
            self.port = self._server.add_insecure_port(f"{self._host}:{self.port}")
        except RuntimeError as error:
            raise OSError(
                f"Cannot listen at port {self.port} of {self._host}: {error}. Choose another port "
                "with --grpc-port."
            ) from error
        await self._server.start()


class _BoundedServicer(InferenceServicer):
    """Refuses what has more parts than any request needs, and what KServe would not look at."""

    async def ModelReady(self, request, context):
        self._data_plane.check_version(request.name, request.version)
        return await super().ModelReady(request, context)

    async def ModelMetadata(self, request, context):
        metadata = await self._data_plane.model_metadata(request.name, request.version)
        return messages.ModelMetadataResponse(**metadata)

    async def ModelInfer(self, request, context):
        if max(len(request.inputs), len(request.outputs)) > MOST_PARTS:
            raise InvalidInput(
                f"Expected at most {MOST_PARTS} inputs and outputs. Received: "
                f"{len(request.inputs)} and {len(request.outputs)}."
            )
        for tensor in request.inputs:
            if tensor.datatype not in _DATATYPES:
                raise InvalidInput(
                    f"Expected a datatype of {', '.join(_DATATYPES)}. Received: "
                    f"{shown(tensor.datatype)} for {shown(tensor.name)}."
                )
            others = [x.name for x, _ in tensor.contents.ListFields() if x.name != _CONTENTS]
            if tensor.datatype == "BYTES" and others:
                raise InvalidInput(
                    f"Expected texts in `{_CONTENTS}`, or as raw_input_contents. Received: "
                    f"`{others[0]}` for {shown(tensor.name)}."
                )
        return await super().ModelInfer(request, context)


class _StatusInterceptor(ExceptionToStatusInterceptor):
    """Says to the client what is wrong, without a traceback in the log for a client's mistake."""

    async def handle_exception(self, ex, request_or_iterator, context, method_name):
        if isinstance(ex, InvalidInput):
            await context.abort(StatusCode.INVALID_ARGUMENT, str(ex))
        if isinstance(ex, InferenceError):
            await context.abort(StatusCode.INTERNAL, str(ex))
        if isinstance(ex, ModelNotFound):
            await context.abort(StatusCode.NOT_FOUND, str(ex))
        if isinstance(ex, ModelNotReady):
            await context.abort(StatusCode.UNAVAILABLE, str(ex))
        if isinstance(ex, NotImplementedError):
            await context.abort(StatusCode.UNIMPLEMENTED, str(ex))
        await super().handle_exception(ex, request_or_iterator, context, method_name)
