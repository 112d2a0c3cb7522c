"""What the OpenAPI says of errors: every route that can fail in a way names it."""

from __future__ import annotations

from typing import Any

from winnow.server.api.schemas import Problem
from winnow.server.errors import MEDIA_TYPE

_SAID = {
    400: "What was sent cannot be used.",
    401: "No token, or one that is not known.",
    403: "The token, the host or the origin does not allow it.",
    404: "There is no such thing.",
    409: "It was built with other settings.",
    413: "The request is too large.",
    422: "The request does not have the documented form.",
    429: "Too much is under way; Retry-After says when to come again.",
    501: "An extra that is not installed.",
    500: "Something is wrong on the server.",
    502: "A chat model or a stage failed.",
    503: "A model, the store or the log cannot be used now.",
    504: "It took longer than the server allows.",
}
Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """The entries for these statuses."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _SAID[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def streaming(example: str) -> dict[str, Any]:
    """The entry of a 200 that may be server-sent events; the schema is that of one event."""
    event = {
        "type": "object",
        "required": ["data"],
        "properties": {"event": {"type": "string"}, "data": {"type": "string", "description": "JSON."}},
    }
    return {"content": {"application/json": {}, "text/event-stream": {"schema": event, "example": example}}}


# A question can meet all of them.
ASKING = problems(400, 401, 403, 404, 409, 413, 422, 429, 500, 501, 502, 503, 504)
READING = problems(400, 401, 403, 404, 409, 413, 422, 429, 500, 503)
GUARDED = problems(401, 403, 429, 500)


def with_problems(schema: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with the schema that the entries refer to, and the token."""
    components = schema.setdefault("components", {})
    shape = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components.setdefault("schemas", {})["Problem"] = shape
    components["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "Made by `winnow token create`; not asked for on the loopback.",
        }
    }
    schema["security"] = [{}, {"token": []}]
    for path in schema.get("paths", {}).values():
        for operation in path.values():
            _problem_instead(operation.get("responses", {}))
    return schema


def _problem_instead(responses: dict[str, Any]) -> None:
    """FastAPI's own shape of a 422 is not what is sent."""
    if "HTTPValidationError" in str(responses.get("422")):
        responses["422"] = problems(422)[422]
