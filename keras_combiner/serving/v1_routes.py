"""The paths of V1, which are those of TF Serving, and what answers at each."""

import re

import orjson
from fastapi import Response
from kserve.errors import ModelNotReady
from starlette.exceptions import HTTPException
from starlette.routing import Route

from keras_combiner.serving.errors import NotOffered
from keras_combiner.serving.v1_request import V1Request

_PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
    r"(?:(?P<metadata>/metadata)|:(?P<verb>predict|classify|regress|explain))?"
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class V1Routes:
    """Answers `/v1/models/NAME`, of a version or a label if the path names one.

    `:predict` (POST) answers texts; the path itself (GET) says which versions are loaded, and
    `/metadata` (GET) what their signatures take and return, both as TF Serving does.

    Args:
        dataplane: `CheckedDataPlane`.
    """

    def __init__(self, dataplane):
        self._dataplane = dataplane

    def routes(self):
        """Lists them.

        Returns:
            list of `starlette.routing.Route`.
        """
        return [Route("/v1/models/{path:path}", self._answer, methods=_METHODS)]

    async def _answer(self, request):
        found = _PATH.fullmatch(request.scope["path"])
        if not found:
            raise HTTPException(404)
        method = "POST" if found["verb"] else "GET"
        if request.method != method:
            raise HTTPException(405, headers={"Allow": method})
        model = self._dataplane.get_model_from_registry(found["name"])
        if found["verb"] == "predict":
            return await self._predict(request, found)
        if found["verb"] == "explain":
            return await model.explain({})
        if found["verb"]:
            raise NotOffered(
                f"Expected :predict, which answers texts. Received: :{found['verb']}, which in TF "
                "Serving answers examples of features."
            )
        served = model.find(found["version"], found["label"])
        if found["metadata"]:
            return _json(_metadata(model, served))
        if found["version"] or found["label"]:
            return _json({"model_version_status": [_status(served.number)]})
        if not await self._dataplane.model_ready(model.name):
            raise ModelNotReady(model.name)
        # KServe's answer, and TF Serving's.
        statuses = [_status(number) for number in model.versions.loaded()]
        return _json({"name": model.name, "ready": True, "model_version_status": statuses})

    async def _predict(self, request, found):
        headers = dict(request.headers)
        fields, event = self._dataplane.decode(await request.body(), headers)
        payload = V1Request(fields, found["version"], found["label"])
        answer, more = await self._dataplane.infer(found["name"], payload, headers)
        answer, event_headers = self._dataplane.encode(found["name"], answer, headers, event)
        more = {k: v for k, v in {**more, **event_headers}.items() if k != "content-length"}
        return _json(answer, more)


def _status(number):
    status = {"error_code": "OK", "error_message": ""}
    return {"version": str(number), "state": "AVAILABLE", "status": status}


def _metadata(model, served):
    return {
        "model_spec": {"name": model.name, "signature_name": "", "version": str(served.number)},
        "metadata": {"signature_def": {"signature_def": served.signature_defs}},
    }


def _json(content, headers=None):
    if not isinstance(content, (bytes, str)):
        content = orjson.dumps(content)
    headers = {"content-type": "application/json", **(headers or {})}
    return Response(content, headers=headers)
