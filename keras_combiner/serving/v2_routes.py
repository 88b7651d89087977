"""The paths of V2 that name a model, and what answers at each."""

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from kserve.constants.constants import PredictorProtocol
from kserve.errors import ModelNotReady
from kserve.protocol.rest.v2_datamodels import InferenceResponse

_MODEL = "/v2/models/{model_name}"
_VERSION = _MODEL + "/versions/{model_version}"


class V2Routes:
    """Answers `/v2/models/NAME` and `/v2/models/NAME/versions/N`, each also with `/ready` and
    `/infer`.

    KServe's own routes of these paths know no versions, and FastAPI would validate their bodies.

    Args:
        dataplane: `CheckedDataPlane`.
    """

    def __init__(self, dataplane):
        self._dataplane = dataplane

    def register(self, app):
        """Adds the routes.

        Args:
            app: `fastapi.FastAPI`.
        """
        for start in (_MODEL, _VERSION):
            app.add_api_route(start, self._metadata, methods=["GET"])
            app.add_api_route(f"{start}/ready", self._ready, methods=["GET"])
            app.add_api_route(f"{start}/infer", self._infer, methods=["POST"], response_model=None)

    async def _metadata(self, model_name: str, model_version: str | None = None):
        return await self._dataplane.model_metadata(model_name, model_version)

    async def _ready(self, model_name: str, model_version: str | None = None):
        await self._check(model_name, model_version)
        return {"name": model_name, "ready": True}

    async def _infer(self, request: Request, model_name: str, model_version: str | None = None):
        await self._check(model_name, model_version)
        headers = dict(request.headers)
        payload, _ = self._dataplane.decode(
            await request.body(), headers, PredictorProtocol.REST_V2.value, model_name
        )
        payload.model_version = model_version
        answer, more = await self._dataplane.infer(model_name, payload, headers)
        answer, lengths = self._dataplane.encode(model_name, answer, headers, {})
        skipped = ("content-length", "content-type")
        more = {k: v for k, v in {**more, **lengths}.items() if k not in skipped}
        if isinstance(answer, bytes):  # tensors in binary
            return Response(answer, headers=more)
        answer = InferenceResponse.model_validate(answer)
        return JSONResponse(answer.model_dump(exclude_none=True), headers=more)

    async def _check(self, model_name, model_version):
        if not await self._dataplane.model_ready(model_name):
            raise ModelNotReady(model_name)
        self._dataplane.check_version(model_name, model_version)
