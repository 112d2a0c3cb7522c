"""`/api`: the API's reference, made on the server of its own OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from winnow.server.pages.rendering import render

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class OperationView:
    """One operation: its parameters as name, place, type and description; an example of its body."""

    method: str
    path: str
    tag: str
    about: str
    parameters: Sequence[tuple[str, str, str, str]]
    example: str
    statuses: Sequence[tuple[str, str]]


@router.get("/api")
async def page(request: Request) -> HTMLResponse:
    operations = sorted(operations_of(request.app.openapi()), key=lambda one: one.tag)
    groups = [(tag, list(some)) for tag, some in groupby(operations, key=lambda one: one.tag)]
    return render(request, "api.html", groups=groups)


def operations_of(document: Mapping[str, Any]) -> Iterator[OperationView]:
    """Yield the operations of an OpenAPI document, in its order."""
    schemas = document.get("components", {}).get("schemas", {})
    for path, item in document["paths"].items():
        for method, one in item.items():
            yield OperationView(
                method=method.upper(),
                path=path,
                tag=(one.get("tags") or [""])[0],
                about=one.get("description") or one.get("summary", ""),
                parameters=[_parameter(given) for given in one.get("parameters", ())],
                example=_example(one.get("requestBody", {}).get("content", {}), schemas),
                statuses=[(code, reply["description"]) for code, reply in one["responses"].items()],
            )


def _parameter(given: Mapping[str, Any]) -> tuple[str, str, str, str]:
    schema = given.get("schema", {})
    kinds = [part.get("type", "") for part in schema.get("anyOf", [schema])]
    kind = " | ".join(one for one in kinds if one and one != "null")
    return given["name"], given["in"], kind, given.get("description") or schema.get("description", "")


def _example(content: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    schema = content.get("application/json", {}).get("schema", {})
    named = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
    examples = named.get("examples", ())
    return json.dumps(examples[0], ensure_ascii=False, indent=2) if examples else ""
