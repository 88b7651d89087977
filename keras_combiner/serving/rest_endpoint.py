"""KServe's REST server on a socket of ours, behind a gate."""

from http import HTTPStatus

import fastapi
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ModelNotReady
from kserve.protocol.rest.server import RESTServer
from starlette.exceptions import HTTPException

from keras_combiner.serving.checked_data_plane import v2_mistakes
from keras_combiner.serving.request_gate import RequestGate

# Connections beyond these are answered with 503.
MAX_CONNECTIONS = 512
STATUSES = {
    InvalidInput: HTTPStatus.BAD_REQUEST,
    ModelNotFound: HTTPStatus.NOT_FOUND,
    ModelNotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    NotImplementedError: HTTPStatus.NOT_IMPLEMENTED,
    InferenceError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class RestEndpoint(RESTServer):
    """V1 and V2 over HTTP, health and metrics.

    Args:
        dataplane: `kserve.protocol.dataplane.DataPlane`.
        repository: KServe's extension that loads and unloads models.
        http_socket: `socket.socket`, listening.
        max_body_bytes: int.
        max_held_bytes: int, as in `RequestGate`.
        grace_seconds: int, how long requests under way may take at the end.
    """

    def __init__(
        self, dataplane, repository, http_socket, max_body_bytes, max_held_bytes, grace_seconds
    ):
        self._app = fastapi.FastAPI(title="keras_combiner", openapi_url=None)
        super().__init__(
            RequestGate(self._app, max_body_bytes, max_held_bytes),
            dataplane,
            repository,
            http_port=0,
            grace_period=grace_seconds,
        )
        self._socket = http_socket
        self.config.http = "h11"  # httptools takes in headers without end
        self.config.ws = "none"
        self.config.limit_concurrency = MAX_CONNECTIONS

    @property
    def should_exit(self):
        """bool: whether the server is about to end; setting it ends it."""
        return self._server.should_exit

    @should_exit.setter
    def should_exit(self, value):
        self._server.should_exit = value

    def create_application(self):
        """Gives the application KServe's routes, and answers for what goes wrong."""
        self._register_endpoints(self._app)
        self._add_exception_handlers(self._app)

    async def start(self):
        """Serves until a signal, or `should_exit`, ends it."""
        self.create_application()
        await self._server.serve(sockets=[self._socket])

    def _add_exception_handlers(self, app):
        super()._add_exception_handlers(app)
        # KServe logs a traceback of every mistake of a client.
        for kind, status in STATUSES.items():
            app.add_exception_handler(kind, _answer_with(status))
        app.add_exception_handler(RequestValidationError, _answer_validation)
        app.add_exception_handler(HTTPException, _answer_http)


def _answer_with(status):
    headers = {"retry-after": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None

    async def answer(request, error):
        return JSONResponse({"error": str(error)}, status, headers)

    return answer


async def _answer_validation(request, error):
    return JSONResponse({"error": v2_mistakes(error.errors())}, HTTPStatus.BAD_REQUEST)


async def _answer_http(request, error):
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
