"""KServe's REST server on a given socket, behind a `RequestGate`."""

from http import HTTPStatus

import fastapi
from fastapi.responses import JSONResponse
from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ModelNotReady
from kserve.protocol.rest.server import RESTServer
from starlette.exceptions import HTTPException

from keras_combiner.serving.request_gate import RequestGate
from keras_combiner.serving.v1_routes import V1Routes
from keras_combiner.serving.v2_routes import V2Routes

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
        """Adds KServe's routes to the application, and answers for what goes wrong."""
        self._register_endpoints(self._app)
        self._add_exception_handlers(self._app)

    async def start(self):
        """Serves until a signal, or `should_exit`, ends it."""
        self.create_application()
        await self._server.serve(sockets=[self._socket])

    def _register_endpoints(self, app):
        # Before KServe's own routes of the same paths.
        app.router.routes.extend(V1Routes(self.dataplane).routes())
        V2Routes(self.dataplane).register(app)
        super()._register_endpoints(app)

    def _add_exception_handlers(self, app):
        super()._add_exception_handlers(app)
        # KServe logs a traceback of every mistake of a client.
        for kind, status in STATUSES.items():
            app.add_exception_handler(kind, _answer_with(status))
        app.add_exception_handler(HTTPException, self._answer_http)

    async def _answer_http(self, request, error):
        """Answers for a path or a method that does not exist, with those that do."""
        reason = error.detail
        received = f"Received: {request.method} {request.scope['path'][:200]}."
        if error.status_code == HTTPStatus.NOT_FOUND:
            names = list(self.dataplane.model_registry.get_models())
            paths = (f"/v1/models/{x}:predict and /v2/models/{x}/infer" for x in names)
            reason = f"Expected another path, such as {', '.join(paths)}. {received}"
        elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            reason = f"Expected the method {error.headers['Allow']}. {received}"
        return JSONResponse({"error": reason}, error.status_code, error.headers)


def _answer_with(status):
    headers = {"retry-after": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None

    async def answer(request, error):
        return JSONResponse({"error": str(error)}, status, headers)

    return answer
