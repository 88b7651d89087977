"""KServe's REST server on a socket of ours, behind a gate."""

from http import HTTPStatus

import fastapi
from fastapi.responses import JSONResponse
from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ModelNotReady
from kserve.protocol.rest.server import RESTServer
from kserve.protocol.rest.v2_endpoints import V2Endpoints
from starlette.exceptions import HTTPException

from keras_combiner.serving.request_gate import RequestGate

# Connections beyond these are answered with 503.
MAX_CONNECTIONS = 512
_VERSION_PATH = "/v2/models/{model_name}/versions/{model_version}/infer"
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

    def _register_endpoints(self, app):
        # Before KServe's own routes of that name, where FastAPI would read and validate the body.
        for path in ("/v2/models/{model_name}/infer", _VERSION_PATH):
            app.add_api_route(path, self._infer, methods=["POST"], response_model=None)
        super()._register_endpoints(app)

    async def _infer(
        self, request: fastapi.Request, model_name: str, model_version: str | None = None
    ):
        endpoints = V2Endpoints(self.dataplane, self.model_repository_extension)
        response = fastapi.Response()
        answer = await endpoints.infer(
            request, response, model_name, await request.body(), model_version
        )
        if answer is response:  # tensors in binary
            response.headers["content-length"] = str(len(response.body))
            return response
        return JSONResponse(answer.model_dump(exclude_none=True))

    def _add_exception_handlers(self, app):
        super()._add_exception_handlers(app)
        # KServe logs a traceback of every mistake of a client.
        for kind, status in STATUSES.items():
            app.add_exception_handler(kind, _answer_with(status))
        app.add_exception_handler(HTTPException, _answer_http)


def _answer_with(status):
    headers = {"retry-after": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None

    async def answer(request, error):
        return JSONResponse({"error": str(error)}, status, headers)

    return answer


async def _answer_http(request, error):
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
