"""Errors in the OpenAPI document: each route names those that it can answer with."""

from __future__ import annotations

from typing import Any

from winnow.server.api.schemas import Problem
from winnow.server.errors import MEDIA_TYPE

_DESCRIPTIONS = {
    400: "The request is not valid.",
    401: "No token, or an unknown one.",
    403: "The token, the host or the origin does not allow it.",
    404: "Not found.",
    409: "The collection was built with different settings.",
    413: "The request is too large.",
    422: "The request does not have the documented form, or the vector store does not take it.",
    429: "Too many requests; Retry-After says when to try again.",
    501: "An optional dependency is not installed.",
    500: "An error on the server.",
    502: "A chat model or a stage failed.",
    503: "A model, the store or the log is unavailable.",
    504: "It took longer than the server allows.",
}
Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """Return the entries for these statuses."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _DESCRIPTIONS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def streaming(example: str) -> dict[str, Any]:
    """Return the entry of a 200 that may be server-sent events; the schema is that of one event."""
    event = {
        "type": "object",
        "required": ["data"],
        "properties": {"event": {"type": "string"}, "data": {"type": "string", "description": "JSON."}},
    }
    return {"content": {"application/json": {}, "text/event-stream": {"schema": event, "example": example}}}


# A question can end in any of them.
ASKING = problems(400, 401, 403, 404, 409, 413, 422, 429, 500, 501, 502, 503, 504)
READING = problems(400, 401, 403, 404, 409, 413, 422, 429, 500, 503)
GUARDED = problems(401, 403, 429, 500)


def with_problems(schema: dict[str, Any]) -> dict[str, Any]:
    """Add the schema that the entries refer to, and the token, to the OpenAPI document."""
    components = schema.setdefault("components", {})
    shape = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components.setdefault("schemas", {})["Problem"] = shape
    components["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "Made by `winnow token create`; not needed on the loopback.",
        }
    }
    schema["security"] = [{}, {"token": []}]
    for path in schema.get("paths", {}).values():
        for operation in path.values():
            _problem_instead(operation.get("responses", {}))
    return schema


def _problem_instead(responses: dict[str, Any]) -> None:
    """Replace FastAPI's own shape of a 422, which is not what is sent."""
    if "HTTPValidationError" in str(responses.get("422")):
        responses["422"] = problems(422)[422]
