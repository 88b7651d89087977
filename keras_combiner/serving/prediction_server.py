"""KServe's model server, with bounds on what it takes in and an orderly end."""

import asyncio
import socket

import kserve
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from keras_combiner.serving.checked_data_plane import CheckedDataPlane
from keras_combiner.serving.errors import NotOffered
from keras_combiner.serving.grpc_endpoint import GrpcEndpoint
from keras_combiner.serving.rest_endpoint import RestEndpoint


class PredictionServer(kserve.ModelServer):
    """Serves KServe models over V1 REST, V2 REST and V2 gRPC, on one host of this machine.

    SIGTERM or SIGINT end it in order: new requests are refused from then on, those that are under
    way have `grace_seconds` to finish, and `start` returns.

    Args:
        host: str, the address to listen at.
        http_port: int, 0 for any that is free.
        grpc_port: int, 0 for any that is free.
        max_body_bytes: int, the largest body of a request and the largest message of gRPC.
        max_held_bytes: int, what the bodies of all requests under way may have together; None for
            16 of the largest.
        grace_seconds: int, how long requests under way may take at the end.
        on_start: function of the two ports, called when requests can come.
    """

    def __init__(
        self,
        host="127.0.0.1",
        http_port=8080,
        grpc_port=8081,
        max_body_bytes=4 * 1024**2,
        max_held_bytes=None,
        grace_seconds=30,
        on_start=lambda http_port, grpc_port: None,
    ):
        super().__init__(
            http_port=http_port,
            grpc_port=grpc_port,
            grace_period=grace_seconds,
            enable_latency_logging=False,
            ssl_certfile=None,
            ssl_keyfile=None,
        )
        self.host = host
        self.max_body_bytes = max_body_bytes
        self.max_held_bytes = max_held_bytes or 16 * max_body_bytes
        self.on_start = on_start
        self.dataplane = CheckedDataPlane(self.registered_models)
        self.model_repository_extension = _FixedRepository(self.registered_models)

    def start(self, models):
        """Serves until a signal or `stop` ends it.

        Args:
            models: list of `kserve.Model` that are loaded.

        Raises:
            OSError: if a port is taken.
        """
        self._register_and_check_atleast_one_model_is_ready(models)
        self.register_signal_handler()
        try:
            asyncio.run(self._serve())
        finally:
            for name in list(self.registered_models.get_models()):
                self.registered_models.unload(name)

    def stop(self, sig=None):
        """Ends the server in order.

        Args:
            sig: int, the signal that asked for it.
        """
        if self._rest_server is not None:
            self._rest_server.should_exit = True

    async def _serve(self):
        with listening_socket(self.host, self.http_port, "--http-port") as http_socket:
            self._rest_server = RestEndpoint(
                self.dataplane,
                self.model_repository_extension,
                http_socket,
                self.max_body_bytes,
                self.max_held_bytes,
                self.grace_period,
            )
            self._grpc_server = GrpcEndpoint(
                self.dataplane,
                self.model_repository_extension,
                self.host,
                self.grpc_port,
                self.max_body_bytes,
                self.grace_period,
            )
            await self._grpc_server.listen()
            self.on_start(http_socket.getsockname()[1], self._grpc_server.port)
            await asyncio.gather(self._rest_server.start(), self._stop_grpc_with_rest())

    async def _stop_grpc_with_rest(self):
        # uvicorn handles the signal.
        while not self._rest_server.should_exit:
            await asyncio.sleep(0.1)
        await self._grpc_server.stop()


class _FixedRepository(ModelRepositoryExtension):
    """The models are those that the server started with: a request cannot remove them."""

    async def load(self, model_name):
        raise NotOffered("The server takes up new versions by itself, and loads no other models.")

    async def unload(self, model_name):
        raise NotOffered("The server's model stays. Stop the server to stop serving it.")


def listening_socket(host, port, option):
    """Opens a port.

    Args:
        host: str, an address or a name of this machine.
        port: int, 0 for any that is free.
        option: str, what chooses another port, for the message.

    Returns:
        `socket.socket`, listening.

    Raises:
        OSError: if the port is taken, or the host is not an address of this machine.
        ValueError: for a port out of range.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"Expected a port from 0 to 65535. Received: {option} {port}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise OSError(
            f"Cannot listen at port {port} of {host}: {error.strerror or error}. Choose another "
            f"port with {option}, or another address with --host."
        ) from error
